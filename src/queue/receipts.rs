//! What becomes of prompts that a tool took: their turns, as the tracker tells them, go on record with their requests.
//!
//! Nothing is looked at here. A prompt is followed from the moment in which it was submitted; what the tracker told of
//! it before that is kept until then.

use std::time::Duration;

use serde_json::json;
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Queue, worker::asked};
use crate::{
    delivery::Turn,
    model::{Note, Outcome, Receipt, RequestId, TurnRecord},
    tracker::{Phase, State, TurnEdge},
};

/// How long the tool's own record of a reply may come after the end of its turn: on a busy machine Codex tells that it
/// is done seconds before its rollout has the answer.
const LATE_REPLY: Duration = Duration::from_secs(5);

/// A turn that nobody told of within this time at a ready composer was none, or was too short to be seen.
const UNSEEN: Duration = Duration::from_secs(1);

/// Why a command has no reply.
const COMMAND: &str = "it is a command of the tool";

/// Edges of turns whose requests are not submitted yet.
const MOST_EARLY: usize = 64;

/// A prompt that was submitted.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) id: RequestId,
    pub(super) text: String,
    /// The tool's own command that it is.
    pub(super) command: Option<String>,
    /// Its beginning was put on record by an earlier gateway, or nobody was there to see it.
    pub(super) started: Option<bool>,
}

#[derive(Debug)]
struct Followed {
    awaited: Awaited,
    since: Instant,
    started: bool,
    /// Over, and its reply may still come until then.
    ended: Option<(Box<TurnRecord>, Instant)>,
}

/// The task that follows them.
#[derive(Debug)]
pub struct TurnReceipts {
    queue: Queue,
    inbox: mpsc::UnboundedReceiver<Awaited>,
    edges: broadcast::Receiver<TurnEdge>,
    open: Vec<Followed>,
    early: Vec<TurnEdge>,
}

impl TurnReceipts {
    pub(super) fn new(queue: Queue, inbox: mpsc::UnboundedReceiver<Awaited>) -> Self {
        let edges = queue.inner.place.tracker.edges();
        Self { queue, inbox, edges, open: Vec::new(), early: Vec::new() }
    }

    /// Works until it is asked to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut agent, mut state) = (self.queue.inner.agent.clone(), self.queue.inner.place.tracker.state());
        loop {
            let due = self.due();
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(awaited) = self.inbox.recv() => self.begin(awaited).await,
                edge = self.edges.recv() => match edge {
                    Ok(edge) => self.edge(edge).await,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "turns went by faster than they could be put on record");
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Ok(()) = state.changed(), if !self.open.is_empty() => {}
                Ok(()) = agent.changed() => {
                    if agent.borrow_and_update().process.is_none() {
                        self.lost().await;
                    }
                }
                () = wake => {}
                () = asked(&mut stop) => return,
            }
            let now = state.borrow_and_update().clone();
            self.settle(&now).await;
        }
    }

    /// When something follows from time alone.
    fn due(&self) -> Option<Instant> {
        let moments = self.open.iter().filter_map(|one| match &one.ended {
            Some((_, until)) => Some(*until),
            None => Some(one.since + UNSEEN).filter(|at| *at > Instant::now()),
        });
        moments.min()
    }

    async fn begin(&mut self, awaited: Awaited) {
        let id = awaited.id.clone();
        let started = awaited.started.unwrap_or_default();
        self.open.push(Followed { awaited, since: Instant::now(), started, ended: None });
        let (ours, others) = self.early.drain(..).partition(|edge| record(edge).request_id.as_ref() == Some(&id));
        self.early = others;
        for edge in ours {
            self.edge(edge).await;
        }
    }

    async fn edge(&mut self, edge: TurnEdge) {
        let told = record(&edge);
        let Some(at) = self.open.iter().position(|one| one.is_told_by(told)) else {
            if told.request_id.is_some() {
                if self.early.len() == MOST_EARLY {
                    self.early.remove(0);
                }
                self.early.push(edge);
            }
            return;
        };
        let one = &mut self.open[at];
        match edge {
            TurnEdge::Started(record) => {
                if !std::mem::replace(&mut one.started, true) {
                    let id = one.awaited.id.clone();
                    self.queue.remember(&id, vec![began(&record)]).await;
                }
            }
            TurnEdge::Ended(record) | TurnEdge::Amended(record) => {
                let until = match &one.ended {
                    Some((_, until)) => *until,
                    None => Instant::now() + LATE_REPLY,
                };
                one.ended = Some((Box::new(record), until));
            }
        }
    }

    /// Puts on record what is certain by now.
    async fn settle(&mut self, state: &State) {
        let now = Instant::now();
        let mut at = 0;
        while at < self.open.len() {
            let one = &self.open[at];
            let notes = match &one.ended {
                // A command has no reply to wait for.
                Some((record, until)) if *until <= now || has_all(record) || one.awaited.command.is_some() => {
                    Some(one.end(record))
                }
                None if one.was_unseen(state, now) => Some(one.unseen()),
                _ => None,
            };
            match notes {
                Some(notes) => {
                    let one = self.open.remove(at);
                    self.queue.remember(&one.awaited.id, notes).await;
                }
                None => at += 1,
            }
        }
    }

    /// The agent is away: their turns are over.
    async fn lost(&mut self) {
        for one in std::mem::take(&mut self.open) {
            let notes = one.ended.as_ref().map_or_else(|| vec![Turn::lost()], |(record, _)| one.end(record));
            self.queue.remember(&one.awaited.id, notes).await;
        }
    }
}

