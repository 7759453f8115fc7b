//! The stream between a socket and the HTTP library: checked on the way in, with a deadline for every wait.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

use super::Limits;
use crate::http::framing::{Framing, Refusal, Verdict};

/// How long a connection may take to part: to send its last words and to hear the peer out.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// How much the peer may still send while we part, in bytes.
const PARTING_BYTES: usize = 1024 * 1024;

/// Read at once while a head is incomplete. On the stack: an idle connection owns no buffer.
const CHUNK: usize = 2048;

/// A connected socket of either family. One boxed type, so that the HTTP library is compiled once.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What the stream and the service of one connection tell each other about the request in progress.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    answered: AtomicBool,
    switched: AtomicBool,
    body_open: AtomicBool,
}

impl Exchange {
    /// The whole answer was handed to the HTTP library; it is out at the next flush.
    pub(super) fn answer_ended(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// The answer is `101 Switching Protocols`: what follows is not HTTP.
    pub(super) fn protocol_switched(&self) {
        self.switched.store(true, Ordering::Release);
    }

    /// Is part of the request's body still to come?
    pub(super) fn is_body_open(&self) -> bool {
        self.body_open.load(Ordering::Acquire)
    }
}

/// A socket that lets only well-formed requests in, one at a time.
///
/// The next head is held back until the answer to the last request was written. So a bad head can be refused after
/// all earlier answers, a switch of protocols is known before the first byte in the new one passes, and a peer that
/// pipelines costs no more memory than one that does not. To the reader a refusal or an idle timeout is the end of
/// the stream; the refusal itself is sent when the reader shuts the stream down.
pub(super) struct GuardedIo {
    stream: Box<dyn Duplex>,
    framing: Framing,
    exchange: Arc<Exchange>,
    limits: Limits,
    /// Received and not yet passed on; the first `approved` bytes may be.
    held: Vec<u8>,
    approved: usize,
    /// A head was passed on and its answer is not out yet.
    busy: bool,
    /// Nothing more will be read: refused, or idle for too long.
    ended: bool,
    refusal: Option<Refusal>,
    head_deadline: Option<Pin<Box<Sleep>>>,
    write_deadline: Option<Pin<Box<Sleep>>>,
    parting: Option<Parting>,
    _seat: Option<OwnedSemaphorePermit>,
}

impl GuardedIo {
    /// Guards a fresh socket. The seat is given back when the socket closes, which may be after an upgrade.
    pub(super) fn new(
        stream: Box<dyn Duplex>,
        exchange: Arc<Exchange>,
        limits: Limits,
        seat: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            stream,
            framing: Framing::new(limits.max_body),
            exchange,
            limits,
            held: Vec::new(),
            approved: 0,
            busy: false,
            ended: false,
            refusal: None,
            head_deadline: None,
            write_deadline: None,
            parting: None,
            _seat: Some(seat),
        }
    }

    /// A socket that gets this refusal when it is shut down, whatever it sent.
    pub(super) fn refused(
        stream: Box<dyn Duplex>,
        limits: Limits,
        refusal: Refusal,
        seat: OwnedSemaphorePermit,
    ) -> Self {
        let mut io = Self::new(stream, Arc::default(), limits, seat);
        io.refuse(refusal);
        io
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.ended = true;
        self.refusal = Some(refusal);
        self.held = Vec::new();
    }

    /// Judges the held bytes. Did anything come of it?
    fn judge(&mut self) -> bool {
        let was_head = self.framing.expects_head();
        match self.framing.advance(&self.held) {
            Verdict::More => return false,
            Verdict::Refuse(refusal) => self.refuse(refusal),
            Verdict::Pass(count) => {
                self.approved = count;
                if was_head {
                    self.busy = true;
                    self.head_deadline = None;
                }
                self.exchange.body_open.store(!self.framing.expects_head(), Ordering::Release);
            }
        }
        true
    }

