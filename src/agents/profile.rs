//! One agent program, as data.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    reading::ScreenReading,
    rules::{ProfileError, Rules, compile, line_of},
    signs::TitleMarks,
    source::{DeliverySource, ProfileSource, StashKey},
    version::{Range, Version},
};
use crate::model::Screen;

/// The profiles that come with the program, newest first for each tool.
const BUILT_IN: &[(&str, &str)] = &[
    ("claude", include_str!("profiles/claude.toml")),
    ("codex", include_str!("profiles/codex.toml")),
    ("gemini", include_str!("profiles/gemini.toml")),
    ("kimi", include_str!("profiles/kimi.toml")),
    ("opencode", include_str!("profiles/opencode.toml")),
    ("aider", include_str!("profiles/aider.toml")),
];

/// Each of them, once it was asked for.
static READ: [OnceLock<Option<Profile>>; BUILT_IN.len()] = [const { OnceLock::new() }; BUILT_IN.len()];

/// How well a profile fits the version that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It was made for it.
    Exact,
    /// Another or an unknown version: what is not certain is `unknown`. The sentence says why.
    Conservative(String),
}

impl Fit {
    /// `exact` or `conservative`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Conservative(_) => "conservative",
        }
    }
}

impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact => f.write_str(self.name()),
            Self::Conservative(why) => write!(f, "{}: {why}", self.name()),
        }
    }
}

/// What delivery must respect for one tool.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRules {
    /// Least time between the last paste and Enter.
    pub before_enter: Duration,
    /// The same for texts above `large` bytes.
    pub before_enter_large: Duration,
    /// What counts as large, in bytes.
    pub large: usize,
    /// A paste with more line breaks than this is folded or changed; `None`: any number is fine.
    pub chunk_breaks: Option<usize>,
    /// A paste with more characters than this is folded or changed.
    pub chunk_characters: Option<usize>,
    /// Enter while the tool works does something else than queueing: never press it then.
    pub enter_only_when_idle: bool,
    /// First characters that make the tool do something else with the text, each with what it would do.
    pub first_characters: Vec<(String, String)>,
    /// A text that ends in one of these is not submitted by Enter.
    pub last_characters: Vec<String>,
    /// Last words that begin so open a menu, whose choice Enter would take.
    pub last_words: Vec<String>,
    /// It cuts blanks off in front of a prompt, and a prompt behind one is text, whatever sign it begins with.
    pub trims_blanks_in_front: bool,
    /// Names of its own commands, without the slash; `*` stands for every word behind a slash.
    pub commands: Vec<String>,
    /// The key that interrupts.
    pub interrupt: String,
    /// Commands that begin a new conversation.
    pub new_chat: String,
    /// The key with which the tool keeps a draft aside until the next prompt is submitted; pressed into an empty
    /// composer it brings the draft back. Only where that was measured.
    pub stash: Option<&'static str>,
}

impl Default for DeliveryRules {
    fn default() -> Self {
        Self {
            before_enter: Duration::ZERO,
            before_enter_large: Duration::ZERO,
            large: usize::MAX,
            chunk_breaks: None,
            chunk_characters: None,
            enter_only_when_idle: false,
            first_characters: Vec::new(),
            last_characters: Vec::new(),
            last_words: Vec::new(),
            trims_blanks_in_front: false,
            commands: Vec::new(),
            interrupt: "Escape".to_owned(),
            new_chat: "/clear".to_owned(),
            stash: None,
        }
    }
}

impl DeliveryRules {
    fn of(source: &DeliverySource) -> Self {
        let standard = Self::default();
        let before_enter = Duration::from_millis(source.before_enter_millis);
        Self {
            before_enter,
            before_enter_large: source.before_enter_large_millis.map_or(before_enter, Duration::from_millis),
            large: source.large_bytes.unwrap_or(standard.large),
            chunk_breaks: source.chunk_breaks,
            chunk_characters: source.chunk_characters,
            enter_only_when_idle: source.enter_only_when_idle,
            first_characters: source.first_characters.clone(),
            last_characters: source.last_characters.clone(),
            last_words: source.last_words.clone(),
            trims_blanks_in_front: source.trims_blanks_in_front,
            commands: source.commands.clone(),
            interrupt: source.interrupt.clone().unwrap_or(standard.interrupt),
            new_chat: source.new_chat.clone().unwrap_or(standard.new_chat),
            stash: source.stash.map(StashKey::name),
        }
    }
}

