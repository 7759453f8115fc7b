//! `agents gateway attach|status|detach|run`, and the way to the files of the others.

mod ag_ui;
mod approvals;
mod interrupt;
mod mail_notifier;
mod prompt;
mod reconcile;
mod record;
mod reminders;
pub(super) mod requests;
mod screen;
mod send_keys;
pub(super) mod tui;
mod turns;
mod watch;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use serde_json::json;

use super::logs;
use crate::{
    api::{StatusDocument, TimingWishes},
    cli::{
        args::{Gateway, Listener, Selectors},
        render,
        report::Reporter,
        setting,
    },
    gateway,
    lifecycle::{self, AttachOptions, Live},
    model::{ErrorCode, Failure},
    session::SessionRoot,
    target::Context,
};

pub(super) fn run(context: &Context, words: Gateway, report: &Reporter) -> Result<ExitCode, Failure> {
    match words {
        Gateway::Attach { selectors, listener, timings, background, restart } => {
            let (host, port) = setting::listener(&listener)?;
            let (allow_remote, verbose) = (listener.allow_remote, report.is_verbose());
            let timings = timings.wishes();
            let options = AttachOptions { background, host, port, restart, allow_remote, verbose, timings };
            attach(context, &selectors, &options, report)
        }
        Gateway::Status { selectors, require_live } => status(context, &selectors, require_live, report),
        Gateway::Detach(selectors) => detach(context, &selectors, report),
        Gateway::Run { session_root, listener, timings, ready } => {
            let root = SessionRoot::at(setting::absolute(&session_root)?);
            serve(context, root, &listener, timings.wishes(), ready, report)
        }
        Gateway::Prompt(words) => prompt::run(context, &words, report),
        Gateway::Interrupt(words) => interrupt::run(context, &words, report),
        Gateway::SendKeys(words) => send_keys::run(context, &words, report),
        Gateway::AgUi(words) => ag_ui::run(context, &words, report),
        Gateway::Reminders(words) => reminders::run(context, &words, report),
        Gateway::Requests(words) => requests::run(context, &words, report),
        Gateway::Tui(words) => tui::run(context, &words, report),
        Gateway::Explain(selectors) => tui::explain(context, &selectors, report),
        Gateway::Turns(words) => turns::run(context, &words, report),
        Gateway::Reconcile(words) => reconcile::run(context, &words, report),
        Gateway::Approvals(words) => approvals::list(context, &words, report),
        Gateway::Approve(words) => approvals::answer(context, &words, report),
        Gateway::Screen(words) => screen::run(context, &words, report),
        Gateway::Record(words) => record::run(context, &words, report),
        Gateway::MailNotifier(words) => mail_notifier::run(context, &words, report),
        Gateway::Logs { selectors, follow, lines } => logs::run(context, &selectors, follow, lines, report),
    }
}

fn attach(
    context: &Context,
    selectors: &Selectors,
    options: &AttachOptions,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    setting::refuse_own_window(context, &target)?;
    let attached = lifecycle::attach(&target, options)?;
    print_status(&attached.status, &target.root, report);
    if attached.reused {
        report.note("the gateway was running already");
        if !options.timings.is_empty() {
            report.note("it keeps its timings; `agents gateway attach --restart` with the same flags changes them");
        }
    }
    attached.notes.iter().for_each(|note| report.note(note));
    Ok(ExitCode::SUCCESS)
}

fn status(
    context: &Context,
    selectors: &Selectors,
    require_live: bool,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    let reading = lifecycle::status(&target)?;
    let live = matches!(reading.live, Live::Answering { .. });
    if require_live && !live {
        let why = reading.notes.first().map_or_else(|| "no gateway is attached".to_owned(), Clone::clone);
        let hint = match reading.live {
            Live::Unresponsive { .. } => "`agents gateway attach --restart` replaces it",
            _ => "`agents gateway attach` starts one",
        };
        let message = format!("no live gateway answers for agent `{}`: {why}", target.label());
        return Err(Failure::new(ErrorCode::NotAttached, message, hint));
    }
    print_status(&reading.status, &target.root, report);
    reading.notes.iter().for_each(|note| report.note(note));
    Ok(ExitCode::SUCCESS)
}

fn detach(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    setting::refuse_own_window(context, &target)?;
    let detached = lifecycle::detach(&target)?;
    print_status(&detached.status, &target.root, report);
    detached.notes.iter().for_each(|note| report.note(note));
    Ok(ExitCode::SUCCESS)
}

/// With `--json` the contract's document and nothing more.
fn print_status(status: &StatusDocument, root: &SessionRoot, report: &Reporter) {
    if report.wants_json() {
        render::json(&json!(status));
    } else {
        render::status(status, &root.log().to_string_lossy());
    }
}

fn serve(
    context: &Context,
    root: SessionRoot,
    listener: &Listener,
    timings: TimingWishes,
    ready: Option<String>,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    // A gateway that `attach` started got its listener in words; its environment is the tmux server's.
    let (host, port) = if ready.is_some() {
        let flags_only = listener.gateway_host.as_deref().and_then(crate::api::Host::parse);
        (flags_only, listener.gateway_port)
    } else {
        setting::listener(listener)?
    };
    let config = gateway::Config {
        context: context.clone(),
        root,
        host,
        port,
        allow_remote: listener.allow_remote,
        ready,
        verbose: report.is_verbose(),
        timings,
    };
    // The log is shown where a person may look: in the window, not in a pipe or a file.
    let window: Option<Box<dyn io::Write + Send>> =
        if io::stdout().is_terminal() { Some(Box::new(io::stdout())) } else { None };
    gateway::run(&config, window).map(|()| ExitCode::SUCCESS)
}
