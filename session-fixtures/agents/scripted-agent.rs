//! A terminal program that plays an agent by script, for the tests.
//!
//! `scripted-agent STEP…`, each step one of:
//! `print=TEXT` (with a line break), `title=TEXT` (OSC 2), `ignore-hup`, `flood` (prints for ever),
//! `raw` (raw mode, then echoes each byte as hex), `lines` (reads lines and answers `reply: LINE`),
//! `exit=CODE`, `sleep` (for ever). Without a final step it reads lines.

use std::{
    io::{BufRead, Read, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    for step in std::env::args().skip(1) {
        let (verb, value) = step.split_once('=').unwrap_or((&step, ""));
        let done = match verb {
            "print" => writeln!(out, "{value}"),
            "title" => write!(out, "\u{1b}]2;{value}\u{7}").and_then(|()| out.flush()),
            "ignore-hup" => ignore_hangup(),
            "flood" => loop {
                if writeln!(out, "{}", "x".repeat(79)).is_err() {
                    return ExitCode::FAILURE;
                }
            },
            "raw" => raw(),
            "lines" => lines(),
            "exit" => return ExitCode::from(value.parse::<u8>().unwrap_or(1)),
            "sleep" => loop {
                std::thread::park();
            },
            other => {
                writeln!(std::io::stderr(), "scripted-agent: unknown step `{other}`").ok();
                return ExitCode::from(2);
            }
        };
        if done.is_err() {
            return ExitCode::FAILURE;
        }
    }
    match lines() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A program that ignores hang-ups lives on when its terminal goes: the worst guest of a pane.
fn ignore_hangup() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A registered handler takes the default effect away for good, also after the runtime is gone.
    runtime.block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) }).map(drop)
}

fn raw() -> std::io::Result<()> {
    let stdin = std::io::stdin();
    let mut modes = rustix::termios::tcgetattr(&stdin)?;
    modes.make_raw();
    rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &modes)?;
    let mut out = std::io::stdout();
    for byte in stdin.lock().bytes() {
        write!(out, "{:02x} ", byte?)?;
        out.flush()?;
    }
    Ok(())
}

fn lines() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    write!(out, "ready> ")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        write!(out, "reply: {}\nready> ", line?)?;
        out.flush()?;
    }
    Ok(())
}
