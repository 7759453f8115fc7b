use proptest::prelude::*;

use super::*;
use crate::api::{ReminderDefinition, ReminderDelivery};

const SECOND: i64 = 1_000_000;

fn at(wall: i64, boot: i64) -> Now {
    Now { wall: wall * SECOND, boot: boot * SECOND, boot_id: "here".to_owned() }
}

fn row(id: &str, mode: ReminderMode, begin: ReminderStart, now: &Now) -> ReminderRow {
    let (clock, due_us, due_wall_us) = start(begin, now);
    ReminderRow {
        id: id.to_owned(),
        definition: ReminderDefinition {
            mode,
            title: "t".to_owned(),
            delivery: ReminderDelivery::Prompt("p".to_owned()),
            ranking: 0,
            paused: false,
            interval_us: (mode == ReminderMode::Repeat).then_some(10 * SECOND),
            when_missed: WhenMissed::FireOnce,
        },
        created_us: now.wall,
        clock,
        due_us,
        due_wall_us,
        seen_due: false,
        owed: 1,
        occurrence: 0,
        started_us: None,
        executing: false,
        request_id: None,
    }
}

fn delayed(seconds: i64, now: &Now) -> ReminderRow {
    row("a", ReminderMode::OneOff, ReminderStart::After(seconds * SECOND), now)
}

fn repeat(seconds: i64, now: &Now) -> ReminderRow {
    row("a", ReminderMode::Repeat, ReminderStart::After(seconds * SECOND), now)
}

#[test]
fn a_delay_does_not_follow_a_wall_clock_that_is_set() {
    let one = delayed(60, &at(1_000, 100));
    assert!(!is_due(&one, &at(9_000, 159)), "set forward");
    assert!(is_due(&one, &at(10, 160)), "set back");
    assert_eq!(due_on_the_wall(&one, &at(1_030, 130)), 1_060 * SECOND);
    assert_eq!(due_on_the_wall(&one, &at(9_000, 130)), 9_030 * SECOND, "shown by the clock that people see");
    assert_eq!(wake(&[one]), Wake { boot: Some(160 * SECOND), wall: None });
}

#[test]
fn a_time_of_day_follows_the_wall_clock() {
    let one = row("a", ReminderMode::OneOff, ReminderStart::At(2_000 * SECOND), &at(1_000, 100));
    assert!(!is_due(&one, &at(1_999, 5_000)));
    assert!(is_due(&one, &at(2_000, 101)));
    assert_eq!(wake(&[one]), Wake { boot: None, wall: Some(2_000 * SECOND) });
}

#[test]
fn the_interval_after_a_time_of_day_is_a_delay_again() {
    let mut one = row("a", ReminderMode::Repeat, ReminderStart::At(2_000 * SECOND), &at(1_000, 100));
    assert!(advance(&mut one, &at(2_003, 1_103)));
    assert_eq!((one.due_us, due_on_the_wall(&one, &at(2_003, 1_103))), (1_110 * SECOND, 2_010 * SECOND));
    assert!(is_due(&one, &at(5, 1_110)), "set back by half an hour");
}

#[test]
fn another_boot_goes_on_by_the_wall_clock() {
    let mut one = delayed(60, &at(1_000, 100));
    let now = Now { boot_id: "next".to_owned(), ..at(1_040, 5) };
    assert_eq!(resume(&mut one, &now), Found::Moved);
    assert_eq!((one.due_us, late(&one, &now)), (25 * SECOND, -20 * SECOND));
    let mut late_one = delayed(60, &at(1_000, 100));
    let now = Now { boot_id: "next".to_owned(), ..at(2_000, 5) };
    assert_eq!(resume(&mut late_one, &now), Found::Missed { slots: 1, fires: 1 });
    assert!(is_due(&late_one, &now), "due since before this boot");
}

#[test]
fn missed_slots_become_one_unless_all_are_wanted() {
    let made = at(1_000, 100);
    let later = at(1_000 + 10 + 34, 100 + 10 + 34);
    let missed = |policy, seconds: i64| {
        let mut one = repeat(10, &made);
        one.definition.when_missed = policy;
        let now = at(1_010 + seconds, 110 + seconds);
        let found = resume(&mut one, &now);
        (found, one.owed, one.due_us / SECOND)
    };
    assert_eq!(missed(WhenMissed::FireOnce, 34), (Found::Missed { slots: 4, fires: 1 }, 1, 110));
    assert_eq!(missed(WhenMissed::Skip, 34).0, Found::Skipped { slots: 4 });
    assert_eq!(missed(WhenMissed::FireAll, 34), (Found::Missed { slots: 4, fires: 4 }, 4, 110));
    assert_eq!(missed(WhenMissed::FireAll, 9_990), (Found::Missed { slots: 1_000, fires: 20 }, 20, 110 + 9_800));
    assert_eq!(missed(WhenMissed::FireAll, -1), (Found::Same, 1, 110));
    // What fell due before the eyes of a gateway waits, whatever it says.
    let mut seen = repeat(10, &made);
    (seen.seen_due, seen.definition.when_missed) = (true, WhenMissed::Skip);
    assert_eq!(resume(&mut seen, &later), Found::Same);
    // One that is paused is kept for whoever resumes it.
    let mut paused = delayed(10, &made);
    (paused.definition.paused, paused.definition.when_missed) = (true, WhenMissed::Skip);
    assert_eq!(resume(&mut paused, &later), Found::Missed { slots: 1, fires: 1 });
}

