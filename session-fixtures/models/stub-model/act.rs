//! What the model does, chosen by the last text of the user.
//!
//! | text | what happens |
//! | --- | --- |
//! | `say TEXT` | replies exactly TEXT |
//! | `slow MS` | twelve words, evenly over so many milliseconds |
//! | `quiet MS` | nothing for so long, then a reply |
//! | `tool CMD` | a call of the tool's shell, which needs approval; after it, `tool done` |
//! | `error STATUS` | 400, 429 or 500, every time that it is asked |
//! | `hang` | begins and then sends nothing until the client goes |
//! | anything else | `You said: HASH (N bytes)` |

use std::time::Duration;

use crate::log::hash;

const WORDS: [&str; 12] = [
    "alpha ", "bravo ", "charlie ", "delta ", "echo ", "foxtrot ", "golf ", "hotel ", "india ", "juliett ", "kilo ",
    "lima",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Say(String),
    Slow(Duration),
    Quiet(Duration),
    Tool(String),
    Error(u16),
    Hang,
}

impl Act {
    pub fn of(text: &str, after_tool: bool) -> Self {
        if after_tool {
            return Self::Say("tool done".to_owned());
        }
        let echo = || Self::Say(format!("You said: {} ({} bytes)", hash(text.as_bytes()), text.len()));
        let trimmed = text.trim();
        let (verb, value) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        let time = || value.parse().map(Duration::from_millis);
        match verb {
            "say" if !value.is_empty() => Self::Say(value.to_owned()),
            "slow" => time().map_or_else(|_| echo(), Self::Slow),
            "quiet" => time().map_or_else(|_| echo(), Self::Quiet),
            "tool" if !value.is_empty() => Self::Tool(value.to_owned()),
            "error" => match value {
                "400" => Self::Error(400),
                "429" => Self::Error(429),
                "500" => Self::Error(500),
                _ => echo(),
            },
            "hang" if value.is_empty() => Self::Hang,
            _ => echo(),
        }
    }

    /// Its name in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Say(_) => "say",
            Self::Slow(_) => "slow",
            Self::Quiet(_) => "quiet",
            Self::Tool(_) => "tool",
            Self::Error(_) => "error",
            Self::Hang => "hang",
        }
    }

    /// What is said, each part with the silence before it.
    pub fn parts(&self) -> Vec<(Duration, String)> {
        match self {
            Self::Say(text) => vec![(Duration::ZERO, text.clone())],
            Self::Slow(whole) => {
                let gap = *whole / u32::try_from(WORDS.len()).unwrap_or(1);
                WORDS.iter().map(|word| (gap, (*word).to_owned())).collect()
            }
            Self::Quiet(silence) => vec![(*silence, format!("quiet for {} ms", silence.as_millis()))],
            Self::Tool(_) => vec![(Duration::ZERO, "I will run a command.".to_owned())],
            Self::Error(_) | Self::Hang => Vec::new(),
        }
    }
}
