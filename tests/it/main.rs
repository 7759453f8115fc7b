//! One test binary: the real program, real tmux on private servers, real files, real HTTP.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unused_self,
    unreachable_pub,
    reason = "tests play the operator, the user and the fault"
)]

mod support;

mod architecture;
mod files;
mod join;
mod journey;
mod launch;
mod storage;
mod target;
mod words;
