//! The bodies of the mail routes (contract section 4.8). Pure.

use std::{collections::HashSet, hash::Hash, str::FromStr};

use serde_json::Value;

use super::super::{
    error::Problem,
    fields::{Field, Issues, Object},
};
use crate::{
    api::{
        BlockPlacement, MailCall, MailContent, MailDraft, MailFlags, MailPost, MailQuery, MailReply, NewAttachment,
        NotifyAuth, NotifyBlock, ReplyPolicy,
    },
    model::{Address, BadName, BoxName, Moment},
};

/// Reads the body of the route that ends with this word.
pub(in crate::http) fn mail(operation: &'static str, body: &Value, key: Option<String>) -> Result<MailCall, Problem> {
    let mut issues = Issues::default();
    let read = read(operation, &Field::body(body), key, &mut issues);
    issues.settle(read)
}

fn read(operation: &str, field: &Field<'_>, key: Option<String>, issues: &mut Issues) -> Option<MailCall> {
    let body = field.object(issues)?;
    if let Some(version) = body.not_null("schema_version") {
        version.version(1, issues);
    }
    let content = |issues: &mut Issues| read_content(&body, key, issues);
    match operation {
        "list" => read_list(&body, issues).map(MailCall::List),
        "peek" | "read" => {
            let folder = body.not_null("box").and_then(|field| name::<BoxName>(&field, issues));
            let message_ref = message_ref(&body, issues);
            only(&body, &["message_ref", "box"], issues);
            let message_ref = message_ref?;
            Some(if operation == "peek" {
                MailCall::Peek { message_ref, folder }
            } else {
                MailCall::Read { message_ref, folder }
            })
        }
        "attachment" => {
            let message_ref = message_ref(&body, issues);
            let id = body.required("attachment_id", issues).and_then(|field| field.not_blank(issues));
            only(&body, &["message_ref", "attachment_id"], issues);
            Some(MailCall::Attachment { message_ref: message_ref?, attachment_id: id?.to_owned() })
        }
        "send" => {
            let to = body.required("to", issues).and_then(|field| addresses(&field, 1, issues));
            let cc = match body.not_null("cc") {
                Some(field) => addresses(&field, 0, issues),
                None => Some(Vec::new()),
            };
            let subject = subject(&body, issues);
            let content = content(issues);
            only(&body, &[&["to", "cc", "subject"][..], &CONTENT].concat(), issues);
            Some(MailCall::Send(MailDraft { to: to?, cc: cc?, subject: subject?, content: content? }))
        }
        "post" => {
            let subject = subject(&body, issues);
            let words = [("operator_mailbox", ReplyPolicy::OperatorMailbox), ("none", ReplyPolicy::None)];
            let policy = match body.not_null("reply_policy") {
                Some(field) => field.word(&words, issues),
                None => Some(ReplyPolicy::default()),
            };
            let content = content(issues);
            only(&body, &[&["subject", "reply_policy"][..], &CONTENT].concat(), issues);
            Some(MailCall::Post(MailPost { subject: subject?, reply_policy: policy?, content: content? }))
        }
        "reply" => {
            let message_ref = message_ref(&body, issues);
            let content = content(issues);
            only(&body, &[&["message_ref"][..], &CONTENT].concat(), issues);
            Some(MailCall::Reply(MailReply { message_ref: message_ref?, content: content? }))
        }
        "mark" => {
            let message_refs = message_refs(&body, issues);
            let mut flag = |name| body.not_null(name).and_then(|field| field.flag(issues));
            let flags = MailFlags { read: flag("read"), answered: flag("answered"), archived: flag("archived") };
            if ["read", "answered", "archived"].iter().all(|name| body.not_null(name).is_none()) {
                field.breaks("set at least one of `read`, `answered` and `archived`", issues);
            }
            only(&body, &["message_refs", "read", "answered", "archived"], issues);
            Some(MailCall::Mark { message_refs: message_refs?, flags })
        }
        "move" => {
            let message_refs = message_refs(&body, issues);
            let destination = body.required("destination_box", issues).and_then(|field| name(&field, issues));
            only(&body, &["message_refs", "destination_box"], issues);
            Some(MailCall::Move { message_refs: message_refs?, destination: destination? })
        }
        _ => {
            let message_refs = message_refs(&body, issues);
            only(&body, &["message_refs"], issues);
            Some(MailCall::Archive { message_refs: message_refs? })
        }
    }
}

fn only(body: &Object<'_>, names: &[&str], issues: &mut Issues) {
    body.only(&[names, &["schema_version"]].concat(), issues);
}

