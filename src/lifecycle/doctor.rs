//! Doctor: looks for what is broken, changes nothing, and says what mends it.

use std::path::{Path, PathBuf};

use super::{
    cleanup::session_roots,
    live::{self, Live},
};
use crate::{
    api::{
        Admission, AttachContract, CurrentInstance, DesiredConfig, Document, Manifest, Owner, StatusDocument, Surface,
    },
    model::{Failure, shell_quote},
    os::{files, lock},
    session::{SessionEnvironment, SessionRoot, documents},
    target::{self, AgentPane, Context, Target},
    tmux::{TmuxError, inspect, server},
};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Works, and will surprise somebody.
    Warning,
    /// Does not work until it is mended.
    Broken,
}

impl Severity {
    /// One word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Broken => "broken",
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub severity: Severity,
    /// What was found.
    pub finding: String,
    /// The command that mends it.
    pub mend: Option<String>,
}

fn check(name: impl Into<String>, severity: Severity, finding: impl Into<String>, mend: Option<String>) -> Check {
    Check { name: name.into(), severity, finding: finding.into(), mend }
}

/// Looks at everything. `locale` is what the caller's environment says.
pub fn examine(context: &Context, locale: Option<&str>) -> Vec<Check> {
    let mut checks = vec![tmux_program(), tmux_server(context), utf8(locale), home(context)];
    checks.extend(registry(context));
    for root in session_roots(context) {
        checks.extend(session(context, &root));
    }
    checks
}

fn tmux_program() -> Check {
    match server::installed_version() {
        Ok(Some(version)) if version.is_supported() => {
            check("tmux", Severity::Fine, format!("version {version}"), None)
        }
        Ok(Some(version)) => {
            let failure = Failure::from(TmuxError::TooOld { found: version.to_string() });
            check("tmux", Severity::Broken, failure.message, Some(failure.hint))
        }
        Ok(None) => check(
            "tmux",
            Severity::Warning,
            "`tmux -V` does not say a version",
            Some("install a released tmux".to_owned()),
        ),
        Err(error) => {
            let failure = Failure::from(error);
            check("tmux", Severity::Broken, failure.message, Some(failure.hint))
        }
    }
}

fn tmux_server(context: &Context) -> Check {
    let socket = context.server.socket().display().to_string();
    if !context.server.has_socket_file() {
        return check("tmux server", Severity::Fine, format!("none on `{socket}`; `agents launch` starts it"), None);
    }
    match inspect::all_panes(&context.server) {
        Ok(Some(server)) => {
            check("tmux server", Severity::Fine, format!("answers on `{socket}`, {} panes", server.panes.len()), None)
        }
        Ok(None) => check("tmux server", Severity::Fine, format!("none answers on `{socket}`"), None),
        Err(error) => {
            let failure = Failure::from(error);
            check("tmux server", Severity::Broken, failure.message, Some(failure.hint))
        }
    }
}

fn utf8(locale: Option<&str>) -> Check {
    match locale {
        Some(text) if text.to_lowercase().replace('-', "").contains("utf8") => {
            check("locale", Severity::Fine, text.to_owned(), None)
        }
        other => check(
            "locale",
            Severity::Warning,
            format!(
                "`{}` is not UTF-8: agents that draw with it may show wrong characters",
                other.unwrap_or("(unset)")
            ),
            Some("export LANG=C.UTF-8".to_owned()),
        ),
    }
}

fn home(context: &Context) -> Check {
    let path = context.home.path();
    if !path.exists() {
        return check("home", Severity::Fine, format!("`{}` will be created", path.display()), None);
    }
    match files::check_private_dir(path) {
        Ok(()) => check("home", Severity::Fine, path.display().to_string(), None),
        Err(error) => check("home", Severity::Broken, error.to_string(), Some(error.hint())),
    }
}

