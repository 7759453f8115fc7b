//! The records of a running gateway: the contract's `current-instance.json` (1.6) and our `owner.json` beside it.

use serde::{Deserialize, Serialize};

use super::{BrokenRule, Document, ExecutionMode, Host, PROTOCOL_VERSION, Placement, expect_version, expect_window};
use crate::model::ProcessIdentity;

/// `run/current-instance.json`: exists while a gateway runs, or after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentInstance {
    /// Always 1.
    pub schema_version: u32,
    /// Always `v1`.
    pub protocol_version: String,
    /// Process id. Not proof of anything: see [`Owner`].
    pub pid: u32,
    /// Where it listens.
    pub host: Host,
    /// 1 to 65535.
    pub port: u16,
    /// Window or detached process.
    #[serde(default)]
    pub execution_mode: ExecutionMode,
    /// Null for a detached process.
    #[serde(default)]
    pub tmux_window_id: Option<String>,
    /// Never `"0"`.
    #[serde(default)]
    pub tmux_window_index: Option<String>,
    /// Null for a detached process.
    #[serde(default)]
    pub tmux_pane_id: Option<String>,
    /// 1 or higher.
    pub managed_agent_instance_epoch: u64,
    /// Runtime session id for local backends.
    #[serde(default)]
    pub managed_agent_instance_id: Option<String>,
}

impl CurrentInstance {
    /// The recorded window, when the gateway runs in one.
    pub fn placement(&self) -> Option<Placement> {
        Some(Placement {
            window_id: self.tmux_window_id.clone()?,
            window_index: self.tmux_window_index.clone()?,
            pane_id: self.tmux_pane_id.clone()?,
        })
    }
}

impl Document for CurrentInstance {
    const NAME: &'static str = "run/current-instance.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        if self.protocol_version != PROTOCOL_VERSION {
            return Err(BrokenRule::other(format!("protocol_version is `{}`, expected `v1`", self.protocol_version)));
        }
        if self.pid == 0 || self.port == 0 || self.managed_agent_instance_epoch == 0 {
            return Err(BrokenRule::other("`pid`, `port` and `managed_agent_instance_epoch` must be above zero"));
        }
        expect_window(
            self.execution_mode,
            self.tmux_window_id.as_deref(),
            self.tmux_window_index.as_deref(),
            self.tmux_pane_id.as_deref(),
        )
    }
}

/// `run/owner.json`: which process holds the session's lock. Description only; the kernel lock is ownership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Always 1.
    pub schema_version: u32,
    /// Random id of this run of the gateway; also the value of the instance header.
    pub instance_id: String,
    /// The process, proof against pid reuse.
    pub process: ProcessIdentity,
    /// Number of this run, one higher at each start.
    pub generation: u64,
    /// Version of the program that runs.
    pub program_version: String,
    /// When it started.
    pub started_at_utc: String,
}

impl Document for Owner {
    const NAME: &'static str = "run/owner.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)
    }
}

/// `run/control-client.json`: the tmux client that the gateway talks through. It outlives a gateway that was killed
/// and has no window, and whoever cleans up after that gateway ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlClient {
    /// Always 1.
    pub schema_version: u32,
    /// The process, proof against pid reuse.
    pub process: ProcessIdentity,
}

impl Document for ControlClient {
    const NAME: &'static str = "run/control-client.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)
    }
}
