//! The words around an agent's mail.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum, ValueHint};

use super::{
    Selectors,
    duration::{duration, seconds},
    prompts::idempotency_key,
};
use crate::mail::filesystem::RegisterMode;

/// `agents mail`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Mail {
    /// Prove that the mailbox can be used, and say whose it is
    Status(Selectors),
    /// List messages, newest first
    List(MailList),
    /// Show a message and leave it unread
    Peek(OneMessage),
    /// Show a message and mark it read
    Read(OneMessage),
    /// Write an attachment of a message into a file
    Save(MailSave),
    /// Write a message to other mailboxes
    Send(MailSend),
    /// Leave a note of the operator in this mailbox
    Post(MailPost),
    /// Answer a message
    Reply(MailReply),
    /// Set or clear flags of messages
    Mark(MailMark),
    /// Move messages to another folder, which is made if it is not there
    Move {
        #[command(flatten)]
        selectors: Selectors,
        #[command(flatten)]
        messages: Messages,
        /// The folder
        #[arg(long, value_name = "BOX")]
        destination_box: String,
    },
    /// Move messages to the archive
    Archive {
        #[command(flatten)]
        selectors: Selectors,
        #[command(flatten)]
        messages: Messages,
    },
    /// Print each message when it arrives, until Ctrl-C
    Watch(MailWatch),
    /// Print all that a program needs to reach this mailbox
    ResolveLive(Selectors),
    /// Give a session a mailbox of its own
    Bind(MailBind),
    /// Take the mailbox from a session; its mail is kept
    Unbind(Selectors),
}

impl Mail {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::Status(selectors)
            | Self::ResolveLive(selectors)
            | Self::Unbind(selectors)
            | Self::Move { selectors, .. }
            | Self::Archive { selectors, .. } => selectors,
            Self::List(words) => &words.selectors,
            Self::Peek(words) | Self::Read(words) => &words.selectors,
            Self::Save(words) => &words.selectors,
            Self::Send(words) => &words.selectors,
            Self::Post(words) => &words.selectors,
            Self::Reply(words) => &words.selectors,
            Self::Mark(words) => &words.selectors,
            Self::Watch(words) => &words.selectors,
            Self::Bind(words) => &words.selectors,
        }
    }
}

/// Read, unread, or either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ReadState {
    Any,
    Read,
    Unread,
}

/// Answered, unanswered, or either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AnsweredState {
    Any,
    Answered,
    Unanswered,
}

/// `agents mail list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailList {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// inbox, sent, archive, drafts or a folder of your own
    #[arg(long = "box", default_value = "inbox", value_name = "BOX")]
    pub(in crate::cli) folder: String,
    /// Only these
    #[arg(long, value_enum, default_value = "any", value_name = "STATE")]
    pub(in crate::cli) read_state: ReadState,
    /// Only these
    #[arg(long, value_enum, default_value = "any", value_name = "STATE")]
    pub(in crate::cli) answered_state: AnsweredState,
    /// Only what was put away
    #[arg(long, conflicts_with = "not_archived")]
    pub(in crate::cli) archived: bool,
    /// Only what was not put away
    #[arg(long)]
    pub(in crate::cli) not_archived: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) limit: Option<u32>,
    /// Not older than this ISO time
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) since: Option<String>,
    /// With the text of each message
    #[arg(long)]
    pub(in crate::cli) include_body: bool,
}

/// `agents mail peek` and `read`.
#[derive(Debug, Args)]
pub(in crate::cli) struct OneMessage {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The message, as the list names it
    #[arg(long, value_name = "REF")]
    pub(in crate::cli) message_ref: String,
    /// Only if it is in this folder
    #[arg(long = "box", value_name = "BOX")]
    pub(in crate::cli) folder: Option<String>,
}

/// `agents mail save`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailSave {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The message, as the list names it
    #[arg(long, value_name = "REF")]
    pub(in crate::cli) message_ref: String,
    /// Its number in the message, its name or its id; where there is only one, that one
    #[arg(long, value_name = "WHICH")]
    pub(in crate::cli) attachment: Option<String>,
    /// A file, or a folder that is there
    #[arg(long, value_name = "PATH", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(in crate::cli) to: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// Several messages.
#[derive(Debug, Args)]
pub(in crate::cli) struct Messages {
    /// The message, as the list names it; may be given several times
    #[arg(long = "message-ref", required = true, value_name = "REF")]
    pub(in crate::cli) refs: Vec<String>,
}

/// The text and what goes with it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Content {
    /// The text, as Markdown; it may begin with a dash [default: stdin, to its end]
    #[arg(long = "body-content", value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "file")]
    pub(in crate::cli) text: Option<String>,
    /// A file with the text; `-` is stdin
    #[arg(long = "body-file", value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) file: Option<PathBuf>,
    /// A file to go with it; may be given several times
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) attach: Vec<PathBuf>,
    /// A short text for the receiver's notifier to show
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) notify_block: Option<String>,
    /// Where it stands: before or behind the notifier's own words
    #[arg(long, value_enum, default_value = "append", value_name = "WHERE", requires = "notify_block")]
    pub(in crate::cli) notify_block_placement: Placement,
    /// Your name for this message: with the same one it is sent once [default: a random one]
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    pub(in crate::cli) idempotency_key: Option<String>,
}

