//! Reminders as the contract shows them, and as events tell of them. *Pure.*

use serde_json::{Value, json};

use super::plan::{self, Now};
use crate::{
    api::{ReminderDelivery, ReminderPlan, ReminderView},
    model::Moment,
    store::{DueClock, ReminderEvent, ReminderRow},
};

/// How much of a text an event repeats, in characters.
const PREVIEW: usize = 120;

/// How one stands among all. `rows` are in their order; `waits_for` is told with `full` only.
pub(super) fn view(
    row: &ReminderRow,
    rows: &[ReminderRow],
    now: &Now,
    full: bool,
    waits_for: Option<&(String, String)>,
) -> ReminderView {
    let definition = &row.definition;
    let first = rows.first().filter(|first| first.id != row.id);
    let (prompt, send_keys) = match &definition.delivery {
        ReminderDelivery::Prompt(text) => (Some(text.clone()), None),
        ReminderDelivery::SendKeys(keys) => (None, Some(keys.clone())),
    };
    ReminderView {
        schema_version: 1,
        reminder_id: row.id.clone(),
        mode: definition.mode,
        delivery_kind: definition.delivery.name().to_owned(),
        title: definition.title.clone(),
        prompt,
        send_keys,
        ranking: definition.ranking,
        paused: definition.paused,
        selection_state: selection(first.is_none()).to_owned(),
        delivery_state: delivery(row, now).to_owned(),
        created_at_utc: micros(row.created_us),
        next_due_at_utc: micros(plan::due_on_the_wall(row, now)),
        interval_seconds: seconds(row),
        last_started_at_utc: row.started_us.map(micros),
        blocked_by_reminder_id: first.map(|first| first.id.clone()),
        plan: full.then(|| ReminderPlan {
            when_missed: definition.when_missed,
            clock: if row.clock == DueClock::Wall { "wall" } else { "boot" }.to_owned(),
            times_fired: row.occurrence,
            owed: row.owed,
            request_id: row.request_id.clone(),
            waits_for: waits_for.map(|(_, why)| why.clone()),
        }),
    }
}

fn selection(is_first: bool) -> &'static str {
    if is_first { "effective" } else { "blocked" }
}

fn delivery(row: &ReminderRow, now: &Now) -> &'static str {
    match (row.executing, plan::is_due(row, now)) {
        (true, _) => "executing",
        (false, true) => "overdue",
        (false, false) => "scheduled",
    }
}

#[expect(clippy::cast_precision_loss, reason = "a hundred years in microseconds fit")]
fn seconds(row: &ReminderRow) -> Option<f64> {
    row.definition.interval_us.map(|micros| micros as f64 / 1e6)
}

pub(super) fn micros(at: i64) -> String {
    Moment::from_epoch_micros(at).iso_micros()
}

/// An event about a reminder, with what the kind adds.
pub(super) fn event(kind: &'static str, row: &ReminderRow, more: Value) -> ReminderEvent {
    let mut data = json!({ "reminder_id": row.id });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    ReminderEvent { kind, request: None, data }
}

/// What was asked for, in the contract's event (section 1.8).
pub(super) fn registered(kind: &'static str, row: &ReminderRow) -> ReminderEvent {
    let definition = &row.definition;
    let cut = |text: &str| text.chars().take(PREVIEW).collect::<String>();
    let (prompt, keys) = match &definition.delivery {
        ReminderDelivery::Prompt(text) => (Some(cut(text)), None),
        ReminderDelivery::SendKeys(keys) => (None, Some(keys)),
    };
    let mut data = json!({
        "mode": definition.mode, "delivery_kind": definition.delivery.name(), "title": definition.title,
        "ranking": definition.ranking, "paused": definition.paused, "prompt_preview": prompt,
        "sequence_preview": keys.map(|keys| cut(&keys.sequence)), "ensure_enter": keys.map(|keys| keys.ensure_enter),
        "next_due_at_utc": micros(row.due_wall_us), "interval_seconds": seconds(row),
        "when_missed": definition.when_missed,
    });
    if kind == "reminder_registered" {
        data["created_at_utc"] = micros(row.created_us).into();
    }
    event(kind, row, data)
}

/// Why it is kept back although it is due.
pub(super) fn deferred(row: &ReminderRow, now: &Now, code: &str, detail: &str) -> ReminderEvent {
    let more = json!({ "reason": code, "error_detail": detail, "selection_state": selection(true),
        "delivery_state": delivery(row, now), "next_due_at_utc": micros(plan::due_on_the_wall(row, now)) });
    event("reminder_deferred", row, more)
}
