//! What the real tools' own files say, without a look at the screen. A tool that is not installed is skipped.

use agents::model::Outcome;

use crate::support::{Follower, Real, Tool, Turn, World, eventually, exactly, signal};

/// The end of a turn in the stub's log and the end that was told, in milliseconds between them.
fn lateness(turn: &Turn, ended: &agents::model::TurnRecord) -> i64 {
    let (at, _, _) = turn.end.clone().unwrap();
    let told = agents::model::Moment::parse(ended.ended_at_utc.as_deref().unwrap()).unwrap();
    told.epoch_millis() - i64::try_from(at).unwrap()
}

/// Every way in which a turn can end is told by the tool's own records.
fn turns_are_told(tool: Tool, after_hang: &str) {
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return };
    let follower = Follower::of(&world, &real);
    let two = "say one *two*\nthree";
    real.submit(&world, two, "three");
    let turn = follower.ended(two, Outcome::Success);
    assert_eq!(exactly(turn.reply.as_ref()), "one *two*\nthree");
    eprintln!("{}: an end was told after {} ms", tool.name(), lateness(&real.model.wait_for(1)[0], &turn));

    real.submit(&world, "slow 20000", "slow 20000");
    follower.begun("slow 20000");
    real.shows(&world, tool.streaming());
    real.press(&world, "Escape");
    follower.ended("slow 20000", Outcome::Interrupted);

    real.submit(&world, "tool mkdir -p made-by-stub", "made-by-stub");
    real.confirm(&world, tool.question());
    let turn = follower.ended("tool mkdir -p made-by-stub", Outcome::Success);
    assert_eq!(exactly(turn.reply.as_ref()), "tool done");

    real.submit(&world, "error 400", "error 400");
    let turn = follower.ended("error 400", Outcome::Failed);
    assert!(turn.error.as_deref().unwrap_or_default().contains("stub model says 400"), "{turn:#?}");

    real.submit(&world, "hang", "hang");
    real.model.wait_for_arrival(6);
    follower.begun("hang");
    real.press(&world, "Escape");
    eventually("the end of a turn without a word", || {
        let turns = follower.turns();
        let ended = turns.iter().find(|turn| turn.prompt.as_deref() == Some("hang") && turn.outcome.is_some());
        ended.map(|_| ()).ok_or_else(|| format!("{turns:#?}"))
    });
    clear(&real, &world, after_hang);

    real.submit(&world, "/clear", "/clear");
    real.shows(&world, tool.ready());
    real.submit(&world, "say after clear", "say after clear");
    let turn = follower.ended("say after clear", Outcome::Success);
    assert_eq!(exactly(turn.reply.as_ref()), "after clear");
    let prompts: Vec<String> = follower.turns().into_iter().filter_map(|turn| turn.prompt).collect();
    assert_eq!(
        prompts,
        [two, "slow 20000", "tool mkdir -p made-by-stub", "error 400", "hang", "say after clear"],
        "{:#?}",
        follower.turns()
    );
    let version = follower.state().process.as_ref().and_then(|process| process.version.clone());
    assert!(version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())));
}

/// Takes back a prompt that the tool has put into its composer again.
fn clear(real: &Real, world: &World, prompt: &str) {
    if !prompt.is_empty() {
        real.shows(world, prompt);
        real.press(world, "C-u");
    }
}

/// The process wins: after SIGKILL every file of the tool still says that it works.
fn a_killed_tool_is_gone(tool: Tool) {
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return };
    let follower = Follower::of(&world, &real);
    real.submit(&world, "hang", "hang");
    follower.begun("hang");
    let process = follower.state().process.clone().unwrap();
    assert_eq!((process.alive, process.foreground), (Some(true), Some(true)), "{process:?}");
    signal(process.pid.unwrap(), rustix::process::Signal::KILL);
    eventually("the end of the tool", || {
        let state = follower.state();
        if state.diagnostics.process_state == "tui_down" { Ok(()) } else { Err(format!("{state:#?}")) }
    });
    assert!(follower.turns().iter().all(|turn| turn.outcome.is_some()), "{:#?}", follower.turns());
}

#[test]
fn claude_tells_its_turns() {
    turns_are_told(Tool::Claude, "❯\u{a0}hang");
}

#[test]
fn codex_tells_its_turns() {
    turns_are_told(Tool::Codex, "");
}

#[test]
fn claude_is_gone_when_it_is_killed() {
    a_killed_tool_is_gone(Tool::Claude);
}

#[test]
fn codex_is_gone_when_it_is_killed() {
    a_killed_tool_is_gone(Tool::Codex);
}

#[test]
fn gemini_is_gone_when_it_is_killed() {
    a_killed_tool_is_gone(Tool::Gemini);
}

/// In a shell a tool comes and goes; the shell itself is none.
#[test]
fn a_tool_in_a_shell_is_seen_to_start_and_to_be_killed() {
    let world = World::new();
    let program = world.path().join("claude");
    std::fs::copy(World::scripted_agent(), &program).unwrap();
    let agent = world.launch("alpha");
    let pid = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]);
    let follower = Follower::new("claude", pid.trim().parse().unwrap());
    let state = |wanted: &'static str| {
        eventually(&format!("the state {wanted}"), || match follower.state() {
            state if state.process.is_some() && state.diagnostics.process_state == wanted => Ok(state),
            state => Err(format!("{state:#?}")),
        })
    };
    state("tui_down");
    for _ in 0..2 {
        world.tmux(&["send-keys", "-t", &agent.pane, &format!("{} tui", program.display()), "Enter"]);
        let process = state("tui_up").process.clone().unwrap();
        assert_eq!(process.names, ["claude"], "{process:?}");
        signal(process.pid.unwrap(), rustix::process::Signal::KILL);
        state("tui_down");
    }
}
