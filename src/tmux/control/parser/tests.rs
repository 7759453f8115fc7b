use proptest::prelude::*;

use super::*;

fn events(parser: &mut Parser, stream: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    parser.feed(stream, |event| events.push(event));
    events
}

fn parse(stream: &[u8]) -> Vec<Event> {
    events(&mut Parser::new(), stream)
}

fn block(number: u64, flags: u32, ok: bool, lines: &[&[u8]]) -> Event {
    let lines = lines.iter().map(|line| line.to_vec()).collect();
    Event::Block { number, flags, ok, lines, truncated: false }
}

#[test]
fn a_block_has_its_lines_and_its_outcome() {
    assert_eq!(
        parse(
            b"%begin 17 264 0\n%end 17 264 0\n%begin 17 265 1\none\n\ntw\xffo\n%end 17 265 1\n\
            %begin 18 266 1\nparse error: unknown command: x\n%error 18 266 1\n%sessions-changed\n"
        ),
        [
            block(264, 0, true, &[]),
            block(265, 1, true, &[b"one", b"", b"tw\xffo"]),
            block(266, 1, false, &[b"parse error: unknown command: x"]),
            Event::Notice(Notice::SessionsChanged),
        ]
    );
}

#[test]
fn content_that_looks_like_the_protocol_is_content() {
    let content: [&[u8]; 9] = [
        b"%end 17 266 1",
        b"%end 18 265 1",
        b"%end 17 265 0",
        b"%end 17 265 1 ",
        b"%end 17 265",
        b"%error 1 1 1",
        b"%begin 17 266 1",
        b"%exit",
        b"%window-close @1",
    ];
    let stream = [b"%begin 17 265 1", &content.join(&b'\n')[..], b"%end 17 265 1\n"].join(&b'\n');
    assert_eq!(parse(&stream), [block(265, 1, true, &content)]);
}

#[test]
fn an_end_without_a_beginning_is_not_a_block() {
    for line in [&b"%end 17 265 1"[..], b"%error 17 265 1", b"%begin 17 265", b"%begin x 265 1", b"%begin 1 2 3 4"] {
        let stream = [line, b"\n"].concat();
        let other = Event::Notice(Notice::Other { line: line.to_vec(), truncated: false });
        assert_eq!(parse(&stream), [other], "{}", line.escape_ascii());
    }
}

#[test]
fn carriage_returns_and_the_terminal_prefix_are_tolerated() {
    assert_eq!(
        parse(b"\x1bP1000p%begin 1 2 0\r\nline\r\n%end 1 2 0\r\n%exit\r\n\x1b\\"),
        [block(2, 0, true, &[b"line"]), Event::Notice(Notice::Exit { reason: vec![] })]
    );
    let later = parse(b"%sessions-changed\n\x1bP1000p%exit\n");
    assert!(matches!(&later[1], Event::Notice(Notice::Other { .. })), "only the beginning has a prefix: {later:?}");
}

#[test]
fn a_line_without_its_end_waits() {
    let mut parser = Parser::new();
    assert_eq!(events(&mut parser, b"%exit lost ser"), []);
    assert_eq!(events(&mut parser, b"ver\n"), [Event::Notice(Notice::Exit { reason: b"lost server".to_vec() })]);
}

#[test]
fn a_line_that_is_too_long_is_cut_and_marked() {
    let mut stream = b"%output %0 ".to_vec();
    stream.resize(LONGEST_LINE + 10, b'x');
    let kept = stream[..LONGEST_LINE].to_vec();
    stream.extend_from_slice(b"\n%exit\n");
    assert_eq!(
        parse(&stream),
        [Event::Notice(Notice::Other { line: kept, truncated: true }), Event::Notice(Notice::Exit { reason: vec![] })]
    );

    let mut stream = b"%begin 1 2 1\n".to_vec();
    stream.resize(stream.len() + LONGEST_LINE + 1, b'x');
    stream.extend_from_slice(b"\nlater\n%end 1 2 1\n");
    let lines = vec![vec![b'x'; LONGEST_LINE]];
    assert_eq!(parse(&stream), [Event::Block { number: 2, flags: 1, ok: true, lines, truncated: true }]);
}

