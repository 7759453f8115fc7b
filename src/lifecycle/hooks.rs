//! Hooks of the agent's program, in a settings file of its session. The user's own files are neither read nor changed.

use std::{ffi::OsStr, path::Path};

use serde_json::{Value, json};

use crate::{
    model::{Failure, shell_quote},
    os::{files, program},
    session::{SessionRoot, documents},
};

/// Claude's events that say something about its turns.
const CLAUDE: [&str; 6] = ["SessionStart", "UserPromptSubmit", "Stop", "Notification", "PreCompact", "SessionEnd"];

/// Those that newer versions have besides. An event that Claude does not know opens a warning at its start, which would
/// swallow the first prompt: these are for versions only of which it is known that they have them.
const NEWER_CLAUDE: [&str; 3] = ["StopFailure", "PermissionRequest", "PostCompact"];

/// The first version that is known to have them.
const NEWER: [u32; 3] = [2, 1, 330];

/// How long Claude waits for one, in seconds. It takes milliseconds.
const PATIENCE: u32 = 5;

/// What was done about a program's hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hooks {
    /// The events that are told; empty if none is.
    pub(super) installed: Vec<String>,
    /// Why there are none, for people; `None` also for a program that has no hooks anybody knows of.
    pub(super) why_not: Option<String>,
}

impl Hooks {
    fn none(why: &str) -> Self {
        Self { installed: Vec::new(), why_not: Some(why.to_owned()) }
    }
}

/// The program that is about to be started.
#[derive(Debug)]
pub(super) struct Started<'a> {
    /// Its words; the tool's own gets one behind it that names the session's settings file.
    pub(super) program: &'a mut Vec<String>,
    /// Where programs are looked for.
    pub(super) path: Option<&'a OsStr>,
    /// Where it starts.
    pub(super) directory: &'a Path,
}

/// Lets the program that is about to be started tell of its turns, if it is one that can be asked to.
///
/// # Errors
/// The file cannot be written.
pub(super) fn install(root: &SessionRoot, tool: &str, ourselves: &str, started: Started<'_>) -> Result<Hooks, Failure> {
    let Started { program, path, directory } = started;
    let Some(at) = place_of(tool, program) else {
        return Ok(Hooks { installed: Vec::new(), why_not: None });
    };
    match tool {
        "claude" => {}
        "codex" => {
            return Ok(Hooks::none("Codex asks its user to review every hook; its rollout files are read instead"));
        }
        "gemini" => {
            return Ok(Hooks::none("Gemini takes hooks from files of its user only; its chat files are read instead"));
        }
        _ => return Ok(Hooks { installed: Vec::new(), why_not: None }),
    }
    let has_own = |word: &String| word == "--settings" || word.starts_with("--settings=");
    if program.iter().skip(at).any(has_own) {
        return Ok(Hooks::none("the program was given settings of its own with --settings"));
    }
    let file = root.agent_settings();
    let found = program.get(at).and_then(|word| program::find(word, path, directory));
    let newer = found.and_then(|found| version_of(&found)).is_some_and(|version| version >= NEWER);
    let events: Vec<&str> = CLAUDE.into_iter().chain(NEWER_CLAUDE.into_iter().filter(|_| newer)).collect();
    documents::store_bytes(&file, settings(root, ourselves, &events).to_string().as_bytes())?;
    program.splice(at + 1..=at, ["--settings".to_owned(), file.to_string_lossy().into_owned()]);
    Ok(Hooks { installed: events.into_iter().map(str::to_owned).collect(), why_not: None })
}

/// The events that a program tells that was started with these words.
pub(super) fn installed(root: &SessionRoot, program: &[String]) -> Vec<String> {
    let file = root.agent_settings();
    if !program.iter().any(|word| file.to_str() == Some(word.as_str())) {
        return Vec::new();
    }
    let settings = files::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let hooks = settings.and_then(|settings| settings["hooks"].as_object().cloned()).unwrap_or_default();
    hooks.into_iter().map(|(event, _)| event).collect()
}

/// Claude's version, by the package that its file lies in, or by the file's own name; `None` if neither tells.
fn version_of(file: &Path) -> Option<[u32; 3]> {
    let file = std::fs::canonicalize(file).ok()?;
    if let Some(version) = file.file_name().and_then(|name| name.to_str()).and_then(parse_version) {
        return Some(version);
    }
    let package = file.ancestors().skip(1).take(3).map(|folder| folder.join("package.json")).find(|it| it.is_file())?;
    let package: Value = serde_json::from_slice(&files::read(&package).ok()?).ok()?;
    let ours = package["name"].as_str().is_some_and(|name| name.starts_with("@anthropic-ai/claude-code"));
    package["version"].as_str().filter(|_| ours).and_then(parse_version)
}

