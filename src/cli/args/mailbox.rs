//! The words around mailbox roots.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::model::Address;

/// Which mailbox root.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct MailboxRoot {
    /// Folder of the mailboxes [default: `mailbox` in the home]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) mailbox_root: Option<PathBuf>,
}

/// `agents mailbox`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MailboxCommand {
    /// Make a mailbox root, or what is missing of one
    Init(MailboxRoot),
    /// Show what a mailbox root holds and what is wrong with it
    Status(MailboxRoot),
    /// Give an address to an owner, so that it gets mail
    Register(Register),
    /// Give an address up; its mail stays unless --mode purge
    Unregister(Unregister),
    /// Finish or take back what dead programs left, and rebuild the index from the files
    Repair(RepairWords),
    /// Show who gets mail here
    Accounts {
        #[command(flatten)]
        root: MailboxRoot,
        /// This address alone
        #[arg(long, value_name = "ADDRESS")]
        address: Option<Address>,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Register {
    #[command(flatten)]
    pub(in crate::cli) root: MailboxRoot,
    /// The address
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: Address,
    /// Who owns it, for example AGENTS-alpha
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) principal_id: String,
    /// What becomes of a mailbox that somebody else has there
    #[arg(long, value_enum, default_value_t = Mode::Safe)]
    pub(in crate::cli) mode: Mode,
    /// What people call the owner
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) display_name: Option<String>,
    /// Keep the mailbox in this folder, with a link in the root
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) mailbox_folder: Option<PathBuf>,
    /// Do it, even where --mode force removes somebody's mailbox
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Mode {
    /// Registering is refused
    Safe,
    /// It is removed; the messages stay
    Force,
    /// It is parked under another name
    Stash,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unregister {
    #[command(flatten)]
    pub(in crate::cli) root: MailboxRoot,
    /// The address
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: Address,
    /// What becomes of the mailbox
    #[arg(long, value_enum, default_value_t = GivenUp::Deactivate)]
    pub(in crate::cli) mode: GivenUp,
    /// Do it, even where --mode purge removes the mailbox
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum GivenUp {
    /// It stays, and gets no more mail
    Deactivate,
    /// It is removed; the messages stay
    Purge,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RepairWords {
    #[command(flatten)]
    pub(in crate::cli) root: MailboxRoot,
    /// Leave what other programs left in `staging`
    #[arg(long, group = "staging")]
    pub(in crate::cli) no_cleanup_staging: bool,
    /// Put it into a folder of its own (the default)
    #[arg(long, group = "staging")]
    pub(in crate::cli) quarantine_staging: bool,
    /// Remove it
    #[arg(long, group = "staging")]
    pub(in crate::cli) remove_staging: bool,
}
