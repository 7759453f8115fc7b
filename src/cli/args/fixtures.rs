//! The words around recordings and fixtures.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// `agents replay`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    /// The recording (asciicast v2)
    #[arg(value_hint = ValueHint::FilePath)]
    pub(in crate::cli) file: PathBuf,
    /// Which agent program it shows [default: what the recording's title says]
    #[arg(long)]
    pub(in crate::cli) tool: Option<String>,
    /// Its version [default: what the recording's title says]
    #[arg(long, value_name = "VERSION")]
    pub(in crate::cli) tool_version: Option<String>,
    /// Print each line at its time, so many times faster than it happened
    #[arg(long, value_name = "FACTOR", conflicts_with = "instant", value_parser = factor)]
    pub(in crate::cli) speed: Option<f64>,
    /// Print all lines at once; this is also what happens without --speed
    #[arg(long)]
    pub(in crate::cli) instant: bool,
}

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

fn factor(text: &str) -> Result<f64, String> {
    let wrong = || "a factor is a number above 0: 1 is as it happened, 10 is ten times faster".to_owned();
    let factor: f64 = text.parse().map_err(|_not_a_number| wrong())?;
    if factor.is_finite() && factor > 0.0 { Ok(factor) } else { Err(wrong()) }
}
