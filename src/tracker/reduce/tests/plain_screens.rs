//! With nothing but screens and titles, and line readers.

use super::*;

fn answer() -> ScreenReading {
    ScreenReading { signature: "answer".into(), ..idle() }
}

#[test]
fn by_screen_alone_a_turn_ends_when_it_has_settled() {
    let mut play = Play::of(Some("gemini"));
    play.screen(idle()).wait(2000).note("hi").wait(50).screen(working("a")).wait(3000);
    assert_eq!(play.started(), 1);
    play.screen(answer()).wait(900);
    assert_eq!(play.phase(), Phase::Active);
    play.wait(200);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Success));
}

#[test]
fn a_flicker_of_the_working_sign_is_no_end() {
    let mut play = Play::of(Some("gemini"));
    play.screen(idle()).note("hi").wait(50).screen(working("a")).wait(500);
    play.screen(ScreenReading { signature: "gap".into(), ..idle() }).wait(700).screen(working("b")).wait(500);
    assert_eq!((play.started(), play.ended().len()), (1, 0));
}

#[test]
fn a_quick_turn_that_no_capture_saw_working_is_a_turn() {
    let mut play = Play::of(Some("gemini"));
    play.screen(idle()).wait(2000).note("hi").wait(50).screen(answer()).wait(1100);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Success));
    assert_eq!(play.ended()[0].request_id, "gwreq-1".parse().ok());
}

#[test]
fn an_old_sign_of_an_interrupt_is_not_about_the_next_turn() {
    let old = ScreenReading { interrupted: true, ..idle() };
    let mut play = Play::of(Some("gemini"));
    play.screen(old.clone()).wait(2000).note("hi").wait(50);
    play.screen(ScreenReading { interrupted: true, ..working("a") }).wait(2000);
    play.screen(ScreenReading { signature: "answer".into(), ..old }).wait(1100);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Success));
}

#[test]
fn a_new_sign_of_an_interrupt_ends_the_turn_soon() {
    let mut play = Play::of(Some("gemini"));
    play.screen(idle()).wait(2000).note("hi").wait(50).screen(working("a")).wait(2000);
    play.screen(ScreenReading { interrupted: true, ..idle() }).wait(400);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Interrupted));
}

#[test]
fn a_line_reader_without_its_prompt_is_busy_and_never_recovered_by_time() {
    let mut play = Play::of(None);
    let away = ScreenReading { composer: ComposerReading::Absent, ..working("running") };
    play.screen(away.clone()).wait(100);
    assert_eq!(play.phase(), Phase::Unknown, "no prompt was ever seen");
    play.screen(idle()).wait(2000).screen(draft("sleep 60")).screen(away).wait(60_000);
    assert_eq!(play.phase(), Phase::Active);
    assert_eq!(play.started(), 1);
    play.screen(idle()).wait(1100);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Success));
}

#[test]
fn a_draft_is_ready_and_edited() {
    let mut play = Play::of(Some("gemini"));
    play.screen(draft("half"));
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.reducer.state().surface.editing_input, Tri::Yes);
}

#[test]
fn a_starting_tool_a_menu_and_an_unclear_composer_are_not_ready() {
    for reading in [
        ScreenReading { starting: true, ..idle() },
        ScreenReading { menu: true, ..idle() },
        ScreenReading { composer: ComposerReading::Unclear, ..idle() },
        ScreenReading::default(),
    ] {
        let mut play = Play::of(Some("codex"));
        play.screen(reading).wait(10_000);
        assert_eq!(play.phase(), Phase::Unknown);
        assert!(play.reducer.state().why.is_some());
    }
}

#[test]
fn a_line_reader_whose_prompt_an_interrupt_brought_back_was_no_success() {
    let ended = || Sign::TurnEnded {
        turn: None,
        outcome: Outcome::Success,
        reply: Some(String::new()),
        exact: false,
        error: None,
    };
    let mut play = Play::of(None);
    play.screen(idle()).wait(500).note("cat").wait(50).screen(working("running")).wait(500);
    play.take(Source::Input, Seen::InterruptPressed).wait(50).screen(idle()).sign(Source::Screen, ended());
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Interrupted));
    play.wait(500).note("true").wait(50).screen(working("running")).wait(500).screen(idle());
    play.sign(Source::Screen, ended());
    assert_eq!(play.ended()[1].outcome, Some(Outcome::Success));
}
