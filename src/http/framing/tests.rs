use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 1024;

/// Feeds the pieces as a connection would; returns what was passed, and the refusal if there was one.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Refusal>) {
    let mut framing = Framing::new(LIMIT);
    let (mut waiting, mut passed) = (Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            match framing.advance(&waiting) {
                Verdict::More => break,
                Verdict::Pass(count) => passed.extend(waiting.drain(..count)),
                Verdict::Refuse(refusal) => return (passed, Some(refusal)),
            }
        }
    }
    (passed, None)
}

#[track_caller]
fn assert_passes(stream: &[u8]) {
    let (passed, refusal) = run([stream]);
    assert_eq!(refusal, None);
    assert_eq!(passed, stream);
}

#[track_caller]
fn assert_refused(stream: &[u8], status: u16) {
    let (passed, refusal) = run([stream]);
    assert_eq!(refusal.map(|refusal| refusal.status), Some(status));
    assert!(passed.is_empty(), "a byte of the refused head was passed");
}

/// A request with this request line and one more header line.
fn head(request_line: &str, header: &str) -> Vec<u8> {
    format!("{request_line}\r\nHost: localhost\r\n{header}\r\n\r\n").into_bytes()
}

fn target(target: &str) -> Vec<u8> {
    head(&format!("GET {target} HTTP/1.1"), "A: b")
}

