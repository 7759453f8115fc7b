//! Selector and what exists → one proven target.

use std::path::{Path, PathBuf};

use super::{
    proof::{self, AgentPane, FoundBy, Target},
    selector::Selector,
};
use crate::{
    api::{Manifest, RegistryRecord, Surface},
    model::{AgentId, AgentName, ErrorCode, Failure, PaneId, SessionName, shell_quote},
    os::{
        clock,
        files::{self, FileError},
    },
    session::{Home, Registry, SessionEnvironment, SessionRoot, Variable, documents},
    tmux::{Server, SessionFacts, SessionTarget, TmuxError, inspect},
};

/// The tmux that this command runs in, from `TMUX` and `TMUX_PANE`.
#[derive(Debug, Clone)]
pub struct Inside {
    /// The server.
    pub server: Server,
    /// The pane.
    pub pane: PaneId,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Context {
    /// Files and registry.
    pub home: Home,
    /// The server that the operator named, or that this command runs in, or tmux's default.
    pub server: Server,
    /// Set inside tmux.
    pub inside: Option<Inside>,
}

impl Inside {
    /// The pane on the server behind this socket.
    pub fn new(socket: impl Into<PathBuf>, pane: PaneId) -> Self {
        Self { server: Server::at(socket), pane }
    }
}

impl Context {
    /// Where to look. `named` is the socket that the operator named, `default` the one that tmux would use.
    pub fn new(home: Home, named: Option<PathBuf>, inside: Option<Inside>, default: PathBuf) -> Self {
        let server = match (named, &inside) {
            (Some(socket), _) => Server::at(socket).gated(home.path()),
            (None, Some(inside)) => inside.server.clone().gated(home.path()),
            (None, None) => Server::at(default).gated(home.path()),
        };
        // A server that was named and is not the one around us: then we are not inside it.
        let inside =
            inside.filter(|inside| inside.server == server).map(|inside| Inside { server: server.clone(), ..inside });
        Self { home, server, inside }
    }

    /// The server behind this socket.
    pub fn server_at(&self, socket: &str) -> Server {
        Server::at(socket).gated(self.home.path())
    }

