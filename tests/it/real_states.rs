//! What the gateway says of the real tools, moment by moment, beside the log of their model. A tool that is not
//! installed is skipped.

use std::{cell::RefCell, time::Duration};

use serde_json::Value;

use crate::support::{Http, Real, Sight, Tool, Watcher, World, eventually, eventually_within, now_ms, signal};

/// A real agent with a gateway, and somebody who watches its state.
struct Scene {
    // Dropped in this order: who watches goes before what is watched.
    watcher: Watcher,
    http: Http,
    real: Real,
    world: World,
    /// How many milliseconds after the model's log each turn began and ended, by our word.
    lags: RefCell<Vec<(i64, i64)>>,
}

impl Scene {
    fn new(tool: Tool) -> Option<Self> {
        let world = World::new();
        let real = world.real("alpha", tool)?;
        Some(Self::over(world, real))
    }

    fn over(world: World, real: Real) -> Self {
        let http = Http::new(world.attach_quietly(&real.agent));
        let watcher = Watcher::new(&http);
        let scene = Self { watcher, http, real, world, lags: RefCell::default() };
        scene.is_ready(0);
        scene
    }

    /// Waits until the newest state is like this, at this moment or later; returns it.
    #[track_caller]
    fn comes(&self, what: &str, since_ms: u64, is: impl Fn(&Sight) -> bool) -> Sight {
        self.watcher.comes(what, since_ms, || self.world.screen(&self.real.agent.pane), is)
    }

    #[track_caller]
    fn is_ready(&self, since_ms: u64) -> Sight {
        self.comes("a ready agent", since_ms, |sight| sight.is_ready() && sight.editing == "no")
    }

    #[track_caller]
    fn is_in(&self, phase: &str, since_ms: u64) -> Sight {
        self.comes(phase, since_ms, |sight| sight.phase == phase)
    }

    /// Types and submits as a person at the terminal does; returns when.
    fn submit(&self, text: &str) -> u64 {
        let at = now_ms();
        self.real.submit(&self.world, text, text);
        at
    }

    fn press(&self, key: &str) -> u64 {
        let at = now_ms();
        self.real.press(&self.world, key);
        at
    }

    /// The newest turn.
    fn turn(&self) -> Value {
        self.http.get("/v1/turns?limit=1").ok()["turns"][0].clone()
    }

    /// Waits until the newest turn is about this prompt and over; returns it.
    #[track_caller]
    fn ended(&self, prompt: &str) -> Value {
        eventually(&format!("the end of the turn `{prompt}`"), || match self.turn() {
            turn if turn["prompt"] == prompt && turn["ended_at_utc"].is_string() => Ok(turn),
            turn => {
                Err(format!("{turn:#}\n{:#?}\n{:#}", self.watcher.all().last(), self.http.get("/v1/explain").json()))
            }
        })
    }

    /// The same, with its reply: a tool may tell the end before its record has what it said.
    #[track_caller]
    fn replied(&self, prompt: &str) -> Value {
        self.ended(prompt);
        eventually(&format!("the reply of the turn `{prompt}`"), || match self.turn() {
            turn if turn["prompt"] == prompt && turn["reply"].is_object() => Ok(turn),
            turn => Err(format!("{turn:#}")),
        })
    }

    /// Between the arrival of the newest request at the model and its end nobody may have been told `ready`, but for
    /// the moment that the first sign of the turn needs. Shorter ones leave no time to look.
    #[track_caller]
    fn was_never_falsely_ready(&self) {
        let turn = self.real.model.turns().last().cloned().unwrap();
        let end = turn.end.expect("an ended request").0;
        if end < turn.at_ms + 200 {
            return;
        }
        let sights = self.watcher.between(turn.at_ms, end);
        let first = sights.iter().position(|sight| sight.phase == "active");
        let first = first.unwrap_or_else(|| panic!("never active from {} to {end}: {sights:#?}", turn.at_ms));
        assert!(sights[first..].iter().all(|sight| !sight.is_ready()), "{sights:#?}");
    }

    /// One whole turn: work, answer, ready.
    #[track_caller]
    fn answers(&self, text: &str, reply: &str) {
        self.submit(text);
        let turn = self.replied(text);
        assert_eq!(turn["outcome"], "success", "{turn:#}");
        assert_eq!((&turn["reply"]["text"], &turn["reply"]["exact"]), (&reply.into(), &true.into()), "{turn:#}");
        let ready = self.is_ready(now_ms());
        assert_eq!(ready.result, "success");
        self.was_never_falsely_ready();
        self.note_lags(&turn);
    }

