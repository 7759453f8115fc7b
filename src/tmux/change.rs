//! The changes we make to a tmux server: sessions, gateway windows, session environment.

use tmux_interface::{
    KillPane, KillWindow, ListClients, ListPanes, MoveWindow, NewSession, NewWindow, RefreshClient, RespawnPane,
    SetEnvironment, SetOption,
};

use super::{
    commands::Commands,
    inspect::{PaneFacts, STEADY_PANE_FORMAT, panes_from_rows},
    server::{Server, TmuxError},
};
use crate::model::{PaneId, SessionName, TmuxSessionId, WindowId};

/// The window option that marks a gateway's window; its value is the session root's id.
pub const GATEWAY_MARK: &str = "@agents_gateway";

/// A program with its arguments, as tmux must get it to start it without a shell in between.
fn argv(program: &[String]) -> Vec<String> {
    let mut words = vec!["--".to_owned()];
    // tmux hands a single word to a shell; `env` starts it directly and becomes it.
    if program.len() == 1 {
        words.push("env".to_owned());
    }
    words.extend(program.iter().cloned());
    words
}

/// tmux expands formats in start directories: `#(…)` would run. Doubled, `#` is a plain character.
fn plain(text: &str) -> String {
    text.replace('#', "##")
}

/// Makes a detached session whose first window runs the program, and returns its pane.
///
/// The dead pane of a program that ends at once is kept until [`forget_dead`]: its last words explain the failure.
///
/// # Errors
/// [`TmuxError`]; nothing was created.
pub fn new_session(
    server: &Server,
    name: &SessionName,
    directory: &str,
    environment: &[(String, String)],
    program: &[String],
) -> Result<PaneFacts, TmuxError> {
    let directory = plain(directory);
    let mut create = NewSession::new()
        .detached()
        .print()
        .session_name(name.as_str())
        .window_name("agent")
        .start_directory(directory.as_str())
        .format(STEADY_PANE_FORMAT);
    for (variable, value) in environment {
        create = create.environment(variable.as_str(), value.as_str());
    }
    let at = format!("={name}:");
    let keep = SetOption::new().window().target_pane(at.as_str()).option("remain-on-exit").value("on");
    let printed = server.run_starting(&Commands::new().then_with(create, &argv(program)).then(keep))?;
    only_pane(&printed)
}

/// Makes window 0 of an existing session anew and returns its pane; `select` makes it the current window.
///
/// # Errors
/// [`TmuxError`]; also when a window stands at index 0.
pub fn new_agent_window(
    server: &Server,
    session: TmuxSessionId,
    directory: &str,
    program: &[String],
    select: bool,
) -> Result<PaneFacts, TmuxError> {
    let (at, directory) = (format!("{session}:0"), plain(directory));
    let create = if select { NewWindow::new() } else { NewWindow::new().detached() };
    let create = create
        .print()
        .target_window(at.as_str())
        .window_name("agent")
        .start_directory(directory.as_str())
        .format(STEADY_PANE_FORMAT);
    let keep = SetOption::new().window().target_pane(at.as_str()).option("remain-on-exit").value("on");
    only_pane(&server.run_alone(&Commands::new().then_with(create, &argv(program)).then(keep))?)
}

/// Starts the program again in the agent's own pane, ending what runs there.
///
/// # Errors
/// [`TmuxError`].
pub fn respawn(server: &Server, pane: PaneId, directory: &str, program: &[String]) -> Result<PaneFacts, TmuxError> {
    let (at, directory) = (pane.to_string(), plain(directory));
    let again = RespawnPane::new().kill().start_directory(directory.as_str()).target_pane(at.as_str());
    let keep = SetOption::new().window().target_pane(at.as_str()).option("remain-on-exit").value("on");
    let look = ListPanes::new().target(at.as_str()).format(STEADY_PANE_FORMAT);
    let list = |quiet: Commands| quiet.then(keep.clone()).then_with(again.clone(), &argv(program)).then(look.clone());
    // One of the clients may leave at this very moment, and a list stops at what fails.
    let printed = match server.run_alone(&list(silenced(server, pane))) {
        Err(TmuxError::Failed { .. } | TmuxError::NoTarget { .. }) => server.run_alone(&list(Commands::new()))?,
        printed => printed?,
    };
    panes_from_rows(&printed)?
        .into_iter()
        .find(|row| row.pane_id == pane)
        .ok_or_else(|| TmuxError::Unreadable("the respawned pane is not listed".to_owned()))
}

