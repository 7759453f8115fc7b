//! What a gateway says to bodies and headers that are wrong. None of it reaches the queue.

use serde_json::{Value, json};

use crate::support::{Answer, World, get, port_of, raw};

const KEYS: &str = "/v1/control/send-keys";

/// One request with a JSON body and extra header lines (each ending in `\r\n`).
fn send(port: u16, line: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         {headers}Connection: close\r\n\r\n",
        body.len()
    );
    raw(port, &[head.as_bytes(), body].concat())
}

fn post(port: u16, path: &str, body: impl AsRef<[u8]>) -> Answer {
    send(port, &format!("POST {path}"), "", body.as_ref())
}

fn prompt(text: &str) -> String {
    json!({"kind": "submit_prompt", "payload": {"prompt": text}}).to_string()
}

/// The `detail` of a refusal.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(body.as_object().unwrap().len(), 1, "{answer:?}");
    body["detail"].clone()
}

#[test]
fn wrong_bodies_are_refused_with_their_place_and_change_nothing() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));

    let type_and_place = |path: &str, body: &[u8]| {
        let detail = refused(&post(port, path, body), 422);
        (detail[0]["type"].clone(), detail[0]["loc"].clone())
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let (blank, paste) = (prompt(" \n"), prompt("שלום\u{1b}[201~"));
    let cases: [(&str, &[u8], &str, Value); 17] = [
        ("/v1/requests", b"", "missing", json!(["body"])),
        ("/v1/requests", b"{", "json_invalid", json!(["body", 1])),
        ("/v1/requests", b"{} {}", "json_invalid", json!(["body", 3])),
        ("/v1/requests", deep.as_bytes(), "json_invalid", json!(["body", 127])),
        ("/v1/requests", br#"{"kind":NaN}"#, "json_invalid", json!(["body", 8])),
        (
            "/v1/requests",
            br#"{"payload":{"prompt":"a","prompt":"b"}}"#,
            "duplicate_key",
            json!(["body", "payload", "prompt"]),
        ),
        (
            "/v1/requests",
            br#"{"kind":"submit_prompt","payload":{"prompt":7}}"#,
            "string_type",
            json!(["body", "payload", "prompt"]),
        ),
        ("/v1/requests", blank.as_bytes(), "value_error", json!(["body", "payload", "prompt"])),
        ("/v1/requests", paste.as_bytes(), "end_of_paste", json!(["body", "payload", "prompt"])),
        (
            "/v1/requests",
            br#"{"kind":"interrupt","payload":{"x":1}}"#,
            "extra_forbidden",
            json!(["body", "payload", "x"]),
        ),
        (
            "/v1/control/prompt",
            br#"{"schema_version":1,"prompt":"x"}"#,
            "value_error",
            json!(["body", "schema_version"]),
        ),
        ("/v1/control/prompt", br#"{"prompt":"x","force":true}"#, "extra_forbidden", json!(["body", "force"])),
        (KEYS, br#"{"schema_version":1,"sequence":"x"}"#, "extra_forbidden", json!(["body", "schema_version"])),
        ("/v1/agent-events", br#"{"tool":"claude"}"#, "missing", json!(["body", "event"])),
        ("/v1/agent-events", br#"{"tool":"claude","event":[]}"#, "model_attributes_type", json!(["body", "event"])),
        ("/v1/agent-events", br#"{"tool":"x","event":{},"at":1}"#, "extra_forbidden", json!(["body", "at"])),
        ("/v1/reconcile", br#"{"action":"purge"}"#, "literal_error", json!(["body", "action"])),
    ];
    for (path, body, kind, place) in cases {
        assert_eq!(type_and_place(path, body), (json!(kind), place), "{}", body.escape_ascii());
    }
    let detail = refused(&post(port, "/v1/requests", b"{\"kind\":\"\xff\"}"), 400);
    assert_eq!(detail, "the body is not valid UTF-8 at byte 9");
    let detail = refused(&post(port, "/v1/requests", prompt(&"x".repeat(524_289))), 413);
    assert_eq!(detail, "the prompt has 524289 bytes; at most 524288 are taken");
    let detail = refused(&post(port, "/v1/requests", vec![b' '; 1_048_577]), 413);
    assert_eq!(detail, "the request body has 1048577 bytes; at most 1048576 are taken");
    assert_eq!(world.status(&agent)["queue_depth"], 0);
    assert_eq!(agent.file("gateway/state.json")["queue_depth"], 0);
}

#[test]
fn wrong_headers_parameters_and_methods_are_refused() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));

    let good = prompt("echo hello");
    let long = format!("Idempotency-Key: {}\r\n", "x".repeat(129));
    for header in
        ["Idempotency-Key:\r\n", "Idempotency-Key: a b\r\n", "Idempotency-Key: a\r\nIdempotency-Key: a\r\n", &long]
    {
        for path in ["/v1/requests", "/v1/control/prompt", KEYS] {
            let detail = refused(&send(port, &format!("POST {path}"), header, good.as_bytes()), 400);
            assert!(detail.as_str().unwrap().contains("1 to 128 visible ASCII"), "{header} got {detail}");
        }
    }
    for value in ["0", "-1", "36500d", "soon", "31d"] {
        let answer = send(port, "POST /v1/requests", &format!("Agents-Expires-In: {value}\r\n"), good.as_bytes());
        let detail = refused(&answer, 422);
        assert_eq!(detail[0]["loc"], json!(["header", "agents-expires-in"]));
        assert!(detail[0]["msg"].as_str().unwrap().contains("from 1 second to 30 days"), "{detail}");
    }
    for query in
        ["limit=0", "limit=501", "limit=1e9", "before=-1", "before=9223372036854775808", "state=gone", "page=1"]
    {
        let detail = refused(&get(port, &format!("/v1/requests?{query}"), ""), 422);
        assert_eq!(detail[0]["loc"], json!(["query", query.split('=').next().unwrap()]));
    }
    for (path, header) in
        [("/v1/events?after=x", ""), ("/v1/events?since=1", ""), ("/v1/events", "Last-Event-ID: x\r\n")]
    {
        refused(&get(port, path, header), 422);
    }
    for id in ["-1.5", "a%20b", "%ff", &"x".repeat(65)] {
        let detail = refused(&get(port, &format!("/v1/requests/{id}"), ""), 404);
        assert!(detail.as_str().unwrap().starts_with("no request has the id"), "{detail}");
    }
    for (line, allow) in [
        ("PUT /v1/requests", "allow: get,head,post"),
        ("PATCH /v1/requests/x", "allow: get,head,delete"),
        ("GET /v1/control/prompt", "allow: post"),
        ("DELETE /v1/control/send-keys", "allow: post"),
        ("GET /v1/reconcile", "allow: post"),
        ("POST /v1/events", "allow: get,head"),
    ] {
        let answer = send(port, line, "", b"{}");
        assert_eq!(refused(&answer, 405), "Method Not Allowed");
        assert!(answer.head.contains(allow), "{line} got {answer:?}");
    }
    let form = format!(
        "POST /v1/requests HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{good}",
        good.len()
    );
    refused(&raw(port, form.as_bytes()), 415);
    assert_eq!(world.status(&agent)["queue_depth"], 0);
}
