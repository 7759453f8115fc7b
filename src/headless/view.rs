//! The turns for a person who looks at window 0.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use super::{
    artefacts::{Turn, last},
    settle::Lines,
};
use crate::{
    api::{CanonicalEvent, TurnEnd},
    model::Outcome,
    session::SessionRoot,
};

/// An event as lines; none for what nobody wants to see.
pub fn lines(event: &CanonicalEvent, all: bool) -> Vec<String> {
    let mark = match event.kind.as_str() {
        "assistant" => "",
        "action_request" => "→ ",
        "action_result" => "← ",
        "diagnostic" => "! ",
        "reasoning" if all => "~ ",
        "session" | "progress" | "completion" | "passthrough" if all => "· ",
        _ => return Vec::new(),
    };
    let most = if all || event.kind == "assistant" { usize::MAX } else { 3 };
    let mut lines: Vec<String> = event.message.lines().take(most).map(|line| format!("{mark}{line}")).collect();
    if event.message.lines().count() > most {
        lines.push(format!("{mark}…"));
    }
    lines
}

/// Follows the turns of a session as they come.
#[derive(Debug)]
pub struct Follower {
    root: SessionRoot,
    current: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    turn: Turn,
    from: Option<File>,
    lines: Lines,
    ended: bool,
}

impl Follower {
    /// Begins behind what is there: with the last turn.
    pub fn new(root: SessionRoot) -> Self {
        Self { root, current: None }
    }

    /// The folder of the turn that is shown: something changes there.
    pub fn turn(&self) -> Option<&Turn> {
        self.current.as_ref().filter(|shown| !shown.ended).map(|shown| &shown.turn)
    }

    /// What is new since the last call, as lines.
    pub fn news(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        let newest = last(&self.root).map(|(turn, _)| turn).filter(|turn| turn.plan_file().exists());
        let other = newest.filter(|turn| self.current.as_ref().is_none_or(|shown| shown.turn != *turn));
        if let Some(turn) = other {
            self.read(&mut news);
            news.push(String::new());
            let prompt = std::fs::read_to_string(turn.prompt_file()).unwrap_or_default();
            let note = turn.plan().and_then(|plan| plan.note);
            news.extend(prompt.lines().map(|line| format!("❯ {line}")));
            news.extend(note.map(|note| format!("! {note}")));
            self.current = Some(Shown { turn, from: None, lines: Lines::default(), ended: false });
        }
        self.read(&mut news);
        news
    }

    fn read(&mut self, news: &mut Vec<String>) {
        let Some(shown) = self.current.as_mut().filter(|shown| !shown.ended) else { return };
        // Asked first: what is written before the end is read below.
        let end = shown.turn.end();
        if shown.from.is_none() {
            shown.from = File::open(shown.turn.events()).ok();
        }
        let mut piece = vec![0; 65_536];
        let mut tell = |line: &[u8]| {
            if let Ok(event) = serde_json::from_slice::<CanonicalEvent>(line) {
                news.extend(lines(&event, false));
            }
        };
        if let Some(file) = &mut shown.from {
            // Written anew after a crash: from its beginning it would be told twice.
            if file.metadata().is_ok_and(|meta| file.stream_position().is_ok_and(|at| at > meta.len())) {
                drop(file.seek(SeekFrom::End(0)));
            }
            while let Ok(count) = file.read(&mut piece) {
                if count == 0 {
                    break;
                }
                shown.lines.take(&piece[..count], &mut tell);
            }
        }
        if let Some(end) = end {
            shown.ended = true;
            news.push(verdict(&end));
        }
    }
}

fn verdict(end: &TurnEnd) -> String {
    match (end.outcome, &end.error) {
        (Outcome::Success, _) => "✓ done".to_owned(),
        (Outcome::Interrupted, _) => "✗ interrupted".to_owned(),
        (_, Some(error)) => format!("✗ failed: {error}"),
        (_, None) => "✗ failed".to_owned(),
    }
}
