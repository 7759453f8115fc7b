//! Reads values out of a body, field by field, and keeps account of everything that is wrong. Pure.
//!
//! The words and the form are those of the v1 gateways (contract section 4.0): its clients know them.

use serde_json::{Map, Value, json};

use super::error::Problem;

/// Wrong places that one answer lists at most: a body can hold a hundred thousand.
const MOST_ISSUES: usize = 20;

/// Characters of a text, and entries of lists and objects, that a refusal repeats at most.
const MOST_SHOWN: usize = 200;

/// One wrong place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Issue {
    /// A stable word.
    pub(super) kind: &'static str,
    /// The way to it: `body`, `query` or `header`, then names and indexes.
    pub(super) place: Vec<Value>,
    /// For a person.
    pub(super) message: String,
    /// What stands there, or as much of it as fits.
    pub(super) input: Value,
    /// What the message is made of.
    pub(super) context: Option<Value>,
}

impl Issue {
    /// The contract's form.
    pub(super) fn to_json(&self) -> Value {
        let place: Vec<Value> = self.place.iter().map(shown).collect();
        let mut issue = json!({ "type": self.kind, "loc": place, "msg": self.message, "input": self.input });
        if let (Some(context), Some(map)) = (&self.context, issue.as_object_mut()) {
            map.insert("ctx".to_owned(), context.clone());
        }
        issue
    }
}

/// The value, or what fits of it: an answer must not grow with the request.
pub(super) fn shown(value: &Value) -> Value {
    let mut entries = MOST_SHOWN;
    cut(value, &mut entries)
}

fn cut(value: &Value, entries: &mut usize) -> Value {
    let mut room = |wanted: usize| {
        let granted = wanted.min(*entries);
        *entries -= granted;
        granted
    };
    match value {
        Value::String(text) => Value::String(cut_text(text)),
        Value::Array(list) => {
            let room = room(list.len());
            list.iter().take(room).map(|value| cut(value, entries)).collect()
        }
        Value::Object(map) => {
            let room = room(map.len());
            map.iter().take(room).map(|(name, value)| (cut_text(name), cut(value, entries))).collect()
        }
        plain => plain.clone(),
    }
}

fn cut_text(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Everything that is wrong with a request, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Issues {
    list: Vec<Issue>,
    too_large: Option<Problem>,
}

impl Issues {
    /// One more. Those over the limit are not kept.
    pub(super) fn add(&mut self, issue: Issue) {
        if self.list.len() < MOST_ISSUES {
            self.list.push(issue);
        }
    }

    /// A text over its limit, in bytes. This outweighs the other issues.
    pub(super) fn too_large(&mut self, what: &str, bytes: usize, limit: usize) {
        self.too_large.get_or_insert_with(|| Problem::too_large(what, bytes, limit));
    }

    /// What was read, if nothing was wrong.
    ///
    /// # Errors
    /// The answer that names what is.
    pub(super) fn settle<T>(self, read: Option<T>) -> Result<T, Problem> {
        match (self.too_large, read) {
            (Some(problem), _) => Err(problem),
            (None, Some(read)) if self.list.is_empty() => Ok(read),
            (None, _) => Err(Problem::invalid(&self.list)),
        }
    }
}

/// One step of the way to a value.
#[derive(Debug, Clone, Copy)]
enum Step<'v> {
    Name(&'v str),
    At(usize),
}

impl From<&Step<'_>> for Value {
    fn from(step: &Step<'_>) -> Self {
        match step {
            Step::Name(name) => (*name).into(),
            Step::At(index) => (*index).into(),
        }
    }
}

/// One value and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Field<'v> {
    value: &'v Value,
    place: Vec<Step<'v>>,
}

impl<'v> Field<'v> {
    /// The whole body.
    pub(super) fn body(value: &'v Value) -> Self {
        Self { value, place: vec![Step::Name("body")] }
    }

