//! Events that somebody publishes, read strictly. *Pure.*

use serde_json::{Value, json};

use super::event;

/// Most events of one batch.
pub const MOST_EVENTS: usize = 100;

/// The largest batch, in bytes of its body.
pub const LARGEST_BATCH: usize = 256 * 1024;

/// Fields of a batch.
const NAMES: [&str; 4] = ["threadId", "runId", "connectionId", "events"];

/// Events with their destination, as far as it was named.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// For everybody on this thread.
    pub thread_id: Option<String>,
    /// For everybody who named this run.
    pub run_id: Option<String>,
    /// For one reader.
    pub connection_id: Option<String>,
    /// In their order; each is one of the protocol.
    pub events: Vec<Value>,
}

/// Nothing of a batch was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Wrong {
    /// A stable word.
    pub code: &'static str,
    /// For a person.
    pub message: String,
    /// Which event, from 0.
    pub index: Option<usize>,
    /// Which of its fields.
    pub field: Option<String>,
}

impl Wrong {
    /// Without a place.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), index: None, field: None }
    }

    /// The body of the refusal. `detail` is for readers that know the other routes.
    pub fn body(&self) -> Value {
        json!({ "ok": false, "code": self.code, "message": self.message, "eventIndex": self.index, "field": self.field,
            "detail": self.message })
    }
}

impl Batch {
    /// Reads a body of so many bytes.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(body: &Value, bytes: usize) -> Result<Self, Wrong> {
        let invalid = |message: String| Wrong::new("ag_ui_batch_invalid", message);
        if bytes > LARGEST_BATCH {
            let message = format!("the batch has {bytes} bytes; at most {LARGEST_BATCH} are taken");
            return Err(Wrong::new("ag_ui_batch_too_large", message));
        }
        let Some(map) = body.as_object() else { return Err(invalid("a batch is an object".to_owned())) };
        if let Some(name) = map.keys().find(|name| !NAMES.contains(&name.as_str())) {
            let shown: String = name.chars().take(64).collect();
            return Err(invalid(format!("a batch has no field `{shown}`")));
        }
        let name = |field: &str| match map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(invalid(format!("`{field}` is a text that is not blank"))),
        };
        let Some(events) = map.get("events").and_then(Value::as_array) else {
            return Err(invalid("`events` is a list of events".to_owned()));
        };
        if events.is_empty() {
            return Err(Wrong::new("ag_ui_batch_empty", "the batch has no events"));
        }
        if events.len() > MOST_EVENTS {
            let message = format!("the batch has {} events; at most {MOST_EVENTS} are taken", events.len());
            return Err(Wrong::new("ag_ui_batch_too_large", message));
        }
        let batch = Self {
            thread_id: name("threadId")?,
            run_id: name("runId")?,
            connection_id: name("connectionId")?,
            events: events.clone(),
        };
        for (index, one) in events.iter().enumerate() {
            if let Err((field, why)) = event::check(one) {
                let place = if field.is_empty() { String::new() } else { format!(", `{field}`") };
                let message = format!("event {index}{place}: {why}");
                return Err(Wrong { code: "ag_ui_event_invalid", message, index: Some(index), field: Some(field) });
            }
        }
        Ok(batch)
    }

    /// The one thread that the events name, if all that name one name the same.
    pub(super) fn shared_thread(&self) -> Option<&str> {
        let mut threads = self.events.iter().filter_map(event::thread);
        let first = threads.next()?;
        threads.all(|thread| thread == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Result<Batch, &'static str> {
        Batch::read(body, body.to_string().len()).map_err(|wrong| wrong.code)
    }

    #[test]
    fn a_batch_is_taken_whole_or_not_at_all() {
        let one = json!({ "type": "CUSTOM", "name": "n", "value": 1 });
        let full = json!({ "threadId": "t", "runId": null, "events": [one, one] });
        assert_eq!(read(&full).unwrap().events.len(), 2);
        for (body, code) in [
            (json!([]), "ag_ui_batch_invalid"),
            (json!({}), "ag_ui_batch_invalid"),
            (json!({ "events": {} }), "ag_ui_batch_invalid"),
            (json!({ "events": [one], "thread_id": "t" }), "ag_ui_batch_invalid"),
            (json!({ "events": [one], "threadId": " " }), "ag_ui_batch_invalid"),
            (json!({ "events": [] }), "ag_ui_batch_empty"),
            (json!({ "events": vec![one.clone(); 101] }), "ag_ui_batch_too_large"),
            (
                json!({ "events": [{ "type": "CUSTOM", "name": "n", "value": "x".repeat(LARGEST_BATCH) }] }),
                "ag_ui_batch_too_large",
            ),
            (json!({ "events": [one, { "type": "CUSTOM" }] }), "ag_ui_event_invalid"),
        ] {
            assert_eq!(read(&body), Err(code));
        }
        let body = json!({ "events": [one, { "type": "NO" }] });
        let wrong = Batch::read(&body, 1).unwrap_err();
        assert_eq!((wrong.index, wrong.field.as_deref()), (Some(1), Some("type")));
        assert_eq!(wrong.body()["ok"], false);
    }

    #[test]
    fn events_share_a_thread_or_not() {
        let run = |thread: &str| json!({ "type": "RUN_STARTED", "threadId": thread, "runId": "r" });
        let other = json!({ "type": "THINKING_END" });
        let shared = |events: Value| read(&json!({ "events": events })).unwrap().shared_thread().map(str::to_owned);
        assert_eq!(shared(json!([run("a"), other, run("a")])).as_deref(), Some("a"));
        assert_eq!(shared(json!([run("a"), run("b")])), None);
        assert_eq!(shared(json!([other])), None);
    }
}
