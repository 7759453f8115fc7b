//! Every path, in one place. Pure.

use std::path::{Path, PathBuf};

use crate::model::{AgentId, SessionRootId};

/// The folder that holds everything: `--home`, `AGENTS_HOME`, or the XDG state directory's `agents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// A home at an absolute path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `runtime/sessions/`: one folder per backend, in it one per session.
    pub fn sessions(&self) -> PathBuf {
        self.0.join("runtime").join("sessions")
    }

    /// The root of a new session.
    pub fn session_root(&self, backend: &str, id: &SessionRootId) -> SessionRoot {
        SessionRoot::at(self.sessions().join(backend).join(id.as_str()))
    }

    /// Kernel lock of a join: which session it takes is known only under it.
    pub fn join_lock(&self) -> PathBuf {
        self.0.join("join.lock")
    }

    /// The memory of an agent: it outlives its sessions (contract section 0.1).
    pub fn memory(&self, id: &AgentId) -> PathBuf {
        self.0.join("memory").join("agents").join(id.as_str())
    }

    /// `detectors/`: a person's own profiles of agent programs.
    pub fn detectors(&self) -> PathBuf {
        self.0.join("detectors")
    }

    /// `mailbox/`: the mailbox root that is used when nobody names another.
    pub fn mailbox(&self) -> PathBuf {
        self.0.join("mailbox")
    }

    /// `registry/`.
    pub fn registry(&self) -> PathBuf {
        self.0.join("registry")
    }
}

/// The folder of one agent's record in the registry.
pub fn record_folder(registry: &Path, id: &AgentId) -> PathBuf {
    registry.join("live_agents").join(id.as_str())
}

/// The root of one session (contract section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRoot(PathBuf);

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident = $($part:literal)/+;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> PathBuf {
                self.0$(.join($part))+
            }
        )*
    };
}

impl SessionRoot {
    /// The root at an absolute path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The home that holds this root, if it lies where a home keeps its roots: `runtime/sessions/<backend>/<id>`.
    pub fn home(&self) -> Option<Home> {
        let sessions = self.0.parent()?.parent()?;
        let runtime = sessions.parent()?;
        let is_ours = sessions.file_name()? == "sessions" && runtime.file_name()? == "runtime";
        is_ours.then(|| runtime.parent().map(Home::at)).flatten()
    }

    /// The folder's name; the identity of last resort.
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    paths! {
        /// The durable authority.
        manifest = "manifest.json";
        /// Our facts about the agent's pane.
        surface = "surface.json";
        /// Placeholder that lets the contract's other programs resume the session.
        brain_manifest = "brain_manifest.json";
        /// Empty environment file, for the same reason.
        launch_env = "launch.env";
        /// Agent definition directory.
        agent_def = "agent_def";
        /// Settings of the agent's program for this session: its hooks.
        agent_settings = "agent-settings.json";
        /// Home of the tool when it has none of its own.
        tool_home = "tool-home";
        /// Credentials of the mailbox, one file each.
        mailbox_secrets = "mailbox-secrets";
        /// How the turns of a headless agent are started. Its presence makes a session headless.
        headless = "headless.json";
        /// Which turn was started last.
        headless_turn = "headless-turn.json";
        /// One folder for each turn of a headless agent.
        turn_artifacts = "manifest.turn-artifacts";
        /// Everything of the gateway.
        gateway = "gateway";
        /// `v1`.
        protocol_version = "gateway" / "protocol-version.txt";
        /// Internal attach contract.
        attach = "gateway" / "attach.json";
        /// Outward bookkeeping.
        gateway_manifest = "gateway" / "gateway_manifest.json";
        /// Wishes for the next start.
        desired_config = "gateway" / "desired-config.json";
        /// Status document.
        state = "gateway" / "state.json";
        /// The queue.
        queue = "gateway" / "queue.sqlite";
        /// Audit log.
        events = "gateway" / "events.jsonl";
        /// Kernel lock of the running gateway. Never removed, never rewritten.
        gateway_lock = "gateway" / "gateway.lock";
        /// Kernel lock of a transition (attach, detach, stop, relaunch).
        transition_lock = "gateway" / "transition.lock";
        /// Kernel lock of one text on its way into the agent's pane.
        delivery_lock = "gateway" / "delivery.lock";
        /// Logs.
        logs = "gateway" / "logs";
        /// Human log.
        log = "gateway" / "logs" / "gateway.log";
        /// Opt-in JSON lines log.
        diagnostic_log = "gateway" / "logs" / "diagnostics" / "gateway-diagnostic.log";
        /// Recordings of the agent's pane.
        recordings = "gateway" / "recordings";
        /// Files of a running gateway.
        run = "gateway" / "run";
        /// The contract's live record.
        current_instance = "gateway" / "run" / "current-instance.json";
        /// `<pid>\n`.
        pid_file = "gateway" / "run" / "gateway.pid";
        /// Our live record.
        owner = "gateway" / "run" / "owner.json";
        /// The running gateway's tmux client.
        control_client = "gateway" / "run" / "control-client.json";
        /// Bearer token.
        token = "gateway" / "run" / "token";
        /// Unix socket beside the TCP port.
        socket = "gateway" / "run" / "gateway.sock";
    }
}
