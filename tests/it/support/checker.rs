//! The promises about prompts, checked over what was sent, what the gateway says, and what the agent got. Pure.
//!
//! Texts of a run must differ from each other, and none may be a part of another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Http;

/// One prompt that a client sent, in the order in which that client sent them.
#[derive(Debug, Clone)]
pub struct Sent {
    pub client: String,
    pub text: String,
    /// Of the answer; `None` when none came.
    pub id: Option<String>,
}

/// What the gateway says about one request.
#[derive(Debug, Clone)]
pub struct Told {
    pub id: String,
    pub text: String,
    pub state: String,
    /// Names of its receipts, oldest first.
    pub receipts: Vec<String>,
}

/// Everything about one run.
#[derive(Debug, Default, Clone)]
pub struct Checker {
    pub sent: Vec<Sent>,
    pub told: Vec<Told>,
    /// Texts in the agent's log, in order.
    pub got: Vec<String>,
    /// Lines that a person submitted, in order.
    pub person: Vec<String>,
}

/// What a request's end says about the agent's log.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Promise {
    Once,
    Never,
    AtMostOnce,
}

impl Told {
    /// A request as `GET /v1/requests/{id}` shows it.
    pub fn read(shown: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let receipts = shown["receipts"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            id: text(&shown["request_id"]),
            text: text(&shown["prompt"]),
            state: text(&shown["state"]),
            receipts: receipts.iter().map(|receipt| text(&receipt["receipt"])).collect(),
        }
    }

    /// Every request that the gateway knows, with its receipts.
    pub fn all(http: &Http) -> Vec<Self> {
        let (mut connection, mut all, mut before) = (http.keep(), Vec::new(), Value::Null);
        loop {
            let more = before.as_u64().map(|before| format!("&before={before}")).unwrap_or_default();
            let page = connection.get(&format!("/v1/requests?limit=500{more}")).ok();
            for request in page["requests"].as_array().unwrap() {
                let id = request["request_id"].as_str().unwrap();
                all.push(Self::read(&connection.get(&format!("/v1/requests/{id}")).ok()));
            }
            before = page["next_before"].clone();
            if before.is_null() {
                return all;
            }
        }
    }

    fn has(&self, receipt: &str) -> bool {
        self.receipts.iter().any(|name| name == receipt)
    }

    fn promise(&self) -> Result<Promise, String> {
        let is_submitted = ["submitted", "turn_started", "turn_ended"].iter().any(|name| self.has(name));
        let ends = [is_submitted, self.has("refused"), self.has("indeterminate")];
        let promise = match (self.state.as_str(), ends) {
            ("completed", [true, false, false]) => Promise::Once,
            ("failed", [false, true, false]) | ("coalesced", [false, _, false]) => Promise::Never,
            ("failed", [false, false, true]) => Promise::AtMostOnce,
            (state @ ("accepted" | "running"), _) => return Err(format!("it has not ended: {state}")),
            (state, _) => return Err(format!("`{state}` does not fit its receipts {:?}", self.receipts)),
        };
        let last = ["refused", "indeterminate"];
        let early = self.receipts.iter().rev().skip(1).find(|name| last.contains(&name.as_str()));
        early.map_or(Ok(promise), |name| Err(format!("something follows `{name}`: {:?}", self.receipts)))
    }
}

impl Checker {
    /// Fails with everything that is wrong.
    #[track_caller]
    pub fn holds(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    }

    /// Every broken promise.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.ends();
        faults.extend(self.texts());
        faults.extend(self.orders());
        faults
    }

    /// Every accepted id is known, once, and ended in one way that fits the agent's log.
    fn ends(&self) -> Vec<String> {
        let (mut faults, mut told) = (Vec::new(), BTreeMap::new());
        for request in &self.told {
            if told.insert(request.id.as_str(), request).is_some() {
                faults.push(format!("{} is told twice", request.id));
            }
        }
        let ids: Vec<&str> = self.sent.iter().filter_map(|sent| sent.id.as_deref()).collect();
        if ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
            faults.push("one id was given to two prompts".to_owned());
        }
        for sent in &self.sent {
            let Some(id) = &sent.id else { continue };
            match told.get(id.as_str()) {
                None => faults.push(format!("{id} was accepted and is not known")),
                Some(told) if told.text != sent.text => {
                    faults.push(format!("{id} is `{}`, sent was `{}`", brief(&told.text), brief(&sent.text)));
                }
                Some(_) => {}
            }
        }
        for request in &self.told {
            let count = self.got.iter().filter(|text| **text == request.text).count();
            let says = format!("{} `{}`", request.id, brief(&request.text));
            match (request.promise(), count) {
                (Err(problem), _) => faults.push(format!("{says}: {problem}; the agent got it {count} times")),
                (Ok(Promise::Once), 1) | (Ok(Promise::Never), 0) | (Ok(Promise::AtMostOnce), 0 | 1) => {}
                (Ok(promise), _) => {
                    faults.push(format!("{says} is `{}` ({promise:?}); the agent got it {count} times", request.state));
                }
            }
        }
        faults
    }

    /// What the agent got is what was sent or typed: nothing else, nothing merged.
    fn texts(&self) -> Vec<String> {
        let known: BTreeSet<&str> =
            self.told.iter().map(|told| &told.text).chain(&self.person).map(String::as_str).collect();
        let stranger = |text: &&String| !known.contains(text.as_str());
        let merged = |text: &String| known.iter().filter(|known| text.contains(**known)).count();
        let told = self.got.iter().filter(stranger).map(|text| match merged(text) {
            0 => format!("the agent got `{}`, which nobody sent", brief(text)),
            _ => format!("the agent got something merged: `{}`", brief(text)),
        });
        let mut faults: Vec<String> = told.collect();
        for line in &self.person {
            let count = self.got.iter().filter(|text| *text == line).count();
            if count != 1 {
                faults.push(format!("the person's line `{line}` came {count} times"));
            }
        }
        faults
    }

    /// What each client sent, and what the person typed, came in this order.
    fn orders(&self) -> Vec<String> {
        let place: BTreeMap<&str, usize> = self.got.iter().enumerate().map(|(at, text)| (text.as_str(), at)).collect();
        let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for sent in &self.sent {
            lines.entry(&sent.client).or_default().push(&sent.text);
        }
        lines.insert("the person", self.person.iter().map(String::as_str).collect());
        let mut faults = Vec::new();
        for (client, texts) in lines {
            let places: Vec<(usize, &str)> =
                texts.into_iter().filter_map(|text| place.get(text).map(|at| (*at, text))).collect();
            for pair in places.windows(2).filter(|pair| pair[0].0 > pair[1].0) {
                faults.push(format!("{client}: `{}` came after `{}`", brief(pair[0].1), brief(pair[1].1)));
            }
        }
        faults
    }
}

fn brief(text: &str) -> String {
    text.chars().take(60).collect()
}
