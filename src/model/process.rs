//! Which process, beyond doubt: a pid alone is reused by strangers.

use serde::{Deserialize, Serialize};

/// One process of one boot. Start ticks stay relative to boot, so a stepped wall clock changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// The kernel's id of this boot.
    pub boot_id: String,
}
