//! The human log: takes events from `tracing`, writes lines to the file and to the window.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, layer::Context};

use super::{
    flood::{FloodGuard, Verdict},
    format::Content,
    mirror::WindowMirror,
    rotate::RotatingFile,
};
use crate::{model::Moment, os::clock};

/// Events of these targets are logged: our own crate, not the libraries under it.
const TARGET: &str = "agents";

/// Where the lines go.
#[derive(Debug)]
pub(super) struct GatewayLog {
    state: Mutex<State>,
    mirror: Option<WindowMirror>,
}

#[derive(Debug)]
struct State {
    file: RotatingFile,
    flood: FloodGuard,
}

impl GatewayLog {
    pub(super) fn new(file: RotatingFile, mirror: Option<WindowMirror>) -> Self {
        Self { state: Mutex::new(State { file, flood: FloodGuard::default() }), mirror }
    }

    pub(super) fn mirror(&self) -> Option<&WindowMirror> {
        self.mirror.as_ref()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).file.dropped()
    }

    fn write(&self, now: Moment, event: &Event<'_>) {
        // Formatted before the lock is taken: a value's own code may log.
        let mut content = Content::default();
        event.record(&mut content);
        let level = *event.metadata().level();

        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut suppressed = 0;
        if level == Level::WARN {
            match state.flood.judge(now, (event.metadata().callsite(), content.message())) {
                Verdict::Suppress => return,
                Verdict::Write { suppressed: count } => suppressed = count,
            }
        }
        let line = content.line(now, level, suppressed);
        state.file.append(&line, |count| format!("{now} log lines dropped count={count}"));
        // Still under the lock, so that both places show one order; the mirror never waits.
        if let Some(mirror) = &self.mirror {
            mirror.show(line);
        }
    }
}

/// The layer that feeds the human log.
#[derive(Debug)]
pub struct GatewayLayer {
    log: Arc<GatewayLog>,
    finest: Level,
}

impl GatewayLayer {
    pub(super) fn new(log: Arc<GatewayLog>, verbose: bool) -> Self {
        Self { log, finest: if verbose { Level::DEBUG } else { Level::INFO } }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.finest && metadata.target().starts_with(TARGET)
    }
}

impl<S: Subscriber> Layer<S> for GatewayLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.finest))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.log.write(clock::now(), event);
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path, time::Duration};

    use tracing::{debug, error, info, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::{Handle, layer};
    use super::*;

    fn with_log(path: &Path, mirror: Option<WindowMirror>, verbose: bool, speak: impl FnOnce()) -> Handle {
        let (layer, handle) = layer(path, mirror, verbose);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        handle
    }

    /// What is in the log after `speak`, without the timestamps.
    fn spoken(verbose: bool, speak: impl FnOnce()) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.log");
        let handle = with_log(&path, None, verbose, speak);
        assert_eq!(handle.dropped_lines(), 0);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let split = |line: &str| {
            let (stamp, rest) = line.split_once(' ').unwrap();
            assert_eq!(Moment::parse(stamp).unwrap().iso_seconds(), stamp);
            rest.to_owned()
        };
        text.lines().map(split).collect()
    }

    #[test]
    fn a_line_has_the_message_then_the_fields_in_order() {
        let lines = spoken(false, || {
            info!(host = "127.0.0.1", port = 46153, attach_identity = %'x', "gateway started");
            info!(path = "a b", said = "\"hi\"", none = "", ok = true, share = 0.5, "values");
            warn!("disk is {}", "slow");
            error!(code = 7, "gone");
            info!(only = 1);
        });
        assert_eq!(
            lines,
            [
                "gateway started host=127.0.0.1 port=46153 attach_identity=x",
                r#"values path="a b" said="\"hi\"" none="" ok=true share=0.5"#,
                "warning: disk is slow",
                "error: gone code=7",
                "only=1",
            ]
        );
    }

    #[test]
    fn the_formatting_core_takes_the_moment_as_an_argument() {
        let now = Moment::parse("2026-11-21T11:58:26+00:00").unwrap();
        assert_eq!(Content::default().line(now, Level::WARN, 3), "2026-11-21T11:58:26+00:00 warning: suppressed=3");
    }

    #[test]
    fn nothing_in_an_event_can_command_the_terminal_or_forge_a_line() {
        let evil = "x\u{1b}]0;t\u{7}\r\n2026-11-21T11:58:26+00:00 forged";
        let lines = spoken(false, || info!(evil, "{evil}"));
        let shown = "x\\u{1b}]0;t\\u{7}\\u{d}\\u{a}2026-11-21T11:58:26+00:00 forged";
        assert_eq!(lines, [format!("{shown} evil=\"{shown}\"")]);
    }

    #[test]
    fn secrets_foreign_targets_and_debug_are_left_out() {
        let speak = || {
            info!(secret_token = "t0p", secret = "t0p", name = "a", "kept");
            info!(target: "hyper::proto", "noise");
            debug!("detail");
        };
        assert_eq!(spoken(false, speak), ["kept name=a"]);
        assert_eq!(spoken(true, speak), ["kept name=a", "detail"]);
    }

    #[test]
    fn repeated_warnings_are_suppressed_and_other_levels_are_not() {
        let lines = spoken(false, || {
            for number in 0..3 {
                warn!(number, "again");
                info!(number, "again");
            }
        });
        assert_eq!(lines, ["warning: again number=0", "again number=0", "again number=1", "again number=2"]);
    }

    #[test]
    fn a_full_disk_is_counted_and_harms_nobody() {
        let handle = with_log(Path::new("/dev/full"), None, false, || {
            info!("one");
            info!("two");
        });
        assert_eq!(handle.dropped_lines(), 2);
    }

    #[test]
    fn a_log_that_works_again_says_how_many_lines_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let path = logs.join("gateway.log");
        with_log(&path, None, false, || {
            info!("lost");
            crate::os::files::create_private_dir(&logs).unwrap();
            info!("found");
        });
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["log lines dropped count=1", "found"]);
    }

    #[test]
    fn the_window_shows_the_same_lines_as_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.log");
        let (reader, writer) = io::pipe().unwrap();
        let handle = with_log(&path, Some(WindowMirror::start(Box::new(writer)).unwrap()), false, || {
            info!("one");
            warn!("two");
        });
        assert!(handle.drain(Duration::from_secs(10)));
        assert_eq!(handle.mirror_dropped_lines(), 0);
        drop(handle);
        assert_eq!(io::read_to_string(reader).unwrap(), std::fs::read_to_string(path).unwrap());
    }
}
