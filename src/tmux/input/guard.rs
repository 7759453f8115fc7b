//! One message that checks, types and marks. Pure.

use tmux_interface::{DisplayMessage, IfShell, PasteBuffer, SendKeys, SetOption};

use crate::{model::PaneId, tmux::Commands};

/// What a message prints when its effect happened.
pub(super) const DONE: &str = "agents-done";

/// What must be so in the moment of typing. The pane lives, is in no mode, takes input and is not synchronized, and
/// its hand is ours: that is always checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The process that the pane was started with.
    pub pid: u32,
    /// The foreground program; checked if its name is a plain word.
    pub command: Option<String>,
    /// No person pressed a key since this moment, seconds since 1970.
    pub session_activity: Option<i64>,
    /// The cursor stands here (column, row) and nothing scrolled (rows that have scrolled out).
    pub cursor: Option<(usize, usize, usize)>,
    /// The last text typed by us is this one: Enter belongs to it.
    pub typed: Option<String>,
}

/// An option of the pane and its value: the terminal's own memory of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A text was typed, by this name.
    Typed(String),
    /// Enter was pressed behind it.
    Entered(String),
}

impl Mark {
    fn option(&self) -> &'static str {
        match self {
            Self::Typed(_) => "@agents_typed",
            Self::Entered(_) => "@agents_entered",
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::Typed(value) | Self::Entered(value) => value,
        }
    }
}

/// One thing to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stroke {
    /// The content of a loaded buffer, which is removed.
    Paste {
        /// The buffer.
        buffer: String,
        /// As a paste, if the program asked to be told of pastes; otherwise as if typed.
        bracketed: bool,
    },
    /// A key, by tmux's name.
    Key(&'static str),
    /// A key, so many times.
    Repeated(&'static str, usize),
}

impl Guard {
    fn conditions(&self, owner: Option<&str>) -> Vec<String> {
        let is = |format: &str, value: &str| format!("#{{==:#{{{format}}},{value}}}");
        let mut all = vec![is("pane_pid", &self.pid.to_string()), is("pane_dead", "0"), is("pane_input_off", "0")];
        all.extend(owner.map(|owner| is("@agents_hand", owner)));
        if owner.is_some() {
            all.extend([is("pane_in_mode", "0"), is("pane_synchronized", "0")]);
        }
        all.extend(self.command.as_ref().filter(|name| is_plain(name)).map(|name| is("pane_current_command", name)));
        all.extend(self.session_activity.map(|since| is("session_activity", &since.to_string())));
        if let Some((x, y, history)) = self.cursor {
            all.push(is("cursor_x", &x.to_string()));
            all.push(is("cursor_y", &y.to_string()));
            all.push(is("history_size", &history.to_string()));
        }
        all.extend(self.typed.as_ref().map(|typed| is("@agents_typed", typed)));
        all
    }
}

/// A word that means nothing to tmux's formats.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'))
}

/// `#{&&:a,#{&&:b,c}}`: tmux's own takes two at a time.
fn all_of(conditions: &[String]) -> String {
    let mut conditions = conditions.iter().rev();
    let last = conditions.next().cloned().unwrap_or_else(|| "1".to_owned());
    conditions.fold(last, |rest, one| format!("#{{&&:{one},{rest}}}"))
}

/// Checks, types, marks and says so; or prints the pane's facts.
pub(super) fn message(
    pane: PaneId,
    owner: &str,
    guard: &Guard,
    strokes: &[Stroke],
    mark: &Mark,
    facts: &str,
) -> Commands {
    let at = pane.to_string();
    let mut conditions = guard.conditions(Some(owner));
    conditions.push(format!("#{{!=:#{{{}}},{}}}", mark.option(), mark.value()));
    let typing = strokes.iter().fold(Commands::new(), |list, stroke| match stroke {
        Stroke::Paste { buffer, bracketed } => {
            let paste =
                PasteBuffer::new().no_replacement().delete().buffer_name(buffer.as_str()).target_pane(at.as_str());
            list.then(if *bracketed { paste.bracket_codes() } else { paste })
        }
        Stroke::Key(key) => list.then(SendKeys::new().target_pane(at.as_str()).key(*key)),
        Stroke::Repeated(key, times) => {
            list.then(SendKeys::new().target_pane(at.as_str()).repeat_count(*times).key(*key))
        }
    });
    let marked = typing
        .then(SetOption::new().pane().target_pane(at.as_str()).option(mark.option()).value(mark.value()))
        .then(DisplayMessage::new().print().target_pane(at.as_str()).message(DONE));
    either(pane, &all_of(&conditions), &marked, &tell(&at, facts))
}

/// A key that reaches the program past a mode: pasted there, pressed elsewhere.
pub(super) fn through(pane: PaneId, guard: &Guard, key: &'static str, buffer: &str, facts: &str) -> Commands {
    let at = pane.to_string();
    let said = |list: Commands| list.then(DisplayMessage::new().print().target_pane(at.as_str()).message(DONE));
    let pressed = said(Commands::new().then(SendKeys::new().target_pane(at.as_str()).key(key)));
    let paste = PasteBuffer::new().no_replacement().buffer_name(buffer).target_pane(at.as_str());
    let pasted = said(Commands::new().then(paste));
    // Keys of a synchronized window go to all of its panes; what is pasted goes to one.
    let straight = "#{&&:#{==:#{pane_in_mode},0},#{==:#{pane_synchronized},0}}";
    let typed = either(pane, straight, &pressed, &pasted);
    either(pane, &all_of(&guard.conditions(None)), &typed, &tell(&at, facts))
}

fn tell(at: &str, facts: &str) -> Commands {
    Commands::new().then(DisplayMessage::new().print().target_pane(at).message(facts))
}

fn either(pane: PaneId, condition: &str, then: &Commands, otherwise: &Commands) -> Commands {
    let at = pane.to_string();
    let choice = IfShell::new().not_execute().target_pane(at.as_str()).shell_command(condition);
    Commands::new().then_with(choice, &[then.line(), otherwise.line()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_nest_two_at_a_time_and_odd_programs_are_left_out() {
        assert_eq!(all_of(&["a".into(), "b".into(), "c".into()]), "#{&&:a,#{&&:b,c}}");
        let guard = Guard { pid: 7, command: Some("a,b".into()), ..Guard::default() };
        assert!(!guard.conditions(Some("me")).concat().contains("pane_current_command"));
    }
}