/// The rules for one program and the versions that they were made for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `claude`, `codex`, `gemini`…
    pub tool: String,
    /// The profile's own name, as `claude-2.1`.
    pub name: String,
    /// How well it fits.
    pub fit: Fit,
    /// Names of the tool's process.
    pub processes: Vec<String>,
    /// What its title says.
    pub title: Arc<TitleMarks>,
    /// For typing.
    pub delivery: Arc<DeliveryRules>,
    rules: Arc<Compiled>,
    versions: Range,
}

/// The rules, made ready when the first screen is read: patterns take longer to compile than a gateway may take to
/// start.
#[derive(Debug)]
struct Compiled {
    text: &'static str,
    rules: OnceLock<Option<Rules>>,
}

impl Compiled {
    fn rules(&self) -> Option<&Rules> {
        // A test compiles every profile that comes with the program: nothing is left to be said here.
        let compile = || compile(&toml::from_str(self.text).ok()?, self.text).ok();
        self.rules.get_or_init(compile).as_ref()
    }
}

impl Profile {
    /// The profile for a tool and the version that runs, where it is known; `None` for a tool that has none: it is
    /// read as any line reader.
    pub fn find(tool: &str, version: Option<&str>) -> Option<Self> {
        Self::nearest(Self::built_in(tool), version)
    }

    /// The profiles for a tool that come with the program. A test reads all of them: a mistake would be found there.
    pub(super) fn built_in(tool: &str) -> impl Iterator<Item = Self> {
        let of_tool = BUILT_IN.iter().zip(&READ).filter(move |((name, _), _)| *name == tool);
        of_tool.filter_map(|((_, text), read)| read.get_or_init(|| Self::later(text).ok()).clone())
    }

    /// Reads a profile that comes with the program, and leaves its patterns for later.
    fn later(text: &'static str) -> Result<Self, ProfileError> {
        Self::of(parse(text)?, text, Compiled { text, rules: OnceLock::new() })
    }

    /// Of profiles for one tool, the one that fits a version best.
    pub(super) fn nearest(profiles: impl Iterator<Item = Self>, version: Option<&str>) -> Option<Self> {
        let read = version.and_then(Version::parse);
        let mut best: Option<Self> = None;
        for profile in profiles {
            match &read {
                Some(version) if profile.versions.holds(version) => return Some(profile),
                // The highest that begins below what runs, or the lowest of all.
                Some(version) => {
                    let below = |one: &Self| one.versions.begins().is_none_or(|begins| begins <= version);
                    let better = best.as_ref().is_none_or(|best| match (below(&profile), below(best)) {
                        (true, true) => profile.versions.begins() > best.versions.begins(),
                        (false, false) => profile.versions.begins() < best.versions.begins(),
                        (is_below, _) => is_below,
                    });
                    if better {
                        best = Some(profile);
                    }
                }
                None => {
                    if best.as_ref().is_none_or(|best| profile.versions.begins() > best.versions.begins()) {
                        best = Some(profile);
                    }
                }
            }
        }
        best.map(|profile| {
            let why = match (&read, version) {
                (Some(read), _) => format!("`{}` was not made for version {read}", profile.name),
                (None, Some(version)) => format!("`{version}` is not a version that can be read"),
                (None, None) => "the version that runs is not known".to_owned(),
            };
            Self { fit: Fit::Conservative(why), ..profile }
        })
    }