#[test]
fn a_block_that_is_too_large_is_cut_and_still_ends() {
    let mut parser = Parser::new();
    assert_eq!(events(&mut parser, b"%begin 1 2 1\n"), []);
    let line = ["x".repeat(99_999).as_bytes(), b"\n"].concat();
    for _ in 0..100 {
        assert_eq!(events(&mut parser, &line), []);
        assert!(held(&parser) <= LARGEST_BLOCK + LONGEST_LINE);
    }
    let ended = events(&mut parser, b"%end 1 2 1\n%sessions-changed\n");
    let [Event::Block { lines, truncated: true, ok: true, .. }, Event::Notice(Notice::SessionsChanged)] = &ended[..]
    else {
        panic!("the block must end")
    };
    assert_eq!(lines.len(), LARGEST_BLOCK / (99_999 + size_of::<Vec<u8>>()));
}

#[test]
fn a_flood_of_empty_lines_is_bounded_too() {
    let mut parser = Parser::with_limits(100, 2_400);
    events(&mut parser, b"%begin 1 2 1\n");
    events(&mut parser, &[b'\n'; 10_000]);
    let ended = events(&mut parser, b"%end 1 2 1\n");
    assert!(matches!(&ended[..], [Event::Block { lines, truncated: true, .. }] if lines.len() == 100));
}

/// What the parser keeps between two chunks, in bytes.
fn held(parser: &Parser) -> usize {
    let block = parser.block.as_ref().map_or(0, |block| {
        block.lines.iter().map(Vec::capacity).sum::<usize>() + block.lines.len() * size_of::<Vec<u8>>()
    });
    parser.line.len() + block
}

/// Streams that reach deep: pieces of the protocol, right and wrong, mixed with anything.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"%begin 1 1 1\n"[..],
            b"%end 1 1 1\n",
            b"%error 1 1 1\r\n",
            b"%begin 1 2 0\n",
            b"%end 1 2 0\n",
            b"%output %1 a\\033\\",
            b"%extended-output %1 5 : x",
            b"%subscription-changed a $0 @0 0 %0 : v",
            b"%session-renamed $1 x",
            b"\x1bP1000p",
            b"%exit",
            b" ",
            b"\r",
            b"\n",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// One thing that a server says, and the bytes in which tmux says it. Numbers of blocks are given later.
#[derive(Debug, Clone)]
enum Said {
    Output(u32, Vec<u8>),
    Extended(u32, u64, Vec<u8>),
    Pause(u32),
    Continue(u32),
    Mode(u32),
    Block { ok: bool, flags: u32, lines: Vec<Vec<u8>> },
}

/// As tmux writes `%output`: control bytes and the backslash are escaped, everything else is raw.
fn escape(bytes: &[u8]) -> Vec<u8> {
    let one = |byte: &u8| match byte {
        b'\\' | 0..b' ' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![*byte],
    };
    bytes.iter().flat_map(one).collect()
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let line = prop_oneof![
        prop::collection::vec(any::<u8>().prop_filter("one line", |b| !b"\r\n".contains(b)), 0..30),
        // Content of a pane that plays the protocol, with numbers that are not those of the block.
        (any::<u32>(), 0..3_u32, prop::sample::select(vec!["%end", "%error", "%begin", "%output", "%pause"]))
            .prop_map(|(time, flags, word)| format!("{word} {time} 9999999 {flags}").into_bytes()),
    ];
    prop_oneof![
        (any::<u32>(), bytes()).prop_map(|(pane, bytes)| Said::Output(pane, bytes)),
        (any::<u32>(), any::<u64>(), bytes()).prop_map(|(pane, age, bytes)| Said::Extended(pane, age, bytes)),
        any::<u32>().prop_map(Said::Pause),
        any::<u32>().prop_map(Said::Continue),
        any::<u32>().prop_map(Said::Mode),
        (any::<bool>(), 0..2_u32, prop::collection::vec(line, 0..6)).prop_map(|(ok, flags, lines)| Said::Block {
            ok,
            flags,
            lines
        }),
    ]
}