    fn note_lags(&self, turn: &Value) {
        let model = self.real.model.turns().last().cloned().unwrap();
        let (arrived, answered) = (model.at_ms, model.end.expect("an ended request").0);
        let lag = |edge: &str, truth: u64| {
            let told: jiff::Timestamp = turn[edge].as_str().unwrap().parse().unwrap();
            told.as_millisecond() - i64::try_from(truth).unwrap()
        };
        self.lags.borrow_mut().push((lag("started_at_utc", arrived), lag("ended_at_utc", answered)));
    }

    /// Prints what was measured; `--nocapture` shows it.
    fn print_lags(&self) {
        let (mut starts, mut ends): (Vec<_>, Vec<_>) = self.lags.borrow().iter().copied().unzip();
        starts.sort_unstable();
        ends.sort_unstable();
        let told = |lags: &[i64]| format!("median {} ms, at most {} ms", lags[lags.len() / 2], lags[lags.len() - 1]);
        let (tool, turns) = (self.real.tool.name(), ends.len());
        eprintln!("{tool}: {turns} turns; begun {} and over {} after the model", told(&starts), told(&ends));
    }
}

fn an_answer_and_a_long_silence(scene: &Scene) {
    scene.answers("say the answer", "the answer");
    scene.answers("slow 900", "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima");
    scene.submit("quiet 2500");
    let turn = scene.ended("quiet 2500");
    assert_eq!(turn["outcome"], "success", "{turn:#}");
    scene.is_ready(now_ms());
    scene.was_never_falsely_ready();
}

fn a_draft_is_seen(scene: &Scene) {
    let at = now_ms();
    scene.real.paste(&scene.world, "half a thought");
    scene.comes("a draft", at, |sight| sight.editing == "yes" && sight.accepting == "yes");
    scene.press("C-c");
    scene.is_ready(now_ms());
}

fn a_tool_call_blocks(scene: &Scene, question: &str) {
    let texts = ["tool mkdir -p made-by-yes", "tool mkdir -p made-by-no"];
    scene.submit(texts[0]);
    scene.is_in("blocked", now_ms());
    // The tool may tell that it waits before it has drawn what for.
    let asked = eventually("the question", || match scene.http.get("/v1/approvals").ok()["approvals"][0].clone() {
        Value::Null => Err(scene.world.screen(&scene.real.agent.pane)),
        asked => Ok(asked),
    });
    assert_eq!(asked["kind"], "permission", "{asked:#}");
    assert!(asked["options"].as_array().is_some_and(|options| options.len() >= 2), "{asked:#}");
    scene.real.confirm(&scene.world, question);
    let turn = scene.replied(texts[0]);
    assert_eq!((&turn["outcome"], &turn["reply"]["text"]), (&"success".into(), &"tool done".into()), "{turn:#}");
    scene.is_ready(now_ms());
    assert!(scene.world.work().join("made-by-yes").exists());
    scene.submit(texts[1]);
    scene.is_in("blocked", now_ms());
    scene.press("Escape");
    let turn = scene.ended(texts[1]);
    assert_eq!(turn["outcome"], "interrupted", "{turn:#}");
    scene.is_ready(now_ms());
    assert!(!scene.world.work().join("made-by-no").exists());
}

/// Esc while it streams, and while the model says nothing.
fn esc_ends_a_turn(scene: &Scene) {
    let before = scene.real.model.turns().len();
    scene.submit("slow 20000");
    scene.real.model.wait_for_arrival(before + 1);
    // A word comes every 1.7 s, and not every tool shows a word before its line is whole.
    std::thread::sleep(Duration::from_millis(2_500));
    scene.is_in("active", now_ms());
    scene.press("Escape");
    let turn = scene.ended("slow 20000");
    assert_eq!(turn["outcome"], "interrupted", "{turn:#}");
    scene.comes("an interrupted turn", now_ms(), |sight| sight.phase == "ready" && sight.result == "interrupted");
    clear_composer(scene);
    let before = scene.real.model.turns().len();
    scene.submit("hang");
    scene.is_in("active", now_ms());
    scene.real.model.wait_for_arrival(before + 1);
    scene.press("Escape");
    let turn = scene.ended("hang");
    assert_eq!(turn["outcome"], "interrupted", "{turn:#}");
    clear_composer(scene);
    scene.is_ready(now_ms());
}

/// Some tools put an interrupted prompt back into the composer.
fn clear_composer(scene: &Scene) {
    let settled = |sight: &Sight| sight.phase == "ready" && (sight.posture == "yes" || sight.editing == "yes");
    let sight = scene.comes("a composer", now_ms(), settled);
    if sight.editing == "yes" {
        scene.press("C-c");
        scene.is_ready(now_ms());
    }
}

