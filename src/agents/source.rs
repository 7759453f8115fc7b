//! A profile as it is written down. Only shapes; `rules` makes something to run of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::dialog::DialogKind;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileSource {
    pub(super) tool: String,
    pub(super) name: String,
    pub(super) versions: Spanned<String>,
    #[serde(default)]
    pub(super) processes: Vec<String>,
    #[serde(default)]
    pub(super) title: TitleSource,
    pub(super) composer: ComposerSource,
    #[serde(default)]
    pub(super) turn: TurnSource,
    #[serde(default)]
    pub(super) signature: SignatureSource,
    #[serde(default)]
    pub(super) rules: Vec<RuleSource>,
    #[serde(default)]
    pub(super) dialogs: DialogsSource,
    #[serde(default)]
    pub(super) dialog: Vec<DialogSource>,
    #[serde(default)]
    pub(super) delivery: DeliverySource,
}

/// What titles begin with: a text, or every character of a range as in `a-z`. The empty text begins every title.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TitleSource {
    pub(super) working: Vec<String>,
    pub(super) idle: Vec<String>,
    pub(super) waiting: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposerSource {
    pub(super) sign: Spanned<String>,
    pub(super) modes: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) style: StyleSource,
    pub(super) above: Option<Spanned<String>>,
    pub(super) scrolled: Option<Spanned<String>>,
    pub(super) edge: Option<char>,
    pub(super) below: Option<Spanned<String>>,
    pub(super) over: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) over_rows: usize,
    pub(super) not_below: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) indent: usize,
    #[serde(default)]
    pub(super) right: usize,
    pub(super) wall: Option<char>,
    #[serde(default)]
    pub(super) block: bool,
    #[serde(default)]
    pub(super) tail: usize,
    #[serde(default)]
    pub(super) placeholder: Vec<StyleSource>,
    #[serde(default)]
    pub(super) mixed: Mixed,
}

/// What a text is of which one part looks like a placeholder and another does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mixed {
    /// A draft, and a suggestion of how it may go on.
    Draft,
    /// Nobody can tell.
    #[default]
    Unclear,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TurnSource {
    pub(super) prompt: Option<Spanned<String>>,
    pub(super) above: Option<Spanned<String>>,
    pub(super) style: StyleSource,
    pub(super) closes: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SignatureSource {
    pub(super) skip: Vec<Spanned<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StyleSource {
    pub(super) bold: Option<bool>,
    pub(super) dim: Option<bool>,
    pub(super) italic: Option<bool>,
    pub(super) inverse: Option<bool>,
    pub(super) foreground: Option<Spanned<String>>,
    pub(super) background: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSource {
    pub(super) name: String,
    pub(super) proves: Proof,
    pub(super) region: Region,
    pub(super) last: Option<usize>,
    pub(super) pattern: Spanned<String>,
    #[serde(default)]
    pub(super) style: StyleSource,
    pub(super) when: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) priority: i32,
}

/// What a rule proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proof {
    Working,
    Queued,
    Interrupted,
    Failed,
    Finished,
    Starting,
    Menu,
    /// What stands in the composer cannot be trusted.
    Unclear,
    /// The chrome is one that the profile knows.
    Known,
    /// A shell's prompt stands where the tool drew.
    Gone,
    /// The tool keeps a draft aside.
    Stashed,
}

impl Proof {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Queued => "queued",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Starting => "starting",
            Self::Menu => "menu",
            Self::Unclear => "unclear",
            Self::Known => "known",
            Self::Gone => "gone",
            Self::Stashed => "stashed",
        }
    }
}

/// Which rows a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Region {
    /// All rows.
    Screen,
    /// The last rows that are not blank; `last` says how many.
    Footer,
    /// Above the composer; `last` takes the nearest ones that are not blank.
    Above,
    /// Below the composer.
    Below,
    /// The first row below the composer that is not blank.
    FirstBelow,
    /// The composer's own rows.
    Composer,
    /// From the last prompt that was taken to the composer.
    Turn,
    /// The cursor's row, up to the cursor.
    Cursor,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DialogsSource {
    pub(super) pointers: String,
    pub(super) walls: String,
    pub(super) start: Option<Spanned<String>>,
    pub(super) footer: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) answer: Answer,
}

impl Default for DialogsSource {
    fn default() -> Self {
        Self {
            pointers: "❯›●".to_owned(),
            walls: "│┃".to_owned(),
            start: None,
            footer: None,
            key: None,
            answer: Answer::default(),
        }
    }
}

/// How a choice is taken when the screen names no key for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Its digit takes it at once.
    #[default]
    Digit,
    /// The pointer has to be moved to it; then Enter.
    Arrows,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DialogSource {
    pub(super) name: String,
    pub(super) kind: DialogKind,
    pub(super) pattern: Option<Spanned<String>>,
    pub(super) below: Option<Spanned<String>>,
    pub(super) row: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) keys: BTreeMap<String, String>,
    pub(super) answer: Option<Answer>,
    #[serde(default)]
    pub(super) free: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeliverySource {
    pub(super) before_enter_millis: u64,
    pub(super) before_enter_large_millis: Option<u64>,
    pub(super) large_bytes: Option<usize>,
    pub(super) chunk_breaks: Option<usize>,
    pub(super) chunk_characters: Option<usize>,
    pub(super) enter_only_when_idle: bool,
    pub(super) first_characters: Vec<(String, String)>,
    pub(super) last_characters: Vec<String>,
    pub(super) last_words: Vec<String>,
    pub(super) trims_blanks_in_front: bool,
    pub(super) commands: Vec<String>,
    pub(super) interrupt: Option<String>,
    pub(super) new_chat: Option<String>,
    pub(super) stash: Option<StashKey>,
}

/// A key that has the tool keep a draft aside, and pressed into an empty composer brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum StashKey {
    #[serde(rename = "C-s")]
    ControlS,
}

impl StashKey {
    /// tmux's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ControlS => "C-s",
        }
    }
}
