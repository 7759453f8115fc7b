//! One event of a hook, sent as quickly as can be: the agent waits for it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde_json::{Value, json};

use super::gateway::{Call, Gateway};
use crate::{
    api::{AgentEventTaken, CurrentInstance, LARGEST_AGENT_EVENT, Owner},
    session::{SessionRoot, documents},
};

/// How long the agent may be held up.
const LIMIT: Duration = Duration::from_millis(500);

/// What nobody needs here, and is large: what a tool is to do, and what came of it.
const HEAVY: [&str; 5] = ["tool_input", "tool_response", "permission_suggestions", "input-messages", "compact_summary"];

/// Sends an event to the gateway of a session. `false` if none runs, or it did not take the event: then it is lost.
pub fn send_agent_event(root: &SessionRoot, tool: &str, event: &Value) -> bool {
    let body = lean(tool, event);
    if let Some(sent) = over_socket(root, &body) {
        return sent;
    }
    // Its path may be too long for a socket.
    let instance = documents::load_if_present::<CurrentInstance>(&root.current_instance()).ok().flatten();
    let Some(instance) = instance else { return false };
    let owner = documents::load_if_present::<Owner>(&root.owner()).ok().flatten();
    let call = Call { limit: LIMIT, ..Call::post("/v1/agent-events", &body) };
    Gateway::new(root, &instance, owner.as_ref()).call::<AgentEventTaken>(&call).is_ok()
}

/// The body, as small as it can be.
fn lean(tool: &str, event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(event) = event.as_object_mut() {
        // Of a hidden conversation the number of its messages tells.
        let is_notified = event.get("type").is_some();
        event.retain(|name, _| !HEAVY.contains(&name.as_str()) || (is_notified && name == "input-messages"));
    }
    if event.to_string().len() > LARGEST_AGENT_EVENT / 2
        && let Some(event) = event.as_object_mut()
    {
        // The edge counts more than its words; those are in the agent's own records too.
        event.retain(|_, value| value.to_string().len() < 4_096);
    }
    json!({ "tool": tool, "event": event })
}

/// `None` if nobody listens there.
fn over_socket(root: &SessionRoot, body: &Value) -> Option<bool> {
    let mut stream = UnixStream::connect(root.socket()).ok()?;
    let body = body.to_string();
    let said = stream
        .set_read_timeout(Some(LIMIT))
        .and_then(|()| stream.set_write_timeout(Some(LIMIT)))
        .and_then(|()| {
            let head = format!(
                "POST /v1/agent-events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes())
        })
        .and_then(|()| {
            // As far as its status: nothing else is of interest.
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).map(|()| answer)
        });
    Some(said.is_ok_and(|answer| answer.ends_with(b" 202")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_without_what_makes_it_large() {
        let event = json!({ "hook_event_name": "PermissionRequest", "tool_name": "Write",
            "tool_input": { "content": "x".repeat(1_000_000) } });
        assert_eq!(
            lean("claude", &event),
            json!({ "tool": "claude", "event": { "hook_event_name": "PermissionRequest", "tool_name": "Write" } })
        );
        let event = json!({ "hook_event_name": "Stop", "last_assistant_message": "y".repeat(1_000_000) });
        assert_eq!(lean("claude", &event)["event"], json!({ "hook_event_name": "Stop" }));
    }

    #[test]
    fn without_a_gateway_nothing_is_sent_and_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!send_agent_event(&SessionRoot::at(folder.path()), "claude", &json!({})));
    }
}
