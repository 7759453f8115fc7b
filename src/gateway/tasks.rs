//! Every background task: named, owned, joined. A task that ends early or panics ends the gateway, with its name.

use std::{collections::HashMap, future::Future, time::Duration};

use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};

/// The tasks of one gateway.
#[derive(Debug)]
pub(super) struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), stop: watch::Sender::new(false) }
    }

    /// Starts a task. It ends soon after the receiver turns true.
    pub(super) fn start<F>(&mut self, name: &'static str, task: impl FnOnce(watch::Receiver<bool>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle = self.set.spawn(task(self.stop.subscribe()));
        self.names.insert(handle.id(), name);
    }

    /// Turns true when the tasks are asked to end.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Waits until a task ends although nobody asked it to, and says which and how.
    pub(super) async fn unexpected_end(&mut self) -> String {
        match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => format!("the task `{}` ended on its own", self.name(id)),
            Some(Err(error)) => format!("the task `{}` failed: {error}", self.name(error.id())),
            None => std::future::pending().await,
        }
    }

    /// Asks all tasks to end and waits; what is left at the limit is dropped, and named in the log.
    pub(super) async fn end(mut self, limit: Duration) {
        self.stop.send_replace(true);
        let deadline = tokio::time::sleep(limit);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = self.set.join_next_with_id() => match ended {
                    Some(Ok((id, ()))) => drop(self.names.remove(&id)),
                    Some(Err(error)) => {
                        let name = self.names.remove(&error.id()).unwrap_or("unknown");
                        tracing::error!(task = name, %error, "a task failed while stopping");
                    }
                    None => return,
                },
                () = &mut deadline => {
                    let left: Vec<&str> = self.names.into_values().collect();
                    tracing::warn!(tasks = left.join(","), "tasks did not end in time and were dropped");
                    return;
                }
            }
        }
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("unknown")
    }
}
