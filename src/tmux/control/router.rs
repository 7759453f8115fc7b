//! Gives what a control client says to whom it belongs: answers to callers, output to its listener, news to the rest.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::{
    client::{Answer, ControlError},
    notice::Notice,
    notices::Publisher,
    output::Tap,
    parser::{Event, Parser},
};
use crate::model::PaneId;

/// Gives every event to whom it belongs.
#[derive(Debug)]
pub(super) struct Router {
    /// Who waits, in the order of the commands, which is the order of the answers. Callers that gave up stay
    /// in it, or the next one would get their answer.
    pub(super) unanswered: VecDeque<Waiting>,
    publisher: Publisher,
    /// Whoever wants what one pane prints.
    pub(super) tap: Option<Tap>,
    /// tmux has answered the attaching itself.
    pub(super) attached: bool,
    pub(super) not_attached: Option<String>,
    pub(super) exit: Option<String>,
}

/// Who waits for which blocks.
#[derive(Debug)]
pub(super) struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// For a list: everything up to the block that holds exactly this line belongs to it.
    fence: Option<Vec<u8>>,
    printed: Vec<Vec<u8>>,
    refused: Option<ControlError>,
}

impl Router {
    pub(super) fn new(publisher: Publisher) -> Self {
        let unanswered = VecDeque::new();
        Self { unanswered, publisher, tap: None, attached: false, not_attached: None, exit: None }
    }

    pub(super) fn route(&mut self, parser: &mut Parser, bytes: &[u8]) {
        parser.feed(bytes, |event| match event {
            Event::Block { flags, ok, lines, truncated, .. } if flags & 1 == 1 => {
                let answer = if !ok {
                    Err(ControlError::Refused(text(&lines.join(&b'\n'))))
                } else if truncated {
                    Err(ControlError::TooLarge)
                } else {
                    Ok(lines)
                };
                self.answer(answer);
            }
            // Before the first answer this can only be the attaching; afterwards it is a hook, nobody's business.
            Event::Block { ok: false, lines, .. } if !self.attached => {
                self.not_attached = Some(text(&lines.join(&b'\n')));
            }
            Event::Block { .. } => self.attached = true,
            Event::Notice(notice) => {
                if let Notice::Exit { reason } = &notice {
                    self.exit = Some(text(reason));
                }
                self.tell(notice);
            }
        });
    }

    /// Output and what belongs to it goes to whoever listens; a flood of it must not push other notices out.
    fn tell(&self, notice: Notice) {
        let tap = |pane: PaneId| self.tap.as_ref().filter(|tap| tap.is_of(pane));
        match notice {
            Notice::Output { pane, bytes } | Notice::ExtendedOutput { pane, bytes, .. } => {
                if let Some(tap) = tap(pane) {
                    tap.print(&bytes);
                }
            }
            Notice::Pause(pane) => {
                if let Some(tap) = tap(pane) {
                    tap.pause();
                }
            }
            Notice::ModeChanged(pane) => {
                if let Some(tap) = tap(pane) {
                    tap.mode_changed();
                }
            }
            other => self.publisher.publish(other),
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some(first) = self.unanswered.front_mut() else {
            tracing::warn!("tmux answered a command that nobody sent");
            return;
        };
        let Some(answer) = first.gather(answer) else { return };
        let Some(caller) = self.unanswered.pop_front() else { return };
        if caller.answer.send(answer).is_err() {
            tracing::debug!("tmux answered a caller that had given up");
        }
    }
}

impl Waiting {
    pub(super) fn new(answer: oneshot::Sender<Answer>, fence: Option<Vec<u8>>) -> Self {
        Self { answer, fence, printed: Vec::new(), refused: None }
    }

    /// Nobody listens for the answer any more.
    pub(super) fn has_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    /// Takes one block; returns the whole answer once it is complete.
    fn gather(&mut self, block: Answer) -> Option<Answer> {
        let Some(fence) = &self.fence else { return Some(block) };
        match block {
            Ok(lines) if lines.len() == 1 && lines[0] == *fence => {
                let printed = std::mem::take(&mut self.printed);
                return Some(self.refused.take().map_or(Ok(printed), Err));
            }
            Ok(lines) => self.printed.extend(lines),
            // The first failure is the reason; what was asked to follow it was not carried out.
            Err(error) => drop(self.refused.get_or_insert(error)),
        }
        None
    }
}

/// For people: what is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
