//! Asking a recorded gateway for its health and status.

use std::time::Duration;

use http_body_util::Full;
use hyper::{StatusCode, header};

use super::wire::{NoAnswer, Wire};
use crate::{
    api::{CurrentInstance, Document, Owner, StatusDocument},
    os::files,
    session::SessionRoot,
};

/// Largest answer that is read.
const LARGEST_BODY: usize = 1024 * 1024;

/// Asks the recorded gateway for its status, after proving that it is the recorded one.
///
/// # Errors
/// [`NoAnswer`], within the limit in every case.
pub fn probe(
    root: &SessionRoot,
    instance: &CurrentInstance,
    owner: Option<&Owner>,
    attach_identity: &str,
    limit: Duration,
) -> Result<StatusDocument, NoAnswer> {
    let port = instance.port;
    let late = NoAnswer::TimedOut { port, millis: limit.as_millis() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Err(late) };
    let asked = runtime.block_on(async { tokio::time::timeout(limit, ask(root, port, owner)).await });
    let status = asked.map_err(|_elapsed| late)??;
    if status.attach_identity != attach_identity {
        let why = format!("it serves `{}`", status.attach_identity);
        return Err(NoAnswer::Stranger { port, why });
    }
    Ok(status)
}

async fn ask(root: &SessionRoot, port: u16, owner: Option<&Owner>) -> Result<StatusDocument, NoAnswer> {
    let mut wire = Wire::open(port, owner).await?;
    let mut request = wire.request("GET", "/v1/status");
    if let Some(token) = token(root, owner) {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::default()).map_err(|error| wire.stranger(error.to_string()))?;
    let response = wire.send(request).await.map_err(|error| wire.stranger(error.to_string()))?;
    if response.status() != StatusCode::OK {
        return Err(wire.stranger(format!("it answered {} to GET /v1/status", response.status())));
    }
    let body = wire.read(response, LARGEST_BODY).await.map_err(|why| wire.stranger(why))?;
    let status: StatusDocument = serde_json::from_slice(&body)
        .map_err(|error| wire.stranger(format!("its answer is not the contract's: {error}")))?;
    status.check().map_err(|why| wire.stranger(why.to_string()))?;
    Ok(status)
}

/// The token to show. A gateway without an owner record is another program's: it wants no token of ours.
pub(super) fn token(root: &SessionRoot, owner: Option<&Owner>) -> Option<String> {
    let token = owner.and_then(|_| files::read(&root.token()).ok())?;
    Some(String::from_utf8_lossy(&token).trim().to_owned())
}
