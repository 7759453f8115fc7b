//! Terminal recordings in the asciicast v2 format: a header, then one event a line. Reads them, writes none.

use std::time::Duration;

use serde::Deserialize;

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cast {
    pub(super) header: Header,
    /// In the order of their moments.
    pub(super) events: Vec<(Duration, Event)>,
}

/// What a recording says about itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Header {
    version: u32,
    pub(super) width: u16,
    pub(super) height: u16,
    /// When it began, in seconds since 1970.
    #[serde(default)]
    pub(super) timestamp: i64,
    /// Its name; ours begin with the tool and its version, as in `claude-2.1.330`.
    #[serde(default)]
    pub(super) title: String,
}

/// What happened at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The program printed this.
    Output(String),
    /// The terminal has this many columns and rows from now on.
    Resized(u16, u16),
    /// Somebody typed, or set a mark.
    Other,
}

impl Cast {
    /// Reads a recording. The error names the line. A last line that was cut off is passed over: whoever recorded may
    /// have been killed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, first) = lines.next().ok_or("it is empty")?;
        let header: Header = serde_json::from_str(first).map_err(|error| format!("line 1 is no header: {error}"))?;
        if header.version != 2 {
            return Err(format!("it is asciicast version {}; only 2 is read", header.version));
        }
        let ends_whole = text.ends_with('\n');
        let count = text.lines().count();
        let mut events = Vec::new();
        for (place, line) in lines {
            match event(line) {
                Ok(event) => events.push(event),
                Err(_) if place + 1 == count && !ends_whole => {}
                Err(why) => return Err(format!("line {}: {why}", place + 1)),
            }
        }
        events.sort_by_key(|(at, _)| *at);
        Ok(Self { header, events })
    }

    /// Tool and version, as the title names them.
    pub(super) fn tool(&self) -> Option<(&str, &str)> {
        let word = self.header.title.split_whitespace().next()?;
        let (tool, version) = word.split_once('-')?;
        version.starts_with(|c: char| c.is_ascii_digit()).then_some((tool, version))
    }
}

fn event(line: &str) -> Result<(Duration, Event), String> {
    let (at, code, data): (f64, String, String) = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let at = Duration::try_from_secs_f64(at).map_err(|error| error.to_string())?;
    let event = match code.as_str() {
        "o" => Event::Output(data),
        "r" => {
            let size =
                data.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
            let (width, height) = size.ok_or_else(|| format!("`{data}` is no size"))?;
            Event::Resized(width, height)
        }
        _ => Event::Other,
    };
    Ok((at, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"version\": 2, \"width\": 80, \"height\": 24, \"title\": \"codex-0.169.0\"}\n";

    #[test]
    fn events_are_read_in_order_and_a_torn_end_is_passed_over() {
        let cast =
            Cast::parse(&format!("{HEADER}[0.5, \"o\", \"a\"]\n[0.25, \"r\", \"60x30\"]\n[0.6, \"o\", \"b")).unwrap();
        assert_eq!(cast.tool(), Some(("codex", "0.169.0")));
        let millis = Duration::from_millis;
        let expected = vec![(millis(250), Event::Resized(60, 30)), (millis(500), Event::Output("a".to_owned()))];
        assert_eq!(cast.events, expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(Cast::parse("").unwrap_err(), "it is empty");
        assert!(Cast::parse("{}").unwrap_err().starts_with("line 1 is no header"));
        assert!(Cast::parse("{\"version\": 1, \"width\": 1, \"height\": 1}").unwrap_err().contains("version 1"));
        assert!(Cast::parse(&format!("{HEADER}[1]\n")).unwrap_err().starts_with("line 2: "));
        assert!(Cast::parse(&format!("{HEADER}[-1, \"o\", \"\"]\n")).unwrap_err().starts_with("line 2: "));
    }
}
