use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    agents::{DialogKind, Profile},
    model::Outcome,
};

static CODEX: std::sync::LazyLock<Profile> = std::sync::LazyLock::new(|| Profile::find("codex", None).unwrap());

/// Signs in a few words each.
fn words(signs: &[Sign]) -> Vec<String> {
    let short = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned()).replace('\n', "|");
    let one = |sign: &Sign| match sign {
        Sign::SessionBegan { why, .. } => format!("began {why}"),
        Sign::PromptTaken { text, queued: false, .. } => format!("prompt {}", short(text)),
        Sign::PromptTaken { text, .. } => format!("queued {}", short(text)),
        Sign::Working => "working".to_owned(),
        Sign::Idle => "idle".to_owned(),
        Sign::Waiting { kind, .. } => format!("waiting {}", kind.name()),
        Sign::Replied { text, .. } => format!("replied {}", short(&Some(text.clone()))),
        Sign::TurnEnded { outcome, reply, error, .. } => {
            format!("{} {} {}", outcome.name(), short(reply), short(error))
        }
        Sign::Compacting => "compacting".to_owned(),
        Sign::Compacted => "compacted".to_owned(),
        Sign::SessionEnded { why } => format!("ended {why}"),
    };
    signs.iter().map(one).collect()
}

fn read(file: &str, mut line: impl FnMut(&str) -> Signs) -> Vec<String> {
    words(&file.lines().flat_map(&mut line).collect::<Vec<_>>())
}

fn read_hooks(tool: &str, file: &str) -> Vec<String> {
    read(file, |line| hooks(tool, &serde_json::from_str(line).unwrap()).unwrap())
}

macro_rules! record {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/session-fixtures/records/", $name))
    };
}

const LIMA: &str = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima";

#[test]
fn claudes_transcript_tells_every_turn() {
    let mut transcript = Transcript::default();
    assert_eq!(
        read(record!("claude/first.jsonl"), |line| transcript.read(line)),
        [
            "prompt slow 6000",
            "replied alpha bravo charlie delta echo ",
            "interrupted alpha bravo charlie delta echo  -",
            // Interrupted before its first word: nothing says so here.
            "prompt hang",
            "prompt tool mkdir -p made",
            "replied I will run a command.",
            "success tool done -",
            "prompt error 400",
            "failed - API Error: 400 stub model says 400",
        ]
    );
    assert_eq!(transcript.version.as_deref(), Some("2.1.330"));
    let success = format!("success {LIMA} -");
    assert_eq!(
        read(record!("claude/after-clear.jsonl"), |line| Transcript::default().read(line)),
        [
            "prompt say after clear",
            "success after clear -",
            "compacted",
            "prompt slow 4000",
            "queued say queued",
            &success,
            "prompt say queued",
            "success queued -",
            "prompt slow 4000",
        ]
    );
}

