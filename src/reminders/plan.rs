//! What is due, what is first, and when to look again. *Pure.*
//!
//! A delay is measured by the clock that counts since boot: nobody can set it, and it goes on while the machine sleeps.
//! A time of day is the wall clock's. Once a reminder at a time of day was said, its interval is a delay. Over a reboot
//! the wall clock is all there is, and takes over.

use crate::{
    api::{MOST_OWED, ReminderMode, ReminderStart, WhenMissed},
    store::{DueClock, ReminderRow},
};

/// The wall clock and the other one may differ by this much before a shown moment is reckoned anew.
const DRIFT_US: u64 = 1_000_000;

/// One moment on both clocks, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Now {
    /// Since 1970.
    pub(super) wall: i64,
    /// Since boot.
    pub(super) boot: i64,
    /// Which boot.
    pub(super) boot_id: String,
}

/// When to look again, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wake {
    pub(super) boot: Option<i64>,
    pub(super) wall: Option<i64>,
}

/// What a start finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is as it was.
    Same,
    /// Its clock was another boot's; nothing was missed.
    Moved,
    /// So many slots fell due while nobody was there, and so many of them are to be said.
    Missed { slots: i64, fires: u32 },
    /// So many slots fell due, and none is to be said.
    Skipped { slots: i64 },
}

/// Puts them in their order: ranking, then age, then id.
pub(super) fn sort(rows: &mut [ReminderRow]) {
    rows.sort_by(|a, b| {
        let key = |row: &ReminderRow| (row.definition.ranking, row.created_us);
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
}

/// By which clock something is due that starts so, when by it, and when by the wall clock.
pub(super) fn start(start: ReminderStart, now: &Now) -> (DueClock, i64, i64) {
    match start {
        ReminderStart::At(at) => (DueClock::Wall, at, at),
        ReminderStart::After(delay) => {
            let clock = DueClock::Boot { id: now.boot_id.clone() };
            (clock, now.boot.saturating_add(delay), now.wall.saturating_add(delay))
        }
    }
}

/// How long it has been due, in microseconds; negative as long as it is not.
fn late(row: &ReminderRow, now: &Now) -> i64 {
    match row.clock {
        DueClock::Wall => now.wall.saturating_sub(row.due_us),
        DueClock::Boot { .. } => now.boot.saturating_sub(row.due_us),
    }
}

pub(super) fn is_due(row: &ReminderRow, now: &Now) -> bool {
    late(row, now) >= 0
}

/// The slot that is next, on the wall clock as it is now.
pub(super) fn due_on_the_wall(row: &ReminderRow, now: &Now) -> i64 {
    let reckoned = now.wall.saturating_sub(late(row, now));
    if reckoned.abs_diff(row.due_wall_us) <= DRIFT_US { row.due_wall_us } else { reckoned }
}

/// Is it the one to be said now? `rows` are in their order.
pub(super) fn to_say<'r>(rows: &'r [ReminderRow], now: &Now) -> Option<&'r ReminderRow> {
    let first = rows.first()?;
    let is_free = !rows.iter().any(|row| row.executing);
    (is_free && !first.definition.paused && is_due(first, now)).then_some(first)
}

/// When the next one falls due that nobody saw fall due yet.
pub(super) fn wake(rows: &[ReminderRow]) -> Wake {
    let mut wake = Wake::default();
    for row in rows.iter().filter(|row| !row.seen_due) {
        let next = match row.clock {
            DueClock::Wall => &mut wake.wall,
            DueClock::Boot { .. } => &mut wake.boot,
        };
        *next = Some(next.map_or(row.due_us, |next| next.min(row.due_us)));
    }
    wake
}

/// The reminder after it was said; `false`: it is done with.
pub(super) fn advance(row: &mut ReminderRow, now: &Now) -> bool {
    let Some(interval) = interval(row) else { return false };
    if row.clock == DueClock::Wall {
        row.due_us = now.boot.saturating_sub(late(row, now));
        row.clock = DueClock::Boot { id: now.boot_id.clone() };
    }
    let steps = if row.owed > 1 {
        row.owed -= 1;
        1
    } else {
        slots(row, interval, now).max(1)
    };
    step(row, interval, steps, now);
    row.seen_due = is_due(row, now);
    true
}

/// Takes a reminder over from an earlier run.
pub(super) fn resume(row: &mut ReminderRow, now: &Now) -> Found {
    let mut found = Found::Same;
    if let DueClock::Boot { id } = &row.clock
        && *id != now.boot_id
    {
        row.due_us = now.boot.saturating_add(row.due_wall_us.saturating_sub(now.wall));
        row.clock = DueClock::Boot { id: now.boot_id.clone() };
        found = Found::Moved;
    }
    if row.executing || row.seen_due || !is_due(row, now) {
        return found;
    }
    row.seen_due = true;
    let interval = interval(row);
    let slots = interval.map_or(1, |interval| slots(row, interval, now));
    // One that is paused would not have been said either.
    let policy = if row.definition.paused { WhenMissed::FireOnce } else { row.definition.when_missed };
    match (policy, interval) {
        (WhenMissed::Skip, _) => Found::Skipped { slots },
        (WhenMissed::FireAll, Some(interval)) => {
            let fires = u32::try_from(slots).unwrap_or(u32::MAX).min(MOST_OWED);
            row.owed = fires;
            step(row, interval, slots - i64::from(fires), now);
            Found::Missed { slots, fires }
        }
        _ => Found::Missed { slots, fires: 1 },
    }
}

fn interval(row: &ReminderRow) -> Option<i64> {
    (row.definition.mode == ReminderMode::Repeat).then(|| row.definition.interval_us.unwrap_or(1).max(1))
}

/// Slots that have come, the one that it is due for included.
fn slots(row: &ReminderRow, interval: i64, now: &Now) -> i64 {
    let late = late(row, now);
    if late < 0 { 0 } else { (late / interval).saturating_add(1) }
}

fn step(row: &mut ReminderRow, interval: i64, steps: i64, now: &Now) {
    let span = interval.saturating_mul(steps);
    row.due_us = row.due_us.saturating_add(span);
    row.due_wall_us = row.due_wall_us.saturating_add(span);
    row.due_wall_us = due_on_the_wall(row, now);
}

#[cfg(test)]
mod tests;
