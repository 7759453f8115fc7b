//! The mail notifier as it crosses HTTP (contract section 4.9).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word with its meaning.
            pub const WORDS: &[(&str, Self)] = &[$(($word, Self::$variant),)*];

            /// The word on the wire and in the store.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::WORDS.iter().find(|(word, _)| *word == name).map(|(_, value)| *value)
            }
        }
    };
}

words! {
    /// Which messages wake the agent.
    NotifierMode {
        /// Everything in the inbox that is not archived.
        #[default]
        AnyInbox = "any_inbox",
        /// Only what nobody read.
        UnreadOnly = "unread_only",
    }
}

words! {
    /// What to do when the agent's conversation is known to be broken.
    ContextErrorPolicy {
        /// Nothing.
        #[default]
        ContinueCurrent = "continue_current",
        /// Begin a new one before the wake-up.
        ClearContext = "clear_context",
    }
}

words! {
    /// What to do before a wake-up for new mail.
    ContextAction {
        /// Nothing.
        #[default]
        None = "none",
        /// Compact the conversation: only Codex in a terminal.
        Compact = "compact",
    }
}

words! {
    /// Are notify blocks shown at all?
    BlockRender {
        /// Quoted, with the address of their sender.
        #[default]
        Enabled = "enabled",
        /// No.
        Disabled = "disabled",
    }
}

words! {
    /// Which notify blocks are shown.
    BlockAuthMode {
        /// All; what speaks for each is in the audit.
        #[default]
        PermissiveLog = "permissive-log",
        /// Only those whose sender is verified.
        Required = "required",
    }
}

words! {
    /// What verifies the sender of a notify block.
    BlockVerifier {
        /// Nothing: no sender is verified.
        #[default]
        None = "none",
        /// `notify_auth.token` is one of the shared tokens.
        SharedToken = "shared-token",
    }
}

/// Secrets that verify senders. Never printed, and on the wire only their masks.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct SharedTokens(Vec<String>);

impl From<Vec<String>> for SharedTokens {
    fn from(tokens: Vec<String>) -> Self {
        Self(tokens)
    }
}

/// The masks.
impl From<SharedTokens> for Vec<String> {
    fn from(tokens: SharedTokens) -> Self {
        tokens.masked()
    }
}

impl SharedTokens {
    /// What stands for a token wherever it is shown: its place, from 1.
    const MASK: &str = "kept:";

    /// These tokens.
    pub fn new(tokens: Vec<String>) -> Self {
        Self(tokens)
    }

    /// The secrets themselves.
    pub fn reveal(&self) -> &[String] {
        &self.0
    }

    /// What is shown instead: `kept:1`, `kept:2`…
    pub fn masked(&self) -> Vec<String> {
        (1..=self.0.len()).map(|place| format!("{}{place}", Self::MASK)).collect()
    }

    /// Tokens as somebody wrote them, who may have been shown masks: a mask stands for the token that it hides.
    ///
    /// # Errors
    /// The mask that hides none.
    pub fn unmask(&self, written: Vec<String>) -> Result<Self, String> {
        let one = |text: String| match text.strip_prefix(Self::MASK) {
            None => Ok(text),
            Some(place) => {
                let place = place.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
                place.and_then(|place| self.0.get(place)).cloned().ok_or(text)
            }
        };
        written.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Debug for SharedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.9")]
pub struct NotifierSettings {
    pub enabled: bool,
    /// `None`: it was never enabled.
    pub interval_seconds: Option<u64>,
    pub mode: NotifierMode,
    pub appendix_text: String,
    pub context_error_policy: ContextErrorPolicy,
    pub pre_notification_context_action: ContextAction,
    pub notify_block_render: BlockRender,
    pub notify_block_auth_mode: BlockAuthMode,
    pub notify_block_auth_verifier: BlockVerifier,
    pub notify_block_shared_tokens: SharedTokens,
    pub notify_block_per_message_chars: usize,
    pub notify_block_total_chars: usize,
}

impl Default for NotifierSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_seconds: None,
            mode: NotifierMode::default(),
            appendix_text: String::new(),
            context_error_policy: ContextErrorPolicy::default(),
            pre_notification_context_action: ContextAction::default(),
            notify_block_render: BlockRender::default(),
            notify_block_auth_mode: BlockAuthMode::default(),
            notify_block_auth_verifier: BlockVerifier::default(),
            notify_block_shared_tokens: SharedTokens::default(),
            notify_block_per_message_chars: 512,
            notify_block_total_chars: 2048,
        }
    }
}

