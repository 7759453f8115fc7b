//! `agents turn`: one turn of a headless agent, through its gateway or without one, and what turns leave behind. Also
//! the two programs that a headless session consists of: the runner of a turn, and the view in window 0.

use std::{process::ExitCode, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::gateway::requests;
use crate::{
    api::{
        CanonicalEvent, HeadlessState, IDEMPOTENCY_KEY_HEADER, RequestAccepted, RequestCreate, RequestPayload,
        SubmitPrompt, TurnEnd,
    },
    cli::{
        args::{Detail, OfRoot, Turn as Words, TurnSubmit, WhichTurn},
        follow, input, render,
        report::{Progress, Reporter},
        setting,
    },
    client::{Call, Gateway},
    headless::{self, Standing, Turn},
    lifecycle::{
        self,
        direct::WaitFor,
        headless::{TurnOptions, is_headless, not_headless, turn_failure},
    },
    model::{ErrorCode, Failure, shell_quote},
    os::notify::Changes,
    session::SessionRoot,
    target::{Context, Target},
};

/// How often the view looks where inotify cannot be had.
const UNWATCHED: Duration = Duration::from_secs(1);

pub(super) fn run(context: &Context, words: &Words, report: &Reporter) -> Result<ExitCode, Failure> {
    match words {
        Words::Submit(words) => submit(context, words, report),
        Words::List(selectors) => Ok(list(&headless_target(context, selectors)?, report)),
        Words::Status(which) => Ok(status(&one(context, which)?, report)),
        Words::Stdout(which) => raw(&one(context, which)?.stdout()),
        Words::Stderr(which) => raw(&one(context, which)?.stderr()),
        Words::Events { which, detail } => Ok(events(&one(context, which)?, *detail, report)),
    }
}

fn headless_target(context: &Context, selectors: &crate::cli::args::Selectors) -> Result<Target, Failure> {
    let target = setting::resolve(context, selectors)?;
    if is_headless(&target) { Ok(target) } else { Err(not_headless(&target)) }
}

fn submit(context: &Context, words: &TurnSubmit, report: &Reporter) -> Result<ExitCode, Failure> {
    let chat = words.chat()?;
    let text = input::prompt(words.prompt.as_deref())?;
    let target = headless_target(context, &words.selectors)?;
    let options = TurnOptions {
        chat,
        execution: words.model.execution(),
        at_once: false,
        only_start: false,
        timeout: words.timeout,
    };
    give(&target, text, &options, report)
}

/// Gives a prompt to a headless agent: through its gateway where one runs, which keeps the order of all that waits.
pub(super) fn give(
    target: &Target,
    text: String,
    options: &TurnOptions,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    match lifecycle::reach(target, Duration::ZERO) {
        Ok(gateway) if !options.at_once => through(target, gateway, text, options, report),
        _ => directly(target, &text, options, report),
    }
}

fn through(
    target: &Target,
    gateway: Gateway,
    text: String,
    options: &TurnOptions,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    let submit = SubmitPrompt {
        prompt: text,
        turn_id: None,
        chat_session: options.chat.clone(),
        execution: options.execution.clone(),
    };
    let body = json!(RequestCreate { payload: RequestPayload::SubmitPrompt(submit), ..RequestCreate::prompt("x") });
    let headers = [(IDEMPOTENCY_KEY_HEADER, Uuid::new_v4().simple().to_string())];
    let mut patience = requests::patience(&gateway, Some(options.timeout))?;
    let call = Call { headers: &headers, ..Call::post("/v1/requests", &body) };
    let accepted: RequestAccepted = gateway.call(&call)?;
    let goal = if options.only_start { WaitFor::Submitted } else { WaitFor::Ended };
    requests::wait(target, gateway, &accepted, goal, &mut patience, report)
}

fn directly(target: &Target, text: &str, options: &TurnOptions, report: &Reporter) -> Result<ExitCode, Failure> {
    let mut progress = Progress::new(report);
    let given = lifecycle::headless::turn(target, text, options, &mut |note| progress.tell(&follow::words(note)));
    drop(progress);
    let given = given?;
    let failure = given.end.as_ref().and_then(|end| turn_failure(&given.turn_id, end));
    let reply = given.end.as_ref().and_then(|end| end.reply.as_deref());
    if report.wants_json() && failure.is_none() {
        render::json(&json!({ "turn_id": given.turn_id, "receipts": given.receipts, "reply": reply,
            "end": given.end }));
    } else if let Some(failure) = failure {
        return Err(failure);
    } else if given.end.is_some() {
        render::reply(reply, report);
    } else {
        render::facts(&[("agent", target.label()), ("turn", given.turn_id)]);
    }
    Ok(ExitCode::SUCCESS)
}

/// The turn that was named, or the last one.
fn one(context: &Context, which: &WhichTurn) -> Result<Turn, Failure> {
    let target = headless_target(context, &which.selectors)?;
    let turn = match which.turn.as_deref() {
        Some(id) => Turn::of(&target.root, id),
        None => headless::last(&target.root).map(|(turn, _)| turn),
    };
    turn.filter(|turn| turn.folder().is_dir()).ok_or_else(|| {
        let message = match &which.turn {
            Some(id) => format!("agent `{}` has no turn `{id}`", target.label()),
            None => format!("agent `{}` has had no turn yet", target.label()),
        };
        Failure::not_found(message, "`agents turn list` shows its turns; `agents turn submit` begins one")
    })
}

/// One word for where a turn stands.
fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Missing => "missing",
        Standing::Planned | Standing::Starting => "starting",
        Standing::Running(_) => "running",
        Standing::Orphaned(_) => "running (its runner was killed)",
        Standing::Lost => "unknown (its runner was killed before its program was known)",
        Standing::Over(_) => "ended (nobody has settled it yet)",
        Standing::Ended(end) => end.outcome.name(),
    }
}