/// Before or behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Placement {
    Append,
    Prepend,
}

/// `agents mail send`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailSend {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Whom it is for; may be given several times
    #[arg(long, required = true, value_name = "ADDRESS")]
    pub(in crate::cli) to: Vec<String>,
    /// Who gets a copy; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) cc: Vec<String>,
    /// What it is about
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) subject: String,
    #[command(flatten)]
    pub(in crate::cli) content: Content,
}

/// May a note be answered?
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(in crate::cli) enum PostPolicy {
    OperatorMailbox,
    None,
}

/// `agents mail post`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailPost {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// What it is about
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) subject: String,
    /// Where an answer goes, if one is allowed
    #[arg(long, value_enum, default_value = "operator_mailbox", value_name = "POLICY")]
    pub(in crate::cli) reply_policy: PostPolicy,
    #[command(flatten)]
    pub(in crate::cli) content: Content,
}

/// `agents mail reply`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailReply {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The message, as the list names it
    #[arg(long, value_name = "REF")]
    pub(in crate::cli) message_ref: String,
    #[command(flatten)]
    pub(in crate::cli) content: Content,
}

/// `agents mail mark`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("flags").required(true).multiple(true))]
#[expect(clippy::struct_excessive_bools, reason = "six flags of the contract, in pairs that exclude each other")]
pub(in crate::cli) struct MailMark {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    #[command(flatten)]
    pub(in crate::cli) messages: Messages,
    /// They are read
    #[arg(long, group = "flags", conflicts_with = "unread")]
    pub(in crate::cli) read: bool,
    /// They are not read
    #[arg(long, group = "flags")]
    pub(in crate::cli) unread: bool,
    /// They are answered
    #[arg(long, group = "flags", conflicts_with = "unanswered")]
    pub(in crate::cli) answered: bool,
    /// They are not answered
    #[arg(long, group = "flags")]
    pub(in crate::cli) unanswered: bool,
    /// They are put away
    #[arg(long, group = "flags", conflicts_with = "unarchived")]
    pub(in crate::cli) archived: bool,
    /// They are not put away
    #[arg(long, group = "flags")]
    pub(in crate::cli) unarchived: bool,
}

/// `agents mail watch`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailWatch {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The folder
    #[arg(long = "box", default_value = "inbox", value_name = "BOX")]
    pub(in crate::cli) folder: String,
    /// First what is unread already
    #[arg(long, conflicts_with = "all")]
    pub(in crate::cli) unread: bool,
    /// First all that is there already
    #[arg(long)]
    pub(in crate::cli) all: bool,
    /// With the text of each message
    #[arg(long)]
    pub(in crate::cli) include_body: bool,
    /// End after so many messages
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) count: Option<u32>,
    /// End after this long, with exit status 10: 30s, 500ms, 5m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) timeout: Option<Duration>,
    /// How often to look where nothing tells of arrivals
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = seconds)]
    pub(in crate::cli) interval_seconds: f64,
}

/// `agents mail bind`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MailBind {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    #[command(flatten)]
    pub(in crate::cli) root: MailRoot,
    /// Its address [default: the agent's name at agents.localhost]
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: Option<String>,
    /// What becomes of another owner's mailbox: nothing, parked, or removed
    #[arg(long, value_enum, default_value = "safe", value_name = "MODE")]
    pub(in crate::cli) mode: BindMode,
    /// A JMAP server instead of a folder: https, or http to this machine
    #[arg(long, value_name = "URL", requires_all = ["login", "password_file"], conflicts_with = "mode")]
    pub(in crate::cli) jmap_url: Option<String>,
    /// As whom to log in there; the address, if --address is not given
    #[arg(long, value_name = "LOGIN", requires = "jmap_url")]
    pub(in crate::cli) login: Option<String>,
    /// A file with the password; `-` is stdin
    #[arg(long, value_name = "PATH", requires = "jmap_url", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) password_file: Option<PathBuf>,
    /// The certificate in PEM of who alone vouches for it [default: whom the system trusts]
    #[arg(long, value_name = "PATH", requires = "jmap_url", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) jmap_ca: Option<PathBuf>,
}

/// What becomes of another owner's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum BindMode {
    Safe,
    Stash,
    Force,
}

impl From<BindMode> for RegisterMode {
    fn from(mode: BindMode) -> Self {
        match mode {
            BindMode::Safe => Self::Safe,
            BindMode::Stash => Self::Stash,
            BindMode::Force => Self::Force,
        }
    }
}

/// Where the mailboxes are.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct MailRoot {
    /// Folder of the mailboxes, which agents that write to each other share [default: `mailbox` in the home]
    #[arg(long = "mail-root", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) dir: Option<PathBuf>,
}
