//! How the turns of a session are started, read from its files.

use serde_json::Value;

use crate::{
    agents::headless::Dialect,
    api::{ChatMode, HeadlessFile, Manifest, StartupChat, Surface},
    model::{Failure, ProcessIdentity},
    session::{SessionRoot, documents},
};

/// How the turns of a session are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Whose words they are.
    pub dialect: Dialect,
    /// Program and arguments of every turn.
    pub base: Vec<String>,
    /// Where the program works.
    pub directory: String,
    /// Which conversation a first turn takes up.
    pub startup: StartupChat,
    /// The model of every turn that names no other.
    pub model: Option<String>,
    /// How hard it thinks.
    pub reasoning: Option<u64>,
    /// Variables that every turn gets.
    pub environment: Vec<(String, String)>,
    /// The process in window 0: turns have its environment.
    pub surface: Option<ProcessIdentity>,
}

/// Is it a session whose turns are processes?
pub fn is_headless(root: &SessionRoot, manifest: &Manifest) -> bool {
    Dialect::of_backend(&manifest.backend).is_some() || root.headless().exists()
}

impl Template {
    /// The template of a session; `None` for an agent in a terminal.
    ///
    /// # Errors
    /// When `headless.json` cannot be read.
    pub fn of(root: &SessionRoot, manifest: &Manifest) -> Result<Option<Self>, Failure> {
        if !is_headless(root, manifest) {
            return Ok(None);
        }
        let file: Option<HeadlessFile> = documents::load_if_present(&root.headless())?;
        let surface: Option<Surface> = documents::load_if_present(&root.surface())?;
        let dialect = match &file {
            Some(file) => Dialect::of(&file.dialect),
            None => Dialect::of_backend(&manifest.backend).unwrap_or(Dialect::Generic),
        };
        let plan = &manifest.launch_plan;
        let authority = manifest.agent_launch_authority.as_ref();
        let given = authority.and_then(|authority| authority.launch_env.as_ref()).and_then(Value::as_array);
        Ok(Some(Self {
            dialect,
            base: [&plan.executable].into_iter().chain(&plan.args).cloned().collect(),
            directory: plan.working_directory.clone(),
            startup: file.as_ref().map_or_else(|| startup(manifest), |file| file.startup.clone()),
            model: file.as_ref().and_then(|file| file.model.clone()),
            reasoning: file.as_ref().and_then(|file| file.reasoning_level),
            environment: given.into_iter().flatten().filter_map(literal).collect(),
            surface: surface.map(|surface| surface.process),
        }))
    }
}

/// What `resume_selection_kind` of the contract says.
fn startup(manifest: &Manifest) -> StartupChat {
    let section = manifest.headless.as_ref().unwrap_or(&manifest.backend_state);
    let id = section["resume_selection_value"].as_str().map(str::to_owned);
    match (section["resume_selection_kind"].as_str(), id) {
        (Some("exact"), Some(id)) => StartupChat { mode: ChatMode::Exact, id: Some(id) },
        (Some("last"), _) => StartupChat { mode: ChatMode::ToolLastOrNew, id: None },
        _ => StartupChat { mode: ChatMode::New, id: None },
    }
}

/// `{"mode":"literal","name","value"}`; what is inherited is in window 0's environment anyway.
fn literal(item: &Value) -> Option<(String, String)> {
    Some((item["name"].as_str()?.to_owned(), item["value"].as_str()?.to_owned()))
}