#[test]
fn what_is_owed_is_said_slot_by_slot_and_then_the_next_future_one() {
    let mut one = repeat(10, &at(1_000, 100));
    one.definition.when_missed = WhenMissed::FireAll;
    let now = at(1_044, 144);
    resume(&mut one, &now);
    let mut dues = vec![one.due_us / SECOND];
    for _ in 0..4 {
        assert!(advance(&mut one, &now));
        dues.push(one.due_us / SECOND);
    }
    assert_eq!((dues, one.owed, one.seen_due), (vec![110, 120, 130, 140, 150], 1, false));
}

#[test]
fn the_first_one_keeps_all_others_back() {
    let now = at(1_000, 100);
    let mut rows: Vec<ReminderRow> =
        ["c", "b", "a"].iter().map(|id| ReminderRow { id: (*id).to_owned(), ..delayed(0, &now) }).collect();
    rows[0].definition.ranking = -5;
    rows[1].created_us -= 1;
    sort(&mut rows);
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["c", "b", "a"]);
    assert_eq!(to_say(&rows, &now).map(|row| row.id.as_str()), Some("c"));
    rows[0].definition.paused = true;
    assert_eq!(to_say(&rows, &now), None, "a paused one too");
    rows[0].definition.paused = false;
    rows[2].executing = true;
    assert_eq!(to_say(&rows, &now), None, "one at a time");
    rows[2].executing = false;
    rows[0].due_us += 1;
    assert_eq!(to_say(&rows, &now), None, "due or not");
    assert_eq!(to_say(&[], &now), None);
}

proptest! {
    #[test]
    fn a_repeat_advances_on_its_grid_to_the_next_future_slot(
        begin in -1_000_000_000_i64..1_000_000_000,
        interval in 1_i64..5_000_000_000,
        late_by in 0_i64..100_000_000_000,
        jump in -10_000_000_000_i64..10_000_000_000,
        wall in any::<bool>(),
    ) {
        let made = at(1_000, 100);
        let begins = if wall { ReminderStart::At(made.wall + begin) } else { ReminderStart::After(begin) };
        let mut one = row("a", ReminderMode::Repeat, begins, &made);
        one.definition.interval_us = Some(interval);
        let due = made.boot + begin;
        let now = Now { boot: due + late_by, wall: made.wall + begin + late_by + if wall { 0 } else { jump }, ..made.clone() };
        prop_assert!(is_due(&one, &now));
        prop_assert!(advance(&mut one, &now));
        prop_assert!(one.due_us > now.boot && one.due_us <= now.boot + interval);
        prop_assert_eq!((one.due_us - due).rem_euclid(interval), 0);
        prop_assert!(!one.seen_due);
        let shown = due_on_the_wall(&one, &now) - (now.wall + one.due_us - now.boot);
        prop_assert!(shown.unsigned_abs() <= DRIFT_US);
    }

    #[test]
    fn no_moment_is_too_far_and_a_start_never_says_more_than_was_missed(
        due in any::<i64>(), wall in any::<i64>(), boot in any::<i64>(), interval in any::<i64>(),
        policy in 0_usize..3, mode in any::<bool>(), other_boot in any::<bool>(),
    ) {
        let now = Now { wall, boot, boot_id: "here".to_owned() };
        let mode = if mode { ReminderMode::Repeat } else { ReminderMode::OneOff };
        let mut one = row("a", mode, ReminderStart::At(due), &now);
        one.definition.interval_us = (mode == ReminderMode::Repeat).then_some(interval);
        one.definition.when_missed = WhenMissed::WORDS[policy].1;
        if other_boot {
            one.clock = DueClock::Boot { id: "there".to_owned() };
        }
        match resume(&mut one, &now) {
            Found::Missed { slots, fires } => {
                prop_assert!(i64::from(fires) <= slots && fires <= MOST_OWED && one.seen_due);
            }
            Found::Skipped { slots } => prop_assert!(slots >= 1 && policy == 1),
            Found::Same | Found::Moved => prop_assert!(!is_due(&one, &now)),
        }
        let first = one.due_us;
        if advance(&mut one, &now) && other_boot {
            prop_assert!(one.due_us >= first);
        }
        let _ = (due_on_the_wall(&one, &now), wake(&[one]));
    }
}
