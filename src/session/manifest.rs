//! The manifest of a session that we launch or adopt, and the placeholders that let other programs resume it.

use std::path::Path;

use serde_json::{Value, json};

use super::{documents, layout::SessionRoot};
use crate::{
    api::{
        AgentLaunchAuthority, GatewayAuthority, Interactive, LaunchPlan, Manifest, MemoryPaths, Origin, Runtime,
        TmuxSection,
    },
    model::{AgentId, AgentName, Moment, ToolName},
    os::files::{self, FileError},
};

/// The backend of every session that this program makes: a program in a terminal.
pub const BACKEND: &str = "local_interactive";

/// What a new manifest is made from.
#[derive(Debug, Clone)]
pub struct NewManifest<'a> {
    /// Launched or joined.
    pub origin: Origin,
    /// What a person calls the agent.
    pub name: &'a AgentName,
    /// The registry's key.
    pub id: &'a AgentId,
    /// Which program plays the agent.
    pub tool: &'a ToolName,
    /// Program and arguments; for a joined session what tmux sees in the foreground.
    pub program: &'a [String],
    /// Absolute path.
    pub working_directory: &'a str,
    /// Name of the tmux session.
    pub session_name: &'a str,
    /// `@0`.
    pub window_id: String,
    /// `%0`.
    pub pane_id: String,
    /// Name of the agent's window, for programs that look it up by name.
    pub window_name: &'a str,
    /// UUID of this publication.
    pub generation: &'a str,
    /// Its turns are processes; `None` for a program in a terminal.
    pub headless: Option<Headless<'a>>,
    /// Now.
    pub now: Moment,
}

/// What the contract knows of a headless session.
#[derive(Debug, Clone, Copy)]
pub struct Headless<'a> {
    /// The backend of its tool, or [`BACKEND`] for a tool that the contract has none for.
    pub backend: &'static str,
    /// `none`, `last` or `exact`: which conversation a first turn takes up.
    pub resume_kind: &'static str,
    /// Its id, exactly with `exact`.
    pub resume_value: Option<&'a str>,
    /// Arguments and variables of an adopted session's turns; a variable without a value is the session's own.
    pub given: Option<(&'a [String], &'a [(String, Option<String>)])>,
}

impl NewManifest<'_> {
    fn backend(&self) -> &'static str {
        self.headless.map_or(BACKEND, |headless| headless.backend)
    }
}

/// The variable that names a tool's own home folder (contract section 0); ours for tools that have none.
fn home_variable(tool: &str) -> &'static str {
    match tool {
        "claude" => "CLAUDE_CONFIG_DIR",
        "codex" => "CODEX_HOME",
        "kimi" => "KIMI_CODE_HOME",
        _ => "AGENTS_TOOL_HOME",
    }
}

