//! The bodies of reminders (contract section 4.7), read field by field. Pure.

use serde_json::{Value, json};

use super::read_prompt;
use crate::{
    api::{
        LARGEST_SEQUENCE, LONGEST_DELAY_SECONDS, ReminderDefinition, ReminderDelivery, ReminderKeys, ReminderMode,
        ReminderStart, WhenMissed, parse_keys,
    },
    http::{
        error::Problem,
        fields::{Field, Issues, Object},
    },
    model::Moment,
};

/// A reminder that is asked for, with its start.
pub(in crate::http) type Asked = (ReminderDefinition, ReminderStart);

/// `when_missed` is ours; the contract's clients never send it.
const NAMES: [&str; 10] = [
    "mode",
    "title",
    "prompt",
    "send_keys",
    "ranking",
    "paused",
    "start_after_seconds",
    "deliver_at_utc",
    "interval_seconds",
    "when_missed",
];

/// `POST /v1/reminders`.
pub(in crate::http) fn create(body: &Value) -> Result<Vec<Asked>, Problem> {
    let mut issues = Issues::default();
    let read = read_create(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_create(body: &Field<'_>, issues: &mut Issues) -> Option<Vec<Asked>> {
    let body = body.object(issues)?;
    if let Some(version) = body.given("schema_version") {
        version.version(1, issues);
    }
    body.only(&["schema_version", "reminders"], issues);
    let field = body.required("reminders", issues)?;
    let list = field.list(issues)?;
    if list.is_empty() {
        let message = "List should have at least 1 item after validation, not 0";
        let context = json!({ "field_type": "List", "min_length": 1, "actual_length": 0 });
        field.wrong("too_short", message, Some(context), issues);
    }
    let read: Vec<Option<Asked>> = list
        .iter()
        .map(|one| {
            let one = one.object(issues)?;
            one.only(&NAMES, issues);
            read_definition(&one, issues)
        })
        .collect();
    read.into_iter().collect()
}

/// `PUT /v1/reminders/{id}`.
pub(in crate::http) fn update(body: &Value) -> Result<Asked, Problem> {
    let mut issues = Issues::default();
    let read = read_update(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_update(body: &Field<'_>, issues: &mut Issues) -> Option<Asked> {
    let body = body.object(issues)?;
    if let Some(version) = body.given("schema_version") {
        version.version(1, issues);
    }
    body.only(&[&NAMES[..], &["schema_version"]].concat(), issues);
    read_definition(&body, issues)
}

fn read_definition(body: &Object<'_>, issues: &mut Issues) -> Option<Asked> {
    let mode = body.required("mode", issues).and_then(|mode| mode.word(&ReminderMode::WORDS, issues));
    let title = body.required("title", issues).and_then(|title| title.not_blank(issues));
    let delivery = read_delivery(body, issues);
    let ranking = body.required("ranking", issues).and_then(|ranking| ranking.integer(issues));
    let paused = body.given("paused").map_or(Some(false), |paused| paused.flag(issues));
    let start = read_start(body, issues);
    let interval = body.not_null("interval_seconds");
    match (mode, &interval) {
        (Some(ReminderMode::Repeat), None) => {
            body.field().breaks("interval_seconds is required when mode=repeat", issues);
        }
        (Some(ReminderMode::OneOff), Some(field)) => {
            field.breaks("interval_seconds is not allowed when mode=one_off", issues);
        }
        _ => {}
    }
    let interval_us = interval.and_then(|field| micros(&field, issues));
    let when_missed =
        body.not_null("when_missed").map_or(Some(WhenMissed::default()), |word| word.word(&WhenMissed::WORDS, issues));
    let definition = ReminderDefinition {
        mode: mode?,
        title: title?.to_owned(),
        delivery: delivery?,
        ranking: ranking?,
        paused: paused?,
        interval_us,
        when_missed: when_missed?,
    };
    Some((definition, start?))
}

fn read_delivery(body: &Object<'_>, issues: &mut Issues) -> Option<ReminderDelivery> {
    match (body.not_null("prompt"), body.not_null("send_keys")) {
        (Some(_), None) => read_prompt(body, issues).map(ReminderDelivery::Prompt),
        (None, Some(field)) => read_keys(&field, issues).map(ReminderDelivery::SendKeys),
        _ => {
            body.field().breaks("exactly one of prompt and send_keys is required", issues);
            None
        }
    }
}

fn read_keys(field: &Field<'_>, issues: &mut Issues) -> Option<ReminderKeys> {
    let keys = field.object(issues)?;
    let ensure_enter = keys.given("ensure_enter").map_or(Some(true), |flag| flag.flag(issues));
    keys.only(&["sequence", "ensure_enter"], issues);
    let field = keys.required("sequence", issues)?;
    let sequence = field.text(issues)?;
    if sequence.is_empty() {
        field.breaks("must not be empty", issues);
        return None;
    }
    if sequence.len() > LARGEST_SEQUENCE {
        issues.too_large("the sequence", sequence.len(), LARGEST_SEQUENCE);
        return None;
    }
    if let Err(unknown) = parse_keys(sequence, false) {
        field.breaks(&unknown.to_string(), issues);
        return None;
    }
    Some(ReminderKeys { sequence: sequence.to_owned(), ensure_enter: ensure_enter? })
}

fn read_start(body: &Object<'_>, issues: &mut Issues) -> Option<ReminderStart> {
    match (body.not_null("start_after_seconds"), body.not_null("deliver_at_utc")) {
        (Some(field), None) => micros(&field, issues).map(ReminderStart::After),
        (None, Some(field)) => {
            let text = field.text(issues)?;
            let moment = Moment::parse_civil(text);
            if moment.is_none() && Moment::is_too_late(text) {
                field.breaks(&format!("it is later than the last moment that can be kept, {}", Moment::LAST), issues);
            } else if moment.is_none() {
                let rule = "a moment is an ISO timestamp with `Z` or an offset below a day: 2026-11-21T17:00:00+01:00";
                field.breaks(rule, issues);
            }
            moment.map(|moment| ReminderStart::At(moment.epoch_micros()))
        }
        _ => {
            body.field().breaks("exactly one of start_after_seconds and deliver_at_utc is required", issues);
            None
        }
    }
}

/// Seconds above zero; the shortest span is a microsecond.
#[expect(clippy::cast_possible_truncation, reason = "at most a hundred years, in microseconds")]
fn micros(field: &Field<'_>, issues: &mut Issues) -> Option<i64> {
    field.positive(LONGEST_DELAY_SECONDS, issues).map(|seconds| ((seconds * 1e6).round() as i64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_off() -> Value {
        json!({ "mode": "one_off", "title": "t", "prompt": "p", "ranking": 0, "start_after_seconds": 1.5 })
    }

    fn with(changes: &Value) -> Value {
        let mut body = one_off();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    #[test]
    fn a_definition_is_read_with_its_defaults() {
        let (definition, start) = update(&one_off()).unwrap();
        assert_eq!(start, ReminderStart::After(1_500_000));
        assert_eq!((definition.paused, definition.when_missed), (false, WhenMissed::FireOnce));
        let keys = json!({ "prompt": null, "send_keys": { "sequence": "x" }, "ranking": -3, "schema_version": 1,
            "start_after_seconds": null, "deliver_at_utc": "2026-12-31T23:59:60Z", "mode": "repeat",
            "interval_seconds": 60, "when_missed": "skip", "paused": true });
        let (definition, start) = update(&with(&keys)).unwrap();
        let midnight = Moment::parse("2027-01-01T00:00:00Z").unwrap();
        assert_eq!(start, ReminderStart::At(midnight.epoch_micros()));
        assert_eq!((definition.ranking, definition.interval_us), (-3, Some(60_000_000)));
        assert_eq!(
            definition.delivery,
            ReminderDelivery::SendKeys(ReminderKeys { sequence: "x".to_owned(), ensure_enter: true })
        );
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let cases = [
            (json!({ "mode": "once" }), "literal_error"),
            (json!({ "title": " " }), "title"),
            (json!({ "prompt": null }), "exactly one of prompt"),
            (json!({ "send_keys": { "sequence": "x" } }), "exactly one of prompt"),
            (json!({ "prompt": " \n" }), "must not be empty"),
            (json!({ "prompt": null, "send_keys": { "sequence": "<[F1]>" } }), "unsupported special key"),
            (json!({ "prompt": null, "send_keys": { "sequence": "" } }), "must not be empty"),
            (json!({ "prompt": null, "send_keys": { "sequence": "x", "more": 1 } }), "extra_forbidden"),
            (json!({ "ranking": 1.5 }), "int_type"),
            (json!({ "ranking": null }), "int_type"),
            (json!({ "paused": "yes" }), "bool_type"),
            (json!({ "start_after_seconds": 0 }), "greater_than"),
            (json!({ "start_after_seconds": -1 }), "greater_than"),
            (json!({ "start_after_seconds": 1e300 }), "less_than_equal"),
            (json!({ "start_after_seconds": true }), "float_type"),
            (json!({ "start_after_seconds": null }), "exactly one of start_after_seconds"),
            (json!({ "deliver_at_utc": "2026-11-21T10:00:00Z" }), "exactly one of start_after_seconds"),
            (json!({ "start_after_seconds": null, "deliver_at_utc": "2026-11-21T10:00:00" }), "offset"),
            (json!({ "start_after_seconds": null, "deliver_at_utc": "tomorrow" }), "offset"),
            (json!({ "start_after_seconds": null, "deliver_at_utc": "2026-11-21T10:00:60Z" }), "offset"),
            (json!({ "start_after_seconds": null, "deliver_at_utc": "2026-11-21T10:00:00+25:00" }), "offset"),
            (json!({ "start_after_seconds": null, "deliver_at_utc": "9999-12-31T23:59:59Z" }), "later than the last"),
            (json!({ "interval_seconds": 5 }), "not allowed when mode=one_off"),
            (json!({ "mode": "repeat" }), "required when mode=repeat"),
            (json!({ "when_missed": "never" }), "literal_error"),
            (json!({ "reminder_id": "x" }), "extra_forbidden"),
            (json!({ "schema_version": 2 }), "schema_version must be 1"),
        ];
        for (change, expected) in cases {
            let problem = format!("{:?}", update(&with(&change)).unwrap_err());
            assert!(problem.contains("422") && problem.contains(expected), "{change}: {problem}");
        }
    }

    #[test]
    fn a_list_has_entries_and_each_is_named_by_its_place() {
        assert_eq!(create(&json!({ "reminders": [one_off(), one_off()] })).unwrap().len(), 2);
        for wrong in [json!({}), json!({ "reminders": [] }), json!({ "reminders": {} }), json!([]), one_off()] {
            assert!(format!("{:?}", create(&wrong).unwrap_err()).contains("422"), "{wrong}");
        }
        let (status, detail) = {
            let problem = create(&json!({ "reminders": [one_off(), with(&json!({ "title": "" }))] })).unwrap_err();
            let (status, detail) = problem.parts();
            (status, detail.clone())
        };
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", "reminders", 1, "title"])));
        let versioned = create(&json!({ "reminders": [with(&json!({ "schema_version": 1 }))] })).unwrap_err();
        assert!(format!("{versioned:?}").contains("extra_forbidden"));
    }
}
