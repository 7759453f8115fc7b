//! The bodies of the AG-UI protocol, read field by field. Pure.

use serde_json::Value;

use crate::{
    ag_ui::RunInput,
    api::LARGEST_PROMPT,
    http::{
        error::Problem,
        fields::{Field, Issues},
    },
};

/// The protocol's `RunAgentInput`. `resume` is of its newer versions.
const NAMES: [&str; 9] =
    ["threadId", "runId", "parentRunId", "state", "messages", "tools", "context", "forwardedProps", "resume"];

/// Who may speak.
const ROLES: [(&str, bool); 7] = [
    ("user", true),
    ("developer", false),
    ("system", false),
    ("assistant", false),
    ("tool", false),
    ("activity", false),
    ("reasoning", false),
];

/// `POST /v1/ag-ui/connect`.
pub(in crate::http) fn connect(body: &Value) -> Result<RunInput, Problem> {
    let mut issues = Issues::default();
    let read = read_input(&Field::body(body), true, &mut issues);
    issues.settle(read)
}

/// `POST /v1/ag-ui/runs`.
pub(in crate::http) fn run(body: &Value) -> Result<RunInput, Problem> {
    let mut issues = Issues::default();
    let read = read_input(&Field::body(body), false, &mut issues);
    issues.settle(read)
}

/// What a run needs is required; the rest of the protocol's input is checked where it is given.
fn read_input(body: &Field<'_>, connects: bool, issues: &mut Issues) -> Option<RunInput> {
    let body = body.object(issues)?;
    let known: Vec<&str> = NAMES.iter().copied().chain(connects.then_some("lastSeenEventId")).collect();
    body.only(&known, issues);
    let thread_id = body.required("threadId", issues).and_then(|id| id.not_blank(issues));
    let run_id = body.required("runId", issues).and_then(|id| id.not_blank(issues));
    for name in ["parentRunId", "lastSeenEventId"] {
        body.not_null(name).and_then(|id| id.text(issues));
    }
    for name in ["tools", "context"] {
        body.not_null(name).and_then(|list| list.list(issues));
    }
    let messages = if connects { body.not_null("messages") } else { body.required("messages", issues) };
    let prompt = match messages {
        Some(messages) => read_messages(&messages, issues)?,
        None => Err("there are no messages"),
    };
    Some(RunInput { thread_id: thread_id?.to_owned(), run_id: run_id?.to_owned(), prompt })
}

type Prompt = Result<String, &'static str>;

/// The text of the last message, which has to be the user's.
fn read_messages(field: &Field<'_>, issues: &mut Issues) -> Option<Prompt> {
    let mut last = Err("there are no messages");
    for message in field.list(issues)? {
        let message = message.object(issues)?;
        let of_user = message.required("role", issues).and_then(|role| role.word(&ROLES, issues))?;
        message.not_null("id").and_then(|id| id.text(issues));
        last = if of_user {
            let content = message.required("content", issues)?;
            read_content(&content, issues)?
        } else {
            Err("the last message is not the user's")
        };
    }
    Some(last.and_then(fitting))
}

/// A text, or a list of texts.
fn read_content(field: &Field<'_>, issues: &mut Issues) -> Option<Prompt> {
    let Some(parts) = field.entries() else { return field.text(issues).map(|text| Ok(text.to_owned())) };
    let mut texts = Vec::new();
    for part in parts {
        let part = part.object(issues)?;
        let kind = part.required("type", issues)?;
        if kind.text(issues)? != "text" {
            return Some(Err("only text can be typed; leave out images and files"));
        }
        texts.push(part.required("text", issues)?.text(issues)?);
    }
    Some(Ok(texts.join("\n")))
}

/// A text that can be typed.
fn fitting(text: String) -> Prompt {
    if text.chars().all(|c| c.is_whitespace() || c.is_control()) {
        return Err("the user's last message is empty");
    }
    if text.len() > LARGEST_PROMPT {
        return Err("the user's last message is longer than 524288 bytes");
    }
    if super::end_of_paste(&text).is_some() {
        return Err("the user's last message holds the end of a bracketed paste, which cannot be typed");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(messages: &Value) -> Value {
        json!({ "threadId": "t", "runId": "r", "state": {}, "messages": messages, "tools": [], "context": [],
            "forwardedProps": null })
    }

    #[test]
    fn the_last_message_of_the_user_is_the_prompt() {
        let of = |messages: Value| run(&input(&messages)).unwrap().prompt;
        let user = |content: Value| json!({ "id": "1", "role": "user", "content": content });
        let assistant = json!({ "id": "2", "role": "assistant", "content": "x", "toolCalls": [] });
        assert_eq!(of(json!([user(json!("a")), assistant, user(json!("b"))])), Ok("b".to_owned()));
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        assert_eq!(of(json!([user(parts)])), Ok("a\nb".to_owned()));
        let image = json!([{ "type": "binary", "mimeType": "image/png", "data": "" }]);
        for unusable in [json!([]), json!([assistant]), json!([user(json!(" "))]), json!([user(image)])] {
            assert!(of(unusable.clone()).is_err(), "{unusable}");
        }
        assert!(of(json!([user(json!("x\u{1b}[201~y"))])).is_err());
    }

    #[test]
    fn inputs_of_another_shape_are_refused() {
        let wrong = [
            json!({}),
            json!([]),
            json!({ "threadId": "t" }),
            json!({ "threadId": " ", "runId": "r", "messages": [] }),
            json!({ "thread_id": "t", "threadId": "t", "runId": "r", "messages": [] }),
            json!({ "threadId": "t", "runId": "r", "messages": {} }),
            json!({ "threadId": "t", "runId": "r", "messages": [{ "role": "robot", "content": "x" }] }),
            json!({ "threadId": "t", "runId": "r", "messages": [{ "role": "user" }] }),
            json!({ "threadId": "t", "runId": "r", "messages": [{ "role": "user", "content": 7 }] }),
            json!({ "threadId": "t", "runId": "r", "messages": [], "tools": 1 }),
            json!({ "threadId": "t", "runId": "r", "messages": [], "lastSeenEventId": "7" }),
        ];
        for body in wrong {
            assert!(format!("{:?}", run(&body).unwrap_err()).contains("422"), "{body}");
        }
        let least = json!({ "threadId": "t", "runId": "r", "lastSeenEventId": null });
        assert!(connect(&least).is_ok() && run(&least).is_err());
    }
}
