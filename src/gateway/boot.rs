//! Booting, in the one safe order: lock, store, bind, files, serve, announce.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::net::{TcpListener, UnixListener};
use uuid::Uuid;

use super::{
    board::{Board, Facts},
    place::Seat,
    publish::Publisher,
    watch::{Subject, first_view},
};
use crate::{
    api::{AttachContract, DesiredConfig, Host, Owner, Surface, TimingWishes, TrackedSession},
    http::access::{Access, Token},
    model::{ErrorCode, Failure, PaneId},
    os::{clock, files, lock::Lock, peer, process, random, rendezvous},
    session::{Registry, SessionRoot, documents, gateway_files},
    store::{self, Depth, Opened, Store},
    target::{self, Context, Introduction, Target},
};

/// What the gateway was started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to look for the session.
    pub context: Context,
    /// The session's root.
    pub root: SessionRoot,
    /// Listen here and nowhere else.
    pub host: Option<Host>,
    /// Listen on this port and no other.
    pub port: Option<u16>,
    /// The operator accepts a gateway that other machines can reach.
    pub allow_remote: bool,
    /// Name of the readiness socket in `run/`, when an `attach` waits there.
    pub ready: Option<String>,
    /// Log more.
    pub verbose: bool,
    /// How the agent's screen is judged; what is not given stays as it was.
    pub timings: TimingWishes,
}

/// A gateway that listens and is not public yet.
#[derive(Debug)]
pub struct Started {
    pub(super) lock: Arc<Lock>,
    pub(super) store: Store,
    pub(super) store_thread: JoinHandle<()>,
    pub(super) board: Arc<Board>,
    pub(super) publisher: Publisher,
    pub(super) subject: Subject,
    pub(super) tcp: TcpListener,
    pub(super) unix: Option<UnixListener>,
    pub(super) access: Access,
    pub(super) desired: DesiredConfig,
    pub(super) generation: u64,
    pub(super) set_aside: Option<String>,
    pub(super) tool: String,
    pub(super) headless: bool,
    pub(super) tracked: TrackedSession,
    pub(super) notes: Vec<String>,
}

/// How long an old gateway may take to let go of the lock.
const LOCK_LIMIT: Duration = Duration::from_secs(3);

/// Boots up to the point where the gateway listens and its files say so.
pub(super) async fn boot(config: &Config, seat: Seat, target: &Target) -> Result<Started, Failure> {
    let root = &config.root;
    let session = target.live_session()?;
    let lock = Lock::take_within(&root.gateway_lock(), LOCK_LIMIT)?.ok_or_else(|| held(root))?;
    sweep(root, config.ready.as_deref());
    let attach = gateway_files::publish_capability(root, &target.manifest)?;
    let mut desired: DesiredConfig = documents::load(&root.desired_config())?;
    desired.desired_tui_tracking_timings = config.timings.over(desired.desired_tui_tracking_timings.as_ref());
    let now = clock::now();
    let (store, store_thread) = open_store(root).await?;
    let (me, instance_id) = (process::myself(), Uuid::new_v4().to_string());
    let generation = store.claim_run(&instance_id, &me, now, process::is_alive).await?;
    let subject = subject(target, &seat)?;
    let view = first_view(&subject, session);
    let epoch = match &view.agent {
        Some(agent) => store.epoch_of(agent.clone(), now).await?,
        None => store.last_epoch().await?,
    };
    let depth: Depth = store.depth(epoch).await?;
    let mut notes = Vec::new();
    let (tcp, host) = listen(config, &attach, &mut notes).await?;
    let port = tcp.local_addr().map_err(|error| Failure::internal(error.to_string()))?.port();
    let token = token(root)?;
    let unix = unix_socket(root);
    let publisher = Publisher {
        root: root.clone(),
        server: target.server.clone(),
        session: session.session_id,
        registry: root.home().map(|home| Registry::at(home.registry())),
        owner: Owner {
            schema_version: 1,
            instance_id,
            process: me,
            generation,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_utc: now.iso_seconds(),
        },
    };
    let set_aside = store.set_aside().await?;
    let facts = Facts {
        attach,
        host,
        port,
        seat,
        view,
        epoch,
        depth,
        running: false,
        set_aside: set_aside.is_some(),
        sick: false,
    };
    Ok(Started {
        lock: Arc::new(lock),
        store,
        store_thread,
        board: Arc::new(Board::new(root.clone(), facts)),
        publisher,
        subject,
        tcp,
        unix,
        access: Access { host, port, token, uid: peer::my_uid() },
        desired,
        generation,
        set_aside,
        tool: tool_of(target),
        headless: crate::headless::is_headless(root, &target.manifest),
        tracked: tracked(target),
        notes,
    })
}

