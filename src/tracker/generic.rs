//! Any program that reads lines: ready when its prompt stands at the cursor with nothing behind it. Pure.

use super::composer::{Composer, composer};
use crate::{
    agents::ScreenReading,
    os::terminal::{Foreground, Modes},
    tmux::input::Look,
};

/// Programs that start other programs: what is typed to one is carried out.
const SHELLS: [&str; 12] = ["sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "ash", "tcsh", "csh", "nu", "busybox"];

/// Is this the name of a shell?
pub fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program.trim_start_matches('-'))
}

/// What the kernel says about the pane's terminal; `None` where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The terminal's modes.
    pub modes: Option<Modes>,
    /// Who reads from it.
    pub foreground: Option<Foreground>,
}

/// In words: a line reader wants more lines before it does anything.
const REST: &str = "the program waits for the rest of something";

/// Does the agent already hold a text that was not submitted?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody can tell.
    Unknown,
}

/// Why nothing should be typed now: a stable word and a sentence. `hard` ones hold for every policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// `busy`, `draft`, `copy_mode`…
    pub reason: &'static str,
    /// For a person.
    pub detail: String,
    /// Typing would harm or be lost, whatever the caller wishes.
    pub hard: bool,
}

/// What a pane looks like to somebody who wants to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// `None`: ready.
    pub against: Option<Why>,
    /// The state of the composer.
    pub pending: Pending,
    /// What the profile of a tool reads from the screen; `None` for a line reader.
    pub screen: Option<Box<ScreenReading>>,
}

impl Reading {
    /// Is a prompt at the cursor, with nothing behind it and nothing that speaks against typing?
    pub fn is_ready(&self) -> bool {
        self.against.is_none()
    }

    /// What was typed was taken, and is not done: it is the beginning of something.
    pub fn wants_rest(&self) -> bool {
        self.against.as_ref().is_some_and(|why| why.detail == REST)
    }
}

/// Reads one look. `tool` is the agent's program as it was recorded.
pub(super) fn read(look: &Look, around: &Around, tool: &str) -> Reading {
    let composer = composer(look, is_shell(tool));
    let pending = match &composer {
        Composer::Empty => Pending::No,
        Composer::Draft(_) | Composer::Continuation => Pending::Yes,
        Composer::Ambiguous | Composer::Absent => Pending::Unknown,
    };
    let against = unreachable(look).or_else(|| other_program(around, tool)).or_else(|| dialog(look)).or_else(|| {
        let soft = |reason, detail: &str| Some(Why { reason, detail: detail.to_owned(), hard: false });
        if is_shell(tool) && around.foreground.as_ref().is_some_and(|foreground| !foreground.is_own) {
            return soft("busy", "the shell runs a command");
        }
        match &composer {
            Composer::Empty if look.now.cursor_shown => None,
            Composer::Empty => soft("not_ready", "the program hides the cursor"),
            Composer::Draft(_) => soft("draft", "a half-typed text stands in the composer"),
            Composer::Continuation => soft("draft", REST),
            Composer::Ambiguous => soft("draft", "the text at the cursor may be a prompt or a draft"),
            Composer::Absent => soft("busy", "no prompt stands at the cursor"),
        }
    });
    Reading { against, pending, screen: None }
}

/// Keys would not reach the program, or more than the program.
pub(super) fn unreachable(look: &Look) -> Option<Why> {
    let now = &look.now;
    let (reason, detail) = if now.dead {
        ("agent_ended", "the agent's program has ended")
    } else if now.in_mode {
        ("copy_mode", "somebody reads in the pane's copy mode")
    } else if now.input_off {
        ("input_off", "the pane's input is switched off (`select-pane -e` switches it on)")
    } else if now.synchronized {
        ("synchronized", "the window's panes are synchronized: Enter would go to all of them")
    } else {
        return None;
    };
    Some(Why { reason, detail: detail.to_owned(), hard: true })
}

/// A prompt typed into the shell that an agent left behind would run as a command.
pub(super) fn other_program(around: &Around, tool: &str) -> Option<Why> {
    let foreground = around.foreground.as_ref()?;
    let only_shells = !foreground.programs.is_empty() && foreground.programs.iter().all(|name| is_shell(name));
    if !only_shells || is_shell(tool) {
        return None;
    }
    let names = foreground.programs.join(", ");
    let detail = format!("`{tool}` does not run in the foreground; `{names}` does");
    Some(Why { reason: "agent_not_running", detail, hard: true })
}

