//! The only place that reads the wall clock.

use jiff::Timestamp;

use crate::model::Moment;

/// The wall clock, now. For files and people; durations are measured with `tokio::time` or `Instant`.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Moment {
    Moment::new(Timestamp::now())
}
