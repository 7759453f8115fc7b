//! The words around what the agent's terminal shows.

use clap::{Args, Subcommand, ValueEnum};

use super::Selectors;

/// `agents gateway screen`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ScreenWords {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// How to print it; html has the colours
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(in crate::cli) format: ScreenFormat,
}

/// How a screen is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ScreenFormat {
    Text,
    Html,
    Json,
}

impl ScreenFormat {
    /// The word in the route's query.
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::Json => "json",
        }
    }
}

/// `agents gateway record`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Record {
    /// Begin to record what the agent's terminal shows
    Start(Selectors),
    /// End the recording
    Stop(Selectors),
    /// Show the recordings
    List(Selectors),
}

impl Record {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::Start(selectors) | Self::Stop(selectors) | Self::List(selectors) => selectors,
        }
    }
}
