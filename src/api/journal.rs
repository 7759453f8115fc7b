//! What our own routes say about requests: the views, their receipts, the journal as events, and reconciliation.
//!
//! Readers skip keys that they do not know: these bodies may gain some.

use serde::{Deserialize, Serialize, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::model::{Receipt, RequestKind, RequestState, Route};

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestView {
    /// Its name.
    pub request_id: String,
    /// What was asked for.
    pub request_kind: RequestKind,
    /// How it came in.
    pub route: Route,
    /// The contract's state.
    pub state: RequestState,
    /// The latest receipt.
    pub receipt: Receipt,
    /// When it was on disk.
    pub accepted_at_utc: String,
    /// When typing began.
    pub started_at_utc: Option<String>,
    /// When it got its last state.
    pub finished_at_utc: Option<String>,
    /// After this moment it is not typed any more.
    pub expires_at_utc: Option<String>,
    /// The life of the agent that it was accepted for.
    pub managed_agent_instance_epoch: u64,
    /// The text to type; null for what has none.
    pub prompt: Option<String>,
    /// Why it failed, in a sentence.
    pub error_detail: Option<String>,
    /// What came of it, as an object.
    pub result: Option<Value>,
    /// Its place in the order of all requests, 1 or higher.
    pub sequence: u64,
}

/// One step that was proven about a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptView {
    /// Its number in the journal; also the id of its event.
    pub id: u64,
    /// Which step.
    pub receipt: Receipt,
    /// A stable word.
    pub reason: Option<String>,
    /// One sentence for a person.
    pub detail: Option<String>,
    /// What was seen, as an object.
    pub evidence: Option<Value>,
    /// In milliseconds.
    pub at_utc: String,
}

/// `GET /v1/requests/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestDetail {
    /// The request.
    #[serde(flatten)]
    pub request: RequestView,
    /// Its receipts, oldest first.
    pub receipts: Vec<ReceiptView>,
}

/// `GET /v1/requests`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestList {
    /// Newest first.
    pub requests: Vec<RequestView>,
    /// `before` of the next page; null on the last one.
    pub next_before: Option<u64>,
}

/// Which requests `GET /v1/requests` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFilter {
    /// Only those in this state.
    pub state: Option<RequestState>,
    /// At most so many, 1 to [`RequestFilter::LARGEST_LIMIT`].
    pub limit: u32,
    /// Only those whose sequence is below this one.
    pub before: Option<u64>,
}

impl RequestFilter {
    /// The most requests on one page.
    pub const LARGEST_LIMIT: u32 = 500;
}

impl Default for RequestFilter {
    fn default() -> Self {
        Self { state: None, limit: 50, before: None }
    }
}

/// What becomes of the rows that were accepted for an earlier process of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconcileAction {
    /// They are typed into the new one.
    Keep,
    /// They fail with the reason `dropped`.
    Drop,
}

impl ReconcileAction {
    /// The words of the wire.
    pub const WORDS: [(&'static str, Self); 2] = [("keep", Self::Keep), ("drop", Self::Drop)];
}

/// The body of `POST /v1/reconcile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconcile {
    /// What becomes of the rows.
    pub action: ReconcileAction,
}

/// The answer to `POST /v1/reconcile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// As asked.
    pub action: ReconcileAction,
    /// Rows that wait for the new process now.
    pub kept: u64,
    /// Rows that failed.
    pub dropped: u64,
    /// The life of the agent that the queue serves from now on.
    pub epoch: u64,
}

/// One entry of the journal, as `GET /v1/events` sends it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EventView {
    /// Its number: 1 or higher, and higher than that of every earlier entry.
    pub id: u64,
    /// The request that it is about, if any.
    #[serde(default)]
    pub request_id: Option<String>,
    /// `receipt`, `admission`, `coalesced`… One line of text.
    pub kind: String,
    /// In milliseconds.
    pub at_utc: String,
    /// What the kind adds.
    #[serde(flatten)]
    pub data: Map<String, Value>,
}

impl Serialize for EventView {
    /// One flat object. What stands in `data` under a name of ours is left out: a key stands there once.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        if let Some(request_id) = &self.request_id {
            map.serialize_entry("request_id", request_id)?;
        }
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("at_utc", &self.at_utc)?;
        for (name, value) in &self.data {
            if !["id", "request_id", "kind", "at_utc"].contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_flat_object_without_doubled_keys() {
        let data = json!({"receipt": "typed", "kind": "other", "reason": null});
        let event = EventView {
            id: 7,
            request_id: None,
            kind: "receipt".to_owned(),
            at_utc: "2026-11-21T11:52:33.120Z".to_owned(),
            data: data.as_object().unwrap().clone(),
        };
        let text = serde_json::to_string(&event).unwrap();
        let expected =
            r#"{"id":7,"kind":"receipt","at_utc":"2026-11-21T11:52:33.120Z","reason":null,"receipt":"typed"}"#;
        assert_eq!(text, expected);
        let read: EventView = serde_json::from_str(&text).unwrap();
        assert_eq!((read.id, read.request_id, read.data.len()), (7, None, 2));
    }

    #[test]
    fn a_detail_is_the_request_with_its_receipts() {
        let request = json!({
            "request_id": "gwreq-1", "request_kind": "send_keys", "route": "send_keys", "state": "completed",
            "receipt": "submitted", "accepted_at_utc": "t", "started_at_utc": null, "finished_at_utc": null,
            "expires_at_utc": null, "managed_agent_instance_epoch": 1, "prompt": null, "error_detail": null,
            "result": null, "sequence": 3,
        });
        let view: RequestView = serde_json::from_value(request.clone()).unwrap();
        let detail = RequestDetail { request: view, receipts: Vec::new() };
        let mut expected = request;
        expected["receipts"] = json!([]);
        assert_eq!(serde_json::to_value(detail).unwrap(), expected);
    }
}
