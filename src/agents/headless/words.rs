//! The words that start one turn. Pure.

use super::Dialect;

/// Stands for the prompt in the words of a generic program.
pub const PROMPT: &str = "{prompt}";

/// Stands for the conversation's id there.
pub const SESSION: &str = "{session}";

/// Which conversation a turn belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chat {
    /// A fresh one.
    New,
    /// The one that the tool used last.
    Last,
    /// The one with this id.
    Exact(String),
}

/// What one turn asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Which conversation.
    pub chat: &'a Chat,
    /// Which model, if another one than the tool's own choice.
    pub model: Option<&'a str>,
    /// How hard it thinks.
    pub reasoning: Option<u64>,
    /// The text.
    pub prompt: &'a str,
    /// The conversation's id for a program that is told it.
    pub session: &'a str,
}

/// The words, and how the prompt comes to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Program and arguments.
    pub words: Vec<String>,
    /// It reads the prompt from its standard input, where `ps` does not show it.
    pub reads_prompt: bool,
}

/// Builds the words of one turn from those that the session was made with.
pub fn words(dialect: Dialect, base: &[String], wish: &Wish<'_>) -> Words {
    let mut words = base.to_vec();
    let has = |words: &[String], any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    match dialect {
        Dialect::Claude => {
            if !has(base, &["-p", "--print"]) {
                add(&["-p"]);
            }
            if !has(base, &["--output-format", "--output-format=stream-json"]) {
                add(&["--output-format", "stream-json"]);
            }
            if !has(base, &["--verbose"]) {
                add(&["--verbose"]);
            }
            match wish.chat {
                Chat::New => {}
                Chat::Last => add(&["--continue"]),
                Chat::Exact(id) => add(&["--resume", id]),
            }
            wish.model.into_iter().for_each(|model| add(&["--model", model]));
            wish.reasoning.into_iter().for_each(|level| add(&["--effort", effort(level)]));
            Words { words, reads_prompt: true }
        }
        Dialect::Codex => {
            if !has(base, &["exec", "e"]) {
                add(&["exec"]);
            }
            if !has(base, &["--json"]) {
                add(&["--json"]);
            }
            wish.model.into_iter().for_each(|model| add(&["-m", model]));
            if let Some(level) = wish.reasoning {
                add(&["-c", &format!("model_reasoning_effort={}", codex_effort(level))]);
            }
            match wish.chat {
                Chat::New => {}
                Chat::Last => add(&["resume", "--last"]),
                Chat::Exact(id) => add(&["resume", id]),
            }
            add(&["-"]);
            Words { words, reads_prompt: true }
        }
        Dialect::Gemini => {
            if !has(base, &["--output-format", "-o", "--output-format=stream-json", "-o=stream-json"]) {
                add(&["--output-format", "stream-json"]);
            }
            match wish.chat {
                Chat::New => {}
                Chat::Last => add(&["--resume", "latest"]),
                Chat::Exact(id) => add(&["--resume", id]),
            }
            wish.model.into_iter().for_each(|model| add(&["--model", model]));
            Words { words, reads_prompt: true }
        }
        Dialect::Generic => {
            let takes_prompt = base.iter().any(|word| word.contains(PROMPT));
            // In one pass: a prompt that holds a placeholder is no template.
            let words = base.iter().map(|word| fill(word, wish)).collect();
            Words { words, reads_prompt: !takes_prompt }
        }
    }
}

fn fill(word: &str, wish: &Wish<'_>) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let (value, length) = if from.starts_with(PROMPT) {
            (wish.prompt, PROMPT.len())
        } else if from.starts_with(SESSION) {
            (wish.session, SESSION.len())
        } else {
            ("{", 1)
        };
        filled.push_str(value);
        rest = &from[length..];
    }
    filled.push_str(rest);
    filled
}

/// Claude's word for a level.
fn effort(level: u64) -> &'static str {
    match level {
        0 | 1 => "low",
        2 => "medium",
        3 => "high",
        4 => "xhigh",
        _ => "max",
    }
}

/// Codex's word for a level.
fn codex_effort(level: u64) -> &'static str {
    match level {
        0 => "minimal",
        1 => "low",
        2 => "medium",
        3 => "high",
        _ => "xhigh",
    }
}
