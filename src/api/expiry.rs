//! How long work may wait: the text of the header `Agents-Expires-In`. Pure.

use std::time::Duration;

/// The shortest and the longest, in seconds: one second and thirty days.
const RANGE: std::ops::RangeInclusive<u64> = 1..=30 * 24 * 60 * 60;

/// A text that is no such span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "give a whole number of seconds, or one with the unit s, m, h or d, from 1 second to 30 days (`90`, `5m`, `2h`)"
)]
pub struct BadExpiry;

/// Reads `30`, `30s`, `5m`, `2h` or `1d`.
///
/// # Errors
/// [`BadExpiry`] names the range.
pub fn parse_expires_in(text: &str) -> Result<Duration, BadExpiry> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b's') => (text.strip_suffix('s'), 1),
        Some(b'm') => (text.strip_suffix('m'), 60),
        Some(b'h') => (text.strip_suffix('h'), 60 * 60),
        Some(b'd') => (text.strip_suffix('d'), 24 * 60 * 60),
        _ => (Some(text), 1),
    };
    // `parse` would take a leading plus.
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())).ok_or(BadExpiry)?;
    let seconds = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit)).ok_or(BadExpiry)?;
    if RANGE.contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err(BadExpiry) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_a_range() {
        for (text, seconds) in [
            ("1", 1),
            ("30", 30),
            ("030s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("1d", 86_400),
            ("30d", 2_592_000),
            ("2592000", 2_592_000),
        ] {
            assert_eq!(parse_expires_in(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "0", "0s", "s", "-1", "+1", "1.5", "1e3", "5 m", " 5", "5M", "1w", "31d", "2592001", "100y", "٣", "5é"]
        {
            assert_eq!(parse_expires_in(text), Err(BadExpiry), "{text}");
        }
        assert!(
            parse_expires_in("18446744073709551616").is_err() && parse_expires_in("18446744073709551615d").is_err()
        );
    }
}
