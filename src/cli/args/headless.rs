//! The words around headless agents: how they are launched, and their turns.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::{Selectors, duration::duration};
use crate::{
    api::{ChatMode, ChatSession, ExecutionOverride, KeepTurns, ModelOverride, Reasoning, StartupChat},
    lifecycle::{self, HeadlessOptions},
    model::Failure,
};

/// What `agents launch` says of turns that are processes.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct LaunchHeadless {
    /// No terminal: each prompt is one run of the program. After `--`, arguments for the tool, or a program that reads
    /// the prompt from stdin or has {prompt} and {session} among its words
    #[arg(long)]
    pub(in crate::cli) headless: bool,
    /// The conversation of the first turn: `last`, or the tool's id of one [default: a new one]
    #[arg(long, value_name = "last|ID", requires = "headless")]
    pub(in crate::cli) resume_id: Option<String>,
    /// The model of every turn
    #[arg(long, value_name = "MODEL", requires = "headless")]
    pub(in crate::cli) model: Option<String>,
    /// How hard it thinks: 0, 1, 2…
    #[arg(long, value_name = "LEVEL", requires = "headless")]
    pub(in crate::cli) reasoning_level: Option<u64>,
    #[command(flatten)]
    pub(in crate::cli) keep: Keep,
}

/// How long the files of turns stay.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Keep {
    /// So many turns keep their files, the newest ones; `off`: all [default: 1000]
    #[arg(long, value_name = "COUNT|off", requires = "headless", value_parser = limit)]
    keep_turns: Option<Limit>,
    /// For so many days after its end a turn keeps its files; `off`: for ever [default: off]
    #[arg(long, value_name = "DAYS|off", requires = "headless", value_parser = limit)]
    keep_days: Option<Limit>,
}

/// A number above zero, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u32>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "off" => Ok(Limit(None)),
        text => match text.parse() {
            Ok(number) if number > 0 => Ok(Limit(Some(number))),
            _ => Err("give a number above zero, or `off`".to_owned()),
        },
    }
}

impl Keep {
    fn wish(self) -> KeepTurns {
        let usual = KeepTurns::default();
        KeepTurns {
            turns: self.keep_turns.map_or(usual.turns, |limit| limit.0),
            days: self.keep_days.map_or(usual.days, |limit| limit.0),
        }
    }
}

impl LaunchHeadless {
    /// The wishes as the rest of the program knows them; `None` for an agent in a terminal.
    pub(in crate::cli) fn options(&self) -> Option<HeadlessOptions> {
        let startup = match self.resume_id.as_deref() {
            None => StartupChat { mode: ChatMode::New, id: None },
            Some("last") => StartupChat { mode: ChatMode::ToolLastOrNew, id: None },
            Some(id) => StartupChat { mode: ChatMode::Exact, id: Some(id.to_owned()) },
        };
        let options = HeadlessOptions {
            startup,
            model: self.model.clone(),
            reasoning_level: self.reasoning_level,
            keep: self.keep.wish(),
        };
        self.headless.then_some(options)
    }
}

/// What `agents join` says of turns that are processes.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct JoinHeadless {
    /// Each prompt is one run of --tool, beside what runs in the session
    #[arg(long, requires = "tool")]
    pub(in crate::cli) headless: bool,
    /// An argument of the tool in every turn; may be given again
    #[arg(long, value_name = "ARG", requires = "headless", allow_hyphen_values = true, num_args = 1)]
    pub(in crate::cli) launch_args: Vec<String>,
    /// A variable of every turn; may be given again
    #[arg(long, value_name = "NAME[=VALUE]", requires = "headless")]
    pub(in crate::cli) launch_env: Vec<String>,
    /// The conversation of the first turn: `last`, or the tool's id of one [default: a new one]
    #[arg(long, value_name = "last|ID", requires = "headless")]
    pub(in crate::cli) resume_id: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) keep: Keep,
}

impl JoinHeadless {
    /// The wishes as the rest of the program knows them; `None` for an agent in a terminal.
    pub(in crate::cli) fn options(&self) -> Option<lifecycle::JoinHeadless> {
        let launch = LaunchHeadless {
            headless: self.headless,
            resume_id: self.resume_id.clone(),
            model: None,
            reasoning_level: None,
            keep: self.keep,
        };
        let variable = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        Some(lifecycle::JoinHeadless {
            options: launch.options()?,
            launch_args: self.launch_args.clone(),
            launch_env: self.launch_env.iter().map(variable).collect(),
            path: std::env::var_os("PATH"),
        })
    }
}

/// Another model for one turn of a headless agent.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct TurnModel {
    /// Headless agents: the model of this turn
    #[arg(long, value_name = "MODEL")]
    pub(in crate::cli) model: Option<String>,
    /// Headless agents: how hard it thinks in this turn: 0, 1, 2…
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) reasoning_level: Option<u64>,
}

impl TurnModel {
    /// The wish of the wire; `None` if there is none.
    pub(in crate::cli) fn execution(&self) -> Option<ExecutionOverride> {
        if self.model.is_none() && self.reasoning_level.is_none() {
            return None;
        }
        let reasoning = self.reasoning_level.map(|level| Reasoning { level });
        Some(ExecutionOverride { model: ModelOverride { name: self.model.clone(), reasoning } })
    }
}

/// `agents turn`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Turn {
    /// Run one turn, wait for its end, print the reply; needs no gateway
    Submit(TurnSubmit),
    /// List the turns, newest first
    List(Selectors),
    /// Show how a turn is doing, or how it ended
    Status(WhichTurn),
    /// Print what its program wrote
    Stdout(WhichTurn),
    /// Print what its program complained
    Stderr(WhichTurn),
    /// Print what happened in it
    Events {
        #[command(flatten)]
        which: WhichTurn,
        /// How much of it
        #[arg(long, value_enum, default_value_t = Detail::Concise, value_name = "HOW")]
        detail: Detail,
    },
}