/// What is submitted while it works: some tools keep it for a turn of its own, some take it into the one that runs.
fn a_prompt_behind_another(scene: &Scene) {
    let before = scene.real.model.turns().len();
    scene.submit("slow 2500");
    scene.real.model.wait_for_arrival(before + 1);
    scene.is_in("active", now_ms());
    scene.submit("say the second");
    let arrived = |turns: &[crate::support::Turn]| turns[before..].iter().any(|turn| turn.text.contains("the second"));
    let turns = eventually_within(Duration::from_secs(30), "the second prompt at the model", || {
        let turns = scene.real.model.turns();
        let over = turns.iter().all(|turn| turn.end.is_some());
        if arrived(&turns) && over { Ok(turns) } else { Err(format!("{turns:#?}")) }
    });
    scene.is_ready(now_ms());
    let last = turns.last().unwrap().end.clone().unwrap().0;
    let sights = scene.watcher.between(turns[before].at_ms, last);
    let first = sights.iter().position(|sight| sight.phase == "active").expect("it was active");
    assert!(sights[first..].iter().all(|sight| !sight.is_ready()), "{sights:#?}");
    assert!(scene.turn()["ended_at_utc"].is_string(), "{:#}", scene.turn());
}

fn an_api_error_is_a_failure(scene: &Scene) {
    scene.submit("error 400");
    let turn = eventually_within(Duration::from_secs(60), "the failed turn", || match scene.turn() {
        turn if turn["prompt"] == "error 400" && turn["ended_at_utc"].is_string() => Ok(turn),
        turn => {
            Err(format!("{turn:#}\n{:#?}\n{}", scene.watcher.all().last(), scene.world.screen(&scene.real.agent.pane)))
        }
    });
    assert_eq!(turn["outcome"], "failed", "{turn:#}");
    scene.comes("a failed turn", now_ms(), |sight| sight.phase == "ready" && sight.result == "known_failure");
    scene.answers("say after the error", "after the error");
}

fn another_size_is_no_other_state(scene: &Scene) {
    for (columns, text) in [("60", "say narrow"), ("200", "say wide"), ("100", "say usual")] {
        scene.world.tmux(&["resize-window", "-t", &scene.real.agent.pane, "-x", columns, "-y", "40"]);
        scene.is_ready(now_ms());
        scene.answers(text, &text[4..]);
    }
}

fn commands_of_the_tool_are_no_lasting_work(scene: &Scene, clear: &str, compact: &str) {
    for command in [clear, compact] {
        scene.real.paste(&scene.world, command);
        scene.real.shows(&scene.world, command);
        std::thread::sleep(scene.real.tool.settling());
        scene.press("Enter");
        scene.is_ready(now_ms() + 300);
        scene.answers("say it again", "it again");
    }
}

/// What is left of a killed tool looks ready, and is not.
fn a_killed_tool_is_down(tool: Tool) {
    let world = World::new();
    let Some(real) = world.real_in_a_shell("alpha", tool) else { return };
    let scene = Scene::over(world, real);
    scene.answers("say before its end", "before its end");
    for pid in scene.real.tools() {
        signal(pid, rustix::process::Signal::KILL);
    }
    scene.comes("a tool that is down", now_ms(), |sight| {
        sight.phase == "unknown" && sight.process == "tui_down" && sight.posture != "yes"
    });
}

fn every_situation(tool: Tool, question: &str, clear: &str, compact: &str) {
    let Some(scene) = Scene::new(tool) else { return };
    let step = |name: &str| eprintln!("{}: {name}", tool.name());
    step("answers");
    an_answer_and_a_long_silence(&scene);
    step("a draft");
    a_draft_is_seen(&scene);
    step("a tool call");
    a_tool_call_blocks(&scene, question);
    step("Esc");
    esc_ends_a_turn(&scene);
    step("a prompt behind another");
    a_prompt_behind_another(&scene);
    step("an API error");
    an_api_error_is_a_failure(&scene);
    step("other sizes");
    another_size_is_no_other_state(&scene);
    step("commands");
    commands_of_the_tool_are_no_lasting_work(&scene, clear, compact);
    scene.print_lags();
}

#[test]
fn claude_is_known_in_every_situation() {
    every_situation(Tool::Claude, "Do you want to proceed?", "/clear", "/compact");
}

#[test]
fn codex_is_known_in_every_situation() {
    every_situation(Tool::Codex, "Would you like to run the following command?", "/clear", "/compact");
}

#[test]
fn gemini_is_known_in_every_situation() {
    every_situation(Tool::Gemini, "Allow execution of", "/clear", "/compress");
}

#[test]
fn a_killed_claude_in_a_shell_is_down() {
    a_killed_tool_is_down(Tool::Claude);
}

#[test]
fn a_killed_codex_in_a_shell_is_down() {
    a_killed_tool_is_down(Tool::Codex);
}
