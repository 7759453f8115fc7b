//! The agent's memory: over HTTP and from the command line, and that nothing leads out of it.

use std::{
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::support::{Agent, Answer, Http, Run, World, edit, port_of};

fn memory(world: &World, agent: &Agent, words: &[&str]) -> Run {
    world.agents(&[&["memory"], words, &["--agent-id", &agent.id]].concat())
}

fn root_of(agent: &Agent) -> PathBuf {
    agent.file("manifest.json")["runtime"]["memory_root"].as_str().unwrap().into()
}

fn call(http: &Http, method: &str, path: &str, body: &Value) -> Answer {
    let mut connection = http.keep();
    connection.send(method, path, Some(body.to_string().as_bytes())).unwrap()
}

#[test]
fn a_memory_is_there_from_the_launch_on_and_outlives_it() {
    let world = World::new();
    let agent = world.launch("alpha");
    let root = root_of(&agent);
    assert_eq!(root, world.home().join("memory/agents").join(&agent.id));
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(root.join("pages").is_dir() && root.join("houmao-memo.md").is_file());
    let shown = world.tmux(&["show-environment", "-t", &format!("={}", agent.session)]);
    for (name, path) in [("DIR", ""), ("FILE", "/houmao-memo.md"), ("PAGES", "/pages")] {
        let ours = match name {
            "DIR" => ["AGENTS_MEMORY_DIR", "HOUMAO_AGENT_MEMORY_DIR"],
            "FILE" => ["AGENTS_MEMO_FILE", "HOUMAO_AGENT_MEMO_FILE"],
            _ => ["AGENTS_PAGES_DIR", "HOUMAO_AGENT_PAGES_DIR"],
        };
        for variable in ours {
            let line = format!("{variable}={}{path}", root.display());
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
    }

    // Without a gateway; text goes in and out byte for byte.
    memory(&world, &agent, &["memo", "set", "--content", "one\n"]).ok();
    memory(&world, &agent, &["memo", "append", "--content", "two"]).ok();
    assert_eq!(memory(&world, &agent, &["memo", "show"]).ok(), "one\ntwo");
    let mut command = world.command(World::program());
    command.args(["memory", "write", "--path", "plan/today.md", "--agent-id", &agent.id]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("grüße\n".as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let page = memory(&world, &agent, &["read", "--path", "plan/today.md", "--json"]).json();
    assert_eq!(
        (&page["content"], &page["relative_link"], &page["path"]),
        (&json!("grüße\n"), &json!("pages/plan/today.md"), &json!("plan/today.md"))
    );
    assert_eq!(memory(&world, &agent, &["tree"]).ok(), "plan/\nplan/today.md\n");
    let status = memory(&world, &agent, &["status", "--json"]).json();
    assert_eq!(
        (&status["memo_bytes"], &status["page_count"], &status["page_bytes"]),
        (&json!(7), &json!(1), &json!(8))
    );
    memory(&world, &agent, &["read", "--path", "../houmao-memo.md"]).fails(2, "leads out", "memory tree");
    memory(&world, &agent, &["delete", "--path", "nothing"]).fails(3, "no page `nothing`", "memory tree");

    // With one the files are the same, and after a relaunch, and for the next session of this agent.
    let http = Http::new(port_of(&world.attach(&agent)));
    assert_eq!(http.get("/v1/memory/memo").ok()["content"], "one\ntwo");
    assert_eq!(memory(&world, &agent, &["path", "--json"]).json(), http.get("/v1/memory").ok());
    world.agents(&["relaunch", "--agent-id", &agent.id]).ok();
    assert_eq!(memory(&world, &agent, &["memo", "show"]).ok(), "one\ntwo");
    world.agents(&["stop", "--agent-id", &agent.id]).ok();
    assert!(root.join("pages/plan/today.md").is_file());
    let again = world.launch("alpha");
    assert_eq!(memory(&world, &again, &["memo", "show"]).ok(), "one\ntwo");

    // A session that was made without a memory says so.
    edit(&again.root.join("manifest.json"), |manifest| {
        for key in ["memory_root", "memo_file", "pages_dir"] {
            manifest["runtime"][key] = Value::Null;
        }
    });
    memory(&world, &again, &["path"]).fails(8, "no memory", "launch the agent anew");
}

#[test]
fn the_routes_answer_as_the_contract_says() {
    let world = World::new();
    let agent = world.launch("alpha");
    let root = root_of(&agent);
    let http = Http::new(port_of(&world.attach(&agent)));
    let pages = |operation: &str, body: &Value| http.post(&format!("/v1/memory/pages/{operation}"), body);
    let code = |answer: &Answer| (answer.status, answer.header("agents-error-code").unwrap_or_default().to_owned());
    let memo = root.join("houmao-memo.md").display().to_string();
    let absolute = |name: &str| root.join("pages").join(name).display().to_string();

    assert_eq!(
        http.get("/v1/memory").ok(),
        json!({
            "schema_version": 1, "memory_root": root.display().to_string(), "memo_file": memo,
            "pages_dir": root.join("pages").display().to_string(),
        })
    );
    assert_eq!(http.get("/v1/memory/memo").ok(), json!({ "schema_version": 1, "memo_file": memo, "content": "" }));
    let set = call(&http, "PUT", "/v1/memory/memo", &json!({ "content": "a" })).ok();
    assert_eq!(set, json!({ "schema_version": 1, "memo_file": memo, "content": "a" }));
    assert_eq!(http.post("/v1/memory/memo/append", &json!({ "content": "b" })).ok()["content"], "ab");

    let written = pages("write", &json!({ "path": "./a//one.md", "content": "1" })).ok();
    assert_eq!(
        written,
        json!({
            "success": true, "action": "write_page", "path": "a/one.md", "relative_link": "pages/a/one.md",
            "absolute_path": absolute("a/one.md"), "detail": "1 bytes written",
        })
    );
    assert_eq!(pages("append", &json!({ "path": "a/one.md", "content": "2" })).ok()["action"], "append_page");
    let read = pages("read", &json!({ "path": "a/one.md" })).ok();
    assert_eq!(read["content"], "12");
    let resolved = pages("resolve", &json!({ "path": "a/one.md" })).ok();
    assert_eq!(
        (&resolved["exists"], &resolved["kind"], &resolved["size_bytes"]),
        (&json!(true), &json!("file"), &json!(2))
    );
    let none = pages("resolve", &json!({ "path": "a/two.md" })).ok();
    assert_eq!((&none["exists"], &none["kind"]), (&json!(false), &Value::Null));
    std::fs::create_dir(root.join("outside")).unwrap();
    std::fs::write(root.join("outside/secret"), "secret").unwrap();
    symlink("../outside", root.join("pages/away")).unwrap();
    symlink("one.md", root.join("pages/a/link")).unwrap();
    let tree = pages("tree", &json!({})).ok();
    assert_eq!((&tree["root"], &tree["path"]), (&json!(root.join("pages").display().to_string()), &json!(".")));
    let entries: Vec<(&str, &str)> = tree["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["path"].as_str().unwrap(), entry["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(entries, [("a", "directory"), ("a/link", "symlink"), ("a/one.md", "file"), ("away", "symlink")]);

    // 400: what is never taken, by every route.
    let long = "x/".repeat(3_000);
    for operation in ["tree", "resolve", "read", "write", "append", "delete"] {
        let body = |path: &str| match operation {
            "write" | "append" => json!({ "path": path, "content": "x" }),
            _ => json!({ "path": path }),
        };
        for path in ["/etc/passwd", "../houmao-memo.md", "a/../../houmao-memo.md", " ", "", "a\0b", "away/secret"] {
            let refused = pages(operation, &body(path));
            assert_eq!(code(&refused), (400, "memory_path_refused".to_owned()), "{operation} {path:?}");
        }
        assert_eq!(pages(operation, &body(&long)).status, 422, "{operation}: the system says no");
        assert_eq!(pages(operation, &json!({ "path": 7 })).status, 422, "{operation}");
    }
    assert_eq!(pages("resolve", &json!({ "path": "away" })).status, 400);
    for operation in ["write", "append"] {
        assert_eq!(pages(operation, &json!({ "path": "n", "content": "a\0" })).status, 400, "{operation}");
        assert_eq!(pages(operation, &json!({ "path": "a", "content": "x" })).status, 422, "{operation} a folder");
        assert_eq!(pages(operation, &json!({ "path": ".", "content": "x" })).status, 400, "{operation} all pages");
    }
    assert_eq!(call(&http, "PUT", "/v1/memory/memo", &json!({ "content": "\0" })).status, 400);
    for operation in ["read", "delete", "tree"] {
        let missing = pages(operation, &json!({ "path": "nothing/here" }));
        assert_eq!(code(&missing), (404, "unknown_page".to_owned()), "{operation}");
    }
    assert_eq!(pages("read", &json!({ "path": "a" })).status, 422);
    assert_eq!(pages("delete", &json!({ "path": "." })).status, 400);
}

#[test]
fn a_large_page_a_removed_folder_and_a_removed_memory() {
    let world = World::new();
    let agent = world.launch("alpha");
    let root = root_of(&agent);
    let http = Http::new(port_of(&world.attach(&agent)));
    let pages = |operation: &str, body: &Value| http.post(&format!("/v1/memory/pages/{operation}"), body);
    std::fs::create_dir(root.join("outside")).unwrap();
    std::fs::write(root.join("outside/secret"), "secret").unwrap();
    pages("write", &json!({ "path": "a/one.md", "content": "1" })).ok();

    // A page of a million bytes; a folder goes with everything in it, and what its links lead to stays.
    let large = "0123456789".repeat(100_000);
    pages("write", &json!({ "path": "large.md", "content": large })).ok();
    assert_eq!(pages("read", &json!({ "path": "large.md" })).ok()["content"], json!(large));
    symlink("../../outside", root.join("pages/a/away")).unwrap();
    let gone = pages("delete", &json!({ "path": "a" })).ok();
    assert_eq!((&gone["action"], &gone["path"]), (&json!("delete_page"), &json!("a")));
    assert!(!root.join("pages/a").exists() && root.join("outside/secret").is_file());
    std::fs::write(root.join("pages/latin1"), b"gr\xfc\xdfe").unwrap();
    assert_eq!(pages("read", &json!({ "path": "latin1" })).status, 422);

    // A memory that somebody removed is made again by what is written; one that is a link is not used.
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!(http.get("/v1/memory/memo").ok()["content"], "");
    assert_eq!(pages("tree", &json!({})).ok()["entries"], json!([]));
    assert_eq!(pages("read", &json!({ "path": "x" })).status, 404);
    pages("write", &json!({ "path": "x", "content": "back" })).ok();
    assert_eq!(std::fs::read_to_string(root.join("pages/x")).unwrap(), "back");
    std::fs::rename(&root, root.with_extension("moved")).unwrap();
    symlink(root.with_extension("moved"), &root).unwrap();
    assert_eq!(pages("read", &json!({ "path": "x" })).status, 422);
    assert_eq!(http.get("/v1/memory/memo").status, 422);
}

#[test]
fn a_link_swapped_in_while_pages_are_written_leads_nowhere_outside() {
    let world = World::new();
    let agent = world.launch("alpha");
    let root = root_of(&agent);
    let http = Http::new(port_of(&world.attach(&agent)));
    std::fs::create_dir(root.join("outside")).unwrap();
    std::fs::write(root.join("outside/secret"), "secret").unwrap();
    std::fs::create_dir(root.join("pages/folder")).unwrap();
    symlink("../outside", root.join("pages/link")).unwrap();
    let ends = AtomicBool::new(false);
    let mut seen = [0; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pages = std::fs::File::open(root.join("pages")).unwrap();
            while !ends.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&pages, "folder", &pages, "link", exchange).unwrap();
            }
        });
        let mut connection = http.keep();
        for n in 0..400 {
            let operation = ["write", "append", "read", "delete"][n % 4];
            let body = match operation {
                "write" | "append" => json!({ "path": "folder/secret", "content": "inside" }),
                _ => json!({ "path": "folder/secret" }),
            };
            let answer = connection.post(&format!("/v1/memory/pages/{operation}"), &body);
            assert!([200, 400, 404].contains(&answer.status), "{operation}: {} {}", answer.status, answer.json());
            seen[usize::from(answer.status == 400)] += 1;
            if operation == "read" && answer.status == 200 {
                assert!(answer.json()["content"].as_str().unwrap().starts_with("inside"));
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert!(seen.iter().all(|&count| count > 0), "both sides of the swap were met: {seen:?}");
    assert_eq!(std::fs::read_to_string(root.join("outside/secret")).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(root.join("outside")).unwrap().count(), 1);
}
