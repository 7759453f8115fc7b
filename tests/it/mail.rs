//! The mail of agents: over HTTP, from the command line with and without a gateway, and between two of them.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    process::{Child, Stdio},
};

use inotify::{Inotify, WatchMask};
use serde_json::{Value, json};

use crate::support::{Agent, Answer, Http, Run, World, edit, eventually, port_of, signal};

const ALPHA: &str = "alpha@agents.localhost";
const BETA: &str = "beta@agents.localhost";

/// An agent with a mailbox.
fn with_mailbox(world: &World, name: &str) -> Agent {
    world.launch_with(&[name, "--mailbox", "--", "sleep", "1000"])
}

fn mail(world: &World, agent: &Agent, words: &[&str]) -> Run {
    world.agents(&[&["mail"], words, &["--agent-id", &agent.id]].concat())
}

fn mail_json(world: &World, agent: &Agent, words: &[&str]) -> Value {
    mail(world, agent, &[words, &["--json"]].concat()).json()
}

/// Sends one and returns how its receiver finds it.
fn send(world: &World, from: &Agent, to: &str, subject: &str, body: &str) -> String {
    let sent = mail_json(world, from, &["send", "--to", to, "--subject", subject, "--body-content", body]);
    sent["message"]["message_ref"].as_str().unwrap().to_owned()
}

fn gateway(world: &World, agent: &Agent) -> Http {
    Http::new(port_of(&world.attach(agent)))
}

/// Status, stable word and sentence of a refusal.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    (answer.status, answer.header("agents-error-code").unwrap_or_default().to_owned(), detail)
}

