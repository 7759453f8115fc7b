//! What the gateway does when its session or its files change.

use serde_json::json;

use super::{
    board::Facts,
    boot,
    run::{Gateway, beside},
    watch::View,
    work,
};
use crate::{
    api::{ControlClient, Document},
    model::ProcessIdentity,
    os::clock,
    session::documents,
    target,
    tmux::{Commands, change},
};

impl Gateway {
    /// Leaves word of the tmux client, for whoever cleans up after us.
    pub(super) fn attached(&self, process: ProcessIdentity) {
        let record = ControlClient { schema_version: ControlClient::SCHEMA_VERSION, process };
        if let Err(error) = documents::store(&self.config.root.control_client(), &record) {
            tracing::warn!(%error, "the tmux client could not be recorded");
        }
    }

    /// Takes in a new view of the session.
    pub(super) async fn saw(&mut self, view: View) {
        let before = self.board.facts();
        if before.view == view {
            return;
        }
        self.eyes.nudge();
        let mut facts = Facts { view: view.clone(), ..before.clone() };
        if view.agent != before.view.agent {
            self.agent_changed(&before, &mut facts).await;
        }
        if view.session_name != facts.attach.tmux_session_name && !view.session_name.is_empty() {
            tracing::info!(
                from = facts.attach.tmux_session_name,
                to = view.session_name,
                "the tmux session was renamed"
            );
            facts = self.renamed(facts).await;
        }
        self.own_window_moved(&view, &mut facts).await;
        let moved = facts.seat != before.seat || facts.epoch != before.epoch;
        if moved && let Err(failure) = self.publisher.write_files(&facts) {
            tracing::warn!(%failure, "the live record could not be written");
        }
        let now = work::agent_now(&self.subject.borrow(), &facts);
        self.board.update(|current| *current = facts);
        self.agent.send_if_modified(|agent| std::mem::replace(agent, now.clone()) != now);
    }

    async fn renamed(&self, facts: Facts) -> Facts {
        let (publisher, before) = (self.publisher.clone(), facts.clone());
        let written = beside(move || {
            let mut facts = facts;
            let name = facts.view.session_name.clone();
            let written = publisher.renamed(&mut facts, &name);
            (facts, written)
        });
        match written.await {
            Some((facts, written)) => {
                if let Err(failure) = written {
                    tracing::warn!(%failure, "the new name could not be written everywhere");
                }
                facts
            }
            None => before,
        }
    }

    async fn agent_changed(&self, before: &Facts, facts: &mut Facts) {
        match (&before.view.agent, &facts.view.agent) {
            (_, Some(agent)) => match self.store.epoch_of(agent.clone(), clock::now()).await {
                Ok(epoch) => {
                    if epoch != before.epoch {
                        self.note(&json!({
                            "kind": "managed_agent_changed",
                            "managed_agent_instance_epoch": epoch,
                            "pane_id": agent.pane_id,
                            "pane_pid": agent.process.pid,
                            "observed_at_utc": clock::now().iso_seconds(),
                        }));
                        tracing::info!(pane = agent.pane_id, pid = agent.process.pid, epoch, "another agent process");
                    }
                    facts.epoch = epoch;
                }
                Err(error) => tracing::warn!(%error, "the new agent process could not be recorded"),
            },
            (Some(agent), None) => {
                tracing::warn!(pane = agent.pane_id, pid = agent.process.pid, "the agent's process is gone");
            }
            (None, None) => {}
        }
        match self.store.depth(facts.epoch).await {
            Ok(depth) => facts.depth = depth,
            Err(error) => tracing::warn!(%error, "the queue could not be counted"),
        }
    }

    /// Our window may be renumbered; at index 0, which is the agent's, it does not stay.
    async fn own_window_moved(&self, view: &View, facts: &mut Facts) {
        let (Some(index), Some(window)) = (view.own_index, &mut facts.seat.window) else { return };
        if index == 0 {
            let Ok(id) = window.window_id.parse() else { return };
            let moved = change::move_window(Commands::new(), id, self.publisher.session, view.free_index);
            tracing::warn!(to = view.free_index, "our window came to index 0, which is the agent's; moving it");
            let server = self.publisher.server.clone();
            if let Some(Err(error)) = beside(move || server.run(&moved)).await {
                tracing::warn!(%error, "our window could not be moved");
            }
            return;
        }
        window.window_index = index.to_string();
    }

    /// Somebody found us unresponsive and took our binding back; we hold the lock, so it is ours again.
    pub(super) async fn publish_again(&self) {
        tracing::warn!("the live binding was withdrawn while this gateway was unresponsive; publishing it again");
        self.board.write();
        let facts = self.board.facts();
        let publisher = self.publisher.clone();
        let again = beside(move || {
            publisher.write_files(&facts)?;
            publisher.announce(&facts, clock::now())
        });
        if let Some(Err(failure)) = again.await {
            tracing::error!(%failure, "could not publish again");
        }
    }

    /// The agent was launched again, perhaps in another pane.
    pub(super) async fn follow_surface(&self) {
        let (context, root) = (self.config.context.clone(), self.config.root.clone());
        let target = match beside(move || target::of_root(&context, &root)).await {
            Some(Ok(target)) if target.session.is_ok() => target,
            Some(Ok(_)) | None => return,
            Some(Err(failure)) => {
                tracing::warn!(%failure, "the changed surface could not be read");
                return;
            }
        };
        if let Ok(next) = boot::subject(&target, &self.board.facts().seat) {
            self.eyes.turn_to(next.agent);
            self.subject.send_if_modified(|current| {
                let changed = *current != next;
                *current = next;
                changed
            });
        }
    }
}
