//! What the agent got, as JSON lines. Each line is one write, so that a test can read while the agent runs.
//!
//! A prompt is `{"n","at_ms","bytes","hash","text","mid_turn"}`; something unexpected is `{"event",…}`; what is only
//! useful to know is `{"note",…}`.

use std::{fs::File, io::Write, path::Path, time::SystemTime};

use serde_json::{Value, json};

/// The log file, if one was asked for.
#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    prompts: u64,
}

impl Log {
    pub fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let open = |path| File::options().create(true).append(true).open(path);
        Ok(Self { file: path.map(open).transpose()?, prompts: 0 })
    }

    /// One submitted prompt; returns its number, counted from 1. `mid_turn`: while another one was worked on.
    pub fn prompt(&mut self, text: &[u8], mid_turn: bool) -> std::io::Result<u64> {
        self.prompts += 1;
        let n = self.prompts;
        let shown = String::from_utf8_lossy(text);
        let hash = hash(text);
        self.line(&json!({"n": n, "bytes": text.len(), "hash": hash, "text": shown, "mid_turn": mid_turn}))?;
        Ok(n)
    }

    /// Something that no well-behaved sender causes.
    pub fn event(&mut self, name: &str, more: &Value) -> std::io::Result<()> {
        self.line(&merged(&json!({"event": name}), more))
    }

    /// Something that is only good to know.
    pub fn note(&mut self, name: &str, more: &Value) -> std::io::Result<()> {
        self.line(&merged(&json!({"note": name}), more))
    }

    /// Bytes as one line of hexadecimal digits.
    pub fn hex(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write(&format!("{}\n", hex(bytes)))
    }

    fn line(&mut self, line: &Value) -> std::io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.write(&format!("{}\n", merged(line, &json!({"at_ms": at}))))
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(line.as_bytes()))
    }
}

fn merged(line: &Value, more: &Value) -> Value {
    let pairs = [line, more].into_iter().filter_map(Value::as_object).flatten();
    Value::Object(pairs.map(|(key, value)| (key.clone(), value.clone())).collect())
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// FNV-1a with 64 bits: tells texts apart, and a test can compute it in three lines.
pub fn hash(bytes: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}
