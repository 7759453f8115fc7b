//! What arrived, as JSON lines. Each line is one write, so that a test can read while the model runs.
//!
//! A request is one line when it arrives:
//! `{"n","at_ms","call","api","model","text","bytes","hash","after_tool","turn","act"}`, and one with the same `n` when
//! it ends: `{"n","finished_at_ms","outcome","said"}`. `turn` tells a request of the conversation from what a tool asks
//! beside it, such as a title. `outcome` is `whole`, `error`, or `left` when the client went first; `said` is the text
//! that was sent. A call that no tool needs is `{"n","at_ms","call","other":true}`.

use std::{
    cell::Cell,
    fs::File,
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    bodies: Option<File>,
    count: Cell<u64>,
}

impl Log {
    pub fn open(path: Option<&Path>, bodies: Option<&Path>) -> std::io::Result<Self> {
        let open = |path| File::options().create(true).append(true).open(path);
        Ok(Self { file: path.map(open).transpose()?, bodies: bodies.map(open).transpose()?, count: Cell::new(0) })
    }

    /// The number of the next request, counted from 1.
    pub fn number(&self, call: &str, body: &Value) -> u64 {
        let n = self.count.get() + 1;
        self.count.set(n);
        write(self.bodies.as_ref(), &json!({"n": n, "call": call, "body": body}));
        n
    }

    pub fn line(&self, line: &Value) {
        write(self.file.as_ref(), line);
    }
}

fn write(file: Option<&File>, line: &Value) {
    if let Some(mut file) = file {
        file.write_all(format!("{line}\n").as_bytes()).ok();
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// FNV-1a with 64 bits, as in the log of the scripted agent.
pub fn hash(bytes: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}