    fn pass_approved(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.approved.min(buf.remaining());
        buf.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.drain(..count);
        self.approved -= count;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Reads bytes that pass whatever they are straight into the reader's buffer.
    fn poll_read_unchecked(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, left: u64) -> Poll<io::Result<()>> {
        let room = usize::try_from(left).map_or(buf.remaining(), |left| left.min(buf.remaining()));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        // The framing counts along; these bytes pass by its own word.
        self.framing.advance(part.filled());
        buf.advance(count);
        self.exchange.body_open.store(!self.framing.expects_head(), Ordering::Release);
        Poll::Ready(Ok(()))
    }

    /// Reads more of a head. Ready with `false` at the end of the stream.
    fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut chunk = [0; CHUNK];
        let mut part = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        if self.held.is_empty() {
            // An idle connection that starts a head gets the whole time for it.
            self.head_deadline = None;
        }
        self.held.extend_from_slice(part.filled());
        Poll::Ready(Ok(!part.filled().is_empty()))
    }

    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limits.header_timeout;
        self.head_deadline.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx)
    }

    /// Bounds how long the peer may refuse to take bytes.
    fn poll_progress<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_deadline = None;
            return outcome;
        }
        let limit = self.limits.request_timeout;
        ready!(self.write_deadline.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The state of parting, begun now if it was not.
    fn begin_parting(&mut self) -> &mut Parting {
        let last_words = self.refusal.as_ref().map(answer).unwrap_or_default();
        // A socket closed with unread bytes resets the connection, and the peer may lose what we sent before.
        let hear_out = self.refusal.is_some() || !self.held.is_empty() || self.framing.unchecked().is_some();
        self.parting.get_or_insert_with(|| Parting {
            last_words,
            said: 0,
            half_closed: false,
            patience: if hear_out { PARTING_BYTES } else { 0 },
            deadline: Box::pin(sleep(PARTING_TIME)),
        })
    }
}

impl AsyncRead for GuardedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchange.switched.load(Ordering::Acquire) {
            this.framing.pass_everything();
        }
        loop {
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            if this.approved > 0 {
                this.pass_approved(buf);
                return Poll::Ready(Ok(()));
            }
            let must_wait = this.busy && this.framing.expects_head();
            if must_wait && !this.held.is_empty() {
                // The flush that ends this request wakes the task.
                return Poll::Pending;
            }
            if this.judge() {
                continue;
            }
            if let Some(left) = this.framing.unchecked() {
                return this.poll_read_unchecked(cx, buf, left);
            }
            match this.poll_read_head(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // A request in progress has its own deadline.
                    if must_wait {
                        return Poll::Pending;
                    }
                    ready!(this.poll_head_deadline(cx));
                    this.ended = true;
                    if !this.held.is_empty() {
                        this.refuse(Refusal { status: 408, reason: "the request head took too long".into() });
                    }
                }
            }
        }
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.poll_progress(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.poll_progress(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        // The HTTP library flushes only when its own buffer is empty: an answer that had ended is now out.
        if this.busy && this.exchange.answered.swap(false, Ordering::AcqRel) {
            this.busy = false;
            // The library reads and writes in one task; it must read again, for the held head or for its deadline.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.begin_parting();
        match &mut this.parting {
            Some(parting) => parting.poll(cx, &mut this.stream),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// The end of a connection: say the refusal, close our half, hear the peer out for a moment.
struct Parting {
    last_words: Vec<u8>,
    said: usize,
    half_closed: bool,
    /// Bytes that the peer may still send.
    patience: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Parting {
    fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Box<dyn Duplex>) -> Poll<io::Result<()>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.last_words.get(self.said..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.said += count,
            }
        }
        if !self.half_closed {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            self.half_closed = true;
        }
        let mut chunk = [0; CHUNK];
        while self.patience > 0 {
            let mut part = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut part))?;
            match part.filled().len() {
                0 => break,
                count => self.patience = self.patience.saturating_sub(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The body of every refusal of this room.
pub(super) fn detail(reason: &str) -> String {
    serde_json::json!({ "detail": reason }).to_string()
}

/// A refusal as a complete HTTP/1.1 response.
fn answer(refusal: &Refusal) -> Vec<u8> {
    let phrase = StatusCode::from_u16(refusal.status).ok().and_then(|status| status.canonical_reason());
    let body = detail(&refusal.reason);
    let retry = if refusal.status == 503 { "retry-after: 1\r\n" } else { "" };
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-content-type-options: nosniff\r\ncache-control: no-store\r\n{retry}\r\n{body}",
        refusal.status,
        phrase.unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}
