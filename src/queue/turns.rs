//! The agent's turns as the store keeps them, with what was proven about the requests that began them.

use super::{Queue, Refusal, views};
use crate::{
    api::{ReceiptView, TurnDetail, TurnList, TurnView},
    model::{Moment, Receipt, Reply, Source},
    store::TurnRow,
};

impl Queue {
    /// Turns, newest first.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn turns(&self, limit: u32, before: Option<u64>) -> Result<TurnList, Refusal> {
        let rows = self.inner.store.turns(limit, before).await?;
        let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next_before = rows.last().map(|row| row.sequence).filter(|last| full && *last > 1);
        Ok(TurnList { turns: rows.into_iter().map(view).collect(), next_before })
    }

    /// One turn with the receipts of its request; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn turn(&self, id: &str) -> Result<Option<TurnDetail>, Refusal> {
        let Some(row) = self.inner.store.turn(id).await? else { return Ok(None) };
        let receipts = match &row.turn.request_id {
            Some(request) => match self.inner.store.show(request).await? {
                Some((request, journal)) => views::detail(request, &journal).receipts,
                None => Vec::new(),
            },
            None => Vec::new(),
        };
        let mut turn = view(row);
        if turn.turn.reply.is_none() {
            turn.turn.reply = screen_reply(&receipts);
        }
        Ok(Some(TurnDetail { turn, receipts }))
    }
}

fn view(row: TurnRow) -> TurnView {
    let moment = |text: &str| Moment::parse(text).map(Moment::epoch_millis);
    let began = moment(&row.turn.started_at_utc);
    let ended = row.turn.ended_at_utc.as_deref().and_then(moment);
    let duration_ms = ended.zip(began).map(|(ended, began)| (ended - began).max(0));
    TurnView { turn: row.turn, duration_ms, sequence: row.sequence }
}

/// The reply that was read from the screen of a program that keeps no record of its own.
fn screen_reply(receipts: &[ReceiptView]) -> Option<Reply> {
    let ended = receipts.iter().rev().find(|one| one.receipt == Receipt::TurnEnded)?;
    let text = ended.evidence.as_ref()?.get("reply")?.as_str()?.to_owned();
    Some(Reply { text, source: Source::Screen, exact: false, truncated: false })
}
