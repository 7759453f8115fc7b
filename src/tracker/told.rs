//! What is told about prompts and turns: the nouns of `turns`. Pure.

use super::When;
use crate::model::{Outcome, Reply, RequestId, Source};

/// Longest reply and longest prompt that are kept, in bytes.
const LONGEST_TEXT: usize = 256 * 1024;

/// A prompt that somebody submits, or said that they do.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) request: Option<RequestId>,
    pub(super) text: String,
    pub(super) plain: String,
    pub(super) at: When,
    /// Somebody noted it before it was submitted.
    pub(super) noted: bool,
    /// The screen at that moment.
    pub(super) hash: Option<String>,
    /// Who told that the tool took it.
    pub(super) told: Vec<Source>,
}

/// A prompt that the tool said it took.
#[derive(Debug, Clone)]
pub(super) struct Take {
    pub(super) source: Source,
    pub(super) plain: String,
    pub(super) at: When,
}

/// Signs of an end that a screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    pub(super) interrupted: bool,
    pub(super) failed: bool,
    pub(super) finished: bool,
}

/// Told by the tool itself, in a form made for programs.
pub(super) fn is_strong(source: Source) -> bool {
    matches!(source, Source::Record | Source::Hook | Source::ProgramStatus)
}

/// What a source says about the end of a turn.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) outcome: Outcome,
    pub(super) reply: Option<Reply>,
    pub(super) error: Option<String>,
}

/// A prompt as a source told it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) source: Source,
    pub(super) text: Option<&'a str>,
    pub(super) turn: Option<&'a str>,
    pub(super) queued: bool,
}

/// Which of two words about the same answer is kept: the tool's own record of it before everything else.
pub(super) fn better(old: Option<Reply>, new: Option<&Reply>) -> Option<Reply> {
    match (old, new) {
        (None, new) => new.cloned(),
        (Some(old), Some(new))
            if new.exact && (!old.exact || (new.source == Source::Record && old.text != new.text)) =>
        {
            Some(new.clone())
        }
        (old, _) => old,
    }
}

/// A text as it is kept, and whether something was cut off.
pub(super) fn cut(text: &str) -> (String, bool) {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text[..end].to_owned(), end < text.len())
}
