//! The part of a target behind the `?`, read as strictly as a body. Pure.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{
    fields::{Issue, Issues, shown},
    framing::percent_decoded,
};

/// The largest number that the store can hold.
pub(super) const LARGEST_NUMBER: u64 = i64::MAX.unsigned_abs();

/// The parameters of one request.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=b&c=d`. Only these names may stand there, and each once.
    pub(super) fn read(text: Option<&str>, names: &[&str], issues: &mut Issues) -> Self {
        let mut query = Self::default();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            if !names.contains(&name.as_str()) {
                issues.add(issue("extra_forbidden", &name, "Extra inputs are not permitted", &value, None));
            } else if query.text(&name).is_some() {
                issues.add(issue("value_error", &name, "Value error, it stands more than once", &value, None));
            } else {
                query.pairs.push((name, value));
            }
        }
        query
    }

    /// The value as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value as a whole number in this range.
    pub(super) fn number(&self, name: &str, range: &RangeInclusive<u64>, issues: &mut Issues) -> Option<u64> {
        let text = self.text(name)?;
        let number = number(text).filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("Input should be a whole number from {} to {}", range.start(), range.end());
            let context = json!({ "ge": range.start(), "le": range.end() });
            issues.add(issue("int_range", name, &message, text, Some(context)));
        }
        number
    }

    /// Says that a value is wrong.
    pub(super) fn wrong(&self, name: &str, message: &str, issues: &mut Issues) {
        issues.add(issue("value_error", name, message, self.text(name).unwrap_or_default(), None));
    }
}

/// Digits only: `parse` would take a leading plus.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    String::from_utf8_lossy(&percent_decoded(spaced.as_bytes()).collect::<Vec<u8>>()).into_owned()
}

fn issue(kind: &'static str, name: &str, message: &str, input: &str, context: Option<Value>) -> Issue {
    let place = vec!["query".into(), name.into()];
    Issue { kind, place, message: message.to_owned(), input: shown(&input.into()), context }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Query, Issues) {
        let mut issues = Issues::default();
        let query = Query::read(Some(text), &["limit", "state"], &mut issues);
        query.number("limit", &(1..=500), &mut issues);
        (query, issues)
    }

    #[test]
    fn names_are_known_and_stand_once() {
        for (text, limit) in
            [("", None), ("limit=1", Some("1")), ("&limit=500&&state=x", Some("500")), ("%6cimit=%35", Some("5"))]
        {
            let (query, issues) = read(text);
            assert_eq!((query.text("limit"), issues.settle(Some(()))), (limit, Ok(())), "{text}");
        }
        let wrong =
            ["limits=1", "limit=1&limit=1", "limit=0", "limit=501", "limit=", "limit", "limit=-1", "limit=%2b1"];
        for text in wrong.into_iter().chain(["limit=1e9", "limit=18446744073709551616", "limit=1.0", "limit=+1"]) {
            let problem = read(text).1.settle(Some(())).unwrap_err();
            assert!(format!("{problem:?}").contains("422"), "{text}");
        }
    }
}
