//! The words around fixtures.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

/// `agents contract`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Contract {
    /// Read every recorded screen and stream again, and compare with what was written down
    Check {
        /// Where the fixtures lie
        #[arg(default_value = "session-fixtures", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}
