//! The words around the mail notifier.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::Selectors;
use crate::api::{BlockAuthMode, BlockRender, BlockVerifier, ContextAction, ContextErrorPolicy, NotifierMode};

/// `agents gateway mail-notifier`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MailNotifier {
    /// Show its settings, and how the last look went
    Status(Selectors),
    /// Switch it on; settings that are not given stay as they are
    Enable(Box<Enable>),
    /// Switch it off; the settings stay
    Disable(Selectors),
}

impl MailNotifier {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::Status(selectors) | Self::Disable(selectors) => selectors,
            Self::Enable(words) => &words.selectors,
        }
    }
}

const BLOCKS: &str = "Notes that senders add to a wake-up";

/// `agents gateway mail-notifier enable`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Enable {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Tell the agent again of mail that it was told of after so many seconds; new mail is told at once
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) interval_seconds: u64,
    /// Which messages wake the agent
    #[arg(long, value_enum, value_name = "MODE")]
    pub(in crate::cli) mode: Option<ModeWord>,
    /// Your own words at the end of every wake-up; empty takes them away
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) appendix_text: Option<String>,
    /// What to do when the agent's conversation is known to be broken
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(in crate::cli) context_error_policy: Option<PolicyWord>,
    /// What to do before a wake-up for new mail; compact: codex only
    #[arg(long, value_enum, value_name = "ACTION")]
    pub(in crate::cli) pre_notification_context_action: Option<ActionWord>,
    /// Show such notes at all
    #[arg(long, help_heading = BLOCKS, value_enum, value_name = "RENDER")]
    pub(in crate::cli) notify_block_render: Option<RenderWord>,
    /// permissive-log shows all of them, required only those of verified senders
    #[arg(long, help_heading = BLOCKS, value_enum, value_name = "MODE")]
    pub(in crate::cli) notify_block_auth_mode: Option<AuthWord>,
    /// What verifies a sender
    #[arg(long, help_heading = BLOCKS, value_enum, value_name = "VERIFIER")]
    pub(in crate::cli) notify_block_auth_verifier: Option<VerifierWord>,
    /// File with the shared tokens, one in a line [`-`: stdin]; an empty one takes them away
    #[arg(long, help_heading = BLOCKS, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) notify_block_shared_tokens_file: Option<PathBuf>,
    /// Characters that one note may have; more is cut
    #[arg(long, help_heading = BLOCKS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) notify_block_per_message_chars: Option<u32>,
    /// Characters that all notes of a wake-up may have
    #[arg(long, help_heading = BLOCKS, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) notify_block_total_chars: Option<u32>,
}

macro_rules! words {
    ($($name:ident of $api:ident { $($variant:ident = $word:literal,)* })*) => {
        $(
            #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
            pub(in crate::cli) enum $name {
                $(#[value(name = $word)] $variant,)*
            }

            impl $name {
                /// The word in a body.
                pub(in crate::cli) fn name(self) -> &'static str {
                    match self {
                        $(Self::$variant => $api::$variant.name(),)*
                    }
                }
            }
        )*
    };
}

words! {
    ModeWord of NotifierMode { AnyInbox = "any_inbox", UnreadOnly = "unread_only", }
    PolicyWord of ContextErrorPolicy { ContinueCurrent = "continue_current", ClearContext = "clear_context", }
    ActionWord of ContextAction { None = "none", Compact = "compact", }
    RenderWord of BlockRender { Enabled = "enabled", Disabled = "disabled", }
    AuthWord of BlockAuthMode { PermissiveLog = "permissive-log", Required = "required", }
    VerifierWord of BlockVerifier { None = "none", SharedToken = "shared-token", }
}
