//! Calls to the live gateway of a session.

use std::{fmt, time::Duration};

use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    answer::{CallError, Refusal},
    probe::token,
    wire::{NoAnswer, Wire},
};
use crate::{
    api::{CurrentInstance, Owner},
    session::SessionRoot,
};

/// How long a gateway may take to prove itself. It answered a moment ago.
const PROOF_LIMIT: Duration = Duration::from_secs(3);

/// How long it may take to answer a question, or to put work on disk.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// Largest answer that is read: a page of requests with long prompts.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// The live gateway of one session. Each call is a connection of its own, proven before anything is said on it.
pub struct Gateway {
    port: u16,
    owner: Option<Owner>,
    token: Option<String>,
}

/// The token is not shown.
impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("port", &self.port).field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// One call: what is asked for, with which words.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// `POST`.
    pub method: &'static str,
    /// `/v1/requests`, with the query.
    pub path: &'a str,
    /// Further headers.
    pub headers: &'a [(&'static str, String)],
    /// Sent as JSON.
    pub body: Option<&'a Value>,
    /// How long the answer may take.
    pub limit: Duration,
}

impl<'a> Call<'a> {
    /// A question: changes nothing.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: &[], body: None, limit: ANSWER_LIMIT }
    }

    /// Work.
    pub fn post(path: &'a str, body: &'a Value) -> Self {
        Self { method: "POST", path, headers: &[], body: Some(body), limit: ANSWER_LIMIT }
    }

    /// The end of something.
    pub fn delete(path: &'a str) -> Self {
        Self { method: "DELETE", path, headers: &[], body: None, limit: ANSWER_LIMIT }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }

    pub(super) fn lost(&self, why: String) -> CallError {
        CallError::Lost { call: self.name(), why, effect: self.method != "GET" }
    }
}

impl Gateway {
    /// The gateway of these records. Asks nobody yet.
    pub fn new(root: &SessionRoot, instance: &CurrentInstance, owner: Option<&Owner>) -> Self {
        Self { port: instance.port, owner: owner.cloned(), token: token(root, owner) }
    }

    /// Is it one of ours, with receipts and events? Another program's has only the contract's routes.
    pub fn gives_receipts(&self) -> bool {
        self.owner.is_some()
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// [`CallError`], within the limits in every case.
    pub fn call<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, CallError> {
        let body = self.fetch(call)?;
        serde_json::from_slice(&body)
            .map_err(|error| CallError::Unreadable { call: call.name(), why: error.to_string() })
    }

    /// Asks, and takes the answer's body as it is.
    ///
    /// # Errors
    /// As [`Gateway::call`].
    pub fn fetch(&self, call: &Call<'_>) -> Result<Bytes, CallError> {
        runtime()?.block_on(async {
            let mut wire = self.open().await?;
            let asked = tokio::time::timeout(call.limit, self.ask(&mut wire, call)).await;
            asked.unwrap_or_else(|_elapsed| Err(call.lost(format!("nothing came within {} s", call.limit.as_secs()))))
        })
    }

    /// A proven connection.
    pub(super) async fn open(&self) -> Result<Wire, NoAnswer> {
        let late = NoAnswer::TimedOut { port: self.port, millis: PROOF_LIMIT.as_millis() };
        let opened = tokio::time::timeout(PROOF_LIMIT, Wire::open(self.port, self.owner.as_ref())).await;
        opened.map_err(|_elapsed| late)?
    }

    async fn ask(&self, wire: &mut Wire, call: &Call<'_>) -> Result<Bytes, CallError> {
        let request = self.request(wire, call)?;
        let response = wire.send(request).await.map_err(|error| call.lost(error.to_string()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = wire.read(response, LARGEST_BODY).await.map_err(|why| call.lost(why))?;
        if status.is_success() {
            return Ok(body);
        }
        let refusal = Refusal::read(status.as_u16(), &headers, &body);
        // It gave up on its own answer; the work goes on.
        if status == StatusCode::GATEWAY_TIMEOUT {
            return Err(call.lost(refusal.detail));
        }
        Err(CallError::Refused(refusal))
    }

    pub(super) fn request(&self, wire: &Wire, call: &Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
        let mut request = wire.request(call.method, call.path);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in call.headers {
            request = request.header(*name, value);
        }
        let body = call.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        // Nothing was sent yet: what cannot be said as HTTP is the caller's mistake.
        request.body(Full::new(body)).map_err(|error| {
            CallError::Refused(Refusal {
                status: 400,
                code: "bad_request".to_owned(),
                detail: error.to_string(),
                retry_after: None,
            })
        })
    }
}

/// Moves the bytes of one call, on this thread.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CallError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| CallError::Unable(error.to_string()))
}
