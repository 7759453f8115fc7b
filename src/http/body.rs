//! From the bytes of a body to a JSON value, with one reading only: what another parser might read in another way is
//! refused.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::StatusCode,
};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{error::Problem, fields::Issue, serve::Limits};

/// Waits for the whole body. One over the limit never comes this far: its head was refused.
///
/// # Errors
/// The caller broke off.
pub(super) async fn receive(body: Body) -> Result<Bytes, Problem> {
    let limit = usize::try_from(Limits::default().max_body).unwrap_or(usize::MAX);
    to_bytes(body, limit).await.map_err(|error| {
        tracing::debug!(%error, "a body broke off");
        Problem::new(StatusCode::BAD_REQUEST, "the body broke off")
    })
}

/// Reads JSON: UTF-8, one value, no key twice in an object, nothing behind it.
///
/// # Errors
/// 400 with the offset for bytes that are no UTF-8; 422 with the place for everything else.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Err(invalid(Issue {
            kind: "missing",
            place: vec!["body".into()],
            message: "Field required".to_owned(),
            input: Value::Null,
            context: None,
        }));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("the body is not valid UTF-8 at byte {}", error.valid_up_to());
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let trail = Trail::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Strict(&trail).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| invalid(if trail.doubled.get() { doubled(trail) } else { not_json(text, &error) }))
}

fn invalid(issue: Issue) -> Problem {
    Problem::invalid(&[issue])
}

fn doubled(trail: Trail) -> Issue {
    let mut place = vec!["body".into()];
    place.extend(trail.place.into_inner().into_iter().rev());
    Issue {
        kind: "duplicate_key",
        place,
        message: "The key stands more than once in its object".to_owned(),
        input: Value::Null,
        context: None,
    }
}

/// The form of the v1 gateways; the offset counts bytes from 0.
fn not_json(text: &str, error: &serde_json::Error) -> Issue {
    let offset = if error.is_eof() { text.len() } else { offset(text, error.line(), error.column()) };
    let words = error.to_string();
    let words = words.split_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    Issue {
        kind: "json_invalid",
        place: vec!["body".into(), offset.into()],
        message: "JSON decode error".to_owned(),
        input: json!({}),
        context: Some(json!({ "error": words })),
    }
}

/// Where the reader stopped: it counts lines from 1, and the bytes of a line that it took.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column).saturating_sub(1).min(text.len())
}

/// Where a key stands twice.
#[derive(Debug, Default)]
struct Trail {
    /// The way to it, innermost first: it is gathered on the way out.
    place: RefCell<Vec<Value>>,
    doubled: Cell<bool>,
}

/// Builds a value and refuses keys that stand twice. The library bounds the depth.
#[derive(Clone, Copy)]
struct Strict<'t>(&'t Trail);

impl Strict<'_> {
    /// Notes the step that led to an error, if that is a key that stands twice.
    fn led<E>(self, error: E, step: impl Into<Value>) -> E {
        if self.0.doubled.get() {
            self.0.place.borrow_mut().push(step.into());
        }
        error
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            match access.next_element_seed(self).map_err(|error| self.led(error, list.len()))? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if map.contains_key(&name) {
                self.0.doubled.set(true);
                return Err(self.led(de::Error::custom("a key stands twice"), name));
            }
            let value = access.next_value_seed(self).map_err(|error| self.led(error, name.as_str()))?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(bytes: impl AsRef<[u8]>) -> (u16, Value) {
        let problem = parse(bytes.as_ref()).unwrap_err();
        let (status, detail) = problem.parts();
        (status, detail.clone())
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_with_their_offset() {
        assert_eq!(refused(b"{\"a\":\"\xc3\x28\"}"), (400, json!("the body is not valid UTF-8 at byte 6")));
        assert_eq!(refused(b"\xff"), (400, json!("the body is not valid UTF-8 at byte 0")));
        assert_eq!(refused(b"\"\xed\xa0\x80\"").0, 400, "a surrogate");
    }

    #[test]
    fn text_that_is_no_json_is_refused_with_its_offset() {
        let cases = [
            ("{", 1, "EOF while parsing an object"),
            ("{\"a\":1,}", 7, "trailing comma"),
            ("{\n\"a\" 1}", 6, "expected `:`"),
            ("{} x", 3, "trailing characters"),
            ("{}{}", 2, "trailing characters"),
            ("NaN", 0, "expected value"),
            ("{\"a\":NaN}", 5, "expected value"),
            ("[Infinity]", 1, "expected value"),
            ("[1e999]", 5, "number out of range"),
            ("{'a':1}", 1, "key must be a string"),
            ("\"\\ud800\"", 7, "unexpected end of hex escape"),
            ("\"a\nb\"", 2, "control character (\\u0000-\\u001F) found while parsing a string"),
            ("\u{feff}{}", 0, "expected value"),
            ("tru", 3, "EOF while parsing a value"),
            ("// x\n{}", 0, "expected value"),
        ];
        for (text, offset, words) in cases {
            let issue = json!([{
                "type": "json_invalid", "loc": ["body", offset], "msg": "JSON decode error", "input": {},
                "ctx": {"error": words},
            }]);
            assert_eq!(refused(text), (422, issue), "{text:?}");
        }
        let empty = json!([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": null}]);
        assert_eq!(refused(""), (422, empty));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse(format!("{}{}", "[".repeat(127), "]".repeat(127)).as_bytes()).is_ok());
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
            let (status, detail) = refused(deep);
            assert_eq!((status, &detail[0]["ctx"]["error"]), (422, &json!("recursion limit exceeded")));
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_place() {
        let cases = [
            (r#"{"a":1,"a":1}"#, json!(["body", "a"])),
            (r#"{"a":1,"\u0061":2}"#, json!(["body", "a"])),
            (r#"{"p":{"q":[{},{"x":1,"y":{},"x":2}]},"z"}"#, json!(["body", "p", "q", 1, "x"])),
            (r#"[[],{"":1,"":2}]"#, json!(["body", 1, ""])),
        ];
        for (text, place) in cases {
            let issue = json!([{
                "type": "duplicate_key", "loc": place, "msg": "The key stands more than once in its object", "input": null,
            }]);
            assert_eq!(refused(text), (422, issue), "{text}");
        }
        assert!(parse(br#"{"a":{"a":{"b":1}},"b":[{"a":1},{"a":1}]}"#).is_ok());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_json_is_read_as_the_library_reads_it(value in any_json()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(parse(text.as_bytes()), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            match parse(&bytes) {
                Ok(value) => prop_assert_eq!(Some(value), serde_json::from_slice(&bytes).ok()),
                Err(problem) => prop_assert!([400, 422].contains(&problem.parts().0)),
            }
        }
    }
}
