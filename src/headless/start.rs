//! Starting a turn: written down first, then given to a runner. The caller holds `delivery.lock`.

use std::path::Path;

use uuid::Uuid;

use super::{
    artefacts::{Turn, last},
    conversation::Chosen,
    template::Template,
};
use crate::{
    agents::headless::{Chat, Dialect, LONGEST_WORD, Wish, words},
    api::{ExecutionOverride, LastStarted, TurnPlan},
    model::{Failure, Moment},
    os::{
        child,
        files::{self, Durability},
        program,
    },
    session::{SessionRoot, documents},
};

/// In the environment of a turn's program: the turn's folder.
pub const TURN_VARIABLE: &str = "AGENTS_TURN_DIR";

/// In the environment of a generic program: the conversation's id.
const CHAT_VARIABLE: &str = "AGENTS_CHAT_SESSION";

/// What is asked of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The text.
    pub prompt: &'a str,
    /// The turn's name, free in this session.
    pub turn_id: &'a str,
    /// The request that asks.
    pub request_id: Option<&'a str>,
    /// Which conversation.
    pub chosen: &'a Chosen,
    /// Another model.
    pub execution: Option<&'a ExecutionOverride>,
    /// Now.
    pub now: Moment,
}

/// A turn that was given to a runner.
#[derive(Debug)]
pub struct Started {
    /// The turn.
    pub turn: Turn,
    /// Its runner, which is this process's child: reaped by whoever waits for it.
    pub runner: child::Running,
}

/// A name that no turn of this session has: the caller's own if it is free and harmless, else a new one.
///
/// # Errors
/// A sentence that says why the caller's name cannot be had.
pub fn free_id(root: &SessionRoot, wished: Option<&str>) -> Result<String, String> {
    let Some(wished) = wished else {
        let random = Uuid::new_v4().simple().to_string();
        return Ok(format!("turn-{}", &random[..12]));
    };
    match Turn::of(root, wished) {
        Some(turn) if turn.folder().exists() => Err(format!("there is a turn `{wished}` already")),
        Some(turn) => Ok(turn.id().to_owned()),
        None => Err("a turn's name has 1 to 64 letters, digits, `-`, `_` and `.`, and begins with no dot".to_owned()),
    }
}

/// Plans a turn. Nothing is written.
pub fn plan(root: &SessionRoot, template: &Template, asked: &Asked<'_>) -> TurnPlan {
    let model = asked.execution.map(|execution| &execution.model);
    let chosen = asked.chosen;
    let session = chosen.session.as_deref().unwrap_or_default();
    let wish = Wish {
        chat: &chosen.chat,
        model: model.and_then(|model| model.name.as_deref()).or(template.model.as_deref()),
        reasoning: model
            .and_then(|model| model.reasoning.as_ref())
            .map(|reasoning| reasoning.level)
            .or(template.reasoning),
        prompt: asked.prompt,
        session,
    };
    let built = words(template.dialect, &template.base, &wish);
    let folder = root.turn_artifacts().join(asked.turn_id).to_string_lossy().into_owned();
    let mut environment = template.environment.clone();
    environment.push((TURN_VARIABLE.to_owned(), folder));
    if template.dialect == Dialect::Generic {
        environment.push((CHAT_VARIABLE.to_owned(), session.to_owned()));
        environment.extend(wish.model.map(|model| ("AGENTS_MODEL".to_owned(), model.to_owned())));
        environment.extend(wish.reasoning.map(|level| ("AGENTS_REASONING_LEVEL".to_owned(), level.to_string())));
    }
    TurnPlan {
        schema_version: 1,
        turn_id: asked.turn_id.to_owned(),
        turn_index: last(root).map_or(0, |(_, index)| index) + 1,
        request_id: asked.request_id.map(str::to_owned),
        dialect: template.dialect.name().to_owned(),
        words: built.words,
        reads_prompt: built.reads_prompt,
        conversation: match &chosen.chat {
            Chat::New => "new".to_owned(),
            Chat::Last => "last".to_owned(),
            Chat::Exact(id) => id.clone(),
        },
        session_id: chosen.session.clone(),
        note: chosen.note.clone(),
        working_directory: template.directory.clone(),
        environment_of: template.surface.clone(),
        environment,
        created_at_utc: asked.now.iso_millis(),
    }
}

/// Writes a turn down and gives it to a runner.
///
/// # Errors
/// Nothing of it is left then, and nothing was started.
pub fn start(root: &SessionRoot, plan: &TurnPlan, prompt: &str) -> Result<Started, Failure> {
    if !plan.reads_prompt && (prompt.len() > LONGEST_WORD || prompt.contains('\0')) {
        return Err(Failure::refused(
            format!("a prompt of {} bytes, or with a NUL in it, fits into no word of a command", prompt.len()),
            "launch the agent without {prompt}: then its program reads the prompt from its standard input",
        ));
    }
    let turn = Turn::of(root, &plan.turn_id).ok_or_else(|| Failure::internal("a turn without a name"))?;
    let begun = give(root, &turn, plan, prompt);
    begun.map(|runner| Started { turn: turn.clone(), runner }).inspect_err(|_| {
        if let Err(error) = files::remove_tree(turn.folder()) {
            tracing::warn!(%error, "the files of a turn that was not started could not be removed");
        }
    })
}

fn give(root: &SessionRoot, turn: &Turn, plan: &TurnPlan, prompt: &str) -> Result<child::Running, Failure> {
    files::create_private_dir(turn.folder())?;
    files::create_if_missing(&turn.lock_file())?;
    files::create_if_missing(&turn.events())?;
    files::replace(&turn.prompt_file(), prompt.as_bytes(), Durability::Process)?;
    files::replace(&turn.plan_file(), &documents::render(plan), Durability::Disk)?;
    let last = LastStarted { schema_version: 1, turn_id: plan.turn_id.clone(), turn_index: plan.turn_index };
    documents::store(&root.headless_turn(), &last)?;
    let ourselves = program::myself().map_err(|error| Failure::internal(format!("no program of ours: {error}")))?;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let words = [
        path(&ourselves),
        "headless-turn".to_owned(),
        "--session-root".to_owned(),
        path(root.path()),
        "--turn".to_owned(),
        plan.turn_id.clone(),
    ];
    child::start_detached(&words, root.path())
        .map_err(|error| Failure::internal(format!("no runner for the turn could be started: {error}")))
}
