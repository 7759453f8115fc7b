//! Programs that do one turn and end: the words that start them, and what they write line by line. Pure.
//!
//! Each tool has a dialect. What a dialect does not know is passed through as it came: a tool that learns a new kind of
//! line loses nothing here.

mod claude;
mod codex;
mod gemini;
mod words;

use serde_json::{Value, json};

pub use words::{Chat, PROMPT, SESSION, Wish, Words, words};

/// The longest line that is read as one; of a longer one the beginning is told.
pub const LONGEST_LINE: usize = 8 * 1024 * 1024;

/// The longest answer that is kept, in bytes.
pub const LONGEST_REPLY: usize = 256 * 1024;

/// The longest prompt that fits among the words of a program: the kernel takes no longer one.
pub const LONGEST_WORD: usize = 120 * 1024;

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `claude -p --output-format stream-json --verbose`.
    Claude,
    /// `codex exec --json`.
    Codex,
    /// `gemini --output-format stream-json`.
    Gemini,
    /// Any program: what it writes is its answer.
    Generic,
}

impl Dialect {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Generic => "generic",
        }
    }

    /// The dialect with this name; a tool that is not known speaks none.
    pub fn of(name: &str) -> Self {
        match name {
            "claude" => Self::Claude,
            "codex" => Self::Codex,
            "gemini" => Self::Gemini,
            _ => Self::Generic,
        }
    }

    /// The contract's backend of its sessions. It has none for others: there our own `headless.json` alone says that
    /// the session is headless, and other programs see a program in a pane.
    pub fn backend(self) -> &'static str {
        match self {
            Self::Claude => "claude_headless",
            Self::Codex => "codex_headless",
            Self::Gemini | Self::Generic => "local_interactive",
        }
    }

    /// The dialect of a session that another program made.
    pub fn of_backend(backend: &str) -> Option<Self> {
        match backend {
            // Kimi's stream has Claude's shape.
            "claude_headless" | "kimi_headless" => Some(Self::Claude),
            "codex_headless" => Some(Self::Codex),
            _ => None,
        }
    }

    /// Does it tell of its own end? A program that does, and ends without, has failed.
    fn tells_its_end(self) -> bool {
        self != Self::Generic
    }
}

/// What a line means, in the contract's words (section 1.10).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Which of the contract's kinds.
    pub kind: Kind,
    /// For a person.
    pub message: String,
    /// The program's own word for it.
    pub type_name: String,
    /// What was understood.
    pub data: Value,
}

/// The contract's kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Session,
    Progress,
    Reasoning,
    Assistant,
    ActionRequest,
    ActionResult,
    Completion,
    Diagnostic,
    Passthrough,
}

impl Kind {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Progress => "progress",
            Self::Reasoning => "reasoning",
            Self::Assistant => "assistant",
            Self::ActionRequest => "action_request",
            Self::ActionResult => "action_result",
            Self::Completion => "completion",
            Self::Diagnostic => "diagnostic",
            Self::Passthrough => "passthrough",
        }
    }
}

impl Event {
    fn new(kind: Kind, type_name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), type_name: type_name.into(), data: json!({}) }
    }

    fn with(mut self, data: Value) -> Self {
        self.data = data;
        self
    }
}

/// What a program has told so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The conversation's id.
    pub session_id: Option<String>,
    /// The answer.
    pub reply: Option<String>,
    /// It was longer than is kept.
    pub truncated: bool,
    /// The program says that the turn is over: well or not.
    pub ended: Option<bool>,
    /// What it says about a failure.
    pub error: Option<String>,
    /// Tokens and cost, as it tells them.
    pub usage: Option<Value>,
    /// A message that comes in pieces, and is not whole yet.
    saying: Option<String>,
}

impl Told {
    fn reply(&mut self, text: &str) {
        let end = text.floor_char_boundary_at(LONGEST_REPLY);
        self.truncated = end < text.len();
        self.reply = Some(text[..end].to_owned());
    }
}

/// The largest place at which a text can be cut.
trait Cut {
    fn floor_char_boundary_at(&self, limit: usize) -> usize;
}

