//! One record file with its reader: what is new in it, and how things stood when we began.

use std::path::Path;

use super::tail::Tail;
use crate::{
    agents::{
        Sign,
        signs::{Chat, Rollout, Transcript},
    },
    model::Moment,
};

/// Most pieces that are read before others get their turn.
const MOST_PIECES: usize = 64;

/// A reader of a tool's lines.
pub(super) trait Lines {
    /// What a line says.
    fn read(&mut self, line: &str) -> Vec<Sign>;
}

impl Lines for Transcript {
    fn read(&mut self, line: &str) -> Vec<Sign> {
        Self::read(self, line)
    }
}

impl Lines for Rollout {
    fn read(&mut self, line: &str) -> Vec<Sign> {
        Self::read(self, line)
    }
}

impl Lines for Chat {
    fn read(&mut self, line: &str) -> Vec<Sign> {
        Self::read(self, line)
    }
}

/// A record that is followed.
#[derive(Debug)]
pub(super) struct File<R> {
    tail: Tail,
    pub(super) reader: R,
    /// Lines from before this moment are history.
    since: Moment,
    /// A turn from before this moment is none of this process.
    process_began: Moment,
    /// The whole of what was there at first has been read.
    caught_up: bool,
    /// The last turn of the history, if nothing ended it.
    open: Option<(Moment, Sign)>,
    /// The history ends with the end of a turn.
    ended: bool,
    /// By this record a turn runs.
    pub(super) runs: bool,
}

impl<R: Lines + Default> File<R> {
    /// Nothing is read yet.
    pub(super) fn new(path: &Path, since: Moment, process_began: Moment) -> Self {
        Self {
            tail: Tail::new(path),
            reader: R::default(),
            since,
            process_began,
            caught_up: false,
            open: None,
            ended: false,
            runs: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.tail.path()
    }

    /// What was added and means something. At first also the turn that runs already.
    pub(super) fn read(&mut self) -> Vec<Sign> {
        let mut fresh = Vec::new();
        for _ in 0..MOST_PIECES {
            let lines = self.tail.read();
            if lines.is_empty() {
                break;
            }
            for line in lines {
                self.line(&line, &mut fresh);
            }
        }
        if self.caught_up || self.tail.is_empty() {
            return fresh;
        }
        self.caught_up = true;
        let before = self.open.take().filter(|(at, _)| *at >= self.process_began).map(|(_, sign)| sign);
        let level = before.or_else(|| self.ended.then_some(Sign::Idle));
        level.into_iter().chain(fresh).collect()
    }

    fn line(&mut self, line: &str, fresh: &mut Vec<Sign>) {
        let signs = self.reader.read(line);
        if signs.is_empty() {
            return;
        }
        let at = if self.caught_up { None } else { stamp(line).filter(|at| *at < self.since) };
        for sign in signs {
            match &sign {
                Sign::PromptTaken { queued: false, .. } => self.runs = true,
                Sign::TurnEnded { .. } | Sign::Idle => self.runs = false,
                _ => {}
            }
            let Some(at) = at else {
                fresh.push(sign);
                continue;
            };
            match sign {
                // The later one of a turn has the text.
                Sign::PromptTaken { queued: false, .. } => (self.open, self.ended) = (Some((at, sign)), false),
                Sign::TurnEnded { .. } => (self.open, self.ended) = (None, true),
                _ => {}
            }
        }
    }
}

/// When a line was written, as it says itself.
pub(super) fn stamp(line: &str) -> Option<Moment> {
    let (_, rest) = line.split_once("\"timestamp\":\"")?;
    Moment::parse(rest.split('"').next()?)
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write};

    use super::*;

    fn texts(signs: &[Sign]) -> Vec<String> {
        let word = |sign: &Sign| match sign {
            Sign::PromptTaken { text, .. } => format!("prompt {}", text.clone().unwrap_or_default()),
            Sign::TurnEnded { reply, .. } => format!("ended {}", reply.clone().unwrap_or_default()),
            Sign::Idle => "idle".to_owned(),
            other => format!("{other:?}"),
        };
        signs.iter().map(word).collect()
    }

    fn line(kind: &str, at: &str, turn: &str, rest: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-11-21T{at}Z","type":"event_msg","payload":{{"type":"{kind}","turn_id":"{turn}"{rest}}}}}"#
        ) + "\n"
    }

    #[test]
    fn of_history_only_the_open_turn_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut add = |text: String| file.write_all(text.as_bytes()).unwrap();
        let moment = |text: &str| Moment::parse(&format!("2026-11-21T{text}Z")).unwrap();
        add(line("user_message", "10:00:00", "1", r#","message":"old""#));
        add(line("task_complete", "10:00:01", "1", r#","last_agent_message":"x""#));
        let follow = |since: &str, began: &str| File::<Rollout>::new(&path, moment(since), moment(began));
        assert_eq!(texts(&follow("10:10:00", "09:00:00").read()), ["idle"]);
        add(line("user_message", "10:01:00", "2", r#","message":"open""#));
        assert_eq!(texts(&follow("10:10:00", "09:00:00").read()), ["prompt open"]);
        assert!(follow("10:10:00", "10:05:00").read().is_empty(), "a turn of a process before this one");
        let mut followed = follow("10:01:00", "09:00:00");
        assert_eq!(texts(&followed.read()), ["idle", "prompt open"]);
        assert!(followed.runs);
        add(line("task_complete", "10:01:09", "2", r#","last_agent_message":"done""#));
        assert_eq!(texts(&followed.read()), ["ended done"]);
        assert!(!followed.runs && followed.read().is_empty());
    }
}
