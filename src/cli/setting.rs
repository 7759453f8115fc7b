//! What the environment and the global flags say: home, tmux server, where this command runs.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::args::{Global, Listener, Selectors};
use crate::{
    api::Host,
    model::{ErrorCode, Failure},
    os::peer,
    session::{Home, SessionEnvironment, Variable},
    target::{self, Context, Inside, Selector, Target, Typed},
};

/// Builds the context of this command.
pub(super) fn context(global: &Global) -> Result<Context, Failure> {
    let named = global.tmux_socket.as_deref().map(socket_path).transpose()?;
    Ok(Context::new(home(global)?, named, inside(), sockets_folder().join("default")))
}

fn home(global: &Global) -> Result<Home, Failure> {
    if let Some(path) = &global.home {
        if path.as_os_str().is_empty() {
            return Err(Failure::usage("--home (or AGENTS_HOME) is empty", "name a folder, or leave it out"));
        }
        return Ok(Home::at(absolute(path)?));
    }
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    state.map(|state| Home::at(state.join("agents"))).ok_or_else(|| {
        Failure::usage("neither --home nor AGENTS_HOME, XDG_STATE_HOME or HOME is set", "name a folder with --home")
    })
}

/// An absolute path without asking the file system: the folder may not exist yet.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::usage(format!("`{}` is not a usable path: {error}", path.display()), "give an absolute path")
    })
}

/// The folder in which tmux looks for sockets by name.
fn sockets_folder() -> PathBuf {
    // tmux falls back to /tmp without a word when its variable names a missing folder; so do we, to find the same server.
    let base = env::var_os("TMUX_TMPDIR").map(PathBuf::from).and_then(|path| path.canonicalize().ok());
    base.unwrap_or_else(|| PathBuf::from("/tmp")).join(format!("tmux-{}", peer::my_uid()))
}

fn socket_path(text: &str) -> Result<PathBuf, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage("--tmux-socket (or AGENTS_TMUX_SOCKET) is empty", "name a socket, or leave it out"));
    }
    let path = if text.contains('/') { absolute(Path::new(text))? } else { sockets_folder().join(text) };
    if path.as_os_str().len() > 107 {
        return Err(Failure::usage(
            format!("the socket path `{}` is longer than 107 bytes", path.display()),
            "use a shorter path: the system does not take a longer one",
        ));
    }
    Ok(path)
}

/// `TMUX` is `socket,pid,session`; `TMUX_PANE` is `%N`.
fn inside() -> Option<Inside> {
    let tmux = env::var("TMUX").ok()?;
    let socket = tmux.rsplitn(3, ',').nth(2).filter(|socket| !socket.is_empty())?.to_owned();
    let pane = env::var("TMUX_PANE").ok()?.parse().ok()?;
    Some(Inside::new(socket, pane))
}

/// The session root that the environment of a session names.
pub(super) fn session_root() -> Option<PathBuf> {
    let pairs = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = SessionEnvironment::new(pairs.collect());
    let manifest = environment.get(Variable::ManifestPath).map(PathBuf::from)?;
    manifest.parent().filter(|root| root.is_absolute()).map(Path::to_owned)
}

/// The target that the selectors mean.
pub(super) fn resolve(context: &Context, selectors: &Selectors) -> Result<Target, Failure> {
    target::resolve(context, &selector(context, selectors)?)
}

fn selector(context: &Context, selectors: &Selectors) -> Result<Selector, Failure> {
    let typed = Typed {
        agent_name: selectors.agent_name.clone(),
        agent_id: selectors.agent_id.clone(),
        current_session: selectors.current_session,
        tmux_session: selectors.target_tmux_session.clone(),
    };
    target::choose(&typed, context.inside.is_some())
}

/// Was any selector typed?
pub(super) fn any_selector(selectors: &Selectors) -> bool {
    selectors.agent_name.is_some()
        || selectors.agent_id.is_some()
        || selectors.current_session
        || selectors.target_tmux_session.is_some()
}

/// The listener wishes of the flags, else of the caller's environment.
///
/// tmux gives new panes the live binding of their session. That is a fact about another gateway and no wish,
/// so host and port count only where the state path, which comes with a binding, is not set.
pub(super) fn listener(flags: &Listener) -> Result<(Option<Host>, Option<u16>), Failure> {
    let pairs = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = SessionEnvironment::new(pairs.collect());
    let is_binding = environment.get(Variable::GatewayStatePath).is_some();
    let wish = |variable| environment.get(variable).filter(|_| !is_binding).map(str::to_owned);
    let host = flags.gateway_host.clone().or_else(|| wish(Variable::GatewayHost));
    let host = host.map(|text| {
        Host::parse(&text).ok_or_else(|| {
            Failure::usage(
                format!("`{text}` is not a host to listen on"),
                "use 127.0.0.1, or 0.0.0.0 with --allow-remote",
            )
        })
    });
    let port = match (flags.gateway_port, wish(Variable::GatewayPort)) {
        (Some(port), _) => Some(port),
        (None, Some(text)) => Some(text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Failure::usage(
                format!("`{text}` in AGENTS_GATEWAY_PORT is not a port"),
                "use 1 to 65535, or unset the variable to get a free port",
            )
        })?),
        (None, None) => None,
    };
    Ok((host.transpose()?, port))
}

/// Refuses to attach from inside the gateway's own window: it would end the terminal that waits for it.
pub(super) fn refuse_own_window(context: &Context, target: &Target) -> Result<(), Failure> {
    let (Some(inside), Ok(session)) = (&context.inside, &target.session) else { return Ok(()) };
    let here = session.pane(inside.pane);
    if here.is_some_and(|pane| pane.gateway_mark == target.root.name()) {
        return Err(Failure::new(
            ErrorCode::Refused,
            "this is the gateway's own window",
            "run the command in another window of the session",
        ));
    }
    Ok(())
}