fn list(target: &Target, report: &Reporter) -> ExitCode {
    let turns = headless::turns(&target.root);
    if report.wants_json() {
        let turns: Vec<Value> = turns.iter().map(|(turn, _)| describe(turn)).collect();
        render::json(&json!({ "turns": turns }));
        return ExitCode::SUCCESS;
    }
    if turns.is_empty() {
        report.note("no turns");
        return ExitCode::SUCCESS;
    }
    let rows = turns.iter().map(|(turn, plan)| {
        let prompt = std::fs::read_to_string(turn.prompt_file()).unwrap_or_default();
        [
            plan.turn_index.to_string(),
            plan.turn_id.clone(),
            word(&turn.standing()).to_owned(),
            plan.created_at_utc.clone(),
            requests::glance(&prompt),
        ]
    });
    render::table(["NO", "TURN", "STATE", "STARTED", "PROMPT"], rows.collect());
    ExitCode::SUCCESS
}

fn describe(turn: &Turn) -> Value {
    let (standing, plan) = (turn.standing(), turn.plan());
    let end: Option<&TurnEnd> = match &standing {
        Standing::Ended(end) => Some(end),
        _ => None,
    };
    json!({ "turn_id": turn.id(), "state": word(&standing), "folder": turn.folder().to_string_lossy(),
        "plan": plan, "processes": turn.processes(), "interrupted": turn.is_interrupted(), "end": end })
}

fn status(turn: &Turn, report: &Reporter) -> ExitCode {
    if report.wants_json() {
        render::json(&describe(turn));
        return ExitCode::SUCCESS;
    }
    let standing = turn.standing();
    let mut rows = vec![("turn", turn.id().to_owned()), ("state", word(&standing).to_owned())];
    if let Some(plan) = turn.plan() {
        let words: Vec<_> = plan.words.iter().map(|word| shell_quote(word)).collect();
        rows.push(("program", words.join(" ")));
        rows.push(("conversation", plan.conversation));
        rows.extend(plan.note.map(|note| ("note", note)));
        rows.extend(plan.request_id.map(|id| ("request", id)));
    }
    rows.extend(turn.processes().and_then(|processes| Some(("pid", processes.child?.pid.to_string()))));
    if let Standing::Ended(end) = &standing {
        rows.extend(end.started_at_utc.clone().map(|at| ("started", at)));
        rows.push(("ended", end.ended_at_utc.clone()));
        rows.extend(end.exit_code.map(|code| ("exit status", code.to_string())));
        rows.extend(end.error.clone().map(|error| ("error", error)));
        rows.extend(end.session_id.clone().map(|id| ("session id", id)));
    }
    rows.push(("files", turn.folder().to_string_lossy().into_owned()));
    render::facts(&rows);
    ExitCode::SUCCESS
}

