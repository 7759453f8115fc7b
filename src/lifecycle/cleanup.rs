//! Cleanup: session roots whose tmux session is gone for good, and old turns of headless agents.

use std::{fs, path::Path, time::Duration};

use super::{begin, withdraw};
use crate::{
    headless::{self, Turn},
    model::{AgentId, Failure},
    os::{clock, files, lock},
    session::SessionRoot,
    target::{self, Context, Target},
};

/// How long a turn that runs on may take to end once its program is killed.
const TURN_GRACE: Duration = Duration::from_secs(3);

/// A session root that nobody needs any more.
#[derive(Debug, Clone)]
pub struct Leftover {
    /// The session it belonged to.
    pub target: Target,
    /// Why it counts as gone.
    pub why: String,
    /// Size of its files in bytes.
    pub bytes: u64,
}

/// The turns of a headless agent that are beyond what its session keeps.
#[derive(Debug, Clone)]
pub struct OldTurns {
    /// Whose.
    pub target: Target,
    /// Which, the oldest first.
    pub turns: Vec<Turn>,
    /// Size of their files in bytes.
    pub bytes: u64,
}

/// Finds old turns, also of sessions that live.
pub fn find_old_turns(context: &Context) -> Vec<OldTurns> {
    let of = |root: &SessionRoot| {
        let turns = headless::old(root, clock::now());
        let bytes = turns.iter().map(|turn| size(turn.folder())).sum();
        let target = (!turns.is_empty()).then(|| target::of_root(context, root).ok()).flatten()?;
        Some(OldTurns { target, turns, bytes })
    };
    session_roots(context).iter().filter_map(of).collect()
}

/// Removes them. What is needed meanwhile stays.
///
/// # Errors
/// When files cannot be removed.
pub fn remove_old_turns(old: &OldTurns) -> Result<(), Failure> {
    let root = &old.target.root;
    let still = headless::old(root, clock::now());
    for turn in old.turns.iter().filter(|turn| still.contains(turn)) {
        headless::remove(root, turn)?;
    }
    Ok(())
}

/// Finds roots whose session is proven to be gone. A session that cannot be asked about is not listed.
pub fn find_leftovers(context: &Context) -> Vec<Leftover> {
    session_roots(context).iter().filter_map(|root| leftover(target::of_root(context, root).ok()?)).collect()
}

/// The leftover of one target; none while its session or its gateway lives.
///
/// Without our own facts about the pane a session can only be looked for by name on the caller's tmux server, and
/// not to find it there proves nothing.
pub(super) fn leftover(target: Target) -> Option<Leftover> {
    let why = target.session.as_ref().err()?.clone();
    target.surface.as_ref()?;
    let held = lock::is_held(&target.root.gateway_lock()).unwrap_or(true);
    (!held).then(|| Leftover { bytes: size(target.root.path()), why, target })
}

/// Every session root of this home.
pub(super) fn session_roots(context: &Context) -> Vec<SessionRoot> {
    let folders = |path: &Path| -> Vec<std::path::PathBuf> {
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    };
    folders(&context.home.sessions()).iter().flat_map(|backend| folders(backend)).map(SessionRoot::at).collect()
}

/// Removes one leftover: its registry record, then its files. It is proven to be gone once more, under the lock.
///
/// # Errors
/// Refused when the session lives again.
pub fn remove_leftovers(context: &Context, leftover: &Leftover) -> Result<(), Failure> {
    let root = &leftover.target.root;
    let _transition = begin(root)?;
    let again = target::of_root(context, root)?;
    let label = again.label();
    if self::leftover(again).is_none() {
        return Err(Failure::refused(
            format!("the session of agent `{label}` lives again"),
            "stop it first with `agents stop`",
        ));
    }
    // A turn outlives its session; without its folder it is nobody's.
    headless::end_now(root, TURN_GRACE)?;
    if let (Some(registry), Some(id)) = (withdraw::registry_of(&leftover.target), &leftover.target.manifest.agent_id) {
        let id = AgentId::parse(id)?;
        let ours = registry.read(&id).ok().flatten().is_some_and(|record| {
            Some(&record.generation_id) == leftover.target.manifest.registry_generation_id.as_ref()
        });
        if ours {
            registry.remove(&id)?;
        }
    }
    Ok(files::remove_tree(root.path())?)
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