/// Builds the manifest (contract section 1.1).
pub fn build(root: &SessionRoot, new: &NewManifest<'_>) -> Manifest {
    let text = |value: &str| Some(value.to_owned());
    let path = |value: std::path::PathBuf| value.to_string_lossy().into_owned();
    let (tool, directory) = (new.tool.as_str(), new.working_directory);
    let joined = new.origin == Origin::Joined;
    let session_id = root.name();
    let authority = json!({
        "api_base_url": null, "managed_agent_ref": null, "terminal_id": null, "profile_name": null,
        "profile_path": null, "parsing_mode": null, "tmux_window_name": new.window_name,
    });
    let headless = new.headless.filter(|headless| headless.backend != BACKEND).map(|_| headless_section(new));
    let in_terminal = headless.is_none();
    let given = new.headless.and_then(|headless| headless.given);
    Manifest {
        schema_version: 4,
        backend: new.backend().to_owned(),
        tool: tool.to_owned(),
        role_name: new.name.to_string(),
        created_at_utc: new.now.iso_seconds(),
        working_directory: directory.to_owned(),
        brain_manifest_path: path(root.brain_manifest()),
        agent_name: text(new.name.as_str()),
        agent_id: text(new.id.as_str()),
        tmux_session_name: text(new.session_name),
        registry_generation_id: text(new.generation),
        registry_launch_authority: "runtime".to_owned(),
        runtime: runtime(root, new),
        tmux: Some(TmuxSection {
            session_name: new.session_name.to_owned(),
            primary_window_index: "0".to_owned(),
            primary_window_role: "managed_agent_surface".to_owned(),
            primary_window_name: text(new.window_name),
            primary_window_id: Some(new.window_id.clone()),
            primary_pane_id: Some(new.pane_id.clone()),
        }),
        interactive: Some(interactive(new)),
        agent_launch_authority: Some(AgentLaunchAuthority {
            backend: new.backend().to_owned(),
            tool: tool.to_owned(),
            tmux_session_name: text(new.session_name),
            primary_window_index: "0".to_owned(),
            primary_window_id: Some(new.window_id.clone()),
            primary_pane_id: Some(new.pane_id.clone()),
            working_directory: directory.to_owned(),
            session_id: Some(session_id),
            profile_name: None,
            profile_path: None,
            session_origin: joined.then(|| "joined_tmux".to_owned()),
            posture_kind: text(match given {
                Some(_) => "headless_launch_options",
                None if joined => "unavailable",
                None => "runtime_launch_plan",
            }),
            launch_args: given.map(|(arguments, _)| arguments.to_vec()),
            launch_env: given.map(|(_, variables)| variables.iter().map(launch_variable).collect()),
        }),
        gateway_authority: Some(GatewayAuthority { attach: authority.clone(), control: authority }),
        launch_plan: launch_plan(root, new, metadata(new)),
        launch_policy_provenance: None,
        system_prompt: Some(system_prompt(new)),
        backend_state: backend_state(new),
        codex: None,
        headless,
        local_interactive: in_terminal.then(|| {
            json!({
                "turn_index": 0, "role_bootstrap_applied": true, "working_directory": directory,
            })
        }),
        cao: None,
        houmao_server: None,
    }
}

fn runtime(root: &SessionRoot, new: &NewManifest<'_>) -> Runtime {
    let memory = memory(root, new.id);
    Runtime {
        session_id: Some(root.name()),
        memory_root: memory.as_ref().map(|memory| memory.memory_root.clone()),
        memo_file: memory.as_ref().map(|memory| memory.memo_file.clone()),
        pages_dir: memory.map(|memory| memory.pages_dir),
        agent_def_dir: Some(root.agent_def().to_string_lossy().into_owned()),
        agent_pid: None,
        registry_generation_id: Some(new.generation.to_owned()),
        registry_launch_authority: "runtime".to_owned(),
    }
}

/// Where the agent's memory is; `None` for a session that belongs to no home.
pub fn memory(root: &SessionRoot, id: &AgentId) -> Option<MemoryPaths> {
    let memory = root.home()?.memory(id);
    let text = |path: std::path::PathBuf| path.to_str().map(str::to_owned);
    Some(MemoryPaths {
        schema_version: 1,
        // The contract's names: its own programs find an agent's memory by them.
        memo_file: text(memory.join("houmao-memo.md"))?,
        pages_dir: text(memory.join("pages"))?,
        memory_root: text(memory)?,
    })
}

fn launch_variable((name, value): &(String, Option<String>)) -> Value {
    match value {
        Some(value) => json!({ "mode": "literal", "name": name, "value": value }),
        None => json!({ "mode": "inherit", "name": name }),
    }
}

fn metadata(new: &NewManifest<'_>) -> Value {
    let mut metadata = json!({ "tmux_window_name": new.window_name });
    if new.headless.is_some() {
        metadata["headless_output_format"] = json!("stream-json");
        metadata["headless_display_style"] = json!("plain");
        metadata["headless_display_detail"] = json!("concise");
    }
    if new.origin == Origin::Joined {
        metadata["session_origin"] = json!("joined_tmux");
        metadata["joined_launch_mode"] = json!(if new.headless.is_some() { "headless" } else { "tui" });
    }
    metadata
}

fn interactive(new: &NewManifest<'_>) -> Interactive {
    Interactive {
        turn_index: 0,
        working_directory: Some(new.working_directory.to_owned()),
        role_bootstrap_applied: Some(true),
        terminal_id: None,
        parsing_mode: None,
        tmux_window_name: Some(new.window_name.to_owned()),
    }
}