/// What of an answer is about the message that was just made.
fn without_names(mut answer: Value) -> Value {
    for key in ["message_ref", "thread_ref", "created_at_utc"] {
        answer["message"][key].take();
    }
    for file in answer["message"]["attachments"].as_array_mut().unwrap() {
        file["attachment_id"].take();
    }
    answer
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of commands, all said both ways")]
fn the_command_line_says_the_same_with_a_gateway_and_without() {
    let world = World::new();
    let (alpha, beta) = (with_mailbox(&world, "alpha"), with_mailbox(&world, "beta"));
    std::fs::write(world.work().join("plan.txt"), "the plan").unwrap();
    let first = send(&world, &beta, ALPHA, "hello", "a first line\nand a second");
    let noted =
        mail_json(&world, &alpha, &["post", "--subject", "note", "--body-content", "b", "--reply-policy", "none"]);
    let noted = noted["message"]["message_ref"].as_str().unwrap().to_owned();
    let second = send(&world, &beta, ALPHA, "again", "x");
    let unknown = "filesystem:msg-20261121T115826Z-00000000000000000000000000000000";

    let reads: Vec<Vec<&str>> = vec![
        vec!["status"],
        vec!["list"],
        vec!["list", "--include-body", "--limit", "1"],
        vec!["list", "--read-state", "unread", "--answered-state", "unanswered", "--not-archived"],
        vec!["list", "--box", "nowhere"],
        vec!["list", "--box", "sent"],
        vec!["list", "--since", "2999-01-01T00:00:00Z"],
        vec!["peek", "--message-ref", &first],
        vec!["peek", "--message-ref", &first, "--box", "inbox"],
    ];
    let send_words = [
        "send",
        "--to",
        BETA,
        "--cc",
        ALPHA,
        "--subject",
        "-s",
        "--body-content",
        "-b",
        "--attach",
        "plan.txt",
        "--notify-block",
        "look",
        "--notify-block-placement",
        "prepend",
    ];
    let writes: Vec<Vec<&str>> = vec![
        send_words.to_vec(),
        vec!["post", "--subject", "p", "--body-content", "c"],
        vec!["reply", "--message-ref", &second, "--body-content", "r"],
    ];
    let changes: Vec<Vec<&str>> = vec![
        vec!["mark", "--message-ref", &first, "--message-ref", &second, "--read", "--answered"],
        vec!["mark", "--message-ref", &first, "--unread", "--unanswered"],
        vec!["move", "--message-ref", &second, "--destination-box", "later"],
        vec!["archive", "--message-ref", &second],
        vec!["mark", "--message-ref", &second, "--unarchived"],
        vec!["move", "--message-ref", &second, "--destination-box", "inbox"],
        vec!["read", "--message-ref", &second],
    ];
    let wrong: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["peek", "--message-ref", unknown], 3, "there is no message"),
        (vec!["read", "--message-ref", "nonsense"], 3, "there is no message"),
        (vec!["peek", "--message-ref", &first, "--box", "sent"], 3, "there is no message"),
        (
            vec!["send", "--to", "nobody@agents.localhost", "--subject", "s", "--body-content", "b"],
            2,
            "nobody@agents.localhost",
        ),
        (vec!["send", "--to", "../x", "--subject", "s", "--body-content", "b"], 2, "is not a mail address"),
        (vec!["send", "--to", BETA, "--to", BETA, "--subject", "s", "--body-content", "b"], 2, "named twice"),
        (vec!["send", "--to", BETA, "--subject", " ", "--body-content", "b"], 2, "the subject is empty"),
        (vec!["send", "--to", BETA, "--subject", "s", "--body-content", "b", "--attach", "missing"], 2, "missing"),
        (vec!["list", "--box", "a/b"], 2, "is not the name of a mail folder"),
        (vec!["list", "--since", "yesterday"], 2, "not an ISO time"),
        (vec!["mark", "--message-ref", &first, "--message-ref", &first, "--read"], 2, "named twice"),
        (vec!["mark", "--message-ref", &first, "--message-ref", unknown, "--read"], 3, "there is no message"),
        (vec!["move", "--message-ref", &first, "--destination-box", "../x"], 2, "is not the name of a mail folder"),
        (vec!["reply", "--message-ref", &noted, "--body-content", "b"], 8, "takes no answer"),
    ];
    let told = |words: &[&str]| {
        let run = mail(&world, &alpha, words);
        (run.status, run.stdout, run.stderr)
    };
    let all = || {
        let reads: Vec<_> = reads.iter().map(|words| (mail_json(&world, &alpha, words), told(words))).collect();
        let failed: Vec<_> = wrong
            .iter()
            .map(|(words, status, error)| {
                mail(&world, &alpha, words).fails(*status, error, "");
                (told(words), told(&[&words[..], &["--json"]].concat()))
            })
            .collect();
        let moved: Vec<_> = changes.iter().map(|words| (mail_json(&world, &alpha, words), told(words))).collect();
        mail(&world, &alpha, &["mark", "--message-ref", &first, "--unread"]).ok();
        mail(&world, &alpha, &["mark", "--message-ref", &second, "--unread", "--unanswered"]).ok();
        (reads, failed, moved)
    };
    let written: Vec<Value> = writes.iter().map(|words| without_names(mail_json(&world, &alpha, words))).collect();
    assert_eq!(written[0]["message"]["attachments"][0]["size_bytes"], 8, "{}", written[0]);
    assert_eq!(written[0]["message"]["notify_block"], json!({"text": "look", "placement": "prepend"}));
    mail(&world, &alpha, &["mark", "--message-ref", &second, "--unread", "--unanswered"]).ok();
    let before = mail_json(&world, &alpha, &["list"]);
    assert_eq!(before["message_count"], 5, "{before}");

    // Now the same through the gateway; the log of its requests proves that it was asked.
    let http = gateway(&world, &alpha);
    let live = mail_json(&world, &alpha, &["resolve-live"]);
    assert_eq!(live, http.get("/v1/mail/resolve-live").ok());
    assert_eq!((&live["gateway_available"], &live["gateway"]["port"]), (&json!(true), &json!(http.port)));
    assert_eq!(live["mailbox"]["filesystem"]["mailbox_kind"], "in_root");
    assert!(Path::new(live["mailbox"]["filesystem"]["inbox_path"].as_str().unwrap()).is_dir());
    assert_eq!(mail_json(&world, &alpha, &["list"]), before);
    assert_eq!(http.post("/v1/mail/list", &json!({})).ok(), before);
    let again: Vec<Value> = writes.iter().map(|words| without_names(mail_json(&world, &alpha, words))).collect();
    assert_eq!(again, written);
    world.agents(&["gateway", "detach", "--agent-id", &alpha.id]).ok();
    let off = mail_json(&world, &alpha, &["resolve-live"]);
    assert_eq!((&off["gateway_available"], &off["gateway"]), (&json!(false), &Value::Null));
    mail(&world, &alpha, &["mark", "--message-ref", &second, "--unread", "--unanswered"]).ok();

    let without = all();
    gateway(&world, &alpha);
    let with = all();
    assert_eq!(with.0, without.0);
    assert_eq!(with.1, without.1);
    assert_eq!(with.2, without.2);
}

