//! Hooks of the agent's program, in a settings file of its session. The user's own files are neither read nor changed.

use serde_json::{Value, json};

use crate::{
    model::{Failure, shell_quote},
    session::{SessionRoot, documents},
};

/// Claude's events that say something about its turns.
const CLAUDE: [&str; 9] = [
    "SessionStart",
    "UserPromptSubmit",
    "Stop",
    "StopFailure",
    "PermissionRequest",
    "Notification",
    "PreCompact",
    "PostCompact",
    "SessionEnd",
];

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

/// Lets the program that is about to be started tell of its turns, if it is one that can be asked to: `program` gets a
/// word that names the session's settings file.
///
/// # Errors
/// The file cannot be written.
pub(super) fn install(
    root: &SessionRoot,
    tool: &str,
    ourselves: &str,
    program: &mut Vec<String>,
) -> Result<Hooks, Failure> {
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
    documents::store_bytes(&file, settings(root, ourselves).to_string().as_bytes())?;
    program.splice(at + 1..=at, ["--settings".to_owned(), file.to_string_lossy().into_owned()]);
    Ok(Hooks { installed: CLAUDE.map(str::to_owned).to_vec(), why_not: None })
}

/// The events that a program tells that was started with these words.
pub(super) fn installed(root: &SessionRoot, program: &[String]) -> Vec<String> {
    let file = root.agent_settings();
    let has = program.iter().any(|word| file.to_str() == Some(word.as_str()));
    if has { CLAUDE.map(str::to_owned).to_vec() } else { Vec::new() }
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
fn settings(root: &SessionRoot, ourselves: &str) -> Value {
    // A hook that fails is shown to the user, and one that ends with 2 stops the turn: neither may come from here.
    let command = format!(
        "{} agent-event --tool claude --session-root {} 2>/dev/null || true",
        shell_quote(ourselves),
        shell_quote(&root.path().to_string_lossy())
    );
    let hook = json!([{ "hooks": [{ "type": "command", "command": command, "timeout": PATIENCE }] }]);
    let hooks: serde_json::Map<String, Value> =
        CLAUDE.iter().map(|event| ((*event).to_owned(), hook.clone())).collect();
    json!({ "hooks": hooks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
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
        let hooks = install(&root, "claude", "/bin/agents", &mut program).unwrap();
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
            let hooks = install(&root, tool, "/bin/agents", &mut given).unwrap();
            assert_eq!((hooks.why_not.is_some(), hooks.installed.len(), given), (told, 0, words(program)), "{program}");
        }
        assert!(!root.agent_settings().exists());
    }
}
