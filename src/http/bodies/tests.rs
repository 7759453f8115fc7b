use serde_json::{Value, json};

use super::*;
use crate::http::body::parse;

/// What a route says about a body.
fn refused<T: std::fmt::Debug>(read: fn(&Value) -> Result<T, Problem>, body: &Value) -> (u16, Value) {
    let value = parse(body.to_string().as_bytes()).unwrap();
    assert_eq!(value, *body);
    let problem = read(&value).expect_err(&body.to_string());
    let (status, detail) = problem.parts();
    (status, detail.clone())
}

/// An issue without context; the place is `body.field.field`.
fn issue(kind: &str, place: &str, message: &str, input: &Value) -> Value {
    let place: Vec<&str> = place.split('.').collect();
    json!({"type": kind, "loc": place, "msg": message, "input": input})
}

fn broken(place: &str, rule: &str, input: &Value) -> Value {
    let mut issue = issue("value_error", place, &format!("Value error, {rule}"), input);
    issue["ctx"] = json!({"error": {}});
    issue
}

const REQUIRED: &str = "Field required";
const EXTRA: &str = "Extra inputs are not permitted";
const TEXT: &str = "Input should be a valid string";
const OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

#[test]
fn good_bodies_are_read_whole() {
    let prompt = "hello\r\n\u{1b}[31m\u{0}\t👩‍👩‍👧 שלום";
    let create = request_create(&json!({"kind": "submit_prompt", "payload": {"prompt": prompt}})).unwrap();
    assert_eq!(create, RequestCreate::prompt(prompt));
    let full = json!({
        "schema_version": 1, "kind": "submit_prompt",
        "payload": {
            "prompt": " x ", "turn_id": "t", "chat_session": {"mode": "exact", "id": "c"},
            "execution": {"model": {"name": "m", "reasoning": {"level": 0}}},
        },
    });
    let create = request_create(&full).unwrap();
    assert_eq!(create.payload.stored(), full["payload"]);
    let nulls = json!({"prompt": "x", "turn_id": null, "chat_session": null, "execution": null});
    assert_eq!(
        request_create(&json!({"kind": "submit_prompt", "payload": nulls})).unwrap(),
        RequestCreate::prompt("x")
    );
    assert_eq!(request_create(&json!({"kind": "interrupt", "payload": {}})).unwrap(), RequestCreate::interrupt());

    let direct = control_prompt(&json!({"prompt": "x"})).unwrap();
    assert_eq!(direct, ControlPrompt::new("x", AdmissionPolicy::ReadyOnly));
    let direct = json!({
        "schema_version": 2, "prompt": "x", "admission_policy": "always", "chat_session": {"mode": "new", "id": null},
    });
    let direct = control_prompt(&direct).unwrap();
    assert_eq!((direct.admission_policy, direct.chat_session.unwrap().mode), (AdmissionPolicy::Always, ChatMode::New));

    let keys = control_input(&json!({"sequence": " "})).unwrap();
    assert_eq!(keys, ControlInput { sequence: " ".to_owned(), escape_special_keys: false });
    assert!(control_input(&json!({"sequence": "x", "escape_special_keys": true})).unwrap().escape_special_keys);
    assert_eq!(reconcile(&json!({"action": "drop"})), Ok(ReconcileAction::Drop));
}

