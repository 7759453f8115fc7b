//! `/v1/memory`: the agent's memo and pages (contract section 4.10).

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
};

use crate::{
    api::{MemoryAnswer, MemoryCall},
    app::App,
    http::{bodies, body, error::Problem},
};

type Answered = Result<Json<MemoryAnswer>, Problem>;

pub(in crate::http) async fn paths(State(app): State<App>) -> Answered {
    Ok(Json(app.memory.answer(MemoryCall::Paths).await?))
}

pub(in crate::http) async fn memo(State(app): State<App>) -> Answered {
    Ok(Json(app.memory.answer(MemoryCall::Memo).await?))
}

macro_rules! routes {
    ($($name:ident;)*) => {
        $(
            pub(in crate::http) async fn $name(State(app): State<App>, request: Request<Body>) -> Answered {
                call(stringify!($name), app, request).await
            }
        )*
    };
}

routes! {
    set_memo;
    append_memo;
    tree;
    resolve;
    read;
    write;
    append;
    delete;
}

async fn call(operation: &'static str, app: App, request: Request<Body>) -> Answered {
    let content = body::receive(request.into_body()).await?;
    let call = bodies::memory(operation, &body::parse(&content)?)?;
    Ok(Json(app.memory.answer(call).await?))
}
