//! `agents gateway logs`: the last lines of the gateway's log, and the new ones as they come.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde_json::json;

use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    model::Failure,
    os::files,
    target::Context,
};

/// How far back the last lines are looked for.
const LOOK_BACK: u64 = 512 * 1024;

pub(super) fn run(
    context: &Context,
    selectors: &Selectors,
    follow: bool,
    count: usize,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    if follow && report.wants_json() {
        return Err(Failure::usage("--follow never ends, and --json prints one document", "leave one of them out"));
    }
    let target = setting::resolve(context, selectors)?;
    let path = target.root.log();
    let (lines, mut position) = match last_lines(&path, count) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 0),
        Err(error) => return Err(Failure::internal(format!("could not read `{}`: {error}", path.display()))),
    };
    if report.wants_json() {
        render::json(&json!({ "path": path.to_string_lossy(), "lines": lines }));
        return Ok(ExitCode::SUCCESS);
    }
    if lines.is_empty() {
        report.note(&format!("`{}` has no lines yet", path.display()));
    }
    let taken = lines.iter().all(|line| render::try_line(line));
    if !follow || !taken {
        return Ok(ExitCode::SUCCESS);
    }
    let mut inode = files::inode(&path);
    loop {
        pause();
        let now = files::inode(&path);
        if now != inode {
            (inode, position) = (now, 0);
        }
        if let Ok(text) = read_from(&path, position) {
            // Only whole lines; the rest comes with its end.
            let whole = text.rfind('\n').map_or(0, |at| at + 1);
            position += whole as u64;
            if !text[..whole].lines().all(render::try_line) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// A log is followed by a person, who does not see a fifth of a second.
#[expect(clippy::disallowed_methods, reason = "a foreground command that waits for a file to grow")]
fn pause() {
    std::thread::sleep(Duration::from_millis(200));
}

fn last_lines(path: &Path, count: usize) -> io::Result<(Vec<String>, u64)> {
    let length = File::open(path)?.metadata()?.len();
    let text = read_from(path, length.saturating_sub(LOOK_BACK))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let surplus = lines.len().saturating_sub(count);
    Ok((lines.split_off(surplus), length))
}

fn read_from(path: &Path, position: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.take(4 * LOOK_BACK).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
