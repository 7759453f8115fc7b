//! The words around reminders.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::Selectors;
use crate::{
    api::{LONGEST_DELAY_SECONDS, ReminderMode, WhenMissed},
    model::Moment,
};

/// `agents gateway reminders`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Reminders {
    /// List reminders in their order: only the first is said, the others wait behind it
    List(Selectors),
    /// Show one reminder
    Get {
        #[command(flatten)]
        selectors: Selectors,
        /// Which
        #[arg(long, value_name = "ID", value_parser = reminder_id)]
        reminder_id: String,
    },
    /// Have something said to the agent later; it survives a restart
    Create(Box<CreateReminder>),
    /// Change a reminder; what is not named stays
    Set(Box<SetReminder>),
    /// Remove a reminder
    Remove {
        #[command(flatten)]
        selectors: Selectors,
        /// Which
        #[arg(long, value_name = "ID", value_parser = reminder_id)]
        reminder_id: String,
    },
}

/// `agents gateway reminders create`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["prompt", "sequence"]).required(true))]
#[command(group = ArgGroup::new("place").args(["ranking", "before_all", "after_all"]).required(true))]
#[command(group = ArgGroup::new("start").args(["start_after_seconds", "deliver_at_utc"]).required(true))]
pub(in crate::cli) struct CreateReminder {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// What to call it
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) title: String,
    /// Once, or again and again
    #[arg(long, value_name = "MODE")]
    pub(in crate::cli) mode: Mode,
    #[command(flatten)]
    pub(in crate::cli) words: ReminderWords,
}

/// `agents gateway reminders set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["prompt", "sequence"]))]
#[command(group = ArgGroup::new("place").args(["ranking", "before_all", "after_all"]))]
#[command(group = ArgGroup::new("start").args(["start_after_seconds", "deliver_at_utc"]))]
pub(in crate::cli) struct SetReminder {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Which
    #[arg(long, value_name = "ID", value_parser = reminder_id)]
    pub(in crate::cli) reminder_id: String,
    /// What to call it
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) title: Option<String>,
    /// Once, or again and again
    #[arg(long, value_name = "MODE")]
    pub(in crate::cli) mode: Option<Mode>,
    #[command(flatten)]
    pub(in crate::cli) words: ReminderWords,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReminderWords {
    /// The prompt; it waits in the queue until the agent is ready
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) prompt: Option<String>,
    /// Keys to press instead: text and `<[Key]>` tokens
    #[arg(long, value_name = "KEYS", allow_hyphen_values = true)]
    pub(in crate::cli) sequence: Option<String>,
    /// End the keys with one Enter [default]
    #[arg(long, overrides_with = "no_ensure_enter")]
    pub(in crate::cli) ensure_enter: bool,
    /// Press the keys as they are
    #[arg(long, overrides_with = "ensure_enter")]
    pub(in crate::cli) no_ensure_enter: bool,
    /// Its place: lower comes first
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(in crate::cli) ranking: Option<i64>,
    /// In front of all others
    #[arg(long)]
    pub(in crate::cli) before_all: bool,
    /// Behind all others
    #[arg(long)]
    pub(in crate::cli) after_all: bool,
    /// Do not say it for now; it still keeps others back
    #[arg(long, overrides_with = "no_paused")]
    pub(in crate::cli) paused: bool,
    /// Go on with it [default]
    #[arg(long, overrides_with = "paused")]
    pub(in crate::cli) no_paused: bool,
    /// How long from now; the wall clock does not matter
    #[arg(long, value_name = "SECONDS", value_parser = delay)]
    pub(in crate::cli) start_after_seconds: Option<f64>,
    /// At this moment, with `Z` or an offset: 2026-11-21T17:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(in crate::cli) deliver_at_utc: Option<String>,
    /// How often, for `--mode repeat`
    #[arg(long, value_name = "SECONDS", value_parser = delay)]
    pub(in crate::cli) interval_seconds: Option<f64>,
    /// What becomes of it when it falls due without a gateway [default: fire-once]
    #[arg(long, value_name = "POLICY")]
    pub(in crate::cli) when_missed: Option<Missed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Mode {
    /// Once
    #[value(name = "one_off", alias = "one-off")]
    OneOff,
    /// Every `--interval-seconds`
    Repeat,
}

impl From<Mode> for ReminderMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::OneOff => Self::OneOff,
            Mode::Repeat => Self::Repeat,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Missed {
    /// Say it once, as soon as possible
    #[value(alias = "fire_once")]
    FireOnce,
    /// Do not say it
    Skip,
    /// Say every missed slot, the newest 20 at most
    #[value(alias = "fire_all")]
    FireAll,
}

impl From<Missed> for WhenMissed {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::FireOnce => Self::FireOnce,
            Missed::Skip => Self::Skip,
            Missed::FireAll => Self::FireAll,
        }
    }
}

impl Reminders {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::List(selectors) | Self::Get { selectors, .. } | Self::Remove { selectors, .. } => selectors,
            Self::Create(words) => &words.selectors,
            Self::Set(words) => &words.selectors,
        }
    }
}

/// Nothing of it may become another part of a path.
fn reminder_id(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { Ok(text.to_owned()) } else { Err("an id looks like greminder-0123456789ab".to_owned()) }
}

fn delay(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_not_a_number| "seconds are a number: 0.5, 90, 3600".to_owned())?;
    if seconds.is_finite() && seconds > 0.0 && seconds <= LONGEST_DELAY_SECONDS {
        Ok(seconds)
    } else {
        Err("seconds are above 0 and at most a hundred years".to_owned())
    }
}

fn moment(text: &str) -> Result<String, String> {
    let wrong = "give a moment with `Z` or an offset: 2026-11-21T17:00:00Z, 2026-11-21T17:00:00+01:00";
    Moment::parse_civil(text).map(|_read| text.to_owned()).ok_or_else(|| wrong.to_owned())
}