    /// The registry of this home.
    pub fn registry(&self) -> Registry {
        Registry::at(self.home.registry())
    }
}

/// Resolves a selector.
///
/// # Errors
/// Not found, ambiguous, or whatever kept the proof from being made.
pub fn resolve(context: &Context, selector: &Selector) -> Result<Target, Failure> {
    match selector {
        Selector::AgentId(id) => by_id(context, id),
        Selector::AgentName(name) => by_name(context, name),
        Selector::CurrentSession => current(context),
        Selector::TmuxSession(name) => by_session_name(context, name),
    }
}

/// The target of a session root that was named directly.
///
/// # Errors
/// When the root is damaged or unsafe. A session that is gone is not an error.
pub fn of_root(context: &Context, root: &SessionRoot) -> Result<Target, Failure> {
    let manifest = load_manifest(root)?;
    let surface = load_surface(root)?;
    complete(context, root.clone(), manifest, surface, FoundBy::SessionRoot)
}

/// As [`of_root`], of a session that was inspected a moment ago: tmux is not asked again. What it must prove is the same.
///
/// # Errors
/// As [`of_root`].
pub fn of_root_as_seen(context: &Context, root: &SessionRoot, seen: SessionFacts) -> Result<Target, Failure> {
    let manifest = load_manifest(root)?;
    let surface = load_surface(root)?;
    let server = server_of(context, surface.as_ref());
    let session = proof::belongs(&manifest, surface.as_ref(), &seen).map(|()| seen);
    Ok(proven(server, root.clone(), manifest, surface, session, FoundBy::SessionRoot))
}

fn by_id(context: &Context, id: &AgentId) -> Result<Target, Failure> {
    let record = context.registry().read(id)?.ok_or_else(|| {
        Failure::not_found(format!("no agent has the id `{id}`"), "`agents list --all` shows every agent with its id")
    })?;
    of_record(context, &record)
}

fn by_name(context: &Context, name: &AgentName) -> Result<Target, Failure> {
    let listing = context.registry().list();
    let named: Vec<&RegistryRecord> =
        listing.records.iter().filter(|record| record.agent_name == name.as_str()).collect();
    let live: Vec<&RegistryRecord> = named.iter().copied().filter(|record| record.lifecycle.state.is_live()).collect();
    let candidates = if live.is_empty() { named } else { live };
    match candidates.as_slice() {
        [] => Err(no_such_name(name, &listing.records)),
        [only] => of_record(context, only),
        several => {
            // Only sessions that are proven to live compete; a record left behind by a crash does not.
            let proven: Vec<Target> = several
                .iter()
                .filter_map(|record| of_record(context, record).ok())
                .filter(|target| target.session.is_ok())
                .collect();
            match <[Target; 1]>::try_from(proven) {
                Ok([only]) => Ok(only),
                Err(_) => Err(ambiguous(name, several)),
            }
        }
    }
}

fn no_such_name(name: &AgentName, records: &[RegistryRecord]) -> Failure {
    let known: Vec<&str> = records.iter().map(|record| record.agent_name.as_str()).collect();
    let hint = match nearest(name.as_str(), &known) {
        Some(near) => {
            format!("did you mean `--agent-name {}`? `agents list --all` shows every agent", shell_quote(near))
        }
        None => "`agents list --all` shows every agent".to_owned(),
    };
    Failure::not_found(format!("no agent is called exactly `{name}`"), hint)
}

fn ambiguous(name: &AgentName, records: &[&RegistryRecord]) -> Failure {
    let choices: Vec<String> = records
        .iter()
        .map(|record| {
            let session = record.terminal.current_session_name.as_deref().unwrap_or(&record.terminal.last_session_name);
            format!("--agent-id {} (session {session})", record.agent_id)
        })
        .collect();
    Failure::new(
        ErrorCode::TargetAmbiguous,
        format!("{} agents are called `{name}`", records.len()),
        format!("choose one: {}", choices.join(", ")),
    )
}

fn of_record(context: &Context, record: &RegistryRecord) -> Result<Target, Failure> {
    let path = Path::new(&record.runtime.manifest_path);
    let root = root_of_pointer(path)
        .map_err(|why| stale(format!("the registry record of `{}` points nowhere: {why}", record.agent_name)))?;
    let manifest = load_manifest(&root)?;
    if manifest.agent_id.as_deref() != Some(record.agent_id.as_str()) {
        return Err(stale(format!(
            "the registry record of `{}` points to the manifest of another agent",
            record.agent_name
        )));
    }
    let surface = load_surface(&root)?;
    complete(context, root, manifest, surface, FoundBy::Registry)
}

fn stale(message: String) -> Failure {
    Failure::not_found(message, "`agents doctor` shows stale records and what mends them")
}

/// Loads the manifest of a root that nobody else can change or lead elsewhere.
fn load_manifest(root: &SessionRoot) -> Result<Manifest, Failure> {
    files::check_private_dir(root.path())?;
    // Files are opened without following a link at the end of their path; these stand in the middle.
    for folder in [root.gateway(), root.run(), root.logs()] {
        match files::check_private_dir(&folder) {
            Err(FileError::Missing { .. }) => {}
            checked => checked?,
        }
    }
    Ok(documents::load(&root.manifest())?)
}

fn load_surface(root: &SessionRoot) -> Result<Option<Surface>, Failure> {
    Ok(documents::load_if_present(&root.surface())?)
}

/// Looks for the session of a manifest, by id where one is recorded, and proves it.
fn complete(
    context: &Context,
    root: SessionRoot,
    manifest: Manifest,
    surface: Option<Surface>,
    found_by: FoundBy,
) -> Result<Target, Failure> {
    let server = server_of(context, surface.as_ref());
    let wanted = match surface.as_ref().and_then(|surface| surface.tmux_session_id.parse().ok()) {
        Some(id) => SessionTarget::Id(id),
        None => SessionTarget::Named(manifest.tmux_session_name.clone().unwrap_or_default()),
    };
    let session = match look(&server, &wanted, surface.as_ref())? {
        Ok(facts) => proof::belongs(&manifest, surface.as_ref(), &facts).map(|()| facts),
        Err(why) => Err(why),
    };
    if let (Err(_), Some(surface)) = (&session, &surface)
        && let Some(answering) = inspect::server_pid(&server)
    {
        expect_recorded_server(surface, answering)?;
    }
    Ok(proven(server, root, manifest, surface, session, found_by))
}

/// The server that the surface was recorded on.
fn server_of(context: &Context, surface: Option<&Surface>) -> Server {
    surface.map_or_else(|| context.server.clone(), |surface| context.server_at(&surface.tmux_socket))
}

/// A target whose session has proven to be its own, or why there is none.
fn proven(
    server: Server,
    root: SessionRoot,
    manifest: Manifest,
    surface: Option<Surface>,
    session: Result<SessionFacts, String>,
    found_by: FoundBy,
) -> Target {
    let agent = match &session {
        Ok(facts) => proof::agent_pane(&manifest, surface.as_ref(), facts),
        Err(why) => AgentPane::Missing(why.clone()),
    };
    Target { server, root, manifest, surface, session, agent, found_by }
}

/// The session's facts, or why there is no such session. tmux itself failing is an error.
fn look(
    server: &Server,
    wanted: &SessionTarget,
    surface: Option<&Surface>,
) -> Result<Result<SessionFacts, String>, Failure> {
    match inspect::session(server, wanted) {
        Ok(facts) => Ok(Ok(facts)),
        Err(TmuxError::NoTarget { .. }) => Ok(Err("the tmux session was closed".to_owned())),
        Err(TmuxError::NoServer { socket }) => {
            surface.map_or(Ok(()), expect_reachable)?;
            Ok(Err(format!("no tmux server runs on socket `{}`", socket.display())))
        }
        Err(other) => Err(other.into()),
    }
}

/// Refuses when the recorded server still runs and its socket file was removed: nobody can reach it, and a
/// second server on the same path would split the user's sessions.
///
/// # Errors
/// tmux unavailable, with the signal that brings the socket back.
pub fn expect_reachable(surface: &Surface) -> Result<(), Failure> {
    let (pid, socket) = (surface.tmux_server_pid, Path::new(&surface.tmux_socket));
    if socket.exists() || !proof::server_lives(surface) { Ok(()) } else { Err(lost_socket(pid, socket)) }
}

/// Refuses when the recorded server still runs and another one answers on its socket: what it holds is alive.
///
/// # Errors
/// tmux unavailable, with the signal that brings the socket back.
pub fn expect_recorded_server(surface: &Surface, answering: u32) -> Result<(), Failure> {
    let pid = surface.tmux_server_pid;
    if answering == pid || !proof::server_lives(surface) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::TmuxUnavailable,
        format!(
            "the tmux server (pid {pid}) of this agent still runs, but another one (pid {answering}) answers on its socket `{}`",
            surface.tmux_socket
        ),
        format!("once the other one has ended, `kill -USR1 {pid}` makes it create the socket again"),
    ))
}

