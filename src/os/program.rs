//! Programs as files: finding one on a PATH, and our own.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The absolute path of a program: taken as it is if it holds a slash, else looked up in `path`.
///
/// The lookup happens in the caller's environment, because a tmux server may have been started with another PATH.
pub fn find(program: &str, path: Option<&OsStr>, working_directory: &Path) -> Option<PathBuf> {
    let runnable = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let file = working_directory.join(program);
        return runnable(&file).then_some(file);
    }
    std::env::split_paths(path?).map(|folder| working_directory.join(folder).join(program)).find(|file| runnable(file))
}

/// The file of this very program, for starting another copy of it.
///
/// # Errors
/// When it was deleted and not replaced: there is nothing to start.
pub fn myself() -> io::Result<PathBuf> {
    let file = std::env::current_exe()?;
    // After an upgrade in place the kernel reports the old file with this suffix; the new one is at the path.
    let text = file.to_string_lossy();
    let Some(stripped) = text.strip_suffix(" (deleted)") else { return Ok(file.clone()) };
    let replaced = PathBuf::from(stripped);
    if replaced.is_file() {
        Ok(replaced)
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "the program's own file was deleted"))
    }
}

/// What a helper program needs of our environment: where programs are, and how text is written.
pub fn small_environment() -> impl Iterator<Item = (OsString, OsString)> {
    let names = ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "HOME"];
    names.into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
}

/// Leaves the terminal that this process was started from: closing that terminal no longer ends it.
pub fn become_session_leader() {
    // It fails only for a process that leads its group already, which has left its terminal.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "already the leader of a process group");
    }
}
