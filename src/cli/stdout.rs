//! The one writer of stdout. It never panics, and the first failure is remembered for the exit status.
//!
//! A reader that goes away (`| head`) is no failure of ours: the rest goes nowhere, and the command ends as it would.
//! Every other failure means that the answer did not arrive, and [`failure`] says so.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

/// Why nothing more is written; set once.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Writes and flushes. Returns whether the bytes, and so those that may follow, are still taken.
pub(super) fn write(bytes: &[u8]) -> bool {
    if FAILED.get().is_some() {
        return false;
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) => {
            FAILED.get_or_init(|| error);
            false
        }
    }
}

/// What kept the answer from arriving, if anything but the reader did.
pub(super) fn failure() -> Option<&'static io::Error> {
    FAILED.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}
