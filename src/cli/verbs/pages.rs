//! `agents completions` and `agents man`: generated from the same words that are parsed.

use std::{path::Path, process::ExitCode};

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::{
    cli::{Cli, render, report::Reporter},
    model::Failure,
    os::files::{self, Durability},
};

pub(super) fn completions(shell: Shell, report: &Reporter) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "agents", &mut script);
    if report.wants_json() {
        render::json(&json!({ "shell": shell.to_string(), "script": String::from_utf8_lossy(&script) }));
    } else {
        render::raw(&script);
    }
    ExitCode::SUCCESS
}

pub(super) fn man(folder: &Path, report: &Reporter) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::usage(format!("could not create `{}`: {error}", folder.display()), "name another folder")
    })?;
    let mut written = Vec::new();
    let mut root = Cli::command();
    root.build();
    page(&root, "agents", folder, &mut written)?;
    if report.wants_json() {
        render::json(&json!({ "written": written }));
    } else {
        written.iter().for_each(|path| render::line(path));
    }
    Ok(ExitCode::SUCCESS)
}

/// One page per command, `agents-gateway-attach.1`.
fn page(command: &clap::Command, name: &str, folder: &Path, written: &mut Vec<String>) -> Result<(), Failure> {
    let mut text = Vec::new();
    let titled = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(titled)
        .render(&mut text)
        .map_err(|error| Failure::internal(format!("could not write the page `{name}`: {error}")))?;
    let path = folder.join(format!("{name}.1"));
    files::replace(&path, &text, Durability::Process)?;
    written.push(path.to_string_lossy().into_owned());
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        page(sub, &format!("{name}-{}", sub.get_name()), folder, written)?;
    }
    Ok(())
}
