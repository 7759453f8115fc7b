//! What others see of a running gateway: its records, the session's variables, the registry's pointer.

use crate::{
    api::{
        CurrentInstance, DesiredConfig, GatewayPointer, Manifest, Origin, Owner, PROTOCOL_VERSION, RegistryRecord,
        Surface,
    },
    model::{AgentId, Failure, Moment, TmuxSessionId},
    os::clock,
    session::{Registry, SessionRoot, documents, environment, gateway_files, manifest, registry},
    tmux::{Commands, Server, TmuxError, change},
};

use super::board::Facts;

/// Everything that is needed to publish, again if somebody took it back.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    pub(super) root: SessionRoot,
    pub(super) server: Server,
    pub(super) session: TmuxSessionId,
    pub(super) registry: Option<Registry>,
    pub(super) owner: Owner,
}

/// The contract's live record of this gateway.
pub(super) fn current_instance(pid: u32, facts: &Facts) -> CurrentInstance {
    let window = facts.seat.window.clone();
    CurrentInstance {
        schema_version: 1,
        protocol_version: PROTOCOL_VERSION.to_owned(),
        pid,
        host: facts.host,
        port: facts.port,
        execution_mode: facts.seat.mode,
        tmux_window_id: window.as_ref().map(|window| window.window_id.clone()),
        tmux_window_index: window.as_ref().map(|window| window.window_index.clone()),
        tmux_pane_id: window.map(|window| window.pane_id),
        managed_agent_instance_epoch: facts.epoch.max(1),
        managed_agent_instance_id: facts.attach.runtime_session_id.clone(),
    }
}

impl Publisher {
    /// Files of the live binding (contract section 14: after the bind, before the variables).
    pub(super) fn write_files(&self, facts: &Facts) -> Result<(), Failure> {
        let instance = current_instance(self.owner.process.pid, facts);
        gateway_files::write_live_records(&self.root, &instance, &self.owner)?;
        let manifest = gateway_files::gateway_manifest(&facts.attach, Some(&instance));
        documents::store(&self.root.gateway_manifest(), &manifest)?;
        Ok(())
    }

    /// The next start should look like this one. The operator's other wishes stay.
    pub(super) fn remember(&self, facts: &mut Facts, desired: &DesiredConfig) -> Result<(), Failure> {
        let desired = DesiredConfig {
            desired_host: Some(facts.host),
            desired_port: Some(facts.port),
            desired_execution_mode: facts.seat.mode,
            ..desired.clone()
        };
        documents::store(&self.root.desired_config(), &desired)?;
        facts.attach.desired_host = desired.desired_host;
        facts.attach.desired_port = desired.desired_port;
        documents::store(&self.root.attach(), &facts.attach)?;
        Ok(())
    }

    /// The live records, under the session's name of now, should it have been renamed while no gateway looked.
    pub(super) fn write_first(&self, facts: &mut Facts, desired: &DesiredConfig) -> Result<(), Failure> {
        self.remember(facts, desired)?;
        self.write_files(facts)?;
        let name = facts.view.session_name.clone();
        if name.is_empty() || name == facts.attach.tmux_session_name { Ok(()) } else { self.renamed(facts, &name) }
    }

    /// What sets the live variables.
    pub(super) fn variables(&self, facts: &Facts) -> Commands {
        let values = environment::live(&self.root, facts.host, facts.port);
        change::set_environment(Commands::new(), self.session, &values)
    }

    /// Sets the live variables. One tmux process.
    pub(super) fn set_variables(&self, facts: &Facts) -> Result<(), Failure> {
        self.server.run(&self.variables(facts))?;
        Ok(())
    }

    /// The live variables and the registry's pointer. One tmux process.
    pub(super) fn announce(&self, facts: &Facts, now: Moment) -> Result<(), Failure> {
        self.set_variables(facts)?;
        self.announce_in_registry(facts, now);
        Ok(())
    }