#[test]
fn every_wrong_use_of_the_routes_is_named() {
    let world = World::new();
    let (alpha, beta) = (with_mailbox(&world, "alpha"), with_mailbox(&world, "beta"));
    let http = gateway(&world, &alpha);
    let unknown = "filesystem:msg-20261121T115826Z-00000000000000000000000000000000";
    for (path, body) in [
        ("peek", json!({"message_ref": unknown})),
        ("read", json!({"message_ref": "stalwart:M1"})),
        ("reply", json!({"message_ref": "../../etc/passwd", "body_content": "x"})),
        ("mark", json!({"message_refs": [unknown], "read": true})),
        ("move", json!({"message_refs": [unknown], "destination_box": "later"})),
        ("archive", json!({"message_refs": ["filesystem:"]})),
    ] {
        let (status, code, detail) = refusal(&http.post(&format!("/v1/mail/{path}"), &body));
        assert_eq!((status, code.as_str()), (404, "unknown_message"), "{path} {detail}");
    }
    let letter = json!({"to": [BETA, "x@y"], "subject": "s", "body_content": "b"});
    let (status, code, detail) = refusal(&http.post("/v1/mail/send", &letter));
    assert_eq!((status, code.as_str(), detail.contains("x@y")), (422, "unknown_recipient", true), "{detail}");
    assert_eq!(mail_json(&world, &beta, &["list"])["message_count"], 0, "nobody got it");
    let wrong = json!({"to": [BETA, BETA, "x"], "subject": " ", "bcc": []});
    let answer = http.post("/v1/mail/send", &wrong).refused(422);
    let places: Vec<String> = answer.as_array().unwrap().iter().map(|issue| issue["loc"].to_string()).collect();
    for place in [
        r#"["body","to",1]"#,
        r#"["body","to",2]"#,
        r#"["body","subject"]"#,
        r#"["body","body_content"]"#,
        r#"["body","bcc"]"#,
    ] {
        assert!(places.iter().any(|found| found == place), "{place} in {places:?}");
    }
    for (path, body) in [
        ("list", json!({"box": "a/b"})),
        ("mark", json!({"message_refs": [unknown, unknown], "read": true})),
        ("archive", json!({"message_refs": []})),
    ] {
        http.post(&format!("/v1/mail/{path}"), &body).refused(422);
    }
    assert_eq!(http.post_bytes("/v1/mail/list", b"{").status, 422);
    assert_eq!(http.get("/v1/mail/list").status, 405);
    assert_eq!(http.post("/v1/mail/delete", &json!({})).status, 404);

    // The same key and letter is sent once; none of it arrives half.
    let letter = json!({"to": [BETA], "subject": "once", "body_content": "b"});
    let keyed = http.with("Idempotency-Key", "k1");
    let sent: Vec<Value> =
        (0..3).map(|_| keyed.post("/v1/mail/send", &letter).ok()["message"]["message_ref"].take()).collect();
    assert_eq!((&sent[0], &sent[0]), (&sent[1], &sent[2]));
    assert_eq!(mail_json(&world, &beta, &["list"])["message_count"], 1);
    assert_eq!(http.with("Idempotency-Key", "a b").post("/v1/mail/send", &letter).status, 400);

    // A note that wants no answer; one unknown among several marks none.
    let note = json!({"subject": "note", "body_content": "b", "reply_policy": "none"});
    let note = http.post("/v1/mail/post", &note).ok()["message"]["message_ref"].take();
    let answer = http.post("/v1/mail/reply", &json!({"message_ref": note, "body_content": "r"}));
    assert_eq!(refusal(&answer).0, 409);
    http.post("/v1/mail/mark", &json!({"message_refs": [note, unknown], "read": true})).refused(404);
    assert_eq!(http.post("/v1/mail/peek", &json!({"message_ref": note})).ok()["message"]["unread"], true);
    assert_eq!(http.post("/v1/mail/read", &json!({"message_ref": note})).ok()["message"]["unread"], false);
}

