//! What the gateway says over HTTP, and whom it refuses.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use serde_json::{Value, json};

use crate::support::{Agent, Answer, World, get, port_of, raw};

/// A world with one live gateway.
fn live() -> (World, Agent, u16) {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));
    (world, agent, port)
}

fn token(agent: &Agent) -> String {
    std::fs::read_to_string(agent.root.join("gateway/run/token")).unwrap().trim().to_owned()
}

/// A refusal in the contract's form.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(body.as_object().unwrap().len(), 1, "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    body["detail"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[test]
fn health_and_status_have_exactly_the_contracts_shape() {
    let (world, agent, port) = live();
    let health = get(port, "/health", "");
    assert_eq!(health.body, r#"{"protocol_version":"v1","status":"ok"}"#);
    let status = get(port, "/v1/status", "");
    let body: Value = serde_json::from_str(&status.body).unwrap();
    let window = body["gateway_tmux_window_id"].clone();
    let expected = json!({
        "schema_version": 1,
        "protocol_version": "v1",
        "attach_identity": agent.root.file_name().unwrap().to_str().unwrap(),
        "backend": "local_interactive",
        "tmux_session_name": agent.session,
        "gateway_health": "healthy",
        "managed_agent_connectivity": "connected",
        "managed_agent_recovery": "idle",
        "request_admission": "open",
        "terminal_surface_eligibility": "ready",
        "active_execution": "idle",
        "execution_mode": "tmux_auxiliary_window",
        "queue_depth": 0,
        "gateway_host": "127.0.0.1",
        "gateway_port": port,
        "gateway_tmux_window_id": window,
        "gateway_tmux_window_index": "1",
        "gateway_tmux_pane_id": "%1",
        "managed_agent_instance_epoch": 1,
        "managed_agent_instance_id": agent.root.file_name().unwrap().to_str().unwrap(),
    });
    assert_eq!(body, expected);
    assert_eq!(agent.file("gateway/state.json"), body);
    let instance = agent.file("gateway/run/owner.json")["instance_id"].as_str().unwrap().to_owned();
    for answer in [health, status] {
        assert_eq!(answer.status, 200);
        for header in [
            "content-type: application/json",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            &instance,
        ] {
            assert!(answer.head.contains(header), "`{header}` in {answer:?}");
        }
        assert!(!answer.head.contains("access-control-"), "{answer:?}");
    }
    drop(world);
}

#[test]
fn unknown_paths_and_methods_are_refused_in_the_contracts_form() {
    let (_world, _agent, port) = live();
    for path in ["/", "/nothing", "/v1", "/v1/status/", "/health/x", "/v1/status%2f"] {
        assert_eq!(refused(&get(port, path, ""), 404), "Not Found", "{path}");
    }
    for (method, path) in [("POST", "/health"), ("DELETE", "/v1/status"), ("PUT", "/v1/status"), ("PATCH", "/health")] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        let answer = raw(port, request.as_bytes());
        assert_eq!(refused(&answer, 405), "Method Not Allowed");
        assert!(answer.head.contains("allow: get"), "{answer:?}");
    }
    let head =
        raw(port, format!("HEAD /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").as_bytes());
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn hosts_and_web_pages_that_are_not_ours_are_refused() {
    let (_world, agent, port) = live();
    let host = |lines: &str| raw(port, format!("GET /health HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes());
    for ours in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")] {
        assert_eq!(host(&format!("Host: {ours}\r\n")).status, 200, "{ours}");
    }
    let foreign =
        ["evil.example", "127.0.0.1", "127.0.0.1:1", &format!("0.0.0.0:{port}"), &format!("evil.example:{port}")];
    for foreign in foreign {
        refused(&host(&format!("Host: {foreign}\r\n")), 421);
    }
    refused(&host(""), 400);
    refused(&host(&format!("Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n")), 400);

    let token = format!("Authorization: Bearer {}\r\n", token(&agent));
    for page in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        &format!("Origin: http://127.0.0.1:{port}\r\n"),
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        for proof in ["", &token] {
            let answer = get(port, "/v1/status", &format!("{page}{proof}"));
            refused(&answer, 403);
            assert!(!answer.head.contains("access-control-"), "{answer:?}");
        }
    }
    let preflight = format!(
        "OPTIONS /v1/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: https://evil.example\r\n\
         Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    );
    refused(&raw(port, preflight.as_bytes()), 403);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let form = format!(
            "POST /v1/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n{{}}"
        );
        refused(&raw(port, form.as_bytes()), 415);
    }
}

#[test]
fn malformed_requests_are_refused_and_their_connection_is_closed() {
    let (_world, _agent, port) = live();
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    let many = "X-Filler: y\r\n".repeat(101);
    let large = format!("X-Filler: {}\r\n", "y".repeat(500_000));
    let submit =
        |lines: &str| format!("POST /v1/status HTTP/1.1\r\n{host}Content-Type: application/json\r\n{lines}\r\n{{}}");
    let cases = [
        (400, format!("GET /v1/../health HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /v1/%2e%2e/health HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET http://127.0.0.1:{port}/health HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /health HTTP/1.1\n{host}\n")),
        (400, format!("GET  /health HTTP/1.1\r\n{host}\r\n")),
        (505, format!("GET /health HTTP/2.0\r\n{host}\r\n")),
        (431, format!("GET /health HTTP/1.1\r\n{host}{many}\r\n")),
        (431, format!("GET /health HTTP/1.1\r\n{host}{large}\r\n")),
        (400, submit("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n")),
        (400, submit("Content-Length: 2\r\nContent-Length: 2\r\n")),
        (400, submit("Content-Length: 100000000000000000000\r\n")),
        (413, submit("Content-Length: 1048577\r\n")),
        (400, "\u{16}\u{3}\u{1}\r\n\r\n".to_owned()),
    ];
    for (status, request) in cases {
        let answer = raw(port, request.as_bytes());
        refused(&answer, status);
        assert!(answer.head.contains("connection: close"), "{answer:?}");
    }
    assert_eq!(get(port, "/health", "").status, 200);
}

#[test]
fn a_wrong_token_is_worse_than_none() {
    let (_world, agent, port) = live();
    let right = token(&agent);
    let with = |value: &str| get(port, "/v1/status", &format!("Authorization: {value}\r\n"));
    assert_eq!(with(&format!("Bearer {right}")).status, 200);
    let wrong = format!("{}{}", if right.starts_with('0') { '1' } else { '0' }, &right[1..]);
    let values =
        [format!("Bearer {wrong}"), format!("Bearer {}", &right[1..]), "Bearer ".to_owned(), format!("Basic {right}")];
    let texts: BTreeSet<String> = values.iter().map(|value| refused(&with(value), 401)).collect();
    assert_eq!(texts.len(), 1, "every wrong token gets the same words");
    assert!(with(&values[0]).head.contains("www-authenticate: bearer"));
    for query in ["token=", "access_token=", "a=b&key=", "%74oken="] {
        refused(&get(port, &format!("/v1/status?{query}{right}"), ""), 400);
    }
}

#[test]
fn another_user_needs_the_token() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (world, agent, port) = live();
    let ask = |path: &str, header: &str| {
        let request =
            format!("GET {path} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n{header}Connection: close\\r\\n\\r\\n");
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; cat <&3");
        let mut command = world.command("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c", &script])
            .current_dir("/");
        let answer = world.finish(command).ok();
        answer.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()).unwrap_or_else(|| panic!("{answer}"))
    };
    assert_eq!(ask("/health", ""), 200);
    assert_eq!(ask("/v1/status", ""), 401);
    assert_eq!(ask("/nothing", ""), 401, "a stranger does not learn which paths exist");
    assert_eq!(ask("/v1/status", "Authorization: Bearer wrong\\r\\n"), 401);
    assert_eq!(ask("/v1/status", &format!("Authorization: Bearer {}\\r\\n", token(&agent))), 200);
}

