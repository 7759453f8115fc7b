//! The shared registry: which agents exist on this machine, found by name or id (contract section 2.4).
//!
//! A record carries a lease instead of a promise of a hundred years. Every publication happens under one
//! kernel lock, so two of them cannot both win.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    documents::{self, DocumentError},
    layout::{SessionRoot, record_folder},
};
use serde_json::Value;

use crate::{
    api::{
        BrokenRule, Identity, Lifecycle, LifecycleState, Liveness, Manifest, RegistryRecord, RuntimePointer, Terminal,
    },
    model::{AgentId, ErrorCode, Failure, LEASE, Moment, shell_quote},
    os::{
        files::{self, FileError},
        lock::Lock,
    },
};

/// The registry below one home.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: PathBuf,
}

/// How long a publication waits for another one.
const LOCK_LIMIT: Duration = Duration::from_secs(3);

/// One entry that could not be read: it hides an agent, so it is reported and never skipped silently.
#[derive(Debug)]
pub struct DamagedRecord {
    /// The agent id, which is the folder's name.
    pub agent_id: String,
    /// What is wrong with it.
    pub error: DocumentError,
}

/// Everything that the registry holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Readable records, by name, then id.
    pub records: Vec<RegistryRecord>,
    /// The others.
    pub damaged: Vec<DamagedRecord>,
}

impl Registry {
    /// The registry in this folder, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn record_path(&self, id: &AgentId) -> PathBuf {
        record_folder(&self.folder, id).join("record.json")
    }

    /// Reads every record. Links are ignored, as the contract says.
    pub fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let Ok(entries) = fs::read_dir(self.folder.join("live_agents")) else { return listing };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = AgentId::parse(&name).ok().filter(|_| is_folder) else { continue };
            match self.read(&id) {
                Ok(Some(record)) => listing.records.push(record),
                Ok(None) => {}
                Err(error) => listing.damaged.push(DamagedRecord { agent_id: name, error }),
            }
        }
        listing.records.sort_by(|a, b| (&a.agent_name, &a.agent_id).cmp(&(&b.agent_name, &b.agent_id)));
        listing
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`DocumentError`] when it is damaged or claims another id than its folder.
    pub fn read(&self, id: &AgentId) -> Result<Option<RegistryRecord>, DocumentError> {
        let path = self.record_path(id);
        let record: Option<RegistryRecord> = documents::load_if_present(&path)?;
        match record {
            Some(record) if record.agent_id != id.as_str() => Err(DocumentError::Rule {
                path,
                document: "record.json",
                why: BrokenRule::other(format!("it is for agent id `{}`", record.agent_id)),
            }),
            other => Ok(other),
        }
    }

    /// Publishes a record with a new lease.
    ///
    /// # Errors
    /// Refused when a record of another generation is still live by `is_live`'s word; file failures otherwise.
    pub fn publish(
        &self,
        record: RegistryRecord,
        now: Moment,
        is_live: impl Fn(&RegistryRecord) -> bool,
    ) -> Result<(), Failure> {
        let id = AgentId::parse(&record.agent_id)?;
        let _lock = self.lock(LOCK_LIMIT)?;
        if let Ok(Some(other)) = self.read(&id)
            && other.generation_id != record.generation_id
            && is_live(&other)
        {
            return Err(Failure::new(
                ErrorCode::Refused,
                format!("agent id `{id}` is in use by the live agent `{}`", other.agent_name),
                format!("stop it with `agents stop --agent-id {id}`, or choose another id with `--agent-id`"),
            ));
        }
        self.write(&id, &RegistryRecord { liveness: Some(lease(now)), ..record })?;
        Ok(())
    }

    /// Changes a record of the same generation, under the lock. A record that is gone or another's is left alone.
    ///
    /// Returns whether the record was there to be changed.
    ///
    /// # Errors
    /// File failures.
    pub fn update(
        &self,
        id: &AgentId,
        generation: &str,
        change: impl FnOnce(&mut RegistryRecord),
    ) -> Result<bool, Failure> {
        self.update_within(id, generation, LOCK_LIMIT, change)
    }

    /// As [`Registry::update`], waiting for the registry's lock no longer than the limit.
    ///
    /// # Errors
    /// File failures, and a timeout.
    pub fn update_within(
        &self,
        id: &AgentId,
        generation: &str,
        limit: Duration,
        change: impl FnOnce(&mut RegistryRecord),
    ) -> Result<bool, Failure> {
        // A root whose registry lies elsewhere has no record here, and none is made.
        if !self.record_path(id).exists() {
            return Ok(false);
        }
        let _lock = self.lock(limit)?;
        match self.read(id) {
            Ok(Some(mut record)) if record.generation_id == generation => {
                change(&mut record);
                self.write(id, &record)?;
                Ok(true)
            }
            // A damaged record cannot be changed; who owns the agent publishes it anew.
            _ => Ok(false),
        }
    }

    /// Removes an agent's entry.
    ///
    /// # Errors
    /// File failures.
    pub fn remove(&self, id: &AgentId) -> Result<(), Failure> {
        let _lock = self.lock(LOCK_LIMIT)?;
        Ok(files::remove_tree(&record_folder(&self.folder, id))?)
    }

    fn write(&self, id: &AgentId, record: &RegistryRecord) -> Result<(), FileError> {
        files::create_private_dir(&record_folder(&self.folder, id))?;
        documents::store(&self.record_path(id), record).map(drop)
    }

    fn lock(&self, limit: Duration) -> Result<Lock, Failure> {
        files::create_private_dir(&self.folder)?;
        let path = self.folder.join("registry.lock");
        Lock::take_within(&path, limit)?.ok_or_else(|| {
            Failure::new(
                ErrorCode::Timeout,
                "the registry is locked by another program",
                format!("`fuser {}` names it", shell_quote(&path.to_string_lossy())),
            )
        })
    }

    /// The folder, for messages.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The record of a session that is about to be published.