#[test]
fn an_attachment_becomes_a_file_and_nothing_else() {
    let world = World::new();
    let (alpha, beta) = (with_mailbox(&world, "alpha"), with_mailbox(&world, "beta"));
    let http = gateway(&world, &beta);
    let plan = world.work().join("plan.bin");
    std::fs::write(&plan, b"the plan\0\xff\n").unwrap();
    let path = plan.to_str().unwrap();
    let files = json!([{"path": path}, {"path": path, "label": "../../.ssh/\u{1b}[2Jkeys"}]);
    let letter = json!({"to": [ALPHA], "subject": "s", "body_content": "b", "attachments": files});
    let sent = http.post("/v1/mail/send", &letter).ok()["message"]["message_ref"].take();
    let sent = sent.as_str().unwrap();
    for (place, with_gateway) in [("without", false), ("with", true)] {
        let folder = world.work().join(place);
        std::fs::create_dir(&folder).unwrap();
        if with_gateway {
            gateway(&world, &alpha);
        }
        let to = folder.to_str().unwrap();
        let save =
            |words: &[&str]| mail(&world, &alpha, &[&["save", "--message-ref", sent, "--to", to], words].concat());
        save(&[]).fails(2, "2 attachments: 1 plan.bin, 2 ../../.ssh/keys", "--attachment NUMBER");
        let saved = save(&["--attachment", "1", "--json"]).json();
        assert_eq!(saved["path"], folder.join("plan.bin").to_str().unwrap());
        assert_eq!(std::fs::read(folder.join("plan.bin")).unwrap(), b"the plan\0\xff\n");
        std::fs::write(folder.join("plan.bin"), "mine").unwrap();
        save(&["--attachment", "plan.bin"]).fails(8, "is there already", "--force");
        assert_eq!(std::fs::read(folder.join("plan.bin")).unwrap(), b"mine");
        save(&["--attachment", "plan.bin", "--force"]).ok();
        assert!(save(&["--attachment", "2"]).ok().contains("keys (application/octet-stream, 11 bytes)"));
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["keys", "plan.bin"]);
        save(&["--attachment", "3"]).fails(3, "no one attachment `3`", "agents mail peek");
        let nowhere = format!("{to}/nowhere/file");
        let words = ["save", "--message-ref", sent, "--attachment", "1", "--to", &nowhere];
        mail(&world, &alpha, &words).fails(2, "is no place for a file", "--to");
        let unknown = ["save", "--message-ref", "filesystem:msg-20261121T115826Z-00000000000000000000000000000000"];
        mail(&world, &alpha, &unknown).fails(3, "there is no message", "agents mail list");
    }
    // Over HTTP; what is gone, changed, or never was there is told apart from what was sent.
    let ask = |id: &Value| http.post("/v1/mail/attachment", &json!({"message_ref": sent, "attachment_id": id}));
    let peeked = http.post("/v1/mail/peek", &json!({"message_ref": sent})).ok();
    let id = &peeked["message"]["attachments"][0]["attachment_id"];
    let answer = ask(id).ok();
    assert_eq!((&answer["operation"], &answer["content_base64"]), (&json!("attachment"), &json!("dGhlIHBsYW4A/wo=")));
    assert_eq!(answer["attachment"], peeked["message"]["attachments"][0]);
    std::fs::write(&plan, b"the plan\0\xfe\n").unwrap();
    for (answer, why) in [(ask(id), "was changed"), (ask(&json!("other")), "has no attachment `other`")] {
        let (status, code, detail) = refusal(&answer);
        assert_eq!((status, code.as_str(), detail.contains(why)), (404, "no_attachment", true), "{detail}");
    }
    ask(&json!("")).refused(422);
}

