//! Recorded screens: a capture, the facts of its pane, and what stands on it, in `states.toml` beside them.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{Case, ContractError};
use crate::{
    agents::{ComposerReading, Profile, ScreenReading},
    model::Screen,
};

/// What stands on a captured screen, as somebody read it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// `absent`, `empty`, `draft` or `unclear`.
    composer: String,
    /// The draft, if there is one.
    draft: Option<String>,
    #[serde(default)]
    working: bool,
    dialog: Option<ExpectedDialog>,
    #[serde(default)]
    queued: bool,
    #[serde(default)]
    interrupted: bool,
    /// How the error begins.
    failed: Option<String>,
    #[serde(default)]
    finished: bool,
    #[serde(default)]
    unfinished: bool,
    #[serde(default)]
    starting: bool,
    #[serde(default)]
    menu: bool,
    #[serde(default)]
    gone: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedDialog {
    kind: String,
    title: String,
    choices: Vec<String>,
    /// The place of the one that is pointed at, from 1.
    selected: usize,
    /// The key of each; empty for one without.
    keys: Vec<String>,
}

/// The facts that tmux told of a pane when it was captured. All are texts; those that were not asked for are missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Facts {
    pane_title: String,
    alternate_on: String,
    cursor_x: String,
    cursor_y: String,
    cursor_flag: String,
    pane_width: String,
    pane_height: String,
}

/// Checks every screen below `screens/<tool>/<version>/`.
pub(super) fn check(screens: &Path) -> Result<Vec<Case>, ContractError> {
    let mut cases = Vec::new();
    for tool in super::folders(screens)? {
        for version in super::folders(&tool)? {
            cases.extend(check_version(&super::file_name(&tool), &super::file_name(&version), &version)?);
        }
    }
    Ok(cases)
}

fn check_version(tool: &str, version: &str, folder: &Path) -> Result<Vec<Case>, ContractError> {
    let file = folder.join("states.toml");
    let text = super::text(&file)?;
    let states: BTreeMap<String, Expected> = toml::from_str(&text)
        .map_err(|error| ContractError::Unreadable { file: file.clone(), why: error.to_string() })?;
    let profile = Profile::find(tool, Some(version)).ok_or_else(|| ContractError::Unreadable {
        file: folder.to_owned(),
        why: format!("there is no profile for `{tool}`"),
    })?;
    let mut cases = Vec::new();
    for (name, expected) in &states {
        let screen = screen(folder, name)?;
        let differences = differences(expected, &profile.read(&screen));
        cases.push(Case { name: format!("screens/{tool}/{version}/{name}"), differences });
    }
    for name in captured(folder)?.into_iter().filter(|name| !states.contains_key(name)) {
        let differences = vec!["it is not in states.toml".to_owned()];
        cases.push(Case { name: format!("screens/{tool}/{version}/{name}"), differences });
    }
    Ok(cases)
}

fn captured(folder: &Path) -> Result<Vec<String>, ContractError> {
    let names = super::entries(folder)?.into_iter().map(|path| super::file_name(&path));
    Ok(names.filter_map(|name| name.strip_suffix(".ansi").map(str::to_owned)).collect())
}

/// Reads a capture: `NAME.ansi` as `capture-pane -e` printed it, `NAME.json` the facts.
fn screen(folder: &Path, name: &str) -> Result<Screen, ContractError> {
    let text = super::text(&folder.join(format!("{name}.ansi")))?;
    let file = folder.join(format!("{name}.json"));
    let facts: Facts = match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| ContractError::Unreadable { file, why: error.to_string() })?,
        Err(_) => Facts::default(),
    };
    let rows = Screen::styled_rows(text.lines());
    let number = |text: &str, otherwise: usize| text.parse().unwrap_or(otherwise);
    Ok(Screen {
        width: number(&facts.pane_width, 120),
        height: number(&facts.pane_height, rows.len()),
        cursor_x: number(&facts.cursor_x, 0),
        cursor_y: number(&facts.cursor_y, 0),
        cursor_shown: facts.cursor_flag == "1",
        alternate: facts.alternate_on == "1",
        title: facts.pane_title,
        rows,
    })
}

fn differences(expected: &Expected, reading: &ScreenReading) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, expected: &str, is: &str| {
        if expected != is {
            found.push(format!("{what}: expected {expected}, read {is}"));
        }
    };
    let (composer, draft) = match &reading.composer {
        ComposerReading::Absent => ("absent", None),
        ComposerReading::Empty => ("empty", None),
        ComposerReading::Draft(text) => ("draft", Some(text.clone())),
        ComposerReading::Unclear => ("unclear", None),
    };
    compare("composer", &expected.composer, composer);
    compare("draft", &format!("{:?}", expected.draft), &format!("{draft:?}"));
    let flags = [
        ("working", expected.working, !reading.working.is_empty()),
        ("queued", expected.queued, reading.queued == Some(true)),
        ("interrupted", expected.interrupted, reading.interrupted),
        ("finished", expected.finished, reading.finished),
        ("unfinished", expected.unfinished, reading.unfinished),
        ("starting", expected.starting, reading.starting),
        ("menu", expected.menu, reading.menu),
        ("gone", expected.gone, reading.gone),
    ];
    for (what, expected, is) in flags {
        compare(what, &expected.to_string(), &is.to_string());
    }
    let failed = reading.failed.as_deref();
    let is_as_said = match (&expected.failed, failed) {
        (Some(start), Some(text)) => text.starts_with(start),
        (None, None) => true,
        _ => false,
    };
    if !is_as_said {
        compare("failed", &format!("{:?}", expected.failed), &format!("{failed:?}"));
    }
    let shown = reading.dialog.as_ref().map(|dialog| ExpectedDialog {
        kind: dialog.kind.name().to_owned(),
        title: dialog.title.clone(),
        choices: dialog.choices.iter().map(|choice| choice.label.clone()).collect(),
        selected: dialog.choices.iter().position(|choice| choice.selected).map_or(0, |place| place + 1),
        keys: dialog.choices.iter().map(|choice| choice.key.clone().unwrap_or_default()).collect(),
    });
    if expected.dialog != shown {
        compare("dialog", &format!("{:?}", expected.dialog), &format!("{shown:?}"));
    }
    found
}
