//! A terminal program that plays an agent by script, for the tests.
//!
//! `scripted-agent WORD…`. Some words are settings, which hold from the start wherever they stand; the others are steps,
//! done in order. Without a final step it reads lines.
//!
//! Steps: `print=TEXT` (with a line break), `title=TEXT` (OSC 2), `bracketed` (asks for bracketed paste), `ignore-hup`,
//! `flood` (prints for ever; `flood=N` about N bytes a second), `raw` (raw mode, then echoes each byte as hex), `raw-log` (raw mode, writes every byte as
//! hex to the log and draws nothing), `lines` (reads lines and answers `reply: LINE`), `tui` (a composer in raw mode,
//! see `tui.rs`), `exit=CODE`, `sleep` (for ever).
//!
//! Settings: see `settings.rs`. `log=FILE` is the one that nearly every test wants: the truth of what the agent got.

#![allow(
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a program of the tests: it plays what others do, with clocks and sleeps of its own"
)]

mod composer;
mod keys;
mod log;
mod screen;
mod settings;
mod tui;

use std::{
    io::{BufRead, Read, Write},
    process::ExitCode,
};

use log::Log;
use settings::Settings;

fn main() -> ExitCode {
    let (settings, steps) = match settings::read(std::env::args().skip(1)) {
        Ok(read) => read,
        Err(problem) => return usage(&problem),
    };
    let mut log = match Log::open(settings.log.as_deref()) {
        Ok(log) => log,
        Err(problem) => return usage(&format!("the log cannot be opened: {problem}")),
    };
    play(&settings, &steps, &mut log).unwrap_or(ExitCode::FAILURE)
}

fn usage(problem: &str) -> ExitCode {
    writeln!(std::io::stderr(), "scripted-agent: {problem}").ok();
    ExitCode::from(2)
}

fn play(settings: &Settings, steps: &[String], log: &mut Log) -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout();
    let mut has_read = false;
    for step in steps {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        match verb {
            "print" => writeln!(out, "{value}")?,
            "title" => write!(out, "\u{1b}]2;{value}\u{7}").and_then(|()| out.flush())?,
            "bracketed" => write!(out, "\u{1b}[?2004h").and_then(|()| out.flush())?,
            "ignore-hup" => ignore_hangup()?,
            "flood" => flood(&mut out, value.parse().ok())?,
            "raw" => raw()?,
            "raw-log" => raw_log(log)?,
            "lines" => lines(settings, log)?,
            "tui" => {
                if let Some(code) = tui::run(settings, log)? {
                    return Ok(code);
                }
            }
            "exit" => return Ok(ExitCode::from(value.parse::<u8>().unwrap_or(1))),
            "sleep" => loop {
                std::thread::park();
            },
            other => return Ok(usage(&format!("unknown word `{other}`"))),
        }
        has_read |= ["raw", "raw-log", "lines", "tui"].contains(&verb);
    }
    if !has_read {
        lines(settings, log)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints for ever, as fast as it can or so many bytes a second.
fn flood(out: &mut impl Write, rate: Option<u32>) -> std::io::Result<()> {
    let (begun, line) = (std::time::Instant::now(), "x".repeat(79));
    let mut lines = 0_u32;
    loop {
        writeln!(out, "{line}")?;
        lines = lines.wrapping_add(1);
        let Some(rate) = rate else { continue };
        let due = std::time::Duration::from_secs_f64(f64::from(lines) * 80.0 / f64::from(rate));
        if let Some(early) = due.checked_sub(begun.elapsed()).filter(|early| early.as_millis() >= 5) {
            out.flush()?;
            std::thread::sleep(early);
        }
    }
}

/// A program that ignores hang-ups lives on when its terminal goes: the worst guest of a pane.
fn ignore_hangup() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A registered handler takes the default effect away for good, also after the runtime is gone.
    runtime.block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) }).map(drop)
}

/// Puts the terminal into raw mode; returns what it was before.
fn make_raw() -> std::io::Result<rustix::termios::Termios> {
    let stdin = std::io::stdin();
    let before = rustix::termios::tcgetattr(&stdin)?;
    let mut modes = before.clone();
    modes.make_raw();
    rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &modes)?;
    Ok(before)
}

fn raw() -> std::io::Result<()> {
    make_raw()?;
    let mut out = std::io::stdout();
    for byte in std::io::stdin().lock().bytes() {
        write!(out, "{:02x} ", byte?)?;
        out.flush()?;
    }
    Ok(())
}

fn raw_log(log: &mut Log) -> std::io::Result<()> {
    make_raw()?;
    log.note("ready", &serde_json::json!({}))?;
    let (mut stdin, mut buffer) = (std::io::stdin().lock(), vec![0; 1 << 16]);
    loop {
        match stdin.read(&mut buffer)? {
            0 => return Ok(()),
            count => log.hex(&buffer[..count])?,
        }
    }
}

fn lines(settings: &Settings, log: &mut Log) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    write!(out, "ready> ")?;
    out.flush()?;
    let (mut stdin, mut line) = (std::io::stdin().lock(), Vec::new());
    loop {
        line.clear();
        if stdin.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.pop_if(|last| *last == b'\n');
        log.prompt(&line, false)?;
        if !settings.work.is_zero() {
            std::thread::sleep(settings.work);
        }
        write!(out, "reply: {}\nready> ", String::from_utf8_lossy(&line))?;
        out.flush()?;
    }
}