fn read_list(body: &Object<'_>, issues: &mut Issues) -> Option<MailQuery> {
    let folder = match body.not_null("box") {
        Some(field) => name(&field, issues),
        None => Some(BoxName::inbox()),
    };
    let read = wanted(body, "read_state", ["read", "unread"], issues);
    let answered = wanted(body, "answered_state", ["answered", "unanswered"], issues);
    let archived = body.not_null("archived").and_then(|field| field.flag(issues));
    let limit = body.not_null("limit").and_then(|field| {
        let limit = field.count(issues)?;
        if limit == 0 {
            field.breaks("limit is a number above 0, or is left out", issues);
        }
        usize::try_from(limit).ok()
    });
    let since = body.not_null("since").and_then(|field| {
        let text = field.text(issues)?;
        if Moment::parse(text).is_none() {
            field.breaks("since is an ISO time with its zone, as `2026-11-21T12:00:00Z`", issues);
        }
        Some(text.to_owned())
    });
    let include_body = match body.not_null("include_body") {
        Some(field) => field.flag(issues),
        None => Some(false),
    };
    let names = ["box", "read_state", "answered_state", "archived", "limit", "since", "include_body"];
    only(body, &names, issues);
    let (folder, include_body) = (folder?, include_body?);
    Some(MailQuery { folder, read, answered, archived, limit, since, include_body })
}

/// `any`, or one of two words, the first of which means yes.
fn wanted(body: &Object<'_>, name: &'static str, [yes, no]: [&str; 2], issues: &mut Issues) -> Option<bool> {
    body.not_null(name)?.word(&[("any", None), (yes, Some(true)), (no, Some(false))], issues).flatten()
}

fn name<T: FromStr<Err = BadName>>(field: &Field<'_>, issues: &mut Issues) -> Option<T> {
    match field.text(issues)?.parse() {
        Ok(name) => Some(name),
        Err(bad) => {
            field.breaks(&format!("{}; {}", bad.message, bad.hint), issues);
            None
        }
    }
}

fn message_ref(body: &Object<'_>, issues: &mut Issues) -> Option<String> {
    body.required("message_ref", issues)?.not_blank(issues).map(str::to_owned)
}

fn message_refs(body: &Object<'_>, issues: &mut Issues) -> Option<Vec<String>> {
    let field = body.required("message_refs", issues)?;
    several(&field, 1, |entry, issues| entry.not_blank(issues).map(str::to_owned), issues)
}

fn addresses(field: &Field<'_>, least: usize, issues: &mut Issues) -> Option<Vec<Address>> {
    several(field, least, name, issues)
}

