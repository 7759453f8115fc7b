//! The only place that reads the wall clock, and the clock that counts since boot.

use jiff::Timestamp;

use crate::model::Moment;

/// The wall clock, now. For files and people; durations are measured with `tokio::time` or `Instant`.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Moment {
    Moment::new(Timestamp::now())
}

/// Microseconds since the machine was started, time asleep included. Nobody can set this clock.
pub fn since_boot() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000)
}
