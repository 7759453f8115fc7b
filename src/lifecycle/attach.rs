//! Attach: start the session's gateway, or report the one that runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    begin,
    live::{self, Live},
    publish, withdraw,
};
use crate::{
    api::{AttachContract, CurrentInstance, Host, Owner, Place, Readiness, StatusDocument, TimingWishes},
    model::{ErrorCode, Failure, Moment, ProcessIdentity, WindowId, shell_quote},
    os::{
        child, clock, lock, peer,
        process::{self, Ended},
        program,
        rendezvous::{Missed, Rendezvous},
    },
    session::{SessionEnvironment, SessionRoot, Variable, documents, gateway_files},
    target::{AgentPane, Introduction, Target},
    tmux::{Commands, PaneFacts, Server, SessionFacts, TmuxError, change},
};

/// How long a gateway may take from its first instruction to being public. One that fails says so at once; only one that
/// is kept from running waits this long, beside agents that compile, on a disk that others write to.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a new gateway may take for its first answer. It has said that it is ready; a machine may be busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long an old gateway gets to finish what it does.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(3);

/// What the operator asked for.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// A detached process instead of a window.
    pub background: bool,
    /// Listen here and nowhere else.
    pub host: Option<Host>,
    /// Listen on this port and no other.
    pub port: Option<u16>,
    /// Replace a running gateway.
    pub restart: bool,
    /// The operator accepts a gateway that other machines can reach.
    pub allow_remote: bool,
    /// The gateway logs more.
    pub verbose: bool,
    /// How the agent's screen is judged.
    pub timings: TimingWishes,
}

/// A gateway that answers.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Its answer.
    pub status: StatusDocument,
    /// It ran before.
    pub reused: bool,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Attaches.
///
/// # Errors
/// Everything this attempt did is undone first.
pub fn attach(target: &Target, options: &AttachOptions) -> Result<Attached, Failure> {
    if options.host == Some(Host::Any) && !options.allow_remote {
        return Err(open_to_the_network());
    }
    let pane = target.live_agent()?.clone();
    let session = target.live_session()?;
    let identity = target.manifest.attach_identity(&target.root.name());
    // The common case needs no transition: a healthy gateway is reported as it is.
    if !options.restart
        && let Live::Answering { instance, status, .. } = live::observe(&target.root, &identity)?
    {
        return reuse(&instance, *status, options);
    }
    let _transition = begin(&target.root)?;
    let attach = gateway_files::publish_capability(&target.root, &target.manifest)?;
    let mut notes = Vec::new();
    match live::observe_settled(&target.root, &identity, STOP_GRACE)? {
        Live::Answering { instance, status, .. } if !options.restart => {
            return reuse(&instance, *status, options);
        }
        Live::Unresponsive { owner, why } if !options.restart => return Err(unresponsive(owner, &why)),
        Live::Passing { owner } if !options.restart => {
            return Err(unresponsive(owner, "it has been starting or stopping for too long"));
        }
        // Said before a gateway that runs is ended for one that must not start: the remembered host needs the consent again.
        _ if options.host.or(attach.desired_host) == Some(Host::Any) && !options.allow_remote => {
            return Err(open_to_the_network());
        }
        Live::Offline => {}
        dead @ Live::Dead { .. } => notes.extend(withdraw::withdraw(target, &dead)?.1),
        running => {
            expect_free_port(options, &running)?;
            notes.extend(end_gateway(target, &running)?.1);
        }
    }
    refresh_surface(target, &pane)?;
    // Taken back by an earlier stop, or never set by another program.
    let variables = SessionEnvironment::new(session.environment.clone());
    if variables.get(Variable::ManifestPath).is_none() {
        publish::publish_variables(&target.server, session, &target.root, &target.manifest)?;
    }
    let (status, said) = start(target, session, &attach, options)?;
    notes.extend(said);
    Ok(Attached { status, reused: false, notes })
}