impl Turn {
    pub(super) fn selectors(&self) -> &Selectors {
        match self {
            Self::Submit(TurnSubmit { selectors, .. }) | Self::List(selectors) => selectors,
            Self::Status(which) | Self::Stdout(which) | Self::Stderr(which) | Self::Events { which, .. } => {
                &which.selectors
            }
        }
    }
}

/// `agents turn submit`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TurnSubmit {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The text; it may begin with a dash [default: stdin, to its end]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) prompt: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) model: TurnModel,
    /// Which conversation [default: the current one, else the one of the launch]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(in crate::cli) chat_session: Option<ChatWord>,
    /// Its id, with --chat-session exact
    #[arg(long, value_name = "ID", requires = "chat_session")]
    pub(in crate::cli) chat_session_id: Option<String>,
    /// How long to wait: 30s, 500ms, 5m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2h")]
    pub(in crate::cli) timeout: Duration,
}

impl TurnSubmit {
    /// The wish of the wire.
    ///
    /// # Errors
    /// Usage, for a mode and an id that do not go together.
    pub(in crate::cli) fn chat(&self) -> Result<Option<ChatSession>, Failure> {
        let Some(word) = self.chat_session else { return Ok(None) };
        let mode = match word {
            ChatWord::New => ChatMode::New,
            ChatWord::Current => ChatMode::Current,
            ChatWord::ToolLastOrNew => ChatMode::ToolLastOrNew,
            ChatWord::Exact => ChatMode::Exact,
        };
        let named = self.chat_session_id.as_ref().is_some_and(|id| !id.trim().is_empty());
        match (mode == ChatMode::Exact, self.chat_session_id.is_some()) {
            (true, _) if !named => {
                Err(Failure::usage("`--chat-session exact` needs the conversation's id", "add --chat-session-id ID"))
            }
            (false, true) => Err(Failure::usage(
                "`--chat-session-id` goes with `--chat-session exact` only",
                "leave out the id, or ask for `--chat-session exact`",
            )),
            _ => Ok(Some(ChatSession { mode, id: self.chat_session_id.clone() })),
        }
    }
}

/// `agents relaunch`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Relaunch {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Which conversation [default: a headless agent goes on with its own, another one starts as it was launched]
    #[arg(long, value_enum, value_name = "MODE")]
    chat_session_mode: Option<RelaunchWord>,
    /// Its id, with --chat-session-mode exact
    #[arg(long, value_name = "ID", requires = "chat_session_mode")]
    chat_session_id: Option<String>,
}

/// Which conversation a program begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum RelaunchWord {
    /// A fresh one
    New,
    /// The one that the tool used last
    ToolLastOrNew,
    /// The one with --chat-session-id
    Exact,
}

impl Relaunch {
    /// The wish; `None` if there is none.
    ///
    /// # Errors
    /// Usage, for a mode and an id that do not go together.
    pub(in crate::cli) fn chat(&self) -> Result<Option<StartupChat>, Failure> {
        let id = self.chat_session_id.clone().filter(|id| !id.trim().is_empty() && !id.starts_with('-'));
        let (mode, id) = match (self.chat_session_mode, id) {
            (None, _) => return Ok(None),
            (Some(RelaunchWord::Exact), Some(id)) => (ChatMode::Exact, Some(id)),
            (Some(RelaunchWord::Exact), None) => {
                let message = "`--chat-session-mode exact` needs the conversation's id";
                return Err(Failure::usage(message, "add --chat-session-id ID"));
            }
            (Some(_), _) if self.chat_session_id.is_some() => {
                return Err(Failure::usage(
                    "`--chat-session-id` goes with `--chat-session-mode exact` only",
                    "leave out the id, or ask for `--chat-session-mode exact`",
                ));
            }
            (Some(RelaunchWord::New), _) => (ChatMode::New, None),
            (Some(RelaunchWord::ToolLastOrNew), _) => (ChatMode::ToolLastOrNew, None),
        };
        Ok(Some(StartupChat { mode, id }))
    }
}

/// One turn.
#[derive(Debug, Args)]
pub(in crate::cli) struct WhichTurn {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The turn [default: the last one]
    #[arg(value_name = "TURN")]
    pub(in crate::cli) turn: Option<String>,
}

/// Which conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(in crate::cli) enum ChatWord {
    /// A fresh one
    New,
    /// The one that the session is in
    Current,
    /// The one that the tool used last
    ToolLastOrNew,
    /// The one with --chat-session-id
    Exact,
}

/// How much of a turn's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Detail {
    /// What was said and done
    Concise,
    /// Everything
    Detail,
}

/// The hidden verbs' session.
#[derive(Debug, Args)]
pub(in crate::cli) struct OfRoot {
    /// The session root
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) session_root: PathBuf,
    /// The turn
    #[arg(long, value_name = "TURN", default_value = "")]
    pub(in crate::cli) turn: String,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        submit: TurnSubmit,
    }

    #[test]
    fn a_mode_and_an_id_that_do_not_go_together_are_refused() {
        let chat = |words: &str| Line::parse_from(format!("x {words}").split(' ')).submit.chat();
        for wrong in [
            "--chat-session exact",
            "--chat-session new --chat-session-id q",
            "--chat-session current --chat-session-id q",
        ] {
            assert!(chat(wrong).is_err(), "{wrong}");
        }
        let exact = chat("--chat-session exact --chat-session-id q").ok().flatten();
        assert_eq!(exact.map(|chat| (chat.mode, chat.id)), Some((ChatMode::Exact, Some("q".to_owned()))));
    }
}
