//! Which process is the tool, and what it was started with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    agents::Profile,
    model::{Moment, ProcessIdentity},
    os::{
        clock,
        family::{self, Member},
        process,
    },
    tracker::is_shell,
};

/// Programs that run others: their first word says which.
const INTERPRETERS: [&str; 5] = ["node", "bun", "deno", "MainThread", "python"];

/// Beginnings of words that make a tool a helper in the background.
const HELPERS: [&str; 4] = ["app-server", "daemon", "mcp-server", "exec-server"];

/// The tool's processes in one pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Parents before children: a wrapper, then the tool itself.
    members: Vec<Member>,
}

/// What stands in a pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The tool.
    Tool(Program),
    /// Nobody, or a shell that waits for commands.
    Gone,
    /// Something else: it cannot be told.
    Unclear,
}

/// Looks for a tool below the process of its pane.
pub(super) fn find(tool: &str, profile: Option<&Profile>, pane: Option<u32>) -> Found {
    let Some(pane) = pane else { return Found::Gone };
    let family = family::family(pane);
    let mut names = vec![tool.to_owned()];
    let has_profile = profile.is_some();
    names.extend(profile.iter().flat_map(|profile| profile.processes.iter().cloned()));
    let members: Vec<Member> = family.iter().filter(|one| one.same_terminal && is_it(one, &names)).cloned().collect();
    if !members.is_empty() {
        return Found::Tool(Program { members });
    }
    let Some(first) = family.first() else { return Found::Gone };
    if !has_profile {
        // Nobody knows by which name it runs: it is what the pane was started with.
        return Found::Tool(Program { members: vec![first.clone()] });
    }
    // Nobody in front: the shell has not taken the terminal back yet.
    let mut front = family.iter().filter(|one| one.foreground);
    if front.all(|one| is_shell(&one.name)) { Found::Gone } else { Found::Unclear }
}

fn is_it(member: &Member, names: &[String]) -> bool {
    let base = |word: &String| {
        let file = word.rsplit('/').next().unwrap_or(word).to_owned();
        [".js", ".mjs", ".cjs", ".py"].iter().find_map(|end| file.strip_suffix(end)).map_or(file.clone(), str::to_owned)
    };
    let says = |word: &String| names.contains(&base(word));
    let mut words = member.arguments.iter();
    let program = words.next();
    let own = names.iter().any(|name| kernel_name(name) == member.name) || program.is_some_and(says);
    let first = words.find(|word| !word.starts_with('-'));
    let interprets = INTERPRETERS
        .iter()
        .any(|name| member.name.starts_with(name) || program.is_some_and(|program| base(program).starts_with(name)));
    let helps = member.arguments.iter().skip(1).take(3).any(|word| HELPERS.contains(&word.as_str()));
    !helps && (own || (interprets && first.is_some_and(says)))
}

/// The kernel keeps 15 bytes of a name.
fn kernel_name(name: &str) -> &str {
    name.get(..15).unwrap_or(name)
}

impl Program {
    /// The tool itself: what reads and writes its files.
    pub(super) fn main(&self) -> Option<&Member> {
        self.members.last()
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// Their pids.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.identity.pid).collect()
    }

    /// One of them reads from the terminal; `None` if none is left.
    pub(super) fn in_foreground(&self) -> Option<bool> {
        let all = self.members.iter().filter_map(|member| family::in_foreground(member.identity.pid));
        all.reduce(|one, other| one || other)
    }