/// A question with choices is for a person: Enter would pick one.
fn dialog(look: &Look) -> Option<Why> {
    let at = look.now.cursor_y;
    let asks = look.rows.get(at).is_some_and(|row| {
        let row = row.trim_end().to_lowercase();
        ["[y/n]", "(y/n)", "[y/n]?", "(y/n)?", "[y/n]:", "(yes/no)", "(yes/no)?"].iter().any(|end| row.ends_with(end))
    });
    // A pointer in front of a numbered choice, and another choice beside it.
    let numbered = |row: &String, number: char| {
        let text = row.trim_start_matches(|c: char| !c.is_alphanumeric() && !['❯', '›', '●', '>'].contains(&c));
        let (pointer, choice) = match text.chars().next() {
            Some(c) if ['❯', '›', '●', '>'].contains(&c) => (true, text[c.len_utf8()..].trim_start()),
            _ => (false, text),
        };
        let mut signs = choice.chars();
        (signs.next() == Some(number) && matches!(signs.next(), Some('.' | ')')) && signs.next() == Some(' '))
            .then_some(pointer)
    };
    let pointers: Vec<bool> = look.rows.iter().flat_map(|row| ('1'..='9').filter_map(|n| numbered(row, n))).collect();
    let menu = !look.now.cursor_shown && pointers.len() >= 2 && pointers.iter().any(|pointer| *pointer);
    (asks || menu).then(|| Why {
        reason: "dialog",
        detail: "the program asks a question: it needs a person".to_owned(),
        hard: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::composer::tests::pane;

    fn against(look: &Look, around: &Around, tool: &str) -> Option<&'static str> {
        read(look, around, tool).against.map(|why| why.reason)
    }

    fn front(is_own: bool, programs: &[&str]) -> Around {
        let programs = programs.iter().map(|name| (*name).to_owned()).collect();
        Around { modes: None, foreground: Some(Foreground { is_own, programs }) }
    }

    #[test]
    fn a_prompt_at_the_cursor_is_ready_and_the_rest_says_why_not() {
        let none = Around::default();
        assert_eq!(against(&pane("$ ", ""), &none, "bash"), None);
        assert_eq!(against(&pane("$ ls", ""), &none, "bash"), Some("draft"));
        assert_eq!(against(&pane("compiling", ""), &none, "bash"), Some("busy"));
        assert_eq!(against(&pane("Remove it? [y/N]", ""), &none, "bash"), Some("dialog"));
        for (reason, change) in [
            ("agent_ended", (|look: &mut Look| look.now.dead = true) as fn(&mut Look)),
            ("copy_mode", |look| look.now.in_mode = true),
            ("input_off", |look| look.now.input_off = true),
            ("synchronized", |look| look.now.synchronized = true),
            ("not_ready", |look| look.now.cursor_shown = false),
        ] {
            let mut look = pane("$ ", "");
            change(&mut look);
            assert_eq!(against(&look, &none, "bash"), Some(reason));
        }
    }

    #[test]
    fn the_beginning_of_something_is_told_from_a_draft() {
        let wants_rest = |row: &str| read(&pane(row, ""), &Around::default(), "sqlite3").wants_rest();
        assert_eq!(
            [wants_rest("   ...> "), wants_rest("sqlite> select"), wants_rest("sqlite> ")],
            [true, false, false]
        );
    }

    #[test]
    fn who_reads_from_the_terminal_counts() {
        let look = pane("$ ", "");
        assert_eq!(against(&look, &front(true, &["bash"]), "claude"), Some("agent_not_running"));
        assert_eq!(against(&look, &front(true, &["sh", "claude"]), "claude"), None);
        assert_eq!(against(&look, &front(true, &["bash"]), "bash"), None);
        assert_eq!(against(&look, &front(false, &["sleep"]), "bash"), Some("busy"));
    }

    #[test]
    fn a_menu_needs_a_person_and_a_numbered_list_in_a_reply_does_not() {
        let mut menu = pane("", "");
        menu.rows = vec!["Run it?".into(), "❯ 1. Yes".into(), "  2. No".into()];
        menu.now.cursor_shown = false;
        assert_eq!(against(&menu, &Around::default(), "scripted"), Some("dialog"));
        let mut reply = pane("❯ ", "");
        reply.rows.extend(["1. first".into(), "2. second".into()]);
        assert_eq!(against(&reply, &Around::default(), "scripted"), None);
    }
}
