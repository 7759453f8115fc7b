//! Taking up a conversation when a tool is started in a terminal: which words that are (contract section 4.3). *Pure.*

use super::headless::Chat;

/// Tools whose words for it the contract names.
const KNOWN: [&str; 3] = ["claude", "kimi", "codex"];

/// Words that choose a conversation already, and what codex calls the other things that it can do.
const TAKEN: [&str; 17] = [
    "--continue",
    "-c",
    "-C",
    "--resume",
    "-r",
    "--session",
    "-S",
    "--session-id",
    "--fork-session",
    "--from-pr",
    "--teleport",
    "--print",
    "-p",
    "resume",
    "exec",
    "e",
    "fork",
];

/// Is this several letters behind one dash, with one among them that chooses a conversation?
fn is_bundle(name: &str) -> bool {
    name.strip_prefix('-').is_some_and(|letters| {
        letters.len() > 1
            && letters.chars().all(|c| c.is_ascii_alphabetic())
            && letters.chars().any(|c| TAKEN.contains(&format!("-{c}").as_str()))
    })
}

/// Why it cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotResume {
    /// How this tool is told is not known.
    Tool,
    /// The program is not the tool itself, or its words say something that nobody here understands.
    Program(String),
}

/// The words that start a tool in this conversation, made of those that it was launched with.
///
/// # Errors
/// [`CannotResume`].
pub fn resumed(tool: &str, program: &[String], chat: &Chat) -> Result<Vec<String>, CannotResume> {
    if !KNOWN.contains(&tool) {
        return Err(CannotResume::Tool);
    }
    let base = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let other = || CannotResume::Program(format!("its program is `{}`, and not `{tool}` itself", program.join(" ")));
    let at = program.iter().position(|word| base(word) == tool).ok_or_else(other)?;
    // `env NAME=VALUE tool` is the tool; what else may stand before it, may start it or not.
    let through_env = program.first().is_some_and(|first| base(first) == "env")
        && program[1..at].iter().all(|word| word.contains('=') && !word.starts_with('-'));
    if at != 0 && !through_env {
        return Err(other());
    }
    let (before, after) = program.split_at(at + 1);
    // `-c` is codex's word for a setting.
    let takes = |word: &&String| {
        let name = word.split('=').next().unwrap_or_default();
        let taken = TAKEN.contains(&name) || is_bundle(name);
        taken && !(tool == "codex" && name.starts_with('-')) && (tool == "codex" || name.starts_with('-'))
    };
    if let Some(word) = after.iter().find(takes) {
        return Err(CannotResume::Program(format!(
            "it was launched with `{word}`, which says already where it begins"
        )));
    }
    let added: Vec<&str> = match (tool, chat) {
        (_, Chat::New) => Vec::new(),
        ("codex", Chat::Last) => vec!["resume", "--last"],
        ("codex", Chat::Exact(id)) => vec!["resume", id],
        (_, Chat::Last) => vec!["--continue"],
        (_, Chat::Exact(id)) => vec!["--resume", id],
    };
    Ok(before.iter().cloned().chain(added.into_iter().map(str::to_owned)).chain(after.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tool: &str, program: &str, chat: &Chat) -> Result<String, CannotResume> {
        let program: Vec<String> = program.split(' ').map(str::to_owned).collect();
        resumed(tool, &program, chat).map(|words| words.join(" "))
    }

    #[test]
    fn each_tool_is_told_in_its_own_words_and_keeps_its_arguments() {
        let exact = Chat::Exact("abc".to_owned());
        let told = |tool, program, chat| line(tool, program, chat).unwrap();
        assert_eq!(told("claude", "/bin/claude --model m", &Chat::Last), "/bin/claude --continue --model m");
        assert_eq!(told("claude", "env A=1 claude", &exact), "env A=1 claude --resume abc");
        assert_eq!(told("kimi", "kimi", &exact), "kimi --resume abc");
        assert_eq!(told("codex", "codex -c a=b -m x", &Chat::Last), "codex resume --last -c a=b -m x");
        assert_eq!(told("codex", "codex", &exact), "codex resume abc");
        assert_eq!(told("claude", "claude --model m", &Chat::New), "claude --model m");
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        assert_eq!(line("aider", "aider", &Chat::New), Err(CannotResume::Tool));
        for (tool, program) in [
            ("claude", "sh -c claude"),
            ("claude", "env -i claude"),
            ("claude", "/opt/wrapper"),
            ("claude", "claude --resume=x"),
            ("claude", "claude -c"),
            ("claude", "claude -dc"),
            ("claude", "claude --session-id 1"),
            ("claude", "claude -p hi"),
            ("codex", "codex -m x resume --last"),
            ("codex", "codex exec"),
        ] {
            assert!(matches!(line(tool, program, &Chat::Last), Err(CannotResume::Program(_))), "{program}");
        }
    }
}
