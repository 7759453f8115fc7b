//! Words → command → words.
//!
//! Owns the grammar (`args`), what the environment says (`setting`) and stdin brings (`input`), one file per verb
//! (`verbs`), the waiting for a request (`follow`), everything that is printed (`render` through `stdout`, `report`
//! on stderr) and the exit status. Promises: stdout carries
//! data and nothing else; with `--json` it is one document; a failure is one `error:` and one `hint:` line; an
//! answer that could not be written is a failure.
//! Caller: `main`.

mod args;
mod follow;
mod input;
mod render;
mod report;
mod setting;
mod stdout;
mod verbs;

use std::{ffi::OsString, process::ExitCode};

pub use args::Cli;

/// Runs the command line and returns its exit status.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let code = run(&words);
    stdout::failure().map_or(code, report::unwritten)
}

fn run(words: &[OsString]) -> ExitCode {
    let wants_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let cli = match args::parse(words) {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error, &typed_command(words), wants_json),
    };
    let report = report::Reporter::new(&cli.global, args::selector_words(&cli.command));
    match verbs::run(cli, &report) {
        Ok(code) => code,
        Err(failure) => report.failure(&failure),
    }
}

/// The command that was typed, as far as it goes: `agents gateway attach`.
fn typed_command(words: &[OsString]) -> String {
    use clap::CommandFactory;
    let mut command = Cli::command();
    let mut typed = vec!["agents".to_owned()];
    for word in words.iter().skip(1).filter_map(|word| word.to_str()).filter(|word| !word.starts_with('-')) {
        let Some(sub) = command.find_subcommand(word).cloned() else { break };
        typed.push(sub.get_name().to_owned());
        command = sub;
    }
    typed.join(" ")
}
