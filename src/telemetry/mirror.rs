//! Shows the log in the gateway's own window without ever waiting for the terminal.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that may wait for the terminal; more are dropped.
const WAITING: usize = 256;

/// The thread only writes; the default stack would be two megabytes of address space for nothing.
const STACK: usize = 64 * 1024;

#[derive(Debug)]
enum Message {
    Line(String),
    /// Answered when everything before it has been written or dropped.
    Settled(SyncSender<()>),
}

/// A second place for log lines: a terminal that may be stopped or gone at any time.
#[derive(Debug)]
pub struct WindowMirror {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl WindowMirror {
    /// Starts the thread that writes to the terminal. It ends after the mirror is dropped and is never
    /// waited for: a stopped terminal would keep it for ever.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(terminal: Box<dyn Write + Send>) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new()
            .name("window-mirror".to_owned())
            .stack_size(STACK)
            .spawn(move || copy(&waiting, terminal, &counter))?;
        Ok(Self { lines, dropped })
    }

    /// Shows a line, given without its newline, or drops and counts it. Never blocks.
    pub fn show(&self, mut line: String) {
        line.push('\n');
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were not shown: the terminal was stopped, or it is closed.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until the lines so far are written or dropped, at most for `limit`; `false` if they are not.
    pub fn drain(&self, limit: Duration) -> bool {
        let (settled, answer) = sync_channel(1);
        // A queue that is full belongs to a terminal that does not take lines.
        self.lines.try_send(Message::Settled(settled)).is_ok() && answer.recv_timeout(limit).is_ok()
    }
}

fn copy(waiting: &Receiver<Message>, mut terminal: Box<dyn Write + Send>, dropped: &AtomicU64) {
    for message in waiting {
        match message {
            Message::Line(line) => {
                // A closed terminal fails at once on every line, so trying again costs nothing.
                if terminal.write_all(line.as_bytes()).and_then(|()| terminal.flush()).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Whoever asked may have stopped waiting; that is their affair.
            Message::Settled(asker) => drop(asker.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_terminal_that_takes_nothing_does_not_block_and_loses_lines() {
        let (reader, writer) = io::pipe().unwrap();
        let mirror = WindowMirror::start(Box::new(writer)).unwrap();
        // 2000 lines of 1 KiB: the kernel's pipe and the queue together hold a sixth of them.
        for _ in 0..2000 {
            mirror.show("x".repeat(1023));
        }
        assert!(mirror.dropped() > 1000, "only {} were dropped", mirror.dropped());
        assert!(!mirror.drain(Duration::ZERO), "nothing has been shown to the end");
        drop(reader);
    }

    #[test]
    fn a_closed_terminal_is_counted() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mirror = WindowMirror::start(Box::new(writer)).unwrap();
        mirror.show("one".to_owned());
        mirror.show("two".to_owned());
        assert!(mirror.drain(PATIENCE));
        assert_eq!(mirror.dropped(), 2);
    }

    #[test]
    fn the_last_lines_are_written_before_the_thread_ends() {
        let (reader, writer) = io::pipe().unwrap();
        let mirror = WindowMirror::start(Box::new(writer)).unwrap();
        mirror.show("one".to_owned());
        mirror.show("two".to_owned());
        drop(mirror);
        assert_eq!(io::read_to_string(reader).unwrap(), "one\ntwo\n");
    }
}