/// Has every control client hear nothing more of this pane. tmux 3.3a ends with a segmentation fault when a pane starts
/// anew whose output is on its way to one. A gateway listens again when it sees the new process.
fn silenced(server: &Server, pane: PaneId) -> Commands {
    let list = ListClients::new().format("#{client_control_mode} #{client_name}");
    let printed = server.run(&Commands::new().then(list)).unwrap_or_default();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let clients = printed.lines().filter_map(|line| line.strip_prefix("1 "));
    clients.fold(Commands::new(), |commands, client| {
        let words = ["-t".to_owned(), client.to_owned(), "-A".to_owned(), format!("{pane}:pause")];
        commands.then_with(RefreshClient::new(), &words)
    })
}

/// Lets the agent's pane close when its program ends, as the user's own setting says.
///
/// # Errors
/// [`TmuxError`].
pub fn forget_dead(server: &Server, window: WindowId) -> Result<(), TmuxError> {
    let at = window.to_string();
    let unset = SetOption::new().window().unset().target_pane(at.as_str()).option("remain-on-exit");
    server.run(&Commands::new().then(unset)).map(drop)
}

/// Opens the gateway's window at a free index, never taking the focus, marked as ours.
///
/// # Errors
/// [`TmuxError::Failed`] with tmux's words `index N in use` when somebody was faster.
pub fn new_gateway_window(
    server: &Server,
    session: TmuxSessionId,
    index: u32,
    directory: &str,
    mark: &str,
    program: &[String],
) -> Result<PaneFacts, TmuxError> {
    let (at, directory) = (format!("{session}:{index}"), plain(directory));
    let create = NewWindow::new()
        .detached()
        .print()
        .target_window(at.as_str())
        .window_name("gateway")
        .start_directory(directory.as_str())
        .format(STEADY_PANE_FORMAT);
    let option = |name: &'static str, value: &str| {
        SetOption::new().window().target_pane(at.clone()).option(name).value(value.to_owned())
    };
    let commands = Commands::new()
        .then_with(create, &argv(program))
        .then(option(GATEWAY_MARK, mark))
        .then(option("remain-on-exit", "off"));
    only_pane(&server.run_alone(&commands)?)
}

fn only_pane(printed: &[u8]) -> Result<PaneFacts, TmuxError> {
    panes_from_rows(printed)?.into_iter().next().ok_or_else(|| TmuxError::Unreadable("tmux printed no pane".to_owned()))
}

/// Ends a window by id.
pub fn kill_window(commands: Commands, window: WindowId) -> Commands {
    commands.then(KillWindow::new().target_window(window.to_string()))
}

/// Ends a pane by id; its window and session go with it when it was their last.
pub fn kill_pane(commands: Commands, pane: PaneId) -> Commands {
    commands.then(KillPane::new().target_pane(pane.to_string()))
}

/// Moves a window to another index of its session without changing the focus.
pub fn move_window(commands: Commands, window: WindowId, session: TmuxSessionId, index: u32) -> Commands {
    commands.then(MoveWindow::new().detached().src_window(window.to_string()).dst_window(format!("{session}:{index}")))
}

/// Keeps tmux from shifting the agent's window off index 0 when another window closes.
pub fn keep_numbers(commands: Commands, session: TmuxSessionId) -> Commands {
    commands.then(SetOption::new().target_pane(format!("{session}:")).option("renumber-windows").value("off"))
}

/// Sets variables of the session's environment.
pub fn set_environment(mut commands: Commands, session: TmuxSessionId, values: &[(String, String)]) -> Commands {
    for (name, value) in values {
        commands = commands.then(
            SetEnvironment::new().target_session(format!("{session}:")).name(name.as_str()).value(value.as_str()),
        );
    }
    commands
}

/// Removes variables from the session's environment; a variable that is not there is fine.
pub fn unset_environment(mut commands: Commands, session: TmuxSessionId, names: &[String]) -> Commands {
    for name in names {
        commands =
            commands.then(SetEnvironment::new().unset().target_session(format!("{session}:")).name(name.as_str()));
    }
    commands
}