impl Said {
    fn bytes(&self, number: u64) -> Vec<u8> {
        match self {
            Self::Output(pane, bytes) => [format!("%output %{pane} ").as_bytes(), &escape(bytes), b"\n"].concat(),
            Self::Extended(pane, age, bytes) => {
                [format!("%extended-output %{pane} {age} : ").as_bytes(), &escape(bytes), b"\n"].concat()
            }
            Self::Pause(pane) => format!("%pause %{pane}\n").into_bytes(),
            Self::Continue(pane) => format!("%continue %{pane}\n").into_bytes(),
            Self::Mode(pane) => format!("%pane-mode-changed %{pane}\n").into_bytes(),
            Self::Block { ok, flags, lines } => {
                let mut bytes = format!("%begin 17 {number} {flags}\n").into_bytes();
                for line in lines {
                    bytes.extend([line.as_slice(), b"\n"].concat());
                }
                let end = if *ok { "%end" } else { "%error" };
                bytes.extend(format!("{end} 17 {number} {flags}\n").into_bytes());
                bytes
            }
        }
    }

    fn event(&self, number: u64) -> Event {
        let pane = |pane: &u32| format!("%{pane}").parse().unwrap();
        match self {
            Self::Output(at, bytes) => Event::Notice(Notice::Output { pane: pane(at), bytes: bytes.clone() }),
            Self::Extended(at, age, bytes) => {
                let bytes = bytes.clone();
                Event::Notice(Notice::ExtendedOutput { pane: pane(at), age_ms: *age, bytes })
            }
            Self::Pause(at) => Event::Notice(Notice::Pause(pane(at))),
            Self::Continue(at) => Event::Notice(Notice::Continue(pane(at))),
            Self::Mode(at) => Event::Notice(Notice::ModeChanged(pane(at))),
            Self::Block { ok, flags, lines } => {
                Event::Block { number, flags: *flags, ok: *ok, lines: lines.clone(), truncated: false }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_conversation_comes_back_as_it_was_wherever_it_is_cut(
        talk in prop::collection::vec(said(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let numbered = || talk.iter().zip(100..);
        let stream: Vec<u8> = numbered().flat_map(|(said, number)| said.bytes(number)).collect();
        let expected: Vec<Event> = numbered().map(|(said, number)| said.event(number)).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let mut parser = Parser::new();
        let heard: Vec<Event> = at.windows(2).flat_map(|cut| events(&mut parser, &stream[cut[0]..cut[1]])).collect();
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn any_chunking_gives_the_same_events(stream in soup(), sizes in prop::collection::vec(1_usize..30, 1..50)) {
        let whole = events(&mut Parser::with_limits(64, 200), &stream);
        let mut parser = Parser::with_limits(64, 200);
        let mut chunked = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunked.extend(events(&mut parser, chunk));
            rest = after;
        }
        prop_assert_eq!(chunked, whole);
    }

    #[test]
    fn memory_is_bounded_and_nothing_panics(stream in soup(), again in 1_usize..20) {
        let mut parser = Parser::with_limits(64, 200);
        for _ in 0..again {
            parser.feed(&stream, |_| {});
            prop_assert!(held(&parser) <= 264);
        }
    }

    #[test]
    fn content_comes_back_as_it_was(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("one line", |b| !b"\r\n".contains(b)), 0..50), 0..20)
    ) {
        let mut stream = b"%begin 9000000000 7 1\n".to_vec();
        for line in &lines {
            stream.extend_from_slice(line);
            stream.push(b'\n');
        }
        stream.extend_from_slice(b"%end 9000000000 7 1\n");
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(parse(&stream), [block(7, 1, true, &lines)]);
    }
}
