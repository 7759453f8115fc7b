//! Spans of time as people type them. *Pure.*

use std::time::Duration;

/// The units, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `30`, `30s`, `500ms`, `5m`, `2h`, `1d`; above zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a whole number and a unit: 30s, 500ms, 5m, 2h, 1d; 30 means 30s".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    match number.checked_mul(*millis) {
        Some(0) => Err("a duration is longer than nothing".to_owned()),
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err("that is longer than any wait".to_owned()),
    }
}

/// Seconds above zero, with a fraction or without, up to a day.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_not_a_number| "seconds are a number: 0.5, 1, 20".to_owned())?;
    if seconds.is_finite() && seconds > 0.0 && seconds <= 86_400.0 {
        Ok(seconds)
    } else {
        Err("seconds are above 0 and at most 86400".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_above_zero() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["", "0", "-1", "inf", "NaN", "1s", "86401"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_numbers_with_a_unit() {
        for (text, millis) in
            [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "s",
            "-1",
            "1.5s",
            "1 s",
            "5M",
            "5min",
            "0",
            "0ms",
            "1h30m",
            "٣",
            "99999999999999999999",
            "99999999999999999d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