impl Cut for str {
    fn floor_char_boundary_at(&self, limit: usize) -> usize {
        if self.len() <= limit {
            return self.len();
        }
        (0..=limit).rev().find(|at| self.is_char_boundary(*at)).unwrap_or_default()
    }
}

/// Reads the output of one turn.
#[derive(Debug)]
pub struct Reader {
    dialect: Dialect,
    told: Told,
    /// What a generic program wrote, up to the limit of a reply; the reply is made of it when somebody asks.
    written: String,
    /// It wrote more than that.
    more: bool,
}

impl Reader {
    /// Has read nothing.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, told: Told::default(), written: String::new(), more: false }
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        let mut told = self.told.clone();
        if self.is_generic() && told.reply.is_some() {
            told.reply(self.written.trim_end_matches('\n'));
            told.truncated |= self.more;
        }
        told
    }

    /// The conversation's id, once the program has told it.
    pub fn session_id(&self) -> Option<&str> {
        self.told.session_id.as_deref()
    }

    /// Is what it writes its answer, as it stands?
    pub fn is_generic(&self) -> bool {
        self.dialect == Dialect::Generic
    }

    /// Whatever a generic program writes from here on changes nothing.
    pub fn is_full(&self) -> bool {
        self.is_generic() && self.more
    }

    /// There is more output, and nobody reads it.
    pub fn leaves_out(&mut self) {
        self.more = true;
    }

    /// Takes in one line without its end, of a generic program also several at once; returns what it means with the line as JSON, or as the text that it is.
    pub fn line(&mut self, line: &[u8]) -> (Vec<Event>, Value) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        if self.dialect == Dialect::Generic {
            return (self.generic(text), Value::from(text));
        }
        if text.trim().is_empty() {
            return (Vec::new(), Value::Null);
        }
        let Some(value) = serde_json::from_str::<Value>(text).ok().filter(Value::is_object) else {
            return (vec![Event::new(Kind::Passthrough, "text", text)], Value::from(text));
        };
        let events = match self.dialect {
            Dialect::Claude => claude::read(&value, &mut self.told),
            Dialect::Codex => codex::read(&value, &mut self.told),
            Dialect::Gemini | Dialect::Generic => gemini::read(&value, &mut self.told),
        };
        (events, value)
    }

    fn generic(&mut self, text: &str) -> Vec<Event> {
        self.told.reply.get_or_insert_default();
        if self.written.len() > LONGEST_REPLY {
            // Line ends alone are no more of the answer.
            self.more |= !text.trim_matches('\n').is_empty();
        } else {
            let begun = !self.written.is_empty();
            let text = if begun { text } else { text.trim_start_matches('\n') };
            if begun {
                self.written.push('\n');
            }
            // Enough to know that it was longer than is kept.
            let kept = &text[..text.floor_char_boundary_at(LONGEST_REPLY + 4)];
            self.written.push_str(kept);
            self.more |= kept.len() < text.len();
        }
        if text.trim().is_empty() { Vec::new() } else { vec![Event::new(Kind::Assistant, "text", text)] }
    }

    /// How the turn ended, given the exit status where it is known; with a sentence if not well.
    pub fn judge(&self, exit_code: Option<i32>) -> Result<(), String> {
        let told = &self.told;
        let said = || told.error.clone();
        match (told.ended, exit_code) {
            (Some(false), code) => Err(said().unwrap_or_else(|| with_code("the program says that it failed", code))),
            (Some(true), Some(0) | None) => Ok(()),
            (_, Some(code)) if code != 0 => Err(said().unwrap_or_else(|| with_code("the program failed", Some(code)))),
            (None, Some(_)) if !self.dialect.tells_its_end() => Ok(()),
            (None, Some(_)) => Err("the program ended without a word about the end of its turn".to_owned()),
            (_, code) => Err(said().unwrap_or_else(|| with_code("nobody saw how the program ended", code))),
        }
    }
}

fn with_code(words: &str, code: Option<i32>) -> String {
    code.map_or_else(|| words.to_owned(), |code| format!("{words} with exit status {code}"))
}

/// The text at a key; empty if there is none.
fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// One line of at most 200 characters, for a person.
fn short(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut short: String = line.chars().take(200).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
