//! What it costs to read a screen by a tool's profile, without anything around it.
//!
//! `cargo bench --bench reading` reads every captured screen, filled up to 120 by 40 with rows of a long conversation,
//! prints a table and writes `target/bench/reading.json`. Nothing here asserts a time.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that measures and prints"
)]

mod support;

use std::{fs, hint::black_box, path::Path};

use agents::{agents::Profile, model::Screen};
use serde_json::json;
use support::{Table, timed};

const TOOLS: [(&str, &str); 3] = [("claude", "2.1.330"), ("codex", "0.169.0"), ("gemini", "0.61.0")];

fn main() {
    if support::is_test() {
        return;
    }
    let mut table = Table::default();
    Table::head();
    for (tool, version) in TOOLS {
        let mut profile = None;
        let found = timed(|| profile = Profile::find(tool, Some(version)));
        let profile = profile.unwrap();
        let prepared = timed(|| profile.prepare());
        table.value(&format!("{tool}: its profile found"), found.as_secs_f64() * 1e3, "ms", "");
        table.value(&format!("{tool}: its patterns compiled"), prepared.as_secs_f64() * 1e3, "ms", "");
        let screens = screens(tool, version);
        let mut samples = Vec::new();
        for _ in 0..20 {
            for screen in &screens {
                samples.push(timed(|| {
                    black_box(profile.read(black_box(screen)));
                }));
            }
        }
        let mean = samples.iter().sum::<std::time::Duration>().as_secs_f64() * 1e3 / samples.len() as f64;
        table.times(&format!("{tool}: a screen of 120 by 40 read"), "0.2 ms", samples);
        table.value(&format!("{tool}:   mean"), mean, "ms", "0.2 ms");
    }
    table.finish("reading", &json!({ "tools": TOOLS }));
}

/// The captured screens of a tool, with older rows on top of them.
fn screens(tool: &str, version: &str) -> Vec<Screen> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("session-fixtures/screens").join(tool).join(version);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let captures = files.filter(|path| path.extension().is_some_and(|end| end == "ansi"));
    let older: Vec<String> = (0..40)
        .map(|row| match row % 4 {
            0 => format!("● \u{1b}[1mBash\u{1b}[0m(cargo test --lib part{row} -- --nocapture)"),
            3 => String::new(),
            _ => format!(
                "  row {row} of what a command printed, with \u{1b}[32msome colour\u{1b}[0m and some more words in it"
            ),
        })
        .collect();
    captures
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let own = text.lines().rev().skip_while(|row| row.trim().is_empty()).collect::<Vec<_>>();
            let own: Vec<&str> = own.into_iter().rev().collect();
            let rows = older.iter().map(String::as_str).take(40_usize.saturating_sub(own.len())).chain(own);
            let rows = Screen::styled_rows(rows);
            Screen { width: 120, height: rows.len(), cursor_y: rows.len() - 3, rows, ..Screen::default() }
        })
        .collect()
}
