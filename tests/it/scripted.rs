//! The scripted agent does what its words say, with tmux alone: what the tests of delivery stand on.

use std::io::Write;

use crate::support::{Log, Seeded, World, eventually, fnv1a};

const PICTURES: &str = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f44d}\u{1f3fd} שלום עולם 你好 e\u{301}";

/// Puts text into the pane as a bracketed paste.
fn paste(world: &World, pane: &str, text: &[u8]) {
    let file = world.path().join("paste");
    std::fs::File::create(&file).unwrap().write_all(text).unwrap();
    world.tmux(&["load-buffer", "-b", "p", file.to_str().unwrap()]);
    world.tmux(&["paste-buffer", "-p", "-r", "-d", "-b", "p", "-t", pane]);
}

/// So many lines with every kind of sign.
fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number} {PICTURES}")).collect::<Vec<_>>().join("\n")
}

fn press(world: &World, pane: &str, keys: &[&str]) {
    world.tmux(&[&["send-keys", "-t", pane], keys].concat());
}

/// A pane with a composer that is ready.
fn composer(world: &World, steps: &[&str]) -> (String, Log) {
    let (pane, log) = world.scripted_pane("alpha", &[steps, &["tui"]].concat());
    log.wait_for_note("ready", 1);
    (pane, log)
}

#[test]
fn every_text_arrives_byte_for_byte() {
    let world = World::new();
    let (pane, log) = composer(&world, &[]);
    let mut chance = Seeded::new(7);
    let letters: String = (0..50_000).map(|_| char::from(u8::try_from(chance.within(33..127)).unwrap())).collect();
    let lines = lines(500);
    let texts = [
        "plain",
        &letters,
        &lines,
        PICTURES,
        "/help",
        "!ls",
        "#note",
        "@file",
        "-x",
        "ends in ;",
        "ends in \\",
        "  tab\tand spaces  ",
        "\n\nbegins with empty lines",
        "\u{1b}[31mred\u{7}",
    ];
    for (number, text) in texts.iter().enumerate() {
        paste(&world, &pane, text.as_bytes());
        log.wait_for_note("paste", number + 1);
        press(&world, &pane, &["Enter"]);
        let last = log.wait_for(number + 1).pop().unwrap();
        assert_eq!(last.text, *text);
        assert_eq!((last.hash, last.bytes), (fnv1a(text.as_bytes()), text.len() as u64));
        assert!(!last.mid_turn);
        world.shows(&pane, &format!("reply {}: {} {}", number + 1, fnv1a(text.as_bytes()), text.len()));
    }
    assert_eq!(log.event_names(), Vec::<String>::new());
}

#[test]
fn a_megabyte_arrives_in_a_raw_reader() {
    let world = World::new();
    let (pane, log) = world.scripted_pane("alpha", &["bracketed", "raw-log"]);
    log.wait_for_note("ready", 1);
    let mut chance = Seeded::new(8);
    let text: Vec<u8> = (0..1 << 20).map(|_| u8::try_from(chance.within(32..127)).unwrap()).collect();
    paste(&world, &pane, &text);
    let expected = [b"\x1b[200~", &text[..], b"\x1b[201~"].concat();
    let got = eventually("the whole megabyte", || match log.raw_bytes() {
        got if got.len() >= expected.len() => Ok(got),
        got => Err(got.len().to_string()),
    });
    assert_eq!((got.len(), fnv1a(&got)), (expected.len(), fnv1a(&expected)));
    assert_eq!(world.screen(&pane), "");
}

#[test]
fn a_line_break_in_a_paste_does_not_submit() {
    let world = World::new();
    let (pane, log) = composer(&world, &[]);
    paste(&world, &pane, b"one\rtwo\nthree\r\n");
    log.wait_for_note("paste", 1);
    world.shows(&pane, "❯ one\n  two\n  three");
    assert_eq!(log.texts(), Vec::<String>::new());
    press(&world, &pane, &["Enter"]);
    assert_eq!(log.wait_for(1)[0].text, "one\rtwo\nthree\r\n");
    press(&world, &pane, &["Enter"]);
    log.wait_for_event("enter_on_empty");
}

#[test]
fn the_draft_shows_at_the_cursor_and_can_be_edited() {
    let world = World::new();
    let (pane, log) = composer(&world, &["draft=half a thought", "footer=? for shortcuts"]);
    let screen = world.shows(&pane, "❯ half a thought");
    assert!(screen.ends_with("? for shortcuts"), "{screen}");
    let cursor = || world.tmux(&["display-message", "-p", "-t", &pane, "#{cursor_x},#{cursor_y},#{cursor_flag}"]);
    assert_eq!(cursor(), "16,0,1");
    press(&world, &pane, &["BSpace", "BSpace"]);
    press(&world, &pane, &["-l", "né"]);
    world.shows(&pane, "❯ half a thougné");
    press(&world, &pane, &["BSpace"]);
    world.shows(&pane, "❯ half a thougn\n");
    press(&world, &pane, &["C-c"]);
    assert_eq!(log.wait_for_event("draft_cleared")["text"], "half a thougn");
    world.shows(&pane, "❯\n");
    press(&world, &pane, &["Up"]);
    assert_eq!(log.wait_for_event("key")["hex"], "1b5b41");
    press(&world, &pane, &["C-c"]);
    eventually("the key", || {
        let last = log.events().pop().unwrap();
        if last["byte"] == 3 { Ok(()) } else { Err(last.to_string()) }
    });
}

