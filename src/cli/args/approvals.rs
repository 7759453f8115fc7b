//! The words around dialogs of the agent.

use clap::{ArgGroup, Args, Subcommand};

use super::Selectors;

/// `agents gateway approvals`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Approvals {
    #[command(flatten)]
    selectors: Selectors,
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// Show the dialog that is open, with its answers
    List(Selectors),
}

impl Approvals {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match &self.command {
            Some(ApprovalsCommand::List(selectors)) => selectors,
            None => &self.selectors,
        }
    }
}

/// `agents gateway approve`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("choice").required(true))]
pub(in crate::cli) struct Approve {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The dialog, as `agents gateway approvals` shows it; a dialog that changed is not answered
    pub(in crate::cli) id: String,
    /// Take the answer with this number
    #[arg(long, value_name = "NUMBER", group = "choice", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) option: Option<u32>,
    /// Take the answer that says yes to this and to nothing more
    #[arg(long, group = "choice")]
    pub(in crate::cli) accept: bool,
    /// Take the answer that says no
    #[arg(long, group = "choice")]
    pub(in crate::cli) reject: bool,
}
