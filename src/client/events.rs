//! The gateway's events as they come, and how long somebody waits for them.

use std::{collections::VecDeque, future::Future, time::Duration};

use hyper::body::Incoming;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use super::{
    answer::{CallError, Refusal},
    gateway::{Call, Gateway, runtime},
    sse::{Event, Parser},
    wire::Wire,
};
use crate::model::{Failure, RequestId};

/// How long a stream may be silent. The gateway says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// Somebody who waits: until it is there, until the time is over, or until Ctrl-C.
///
/// While it lives, Ctrl-C no longer ends the program by itself.
#[derive(Debug)]
pub struct Patience {
    runtime: Runtime,
    interrupts: Signal,
    deadline: Option<Instant>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited<T> {
    /// It is there.
    For(T),
    /// The time is over.
    TimeOver,
    /// The person pressed Ctrl-C.
    Interrupted,
}

impl Patience {
    /// Begins to wait now, for so long at most.
    ///
    /// # Errors
    /// When the system gives no timer or signal.
    pub fn new(limit: Option<Duration>) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let begun = runtime.block_on(async {
            let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
            signal(SignalKind::interrupt()).map(|interrupts| (interrupts, deadline))
        });
        let (interrupts, deadline) =
            begun.map_err(|error| Failure::internal(format!("could not listen for Ctrl-C: {error}")))?;
        Ok(Self { runtime, interrupts, deadline })
    }

    /// Waits for this work; it runs inside a tokio runtime.
    pub fn wait<T>(&mut self, work: impl Future<Output = T>) -> Waited<T> {
        let Self { runtime, interrupts, deadline } = self;
        runtime.block_on(async {
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(*deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = interrupts.recv() => Waited::Interrupted,
                done = work => Waited::For(done),
                () = over => Waited::TimeOver,
            }
        })
    }

    /// Waits for a moment before something is looked at again.
    pub fn pause(&mut self, span: Duration) -> Waited<()> {
        self.wait(async move { tokio::time::sleep(span).await })
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    wire: Wire,
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Event>,
}

impl Gateway {
    /// Opens the stream: what is newer than `after`, else what comes from now on; of one request, or of all.
    ///
    /// # Errors
    /// [`CallError`]: 409 for a place that the journal no longer has.
    pub fn events(
        &self,
        patience: &mut Patience,
        after: Option<u64>,
        request: Option<&RequestId>,
    ) -> Waited<Result<Events, CallError>> {
        let filter = request.map(|id| format!("?request_id={id}")).unwrap_or_default();
        let headers: Vec<_> = after.map(|after| ("last-event-id", after.to_string())).into_iter().collect();
        let path = format!("/v1/events{filter}");
        let call = Call { headers: &headers, ..Call::get(&path) };
        patience.wait(async {
            let mut wire = self.open().await?;
            let request = self.request(&wire, &call)?;
            let asked = tokio::time::timeout(call.limit, wire.send(request)).await;
            let response = asked
                .map_err(|_elapsed| call.lost(format!("nothing came within {} s", call.limit.as_secs())))?
                .map_err(|error| call.lost(error.to_string()))?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status.is_success() {
                let body = response.into_body();
                return Ok(Events { wire, body, parser: Parser::default(), ready: VecDeque::new() });
            }
            let body = wire.read(response, 64 * 1024).await.map_err(|why| call.lost(why))?;
            Err(CallError::Refused(Refusal::read(status.as_u16(), &headers, &body)))
        })
    }
}

impl Events {
    /// The place in the journal up to which this stream has brought everything; `None` before it said so.
    pub fn place(&self) -> Option<u64> {
        self.parser.last_id()?.parse().ok()
    }

    /// The next event; `None` when the stream has ended or fallen silent, so that it has to be opened again.
    pub fn next(&mut self, patience: &mut Patience) -> Waited<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Waited::For(Some(event));
            }
            let more = async { tokio::time::timeout(SILENCE, self.wire.next(&mut self.body)).await };
            match patience.wait(more) {
                Waited::For(Ok(Some(bytes))) => match self.parser.feed(&bytes) {
                    Ok(events) => self.ready.extend(events),
                    Err(_too_large) => return Waited::For(None),
                },
                Waited::For(Ok(None) | Err(_)) => return Waited::For(None),
                Waited::TimeOver => return Waited::TimeOver,
                Waited::Interrupted => return Waited::Interrupted,
            }
        }
    }
}
