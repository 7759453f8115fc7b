//! As Claude Code gives it: hooks, a status file, a late transcript, a title.

use super::*;

fn claude() -> Play {
    let mut play = Play::of(Some("claude"));
    play.process(true).sign(Source::Hook, Sign::SessionBegan { session: Some("s".into()), why: "startup".into() });
    play.sign(Source::Record, Sign::Idle).sign(Source::Title, Sign::Idle).screen(idle()).wait(1500);
    assert_eq!(play.phase(), Phase::Ready);
    play
}

/// A turn that runs since 80 ms, told by the hook and the status file.
fn running(text: &str) -> Play {
    let mut play = claude();
    play.note(text).wait(80).sign(Source::Hook, prompt(text, Some("p1"))).sign(Source::Record, Sign::Working);
    play.screen(working("a"));
    play
}

fn end_of(turn: &str, reply: &str) -> Sign {
    let (turn, reply) = (Some(turn.to_owned()), Some(reply.to_owned()));
    Sign::TurnEnded { turn, outcome: Outcome::Success, reply, exact: true, error: None }
}

#[test]
fn a_turn_with_hooks_and_a_late_transcript_is_one_turn() {
    let mut play = claude();
    play.screen(draft("hi")).note("hi").wait(50);
    assert_eq!(play.phase(), Phase::Active, "nobody is ready right after Enter");
    play.wait(30).sign(Source::Hook, prompt("hi", Some("p1"))).wait(20).sign(Source::Record, Sign::Working);
    play.screen(working("a")).sign(Source::Title, Sign::Working).wait(100).sign(Source::Record, prompt("hi", None));
    play.wait(2000).sign(Source::Hook, end(Outcome::Success, Some("hello")));
    assert_eq!(play.phase(), Phase::Active, "the status file still says busy");
    play.wait(20).sign(Source::Record, Sign::Idle).sign(Source::Title, Sign::Idle).screen(idle());
    assert_eq!(play.phase(), Phase::Ready);
    play.wait(150).sign(Source::Record, end(Outcome::Success, Some("hello"))).wait(5000);
    assert_eq!((play.started(), play.ended().len()), (1, 1));
    let turn = play.ended()[0];
    assert_eq!(turn.request_id, "gwreq-1".parse().ok());
    assert_eq!(turn.prompt.as_deref(), Some("hi"));
    assert_eq!(turn.outcome, Some(Outcome::Success));
    assert_eq!(turn.reply.as_ref().map(|reply| (reply.text.as_str(), reply.source)), Some(("hello", Source::Hook)));
    let last = &play.reducer.state().last_turn;
    assert_eq!((last.result(), last.source.name()), ("success", "explicit_input"));
}

#[test]
fn an_interrupt_that_no_hook_tells_is_ended_by_the_status_file() {
    let mut play = running("hi");
    play.wait(3000).take(Source::Input, Seen::InterruptPressed).wait(60).sign(Source::Record, Sign::Idle);
    assert_eq!(play.ended().len(), 1);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Interrupted));
    play.screen(idle());
    assert_eq!(play.phase(), Phase::Ready);
}

#[test]
fn esc_by_a_person_is_ended_by_the_level_and_told_by_the_late_transcript() {
    let mut play = running("hi");
    play.wait(3000).sign(Source::Record, Sign::Idle).screen(idle()).wait(250);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Unknown));
    play.sign(Source::Record, prompt("hi", None)).sign(Source::Record, end(Outcome::Interrupted, None));
    assert_eq!(play.amended().last().unwrap().outcome, Some(Outcome::Interrupted));
    assert_eq!(play.reducer.state().last_turn.result(), "interrupted");
    assert_eq!(play.started(), 1);
}

#[test]
fn a_mark_that_is_drawn_after_the_level_says_how_it_ended() {
    let mut play = running("hi");
    play.wait(3000).sign(Source::Record, Sign::Idle).wait(250).screen(ScreenReading { interrupted: true, ..idle() });
    assert_eq!(play.reducer.state().last_turn.result(), "interrupted");
    assert_eq!(play.phase(), Phase::Ready);
}

#[test]
fn a_prompt_that_comes_back_into_the_composer_was_interrupted() {
    let mut play = running("hi");
    play.wait(300).screen(draft("hi")).sign(Source::Record, Sign::Idle).wait(250);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Interrupted));
    assert_eq!(play.reducer.state().surface.editing_input, Tri::Yes);
}

#[test]
fn hooks_alone_are_contradicted_by_a_title_that_worked_and_rests() {
    let mut play = claude();
    play.take(Source::Record, Seen::Channel { up: false, why: "no file".into() });
    play.note("hi").wait(80).sign(Source::Hook, prompt("hi", None)).sign(Source::Title, Sign::Working);
    play.screen(working("a")).wait(3000).sign(Source::Title, Sign::Idle).screen(idle()).wait(900);
    assert_eq!(play.phase(), Phase::Active);
    play.wait(200);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Unknown));
}

#[test]
fn an_approval_blocks_at_once_and_goes_with_the_answer() {
    let mut play = running("hi");
    play.wait(500).sign(Source::Hook, Sign::Waiting { kind: DialogKind::Permission, message: Some("rm x".into()) });
    assert_eq!(play.phase(), Phase::Blocked);
    play.sign(Source::Record, Sign::Waiting { kind: DialogKind::Permission, message: None })
        .screen(dialog())
        .wait(4000);
    play.sign(Source::Title, Sign::Idle).wait(30_000);
    assert_eq!(play.phase(), Phase::Blocked, "the title looks idle");
    play.screen(working("b")).sign(Source::Record, Sign::Working);
    assert_eq!(play.phase(), Phase::Active);
    assert_eq!(play.ended().len(), 0);
}

