use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::*;
use crate::http::serve::{self, Limits, Listener};

/// A journal in memory.
#[derive(Clone)]
struct Journal {
    entries: Arc<Mutex<Vec<EventView>>>,
    newest: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    seats: Arc<Semaphore>,
    /// The cursors of all fetches.
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Journal {
    fn new(length: u64) -> Self {
        let journal = Self {
            entries: Arc::default(),
            newest: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            seats: Arc::new(Semaphore::new(1)),
            asked: Arc::default(),
        };
        journal.grow(length);
        journal
    }

    fn grow(&self, count: u64) {
        let mut entries = self.entries.lock().unwrap();
        for _ in 0..count {
            let id = entries.len() as u64 + 1;
            entries.push(event(id, "receipt"));
        }
        self.newest.send_replace(entries.len() as u64);
    }

    /// Everything that a stream sends, until it ends or the test has seen enough.
    fn follow(&self, cursor: u64, heartbeat: Duration, only: fn(&EventView) -> bool) -> Body {
        let (entries, asked) = (self.entries.clone(), self.asked.clone());
        let fetch = move |after: u64| {
            asked.lock().unwrap().push(after);
            let page: Vec<EventView> =
                entries.lock().unwrap().iter().filter(|e| e.id > after && only(e)).take(PAGE).cloned().collect();
            async move { Some(page) }
        };
        let follower =
            Follower { fetch, newest: self.newest.subscribe(), stopping: self.stop.subscribe(), cursor, heartbeat };
        follower.into_body(self.seats.clone().try_acquire_owned().unwrap())
    }
}

fn event(id: u64, kind: &str) -> EventView {
    let data = json!({"receipt": "typed"}).as_object().unwrap().clone();
    EventView { id, request_id: Some("gwreq-1".to_owned()), kind: kind.to_owned(), at_utc: "t".to_owned(), data }
}

/// The next piece; empty at the end.
async fn piece(body: &mut Body) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("nothing came");
    frame.map_or_else(String::new, |frame| String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
}

fn ids(piece: &str) -> Vec<u64> {
    piece.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_frame_has_its_fields_on_their_own_lines() {
    let mut event = event(7, "rec\neipt\r");
    event.data.insert("detail".to_owned(), json!("a\nb\u{2028}"));
    let data = r#"{"id":7,"request_id":"gwreq-1","kind":"rec\neipt\r","at_utc":"t","detail":"a\nb"#;
    assert_eq!(frame(&event), format!("id: 7\nevent: receipt\ndata: {data}\u{2028}\",\"receipt\":\"typed\"}}\n\n"));
}

#[tokio::test]
async fn what_is_kept_is_replayed_in_pages_and_what_comes_follows() {
    let journal = Journal::new(250);
    let mut body = journal.follow(30, LONG, |_| true);
    assert_eq!(piece(&mut body).await, ": following\nid: 30\n\n");
    for expected in [31..=130, 131..=230, 231..=250] {
        assert_eq!(ids(&piece(&mut body).await), expected.collect::<Vec<u64>>());
    }
    let grow = async { journal.grow(2) };
    let (piece, ()) = tokio::join!(piece(&mut body), grow);
    assert!(ids(&piece).starts_with(&[251]), "{piece}");
}

#[tokio::test]
async fn silence_is_broken_and_the_events_of_others_move_the_cursor() {
    let journal = Journal::new(250);
    let mut body = journal.follow(0, Duration::from_millis(1), |event| event.id == 300);
    assert_eq!(piece(&mut body).await, ": following\nid: 0\n\n");
    for _ in 0..2 {
        assert_eq!(piece(&mut body).await, ": heartbeat\n\n");
    }
    assert_eq!(*journal.asked.lock().unwrap(), [0, 250]);
    journal.grow(100);
    let mut seen = ": heartbeat\n\n".to_owned();
    while seen == ": heartbeat\n\n" {
        seen = piece(&mut body).await;
    }
    assert_eq!(ids(&seen), [300]);
}

#[tokio::test]
async fn a_stream_ends_with_the_gateway_and_gives_its_seat_back() {
    let journal = Journal::new(1);
    let mut body = journal.follow(1, LONG, |_| true);
    piece(&mut body).await;
    let stop = async {
        tokio::task::yield_now().await;
        journal.stop.send_replace(true);
    };
    let (end, ()) = tokio::join!(piece(&mut body), stop);
    assert_eq!((end.as_str(), journal.seats.available_permits()), ("", 1));

    let body = journal.follow(1, LONG, |_| true);
    assert_eq!(journal.seats.available_permits(), 0);
    drop(body);
    assert_eq!(journal.seats.available_permits(), 1, "also when the peer leaves");
}

#[tokio::test]
async fn a_stream_ends_when_its_source_does() {
    let journal = Journal::new(1);
    let stop = watch::Sender::new(false);
    let follower = Follower {
        fetch: |_| async { None },
        newest: journal.newest.subscribe(),
        stopping: stop.subscribe(),
        cursor: 0,
        heartbeat: LONG,
    };
    let mut body = follower.into_body(journal.seats.clone().try_acquire_owned().unwrap());
    piece(&mut body).await;
    assert_eq!(piece(&mut body).await, "");
}

/// Serves streams of this journal on a port. At the stop it waits for them as long as it takes.
async fn served(journal: &Journal) -> (TcpStream, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let streams = journal.clone();
    let handler = move |_, _| {
        let body = streams.follow(0, LONG, |_| true);
        async move { axum::http::Response::new(body) }
    };
    let limits = Limits { shutdown_grace: LONG, ..Limits::default() };
    let mut running = JoinSet::new();
    running.spawn(serve::serve(Listener::Tcp(listener), handler, limits, journal.stop.subscribe()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "id: 0\n\n").await;
    (stream, running)
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut text = String::new();
    while !text.contains(end) {
        let byte = tokio::time::timeout(Duration::from_secs(20), stream.read_u8()).await;
        text.push(char::from(byte.expect(&text).expect(&text)));
    }
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_stop() {
    let journal = Journal::new(0);
    let (mut stream, mut running) = served(&journal).await;
    journal.grow(1);
    read_until(&mut stream, "id: 1\n").await;
    journal.stop.send_replace(true);
    read_until(&mut stream, "\r\n0\r\n\r\n").await;
    let ended = tokio::time::timeout(Duration::from_secs(20), running.join_next()).await;
    ended.expect("the server waits for the stream").unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_leaves_frees_its_place_without_an_event() {
    let journal = Journal::new(0);
    let (stream, _running) = served(&journal).await;
    assert_eq!(journal.seats.available_permits(), 0);
    drop(stream);
    let freed = tokio::time::timeout(Duration::from_secs(20), journal.seats.acquire()).await;
    freed.expect("the stream goes on without its peer").unwrap().forget();
}
