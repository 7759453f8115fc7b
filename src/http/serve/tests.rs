use std::net::Ipv4Addr;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::mpsc,
    time::sleep,
};

use super::*;

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the test what happens inside the handlers.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Entered,
    Dropped,
    Switched(Vec<u8>),
}

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (sender, events) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        let handler = move |request, connection| handle(request, connection, sender.clone());
        running.spawn(serve(Listener::Tcp(listener), handler, limits, stopped));
        Self { address, stop, running, events }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes on a new connection; everything that comes back before the server closes it.
    async fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_all(&mut stream).await
    }

    async fn event(&mut self) -> Event {
        within(self.events.recv()).await.unwrap()
    }

    async fn ended(&mut self) {
        within(self.running.join_next()).await.unwrap().unwrap();
    }
}

struct TellDrop(mpsc::UnboundedSender<Event>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        // The test may have ended already.
        self.0.send(Event::Dropped).ok();
    }
}

async fn handle(
    mut request: Request<Incoming>,
    connection: Arc<Connection>,
    events: mpsc::UnboundedSender<Event>,
) -> Response<Body> {
    match request.uri().path() {
        "/body" => match request.into_body().collect().await {
            Ok(body) => Response::new(Body::from(body.to_bytes())),
            Err(error) => Response::new(Body::from(error.to_string())),
        },
        "/uid" => Response::new(Body::from(format!("{:?}", connection.peer_uid()))),
        "/slow" => {
            events.send(Event::Entered).unwrap();
            sleep(Duration::from_millis(200)).await;
            Response::new(Body::from("slow"))
        }
        "/never" => {
            let _tell = TellDrop(events.clone());
            events.send(Event::Entered).unwrap();
            std::future::pending().await
        }
        "/large" => Response::new(Body::from(vec![b'x'; 32 * 1024 * 1024])),
        "/panic" => panic!("as the test wants"),
        "/switch" => {
            let upgrade = hyper::upgrade::on(&mut request);
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut bytes = [0; 6];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(b"\nbye").await.unwrap();
                stream.shutdown().await.unwrap();
                events.send(Event::Switched(bytes.to_vec())).unwrap();
            });
            tasks.detach_all();
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
            answer.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("test"));
            answer
        }
        path => Response::new(Body::from(format!("path={path}"))),
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing happened")
}

