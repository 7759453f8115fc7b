//! The diagnostics log: JSON lines for whoever looks for a fault, written only when asked for.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::{Map, Value, json};

use super::rotate::{Limits, RotatingFile};
use crate::{api::DiagnosticLogging, model::Moment, os::files};

/// Number of the shape of a line, in every line.
const SCHEMA_VERSION: u32 = 1;

/// Keys that every line begins with; an event's fields cannot use them.
const HEAD: [&str; 4] = ["schema_version", "timestamp_utc", "level", "event"];

/// A field with one of these words in its name is not written, wherever it stands.
const PRIVATE: [&str; 9] =
    ["body", "header", "headers", "token", "tokens", "secret", "authorization", "cookie", "password"];

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiagnosticLevel {
    /// Normal operation.
    Info,
    /// Something is wrong and was coped with.
    Warning,
    /// Something failed.
    Error,
}

impl DiagnosticLevel {
    /// `info`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Warnings with one key, of which only the first was written.
#[derive(Debug)]
struct Run {
    key: String,
    level: DiagnosticLevel,
    first_event: String,
    first: Moment,
    last: Moment,
    suppressed: u64,
}

#[derive(Debug)]
struct State {
    enabled: bool,
    file: RotatingFile,
    run: Option<Run>,
}

/// `gateway-diagnostic.log` and its backups. Off unless the settings say otherwise.
#[derive(Debug)]
pub struct DiagnosticLog {
    folder: PathBuf,
    state: Mutex<State>,
}

impl DiagnosticLog {
    /// A log in the given folder (`logs/diagnostics`), which is created once the log is enabled.
    pub fn new(folder: &Path, settings: &DiagnosticLogging) -> Self {
        let file = RotatingFile::new(&folder.join("gateway-diagnostic.log"), limits(settings));
        let log = Self { folder: folder.to_owned(), state: Mutex::new(State { enabled: false, file, run: None }) };
        log.configure(settings);
        log
    }

    /// Takes new settings; they hold from the next line on. Switching the log off writes the pending summary.
    pub fn configure(&self, settings: &DiagnosticLogging) {
        if settings.enabled {
            // If the folder cannot be made the lines cannot be written, and that is counted.
            drop(files::create_private_dir(&self.folder));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.file.set_limits(limits(settings));
        if !settings.enabled {
            state.end_run(None);
        }
        state.enabled = settings.enabled;
    }

    /// Would an event be written?
    pub fn is_enabled(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).enabled
    }

    /// Lines that could not be written since the start.
    pub fn dropped(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).file.dropped()
    }

    /// Writes one event, unless the log is off.
    ///
    /// A warning or an error has a `dedup_key`: the field of that name, or else the event's name. While
    /// one key follows itself only the first is written; a summary follows when another key comes. Events
    /// of level info have no key and so do not end a run: a poll between two equal warnings hides nothing.
    pub fn record(&self, now: Moment, level: DiagnosticLevel, event: &str, fields: Map<String, Value>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.enabled {
            return;
        }
        let mut fields = public(fields);
        if level != DiagnosticLevel::Info {
            let key = fields.get("dedup_key").and_then(Value::as_str).unwrap_or(event).to_owned();
            if state.continues_run(now, &key) {
                return;
            }
            state.end_run(Some(now));
            fields.insert("dedup_key".to_owned(), Value::from(key.as_str()));
            let first_event = event.to_owned();
            state.run = Some(Run { key, level, first_event, first: now, last: now, suppressed: 0 });
        }
        state.write(now, level, event, &fields);
    }
}

impl State {
    fn continues_run(&mut self, now: Moment, key: &str) -> bool {
        let Some(run) = self.run.as_mut().filter(|run| run.key == key) else { return false };
        run.suppressed += 1;
        run.last = now;
        true
    }

