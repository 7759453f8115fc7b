//! The grammar of a selector. Pure.

use crate::model::{AgentId, AgentName, Failure, SessionName};

/// Which session a person means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// By the agent's name; refused when several have it.
    AgentName(AgentName),
    /// By the registry's key.
    AgentId(AgentId),
    /// The session that this command runs in.
    CurrentSession,
    /// By the exact name of a tmux session.
    TmuxSession(SessionName),
}

/// What was typed: at most one may be set.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// `--agent-name`.
    pub agent_name: Option<String>,
    /// `--agent-id`.
    pub agent_id: Option<String>,
    /// `--current-session`.
    pub current_session: bool,
    /// `--target-tmux-session`.
    pub tmux_session: Option<String>,
}

/// The choices, as a hint.
pub(super) const CHOICES: &str =
    "name one: --agent-name NAME, --agent-id ID, --target-tmux-session SESSION, or --current-session inside tmux";

/// Turns what was typed into a selector. Nothing typed means the current session, inside tmux only.
///
/// # Errors
/// A usage failure: more than one selector, a blank or impossible one, or none outside tmux.
pub fn choose(typed: &Typed, inside_tmux: bool) -> Result<Selector, Failure> {
    let count = usize::from(typed.agent_name.is_some())
        + usize::from(typed.agent_id.is_some())
        + usize::from(typed.current_session)
        + usize::from(typed.tmux_session.is_some());
    if count > 1 {
        return Err(Failure::usage("more than one session was named", CHOICES));
    }
    if let Some(name) = &typed.agent_name {
        return Ok(Selector::AgentName(AgentName::parse(name)?));
    }
    if let Some(id) = &typed.agent_id {
        return Ok(Selector::AgentId(AgentId::parse(id)?));
    }
    if let Some(name) = &typed.tmux_session {
        return Ok(Selector::TmuxSession(SessionName::parse(name)?));
    }
    if inside_tmux {
        return Ok(Selector::CurrentSession);
    }
    let what = if typed.current_session { "there is no current session outside tmux" } else { "no session was named" };
    Err(Failure::usage(what, CHOICES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_selector_and_none_only_inside_tmux() {
        let none = Typed::default();
        assert_eq!(choose(&none, true).unwrap(), Selector::CurrentSession);
        assert!(choose(&none, false).unwrap_err().hint.contains("--agent-name"));
        let current = Typed { current_session: true, ..Typed::default() };
        assert!(choose(&current, false).unwrap_err().message.contains("outside tmux"));
        let two = Typed { current_session: true, agent_id: Some("a".into()), ..Typed::default() };
        assert!(choose(&two, true).unwrap_err().message.contains("more than one"));
        let blank = Typed { agent_name: Some(" ".into()), ..Typed::default() };
        assert!(choose(&blank, true).is_err());
    }
}
