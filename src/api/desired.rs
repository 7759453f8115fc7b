//! `desired-config.json`: listener and tuning wishes for the next start (contract section 1.4).

use serde::{Deserialize, Serialize};

use super::{BrokenRule, Document, ExecutionMode, Host, expect_version};

/// What the next gateway of this session should look like. Operators may edit this file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredConfig {
    /// Always 1.
    #[serde(default = "one")]
    pub schema_version: u32,
    /// After a successful start: the real host.
    #[serde(default)]
    pub desired_host: Option<Host>,
    /// After a successful start: the real port, so that the next one is the same.
    #[serde(default)]
    pub desired_port: Option<u16>,
    /// The last mode that worked.
    #[serde(default)]
    pub desired_execution_mode: ExecutionMode,
    /// The six tracker timings, in seconds.
    #[serde(default)]
    pub desired_tui_tracking_timings: Option<TrackingTimings>,
    /// Opt-in JSON lines log of every HTTP request.
    #[serde(default)]
    pub desired_diagnostic_logging: Option<DiagnosticLogging>,
}

impl DesiredConfig {
    /// Every key of the file, for "did you mean".
    pub const KEYS: [&'static str; 6] = [
        "schema_version",
        "desired_host",
        "desired_port",
        "desired_execution_mode",
        "desired_tui_tracking_timings",
        "desired_diagnostic_logging",
    ];
}

impl Default for DesiredConfig {
    fn default() -> Self {
        Self {
            schema_version: 1,
            desired_host: None,
            desired_port: None,
            desired_execution_mode: ExecutionMode::default(),
            desired_tui_tracking_timings: None,
            desired_diagnostic_logging: None,
        }
    }
}

fn one() -> u32 {
    1
}

impl Document for DesiredConfig {
    const NAME: &'static str = "desired-config.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        if self.desired_port == Some(0) {
            return Err(BrokenRule::other("`desired_port` must be 1 to 65535"));
        }
        if let Some(timings) = &self.desired_tui_tracking_timings {
            timings.check()?;
        }
        self.desired_diagnostic_logging.as_ref().map_or(Ok(()), DiagnosticLogging::check)
    }
}

/// The six timings of the tracker, each in seconds, finite and above zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "named by the contract; the tracker explains each")]
pub struct TrackingTimings {
    pub watch_poll_interval_seconds: f64,
    pub stability_threshold_seconds: f64,
    pub completion_stability_seconds: f64,
    pub unknown_to_stalled_timeout_seconds: f64,
    pub stale_active_recovery_seconds: f64,
    pub final_stable_active_recovery_seconds: f64,
}

impl Default for TrackingTimings {
    fn default() -> Self {
        Self {
            watch_poll_interval_seconds: 0.5,
            stability_threshold_seconds: 1.0,
            completion_stability_seconds: 1.0,
            unknown_to_stalled_timeout_seconds: 30.0,
            stale_active_recovery_seconds: 5.0,
            final_stable_active_recovery_seconds: 20.0,
        }
    }
}

impl TrackingTimings {
    fn check(&self) -> Result<(), BrokenRule> {
        let all = [
            self.watch_poll_interval_seconds,
            self.stability_threshold_seconds,
            self.completion_stability_seconds,
            self.unknown_to_stalled_timeout_seconds,
            self.stale_active_recovery_seconds,
            self.final_stable_active_recovery_seconds,
        ];
        if all.iter().all(|seconds| seconds.is_finite() && *seconds > 0.0) {
            Ok(())
        } else {
            Err(BrokenRule::other("every tracking timing must be above zero"))
        }
    }
}

/// Some of the six timings, as an operator asked for them; the others stay as they were.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "named by the contract; the tracker explains each")]
pub struct TimingWishes {
    pub watch_poll_interval_seconds: Option<f64>,
    pub stability_threshold_seconds: Option<f64>,
    pub completion_stability_seconds: Option<f64>,
    pub unknown_to_stalled_timeout_seconds: Option<f64>,
    pub stale_active_recovery_seconds: Option<f64>,
    pub final_stable_active_recovery_seconds: Option<f64>,
}

impl TimingWishes {
    /// Each wish with the middle of its flag's name.
    fn each(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("watch-poll-interval", self.watch_poll_interval_seconds),
            ("stability-threshold", self.stability_threshold_seconds),
            ("completion-stability", self.completion_stability_seconds),
            ("unknown-to-stalled-timeout", self.unknown_to_stalled_timeout_seconds),
            ("stale-active-recovery", self.stale_active_recovery_seconds),
            ("final-stable-active-recovery", self.final_stable_active_recovery_seconds),
        ]
    }

    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The flags that say the same to `agents gateway run`.
    pub fn words(&self) -> Vec<String> {
        let given = self.each().into_iter().filter_map(|(name, seconds)| Some((name, seconds?)));
        given.flat_map(|(name, seconds)| [format!("--gateway-tui-{name}-seconds"), seconds.to_string()]).collect()
    }

    /// These wishes over what was wished before; `None` if neither says anything.
    pub fn over(&self, before: Option<&TrackingTimings>) -> Option<TrackingTimings> {
        if self.is_empty() {
            return before.cloned();
        }
        let old = before.cloned().unwrap_or_default();
        Some(TrackingTimings {
            watch_poll_interval_seconds: self.watch_poll_interval_seconds.unwrap_or(old.watch_poll_interval_seconds),
            stability_threshold_seconds: self.stability_threshold_seconds.unwrap_or(old.stability_threshold_seconds),
            completion_stability_seconds: self.completion_stability_seconds.unwrap_or(old.completion_stability_seconds),
            unknown_to_stalled_timeout_seconds: self
                .unknown_to_stalled_timeout_seconds
                .unwrap_or(old.unknown_to_stalled_timeout_seconds),
            stale_active_recovery_seconds: self
                .stale_active_recovery_seconds
                .unwrap_or(old.stale_active_recovery_seconds),
            final_stable_active_recovery_seconds: self
                .final_stable_active_recovery_seconds
                .unwrap_or(old.final_stable_active_recovery_seconds),
        })
    }
}

/// Size and switch of the diagnostics log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiagnosticLogging {
    /// Off unless asked for.
    pub enabled: bool,
    /// Bytes in one file before it is rotated, 1 to 1,073,741,824.
    pub max_bytes: u64,
    /// Rotated files kept, 0 to 100.
    pub backup_count: u32,
}

impl Default for DiagnosticLogging {
    fn default() -> Self {
        Self { enabled: false, max_bytes: 1_048_576, backup_count: 5 }
    }
}

impl DiagnosticLogging {
    fn check(&self) -> Result<(), BrokenRule> {
        if !(1..=1_073_741_824).contains(&self.max_bytes) {
            return Err(BrokenRule::other("`max_bytes` must be 1 to 1073741824"));
        }
        if self.backup_count > 100 {
            return Err(BrokenRule::other("`backup_count` must be 0 to 100"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_change_what_they_name_and_become_the_same_flags() {
        let none = TimingWishes::default();
        assert_eq!((none.over(None), none.words()), (None, vec![]));
        let one = TimingWishes { stability_threshold_seconds: Some(0.25), ..none };
        let before = TrackingTimings { completion_stability_seconds: 3.0, ..TrackingTimings::default() };
        let now = one.over(Some(&before)).unwrap();
        assert_eq!((now.stability_threshold_seconds, now.completion_stability_seconds), (0.25, 3.0));
        assert_eq!(one.words(), ["--gateway-tui-stability-threshold-seconds", "0.25"]);
    }
}