    /// The record of this agent: active, with a new lease and a pointer to this gateway. A busy registry costs the
    /// pointer, not the gateway.
    pub(super) fn announce_in_registry(&self, facts: &Facts, now: Moment) {
        let pointer = GatewayPointer {
            host: facts.host,
            port: facts.port,
            state_path: self.root.state().to_string_lossy().into_owned(),
            protocol_version: PROTOCOL_VERSION.to_owned(),
        };
        let name = facts.attach.tmux_session_name.clone();
        let known = self.in_registry(|record| {
            registry::mark_active(record, &name, now);
            record.gateway = Some(pointer.clone());
        });
        let announced = known.and_then(|known| if known { Ok(()) } else { self.register(pointer, now) });
        if let Err(failure) = announced {
            tracing::warn!(%failure, "the registry does not show this gateway");
        }
    }

    /// Publishes a record that was lost or damaged. A home without a registry is another program's.
    fn register(&self, gateway: GatewayPointer, now: Moment) -> Result<(), Failure> {
        let Some(registry) = self.registry.as_ref().filter(|registry| registry.folder().is_dir()) else {
            return Ok(());
        };
        let manifest: Manifest = documents::load(&self.root.manifest())?;
        let surface = documents::load::<Surface>(&self.root.surface());
        let launched = surface.is_ok_and(|surface| surface.origin == Origin::Launched);
        let mut record = registry::new_record(&self.root, &manifest, launched, now);
        record.gateway = Some(gateway);
        registry.publish(record, now, |other| other.is_fresh(now))
    }

    /// A sign of life: the lease starts anew, and the record points here.
    pub(super) fn renew_lease(&self, facts: &Facts) {
        self.announce_in_registry(facts, clock::now());
    }

    /// Changes this agent's record; `false` when there is none that could be changed.
    fn in_registry(&self, update: impl FnOnce(&mut RegistryRecord)) -> Result<bool, Failure> {
        let Some(registry) = &self.registry else { return Ok(false) };
        let manifest: Manifest = documents::load(&self.root.manifest())?;
        if let (Some(id), Some(generation)) = (&manifest.agent_id, &manifest.registry_generation_id) {
            return registry.update(&AgentId::parse(id)?, generation, update);
        }
        Ok(false)
    }

    /// Carries a new session name into every document that holds one, so that programs that go by name still find it.
    pub(super) fn renamed(&self, facts: &mut Facts, name: &str) -> Result<(), Failure> {
        let manifest: Manifest = documents::load(&self.root.manifest())?;
        let (window, pane) = manifest
            .tmux
            .as_ref()
            .map(|tmux| {
                (tmux.primary_window_id.clone().unwrap_or_default(), tmux.primary_pane_id.clone().unwrap_or_default())
            })
            .unwrap_or_default();
        documents::store(&self.root.manifest(), &manifest::rebind(manifest, name, &window, &pane))?;
        name.clone_into(&mut facts.attach.tmux_session_name);
        documents::store(&self.root.attach(), &facts.attach)?;
        self.write_files(facts)?;
        self.renew_lease(facts);
        Ok(())
    }

    /// Takes everything back: an orderly end leaves what a detach leaves.
    ///
    /// Each step is tried whatever became of the one before; a session that is gone took its variables with it.
    pub(super) fn withdraw(&self, session_is_there: bool) {
        if let Err(error) = gateway_files::restore_offline(&self.root, true) {
            tracing::warn!(%error, "the offline snapshot could not be written");
        }
        if session_is_there {
            let names = environment::live_names();
            match self.server.run(&change::unset_environment(Commands::new(), self.session, &names)) {
                Ok(_) | Err(TmuxError::NoServer { .. } | TmuxError::NoTarget { .. }) => {}
                Err(error) => tracing::warn!(%error, "the live variables could not be removed"),
            }
        }
        if let Err(failure) = self.in_registry(|record| record.gateway = None) {
            tracing::warn!(%failure, "the registry still points to this gateway");
        }
    }
}