    /// As it stands there.
    pub(super) fn value(&self) -> &'v Value {
        self.value
    }

    /// Says what is wrong with this value.
    pub(super) fn wrong(
        &self,
        kind: &'static str,
        message: impl Into<String>,
        context: Option<Value>,
        issues: &mut Issues,
    ) {
        let message = message.into();
        let place = self.place.iter().map(Value::from).collect();
        issues.add(Issue { kind, place, message, input: shown(self.value), context });
    }

    /// Says which rule this value breaks.
    pub(super) fn breaks(&self, rule: &str, issues: &mut Issues) {
        self.wrong("value_error", format!("Value error, {rule}"), Some(json!({ "error": {} })), issues);
    }

    /// The same about a value that is never repeated: a secret.
    pub(super) fn breaks_unseen(&self, rule: &str, issues: &mut Issues) {
        let place = self.place.iter().map(Value::from).collect();
        let message = format!("Value error, {rule}");
        issues.add(Issue { kind: "value_error", place, message, input: Value::Null, context: None });
    }

    /// A string.
    pub(super) fn text(&self, issues: &mut Issues) -> Option<&'v str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong("string_type", "Input should be a valid string", None, issues);
        }
        text
    }

    /// A string with something to see in it.
    pub(super) fn not_blank(&self, issues: &mut Issues) -> Option<&'v str> {
        let text = self.text(issues)?;
        // Control characters are white space here: delivery takes them out, and nothing would be left.
        if text.chars().all(|c| c.is_whitespace() || c.is_control()) {
            self.breaks("must not be empty", issues);
            return None;
        }
        Some(text)
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self, issues: &mut Issues) -> Option<u64> {
        let number = self.value.as_u64();
        if number.is_none() {
            if self.value.is_i64() {
                let message = "Input should be greater than or equal to 0";
                self.wrong("greater_than_equal", message, Some(json!({ "ge": 0 })), issues);
            } else {
                self.wrong("int_type", "Input should be a valid integer", None, issues);
            }
        }
        number
    }

    /// A whole number.
    pub(super) fn integer(&self, issues: &mut Issues) -> Option<i64> {
        let number = self.value.as_i64();
        if number.is_none() {
            self.wrong("int_type", "Input should be a valid integer", None, issues);
        }
        number
    }

    /// A number above zero and at most this.
    pub(super) fn positive(&self, most: f64, issues: &mut Issues) -> Option<f64> {
        let Some(number) = self.value.as_f64() else {
            self.wrong("float_type", "Input should be a valid number", None, issues);
            return None;
        };
        if number <= 0.0 {
            self.wrong("greater_than", "Input should be greater than 0", Some(json!({ "gt": 0.0 })), issues);
            return None;
        }
        if number > most {
            let message = format!("Input should be less than or equal to {most}");
            self.wrong("less_than_equal", message, Some(json!({ "le": most })), issues);
            return None;
        }
        Some(number)
    }

    /// Exactly this version of a body.
    pub(super) fn version(&self, wanted: u32, issues: &mut Issues) {
        if !(self.value.is_u64() || self.value.is_i64()) {
            self.wrong("int_type", "Input should be a valid integer", None, issues);
        } else if self.value.as_u64() != Some(u64::from(wanted)) {
            self.breaks(&format!("schema_version must be {wanted}"), issues);
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, issues: &mut Issues) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.wrong("bool_type", "Input should be a valid boolean", None, issues);
        }
        flag
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)], issues: &mut Issues) -> Option<T> {
        let found = self.value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let expected = choice(words.iter().map(|(word, _)| *word));
            let message = format!("Input should be {expected}");
            self.wrong("literal_error", message, Some(json!({ "expected": expected })), issues);
        }
        found.map(|(_, value)| *value)
    }

    /// An object.
    pub(super) fn object(&self, issues: &mut Issues) -> Option<Object<'v>> {
        let Some(map) = self.value.as_object() else {
            let message = "Input should be a valid dictionary or object to extract fields from";
            self.wrong("model_attributes_type", message, None, issues);
            return None;
        };
        Some(Object { map, field: self.clone() })
    }

    /// The entries of a list.
    pub(super) fn list(&self, issues: &mut Issues) -> Option<Vec<Self>> {
        let entries = self.entries();
        if entries.is_none() {
            self.wrong("list_type", "Input should be a valid list", None, issues);
        }
        entries
    }

    /// The entries, if it is a list.
    pub(super) fn entries(&self) -> Option<Vec<Self>> {
        let list = self.value.as_array()?;
        Some(list.iter().enumerate().map(|(index, value)| self.below(Step::At(index), value)).collect())
    }

    fn below(&self, step: Step<'v>, value: &'v Value) -> Self {
        Self { value, place: [&self.place[..], &[step]].concat() }
    }
}

/// `'a', 'b' or 'c'`.
fn choice<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// An object and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Object<'v> {
    map: &'v Map<String, Value>,
    field: Field<'v>,
}

impl<'v> Object<'v> {
    /// The object as a value, for rules between its fields.
    pub(super) fn field(&self) -> &Field<'v> {
        &self.field
    }

    /// A field that has to be there.
    pub(super) fn required(&self, name: &'v str, issues: &mut Issues) -> Option<Field<'v>> {
        let found = self.given(name);
        if found.is_none() {
            let missing = self.field.below(Step::Name(name), self.field.value);
            missing.wrong("missing", "Field required", None, issues);
        }
        found
    }

    /// A field that may be missing.
    pub(super) fn given(&self, name: &'v str) -> Option<Field<'v>> {
        self.map.get(name).map(|value| self.field.below(Step::Name(name), value))
    }

    /// A field that may be missing or null.
    pub(super) fn not_null(&self, name: &'v str) -> Option<Field<'v>> {
        self.given(name).filter(|field| !field.value.is_null())
    }

    /// Names every field that is none of these.
    pub(super) fn only(&self, names: &[&str], issues: &mut Issues) {
        for (name, value) in self.map.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
            self.field.below(Step::Name(name), value).wrong(
                "extra_forbidden",
                "Extra inputs are not permitted",
                None,
                issues,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_as_a_sentence() {
        assert_eq!(choice(["a"].into_iter()), "'a'");
        assert_eq!(choice(["a", "b", "c"].into_iter()), "'a', 'b' or 'c'");
    }

    #[test]
    fn an_answer_does_not_grow_with_the_request() {
        let many: Map<String, Value> = (0..5000).map(|n| (format!("{n}{}", "x".repeat(500)), json!([n]))).collect();
        let body = json!({ "long": "é".repeat(100_000), "many": many });
        let mut issues = Issues::default();
        let object = Field::body(&body).object(&mut issues).unwrap();
        object.given("many").unwrap().flag(&mut issues);
        object.given("many").unwrap().object(&mut issues).unwrap().only(&[], &mut issues);
        object.given("long").unwrap().flag(&mut issues);
        let problem = issues.settle::<()>(None).unwrap_err();
        let size = format!("{problem:?}").len();
        assert!(size < 200_000, "{size}");
    }
}
