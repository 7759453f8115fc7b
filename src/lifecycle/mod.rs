//! Transitions of a session: launch, join, attach, detach, stop, relaunch, cleanup; and reading its status.
//!
//! Owns the order of steps and their undoing. Promises: a transition holds the session's transition lock, so
//! two of them never interleave; what fails undoes, in reverse, exactly what this attempt did; window 0 is
//! never touched except by `launch`, `stop` and `relaunch` of a session that was launched here; nothing is
//! printed. Callers: `cli`.

mod attach;
mod cleanup;
mod detach;
pub mod direct;
mod doctor;
pub mod headless;
mod hooks;
mod join;
mod launch;
mod listing;
mod live;
mod mailbox;
mod publish;
mod relaunch;
mod status;
mod stop;
mod terminal;
mod withdraw;

pub use attach::{AttachOptions, Attached, attach};
pub use cleanup::{Leftover, OldTurns, find_leftovers, find_old_turns, remove_leftovers, remove_old_turns};
pub use detach::{Detached, detach};
pub use doctor::{Check, Severity, examine};
pub use headless::{HeadlessOptions, JoinHeadless};
pub use join::{JoinOptions, join};
pub use launch::{Created, LaunchOptions, launch};
pub use listing::{Entry, list};
pub use live::{Live, observe, reach};
pub use mailbox::{
    MailboxWish, ServerWish, Unbound, Unread, bind as bind_mailbox, bind_server as bind_mail_server,
    unbind as unbind_mailbox, unread,
};
pub use relaunch::relaunch;
pub use status::{Reading, status};
pub use stop::{Stopped, stop};
pub use terminal::{Terminal, attach_terminal};

use std::time::Duration;

use crate::{
    model::{ErrorCode, Failure, shell_quote},
    os::{files, lock::Lock},
    session::SessionRoot,
};

/// How long a transition waits for another one of the same session: an attach may take nearly as long.
const TRANSITION_LIMIT: Duration = Duration::from_secs(30);

/// Takes the session's transition lock.
fn begin(root: &SessionRoot) -> Result<Lock, Failure> {
    // A launch that was killed may have left a root without it.
    if root.path().is_dir() {
        files::create_private_dir(&root.gateway())?;
    }
    Lock::take_within(&root.transition_lock(), TRANSITION_LIMIT)?.ok_or_else(|| {
        Failure::new(
            ErrorCode::Timeout,
            format!(
                "another attach, detach or stop of this session has been running for {} s",
                TRANSITION_LIMIT.as_secs()
            ),
            format!(
                "`fuser {}` names the process that holds it",
                shell_quote(&root.transition_lock().to_string_lossy())
            ),
        )
    })
}
