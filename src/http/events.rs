//! A stream of events (`text/event-stream`): what is kept is replayed, what comes is sent, silence is broken by a
//! heartbeat.
//!
//! Memory is bounded by one page per stream: the next one is fetched when the peer has taken the last.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::api::EventView;

/// Events fetched at once.
pub(super) const PAGE: usize = 100;

/// How long a stream may be silent.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// One stream, between two pieces of it.
#[derive(Debug)]
pub(super) struct Follower<F> {
    /// Gives the events after an id, oldest first, at most [`PAGE`]; `None` ends the stream.
    pub(super) fetch: F,
    /// The newest id.
    pub(super) newest: watch::Receiver<u64>,
    /// Turns true when the gateway stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// Everything up to this id was sent, or is not for this stream.
    pub(super) cursor: u64,
    /// How long it may be silent.
    pub(super) heartbeat: Duration,
}

impl<F, R> Follower<F>
where
    F: FnMut(u64) -> R + Send + 'static,
    R: Future<Output = Option<Vec<EventView>>> + Send,
{
    /// The body of the answer. The seat is given back when the stream ends.
    pub(super) fn into_body(self, seat: OwnedSemaphorePermit) -> Body {
        // The id without data moves a client's cursor: one that reconnects before the first event misses nothing.
        let greeting = Bytes::from(format!(": following\nid: {}\n\n", self.cursor));
        let pieces = stream::unfold((Some(greeting), self, seat), |(greeting, mut follower, seat)| async move {
            let piece = match greeting {
                Some(greeting) => greeting,
                None => follower.next().await?,
            };
            Some((Ok::<_, Infallible>(piece), (None, follower, seat)))
        });
        Body::from_stream(pieces)
    }

    /// Waits for the next piece; `None` is the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            // An error means that the sender is gone, and the gateway with it.
            _ = stopping.wait_for(|stopping| *stopping) => None,
            piece = self.piece() => piece,
        }
    }

    async fn piece(&mut self) -> Option<Bytes> {
        let silence = tokio::time::sleep(self.heartbeat);
        tokio::pin!(silence);
        loop {
            let newest = *self.newest.borrow_and_update();
            let page = (self.fetch)(self.cursor).await?;
            self.cursor = page.last().map_or(self.cursor, |last| last.id);
            if page.len() < PAGE {
                // What is not in the page is for others.
                self.cursor = self.cursor.max(newest);
            }
            if !page.is_empty() {
                return Some(page.iter().map(frame).collect::<String>().into());
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = &mut silence => return Some(Bytes::from_static(b": heartbeat\n\n")),
            }
        }
    }
}

/// One event on the wire.
fn frame(event: &EventView) -> String {
    // A line end in the name would begin another field.
    let kind: String = event.kind.chars().filter(|c| !c.is_control()).collect();
    // Text and numbers: there is nothing in it that could fail, and JSON has no raw line ends.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {kind}\ndata: {data}\n\n", event.id)
}

#[cfg(test)]
mod tests;
