//! The tables. The first three are the contract's (section 1.7), to the column; the others are ours.

/// The contract's tables and its one row. `?1` is the timestamp of that row.
///
/// The CHECK lists are part of the contract: a program that does not find its literals rebuilds the table.
pub(super) const CONTRACT: &str = "
CREATE TABLE IF NOT EXISTS gateway_requests (
    request_id TEXT PRIMARY KEY,
    request_kind TEXT NOT NULL,
    payload_json TEXT NOT NULL,
    state TEXT NOT NULL,
    accepted_at_utc TEXT NOT NULL,
    started_at_utc TEXT,
    finished_at_utc TEXT,
    managed_agent_instance_epoch INTEGER NOT NULL,
    error_detail TEXT,
    result_json TEXT
);
CREATE TABLE IF NOT EXISTS gateway_mail_notifier (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    enabled INTEGER NOT NULL DEFAULT 0,
    interval_seconds INTEGER,
    mode TEXT NOT NULL DEFAULT 'any_inbox' CHECK (mode IN ('any_inbox', 'unread_only')),
    appendix_text TEXT NOT NULL DEFAULT '',
    context_error_policy TEXT NOT NULL DEFAULT 'continue_current'
        CHECK (context_error_policy IN ('continue_current', 'clear_context')),
    pre_notification_context_action TEXT NOT NULL DEFAULT 'none'
        CHECK (pre_notification_context_action IN ('none', 'compact')),
    last_poll_at_utc TEXT,
    last_notification_at_utc TEXT,
    last_notified_digest TEXT,
    compacted_eligible_message_refs_json TEXT NOT NULL DEFAULT '[]',
    last_error TEXT,
    notify_block_render TEXT NOT NULL DEFAULT 'enabled'
        CHECK (notify_block_render IN ('enabled', 'disabled')),
    notify_block_auth_mode TEXT NOT NULL DEFAULT 'permissive-log'
        CHECK (notify_block_auth_mode IN ('permissive-log', 'required')),
    notify_block_auth_verifier TEXT NOT NULL DEFAULT 'none'
        CHECK (notify_block_auth_verifier IN ('none', 'shared-token')),
    notify_block_shared_tokens_json TEXT NOT NULL DEFAULT '[]',
    notify_block_per_message_chars INTEGER NOT NULL DEFAULT 512,
    notify_block_total_chars INTEGER NOT NULL DEFAULT 2048,
    updated_at_utc TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS gateway_notifier_audit (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    poll_time_utc TEXT NOT NULL,
    unread_count INTEGER,
    unread_digest TEXT,
    unread_summary_json TEXT NOT NULL DEFAULT '[]',
    request_admission TEXT,
    active_execution TEXT,
    queue_depth INTEGER,
    outcome TEXT NOT NULL CHECK (
        outcome IN (
            'empty',
            'dedup_skip',
            'busy_skip',
            'enqueued',
            'pre_notification_context_error',
            'context_recovery_error',
            'poll_error'
        )
    ),
    enqueued_request_id TEXT,
    detail TEXT,
    context_error_policy TEXT NOT NULL DEFAULT 'continue_current',
    pre_notification_context_action TEXT NOT NULL DEFAULT 'none',
    context_action_outcome TEXT,
    degraded_tool_name TEXT,
    degraded_error_type TEXT,
    rendered_block_entries_json TEXT NOT NULL DEFAULT '[]'
);
";

/// The one row of the notifier's settings.
pub(super) const NOTIFIER_ROW: &str =
    "INSERT OR IGNORE INTO gateway_mail_notifier (singleton, updated_at_utc) VALUES (1, ?1)";

/// Columns without which `gateway_requests` cannot be used.
pub(super) const REQUEST_COLUMNS: [&str; 10] = [
    "request_id",
    "request_kind",
    "payload_json",
    "state",
    "accepted_at_utc",
    "started_at_utc",
    "finished_at_utc",
    "managed_agent_instance_epoch",
    "error_detail",
    "result_json",
];

/// Our tables, with their version in `agents_meta`. `user_version` stays 0: it is the contract's.
///
/// Every statement leaves what is there as it is, so that the same text brings a file of an earlier version up to date.
pub(super) const OURS: &str = "
CREATE TABLE IF NOT EXISTS agents_meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_gateway_runs (
    generation INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    started_at_utc TEXT NOT NULL,
    ended_at_utc TEXT
);
CREATE TABLE IF NOT EXISTS agents_epochs (
    epoch INTEGER PRIMARY KEY AUTOINCREMENT,
    pane_id TEXT NOT NULL,
    pane_pid INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    first_seen_at_utc TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS agents_requests (
    sequence INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    route TEXT NOT NULL,
    request_kind TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    accepted_at_utc TEXT NOT NULL,
    expires_at_utc TEXT,
    idempotency_key TEXT,
    body_digest BLOB,
    answer_status INTEGER,
    answer_body TEXT,
    payload_json TEXT,
    started_at_utc TEXT,
    finished_at_utc TEXT,
    error_detail TEXT,
    result_json TEXT
);
CREATE INDEX IF NOT EXISTS agents_requests_state ON agents_requests (state);
CREATE INDEX IF NOT EXISTS agents_requests_expiry ON agents_requests (expires_at_utc)
    WHERE state = 'accepted' AND expires_at_utc IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS agents_requests_key ON agents_requests (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS agents_on_draft (
    request_id TEXT PRIMARY KEY,
    policy TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_journal (
    id INTEGER PRIMARY KEY,
    request_id TEXT,
    kind TEXT NOT NULL,
    data_json TEXT NOT NULL,
    at_utc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS agents_journal_request ON agents_journal (request_id);
CREATE TABLE IF NOT EXISTS agents_turns (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    turn_id TEXT NOT NULL UNIQUE,
    request_id TEXT,
    started_at_utc TEXT NOT NULL,
    ended_at_utc TEXT,
    outcome TEXT,
    record_json TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS agents_turns_request ON agents_turns (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS agents_turns_open ON agents_turns (turn_id) WHERE ended_at_utc IS NULL;
CREATE TABLE IF NOT EXISTS agents_notifier_told (
    message_ref TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents_reminders (
    reminder_id TEXT PRIMARY KEY,
    definition_json TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    clock TEXT NOT NULL CHECK (clock IN ('wall', 'boot')),
    boot_id TEXT,
    due_us INTEGER NOT NULL,
    due_wall_us INTEGER NOT NULL,
    seen_due INTEGER NOT NULL,
    owed INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    started_at_us INTEGER,
    executing INTEGER NOT NULL,
    request_id TEXT
) WITHOUT ROWID;
";

/// Notes the version of [`OURS`], as `?1`.
pub(super) const SET_VERSION: &str =
    "INSERT INTO agents_meta (key, value) VALUES ('schema_version', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1";

/// Version of our tables that this program reads and writes.
pub(super) const OUR_VERSION: u32 = 5;
