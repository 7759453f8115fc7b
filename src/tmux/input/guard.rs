//! One message that checks, types and marks. Pure.

use tmux_interface::{DisplayMessage, IfShell, PasteBuffer, SendKeys, SetOption};

use super::PaneNow;
use crate::{model::PaneId, tmux::Commands};

/// Is this a tmux that makes control characters of pasted buffers visible?
const CLEANS_PASTES: &str = "#{m/r:^(next-)?(3\\.[7-9]|3\\.[1-9][0-9]|[4-9]\\.|master),#{version}}";

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
    /// What the pane remembers of texts is exactly this: nobody typed since.
    pub typed: Option<String>,
}

impl Guard {
    /// The pane as it was in a look: the same process, program and cursor, and nobody typed since.
    pub fn as_seen(now: &PaneNow) -> Self {
        Self {
            pid: now.pid,
            command: Some(now.command.clone()),
            session_activity: Some(now.session_activity),
            cursor: Some((now.cursor_x, now.cursor_y, now.history)),
            typed: Some(now.typed.clone()),
        }
    }
}

/// Marks that are remembered: enough for everything that can be on its way at once, and then some.
const REMEMBERED: usize = 8;

/// An effect that the pane is to remember, newest first in an option of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    kind: Kind,
    id: String,
    /// What the option held in the look before. Somebody who typed since changes it, and the message is held back.
    before: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Typed,
    Entered,
}

impl Mark {
    /// A text was typed by this name. `before` is [`super::PaneNow::typed`] of the look that led to it.
    pub fn typed(id: &str, before: &str) -> Self {
        Self { kind: Kind::Typed, id: id.to_owned(), before: before.to_owned() }
    }

    /// Enter was pressed behind it. `before` is [`super::PaneNow::entered`] of the look that led to it.
    pub fn entered(id: &str, before: &str) -> Self {
        Self { kind: Kind::Entered, id: id.to_owned(), before: before.to_owned() }
    }

    fn option(&self) -> &'static str {
        match self.kind {
            Kind::Typed => "@agents_typed",
            Kind::Entered => "@agents_entered",
        }
    }

    /// What the option holds afterwards.
    pub fn after(&self) -> String {
        let earlier = if is_history(&self.before) { self.before.as_str() } else { "" };
        let names = std::iter::once(self.id.as_str()).chain(names(earlier).take(REMEMBERED - 1));
        names.collect::<Vec<_>>().join("/")
    }

    fn condition(&self) -> String {
        // A value that somebody else wrote may mean something to tmux's formats.
        if is_history(&self.before) {
            format!("#{{==:#{{{}}},{}}}", self.option(), self.before)
        } else {
            format!("#{{!=:#{{{}}},{}}}", self.option(), self.after())
        }
    }
}

/// The names in an option that holds marks, newest first.
pub(super) fn names(history: &str) -> impl Iterator<Item = &str> {
    history.split('/').filter(|name| !name.is_empty())
}

fn is_history(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/'))
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
        /// The buffer itself holds the signs that end one paste and begin the next.
        framed: bool,
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
        all.extend(self.typed.as_ref().filter(|typed| is_history(typed)).map(|typed| is("@agents_typed", typed)));
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
    conditions.push(mark.condition());
    let typing = strokes.iter().fold(Commands::new(), |list, stroke| match stroke {
        Stroke::Paste { buffer, bracketed, framed } => {
            let paste =
                PasteBuffer::new().no_replacement().delete().buffer_name(buffer.as_str()).target_pane(at.as_str());
            let paste = if *bracketed { paste.bracket_codes() } else { paste };
            if !framed {
                return list.then(paste);
            }
            // Since 3.7 tmux makes control characters of a buffer visible, and `-S` pastes them as they are; older
            // ones know no such flag. What is not carried out is not read either.
            let (as_it_is, plain) =
                (Commands::new().then_with(paste.clone(), &["-S".to_owned()]), Commands::new().then(paste));
            let choice = IfShell::new().not_execute().target_pane(at.as_str()).shell_command(CLEANS_PASTES);
            list.then_with(choice, &[as_it_is.line(), plain.line()])
        }
        Stroke::Key(key) => list.then(SendKeys::new().target_pane(at.as_str()).key(*key)),
        Stroke::Repeated(key, times) => {
            list.then(SendKeys::new().target_pane(at.as_str()).repeat_count(*times).key(*key))
        }
    });
    let after = mark.after();
    let marked = typing
        .then(SetOption::new().pane().target_pane(at.as_str()).option(mark.option()).value(after.as_str()))
        .then(DisplayMessage::new().print().target_pane(at.as_str()).message(DONE));
    either(pane, &all_of(&conditions), &marked, &tell(&at, facts))
}

/// A key where keys reach the program; otherwise the pane's facts.
pub(super) fn pressed(pane: PaneId, pid: u32, key: &'static str, facts: &str) -> Commands {
    let at = pane.to_string();
    let mut conditions = Guard { pid, ..Guard::default() }.conditions(None);
    // Keys of a synchronized window go to all of its panes, keys of a mode to the mode.
    conditions.extend(["#{==:#{pane_in_mode},0}".to_owned(), "#{==:#{pane_synchronized},0}".to_owned()]);
    let press = Commands::new()
        .then(SendKeys::new().target_pane(at.as_str()).key(key))
        .then(DisplayMessage::new().print().target_pane(at.as_str()).message(DONE));
    either(pane, &all_of(&conditions), &press, &tell(&at, facts))
}

/// The content of a buffer, straight to the program whatever mode the pane is in; otherwise the pane's facts.
pub(super) fn pasted(pane: PaneId, pid: u32, buffer: &str, facts: &str) -> Commands {
    let at = pane.to_string();
    let conditions = Guard { pid, ..Guard::default() }.conditions(None);
    let paste = Commands::new()
        .then(PasteBuffer::new().no_replacement().delete().buffer_name(buffer).target_pane(at.as_str()))
        .then(DisplayMessage::new().print().target_pane(at.as_str()).message(DONE));
    either(pane, &all_of(&conditions), &paste, &tell(&at, facts))
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
    fn a_mark_goes_in_front_of_what_is_remembered() {
        assert_eq!(Mark::typed("c", "").after(), "c");
        assert_eq!(Mark::typed("c", "b/a").after(), "c/b/a");
        assert_eq!(Mark::typed("x", "8/7/6/5/4/3/2/1").after(), "x/8/7/6/5/4/3/2");
        let foreign = Mark::typed("c", "#{q}");
        assert_eq!((foreign.after().as_str(), foreign.condition().as_str()), ("c", "#{!=:#{@agents_typed},c}"));
    }

    #[test]
    fn conditions_nest_two_at_a_time_and_odd_programs_are_left_out() {
        assert_eq!(all_of(&["a".into(), "b".into(), "c".into()]), "#{&&:a,#{&&:b,c}}");
        let guard = Guard { pid: 7, command: Some("a,b".into()), ..Guard::default() };
        assert!(!guard.conditions(Some("me")).concat().contains("pane_current_command"));
    }
}
