//! Agents whose turns are processes: started, followed, interrupted, found again, and never run twice.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Agent, Http, Tool, World, eventually, id_of, port_of, prompt, signal};

/// A program that does what its prompt says, and puts down each of its runs.
const PROGRAM: &str = r#"
read -r word rest || true
echo "$word $rest|$AGENTS_CHAT_SESSION|$AGENTS_MODEL" >> "$RUNS"
case "$word" in
  say) echo "$rest" ;;
  slow) echo "begun"; while [ ! -e "$RUNS.$rest" ]; do [ -e "$RUNS" ] || exit 9; sleep 0.02; done; echo "done $rest" ;;
  deaf) trap '' INT; echo "begun"; while [ -e "$RUNS" ]; do sleep 0.02; done ;;
  huge) head -c 9000000 /dev/zero | tr '\0' x; echo; echo end ;;
  garbage) printf '\377\376 {"type":\n\033[31m{]\n' ;;
  many) yes | head -c 300000 ;;
  endless) exec yes ;;
  exit) echo "half"; echo "why it failed" >&2; exit "$rest" ;;
esac
"#;

pub(super) struct Headless {
    pub(super) world: World,
    pub(super) agent: Agent,
    runs: PathBuf,
}

impl Headless {
    pub(super) fn new(name: &str) -> Self {
        let world = World::new();
        let (script, runs) = (world.path().join("program.sh"), world.path().join("runs"));
        std::fs::write(&script, PROGRAM).unwrap();
        std::fs::write(&runs, "").unwrap();
        let set = format!("RUNS={}", runs.display());
        let agent = world.launch_with(&[name, "--headless", "--", "env", &set, "sh", script.to_str().unwrap()]);
        Self { world, agent, runs }
    }

    pub(super) fn attach(&self) -> Http {
        let words = ["gateway", "attach", "--agent-id", &self.agent.id, "--background"];
        self.world.agents(&words).ok();
        Http::new(port_of(&self.world.status(&self.agent)))
    }

    pub(super) fn submit(&self, text: &str, more: &[&str]) -> crate::support::Run {
        let words = [&["turn", "submit", "--agent-id", &self.agent.id, "--prompt", text], more].concat();
        self.world.agents(&words)
    }

    /// The prompts that the program was run with, in order.
    pub(super) fn runs(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.runs).unwrap();
        text.lines().map(|line| line.split('|').next().unwrap().trim().to_owned()).collect()
    }

    /// The conversation and the model of each run.
    pub(super) fn chats(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(&self.runs).unwrap();
        let cut = |line: &str| line.rsplit('|').take(2).map(str::to_owned).collect::<Vec<_>>();
        text.lines().map(cut).map(|cut| (cut[1].clone(), cut[0].clone())).collect()
    }

    pub(super) fn wait_for_run(&self, text: &str) {
        eventually(&format!("a run of `{text}`"), || match self.runs() {
            runs if runs.iter().any(|run| run == text) => Ok(()),
            runs => Err(format!("{runs:?}")),
        });
    }

    /// Lets a slow run end.
    pub(super) fn release(&self, name: &str) {
        std::fs::write(format!("{}.{name}", self.runs.display()), "").unwrap();
    }

    pub(super) fn turn(&self, id: &str, file: &str) -> Option<Value> {
        let path = self.agent.root.join("manifest.turn-artifacts").join(id).join(file);
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    pub(super) fn last(&self) -> String {
        self.agent.file("headless-turn.json")["turn_id"].as_str().unwrap().to_owned()
    }

    pub(super) fn kill_gateway(&self) {
        self.world.gateway_pids().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        eventually("the gateway to be gone", || match self.world.gateway_pids() {
            pids if pids.is_empty() => Ok(()),
            pids => Err(format!("{pids:?}")),
        });
    }

    pub(super) fn settled(http: &Http, id: &str) -> Value {
        eventually(&format!("request {id} to end"), || {
            let shown = http.shown(id);
            match shown["receipt"].as_str() {
                Some("turn_ended" | "refused" | "indeterminate") => Ok(shown),
                _ => Err(shown.to_string()),
            }
        })
    }
}

