//! Asking a recorded gateway for its health and status.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    api::{CurrentInstance, Document, Health, INSTANCE_HEADER, Owner, StatusDocument},
    os::files,
    session::SessionRoot,
};

/// Largest answer that is read.
const LARGEST_BODY: usize = 1024 * 1024;

/// Why no answer of the recorded gateway came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens.
    #[error("nobody listens on port {0}")]
    Refused(u16),
    /// It accepted the connection, or not even that, and said nothing in time.
    #[error("nothing came from port {port} within {millis} ms")]
    TimedOut {
        /// The recorded port.
        port: u16,
        /// The limit.
        millis: u128,
    },
    /// Somebody else answers on that port.
    #[error("port {port} is answered by another program: {why}")]
    Stranger {
        /// The recorded port.
        port: u16,
        /// How it gave itself away.
        why: String,
    },
}

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
    // Connected directly: proxy variables of the caller's environment are for other machines.
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect(address).await.map_err(|_refused| NoAnswer::Refused(port))?;
    let stranger = |why: &str| NoAnswer::Stranger { port, why: why.to_owned() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_error| stranger("it does not speak HTTP"))?;
    let conversation = async {
        let health = send(&mut sender, port, "/health", None).await?;
        let id = health.headers().get(INSTANCE_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(owner) = owner
            && id.as_deref() != Some(owner.instance_id.as_str())
        {
            return Err(stranger("it is not the recorded gateway"));
        }
        let body: Health = read(health, port).await?;
        if body != Health::ok() {
            return Err(stranger("its health is not a v1 gateway's"));
        }
        // A gateway without an owner record is another program's: it wants no token of ours.
        let token = owner.and_then(|_| files::read(&root.token()).ok());
        let status = send(&mut sender, port, "/v1/status", token.as_deref()).await?;
        let status: StatusDocument = read(status, port).await?;
        status.check().map_err(|why| stranger(&why.to_string()))?;
        Ok(status)
    };
    let mut conversation = std::pin::pin!(conversation);
    tokio::select! {
        biased;
        answer = &mut conversation => answer,
        // The last answer may already be here; if it is not, the conversation hears of the closed connection.
        _ended = connection => conversation.await,
    }
}

async fn send(
    sender: &mut SendRequest<Empty<Bytes>>,
    port: u16,
    path: &str,
    token: Option<&[u8]>,
) -> Result<Response<Incoming>, NoAnswer> {
    let mut request = Request::get(path).header(header::HOST, format!("127.0.0.1:{port}"));
    if let Some(token) = token {
        let token = String::from_utf8_lossy(token);
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let stranger = |why: String| NoAnswer::Stranger { port, why };
    let request = request.body(Empty::new()).map_err(|error| stranger(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| stranger(error.to_string()))?;
    match response.status() {
        StatusCode::OK => Ok(response),
        other => Err(stranger(format!("it answered {other} to GET {path}"))),
    }
}

async fn read<T: serde::de::DeserializeOwned>(response: Response<Incoming>, port: u16) -> Result<T, NoAnswer> {
    let stranger = |why: String| NoAnswer::Stranger { port, why };
    let body = Limited::new(response.into_body(), LARGEST_BODY);
    let bytes = body.collect().await.map_err(|error| stranger(error.to_string()))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| stranger(format!("its answer is not the contract's: {error}")))
}
