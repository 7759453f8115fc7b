//! The operating system: process identity, kernel locks, private files, socket owners, clocks, programs.
//!
//! Owns every write, rename and removal of a file, every lock and every signal. Promises: a file is
//! replaced wholly or not at all and is private from its first byte; a lock dies with its holder; a
//! signal reaches the process that was meant or nobody. Every room that needs the system comes here.

pub mod alarm;
pub mod beneath;
pub mod child;
pub mod clock;
pub mod family;
pub mod files;
pub mod folder;
pub mod lock;
pub mod notify;
pub mod peer;
pub mod process;
pub mod program;
pub mod random;
pub mod rendezvous;
pub mod terminal;
