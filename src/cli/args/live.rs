//! The words around what the agent does.

use clap::{Args, Subcommand, ValueHint};

use super::{Selectors, duration::seconds};

/// `agents gateway tui`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Tui {
    /// Show what the agent does now
    State(Selectors),
    /// Show what it did, oldest first
    History {
        #[command(flatten)]
        selectors: Selectors,
        /// How many of the newest entries; 0 shows all that are kept
        #[arg(short = 'n', long, default_value_t = 100, value_name = "COUNT")]
        limit: i64,
    },
    /// Print a line whenever it changes, until Ctrl-C
    Watch {
        #[command(flatten)]
        selectors: Selectors,
        /// How often to look
        #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = seconds)]
        interval_seconds: f64,
    },
    /// Say that somebody submits this prompt; nothing is sent
    NotePrompt {
        #[command(flatten)]
        selectors: Selectors,
        /// The text; it may begin with a dash [default: stdin, to its end]
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        prompt: Option<String>,
    },
}

impl Tui {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::State(selectors)
            | Self::History { selectors, .. }
            | Self::Watch { selectors, .. }
            | Self::NotePrompt { selectors, .. } => selectors,
        }
    }
}

/// `agents gateway turns`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Turns {
    /// List turns, newest first
    List {
        #[command(flatten)]
        selectors: Selectors,
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show one turn: prompt, reply, and how both are known
    Show {
        #[command(flatten)]
        selectors: Selectors,
        /// The turn's id; `last` is the newest
        id: String,
        /// Print nothing but what the agent answered
        #[arg(long)]
        reply: bool,
    },
}

impl Turns {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::List { selectors, .. } | Self::Show { selectors, .. } => selectors,
        }
    }
}

/// `agents attach-terminal`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttachTerminal {
    /// The agent's name
    #[arg(conflicts_with_all = ["agent_name", "agent_id", "current_session", "target_tmux_session"], value_hint = ValueHint::Other)]
    pub(in crate::cli) name: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
}
