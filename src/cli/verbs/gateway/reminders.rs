//! `agents gateway reminders list|get|create|set|remove`: what is to be said to the agent later.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::requests::{STARTING, glance};
use crate::{
    api::{ReminderDeleted, ReminderList, ReminderMode, ReminderView, WhenMissed, parse_keys},
    cli::{
        args::{CreateReminder, ReminderWords, Reminders, SetReminder},
        render,
        report::Reporter,
        setting,
    },
    client::{Call, Gateway},
    lifecycle,
    model::{Failure, Moment},
    os::clock,
    target::Context,
};

pub(super) fn run(context: &Context, words: &Reminders, report: &Reporter) -> Result<ExitCode, Failure> {
    check(words)?;
    let gateway = lifecycle::reach(&setting::resolve(context, words.selectors())?, STARTING)?;
    match words {
        Reminders::List(_) => list(&gateway, report)?,
        Reminders::Get { reminder_id, .. } => {
            let found: ReminderView = gateway.call(&Call::get(&path(&gateway, Some(reminder_id))))?;
            show(&found, report);
        }
        Reminders::Create(words) => create(&gateway, words, report)?,
        Reminders::Set(words) => set(&gateway, words, report)?,
        Reminders::Remove { reminder_id, .. } => {
            let path = format!("/v1/reminders/{reminder_id}");
            let done: ReminderDeleted = gateway.call(&Call::delete(&path))?;
            if report.wants_json() {
                render::json(&json!(done));
            } else {
                render::facts(&[("reminder", done.reminder_id), ("removed", done.detail)]);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What can be told to be wrong without a gateway.
fn check(words: &Reminders) -> Result<(), Failure> {
    let (words, mode) = match words {
        Reminders::Create(create) => (&create.words, Some(ReminderMode::from(create.mode))),
        Reminders::Set(set) => (&set.words, set.mode.map(Into::into)),
        _ => return Ok(()),
    };
    if let Some(sequence) = &words.sequence {
        if sequence.is_empty() {
            return Err(Failure::usage("the sequence is empty", "give text or keys: --sequence '/compact<[Enter]>'"));
        }
        parse_keys(sequence, false)
            .map_err(|error| Failure::usage(error.to_string(), "mend the sequence; nothing was kept"))?;
    }
    if words.prompt.as_deref().is_some_and(|text| text.trim().is_empty()) {
        return Err(Failure::usage("the prompt is empty", "give --prompt TEXT"));
    }
    if words.prompt.is_some() && ensure_enter(words).is_some() {
        return Err(Failure::usage("a prompt is always submitted", "--[no-]ensure-enter goes with --sequence"));
    }
    if mode == Some(ReminderMode::OneOff) && words.interval_seconds.is_some() {
        return Err(Failure::usage("--interval-seconds goes with --mode repeat", "leave one of them out"));
    }
    Ok(())
}

/// Ours say more when they are asked; another program's refuses what it does not know.
fn path(gateway: &Gateway, id: Option<&str>) -> String {
    let id = id.map(|id| format!("/{id}")).unwrap_or_default();
    let view = if gateway.gives_receipts() { "?view=full" } else { "" };
    format!("/v1/reminders{id}{view}")
}

fn list(gateway: &Gateway, report: &Reporter) -> Result<(), Failure> {
    let list: ReminderList = gateway.call(&Call::get(&path(gateway, None)))?;
    if report.wants_json() {
        render::json(&json!(list));
        return Ok(());
    }
    if list.reminders.is_empty() {
        report.note("no reminders");
        return Ok(());
    }
    let rows = list.reminders.iter().map(|one| {
        [one.reminder_id.clone(), state(one), due(one), one.ranking.to_string(), often(one), glance(&one.title)]
    });
    render::table(["ID", "STATE", "DUE", "RANK", "MODE", "TITLE"], rows.collect());
    let first = list.reminders.first();
    if let Some(why) = first.and_then(|first| first.plan.as_ref()).and_then(|plan| plan.waits_for.as_ref()) {
        report.note(&format!("the first one waits: {why}"));
    }
    if first.is_some_and(|first| first.paused) && list.reminders.len() > 1 {
        report.note("the first one is paused, and keeps all others back");
    }
    Ok(())
}

/// `overdue, paused`, `blocked`…
fn state(one: &ReminderView) -> String {
    let mut words = vec![one.delivery_state.as_str()];
    if one.selection_state == "blocked" {
        words.push("blocked");
    }
    if one.paused {
        words.push("paused");
    }
    words.join(", ")
}

/// Without the fraction, which nobody reads.
fn due(one: &ReminderView) -> String {
    Moment::parse(&one.next_due_at_utc).map_or_else(|| one.next_due_at_utc.clone(), Moment::iso_seconds)
}

fn often(one: &ReminderView) -> String {
    one.interval_seconds.map_or_else(|| "once".to_owned(), |seconds| format!("every {seconds} s"))
}

fn show(one: &ReminderView, report: &Reporter) {
    if report.wants_json() {
        return render::json(&json!(one));
    }
    let mut rows = vec![
        ("reminder", one.reminder_id.clone()),
        ("title", one.title.clone()),
        ("state", state(one)),
        ("due", due(one)),
        ("mode", often(one)),
        ("ranking", one.ranking.to_string()),
    ];
    rows.extend(one.prompt.as_deref().map(|text| ("prompt", format!("{} ({} bytes)", glance(text), text.len()))));
    rows.extend(one.send_keys.as_ref().map(|keys| ("keys", keys.typed())));
    rows.extend(one.blocked_by_reminder_id.clone().map(|id| ("behind", id)));
    rows.extend(one.last_started_at_utc.clone().map(|at| ("last said", at)));
    if let Some(plan) = &one.plan {
        rows.push(("when missed", plan.when_missed.name().to_owned()));
        rows.push(("said", format!("{} times", plan.times_fired)));
        rows.extend(plan.request_id.clone().map(|id| ("request", id)));
        rows.extend(plan.waits_for.clone().map(|why| ("waits for", why)));
    }
    render::facts(&rows);
}

fn create(gateway: &Gateway, words: &CreateReminder, report: &Reporter) -> Result<(), Failure> {
    let mut definition = Map::new();
    definition.insert("mode".to_owned(), json!(ReminderMode::from(words.mode)));
    definition.insert("title".to_owned(), json!(words.title));
    definition.insert("ranking".to_owned(), json!(ranking(gateway, &words.words, None)?.unwrap_or_default()));
    fill(&mut definition, &words.words, gateway)?;
    let body = json!({ "schema_version": 1, "reminders": [definition] });
    let made: ReminderList = gateway.call(&Call::post(&path(gateway, None), &body))?;
    let Some(one) = made.reminders.first() else {
        return Err(Failure::internal("the gateway kept nothing"));
    };
    show(one, report);
    Ok(())
}

fn set(gateway: &Gateway, words: &SetReminder, report: &Reporter) -> Result<(), Failure> {
    let path = path(gateway, Some(&words.reminder_id));
    let old: ReminderView = gateway.call(&Call::get(&path))?;
    let mut definition = as_it_is(&old);
    if let Some(title) = &words.title {
        definition.insert("title".to_owned(), json!(title));
    }
    if let Some(mode) = words.mode.map(ReminderMode::from) {
        definition.insert("mode".to_owned(), json!(mode));
        if mode == ReminderMode::OneOff {
            definition.remove("interval_seconds");
        }
    }
    if let Some(ranking) = ranking(gateway, &words.words, Some(&words.reminder_id))? {
        definition.insert("ranking".to_owned(), json!(ranking));
    }
    if words.words.sequence.is_none()
        && let Some(ensure_enter) = ensure_enter(&words.words)
    {
        let Some(keys) = definition.get_mut("send_keys") else {
            return Err(Failure::usage("this reminder is a prompt", "--[no-]ensure-enter goes with keys"));
        };
        keys["ensure_enter"] = json!(ensure_enter);
    }
    fill(&mut definition, &words.words, gateway)?;
    let body = Value::Object(definition);
    let call = Call { method: "PUT", ..Call::post(&path, &body) };
    let one: ReminderView = gateway.call(&call)?;
    show(&one, report);
    Ok(())
}

/// The definition that makes a reminder as it is now.
fn as_it_is(old: &ReminderView) -> Map<String, Value> {
    let mut definition = Map::new();
    let mut put = |name: &str, value: Value| drop(definition.insert(name.to_owned(), value));
    put("mode", json!(old.mode));
    put("title", json!(old.title));
    put("ranking", json!(old.ranking));
    put("paused", json!(old.paused));
    match &old.send_keys {
        Some(keys) => put("send_keys", json!(keys)),
        None => put("prompt", json!(old.prompt)),
    }
    if let Some(interval) = old.interval_seconds {
        put("interval_seconds", json!(interval));
    }
    let policy = old.plan.as_ref().map(|plan| plan.when_missed);
    if let Some(policy) = policy.filter(|policy| *policy != WhenMissed::default()) {
        put("when_missed", json!(policy));
    }
    let due = Moment::parse(&old.next_due_at_utc);
    match (old.plan.as_ref().map(|plan| plan.clock.as_str()), due) {
        // What was a delay stays one.
        (Some("boot"), Some(due)) => put("start_after_seconds", json!(left(due))),
        _ => put("deliver_at_utc", json!(old.next_due_at_utc)),
    }
    definition
}

#[expect(clippy::cast_precision_loss, reason = "a hundred years in microseconds fit")]
fn left(due: Moment) -> f64 {
    let micros = due.epoch_micros().saturating_sub(clock::now().epoch_micros());
    micros.max(1) as f64 / 1e6
}

/// Puts in what was said on the command line.
fn fill(definition: &mut Map<String, Value>, words: &ReminderWords, gateway: &Gateway) -> Result<(), Failure> {
    let mut put = |name: &str, value: Value| drop(definition.insert(name.to_owned(), value));
    if let Some(prompt) = &words.prompt {
        put("prompt", json!(prompt));
        put("send_keys", Value::Null);
    }
    if let Some(sequence) = &words.sequence {
        put("send_keys", json!({ "sequence": sequence, "ensure_enter": ensure_enter(words).unwrap_or(true) }));
        put("prompt", Value::Null);
    }
    if let Some(paused) = either(words.paused, words.no_paused) {
        put("paused", json!(paused));
    }
    if let Some(delay) = words.start_after_seconds {
        put("start_after_seconds", json!(delay));
        put("deliver_at_utc", Value::Null);
    }
    if let Some(at) = words.deliver_at_utc.as_deref().and_then(Moment::parse_civil) {
        put("deliver_at_utc", json!(at.iso_micros()));
        put("start_after_seconds", Value::Null);
    }
    if let Some(interval) = words.interval_seconds {
        put("interval_seconds", json!(interval));
    }
    if let Some(policy) = words.when_missed {
        if !gateway.gives_receipts() {
            return Err(Failure::usage(
                "the gateway is another program's: its reminders do not survive a restart",
                "leave out --when-missed, or `agents gateway attach --restart` starts one of ours",
            ));
        }
        put("when_missed", json!(WhenMissed::from(policy)));
    }
    Ok(())
}

/// Its place among those that there are, but for itself.
fn ranking(gateway: &Gateway, words: &ReminderWords, me: Option<&str>) -> Result<Option<i64>, Failure> {
    if !(words.before_all || words.after_all) {
        return Ok(words.ranking);
    }
    let list: ReminderList = gateway.call(&Call::get("/v1/reminders"))?;
    let others = list.reminders.iter().filter(|one| Some(one.reminder_id.as_str()) != me).map(|one| one.ranking);
    place(others, words.before_all).map(Some)
}

/// The ranking before all others, or behind them.
fn place(others: impl Iterator<Item = i64>, before: bool) -> Result<i64, Failure> {
    let (end, next) = if before {
        let first = others.min();
        (first, first.map(|first| first.checked_sub(1)))
    } else {
        let last = others.max();
        (last, last.map(|last| last.checked_add(1)))
    };
    next.unwrap_or(Some(0)).ok_or_else(|| {
        let (side, which) = if before { ("before", "lowest") } else { ("behind", "highest") };
        Failure::refused(
            format!("there is no place {side} all: a reminder has the {which} ranking, {}", end.unwrap_or_default()),
            "give that one another place with `agents gateway reminders set ID --ranking N`",
        )
    })
}

fn ensure_enter(words: &ReminderWords) -> Option<bool> {
    either(words.ensure_enter, words.no_ensure_enter)
}

/// `--flag` or `--no-flag`, if one of them stands there.
fn either(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_nothing_before_the_lowest_ranking() {
        let of = |others: &[i64], before| place(others.iter().copied(), before).ok();
        assert_eq!((of(&[3, -2], true), of(&[3, -2], false), of(&[], true)), (Some(-3), Some(4), Some(0)));
        assert_eq!((of(&[i64::MIN, 0], true), of(&[i64::MAX], false)), (None, None));
    }
}
