//! The bodies of the memory routes (contract section 4.10). Pure.

use serde_json::Value;

use super::super::{
    error::Problem,
    fields::{Field, Issues},
};
use crate::api::MemoryCall;

/// Reads the body of the route that ends with this word.
pub(in crate::http) fn memory(operation: &'static str, body: &Value) -> Result<MemoryCall, Problem> {
    let mut issues = Issues::default();
    let read = read(operation, &Field::body(body), &mut issues);
    issues.settle(read)
}

fn read(operation: &str, field: &Field<'_>, issues: &mut Issues) -> Option<MemoryCall> {
    let body = field.object(issues)?;
    if let Some(version) = body.not_null("schema_version") {
        version.version(1, issues);
    }
    let names: &[&str] = match operation {
        "set_memo" | "append_memo" => &["content"],
        "write" | "append" => &["path", "content"],
        _ => &["path"],
    };
    let text = |name: &'static str, issues: &mut Issues| {
        if !names.contains(&name) {
            return Some(String::new());
        }
        if operation == "tree" && body.given(name).is_none() {
            return Some(".".to_owned());
        }
        body.required(name, issues).and_then(|field| field.text(issues)).map(str::to_owned)
    };
    let (path, content) = (text("path", issues), text("content", issues));
    body.only(&[&["schema_version"], names].concat(), issues);
    let (path, content) = (path?, content?);
    Some(match operation {
        "set_memo" => MemoryCall::SetMemo { content },
        "append_memo" => MemoryCall::AppendMemo { content },
        "tree" => MemoryCall::Tree { path },
        "resolve" => MemoryCall::Resolve { path },
        "read" => MemoryCall::Read { path },
        "write" => MemoryCall::Write { path, content },
        "append" => MemoryCall::Append { path, content },
        _ => MemoryCall::Delete { path },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_read_strictly() {
        assert_eq!(memory("tree", &json!({})), Ok(MemoryCall::Tree { path: ".".to_owned() }));
        assert_eq!(
            memory("read", &json!({ "path": "a", "schema_version": 1 })),
            Ok(MemoryCall::Read { path: "a".to_owned() })
        );
        let wrong = [
            ("read", json!({})),
            ("read", json!({ "path": 1 })),
            ("read", json!({ "path": "a", "content": "x" })),
            ("write", json!({ "path": "a" })),
            ("set_memo", json!({ "content": null })),
            ("tree", json!([])),
            ("tree", json!({ "path": ".", "schema_version": 2 })),
        ];
        for (operation, body) in wrong {
            assert_eq!(memory(operation, &body).unwrap_err().parts().0, 422, "{operation} {body}");
        }
    }
}