/// The agent's program as it was recorded.
fn tool_of(target: &Target) -> String {
    target.manifest.tool.clone()
}

/// The session in the words of its state document.
fn tracked(target: &Target) -> TrackedSession {
    let (manifest, root) = (&target.manifest, &target.root);
    let identity = manifest.attach_identity(&root.name());
    TrackedSession {
        tracked_session_id: identity.clone(),
        session_name: identity,
        tool: manifest.tool.clone(),
        observed_tool_version: manifest
            .launch_policy_provenance
            .as_ref()
            .and_then(|provenance| provenance["detected_tool_version"].as_str())
            .map(str::to_owned),
        tmux_session_name: manifest.tmux_session_name.clone().unwrap_or_default(),
        tmux_window_name: Some("agent".to_owned()),
        terminal_aliases: Vec::new(),
        agent_name: manifest.agent_name.clone(),
        agent_id: manifest.agent_id.clone(),
        manifest_path: Some(root.manifest().to_string_lossy().into_owned()),
        session_root: Some(root.path().to_string_lossy().into_owned()),
    }
}

/// Opens the queue. A damaged one is set aside; what is to become of it is for the operator to say.
async fn open_store(root: &SessionRoot) -> Result<(Store, JoinHandle<()>), Failure> {
    let Opened { store, thread, damage } = store::open_or_set_aside(&root.queue(), clock::now())?;
    if let Some(damage) = damage {
        tracing::error!(damage, "the damaged queue was set aside; a fresh one is in its place");
    }
    if let Some(file) = store.set_aside().await? {
        tracing::warn!(file, "an earlier queue lies beside the present one, damaged");
    }
    Ok((store, thread))
}

fn held(root: &SessionRoot) -> Failure {
    let owner = documents::load::<Owner>(&root.owner()).ok();
    let who =
        owner.map_or_else(String::new, |owner| format!(" (pid {}, since {})", owner.process.pid, owner.started_at_utc));
    Failure::new(
        ErrorCode::AlreadyAttached,
        format!("another gateway{who} holds this session"),
        "`agents gateway status` shows it; `agents gateway attach --restart` replaces it",
    )
}

/// Removes what crashes left. Safe, because the lock is ours.
fn sweep(root: &SessionRoot, ready: Option<&str>) {
    for folder in [root.path().to_owned(), root.gateway(), root.run()] {
        let count = files::sweep_temporaries(&folder);
        if count > 0 {
            tracing::info!(count, folder = %folder.display(), "removed temporary files of an earlier crash");
        }
    }
    files::sweep_matching(&root.run(), |name| name.starts_with("ready-") && Some(name) != ready);
}

/// Whom to watch: ids from our own facts, or from the manifest of another program.
pub(super) fn subject(target: &Target, seat: &Seat) -> Result<Subject, Failure> {
    let session = target.live_session()?;
    let recorded = target.surface.as_ref().map(|surface: &Surface| surface.pane_id.clone());
    let agent = recorded.or_else(|| target.manifest.primary_pane().map(str::to_owned)).unwrap_or_default();
    let agent: PaneId = agent.parse().map_err(|error| Failure::internal(format!("the agent's pane: {error}")))?;
    Ok(Subject {
        server: target.server.clone(),
        session: session.session_id,
        server_pid: session.server_pid,
        agent,
        own: seat.window.as_ref().and_then(|window| window.pane_id.parse().ok()),
    })
}