    /// Waits until one of them has ended.
    pub(super) async fn ended(&self) {
        let mut waiting: Vec<_> = self.members.iter().map(|one| Box::pin(process::ended(&one.identity))).collect();
        std::future::poll_fn(|context| {
            let done = waiting.iter_mut().any(|one| one.as_mut().poll(context).is_ready());
            if done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// The folder that a variable of its environment names, else one below its home.
    pub(super) fn folder(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let pid = self.main()?.identity.pid;
        family::variable(pid, variable)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(family::variable(pid, "HOME")?).join(below_home)))
            .filter(|folder| folder.is_absolute())
    }

    /// The tool's version, by the package that its program or its script lies in; `None` if that does not tell.
    pub(super) fn version(&self) -> Option<String> {
        self.members.iter().rev().find_map(|member| {
            let words = member.arguments.iter().skip(1);
            let script = words.filter(|word| !word.starts_with('-')).map(PathBuf::from).next();
            let script = script.filter(|script| script.is_absolute()).and_then(|script| script.canonicalize().ok());
            let program = family::executable(member.identity.pid);
            [program, script].into_iter().flatten().find_map(|file| package_version(&file))
        })
    }

    /// When the first of them was started.
    pub(super) fn started(&self) -> Option<Moment> {
        let first: &ProcessIdentity = &self.members.first()?.identity;
        family::started(first, clock::now())
    }

    /// The folder that it works in.
    pub(super) fn working_directory(&self) -> Option<String> {
        process::working_directory(self.main()?.identity.pid)
    }
}

/// The packages of the tools begin so.
const PACKAGES: [&str; 4] = ["@anthropic-ai/claude-code", "@openai/codex", "@google/gemini-cli", "opencode"];

/// The version of the package around a file: `0.169.0`, also of `0.169.0-linux-x64`.
fn package_version(file: &Path) -> Option<String> {
    let packages = file.ancestors().skip(1).take(6).map(|folder| folder.join("package.json"));
    packages.filter_map(|package| fs::read_to_string(package).ok()).find_map(|text| {
        let package: Value = serde_json::from_str(&text).ok()?;
        let name = package["name"].as_str()?;
        let version = package["version"].as_str()?;
        let known = PACKAGES.iter().any(|known| name.starts_with(known));
        known.then(|| version.split('-').next().unwrap_or(version).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::files;

    #[test]
    fn a_version_is_that_of_the_tools_own_package() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            files::replace(&path, text.as_bytes(), files::Durability::Process).unwrap();
            path
        };
        put("codex/package.json", r#"{"name":"@openai/codex","version":"0.169.0-linux-x64"}"#);
        put("codex/bin/package.json", r#"{"type":"module"}"#);
        let file = put("codex/bin/codex", "");
        assert_eq!(package_version(&file).as_deref(), Some("0.169.0"));
        put("other/package.json", r#"{"name":"other","version":"1.0.0"}"#);
        assert_eq!(package_version(&put("other/codex", "")), None);
    }

    fn member(name: &str, words: &[&str]) -> Member {
        let identity = process::myself();
        let arguments = words.iter().map(|word| (*word).to_owned()).collect();
        Member { identity, name: name.to_owned(), arguments, same_terminal: true, foreground: true }
    }

    #[test]
    fn tools_are_known_by_their_name_or_by_what_is_interpreted() {
        let is = |name: &str, words: &[&str], tool: &str| is_it(&member(name, words), &[tool.to_owned()]);
        assert!(is("claude", &["claude"], "claude"));
        assert!(is("claude", &["/opt/claude-code-linux-x64/claude", "--settings", "x"], "claude"));
        assert!(is("node", &["node", "/bin/codex", "-c", "x"], "codex"));
        assert!(is("node-MainThread", &["/usr/bin/node", "--no-warnings", "/g/bundle/gemini.js"], "gemini"));
        assert!(!is("node", &["node", "/bin/server.js", "gemini"], "gemini"));
        assert!(!is("bash", &["bash", "-c", "codex"], "codex"));
        assert!(!is("codex", &["codex", "app-server", "--listen", "unix://"], "codex"));
        assert!(!is("vim", &["vim", "claude"], "claude"));
    }

    #[test]
    fn a_pane_without_a_process_has_no_tool() {
        assert_eq!(find("claude", None, None), Found::Gone);
        assert_eq!(find("claude", None, Some(u32::MAX)), Found::Gone);
    }
}
