//! Versions of the tools, and the ranges that profiles are made for. Pure.

use std::fmt;

/// A version: its numbers, as in `2.1.330`. What follows a `-` or a `+` says nothing here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u64>);

impl Version {
    /// Reads `2.1.330`, `v0.61.0`, `codex-cli 0.169.0`; `None` if no number stands in it.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|word| {
            let word = word.strip_prefix('v').unwrap_or(word);
            word.starts_with(|c: char| c.is_ascii_digit())
        })?;
        let word = word.strip_prefix('v').unwrap_or(word);
        let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
        let mut numbers: Vec<u64> =
            word[..end].split('.').filter(|one| !one.is_empty()).map_while(|one| one.parse().ok()).collect();
        while numbers.len() > 1 && numbers.last() == Some(&0) {
            numbers.pop();
        }
        (!numbers.is_empty()).then_some(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.0.iter().enumerate() {
            write!(out, "{}{number}", if place == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// A range such as `>=2.1, <2.2`: every part has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    parts: Vec<(Bound, Version)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtLeast,
    Above,
    AtMost,
    Below,
    Is,
}

impl Range {
    /// Reads a range; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let part = |one: &str| {
            let one = one.trim();
            let bounds = [
                (">=", Bound::AtLeast),
                ("<=", Bound::AtMost),
                (">", Bound::Above),
                ("<", Bound::Below),
                ("=", Bound::Is),
            ];
            let (sign, bound) = bounds
                .into_iter()
                .find(|(sign, _)| one.starts_with(sign))
                .ok_or_else(|| format!("`{one}` begins with none of >=, >, <=, < and ="))?;
            let version = Version::parse(one[sign.len()..].trim());
            Ok((bound, version.ok_or_else(|| format!("`{one}` names no version"))?))
        };
        let parts = text.split(',').map(part).collect::<Result<Vec<_>, String>>()?;
        Ok(Self { parts })
    }

    /// `true` if the version lies in it.
    pub(super) fn holds(&self, version: &Version) -> bool {
        self.parts.iter().all(|(bound, limit)| match bound {
            Bound::AtLeast => version >= limit,
            Bound::Above => version > limit,
            Bound::AtMost => version <= limit,
            Bound::Below => version < limit,
            Bound::Is => version == limit,
        })
    }

    /// Where it begins: for finding the nearest one.
    pub(super) fn begins(&self) -> Option<&Version> {
        let lower = |bound: &Bound| matches!(bound, Bound::AtLeast | Bound::Above | Bound::Is);
        self.parts.iter().filter(|(bound, _)| lower(bound)).map(|(_, version)| version).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_read_from_what_tools_print() {
        assert_eq!(version("2.1.330 (Claude Code)").to_string(), "2.1.330");
        assert_eq!(version("codex-cli 0.169.0").to_string(), "0.169");
        assert_eq!(version("v0.61.0-nightly.3").to_string(), "0.61");
        assert_eq!(version("aider 0.86.2").to_string(), "0.86.2");
        assert_eq!(Version::parse("unknown"), None);
        assert!(version("2.1.99") < version("2.1.330"));
        assert!(version("2.1") < version("2.1.1"));
    }

    #[test]
    fn a_range_holds_what_lies_in_all_of_its_parts() {
        let range = Range::parse(">=2.1, <2.2").unwrap();
        assert!(range.holds(&version("2.1")) && range.holds(&version("2.1.330")));
        assert!(!range.holds(&version("2.0.9")) && !range.holds(&version("2.2")));
        assert_eq!(range.begins(), Some(&version("2.1")));
        assert!(Range::parse("2.1").unwrap_err().contains("begins with none"));
        assert!(Range::parse(">=x").unwrap_err().contains("names no version"));
    }
}
