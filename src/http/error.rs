//! Every refusal of a route becomes an answer here (contract section 4.0).

use std::borrow::Cow;

use axum::{
    Json,
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::fields::Issue;
use crate::{
    api::{AdmissionPolicy, ControlPromptRefused, ERROR_CODE_HEADER},
    mail::MailError,
    memory::MemoryError,
    queue::Refusal,
};

/// A request that is not done, and the body that says why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    status: u16,
    /// Travels beside the body, which the contract gives no place for it.
    code: Option<Cow<'static, str>>,
    detail: Value,
    retry_after: Option<u64>,
}

impl Problem {
    /// In one sentence.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), code: None, detail: Value::String(detail.into()), retry_after: None }
    }

    /// In one sentence, with its stable word.
    pub(super) fn coded(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..Self::new(status, detail) }
    }

    /// 422, with every place that is wrong.
    pub(super) fn invalid(issues: &[Issue]) -> Self {
        let detail = issues.iter().map(Issue::to_json).collect();
        Self { status: 422, code: None, detail, retry_after: None }
    }

    /// What is wrong, in one line.
    pub(super) fn words(&self) -> String {
        match &self.detail {
            Value::String(text) => text.clone(),
            Value::Array(issues) => {
                let words = issues.iter().filter_map(|issue| issue["msg"].as_str());
                words.collect::<Vec<_>>().join("; ")
            }
            other => other.to_string(),
        }
    }

    /// 413, with both numbers.
    pub(super) fn too_large(what: &str, bytes: usize, limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} has {bytes} bytes; at most {limit} are taken"))
    }

    /// A direct prompt that was not sent, in the contract's form.
    pub(super) fn prompt_refused(policy: AdmissionPolicy, refusal: &Refusal) -> Self {
        let body = ControlPromptRefused::new(policy, &refusal.code, refusal.detail.as_str());
        // Plain text and words: there is nothing in it that could fail.
        let detail = serde_json::to_value(body).unwrap_or_default();
        Self { status: refusal.status, code: Some(refusal.code.clone()), detail, retry_after: refusal.retry_after }
    }
}

/// Codes are words; one that came back from the disk damaged is left out rather than sent.
fn code_value(code: &str) -> HeaderValue {
    HeaderValue::from_str(code).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
impl Problem {
    pub(super) fn parts(&self) -> (u16, &Value) {
        (self.status, &self.detail)
    }
}

impl From<MailError> for Problem {
    fn from(error: MailError) -> Self {
        let detail = Value::String(error.to_string());
        Self { status: error.status(), code: Some(error.code().into()), detail, retry_after: error.retry_after() }
    }
}

impl From<MemoryError> for Problem {
    fn from(error: MemoryError) -> Self {
        let detail = Value::String(error.to_string());
        Self { status: error.status(), code: Some(error.code().into()), detail, retry_after: None }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, code, detail, retry_after } = refusal;
        Self { status, code: Some(code), detail: Value::String(detail), retry_after }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!({ "detail": self.detail }))).into_response();
        if let Some(code) = self.code {
            response.headers_mut().insert(ERROR_CODE_HEADER, code_value(&code));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(problem: Problem) -> (u16, Option<String>, Value) {
        let response = problem.into_response();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, retry, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_status_its_words_and_its_retry() {
        let refusal = Refusal::new(429, "queue_full", "full").again_in(5);
        let word = Problem::from(refusal.clone()).into_response().headers()["agents-error-code"].clone();
        assert_eq!(word, "queue_full");
        let answer = shown(refusal.clone().into()).await;
        assert_eq!(answer, (429, Some("5".to_owned()), json!({"detail": "full"})));
        let answer = shown(Problem::prompt_refused(AdmissionPolicy::Always, &refusal)).await;
        let detail = json!({
            "status": "error", "action": "submit_prompt", "sent": false, "admission_policy": "always",
            "error_code": "queue_full", "detail": "full",
        });
        assert_eq!(answer, (429, Some("5".to_owned()), json!({"detail": detail})));
        let broken = Refusal::new(7, "x", "");
        assert_eq!(shown(broken.into()).await.0, 500);
    }
}
