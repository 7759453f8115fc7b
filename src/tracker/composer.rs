//! Where a person would type: the cursor's row, cut into prompt and draft. Pure.

use unicode_width::UnicodeWidthChar;

use crate::tmux::input::Look;

/// Signs that end a prompt.
const ENDINGS: [char; 9] = ['$', '#', '%', '>', '❯', '›', '»', '➜', 'λ'];

/// Lines that frame a composer.
pub const FRAMES: [char; 6] = ['│', '┃', '║', '▌', '▏', '▎'];

/// Prompts that ask for the rest of something.
const CONTINUATIONS: [&str; 6] = ["...>", "quote>", "dquote>", "heredoc>", "cmdsubst>", "for>"];

/// What stands at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composer {
    /// A prompt and nothing behind it.
    Empty,
    /// A prompt and a text that nobody has submitted.
    Draft(String),
    /// A prompt, then text that ends like another prompt: either can be the prompt.
    Ambiguous,
    /// A prompt that asks for the rest of something.
    Continuation,
    /// No prompt.
    Absent,
}

/// The cursor's row, cut at the cursor; the first part is as wide as the cursor's column.
pub fn cursor_text(look: &Look) -> (String, String) {
    let row = look.rows.get(look.now.cursor_y).map(String::as_str).unwrap_or_default();
    // Versions of tmux draw joined signs with different widths, and only the row's end is the same for all of them.
    if let Some(least) = least_width(row)
        && look.now.cursor_x >= least
    {
        let blanks = look.now.cursor_x - least;
        return (format!("{row}{}", " ".repeat(blanks)), String::new());
    }
    let (mut column, mut before, mut joined) = (0, String::new(), false);
    let mut rest = row.chars();
    while column < look.now.cursor_x || joined {
        let Some(c) = rest.next() else { break };
        column += part_width(c, joined);
        joined = c == JOINER || rest.as_str().starts_with(JOINER);
        before.push(c);
    }
    // tmux prints no spaces at the end of a row, and a prompt mostly ends in one.
    before.extend(std::iter::repeat_n(' ', look.now.cursor_x.saturating_sub(column)));
    // What has no width belongs to the character before it.
    let after: String = rest.skip_while(|c| c.width().unwrap_or(0) == 0).collect();
    (before, after)
}

/// How wide a row with joined signs is at least, where each of them takes the place of its first; `None` for a row
/// without any.
fn least_width(row: &str) -> Option<usize> {
    let (mut width, mut joined, mut any) = (0, false, false);
    for c in row.chars() {
        width += part_width(c, joined);
        any |= joined || is_skin_tone(c);
        joined = c == JOINER;
    }
    any.then_some(width)
}

/// Joins the sign before it and the one behind it.
const JOINER: char = '\u{200d}';

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Columns that a sign adds, where a joined one takes the place of the one before it.
fn part_width(c: char, joined: bool) -> usize {
    if joined || is_skin_tone(c) { 0 } else { c.width().unwrap_or(0) }
}

/// What stands at the cursor. In a shell a lone `>` asks for the rest of a command.
pub fn composer(look: &Look, shell: bool) -> Composer {
    let (before, after) = cursor_text(look);
    let before = without_frame(&before);
    let after = after.trim_end_matches(|c: char| FRAMES.contains(&c) || c.is_whitespace());
    let ends = prompt_ends(before);
    let Some(first) = ends.first().copied() else { return Composer::Absent };
    if !before.ends_with(char::is_whitespace) || ends.last() != Some(&before.len()) {
        return Composer::Draft(format!("{}{after}", &before[first..]));
    }
    // A text to the right of the cursor is a draft, unless it stands apart: a clock at the end of the row.
    if !after.is_empty() && !after.starts_with("  ") {
        return Composer::Draft(after.to_owned());
    }
    let prompt = before.trim();
    if CONTINUATIONS.iter().any(|one| prompt.ends_with(one)) || (shell && prompt == ">") {
        return Composer::Continuation;
    }
    if ends.len() > 1 { Composer::Ambiguous } else { Composer::Empty }
}

fn without_frame(row: &str) -> &str {
    let inner = row.trim_start();
    match inner.chars().next() {
        Some(c) if FRAMES.contains(&c) => inner[c.len_utf8()..].trim_start(),
        _ => row,
    }
}