#[test]
fn the_turns_of_a_transcript_have_the_ids_of_the_hooks() {
    let (mut transcript, mut ids) = (Transcript::default(), Vec::new());
    for line in record!("claude/first.jsonl").lines() {
        for sign in transcript.read(line) {
            if let Sign::PromptTaken { turn, .. } | Sign::TurnEnded { turn, .. } = sign {
                ids.push(turn.unwrap());
            }
        }
    }
    let hooked: Vec<Value> =
        record!("claude/hooks.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(ids.iter().all(|id| hooked.iter().any(|event| event["prompt_id"] == **id)), "{ids:?}");
}

#[test]
fn claudes_status_file_tells_levels() {
    let all: Vec<ClaudeStatus> =
        record!("claude/status.jsonl").lines().map(|line| ClaudeStatus::read(line).unwrap()).collect();
    let said: Vec<Sign> = all.iter().filter_map(|status| status.sign.clone()).collect();
    let waits = said.iter().position(|sign| matches!(sign, Sign::Waiting { .. })).unwrap();
    assert_eq!(words(&said[waits - 1..waits + 3]), ["working", "waiting permission", "working", "idle"]);
    assert_eq!(all[0].sign, None, "it has not said anything yet");
    assert_ne!(all[0].session, all.last().unwrap().session, "a cleared conversation is another one");
    assert_eq!((all[0].pid, all[0].version.as_deref()), (32_428, Some("2.1.330")));
    assert_eq!(ClaudeStatus::read(r#"{"pid":1,"sessionId":"#), None);
}

#[test]
fn claudes_hooks_tell_edges_but_no_interrupt() {
    let said = read_hooks("claude", record!("claude/hooks.jsonl"));
    let lima = format!("success {LIMA} -");
    assert_eq!(
        said,
        [
            "began startup",
            "prompt slow 6000",
            "prompt hang",
            "prompt tool mkdir -p made",
            "waiting permission",
            "working",
            "success tool done -",
            "prompt error 400",
            "failed - API Error: 400 stub model says 400",
            "ended clear",
            "began clear",
            "prompt say after clear",
            "success after clear -",
            "compacting",
            "began compact",
            "compacted",
            "prompt slow 4000",
            "prompt say queued",
            &lima,
            "success queued -",
            "prompt slow 4000",
        ]
    );
}

#[test]
fn codex_rollouts_tell_every_turn() {
    let mut rollout = Rollout::default();
    assert_eq!(
        read(record!("codex/first.jsonl"), |line| rollout.read(line)),
        [
            "began startup",
            "prompt -",
            "prompt say first *reply*|second line",
            "success first *reply*|second line -",
            "prompt -",
            "prompt slow 6000",
            "interrupted - -",
            "prompt -",
            "prompt hang",
            "interrupted - -",
            "prompt -",
            "prompt tool mkdir -p made",
            "success tool done -",
            "prompt -",
            "prompt error 400",
            "failed - stub model says 400",
        ]
    );
    assert_eq!(rollout.version.as_deref(), Some("0.169.0"));
    assert_eq!(rollout.folder.as_deref(), Some("/home/person/code"));
    let mut rollout = Rollout::default();
    assert_eq!(
        read(record!("codex/after-clear.jsonl"), |line| rollout.read(line)),
        [
            "began startup",
            "prompt -",
            "prompt say after clear",
            "success after clear -",
            "compacting",
            "compacted",
            "prompt -",
            // Enter while it works steers: both are one turn.
            "prompt slow 4000",
            "prompt say queued",
            "success queued -",
            "prompt -",
            "prompt slow 4000",
        ]
    );
}

#[test]
fn codex_tells_of_its_hidden_conversations_and_they_are_passed_over() {
    let said = read_hooks("codex", record!("codex/notify.jsonl"));
    assert_eq!(
        said,
        ["success first *reply*|second line -", "success tool done -", "success after clear -", "success queued -"]
    );
}

#[test]
fn a_history_that_gemini_writes_again_is_no_news() {
    let mut chat = Chat::default();
    let line = |at: &str, kind: &str, text: &str| {
        format!(r#"{{"id":"i","timestamp":"2026-11-21T21:40:{at}Z","type":"{kind}","content":[{{"text":"{text}"}}]}}"#)
    };
    let said: Vec<String> = [
        line("41.000", "user", "<session_context> today"),
        line("48.000", "user", "say one"),
        line("48.100", "gemini", "one"),
        line("50.000", "user", "tool x"),
        line("53.352", "info", "Request cancelled."),
        line("53.352", "user", "<session_context> say one"),
        line("53.352", "gemini", "one"),
        line("53.353", "user", "tool x"),
        line("55.000", "user", "say one"),
    ]
    .iter()
    .flat_map(|line| read(line, |line| chat.read(line)))
    .collect();
    assert_eq!(said, ["prompt say one", "replied one", "prompt tool x", "prompt say one"]);
}

#[test]
fn gemini_tells_prompts_answers_and_failures() {
    let mut chat = Chat::default();
    let said = read(record!("gemini/chat.jsonl"), |line| chat.read(line));
    assert_eq!(
        said,
        [
            "began startup",
            "prompt say hi",
            "replied hi",
            "prompt slow 5000",
            "interrupted - -",
            "prompt tool mkdir -p made",
            "replied I will run a command.",
            "replied tool done",
            "prompt error 400",
            "failed - stub model says 400",
        ]
    );
    let hooked = read_hooks("gemini", record!("gemini/hooks.jsonl"));
    assert_eq!(hooked, ["began startup", "prompt say hi", "unknown hi  -", "ended exit"]);
}

#[test]
fn a_history_that_is_written_again_tells_nothing_again() {
    let mut chat = Chat::default();
    let file = record!("gemini/chat.jsonl");
    let first = read(file, |line| chat.read(line)).len();
    // New ids, the same moments and texts.
    let again = file.replace("\"id\":\"", "\"id\":\"new-");
    let told = read(&again, |line| chat.read(line));
    assert!(first > 5 && told.iter().all(|word| !word.starts_with("prompt")), "{told:?}");
}

#[test]
fn what_is_not_understood_says_nothing() {
    for tool in ["claude", "codex", "gemini"] {
        assert_eq!(hooks(tool, &serde_json::json!({"hook_event_name": "SomethingNew", "x": 1})), Some(Vec::new()));
        assert_eq!(hooks(tool, &serde_json::json!(["no event"])), None);
    }
    assert_eq!(hooks("bash", &serde_json::json!({"hook_event_name": "Stop"})), None);
}

fn status(pieces: &[&[u8]]) -> Vec<Heard> {
    let mut parser = ProgramStatus::default();
    pieces.iter().flat_map(|piece| parser.feed(piece)).collect()
}

#[test]
fn statuses_and_titles_are_heard_in_what_is_printed() {
    let waits = |kind| Heard::Status(Sign::Waiting { kind, message: None });
    let failed = |error: &str| {
        let error = Some(error.to_owned());
        Heard::Status(Sign::TurnEnded { turn: None, outcome: Outcome::Failed, reply: None, exact: false, error })
    };
    // The first three as Codex 0.169 prints them.
    for (printed, expected) in [
        ("\x1b]7501;state=working:app=codex\x1b\\", vec![Heard::Status(Sign::Working)]),
        ("a\x1b]7501;state=idle:app=codex\x1b\\b", vec![Heard::Status(Sign::Idle)]),
        ("\x1b]7501;state=blocked:app=codex:kind=permission\x1b\\", vec![waits(DialogKind::Permission)]),
        ("\x1b]7501;state=blocked:kind=question\x07", vec![waits(DialogKind::Question)]),
        ("\x1b]7501;state=error:msg=bm8gbmV0d29yaw==\x07", vec![failed("no network")]),
        ("\x1b]7501;?\x1b\\\x1b[c", vec![]),
        ("\x1b]7501;state=new\x07", vec![]),
        ("\x1b]0;⠋ work\x07\x1b]2;\x1b\\", vec![Heard::Title("⠋ work".to_owned()), Heard::Title(String::new())]),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", vec![]),
        // Given up, by CAN and by another sequence.
        ("\x1b]7501;state=idle\x18\x07\x1b]7501;state=id\x1b[0m\x07", vec![]),
        ("\x1b]7501;state=\x1b]7501;state=idle\x07", vec![Heard::Status(Sign::Idle)]),
        // Wrapped for a multiplexer.
        ("\x1bPtmux;\x1b\x1b]7501;state=working\x1b\x1b\\\x1b\\", vec![Heard::Status(Sign::Working)]),
    ] {
        assert_eq!(status(&[printed.as_bytes()]), expected, "{printed:?}");
    }
}

#[test]
fn a_sequence_without_end_is_passed_over_and_takes_no_memory() {
    let mut parser = ProgramStatus::default();
    assert!(parser.feed(b"\x1b]7501;state=idle").is_empty());
    for _ in 0..100 {
        assert!(parser.feed(&[b'x'; 10_000]).is_empty());
    }
    assert!(parser.held() <= 8_192, "{}", parser.held());
    assert_eq!(parser.feed(b"\x07\x1b]7501;state=working\x07"), [Heard::Status(Sign::Working)]);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        parts in prop::collection::vec(prop_oneof![
            Just(b"\x1b]7501;state=working\x1b\\".to_vec()),
            Just(b"\x1b]0;title\x07".to_vec()),
            Just(b"\x1b".to_vec()),
            Just(b"\x1b]".to_vec()),
            prop::collection::vec(any::<u8>(), 0..12),
        ], 0..12),
        cuts in prop::collection::vec(0_usize..200, 0..8),
    ) {
        let whole: Vec<u8> = parts.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        prop_assert_eq!(status(&pieces), status(&[&whole]));
    }

    #[test]
    fn a_status_is_heard_after_anything_that_ends(before in "[^\x1b]{0,40}", inside in "[ -~]{0,60}") {
        let printed = format!("{before}\x1b]52;{inside}\x07\x1b]7501;state=idle\x07");
        prop_assert_eq!(status(&[printed.as_bytes()]), vec![Heard::Status(Sign::Idle)]);
    }

    #[test]
    fn no_line_breaks_a_reader(line in "\\PC{0,200}") {
        Transcript::default().read(&line);
        Rollout::default().read(&line);
        Chat::default().read(&line);
        CODEX.title.read(&line);
    }
}

/// A line that is cut anywhere, as one that is still being written, is read as nothing.
#[test]
fn half_lines_say_nothing() {
    for (file, tool) in
        [(record!("claude/first.jsonl"), 0), (record!("codex/first.jsonl"), 1), (record!("gemini/chat.jsonl"), 2)]
    {
        for line in file.lines().take(30) {
            for cut in [line.len() / 3, line.len() / 2, line.len() - 1] {
                let Some(half) = line.get(..cut) else { continue };
                let signs = match tool {
                    0 => Transcript::default().read(half),
                    1 => Rollout::default().read(half),
                    _ => Chat::default().read(half),
                };
                assert!(signs.is_empty(), "{half}");
            }
        }
    }
}
