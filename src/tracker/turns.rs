//! Turns: which one runs, which prompt is awaited, which ones just ended and may still get their reply. Pure.
//!
//! Several sources tell the same turn, each in its own time. A turn remembers who told its start and its end, so that a
//! late word is added to the turn that it is about, and never begins or ends another one.

use std::{collections::VecDeque, time::Duration};

pub(super) use super::told::{End, Marks, Told, cut, is_strong};
use super::{
    TurnEdge, When,
    evidence::Said,
    prompt_text::plain,
    told::{Prompt, Take, better},
};
use crate::model::{Outcome, Reply, RequestId, Source, Spoken, TurnRecord};

/// Ended turns that a late word may still be about.
const KEPT: usize = 8;

/// For so long a late word may be about an ended turn.
const LATE: Duration = Duration::from_secs(30);

/// For so long a prompt may be about a turn that ended and whose prompt nobody told.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Prompts that were heard; `Tracker::taken` looks among them.
const MOST_TAKEN: usize = 256;

/// A turn that runs.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) record: TurnRecord,
    pub(super) began: When,
    pub(super) noted: bool,
    plain: Option<String>,
    /// The tool itself told the prompt.
    text_told: bool,
    /// Sources that told its start.
    pub(super) told: Vec<Source>,
    /// Sources that said, while it ran, that the tool works.
    pub(super) worked: Vec<Source>,
    ids: Vec<(Source, String)>,
    /// Marks of an earlier end that stood on the screen when it began, and still do.
    pub(super) old_marks: Marks,
}

impl Open {
    /// A source that is told by the tool itself says that this turn runs.
    pub(super) fn is_strong(&self) -> bool {
        self.told.iter().chain(&self.worked).any(|source| is_strong(*source))
    }

    pub(super) fn is_prompt(&self, text: &str) -> bool {
        self.plain.as_deref() == Some(&plain(text))
    }
}

#[derive(Debug, Clone)]
struct Closed {
    record: TurnRecord,
    noted: bool,
    /// The tool told how it ended.
    sure: bool,
    old_marks: Marks,
    plain: Option<String>,
    ended: When,
    told: Vec<Source>,
    ended_by: Vec<Source>,
    ids: Vec<(Source, String)>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) open: Option<Open>,
    /// Noted, and nothing shows yet that the tool took it.
    pub(super) armed: Option<Prompt>,
    /// Given to the tool while a turn runs: it becomes a turn of its own, or part of this one.
    pub(super) waiting: VecDeque<Prompt>,
    /// When the last turn ended.
    pub(super) last_end: Option<When>,
    /// When a tool last told the end of one.
    pub(super) strong_end: Option<When>,
    closed: VecDeque<Closed>,
    takes: VecDeque<Take>,
    /// Prompts that were heard.
    pub(super) taken: u64,
    count: u32,
    edges: Vec<TurnEdge>,
}

impl Turns {
    /// What happened since the last call.
    pub(super) fn edges(&mut self) -> Vec<TurnEdge> {
        std::mem::take(&mut self.edges)
    }

    /// Somebody submits a prompt now.
    pub(super) fn note(&mut self, when: When, request: Option<RequestId>, text: &str, hash: Option<String>) {
        let (text, plain) = (cut(text).0, plain(text));
        let prompt = Prompt { request, text, plain, at: when, noted: true, hash, told: Vec::new() };
        if self.open.is_some() { self.queue(prompt) } else { self.armed = Some(prompt) }
    }

    fn queue(&mut self, prompt: Prompt) {
        if self.waiting.len() == KEPT {
            self.waiting.pop_front();
        }
        self.waiting.push_back(prompt);
    }

    /// A source tells that the tool took a prompt. `when` is the moment in which it was told.
    pub(super) fn prompt_taken(&mut self, when: When, told: Told<'_>) {
        if let Some(text) = told.text {
            if self.takes.len() == MOST_TAKEN {
                self.takes.pop_front();
            }
            self.takes.push_back(Take { source: told.source, plain: plain(text), at: when });
            self.taken += 1;
        }
        if self.same_as_open(when, told) || self.same_as_closed(when, told) {
            return;
        }
        let words = "took a prompt";
        let Some(open) = &mut self.open else {
            return self.begin(when, when, told, Said::spoken(told.source, words, when));
        };
        let known = told.text.map(plain);
        let place = self.waiting.iter().position(|one| known.as_deref() == Some(one.plain.as_str()));
        if told.queued || told.turn.is_some_and(|turn| open.ids.iter().any(|id| id.1 == turn)) {
            // Behind the running turn, or into it: the tool decides. Told as not queued a second time: it went in.
            match place {
                Some(at) if !told.queued && self.waiting[at].told.contains(&told.source) => {
                    self.merge(at, told.source, when);
                }
                Some(at) => self.waiting[at].told.push(told.source),
                None => {
                    let Some(text) = told.text else { return };
                    let (text, plain) = (cut(text).0, plain(text));
                    let told = vec![told.source];
                    self.queue(Prompt { request: None, text, plain, at: when, noted: false, hash: None, told });
                }
            }
            return;
        }
        if open.told.contains(&told.source) {
            // The source tells every turn: the last one ended unseen.
            let why = Said::spoken(told.source, "told the next turn without an end of this one", when);
            self.end(when, &[], End { outcome: Outcome::Unknown, reply: None, error: None }, vec![why]);
            self.begin(when, when, told, Said::spoken(told.source, words, when));
        } else if let Some(at) = place {
            self.waiting[at].told.push(told.source);
        } else if let Some(text) = told.text {
            let (text, plain) = (cut(text).0, plain(text));
            let told = vec![told.source];
            self.queue(Prompt { request: None, text, plain, at: when, noted: false, hash: None, told });
        }
    }

