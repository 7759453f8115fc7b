//! Writes down what the tracker tells of turns.

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{
    model::TurnRecord,
    os::clock,
    store::{Store, StoreError},
    tracker::TurnEdge,
};

/// Ends what an earlier gateway left open, then keeps every edge until told to stop.
///
/// A store that fails closes the queue and ends the gateway by itself; here it costs the record.
pub(super) async fn keep(mut edges: Receiver<TurnEdge>, store: Store, mut stop: watch::Receiver<bool>) {
    let cut_off = store.close_open_turns(clock::now()).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "turns of an earlier gateway could not be ended");
        Vec::new()
    });
    if !cut_off.is_empty() {
        let count = cut_off.len();
        tracing::info!(count, "turns of an earlier gateway were cut off; how they ended is unknown");
    }
    loop {
        let edge = tokio::select! {
            edge = edges.recv() => edge,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match edge {
            Ok(edge) => {
                if let Err(error) = write(&store, &cut_off, edge).await {
                    tracing::warn!(%error, "a turn could not be written down");
                }
            }
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "turns came faster than they could be written"),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn write(store: &Store, cut_off: &[TurnRecord], edge: TurnEdge) -> Result<(), StoreError> {
    let now = clock::now();
    match edge {
        TurnEdge::Started(turn) => store.turn_started(resumed(cut_off, turn), now).await,
        TurnEdge::Ended(turn) => store.turn_ended(resumed(cut_off, turn), now).await,
        TurnEdge::Amended(turn) => store.turn_amended(resumed(cut_off, turn), now).await,
    }
}

/// A turn that an earlier gateway saw begin and this one found running: who asked for it, and when it began, is known
/// from then. The tool's own id tells that it is the same.
fn resumed(cut_off: &[TurnRecord], turn: TurnRecord) -> TurnRecord {
    let same = |old: &&TurnRecord| old.tool_turn_id.is_some() && old.tool_turn_id == turn.tool_turn_id;
    let Some(old) = cut_off.iter().rev().find(same).filter(|_| turn.request_id.is_none()) else { return turn };
    TurnRecord {
        request_id: old.request_id.clone(),
        prompt: turn.prompt.or_else(|| old.prompt.clone()),
        started_at_utc: old.started_at_utc.clone(),
        started_by: old.started_by.iter().cloned().chain(turn.started_by).collect(),
        ..turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_went_on_without_a_gateway_keeps_its_request_and_its_beginning() {
        let turn = |id: &str, request: Option<&str>, tool: Option<&str>, at: &str| TurnRecord {
            id: id.to_owned(),
            request_id: request.map(|id| id.parse().unwrap()),
            tool_turn_id: tool.map(str::to_owned),
            prompt: None,
            started_at_utc: at.to_owned(),
            ended_at_utc: None,
            outcome: None,
            reply: None,
            error: None,
            started_by: Vec::new(),
            ended_by: Vec::new(),
        };
        let old = [turn("turn-1", Some("gwreq-1"), Some("a"), "12:00"), turn("turn-2", Some("gwreq-2"), None, "12:01")];
        let same = resumed(&old, turn("turn-3", None, Some("a"), "12:05"));
        assert_eq!((same.id.as_str(), &same.request_id), ("turn-3", &old[0].request_id));
        assert_eq!(same.started_at_utc, "12:00");
        for other in [turn("turn-4", None, Some("b"), "12:06"), turn("turn-5", None, None, "12:07")] {
            assert_eq!(resumed(&old, other.clone()), other);
        }
    }
}
