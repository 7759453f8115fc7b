//! argv in, exit status out; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    agents::cli::main(std::env::args_os())
}
