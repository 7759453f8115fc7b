//! Signals as the gateway hears them.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for an end, and those that must have no effect.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    // Ctrl-Z and Ctrl-\ in the gateway's window would stop or kill it; a registered handler takes their effect away.
    _stop: Signal,
    _quit: Signal,
}

impl Signals {
    /// Starts listening; from here on none of them has its default effect.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            _quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next request to end; returns it in words.
    pub(super) async fn asked_to_end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP (the window was closed)",
        }
    }
}
