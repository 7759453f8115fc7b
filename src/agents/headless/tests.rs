use proptest::prelude::*;

use super::*;

/// What real tools wrote, recorded in `session-fixtures/headless`.
fn read(dialect: Dialect, name: &str) -> (Reader, Vec<Event>) {
    let file = format!("{}/session-fixtures/headless/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut reader = Reader::new(dialect);
    let events = text.lines().flat_map(|line| reader.line(line.as_bytes()).0).collect();
    (reader, events)
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

#[test]
fn claude_tells_its_conversation_its_answer_and_its_end() {
    let (reader, events) = read(Dialect::Claude, "claude-2.1.330/say");
    assert_eq!(kinds(&events), ["session", "assistant", "completion"]);
    let told = reader.told();
    assert_eq!((told.reply.as_deref(), told.ended), (Some("hello there"), Some(true)));
    assert!(told.usage.as_ref().is_some_and(|usage| usage["usage"]["output_tokens"].is_u64()));
    assert_eq!(reader.judge(Some(0)), Ok(()));
    let (resumed, _) = read(Dialect::Claude, "claude-2.1.330/resume");
    assert!(told.session_id.is_some() && resumed.told().session_id == told.session_id);
    let (_, events) = read(Dialect::Claude, "claude-2.1.330/tool");
    assert_eq!(kinds(&events), ["session", "assistant", "action_request", "action_result", "assistant", "completion"]);
    assert_eq!((events[2].data["tool"].as_str(), events[3].message.as_str()), (Some("Bash"), "hi"));
}

#[test]
fn claude_tells_why_it_failed_and_a_missing_conversation_is_none() {
    let (reader, _) = read(Dialect::Claude, "claude-2.1.330/error");
    let error = reader.judge(Some(1)).unwrap_err();
    assert!(error.contains("stub model says 400"), "{error}");
    let (reader, _) = read(Dialect::Claude, "claude-2.1.330/unknown");
    assert!(reader.judge(Some(1)).is_err());
    assert_eq!(reader.told().session_id, None, "an id that was asked for is no conversation");
}

#[test]
fn codex_tells_its_conversation_its_answer_and_its_end() {
    let (reader, events) = read(Dialect::Codex, "codex-0.169.0/say");
    assert_eq!(kinds(&events), ["session", "diagnostic", "progress", "assistant", "completion"]);
    let told = reader.told();
    assert_eq!((told.reply.as_deref(), told.ended, told.error.as_deref()), (Some("hello there"), Some(true), None));
    let (resumed, _) = read(Dialect::Codex, "codex-0.169.0/resume");
    assert!(told.session_id.is_some() && resumed.told().session_id == told.session_id);
    assert_eq!(read(Dialect::Codex, "codex-0.169.0/tool").0.told().reply.as_deref(), Some("tool done"));
    let (reader, _) = read(Dialect::Codex, "codex-0.169.0/error");
    assert!(reader.judge(Some(1)).unwrap_err().contains("stub model says 400"));
}

#[test]
fn gemini_tells_its_conversation_its_answer_and_its_end() {
    let (reader, events) = read(Dialect::Gemini, "gemini-0.61.0/say");
    assert_eq!(kinds(&events), ["session", "progress", "progress", "assistant", "completion"]);
    let told = reader.told();
    assert_eq!((told.reply.as_deref(), told.ended), (Some("hello there"), Some(true)));
    assert!(told.usage.as_ref().is_some_and(|usage| usage["output_tokens"].is_u64()));
    assert_eq!(reader.judge(Some(0)), Ok(()));
    let (resumed, _) = read(Dialect::Gemini, "gemini-0.61.0/resume");
    assert!(told.session_id.is_some() && resumed.told().session_id == told.session_id);
    let (reader, _) = read(Dialect::Gemini, "gemini-0.61.0/error");
    assert!(reader.judge(Some(144)).unwrap_err().contains("stub model says 400"));
    assert_eq!(reader.told().reply, None);
}

#[test]
fn a_message_of_gemini_is_told_whole_and_the_answer_is_the_last_one() {
    let (reader, events) = read(Dialect::Gemini, "gemini-0.61.0/tool");
    let told: Vec<_> = events.iter().filter(|event| event.kind != Kind::Progress).collect();
    let seen: Vec<_> = told.iter().map(|event| event.kind.name()).collect();
    assert_eq!(seen, ["session", "assistant", "action_request", "action_result", "assistant", "completion"]);
    assert_eq!((told[1].message.as_str(), told[4].message.as_str()), ("I will run a command.", "tool done"));
    assert_eq!((told[2].data["input"]["command"].as_str(), told[3].message.as_str()), (Some("echo hi"), "hi"));
    assert_eq!(told[2].data["id"], told[3].data["id"]);
    assert_eq!(reader.told().reply.as_deref(), Some("tool done"));
    let (reader, events) = read(Dialect::Gemini, "gemini-0.61.0/slow");
    let whole: Vec<_> = events.iter().filter(|event| event.kind == Kind::Assistant).collect();
    assert!(whole.len() == 1 && whole[0].message.starts_with("alpha bravo ") && whole[0].message.ends_with(" lima"));
    assert_eq!(reader.told().reply.as_deref(), Some(whole[0].message.as_str()));
    // Killed in the middle: what it said so far is the answer, and the turn has no good end.
    let text = std::fs::read_to_string(format!(
        "{}/session-fixtures/headless/gemini-0.61.0/slow.jsonl",
        env!("CARGO_MANIFEST_DIR")
    ));
    let mut reader = Reader::new(Dialect::Gemini);
    text.unwrap().lines().take(4).for_each(|line| drop(reader.line(line.as_bytes())));
    assert_eq!(reader.told().reply.as_deref(), Some("alpha bravo "));
    assert!(reader.judge(Some(0)).unwrap_err().contains("without a word"));
}

#[test]
fn what_a_dialect_does_not_know_is_passed_through() {
    let mut reader = Reader::new(Dialect::Claude);
    let (events, raw) = reader.line(br#"{"type":"hologram","x":1}"#);
    assert_eq!((kinds(&events), raw["x"].as_u64()), (vec!["passthrough"], Some(1)));
    let (events, raw) = reader.line(b"Segmentation fault");
    assert_eq!((events[0].kind, raw.as_str()), (Kind::Passthrough, Some("Segmentation fault")));
    assert!(reader.judge(Some(0)).unwrap_err().contains("without a word"), "it tells its end, and did not");
}

#[test]
fn a_generic_program_answers_with_what_it_writes() {
    let mut reader = Reader::new(Dialect::Generic);
    for line in ["one", "", "  two ", ""] {
        reader.line(line.as_bytes());
    }
    assert_eq!(reader.told().reply.as_deref(), Some("one\n\n  two "));
    assert_eq!(reader.judge(Some(0)), Ok(()));
    assert_eq!(reader.judge(Some(3)).unwrap_err(), "the program failed with exit status 3");
    assert!(reader.judge(None).is_err());
    let long = "é".repeat(LONGEST_REPLY);
    reader.line(long.as_bytes());
    assert!(reader.told().truncated && reader.told().reply.as_ref().is_some_and(|reply| reply.len() <= LONGEST_REPLY));
}

fn words_of(dialect: Dialect, base: &[&str], chat: &Chat, prompt: &str) -> Words {
    let base: Vec<String> = base.iter().map(|word| (*word).to_owned()).collect();
    words(dialect, &base, &Wish { chat, model: Some("m"), reasoning: Some(3), prompt, session: "s-1" })
}

#[test]
fn each_tool_is_started_in_its_own_words() {
    let exact = Chat::Exact("abc".to_owned());
    let line = |dialect, base: &[&str], chat: &Chat| words_of(dialect, base, chat, "secret").words.join(" ");
    assert_eq!(
        line(Dialect::Claude, &["claude"], &exact),
        "claude -p --output-format stream-json --verbose --resume abc --model m --effort high"
    );
    assert_eq!(
        line(Dialect::Claude, &["env", "A=1", "claude", "-p", "--verbose"], &Chat::Last),
        "env A=1 claude -p --verbose --output-format stream-json --continue --model m --effort high"
    );
    assert_eq!(
        line(Dialect::Codex, &["codex", "exec", "--json"], &exact),
        "codex exec --json -m m -c model_reasoning_effort=high resume abc -"
    );
    assert_eq!(
        line(Dialect::Codex, &["codex"], &Chat::Last),
        "codex exec --json -m m -c model_reasoning_effort=high resume --last -"
    );
    assert!(line(Dialect::Codex, &["codex"], &Chat::New).ends_with("=high -"));
}

#[test]
fn a_template_is_filled_once_and_no_prompt_is_a_template() {
    let built =
        words_of(Dialect::Generic, &["p", "--say={prompt}", "{session}", "{x}"], &Chat::New, "{session} {prompt}");
    assert_eq!(built.words, ["p", "--say={session} {prompt}", "s-1", "{x}"]);
    assert!(!built.reads_prompt);
    let reads = words_of(Dialect::Generic, &["p", "{session}"], &Chat::New, "hi");
    assert_eq!((reads.words, reads.reads_prompt), (vec!["p".to_owned(), "s-1".to_owned()], true));
}

proptest! {
    #[test]
    fn any_output_is_read(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
        for dialect in [Dialect::Claude, Dialect::Codex, Dialect::Gemini, Dialect::Generic] {
            let mut reader = Reader::new(dialect);
            for line in &lines {
                reader.line(line);
            }
            prop_assert!(reader.judge(Some(1)).is_err());
        }
    }

    #[test]
    fn any_object_is_read(kind in "(assistant|user|result|system|item.completed|turn.failed|message|init)", body in "[a-z{}\\[\\]:,\"0-9]{0,40}") {
        for dialect in [Dialect::Claude, Dialect::Codex, Dialect::Gemini] {
            let mut reader = Reader::new(dialect);
            let value = json!({ "type": kind, "message": body, "item": body, "error": [body], "subtype": {} });
            let (events, raw) = reader.line(value.to_string().as_bytes());
            prop_assert!(events.len() <= 1);
            prop_assert_eq!(raw, value);
        }
    }
}

#[test]
fn an_endless_answer_is_kept_up_to_its_limit_and_costs_nothing_behind_it() {
    let mut reader = Reader::new(Dialect::Generic);
    // Quadratic work on so many lines would not come to an end.
    for _ in 0..400_000 {
        reader.line(b"y");
    }
    assert!(reader.is_full() && reader.written.len() <= LONGEST_REPLY + 6, "{}", reader.written.len());
    let told = reader.told();
    assert!(told.truncated && told.reply.is_some_and(|reply| reply.len() <= LONGEST_REPLY));
    let mut reader = Reader::new(Dialect::Generic);
    reader.line("\n\none\n\n".as_bytes());
    reader.line(b"two");
    assert_eq!((reader.told().reply.as_deref(), reader.is_full()), (Some("one\n\n\ntwo"), false));
}