#[test]
fn plain_requests_pass() {
    assert_passes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_passes(b"GET / HTTP/1.0\r\nhost:\r\n\r\n");
    assert_passes(b"POST /a?b=c HTTP/1.1\r\nHOST: a\r\nContent-Length: 003 \r\n\r\nabc");
    assert_passes(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_passes(b"GET / HTTP/1.1\r\nHost: a\r\nNote:\ttab and caf\xc3\xa9\r\n\r\n");
    assert_passes(b"");
}

#[test]
fn a_body_ends_where_its_length_says() {
    let two = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\n\r\0zGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_passes(two);
    let (passed, refusal) = run([&b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nabc\n"[..]]);
    assert_eq!(refusal.map(|refusal| refusal.status), Some(400));
    assert!(passed.ends_with(b"\r\n\r\na"), "the good request passes, what follows it does not");
}

#[test]
fn line_ends_are_carriage_return_and_line_feed() {
    assert_refused(b"GET / HTTP/1.1\nHost: a\n\n", 400);
    assert_refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
    assert_refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
    assert_refused(b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400);
    assert_refused(b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400);
    assert_refused(b"\n", 400);
}

#[test]
fn a_head_has_a_largest_size() {
    let mut largest = b"GET / HTTP/1.1\r\nHost: a\r\nLong: ".to_vec();
    largest.resize(MAX_HEAD - 4, b'x');
    assert_passes(&[&largest[..], b"\r\n\r\n"].concat());
    assert_refused(&[&largest[..], b"x\r\n\r\n"].concat(), 431);
    assert_refused(&b"x".repeat(MAX_HEAD + 1), 431);
}

#[test]
fn a_head_has_a_largest_number_of_lines() {
    let lines = |count: usize| [b"GET / HTTP/1.1\r\nHost: a\r\n", &b"A: b\r\n".repeat(count - 1)[..], b"\r\n"].concat();
    assert_passes(&lines(MAX_HEADERS));
    assert_refused(&lines(MAX_HEADERS + 1), 431);
}

#[test]
fn two_empty_lines_may_precede_a_request() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_passes(&[b"\r\n\r\n", &request[..]].concat());
    assert_refused(&[b"\r\n\r\n\r\n", &request[..]].concat(), 400);
}

#[test]
fn the_target_is_a_path() {
    for bad in ["http://a/", "a:80", "*", "", "a", "/caf\u{e9}", "/a#b", "/a\\b", "/<b>", "/`"] {
        assert_refused(&target(bad), 400);
    }
    assert_refused(&head("CONNECT a:80 HTTP/1.1", "A: b"), 400);
    assert_refused(&head("OPTIONS * HTTP/1.1", "A: b"), 400);
    assert_passes(&target("//a/b?c={d}|e"));
}

#[test]
fn the_path_does_not_climb() {
    for bad in ["/..", "/../", "/a/..", "/a/../b", "/%2e%2E/b", "/.%2e", "/a%2f..%2Fb", "/a%5c..%5cb", "/..?a"] {
        assert_refused(&target(bad), 400);
    }
    for good in ["/...", "/a..b", "/..a", "/.", "/a/.b", "/%252e%252e", "/%", "/%2", "/%zz", "/?a=/../b"] {
        assert_passes(&target(good));
    }
}

#[test]
fn no_token_in_the_url() {
    for bad in ["/?token=a", "/?a=b&access_token=c", "/?key", "/?Token=", "/?%74oken=a", "/?key=a?b"] {
        let (_, refusal) = run([&target(bad)[..]]);
        assert_eq!(refusal, Some(Refusal { status: 400, reason: "never put a token in the URL".into() }), "{bad}");
    }
    for good in ["/token=a", "/?keys=1", "/?a=token", "/?monkey=1", "/key?"] {
        assert_passes(&target(good));
    }
}

#[test]
fn the_request_line_has_three_parts() {
    for bad in ["GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "G(T / HTTP/1.1", "GET / http/1.1"] {
        assert_refused(&head(bad, "A: b"), 400);
    }
}

#[test]
fn only_version_one_is_spoken() {
    for bad in ["GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/1.10"] {
        assert_refused(&head(bad, "A: b"), 505);
    }
}

#[test]
fn there_is_exactly_one_host() {
    for version in ["1.0", "1.1"] {
        assert_refused(format!("GET / HTTP/{version}\r\nA: b\r\n\r\n").as_bytes(), 400);
        assert_refused(&head(&format!("GET / HTTP/{version}"), "HOST: other"), 400);
    }
}

#[test]
fn a_length_is_one_number() {
    let post = |header: &str| head("POST / HTTP/1.1", header);
    for bad in ["", "-1", "+1", "1,1", "1 1", "0x1", "1.0", "a", "100000000000000000000", "18446744073709551616"] {
        assert_refused(&post(&format!("Content-Length: {bad}")), 400);
    }
    assert_refused(&post("Content-Length: 1\r\ncontent-length: 1"), 400);
    assert_refused(&post("Content-Length: 1\r\nContent-Length: 2"), 400);
    assert_refused(&post("Content-Length: 18446744073709551615"), 413);
    assert_refused(&post(&format!("Content-Length: {}", LIMIT + 1)), 413);
    assert_passes(&post(&format!("Content-Length: {LIMIT}")));
}

#[test]
fn chunked_uploads_are_not_taken() {
    let post = |header: &str| head("POST / HTTP/1.1", header);
    assert_refused(&post("Transfer-Encoding: chunked"), 411);
    assert_refused(&post("Transfer-Encoding: identity"), 411);
    assert_refused(&post("Transfer-Encoding: chunked\r\nContent-Length: 1"), 400);
    assert_refused(&post("Content-Length: 1\r\ntransfer-encoding: chunked"), 400);
}

#[test]
fn header_lines_are_well_formed() {
    for bad in
        ["A: b\r\n c: d", "A: b\r\n\tc", "A : b", "A", ": b", "A b: c", "A\u{e9}: b", "A: \0", "A: \x7f", "A: \x1b"]
    {
        assert_refused(&head("GET / HTTP/1.1", bad), 400);
    }
    assert_refused(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
}

#[test]
fn a_refusal_is_final() {
    let mut framing = Framing::new(LIMIT);
    let refusal = framing.advance(b"\n");
    assert!(matches!(refusal, Verdict::Refuse(_)));
    framing.pass_everything();
    assert_eq!(framing.advance(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), refusal);
    assert_eq!(framing.advance(b""), refusal);
}

#[test]
fn after_a_switch_of_protocols_everything_passes() {
    let mut framing = Framing::new(LIMIT);
    assert!(framing.expects_head());
    assert_eq!(framing.unchecked(), None);
    framing.pass_everything();
    assert!(!framing.expects_head());
    assert_eq!(framing.unchecked(), Some(u64::MAX));
    assert_eq!(framing.advance(b"\n\r\0"), Verdict::Pass(3));
}

/// One good request, with or without a body.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let path = "/[a-z0-9._~%/-]{0,20}".prop_filter("climbs", |path| !has_parent_segment(path.as_bytes()));
    let headers = proptest::collection::vec("X-[A-Za-z-]{1,8}:[ -~\t]{0,20}", 0..5);
    let body = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60));
    ("(\r\n){0,2}", "[A-Z]{1,7}", path, "[01]", headers, body).prop_map(
        |(blank, method, path, minor, headers, body)| {
            let mut request = format!("{blank}{method} {path} HTTP/1.{minor}\r\nHost: localhost\r\n");
            for header in headers {
                request.push_str(&header);
                request.push_str("\r\n");
            }
            let mut request = request.into_bytes();
            if let Some(body) = &body {
                request.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
            }
            request.extend(b"\r\n");
            request.extend(body.unwrap_or_default());
            request
        },
    )
}

/// Bytes that look enough like HTTP to get past the first check.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        request(),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 7\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Cuts the stream at these places, each taken modulo its length.
fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    places.push(0);
    places.push(stream.len());
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn good_streams_pass_however_they_are_cut(
        requests in proptest::collection::vec(request(), 1..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
    ) {
        let stream = requests.concat();
        let (passed, refusal) = run(pieces(&stream, &cuts));
        prop_assert_eq!(refusal, None);
        prop_assert_eq!(passed, stream);
    }

    #[test]
    fn any_stream_gets_one_verdict_however_it_is_cut(
        stream in soup(),
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
    ) {
        let whole = run([&stream[..]]);
        prop_assert!(stream.starts_with(&whole.0));
        prop_assert_eq!(&run(pieces(&stream, &cuts)), &whole);
        prop_assert_eq!(&run(stream.chunks(1)), &whole);
    }

    #[test]
    fn no_byte_of_a_refused_head_passes(
        good in proptest::collection::vec(request(), 0..3),
        bad in proptest::sample::select(vec![
            &b"GET / HTTP/1.1\r\nHost: a\n\r\n"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\n",
        ]),
        noise in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let good = good.concat();
        let (passed, refusal) = run([&good[..], bad, &noise[..]]);
        prop_assert!(refusal.is_some());
        prop_assert_eq!(passed, good);
    }
}
