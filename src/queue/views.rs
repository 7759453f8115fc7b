//! Rows of the store as the views that cross HTTP.

use crate::{
    api::{EventView, ReceiptView, RequestDetail, RequestView},
    store::{JournalRow, RequestRow},
};

pub(super) fn request(row: RequestRow) -> RequestView {
    RequestView {
        request_id: row.id.to_string(),
        request_kind: row.kind,
        route: row.route,
        state: row.state,
        receipt: row.receipt,
        accepted_at_utc: row.accepted_at_utc,
        started_at_utc: row.started_at_utc,
        finished_at_utc: row.finished_at_utc,
        expires_at_utc: row.expires_at_utc,
        managed_agent_instance_epoch: row.epoch,
        prompt: row.prompt,
        error_detail: row.error_detail,
        result: row.result,
        sequence: row.sequence,
    }
}

pub(super) fn detail(row: RequestRow, journal: &[JournalRow]) -> RequestDetail {
    let receipts = journal.iter().filter_map(|entry| {
        let note = entry.note()?;
        Some(ReceiptView {
            id: entry.id,
            receipt: note.receipt,
            reason: note.reason,
            detail: note.detail,
            evidence: note.evidence,
            at_utc: entry.at_utc.clone(),
        })
    });
    RequestDetail { receipts: receipts.collect(), request: request(row) }
}

pub(super) fn event(entry: JournalRow) -> EventView {
    let data = match entry.data {
        serde_json::Value::Object(fields) => fields,
        other => [("value".to_owned(), other)].into_iter().collect(),
    };
    EventView {
        id: entry.id,
        request_id: entry.request_id.map(|id| id.to_string()),
        kind: entry.kind,
        at_utc: entry.at_utc,
        data,
    }
}
