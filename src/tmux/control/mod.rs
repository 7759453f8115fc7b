//! One long-lived conversation with a tmux server in control mode (`tmux -C attach-session`).
//!
//! [`parser`] turns bytes into events and knows nothing of processes; [`client`] runs the process, gives
//! every caller the answer to its own command and hands on what tmux tells unasked ([`Notices`]) and what one pane
//! prints ([`Output`]).
//!
//! A control client that stops reading can make the person's tmux server grow, freeze or fail to end. So
//! the one promise everything here serves: tmux's output is read as fast as it comes, whoever is slow.

pub mod client;
mod command;
mod notice;
mod notices;
mod output;
pub mod parser;
mod router;

pub use client::{Answer, Closed, Control, ControlError, Driver, open};
pub use notice::Notice;
pub use notices::Notices;
pub use output::{Output, Printed};
pub use parser::{Event, Parser};
