//! What the pane's title says (OSC 0/2), by the marks of the tool's profile. Pure.

use crate::agents::{DialogKind, Sign, source::TitleSource};

/// What the title of a tool begins with while it works, waits for an answer, and waits for a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TitleMarks {
    working: Vec<Mark>,
    waiting: Vec<Mark>,
    idle: Vec<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    Text(String),
    /// Any character of this range.
    OneOf(char, char),
}

impl TitleMarks {
    pub(in crate::agents) fn of(source: &TitleSource) -> Self {
        let marks = |texts: &[String]| texts.iter().map(|text| Mark::of(text)).collect();
        Self { working: marks(&source.working), waiting: marks(&source.waiting), idle: marks(&source.idle) }
    }

    /// Reads a title. `None`: it says nothing.
    ///
    /// A title is a level, and weak: `Idle` means no more than that the tool draws no spinner there. Claude's is the
    /// same while it waits for a permission, and all of them stay when the tool is killed. Work and waiting are only
    /// ever said by a tool that is at it.
    pub fn read(&self, title: &str) -> Option<Sign> {
        let title = title.trim();
        let begins = |marks: &[Mark]| !title.is_empty() && marks.iter().any(|mark| mark.begins(title));
        if begins(&self.working) {
            Some(Sign::Working)
        } else if begins(&self.waiting) {
            Some(Sign::Waiting { kind: DialogKind::Permission, message: Some(title.to_owned()) })
        } else {
            begins(&self.idle).then_some(Sign::Idle)
        }
    }
}

impl Mark {
    fn of(text: &str) -> Self {
        let mut characters = text.chars();
        match (characters.next(), characters.next(), characters.next(), characters.next()) {
            (Some(first), Some('-'), Some(last), None) => Self::OneOf(first, last),
            _ => Self::Text(text.to_owned()),
        }
    }

    fn begins(&self, title: &str) -> bool {
        match self {
            Self::Text(text) => title.starts_with(text.as_str()),
            Self::OneOf(first, last) => title.starts_with(|c| (*first..=*last).contains(&c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::agents::Profile;

    #[test]
    fn titles_as_the_tools_set_them() {
        let said = |tool: &str, text: &str| {
            let sign = Profile::find(tool, None)?.title.read(text)?;
            format!("{sign:?}").split(' ').next().map(str::to_owned)
        };
        for (tool, text, expected) in [
            ("claude", "✳ Claude Code", Some("Idle")),
            ("claude", "◐ Claude Code", Some("Working")),
            ("claude", "⠂ Claude Code", Some("Working")),
            ("claude", "◓ Claude Code", Some("Working")),
            ("claude", "Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA", None),
            ("claude", "", None),
            ("codex", "⠋ work", Some("Working")),
            ("codex", "work", Some("Idle")),
            ("codex", "[ ! ] Action Required | work", Some("Waiting")),
            ("codex", "[ . ] Action Required | work", Some("Waiting")),
            ("codex", "[x] my folder", Some("Idle")),
            ("gemini", "✦  Working… (work)", Some("Working")),
            ("gemini", "⏲  Working… (work)", Some("Working")),
            ("codex", "", None),
            ("gemini", "◇  Ready (work)", Some("Idle")),
            ("gemini", "✋  Action Required (work)", Some("Waiting")),
            ("gemini", "work", None),
            ("bash", "✳ x", None),
        ] {
            assert_eq!(said(tool, text).as_deref(), expected, "{tool}: {text}");
        }
    }
}
