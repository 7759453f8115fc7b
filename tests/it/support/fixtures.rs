//! What tests plant, read and compare: recorded files, JSON edits, trees of files.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{Run, World, eventually, signal};

impl World {
    /// Runs the program in this world, with a last change to its command: another variable, another folder.
    pub fn agents_as(&self, words: &[&str], change: impl FnOnce(&mut Command)) -> Run {
        let mut command = self.command(Self::program());
        command.args(words);
        change(&mut command);
        self.finish(command)
    }

    /// Ends every gateway of this world without a goodbye. Its port and lock are free afterwards.
    pub fn kill_gateways(&self) {
        let pids = self.gateway_pids();
        pids.iter().for_each(|pid| signal(*pid, rustix::process::Signal::KILL));
        // A dying process loses its command line, and its first thread, before it closes its files.
        let is_gone = |pid: &u32| {
            let process = procfs::process::Process::new(i32::try_from(*pid).unwrap());
            process.and_then(|process| process.stat()).map_or(true, |stat| stat.state == 'Z' && stat.num_threads <= 1)
        };
        eventually(
            "the gateways to be gone",
            || {
                if pids.iter().all(is_gone) { Ok(()) } else { Err(format!("{pids:?}")) }
            },
        );
    }

    /// Every file and folder below the home, with its mode.
    pub fn home_tree(&self) -> BTreeMap<PathBuf, u32> {
        tree(&self.home())
    }

    /// Does a file of this name exist anywhere in this world?
    pub fn has_canary(&self, name: &str) -> bool {
        tree(self.path()).keys().any(|path| path.file_name().is_some_and(|file| file == name))
    }

    /// Puts a program of this name and text first in a folder of its own, and returns the folder.
    pub fn stand_in(&self, name: &str, script: &str) -> PathBuf {
        let folder = self.path().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }
}

/// Every file and folder below one, with its mode. Links are not followed.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        // A file may go while we look.
        let Ok(meta) = entry.metadata() else { continue };
        found.insert(entry.path(), meta.permissions().mode() & 0o7777);
        if meta.is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found
}

/// A file of the recorded session root of the contract's first program.
pub fn predecessor(name: &str) -> Value {
    serde_json::from_str(&predecessor_text(name)).unwrap()
}

pub fn predecessor_text(name: &str) -> String {
    std::fs::read_to_string(Path::new("session-fixtures/sessions/predecessor").join(name)).unwrap()
}

/// Dotted paths of every key; objects inside `free` paths are not entered.
pub fn keys(value: &Value, free: &[&str]) -> BTreeSet<String> {
    fn walk(value: &Value, at: &str, free: &[&str], found: &mut BTreeSet<String>) {
        let Some(object) = value.as_object().filter(|_| !free.contains(&at)) else { return };
        for (key, inner) in object {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            walk(inner, &path, free, found);
            found.insert(path);
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", free, &mut found);
    found
}

/// Changes a JSON file in place.
pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    std::fs::write(path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
}
