//! The three ways to talk to a model, as far as the measured tools use them.

mod anthropic;
mod gemini;
mod openai;

use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Anthropic,
    OpenAi,
    Gemini,
}

/// What a request wants back, with the model's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    Stream(String),
    Whole(String),
    Count,
}

/// What the user said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub text: String,
    /// The request brings the result of a tool call, and no new text.
    pub after_tool: bool,
}

/// One answer's way to speak.
#[derive(Debug, Clone)]
pub struct Voice {
    api: Api,
    n: u64,
    model: String,
    /// Names of the tools that were offered.
    tools: Vec<String>,
    /// The answer must be JSON of some shape.
    wants_json: bool,
}

impl Want {
    pub fn model(&self) -> &str {
        match self {
            Self::Stream(model) | Self::Whole(model) => model,
            Self::Count => "",
        }
    }
}

impl Api {
    /// Which API a `POST` to this path is for.
    pub fn of(path: &str, body: &Value) -> Option<(Self, Want)> {
        let model = || body["model"].as_str().unwrap_or_default().to_owned();
        let want = |model| if body["stream"] == true { Want::Stream(model) } else { Want::Whole(model) };
        match path {
            "/v1/messages" => return Some((Self::Anthropic, want(model()))),
            "/v1/messages/count_tokens" => return Some((Self::Anthropic, Want::Count)),
            "/v1/responses" => return Some((Self::OpenAi, want(model()))),
            _ => {}
        }
        let (_, call) = path.split_once("/models/")?;
        let (model, verb) = call.split_once(':')?;
        let want = match verb {
            "streamGenerateContent" => Want::Stream(model.to_owned()),
            "generateContent" => Want::Whole(model.to_owned()),
            "countTokens" => Want::Count,
            _ => return None,
        };
        Some((Self::Gemini, want))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
        }
    }

    pub fn asked(self, body: &Value) -> Asked {
        match self {
            Self::Anthropic => anthropic::asked(body),
            Self::OpenAi => openai::asked(body),
            Self::Gemini => gemini::asked(body),
        }
    }

    pub fn count(self, body: &Value) -> Value {
        let tokens = body.to_string().len() / 4;
        match self {
            Self::Gemini => json!({ "totalTokens": tokens }),
            Self::Anthropic | Self::OpenAi => json!({ "input_tokens": tokens }),
        }
    }

    pub fn error(self, status: u16) -> Value {
        let (kind, google) = match status {
            400 => ("invalid_request_error", "INVALID_ARGUMENT"),
            429 => ("rate_limit_error", "RESOURCE_EXHAUSTED"),
            _ => ("api_error", "INTERNAL"),
        };
        let message = format!("stub model says {status}");
        match self {
            Self::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            Self::OpenAi => json!({"error": {"message": message, "type": kind, "code": kind}}),
            Self::Gemini => json!({"error": {"code": status, "message": message, "status": google}}),
        }
    }
}

impl Voice {
    pub fn new(api: Api, n: u64, model: &str, body: &Value) -> Self {
        let (tools, wants_json) = match api {
            Api::Anthropic => anthropic::offered(body),
            Api::OpenAi => openai::offered(body),
            Api::Gemini => gemini::offered(body),
        };
        Self { api, n, model: model.to_owned(), tools, wants_json }
    }

    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// What is said to a request beside the conversation.
    pub fn aside(&self) -> String {
        if self.wants_json { r#"{"title":"Stub","isNewTopic":false}"#.to_owned() } else { "Stub".to_owned() }
    }

    pub fn begin(&self) -> String {
        match self.api {
            Api::Anthropic => anthropic::begin(self),
            Api::OpenAi => openai::begin(self),
            // It has no frame without content; Gemini CLI takes a comment for broken JSON.
            Api::Gemini => String::new(),
        }
    }

    pub fn text(&self, part: &str) -> String {
        match self.api {
            Api::Anthropic => anthropic::text(part),
            Api::OpenAi => openai::text(self, part),
            Api::Gemini => gemini::text(self, part),
        }
    }

    /// The end of an answer that said this, with a call of the tool's shell if there is a command.
    pub fn end(&self, said: &str, command: Option<&str>) -> String {
        match self.api {
            Api::Anthropic => anthropic::end(self, command),
            Api::OpenAi => openai::end(self, said, command),
            Api::Gemini => gemini::end(self, command),
        }
    }

    pub fn whole(&self, said: &str) -> Value {
        match self.api {
            Api::Anthropic => anthropic::whole(self, said),
            Api::OpenAi => openai::whole(self, said),
            Api::Gemini => gemini::whole(self, said),
        }
    }
}

/// Names under `name` in a list of tools.
fn names(tools: &Value) -> Vec<String> {
    let list = tools.as_array().into_iter().flatten();
    list.filter_map(|tool| tool["name"].as_str().or_else(|| tool["type"].as_str())).map(str::to_owned).collect()
}