/// What a headless agent does, for `agents state`.
pub(super) fn now(target: &Target, state: Option<&HeadlessState>) -> Vec<(&'static str, String)> {
    let last = headless::last(&target.root).map(|(turn, _)| turn);
    let standing = last.as_ref().map(Turn::standing);
    let runs = matches!(&standing, Some(Standing::Starting | Standing::Running(_) | Standing::Orphaned(_)));
    let mut rows = vec![("phase", if runs { "active: a turn runs" } else { "ready: no turn runs" }.to_owned())];
    if let (Some(turn), Some(standing)) = (&last, &standing) {
        let error = match standing {
            Standing::Ended(end) => end.error.as_ref().map(|error| format!(": {error}")),
            _ => None,
        };
        rows.push(("last turn", format!("{}, {}{}", turn.id(), word(standing), error.unwrap_or_default())));
    }
    let (known, _) = headless::Conversation::found(&target.root, &target.manifest);
    rows.push(("conversation", known.session_id.unwrap_or_else(|| "none yet".to_owned())));
    if let Some(state) = state {
        let next = state.chat_session.next_prompt_override.as_ref().map_or("goes on with it", |_| "begins a new one");
        rows.push(("next prompt", format!("{next}; {} waiting", state.queue_depth)));
    }
    rows
}

/// A file of a turn, byte for byte; one that is not there yet has nothing in it.
fn raw(path: &std::path::Path) -> Result<ExitCode, Failure> {
    use std::io::Read;
    let Ok(file) = std::fs::File::open(path) else { return Ok(ExitCode::SUCCESS) };
    let (mut file, mut piece) = (std::io::BufReader::new(file), vec![0; 65_536]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(ExitCode::SUCCESS),
            Ok(count) => render::raw(&piece[..count]),
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", path.display());
                return Err(Failure::new(ErrorCode::Internal, message, "`agents doctor` looks for what is broken"));
            }
        }
    }
}

fn events(turn: &Turn, detail: Detail, report: &Reporter) -> ExitCode {
    let text = std::fs::read_to_string(turn.events()).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<CanonicalEvent>(line).ok());
    if report.wants_json() {
        let events: Vec<CanonicalEvent> = events.collect();
        render::json(&json!({ "turn_id": turn.id(), "events": events }));
        return ExitCode::SUCCESS;
    }
    for event in events {
        headless::lines(&event, detail == Detail::Detail).iter().for_each(|line| render::line(line));
    }
    ExitCode::SUCCESS
}

/// `agents headless-turn`.
pub(super) fn runner(words: &OfRoot) -> Result<ExitCode, Failure> {
    let root = SessionRoot::at(setting::absolute(&words.session_root)?);
    headless::run(&root, &words.turn).map(|()| ExitCode::SUCCESS)
}

/// `agents headless-view`: shows the turns until its window is closed.
pub(super) fn view(words: &OfRoot) -> Result<ExitCode, Failure> {
    let root = SessionRoot::at(setting::absolute(&words.session_root)?);
    render::line("headless agent: each prompt is one run of its program, and is shown here");
    render::line("`agents turn submit` gives it one; what is typed here goes nowhere");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let mut follower = headless::Follower::new(root.clone());
        let mut changes = Changes::new().ok();
        let watched = |changes: &mut Option<Changes>, folder: &std::path::Path| {
            changes.as_mut().is_some_and(|changes| changes.add(folder))
        };
        // A name that appears here is a new turn.
        let mut all = watched(&mut changes, root.path());
        loop {
            if let Some(turn) = follower.turn() {
                all &= watched(&mut changes, turn.folder());
            }
            let news = follower.news();
            if !news.iter().all(|line| render::try_line(line)) {
                return Ok(ExitCode::SUCCESS);
            }
            // A new turn's folder is not watched yet: what is in it is read once more.
            if !news.is_empty() && follower.turn().is_some() {
                all &= follower.turn().is_none_or(|turn| watched(&mut changes, turn.folder()));
                if !follower.news().iter().all(|line| render::try_line(line)) {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            match &mut changes {
                Some(changes) if all => {
                    if changes.any().await.is_err() {
                        all = false;
                    }
                }
                _ => tokio::time::sleep(UNWATCHED).await,
            }
        }
    })
}
