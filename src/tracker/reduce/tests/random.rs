//! Whatever comes, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn any_sign() -> impl Strategy<Value = Sign> {
    let text = prop_oneof![Just("one".to_owned()), Just("two".to_owned()), Just("/clear".to_owned())];
    let turn = proptest::option::of(prop_oneof![Just("t1".to_owned()), Just("t2".to_owned())]);
    let outcome =
        prop_oneof![Just(Outcome::Success), Just(Outcome::Interrupted), Just(Outcome::Failed), Just(Outcome::Unknown)];
    let ended = (turn.clone(), outcome, proptest::option::of(text.clone()));
    prop_oneof![
        Just(Sign::Working),
        Just(Sign::Idle),
        Just(Sign::Waiting { kind: DialogKind::Permission, message: None }),
        Just(Sign::Compacting),
        Just(Sign::Compacted),
        (text.clone(), turn.clone()).prop_map(|(text, turn)| Sign::Replied { turn, text, exact: true }),
        (proptest::option::of(text), turn, any::<bool>()).prop_map(|(text, turn, queued)| Sign::PromptTaken {
            text,
            turn,
            queued
        }),
        ended.prop_map(|(turn, outcome, reply)| Sign::TurnEnded { turn, outcome, reply, exact: true, error: None }),
        prop_oneof![Just("startup"), Just("clear"), Just("compact")]
            .prop_map(|why| Sign::SessionBegan { session: None, why: why.to_owned() }),
        Just(Sign::SessionEnded { why: "exit".to_owned() }),
    ]
}

fn any_reading() -> impl Strategy<Value = ScreenReading> {
    prop_oneof![
        Just(idle()),
        Just(working("a")),
        Just(working("b")),
        Just(draft("one")),
        Just(dialog()),
        Just(ScreenReading::default()),
        Just(ScreenReading { interrupted: true, ..idle() }),
        Just(ScreenReading { failed: Some("x".to_owned()), ..idle() }),
        Just(ScreenReading { starting: true, ..idle() }),
        Just(ScreenReading { queued: Some(true), ..working("a") }),
    ]
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let strong = prop_oneof![Just(Source::Record), Just(Source::Hook), Just(Source::ProgramStatus)];
    let level = prop_oneof![Just(Sign::Working), Just(Sign::Idle)];
    let seen = |source| move |seen| Observation { source, seen };
    prop_oneof![
        3 => (strong.clone(), any_sign()).prop_map(|(source, sign)| Observation { source, seen: Seen::Sign(sign) }),
        1 => level.prop_map(Seen::Sign).prop_map(seen(Source::Title)),
        3 => any_reading().prop_map(|reading| Seen::Screen(Box::new(screen(reading)))).prop_map(seen(Source::Screen)),
        1 => prop_oneof![Just("one"), Just("two")]
            .prop_map(|text| Seen::Noted { request: None, text: text.to_owned() })
            .prop_map(seen(Source::Input)),
        1 => Just(Seen::InterruptPressed).prop_map(seen(Source::Input)),
        1 => (any::<bool>(), 7..9_u32)
            .prop_map(|(alive, pid)| ProcessSeen { alive: Some(alive), pid: Some(pid), ..ProcessSeen::default() })
            .prop_map(Seen::Process)
            .prop_map(seen(Source::Process)),
        1 => (strong, any::<bool>())
            .prop_map(|(source, up)| Observation { source, seen: Seen::Channel { up, why: String::new() } }),
    ]
}

fn any_play() -> impl Strategy<Value = Vec<(u64, Observation)>> {
    let pause = prop_oneof![Just(0), 1..400_u64, Just(1200), Just(6000), Just(25_000)];
    proptest::collection::vec((pause, any_observation()), 0..60)
}

fn tool() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("claude")), Just(Some("codex")), Just(Some("gemini"))]
}

proptest! {
    #[test]
    fn the_same_observations_give_the_same_states_and_edges(tool in tool(), play in any_play()) {
        let run = || {
            let mut now = Play::of(tool);
            for (pause, observation) in &play {
                now.wait(*pause).take(observation.source, observation.seen.clone());
            }
            now.wait(40_000);
            (now.edges, now.phases, now.reducer.state().clone())
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn never_ready_while_a_strong_level_says_working(tool in tool(), play in any_play()) {
        let mut now = Play::of(tool);
        let mut says = BTreeSet::new();
        for (pause, observation) in &play {
            now.wait(*pause);
            prop_assert!(says.is_empty() || now.phase() != Phase::Ready);
            now.take(observation.source, observation.seen.clone());
            let source = observation.source;
            match &observation.seen {
                Seen::Sign(Sign::Working) if matches!(source, Source::Record | Source::ProgramStatus) => {
                    says.insert(source);
                }
                Seen::Sign(Sign::Idle | Sign::Waiting { .. } | Sign::TurnEnded { .. }) => {
                    says.remove(&source);
                }
                Seen::Process(_) | Seen::Channel { .. } => says.clear(),
                _ => {}
            }
            prop_assert!(says.is_empty() || now.phase() != Phase::Ready);
        }
    }

    #[test]
    fn never_ready_while_a_turn_runs_or_is_awaited(tool in tool(), play in any_play()) {
        let mut now = Play::of(tool);
        for (pause, observation) in &play {
            now.wait(*pause).take(observation.source, observation.seen.clone());
            let state = now.reducer.state();
            prop_assert!(state.phase != Phase::Ready || (state.turn.is_none() && !state.awaited));
            prop_assert!(state.phase != Phase::Unknown || state.why.is_some());
        }
    }

    #[test]
    fn turns_begin_before_they_end_and_one_at_a_time(tool in tool(), play in any_play()) {
        let mut now = Play::of(tool);
        for (pause, observation) in &play {
            now.wait(*pause).take(observation.source, observation.seen.clone());
        }
        let mut open: Option<String> = None;
        let mut ended: Vec<String> = Vec::new();
        for edge in &now.edges {
            match edge {
                TurnEdge::Started(turn) => {
                    prop_assert!(open.is_none() && !ended.contains(&turn.id));
                    prop_assert!(turn.outcome.is_none());
                    open = Some(turn.id.clone());
                }
                TurnEdge::Ended(turn) => {
                    prop_assert_eq!(open.take(), Some(turn.id.clone()));
                    prop_assert!(turn.outcome.is_some() && turn.ended_at_utc.is_some());
                    prop_assert!(turn.ended_at_utc.as_ref() >= Some(&turn.started_at_utc));
                    ended.push(turn.id.clone());
                }
                TurnEdge::Amended(turn) => prop_assert!(ended.contains(&turn.id)),
            }
        }
    }

    #[test]
    fn every_state_can_be_left(tool in tool(), play in any_play()) {
        let mut now = Play::of(tool);
        for (pause, observation) in &play {
            now.wait(*pause).take(observation.source, observation.seen.clone());
        }
        // All senses agree that it waits.
        now.process(true).sign(Source::Hook, Sign::Compacted).sign(Source::Title, Sign::Idle).screen(idle());
        for source in [Source::Record, Source::Hook, Source::ProgramStatus] {
            now.sign(source, end(Outcome::Success, None)).sign(source, Sign::Idle);
        }
        now.take(Source::Screen, Seen::Channel { up: true, why: String::new() }).wait(30_000);
        prop_assert_eq!(now.phase(), Phase::Ready);
        now.process(false);
        prop_assert_eq!(now.phase(), Phase::Unknown);
        now.process(true).screen(dialog());
        prop_assert_eq!(now.phase(), Phase::Blocked);
    }
}