/// Binds. A port that was asked for is the only one tried; a remembered one gives way to another.
///
/// What is remembered stands in the attach contract, which takes it from the operator's wishes first.
async fn listen(
    config: &Config,
    attach: &AttachContract,
    notes: &mut Vec<String>,
) -> Result<(TcpListener, Host), Failure> {
    let host = config.host.or(attach.desired_host).unwrap_or(Host::Loopback);
    if host == Host::Any && !config.allow_remote {
        return Err(Failure::usage(
            "0.0.0.0 is open to the network",
            "add --allow-remote, or attach with --gateway-host 127.0.0.1",
        ));
    }
    let wished = config.port.or(attach.desired_port).unwrap_or(0);
    match bind(host, wished).await {
        Ok(listener) => Ok((listener, host)),
        Err(error) if config.port.is_some() || wished == 0 => Err(cannot_listen(host, wished, &error)),
        Err(error) => {
            notes.push(format!("port {wished}, used before, cannot be had ({error}); took another"));
            let listener = bind(host, 0).await.map_err(|error| cannot_listen(host, 0, &error))?;
            Ok((listener, host))
        }
    }
}

async fn bind(host: Host, port: u16) -> std::io::Result<TcpListener> {
    let octets = if host == Host::Any { [0, 0, 0, 0] } else { [127, 0, 0, 1] };
    TcpListener::bind(SocketAddr::from((octets, port))).await
}

fn cannot_listen(host: Host, port: u16, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let holder =
                peer::listener(port).map_or_else(String::new, |(pid, name)| format!(" by `{name}` (pid {pid})"));
            Failure::refused(
                format!("port {port} on {host} is taken{holder}"),
                "choose another --gateway-port, or leave it out to get a free one",
            )
        }
        std::io::ErrorKind::PermissionDenied => {
            Failure::refused(format!("port {port} may not be used by this user"), "choose a port from 1024 to 65535")
        }
        _ => Failure::internal(format!("could not listen on {host}:{port}: {error}")),
    }
}

/// The session's bearer token: made once, kept, readable by this user alone.
fn token(root: &SessionRoot) -> Result<Token, Failure> {
    let path = root.token();
    if let Ok(bytes) = files::read(&path)
        && let Ok(text) = String::from_utf8(bytes)
        && text.trim().len() == 64
    {
        return Ok(Token::new(text.trim().to_owned()));
    }
    let secret = random::token().map_err(|error| Failure::internal(format!("no randomness for the token: {error}")))?;
    files::replace(&path, format!("{secret}\n").as_bytes(), files::Durability::Process)?;
    Ok(Token::new(secret))
}

/// The Unix socket beside the port. A gateway without one still serves, so failing here is only logged.
fn unix_socket(root: &SessionRoot) -> Option<UnixListener> {
    let path = root.socket();
    let made = files::remove(&path).map_err(std::io::Error::other).and_then(|()| {
        let folder = rendezvous::open_folder(&root.run())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let listener = UnixListener::bind(rendezvous::short_path(&folder, &name))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    made.inspect_err(|error| tracing::warn!(%error, "no Unix socket beside the port")).ok()
}

/// The session of this configuration, proven; as the attach that started this gateway saw it, where there is one.
pub(super) fn find(config: &Config, introduced: Option<&Introduction>) -> Result<Target, Failure> {
    let found = match introduced {
        Some(introduced) => target::of_root_as_seen(&config.context, &config.root, introduced.session.clone())?,
        None => target::of_root(&config.context, &config.root)?,
    };
    found.live_session()?;
    Ok(found)
}
