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