fn receipts(shown: &Value) -> Vec<String> {
    shown["receipts"].as_array().unwrap().iter().map(|one| one["receipt"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_turn_is_one_run_of_the_program_and_leaves_its_artefacts() {
    let headless = Headless::new("alpha");
    assert_eq!(headless.submit("say hello; $HOME `x`", &[]).ok(), "hello; $HOME `x`\n");
    assert_eq!(headless.submit("exit 3", &[]).fails(13, "why it failed", "agents turn stderr turn-0002").stdout, "");
    headless.submit("garbage", &[]).ok();
    headless.submit("huge", &[]).ok();
    headless.submit("say in another", &["--chat-session", "new", "--model", "big"]).ok();
    headless.submit("say and on", &[]).ok();
    let (chats, agent) = (headless.chats(), &headless.agent);
    assert!(chats[0].0.len() == 36 && chats[0] == chats[1], "{chats:?}");
    assert!(chats[4].0 != chats[0].0 && chats[4].1 == "big", "{chats:?}");
    assert_eq!(chats[5], (chats[4].0.clone(), String::new()), "a model is for one turn, a new conversation stays");
    let process = headless.turn("turn-0001", "process.json").unwrap();
    assert!(process["runner_pid"].is_u64() && process["child_pid"].is_u64() && process["launched_at_utc"].is_string());
    let folder = agent.root.join("manifest.turn-artifacts");
    assert_eq!(std::fs::read_to_string(folder.join("turn-0002/exitcode")).unwrap(), "3\n");
    assert_eq!(std::fs::read(folder.join("turn-0003/stdout.jsonl")).unwrap()[..2], [0o377, 0o376]);
    let events = std::fs::read_to_string(folder.join("turn-0001/canonical-events.jsonl")).unwrap();
    let event: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    let mut keys: Vec<&String> = event.as_object().unwrap().keys().collect();
    keys.sort();
    let wanted = "data kind message provider provider_event_type raw_payload session_id timestamp_utc turn_index";
    assert_eq!(keys, wanted.split(' ').collect::<Vec<_>>());
    // The manifest keeps to its rule: turns and the conversation's id together.
    let state = &agent.file("manifest.json")["backend_state"];
    assert_eq!((state["turn_index"].as_u64(), state["session_id"].as_str()), (Some(6), Some(chats[5].0.as_str())));
    let list = headless.world.agents(&["turn", "list", "--agent-id", &agent.id]).ok();
    assert!(list.contains("turn-0006") && list.contains("failed"), "{list}");
    let words = |verb: &str, turn: &str| headless.world.agents(&["turn", verb, turn, "--agent-id", &agent.id]);
    assert_eq!(words("stderr", "turn-0002").ok(), "why it failed\n");
    assert!(words("status", "turn-0002").ok().contains("exit status"));
    assert_eq!(words("events", "turn-0001").ok(), "hello; $HOME `x`\n");
    words("status", "turn-9").fails(3, "no turn `turn-9`", "agents turn list");
    // A person who looks at window 0 sees it.
    eventually("the view to show the turn", || match headless.world.screen(&agent.pane) {
        screen if screen.contains("and on") => Ok(()),
        screen => Err(screen),
    });
}

#[test]
fn a_gateway_runs_what_waits_in_order_and_refuses_what_cannot_be() {
    let headless = Headless::new("alpha");
    let http = headless.attach();
    let slow = http.queue_prompt("slow a");
    let next = http.queue_prompt("say second");
    headless.wait_for_run("slow a");
    let state = eventually("the turn to be told", || match http.get("/v1/control/headless/state").ok() {
        state if state["interruptible"] == json!(true) => Ok(state),
        state => Err(state.to_string()),
    });
    assert_eq!(state["active_execution"], "running");
    assert_eq!(state["can_accept_prompt_now"], false);
    let keys: Vec<&String> = state.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 10, "{keys:?}");
    let refused = http.post("/v1/control/prompt", &json!({ "prompt": "say now" })).refused(409);
    assert_eq!(refused["error_code"], "not_ready");
    let policy = json!({ "prompt": "say now", "admission_policy": "always" });
    let refused = http.post("/v1/control/prompt", &policy).refused(422);
    assert_eq!(refused["error_code"], "invalid_admission_policy");
    for path in ["/v1/control/tui/state", "/v1/control/tui/history"] {
        http.get(path).refused(422);
    }
    http.post("/v1/control/send-keys", &json!({ "sequence": "x" })).refused(422);
    http.post("/v1/control/tui/note-prompt", &json!({ "prompt": "x" })).refused(422);
    headless.release("a");
    let shown = Headless::settled(&http, &slow);
    assert_eq!(receipts(&shown), ["queued", "typing", "submitted", "turn_started", "turn_ended"]);
    assert_eq!(shown["state"], "completed");
    let ended = shown["receipts"][4]["evidence"].clone();
    assert_eq!((ended["reply"].as_str(), ended["exact"].as_bool()), (Some("begun\ndone a"), Some(true)));
    Headless::settled(&http, &next);
    assert_eq!(headless.runs(), ["slow a", "say second"]);
    let turn = http.get(&format!("/v1/turns/{}", ended["turn_id"].as_str().unwrap())).ok();
    assert_eq!((turn["outcome"].as_str(), turn["reply"]["text"].as_str()), (Some("success"), Some("begun\ndone a")));
    // A turn of the caller's own name, another model, and a failure in the row.
    let body = json!({ "kind": "submit_prompt", "payload": { "prompt": "exit 4", "turn_id": "mine",
        "execution": { "model": { "name": "big" } }, "chat_session": { "mode": "exact", "id": "chat-7" } } });
    let failed = Headless::settled(&http, &id_of(&http.post("/v1/requests", &body).ok()));
    assert_eq!(failed["state"], "failed");
    assert!(failed["error_detail"].as_str().unwrap().contains("exit status 4"), "{failed}");
    assert_eq!(headless.turn("mine", "end.json").unwrap()["exit_code"], 4);
    assert_eq!(headless.chats()[2], ("chat-7".to_owned(), "big".to_owned()));
    let again = Headless::settled(&http, &id_of(&http.post("/v1/requests", &body).ok()));
    assert_eq!(receipts(&again), ["queued", "refused"], "a turn's name is used once");
    // At once, in a new conversation that was asked for before.
    let state = http.post("/v1/control/headless/next-prompt-session", &json!({ "schema_version": 1, "mode": "new" }));
    assert_eq!(state.ok()["chat_session"]["next_prompt_override"], json!({ "mode": "new" }));
    http.post("/v1/control/headless/next-prompt-session", &json!({ "mode": "exact" })).refused(422);
    let sent = http.post("/v1/control/prompt", &json!({ "prompt": "slow b" })).ok();
    assert_eq!((sent["status"].as_str(), sent["sent"].as_bool()), (Some("ok"), Some(true)));
    headless.wait_for_run("slow b");
    // The contract's rule: nothing is queued behind a turn that was started at once.
    http.post("/v1/requests", &prompt("say later")).refused(409);
    headless.release("b");
    eventually("the turn to end", || match http.get("/v1/control/headless/state").ok() {
        state if state["active_turn_id"].is_null() => Ok(()),
        state => Err(state.to_string()),
    });
    let (chats, state) = (headless.chats(), http.get("/v1/control/headless/state").ok());
    assert_ne!(chats[3].0, "chat-7");
    assert_eq!(state["chat_session"]["current"]["id"], chats[3].0);
    assert!(state["chat_session"]["next_prompt_override"].is_null(), "{state}");
    let shown = headless.world.agents(&["state", "--agent-id", &headless.agent.id]).ok();
    assert!(shown.contains("ready") && shown.contains("conversation"), "{shown}");
}

#[test]
fn an_interrupt_reaches_the_running_turn_at_once() {
    let headless = Headless::new("alpha");
    let http = headless.attach();
    let (slow, waits) = (http.queue_prompt("slow a"), http.queue_prompt("say after"));
    headless.wait_for_run("slow a");
    let interrupt = http.queue_interrupt();
    let shown = Headless::settled(&http, &slow);
    assert_eq!(shown["receipts"][4]["evidence"]["outcome"], "interrupted", "{shown}");
    assert_eq!(http.shown(&interrupt)["state"], "completed");
    assert_eq!(Headless::settled(&http, &waits)["state"], "completed");
    // One that does not heed it is ended; the runner sees to that, also without a gateway.
    http.queue_prompt("deaf a");
    headless.wait_for_run("deaf a");
    headless.kill_gateway();
    headless.world.agents(&["interrupt", "--agent-id", &headless.agent.id]).ok();
    let turn = headless.last();
    let end =
        eventually("the deaf turn to end", || headless.turn(&turn, "end.json").ok_or_else(|| "not yet".to_owned()));
    assert_eq!((end["outcome"].as_str(), end["exit_code"].as_i64()), (Some("interrupted"), Some(143)));
    assert_eq!(headless.runs().len(), 3);
}

#[test]
fn a_turn_outlives_its_gateway_and_is_run_once() {
    let headless = Headless::new("alpha");
    let http = headless.attach();
    let (slow, waits) = (http.queue_prompt("slow a"), http.queue_prompt("say after"));
    headless.wait_for_run("slow a");
    headless.kill_gateway();
    let http = headless.attach();
    assert_eq!(http.shown(&slow)["state"], "running");
    headless.release("a");
    let shown = Headless::settled(&http, &slow);
    assert_eq!(shown["receipts"].as_array().unwrap().last().unwrap()["evidence"]["reply"], "begun\ndone a");
    Headless::settled(&http, &waits);
    // Killed while it runs, and over before the next one looks.
    let slow = http.queue_prompt("slow b");
    headless.wait_for_run("slow b");
    let turn = headless.last();
    headless.kill_gateway();
    headless.release("b");
    eventually("the turn to end without a gateway", || {
        headless.turn(&turn, "end.json").map(drop).ok_or_else(|| "not yet".to_owned())
    });
    let http = headless.attach();
    assert_eq!(Headless::settled(&http, &slow)["state"], "completed");
    // The runner is killed: the program's own files and identity tell the rest.
    let slow = http.queue_prompt("slow c");
    headless.wait_for_run("slow c");
    let turn = headless.last();
    let runner = eventually("the runner's name", || {
        let processes = headless.turn(&turn, "runner.json").filter(|processes| processes["child"].is_object());
        processes.and_then(|processes| processes["runner"]["pid"].as_u64()).ok_or_else(|| "not yet".to_owned())
    });
    signal(u32::try_from(runner).unwrap(), Signal::KILL);
    headless.release("c");
    let shown = Headless::settled(&http, &slow);
    let ended = shown["receipts"].as_array().unwrap().last().unwrap()["evidence"].clone();
    assert_eq!(ended["reply"], "begun\ndone c", "what it wrote is told");
    assert_eq!(ended["outcome"], "failed", "and nobody saw how it ended: {ended}");
    assert_eq!(headless.runs(), ["slow a", "say after", "slow b", "slow c"]);
    // A stop ends the turn that runs.
    http.queue_prompt("slow d");
    headless.wait_for_run("slow d");
    let turn = headless.last();
    headless.world.agents(&["stop", "--agent-id", &headless.agent.id]).ok();
    assert_eq!(headless.turn(&turn, "end.json").unwrap()["outcome"], "interrupted");
}

#[test]
fn deaths_at_any_moment_run_nothing_twice_and_lose_nothing() {
    let headless = Headless::new("alpha");
    let mut http = headless.attach();
    let mut ids = Vec::new();
    for round in 0..8_u64 {
        ids.extend((0..3).map(|n| http.queue_prompt(&format!("say {round}-{n}"))));
        // Somewhere on the way of the first one.
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(round * 4) {
            std::thread::yield_now();
        }
        headless.kill_gateway();
        http = headless.attach();
    }
    let ends: Vec<Value> = ids.iter().map(|id| Headless::settled(&http, id)).collect();
    let mut runs = headless.runs();
    let count = runs.len();
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), count, "run twice: {runs:?}");
    for end in &ends {
        let prompt = end["prompt"].as_str().unwrap().to_owned();
        match end["receipt"].as_str().unwrap() {
            "turn_ended" => assert!(runs.contains(&prompt), "never run: {end}"),
            "indeterminate" => {}
            _ => panic!("lost: {end}"),
        }
    }
}

