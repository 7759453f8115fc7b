//! `agents attach-terminal`: this terminal shows the agent's session.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use crate::{
    cli::{
        args::{AttachTerminal, Selectors},
        report::Reporter,
        setting,
    },
    lifecycle::{self, Terminal},
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: AttachTerminal, report: &Reporter) -> Result<ExitCode, Failure> {
    if report.wants_json() {
        return Err(Failure::usage("a terminal is taken over, so there is no document to print", "leave --json out"));
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure::usage(
            "there is no terminal that could show the session",
            "run it in a terminal; `agents gateway screen` prints what the agent shows",
        ));
    }
    let selectors = match words.name {
        Some(name) => Selectors { agent_name: Some(name), ..Selectors::default() },
        None => words.selectors,
    };
    let target = setting::resolve(context, &selectors)?;
    let terminal = match &context.inside {
        Some(inside) if inside.server == target.server => Terminal::OfThisServer,
        Some(_) => Terminal::OfAnotherServer,
        None => Terminal::Plain,
    };
    lifecycle::attach_terminal(&target, terminal)?;
    Ok(ExitCode::SUCCESS)
}