fn registry(context: &Context) -> Vec<Check> {
    let registry = context.registry();
    let listing = registry.list();
    let mut checks: Vec<Check> = listing
        .damaged
        .iter()
        .map(|damaged| {
            let folder = registry.folder().join("live_agents").join(&damaged.agent_id);
            let mend = format!(
                "rm -r {}; a live session publishes itself again with `agents gateway attach`",
                quoted(&folder)
            );
            check("registry", Severity::Broken, damaged.error.to_string(), Some(mend))
        })
        .collect();
    for record in listing.records.iter().filter(|record| record.lifecycle.state.is_live()) {
        if !Path::new(&record.runtime.manifest_path).is_file() {
            let folder = registry.folder().join("live_agents").join(&record.agent_id);
            checks.push(check(
                format!("agent {}", record.agent_name),
                Severity::Broken,
                format!("its record points to `{}`, which does not exist", record.runtime.manifest_path),
                Some(format!("rm -r {}", quoted(&folder))),
            ));
        }
    }
    if checks.is_empty() {
        checks.push(check("registry", Severity::Fine, format!("{} agents", listing.records.len()), None));
    }
    checks
}

fn session(context: &Context, root: &SessionRoot) -> Vec<Check> {
    let label = format!("session {}", root.name());
    let target = match target::of_root(context, root) {
        Ok(target) => target,
        Err(failure) => return vec![check(label, Severity::Broken, failure.message, Some(failure.hint))],
    };
    let label = format!("agent {} ({})", target.label(), id(&target));
    let mut checks = damaged_documents(&label, &target);
    checks.extend(modes(&label, root));
    checks.extend(agent(&label, &target));
    checks.extend(gateway(&label, &target));
    checks.extend(queue(&label, &target));
    if checks.is_empty() {
        checks.push(check(label, Severity::Fine, "files, session and gateway agree", None));
    }
    checks
}

/// Every document that has to be readable, with its own way of mending.
fn damaged_documents(label: &str, target: &Target) -> Vec<Check> {
    let root = &target.root;
    let again = "agents gateway attach writes it again: ";
    let found = [
        problem::<Manifest>(&root.manifest()).map(|error| (error, "join or launch the session again".to_owned())),
        problem::<Surface>(&root.surface()).map(|error| (error, "join or launch the session again".to_owned())),
        problem::<AttachContract>(&root.attach()).map(|error| (error, format!("{again}rm {}", quoted(&root.attach())))),
        problem::<StatusDocument>(&root.state()).map(|error| (error, format!("{again}rm {}", quoted(&root.state())))),
        problem::<DesiredConfig>(&root.desired_config())
            .map(|error| (error, format!("mend it, or rm {} for the defaults", quoted(&root.desired_config())))),
        problem::<CurrentInstance>(&root.current_instance())
            .map(|error| (error, format!("agents gateway detach --agent-id {}", id(target)))),
        problem::<Owner>(&root.owner())
            .map(|error| (error, format!("agents gateway detach --agent-id {}", id(target)))),
    ];
    found.into_iter().flatten().map(|(error, mend)| check(label, Severity::Broken, error, Some(mend))).collect()
}

fn problem<D: Document>(path: &Path) -> Option<String> {
    documents::load_if_present::<D>(path).err().map(|error| error.to_string())
}

/// The agent's id as one word of a command.
fn id(target: &Target) -> String {
    shell_quote(target.manifest.agent_id.as_deref().unwrap_or("ID"))
}

/// A path as one word of a command.
fn quoted(path: &Path) -> String {
    shell_quote(&path.to_string_lossy())
}

fn modes(label: &str, root: &SessionRoot) -> Vec<Check> {
    [root.path().to_owned(), root.gateway(), root.run(), root.logs()]
        .iter()
        .filter_map(|folder| files::check_private_dir(folder).err())
        .map(|error| check(label, Severity::Broken, error.to_string(), Some(error.hint())))
        .collect()
}

fn agent(label: &str, target: &Target) -> Option<Check> {
    if let Err(why) = &target.session {
        return Some(check(
            label,
            Severity::Warning,
            format!("its tmux session is gone: {why}"),
            Some(format!("agents relaunch --agent-id {0}, or agents cleanup --agent-id {0} --yes", id(target))),
        ));
    }
    match &target.agent {
        AgentPane::Alive(pane) if pane.window_index != 0 => Some(check(
            label,
            Severity::Warning,
            format!("its window stands at index {}; programs of the contract look at index 0", pane.window_index),
            Some(format!(
                "tmux -S {} move-window -d -s {} -t '{}:0'",
                quoted(target.server.socket()),
                pane.window_id,
                pane.session_id
            )),
        )),
        AgentPane::Alive(_) | AgentPane::Replaced(_) => None,
        AgentPane::Dead(_) => {
            Some(check(label, Severity::Warning, "its program has ended", Some(target.revival().to_owned())))
        }
        AgentPane::Missing(why) => {
            Some(check(label, Severity::Warning, why.clone(), Some(target.revival().to_owned())))
        }
    }
}