/// A gateway that runs is not ended for one whose port a stranger has.
fn expect_free_port(options: &AttachOptions, running: &Live) -> Result<(), Failure> {
    let own = match running {
        Live::Answering { instance, .. } => Some(instance.pid),
        Live::Unresponsive { owner, .. } | Live::Passing { owner } => owner.as_ref().map(|owner| owner.process.pid),
        Live::Offline | Live::Dead { .. } => None,
    };
    match options.port.and_then(|port| Some((port, peer::listener(port)?))) {
        Some((port, (pid, name))) if Some(pid) != own => Err(Failure::refused(
            format!("port {port} is taken by {name} (pid {pid}); the gateway that runs was left alone"),
            "choose another port, or leave out --gateway-port",
        )),
        _ => Ok(()),
    }
}

fn unresponsive(owner: Option<Owner>, why: &str) -> Failure {
    let pid = owner.map_or_else(String::new, |owner| format!(" (pid {})", owner.process.pid));
    Failure::new(
        ErrorCode::AlreadyAttached,
        format!("a gateway{pid} holds this session and does not answer: {why}"),
        "`agents gateway attach --restart` replaces it",
    )
}

fn open_to_the_network() -> Failure {
    Failure::usage(
        "0.0.0.0 is open to the network",
        "add --allow-remote: other machines may then connect with the token in the session's gateway/run/token; or attach \
         with --gateway-host 127.0.0.1",
    )
}

fn reuse(instance: &CurrentInstance, status: StatusDocument, options: &AttachOptions) -> Result<Attached, Failure> {
    let other_port = options.port.is_some_and(|port| port != instance.port);
    let other_host = options.host.is_some_and(|host| host != instance.host);
    if other_port || other_host {
        return Err(Failure::new(
            ErrorCode::AlreadyAttached,
            format!("a healthy gateway (pid {}) already listens on {}:{}", instance.pid, instance.host, instance.port),
            "`agents gateway attach --restart` with the same options replaces it",
        ));
    }
    Ok(Attached { status, reused: true, notes: Vec::new() })
}

/// Ends a gateway and proves that it is gone: its lock must be free.
///
/// Returns the offline snapshot and what was cleaned, in words.
pub(super) fn end_gateway(target: &Target, live: &Live) -> Result<(StatusDocument, Vec<String>), Failure> {
    let identity = match live {
        Live::Answering { owner: Some(owner), .. }
        | Live::Unresponsive { owner: Some(owner), .. }
        | Live::Passing { owner: Some(owner) } => Some(owner.process.clone()),
        // Another program's gateway records no more than a pid: it is believed only if that process listens there.
        Live::Answering { instance, owner: None, .. }
            if peer::listener(instance.port).is_some_and(|(pid, _)| pid == instance.pid) =>
        {
            process::identify(instance.pid)
        }
        _ => None,
    };
    let Some(identity) = identity else {
        return Err(Failure::refused(
            "a gateway answers for this session, and which process it is could not be proven; nothing was ended",
            format!(
                "`fuser {}` names the holder of its lock",
                shell_quote(&target.root.gateway_lock().to_string_lossy())
            ),
        ));
    };
    let ended = process::end(&identity, STOP_GRACE);
    if ended == Ended::NotAtAll || !lock::wait_free(&target.root.gateway_lock(), STOP_GRACE)? {
        return Err(Failure::internal(format!("the gateway (pid {}) could not be ended", identity.pid)));
    }
    if ended == Ended::Orderly && withdraw::is_withdrawn(&target.root) {
        return Ok((documents::load(&target.root.state())?, vec![format!("ended the gateway (pid {})", identity.pid)]));
    }
    // What it could not clean itself.
    withdraw::withdraw(target, &Live::Dead { pid: Some(identity.pid), window: None })
}

