//! One test binary: the real program, real tmux on private servers, real files, real HTTP.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    unreachable_pub,
    missing_debug_implementations,
    reason = "tests play the operator, the user and the fault"
)]

mod support;

mod agent_life;
mod architecture;
mod attach;
mod ending;
mod http;
mod http_faults;
mod journey;
mod lifecycle;
mod listener;
mod tmux_faults;
