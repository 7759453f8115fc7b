//! A look at a pane together with what the kernel says of its terminal.

use crate::{
    os::terminal,
    tmux::input::Look,
    tracker::{self, Around, Reading},
};

/// Reads a look, and asks the kernel only where it looks ready: while a program works, it is looked at often.
pub fn glance(look: &Look, tool: &str) -> (Around, Reading) {
    let reading = tracker::read(look, &Around::default(), tool);
    if reading.is_ready() { survey(look, tool) } else { (Around::default(), reading) }
}

/// Reads a look together with what the kernel says.
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
