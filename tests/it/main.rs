//! One test binary: the real program, real tmux on private servers, real files, real HTTP.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unused_self,
    reason = "tests play the operator, the user and the fault"
)]

mod support;

mod ag_ui;
mod agent_events;
mod agent_life;
mod agent_records;
mod architecture;
mod attach;
mod bodies;
mod contract;
mod ending;
mod eyes;
mod files;
mod headless;
mod headless_turns;
mod http;
mod http_faults;
mod instruments;
mod jmap;
mod join;
mod journey;
mod launch;
mod lifecycle;
mod listener;
mod mail;
mod mailbox;
mod memory;
mod notifier;
mod on_draft;
mod predecessor;
mod prompt_control;
mod prompt_faults;
mod prompt_follow;
mod prompt_load;
mod prompt_promises;
mod prompt_recovery;
mod prompt_requests;
mod prompt_store;
mod prompt_words;
mod prompts;
mod real_agents;
mod real_prompts;
mod real_recovery;
mod real_state;
mod real_states;
mod relaunch_chat;
mod reminders;
mod scripted;
mod servers;
mod storage;
mod target;
mod tmux_faults;
mod tui_state;
mod words;
