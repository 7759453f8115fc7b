//! Launch: a new tmux session whose window 0 runs the agent.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use uuid::Uuid;

use super::{
    cleanup::session_roots,
    headless::{HeadlessOptions, Turns, base_words},
    hooks::{self, Hooks, Started},
    mailbox::{self, MailboxWish},
    publish::{self, Publication},
};
use crate::{
    agents::headless::Dialect,
    api::{MailBinding, Manifest, Origin, Surface},
    model::{AgentId, AgentName, ErrorCode, Failure, SessionName, SessionRootId, ToolName},
    os::{clock, files, process, program},
    session::{SessionRoot, documents, environment, manifest},
    target::{self, Context},
    tmux::{Commands, PaneFacts, Server, SessionFacts, SessionTarget, TmuxError, change, inspect, server, version},
};

/// How long a program must live before its launch counts: one that cannot start ends within milliseconds.
const PROOF: Duration = Duration::from_millis(150);

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// What to call the agent.
    pub name: AgentName,
    /// The registry's key; by default the MD5 of the name.
    pub id: Option<AgentId>,
    /// Which program it is; by default the program's own name.
    pub tool: Option<ToolName>,
    /// Where it works. Absolute.
    pub working_directory: PathBuf,
    /// The tmux session's name; by default `AGENTS-<name>-<epoch-ms>`.
    pub session_name: Option<SessionName>,
    /// Program and arguments; by default the tool.
    pub program: Vec<String>,
    /// The caller's `PATH`: the tmux server may have been started with another one.
    pub path: Option<OsString>,
    /// Give it a mailbox.
    pub mailbox: Option<MailboxWish>,
    /// Its turns are processes; `None` for a program in a terminal.
    pub headless: Option<HeadlessOptions>,
    /// Let the agent's own hooks tell of its turns, where it has such hooks.
    pub hooks: bool,
}

/// A session that was made or adopted.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its root.
    pub root: SessionRoot,
    /// Its tmux server.
    pub server: Server,
    /// The agent's pane.
    pub pane_id: String,
    /// Events of the agent's program that are told to the gateway by hooks; empty if there are none.
    pub hooks: Vec<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Launches.
///
/// # Errors
/// Everything that was created is removed first.
pub fn launch(context: &Context, options: &LaunchOptions) -> Result<Created, Failure> {
    expect_tmux()?;
    let directory = working_directory(options)?;
    let (mut program, tool, turns) = what_to_run(options)?;
    let id = options.id.clone().map_or_else(|| publish::default_id(&options.name), Ok)?;
    publish::expect_private_home(context)?;
    publish::expect_free_id(context, &context.registry(), &id)?;
    let now = clock::now();
    let generation = Uuid::new_v4();
    let backend = turns.as_ref().map_or(manifest::BACKEND, |turns| turns.dialect.backend());
    let root_id = SessionRootId::new(backend, &now.compact(), generation.as_fields().0);
    let root = context.home.session_root(backend, &root_id);
    let session_name = match &options.session_name {
        Some(name) => name.clone(),
        None => SessionName::parse(&format!("AGENTS-{}-{}", options.name, now.epoch_millis()))?,
    };
    expect_reachable(context)?;
    files::create_private_dir(root.path())?;
    if let Some(turns) = &turns {
        program = Turns::viewer(&root)?;
        turns.write(&root).inspect_err(|_| remove(&root))?;
    }
    let hooks = install_hooks(&root, options, &tool, &mut program).inspect_err(|_| remove(&root))?;
    let mailbox = register_mailbox(context, options, &id, &root).inspect_err(|_| remove(&root))?;
    let variables = variables(&root, &id, mailbox.as_ref());
    let made = create_session(&context.server, &session_name, &directory, &variables, &program);
    let (session, pane) = made.inspect_err(|_| remove(&root))?;
    let published = publish::publish(&Publication {
        context,
        root: &root,
        origin: Origin::Launched,
        name: &options.name,
        id: &id,
        tool: &tool,
        program: &program,
        working_directory: &directory,
        generation: &generation.to_string(),
        server: &context.server,
        session: &session,
        pane: &pane,
        window_name: "agent",
        mailbox: mailbox.as_ref(),
        turns: turns.as_ref(),
        now,
    });
    match published {
        Ok(manifest) => Ok(Created {
            manifest,
            root,
            server: context.server.clone(),
            pane_id: pane.pane_id.to_string(),
            notes: hooks.iter().filter_map(|hooks| hooks.why_not.as_ref()).map(|why| no_hooks(why)).collect(),
            hooks: hooks.map(|hooks| hooks.installed).unwrap_or_default(),
        }),
        Err(failure) => {
            end_pane(&context.server, &pane);
            remove(&root);
            Err(failure)
        }
    }
}

