//! Which conversation a turn belongs to. The manifest remembers it; a turn's own files do too.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{artefacts, template::Template};
use crate::{
    agents::headless::{Chat, Dialect},
    api::{ChatMode, ChatSession, HeadlessFile, Manifest, StartupChat},
    model::Failure,
    os::files::FileError,
    session::{SessionRoot, documents},
};

/// The conversation that a session is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Its id as the tool names it; `None` before a first turn.
    pub session_id: Option<String>,
    /// Turns that it has had.
    pub turn_index: u64,
}

/// `current` was asked for and there is none, or `exact` without an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoChat;

/// Which one it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// For the words.
    pub chat: Chat,
    /// Our own id, for a program that is told it.
    pub session: Option<String>,
    /// Why it is another one than the caller may expect.
    pub note: Option<String>,
}

impl Conversation {
    /// What the manifest says.
    pub fn of(manifest: &Manifest) -> Self {
        let section = manifest.headless.as_ref().unwrap_or(&manifest.backend_state);
        let id = section["session_id"].as_str().filter(|id| !id.trim().is_empty());
        Self { session_id: id.map(str::to_owned), turn_index: section["turn_index"].as_u64().unwrap_or_default() }
    }

    /// The same, and where the manifest lost the id what the files of the turns know. The contract's own programs refuse
    /// a session with turns and without an id for ever; here it goes on.
    pub fn found(root: &SessionRoot, manifest: &Manifest) -> (Self, Option<String>) {
        let known = Self::of(manifest);
        // Without turns there is nothing to be lost: it begins, or begins anew.
        if known.session_id.is_some() || known.turn_index == 0 {
            return (known, None);
        }
        let turns = artefacts::turns(root);
        let ids = turns.iter().find_map(|(turn, _)| Some((turn.id().to_owned(), turn.end()?.session_id?)));
        match ids {
            Some((turn, id)) => {
                let note = format!("the manifest has lost the conversation's id; turn `{turn}` knew it");
                (Self { session_id: Some(id), turn_index: known.turn_index.max(1) }, Some(note))
            }
            None => (known, None),
        }
    }
}

/// Chooses: what was asked for, else a new one if that was asked for once, else the current one, else what the session
/// begins with (contract section 4.3).
///
/// # Errors
/// [`NoChat`].
pub fn choose(
    template: &Template,
    asked: Option<&ChatSession>,
    new_once: bool,
    now: &Conversation,
) -> Result<Chosen, NoChat> {
    let current = || now.session_id.clone().map(Chat::Exact);
    let mut note = None;
    let chat = match asked.map(|asked| (asked.mode, asked.id.clone())) {
        Some((ChatMode::New, _)) => Chat::New,
        Some((ChatMode::Exact, Some(id))) => Chat::Exact(id),
        Some((ChatMode::Exact, None)) => return Err(NoChat),
        Some((ChatMode::ToolLastOrNew, _)) => Chat::Last,
        Some((ChatMode::Current, _)) => current().ok_or(NoChat)?,
        Some((ChatMode::Auto, _)) | None if new_once => Chat::New,
        Some((ChatMode::Auto, _)) | None => match (current(), template.startup.mode) {
            (Some(chat), _) => chat,
            (None, _) if now.turn_index > 0 => {
                note = Some("the conversation's id is lost; the tool's last one is taken up".to_owned());
                Chat::Last
            }
            (None, ChatMode::ToolLastOrNew) => Chat::Last,
            (None, ChatMode::Exact) => template.startup.id.clone().map_or(Chat::New, Chat::Exact),
            (None, _) => Chat::New,
        },
    };
    let session = (template.dialect == Dialect::Generic).then(|| match &chat {
        Chat::Exact(id) => id.clone(),
        Chat::Last if now.session_id.is_some() => now.session_id.clone().unwrap_or_default(),
        Chat::New | Chat::Last => Uuid::new_v4().to_string(),
    });
    Ok(Chosen { chat, session, note })
}

/// Begins anew: the next turn is the first one, and takes up this conversation.
///
/// # Errors
/// When the session's files cannot be read or written.
pub fn begin_with(root: &SessionRoot, startup: &StartupChat) -> Result<(), Failure> {
    let mut manifest: Manifest = documents::load(&root.manifest())?;
    let kind = match startup.mode {
        ChatMode::Exact => "exact",
        ChatMode::ToolLastOrNew => "last",
        _ => "none",
    };
    // First how it begins: whoever dies here leaves a session that goes on as before.
    if let Some(mut file) = documents::load_if_present::<HeadlessFile>(&root.headless())? {
        file.startup = startup.clone();
        documents::store(&root.headless(), &file)?;
    }
    let set = |section: &mut Value| {
        if section.is_object() {
            section["session_id"] = Value::Null;
            section["turn_index"] = json!(0);
            section["resume_selection_kind"] = json!(kind);
            section["resume_selection_value"] = json!(startup.id);
        }
    };
    set(&mut manifest.backend_state);
    manifest.headless.as_mut().map(set);
    if let Some(section) = manifest.local_interactive.as_mut().filter(|section| section.is_object()) {
        section["turn_index"] = json!(0);
    }
    if let Some(interactive) = &mut manifest.interactive {
        interactive.turn_index = 0;
    }
    documents::store(&root.manifest(), &manifest)?;
    Ok(())
}

/// Puts the conversation that a turn was in into the manifest, in one step. A manifest never says that there were turns
/// without saying in which conversation.
pub(super) fn remember(root: &SessionRoot, session_id: Option<&str>) -> Result<(), FileError> {
    let Some(id) = session_id else { return Ok(()) };
    let Ok(mut manifest) = documents::load::<Manifest>(&root.manifest()) else { return Ok(()) };
    let index = Conversation::of(&manifest).turn_index + 1;
    let set = |section: &mut Value| {
        if section.is_object() {
            section["session_id"] = json!(id);
            section["turn_index"] = json!(index);
        }
    };
    set(&mut manifest.backend_state);
    manifest.headless.as_mut().map(set);
    if let Some(section) = manifest.local_interactive.as_mut().filter(|section| section.is_object()) {
        section["turn_index"] = json!(index);
    }
    if let Some(interactive) = &mut manifest.interactive {
        interactive.turn_index = index;
    }
    documents::store(&root.manifest(), &manifest).map(drop)
}
