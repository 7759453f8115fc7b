//! One agent's screen, for somebody who wants to type: any line reader's prompt at the cursor, or the composer of a tool
//! that has a profile. Pure.

use std::sync::LazyLock;

use super::{
    Phase, State,
    generic::{self, Around, Pending, Reading, Why},
};
use crate::{
    agents::{ComposerReading, DeliveryRules, Profile, ScreenReading},
    tmux::input::Look,
};

/// What holds for any line reader.
static STANDARD: LazyLock<DeliveryRules> = LazyLock::new(DeliveryRules::default);

/// How the screen of one agent is read, and what delivery must respect for it.
#[derive(Debug, Clone)]
pub struct View {
    tool: String,
    profile: Option<Profile>,
}

impl View {
    /// The view of this program. `None`: it is read as any line reader.
    pub fn new(tool: &str, profile: Option<Profile>) -> Self {
        Self { tool: tool.to_owned(), profile }
    }

    /// The program as it was recorded.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Its profile, if it has one.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// What delivery must respect.
    pub fn rules(&self) -> &DeliveryRules {
        self.profile.as_ref().map_or(&STANDARD, |profile| &profile.delivery)
    }

    /// Reads a look.
    pub fn read(&self, look: &Look, around: &Around) -> Reading {
        let Some(profile) = &self.profile else { return generic::read(look, around, &self.tool) };
        let screen = profile.read(&look.screen());
        let against = generic::unreachable(look)
            .or_else(|| generic::other_program(around, &self.tool))
            .or_else(|| self.speaks_against(&screen));
        let pending = match (&screen.composer, screen.queued) {
            (ComposerReading::Draft(_), _) | (_, Some(true)) => Pending::Yes,
            (ComposerReading::Empty, _) => Pending::No,
            (ComposerReading::Absent | ComposerReading::Unclear, _) => Pending::Unknown,
        };
        Reading { against, pending, screen: Some(Box::new(screen)) }
    }

    /// What a tool's look means together with what is known of the tool besides; a line reader's means what it says.
    pub fn weigh(&self, mut reading: Reading, state: &State) -> Reading {
        if self.profile.is_none() || reading.against.as_ref().is_some_and(|why| why.hard) {
            return reading;
        }
        let told = || state.why.clone().unwrap_or_default();
        let why = match state.phase {
            Phase::Ready => None,
            Phase::Blocked => {
                let said =
                    state.blocked_by.as_ref().map_or_else(told, |(source, said)| format!("{}: {said}", source.name()));
                Some(("dialog", format!("the program waits for an answer ({said})"), true))
            }
            Phase::Active => {
                let turn = state
                    .turn
                    .as_ref()
                    .map_or_else(|| "a prompt was just submitted".to_owned(), |turn| turn.id.clone());
                Some(("busy", format!("the program works ({turn})"), self.rules().enter_only_when_idle))
            }
            Phase::Unknown => Some(("unknown", format!("what the program does is not known: {}", told()), false)),
        };
        if let Some((reason, detail, hard)) = why
            && (hard || reading.against.is_none() || reason == "busy")
        {
            reading.against = Some(Why { reason, detail, hard });
        }
        reading
    }

    /// What a tool's screen says against typing.
    fn speaks_against(&self, screen: &ScreenReading) -> Option<Why> {
        let why = |reason, detail: String, hard| Some(Why { reason, detail, hard });
        if screen.gone {
            return why("agent_not_running", format!("`{}` has ended and left its picture", self.tool), true);
        }
        if let Some(dialog) = &screen.dialog {
            let detail = format!("the program asks a question, and it needs a person: {}", dialog.title);
            return why("dialog", detail, true);
        }
        if screen.starting {
            return why("starting", "the program draws its first screen".to_owned(), true);
        }
        if screen.menu {
            return why("menu", "a menu of the composer is open: Enter would take its choice".to_owned(), true);
        }
        if let Some(sign) = screen.working.first() {
            return why("busy", format!("the program works ({sign})"), self.rules().enter_only_when_idle);
        }
        match &screen.composer {
            ComposerReading::Empty if screen.queued == Some(true) => {
                why("queued_input", "the program itself holds a prompt that it has not taken yet".to_owned(), false)
            }
            ComposerReading::Empty => None,
            ComposerReading::Draft(_) => why("draft", "a half-typed text stands in the composer".to_owned(), false),
            ComposerReading::Unclear => why("draft", "whether the composer is empty cannot be told".to_owned(), false),
            ComposerReading::Absent => why("not_ready", "no composer is on the screen".to_owned(), false),
        }
    }
}