fn launch_plan(root: &SessionRoot, new: &NewManifest<'_>, metadata: Value) -> LaunchPlan {
    let tool = new.tool.as_str();
    LaunchPlan {
        backend: new.backend().to_owned(),
        tool: tool.to_owned(),
        executable: new.program.first().cloned().unwrap_or_else(|| tool.to_owned()),
        args: new.program.iter().skip(1).cloned().collect(),
        working_directory: new.working_directory.to_owned(),
        home_selector: json!({
            "env_var": home_variable(tool), "home_path": root.tool_home().to_string_lossy(),
        }),
        env_var_names: Vec::new(),
        role_injection: json!({ "method": "cao_profile", "role_name": new.name.as_str() }),
        metadata,
        mailbox: None,
        launch_policy_provenance: None,
    }
}

/// SHA-256 of the empty text: our agents get no system prompt from us.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn system_prompt(new: &NewManifest<'_>) -> Value {
    json!({
        "format": "text", "role_name": new.name.as_str(), "text": "", "sha256": EMPTY_SHA256,
        "source": "launch_plan.role_injection.prompt",
    })
}

fn backend_state(new: &NewManifest<'_>) -> Value {
    let mut state = headless_section(new);
    for (key, value) in [
        ("tmux_session_name", new.session_name),
        ("tmux_window_name", new.window_name),
        ("tmux_window_id", &new.window_id),
        ("tmux_pane_id", &new.pane_id),
    ] {
        state[key] = json!(value);
    }
    state
}

fn headless_section(new: &NewManifest<'_>) -> Value {
    json!({
        "turn_index": 0, "role_bootstrap_applied": true, "working_directory": new.working_directory,
        "session_id": null, "resume_selection_kind": new.headless.map_or("none", |headless| headless.resume_kind),
        "resume_selection_value": new.headless.and_then(|headless| headless.resume_value),
    })
}

/// The same manifest for a session whose tmux names or ids changed: renamed, or its program started again.
pub fn rebind(mut manifest: Manifest, session_name: &str, window_id: &str, pane_id: &str) -> Manifest {
    let text = |value: &str| Some(value.to_owned());
    manifest.tmux_session_name = text(session_name);
    if let Some(tmux) = &mut manifest.tmux {
        session_name.clone_into(&mut tmux.session_name);
        tmux.primary_window_id = text(window_id);
        tmux.primary_pane_id = text(pane_id);
    }
    if let Some(authority) = &mut manifest.agent_launch_authority {
        authority.tmux_session_name = text(session_name);
        authority.primary_window_id = text(window_id);
        authority.primary_pane_id = text(pane_id);
    }
    if let Some(state) = manifest.backend_state.as_object_mut() {
        for (key, value) in
            [("tmux_session_name", session_name), ("tmux_window_id", window_id), ("tmux_pane_id", pane_id)]
        {
            state.insert(key.to_owned(), json!(value));
        }
    }
    manifest
}

/// Writes what the contract's programs want to find beside a manifest before they resume a session.
///
/// # Errors
/// [`FileError`].
pub fn write_placeholders(root: &SessionRoot, new: &NewManifest<'_>) -> Result<(), FileError> {
    let role = root.agent_def().join("roles").join(new.name.as_str());
    files::create_private_dir(&role)?;
    files::create_private_dir(&root.tool_home())?;
    if let Some(memory) = memory(root, new.id) {
        files::create_private_dir(Path::new(&memory.pages_dir))?;
        files::create_if_missing(Path::new(&memory.memo_file))?;
    }
    files::create_if_missing(&role.join("system-prompt.md"))?;
    files::create_if_missing(&root.launch_env())?;
    let tool = new.tool.as_str();
    let brain = json!({
        "schema_version": 3,
        "inputs": { "tool": tool },
        "credentials": { "env_contract": {
            "allowlisted_env_vars": [], "source_file": root.launch_env().to_string_lossy(),
        } },
        "launch_policy": { "operator_prompt_mode": "as_is" },
        "runtime": {
            "launch_contract": {
                "adapter_defaults": { "args": [], "tool_params": {} },
                "requested_overrides": { "direct": null, "preset": null },
                "tool_metadata": { "tool_params": {} },
            },
            "launch_executable": new.program.first().map_or(tool, String::as_str),
            "launch_home_selector": {
                "env_var": home_variable(tool), "value": root.tool_home().to_string_lossy(),
            },
        },
    });
    let mut bytes = serde_json::to_vec_pretty(&brain).unwrap_or_default();
    bytes.push(b'\n');
    documents::store_bytes(&root.brain_manifest(), &bytes).map(drop)
}