/// Everything up to the orderly end of the stream.
async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads until the bytes end so.
async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        text.push(char::from(within(stream.read_u8()).await.unwrap()));
    }
    text
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn last_get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[tokio::test]
async fn bad_heads_get_their_status_and_a_closed_connection() {
    let server = Server::start(Limits::default()).await;
    let post = |headers: &str| format!("POST /body HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
    let cases = [
        (post("Content-Length: 4\r\nTransfer-Encoding: chunked"), "400"),
        (post("Content-Length: 4\r\nContent-Length: 4"), "400"),
        (post("Content-Length: 100000000000000000000"), "400"),
        (post("Content-Length: 1048577"), "413"),
        (post("Transfer-Encoding: chunked"), "411"),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), "400"),
        (post(&"A: b\r\n".repeat(101)), "431"),
        (post(&format!("A: {}", "x".repeat(500_000))), "431"),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), "400"),
        (get("/a/../b"), "400"),
        (get("/?token=a"), "400"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), "505"),
    ];
    for (request, status) in cases {
        let answer = server.ask(request.as_bytes()).await;
        let shown: String = request.chars().take(80).collect();
        assert_eq!(statuses(&answer), [status], "{shown:?} got {answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_complete_response() {
    let server = Server::start(Limits::default()).await;
    let answer = server.ask(b"GET / HTTP/1.1\r\n\r\n").await;
    let expected = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\
                    connection: close\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\r\n\
                    {\"detail\":\"no Host header\"}";
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_library_takes_every_head_that_the_framing_takes() {
    let server = Server::start(Limits::default()).await;
    let mut requests: Vec<Vec<u8>> = (0x21..=0x7e_u8)
        .flat_map(|byte| {
            let byte = char::from(byte);
            [get(&format!("/{byte}")), get(&format!("/?{byte}")), get("/").replace("GET", &format!("G{byte}T"))]
        })
        .map(String::into_bytes)
        .collect();
    requests.extend((0..=u8::MAX).map(|byte| [b"GET / HTTP/1.1\r\nHost: a\r\nA: ", &[byte][..], b"\r\n\r\n"].concat()));
    let full_head = [b"\r\n\r\nGET / HTTP/1.0\r\nHost:\r\n", &b"A: b\r\n".repeat(62)[..], b"B: "].concat();
    let filler = "x".repeat(crate::http::framing::MAX_HEAD - full_head.len() - 4);
    requests.extend([[&full_head[..], filler.as_bytes(), b"\r\n\r\n"].concat(), get("//a//b/%zz").into_bytes()]);
    for request in requests {
        let mut stream = server.connect().await;
        stream.write_all(&request).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let refused_by_us = head.starts_with("HTTP/1.1 400") && head.contains("nosniff");
        let answered = ["HTTP/1.1 200", "HTTP/1.0 200"].iter().any(|status| head.starts_with(status));
        assert!(answered || refused_by_us, "{:?} got {head:?}", request.escape_ascii().to_string());
    }
}

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let server = Server::start(Limits::default()).await;
    let mut stream = server.connect().await;
    for path in ["/a", "/b"] {
        write(&mut stream, &get(path)).await;
        let answer = read_until(&mut stream, &format!("path={path}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    write(&mut stream, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await;
    write(&mut stream, "hello").await;
    read_until(&mut stream, "hello").await;
    write(&mut stream, &last_get("/c")).await;
    assert!(read_all(&mut stream).await.ends_with("path=/c"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Limits::default()).await;
    let post = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let answer = server.ask([&get("/slow"), post, &get("/b"), &last_get("/c")].concat().as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"; 4]);
    let places: Vec<_> = ["slow", "hello", "path=/b", "path=/c"].iter().map(|body| answer.find(body)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");
}

#[tokio::test]
async fn a_refusal_follows_the_earlier_answers() {
    let server = Server::start(Limits::default()).await;
    let answer = server.ask([&get("/a"), &get("/slow"), "GET / HTTP/1.1\n\n"].concat().as_bytes()).await;
    assert_eq!(statuses(&answer), ["200", "200", "400"], "{answer}");

    let mut stream = server.connect().await;
    write(&mut stream, &get("/a")).await;
    read_until(&mut stream, "path=/a").await;
    write(&mut stream, "GET / HTTP/1.1\n").await;
    assert_eq!(statuses(&read_all(&mut stream).await), ["400"], "a refusal on an idle connection");
}

#[tokio::test]
async fn half_heads_stop_nobody_and_run_out_of_time() {
    let limits = Limits { header_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = server.connect().await;
        write(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\nA: ").await;
        slow.push(stream);
    }
    assert_eq!(statuses(&server.ask(last_get("/").as_bytes()).await), ["200"]);
    for mut stream in slow {
        assert_eq!(statuses(&read_all(&mut stream).await), ["408"]);
    }
}

#[tokio::test]
async fn idle_connections_are_closed_without_a_word() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start(limits).await;
    assert_eq!(read_all(&mut server.connect().await).await, "");

    let mut stream = server.connect().await;
    // Slower than an idle connection may be: time spent on the answer does not count.
    write(&mut stream, &get("/slow")).await;
    read_until(&mut stream, "slow").await;
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn idle_time_does_not_count_against_the_head() {
    let limits = Limits { header_timeout: Duration::from_millis(900), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut stream = server.connect().await;
    let request = last_get("/a");
    let (start, rest) = request.split_at(7);
    for part in [start, rest] {
        // Each wait is within the limit, both together are not.
        sleep(Duration::from_millis(500)).await;
        write(&mut stream, part).await;
    }
    assert_eq!(statuses(&read_all(&mut stream).await), ["200"]);
}

#[tokio::test]
async fn a_refused_peer_is_heard_out_within_bounds() {
    // A pipe with a small buffer: what the server does not read, the client cannot write.
    let part = |sent: usize| async move {
        let (mut client, server) = tokio::io::duplex(1024);
        let seat = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(turn_away(Box::new(server), Limits::default(), seat));
        let written = within(client.write_all(&vec![b'x'; sent])).await;
        (written, read_all(&mut client).await)
    };
    let (written, answer) = part(512 * 1024).await;
    assert!(written.is_ok() && answer.starts_with("HTTP/1.1 503 "), "{written:?} {answer}");
    let (written, answer) = part(4 * 1024 * 1024).await;
    assert!(written.is_err() && answer.starts_with("HTTP/1.1 503 "), "{written:?} {answer}");
}

#[tokio::test]
async fn a_slow_request_is_given_up() {
    let limits = Limits { request_timeout: Duration::from_millis(100), ..Limits::default() };
    let mut server = Server::start(limits).await;
    assert_eq!(statuses(&server.ask(get("/never").as_bytes()).await), ["504"]);
    assert_eq!(server.event().await, Event::Entered);
    assert_eq!(server.event().await, Event::Dropped);
    let half = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    assert_eq!(statuses(&server.ask(half.as_bytes()).await), ["408"]);
}

#[tokio::test]
async fn a_peer_that_takes_no_bytes_is_dropped() {
    let limits = Limits { request_timeout: Duration::from_millis(100), max_connections: 1, ..Limits::default() };
    let server = Server::start(limits).await;
    let mut stalled = server.connect().await;
    write(&mut stalled, &get("/large")).await;
    let freed = async {
        while statuses(&server.ask(last_get("/").as_bytes()).await) != ["200"] {
            tokio::task::yield_now().await;
        }
    };
    within(freed).await;
}

#[tokio::test]
async fn an_early_answer_survives_the_rest_of_the_body() {
    let server = Server::start(Limits::default()).await;
    let body = "x".repeat(1024 * 1024);
    let request = format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = server.ask(request.as_bytes()).await;
    assert!(answer.ends_with("path=/early"), "{answer}");
}

#[tokio::test]
async fn the_handler_is_dropped_when_its_peer_leaves() {
    let mut server = Server::start(Limits::default()).await;
    let mut stream = server.connect().await;
    write(&mut stream, &get("/never")).await;
    assert_eq!(server.event().await, Event::Entered);
    drop(stream);
    assert_eq!(server.event().await, Event::Dropped);
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so() {
    let server = Server::start(Limits { max_connections: 2, ..Limits::default() }).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for stream in [&mut first, &mut second] {
        write(stream, &get("/a")).await;
        read_until(stream, "path=/a").await;
    }
    let answer = server.ask(get("/b").as_bytes()).await;
    assert_eq!(statuses(&answer), ["503"]);
    assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.ends_with(r#"{"detail":"too many connections"}"#));

    drop(first);
    let freed = async {
        while statuses(&server.ask(last_get("/").as_bytes()).await) != ["200"] {
            tokio::task::yield_now().await;
        }
    };
    within(freed).await;
}

#[tokio::test]
async fn a_panicking_handler_loses_only_its_connection() {
    let server = Server::start(Limits::default()).await;
    assert_eq!(server.ask(get("/panic").as_bytes()).await, "");
    assert_eq!(statuses(&server.ask(last_get("/").as_bytes()).await), ["200"]);
}

#[tokio::test]
async fn the_stop_lets_requests_finish() {
    let mut server = Server::start(Limits::default()).await;
    let mut idle = server.connect().await;
    let mut half = server.connect().await;
    write(&mut half, "GET / HT").await;
    let mut stream = server.connect().await;
    write(&mut stream, &get("/slow")).await;
    assert_eq!(server.event().await, Event::Entered);
    server.stop.send(true).unwrap();
    assert!(read_all(&mut stream).await.ends_with("slow"));
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut half).await, "");
    drop(half);
    server.ended().await;
    let refused = TcpStream::connect(server.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn the_stop_does_not_wait_for_ever() {
    let mut server = Server::start(Limits { shutdown_grace: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = server.connect().await;
    write(&mut stream, &get("/never")).await;
    assert_eq!(server.event().await, Event::Entered);
    server.stop.send(true).unwrap();
    server.ended().await;
    assert_eq!(server.event().await, Event::Dropped);
}

#[tokio::test]
async fn after_a_switch_of_protocols_every_byte_passes() {
    let mut server = Server::start(Limits::default()).await;
    let request = "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n";
    // The first bytes in the new protocol come together with the request.
    let answer = server.ask(format!("{request}\n\r\n\r\0\n").as_bytes()).await;
    assert_eq!(statuses(&answer), ["101"]);
    assert!(answer.ends_with("\r\n\r\n\nbye"), "{answer:?}");
    assert_eq!(server.event().await, Event::Switched(b"\n\r\n\r\0\n".to_vec()));
}

#[tokio::test]
async fn tcp_peers_are_known_by_their_user() {
    let server = Server::start(Limits::default()).await;
    let answer = server.ask(last_get("/uid").as_bytes()).await;
    assert!(answer.ends_with(&format!("{:?}", Some(crate::os::peer::my_uid()))), "{answer}");
}

#[tokio::test]
async fn unix_peers_are_known_by_their_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (sender, _events) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    let handler = move |request, connection| handle(request, connection, sender.clone());
    running.spawn(serve(Listener::Unix(listener), handler, Limits::default(), stopped));

    let mut stream = UnixStream::connect(&path).await.unwrap();
    write(&mut stream, &last_get("/uid")).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with(&format!("{:?}", Some(crate::os::peer::my_uid()))), "{answer}");
    drop(stop);
    within(running.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn failures_to_accept_are_met_with_growing_pauses() {
    let mut backoff = Backoff::default();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        backoff.failed(&io::Error::other("as the test wants"));
        pauses.push(backoff.pause.as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    assert!(backoff.until.is_some());
}
