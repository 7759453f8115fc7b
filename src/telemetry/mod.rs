//! What the gateway says about itself: the human log, its mirror in the window, diagnostics and events.
//!
//! Owns `logs/gateway.log`, `logs/diagnostics/` and `events.jsonl`. Promises: one event is one line, and
//! no line can carry a terminal escape or a forged second line; every file is private and, but for the
//! events, bounded; a full disk, a removed file or a stopped terminal costs lines, which are counted, and
//! never a request. Every room may log through `tracing`; only the gateway's start opens the logs.

mod diagnostic;
mod events;
mod flood;
mod format;
mod layer;
mod mirror;
mod rotate;

use std::{path::Path, sync::Arc, time::Duration};

use tracing_subscriber::layer::SubscriberExt;

pub use diagnostic::{DiagnosticLevel, DiagnosticLog};
pub use events::EventLog;
pub use layer::GatewayLayer;
pub use mirror::WindowMirror;
pub use rotate::{Limits, RotatingFile};

use layer::GatewayLog;

/// The gateway's hold on its human log, for counters and for the last lines before it exits.
#[derive(Debug, Clone)]
pub struct Handle {
    log: Arc<GatewayLog>,
    installed: bool,
}

impl Handle {
    /// Does the log receive this process's events? `false` if another subscriber was set before.
    pub fn is_installed(&self) -> bool {
        self.installed
    }

    /// Lines that did not reach the file since the start.
    pub fn dropped_lines(&self) -> u64 {
        self.log.dropped()
    }

    /// Lines that did not reach the window since the start.
    pub fn mirror_dropped_lines(&self) -> u64 {
        self.log.mirror().map_or(0, WindowMirror::dropped)
    }

    /// Waits until the window has shown what was logged so far, at most for `limit`. For the end of the process.
    pub fn drain(&self, limit: Duration) -> bool {
        self.log.mirror().is_none_or(|mirror| mirror.drain(limit))
    }
}

/// Builds the layer for the human log and the handle to it, without touching the global subscriber.
///
/// Opens nothing yet: a log that cannot be opened counts its lines as dropped and is tried again on the next one.
pub fn layer(log_path: &Path, mirror: Option<WindowMirror>, verbose: bool) -> (GatewayLayer, Handle) {
    let log = Arc::new(GatewayLog::new(RotatingFile::new(log_path, Limits::default()), mirror));
    let layer = GatewayLayer::new(Arc::clone(&log), verbose);
    (layer, Handle { log, installed: false })
}

/// Makes the human log the destination of this process's events; see [`Handle::is_installed`].
pub fn init(log_path: &Path, mirror: Option<WindowMirror>, verbose: bool) -> Handle {
    let (layer, handle) = layer(log_path, mirror, verbose);
    let subscriber = tracing_subscriber::registry().with(layer);
    // Fails only if one is set already. The first one stays in charge, and the handle says so.
    let installed = tracing::subscriber::set_global_default(subscriber).is_ok();
    Handle { installed, ..handle }
}
