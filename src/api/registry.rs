//! The shared registry's `record.json`, version 3 (contract section 2.4). Version 2 is read by `registry_v2`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BrokenRule, Document, Host, expect_text, expect_version, registry_v2};
use crate::model::Moment;

/// One agent as the registry knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryRecord {
    /// Always 3.
    pub schema_version: u32,
    /// Not unique.
    pub agent_name: String,
    /// The folder's name; unique among live agents.
    pub agent_id: String,
    /// UUID of the publisher's generation: a fresh record of another generation is never overwritten.
    pub generation_id: String,
    /// Active, stopped, relaunching or retired.
    pub lifecycle: Lifecycle,
    /// Backend and tool.
    pub identity: Identity,
    /// Where the session root lies.
    pub runtime: RuntimePointer,
    /// The tmux session.
    pub terminal: Terminal,
    /// The lease; null unless active or relaunching.
    #[serde(default)]
    pub liveness: Option<Liveness>,
    /// The live gateway; null when there is none.
    #[serde(default)]
    pub gateway: Option<GatewayPointer>,
    /// The mailbox pointer, kept as found.
    #[serde(default)]
    pub mailbox: Option<Value>,
}

/// Where in its life an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// The state itself.
    pub state: LifecycleState,
    /// May `relaunch` bring it back?
    pub relaunchable: bool,
    /// Timestamp with offset.
    pub state_updated_at: String,
    /// Set for `stopped` and `retired`.
    #[serde(default)]
    pub stopped_at: Option<String>,
    /// E.g. `operator_stop`.
    #[serde(default)]
    pub stop_reason: Option<String>,
}

/// The four states of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum LifecycleState {
    Active,
    Stopped,
    Relaunching,
    Retired,
}

impl LifecycleState {
    /// Does the record claim a living session?
    pub fn is_live(self) -> bool {
        matches!(self, Self::Active | Self::Relaunching)
    }
}

/// Backend and tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in the manifest")]
pub struct Identity {
    pub backend: String,
    pub tool: String,
}

/// Absolute paths of the session's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in the manifest")]
pub struct RuntimePointer {
    pub manifest_path: String,
    #[serde(default)]
    pub session_root: Option<String>,
    #[serde(default)]
    pub agent_def_dir: Option<String>,
}

/// The tmux session by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Always `tmux`.
    pub kind: String,
    /// Set exactly while the agent is active or relaunching.
    #[serde(default)]
    pub current_session_name: Option<String>,
    /// The name it had last.
    pub last_session_name: String,
}

/// The lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Liveness {
    pub published_at: String,
    pub lease_expires_at: String,
}

/// Where the live gateway answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in current-instance.json")]
pub struct GatewayPointer {
    pub host: Host,
    pub port: u16,
    pub state_path: String,
    pub protocol_version: String,
}

impl RegistryRecord {
    /// Live by its own word, and its lease has not lapsed.
    pub fn is_fresh(&self, now: Moment) -> bool {
        let lease = self.liveness.as_ref().and_then(|lease| Moment::parse(&lease.lease_expires_at));
        self.lifecycle.state.is_live() && lease.is_some_and(|until| until >= now)
    }
}

impl Document for RegistryRecord {
    const NAME: &'static str = "record.json";
    const SCHEMA_VERSION: u32 = 3;

    fn upgraded(other: Value) -> Option<Self> {
        registry_v2::upgrade(other)
    }

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        expect_text("agent_name", &self.agent_name)?;
        expect_text("agent_id", &self.agent_id)?;
        let live = self.lifecycle.state.is_live();
        if self.liveness.is_some() != live {
            return Err(BrokenRule::other("`liveness` is set exactly while the agent is active or relaunching"));
        }
        if self.terminal.current_session_name.is_some() != live {
            return Err(BrokenRule::other("`terminal.current_session_name` is set exactly while the agent is live"));
        }
        if !live && self.lifecycle.stopped_at.is_none() {
            return Err(BrokenRule::other("`lifecycle.stopped_at` is required once the agent is stopped"));
        }
        if let Some(lease) = &self.liveness {
            for text in [&lease.published_at, &lease.lease_expires_at] {
                if Moment::parse(text).is_none() {
                    return Err(BrokenRule::other(format!("`{text}` is not a timestamp with an offset")));
                }
            }
        }
        Ok(())
    }
}
