//! What can be typed. clap types only; no decisions.

mod ag_ui;
mod approvals;
mod duration;
mod fixtures;
mod headless;
mod lazy;
mod live;
mod mail;
mod mail_notifier;
mod mailbox;
mod memory;
mod prompts;
mod reminders;
mod sight;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

pub(super) use self::ag_ui::{AgUi, Publish};
pub(super) use self::approvals::{Approvals, Approve};
pub(super) use self::fixtures::{Contract, Replay};
pub(super) use self::headless::{
    Detail, JoinHeadless, LaunchHeadless, OfRoot, Relaunch, Turn, TurnModel, TurnSubmit, WhichTurn,
};
pub(super) use self::lazy::{Lazy, parse};
pub(super) use self::live::{AttachTerminal, Tui, Turns};
pub(super) use self::mail::{
    AnsweredState, Content, Mail, MailBind, MailList, MailSave, MailWatch, Placement, PostPolicy, ReadState,
};
pub(super) use self::mail_notifier::{Enable as EnableNotifier, MailNotifier};
pub(super) use self::mailbox::{GivenUp, MailboxCommand, MailboxRoot, Mode, Register, RepairWords, Unregister};
pub(super) use self::memory::{Memo, Memory, Text};
pub(super) use self::prompts::{
    DirectPrompt, GatewayInterrupt, GatewayPrompt, Policy, Reconcile, Requests, SendKeys, Until,
};
pub(super) use self::reminders::{CreateReminder, ReminderWords, Reminders, SetReminder};
pub(super) use self::sight::{Record, ScreenFormat, ScreenWords};
use crate::{api::TimingWishes, model::shell_quote};

/// A gateway for every coding agent that runs in tmux
#[derive(Debug, Parser)]
#[command(name = "agents", version, propagate_version = true, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "Exit status: 0 done, 1 internal, 2 usage, 3 not found, 4 ambiguous, 5 already attached, \
6 not attached, 7 tmux, 8 refused, 9 unconfirmed, 10 timeout, 11 unauthorized, 12 incompatible, \
13 turn failed.")]
pub struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Print one JSON document on stdout, and nothing else there
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) json: bool,
    /// Folder of all session files [default: the XDG state directory]
    #[arg(long, global = true, help_heading = "Global options", env = "AGENTS_HOME", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) home: Option<PathBuf>,
    /// tmux server: a socket name, or the path of a socket
    #[arg(long, global = true, help_heading = "Global options", env = "AGENTS_TMUX_SOCKET", value_name = "NAME|PATH")]
    pub(super) tmux_socket: Option<String>,
    /// Say more on stderr
    #[arg(short, long, global = true, help_heading = "Global options", conflicts_with = "quiet")]
    pub(super) verbose: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
    /// Colour of messages
    #[arg(long, global = true, help_heading = "Global options", value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

const WHICH: &str = "Which session (at most one; inside tmux the default is the current one)";

