//! The mailbox of a session: its address in the mailbox root, and the binding in its manifest. Mail is never removed
//! here: stop, relaunch, cleanup and unbinding leave it where it is.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{begin, publish, withdraw};
use crate::{
    api::{JmapBinding, MailBinding, Manifest},
    mail::{
        MailError, Mailbox,
        filesystem::{self, RegisterMode, Registering},
        jmap::{self, Credential, Secret},
    },
    model::{Address, AgentId, AgentName, Failure},
    os::clock,
    session::{SessionRoot, documents, environment, registry},
    target::{Context, Target},
    tmux::{Commands, change},
};

/// Which mailbox an agent is to get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxWish {
    /// By default the agent's name at our own domain.
    pub address: Option<Address>,
    /// Folder of the mailboxes; by default the home's. Absolute.
    pub root: Option<PathBuf>,
    /// What becomes of somebody else's mailbox under the address.
    pub mode: RegisterMode,
}

/// Gives the agent's address a mailbox, if it has none yet.
///
/// # Errors
/// Refused when somebody else has the address.
pub(super) fn register(
    context: &Context,
    name: &AgentName,
    id: &AgentId,
    wish: &MailboxWish,
    session: &SessionRoot,
) -> Result<MailBinding, Failure> {
    let address = wish.address.clone().map_or_else(|| Address::of_agent(name), Ok)?;
    if address.is_reserved() {
        return Err(Failure::usage(
            format!("the address `{address}` is the system's"),
            "choose another one, or leave it out to get the agent's name",
        ));
    }
    let root = wish.root.clone().unwrap_or_else(|| context.home.mailbox());
    let wish = Registering {
        address,
        principal_id: principal(name, id)?,
        mode: wish.mode,
        display_name: Some(name.to_string()),
        manifest_path_hint: Some(session.manifest().to_string_lossy().into_owned()),
        role: None,
        folder: None,
    };
    Ok(MailBinding::Filesystem(filesystem::register(&root, &wish)?.binding))
}

/// Who owns the agent's mailbox: its name, and for one of several agents of a name its id too.
fn principal(name: &AgentName, id: &AgentId) -> Result<String, Failure> {
    let is_default = publish::default_id(name)? == *id;
    Ok(if is_default { format!("AGENTS-{name}") } else { format!("AGENTS-{name}-{id}") })
}

/// Gives a session a mailbox: registers the address, and binds the session to it. A running gateway takes it at once.
///
/// # Errors
/// Refused for an address of somebody else.
pub fn bind(context: &Context, target: &Target, wish: &MailboxWish) -> Result<MailBinding, Failure> {
    let name = AgentName::parse(target.manifest.agent_name.as_deref().unwrap_or_default())?;
    let id = AgentId::parse(target.manifest.agent_id.as_deref().unwrap_or_default())?;
    let binding = register(context, &name, &id, wish, &target.root)?;
    write(target, Some(&binding))?;
    Ok(binding)
}

/// A mailbox on a JMAP server.
#[derive(Debug, Clone)]
pub struct ServerWish {
    /// The server, or its session resource.
    pub url: String,
    /// As whom to log in.
    pub login: String,
    /// Kept in files of this user's own, never in the manifest.
    pub password: Secret,
    /// Certificates in PEM that alone vouch for the server; by default those that the system trusts do.
    pub authority: Option<String>,
    /// By default the login, if it is an address.
    pub address: Option<Address>,
}

/// Gives a session a mailbox on a server, once the server has taken the login. A running gateway takes it at once.
///
/// # Errors
/// Refused where the server is away or refuses the login: nothing is changed then.
pub fn bind_server(context: &Context, target: &Target, wish: &ServerWish) -> Result<MailBinding, Failure> {
    let name = AgentName::parse(target.manifest.agent_name.as_deref().unwrap_or_default())?;
    let id = AgentId::parse(target.manifest.agent_id.as_deref().unwrap_or_default())?;
    let address =
        wish.address.clone().or_else(|| wish.login.parse().ok()).map_or_else(|| Address::of_agent(&name), Ok)?;
    let credential = Credential {
        credential_ref: jmap::reference_for(&address),
        login_identity: wish.login.clone(),
        password: wish.password.clone(),
        authority: wish.authority.clone(),
    };
    jmap::check_login(&wish.url, &credential)?;
    let binding = MailBinding::Stalwart(JmapBinding {
        principal_id: principal(&name, &id)?,
        address,
        bindings_version: clock::now().iso_millis(),
        jmap_url: wish.url.clone(),
        management_url: wish.url.clone(),
        login_identity: credential.login_identity.clone(),
        credential_ref: credential.credential_ref.clone(),
    });
    // Before the manifest names it: a binding without its password would be of no use.
    let folders = [jmap::common_folder(context.home.path()), target.root.mailbox_secrets()];
    jmap::store_credential(&credential, &[&folders[0], &folders[1]])?;
    write(target, Some(&binding))?;
    Ok(binding)
}

