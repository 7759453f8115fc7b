//! What the gateway knows of the agent: state, history, turns, and why.
//!
//! | what | test |
//! | --- | --- |
//! | the contract's documents, to the key | `the_state_document_has_the_contracts_keys` |
//! | ready, working, ready again; the turn and its journal entries | `a_turn_is_seen_from_its_prompt_to_its_end` |
//! | a noted prompt, and wrong ones | `a_noted_prompt_is_waited_for_and_nothing_is_sent` |
//! | a question | `a_dialog_is_blocked_and_says_what_it_asks` |
//! | a draft | `a_draft_is_told_from_an_empty_composer` |
//! | the agent dies | `a_dead_agent_is_down_whatever_its_screen_shows` |
//! | a gateway dies in a turn | `a_turn_that_a_dead_gateway_left_open_ends_as_unknown` |
//! | timings: flags, kept, defaults | `timings_come_from_flags_and_are_kept` |
//! | the command line | `the_command_line_shows_the_same` |
//! | a person's own rules, added and changed while it runs | `own_rules_are_used_as_soon_as_they_are_there` |

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Http, Live, World, eventually};

const STATE: &str = "/v1/control/tui/state";

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn set(names: &str) -> BTreeSet<&str> {
    names.split_whitespace().collect()
}

/// Waits until the state satisfies this.
#[track_caller]
fn becomes(live: &Live, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || match live.http.get(STATE).ok() {
        state if is(&state) => Ok(state),
        state => Err(format!("{state:#}; the pane:\n{}", live.world.screen(&live.agent.pane))),
    })
}

#[track_caller]
fn phase(live: &Live, phase: &str) -> Value {
    becomes(live, &format!("the phase `{phase}`"), |state| state["turn"]["phase"] == phase)
}

#[track_caller]
fn turns(live: &Live) -> Vec<Value> {
    live.http.get("/v1/turns").ok()["turns"].as_array().unwrap().clone()
}