    /// The prompt went into the running turn.
    fn merge(&mut self, at: usize, source: Source, when: When) {
        let Some(prompt) = self.waiting.remove(at) else { return };
        if let Some(open) = &mut self.open {
            let whose = prompt.request.map_or_else(|| "another prompt".to_owned(), |id| format!("the prompt of {id}"));
            open.record.started_by.push(Said::spoken(source, format!("took {whose} into this turn"), when));
        }
    }

    /// Another source's word of the same start.
    fn same_as_open(&mut self, when: When, told: Told<'_>) -> bool {
        let Some(open) = &mut self.open else { return false };
        let text = told.text.map(plain);
        // Before any source told the prompt, the tool's own word is right: what was noted may have met a draft.
        let elsewhere = || self.waiting.iter().any(|one| text.as_deref() == Some(one.plain.as_str()));
        let other_text =
            matches!((&text, &open.plain), (Some(text), Some(own)) if text != own) && (open.text_told || elsewhere());
        let same_id = told.turn.is_some_and(|turn| open.ids.iter().any(|id| id.0 == told.source && id.1 == turn));
        let again = open.told.contains(&told.source);
        let other_id = again && !same_id && told.turn.is_some() && open.ids.iter().any(|id| id.0 == told.source);
        if other_text || other_id || told.queued {
            return false;
        }
        // The same text from the same source, and no id to tell them apart: told twice.
        if again && !same_id && when.since.saturating_sub(open.began.since) > Duration::from_secs(2) {
            return false;
        }
        if !again {
            open.told.push(told.source);
            open.record.started_by.push(Said::spoken(told.source, "took a prompt", when));
        }
        if let Some(turn) = told.turn.filter(|_| !same_id) {
            open.ids.push((told.source, turn.to_owned()));
            open.record.tool_turn_id.get_or_insert_with(|| turn.to_owned());
        }
        if !open.text_told
            && let Some(text) = told.text
        {
            open.text_told = true;
            (open.plain, open.record.prompt) = (Some(plain(text)), Some(cut(text).0));
        }
        let claimed = self.armed.take_if(|armed| open.plain.as_deref() == Some(armed.plain.as_str()));
        if let Some(armed) = claimed {
            (open.noted, open.record.request_id) = (true, armed.request);
        }
        true
    }

    /// A word about the start of a turn that is over already.
    fn same_as_closed(&mut self, when: When, told: Told<'_>) -> bool {
        let Some(text) = told.text.map(plain) else { return false };
        let late = |closed: &&mut Closed| when.since.saturating_sub(closed.ended.since) <= LATE;
        // Of a turn without a prompt only its time tells that it is the same.
        let same = |closed: &&mut Closed| {
            let just_now = when.since.saturating_sub(closed.ended.since) <= JUST_NOW;
            // A source that told only that it waits tells with an id that it began.
            let only_queued = just_now
                && told.turn.is_some()
                && !closed.ended_by.contains(&told.source)
                && !closed.ids.iter().any(|id| id.0 == told.source);
            (only_queued || !closed.told.contains(&told.source))
                && closed.plain.as_ref().map_or(just_now, |own| *own == text)
        };
        // A prompt that was noted since is the new one's.
        if self.armed.as_ref().is_some_and(|armed| armed.plain == text) {
            return false;
        }
        let Some(closed) = self.closed.iter_mut().rev().filter(late).find(same) else { return false };
        closed.told.push(told.source);
        if let Some(turn) = told.turn {
            closed.ids.push((told.source, turn.to_owned()));
        }
        if closed.plain.is_none() {
            (closed.plain, closed.record.prompt) = (Some(text), told.text.map(|text| cut(text).0));
            self.edges.push(TurnEdge::Amended(closed.record.clone()));
        }
        true
    }

