//! Hears of replaced and removed files in a few folders, through the kernel: no polling.

use std::{ffi::OsString, future::poll_fn, io, path::Path, pin::pin};

use futures_core::Stream;
use inotify::{EventStream, Inotify, WatchMask};

/// Hears of every change of the files in some folders, also of a line that is added.
#[derive(Debug)]
pub struct Changes {
    events: EventStream<[u8; 4096]>,
}

impl Changes {
    /// Watches nothing yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the user has no inotify instance left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { events: Inotify::init()?.into_event_stream([0; 4096])? })
    }

    /// Watches one more folder; `false` if it is not there, or cannot be watched. Once more changes nothing.
    pub fn add(&mut self, folder: &Path) -> bool {
        let files =
            WatchMask::MODIFY | WatchMask::CREATE | WatchMask::CLOSE_WRITE | WatchMask::MOVE | WatchMask::DELETE;
        self.events
            .watches()
            .add(folder, files | WatchMask::MOVE_SELF | WatchMask::DELETE_SELF | WatchMask::ONLYDIR)
            .is_ok()
    }

    /// Waits for the next change, whichever.
    ///
    /// # Errors
    /// When the descriptor fails.
    pub async fn any(&mut self) -> io::Result<()> {
        let mut events = pin!(&mut self.events);
        let event = poll_fn(|context| events.as_mut().poll_next(context)).await;
        event.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?.map(drop)
    }
}

/// Watches folders for files that were put in place (renamed into) or removed.
#[derive(Debug)]
pub struct Folders {
    events: EventStream<[u8; 4096]>,
}

impl Folders {
    /// Starts watching. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses a watch (a folder is missing, or the user's watch limit is used up).
    pub fn watch(folders: &[&Path]) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let interest = WatchMask::MOVE | WatchMask::DELETE | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
        for folder in folders {
            inotify.watches().add(folder, interest | WatchMask::ONLYDIR)?;
        }
        Ok(Self { events: inotify.into_event_stream([0; 4096])? })
    }

    /// Waits for the next change; returns the name of the file concerned (empty for a folder itself).
    ///
    /// # Errors
    /// When the descriptor fails.
    pub async fn changed(&mut self) -> io::Result<OsString> {
        let mut events = pin!(&mut self.events);
        let event = poll_fn(|context| events.as_mut().poll_next(context)).await;
        let event = event.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))??;
        Ok(event.name.unwrap_or_default())
    }
}
