//! The keys that interrupt, and the pause that Enter keeps from them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use crate::{
    os::terminal::Modes,
    tmux::input::{Acted, Hand, HandError},
};

/// Programs take what follows an Escape sooner than this for one key with it.
pub const AFTER_ESCAPE: Duration = Duration::from_millis(600);

/// Who may press a single key now. An interrupt waits for nobody's text, and nobody's Enter follows it at once.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    last_interrupt: Arc<Mutex<Option<Instant>>>,
}

/// A moment in which no interrupt comes in between.
#[derive(Debug)]
pub(super) struct Still<'a> {
    _held: MutexGuard<'a, Option<Instant>>,
}

impl Keys {
    /// Holds interrupts back for one message; `Err` says how long to wait first, because one was just sent.
    pub(super) async fn still(&self) -> Result<Still<'_>, Duration> {
        let held = self.last_interrupt.lock().await;
        match held.map(|at| AFTER_ESCAPE.saturating_sub(at.elapsed())) {
            Some(left) if !left.is_zero() => Err(left),
            _ => Ok(Still { _held: held }),
        }
    }
}

/// Interrupts the program, whatever else goes on: Ctrl-C where the terminal makes a signal of it, else Escape.
///
/// `name` is unique to this interrupt. Returns the key that was pressed, or the facts that kept it from being.
///
/// # Errors
/// [`HandError`].
pub async fn interrupt(
    hand: &Hand,
    keys: &Keys,
    pid: u32,
    modes: Option<Modes>,
    name: &str,
) -> Result<(&'static str, Acted), HandError> {
    let signals = modes.is_some_and(|modes| modes.signals);
    let (key, byte) = if signals { ("C-c", 3) } else { ("Escape", 27) };
    let mut last = keys.last_interrupt.lock().await;
    let acted = hand.press_through(pid, key, byte, name).await;
    *last = Some(Instant::now());
    acted.map(|acted| (key, acted))
}
