//! `attach.json` and `gateway_manifest.json` (contract sections 1.2 and 1.3).

use serde::{Deserialize, Serialize};

use super::{BrokenRule, Document, ExecutionMode, Host, expect_text, expect_version, expect_window};

/// What a gateway needs to know to serve a session; stable across attach and detach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachContract {
    /// Always 1.
    pub schema_version: u32,
    /// The session's identity: the runtime session id where there is one.
    pub attach_identity: String,
    /// Backend of the manifest.
    pub backend: String,
    /// Exact tmux session name.
    pub tmux_session_name: String,
    /// Absolute path.
    pub working_directory: String,
    /// Depends on the backend.
    pub backend_metadata: BackendMetadata,
    /// Absolute path of `manifest.json`.
    #[serde(default)]
    pub manifest_path: Option<String>,
    /// Absolute path of the agent definition directory.
    #[serde(default)]
    pub agent_def_dir: Option<String>,
    /// The session root's id.
    #[serde(default)]
    pub runtime_session_id: Option<String>,
    /// Listener wish copied from `desired-config.json`.
    #[serde(default)]
    pub desired_host: Option<Host>,
    /// Listener wish copied from `desired-config.json`.
    #[serde(default)]
    pub desired_port: Option<u16>,
}

/// `backend_metadata` of the local and headless family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendMetadata {
    /// Runtime session id.
    #[serde(default)]
    pub session_id: Option<String>,
    /// Tool of the manifest.
    pub tool: String,
    /// Set together with `managed_agent_ref`, headless only.
    #[serde(default)]
    pub managed_api_base_url: Option<String>,
    /// Set together with `managed_api_base_url`, headless only.
    #[serde(default)]
    pub managed_agent_ref: Option<String>,
}

impl Document for AttachContract {
    const NAME: &'static str = "attach.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        expect_text("attach_identity", &self.attach_identity)?;
        expect_text("backend", &self.backend)?;
        expect_text("tmux_session_name", &self.tmux_session_name)?;
        expect_text("working_directory", &self.working_directory)?;
        if self.backend_metadata.managed_api_base_url.is_some() != self.backend_metadata.managed_agent_ref.is_some() {
            return Err(BrokenRule::other(
                "`managed_api_base_url` and `managed_agent_ref` are set together or not at all",
            ));
        }
        expect_port(self.desired_port)
    }
}

fn expect_port(port: Option<u16>) -> Result<(), BrokenRule> {
    if port == Some(0) { Err(BrokenRule::other("`desired_port` must be 1 to 65535")) } else { Ok(()) }
}

/// `gateway_manifest.json`: the attach contract and, while a gateway lives, where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the attach fields mean what they mean in `AttachContract`")]
pub struct GatewayManifest {
    pub schema_version: u32,
    pub attach_identity: String,
    pub backend: String,
    pub tmux_session_name: String,
    pub working_directory: String,
    pub backend_metadata: BackendMetadata,
    #[serde(default)]
    pub manifest_path: Option<String>,
    #[serde(default)]
    pub agent_def_dir: Option<String>,
    #[serde(default)]
    pub runtime_session_id: Option<String>,
    #[serde(default)]
    pub desired_host: Option<Host>,
    #[serde(default)]
    pub desired_port: Option<u16>,
    /// Set exactly while a gateway lives, as are the seven fields after it.
    #[serde(default)]
    pub gateway_pid: Option<u32>,
    #[serde(default)]
    pub gateway_host: Option<Host>,
    #[serde(default)]
    pub gateway_port: Option<u16>,
    #[serde(default)]
    pub gateway_protocol_version: Option<String>,
    #[serde(default)]
    pub gateway_execution_mode: Option<ExecutionMode>,
    #[serde(default)]
    pub gateway_tmux_window_id: Option<String>,
    #[serde(default)]
    pub gateway_tmux_window_index: Option<String>,
    #[serde(default)]
    pub gateway_tmux_pane_id: Option<String>,
}

impl Document for GatewayManifest {
    const NAME: &'static str = "gateway_manifest.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        expect_port(self.desired_port)?;
        let live = [
            self.gateway_pid.is_some(),
            self.gateway_host.is_some(),
            self.gateway_port.is_some(),
            self.gateway_protocol_version.is_some(),
            self.gateway_execution_mode.is_some(),
        ];
        if live.iter().any(|set| *set != live[0]) {
            return Err(BrokenRule::other("the live gateway fields are set together or not at all"));
        }
        expect_window(
            self.gateway_execution_mode.unwrap_or_default(),
            self.gateway_tmux_window_id.as_deref(),
            self.gateway_tmux_window_index.as_deref(),
            self.gateway_tmux_pane_id.as_deref(),
        )
    }
}
