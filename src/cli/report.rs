//! The only stderr: failures, notes, and the exit status that goes with them.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::error::ErrorKind;
use serde_json::json;

use super::{
    args::{Color, Global},
    stdout,
};
use crate::model::{ErrorCode, Failure};

/// Writes what is not data.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    json: bool,
    quiet: bool,
    verbose: bool,
    color: bool,
    /// The selector as it was typed (` --agent-name x`): commands in hints must work when they are pasted.
    selector: String,
}

impl Reporter {
    pub(super) fn new(global: &Global, selector: String) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose, color, selector }
    }

    /// Is stdout to carry one JSON document?
    pub(super) fn wants_json(&self) -> bool {
        self.json
    }

    /// Should the gateway log more?
    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Something worth knowing that is not the answer.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.say("note:", "36", &self.addressed(text));
        }
    }

    /// Something worth knowing for who asked to hear more.
    pub(super) fn detail(&self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// One `error:` and one `hint:` line, or one JSON document; and the exit status.
    pub(super) fn failure(&self, failure: &Failure) -> ExitCode {
        let hint = self.addressed(&failure.hint);
        if self.json {
            let error = json!({ "code": failure.code.name(), "message": failure.message, "hint": hint });
            if !stdout::write(format!("{}\n", json!({ "error": error })).as_bytes()) {
                self.note(&failure.message);
            }
        } else {
            self.say("error:", "1;31", &failure.message);
            self.say("hint:", "1;33", &hint);
        }
        ExitCode::from(failure.code.exit_status())
    }

    /// Puts the typed selector behind every command about this session that names none.
    fn addressed(&self, text: &str) -> String {
        const COMMANDS: [&str; 26] = [
            "agents gateway attach",
            "agents gateway status",
            "agents gateway detach",
            "agents gateway logs",
            "agents gateway prompt",
            "agents gateway interrupt",
            "agents gateway requests",
            "agents gateway reconcile",
            "agents gateway tui",
            "agents gateway explain",
            "agents gateway turns",
            "agents gateway approvals",
            "agents gateway approve",
            "agents gateway screen",
            "agents gateway record",
            "agents mail bind",
            "agents mail list",
            "agents mail send",
            "agents mail status",
            "agents mail watch",
            "agents attach-terminal",
            "agents prompt",
            "agents relaunch",
            "agents stop",
            "agents show",
            "agents state",
        ];
        if self.selector.is_empty() || text.contains("--agent-") || text.contains("--target-tmux-session") {
            return text.to_owned();
        }
        let is_about_it = |piece: &str| {
            let rest = COMMANDS.iter().find_map(|command| piece.strip_prefix(command));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        // Every second piece stands between backticks.
        let pieces = text.split('`').enumerate().map(|(at, piece)| match at % 2 {
            1 if is_about_it(piece) => format!("{piece}{}", self.selector),
            _ => piece.to_owned(),
        });
        pieces.collect::<Vec<_>>().join("`")
    }

    fn say(&self, what: &str, code: &str, text: &str) {
        let what = if self.color { format!("\u{1b}[{code}m{what}\u{1b}[0m") } else { what.to_owned() };
        // There is nobody left to hear of a stderr that takes nothing.
        drop(writeln!(io::stderr(), "{what} {}", printable(text)));
    }
}

/// What happens while somebody waits: on a terminal one line that is written over with each step, elsewhere notes
/// for who asked to hear more. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    report: &'a Reporter,
    on_terminal: bool,
    shown: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(report: &'a Reporter) -> Self {
        let can_rewrite = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let on_terminal = !report.quiet && !report.json && can_rewrite && io::stderr().is_terminal();
        Self { report, on_terminal, shown: false }
    }

    pub(super) fn tell(&mut self, text: &str) {
        if !self.on_terminal {
            return self.report.detail(text);
        }
        self.shown = true;
        // The terminal cuts a long line instead of wrapping it: only the last row could be written over.
        drop(write!(io::stderr(), "\r\u{1b}[?7l{}\u{1b}[K\u{1b}[?7h", printable(text)));
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.shown {
            drop(write!(io::stderr(), "\r\u{1b}[K"));
        }
    }
}

/// Names and paths may carry terminal escapes; an operator's terminal does not get them.
pub(super) fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// What clap refused, in the same form as every other failure. Help and version are answers.
pub(super) fn usage(error: &clap::Error, typed: &str, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        stdout::write(error.to_string().as_bytes());
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let message: Vec<&str> = first.trim_start_matches("error: ").lines().map(str::trim).collect();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let help =
        text.lines().find_map(|line| line.strip_prefix("Usage: ")).map(|usage| format!("usage: {}", usage.trim()));
    let missing =
        matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand);
    let message = if missing { format!("`{typed}` needs a command") } else { message.join(" ") };
    let hint = tip.map(str::to_owned).or(help).unwrap_or_else(|| format!("`{typed} --help` shows what it takes"));
    let hint = if missing { format!("`{typed} --help` lists the commands") } else { hint };
    plain(json).failure(&Failure::new(ErrorCode::Usage, message, hint))
}

/// The answer could not be written. On stderr also with `--json`, since stdout is what failed.
pub(super) fn unwritten(error: &io::Error) -> ExitCode {
    plain(false).failure(&Failure::new(
        ErrorCode::Internal,
        format!("could not write to stdout: {error}"),
        "make room where stdout goes, or send it elsewhere; what the command did stays done",
    ))
}

/// A reporter for what happens before or after the flags count.
fn plain(json: bool) -> Reporter {
    let color = io::stderr().is_terminal();
    Reporter { json, quiet: false, verbose: false, color, selector: String::new() }
}
