//! The import table, the size budget and the absences, checked against the source. The table is the one that people
//! read in `docs/ARCHITECTURE.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const MAX_CODE_LINES: usize = 500;

/// For each room: the rooms that it may name. A room may always name itself.
fn may_name() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string("docs/ARCHITECTURE.md").unwrap();
    let (_, after) = page.split_once("## Who may name whom\n").expect("the page has the table");
    let table = after.split("\n## ").next().unwrap();
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut rooms = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [room, allowed] = cells[..] else { panic!("two cells in {row}") };
        let allowed = names(allowed);
        assert_eq!(room, format!("`{}`", names(room).concat()), "one room in {row}");
        assert_eq!(cells[1], if allowed.is_empty() { "–".to_owned() } else { format!("`{}`", allowed.join("` `")) });
        let is_new = rooms.insert(names(room).concat(), allowed.into_iter().collect()).is_none();
        assert!(is_new, "one row for {room}");
    }
    rooms
}

#[test]
fn rooms_name_only_the_rooms_below_them() {
    let table = may_name();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let Some(room) = room_of(&file) else { continue };
        let Some(allowed) = table.get(&room) else {
            wrong.push(format!("{}: room `{room}` is not in the table", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for used in crate_paths(production(&text)) {
            if used != room && !allowed.contains(&used) {
                wrong.push(format!("{}: `{room}` must not name `{used}`", file.display()));
            }
        }
        seen.insert(room);
    }
    let named = table.keys().chain(table.values().flatten());
    wrong.extend(
        named
            .filter(|room| !seen.contains(*room))
            .map(|room| format!("the table names `{room}`, which does not exist")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