#[test]
fn a_relaunch_goes_on_with_the_conversation_also_when_its_id_was_lost() {
    let headless = Headless::new("alpha");
    headless.submit("say one", &[]).ok();
    headless.world.agents(&["relaunch", "--agent-id", &headless.agent.id]).ok();
    headless.submit("say two", &[]).ok();
    // As other programs leave it: turns, and no conversation.
    let path = headless.agent.root.join("manifest.json");
    let mut manifest = headless.agent.file("manifest.json");
    manifest["backend_state"]["session_id"] = Value::Null;
    std::fs::write(&path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    headless.submit("say three", &[]).ok();
    let chats = headless.chats();
    assert!(chats[0] == chats[1] && chats[1] == chats[2], "{chats:?}");
    let note = headless.turn("turn-0003", "turn.json").unwrap()["note"].clone();
    assert!(note.as_str().unwrap().contains("has lost the conversation's id"), "{note}");
    assert_eq!(headless.agent.file("manifest.json")["backend_state"]["session_id"], chats[0].0);
    // A turn that nobody took up is taken back, also before a late runner; one whose runner died at the start is closed.
    let root = &headless.agent.root;
    let copy = |id: &str, files: &[&str]| {
        std::fs::create_dir_all(root.join("manifest.turn-artifacts").join(id)).unwrap();
        for file in files {
            let from = root.join("manifest.turn-artifacts/turn-0001").join(file);
            std::fs::copy(from, root.join("manifest.turn-artifacts").join(id).join(file)).unwrap();
        }
        let pointer = json!({ "schema_version": 1, "turn_id": id, "turn_index": 7 });
        std::fs::write(root.join("headless-turn.json"), pointer.to_string()).unwrap();
    };
    let runner =
        |id: &str| headless.world.agents(&["headless-turn", "--session-root", root.to_str().unwrap(), "--turn", id]);
    copy("turn-planned", &["turn.json", "prompt.txt", "turn.lock"]);
    headless.submit("say planned", &[]).ok();
    assert!(!root.join("manifest.turn-artifacts/turn-planned").exists());
    runner("turn-planned").fails(8, "taken back", "never run twice");
    runner("turn-0001").fails(8, "taken up before", "never run twice");
    copy("turn-lost", &["turn.json", "prompt.txt", "turn.lock"]);
    let mut died = headless.turn("turn-0001", "runner.json").unwrap();
    died["child"] = Value::Null;
    std::fs::write(root.join("manifest.turn-artifacts/turn-lost/runner.json"), died.to_string()).unwrap();
    let said = headless.world.agents(&["turn", "status", "--agent-id", &headless.agent.id]).ok();
    assert!(said.contains("its runner was killed before"), "{said}");
    headless.submit("say lost", &[]).ok();
    assert_eq!(headless.turn("turn-lost", "end.json").unwrap()["outcome"], "failed");
    assert_eq!(headless.runs(), ["say one", "say two", "say three", "say planned", "say lost"]);
    // A program that is gone by now is told, not hidden.
    std::fs::remove_file(headless.world.path().join("program.sh")).unwrap();
    headless.submit("say four", &[]).fails(13, "exit status", "agents turn stderr");
    // Adopted: beside the shell that runs in the session.
    let shell = headless.world.launch("plain");
    headless.world.agents(&["stop", "--agent-id", &shell.id]).ok();
    headless.world.tmux(&["new-session", "-d", "-s", "mine", "sh"]);
    let words = "join --headless --tool cat --target-tmux-session mine --launch-env SET=1 --launch-args -";
    let joined =
        Agent::read(&headless.world.agents(&[&words.split(' ').collect::<Vec<_>>()[..], &["--json"]].concat()).json());
    let words = ["turn", "submit", "--agent-id", &joined.id, "--prompt", "back again"];
    assert_eq!(headless.world.agents(&words).ok(), "back again\n");
    let authority = &joined.file("manifest.json")["agent_launch_authority"];
    assert_eq!(
        (&authority["posture_kind"], &authority["launch_args"]),
        (&json!("headless_launch_options"), &json!(["-"]))
    );
    let missing = ["launch", "beta", "--headless", "--", "/no/such/program"];
    headless.world.agents(&missing).fails(2, "`/no/such/program` was not found", "full path");
    let terminal = headless.world.launch("gamma");
    let words = ["turn", "submit", "--agent-id", &terminal.id, "--prompt", "x"];
    headless.world.agents(&words).fails(8, "works in a terminal", "--headless");
    let words = ["prompt", "--agent-id", &terminal.id, "--prompt", "x", "--model", "m"];
    headless.world.agents(&words).fails(2, "keeps its own model", "headless agent");
}

#[test]
fn much_output_delays_neither_an_interrupt_nor_the_gateway() {
    let headless = Headless::new("alpha");
    let artefacts = headless.agent.root.join("manifest.turn-artifacts");
    let size = |turn: &str, file: &str| std::fs::metadata(artefacts.join(turn).join(file)).map_or(0, |meta| meta.len());
    headless.submit("many", &[]).ok();
    let events = size("turn-0001", "canonical-events.jsonl");
    assert!((1..2_000_000).contains(&events), "{events}");
    let http = headless.attach();
    let much = |turn: &str| {
        eventually("much output", || match size(turn, "stdout.jsonl") {
            size if size > 20_000_000 => Ok(()),
            size => Err(size.to_string()),
        });
    };
    let id = id_of(&http.post("/v1/requests", &prompt("endless")).ok());
    headless.wait_for_run("endless");
    let turn = headless.last();
    much(&turn);
    headless.world.agents(&["interrupt", "--agent-id", &headless.agent.id]).ok();
    http.get("/health").ok();
    let ended = Headless::settled(&http, &id);
    assert!(ended.to_string().contains("interrupted"), "{ended}");
    assert!(size(&turn, "canonical-events.jsonl") < 6_000_000);
    // Without its runner: the gateway settles it, and answers meanwhile.
    let id = id_of(&http.post("/v1/requests", &prompt("endless")).ok());
    eventually("another turn", || if headless.last() == turn { Err("the old one".to_owned()) } else { Ok(()) });
    let turn = headless.last();
    much(&turn);
    let pid = |file: &str, who: &str| {
        headless.turn(&turn, file).and_then(|told| told[who].as_u64()).and_then(|pid| u32::try_from(pid).ok()).unwrap()
    };
    let (runner, program) = (pid("process.json", "runner_pid"), pid("process.json", "child_pid"));
    signal(runner, Signal::KILL);
    signal(program, Signal::KILL);
    http.get("/health").ok();
    let ended = Headless::settled(&http, &id);
    assert!(ended.to_string().contains("nobody saw how the program ended"), "{ended}");
    assert!(size(&turn, "canonical-events.jsonl") < 6_000_000);
}

/// A real tool, headless against the stub model: a conversation over turns, with a gateway and without.
fn real(tool: Tool) {
    let world = World::new();
    let Some((agent, model)) = world.real_headless("alpha", tool) else { return };
    let submit = |text: &str, more: &[&str]| {
        world.agents(&[&["turn", "submit", "--agent-id", &agent.id, "--prompt", text], more].concat())
    };
    assert_eq!(submit("say hello there", &[]).ok(), "hello there\n");
    let first = agent.file("manifest.json");
    // For Gemini the contract has no backend.
    let (backend, section) = match tool {
        Tool::Gemini => ("local_interactive".to_owned(), "backend_state"),
        _ => (format!("{}_headless", tool.name()), "headless"),
    };
    assert_eq!((&first["backend"], &first[section]["turn_index"]), (&json!(backend), &json!(1)));
    let id = first[section]["session_id"].as_str().unwrap().to_owned();
    world.agents(&["gateway", "attach", "--agent-id", &agent.id, "--background"]).ok();
    assert_eq!(submit("say again", &["--model", "stub-two"]).ok(), "again\n");
    let second = agent.file("manifest.json");
    assert_eq!(second[section]["session_id"], id.as_str(), "the conversation goes on");
    assert_eq!(second[section]["turn_index"], 2);
    submit("error 400", &[]).fails(13, "stub model says 400", "agents gateway turns show");
    let texts: Vec<String> = model.turns().into_iter().map(|turn| turn.text).collect();
    assert_eq!(texts[..3], ["say hello there", "say again", "error 400"], "the tool itself asks again after an error");
    let http = Http::new(port_of(&world.status(&agent)));
    assert_eq!(http.get("/v1/control/headless/state").ok()["chat_session"]["current"]["id"], id.as_str());
    let turns = http.get("/v1/turns").ok();
    assert_eq!(turns["turns"][1]["reply"]["text"], "again");
    assert_eq!(turns["turns"][1]["reply"]["exact"], true);
    assert_eq!(turns["turns"][2]["reply"]["text"], "hello there", "also the one before there was a gateway");
}

#[test]
fn real_claude_keeps_its_conversation_over_headless_turns() {
    real(Tool::Claude);
}

#[test]
fn real_codex_keeps_its_conversation_over_headless_turns() {
    real(Tool::Codex);
}

#[test]
fn real_gemini_keeps_its_conversation_over_headless_turns() {
    real(Tool::Gemini);
}