pub fn new_record(root: &SessionRoot, manifest: &Manifest, relaunchable: bool, now: Moment) -> RegistryRecord {
    let session_name = manifest.tmux_session_name.clone().unwrap_or_default();
    RegistryRecord {
        schema_version: 3,
        agent_name: manifest.agent_name.clone().unwrap_or_default(),
        agent_id: manifest.agent_id.clone().unwrap_or_default(),
        generation_id: manifest.registry_generation_id.clone().unwrap_or_default(),
        lifecycle: Lifecycle {
            state: LifecycleState::Active,
            relaunchable,
            state_updated_at: now.iso_seconds(),
            stopped_at: None,
            stop_reason: None,
        },
        identity: Identity { backend: manifest.backend.clone(), tool: manifest.tool.clone() },
        runtime: RuntimePointer {
            manifest_path: root.manifest().to_string_lossy().into_owned(),
            session_root: Some(root.path().to_string_lossy().into_owned()),
            agent_def_dir: manifest.runtime.agent_def_dir.clone(),
        },
        terminal: Terminal {
            kind: "tmux".to_owned(),
            current_session_name: Some(session_name.clone()),
            last_session_name: session_name,
        },
        liveness: Some(lease(now)),
        gateway: None,
        mailbox: mailbox_pointer(manifest),
    }
}

/// Where the agent's mail is, for programs that start from the registry (contract section 2.4): the manifest's binding
/// without what only its owner needs.
pub fn mailbox_pointer(manifest: &Manifest) -> Option<Value> {
    let mut pointer = manifest.launch_plan.mailbox.clone()?;
    if let Some(pointer) = pointer.as_object_mut() {
        pointer.remove("mailbox_kind");
        pointer.remove("mailbox_path");
    }
    Some(pointer)
}

/// A lease from now.
pub fn lease(now: Moment) -> Liveness {
    Liveness { published_at: now.iso_seconds(), lease_expires_at: now.after(LEASE).iso_seconds() }
}

/// Marks a record as live in a session, with a new lease.
pub fn mark_active(record: &mut RegistryRecord, session_name: &str, now: Moment) {
    if record.lifecycle.state != LifecycleState::Active {
        record.lifecycle = Lifecycle {
            state: LifecycleState::Active,
            relaunchable: record.lifecycle.relaunchable,
            state_updated_at: now.iso_seconds(),
            stopped_at: None,
            stop_reason: None,
        };
    }
    record.liveness = Some(lease(now));
    record.terminal.current_session_name = Some(session_name.to_owned());
    session_name.clone_into(&mut record.terminal.last_session_name);
}

/// Marks a record as stopped: no lease, no session, no gateway.
pub fn mark_stopped(record: &mut RegistryRecord, reason: &str, now: Moment) {
    record.lifecycle = Lifecycle {
        state: LifecycleState::Stopped,
        relaunchable: record.lifecycle.relaunchable,
        state_updated_at: now.iso_seconds(),
        stopped_at: Some(now.iso_seconds()),
        stop_reason: Some(reason.to_owned()),
    };
    record.liveness = None;
    record.gateway = None;
    record.terminal.current_session_name = None;
}