#[test]
fn wrong_requests_are_refused_with_every_place() {
    let kinds = json!({"expected": "'submit_prompt' or 'interrupt'"});
    let payload = |payload: Value| json!({"kind": "submit_prompt", "payload": payload});
    let at = |name: &str| format!("body.payload.{name}");
    let cases = [
        (json!([]), vec![issue("model_attributes_type", "body", OBJECT, &json!([]))]),
        (json!("x"), vec![issue("model_attributes_type", "body", OBJECT, &json!("x"))]),
        (
            json!({}),
            vec![
                issue("missing", "body.kind", REQUIRED, &json!({})),
                issue("missing", "body.payload", REQUIRED, &json!({})),
            ],
        ),
        (
            json!({"schema_version": 2, "kind": "interrupt", "payload": {}}),
            vec![broken("body.schema_version", "schema_version must be 1", &json!(2))],
        ),
        (
            json!({"schema_version": "1", "kind": "interrupt", "payload": {"x": 1}, "y": null}),
            vec![
                issue("int_type", "body.schema_version", "Input should be a valid integer", &json!("1")),
                issue("extra_forbidden", &at("x"), EXTRA, &json!(1)),
                issue("extra_forbidden", "body.y", EXTRA, &json!(null)),
            ],
        ),
        (
            json!({"kind": "mail_notifier_prompt", "payload": {"prompt": ""}}),
            vec![json!({
                "type": "literal_error", "loc": ["body", "kind"], "input": "mail_notifier_prompt", "ctx": kinds,
                "msg": "Input should be 'submit_prompt' or 'interrupt'",
            })],
        ),
        (
            json!({"kind": "interrupt", "payload": null}),
            vec![issue("model_attributes_type", "body.payload", OBJECT, &json!(null))],
        ),
        (payload(json!({})), vec![issue("missing", &at("prompt"), REQUIRED, &json!({}))]),
        (payload(json!({"prompt": 1})), vec![issue("string_type", &at("prompt"), TEXT, &json!(1))]),
        (payload(json!({"prompt": " \n\t"})), vec![broken(&at("prompt"), "must not be empty", &json!(" \n\t"))]),
        (
            payload(json!({"prompt": "\u{0}\u{1b}\u{85}"})),
            vec![broken(&at("prompt"), "must not be empty", &json!("\u{0}\u{1b}\u{85}"))],
        ),
        (
            payload(json!({"prompt": "x", "turn_id": "", "force": true})),
            vec![
                broken(&at("turn_id"), "must not be empty", &json!("")),
                issue("extra_forbidden", &at("force"), EXTRA, &json!(true)),
            ],
        ),
    ];
    for (body, detail) in cases {
        assert_eq!(refused(request_create, &body), (422, Value::Array(detail)), "{body}");
    }
}

#[test]
fn wrong_direct_control_is_refused_with_every_place() {
    let model = |model: Value| json!({"prompt": "x", "execution": {"model": model}});
    let chat = |chat: Value| json!({"prompt": "x", "chat_session": chat});
    let policies = "'ready_only', 'if_no_pending' or 'always'";
    let choices = "'auto', 'new', 'current', 'tool_last_or_new' or 'exact'";
    let cases = [
        (
            json!({"schema_version": 1, "prompt": "x", "force": true}),
            vec![
                broken("body.schema_version", "schema_version must be 2", &json!(1)),
                issue("extra_forbidden", "body.force", EXTRA, &json!(true)),
            ],
        ),
        (
            json!({"schema_version": true, "prompt": "x", "admission_policy": null}),
            vec![
                issue("int_type", "body.schema_version", "Input should be a valid integer", &json!(true)),
                json!({
                    "type": "literal_error", "loc": ["body", "admission_policy"], "input": null,
                    "msg": format!("Input should be {policies}"), "ctx": {"expected": policies},
                }),
            ],
        ),
        (
            chat(json!({"mode": "old", "id": "c"})),
            vec![json!({
                "type": "literal_error", "loc": ["body", "chat_session", "mode"], "input": "old",
                "msg": format!("Input should be {choices}"), "ctx": {"expected": choices},
            })],
        ),
        (
            chat(json!({"mode": "exact"})),
            vec![broken("body.chat_session", "chat_session.id is required when mode=exact", &json!({"mode": "exact"}))],
        ),
        (
            chat(json!({"mode": "new", "id": "c"})),
            vec![broken("body.chat_session.id", "chat_session.id is only allowed when mode=exact", &json!("c"))],
        ),
        (json!({"prompt": "x", "execution": {}}), vec![issue("missing", "body.execution.model", REQUIRED, &json!({}))]),
        (model(json!({})), vec![broken("body.execution.model", "set model.name, model.reasoning or both", &json!({}))]),
        (
            model(json!({"reasoning": {"level": -1}})),
            vec![json!({
                "type": "greater_than_equal", "loc": ["body", "execution", "model", "reasoning", "level"], "input": -1,
                "msg": "Input should be greater than or equal to 0", "ctx": {"ge": 0},
            })],
        ),
        (
            model(json!({"name": null, "reasoning": {"level": 1.0}})),
            vec![issue(
                "int_type",
                "body.execution.model.reasoning.level",
                "Input should be a valid integer",
                &json!(1.0),
            )],
        ),
    ];
    for (body, detail) in cases {
        assert_eq!(refused(control_prompt, &body), (422, Value::Array(detail)), "{body}");
    }
}

