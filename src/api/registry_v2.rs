//! Version 2 of the registry's `record.json`: read, never written (contract section 2.4).
//!
//! It knew live agents only, so it had no lifecycle, and lease and session name stood elsewhere.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Document, GatewayPointer, Identity, Lifecycle, LifecycleState, Liveness, RegistryRecord, RuntimePointer, Terminal,
};

const VERSION: u32 = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordV2 {
    schema_version: u32,
    agent_name: String,
    agent_id: String,
    generation_id: String,
    published_at: String,
    lease_expires_at: String,
    identity: Identity,
    runtime: RuntimePointer,
    terminal: TerminalV2,
    #[serde(default)]
    gateway: Option<GatewayPointer>,
    #[serde(default)]
    mailbox: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TerminalV2 {
    #[serde(default = "tmux")]
    kind: String,
    session_name: String,
}

fn tmux() -> String {
    "tmux".to_owned()
}

/// The record in today's shape; `None` if it is not wholly of version 2.
pub(super) fn upgrade(other: Value) -> Option<RegistryRecord> {
    let old: RecordV2 = serde_json::from_value(other).ok().filter(|old: &RecordV2| old.schema_version == VERSION)?;
    Some(RegistryRecord {
        schema_version: RegistryRecord::SCHEMA_VERSION,
        agent_name: old.agent_name,
        agent_id: old.agent_id,
        generation_id: old.generation_id,
        lifecycle: Lifecycle {
            state: LifecycleState::Active,
            // Without its root, nothing says how to start it again.
            relaunchable: old.runtime.session_root.is_some(),
            state_updated_at: old.published_at.clone(),
            stopped_at: None,
            stop_reason: None,
        },
        identity: old.identity,
        runtime: old.runtime,
        terminal: Terminal {
            kind: old.terminal.kind,
            current_session_name: Some(old.terminal.session_name.clone()),
            last_session_name: old.terminal.session_name,
        },
        liveness: Some(Liveness { published_at: old.published_at, lease_expires_at: old.lease_expires_at }),
        gateway: old.gateway,
        mailbox: old.mailbox,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn old() -> Value {
        json!({
            "schema_version": 2,
            "agent_name": "alpha",
            "agent_id": "a1",
            "generation_id": "3303927a-fe24-49ee-8fc7-3fc08d3f9e9a",
            "published_at": "2026-11-21T11:52:34+00:00",
            "lease_expires_at": "2026-11-22T11:52:34+00:00",
            "identity": {"backend": "local_interactive", "tool": "claude"},
            "runtime": {"manifest_path": "/r/manifest.json", "session_root": "/r", "agent_def_dir": null},
            "terminal": {"kind": "tmux", "session_name": "work"},
            "gateway": {"host": "127.0.0.1", "port": 4242, "state_path": "/r/gateway/state.json", "protocol_version": "v1"},
            "mailbox": {"transport": "filesystem"},
        })
    }

    #[test]
    fn lease_and_session_name_move_and_nothing_is_lost() {
        let new = upgrade(old()).unwrap();
        assert_eq!(new.check(), Ok(()));
        let mut expected = old();
        let fields = expected.as_object_mut().unwrap();
        fields.remove("published_at");
        fields.remove("lease_expires_at");
        expected["schema_version"] = json!(3);
        expected["terminal"] = json!({"kind": "tmux", "current_session_name": "work", "last_session_name": "work"});
        expected["liveness"] =
            json!({"published_at": "2026-11-21T11:52:34+00:00", "lease_expires_at": "2026-11-22T11:52:34+00:00"});
        expected["lifecycle"] = json!({
            "state": "active", "relaunchable": true, "state_updated_at": "2026-11-21T11:52:34+00:00",
            "stopped_at": null, "stop_reason": null,
        });
        assert_eq!(serde_json::to_value(&new).unwrap(), expected);
    }

    #[test]
    fn what_is_not_wholly_of_version_2_is_left_alone() {
        for (key, value) in [
            ("schema_version", json!(1)),
            ("published_at", json!(null)),
            ("lifecycle", json!({})),
            ("terminal", json!({"kind": "tmux", "current_session_name": "work", "last_session_name": "work"})),
        ] {
            let mut record = old();
            record[key] = value;
            assert!(upgrade(record).is_none(), "{key}");
        }
    }
}
