//! The words around the AG-UI protocol.

use clap::{Args, Subcommand, ValueHint};

use super::Selectors;

/// `agents gateway ag-ui`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AgUi {
    /// Send events to whoever is connected; nothing is kept for those who come later
    Publish(Publish),
}

/// `agents gateway ag-ui publish`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Publish {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// JSON: one event, a list of them, or an object with `events`; `-` is stdin
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) input: String,
    /// For everybody on this thread
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) thread_id: Option<String>,
    /// For everybody who named this run
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) run_id: Option<String>,
    /// For one connection
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) connection_id: Option<String>,
}

impl AgUi {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        let Self::Publish(words) = self;
        &words.selectors
    }
}