/// Our facts about the pane are renewed when its program was started again.
fn refresh_surface(target: &Target, pane: &PaneFacts) -> Result<(), Failure> {
    let renewed = matches!(target.agent, AgentPane::Replaced(_));
    if let (true, Some(surface), Some(identity)) = (renewed, &target.surface, process::identify(pane.pid)) {
        let surface = crate::api::Surface {
            process: identity,
            window_id: pane.window_id.to_string(),
            observed_at_utc: clock::now().iso_seconds(),
            ..surface.clone()
        };
        documents::store(&target.root.surface(), &surface)?;
    }
    Ok(())
}

/// What this attempt started, so that it can be ended again.
struct Started {
    child: ProcessIdentity,
    window: Option<PaneFacts>,
}

impl Started {
    /// What the child is told.
    fn introduction(&self, session: &SessionFacts) -> Introduction {
        let mut session = session.clone();
        session.panes.extend(self.window.clone());
        let place = self.window.as_ref().map_or(Place::Detached, |pane| Place::Window {
            window_id: pane.window_id.to_string(),
            window_index: pane.window_index.to_string(),
            pane_id: pane.pane_id.to_string(),
        });
        Introduction { place, session }
    }
}

fn start(
    target: &Target,
    session: &SessionFacts,
    attach: &AttachContract,
    options: &AttachOptions,
) -> Result<(StatusDocument, Vec<String>), Failure> {
    let (root, since) = (&target.root, clock::now());
    let rendezvous = Rendezvous::open(&root.run())
        .map_err(|error| Failure::internal(format!("could not open the readiness socket: {error}")))?;
    let words = gateway_words(&target.server, root, rendezvous.name(), options)?;
    let started = if options.background {
        let child = child::start_detached(&words, root.path())
            .map_err(|error| Failure::internal(format!("could not start the gateway: {error}")))?;
        Started { child: child.identity, window: None }
    } else {
        open_window(target, session, attach, &words, since)?
    };
    let public = wait_until_public(root, attach, &rendezvous, &started, session, since);
    public.inspect_err(|_| undo(target, &started))
}

/// The sidecar's command line.
fn gateway_words(
    server: &Server,
    root: &SessionRoot,
    ready: &str,
    options: &AttachOptions,
) -> Result<Vec<String>, Failure> {
    let program = program::myself()
        .map_err(|error| Failure::internal(format!("could not find the program's own file: {error}")))?;
    let mut words = vec![
        program.to_string_lossy().into_owned(),
        // The server that was proven here, whatever the environment of the child says.
        "--tmux-socket".to_owned(),
        server.socket().to_string_lossy().into_owned(),
        "gateway".to_owned(),
        "run".to_owned(),
        "--session-root".to_owned(),
        root.path().to_string_lossy().into_owned(),
        "--ready".to_owned(),
        ready.to_owned(),
    ];
    if let Some(host) = options.host {
        words.extend(["--gateway-host".to_owned(), host.to_string()]);
    }
    if let Some(port) = options.port {
        words.extend(["--gateway-port".to_owned(), port.to_string()]);
    }
    if options.allow_remote {
        words.push("--allow-remote".to_owned());
    }
    if options.verbose {
        words.push("--verbose".to_owned());
    }
    words.extend(options.timings.words());
    Ok(words)
}

