//! A small disk for one world.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A file system of its own size, which only this world's processes see: it lives in the mount namespace of a process
/// that this holds.
#[derive(Debug)]
pub struct Disk {
    holder: Child,
    folder: PathBuf,
    needs_user: bool,
}

impl Disk {
    /// A file system of so many KiB over this folder; `None` where the machine does not allow one.
    pub(super) fn over(folder: &Path, kib: u32) -> Option<Self> {
        let needs_user = !rustix::process::geteuid().is_root();
        let mut command = Command::new("unshare");
        command.args(if needs_user { &["-r", "-m"][..] } else { &["-m"] });
        let script = format!("mount -t tmpfs -o size={kib}k,mode=700 tmpfs \"$0\" && echo mounted && exec sleep 10000");
        command.args(["sh", "-c", &script]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).ok();
        let disk = Self { holder, folder: folder.to_owned(), needs_user };
        (line == "mounted\n").then_some(disk)
    }

    /// Words that start a program where the disk is seen.
    pub(super) fn enter(&self, program: &std::ffi::OsStr, work: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string()]);
        if self.needs_user {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.arg(format!("--wd={}", work.display())).arg("--").arg(program);
        command
    }

    /// A path of the world, as the test itself can open it.
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// Fills the disk to its last byte.
    pub fn fill(&self) {
        let path = self.seen(&self.folder).join("filler");
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Takes the filler away.
    pub fn free(&self) {
        std::fs::remove_file(self.seen(&self.folder).join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