/// Where prompts end: behind one blank that follows an ending sign which no blank precedes, but for a row's start.
fn prompt_ends(row: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut previous = None;
    for (at, c) in row.char_indices() {
        if c.is_whitespace() && previous.is_some_and(|p| ENDINGS.contains(&p)) {
            ends.push(at + c.len_utf8());
        }
        previous = Some(c);
    }
    ends
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::tmux::input::PaneNow;

    /// A pane whose cursor stands behind `row`, then `after`.
    pub(in crate::tracker) fn pane(row: &str, after: &str) -> Look {
        let width = |text: &str| text.chars().map(|c| c.width().unwrap_or(0)).sum();
        let now = PaneNow {
            server_pid: 1,
            pid: 2,
            dead: false,
            in_mode: false,
            input_off: false,
            synchronized: false,
            alternate: false,
            cursor_shown: true,
            cursor_x: width(row),
            cursor_y: 0,
            width: 80,
            height: 2,
            history: 0,
            history_limit: 2000,
            session_activity: 0,
            window_activity: 0,
            person_activity: None,
            hand: String::new(),
            typed: String::new(),
            entered: String::new(),
            tty: String::new(),
            title: String::new(),
            command: "bash".to_owned(),
        };
        Look { now, rows: vec![format!("{row}{after}").trim_end().to_owned(), String::new()], ..Look::default() }
    }

    #[test]
    fn prompts_of_line_readers_are_seen_empty() {
        for row in [
            "$ ",
            "bash-5.2$ ",
            "root@host:/tmp# ",
            ">>> ",
            "sqlite> ",
            "ready> ",
            "❯ ",
            "❯\u{a0}",
            "│ > ",
            "~/é世界 % ",
        ] {
            assert_eq!(composer(&pane(row, ""), false), Composer::Empty, "{row}");
        }
        assert_eq!(composer(&pane("$ ", "                12:30"), false), Composer::Empty, "a clock at the right");
        assert_eq!(composer(&pane("│ > ", "            │"), false), Composer::Empty, "a frame at the right");
    }

    #[test]
    fn half_typed_lines_are_drafts() {
        for (row, after, draft) in [
            ("$ ls", "", "ls"),
            ("❯ fix it ", "", "fix it "),
            ("$ ", "ls", "ls"),
            ("sqlite> select", " 1;", "select 1;"),
            ("❯ 世界", "", "世界"),
        ] {
            assert_eq!(composer(&pane(row, after), false), Composer::Draft(draft.to_owned()), "{row}|{after}");
        }
    }

    #[test]
    fn joined_signs_have_the_width_that_the_terminal_gave_them() {
        let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        for (row, columns) in [
            (format!("❯ {family} and text"), 13),
            (format!("❯ {family} and text"), 17),
            (format!("❯ {family}"), 4),
            ("❯ \u{1f44d}\u{1f3fd}x".to_owned(), 5),
            ("❯ \u{1f44d}\u{1f3fd}x".to_owned(), 7),
        ] {
            let mut look = pane("", "");
            look.now.cursor_x = columns;
            look.rows[0].clone_from(&row);
            let (before, after) = cursor_text(&look);
            assert_eq!((before.trim_end(), after.as_str()), (row.as_str(), ""), "{columns}");
        }
        let mut look = pane("", "");
        look.now.cursor_x = 5;
        look.rows[0] = "\u{1f468}\u{200d}\u{1f4bb} ❯".to_owned();
        assert_eq!(composer(&look, false), Composer::Empty);
        look.now.cursor_x = 3;
        assert_eq!(cursor_text(&look).1, "❯", "a cursor inside the row");
    }

    #[test]
    fn what_is_no_empty_prompt_is_not_taken_for_one() {
        assert_eq!(composer(&pane("$ echo > ", ""), true), Composer::Ambiguous);
        assert_eq!(composer(&pane("> ", ""), true), Composer::Continuation);
        assert_eq!(composer(&pane("> ", ""), false), Composer::Empty);
        assert_eq!(composer(&pane("   ...> ", ""), false), Composer::Continuation);
        for row in ["", "working", "Password: ", "Proceed? [y/N] ", "... ", "50%", "[1/3]"] {
            assert_eq!(composer(&pane(row, ""), false), Composer::Absent, "{row}");
        }
    }
}