/// `PUT /v1/mail-notifier`: what is not said stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "contract section 4.9")]
pub struct NotifierChange {
    /// Above zero.
    pub interval_seconds: u64,
    pub mode: Option<NotifierMode>,
    pub appendix_text: Option<String>,
    pub context_error_policy: Option<ContextErrorPolicy>,
    pub pre_notification_context_action: Option<ContextAction>,
    pub notify_block_render: Option<BlockRender>,
    pub notify_block_auth_mode: Option<BlockAuthMode>,
    pub notify_block_auth_verifier: Option<BlockVerifier>,
    pub notify_block_shared_tokens: Option<SharedTokens>,
    pub notify_block_per_message_chars: Option<usize>,
    pub notify_block_total_chars: Option<usize>,
}

impl NotifierChange {
    /// The settings after it.
    ///
    /// # Errors
    /// A masked token that stands for none.
    pub fn over(self, kept: NotifierSettings) -> Result<NotifierSettings, String> {
        let tokens = match self.notify_block_shared_tokens {
            Some(SharedTokens(written)) => kept.notify_block_shared_tokens.unmask(written)?,
            None => kept.notify_block_shared_tokens,
        };
        Ok(NotifierSettings {
            enabled: true,
            interval_seconds: Some(self.interval_seconds),
            mode: self.mode.unwrap_or(kept.mode),
            appendix_text: self.appendix_text.unwrap_or(kept.appendix_text),
            context_error_policy: self.context_error_policy.unwrap_or(kept.context_error_policy),
            pre_notification_context_action: self
                .pre_notification_context_action
                .unwrap_or(kept.pre_notification_context_action),
            notify_block_render: self.notify_block_render.unwrap_or(kept.notify_block_render),
            notify_block_auth_mode: self.notify_block_auth_mode.unwrap_or(kept.notify_block_auth_mode),
            notify_block_auth_verifier: self.notify_block_auth_verifier.unwrap_or(kept.notify_block_auth_verifier),
            notify_block_shared_tokens: tokens,
            notify_block_per_message_chars: self
                .notify_block_per_message_chars
                .unwrap_or(kept.notify_block_per_message_chars),
            notify_block_total_chars: self.notify_block_total_chars.unwrap_or(kept.notify_block_total_chars),
        })
    }
}

/// What every route of the notifier answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.9")]
pub struct NotifierStatus {
    pub schema_version: u32,
    #[serde(flatten)]
    pub settings: NotifierSettings,
    /// Has the session a mailbox that can be watched?
    pub supported: bool,
    pub support_error: Option<String>,
    pub last_poll_at_utc: Option<String>,
    pub last_notification_at_utc: Option<String>,
    pub last_error: Option<String>,
}

/// `GET /v1/mail-notifier/waiting`, a route of ours: why the agent has not been told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifierWait {
    /// 1.
    pub schema_version: u32,
    /// What comes next.
    pub waits_for: WaitsFor,
    /// A stable word: what speaks against telling the agent, what the last look found, or what the queue waits for.
    pub reason: Option<String>,
    /// One sentence for a person.
    pub detail: Option<String>,
    /// The wake-up in the queue.
    pub request_id: Option<String>,
    /// Since when it waits for this, whatever the reasons were meanwhile. Whole seconds, as the next one.
    pub since_utc: Option<String>,
    /// When it looks into the mailbox again at the latest.
    pub looks_again_at_utc: Option<String>,
}

