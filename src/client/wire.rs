//! One connection to the port of a recorded gateway. Nothing but `GET /health` is sent before the other end has
//! proved to be that gateway.

use std::{future::Future, net::SocketAddr, pin::Pin};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{Connection, SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::api::{Health, INSTANCE_HEADER, Owner};

/// Why no answer of the recorded gateway came. Nothing was asked of it.
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

/// A connection to a gateway that is proven to be the recorded one.
#[derive(Debug)]
pub(super) struct Wire {
    port: u16,
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes while something is awaited; `None` once it has ended.
    connection: Option<Moving>,
}

type Moving = Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

impl Wire {
    /// Connects and proves. Without an owner record any v1 gateway will do: it is another program's.
    ///
    /// # Errors
    /// [`NoAnswer`]; but the time limit is the caller's.
    pub(super) async fn open(port: u16, owner: Option<&Owner>) -> Result<Self, NoAnswer> {
        // Connected directly: proxy variables of the caller's environment are for other machines.
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect(address).await.map_err(|_refused| NoAnswer::Refused(port))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_error| NoAnswer::Stranger { port, why: "it does not speak HTTP".to_owned() })?;
        let mut wire = Self { port, sender, connection: Some(Box::pin(connection)) };
        wire.prove(owner).await?;
        Ok(wire)
    }

    async fn prove(&mut self, owner: Option<&Owner>) -> Result<(), NoAnswer> {
        let request = self.request("GET", "/health").body(Full::default());
        let request = request.map_err(|error| self.stranger(error.to_string()))?;
        let health = self.send(request).await.map_err(|error| self.stranger(error.to_string()))?;
        if health.status() != StatusCode::OK {
            return Err(self.stranger(format!("it answered {} to GET /health", health.status())));
        }
        let id = health.headers().get(INSTANCE_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(owner) = owner
            && id.as_deref() != Some(owner.instance_id.as_str())
        {
            return Err(self.stranger("it is not the recorded gateway".to_owned()));
        }
        let body = self.read(health, 64 * 1024).await.map_err(|why| self.stranger(why))?;
        let body: Health = serde_json::from_slice(&body)
            .map_err(|error| self.stranger(format!("its answer is not the contract's: {error}")))?;
        if body == Health::ok() { Ok(()) } else { Err(self.stranger("its health is not a v1 gateway's".to_owned())) }
    }

    /// Somebody else answers here.
    pub(super) fn stranger(&self, why: String) -> NoAnswer {
        NoAnswer::Stranger { port: self.port, why }
    }

    /// The beginning of a request to this gateway.
    pub(super) fn request(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(path).header(header::HOST, format!("127.0.0.1:{}", self.port))
    }

    /// Sends a request and returns the answer's head.
    ///
    /// # Errors
    /// What happened to the connection. The request may have arrived.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let Self { sender, connection, .. } = self;
        beside(connection, async {
            sender.ready().await?;
            sender.send_request(request).await
        })
        .await
    }

    /// Reads a whole body of at most so many bytes.
    ///
    /// # Errors
    /// Why it did not come whole, in words.
    pub(super) async fn read(&mut self, response: Response<Incoming>, most: usize) -> Result<Bytes, String> {
        let body = Limited::new(response.into_body(), most).collect();
        let body = beside(&mut self.connection, body).await.map_err(|error| error.to_string())?;
        Ok(body.to_bytes())
    }

    /// The next bytes of a body that goes on; `None` at its end, however it came.
    pub(super) async fn next(&mut self, body: &mut Incoming) -> Option<Bytes> {
        loop {
            let frame = beside(&mut self.connection, body.frame()).await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                return Some(bytes);
            }
        }
    }
}

/// Awaits something that needs the connection to move.
async fn beside<T>(connection: &mut Option<Moving>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Some(moving) = connection {
        tokio::select! {
            biased;
            done = &mut work => return done,
            // The last answer may already be here; if it is not, the work hears of the closed connection.
            _ended = moving => {}
        }
        *connection = None;
    }
    work.await
}
