//! The tables. Those without `agents_` are the contract's (section 7.3), to the column; the others are ours.

/// The contract's tables of `index.sqlite`.
pub(super) const INDEX: &str = "
CREATE TABLE IF NOT EXISTS mailbox_registrations (
    registration_id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    owner_principal_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'stashed')),
    mailbox_kind TEXT NOT NULL CHECK (mailbox_kind IN ('in_root', 'symlink')),
    mailbox_path TEXT NOT NULL,
    mailbox_entry_path TEXT NOT NULL,
    display_name TEXT,
    manifest_path_hint TEXT,
    role TEXT,
    created_at_utc TEXT NOT NULL,
    deactivated_at_utc TEXT,
    replaced_by_registration_id TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS idx_mailbox_registrations_active_address
    ON mailbox_registrations (address) WHERE status = 'active';
CREATE TABLE IF NOT EXISTS messages (
    message_id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    in_reply_to TEXT,
    created_at_utc TEXT NOT NULL,
    canonical_path TEXT NOT NULL,
    subject TEXT NOT NULL,
    body_markdown TEXT NOT NULL,
    headers_json TEXT NOT NULL,
    sender_principal_id TEXT NOT NULL,
    sender_address TEXT NOT NULL,
    sender_display_name TEXT,
    sender_manifest_path_hint TEXT,
    sender_role TEXT,
    sender_registration_id TEXT
);
CREATE TABLE IF NOT EXISTS message_recipients (
    message_id TEXT NOT NULL,
    recipient_kind TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    address TEXT NOT NULL,
    owner_principal_id TEXT NOT NULL,
    display_name TEXT,
    manifest_path_hint TEXT,
    role TEXT,
    delivered_registration_id TEXT,
    PRIMARY KEY (message_id, recipient_kind, ordinal)
);
CREATE TABLE IF NOT EXISTS attachments (
    attachment_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    locator TEXT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 TEXT,
    size_bytes INTEGER,
    label TEXT
);
CREATE TABLE IF NOT EXISTS message_attachments (
    message_id TEXT NOT NULL,
    attachment_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (message_id, attachment_id)
);
CREATE TABLE IF NOT EXISTS mailbox_projections (
    registration_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    folder_name TEXT NOT NULL,
    projection_path TEXT NOT NULL,
    PRIMARY KEY (registration_id, message_id, folder_name)
);
CREATE TABLE IF NOT EXISTS mailbox_state (
    registration_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    is_read INTEGER NOT NULL DEFAULT 0,
    is_answered INTEGER NOT NULL DEFAULT 0,
    is_starred INTEGER NOT NULL DEFAULT 0,
    is_archived INTEGER NOT NULL DEFAULT 0,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    box_name TEXT NOT NULL DEFAULT 'inbox',
    PRIMARY KEY (registration_id, message_id)
);
CREATE TABLE IF NOT EXISTS thread_summaries (
    thread_id TEXT PRIMARY KEY,
    normalized_subject TEXT NOT NULL,
    latest_message_id TEXT,
    latest_message_created_at_utc TEXT,
    unread_count INTEGER NOT NULL DEFAULT 0
);
";

/// Ours in `index.sqlite`. Ids begin with their time, so that the order of ids is the order of messages.
pub(super) const INDEX_OURS: &str = "
CREATE TABLE IF NOT EXISTS agents_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_messages (
    message_id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    created_at_utc TEXT NOT NULL,
    subject TEXT NOT NULL,
    preview TEXT NOT NULL,
    ends_json TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_sent_keys (
    address TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (address, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_mirrors (
    registration_id TEXT PRIMARY KEY,
    epoch TEXT NOT NULL,
    count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS agents_projections_newest ON mailbox_projections (registration_id, folder_name, message_id);
CREATE INDEX IF NOT EXISTS agents_state_unread ON mailbox_state (registration_id, box_name) WHERE is_read = 0;
CREATE INDEX IF NOT EXISTS agents_messages_thread ON messages (thread_id, message_id);
";

/// The contract's tables of `mailbox.sqlite`.
pub(super) const LOCAL: &str = "
CREATE TABLE IF NOT EXISTS message_state (
    message_id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    created_at_utc TEXT NOT NULL,
    subject TEXT NOT NULL,
    is_read INTEGER NOT NULL DEFAULT 0,
    is_answered INTEGER NOT NULL DEFAULT 0,
    is_starred INTEGER NOT NULL DEFAULT 0,
    is_archived INTEGER NOT NULL DEFAULT 0,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    box_name TEXT NOT NULL DEFAULT 'inbox'
);
CREATE TABLE IF NOT EXISTS thread_summaries (
    thread_id TEXT PRIMARY KEY,
    normalized_subject TEXT NOT NULL,
    latest_message_id TEXT,
    latest_message_created_at_utc TEXT,
    unread_count INTEGER NOT NULL DEFAULT 0
);
";

/// Ours in `mailbox.sqlite`: whose it is, for a lost index, and how often a state was changed, by whomever.
pub(super) const LOCAL_OURS: &str = "
CREATE TABLE IF NOT EXISTS agents_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_version (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    count INTEGER NOT NULL
);
INSERT OR IGNORE INTO agents_version (one, epoch, count) VALUES (1, lower(hex(randomblob(16))), 0);
CREATE TRIGGER IF NOT EXISTS agents_state_added AFTER INSERT ON message_state
    BEGIN UPDATE agents_version SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS agents_state_changed AFTER UPDATE ON message_state
    BEGIN UPDATE agents_version SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS agents_state_gone AFTER DELETE ON message_state
    BEGIN UPDATE agents_version SET count = count + 1; END;
";

/// Notes the version of our tables, as `?1`.
pub(super) const SET_VERSION: &str =
    "INSERT INTO agents_meta (key, value) VALUES ('schema_version', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1";

/// Version of our tables that this program reads and writes.
pub(super) const OUR_VERSION: u32 = 1;