words! {
    /// What the notifier waits for.
    WaitsFor {
        /// It is off.
        #[default]
        Nothing = "nothing",
        /// The mailbox is being read.
        Look = "look",
        /// Mail, or the time to tell again of what is there.
        Mail = "mail",
        /// The agent: it may not be told now.
        Agent = "agent",
        /// The queue, which has a wake-up.
        Request = "request",
        /// The gateway's own store.
        Store = "store",
    }
}

/// One notify block in the audit, shown or not (contract section 1.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "contract section 1.7")]
pub struct BlockEntry {
    pub message_ref: String,
    pub rendered: bool,
    pub auth_scheme: Option<String>,
    /// `skipped`, `passed` or `failed`.
    pub auth_outcome: &'static str,
    pub auth_detail: Option<String>,
    pub block_chars: usize,
    pub block_truncated: bool,
}

/// One message in the audit (contract section 1.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "contract section 1.7")]
pub struct MessageSummary {
    pub message_ref: String,
    pub thread_ref: Option<String>,
    pub created_at_utc: String,
    pub subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(words: &[&str]) -> SharedTokens {
        SharedTokens::new(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn tokens_are_never_shown_and_a_mask_keeps_the_token_behind_it() {
        let kept = tokens(&["first secret", "second secret"]);
        assert_eq!(kept.masked(), ["kept:1", "kept:2"]);
        assert!(!format!("{kept:?}").contains("secret"));
        let written = ["kept:2", "third"].map(str::to_owned).to_vec();
        assert_eq!(kept.unmask(written).unwrap(), tokens(&["second secret", "third"]));
        for wrong in ["kept:0", "kept:3", "kept:", "kept:x"] {
            assert_eq!(kept.unmask(vec![wrong.to_owned()]).unwrap_err(), wrong);
        }
    }

    #[test]
    fn the_status_keeps_the_contracts_keys_in_their_order() {
        let status = NotifierStatus {
            schema_version: 1,
            settings: NotifierSettings {
                interval_seconds: Some(60),
                notify_block_shared_tokens: tokens(&["first secret", "second"]),
                ..NotifierSettings::default()
            },
            supported: true,
            support_error: None,
            last_poll_at_utc: None,
            last_notification_at_utc: None,
            last_error: None,
        };
        let text = concat!(
            r#"{"schema_version":1,"enabled":false,"interval_seconds":60,"mode":"any_inbox","appendix_text":"","#,
            r#""context_error_policy":"continue_current","pre_notification_context_action":"none","#,
            r#""notify_block_render":"enabled","notify_block_auth_mode":"permissive-log","#,
            r#""notify_block_auth_verifier":"none","notify_block_shared_tokens":["kept:1","kept:2"],"#,
            r#""notify_block_per_message_chars":512,"notify_block_total_chars":2048,"supported":true,"#,
            r#""support_error":null,"last_poll_at_utc":null,"last_notification_at_utc":null,"last_error":null}"#
        );
        assert_eq!(serde_json::to_string(&status).unwrap(), text);
        let read: NotifierStatus = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "what was read is shown as it was told");
    }

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let kept = NotifierSettings {
            appendix_text: "be brief".to_owned(),
            notify_block_shared_tokens: tokens(&["secret"]),
            notify_block_total_chars: 99,
            mode: NotifierMode::UnreadOnly,
            ..NotifierSettings::default()
        };
        let change = NotifierChange { interval_seconds: 60, ..NotifierChange::default() };
        let enabled = NotifierSettings { enabled: true, interval_seconds: Some(60), ..kept.clone() };
        assert_eq!(change.clone().over(kept.clone()), Ok(enabled.clone()));
        let cleared = NotifierChange { appendix_text: Some(String::new()), ..change };
        assert_eq!(cleared.over(kept), Ok(NotifierSettings { appendix_text: String::new(), ..enabled }));
    }
}
