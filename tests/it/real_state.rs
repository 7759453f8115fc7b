//! The state of real coding agents, and their turns. A tool that is not installed is skipped.

use serde_json::{Value, json};

use crate::support::{REAL_PATIENCE, Steered, Tool, eventually_within};

#[track_caller]
fn phase(agent: &Steered, phase: &str) -> Value {
    eventually_within(REAL_PATIENCE, &format!("the phase `{phase}`"), || {
        match agent.http.get("/v1/control/tui/state").ok() {
            state if state["turn"]["phase"] == phase => Ok(state),
            state => Err(format!(
                "{:#}\n{:#}\n{:#}\nthe pane:\n{}",
                state["recent_transitions"],
                agent.http.get("/v1/explain").ok(),
                agent.http.newest_request(),
                agent.world.screen(&agent.real.agent.pane)
            )),
        }
    })
}

#[track_caller]
fn turns(agent: &Steered) -> Vec<Value> {
    let mut turns = agent.http.get("/v1/turns").ok()["turns"].as_array().unwrap().clone();
    turns.reverse();
    turns
}

/// Waits until so many turns ended; returns all.
#[track_caller]
fn ended(agent: &Steered, count: usize) -> Vec<Value> {
    eventually_within(REAL_PATIENCE, &format!("{count} turns to end"), || {
        let turns = turns(agent);
        let over = turns.iter().filter(|turn| !turn["ended_at_utc"].is_null()).count();
        if over >= count { Ok(turns) } else { Err(format!("{turns:#?}\n{:#}", agent.http.get("/v1/explain").ok())) }
    })
}

/// The rules are those for the version that runs, and everybody says so.
fn rules_fit(tool: Tool, version: &str) {
    let Some(agent) = Steered::new(tool) else { return };
    let explanation = eventually_within(REAL_PATIENCE, "rules that fit", || match agent.http.get("/v1/explain").ok() {
        explanation if explanation["fit"] == "exact" => Ok(explanation),
        explanation => Err(format!("{explanation:#}")),
    });
    assert_eq!((&explanation["tool_version"], &explanation["conservative"]), (&json!(version), &Value::Null));
    let state = phase(&agent, "ready");
    assert_eq!(state["tracked_session"]["observed_tool_version"], version, "{state:#}");
}

#[test]
fn claudes_rules_fit_its_version() {
    rules_fit(Tool::Claude, "2.1.330");
}

#[test]
fn codexs_rules_fit_its_version() {
    rules_fit(Tool::Codex, "0.169.0");
}

#[test]
fn geminis_rules_fit_its_version() {
    rules_fit(Tool::Gemini, "0.61.0");
}

/// Three prompts, each one turn with its exact reply; then one that is interrupted while it streams.
fn turns_are_exact(tool: Tool) {
    let Some(agent) = Steered::new(tool) else { return };
    phase(&agent, "ready");
    for (number, (prompt, reply)) in
        [("say first reply", "first reply"), ("say **second** `reply`", "**second** `reply`")].into_iter().enumerate()
    {
        agent.send(prompt);
        let turns = ended(&agent, number + 1);
        assert_eq!(turns.len(), number + 1, "{turns:#?}");
        assert_eq!(turns[number]["prompt"], prompt, "{turns:#?}");
        let turn = eventually_within(REAL_PATIENCE, "an exact reply", || match self::turns(&agent)[number].clone() {
            turn if turn["reply"]["exact"] == true && turn["outcome"] == "success" => Ok(turn),
            turn => Err(turn.to_string()),
        });
        assert_eq!(turn["reply"]["text"].as_str().unwrap().trim(), reply);
        phase(&agent, "ready");
    }
    agent.send("slow 60000");
    agent.real.shows(&agent.world, tool.streaming());
    phase(&agent, "active");
    agent.http.post("/v1/requests", &json!({"kind": "interrupt", "payload": {}})).ok();
    let turns = ended(&agent, 3);
    assert_eq!(turns.len(), 3, "{turns:#?}");
    eventually_within(REAL_PATIENCE, "an interrupted turn", || match self::turns(&agent)[2].clone() {
        turn if turn["outcome"] == "interrupted" => Ok(()),
        turn => Err(turn.to_string()),
    });
    assert_eq!(phase(&agent, "ready")["last_turn"]["result"], "interrupted");
}

#[test]
fn turns_of_claude_are_exact() {
    turns_are_exact(Tool::Claude);
}

#[test]
fn turns_of_codex_are_exact() {
    turns_are_exact(Tool::Codex);
}

#[test]
fn turns_of_gemini_are_exact() {
    turns_are_exact(Tool::Gemini);
}

/// A question of the tool blocks it; its answer lets the same turn go on to its end.
fn a_question_blocks(tool: Tool) {
    let Some(agent) = Steered::new(tool) else { return };
    phase(&agent, "ready");
    agent.send("tool touch approved.txt");
    phase(&agent, "blocked");
    let open = turns(&agent);
    assert!(
        open.len() == 1 && open[0]["ended_at_utc"].is_null(),
        "{open:#?}\n{:#}",
        agent.http.get("/v1/explain").ok()
    );
    agent.real.confirm(&agent.world, tool.question());
    let turns = ended(&agent, 1);
    assert_eq!(turns.len(), 1, "{turns:#?}");
    phase(&agent, "ready");
}

#[test]
fn a_question_of_claude_blocks_it() {
    a_question_blocks(Tool::Claude);
}

#[test]
fn a_question_of_codex_blocks_it() {
    a_question_blocks(Tool::Codex);
}

#[test]
fn a_question_of_gemini_blocks_it() {
    a_question_blocks(Tool::Gemini);
}
