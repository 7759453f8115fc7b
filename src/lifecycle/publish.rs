//! Making a session gateway-capable: its files, its variables in tmux, its record in the registry.

use std::path::Path;

use serde_json::json;

use super::{headless::Turns, mailbox};
use crate::{
    api::{ChatMode, MailBinding, Manifest, MemoryPaths, Origin, RegistryRecord, Surface},
    model::{AgentId, AgentName, Failure, Moment, ToolName},
    os::{files, process},
    session::{
        Registry, SessionRoot, documents, environment, gateway_files,
        manifest::{self, NewManifest},
        registry,
    },
    store,
    target::{self, Context},
    tmux::{Commands, PaneFacts, Server, SessionFacts, change},
};

/// A session that is about to become ours.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    pub(super) context: &'a Context,
    pub(super) root: &'a SessionRoot,
    pub(super) origin: Origin,
    pub(super) name: &'a AgentName,
    pub(super) id: &'a AgentId,
    pub(super) tool: &'a ToolName,
    pub(super) program: &'a [String],
    pub(super) working_directory: &'a str,
    pub(super) generation: &'a str,
    pub(super) server: &'a Server,
    pub(super) session: &'a SessionFacts,
    pub(super) pane: &'a PaneFacts,
    pub(super) window_name: &'a str,
    pub(super) mailbox: Option<&'a MailBinding>,
    /// How its turns are started, if they are processes: `program` only shows them then.
    pub(super) turns: Option<&'a Turns>,
    pub(super) now: Moment,
}

/// Publishes (contract section 3.1): files first, then the variables, then the registry.
///
/// # Errors
/// The caller undoes: it removes the root, and the variables with [`withdraw_variables`].
pub(super) fn publish(new: &Publication<'_>) -> Result<Manifest, Failure> {
    let surface = surface(new.origin, new.server, new.session, new.pane, new.program, new.now)?;
    let facts = NewManifest {
        origin: new.origin,
        name: new.name,
        id: new.id,
        tool: new.tool,
        program: new.turns.map_or(new.program, |turns| turns.base.as_slice()),
        working_directory: new.working_directory,
        session_name: &new.session.session_name,
        window_id: new.pane.window_id.to_string(),
        pane_id: new.pane.pane_id.to_string(),
        window_name: new.window_name,
        generation: new.generation,
        headless: new.turns.map(of_contract),
        now: new.now,
    };
    let mut manifest = manifest::build(new.root, &facts);
    manifest.launch_plan.mailbox = new.mailbox.map(|binding| json!(binding));
    files::create_private_dir(new.root.path())?;
    documents::store(&new.root.manifest(), &manifest)?;
    documents::store(&new.root.surface(), &surface)?;
    manifest::write_placeholders(new.root, &facts)?;
    gateway_files::publish_capability(new.root, &manifest)?;
    store::create(&new.root.queue(), new.now)?;
    publish_variables(new.server, new.session, new.root, &manifest)?;
    let record = registry::new_record(new.root, &manifest, new.origin == Origin::Launched, new.now);
    let context = new.context;
    context.registry().publish(record, new.now, |other| is_live(context, other))?;
    Ok(manifest)
}

fn of_contract(turns: &Turns) -> manifest::Headless<'_> {
    let startup = &turns.file.startup;
    let resume_kind = match startup.mode {
        ChatMode::Exact => "exact",
        ChatMode::ToolLastOrNew => "last",
        _ => "none",
    };
    let given = turns.given.as_ref();
    manifest::Headless {
        backend: turns.dialect.backend(),
        resume_kind,
        resume_value: startup.id.as_deref(),
        given: given.map(|(arguments, variables)| (arguments.as_slice(), variables.as_slice())),
    }
}

/// Sets the capability variables, and keeps tmux from shifting window 0 where its settings would.
pub(super) fn publish_variables(
    server: &Server,
    session: &SessionFacts,
    root: &SessionRoot,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let id = manifest.agent_id.as_deref().unwrap_or_default();
    let definition = manifest.runtime.agent_def_dir.as_deref().unwrap_or_default();
    let mut values = environment::capability(root, id, definition);
    values.extend(MemoryPaths::of(manifest).iter().flat_map(environment::memory));
    values.extend(mailbox::variables(manifest));
    let mut commands = change::set_environment(Commands::new(), session.session_id, &values);
    // With a base index of 1, tmux would move the agent to window 1 as soon as any window closes.
    if session.renumber_windows && session.base_index > 0 {
        commands = change::keep_numbers(commands, session.session_id);
    }
    server.run(&commands)?;
    Ok(())
}

/// Removes the capability variables from a session that lives on without us.
pub(super) fn withdraw_variables(server: &Server, session: &SessionFacts) -> Result<(), Failure> {
    let names = environment::capability_names();
    server.run(&change::unset_environment(Commands::new(), session.session_id, &names))?;
    Ok(())
}

/// Our facts about the agent's pane, as of now.
pub(super) fn surface(
    origin: Origin,
    server: &Server,
    session: &SessionFacts,
    pane: &PaneFacts,
    program: &[String],
    now: Moment,
) -> Result<Surface, Failure> {
    let process = process::identify(pane.pid)
        .ok_or_else(|| Failure::not_found("the agent's program has ended", "look at the session with `tmux attach`"))?;
    Ok(Surface {
        schema_version: 1,
        origin,
        tmux_socket: server.socket().to_string_lossy().into_owned(),
        tmux_server_pid: session.server_pid,
        tmux_server_started: session.server_started,
        tmux_session_id: session.session_id.to_string(),
        window_id: pane.window_id.to_string(),
        pane_id: pane.pane_id.to_string(),
        process,
        program: program.to_vec(),
        observed_at_utc: now.iso_seconds(),
    })
}

/// Does the record's session still exist? What cannot be told counts as living.
pub(super) fn is_live(context: &Context, record: &RegistryRecord) -> bool {
    if !record.lifecycle.state.is_live() {
        return false;
    }
    let Some(folder) = Path::new(&record.runtime.manifest_path).parent() else { return false };
    match target::of_root(context, &SessionRoot::at(folder)) {
        Ok(found) => found.session.is_ok(),
        Err(failure) => failure.code != crate::model::ErrorCode::TargetNotFound,
    }
}

/// The home must be ours alone before anything is put into it.
pub(super) fn expect_private_home(context: &Context) -> Result<(), Failure> {
    files::create_private_dir(context.home.path())?;
    Ok(files::check_private_dir(context.home.path())?)
}

/// Refuses an agent id that a live session uses, before anything is created for it.
pub(super) fn expect_free_id(context: &Context, registry: &Registry, id: &AgentId) -> Result<(), Failure> {
    match registry.read(id)? {
        Some(record) if is_live(context, &record) => {
            let session = record.terminal.current_session_name.unwrap_or_default();
            Err(Failure::refused(
                format!("the agent `{}` with id `{id}` is running in session `{session}`", record.agent_name),
                format!(
                    "`agents stop --agent-id {id}` ends it; `--agent-id OTHER` starts a second agent of the same name"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// The default id of a name: its MD5 in lower-case hex, as the contract says.
pub(super) fn default_id(name: &AgentName) -> Result<AgentId, Failure> {
    use md5::{Digest, Md5};
    let digest = Md5::digest(name.as_str().as_bytes());
    let text: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(AgentId::parse(&text.concat())?)
}