#[test]
fn a_prompt_queued_during_text_becomes_the_second_turn() {
    let mut play = running("one");
    play.wait(500).note("two").wait(80).sign(Source::Hook, prompt("two", Some("p1")));
    play.sign(Source::Record, Sign::PromptTaken { text: Some("two".into()), turn: None, queued: true }).wait(500);
    assert_eq!(play.started(), 1, "enqueued with the old id");
    play.sign(Source::Hook, end_of("p1", "1")).wait(350);
    assert_eq!(play.started(), 2, "it still works, and a prompt waits");
    play.sign(Source::Record, prompt("two", Some("p2"))).sign(Source::Hook, end_of("p2", "2"));
    let replies: Vec<_> = play.ended().iter().map(|turn| turn.reply.clone().unwrap().text).collect();
    assert_eq!(replies, ["1", "2"]);
    assert_eq!(play.ended()[1].prompt.as_deref(), Some("two"));
    assert_eq!(play.started(), 2);
}

#[test]
fn a_prompt_queued_during_a_tool_is_part_of_the_turn() {
    let mut play = running("one");
    play.wait(500).note("two").wait(80).sign(Source::Hook, prompt("two", Some("p1"))).wait(500);
    play.sign(Source::Hook, end(Outcome::Success, Some("both"))).wait(30).sign(Source::Record, Sign::Idle);
    play.sign(Source::Title, Sign::Idle).screen(idle()).wait(5000);
    assert_eq!((play.started(), play.ended().len()), (1, 1));
    assert_eq!(play.phase(), Phase::Ready);
}

#[test]
fn clear_and_compact_are_no_turns() {
    let mut play = claude();
    play.note("/clear")
        .wait(50)
        .sign(Source::Hook, Sign::SessionBegan { session: None, why: "clear".into() })
        .wait(100);
    assert_eq!(play.phase(), Phase::Ready);
    play.note("/compact").wait(50).sign(Source::Hook, Sign::Compacting).sign(Source::Record, Sign::Working).wait(9000);
    assert_eq!(play.phase(), Phase::Active);
    play.sign(Source::Hook, Sign::Compacted).sign(Source::Record, Sign::Idle).wait(100);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.started(), 0);
}

#[test]
fn an_api_error_is_a_failure_with_its_words() {
    let mut play = running("hi");
    let error = Some("API Error: 400".to_owned());
    play.sign(Source::Hook, Sign::TurnEnded { turn: None, outcome: Outcome::Failed, reply: None, exact: false, error });
    assert_eq!(play.reducer.state().last_turn.result(), "known_failure");
    assert_eq!(play.reducer.state().last_turn.error_class.as_deref(), Some("API Error: 400"));
}

#[test]
fn a_late_end_is_about_the_turn_before_when_the_next_one_runs() {
    let mut play = claude();
    play.note("one").wait(80).sign(Source::Hook, prompt("one", None)).sign(Source::Record, prompt("one", None));
    play.wait(500).sign(Source::Hook, end(Outcome::Success, None)).note("two").wait(40);
    play.sign(Source::Record, end(Outcome::Success, Some("1")));
    assert_eq!(play.amended()[0].reply.as_ref().unwrap().text, "1");
    play.sign(Source::Hook, prompt("two", None)).sign(Source::Record, prompt("two", None));
    assert_eq!((play.started(), play.ended().len()), (2, 1));
    assert_eq!(play.reducer.state().turn.as_ref().unwrap().prompt.as_deref(), Some("two"));
}

#[test]
fn a_noted_prompt_that_nobody_took_is_given_up() {
    let mut play = claude();
    play.note("hi").wait(4900);
    assert_eq!(play.phase(), Phase::Active);
    play.wait(200);
    assert_eq!(play.phase(), Phase::Ready);
    assert_eq!(play.started(), 0);
}

#[test]
fn what_met_a_draft_is_told_as_the_tool_took_it() {
    let mut play = claude();
    play.note("hi").wait(80).sign(Source::Record, Sign::Working);
    play.sign(Source::Hook, prompt("draft hi", Some("p1")));
    let turn = play.reducer.state().turn.clone().unwrap();
    assert_eq!((turn.prompt.as_deref(), play.started()), (Some("draft hi"), 1));
    assert!(play.reducer.turns.heard(Duration::ZERO, "hi").is_none());
    assert!(play.reducer.turns.heard(Duration::ZERO, "draft hi\r\n").is_some());
}

#[test]
fn a_queued_prompt_that_a_hook_ends_before_the_transcript_tells_its_start_is_one_turn() {
    let queued = Sign::PromptTaken { text: Some("two".into()), turn: None, queued: true };
    let mut play = Play::of(Some("claude"));
    play.screen(idle()).wait(2000).sign(Source::Hook, prompt("one", None)).wait(50);
    play.sign(Source::Record, prompt("one", Some("a"))).screen(working("a")).wait(500);
    play.sign(Source::Record, queued).wait(2000);
    let end = |turn: Option<&str>, reply: &str| Sign::TurnEnded {
        turn: turn.map(str::to_owned),
        outcome: Outcome::Success,
        reply: Some(reply.to_owned()),
        exact: true,
        error: None,
    };
    play.sign(Source::Hook, end(None, "1")).sign(Source::Record, end(Some("a"), "1")).wait(50);
    play.sign(Source::Hook, end(None, "2")).wait(60);
    play.sign(Source::Record, prompt("two", Some("b"))).sign(Source::Record, end(Some("b"), "2")).wait(2000);
    assert_eq!((play.started(), play.ended().len()), (2, 2), "{:#?}", play.edges);
}
