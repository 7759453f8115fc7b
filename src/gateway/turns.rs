//! Writes down what the tracker tells of turns.

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{
    os::clock,
    store::{Store, StoreError},
    tracker::TurnEdge,
};

/// Ends what an earlier gateway left open, then keeps every edge until told to stop.
///
/// A store that fails closes the queue and ends the gateway by itself; here it costs the record.
pub(super) async fn keep(mut edges: Receiver<TurnEdge>, store: Store, mut stop: watch::Receiver<bool>) {
    match store.close_open_turns(clock::now()).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "turns of an earlier gateway were cut off; how they ended is unknown"),
        Err(error) => tracing::warn!(%error, "turns of an earlier gateway could not be ended"),
    }
    loop {
        let edge = tokio::select! {
            edge = edges.recv() => edge,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match edge {
            Ok(edge) => {
                if let Err(error) = write(&store, edge).await {
                    tracing::warn!(%error, "a turn could not be written down");
                }
            }
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "turns came faster than they could be written"),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn write(store: &Store, edge: TurnEdge) -> Result<(), StoreError> {
    let now = clock::now();
    match edge {
        TurnEdge::Started(turn) => store.turn_started(turn, now).await,
        TurnEdge::Ended(turn) => store.turn_ended(turn, now).await,
        TurnEdge::Amended(turn) => store.turn_amended(turn, now).await,
    }
}
