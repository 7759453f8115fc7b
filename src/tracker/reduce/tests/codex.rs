//! As Codex and Gemini give it: records with every edge, or with replies only; status sequences, a title.

use super::*;

fn codex() -> Play {
    let mut play = Play::of(Some("codex"));
    play.process(true).sign(Source::Title, Sign::Idle).screen(idle()).wait(1500);
    assert_eq!(play.phase(), Phase::Ready);
    play
}

fn task(turn: &str) -> Sign {
    Sign::PromptTaken { text: None, turn: Some(turn.to_owned()), queued: false }
}

#[test]
fn a_task_and_its_prompt_are_one_turn() {
    let mut play = codex();
    play.note("hi").wait(40).sign(Source::ProgramStatus, Sign::Working).sign(Source::Record, task("t1"));
    play.sign(Source::Record, prompt("hi", Some("t1"))).wait(1000);
    play.sign(Source::ProgramStatus, end(Outcome::Success, None)).wait(10);
    let (turn, reply) = (Some("t1".to_owned()), Some("ho".to_owned()));
    play.sign(Source::Record, Sign::TurnEnded { turn, outcome: Outcome::Success, reply, exact: true, error: None });
    play.screen(idle()).wait(3000);
    assert_eq!((play.started(), play.ended().len()), (1, 1));
    assert_eq!(play.amended().last().unwrap().reply.as_ref().unwrap().text, "ho");
    assert_eq!(play.phase(), Phase::Ready);
}

#[test]
fn steering_is_one_turn_for_both_prompts() {
    let mut play = codex();
    play.note("one").wait(40).sign(Source::Record, task("t1")).sign(Source::Record, prompt("one", Some("t1")));
    play.wait(500).note("two").wait(40).sign(Source::Record, prompt("two", Some("t1"))).wait(500);
    play.sign(Source::Record, end(Outcome::Success, Some("both"))).sign(Source::Title, Sign::Idle).wait(4000);
    assert_eq!((play.started(), play.ended().len()), (1, 1));
    assert_eq!(play.phase(), Phase::Ready);
    assert!(play.reducer.turns.heard(Duration::ZERO, "two").is_some());
}

#[test]
fn silence_while_text_streams_is_work_by_the_title_alone() {
    let silent = || ScreenReading { signature: "x".into(), ..idle() };
    let mut play = codex();
    play.note("hi").wait(40).sign(Source::Title, Sign::Working).screen(silent()).wait(60_000);
    // No record, no status: frozen title and screen are given up, as the contract has it.
    assert_eq!(play.phase(), Phase::Ready);
    let mut play = codex();
    play.note("hi").wait(40).sign(Source::Record, task("t1")).sign(Source::Title, Sign::Working).screen(silent());
    play.wait(60_000);
    assert_eq!(play.phase(), Phase::Active, "the rollout has no end of it");
}

#[test]
fn an_abort_is_interrupted_and_idle_alone_is_unknown() {
    let begin = || {
        let mut play = codex();
        play.note("hi").wait(40).sign(Source::Record, prompt("hi", Some("t")));
        play.sign(Source::ProgramStatus, Sign::Working).wait(500).sign(Source::ProgramStatus, Sign::Idle);
        play
    };
    let mut play = begin();
    play.wait(50).sign(Source::Record, end(Outcome::Interrupted, None));
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Interrupted));
    let mut play = begin();
    play.wait(250);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Unknown));
}

#[test]
fn a_new_thread_at_the_first_prompt_ends_no_turn() {
    let mut play = codex();
    play.note("hi").wait(40).sign(Source::Record, Sign::SessionBegan { session: None, why: "startup".into() });
    play.sign(Source::Record, prompt("hi", Some("t")));
    play.sign(Source::Hook, Sign::SessionBegan { session: None, why: "startup".into() });
    assert_eq!((play.started(), play.ended().len()), (1, 0));
}

/// A turn as Gemini tells it: a hook that ends every turn and does not say how, and a chat with the exact answer.
fn gemini() -> Play {
    let mut play = Play::of(Some("gemini"));
    play.process(true).sign(Source::Title, Sign::Idle).screen(idle()).wait(1500);
    play.note("hi").wait(60).sign(Source::Hook, prompt("hi", None)).sign(Source::Record, prompt("hi", None));
    play.sign(Source::Title, Sign::Working).screen(working("a")).wait(800);
    let reply = Sign::Replied { turn: None, text: "ho ho".into(), exact: true };
    let glued = Some("ho  ho".to_owned());
    let ended = Sign::TurnEnded { turn: None, outcome: Outcome::Unknown, reply: glued, exact: false, error: None };
    play.sign(Source::Record, reply).sign(Source::Hook, ended).sign(Source::Title, Sign::Idle);
    play
}

#[test]
fn an_end_that_does_not_say_how_is_decided_by_the_screen() {
    let mut play = gemini();
    play.screen(idle());
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.ended()[0].reply.as_ref().unwrap().text, "ho ho");
    play.wait(1100);
    assert_eq!(play.reducer.state().last_turn.result(), "success");

    let mut play = gemini();
    play.screen(ScreenReading { interrupted: true, ..idle() });
    assert_eq!(play.reducer.state().last_turn.result(), "interrupted");

    let mut play = gemini();
    play.screen(idle()).wait(50).sign(Source::Record, end(Outcome::Interrupted, None)).wait(2000);
    assert_eq!(play.reducer.state().last_turn.result(), "interrupted");
}

#[test]
fn a_spinner_at_the_start_is_no_turn_and_leaves_no_trace() {
    let mut play = Play::of(Some("codex"));
    play.process(true).screen(idle()).sign(Source::ProgramStatus, Sign::Idle).wait(200);
    assert_eq!(play.phase(), Phase::Ready);
    play.sign(Source::Title, Sign::Working).wait(3000);
    assert_eq!(play.phase(), Phase::Active, "nothing is typed into it meanwhile");
    play.sign(Source::Title, Sign::Idle).wait(10);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.started(), 0);
}

#[test]
fn a_turn_that_only_the_title_showed_ends_on_a_screen_that_did_not_change() {
    let mut play = codex();
    play.note("hi").wait(40).sign(Source::Title, Sign::Working).wait(3000).sign(Source::Title, Sign::Idle).wait(1100);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!((play.started(), play.ended().len()), (1, 1));
}
