//! The accept loop and the connection: who may come in, for how long, and how everybody leaves.

mod guard;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming, SizeHint},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use self::guard::{Duplex, Exchange, GuardedIo, detail};
use super::framing::Refusal;

/// Connections over the limit that may be told so at one time; the ones beyond are closed without a word.
const MAX_TURNED_AWAY: usize = 32;

/// The HTTP library's buffer per direction, in bytes, at most: a whole head and then some.
const MAX_LIBRARY_BUFFER: usize = 64 * 1024;

const SHORTEST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// What one server allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte of a request head to its last; also how long a connection may be idle. Default 5 s.
    pub header_timeout: Duration,
    /// From the end of the head to the start of the answer, the body's arrival included; also how long the peer may
    /// refuse to take bytes of an answer. A streamed answer may last for ever. Default 30 s.
    pub request_timeout: Duration,
    /// Open connections, upgraded ones included. Default 256.
    pub max_connections: usize,
    /// The largest request body, in bytes. Default 1 MiB.
    pub max_body: u64,
    /// How long requests in progress may go on after the stop. Default 2 s.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_connections: 256,
            max_body: 1024 * 1024,
            shutdown_grace: Duration::from_secs(2),
        }
    }
}

/// A bound socket to serve on.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket. Its file belongs to whoever bound it, who also removes it.
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Box<dyn Duplex>, Connection)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                let server = stream.local_addr()?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "small answers on this connection may be delayed");
                }
                Ok((Box::new(stream), Connection::new(Peer::Tcp { client, server })))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Box::new(stream), Connection::new(Peer::Unix { uid })))
            }
        }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp {
        /// The client's end.
        client: SocketAddr,
        /// Our end.
        server: SocketAddr,
    },
    /// A process on this machine.
    Unix {
        /// The user it acted as when it connected.
        uid: u32,
    },
}

/// One accepted connection, shared by all requests on it.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    uid: OnceLock<Option<u32>>,
}

impl Connection {
    /// A connection whose peer's user was not looked up yet.
    pub fn new(peer: Peer) -> Self {
        Self { peer, uid: OnceLock::new() }
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The user at the other end, by the kernel's word; `None` when the kernel does not know it.
    ///
    /// For TCP the first call searches the kernel's table of sockets, and every later one repeats its result.
    pub fn peer_uid(&self) -> Option<u32> {
        *self.uid.get_or_init(|| match self.peer {
            Peer::Tcp { client, server } => crate::os::peer::tcp_client_uid(client, server),
            Peer::Unix { uid } => Some(uid),
        })
    }
}

/// Serves until `stop` turns true or its sender is gone, then returns within [`Limits::shutdown_grace`] or a little
/// later.
///
/// The listening socket is closed at the stop; requests in progress are finished, idle connections are closed, and what
/// is left after the grace is dropped. A connection that a handler upgraded is no longer the server's: its task ends
/// when the handler says so. A handler that panics loses its connection and nothing else.
pub async fn serve<H, F>(listener: Listener, handler: H, limits: Limits, mut stop: watch::Receiver<bool>)
where
    H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(limits.max_connections));
    let lobby = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    let mut backoff = Backoff::default();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = tasks.join_next() => report(ended),
            accepted = accept(&listener, backoff.until) => match accepted {
                Ok((stream, connection)) => {
                    backoff = Backoff::default();
                    if let Ok(seat) = Arc::clone(&seats).try_acquire_owned() {
                        tasks.spawn(converse(stream, connection, handler.clone(), limits, stop.clone(), seat));
                    } else if let Ok(seat) = Arc::clone(&lobby).try_acquire_owned() {
                        tasks.spawn(turn_away(stream, limits, seat));
                    }
                }
                Err(error) => backoff.failed(&error),
            },
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if timeout(limits.shutdown_grace, all_ended).await.is_err() {
        tracing::info!(connections = tasks.len(), "dropping the connections that did not end in time");
        tasks.shutdown().await;
    }
}