/// The server lives, but its socket file was removed: out of reach until it makes a new one.
fn lost_socket(pid: u32, socket: &Path) -> Failure {
    Failure::new(
        ErrorCode::TmuxUnavailable,
        format!("the tmux server (pid {pid}) still runs, but its socket `{}` was removed", socket.display()),
        format!("`kill -USR1 {pid}` makes it create the socket again"),
    )
}

fn current(context: &Context) -> Result<Target, Failure> {
    let inside = context
        .inside
        .as_ref()
        .ok_or_else(|| Failure::usage("there is no current session outside tmux", super::selector::CHOICES))?;
    let facts = inspect::session(&inside.server, &SessionTarget::OfPane(inside.pane)).map_err(|error| match error {
        TmuxError::NoServer { socket } => Failure::new(
            ErrorCode::TmuxUnavailable,
            format!("TMUX names the socket `{}`, but no tmux server answers there", socket.display()),
            "unset TMUX, or run this inside a live tmux session",
        ),
        other => other.into(),
    })?;
    of_session(context, &inside.server, facts)
}

fn by_session_name(context: &Context, name: &SessionName) -> Result<Target, Failure> {
    let target = SessionTarget::Named(name.as_str().to_owned());
    let facts = inspect::session(&context.server, &target).map_err(|error| match error {
        TmuxError::NoTarget { .. } => no_such_session(&context.server, name),
        other => other.into(),
    })?;
    of_session(context, &context.server, facts)
}

fn no_such_session(server: &Server, name: &SessionName) -> Failure {
    let names = inspect::session_names(server);
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let hint = match nearest(name.as_str(), &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "`tmux -S {} ls` shows the sessions of this server",
            shell_quote(&server.socket().to_string_lossy())
        ),
    };
    Failure::not_found(format!("no tmux session is called exactly `{name}`"), hint)
}

