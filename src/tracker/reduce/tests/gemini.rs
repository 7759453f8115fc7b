//! Gemini tells prompts and ends by hooks, and holds back what is submitted while it works.

use super::*;

fn holds_one(text: &str) -> ScreenReading {
    ScreenReading { queued: Some(true), ..working(text) }
}

/// A turn in which a second prompt was submitted, up to the moment after its end in which the tool takes that.
fn behind_another() -> Play {
    let mut play = Play::of(Some("gemini"));
    play.screen(idle()).sign(Source::Hook, prompt("one", None)).wait(100).screen(working("a")).wait(500);
    play.screen(holds_one("b")).wait(500);
    play.sign(Source::Hook, end(Outcome::Success, Some("1"))).screen(idle());
    play
}

#[test]
fn a_prompt_that_left_the_queue_is_work_before_anybody_tells_of_it() {
    let mut play = behind_another();
    play.wait(4000);
    assert_eq!(play.phase(), Phase::Active, "{:?}", play.phases);
    play.sign(Source::Hook, prompt("two", None)).screen(working("c")).wait(1000);
    play.sign(Source::Hook, end(Outcome::Success, Some("2"))).screen(idle()).wait(3000);
    assert_eq!((play.started(), play.ended().len(), play.phase()), (2, 2, Phase::Ready));
    assert_eq!(play.phases.iter().filter(|(_, phase)| *phase == Phase::Ready).count(), 2, "{:?}", play.phases);
}

#[test]
fn a_queue_that_was_emptied_for_nothing_does_not_keep_it_busy() {
    let mut play = behind_another();
    play.wait(6000);
    assert_eq!((play.phase(), play.started()), (Phase::Ready, 1), "no turn is made up");

    let mut play = behind_another();
    play.screen(draft("two")).wait(2000);
    assert_eq!((play.phase(), play.started()), (Phase::Ready, 1), "it was given back");

    let mut play = behind_another();
    play.take(Source::Input, Seen::InterruptPressed).wait(2000);
    assert_eq!((play.phase(), play.started()), (Phase::Ready, 1), "it was interrupted");
}

#[test]
fn a_prompt_that_left_the_composer_is_no_turn_that_ended_before_the_record_tells_of_it() {
    let mut play = Play::of(Some("gemini"));
    play.process(true).screen(idle()).wait(500).note("one").wait(200);
    // The screen shows the prompt above an empty composer, and for seconds nothing more.
    play.screen(ScreenReading { signature: "one above".to_owned(), ..idle() }).wait(4000);
    assert_eq!((play.phase(), play.started()), (Phase::Active, 0), "{:?}", play.edges);
    play.sign(Source::Record, prompt("one", None)).sign(Source::Title, Sign::Working).wait(500);
    play.sign(Source::Record, Sign::Replied { turn: None, text: "1".to_owned(), exact: true });
    play.sign(Source::Title, Sign::Idle).wait(3000);
    assert_eq!((play.started(), play.ended().len(), play.phase()), (1, 1, Phase::Ready), "{:?}", play.edges);
}
