//! Writes down what the tracker tells of turns.

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{
    model::{Moment, TurnRecord},
    os::clock,
    store::{Store, StoreError},
    tracker::TurnEdge,
};

/// What an earlier gateway left running is found within this time.
const FOUND_RUNNING_MILLIS: i64 = 5_000;

/// Ends what an earlier gateway left open, then keeps every edge until told to stop.
///
/// A store that fails closes the queue and ends the gateway by itself; here it costs the record.
pub(super) async fn keep(mut edges: Receiver<TurnEdge>, store: Store, mut stop: watch::Receiver<bool>) {
    let boot = clock::now();
    let mut cut_off = store.close_open_turns(boot).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "turns of an earlier gateway could not be ended");
        Vec::new()
    });
    if !cut_off.is_empty() {
        let count = cut_off.len();
        tracing::info!(count, "turns of an earlier gateway were cut off; how they ended is unknown");
    }
    let mut resumed = None;
    loop {
        let edge = tokio::select! {
            edge = edges.recv() => edge,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match edge {
            Ok(edge) => {
                if let TurnEdge::Started(turn) = &edge {
                    // Only the first one can have begun before.
                    let last = std::mem::take(&mut cut_off).pop();
                    resumed = resumed.or(last.filter(|old| is_same(old, turn, boot)).map(|old| (turn.id.clone(), old)));
                }
                if let Err(error) = write(&store, resumed.as_ref(), edge).await {
                    tracing::warn!(%error, "a turn could not be written down");
                }
            }
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "turns came faster than they could be written"),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn write(store: &Store, resumed: Option<&(String, TurnRecord)>, edge: TurnEdge) -> Result<(), StoreError> {
    let now = clock::now();
    let whole = |turn: TurnRecord| match resumed {
        Some((id, old)) if *id == turn.id => took_up(old, turn),
        _ => turn,
    };
    match edge {
        TurnEdge::Started(turn) => store.turn_started(whole(turn), now).await,
        TurnEdge::Ended(turn) => store.turn_ended(whole(turn), now).await,
        TurnEdge::Amended(turn) => store.turn_amended(whole(turn), now).await,
    }
}

/// Is this the turn that an earlier gateway saw begin? The tool's own id tells, or the prompt of one that runs already.
fn is_same(old: &TurnRecord, turn: &TurnRecord, boot: Moment) -> bool {
    if let (Some(old), Some(now)) = (&old.tool_turn_id, &turn.tool_turn_id) {
        return old == now;
    }
    let found_running = Moment::parse(&turn.started_at_utc)
        .is_some_and(|at| at.epoch_millis() - boot.epoch_millis() < FOUND_RUNNING_MILLIS);
    found_running && turn.request_id.is_none() && old.prompt.is_some() && old.prompt == turn.prompt
}

/// Who asked for it, and when it began, is known from then.
fn took_up(old: &TurnRecord, turn: TurnRecord) -> TurnRecord {
    TurnRecord {
        request_id: turn.request_id.or_else(|| old.request_id.clone()),
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
        let turn = |request: Option<&str>, tool: Option<&str>, prompt: &str, at: &str| TurnRecord {
            id: "turn-1".to_owned(),
            request_id: request.map(|id| id.parse().unwrap()),
            tool_turn_id: tool.map(str::to_owned),
            prompt: Some(prompt.to_owned()),
            started_at_utc: format!("2026-11-21T{at}.000Z"),
            ended_at_utc: None,
            outcome: None,
            reply: None,
            error: None,
            started_by: Vec::new(),
            ended_by: Vec::new(),
        };
        let boot = Moment::parse("2026-11-21T12:05:00+00:00").unwrap();
        let old = turn(Some("gwreq-1"), Some("a"), "hi", "12:00:00");
        let same = turn(None, Some("a"), "hi", "12:05:01");
        assert!(is_same(&old, &same, boot));
        let whole = took_up(&old, same);
        assert_eq!((&whole.request_id, &whole.started_at_utc), (&old.request_id, &old.started_at_utc));
        let unnamed = turn(Some("gwreq-1"), None, "hi", "12:00:00");
        for (now, is) in [
            (turn(None, Some("a"), "hi", "12:05:01"), true),
            (turn(None, Some("a"), "other", "12:05:01"), false),
            (turn(None, Some("a"), "hi", "12:09:00"), false),
            (turn(Some("gwreq-2"), Some("a"), "hi", "12:05:01"), false),
        ] {
            assert_eq!(is_same(&unnamed, &now, boot), is, "{now:?}");
        }
        assert!(!is_same(&old, &turn(None, Some("b"), "hi", "12:05:01"), boot));
    }
}
