//! Hears of replaced and removed files in a few folders, through the kernel: no polling.

use std::{ffi::OsString, io, os::unix::ffi::OsStringExt, path::Path};

use rustix::{fd::OwnedFd, fs::inotify};
use tokio::io::unix::AsyncFd;

/// Watches folders for files that were put in place (renamed into) or removed.
#[derive(Debug)]
pub struct Folders {
    descriptor: AsyncFd<OwnedFd>,
}

impl Folders {
    /// Starts watching. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses a watch (a folder is missing, or the user's watch limit is used up).
    pub fn watch(folders: &[&Path]) -> io::Result<Self> {
        let descriptor = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let interest = inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MOVE_SELF
            | inotify::WatchFlags::MOVED_FROM;
        for folder in folders {
            inotify::add_watch(&descriptor, *folder, interest | inotify::WatchFlags::ONLYDIR)?;
        }
        Ok(Self { descriptor: AsyncFd::register(descriptor)? })
    }

    /// Waits for the next changes; returns the names of the files concerned (empty for a folder itself).
    ///
    /// # Errors
    /// When the descriptor fails.
    pub async fn changed(&self) -> io::Result<Vec<OsString>> {
        loop {
            let mut guard = self.descriptor.readable().await?;
            match guard.try_io(|descriptor| read_names(descriptor.get_ref())) {
                Ok(names) => return names,
                Err(_would_block) => {}
            }
        }
    }
}

fn read_names(descriptor: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(descriptor, &mut buffer);
    let mut names = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => {
                names.push(
                    event.file_name().map(|name| OsString::from_vec(name.to_bytes().to_vec())).unwrap_or_default(),
                );
                if reader.is_buffer_empty() {
                    return Ok(names);
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) if names.is_empty() => return Err(error.into()),
            Err(_) => return Ok(names),
        }
    }
}