/// tmux must be there and new enough before anything is made.
pub(super) fn expect_tmux() -> Result<(), Failure> {
    match server::installed_version()? {
        Some(found) if !found.is_supported() => Err(TmuxError::TooOld { found: found.to_string() }.into()),
        Some(_) => Ok(()),
        None => Err(Failure::new(
            ErrorCode::TmuxUnavailable,
            "`tmux -V` does not say a version",
            format!("install tmux {} or newer", version::Version::OLDEST),
        )),
    }
}

/// tmux silently uses the home folder when the directory is missing, so it is checked here.
fn working_directory(options: &LaunchOptions) -> Result<String, Failure> {
    let given = &options.working_directory;
    let directory = std::fs::canonicalize(given).ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Failure::usage(
            format!("the working directory `{}` does not exist", given.display()),
            "create it, or name another one with --workdir",
        )
    })?;
    directory.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::usage(
            format!("the working directory `{}` is not UTF-8", directory.display()),
            "session files are JSON and cannot hold it; use another folder",
        )
    })
}

/// The words of the program, which tool it is, and for a headless agent how its turns are started.
fn what_to_run(options: &LaunchOptions) -> Result<(Vec<String>, ToolName, Option<Turns>), Failure> {
    let Some(headless) = &options.headless else {
        let program = resolve_program(options)?;
        let tool = tool_name(options, &program)?;
        return Ok((program, tool, None));
    };
    let named = options.tool.as_ref().map(ToString::to_string).or_else(|| {
        let own = options.program.first().and_then(|word| tool_from_program(word).ok())?;
        (Dialect::of(own.as_str()) != Dialect::Generic).then(|| own.to_string())
    });
    let dialect = Dialect::of(named.as_deref().unwrap_or_default());
    let words = base_words(dialect, named.as_deref(), &options.program);
    let words = LaunchOptions { program: words.unwrap_or_default(), ..options.clone() };
    let program = resolve_program(&words)?;
    let tool = ToolName::parse(named.as_deref().unwrap_or(dialect.name()))?;
    let turns = Turns::new(dialect, headless, program.clone());
    Ok((program, tool, Some(turns)))
}

fn resolve_program(options: &LaunchOptions) -> Result<Vec<String>, Failure> {
    let default = options.tool.as_ref().map(|tool| vec![tool.to_string()]);
    let words = if options.program.is_empty() { default } else { Some(options.program.clone()) };
    let mut words = words.ok_or_else(|| {
        Failure::usage(
            "nothing to run was named",
            format!("`agents launch {0} --tool claude`, or `agents launch {0} -- PROGRAM ARGS…`", options.name),
        )
    })?;
    let found = program::find(&words[0], options.path.as_deref(), &options.working_directory).ok_or_else(|| {
        Failure::usage(
            format!("the program `{}` was not found, or cannot be run", words[0]),
            "install it, or give its full path after `--`",
        )
    })?;
    words[0] = found.to_string_lossy().into_owned();
    Ok(words)
}

fn install_hooks(
    root: &SessionRoot,
    options: &LaunchOptions,
    tool: &ToolName,
    program: &mut Vec<String>,
) -> Result<Option<Hooks>, Failure> {
    // A headless agent's own output tells of its turns.
    if !options.hooks || options.headless.is_some() {
        return Ok(None);
    }
    let ourselves = program::myself().map_err(|error| Failure::internal(format!("no program of ours: {error}")))?;
    let (path, directory) = (options.path.as_deref(), options.working_directory.as_path());
    let started = Started { program, path, directory };
    hooks::install(root, tool.as_str(), &ourselves.to_string_lossy(), started).map(Some)
}

fn no_hooks(why: &str) -> String {
    format!("no hooks were installed: {why}")
}

fn tool_name(options: &LaunchOptions, program: &[String]) -> Result<ToolName, Failure> {
    match &options.tool {
        Some(tool) => Ok(tool.clone()),
        None => tool_from_program(&program[0]),
    }
}

/// `claude`, `bash`, `python3-11`: the program's file name in the letters that a tool name may have.
pub(super) fn tool_from_program(program: &str) -> Result<ToolName, Failure> {
    let file = program.rsplit('/').next().unwrap_or(program).trim_start_matches('-').to_lowercase();
    let name: String =
        file.chars().take(32).map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    ToolName::parse(name).map_err(|_bad| {
        Failure::usage(
            format!("`{program}` gives no tool name"),
            "name the tool with --tool, for example `--tool claude`",
        )
    })
}

