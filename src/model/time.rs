//! Wall-clock moments in the two spellings the contract uses. Time is always an argument; `os::clock` reads it.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

/// How long a registry record counts as fresh without a heartbeat.
///
/// A lapsed lease does not end a session: whoever can prove the pane renews it.
pub const LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// A moment of the wall clock. Only for people and files; never for measuring how long something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// Wraps a timestamp.
    pub fn new(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }

    /// `2026-11-21T11:52:33+00:00`: files, logs and bodies (contract section 0).
    pub fn iso_seconds(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
    }

    /// `2026-11-21T11:52:33Z`: mail (contract section 0).
    pub fn iso_seconds_z(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `2026-11-21T11:52:33.120456Z`: the version of a mail binding (contract section 0).
    pub fn iso_micros_z(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }

    /// Nanoseconds behind the second.
    pub fn nanoseconds(self) -> u32 {
        self.0.subsec_nanosecond().unsigned_abs()
    }

    /// `2026-11-21T11:52:33.120Z`: our own journal, where seconds are too coarse.
    pub fn iso_millis(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// `2026-11-21T11:52:33.120450+00:00`: reminders (contract section 0).
    pub fn iso_micros(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
    }

    /// Microseconds since 1970.
    pub fn epoch_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The moment so many microseconds after 1970; the nearer end of time if there is none.
    pub fn from_epoch_micros(micros: i64) -> Self {
        let end = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Self(Timestamp::from_microsecond(micros).unwrap_or(end))
    }

    /// `20261121-115233Z`: the middle of session ids and request ids.
    pub fn compact(self) -> String {
        self.0.strftime("%Y%m%d-%H%M%SZ").to_string()
    }

    /// Milliseconds since 1970, as in the default name of a launched session.
    pub fn epoch_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// This moment and a span after it; the far end of time if the sum does not fit.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        Self(self.0.checked_add(span).unwrap_or(Timestamp::MAX))
    }

    /// This moment and a span before it; the near end of time if there is none.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        Self(self.0.checked_sub(span).unwrap_or(Timestamp::MIN))
    }

    /// Reads any ISO timestamp that carries its offset. Naive ones are refused, as the contract demands, and so are
    /// offsets of a day and more.
    pub fn parse(text: &str) -> Option<Self> {
        let time = &text[text.find(['T', 't', ' '])?..];
        let offset = time.find(['+', '-']).and_then(|sign| time.get(sign + 1..sign + 3));
        if offset.and_then(|hours| hours.parse().ok()).is_some_and(|hours: u32| hours > 23) {
            return None;
        }
        text.parse().ok().map(Self)
    }

    /// Would it be a moment, but for its lying behind the last one that can be kept ([`Moment::LAST`])?
    pub fn is_too_late(text: &str) -> bool {
        let rest = ["9999-12-30", "9999-12-31"].iter().find_map(|day| text.strip_prefix(day));
        Self::parse(text).is_none() && rest.is_some_and(|rest| Self::parse(&format!("9999-12-29{rest}")).is_some())
    }

    /// The last moment that can be kept, in seconds: two hours before the last day of the year 9999 in UTC.
    pub const LAST: &str = "9999-12-30T22:00:00Z";

    /// As [`Moment::parse`], and a leap second (`23:59:60Z`, in any offset) is the first moment of the next day: no
    /// clock of ours ever shows it. `:60` anywhere else is refused.
    pub fn parse_civil(text: &str) -> Option<Self> {
        let time = text.find(['T', 't', ' '])?;
        // `HH:MM:60`, behind the `T`; everything else is left to the reader.
        let second = time + 7;
        if text.get(second..second + 2) != Some("60") || text.get(second - 1..second) != Some(":") {
            return Self::parse(text);
        }
        let rest = text.get(second + 2..)?;
        let zone = rest.find(['Z', 'z', '+', '-'])?;
        let last = format!("{}59{}", text.get(..second)?, rest.get(zone..)?);
        let next = Self::parse(&last)?.0.as_second() + 1;
        (next.rem_euclid(86_400) == 0).then(|| Timestamp::from_second(next).ok().map(Self))?
    }

    /// Whole seconds from `earlier` to this moment; zero when the clock stepped back in between.
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.as_second() - earlier.0.as_second()).unwrap_or(0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_come_from_one_moment() {
        let moment = Moment::parse("2026-11-21T13:52:33+02:00").unwrap();
        assert_eq!(moment.iso_seconds(), "2026-11-21T11:52:33+00:00");
        assert_eq!(moment.iso_millis(), "2026-11-21T11:52:33.000Z");
        assert_eq!(moment.compact(), "20261121-115233Z");
        assert!(Moment::parse("2026-11-21T11:52:33").is_none(), "naive times are refused");
        assert!(Moment::parse("2026-11-21T11:52:33+23:59").is_some());
        for wrong in ["+24:00", "+25:00", "-25:00", "+2500"] {
            assert!(Moment::parse(&format!("2026-11-21T11:52:33{wrong}")).is_none(), "{wrong}");
        }
        assert!(Moment::parse(Moment::LAST).is_some() && !Moment::is_too_late(Moment::LAST));
        assert!(Moment::is_too_late("9999-12-31T23:59:59Z") && !Moment::is_too_late("9999-12-31T25:59:59Z"));
    }

    #[test]
    fn a_leap_second_is_the_first_moment_of_the_next_day() {
        let read = |text| Moment::parse_civil(text).map(Moment::iso_micros);
        let midnight = Some("2027-01-01T00:00:00.000000+00:00".to_owned());
        for text in [
            "2026-12-31T23:59:60Z",
            "2026-12-31T23:59:60.75Z",
            "2026-12-31t23:59:60z",
            "2026-12-31 23:59:60+00:00",
            "2027-01-01T00:59:60+01:00",
            "2026-12-31T18:29:60-05:30",
        ] {
            assert_eq!(read(text), midnight, "{text}");
        }
        for wrong in
            ["2026-12-31T23:59:60", "2026-12-31T12:59:60Z", "2026-12-31T23:59:61Z", "2026-12-31T23:59:60+01:00"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read("2026-12-31T23:59:59.5Z"), Some("2026-12-31T23:59:59.500000+00:00".to_owned()));
        assert_eq!(read("2026-03-29T03:00:00+02:00"), Some("2026-03-29T01:00:00.000000+00:00".to_owned()));
        let moment = Moment::parse("2026-11-21T10:00:00.123456Z").unwrap();
        assert_eq!(Moment::from_epoch_micros(moment.epoch_micros()), moment);
    }

    #[test]
    fn a_clock_that_stepped_back_gives_no_negative_age() {
        let early = Moment::parse("2026-11-21T10:00:00+00:00").unwrap();
        let late = Moment::parse("2026-11-21T11:00:00+00:00").unwrap();
        assert_eq!(early.seconds_since(late), 0);
        assert_eq!(late.seconds_since(early), 3600);
    }
}
