//! One finished run of a program, and what to expect of it.

use serde_json::Value;

/// Exit status and output.
#[derive(Debug)]
pub struct Run {
    pub words: String,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// It succeeded; returns what it printed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{}: {self:#?}", self.words);
        self.stdout
    }

    /// It succeeded and printed one JSON document.
    #[track_caller]
    pub fn json(self) -> Value {
        assert_eq!(self.status, 0, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// It failed with this status, with one `error:` and one `hint:` line that hold these texts.
    #[track_caller]
    pub fn fails(self, status: i32, error: &str, hint: &str) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.stdout, "", "stdout is data only: {self:#?}");
        let line = |beginning: &str| {
            let lines: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with(beginning)).collect();
            assert_eq!(lines.len(), 1, "one `{beginning}` line: {self:#?}");
            lines[0].to_owned()
        };
        assert!(line("error: ").contains(error), "expected `{error}` in {self:#?}");
        assert!(line("hint: ").contains(hint), "expected `{hint}` in {self:#?}");
        self
    }
}