async fn accept(listener: &Listener, not_before: Option<Instant>) -> io::Result<(Box<dyn Duplex>, Connection)> {
    if let Some(instant) = not_before {
        sleep_until(instant).await;
    }
    listener.accept().await
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody is left who could stop us later.
    drop(stop.wait_for(|stop| *stop).await);
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request handler panicked; its connection is closed");
    }
}

/// Pauses after failures to accept, such as a lack of descriptors: they last, and trying again at once would spin.
#[derive(Debug, Default)]
struct Backoff {
    pause: Duration,
    until: Option<Instant>,
}

impl Backoff {
    fn failed(&mut self, error: &io::Error) {
        if self.until.is_none() {
            tracing::warn!(%error, "cannot accept connections; trying again");
        }
        self.pause = (self.pause * 2).clamp(SHORTEST_BACKOFF, LONGEST_BACKOFF);
        self.until = Some(Instant::now() + self.pause);
    }
}

/// Serves the requests of one connection until it ends.
async fn converse<H, F>(
    stream: Box<dyn Duplex>,
    connection: Connection,
    handler: H,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    seat: OwnedSemaphorePermit,
) where
    H: Fn(Request<Incoming>, Arc<Connection>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let connection = Arc::new(connection);
    let exchange = Arc::new(Exchange::default());
    let io = TokioIo::new(GuardedIo::new(stream, Arc::clone(&exchange), limits, seat));
    let service = service_fn(move |request: Request<Incoming>| {
        let may_switch = request.headers().contains_key(header::UPGRADE);
        let answer = handler(request, Arc::clone(&connection));
        let exchange = Arc::clone(&exchange);
        async move {
            let answer = match timeout(limits.request_timeout, answer).await {
                Ok(answer) => answer,
                Err(_) => too_late(&exchange),
            };
            if may_switch && answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                exchange.protocol_switched();
            }
            Ok::<_, Infallible>(answer.map(|body| Answer { body, exchange }))
        }
    });
    // The library gets no timer: the guard keeps the deadline of a head, and unlike the library it answers the peer
    // that missed it. The library never sees a head that is not whole.
    let http = http1::Builder::new()
        .half_close(false)
        .keep_alive(true)
        .max_buf_size(MAX_LIBRARY_BUFFER)
        .serve_connection(io, service)
        .with_upgrades();
    let mut http = pin!(http);
    let outcome = tokio::select! {
        outcome = http.as_mut() => outcome,
        () = stopped(&mut stop) => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    match outcome {
        Ok(()) => {}
        Err(error) if error.is_user() => tracing::warn!(%error, "an answer broke off"),
        Err(error) => tracing::debug!(%error, "a connection ended early"),
    }
}

/// Tells a peer that there is no place for it.
async fn turn_away(stream: Box<dyn Duplex>, limits: Limits, seat: OwnedSemaphorePermit) {
    let refusal = Refusal { status: 503, reason: "too many connections".into() };
    if let Err(error) = GuardedIo::refused(stream, limits, refusal, seat).shutdown().await {
        tracing::debug!(%error, "a connection over the limit left before it was told");
    }
}

/// The answer to a request that ran out of time: the client's fault while its body is incomplete, else ours.
fn too_late(exchange: &Exchange) -> Response<Body> {
    let (status, reason) = if exchange.is_body_open() {
        (StatusCode::REQUEST_TIMEOUT, "the request body took too long")
    } else {
        (StatusCode::GATEWAY_TIMEOUT, "the request took too long; its work may still go on")
    };
    let mut answer = Response::new(Body::from(detail(reason)));
    *answer.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONNECTION, "close"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        answer.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    answer
}

/// A response body that tells the guard when the HTTP library is done with it.
struct Answer {
    body: Body,
    exchange: Arc<Exchange>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.answer_ended();
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
