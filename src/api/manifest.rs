//! `manifest.json`, schema 4: the durable authority over a session (contract section 1.1).
//!
//! Sections that this program only passes on (`launch_plan.mailbox`, the backend sections, `metadata`)
//! are kept as JSON values: a session that another program made keeps every fact it had.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BrokenRule, Document, expect_text, expect_version};

/// The manifest of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the contract names and explains every field in its section 1.1")]
pub struct Manifest {
    pub schema_version: u32,
    pub backend: String,
    pub tool: String,
    pub role_name: String,
    pub created_at_utc: String,
    pub working_directory: String,
    pub brain_manifest_path: String,
    #[serde(default)]
    pub agent_name: Option<String>,
    #[serde(default)]
    pub agent_id: Option<String>,
    #[serde(default)]
    pub tmux_session_name: Option<String>,
    #[serde(default)]
    pub registry_generation_id: Option<String>,
    #[serde(default = "runtime_authority")]
    pub registry_launch_authority: String,
    pub runtime: Runtime,
    #[serde(default)]
    pub tmux: Option<TmuxSection>,
    #[serde(default)]
    pub interactive: Option<Interactive>,
    #[serde(default)]
    pub agent_launch_authority: Option<AgentLaunchAuthority>,
    #[serde(default)]
    pub gateway_authority: Option<GatewayAuthority>,
    pub launch_plan: LaunchPlan,
    #[serde(default)]
    pub launch_policy_provenance: Option<Value>,
    #[serde(default)]
    pub system_prompt: Option<Value>,
    pub backend_state: Value,
    #[serde(default)]
    pub codex: Option<Value>,
    #[serde(default)]
    pub headless: Option<Value>,
    #[serde(default)]
    pub local_interactive: Option<Value>,
    #[serde(default)]
    pub cao: Option<Value>,
    #[serde(default)]
    pub houmao_server: Option<Value>,
}

fn runtime_authority() -> String {
    "runtime".to_owned()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct Runtime {
    #[serde(default)]
    pub session_id: Option<String>,
    #[serde(default)]
    pub memory_root: Option<String>,
    #[serde(default)]
    pub memo_file: Option<String>,
    #[serde(default)]
    pub pages_dir: Option<String>,
    #[serde(default)]
    pub agent_def_dir: Option<String>,
    #[serde(default)]
    pub agent_pid: Option<u32>,
    #[serde(default)]
    pub registry_generation_id: Option<String>,
    #[serde(default = "runtime_authority")]
    pub registry_launch_authority: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct TmuxSection {
    pub session_name: String,
    pub primary_window_index: String,
    pub primary_window_role: String,
    #[serde(default)]
    pub primary_window_name: Option<String>,
    #[serde(default)]
    pub primary_window_id: Option<String>,
    #[serde(default)]
    pub primary_pane_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct Interactive {
    pub turn_index: u64,
    #[serde(default)]
    pub working_directory: Option<String>,
    #[serde(default)]
    pub role_bootstrap_applied: Option<bool>,
    #[serde(default)]
    pub terminal_id: Option<String>,
    #[serde(default)]
    pub parsing_mode: Option<String>,
    #[serde(default)]
    pub tmux_window_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct AgentLaunchAuthority {
    pub backend: String,
    pub tool: String,
    #[serde(default)]
    pub tmux_session_name: Option<String>,
    pub primary_window_index: String,
    #[serde(default)]
    pub primary_window_id: Option<String>,
    #[serde(default)]
    pub primary_pane_id: Option<String>,
    pub working_directory: String,
    #[serde(default)]
    pub session_id: Option<String>,
    #[serde(default)]
    pub profile_name: Option<String>,
    #[serde(default)]
    pub profile_path: Option<String>,
    #[serde(default)]
    pub session_origin: Option<String>,
    #[serde(default)]
    pub posture_kind: Option<String>,
    #[serde(default)]
    pub launch_args: Option<Vec<String>>,
    #[serde(default)]
    pub launch_env: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct GatewayAuthority {
    pub attach: Value,
    pub control: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct LaunchPlan {
    pub backend: String,
    pub tool: String,
    pub executable: String,
    pub args: Vec<String>,
    pub working_directory: String,
    pub home_selector: Value,
    pub env_var_names: Vec<String>,
    pub role_injection: Value,
    pub metadata: Value,
    #[serde(default)]
    pub mailbox: Option<Value>,
    #[serde(default)]
    pub launch_policy_provenance: Option<Value>,
}

const BACKENDS: [&str; 7] = [
    "local_interactive",
    "codex_headless",
    "codex_app_server",
    "claude_headless",
    "kimi_headless",
    "cao_rest",
    "houmao_server_rest",
];

impl Manifest {
    /// Can a gateway of ours serve it? Retired backends have no tmux pane of their own.
    pub fn is_tmux_backed(&self) -> bool {
        matches!(self.backend.as_str(), "local_interactive" | "codex_headless" | "claude_headless" | "kimi_headless")
    }

    /// The first of the identities that the contract names (section 1.2), or the folder's name.
    pub fn attach_identity(&self, root_name: &str) -> String {
        [&self.runtime.session_id, &self.agent_id, &self.agent_name, &self.tmux_session_name]
            .into_iter()
            .flatten()
            .next()
            .map_or_else(|| root_name.to_owned(), Clone::clone)
    }

    /// The recorded pane of the agent.
    pub fn primary_pane(&self) -> Option<&str> {
        self.tmux.as_ref().and_then(|tmux| tmux.primary_pane_id.as_deref())
    }
}

impl Document for Manifest {
    const NAME: &'static str = "manifest.json";
    const SCHEMA_VERSION: u32 = 4;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        if !BACKENDS.contains(&self.backend.as_str()) {
            return Err(BrokenRule::other(format!("`{}` is not a backend", self.backend)));
        }
        expect_text("tool", &self.tool)?;
        expect_text("working_directory", &self.working_directory)?;
        if self.launch_plan.backend != self.backend || self.launch_plan.tool != self.tool {
            return Err(BrokenRule::other("`launch_plan` is for another backend or tool"));
        }
        if self.registry_generation_id != self.runtime.registry_generation_id {
            return Err(BrokenRule::other("the two copies of `registry_generation_id` differ"));
        }
        if self.is_tmux_backed() {
            for (field, value) in [
                ("agent_name", &self.agent_name),
                ("agent_id", &self.agent_id),
                ("tmux_session_name", &self.tmux_session_name),
            ] {
                if value.as_deref().is_none_or(|text| text.trim().is_empty()) {
                    return Err(BrokenRule::other(format!("`{field}` is required for a session in tmux")));
                }
            }
            let Some(tmux) = &self.tmux else {
                return Err(BrokenRule::other("`tmux` is required for a session in tmux"));
            };
            if self.interactive.is_none() || self.agent_launch_authority.is_none() || self.gateway_authority.is_none() {
                return Err(BrokenRule::other(
                    "`interactive`, `agent_launch_authority` and `gateway_authority` are required",
                ));
            }
            if Some(&tmux.session_name) != self.tmux_session_name.as_ref() {
                return Err(BrokenRule::other("`tmux.session_name` differs from `tmux_session_name`"));
            }
            if tmux.primary_window_index != "0" {
                return Err(BrokenRule::other("`tmux.primary_window_index` must be \"0\""));
            }
        }
        Ok(())
    }
}
