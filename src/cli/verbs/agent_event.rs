//! `agents agent-event`: the agent's program runs it, and is not to be disturbed. It says nothing and always succeeds.

use std::process::ExitCode;

use serde_json::Value;

use crate::{
    cli::{args::AgentEvent, input, setting},
    client,
    session::SessionRoot,
};

pub(super) fn run(words: &AgentEvent) -> ExitCode {
    let root = words.session_root.clone().or_else(setting::session_root).map(SessionRoot::at);
    let event = words.event.clone().or_else(input::event);
    let event = event.and_then(|event| serde_json::from_str::<Value>(&event).ok());
    if let (Some(root), Some(event)) = (root, event) {
        // Without a gateway nobody wants to know.
        let _heard = client::send_agent_event(&root, &words.tool, &event);
    }
    ExitCode::SUCCESS
}