/// A server whose socket file was removed is out of reach; starting a second one would split the user's sessions.
fn expect_reachable(context: &Context) -> Result<(), Failure> {
    let socket = context.server.socket();
    if context.server.has_socket_file() {
        return Ok(());
    }
    for root in session_roots(context) {
        let surface = documents::load::<Surface>(&root.surface()).ok();
        if let Some(surface) = surface.filter(|surface| Path::new(&surface.tmux_socket) == socket) {
            target::expect_reachable(&surface)?;
        }
    }
    Ok(())
}

/// Gives the agent its mailbox, if one is wished. Nothing takes it back if the launch fails: the address is the agent's,
/// and mail that came meanwhile is not lost.
fn register_mailbox(
    context: &Context,
    options: &LaunchOptions,
    id: &AgentId,
    root: &SessionRoot,
) -> Result<Option<MailBinding>, Failure> {
    let Some(wish) = &options.mailbox else { return Ok(None) };
    mailbox::register(context, &options.name, id, wish, root).map(Some).map_err(|failure| {
        if failure.code != ErrorCode::Refused {
            return failure;
        }
        let hint =
            "choose another address with --mailbox=ADDRESS, or launch without, and see `agents mail bind --help`";
        Failure { hint: hint.to_owned(), ..failure }
    })
}

/// What the agent's program finds in its environment.
fn variables(root: &SessionRoot, id: &AgentId, mailbox: Option<&MailBinding>) -> Vec<(String, String)> {
    let mut variables = environment::capability(root, id.as_str(), &root.agent_def().to_string_lossy());
    variables.extend(manifest::memory(root, id).iter().flat_map(environment::memory));
    variables.extend(mailbox.into_iter().flat_map(|binding| environment::mailbox(binding.address().as_str())));
    variables
}

fn create_session(
    server: &Server,
    name: &SessionName,
    directory: &str,
    variables: &[(String, String)],
    program: &[String],
) -> Result<(SessionFacts, PaneFacts), Failure> {
    let pane = change::new_session(server, name, directory, variables, program).map_err(|error| match error {
        TmuxError::Failed { said, .. } if said.contains("duplicate session") => Failure::refused(
            format!("a tmux session called `{name}` exists already"),
            "choose another name with --session-name, or adopt that session with `agents join`",
        ),
        other => other.into(),
    })?;
    let settled = settle(server, &pane);
    settled.inspect_err(|_| end_pane(server, &pane))
}

/// Proves that the program lives and stands in window 0.
pub(super) fn settle(server: &Server, pane: &PaneFacts) -> Result<(SessionFacts, PaneFacts), Failure> {
    let lives = process::identify(pane.pid).is_some_and(|identity| !process::wait_gone(&identity, PROOF));
    if !lives {
        return Err(ended_at_once(server, pane));
    }
    if pane.window_index != 0 {
        server.run(&change::move_window(Commands::new(), pane.window_id, pane.session_id, 0))?;
    }
    change::forget_dead(server, pane.window_id)?;
    let session = inspect::session(server, &SessionTarget::Id(pane.session_id))?;
    let found = session.pane(pane.pane_id).cloned();
    match found {
        Some(found) if found.window_index == 0 && !found.dead => Ok((session, found)),
        _ => Err(ended_at_once(server, pane)),
    }
}

/// What a dead pane shows once tmux has read all that its program wrote: the kernel tells of the end sooner.
#[expect(clippy::disallowed_methods, reason = "tmux tells nobody when it has read the last words")]
fn last_screen(server: &Server, pane: &PaneFacts) -> String {
    let mut screen = String::new();
    for _ in 0..200 {
        screen = inspect::screen(server, pane.pane_id).unwrap_or_default();
        if screen.contains("Pane is dead") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    screen
}

fn ended_at_once(server: &Server, pane: &PaneFacts) -> Failure {
    let screen = last_screen(server, pane);
    let words: Vec<&str> = screen.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = words.iter().rev().find(|line| !line.starts_with("Pane is dead")).copied();
    let said = last.map_or_else(String::new, |line| format!("; its last line was `{}`", line.escape_debug()));
    Failure::refused(format!("the program ended at once{said}"), "run it by hand in the same folder to see why")
}

/// Ends a pane that this attempt made; with its only pane the session ends too.
pub(super) fn end_pane(server: &Server, pane: &PaneFacts) {
    let identity = process::identify(pane.pid);
    // tmux being away means that the session is gone already.
    drop(server.run_alone(&change::kill_pane(Commands::new(), pane.pane_id)));
    if let Some(identity) = identity
        && process::end(&identity, Duration::from_secs(1)) == process::Ended::NotAtAll
    {
        tracing::warn!(pid = identity.pid, "a program of a failed launch could not be ended");
    }
}

fn remove(root: &SessionRoot) {
    if let Err(error) = files::remove_tree(root.path()) {
        tracing::warn!(%error, "the files of a failed launch could not be removed");
    }
}
