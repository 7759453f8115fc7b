//! The gateway's files: capability, live record, and the snapshot that stays when no gateway runs.

use super::{
    documents::{self, DocumentError, load_if_present, store, store_bytes},
    layout::SessionRoot,
};
use crate::{
    api::{
        Admission, AttachContract, BackendMetadata, Connectivity, CurrentInstance, DesiredConfig, Eligibility,
        Execution, GatewayHealth, GatewayManifest, Manifest, Owner, PROTOCOL_VERSION, Recovery, StatusDocument,
    },
    os::files::{self, FileError},
};

/// Makes a session root gateway-capable (contract section 3.1, steps 2 to 9 without the queue).
///
/// Safe to repeat: what is there and valid stays as it is.
///
/// # Errors
/// [`DocumentError`]; an operator's damaged `desired-config.json` is reported, never overwritten.
pub fn publish_capability(root: &SessionRoot, manifest: &Manifest) -> Result<AttachContract, DocumentError> {
    for folder in [root.gateway(), root.logs(), root.run()] {
        files::create_private_dir(&folder)?;
    }
    store_bytes(&root.protocol_version(), format!("{PROTOCOL_VERSION}\n").as_bytes())?;
    files::create_if_missing(&root.events())?;
    let wished = load_if_present::<DesiredConfig>(&root.desired_config())?;
    let desired = wished.unwrap_or_default();
    store(&root.desired_config(), &desired)?;
    let mut attach = attach_contract(root, manifest, &desired);
    // Where the wishes say nothing, the listener of the last contract stays (contract section 3.2, steps 2 and 3).
    if let Ok(last) = documents::load::<AttachContract>(&root.attach()) {
        attach.desired_host = attach.desired_host.or(last.desired_host);
        attach.desired_port = attach.desired_port.or(last.desired_port);
    }
    store(&root.attach(), &attach)?;
    // A snapshot that cannot be read says nothing; a new one says "not attached", which is true here.
    let previous = documents::load::<StatusDocument>(&root.state()).ok();
    if previous.as_ref().is_none_or(|state| state.tmux_session_name != attach.tmux_session_name) {
        store(&root.state(), &offline_snapshot(&attach, &desired, previous.as_ref()))?;
    }
    let live = load_if_present::<CurrentInstance>(&root.current_instance()).ok().flatten();
    store(&root.gateway_manifest(), &gateway_manifest(&attach, live.as_ref()))?;
    Ok(attach)
}

/// `attach.json`, derived from the manifest and the operator's wishes.
pub fn attach_contract(root: &SessionRoot, manifest: &Manifest, desired: &DesiredConfig) -> AttachContract {
    AttachContract {
        schema_version: 1,
        attach_identity: manifest.attach_identity(&root.name()),
        backend: manifest.backend.clone(),
        tmux_session_name: manifest.tmux_session_name.clone().unwrap_or_default(),
        working_directory: manifest.working_directory.clone(),
        backend_metadata: BackendMetadata {
            session_id: manifest.runtime.session_id.clone(),
            tool: manifest.tool.clone(),
            managed_api_base_url: None,
            managed_agent_ref: None,
        },
        manifest_path: Some(root.manifest().to_string_lossy().into_owned()),
        agent_def_dir: manifest.runtime.agent_def_dir.clone(),
        runtime_session_id: manifest.runtime.session_id.clone(),
        desired_host: desired.desired_host,
        desired_port: desired.desired_port,
    }
}

/// `gateway_manifest.json`: the attach contract, and the live fields where a gateway runs.
pub fn gateway_manifest(attach: &AttachContract, live: Option<&CurrentInstance>) -> GatewayManifest {
    let attach = attach.clone();
    GatewayManifest {
        schema_version: 1,
        attach_identity: attach.attach_identity,
        backend: attach.backend,
        tmux_session_name: attach.tmux_session_name,
        working_directory: attach.working_directory,
        backend_metadata: attach.backend_metadata,
        manifest_path: attach.manifest_path,
        agent_def_dir: attach.agent_def_dir,
        runtime_session_id: attach.runtime_session_id,
        desired_host: attach.desired_host,
        desired_port: attach.desired_port,
        gateway_pid: live.map(|live| live.pid),
        gateway_host: live.map(|live| live.host),
        gateway_port: live.map(|live| live.port),
        gateway_protocol_version: live.map(|live| live.protocol_version.clone()),
        gateway_execution_mode: live.map(|live| live.execution_mode),
        gateway_tmux_window_id: live.and_then(|live| live.tmux_window_id.clone()),
        gateway_tmux_window_index: live.and_then(|live| live.tmux_window_index.clone()),
        gateway_tmux_pane_id: live.and_then(|live| live.tmux_pane_id.clone()),
    }
}

