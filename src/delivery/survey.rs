//! A look at a pane together with what the kernel says of its terminal.

use crate::{
    os::terminal,
    tmux::input::Look,
    tracker::{self, Around, Reading},
};

/// Reads a look. The kernel is asked only where its answer can change something.
pub fn survey(look: &Look, tool: &str) -> (Around, Reading) {
    let reading = tracker::read(look, &Around::default(), tool);
    if reading.against.as_ref().is_some_and(|why| why.hard) {
        return (Around::default(), reading);
    }
    let around =
        Around { modes: terminal::modes(look.now.tty.as_ref()), foreground: terminal::foreground(look.now.pid) };
    let reading = tracker::read(look, &around, tool);
    (around, reading)
}