    /// Begins a turn with what is known: the prompt that waits or is awaited, if it is the same.
    fn begin(&mut self, began: When, when: When, told: Told<'_>, why: Spoken) {
        let text = told.text.map(plain);
        let fits = |prompt: &Prompt| text.as_ref().is_none_or(|text| *text == prompt.plain);
        let prompt = match self.waiting.iter().position(fits) {
            Some(at) => self.waiting.remove(at),
            None => self.armed.take_if(|armed| fits(armed)),
        };
        self.open(began, when, prompt, why);
        if let Some(open) = &mut self.open {
            open.told.push(told.source);
            if let Some(turn) = told.turn {
                open.ids.push((told.source, turn.to_owned()));
                open.record.tool_turn_id = Some(turn.to_owned());
            }
            if let Some(text) = told.text {
                open.text_told = true;
                (open.plain, open.record.prompt) = (Some(plain(text)), Some(cut(text).0));
            }
            if let Some(TurnEdge::Started(record)) = self.edges.last_mut() {
                record.clone_from(&open.record);
            }
        }
    }

    /// Begins a turn that nobody told: its work is seen.
    pub(super) fn infer(&mut self, began: When, when: When, why: Spoken) {
        let prompt = self.waiting.pop_front().or_else(|| self.armed.take());
        self.open(began, when, prompt, why);
    }

    fn open(&mut self, began: When, when: When, prompt: Option<Prompt>, why: Spoken) {
        self.count = self.count.wrapping_add(1);
        let millis = began.wall.epoch_millis().rem_euclid(1000);
        let mut started_by = vec![why];
        let (mut told, mut noted) = (Vec::new(), false);
        let (mut text, mut own, mut request) = (None, None, None);
        if let Some(prompt) = prompt {
            let word = if prompt.noted { "the prompt was submitted" } else { "the prompt was given before" };
            started_by.insert(0, Said::spoken(Source::Input, word, prompt.at));
            (noted, told, request) = (prompt.noted, prompt.told, prompt.request);
            (text, own) = (Some(prompt.text), Some(prompt.plain));
        }
        let record = TurnRecord {
            id: format!("turn-{}-{millis:03x}{:05x}", began.wall.compact(), self.count & 0xf_ffff),
            request_id: request,
            tool_turn_id: None,
            prompt: text,
            started_at_utc: began.wall.iso_millis(),
            ended_at_utc: None,
            outcome: None,
            reply: None,
            error: None,
            started_by,
            ended_by: Vec::new(),
        };
        self.edges.push(TurnEdge::Started(record.clone()));
        let began = When { since: began.since.min(when.since), ..began };
        let text_told = !told.is_empty();
        let (worked, ids, old_marks) = (Vec::new(), Vec::new(), Marks::default());
        self.open = Some(Open { record, began, noted, plain: own, text_told, told, worked, ids, old_marks });
    }

    /// A source tells the end of a turn. `true`: of the one that runs.
    pub(super) fn turn_ended(&mut self, when: When, source: Source, turn: Option<&str>, end: &End) -> bool {
        let why = Said::spoken(source, format!("told the end ({})", end.outcome.name()), when);
        if let Some(at) = self.closed_by(when, source, turn) {
            self.amend(at, source, why, end);
            return false;
        }
        if self.open.is_none() {
            // Its start was never told: the prompt was given before, and was quick.
            if self.waiting.is_empty() && self.armed.is_none() {
                return false;
            }
            self.infer(when, when, why.clone());
        }
        let other = |open: &Open| {
            turn.is_some_and(|turn| {
                let mut own = open.ids.iter().filter(|id| id.0 == source).peekable();
                own.peek().is_some() && !own.any(|id| id.1 == turn)
            })
        };
        if self.open.as_ref().is_some_and(other) {
            return false;
        }
        self.end(when, &[source], end.clone(), vec![why]);
        true
    }

    /// The ended turn that this source's end is about, if it is not about the one that runs.
    fn closed_by(&self, when: When, source: Source, turn: Option<&str>) -> Option<usize> {
        let open = self.open.as_ref();
        let recent = |closed: &Closed| when.since.saturating_sub(closed.ended.since) <= LATE;
        let has = |ids: &[(Source, String)]| turn.is_some_and(|turn| ids.iter().any(|id| id.1 == turn));
        if open.is_some_and(|open| has(&open.ids)) {
            return None;
        }
        if let Some(at) = self.closed.iter().rposition(|closed| has(&closed.ids)) {
            return Some(at);
        }
        // Each source tells its turns in order. Levels and ends of a status sequence are one stream; those of records are
        // not: a status file is quick, a transcript late.
        let told_open = open.is_some_and(|open| {
            open.told.contains(&source) || (source == Source::ProgramStatus && open.worked.contains(&source))
        });
        let newest = self.closed.len().checked_sub(1).filter(|_| !told_open)?;
        let closed = self.closed.get(newest).filter(|closed| recent(closed) && !closed.ended_by.contains(&source))?;
        let nothing_since = open.is_none() && self.waiting.is_empty() && self.armed.is_none();
        (closed.told.contains(&source) || nothing_since).then_some(newest)
    }

