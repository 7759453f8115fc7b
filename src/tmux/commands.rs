//! Lists of tmux commands, in the two spellings in which tmux takes them. Pure.

use std::borrow::Cow;

use tmux_interface::TmuxCommand;

/// A list of tmux commands that runs as one: tmux does not return to its event loop in between, and stops at
/// the first that fails.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    list: Vec<Vec<String>>,
}

impl Commands {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one command as built by `tmux_interface`.
    #[must_use]
    pub fn then<'a>(self, command: impl Into<TmuxCommand<'a>>) -> Self {
        self.then_with(command, &[])
    }

    /// Appends one command followed by words that are passed as they are (a program and its arguments).
    #[must_use]
    pub fn then_with<'a>(mut self, command: impl Into<TmuxCommand<'a>>, tail: &[String]) -> Self {
        let command: TmuxCommand<'a> = command.into();
        let words = command.to_vec().into_iter().map(Cow::into_owned);
        self.list.push(words.chain(tail.iter().cloned()).collect());
        self
    }

    /// Is there anything to run?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The name of the first command; empty if there is none.
    pub(super) fn first(&self) -> String {
        self.list.first().and_then(|words| words.first()).cloned().unwrap_or_default()
    }

    /// As the arguments of a tmux process.
    pub(super) fn argv(&self) -> impl Iterator<Item = String> {
        self.list.iter().enumerate().flat_map(|(number, words)| {
            let separator = (number > 0).then(|| ";".to_owned());
            separator.into_iter().chain(words.iter().map(|word| keep_semicolon(word)))
        })
    }

    /// As one line of tmux's own language: for a control client, and for `if-shell`.
    pub(super) fn line(&self) -> String {
        let commands =
            self.list.iter().map(|words| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        commands.collect::<Vec<_>>().join(" ; ")
    }
}

/// tmux takes a word's final `;` for a separator; escaped, it is part of the word again.
fn keep_semicolon(word: &str) -> String {
    match word.strip_suffix(';') {
        Some(rest) => format!("{rest}\\;"),
        None => word.to_owned(),
    }
}

/// One word of tmux's language. In double quotes only `\`, `"`, `$` and, in front, `~` have a meaning; a line break would
/// end the command, so it is written as an escape.
fn quoted(word: &str) -> String {
    let is_plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'@' | b'%' | b':' | b'.' | b'/' | b'=');
    // `%if` and its kind are directives wherever a bare word is one; pane ids (`%3`) are not.
    let is_directive = word.strip_prefix('%').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    if !word.is_empty() && !is_directive && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    let mut text = String::with_capacity(word.len() + 8);
    text.push('"');
    for c in word.chars() {
        match c {
            '\\' | '"' | '$' | '~' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use tmux_interface::{DisplayMessage, KillWindow};

    use super::*;

    #[test]
    fn commands_are_joined_and_a_final_semicolon_stays_in_its_word() {
        let list = Commands::new()
            .then(KillWindow::new().target_window("@1"))
            .then_with(DisplayMessage::new().print(), &["sh".into(), "-c".into(), "echo hi;".into()]);
        let argv: Vec<String> = list.argv().collect();
        assert_eq!(argv, ["kill-window", "-t", "@1", ";", "display-message", "-p", "sh", "-c", "echo hi\\;"]);
        assert_eq!(list.line(), "kill-window -t @1 ; display-message -p sh -c \"echo hi;\"");
    }

    #[test]
    fn a_line_keeps_what_has_a_meaning_in_quotes() {
        let words = ["a\\b", "\"", "$HOME", "#{pane_id} ~", "", "x\ny", "%if", "%3"].map(str::to_owned);
        let list = Commands::new().then_with(DisplayMessage::new().print(), &words);
        let expected = r##"display-message -p "a\\b" "\"" "\$HOME" "#{pane_id} \~" "" "x\ny" "%if" %3"##;
        assert_eq!(list.line(), expected);
    }
}