#[test]
fn wrong_keys_and_wrong_decisions_are_refused_with_every_place() {
    let sequence = |rule: &str| broken("body.sequence", rule, &json!(""));
    let version = issue("extra_forbidden", "body.schema_version", EXTRA, &json!(1));
    let cases = [
        (json!({"sequence": ""}), json!([sequence("must not be empty")])),
        (json!({"schema_version": 1, "sequence": "x"}), json!([version])),
        (
            json!({"sequence": "x", "escape_special_keys": 1}),
            json!([issue("bool_type", "body.escape_special_keys", "Input should be a valid boolean", &json!(1))]),
        ),
    ];
    for (body, detail) in cases {
        assert_eq!(refused(control_input, &body), (422, detail), "{body}");
    }
    let (status, detail) = refused(reconcile, &json!({"action": "purge"}));
    assert_eq!((status, &detail[0]["ctx"]["expected"]), (422, &json!("'keep' or 'drop'")));
}

#[test]
fn the_end_of_a_paste_is_refused_with_its_position_in_characters() {
    for (prompt, position) in
        [("\u{1b}[201~", 0), ("שלום\u{1b}[201~x", 4), ("👩‍👩‍👧\u{9b}201~", 5), ("a\u{9b}201~\u{1b}[201~", 1)]
    {
        let (status, detail) = refused(control_prompt, &json!({"prompt": prompt}));
        let expected = json!([{
            "type": "end_of_paste", "loc": ["body", "prompt"], "input": prompt, "ctx": {"position": position},
            "msg": format!("the end of a bracketed paste at character {position} cannot be typed"),
        }]);
        assert_eq!((status, detail), (422, expected));
    }
    for fine in ["[201~", "\u{1b}[200~x", "\u{1b} [201~", "x\u{1b}[31my\u{7}"] {
        assert_eq!(control_prompt(&json!({"prompt": fine})).unwrap().prompt, fine);
    }
}

#[test]
fn sizes_over_the_limit_are_refused_with_both_numbers() {
    let longest = "é".repeat(LARGEST_PROMPT / 2);
    assert_eq!(control_prompt(&json!({"prompt": longest})).unwrap().prompt.len(), LARGEST_PROMPT);
    let body = json!({"kind": "submit_prompt", "payload": {"prompt": format!("{longest}x")}, "extra": 1});
    let detail = json!("the prompt has 524289 bytes; at most 524288 are taken");
    assert_eq!(refused(request_create, &body), (413, detail));
    let body = json!({"sequence": "x".repeat(LARGEST_SEQUENCE + 1)});
    let detail = json!("the sequence has 65537 bytes; at most 65536 are taken");
    assert_eq!(refused(control_input, &body), (413, detail));
}

#[test]
fn a_body_of_rubbish_gets_a_short_answer() {
    let many: serde_json::Map<String, Value> = (0..20_000).map(|n| (format!("k{n}"), json!(n))).collect();
    let (status, detail) = refused(request_create, &Value::Object(many));
    assert_eq!((status, detail.as_array().unwrap().len()), (422, 20));
    assert!(detail.to_string().len() < 20_000);
}
