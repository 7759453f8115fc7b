//! What a tool's hooks tell.

use serde_json::Value;

use super::{Observation, Seen, Tracker};
use crate::{agents::signs, model::Source};

impl Tracker {
    /// Takes in one event of a tool's hook; says how many signs it held. `None`: no such tool, or no event of it.
    pub fn hook(&self, tool: &str, event: &Value) -> Option<usize> {
        let signs = signs::hooks(tool, event)?;
        let count = signs.len();
        if self.now_state().diagnostics.hook_channel != Some("active") {
            let seen = Seen::Channel { up: true, why: "a hook told something".to_owned() };
            self.observe(&Observation { source: Source::Hook, seen });
        }
        for sign in signs {
            self.observe(&Observation { source: Source::Hook, seen: Seen::Sign(sign) });
        }
        Some(count)
    }
}
