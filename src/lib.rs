//! A gateway for every agent that runs in tmux.
//!
//! The rooms, in the order in which a prompt travels.

// the nouns, and the documents they stand in
pub mod model;

pub mod api;

// what each agent program looks like and says
pub mod agents;

// the machine
pub mod os;

// 3: the session on disk
pub mod session;

pub mod store;

// 4: the only room that runs tmux
pub mod tmux;

// 7: evidence in, what the agent is doing out
pub mod tracker;

// 7: one prompt into one agent, with proof
pub mod delivery;

// what the gateway says about itself
pub mod telemetry;

// 2: which session do you mean?
pub mod target;

// 5: transitions, and the command line's half of HTTP
pub mod client;

pub mod lifecycle;

// recorded screens and streams against the tracker
pub mod contract;

// agents that run one turn a process
pub mod headless;

// prompts on their way to the agent
pub mod queue;

// what agents write to each other, and what they are told of it
pub mod mail;

pub mod notifier;

pub mod reminders;

// what an agent keeps for itself
pub mod memory;

// the agent on a standard protocol
pub mod ag_ui;

// what a request can reach
pub mod app;

// 6: extract, call, map
pub mod http;

// 5: the sidecar process
pub mod gateway;

// 1: words → command → words
pub mod cli;