#[test]
fn the_state_document_has_the_contracts_keys() {
    let live = Live::new(&[]);
    let state = becomes(&live, "a stable ready agent", |state| {
        state["turn"]["phase"] == "ready" && state["stability"]["stable"] == true
    });
    assert_eq!(
        keys(&state),
        set(
            "terminal_id tracked_session diagnostics probe_snapshot parsed_surface surface turn last_turn chat_context \
             chat_context_diagnostic work settled observation_channels stability recent_transitions"
        )
    );
    assert_eq!(
        keys(&state["tracked_session"]),
        set("tracked_session_id session_name tool observed_tool_version tmux_session_name tmux_window_name \
             terminal_aliases agent_name agent_id manifest_path session_root")
    );
    assert_eq!(
        keys(&state["diagnostics"]),
        set("availability transport_state process_state parse_status probe_error parse_error hook_channel_state \
             hook_counters hook_conflict_reasons")
    );
    assert_eq!(
        keys(&state["probe_snapshot"]),
        set("observed_at_utc pane_id pane_pid captured_text_hash captured_text_length captured_text_excerpt \
             matched_process_names")
    );
    assert_eq!(
        keys(&state["parsed_surface"]),
        set("parser_family parser_preset_id parser_preset_version availability business_state input_mode ui_context \
             normalized_projection_text dialog_text dialog_head dialog_tail anomaly_codes baseline_invalidated \
             operator_blocked_excerpt")
    );
    assert_eq!(keys(&state["surface"]), set("accepting_input editing_input ready_posture pending_input"));
    assert_eq!(keys(&state["turn"]), set("phase"));
    assert_eq!(keys(&state["last_turn"]), set("result source updated_at_utc error_class"));
    assert_eq!(keys(&state["stability"]), set("signature stable stable_for_seconds stable_since_utc"));
    let transitions = state["recent_transitions"].as_array().unwrap();
    assert_eq!(
        keys(&transitions[0]),
        set("recorded_at_utc summary changed_fields diagnostics_availability surface_pending_input turn_phase \
             last_turn_result last_turn_source transport_state process_state parse_status")
    );
    assert_eq!(
        state["surface"],
        json!({
            "accepting_input": "yes", "editing_input": "no", "ready_posture": "yes", "pending_input": "no"
        })
    );
    assert_eq!(state["tracked_session"]["agent_name"], "alpha");
    assert_eq!(state["probe_snapshot"]["pane_id"], json!(live.agent.pane));
    let hash = state["probe_snapshot"]["captured_text_hash"].as_str().unwrap();
    assert!(hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");

    let history = live.http.get("/v1/control/tui/history?limit=1").ok();
    assert_eq!(keys(&history), set("terminal_id tracked_session_id entries"));
    assert_eq!(history["entries"].as_array().unwrap().len(), 1);
    assert_eq!(
        keys(&history["entries"][0]),
        set("recorded_at_utc diagnostics probe_snapshot parsed_surface surface turn last_turn chat_context \
             chat_context_diagnostic stability")
    );
    let all = live.http.get("/v1/control/tui/history?limit=0").ok();
    let phases: Vec<_> = all["entries"].as_array().unwrap().iter().map(|entry| &entry["turn"]["phase"]).collect();
    assert_eq!(phases.first().unwrap().as_str(), Some("unknown"), "nothing is known before something is seen");
    assert_eq!(phases.last().unwrap().as_str(), Some("ready"));
    for wrong in ["limit=x", "limit=1.5", "page=1"] {
        live.http.get(&format!("/v1/control/tui/history?{wrong}")).refused(422);
    }
}

#[test]
fn a_turn_is_seen_from_its_prompt_to_its_end() {
    let live = Live::new(&["work=1500"]);
    phase(&live, "ready");
    let id = live.send("think about it");
    phase(&live, "active");
    let ended = eventually("the end of the turn", || match turns(&live).first().cloned() {
        Some(turn) if turn["outcome"] == "success" => Ok(turn),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(ended["request_id"], json!(id));
    assert_eq!(ended["prompt"], "think about it");
    assert!(ended["duration_ms"].as_i64().unwrap() >= 1500, "{ended}");
    let state = phase(&live, "ready");
    assert_eq!(state["last_turn"]["result"], "success");
    assert_eq!(state["last_turn"]["source"], "explicit_input");
    assert_eq!(turns(&live).len(), 1);

    live.receives(&id, "turn_ended");
    let turn = ended["id"].as_str().unwrap();
    let detail = live.http.get(&format!("/v1/turns/{turn}")).ok();
    let receipts: Vec<_> = detail["receipts"].as_array().unwrap().iter().map(|one| &one["receipt"]).collect();
    assert!(receipts.contains(&&json!("submitted")), "{detail}");
    assert!(!detail["started_by"].as_array().unwrap().is_empty() && !detail["ended_by"].as_array().unwrap().is_empty());
    live.http.get("/v1/turns/turn-none").refused(404);
    live.http.get("/v1/turns?limit=0").refused(422);

    let events = live.http.events("/v1/events?after=0").unwrap();
    let mut kinds = Vec::new();
    while !kinds.contains(&"turn_ended".to_owned()) {
        let event: Value = serde_json::from_str(&events.next().data).unwrap();
        if event["turn_id"] == json!(turn) {
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(kinds, ["turn_started", "turn_ended"]);
}

#[test]
fn a_noted_prompt_is_waited_for_and_nothing_is_sent() {
    let live = Live::new(&[]);
    phase(&live, "ready");
    let noted = live.http.post("/v1/control/tui/note-prompt", &json!({"prompt": "typed by hand"})).ok();
    assert_eq!(noted["turn"]["phase"], "active");
    assert_eq!(noted["last_turn"]["result"], "none");
    live.keys(&["typed by hand", "Enter"]);
    let turn = eventually("the turn of the noted prompt", || turns(&live).pop().ok_or_else(String::new));
    assert_eq!(turn["prompt"], "typed by hand");
    assert_eq!(turn["request_id"], Value::Null);
    assert_eq!(phase(&live, "ready")["last_turn"]["source"], "explicit_input");
    assert_eq!(live.log.texts(), ["typed by hand"]);
    for wrong in [json!({}), json!({"prompt": ""}), json!({"prompt": 7}), json!({"prompt": "x", "more": 1})] {
        live.http.post("/v1/control/tui/note-prompt", &wrong).refused(422);
    }
}

#[test]
fn a_dialog_is_blocked_and_says_what_it_asks() {
    let live = Live::new(&["dialog-after=0"]);
    let state = phase(&live, "blocked");
    assert_eq!(state["surface"]["accepting_input"], "no");
    assert_eq!(state["parsed_surface"]["business_state"], "awaiting_operator");
    assert_ne!(state["parsed_surface"]["dialog_text"], "");
    let explained = live.http.get("/v1/explain").ok();
    assert_eq!(explained["phase"], "blocked");
    let grounds = explained["grounds"].as_array().unwrap();
    assert!(grounds.iter().any(|ground| ground["speaks_for"] == "blocked" && ground["counts"] == true), "{explained}");
}

#[test]
fn a_draft_is_told_from_an_empty_composer() {
    let live = Live::new(&["draft=half a thought"]);
    let state = becomes(&live, "a draft", |state| state["surface"]["editing_input"] == "yes");
    assert_eq!(state["turn"]["phase"], "ready");
    live.keys(&["C-c"]);
    becomes(&live, "an empty composer", |state| state["surface"]["editing_input"] == "no");
    assert_eq!(turns(&live), Vec::<Value>::new(), "a draft that was thrown away is no turn");
}

#[test]
fn a_dead_agent_is_down_whatever_its_screen_shows() {
    let live = Live::new(&["work=60000"]);
    phase(&live, "ready");
    live.send("never done");
    phase(&live, "active");
    live.world.tmux(&["set-option", "-p", "-t", &live.agent.pane, "remain-on-exit", "on"]);
    let pid = live.world.tmux(&["display-message", "-p", "-t", &live.agent.pane, "#{pane_pid}"]);
    crate::support::signal(pid.trim().parse().unwrap(), rustix::process::Signal::KILL);
    let state = becomes(&live, "a dead agent", |state| state["diagnostics"]["availability"] == "tui_down");
    assert_eq!(state["turn"]["phase"], "unknown");
    assert_eq!(state["diagnostics"]["parse_status"], "skipped_tui_down");
    let turn = eventually("the end of its turn", || match turns(&live).pop() {
        Some(turn) if turn["outcome"] == "failed" => Ok(turn),
        other => Err(format!("{other:?}")),
    });
    assert!(turn["error"].is_string(), "{turn}");
}

#[test]
fn a_turn_that_a_dead_gateway_left_open_ends_as_unknown() {
    let mut live = Live::new(&["work=60000"]);
    phase(&live, "ready");
    live.send("long");
    let open = eventually("a turn that runs", || turns(&live).pop().ok_or_else(String::new));
    assert_eq!(open["ended_at_utc"], Value::Null);
    live.kill_and_restart();
    let closed =
        eventually("its end", || match live.http.get(&format!("/v1/turns/{}", open["id"].as_str().unwrap())).ok() {
            turn if turn["outcome"] == "unknown" => Ok(turn),
            turn => Err(turn.to_string()),
        });
    assert_eq!(closed["prompt"], "long");
    assert_eq!(closed["ended_by"][0]["source"], "process");
}

#[test]
fn timings_come_from_flags_and_are_kept() {
    let world = World::new();
    let (agent, log) = world.tui("alpha", &[]);
    log.wait_for_note("ready", 1);
    let attach = ["gateway", "attach", "--background", "--agent-id", &agent.id];
    let flags =
        ["--gateway-tui-stability-threshold-seconds", "0.25", "--gateway-tui-stale-active-recovery-seconds", "3"];
    world.agents(&[&attach[..], &flags].concat()).ok();
    let kept = |world: &World| {
        assert!(world.path().exists());
        agent.file("gateway/desired-config.json")["desired_tui_tracking_timings"].clone()
    };
    assert_eq!(kept(&world)["stability_threshold_seconds"], 0.25);
    assert_eq!(kept(&world)["stale_active_recovery_seconds"], 3.0);
    assert_eq!(kept(&world)["completion_stability_seconds"], 1.0);
    let again = world.agents(&[&attach[..], &flags].concat());
    assert!(again.stderr.contains("keeps its timings"), "{}", again.stderr);
    world.agents(&[&attach[..], &["--restart", "--gateway-tui-completion-stability-seconds", "0.5"]].concat()).ok();
    assert_eq!(kept(&world)["stability_threshold_seconds"], 0.25, "what is not named stays");
    assert_eq!(kept(&world)["completion_stability_seconds"], 0.5);
    for wrong in ["0", "-1", "soon", "NaN"] {
        let refused = world.agents(&[&attach[..], &["--gateway-tui-stability-threshold-seconds", wrong]].concat());
        assert_eq!(refused.status, 2, "{}", refused.stderr);
    }
}

#[test]
fn the_command_line_shows_the_same() {
    let live = Live::new(&["work=200"]);
    let agents = |words: &[&str]| live.world.agents(&[words, &["--agent-id", &live.agent.id]].concat());
    phase(&live, "ready");
    let id = live.send("hello");
    live.receives(&id, "turn_ended");
    eventually("a turn that ended", || match turns(&live).pop() {
        Some(turn) if turn["outcome"] == "success" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(agents(&["gateway", "tui", "state", "--json"]).json()["last_turn"]["result"], "success");
    assert!(agents(&["gateway", "tui", "state"]).ok().contains("phase"));
    assert!(agents(&["gateway", "tui", "history"]).ok().contains("active"));
    assert!(agents(&["gateway", "explain"]).ok().contains("SPEAKS FOR"));
    assert_eq!(agents(&["gateway", "turns", "list", "--json"]).json()["turns"][0]["prompt"], "hello");
    assert!(agents(&["gateway", "turns", "list"]).ok().contains("success"));
    let shown = agents(&["gateway", "turns", "show", "last"]).ok();
    assert!(shown.contains("hello") && shown.contains("submitted"), "{shown}");
    let state = agents(&["state"]).ok();
    assert!(state.contains("phase") && state.contains("last turn"), "{state}");
    assert_eq!(agents(&["state", "--json"]).json()["live"]["phase"], "ready");
    let noted = agents(&["gateway", "tui", "note-prompt", "--prompt", "x", "--json"]).json();
    assert_eq!(noted["turn"]["phase"], "active");
    agents(&["attach-terminal"]).fails(2, "no terminal", "gateway screen");
    let missing = agents(&["gateway", "turns", "show", "turn-none"]);
    assert_ne!(missing.status, 0);
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    let offline = agents(&["state"]);
    assert!(offline.stderr.contains("gateway attach"), "{}", offline.stderr);
    assert_eq!(agents(&["state", "--json"]).json()["live"], Value::Null);
}

#[test]
fn own_rules_are_used_as_soon_as_they_are_there() {
    let live = Live::new(&[]);
    phase(&live, "ready");
    let rules = |name: Option<&str>, fired: &str| {
        eventually(&format!("rules {name:?}"), || match live.http.get("/v1/explain").ok() {
            explanation
                if explanation["profile"] == json!(name) && explanation["rules"].to_string().contains(fired) =>
            {
                Ok(())
            }
            explanation => Err(format!("{explanation:#}")),
        });
    };
    rules(None, "");
    let folder = live.world.home().join("detectors");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str| {
        let text = format!(
            "tool = \"scripted\"\nname = \"{name}\"\nversions = \">=0\"\n[composer]\nsign = '^❯ ?'\n\
             [[rules]]\nname = \"seen-by-{name}\"\nproves = \"known\"\nregion = \"screen\"\npattern = '.'\n"
        );
        std::fs::write(folder.join("own.toml"), text).unwrap();
    };
    write("first");
    // Beside an agent that does nothing, nobody looks for the folder.
    let id = live.send("hello");
    live.receives(&id, "turn_ended");
    rules(Some("first"), "seen-by-first");
    write("second");
    rules(Some("second"), "seen-by-second");
    std::fs::remove_dir_all(&folder).unwrap();
    rules(None, "");
}

#[test]
fn the_screen_is_seen_through_a_gateway_that_was_restarted() {
    let mut live = Live::new(&[]);
    phase(&live, "ready");
    live.kill_and_restart();
    phase(&live, "ready");
    assert_eq!(Http::get(&live.http, STATE).ok()["last_turn"]["result"], "none");
}