#[test]
fn a_mailbox_comes_and_goes_while_the_gateway_runs() {
    let world = World::new();
    let beta = with_mailbox(&world, "beta");
    let gamma = world.launch("gamma");
    let live = world.agents(&["gateway", "attach", "--json", "--agent-id", &gamma.id]).json();
    let http = Http::new(port_of(&live));
    let letter = json!({"to": [BETA], "subject": "s", "body_content": "b"});
    let unbound = |http: &Http| {
        for answer in
            [http.get("/v1/mail/status"), http.get("/v1/mail/resolve-live"), http.post("/v1/mail/send", &letter)]
        {
            let (status, code, _) = refusal(&answer);
            assert_eq!((status, code.as_str()), (422, "mailbox_not_bound"));
        }
        mail(&world, &gamma, &["status"]).fails(8, "has no mailbox", "agents mail bind --agent-id");
    };
    unbound(&http);
    let listed = |name: &str| {
        let all = world.agents(&["list", "--json"]).json();
        all["agents"].as_array().unwrap().iter().find(|agent| agent["agent_name"] == name).unwrap()["mailbox"].clone()
    };
    assert_eq!(listed("gamma"), Value::Null);

    let bound = mail_json(&world, &gamma, &["bind", "--address", "g.one@agents.localhost"]);
    assert_eq!(bound["mailbox"], gamma.file("manifest.json")["launch_plan"]["mailbox"]);
    assert_eq!(http.get("/v1/mail/status").ok()["address"], "g.one@agents.localhost");
    http.post("/v1/mail/send", &letter).ok();
    assert_eq!(listed("beta")["unread_count"], 1);
    let list = world.agents(&["list"]).ok();
    assert!(list.lines().any(|line| line.starts_with("beta ") && line.contains(" 1 new ")), "{list}");
    let shown = world.agents(&["show", "--agent-name", "beta"]).ok();
    assert!(shown.contains("beta@agents.localhost, 1 unread"), "{shown}");
    assert_eq!(world.agents(&["state", "--json", "--agent-name", "beta"]).json()["mailbox"]["unread_count"], 1);
    let variable = format!("AGENTS_MAILBOX_ADDRESS={}", "g.one@agents.localhost");
    let variables = || world.tmux(&["show-environment", "-t", &format!("={}:", gamma.session)]);
    assert!(variables().contains(&variable), "{}", variables());

    // Nobody takes another one's address; one that is taken away keeps its mail.
    mail(&world, &gamma, &["bind", "--address", BETA]).fails(8, BETA, "");
    send(&world, &beta, "g.one@agents.localhost", "kept", "b");
    let unbound_now = mail(&world, &gamma, &["unbind"]);
    let root = world.home().join("mailbox");
    let again = format!("agents mail bind --mail-root {} --address g.one@agents.localhost --agent-", root.display());
    assert!(unbound_now.stderr.contains(&again), "{}", unbound_now.stderr);
    unbound_now.ok();
    assert!(!variables().contains("AGENTS_MAILBOX_ADDRESS"), "{}", variables());
    unbound(&http);
    mail(&world, &gamma, &["bind", "--address", "g.one@agents.localhost"]).ok();
    assert_eq!(http.post("/v1/mail/list", &json!({})).ok()["unread_count"], 1);

    // Stopped and launched again it is the same mailbox; so after a cleanup.
    world.agents(&["stop", "--agent-id", &beta.id]).ok();
    world.agents(&["cleanup", "--agent-id", &beta.id, "--yes"]).ok();
    let beta = with_mailbox(&world, "beta");
    assert_eq!(mail_json(&world, &beta, &["list"])["unread_count"], 1);
    world.agents(&["relaunch", "--agent-id", &beta.id]).ok();
    assert_eq!(mail_json(&world, &beta, &["list"])["unread_count"], 1);
    // Another agent of that name is somebody else.
    let other = world.agents(&["launch", "beta", "--agent-id", "other", "--mailbox", "--", "sleep", "1000"]);
    other.fails(8, BETA, "");
    assert_eq!(world.agents(&["list", "--all", "--json"]).json()["agents"].as_array().unwrap().len(), 2);

    // A damaged section is told, and does not keep the list from being made.
    let path = beta.root.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"filesystem\"", "\"pigeon\"");
    std::fs::write(&path, text).unwrap();
    assert!(listed("beta")["problem"].as_str().unwrap().contains("pigeon"));
    let list = world.agents(&["list"]).ok();
    assert!(list.lines().any(|line| line.starts_with("beta ") && line.contains(" ? ")), "{list}");
}