/// At most one; none inside tmux means the current session.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selectors {
    /// By the agent's name
    #[arg(long, help_heading = WHICH, value_name = "NAME")]
    pub(super) agent_name: Option<String>,
    /// By the agent's id
    #[arg(long, help_heading = WHICH, value_name = "ID")]
    pub(super) agent_id: Option<String>,
    /// The session that this command runs in
    #[arg(long, help_heading = WHICH)]
    pub(super) current_session: bool,
    /// By the exact name of a tmux session
    #[arg(long, help_heading = WHICH, value_name = "SESSION")]
    pub(super) target_tmux_session: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start an agent in a new tmux session
    Launch(Launch),
    /// Adopt a tmux session that already runs an agent
    Join(Join),
    /// List the agents of this machine
    #[command(visible_alias = "ls")]
    List {
        /// Stopped agents too
        #[arg(long)]
        all: bool,
    },
    /// Show everything known about one session
    Show(Selectors),
    /// Show what the agent is doing
    State(Selectors),
    /// Show the agent's session in this terminal
    AttachTerminal(AttachTerminal),
    /// Type a prompt into the agent; needs no gateway
    Prompt(DirectPrompt),
    /// Press the agent's interrupt key; needs no gateway
    Interrupt(Selectors),
    /// One turn of a headless agent, and what turns leave behind
    #[command(subcommand)]
    Turn(Lazy<Turn>),
    /// End the gateway, and the agent if it was launched here
    Stop(Selectors),
    /// Start a launched agent's program again
    Relaunch(Relaunch),
    /// Remove the files of sessions that are gone; without a selector, of all of them
    Cleanup {
        #[command(flatten)]
        selectors: Selectors,
        /// Delete what is listed
        #[arg(long)]
        yes: bool,
    },
    /// The gateway of a session
    #[command(subcommand)]
    Gateway(Lazy<Gateway>),
    /// The agent's mail, with a gateway or without
    #[command(subcommand)]
    Mail(Lazy<Mail>),
    /// The mailboxes that agents share: who gets mail, and mending
    #[command(subcommand)]
    Mailbox(Lazy<MailboxCommand>),
    /// The agent's memory: one memo, and a tree of pages
    #[command(subcommand)]
    Memory(Lazy<Memory>),
    /// Show what the tracker makes of a recording
    Replay(Replay),
    /// What this program promises about recorded screens and streams
    #[command(subcommand)]
    Contract(Lazy<Contract>),
    /// Tell the session's gateway what a hook of the agent's program says; never fails
    AgentEvent(AgentEvent),
    /// Runs one turn of a headless agent, and outlives whoever started it
    #[command(hide = true)]
    HeadlessTurn(OfRoot),
    /// Shows the turns of a headless agent in its window
    #[command(hide = true)]
    HeadlessView(OfRoot),
    /// Look for what is broken, and say what mends it
    Doctor,
    /// Show the main job end to end, on a private tmux server
    Demo {
        /// Leave the session for exploring
        #[arg(long)]
        keep: bool,
    },
    /// Print a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write man pages
    Man {
        /// Folder for the pages
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Launch {
    /// What to call the agent
    pub(super) name: String,
    /// Which agent program it is [default: the program's name]
    #[arg(long)]
    pub(super) tool: Option<String>,
    /// Agent id [default: the MD5 of the name]
    #[arg(long = "agent-id", value_name = "ID")]
    pub(super) id: Option<String>,
    /// Where the agent works [default: here]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) workdir: Option<PathBuf>,
    /// Name of the tmux session [default: AGENTS-<name>-<milliseconds>]
    #[arg(long, value_name = "NAME")]
    pub(super) session_name: Option<String>,
    /// Attach the gateway at once
    #[arg(long)]
    pub(super) gateway_auto_attach: bool,
    #[command(flatten)]
    pub(super) turns: LaunchHeadless,
    /// Do not let the agent's own hooks tell the gateway about its turns
    #[arg(long)]
    pub(super) no_hooks: bool,
    /// Give it a mailbox [without a word: its name at agents.localhost]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) mailbox: Option<String>,
    /// Folder of the mailboxes, which agents that write to each other share [default: `mailbox` in the home]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "mailbox")]
    pub(super) mail_root: Option<PathBuf>,
    /// Program and arguments [default: the tool]
    #[arg(last = true, value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
    pub(super) program: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct AgentEvent {
    /// Which agent program tells
    #[arg(long)]
    pub(super) tool: String,
    /// The session root [default: that of the current tmux session]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) session_root: Option<PathBuf>,
    /// The event as JSON [default: stdin]
    #[arg(value_name = "EVENT")]
    pub(super) event: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Join {
    /// What to call the agent [default: the session's name]
    #[arg(long, value_name = "NAME")]
    pub(super) agent_name: Option<String>,
    /// Agent id [default: the MD5 of the name]
    #[arg(long, value_name = "ID")]
    pub(super) agent_id: Option<String>,
    /// Which agent program it is [default: what runs in the foreground]
    #[arg(long)]
    pub(super) tool: Option<String>,
    /// The session [default: the current one]
    #[arg(long, value_name = "SESSION")]
    pub(super) target_tmux_session: Option<String>,
    /// Move the agent's window to index 0 if it stands elsewhere
    #[arg(long)]
    pub(super) renumber: bool,
    #[command(flatten)]
    pub(super) turns: JoinHeadless,
}

#[derive(Debug, Subcommand)]
pub(super) enum Gateway {
    /// Start the session's gateway, or report the one that runs
    Attach {
        #[command(flatten)]
        selectors: Selectors,
        #[command(flatten)]
        listener: Listener,
        #[command(flatten)]
        timings: Timings,
        /// Run as a detached process instead of a tmux window
        #[arg(long)]
        background: bool,
        /// Replace a running gateway
        #[arg(long)]
        restart: bool,
    },
    /// Show the session's status, live or offline
    Status {
        #[command(flatten)]
        selectors: Selectors,
        /// Fail with exit status 6 unless a live gateway answers
        #[arg(long)]
        require_live: bool,
    },
    /// End the session's gateway
    Detach(Selectors),
    /// Run the gateway in the foreground of this terminal
    Run {
        /// The session root to serve
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        session_root: PathBuf,
        #[command(flatten)]
        listener: Listener,
        #[command(flatten)]
        timings: Timings,
        /// Socket in the session's run folder on which `attach` waits
        #[arg(long, hide = true, value_name = "NAME")]
        ready: Option<String>,
    },
    /// Send a prompt through the gateway: into its durable queue, or at once
    Prompt(GatewayPrompt),
    /// Press the agent's interrupt key; it does not wait behind prompts
    Interrupt(GatewayInterrupt),
    /// Type text and keys as they are; no Enter is added
    SendKeys(SendKeys),
    /// What is to be said to the agent later
    #[command(subcommand)]
    Reminders(Lazy<Reminders>),
    /// The agent on the AG-UI protocol
    #[command(subcommand, name = "ag-ui")]
    AgUi(AgUi),
    /// The requests that the gateway has, and what became of each
    #[command(subcommand)]
    Requests(Lazy<Requests>),
    /// What the agent does, in the contract's words
    #[command(subcommand)]
    Tui(Lazy<Tui>),
    /// Show why the state is what it is: every source, and what it is worth
    Explain(Selectors),
    /// The agent's turns: prompts, replies, and how they are known
    #[command(subcommand)]
    Turns(Lazy<Turns>),
    /// Decide about what waits for an agent that was replaced
    Reconcile(Reconcile),
    /// Show the dialog in which the agent waits for an answer
    Approvals(Approvals),
    /// Answer a dialog of the agent
    Approve(Approve),
    /// Show what the agent's terminal shows now
    Screen(ScreenWords),
    /// Record what the agent's terminal shows, into asciicast files
    #[command(subcommand)]
    Record(Lazy<Record>),
    /// Tell the agent when mail arrives for it
    #[command(subcommand)]
    MailNotifier(Lazy<MailNotifier>),
    /// Show the gateway's log
    Logs {
        #[command(flatten)]
        selectors: Selectors,
        /// Keep printing new lines
        #[arg(short, long)]
        follow: bool,
        /// How many of the last lines
        #[arg(short = 'n', long, default_value_t = 50, value_name = "COUNT")]
        lines: usize,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct Listener {
    /// 127.0.0.1, or 0.0.0.0 with --allow-remote
    #[arg(long, value_name = "HOST")]
    pub(super) gateway_host: Option<String>,
    /// Listen on this port and no other
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) gateway_port: Option<u16>,
    /// Let other machines connect with the token
    #[arg(long)]
    pub(super) allow_remote: bool,
}

const JUDGED: &str = "How the agent's screen is judged (kept for the next start)";

/// The six timings of the contract, in seconds above zero.
#[derive(Debug, Clone, Args)]
pub(super) struct Timings {
    /// How often to look where nothing tells of changes [default: 0.5]
    #[arg(long = "gateway-tui-watch-poll-interval-seconds", help_heading = JUDGED, value_name = "SECONDS", value_parser = duration::seconds)]
    pub(super) watch_poll_interval: Option<f64>,
    /// Unchanged for this long: stable [default: 1]
    #[arg(long = "gateway-tui-stability-threshold-seconds", help_heading = JUDGED, value_name = "SECONDS", value_parser = duration::seconds)]
    pub(super) stability_threshold: Option<f64>,
    /// At an empty composer for this long: the turn is over [default: 1]
    #[arg(long = "gateway-tui-completion-stability-seconds", help_heading = JUDGED, value_name = "SECONDS", value_parser = duration::seconds)]
    pub(super) completion_stability: Option<f64>,
    /// Unknown for this long: stalled [default: 30]
    #[arg(long = "gateway-tui-unknown-to-stalled-timeout-seconds", help_heading = JUDGED, value_name = "SECONDS", value_parser = duration::seconds)]
    pub(super) unknown_to_stalled_timeout: Option<f64>,
    /// Work that only stale signs speak for is over after this long [default: 5]
    #[arg(long = "gateway-tui-stale-active-recovery-seconds", help_heading = JUDGED, value_name = "SECONDS", value_parser = duration::seconds)]
    pub(super) stale_active_recovery: Option<f64>,
    /// Work on a screen that does not change is over after this long, if nothing contradicts [default: 20]
    #[arg(long = "gateway-tui-final-stable-active-recovery-seconds", help_heading = JUDGED, value_name = "SECONDS", value_parser = duration::seconds)]
    pub(super) final_stable_active_recovery: Option<f64>,
}

impl Timings {
    /// The wishes as the rest of the program knows them.
    pub(super) fn wishes(&self) -> TimingWishes {
        TimingWishes {
            watch_poll_interval_seconds: self.watch_poll_interval,
            stability_threshold_seconds: self.stability_threshold,
            completion_stability_seconds: self.completion_stability,
            unknown_to_stalled_timeout_seconds: self.unknown_to_stalled_timeout,
            stale_active_recovery_seconds: self.stale_active_recovery,
            final_stable_active_recovery_seconds: self.final_stable_active_recovery,
        }
    }
}

/// The selector of a command as it was typed, with a space in front; empty when none was.
pub(super) fn selector_words(command: &Command) -> String {
    let Some(selectors) = selectors(command) else { return String::new() };
    let pairs = [
        ("--agent-name", &selectors.agent_name),
        ("--agent-id", &selectors.agent_id),
        ("--target-tmux-session", &selectors.target_tmux_session),
    ];
    let typed = pairs.iter().find_map(|(flag, value)| value.as_ref().map(|value| (flag, value)));
    typed.map_or_else(String::new, |(flag, value)| format!(" {flag} {}", shell_quote(value)))
}

fn selectors(command: &Command) -> Option<&Selectors> {
    match command {
        Command::Show(selectors)
        | Command::State(selectors)
        | Command::Stop(selectors)
        | Command::Relaunch(Relaunch { selectors, .. })
        | Command::Interrupt(selectors)
        | Command::Prompt(DirectPrompt { selectors, .. })
        | Command::Cleanup { selectors, .. } => Some(selectors),
        Command::Mail(mail) => Some(mail.selectors()),
        Command::Turn(turn) => Some(turn.selectors()),
        Command::Memory(memory) => Some(memory.selectors()),
        Command::Gateway(gateway) => gateway.selectors(),
        _ => None,
    }
}

impl Gateway {
    fn selectors(&self) -> Option<&Selectors> {
        match self {
            Self::Attach { selectors, .. }
            | Self::Status { selectors, .. }
            | Self::Detach(selectors)
            | Self::Explain(selectors)
            | Self::Prompt(GatewayPrompt { selectors, .. })
            | Self::Interrupt(GatewayInterrupt { selectors, .. })
            | Self::SendKeys(SendKeys { selectors, .. })
            | Self::Reconcile(Reconcile { selectors, .. })
            | Self::Approve(Approve { selectors, .. })
            | Self::Screen(ScreenWords { selectors, .. })
            | Self::Logs { selectors, .. } => Some(selectors),
            Self::Requests(requests) => Some(requests.selectors()),
            Self::AgUi(words) => Some(words.selectors()),
            Self::Reminders(reminders) => Some(reminders.selectors()),
            Self::Tui(tui) => Some(tui.selectors()),
            Self::Turns(turns) => Some(turns.selectors()),
            Self::Record(record) => Some(record.selectors()),
            Self::MailNotifier(words) => Some(words.selectors()),
            Self::Approvals(approvals) => Some(approvals.selectors()),
            Self::Run { .. } => None,
        }
    }
}