fn parse_version(text: &str) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Where the tool's own word stands among these, also behind `env` and its settings; `None` if something else is started.
fn place_of(tool: &str, program: &[String]) -> Option<usize> {
    let base = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let mut at = 0;
    if base(program.first()?) == "env" {
        at = 1 + program.iter().skip(1).take_while(|word| is_setting(word)).count();
    }
    (base(program.get(at)?) == tool).then_some(at)
}

/// `NAME=value`, or a flag of `env` that stands alone.
fn is_setting(word: &str) -> bool {
    let named = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    named || ["-i", "-", "--ignore-environment"].contains(&word)
}

/// Claude's settings, with nothing in them but the hooks; those of the user stay in force beside them.
fn settings(root: &SessionRoot, ourselves: &str, events: &[&str]) -> Value {
    // A hook that fails is shown to the user, and one that ends with 2 stops the turn: neither may come from here.
    let command = format!(
        "{} agent-event --tool claude --session-root {} 2>/dev/null || true",
        shell_quote(ourselves),
        shell_quote(&root.path().to_string_lossy())
    );
    let hook = json!([{ "hooks": [{ "type": "command", "command": command, "timeout": PATIENCE }] }]);
    let hooks: serde_json::Map<String, Value> =
        events.iter().map(|event| ((*event).to_owned(), hook.clone())).collect();
    json!({ "hooks": hooks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn started<'a>(program: &'a mut Vec<String>, directory: &'a Path) -> Started<'a> {
        Started { program, path: None, directory }
    }

    #[test]
    fn the_version_is_that_of_the_package_or_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            files::replace(&path, text.as_bytes(), files::Durability::Process).unwrap();
            path
        };
        let claude = put("claude-code/bin/claude.exe", "");
        assert_eq!(version_of(&claude), None);
        put("claude-code/package.json", r#"{"name":"@anthropic-ai/claude-code","version":"2.1.330"}"#);
        assert_eq!(version_of(&claude), Some(NEWER));
        assert_eq!(version_of(&put("versions/2.1.97", "")), Some([2, 1, 97]));
        put("other/package.json", r#"{"name":"other","version":"9.0.0"}"#);
        assert_eq!(version_of(&put("other/claude", "")), None);
    }

    #[test]
    fn hooks_go_to_the_tool_itself_and_to_nobody_else() {
        for (tool, program, expected) in [
            ("claude", "/bin/claude", Some(0)),
            ("claude", "/bin/claude --resume x", Some(0)),
            ("claude", "/usr/bin/env A=1 B_2=x=y claude", Some(3)),
            ("claude", "env -i A=1 /opt/claude -c", Some(3)),
            ("claude", "env -u A claude", None),
            ("claude", "bash -c claude", None),
            ("claude", "scripted-agent claude", None),
            ("codex", "/bin/claude", None),
            ("claude", "env", None),
        ] {
            assert_eq!(place_of(tool, &words(program)), expected, "{program}");
        }
    }

    #[test]
    fn claude_gets_a_settings_file_of_its_session_and_keeps_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let root = SessionRoot::at(folder.path().join("it's"));
        std::fs::create_dir(root.path()).unwrap();
        let mut program = words("env A=1 /bin/claude --continue");
        let hooks = install(&root, "claude", "/bin/agents", started(&mut program, folder.path())).unwrap();
        assert_eq!(installed(&root, &program).len(), 6, "nothing is known of the version");
        let file = root.agent_settings();
        assert_eq!(program[..4], words("env A=1 /bin/claude --settings")[..]);
        assert_eq!(program[4..], [file.to_str().unwrap(), "--continue"]);
        assert!(hooks.installed.contains(&"Stop".to_owned()) && hooks.why_not.is_none());
        let settings: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let command = settings["hooks"]["Stop"][0]["hooks"][0]["command"].as_str().unwrap();
        assert!(command.contains(r"it'\''s") && command.ends_with("2>/dev/null || true"), "{command}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_not_safe_is_not_done_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = SessionRoot::at(folder.path());
        for (tool, program, told) in [
            ("codex", "/bin/codex", true),
            ("gemini", "/bin/gemini", true),
            ("claude", "/bin/claude --settings own.json", true),
            ("claude", "/bin/claude --settings={}", true),
            ("claude", "/bin/bash", false),
            ("aider", "/bin/aider", false),
        ] {
            let mut given = words(program);
            let hooks = install(&root, tool, "/bin/agents", started(&mut given, folder.path())).unwrap();
            assert_eq!((hooks.why_not.is_some(), hooks.installed.len(), given), (told, 0, words(program)), "{program}");
        }
        assert!(!root.agent_settings().exists());
    }
}
