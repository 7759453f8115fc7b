//! A gateway for every agent that runs in tmux.
//!
//! The rooms, in the order in which a prompt travels.

// the nouns, and the documents they stand in
pub mod api;
pub mod model;

// the machine
pub mod os;

// the door
pub mod http;
