//! What is to be delivered, where it begins, what its steps are put on record with, and what came of it.

use std::{future::Future, time::Duration};

use serde_json::Value;

use super::{footing::Footing, form::Form, prompt::Prompt};
use crate::{
    model::{Note, RequestId},
    tmux::input::Look,
    tracker::{Tracker, View},
};

/// How long each proof may take.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// From the paste until the pane shows it; a second more for each 100 KB.
    pub landing: Duration,
    /// How long the composer must stay as it is after Enter until Enter counts as swallowed.
    pub swallowed: Duration,
    /// From the last Enter until an unchanged composer counts as not having taken it.
    pub leaving: Duration,
    /// From the last Enter until a changed composer must prove that the text was taken.
    pub taking: Duration,
    /// How long a proof must hold: a repaint may pass through anything.
    pub left: Duration,
    /// The same for a composer that is empty, while nothing else shows that the tool took what stood in it.
    pub emptied: Duration,
    /// How long a typed text may wait for a pane that takes no keys; `None`: for as long as it takes.
    pub held: Option<Duration>,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            landing: Duration::from_secs(3),
            swallowed: Duration::from_secs(1),
            leaving: Duration::from_secs(2),
            taking: Duration::from_secs(10),
            left: Duration::from_millis(15),
            emptied: Duration::from_millis(400),
            held: None,
        }
    }
}

/// Where a delivery begins.
#[derive(Debug, Clone)]
pub enum Stage {
    /// At the beginning, into the pane as it looked a moment ago.
    Fresh(Box<Look>),
    /// The pane's mark says that the text was typed; this is what went on record with the intent.
    Typed(Footing),
    /// The pane's mark says that Enter was pressed, too.
    Entered(Footing),
}

/// One text on its way.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The request; letters, digits and `-`.
    pub id: &'a str,
    /// What was asked for.
    pub prompt: &'a Prompt,
    /// How it is typed.
    pub form: &'a Form,
    /// The process that the pane was started with.
    pub pid: u32,
    /// Where to begin.
    pub stage: Stage,
    /// How the agent's screen is read.
    pub view: &'a View,
    /// Who knows what the agent does, where there is somebody: it is told of the prompt, and hears that it was taken.
    pub tracker: Option<&'a Tracker>,
    /// The request, for the tracker.
    pub request: Option<&'a RequestId>,
    /// A draft that the tool keeps aside, and brings back when it takes the text.
    pub stashed: Option<&'a str>,
}

/// Receipts cannot be put on record any more: nothing more is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal takes nothing more")]
pub struct JournalClosed;

/// Where receipts are put on record, each before the step that follows it.
pub trait Journal: Sync {
    /// Records the intent to type; `false` if the request is not waiting any more.
    fn begin(&self, note: Note) -> impl Future<Output = Result<bool, JournalClosed>> + Send;

    /// Records a receipt.
    fn note(&self, note: Note) -> impl Future<Output = Result<(), JournalClosed>> + Send;
}

/// What became of it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The program took the text. The look is the last one before Enter, where it is known.
    Submitted(Option<Box<Look>>, Value),
    /// Nothing of it stands in the composer, because the pane was not as it had looked, or a person came in between; a
    /// stable word and a sentence.
    Held(&'static str, String),
    /// Nothing was typed: the request was taken back meanwhile.
    Withdrawn,
    /// It was typed, and what became of it cannot be proven: a stable word, a sentence, what was seen.
    Unproven(&'static str, String, Value),
}