    /// Reads a profile. It fits exactly; whoever asks for a version says otherwise.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let source = parse(text)?;
        let rules = compile(&source, text)?;
        Self::of(source, text, Compiled { text: "", rules: OnceLock::from(Some(rules)) })
    }

    fn of(source: ProfileSource, text: &str, rules: Compiled) -> Result<Self, ProfileError> {
        let versions = Range::parse(source.versions.get_ref()).map_err(|message| ProfileError {
            line: line_of(text, source.versions.span().start),
            message: format!("`versions`: {message}"),
        })?;
        let title = TitleMarks::of(&source.title);
        let delivery = DeliveryRules::of(&source.delivery);
        let ProfileSource { tool, name, processes, .. } = source;
        // Whoever looks takes a copy: it costs no more than its names.
        let (title, delivery, rules) = (Arc::new(title), Arc::new(delivery), Arc::new(rules));
        Ok(Self { tool, name, fit: Fit::Exact, processes, title, delivery, rules, versions })
    }

    /// Makes the patterns ready, which takes some milliseconds: once for all profiles of this name.
    pub fn prepare(&self) {
        self.rules.rules();
    }

    /// Reads a screen.
    pub fn read(&self, screen: &Screen) -> ScreenReading {
        let rules = self.rules.rules();
        rules.map(|rules| super::detect::read(rules, self.fit == Fit::Exact, screen)).unwrap_or_default()
    }
}

fn parse(text: &str) -> Result<ProfileSource, ProfileError> {
    toml::from_str(text).map_err(|error| ProfileError {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().replace('\n', ", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_can_be_read() {
        for (tool, text) in BUILT_IN {
            let profile = Profile::from_toml(text).unwrap_or_else(|error| panic!("{tool}: {error}"));
            assert_eq!(profile.tool, *tool);
            assert!(!profile.processes.is_empty(), "{tool}");
        }
    }

    #[test]
    fn the_nearest_profile_is_taken_and_says_so() {
        let profile = Profile::find("claude", Some("2.1.330 (Claude Code)")).unwrap();
        assert_eq!((profile.name.as_str(), profile.fit), ("claude-2.1", Fit::Exact));
        for (version, why) in [
            (Some("9.9"), "`claude-2.1` was not made for version 9.9"),
            (Some("1.0"), "`claude-2.1` was not made for version 1"),
            (Some("dev"), "`dev` is not a version that can be read"),
            (None, "the version that runs is not known"),
        ] {
            let profile = Profile::find("claude", version).unwrap();
            assert_eq!(profile.fit, Fit::Conservative(why.to_owned()), "{version:?}");
        }
        assert!(Profile::find("bash", None).is_none());
    }

    #[test]
    fn of_several_the_one_just_below_is_nearest() {
        let text = BUILT_IN.iter().find(|(tool, _)| *tool == "claude").unwrap().1;
        let made = |name: &str, versions: &str| {
            let text = text.replace("claude-2.1\"", &format!("{name}\"")).replace(">=2.1, <2.2", versions);
            Profile::from_toml(&text).unwrap()
        };
        let all = || [made("old", ">=1, <2"), made("new", ">=3, <4")].into_iter();
        let nearest = |version: &str| Profile::nearest(all(), Some(version)).unwrap().name;
        let found = ["0.5", "1.2", "2.5", "3.1", "5"].map(nearest);
        assert_eq!(found, ["old", "old", "old", "new", "new"]);
        assert_eq!(Profile::nearest(all(), None).unwrap().name, "new");
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_key() {
        let text = BUILT_IN.iter().find(|(tool, _)| *tool == "claude").unwrap().1;
        let line = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
        for (from, to, needle, part) in [
            ("processes =", "prozesses =", "processes =", "unknown field `prozesses`"),
            ("'^❯ ?'", "'^❯ (?'", "sign =", "is no pattern"),
            ("proves = \"finished\"", "proves = \"done\"", "proves = \"finished\"", "unknown variant `done`"),
            ("foreground = \"231\"", "foreground = \"red\"", "foreground = \"231\"", "`red` is no colour"),
            (">=2.1, <2.2", "2.1", "versions =", "begins with none of"),
        ] {
            let error = Profile::from_toml(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.message.contains(part), "{error}");
            assert_eq!(error.line, line(needle), "{error}");
        }
    }
}