#[test]
fn long_drafts_wrap_and_long_pastes_have_a_placeholder() {
    let world = World::new();
    let (pane, log) = composer(&world, &["placeholder"]);
    paste(&world, &pane, "x".repeat(150).as_bytes());
    world.shows(&pane, &format!("❯ {}\n  {}", "x".repeat(97), "x".repeat(53)));
    press(&world, &pane, &["C-c"]);
    let eleven = "line\n".repeat(11);
    paste(&world, &pane, eleven.as_bytes());
    world.shows(&pane, "❯ [Pasted text #1 +11 lines]");
    paste(&world, &pane, "y".repeat(801).as_bytes());
    world.shows(&pane, "❯ [Pasted text #1 +11 lines][Pasted text #2]");
    press(&world, &pane, &["BSpace", "Enter"]);
    assert_eq!(log.wait_for(1)[0].text, eleven);
    // More than fits the window shows its end.
    let (pane, _) = world.scripted_pane("beta", &["tui"]);
    paste(&world, &pane, lines(500).as_bytes());
    world.shows(&pane, "  line 499 ");
}

#[test]
fn a_turn_takes_its_time_and_can_be_interrupted() {
    let world = World::new();
    let (pane, log) = composer(&world, &["work=600000"]);
    press(&world, &pane, &["-l", "first"]);
    press(&world, &pane, &["Enter"]);
    let screen = world.shows(&pane, "> first");
    world.shows(&pane, "Working…");
    assert!(!screen.contains('❯'), "{screen}");
    press(&world, &pane, &["-l", "second"]);
    world.shows(&pane, "❯ second");
    press(&world, &pane, &["Enter"]);
    let prompts = log.wait_for(2);
    assert_eq!((prompts[0].mid_turn, prompts[1].mid_turn), (false, true));
    press(&world, &pane, &["Escape"]);
    assert_eq!(log.wait_for_event("interrupt")["prompt"], 1);
    world.shows(&pane, "interrupted\n> second\n");
    press(&world, &pane, &["C-c"]);
    world.shows(&pane, "interrupted\n> second\ninterrupted\n❯");
    press(&world, &pane, &["Escape"]);
    log.wait_for_event("escape");
    assert_eq!(log.event_names(), ["interrupt", "interrupt", "escape"]);
}

#[test]
fn a_busy_agent_becomes_ready_and_slow_paint_is_late() {
    let world = World::new();
    let (pane, log) = world.scripted_pane("alpha", &["busy=600000", "tui"]);
    let screen = world.shows(&pane, "Working…");
    assert_eq!((screen.contains('❯'), log.noted("ready")), (false, 0));
    let (pane, log) = world.scripted_pane("beta", &["busy=100", "tui"]);
    log.wait_for_note("ready", 1);
    world.shows(&pane, "❯");

    let (pane, log) = world.scripted_pane("gamma", &["slow-paint=600000", "tui"]);
    log.wait_for_note("ready", 1);
    press(&world, &pane, &["-l", "late"]);
    press(&world, &pane, &["Enter"]);
    log.wait_for(1);
    assert_eq!(world.screen(&pane), "", "it is in the agent before anything is on the screen");
    let (pane, _) = world.scripted_pane("delta", &["slow-paint=100", "tui"]);
    press(&world, &pane, &["-l", "late"]);
    press(&world, &pane, &["Enter"]);
    world.shows(&pane, "> late\nreply 1:");
}

#[test]
fn enters_can_be_dead_or_come_too_soon() {
    let world = World::new();
    let (pane, log) = composer(&world, &["dead-enter=2"]);
    press(&world, &pane, &["-l", "hold on"]);
    press(&world, &pane, &["Enter", "Enter"]);
    eventually("two dead ones", || {
        let names = log.event_names();
        if names == ["dead_enter", "dead_enter"] { Ok(()) } else { Err(format!("{names:?}")) }
    });
    world.shows(&pane, "❯ hold on");
    assert_eq!(log.texts(), Vec::<String>::new());
    press(&world, &pane, &["Enter"]);
    assert_eq!(log.wait_for(1)[0].text, "hold on");

    let world = World::new();
    let (pane, log) = composer(&world, &["enter-gap=60000"]);
    press(&world, &pane, &["-l", "too soon"]);
    press(&world, &pane, &["Enter"]);
    log.wait_for_event("enter_too_soon");
    assert_eq!(log.texts(), Vec::<String>::new());
}