#[test]
fn mail_is_not_told_to_a_network() {
    let world = World::new();
    let alpha = with_mailbox(&world, "alpha");
    let words = ["gateway", "attach", "--allow-remote", "--gateway-host", "0.0.0.0", "--json", "--agent-id", &alpha.id];
    let http = Http::new(port_of(&world.agents(&words).json()));
    let token = std::fs::read_to_string(alpha.root.join("gateway/run/token")).unwrap();
    let http = http.with("Authorization", &format!("Bearer {}", token.trim()));
    for answer in
        [http.get("/v1/mail/status"), http.get("/v1/mail/resolve-live"), http.post("/v1/mail/list", &json!([]))]
    {
        let (status, code, _) = refusal(&answer);
        assert_eq!((status, code.as_str()), (503, "mail_not_on_loopback"));
    }
    // The command line needs no gateway.
    assert_eq!(mail_json(&world, &alpha, &["status"])["address"], ALPHA);
    assert_eq!(mail_json(&world, &alpha, &["resolve-live"])["gateway"]["host"], "0.0.0.0");
}

#[test]
fn a_letter_is_text_for_a_persons_terminal() {
    let world = World::new();
    let alpha = with_mailbox(&world, "alpha");
    let mut command = world.command(World::program());
    command.args(["mail", "send", "--to", ALPHA, "--subject", "red \u{202e}and", "--agent-id", &alpha.id]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all("# a\u{1b}]0;evil\u{7}\u{1b}[2Jb\n\n\ttab é 👩‍👩‍👧\n".as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let list = mail(&world, &alpha, &["list"]).ok();
    let line = list.lines().nth(1).unwrap();
    assert!(line.starts_with("UNREAD") && line.contains("red and"), "{list}");
    let message = line.split_whitespace().last().unwrap().to_owned();
    let shown = mail(&world, &alpha, &["peek", "--message-ref", &message]).ok();
    assert!(shown.ends_with("\n\n# ab\n\n\ttab é 👩‍👩‍👧\n"), "{shown:?}");
    let whole = mail_json(&world, &alpha, &["read", "--message-ref", &message]);
    assert!(whole["message"]["body_text"].as_str().unwrap().contains("\u{1b}[2J"), "a program gets what was written");
    let file = world.work().join("letter.md");
    std::fs::write(&file, b"\xff").unwrap();
    let path = file.to_str().unwrap();
    let words = ["reply", "--message-ref", &message, "--body-file", path];
    mail(&world, &alpha, &words).fails(2, "not UTF-8: byte 0", "");
    std::fs::write(&file, "from a file\n").unwrap();
    let answer = mail_json(&world, &alpha, &words)["message"]["message_ref"].take();
    let shown = mail(&world, &alpha, &["peek", "--message-ref", answer.as_str().unwrap()]).ok();
    assert!(shown.ends_with("\n\nfrom a file\n"), "{shown}");
    mail(&world, &alpha, &["reply", "--message-ref", &message, "--body-file", "missing"]).fails(
        2,
        "`missing` cannot be read",
        "",
    );
    mail(&world, &alpha, &["mark", "--message-ref", &message]).fails(2, "--read", "usage");
    mail(&world, &alpha, &["mark", "--message-ref", &message, "--read", "--unread"]).fails(2, "--unread", "usage");
    world.agents(&["launch", "x", "--mailbox=HOUMAO-x@y", "--", "sleep", "9"]).fails(
        2,
        "the system's",
        "choose another",
    );
    world.agents(&["launch", "x", "--mail-root", "/m", "--", "sleep", "9"]).fails(2, "--mailbox", "usage");
    // In the agent's own pane nothing has to be named.
    assert_eq!(world.agents_in(&alpha.pane, &["mail", "status", "--json"]).json()["address"], ALPHA);
}

#[test]
fn a_mail_server_that_hangs_holds_up_nobody_else() {
    let world = World::new();
    let alpha = world.launch("alpha");
    let http = gateway(&world, &alpha);
    // The kernel takes connections for it, and nobody answers.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jmap", server.local_addr().unwrap());
    edit(&alpha.root.join("manifest.json"), |manifest| {
        manifest["launch_plan"]["mailbox"] = json!({
            "transport": "stalwart", "principal_id": "AGENTS-alpha", "address": ALPHA, "bindings_version": "v",
            "jmap_url": url, "management_url": url, "login_identity": "alpha", "credential_ref": "x",
        });
    });
    let secrets = alpha.root.join("mailbox-secrets");
    std::fs::create_dir(&secrets).unwrap();
    let secret = json!({"credential_ref": "x", "login_identity": "alpha", "password": "swordfish"});
    std::fs::write(secrets.join("x.json"), secret.to_string()).unwrap();
    for (path, mode) in [(secrets.clone(), 0o700), (secrets.join("x.json"), 0o600)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let asked: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", http.port)).unwrap();
            stream.write_all(&http.request("POST", "/v1/mail/list", Some(b"{}"))).unwrap();
            stream
        })
        .collect();
    let hanging = [server.accept().unwrap(), server.accept().unwrap()];
    http.get("/v1/status").ok();
    let queued = http.queue_prompt("true");
    assert_eq!(http.shown(&queued)["request_id"], queued.as_str());
    let listed = world.agents(&["list", "--json"]).json();
    let mailbox = &listed["agents"][0]["mailbox"];
    assert_eq!((&mailbox["transport"], &mailbox["unread_count"]), (&json!("stalwart"), &Value::Null), "{listed}");
    assert_eq!(http.get("/v1/mail/resolve-live").ok()["mailbox"]["stalwart"]["jmap_url"], url);
    drop((asked, hanging));
    assert!(!alpha.log().contains("swordfish"));
}

#[test]
fn a_sender_that_waits_for_a_lock_holds_up_nobody_else() {
    let world = World::new();
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(|name| with_mailbox(&world, name));
    let http = gateway(&world, &alpha);
    let first = send(&world, &gamma, ALPHA, "first", "x");
    // Somebody outside has beta's mailbox, with a lock as this program makes it.
    let path = world.home().join("mailbox/locks/addresses").join(format!("{BETA}.lock"));
    let held = File::options().create(true).append(true).mode(0o1600).open(&path).unwrap();
    held.set_permissions(std::fs::Permissions::from_mode(0o1600)).unwrap();
    held.lock().unwrap();
    let mut asked = Inotify::init().unwrap();
    asked.watches().add(&path, WatchMask::OPEN).unwrap();
    let letter = |to: &str, subject: &str| json!({"to": [to], "subject": subject, "body_content": "b"});
    // More of them than the gateway has threads.
    let senders: Vec<_> = (0..6)
        .map(|n| {
            let (http, letter) = (http.with("Idempotency-Key", &format!("k{n}")), letter(BETA, &format!("n{n}")));
            std::thread::spawn(move || http.post("/v1/mail/send", &letter).ok())
        })
        .collect();
    let mut attempts = 0;
    eventually("all of them to ask for the lock", || {
        attempts += asked.read_events(&mut [0; 4096]).map_or(0, Iterator::count);
        if attempts < 60 { Err(attempts.to_string()) } else { Ok(()) }
    });

    // Everything else goes on: what reads, what changes the sender's own mailbox, and what is for somebody else.
    http.get("/health").ok();
    http.get("/v1/status").ok();
    assert_eq!(http.get("/v1/mail/status").ok()["address"], ALPHA);
    assert_eq!(http.post("/v1/mail/list", &json!({})).ok()["unread_count"], 1);
    assert_eq!(http.post("/v1/mail/read", &json!({"message_ref": first})).ok()["message"]["unread"], false);
    http.post("/v1/mail/archive", &json!({"message_refs": [first]})).ok();
    let note = http.post("/v1/mail/send", &letter("gamma@agents.localhost", "for gamma")).ok();
    assert_eq!(note["message"]["box"], "sent");
    mail(&world, &alpha, &["send", "--to", ALPHA, "--subject", "for me", "--body-content", "b"]).ok();
    assert_eq!(mail_json(&world, &gamma, &["list"])["message_count"], 1);
    assert_eq!(mail_json(&world, &beta, &["list"])["message_count"], 0, "nobody went past the lock");
    assert!(senders.iter().all(|sender| !sender.is_finished()));

    drop(held);
    let mut sent: Vec<Value> =
        senders.into_iter().map(|sender| sender.join().unwrap()["message"]["subject"].take()).collect();
    sent.sort_by_key(Value::to_string);
    assert_eq!(sent, (0..6).map(|n| json!(format!("n{n}"))).collect::<Vec<_>>());
    // Once each, also for who asks again.
    let again = http.with("Idempotency-Key", "k0").post("/v1/mail/send", &letter(BETA, "n0")).ok();
    assert_eq!(again["message"]["subject"], "n0");
    let got = mail_json(&world, &beta, &["list"]);
    let mut got: Vec<Value> = got["messages"].as_array().unwrap().iter().map(|one| one["subject"].clone()).collect();
    got.sort_by_key(Value::to_string);
    assert_eq!(got, sent);
}

/// A command that goes on, and its lines.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn new(world: &World, words: &[&str]) -> Self {
        let mut command = world.command(World::program());
        let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn end(mut self) -> Option<i32> {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut rest).unwrap();
        assert_eq!(rest, "");
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_watch_tells_each_message_once() {
    let world = World::new();
    let (alpha, beta) = (with_mailbox(&world, "alpha"), with_mailbox(&world, "beta"));
    let read = send(&world, &beta, ALPHA, "read", "x");
    mail(&world, &alpha, &["mark", "--message-ref", &read, "--read"]).ok();
    send(&world, &beta, ALPHA, "zero", "x");
    let watch = ["mail", "watch", "--agent-id", &alpha.id];
    let mut unread = Running::new(&world, &[&watch[..], &["--unread", "--json", "--include-body"]].concat());
    let first: Value = serde_json::from_str(&unread.line()).unwrap();
    assert_eq!((&first["subject"], &first["body_text"].as_str().map(str::trim_end)), (&json!("zero"), &Some("x")));
    // It has told what was there, so it listens.
    for n in 1..=5 {
        send(&world, &beta, ALPHA, &format!("n{n}"), "x");
    }
    for n in 1..=5 {
        let told: Value = serde_json::from_str(&unread.line()).unwrap();
        assert_eq!(told["subject"], format!("n{n}"), "{told}");
    }
    // Marks and moves are no arrivals.
    mail(&world, &alpha, &["archive", "--message-ref", &read]).ok();
    send(&world, &beta, ALPHA, "last", "x");
    assert!(unread.line().contains("\"last\""));
    signal(unread.child.id(), rustix::process::Signal::INT);
    assert_eq!(unread.end(), Some(130));

    let mut all = Running::new(&world, &[&watch[..], &["--all", "--count", "3"]].concat());
    assert!((0..3).map(|_| all.line()).collect::<String>().contains("n1  filesystem:msg-"));
    assert_eq!(all.end(), Some(0));
    let late = world.agents(&[&watch[..], &["--timeout", "50ms"]].concat());
    late.fails(10, "no further message", "agents mail list --agent-id");
    mail(&world, &world.launch("gamma"), &["watch"]).fails(8, "has no mailbox", "agents mail bind");
}

#[test]
fn two_agents_play_ping_pong() {
    let world = World::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/ping-pong/ping-pong.sh");
    let mut command = world.command("sh");
    command.arg(&script).arg("2").env("AGENTS", World::program()).env("TMPDIR", world.path());
    let played = world.finish(command).ok();
    let balls: Vec<&str> = played.lines().filter_map(|line| line.split("| ").nth(1)).collect();
    assert_eq!(balls, ["ping 1", "pong 1", "ping 2", "pong 2"], "{played}");
    eventually("nothing to be left", || {
        let left: Vec<_> = std::fs::read_dir(world.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        if left.iter().any(|name| name.to_string_lossy().starts_with("ping-pong")) {
            Err(format!("{left:?}"))
        } else {
            Ok(())
        }
    });
}
