//! One request, as a gateway of the test's own tells of it, and the words that ask.

use serde_json::{Value, json};

use super::Agent;

/// The request that is told about.
pub const ID: &str = "gwreq-20261121-115826Z-5508dee7";

/// The answer to a submission, with this many requests waiting.
pub fn accepted(depth: u64) -> Value {
    json!({
        "request_id": ID, "request_kind": "submit_prompt", "state": "accepted",
        "accepted_at_utc": "2026-11-21T11:58:26+00:00", "queue_depth": depth, "managed_agent_instance_epoch": 1,
    })
}

/// The request in a list, in this state and with this last receipt.
pub fn request(state: &str, receipt: &str) -> Value {
    json!({
        "request_id": ID, "request_kind": "submit_prompt", "route": "queue", "state": state, "receipt": receipt,
        "accepted_at_utc": "2026-11-21T11:58:26+00:00", "started_at_utc": null, "finished_at_utc": null,
        "expires_at_utc": null, "managed_agent_instance_epoch": 1, "prompt": "hello\nworld", "error_detail": null,
        "result": null, "sequence": 3,
    })
}

/// A journal of receipts: `queued`, `deferred copy_mode the pane is in copy mode`.
fn receipts(steps: &[&str]) -> Vec<Value> {
    let receipt = |(at, step): (usize, &&str)| {
        let mut words = step.splitn(3, ' ');
        let (receipt, reason, detail) = (words.next(), words.next(), words.next());
        let evidence = (receipt == Some("turn_ended")).then(|| json!({"reply": "four\n"}));
        json!({
            "id": at + 1, "receipt": receipt, "reason": reason, "detail": detail, "evidence": evidence,
            "at_utc": format!("2026-11-21T11:58:26.{:03}Z", at + 1),
        })
    };
    steps.iter().enumerate().map(receipt).collect()
}

/// The request by itself: with all of its receipts.
pub fn detail(state: &str, steps: &[&str]) -> Value {
    let last = steps.last().and_then(|step| step.split(' ').next()).unwrap_or("queued");
    let mut detail = request(state, last);
    detail["receipts"] = json!(receipts(steps));
    detail
}

/// The same journal as events, from this place on.
pub fn events(steps: &[&str], after: usize) -> String {
    let event = |receipt: &Value| {
        let mut data = receipt.clone();
        data["request_id"] = json!(ID);
        data["kind"] = json!("receipt");
        format!("id: {}\nevent: receipt\ndata: {data}\n\n", data["id"])
    };
    receipts(steps).iter().skip(after).map(event).collect()
}

/// The receipts of a request that went well, one of them with a reason.
pub const TURN: &[&str] = &[
    "queued",
    "deferred copy_mode the pane is in copy mode",
    "typing",
    "typed",
    "submitted",
    "turn_started",
    "turn_ended",
];

/// The words with this agent's selector behind them.
pub fn of<'a>(words: &[&'a str], agent: &'a Agent) -> Vec<&'a str> {
    [words, &["--agent-id", &agent.id]].concat()
}
