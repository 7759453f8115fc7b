//! Showing a session in the caller's terminal.

use crate::{
    model::{ErrorCode, Failure},
    target::Target,
};

/// Where the caller's terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Inside no tmux.
    Plain,
    /// A pane of the session's own server.
    OfThisServer,
    /// A pane of another server.
    OfAnotherServer,
}

/// Switches the caller's tmux client to the session, or becomes a new client; then it does not return.
///
/// # Errors
/// [`Failure`] if the session is gone, if the terminal is a pane of another server, or in tmux's words.
pub fn attach_terminal(target: &Target, terminal: Terminal) -> Result<(), Failure> {
    let session = target.live_session()?.session_id.to_string();
    match terminal {
        Terminal::OfThisServer => Ok(target.server.switch_client(&session)?),
        Terminal::OfAnotherServer => Err(Failure::new(
            ErrorCode::Refused,
            "this terminal is a pane of another tmux server, and tmux in tmux takes each other's keys",
            "detach from that one first, or use another terminal",
        )),
        Terminal::Plain => Err(target.server.become_client(&session).into()),
    }
}