/// A list of so many entries at least, each once.
fn several<T: Clone + Eq + Hash>(
    field: &Field<'_>,
    least: usize,
    read: impl Fn(&Field<'_>, &mut Issues) -> Option<T>,
    issues: &mut Issues,
) -> Option<Vec<T>> {
    let entries = field.list(issues)?;
    if entries.len() < least {
        field.breaks("must not be empty", issues);
        return None;
    }
    let mut known = HashSet::new();
    let read: Vec<Option<T>> = entries
        .iter()
        .map(|entry| {
            let value = read(entry, issues)?;
            if !known.insert(value.clone()) {
                entry.breaks("it stands in the list already", issues);
            }
            Some(value)
        })
        .collect();
    read.into_iter().collect()
}

/// One line with something to see in it.
fn subject(body: &Object<'_>, issues: &mut Issues) -> Option<String> {
    let field = body.required("subject", issues)?;
    let text = field.not_blank(issues)?;
    if text.chars().any(char::is_control) {
        field.breaks("a subject is one line without control characters", issues);
    }
    Some(text.to_owned())
}

const CONTENT: [&str; 4] = ["body_content", "attachments", "notify_block", "notify_auth"];

fn read_content(object: &Object<'_>, key: Option<String>, issues: &mut Issues) -> Option<MailContent> {
    let body = object.required("body_content", issues).and_then(|field| {
        let text = field.text(issues)?;
        if text.contains('\0') {
            field.breaks("a body holds no NUL", issues);
        }
        Some(text.to_owned())
    });
    let attachments = match object.not_null("attachments") {
        Some(field) => field.list(issues).and_then(|list| {
            let read: Vec<_> = list.iter().map(|entry| read_attachment(entry, issues)).collect();
            read.into_iter().collect()
        }),
        None => Some(Vec::new()),
    };
    let notify_block = object.not_null("notify_block").and_then(|field| read_block(&field, issues));
    let notify_auth = object.not_null("notify_auth").and_then(|field| read_auth(&field, issues));
    Some(MailContent { body: body?, attachments: attachments?, notify_block, notify_auth, key })
}

fn read_attachment(field: &Field<'_>, issues: &mut Issues) -> Option<NewAttachment> {
    let entry = field.object(issues)?;
    let path = entry.required("path", issues).and_then(|field| {
        let path = field.not_blank(issues)?;
        if !path.starts_with('/') || path.contains('\0') {
            field.breaks("an attachment is named by its absolute path", issues);
        }
        Some(path.to_owned())
    });
    let label = entry.not_null("label").and_then(|field| field.text(issues)).map(str::to_owned);
    entry.only(&["path", "label"], issues);
    Some(NewAttachment { path: path?, label })
}

fn read_block(field: &Field<'_>, issues: &mut Issues) -> Option<NotifyBlock> {
    let block = field.object(issues)?;
    let text = block.required("text", issues).and_then(|field| field.not_blank(issues));
    let words = [("append", BlockPlacement::Append), ("prepend", BlockPlacement::Prepend)];
    let placement = match block.not_null("placement") {
        Some(field) => field.word(&words, issues),
        None => Some(BlockPlacement::default()),
    };
    block.only(&["text", "placement"], issues);
    Some(NotifyBlock { text: text?.to_owned(), placement: placement? })
}

fn read_auth(field: &Field<'_>, issues: &mut Issues) -> Option<NotifyAuth> {
    let auth = field.object(issues)?;
    let scheme = auth.required("scheme", issues).and_then(|field| field.word(&[("none", "none")], issues));
    let mut text = |name| auth.not_null(name).and_then(|field| field.text(issues)).map(str::to_owned);
    let (token, iss) = (text("token"), text("iss"));
    let value = |name| auth.not_null(name).map(|field| field.value().clone());
    let (iat, exp) = (value("iat"), value("exp"));
    auth.only(&["scheme", "token", "iss", "iat", "exp"], issues);
    Some(NotifyAuth { scheme: scheme?.to_owned(), token, iss, iat, exp })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn texts() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9 é\u{1F600}]{0,12}x"
    }

    fn refs() -> impl Strategy<Value = Vec<String>> {
        prop::collection::hash_set(texts(), 1..4).prop_map(|set| set.into_iter().collect())
    }

    fn contents() -> impl Strategy<Value = MailContent> {
        let attachments = prop::collection::vec((texts(), prop::option::of(texts())), 0..3);
        let block = prop::option::of((texts(), any::<bool>()));
        let auth = prop::option::of((prop::option::of(texts()), prop::option::of(0..9u32)));
        (texts(), attachments, block, auth, prop::option::of(texts())).prop_map(|(body, files, block, auth, key)| {
            MailContent {
                body,
                attachments: files
                    .into_iter()
                    .map(|(path, label)| NewAttachment { path: format!("/{path}"), label })
                    .collect(),
                notify_block: block.map(|(text, first)| NotifyBlock {
                    text,
                    placement: if first { BlockPlacement::Prepend } else { BlockPlacement::Append },
                }),
                notify_auth: auth.map(|(token, exp)| NotifyAuth {
                    scheme: "none".to_owned(),
                    token,
                    iss: None,
                    iat: None,
                    exp: exp.map(Value::from),
                }),
                key,
            }
        })
    }

    fn calls() -> impl Strategy<Value = MailCall> {
        let folder = || Just("later".parse::<BoxName>().unwrap());
        let flag = || prop::option::of(any::<bool>());
        let limit = prop::option::of(1..99usize);
        let list =
            (flag(), flag(), flag(), limit, any::<bool>()).prop_map(|(read, answered, archived, limit, body)| {
                let since = body.then(|| "2026-11-21T12:00:00Z".to_owned());
                let folder = BoxName::inbox();
                MailCall::List(MailQuery { folder, read, answered, archived, limit, since, include_body: body })
            });
        let address = "[a-z]{1,6}".prop_map(|name| format!("{name}@x").parse::<Address>().unwrap());
        let to = prop::collection::hash_set(address.clone(), 1..3);
        let cc = prop::collection::hash_set(address, 0..3);
        let send = (to, cc, texts(), contents()).prop_map(|(to, cc, subject, content)| {
            let (to, cc) = (to.into_iter().collect(), cc.into_iter().collect());
            MailCall::Send(MailDraft { to, cc, subject, content })
        });
        let post = (texts(), any::<bool>(), contents()).prop_map(|(subject, answers, content)| {
            let reply_policy = if answers { ReplyPolicy::OperatorMailbox } else { ReplyPolicy::None };
            MailCall::Post(MailPost { subject, reply_policy, content })
        });
        prop_oneof![
            list,
            (texts(), prop::option::of(folder()))
                .prop_map(|(message_ref, folder)| MailCall::Peek { message_ref, folder }),
            (texts(), prop::option::of(folder()))
                .prop_map(|(message_ref, folder)| MailCall::Read { message_ref, folder }),
            (texts(), texts())
                .prop_map(|(message_ref, attachment_id)| MailCall::Attachment { message_ref, attachment_id }),
            send,
            post,
            (texts(), contents())
                .prop_map(|(message_ref, content)| MailCall::Reply(MailReply { message_ref, content })),
            (refs(), flag(), flag()).prop_map(|(message_refs, read, answered)| MailCall::Mark {
                message_refs,
                flags: MailFlags { read, answered, archived: Some(true) },
            }),
            (refs(), folder()).prop_map(|(message_refs, destination)| MailCall::Move { message_refs, destination }),
            refs().prop_map(|message_refs| MailCall::Archive { message_refs }),
        ]
    }

    proptest! {
        #[test]
        fn what_the_command_line_says_is_what_the_gateway_reads(call in calls()) {
            let body = call.body().unwrap();
            prop_assert_eq!(mail(call.operation(), &body, call.key().map(str::to_owned)), Ok(call));
        }
    }

    #[test]
    fn every_wrong_place_is_named() {
        let cases = [
            (
                "list",
                json!({"box": "../x", "limit": 0, "since": "yesterday", "read_state": "new", "x": 1}),
                vec!["box", "limit", "since", "read_state", "x"],
            ),
            (
                "list",
                json!({"archived": "no", "include_body": 1, "limit": -1, "schema_version": 2}),
                vec!["archived", "include_body", "limit", "schema_version"],
            ),
            ("peek", json!({"box": "a/b"}), vec!["box", "message_ref"]),
            ("attachment", json!({"message_ref": "m", "attachment_id": " ", "box": 1}), vec!["attachment_id", "box"]),
            ("send", json!({"to": [], "subject": " ", "body_content": "a\0"}), vec!["to", "subject", "body_content"]),
            (
                "send",
                json!({"to": ["a@x", "a@x", "a", 7], "cc": "b@x", "subject": "a\nb", "body_content": ""}),
                vec!["to.1", "to.2", "to.3", "cc", "subject"],
            ),
            (
                "send",
                json!({"to": ["a@x"], "subject": "s", "body_content": "", "attachments": [{"path": "a"}, 1],
                "notify_block": {"text": "", "placement": "top"}, "notify_auth": {"scheme": "hmac", "key": 1}}),
                vec![
                    "attachments.0.path",
                    "attachments.1",
                    "notify_block.text",
                    "notify_block.placement",
                    "notify_auth.scheme",
                    "notify_auth.key",
                ],
            ),
            (
                "post",
                json!({"subject": "s", "body_content": "b", "reply_policy": "anyone", "to": []}),
                vec!["reply_policy", "to"],
            ),
            ("reply", json!({"message_ref": "", "subject": "s"}), vec!["message_ref", "body_content", "subject"]),
            ("mark", json!({"message_refs": ["a", "a"]}), vec!["message_refs.1", ""]),
            ("mark", json!({"message_refs": ["a"], "read": "yes"}), vec!["read"]),
            ("move", json!({"message_refs": "a"}), vec!["message_refs", "destination_box"]),
            ("archive", json!({"message_refs": [], "read": true}), vec!["message_refs", "read"]),
            ("archive", json!([]), vec![""]),
        ];
        for (operation, body, places) in cases {
            let problem = mail(operation, &body, None).expect_err(&body.to_string());
            let (status, detail) = problem.parts();
            let mut named: Vec<String> = detail
                .as_array()
                .unwrap()
                .iter()
                .map(|issue| {
                    let steps = issue["loc"].as_array().unwrap()[1..].iter();
                    steps
                        .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned))
                        .collect::<Vec<_>>()
                        .join(".")
                })
                .collect();
            let mut places: Vec<&str> = places;
            named.sort_unstable();
            places.sort_unstable();
            assert_eq!(
                (status, named.iter().map(String::as_str).collect::<Vec<_>>()),
                (422, places),
                "{operation} {body}"
            );
        }
        let least = mail("list", &json!({}), None);
        assert_eq!(least, Ok(MailCall::List(MailQuery::of(BoxName::inbox()))));
    }
}