#[test]
fn the_unix_socket_answers_its_owner_alone() {
    let (world, agent, _port) = live();
    let path = agent.root.join("gateway/run/gateway.sock");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(agent.root.join("gateway/run").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // A link, because the path of a socket holds about a hundred bytes.
    let short = world.path().join("g");
    std::os::unix::fs::symlink(agent.root.join("gateway/run"), &short).unwrap();
    let mut stream = UnixStream::connect(short.join("gateway.sock")).unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body, agent.file("gateway/state.json"));
}

#[test]
fn the_token_stays_in_its_file() {
    let (world, agent, port) = live();
    let secret = token(&agent);
    assert_eq!(secret.len(), 64);
    let file = agent.root.join("gateway/run/token");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    get(port, "/v1/status", &format!("Authorization: Bearer {secret}\r\n"));
    get(port, &format!("/v1/status?token={secret}"), "");
    world.agents(&["gateway", "status", "--verbose", "--agent-id", &agent.id]).ok();
    let mut folders = vec![world.home()];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && path != file {
                let bytes = std::fs::read(&path).unwrap();
                read += 1;
                assert!(!bytes.windows(64).any(|part| part == secret.as_bytes()), "{}", path.display());
            }
        }
    }
    assert!(read > 8, "{read} files");
    for process in procfs::process::all_processes().unwrap().flatten() {
        assert!(!process.cmdline().unwrap_or_default().iter().any(|word| word.contains(&secret)), "{process:?}");
    }
    for scope in [&["show-environment", "-g"][..], &["show-environment", "-t", &agent.pane]] {
        assert!(!world.tmux(scope).contains(&secret));
    }
    let environment = std::fs::read(format!("/proc/{}/environ", world.gateway_pid())).unwrap();
    assert!(!environment.windows(64).any(|part| part == secret.as_bytes()));
}