impl Followed {
    fn is_told_by(&self, record: &TurnRecord) -> bool {
        match &record.request_id {
            Some(id) => *id == self.awaited.id,
            // The tracker was not there when it was submitted, or the tool made another prompt of a command.
            None => {
                let same = record.prompt.as_deref().is_some_and(|prompt| prompt.trim() == self.awaited.text.trim());
                same && (self.awaited.started.is_some() || self.awaited.command.is_some())
            }
        }
    }

    /// Does the agent wait for the next prompt, and nobody told of this one's turn?
    fn was_unseen(&self, state: &State, now: Instant) -> bool {
        let of_others = state.turn.as_ref().is_none_or(|turn| turn.request_id.as_ref() != Some(&self.awaited.id));
        state.phase == Phase::Ready && !state.awaited && of_others && now.duration_since(self.since) >= UNSEEN
    }

    fn end(&self, record: &TurnRecord) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.started {
            notes.push(began(record));
        }
        let reply = record.reply.as_ref();
        let missing = reply.is_none().then(|| match record.outcome {
            _ if self.awaited.command.is_some() => COMMAND,
            Some(Outcome::Success) => "neither the tool's records nor its hooks told it",
            _ => "the turn did not come to its end",
        });
        let seen = json!({ "proof": record.ended_by.first().map(|spoken| spoken.source), "turn_id": record.id,
            "outcome": record.outcome, "reply": reply.map(|reply| &reply.text),
            "reply_source": reply.map(|reply| reply.source), "exact": reply.is_some_and(|reply| reply.exact),
            "reply_truncated": reply.is_some_and(|reply| reply.truncated), "reply_missing": missing,
            "error": record.error, "started_at_utc": record.started_at_utc, "ended_at_utc": record.ended_at_utc });
        notes.push(Note::new(Receipt::TurnEnded).seen(seen));
        notes
    }

    fn unseen(&self) -> Vec<Note> {
        let missing = match (&self.awaited.command, self.awaited.started) {
            (Some(_), _) => COMMAND,
            (None, Some(_)) => "the gateway was restarted during the turn",
            (None, None) => "nobody saw its turn",
        };
        let seen = json!({ "proof": "ready_again", "turn_id": null, "outcome": null, "reply": null,
            "reply_source": null, "exact": false, "reply_truncated": false, "reply_missing": missing,
            "command": self.awaited.command });
        let mut notes = Vec::new();
        if !self.started {
            notes.push(Note::new(Receipt::TurnStarted).seen(json!({ "proof": "ready_again", "turn_id": null })));
        }
        notes.push(Note::new(Receipt::TurnEnded).seen(seen));
        notes
    }
}

fn record(edge: &TurnEdge) -> &TurnRecord {
    match edge {
        TurnEdge::Started(record) | TurnEdge::Ended(record) | TurnEdge::Amended(record) => record,
    }
}

/// Will nothing more become known of it that anybody waits for?
fn has_all(record: &TurnRecord) -> bool {
    record.outcome != Some(Outcome::Success) || record.reply.as_ref().is_some_and(|reply| reply.exact)
}

fn began(record: &TurnRecord) -> Note {
    let said: Vec<String> = record.started_by.iter().map(|spoken| spoken.what.clone()).collect();
    Note::new(Receipt::TurnStarted).seen(json!({ "proof": record.started_by.first().map(|spoken| spoken.source),
        "turn_id": record.id, "started_at_utc": record.started_at_utc, "said": said }))
}