fn gateway(label: &str, target: &Target) -> Vec<Check> {
    let mut checks = Vec::new();
    let identity = target.manifest.attach_identity(&target.root.name());
    let clean = format!("agents gateway status --agent-id {}", id(target));
    match live::observe(&target.root, &identity) {
        Ok(Live::Dead { .. }) => {
            checks.push(check(
                label,
                Severity::Broken,
                "its gateway died and left a live binding",
                Some(clean.clone()),
            ));
        }
        Ok(Live::Unresponsive { why, .. }) => checks.push(check(
            label,
            Severity::Broken,
            format!("its gateway holds the session and does not answer: {why}"),
            Some(format!("agents gateway attach --restart --agent-id {}", id(target))),
        )),
        Ok(Live::Offline) => checks.extend(stale_variables(label, target, &clean)),
        Ok(Live::Answering { .. } | Live::Passing { .. }) => {}
        Err(failure) => checks.push(check(label, Severity::Broken, failure.message, Some(failure.hint))),
    }
    checks.extend(leftover_windows(label, target));
    checks
}

/// What keeps the queue from taking work, and damaged files that lie beside it.
fn queue(label: &str, target: &Target) -> Vec<Check> {
    let blocked = documents::load_if_present::<StatusDocument>(&target.root.state())
        .is_ok_and(|status| status.is_some_and(|status| status.request_admission == Admission::BlockedReconciliation));
    let mut damaged: Vec<PathBuf> = std::fs::read_dir(target.root.gateway())
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    damaged.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("queue.sqlite.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    });
    damaged.sort();
    let decide = format!("agents gateway reconcile --drop --agent-id {}", id(target));
    let mut checks: Vec<Check> = damaged
        .iter()
        .map(|path| {
            let found = format!(
                "a damaged queue was set aside as `{0}`; what waited in it is not typed (`sqlite3 {1} .recover` shows \
                 what can still be read)",
                path.display(),
                quoted(path)
            );
            if blocked {
                let found = format!("{found}, and nothing is accepted until somebody decides");
                return check(label, Severity::Broken, found, Some(decide.clone()));
            }
            check(label, Severity::Warning, found, Some(format!("rm -f {0} {0}-wal {0}-shm", quoted(path))))
        })
        .collect();
    if blocked && checks.is_empty() {
        let found = "requests wait that were accepted for an earlier process of the agent; nothing more is accepted";
        let mend = format!("agents gateway reconcile --keep --agent-id {0}, or {decide}", id(target));
        checks.push(check(label, Severity::Broken, found, Some(mend)));
    }
    checks
}

fn stale_variables(label: &str, target: &Target, mend: &str) -> Option<Check> {
    let session = target.session.as_ref().ok()?;
    let names = SessionEnvironment::new(session.environment.clone()).live_names();
    (!names.is_empty()).then(|| {
        check(
            label,
            Severity::Broken,
            format!("{} live variables name a gateway that does not run", names.len()),
            Some(mend.to_owned()),
        )
    })
}

/// Windows marked as a gateway's while no gateway holds the lock.
fn leftover_windows(label: &str, target: &Target) -> Vec<Check> {
    let Ok(session) = &target.session else { return Vec::new() };
    if lock::is_held(&target.root.gateway_lock()).unwrap_or(true) {
        return Vec::new();
    }
    session
        .panes
        .iter()
        .filter(|pane| pane.gateway_mark == target.root.name() && pane.window_index != 0)
        .map(|pane| {
            check(
                label,
                Severity::Warning,
                format!("window {} was a gateway's and holds none", pane.window_index),
                Some(format!("tmux -S {} kill-window -t {}", quoted(target.server.socket()), pane.window_id)),
            )
        })
        .collect()
}