#[test]
fn nothing_is_drawn_with_no_echo_and_nothing_taken_with_swallow() {
    let world = World::new();
    let (pane, log) = composer(&world, &["no-echo"]);
    world.shows(&pane, "❯");
    press(&world, &pane, &["-l", "unseen"]);
    press(&world, &pane, &["Enter"]);
    assert_eq!(log.wait_for(1)[0].text, "unseen");
    log.wait_for_note("turn_ended", 1);
    assert_eq!(world.screen(&pane), "❯");

    let world = World::new();
    let (pane, log) = composer(&world, &["swallow"]);
    world.shows(&pane, "❯");
    press(&world, &pane, &["-l", "gone"]);
    press(&world, &pane, &["Enter"]);
    log.wait_for_event("swallowed");
    assert_eq!((world.screen(&pane).as_str(), log.texts().len()), ("❯", 0));
}

#[test]
fn a_dialog_stays_until_it_is_answered() {
    let world = World::new();
    let (pane, log) = composer(&world, &["dialog-after=1"]);
    press(&world, &pane, &["-l", "one"]);
    press(&world, &pane, &["Enter"]);
    world.shows(&pane, "Do you want to proceed?\n❯ 1. Yes\n  2. No");
    assert_eq!(world.tmux(&["display-message", "-p", "-t", &pane, "#{cursor_flag}"]), "0");
    press(&world, &pane, &["Enter", "x"]);
    eventually("its keys", || {
        let keys: Vec<u64> = log.events().iter().filter_map(|event| event["byte"].as_u64()).collect();
        if keys == [13, 120] { Ok(()) } else { Err(format!("{keys:?}")) }
    });
    assert_eq!(log.event_names(), ["dialog_key", "dialog_key"]);
    world.shows(&pane, "❯ 1. Yes");
    press(&world, &pane, &["y"]);
    log.wait_for_note("dialog_left", 1);
    press(&world, &pane, &["-l", "two"]);
    press(&world, &pane, &["Enter"]);
    assert_eq!(log.wait_for(2)[1].text, "two");
    let screen = world.shows(&pane, "reply 2:");
    assert!(!screen.contains("1. Yes"), "{screen}");
}

#[test]
fn it_leaves_to_its_shell_and_can_die_in_a_paste() {
    let world = World::new();
    let (words, log) = world.script("alpha", &["exit-after=1", "tui", "print=bye"]);
    let line = format!("{}; exec bash --norc", words.join(" "));
    let pane = world.tmux(&["new-session", "-d", "-P", "-F", "#{pane_id}", "-x", "100", "-y", "30", &line]);
    log.wait_for_note("ready", 1);
    press(&world, &pane, &["-l", "one"]);
    press(&world, &pane, &["Enter"]);
    log.wait_for_note("left", 1);
    world.shows(&pane, "bye\nbash");
    press(&world, &pane, &["-l", "echo a$((1+1))b"]);
    press(&world, &pane, &["Enter"]);
    world.shows(&pane, "\na2b");

    let (words, log) = world.script("beta", &["crash-on-paste", "tui"]);
    let line = format!("{}; echo status $?; sleep 1000", words.join(" "));
    let pane = world.tmux(&["new-session", "-d", "-P", "-F", "#{pane_id}", &line]);
    log.wait_for_note("ready", 1);
    paste(&world, &pane, &b"z".repeat(20_000));
    world.shows(&pane, "status 3");
    assert_eq!((log.event_names(), log.texts().len()), (vec!["crash".to_owned()], 0));
}

#[test]
fn it_draws_anew_in_a_window_of_another_size() {
    let world = World::new();
    let (pane, log) = composer(&world, &[]);
    for text in ["one", "two"] {
        press(&world, &pane, &["-l", text]);
        press(&world, &pane, &["Enter"]);
    }
    log.wait_for_note("turn_ended", 2);
    paste(&world, &pane, "w".repeat(90).as_bytes());
    world.shows(&pane, &format!("❯ {}", "w".repeat(90)));
    world.tmux(&["resize-window", "-t", &pane, "-x", "40", "-y", "12"]);
    let row = "w".repeat(37);
    let screen = world.shows(&pane, &format!("❯ {row}\n  {row}\n  {}", "w".repeat(16)));
    assert_eq!(screen.matches('❯').count(), 1, "{screen}");
    assert!(screen.contains("> one\nreply 1:") && screen.contains("> two\nreply 2:"), "{screen}");
}

#[test]
fn a_line_reader_keeps_the_same_log() {
    let world = World::new();
    let (pane, log) = world.scripted_pane("alpha", &["lines"]);
    world.shows(&pane, "ready>");
    press(&world, &pane, &["-l", "one"]);
    press(&world, &pane, &["Enter"]);
    world.shows(&pane, "reply: one\nready>");
    paste(&world, &pane, "zwei\ndréi\n".as_bytes());
    assert_eq!(log.wait_for(3).last().unwrap().text, "dréi");
    assert_eq!(log.texts(), ["one", "zwei", "dréi"]);
}
