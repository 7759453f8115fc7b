//! Every agent of this home, with one tmux process per tmux server.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{
    api::{RegistryRecord, Surface},
    model::PaneId,
    os::lock,
    session::{SessionRoot, documents},
    target::{self, Context},
    tmux::{PaneFacts, Server, inspect},
};

/// One line of the list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The registry's record.
    pub record: RegistryRecord,
    /// `running`, `ended`, `gone`, `stopped` or `unknown`.
    pub agent: &'static str,
    /// `attached`, `unresponsive` is told by status, or `-`.
    pub gateway: Option<String>,
    /// Foreground program, where the pane lives.
    pub command: Option<String>,
}

/// Lists every agent; also what could not be read, in words.
pub fn list(context: &Context) -> (Vec<Entry>, Vec<String>) {
    let listing = context.registry().list();
    let mut servers: HashMap<PathBuf, Option<Vec<PaneFacts>>> = HashMap::new();
    let mut problems: Vec<String> = listing
        .damaged
        .iter()
        .map(|damaged| format!("record of agent id `{}`: {}", damaged.agent_id, damaged.error))
        .collect();
    let entries = listing
        .records
        .into_iter()
        .map(|record| {
            let root = Path::new(&record.runtime.manifest_path).parent().map(SessionRoot::at);
            let surface: Option<Surface> = root.as_ref().and_then(|root| documents::load(&root.surface()).ok());
            let socket = surface
                .as_ref()
                .map_or_else(|| context.server.socket().to_owned(), |surface| surface.tmux_socket.clone().into());
            let panes =
                servers.entry(socket.clone()).or_insert_with(|| match inspect::all_panes(&Server::at(&socket)) {
                    Ok(panes) => Some(panes),
                    Err(error) => {
                        problems.push(error.to_string());
                        None
                    }
                });
            // A server that lost its socket holds its agents all the same.
            let lost = surface.as_ref().and_then(|surface| target::expect_reachable(surface).err());
            let panes = panes.as_deref().filter(|_| lost.is_none());
            let found = entry(record, root.as_ref(), surface.as_ref(), panes);
            problems.extend(lost.map(|failure| format!("{}; {}", failure.message, failure.hint)));
            found
        })
        .collect();
    (entries, problems)
}

fn entry(
    record: RegistryRecord,
    root: Option<&SessionRoot>,
    surface: Option<&Surface>,
    panes: Option<&[PaneFacts]>,
) -> Entry {
    let pane_id: Option<PaneId> = surface.and_then(|surface| surface.pane_id.parse().ok());
    let pane = panes.and_then(|panes| {
        panes.iter().find(|pane| {
            Some(pane.pane_id) == pane_id && surface.is_some_and(|it| it.tmux_session_id == pane.session_id.to_string())
        })
    });
    let agent = match (pane, record.lifecycle.state.is_live(), panes) {
        (_, false, _) => "stopped",
        (_, _, None) => "unknown",
        (Some(pane), ..) if pane.dead => "ended",
        (Some(_), ..) => "running",
        (None, ..) if surface.is_none() => "unknown",
        (None, ..) => "gone",
    };
    let attached = root.is_some_and(|root| lock::is_held(&root.gateway_lock()).unwrap_or(false));
    let gateway = attached.then(|| {
        record
            .gateway
            .as_ref()
            .map_or_else(|| "starting".to_owned(), |gateway| format!("{}:{}", gateway.host, gateway.port))
    });
    Entry { agent, gateway, command: pane.map(|pane| pane.command.clone()), record }
}