/// Takes the mailbox from a session; returns which it was. The address stays registered, and its mail there; the session's
/// copy of a password goes.
///
/// # Errors
/// When the files cannot be written.
pub fn unbind(target: &Target) -> Result<Option<Unbound>, Failure> {
    let Some(binding) = write(target, None)? else { return Ok(None) };
    let mut authority = false;
    if let Ok(Some(MailBinding::Stalwart(bound))) = MailBinding::of(Some(&binding)) {
        let folder = target.root.mailbox_secrets();
        authority = jmap::has_authority(&folder, &bound.credential_ref);
        jmap::forget_credential(&folder, &bound.credential_ref)?;
    }
    Ok(Some(Unbound { binding, authority }))
}

/// What a session was bound to.
#[derive(Debug, Clone, PartialEq)]
pub struct Unbound {
    /// As the manifest had it.
    pub binding: Value,
    /// Whether a certificate authority was named for its server.
    pub authority: bool,
}

/// What the session's environment says of its mailbox.
pub(super) fn variables(manifest: &Manifest) -> Vec<(String, String)> {
    let binding = MailBinding::of(manifest.launch_plan.mailbox.as_ref()).ok().flatten();
    binding.into_iter().flat_map(|binding| environment::mailbox(binding.address().as_str())).collect()
}

/// Puts the binding into the manifest, the registry's record and the session's environment. Returns the one before.
fn write(target: &Target, binding: Option<&MailBinding>) -> Result<Option<Value>, Failure> {
    let _transition = begin(&target.root)?;
    let mut manifest: Manifest = documents::load(&target.root.manifest())?;
    let section = binding.map(|binding| json!(binding));
    let before = std::mem::replace(&mut manifest.launch_plan.mailbox, section);
    documents::store(&target.root.manifest(), &manifest)?;
    if let (Some(registry), Some(id), Some(generation)) =
        (withdraw::registry_of(target), &manifest.agent_id, &manifest.registry_generation_id)
    {
        registry.update(&AgentId::parse(id)?, generation, |record| {
            record.mailbox = registry::mailbox_pointer(&manifest);
        })?;
    }
    if let Ok(session) = &target.session {
        let commands = match binding {
            Some(binding) => {
                let values = environment::mailbox(binding.address().as_str());
                change::set_environment(Commands::new(), session.session_id, &values)
            }
            None => {
                let names = [environment::MAILBOX_ADDRESS.to_owned()];
                change::unset_environment(Commands::new(), session.session_id, &names)
            }
        };
        target.server.run(&commands)?;
    }
    Ok(before)
}

/// How much unread mail an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its address.
    pub address: String,
    /// `filesystem` or `stalwart`.
    pub transport: &'static str,
    /// `None` where it could not be counted.
    pub unread: Option<usize>,
    /// Why it could not.
    pub why: Option<String>,
}

/// Counts the unread mail of a session; `None` for one without a mailbox. No server is asked: whoever lists agents does
/// not want to wait for one.
pub fn unread(root: &SessionRoot, manifest: &Manifest) -> Option<Unread> {
    let binding = match MailBinding::of(manifest.launch_plan.mailbox.as_ref()) {
        Ok(binding) => binding?,
        Err(why) => {
            return Some(Unread { address: String::new(), transport: "unknown", unread: None, why: Some(why) });
        }
    };
    let counted = match &binding {
        MailBinding::Filesystem(_) => {
            Mailbox::of(&binding, root.mailbox_secrets()).and_then(|mailbox| mailbox.unread())
        }
        MailBinding::Stalwart(_) => Err(MailError::Unavailable("its server is not asked for a list".to_owned())),
    };
    let (unread, why) = match counted {
        Ok(count) => (Some(count), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Some(Unread { address: binding.address().to_string(), transport: binding.transport(), unread, why })
}
