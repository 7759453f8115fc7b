//! `state.json`, which is also the body of `GET /v1/status` (contract section 1.5), and `GET /health`.

use serde::{Deserialize, Serialize};

use super::{BrokenRule, Document, ExecutionMode, Host, PROTOCOL_VERSION, expect_version};

/// Body of `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `v1`.
    pub protocol_version: String,
    /// Always `ok`.
    pub status: String,
}

impl Health {
    /// The one healthy answer.
    pub fn ok() -> Self {
        Self { protocol_version: PROTOCOL_VERSION.to_owned(), status: "ok".to_owned() }
    }
}

/// Is a gateway running?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayHealth {
    /// It answers, and host and port are set.
    Healthy,
    /// None does; host and port are null.
    NotAttached,
}

/// Is the agent's pane alive?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// The recorded pane runs its recorded process.
    Connected,
    /// It does not.
    Unavailable,
}

/// What the queue waits for after the agent changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Nothing.
    Idle,
    /// The agent to come back.
    AwaitingRebind,
    /// A person: rows accepted for another process are waiting.
    ReconciliationRequired,
}

/// Are new requests accepted?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Yes.
    Open,
    /// No: the agent is away.
    BlockedUnavailable,
    /// No: a person must decide what happens to older rows.
    BlockedReconciliation,
}

/// Could the terminal take input? Coarser than the tracker's readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eligibility {
    /// The pane is alive, takes input and is in no mode.
    Ready,
    /// Nobody has looked.
    Unknown,
    /// Dead, in a mode, or input is off.
    NotReady,
}

/// Is a request being typed right now?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// No.
    Idle,
    /// Yes.
    Running,
}

/// The status document: live from the gateway, or the honest snapshot when none answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusDocument {
    /// Always 1.
    pub schema_version: u32,
    /// Always `v1`.
    pub protocol_version: String,
    /// As in `attach.json`.
    pub attach_identity: String,
    /// As in `attach.json`.
    pub backend: String,
    /// As in `attach.json`.
    pub tmux_session_name: String,
    /// Is a gateway running?
    pub gateway_health: GatewayHealth,
    /// Is the agent's pane alive?
    pub managed_agent_connectivity: Connectivity,
    /// What the queue waits for.
    pub managed_agent_recovery: Recovery,
    /// Are new requests accepted?
    pub request_admission: Admission,
    /// Could the terminal take input?
    pub terminal_surface_eligibility: Eligibility,
    /// Is a request being typed?
    pub active_execution: Execution,
    /// Window or detached process; offline: the mode that the next start would use.
    #[serde(default)]
    pub execution_mode: ExecutionMode,
    /// Rows in `accepted` and `running`.
    pub queue_depth: u64,
    /// Null when not attached.
    #[serde(default)]
    pub gateway_host: Option<Host>,
    /// Null when not attached.
    #[serde(default)]
    pub gateway_port: Option<u16>,
    /// Null when not in a window.
    #[serde(default)]
    pub gateway_tmux_window_id: Option<String>,
    /// Never `"0"`.
    #[serde(default)]
    pub gateway_tmux_window_index: Option<String>,
    /// Null when not in a window.
    #[serde(default)]
    pub gateway_tmux_pane_id: Option<String>,
    /// 0 before the first attach; one higher for every new agent process.
    pub managed_agent_instance_epoch: u64,
    /// Null when not attached.
    #[serde(default)]
    pub managed_agent_instance_id: Option<String>,
    /// Read from newer writers and never written: older readers refuse the key.
    #[serde(default, skip_serializing)]
    pub observation_channels: Option<serde_json::Value>,
}

impl Document for StatusDocument {
    const NAME: &'static str = "state.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        if self.protocol_version != PROTOCOL_VERSION {
            return Err(BrokenRule::other(format!("protocol_version is `{}`, expected `v1`", self.protocol_version)));
        }
        if self.gateway_tmux_window_index.as_deref() == Some("0") {
            return Err(BrokenRule::ClaimsWindowZero);
        }
        let listening = self.gateway_host.is_some() && self.gateway_port.is_some();
        let silent = self.gateway_host.is_none() && self.gateway_port.is_none();
        match self.gateway_health {
            GatewayHealth::Healthy if !listening => Err(BrokenRule::other("a healthy gateway has a host and a port")),
            GatewayHealth::NotAttached if !silent => Err(BrokenRule::other("no gateway, yet a host or a port")),
            GatewayHealth::Healthy
                if self.execution_mode == ExecutionMode::TmuxAuxiliaryWindow
                    && (self.gateway_tmux_window_id.is_none() || self.gateway_tmux_window_index.is_none()) =>
            {
                Err(BrokenRule::other("a gateway in a window has a window id and index"))
            }
            _ => Ok(()),
        }
    }
}
