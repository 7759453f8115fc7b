//! What the pane's title says (OSC 0/2). Pure.

use super::Tool;
use crate::agents::{DialogKind, Sign};

/// Reads a title. `None`: it says nothing.
///
/// A title is a level, and weak: `Idle` means no more than that the tool draws no spinner there. Claude's is the same
/// while it waits for a permission, and all of them stay when the tool is killed. Work and waiting are only ever said
/// by a tool that is at it.
pub fn title(tool: &str, title: &str) -> Option<Sign> {
    let title = title.trim();
    let first = title.chars().next()?;
    match Tool::named(tool)? {
        Tool::Claude => match first {
            '✳' => Some(Sign::Idle),
            _ if is_spinner(first) => Some(Sign::Working),
            _ => None,
        },
        Tool::Codex => match first {
            _ if is_spinner(first) => Some(Sign::Working),
            // The dot blinks.
            '[' if ["[ ! ]", "[ . ]"].iter().any(|mark| title.starts_with(mark)) => Some(asks(title)),
            _ => Some(Sign::Idle),
        },
        Tool::Gemini => match first {
            '✦' | '⏲' => Some(Sign::Working),
            '◇' => Some(Sign::Idle),
            '✋' => Some(asks(title)),
            _ => None,
        },
    }
}

/// Braille patterns, and the half circles of newer Claudes.
fn is_spinner(c: char) -> bool {
    matches!(c, '\u{2801}'..='\u{28ff}' | '◐' | '◑' | '◒' | '◓')
}

fn asks(title: &str) -> Sign {
    Sign::Waiting { kind: DialogKind::Permission, message: Some(title.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_as_the_tools_set_them() {
        let said = |tool: &str, text: &str| {
            title(tool, text).map(|sign| format!("{sign:?}").split(' ').next().unwrap().to_owned())
        };
        for (tool, text, expected) in [
            ("claude", "✳ Claude Code", Some("Idle")),
            ("claude", "◐ Claude Code", Some("Working")),
            ("claude", "⠂ Claude Code", Some("Working")),
            ("claude", "Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA", None),
            ("claude", "", None),
            ("codex", "⠋ work", Some("Working")),
            ("codex", "work", Some("Idle")),
            ("codex", "[ ! ] Action Required | work", Some("Waiting")),
            ("codex", "[ . ] Action Required | work", Some("Waiting")),
            ("codex", "[x] my folder", Some("Idle")),
            ("gemini", "✦  Working… (work)", Some("Working")),
            ("gemini", "◇  Ready (work)", Some("Idle")),
            ("gemini", "✋  Action Required (work)", Some("Waiting")),
            ("gemini", "work", None),
            ("bash", "✳ x", None),
        ] {
            assert_eq!(said(tool, text).as_deref(), expected, "{tool}: {text}");
        }
    }
}