/// Opens the auxiliary window at a free index; somebody may take it first, so a few are tried.
fn open_window(
    target: &Target,
    session: &SessionFacts,
    attach: &AttachContract,
    words: &[String],
    since: Moment,
) -> Result<Started, Failure> {
    let first = session.free_window_index(&target.root.name());
    // A folder that is gone would silently become the home folder; the gateway does not need the agent's.
    let directory = Path::new(&attach.working_directory);
    let directory = if directory.is_dir() { directory } else { target.root.path() };
    for index in first..first + 10 {
        let made = change::new_gateway_window(
            &target.server,
            session.session_id,
            index,
            &directory.to_string_lossy(),
            &target.root.name(),
            words,
        );
        match made {
            Ok(pane) => {
                let child = process::identify(pane.pid).ok_or_else(|| ended_at_once(target, since))?;
                return Ok(Started { child, window: Some(pane) });
            }
            Err(TmuxError::Failed { said, .. }) if said.contains("in use") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::refused("no free window index was found for the gateway", "close some windows of the session"))
}

fn ended_at_once(target: &Target, since: Moment) -> Failure {
    Failure::internal(format!("the gateway process ended at once{}", last_error(&target.root, since)))
}

fn wait_until_public(
    root: &SessionRoot,
    attach: &AttachContract,
    rendezvous: &Rendezvous,
    started: &Started,
    session: &SessionFacts,
    since: Moment,
) -> Result<(StatusDocument, Vec<String>), Failure> {
    let deadline = deadline();
    let missed = |missed: Missed| {
        let code = if matches!(missed, Missed::Late) { ErrorCode::Timeout } else { ErrorCode::Internal };
        let hint = format!("`agents gateway logs` shows its log, `{}`", root.log().display());
        Failure::new(code, format!("the gateway did not start: {missed}{}", last_error(root, since)), hint)
    };
    let mut meeting = rendezvous.meet(&started.child, deadline).map_err(missed)?;
    let words = serde_json::to_string(&started.introduction(session));
    let words = words.map_err(|error| Failure::internal(error.to_string()))?;
    meeting.say(&words).map_err(|error| missed(Missed::Io(error)))?;
    let line = meeting.hear_from(&started.child, deadline).map_err(missed)?;
    let notes = match serde_json::from_str(&line) {
        Ok(Readiness::Ready { notes }) => notes,
        Ok(Readiness::Failed { code, message, hint }) => {
            let code = ErrorCode::from_name(&code).unwrap_or(ErrorCode::Internal);
            return Err(Failure::new(code, message, hint));
        }
        Err(error) => return Err(Failure::internal(format!("the gateway said something unreadable: {error}"))),
    };
    // Ready by its own word; now by ours: the recorded process must answer on the recorded port.
    match live::observe_within(root, &attach.attach_identity, ANSWER_LIMIT)? {
        Live::Answering { status, owner, .. } if owner.as_ref().is_some_and(|owner| owner.process == started.child) => {
            Ok((*status, notes))
        }
        Live::Unresponsive { why, .. } => {
            Err(Failure::internal(format!("the new gateway said it was ready and does not answer: {why}")))
        }
        _ => Err(Failure::internal("the new gateway said it was ready and is not the one that answers")),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one deadline of an attach starts here")]
fn deadline() -> Instant {
    Instant::now() + START_LIMIT
}

/// Ends what this attempt started and takes back what it published.
fn undo(target: &Target, started: &Started) {
    if process::end(&started.child, STOP_GRACE) == Ended::NotAtAll {
        tracing::warn!(pid = started.child.pid, "the gateway of a failed attach could not be ended");
    }
    let window: Option<WindowId> = started.window.as_ref().map(|pane| pane.window_id);
    if let Some(window) = window {
        // It has usually closed together with its process.
        drop(target.server.run(&change::kill_window(Commands::new(), window)));
    }
    let dead = Live::Dead { pid: Some(started.child.pid), window: window.map(|id| id.to_string()) };
    if let Err(failure) = withdraw::withdraw(target, &dead) {
        tracing::warn!(%failure, "a failed attach could not be undone completely");
    }
}

/// The last error line that was logged since, for a child that died without a word.
fn last_error(root: &SessionRoot, since: Moment) -> String {
    let bytes = crate::os::files::read(&root.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let since = since.iso_seconds();
    let mut recent = text.lines().rev().take_while(|line| *line >= since.as_str());
    let line = recent.find(|line| line.contains(" error: "));
    line.map_or_else(String::new, |line| format!("; its log ends with `{line}`"))
}