    /// Writes what was suppressed, stamped with `now` or else with the moment of the last suppressed event.
    fn end_run(&mut self, now: Option<Moment>) {
        let Some(run) = self.run.take().filter(|run| run.suppressed > 0) else { return };
        let mut fields = Map::new();
        fields.insert("dedup_key".to_owned(), json!(run.key));
        fields.insert("first_event".to_owned(), json!(run.first_event));
        fields.insert("first_timestamp_utc".to_owned(), json!(run.first.iso_seconds()));
        fields.insert("last_timestamp_utc".to_owned(), json!(run.last.iso_seconds()));
        fields.insert("suppressed_count".to_owned(), json!(run.suppressed));
        self.write(now.unwrap_or(run.last), run.level, "diagnostic.dedup_summary", &fields);
    }

    fn write(&mut self, now: Moment, level: DiagnosticLevel, event: &str, fields: &Map<String, Value>) {
        self.file.append(&line(now, level, event, fields), |count| {
            let name = "diagnostic.lines_dropped";
            let mut fields = Map::new();
            fields.insert("dedup_key".to_owned(), json!(name));
            fields.insert("dropped_count".to_owned(), json!(count));
            line(now, DiagnosticLevel::Warning, name, &fields)
        });
    }
}

impl Drop for DiagnosticLog {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).end_run(None);
    }
}

fn limits(settings: &DiagnosticLogging) -> Limits {
    Limits { max_bytes: settings.max_bytes, backups: settings.backup_count }
}

/// The fields without those that are private or would repeat a key of the head.
fn public(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.retain(|key, _| !HEAD.contains(&key.as_str()));
    remove_private(&mut fields);
    fields
}

fn remove_private(fields: &mut Map<String, Value>) {
    fields.retain(|key, _| !is_private(key));
    fields.values_mut().for_each(remove_private_within);
}

fn remove_private_within(value: &mut Value) {
    match value {
        Value::Object(fields) => remove_private(fields),
        Value::Array(items) => items.iter_mut().for_each(remove_private_within),
        _ => {}
    }
}

fn is_private(key: &str) -> bool {
    key.split(['_', '-', '.']).any(|word| PRIVATE.iter().any(|private| word.eq_ignore_ascii_case(private)))
}

/// One line without its newline. Written by hand because the head comes first, in its own order.
fn line(now: Moment, level: DiagnosticLevel, event: &str, fields: &Map<String, Value>) -> String {
    let mut line = String::from("{");
    push(&mut line, HEAD[0], &SCHEMA_VERSION);
    push(&mut line, HEAD[1], &Value::from(now.iso_seconds()));
    push(&mut line, HEAD[2], &Value::from(level.as_str()));
    push(&mut line, HEAD[3], &Value::from(event));
    for (key, value) in fields {
        push(&mut line, key, value);
    }
    line.push('}');
    line
}

