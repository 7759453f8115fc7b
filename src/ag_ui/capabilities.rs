//! What the agent can do, in the protocol's categories and in the contract's words. *Pure.*

use serde_json::{Value, json};

use super::{LARGEST_BATCH, MOST_EVENTS, QUEUE};
use crate::api::TrackedSession;

pub(super) fn document(session: &TrackedSession, family: &str) -> Value {
    json!({
        "capabilities": {
            "identity": { "name": session.agent_name, "type": "agents", "provider": session.tool,
                "version": env!("CARGO_PKG_VERSION"),
                "description": "a coding agent behind its gateway" },
            "transport": { "streaming": true, "websocket": false, "httpBinary": false, "pushNotifications": false,
                "resumable": false },
            "tools": { "supported": false, "parallelCalls": false, "clientProvided": false },
            "output": { "structuredOutput": false, "supportedMimeTypes": ["text/plain"] },
            "state": { "snapshots": true, "deltas": false, "memory": false, "persistentState": false },
            "multiAgent": { "supported": false, "delegation": false, "handoffs": false },
            "reasoning": { "supported": false, "streaming": false, "encrypted": false },
            "multimodal": {
                "input": { "image": false, "audio": false, "video": false, "pdf": false, "file": false },
                "output": { "image": false, "audio": false },
            },
            "execution": { "codeExecution": true, "sandboxed": false },
            "humanInTheLoop": { "supported": false, "approvals": false, "interventions": false, "feedback": false },
        },
        "houmao": {
            "schemaVersion": 1,
            "agentLifecycleManagedByGui": false,
            "lifecycleBoundary": "attach_detach_only",
            "replaySupport": "current_snapshot_only",
            "connectStreamKeepalive": "sse_comment_heartbeat",
            "features": {
                "httpSse": true, "guiConnect": true, "textInputParsing": true, "stateSnapshots": true,
                "taskRunSubmission": true, "stateDeltas": false, "frontendToolExecution": false,
                "generatedGraphics": false, "openGenerativeUi": false, "multimodalInput": false,
            },
            "gateway": { "targetTransportFamily": family, "backend": session.tool,
                "tmuxSessionName": session.tmux_session_name },
            "publishedEvents": { "maxEvents": MOST_EVENTS, "maxBytes": LARGEST_BATCH, "subscriberQueue": QUEUE,
                "stored": false, "replay": "none", "overflow": "dropped_and_told" },
        },
    })
}
