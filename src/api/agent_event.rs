//! Events of an agent's hooks.

use serde::{Deserialize, Serialize};

/// The largest body that is taken, in bytes. The results of tools, which some events carry, are not needed.
pub const LARGEST_AGENT_EVENT: usize = 256 * 1024;

/// The answer to `POST /v1/agent-events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentEventTaken {
    /// How many signs about the agent's turns it held. Many events say nothing about them.
    pub signs: usize,
}