    fn amend(&mut self, at: usize, source: Source, why: Spoken, end: &End) {
        let Some(closed) = self.closed.get_mut(at) else { return };
        closed.ended_by.push(source);
        let before = closed.record.clone();
        closed.record.ended_by.push(why);
        // Who was told the end by a weaker sign, or by none, believes the tool.
        if !closed.sure && end.outcome != Outcome::Unknown {
            (closed.record.outcome, closed.sure) = (Some(end.outcome), true);
        }
        closed.record.reply = better(closed.record.reply.take(), end.reply.as_ref());
        if closed.record.error.is_none() {
            closed.record.error.clone_from(&end.error);
        }
        let known = |turn: &TurnRecord| (turn.outcome, turn.reply.clone(), turn.error.clone());
        if known(&closed.record) != known(&before) {
            self.edges.push(TurnEdge::Amended(closed.record.clone()));
        }
    }

    /// A source tells what was answered, and no end.
    pub(super) fn replied(&mut self, when: When, source: Source, turn: Option<&str>, reply: Reply) {
        if let Some(at) = self.closed_by(when, source, turn) {
            let Some(closed) = self.closed.get_mut(at) else { return };
            let before = closed.record.reply.clone();
            closed.record.reply = better(closed.record.reply.take(), Some(&reply));
            if closed.record.reply != before {
                self.edges.push(TurnEdge::Amended(closed.record.clone()));
            }
        } else if let Some(open) = &mut self.open
            && (reply.exact || open.record.reply.as_ref().is_none_or(|old| !old.exact))
        {
            open.record.reply = Some(reply);
        }
    }

    /// The last turn, if nothing tells yet how it ended, with the marks that were old when it began, and whether the
    /// tool told that it ended.
    pub(super) fn unsure(&self) -> Option<(&TurnRecord, Marks, When, bool)> {
        let closed = self.closed.back().filter(|closed| !closed.sure && self.open.is_none())?;
        let told = closed.ended_by.iter().any(|source| is_strong(*source));
        (closed.record.outcome == Some(Outcome::Unknown)).then_some((
            &closed.record,
            closed.old_marks,
            closed.ended,
            told,
        ))
    }

    /// The screen shows how the last turn ended.
    pub(super) fn decide(&mut self, outcome: Outcome, error: Option<String>, why: Spoken) {
        let Some(closed) = self.closed.back_mut() else { return };
        closed.record.outcome = Some(outcome);
        closed.record.ended_by.push(why);
        if closed.record.error.is_none() {
            closed.record.error = error;
        }
        self.edges.push(TurnEdge::Amended(closed.record.clone()));
    }

    /// Ends the turn that runs. `by`: the sources that told this end, as far as they tell ends.
    pub(super) fn end(&mut self, when: When, by: &[Source], end: End, why: Vec<Spoken>) {
        let Some(mut open) = self.open.take() else { return };
        open.record.ended_at_utc = Some(when.wall.iso_millis());
        open.record.outcome = Some(end.outcome);
        open.record.error = end.error;
        if end.reply.as_ref().is_some_and(|new| new.exact || open.record.reply.is_none()) {
            open.record.reply = end.reply;
        }
        open.record.ended_by = why;
        self.edges.push(TurnEdge::Ended(open.record.clone()));
        self.last_end = Some(when);
        let strong = by.iter().any(|source| is_strong(*source));
        if strong {
            self.strong_end = Some(when);
        }
        if self.closed.len() == KEPT {
            self.closed.pop_front();
        }
        self.closed.push_back(Closed {
            record: open.record,
            noted: open.noted,
            sure: strong && end.outcome != Outcome::Unknown,
            old_marks: open.old_marks,
            plain: open.plain,
            ended: when,
            told: open.told,
            ended_by: by.to_vec(),
            ids: open.ids,
        });
    }

    /// The last turn that ended.
    pub(super) fn last(&self) -> Option<&TurnRecord> {
        self.closed.back().map(|closed| &closed.record)
    }

    /// Its prompt was noted.
    pub(super) fn last_was_noted(&self) -> bool {
        self.closed.back().is_some_and(|closed| closed.noted)
    }

    /// Where a prompt was heard since a moment, earliest first.
    pub(super) fn heard(&self, since: Duration, text: &str) -> Option<&Take> {
        let text = plain(text);
        self.takes.iter().find(|take| take.at.since >= since && take.plain == text)
    }

    /// The conversation was given up: nothing that was given to it comes back.
    pub(super) fn forget_prompts(&mut self) {
        self.waiting.clear();
        self.armed = None;
    }
}
