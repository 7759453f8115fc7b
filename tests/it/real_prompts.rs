//! Prompts through the gateway into real coding agents: exact at the model, each once. A tool that is not installed is
//! skipped.

use serde_json::{Value, json};

use crate::support::{Http, Live, Real, Tool, Turn, World, eventually_within};

/// Everything that a prompt may look like; the stub model answers each at once.
fn shapes() -> Vec<String> {
    let twelve: Vec<String> = (1..=12).map(|number| format!("line {number} of twelve")).collect();
    let rows: Vec<String> = (0..140).map(|number| format!("this is row {number} and it has some text")).collect();
    vec![
        "tell me the hash".to_owned(),
        twelve.join("\n"),
        format!("hash {}", "abcdefghi ".repeat(500).trim_end()),
        rows.join("\n"),
        "Grüße, 你好 👍 \"quoted\" $HOME `ls`; end".to_owned(),
        "/etc/hosts is what?".to_owned(),
        "ends with \\".to_owned(),
        "# a heading".to_owned(),
        "? a question".to_owned(),
    ]
}
