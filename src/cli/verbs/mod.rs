//! One file per verb: typed words in, a call to the room that does it, words out.

mod agent_event;
mod attach_terminal;
mod cleanup;
mod contract;
mod demo;
mod doctor;
mod gateway;
mod interrupt;
mod join;
mod launch;
mod list;
mod logs;
mod mail;
mod mailbox;
mod memory;
mod pages;
mod prompt;
mod relaunch;
mod replay;
mod show;
mod state;
mod stop;
mod turn;

use std::process::ExitCode;

use super::{
    args::{Cli, Command},
    report::Reporter,
    setting,
};
use crate::model::Failure;

/// Runs one command.
pub(super) fn run(cli: Cli, report: &Reporter) -> Result<ExitCode, Failure> {
    let context = || setting::context(&cli.global);
    match cli.command {
        Command::Launch(words) => launch::run(&context()?, &words, report),
        Command::Join(words) => join::run(&context()?, &words, report),
        Command::List { all } => Ok(list::run(&context()?, all, report)),
        Command::Show(selectors) => show::run(&context()?, &selectors, report),
        Command::State(selectors) => state::run(&context()?, &selectors, report),
        Command::AttachTerminal(words) => attach_terminal::run(&context()?, words, report),
        Command::Prompt(words) => prompt::run(&context()?, &words, report),
        Command::Interrupt(selectors) => interrupt::run(&context()?, &selectors, report),
        Command::Turn(words) => turn::run(&context()?, &words, report),
        Command::HeadlessTurn(words) => turn::runner(&words),
        Command::HeadlessView(words) => turn::view(&words),
        Command::Stop(selectors) => stop::run(&context()?, &selectors, report),
        Command::Relaunch(words) => relaunch::run(&context()?, &words, report),
        Command::Cleanup { selectors, yes } => cleanup::run(&context()?, &selectors, yes, report),
        Command::Gateway(words) => gateway::run(&context()?, words.0, report),
        Command::Mail(words) => mail::run(&context()?, &words, report),
        Command::Mailbox(words) => mailbox::run(&context()?, words.0, report),
        Command::Memory(words) => memory::run(&context()?, &words, report),
        Command::Replay(words) => replay::run(&words, report),
        Command::Contract(words) => contract::run(&words, report),
        Command::AgentEvent(words) => Ok(agent_event::run(&words)),
        Command::Doctor => Ok(doctor::run(&context()?, report)),
        Command::Demo { keep } => demo::run(keep, report),
        Command::Completions { shell } => Ok(pages::completions(shell, report)),
        Command::Man { dir } => pages::man(&dir, report),
    }
}