/// What a reader gets when no gateway answers. Epoch and queue depth of the last run are kept: the rows still wait.
pub fn offline_snapshot(
    attach: &AttachContract,
    desired: &DesiredConfig,
    previous: Option<&StatusDocument>,
) -> StatusDocument {
    StatusDocument {
        schema_version: 1,
        protocol_version: PROTOCOL_VERSION.to_owned(),
        attach_identity: attach.attach_identity.clone(),
        backend: attach.backend.clone(),
        tmux_session_name: attach.tmux_session_name.clone(),
        gateway_health: GatewayHealth::NotAttached,
        managed_agent_connectivity: Connectivity::Unavailable,
        managed_agent_recovery: Recovery::Idle,
        request_admission: Admission::BlockedUnavailable,
        terminal_surface_eligibility: Eligibility::Unknown,
        active_execution: Execution::Idle,
        execution_mode: desired.desired_execution_mode,
        queue_depth: previous.map_or(0, |state| state.queue_depth),
        gateway_host: None,
        gateway_port: None,
        gateway_tmux_window_id: None,
        gateway_tmux_window_index: None,
        gateway_tmux_pane_id: None,
        managed_agent_instance_epoch: previous.map_or(0, |state| state.managed_agent_instance_epoch),
        managed_agent_instance_id: None,
        observation_channels: None,
    }
}

/// The offline snapshot as it would be written now; writes nothing.
///
/// # Errors
/// [`DocumentError`] when neither `attach.json` nor the manifest can be read.
pub fn read_offline(root: &SessionRoot) -> Result<StatusDocument, DocumentError> {
    offline_now(root).map(|(_, snapshot)| snapshot)
}

fn offline_now(root: &SessionRoot) -> Result<(AttachContract, StatusDocument), DocumentError> {
    // A damaged wish list must not keep anybody from learning that the gateway is gone, nor must a damaged
    // contract: it is derived, and is derived again.
    let desired = documents::load::<DesiredConfig>(&root.desired_config()).unwrap_or_default();
    let attach = match documents::load::<AttachContract>(&root.attach()) {
        Ok(attach) => attach,
        Err(_) => attach_contract(root, &documents::load(&root.manifest())?, &desired),
    };
    let previous = documents::load::<StatusDocument>(&root.state()).ok();
    let snapshot = offline_snapshot(&attach, &desired, previous.as_ref());
    Ok((attach, snapshot))
}

/// Puts the offline snapshot and the offline bookkeeping in place, and returns the snapshot.
///
/// With `ended`, the gateway is known to be gone (its lock was free) and its live records go too; without it,
/// the gateway may only be unresponsive and its files stay.
///
/// # Errors
/// [`DocumentError`] when neither `attach.json` nor the manifest can be read, or the disk refuses.
pub fn restore_offline(root: &SessionRoot, ended: bool) -> Result<StatusDocument, DocumentError> {
    let (attach, snapshot) = offline_now(root)?;
    if ended {
        remove_live_records(root)?;
    }
    store(&root.state(), &snapshot)?;
    store(&root.gateway_manifest(), &gateway_manifest(&attach, None))?;
    Ok(snapshot)
}

/// Removes the records of a gateway that has ended. The token and the lock file stay.
///
/// # Errors
/// [`FileError`].
pub fn remove_live_records(root: &SessionRoot) -> Result<(), FileError> {
    for path in [root.current_instance(), root.pid_file(), root.owner(), root.control_client(), root.socket()] {
        files::remove(&path)?;
    }
    Ok(())
}

/// Writes the records of a gateway that has just started to listen (contract section 14: after the bind).
///
/// # Errors
/// [`FileError`].
pub fn write_live_records(root: &SessionRoot, instance: &CurrentInstance, owner: &Owner) -> Result<(), FileError> {
    store(&root.owner(), owner)?;
    store_bytes(&root.pid_file(), format!("{}\n", instance.pid).as_bytes())?;
    store(&root.current_instance(), instance).map(drop)
}