fn push(line: &mut String, key: &str, value: &impl Display) {
    if line.len() > 1 {
        line.push(',');
    }
    for character in format!("{}:{value}", Value::from(key)).chars() {
        // JSON escapes the C0 controls. A terminal also obeys the C1 controls; they stand only inside strings.
        if character.is_control() {
            let code = format!("\\u{:04x}", u32::from(character));
            line.push_str(&code);
        } else {
            line.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use super::*;
    use DiagnosticLevel::{Error, Info, Warning};

    const ON: DiagnosticLogging = DiagnosticLogging { enabled: true, max_bytes: 1_048_576, backup_count: 5 };

    fn start() -> Moment {
        Moment::parse("2026-11-21T11:58:26+00:00").unwrap()
    }

    fn at(seconds: u64) -> Moment {
        start().after(Duration::from_secs(seconds))
    }

    fn fields(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    /// What is written while `speak` runs and the log is closed.
    fn written(settings: &DiagnosticLogging, speak: impl FnOnce(&DiagnosticLog)) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let log = DiagnosticLog::new(&folder.path().join("diagnostics"), settings);
        speak(&log);
        drop(log);
        let text = std::fs::read_to_string(folder.path().join("diagnostics/gateway-diagnostic.log"));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn events(lines: &[String]) -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
    }

    #[test]
    fn the_head_comes_first_and_private_fields_are_left_out() {
        let given = json!({
            "method": "GET", "status_code": 200, "event": "forged", "request_body": "b", "Authorization": "t",
            "attach_token": "t", "peer": {"headers": {"a": 1}, "pid": 7}, "said": "\u{1b}\n\u{9b}\u{7f}é",
        });
        let lines = written(&ON, |log| log.record(start(), Info, "gateway.http_request_completed", fields(given)));
        assert_eq!(
            lines,
            [concat!(
                r#"{"schema_version":1,"timestamp_utc":"2026-11-21T11:58:26+00:00","level":"info","#,
                r#""event":"gateway.http_request_completed","method":"GET","peer":{"pid":7},"#,
                r#""said":"\u001b\n\u009b\u007fé","status_code":200}"#
            )]
        );
    }

    #[test]
    fn a_log_that_is_off_writes_nothing_and_makes_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let log = DiagnosticLog::new(&folder.path().join("diagnostics"), &DiagnosticLogging::default());
        log.record(start(), Error, "gateway.failed", Map::new());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        log.configure(&ON);
        log.record(start(), Error, "gateway.failed", Map::new());
        assert!(folder.path().join("diagnostics/gateway-diagnostic.log").is_file());
    }

    #[test]
    fn equal_keys_are_summarised_before_the_next_key() {
        let lines = written(&ON, |log| {
            log.record(at(0), Warning, "tmux.slow", Map::new());
            log.record(at(1), Info, "gateway.poll", Map::new());
            log.record(at(2), Warning, "tmux.slow", Map::new());
            log.record(at(3), Warning, "tmux.late", fields(json!({"dedup_key": "tmux.slow"})));
            log.record(at(4), Error, "tmux.gone", Map::new());
            log.record(at(5), Warning, "tmux.slow", Map::new());
        });
        let expected = ["tmux.slow", "gateway.poll", "diagnostic.dedup_summary", "tmux.gone", "tmux.slow"];
        assert_eq!(events(&lines), expected);
        assert_eq!(
            serde_json::from_str::<Value>(&lines[2]).unwrap(),
            json!({
                "schema_version": 1, "timestamp_utc": "2026-11-21T11:58:30+00:00", "level": "warning",
                "event": "diagnostic.dedup_summary", "dedup_key": "tmux.slow", "first_event": "tmux.slow",
                "first_timestamp_utc": "2026-11-21T11:58:26+00:00",
                "last_timestamp_utc": "2026-11-21T11:58:29+00:00", "suppressed_count": 2,
            })
        );
        assert!(lines[3].contains(r#""dedup_key":"tmux.gone""#));
    }

    #[test]
    fn a_pending_summary_is_written_when_the_log_ends() {
        let repeat = |log: &DiagnosticLog| (0..3).for_each(|second| log.record(at(second), Warning, "a", Map::new()));
        assert_eq!(events(&written(&ON, repeat)), ["a", "diagnostic.dedup_summary"]);
        let switched_off = written(&ON, |log| {
            repeat(log);
            log.configure(&DiagnosticLogging::default());
            log.record(at(9), Error, "b", Map::new());
        });
        assert_eq!(events(&switched_off), ["a", "diagnostic.dedup_summary"]);
    }

    #[test]
    fn the_settings_bound_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let settings = DiagnosticLogging { enabled: true, max_bytes: 500, backup_count: 2 };
        let log = DiagnosticLog::new(folder.path(), &settings);
        for number in 0..100 {
            log.record(at(number), Info, "gateway.tick", fields(json!({ "number": number })));
        }
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 3);
        for file in files {
            let meta = file.metadata().unwrap();
            assert!(meta.len() <= 500);
            assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        }
    }
}
