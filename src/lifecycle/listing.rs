//! Every agent of this home, with one tmux process per tmux server.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::mailbox::{self, Unread};
use crate::{
    api::{Manifest, RegistryRecord, Surface},
    model::{Failure, PaneId},
    os::lock,
    session::{SessionRoot, documents},
    target::{self, Context},
    tmux::{PaneFacts, Server, ServerFacts, TmuxError, inspect},
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
    /// How much unread mail it has; `None` without a mailbox.
    pub mail: Option<Unread>,
    /// Foreground program, where the pane lives.
    pub command: Option<String>,
}

/// Lists every agent; also what could not be read, in words.
pub fn list(context: &Context) -> (Vec<Entry>, Vec<String>) {
    let listing = context.registry().list();
    let mut servers: BTreeMap<PathBuf, Result<Option<ServerFacts>, TmuxError>> = BTreeMap::new();
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
            let server = servers.entry(socket.clone()).or_insert_with(|| inspect::all_panes(&Server::at(&socket)));
            let server = server.as_ref().ok().map(Option::as_ref);
            let lost = surface.as_ref().and_then(|surface| lost(surface, server.flatten()));
            let panes = server.filter(|_| lost.is_none()).map(|server| panes(server, surface.as_ref()));
            let found = entry(record, root.as_ref(), surface.as_ref(), panes);
            problems.extend(lost.map(|failure| format!("{}; {}", failure.message, failure.hint)));
            found
        })
        .collect();
    problems.extend(servers.values().filter_map(|server| server.as_ref().err()).map(ToString::to_string));
    (entries, problems)
}

/// A server that lost its socket, to nobody or to another server, holds its agents all the same.
fn lost(surface: &Surface, answering: Option<&ServerFacts>) -> Option<Failure> {
    target::expect_reachable(surface)
        .and_then(|()| answering.map_or(Ok(()), |server| target::expect_recorded_server(surface, server.pid)))
        .err()
}

/// The panes among which the agent's may be: another server has the same ids and holds nothing of it.
fn panes<'a>(server: Option<&'a ServerFacts>, surface: Option<&Surface>) -> &'a [PaneFacts] {
    let is_recorded =
        |server: &&ServerFacts| surface.is_none_or(|it| target::same_server(it, server.pid, server.started));
    server.filter(is_recorded).map_or(&[], |server| &server.panes)
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
    let mail = root.and_then(|root| {
        let manifest = documents::load::<Manifest>(&root.manifest()).ok()?;
        mailbox::unread(root, &manifest)
    });
    Entry { agent, gateway, mail, command: pane.map(|pane| pane.command.clone()), record }
}
