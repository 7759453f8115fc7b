//! The import table, the size budget and the absences, checked against the source. The table here is the one in
//! `docs/ARCHITECTURE.md`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// For each room: the rooms it may name. A room may always name itself.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("api", &["model"]),
    ("agents", &["model"]),
    ("os", &["model"]),
    ("session", &["model", "api", "os"]),
    ("store", &["model", "api", "os"]),
    ("tmux", &["model", "api", "os"]),
    ("tracker", &["model", "api", "agents", "os", "tmux"]),
    ("delivery", &["model", "api", "agents", "os", "tmux", "tracker"]),
    ("telemetry", &["model", "api", "os"]),
    ("client", &["model", "api", "session", "os"]),
    ("target", &["model", "api", "session", "tmux", "os"]),
    ("headless", &["model", "api", "agents", "os", "session"]),
    ("queue", &["model", "api", "agents", "os", "session", "store", "tmux", "tracker", "delivery", "headless"]),
    ("mail", &["model", "api", "os", "store"]),
    ("notifier", &["model", "api", "os", "store", "queue", "tracker", "mail"]),
    ("reminders", &["model", "api", "os", "store", "queue", "tracker"]),
    ("memory", &["model", "api", "os"]),
    ("ag_ui", &["model", "api", "os", "queue", "tracker", "headless"]),
    (
        "app",
        &[
            "model",
            "api",
            "telemetry",
            "tracker",
            "queue",
            "headless",
            "mail",
            "notifier",
            "reminders",
            "memory",
            "ag_ui",
        ],
    ),
    (
        "http",
        &[
            "model",
            "api",
            "app",
            "os",
            "telemetry",
            "tracker",
            "queue",
            "headless",
            "mail",
            "notifier",
            "reminders",
            "memory",
            "ag_ui",
        ],
    ),
    (
        "lifecycle",
        &[
            "model", "api", "agents", "os", "session", "tmux", "tracker", "delivery", "target", "store", "client",
            "headless", "mail",
        ],
    ),
    (
        "gateway",
        &[
            "model",
            "api",
            "agents",
            "os",
            "session",
            "store",
            "tmux",
            "tracker",
            "delivery",
            "telemetry",
            "client",
            "target",
            "queue",
            "headless",
            "mail",
            "notifier",
            "reminders",
            "memory",
            "ag_ui",
            "app",
            "http",
            "lifecycle",
        ],
    ),
    ("contract", &["model", "api", "agents", "os", "tmux", "tracker"]),
    (
        "cli",
        &[
            "model",
            "api",
            "os",
            "target",
            "session",
            "lifecycle",
            "client",
            "gateway",
            "contract",
            "headless",
            "mail",
            "memory",
        ],
    ),
];

const MAX_CODE_LINES: usize = 500;

#[test]
fn rooms_name_only_the_rooms_below_them() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let Some(room) = room_of(&file) else { continue };
        seen.insert(room.clone());
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: room `{room}` is not in the table", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for used in crate_paths(production(&text)) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: `{room}` must not name `{used}`", file.display()));
            }
        }
    }
    wrong.extend(
        MAY_NAME
            .iter()
            .filter(|(name, _)| !seen.contains(*name))
            .map(|(name, _)| format!("the table names `{name}`, which does not exist")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_architecture_page_has_the_same_table() {
    let page = fs::read_to_string("docs/ARCHITECTURE.md").unwrap();
    for (room, allowed) in MAY_NAME {
        let cell = if allowed.is_empty() { "–".to_owned() } else { format!("`{}`", allowed.join("` `")) };
        let row = format!("| `{room}` | {cell} |");
        assert!(page.contains(&row), "docs/ARCHITECTURE.md lacks the row\n{row}");
    }
}

#[test]
fn files_stay_inside_the_budget() {
    let over: Vec<String> = rust_files(Path::new("src"))
        .into_iter()
        .filter_map(|file| {
            let lines = production(&fs::read_to_string(&file).unwrap()).lines().count();
            (lines > MAX_CODE_LINES && !is_test(&file)).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(over.is_empty(), "{}", over.join("\n"));
}

/// A test module may hold one long table of cases.
fn is_test(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests")
}

/// Each absence is a promise: what must not be named where.
#[test]
fn outside_effects_stay_behind_their_one_door() {
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let room = room_of(&file).unwrap_or_default();
        let text = fs::read_to_string(&file).unwrap();
        let code = production(&text);
        let mut forbid = |needle: &str, home: &[&str]| {
            if code.contains(needle) && !home.contains(&room.as_str()) {
                wrong.push(format!("{}: `{needle}` belongs to {home:?}", file.display()));
            }
        };
        forbid("rusqlite", &["store"]);
        forbid("tmux_interface", &["tmux"]);
        // The demo types what an operator would type, tmux included.
        if !file.ends_with("cli/verbs/demo.rs") {
            forbid("Command::new(\"tmux\")", &["tmux"]);
        }
        // They panic where nothing can be written: `cli::stdout` and `cli::report` write.
        forbid("println!(", &[]);
        forbid("print!(", &[]);
        // `os` hands a helper program its small environment.
        forbid("std::env::var", &["cli", "os"]);
        forbid("env::vars_os", &["cli"]);
        forbid("Timestamp::now()", &["os"]);
        forbid("fs::write(", &["os"]);
        forbid("fs::rename(", &["os"]);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cuts the trailing `#[cfg(test)] mod tests`.
fn production(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests").map_or(text, |at| &text[..at])
}

/// Every `x` of a `crate::x`, also inside `use crate::{x, y::z}`.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads(group)),
            None => found.extend([head(rest)]),
        }
    }
    found.remove("");
    found
}

/// The first names of a brace group's members.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut word, mut names) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(head(&std::mem::take(&mut word))),
            _ => {}
        }
        if depth == 0 && c != ',' {
            word.push(c);
        }
    }
    names.push(head(&word));
    names
}

fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// `src/tmux/server.rs` and `src/app.rs` each belong to a room; `main.rs` and `lib.rs` to none.
fn room_of(file: &Path) -> Option<String> {
    let first = file.strip_prefix("src").ok()?.components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?.to_owned();
    (!["main", "lib"].contains(&name.as_str())).then_some(name)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
