//! A session root that the predecessor wrote is served as it is, and its clients find what they look for.

use std::{fs, path::PathBuf};

use rusqlite::Connection;

use crate::support::{World, get};

const ID: &str = "local_interactive-20261121-131348Z-e48cbb1f";

/// Lays the recorded root out below the world, with a live session of its name, as its own program leaves it.
fn lay_out(world: &World) -> PathBuf {
    let work = world.work().to_string_lossy().into_owned();
    let root = world.work().join(".houmao/runtime/sessions/local_interactive").join(ID);
    for folder in ["gateway/run", "gateway/logs"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::create_dir_all(world.work().join(".houmao/agents")).unwrap();
    world.tmux(&["new-session", "-d", "-s", "keeper", "sleep 1000"]);
    world.tmux(&["new-session", "-d", "-s", "s-bench", "-n", "agent", "sleep 1000"]);
    let pane = world.tmux(&["display-message", "-p", "-t", "=s-bench:", "#{pane_id}"]);
    let window = world.tmux(&["display-message", "-p", "-t", "=s-bench:", "#{window_id}"]);
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("session-fixtures/sessions/predecessor");
    let copy = |from: &str, to: &str| {
        let text = fs::read_to_string(fixtures.join(from)).unwrap().replace("/srv/demo", &work);
        let text = text.replace("\"%1\"", &format!("\"{pane}\"")).replace("\"@1\"", &format!("\"{window}\""));
        fs::write(root.join(to), text).unwrap();
    };
    copy("manifest.json", "manifest.json");
    copy("attach.json", "gateway/attach.json");
    copy("desired-config.json", "gateway/desired-config.json");
    let schema = fs::read_to_string(fixtures.join("queue.schema.sql")).unwrap();
    let schema = schema.replace("CREATE TABLE sqlite_sequence(name,seq);", "");
    let queue = Connection::open(root.join("gateway/queue.sqlite")).unwrap();
    queue.execute_batch(&schema).unwrap();
    let waiting = "INSERT INTO gateway_requests VALUES ('gwreq-1', 'submit_prompt', '{\"prompt\": \"hello\"}', 'accepted', \
                   '2026-11-21T13:14:06+00:00', NULL, NULL, 1, NULL, NULL)";
    queue.execute(waiting, []).unwrap();
    let pointer = root.join("manifest.json").to_string_lossy().into_owned();
    world.tmux(&["set-environment", "-t", "=s-bench:", "HOUMAO_MANIFEST_PATH", &pointer]);
    root
}

#[test]
fn a_session_of_the_predecessor_gets_a_gateway_and_keeps_its_files() {
    let world = World::new();
    let root = lay_out(&world);
    let manifest = fs::read(root.join("manifest.json")).unwrap();

    let live = world.agents(&["gateway", "attach", "--json", "--target-tmux-session", "s-bench"]).json();
    assert_eq!(live["attach_identity"], ID);
    assert_eq!(live["managed_agent_connectivity"], "connected");
    assert_eq!(live["queue_depth"], 1, "the row that the predecessor accepted still waits");
    assert_eq!(live["gateway_tmux_window_index"], "1");
    let port = u16::try_from(live["gateway_port"].as_u64().unwrap()).unwrap();
    assert_eq!(get(port, "/health", "").status, 200);

    let variables = world.live_variables("s-bench");
    assert!(variables.contains(&format!("HOUMAO_AGENT_GATEWAY_PORT={port}")), "{variables:?}");
    assert_eq!(fs::read(root.join("manifest.json")).unwrap(), manifest, "the manifest is the predecessor's to write");
    assert!(!world.work().join(".houmao/registry").exists(), "its registry lies elsewhere, and none is made here");

    let offline = world.agents(&["gateway", "detach", "--json", "--target-tmux-session", "s-bench"]).json();
    assert_eq!(offline["gateway_health"], "not_attached");
    assert_eq!(world.live_variables("s-bench"), Vec::<String>::new());
    world.agents(&["stop", "--target-tmux-session", "s-bench"]).ok();
    assert_eq!(world.windows("s-bench"), ["0 agent"], "a session that was not launched here is not ended");
}

#[test]
fn a_manifest_of_a_retired_backend_is_refused_with_its_name() {
    let world = World::new();
    let root = lay_out(&world);
    let text = fs::read_to_string(root.join("manifest.json")).unwrap();
    fs::write(
        root.join("manifest.json"),
        text.replace("\"backend\": \"local_interactive\"", "\"backend\": \"cao_rest\""),
    )
    .unwrap();
    let run = world.agents(&["gateway", "attach", "--target-tmux-session", "s-bench"]);
    run.fails(3, "cao_rest", "agents join");
}