/// From a live session: its manifest pointer, then a registry record, then refusal.
fn of_session(context: &Context, server: &Server, facts: SessionFacts) -> Result<Target, Failure> {
    let environment = SessionEnvironment::new(facts.environment.clone());
    let pointer = environment.get(Variable::ManifestPath).map(PathBuf::from);
    let by_pointer = pointer.as_ref().map(|path| prove_pointer(path, &facts));
    let (found, found_by) = match by_pointer {
        Some(Ok(found)) => (found, FoundBy::ManifestPointer),
        Some(Err(refusal)) => match from_registry(context, &environment, &facts) {
            Some(found) => (found, FoundBy::Registry),
            None => return Err(refusal),
        },
        None => match from_registry(context, &environment, &facts) {
            Some(found) => (found, FoundBy::Registry),
            None => return Err(not_capable(&facts)),
        },
    };
    let (root, manifest, surface) = found;
    let agent = proof::agent_pane(&manifest, surface.as_ref(), &facts);
    Ok(Target { server: server.clone(), root, manifest, surface, session: Ok(facts), agent, found_by })
}

type Found = (SessionRoot, Manifest, Option<Surface>);

fn not_capable(facts: &SessionFacts) -> Failure {
    Failure::not_found(
        format!(
            "session `{}` is not gateway-capable: its environment holds no manifest pointer and no fresh registry record names it",
            facts.session_name
        ),
        format!("`{}` makes it so", join_command(&facts.session_name)),
    )
}

fn join_command(session: &str) -> String {
    format!("agents join --target-tmux-session {}", shell_quote(session))
}

fn prove_pointer(path: &Path, facts: &SessionFacts) -> Result<Found, Failure> {
    let refuse = |why: String| {
        Failure::not_found(
            format!("the manifest pointer of session `{}` is stale: {why}", facts.session_name),
            format!("`{}` makes a new one", join_command(&facts.session_name)),
        )
    };
    let root = root_of_pointer(path).map_err(refuse)?;
    let manifest = load_manifest(&root).map_err(|failure| match failure.code {
        ErrorCode::TargetNotFound => refuse(failure.message),
        _ => failure,
    })?;
    let surface = load_surface(&root)?;
    proof::belongs(&manifest, surface.as_ref(), facts).map_err(|why| refuse(format!("`{}`: {why}", path.display())))?;
    Ok((root, manifest, surface))
}

/// A pointer must be the absolute path of a `manifest.json`; its folder is the session root.
fn root_of_pointer(path: &Path) -> Result<SessionRoot, String> {
    if !path.is_absolute() {
        return Err(format!("`{}` is not an absolute path", path.display()));
    }
    if path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(format!("`{}` climbs with `..`", path.display()));
    }
    match (path.file_name(), path.parent()) {
        (Some(name), Some(folder)) if name == "manifest.json" => Ok(SessionRoot::at(folder)),
        _ => Err(format!("`{}` is not a manifest.json", path.display())),
    }
}

/// A fresh record that names this session and whose files prove it. Ambiguity proves nothing.
fn from_registry(context: &Context, environment: &SessionEnvironment, facts: &SessionFacts) -> Option<Found> {
    let now = clock::now();
    let wanted_id = environment.get(Variable::AgentId);
    let listing = context.registry().list();
    let proven: Vec<Found> = listing
        .records
        .iter()
        .filter(|record| record.is_fresh(now))
        .filter(|record| {
            wanted_id == Some(record.agent_id.as_str())
                || record.terminal.current_session_name.as_deref() == Some(facts.session_name.as_str())
        })
        .filter_map(|record| prove_pointer(Path::new(&record.runtime.manifest_path), facts).ok())
        .collect();
    <[Found; 1]>::try_from(proven).ok().map(|[only]| only)
}

/// The known name that was probably meant: one begins with the other, or few letters differ.
fn nearest<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .copied()
        .filter(|name| !name.is_empty())
        .map(|name| {
            let distance =
                if name.starts_with(wanted) || wanted.starts_with(name) { 1 } else { distance(wanted, name) };
            (distance, name)
        })
        .filter(|(distance, name)| *distance <= 2.min(name.chars().count() / 2).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(nearest("foo", &["foobar", "bar"]), Some("foobar"));
        assert_eq!(nearest("alpah", &["alpha", "beta"]), Some("alpha"));
        assert_eq!(nearest("zzz", &["alpha", "beta"]), None);
    }

    #[test]
    fn pointers_that_climb_or_are_relative_are_refused() {
        assert!(root_of_pointer(Path::new("/a/b/manifest.json")).is_ok());
        for wrong in ["manifest.json", "/a/../b/manifest.json", "/etc/passwd", "/"] {
            assert!(root_of_pointer(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}
