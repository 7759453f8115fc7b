//! Decides which bytes of a connection are well-formed HTTP/1 requests, before any HTTP library sees them.
//!
//! Libraries are lenient: they take a bare LF for a line end, or quietly prefer one of two contradicting body
//! lengths. Leniency is how two parsers come to disagree about where a request ends, so this checker takes exactly
//! one reading of a request and refuses everything else. It does no I/O and keeps no bytes.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// The largest request head, in bytes: request line, header lines and the empty line.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most header lines in a head.
pub const MAX_HEADERS: usize = 64;

/// Empty lines tolerated before a request line; some old clients end a body with an extra line end.
const MAX_LEADING_EMPTY_LINES: usize = 2;

/// Query parameters that would put a secret into logs, histories and referrers.
const SECRET_PARAMETERS: [&str; 3] = ["token", "access_token", "key"];

/// Why a request was not taken. The connection it came on can carry no further request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status of the answer: 400 to 599.
    pub status: u16,
    /// One sentence fragment for the person who wrote the client.
    pub reason: Cow<'static, str>,
}

/// What may happen to the bytes that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// So many bytes from the front may be passed on, and now count as passed. Never zero.
    Pass(usize),
    /// Nothing can be said before more bytes arrive.
    More,
    /// No byte may be passed on, now or later.
    Refuse(Refusal),
}

/// The checker of one connection: follows heads and bodies in turn.
#[derive(Debug)]
pub struct Framing {
    max_body: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Body { left: u64 },
    Everything,
    Refused(Refusal),
}

impl Framing {
    /// A connection on which nothing has arrived. `max_body` is the largest request body, in bytes.
    pub fn new(max_body: u64) -> Self {
        Self { max_body, state: State::Head(Head::default()) }
    }

    /// Judges the bytes that wait: everything received and not yet passed, in order.
    ///
    /// After [`Verdict::More`] the next call must present the same bytes with new ones behind them; after
    /// [`Verdict::Pass`] it must present what follows the passed ones. One call passes at most one head or one piece
    /// of a body, so a caller can hold back the next request; it calls again until it hears something else.
    pub fn advance(&mut self, waiting: &[u8]) -> Verdict {
        if waiting.is_empty() {
            return match &self.state {
                State::Refused(refusal) => Verdict::Refuse(refusal.clone()),
                _ => Verdict::More,
            };
        }
        match &mut self.state {
            State::Refused(refusal) => Verdict::Refuse(refusal.clone()),
            State::Everything => Verdict::Pass(waiting.len()),
            State::Body { left } => {
                let passed = usize::try_from(*left).map_or(waiting.len(), |left| left.min(waiting.len()));
                *left -= passed as u64;
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
                Verdict::Pass(passed)
            }
            State::Head(head) => match head.scan(waiting, self.max_body) {
                Ok(None) => Verdict::More,
                Ok(Some(body)) => {
                    let passed = head.scanned;
                    self.state = if body == 0 { State::Head(Head::default()) } else { State::Body { left: body } };
                    Verdict::Pass(passed)
                }
                Err(refusal) => {
                    self.state = State::Refused(refusal.clone());
                    Verdict::Refuse(refusal)
                }
            },
        }
    }

    /// Does the next byte to pass belong to a request head?
    pub fn expects_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// How many coming bytes pass whatever they are: the rest of a body. `None` when the next byte is checked.
    pub fn unchecked(&self) -> Option<u64> {
        match self.state {
            State::Body { left } => Some(left),
            State::Everything => Some(u64::MAX),
            State::Head(_) | State::Refused(_) => None,
        }
    }

    /// Stops checking, for good: the connection no longer speaks HTTP after a `101 Switching Protocols`.
    ///
    /// A connection that was refused stays refused.
    pub fn pass_everything(&mut self) {
        if !matches!(self.state, State::Refused(_)) {
            self.state = State::Everything;
        }
    }
}

/// What is known of a head whose end has not been seen. Offsets count from its first byte.
#[derive(Debug, Default)]
struct Head {
    scanned: usize,
    line_start: usize,
    after_cr: bool,
    empty_lines: usize,
    /// The header lines so far; `None` before the request line.
    headers: Option<usize>,
    has_host: bool,
    content_length: Option<u64>,
    has_transfer_encoding: bool,
}

impl Head {
    /// Scans on from where the last call stopped. At the end of the head, the length of its body.
    fn scan(&mut self, waiting: &[u8], max_body: u64) -> Result<Option<u64>, Refusal> {
        while let Some(&byte) = waiting.get(self.scanned) {
            if self.scanned == MAX_HEAD {
                return refuse(431, "the request head is larger than 16 KiB");
            }
            self.scanned += 1;
            match (self.after_cr, byte) {
                (true, b'\n') => {
                    let line = waiting.get(self.line_start..self.scanned - 2).unwrap_or_default();
                    (self.after_cr, self.line_start) = (false, self.scanned);
                    if self.line(line)? {
                        return self.body_length(max_body).map(Some);
                    }
                }
                (true, _) => return refuse(400, "a carriage return without a line feed in the request head"),
                (false, b'\n') => return refuse(400, "a line feed without a carriage return in the request head"),
                (false, b'\r') => self.after_cr = true,
                (false, _) => {}
            }
        }
        Ok(None)
    }

    /// Takes one line, without its CRLF. Was it the empty line that ends the head?
    fn line(&mut self, line: &[u8]) -> Result<bool, Refusal> {
        match (self.headers, line.is_empty()) {
            (None, true) => {
                self.empty_lines += 1;
                if self.empty_lines > MAX_LEADING_EMPTY_LINES {
                    return refuse(400, "too many empty lines before the request line");
                }
                Ok(false)
            }
            (None, false) => {
                check_request_line(line)?;
                self.headers = Some(0);
                Ok(false)
            }
            (Some(_), true) => Ok(true),
            (Some(MAX_HEADERS), false) => refuse(431, "more than 64 header lines"),
            (Some(count), false) => {
                self.headers = Some(count + 1);
                self.header(line).map(|()| false)
            }
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return refuse(400, "a folded header line");
        }
        let Some((name, value)) = split_once(line, b':') else {
            return refuse(400, "a header line without a colon");
        };
        if !is_token(name) {
            return refuse(400, "a malformed header name");
        }
        if value.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()) {
            return refuse(400, "a control character in a header value");
        }
        if name.eq_ignore_ascii_case(b"host") {
            if self.has_host {
                return refuse(400, "more than one Host header");
            }
            self.has_host = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.content_length.is_some() {
                return refuse(400, "more than one Content-Length header");
            }
            self.content_length = Some(parse_length(value.trim_ascii())?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.has_transfer_encoding = true;
        }
        Ok(())
    }

    fn body_length(&self, max_body: u64) -> Result<u64, Refusal> {
        if !self.has_host {
            return refuse(400, "no Host header");
        }
        match (self.has_transfer_encoding, self.content_length) {
            (true, Some(_)) => refuse(400, "both Transfer-Encoding and Content-Length"),
            (true, None) => refuse(411, "send a Content-Length"),
            (false, Some(length)) if length > max_body => {
                let reason = format!("the request body has {length} bytes; at most {max_body} are taken").into();
                Err(Refusal { status: 413, reason })
            }
            (false, length) => Ok(length.unwrap_or(0)),
        }
    }
}

fn refuse<T>(status: u16, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, reason: reason.into() })
}

/// `METHOD SP target SP version`, with exactly one space each.
fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refuse(400, "a malformed request line");
    };
    if !is_token(method) {
        return refuse(400, "a malformed request method");
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => {}
        other if other.starts_with(b"HTTP/") => return refuse(505, "speak HTTP/1.1"),
        _ => return refuse(400, "a malformed HTTP version"),
    }
    check_target(target)
}

fn check_target(target: &[u8]) -> Result<(), Refusal> {
    if target.first() != Some(&b'/') {
        return refuse(400, "the request target must be a path that starts with a slash");
    }
    // The bytes that the HTTP library would refuse by itself with an empty answer, and the backslash, which some
    // programs take for a slash.
    if !target.iter().all(|&byte| byte.is_ascii_graphic() && !b"\"#<>\\`".contains(&byte)) {
        return refuse(400, "a character in the request target that must be percent-encoded");
    }
    let (path, query) = split_once(target, b'?').unwrap_or((target, &[]));
    if has_parent_segment(path) {
        return refuse(400, "a .. segment in the path");
    }
    let mut names = query.split(|&byte| byte == b'&').map(|pair| split_once(pair, b'=').map_or(pair, |(name, _)| name));
    if names.any(is_secret_parameter) {
        return refuse(400, "never put a token in the URL");
    }
    Ok(())
}

/// Does a segment decode to `..`? An encoded slash separates segments too: whoever decodes the path will see it so.
fn has_parent_segment(path: &[u8]) -> bool {
    // `None` once the segment holds anything but dots.
    let mut dots = Some(0_u8);
    for byte in percent_decoded(path).chain([b'/']) {
        dots = match byte {
            b'/' | b'\\' if dots == Some(2) => return true,
            b'/' | b'\\' => Some(0),
            b'.' => dots.and_then(|dots| dots.checked_add(1)),
            _ => None,
        };
    }
    false
}

fn is_secret_parameter(name: &[u8]) -> bool {
    SECRET_PARAMETERS
        .iter()
        .any(|secret| percent_decoded(name).map(|byte| byte.to_ascii_lowercase()).eq(secret.bytes()))
}

/// The bytes with every `%XX` replaced; a percent sign without two hexadecimal digits stands for itself.
pub(super) fn percent_decoded(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        if first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(first)
    })
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(length) => Ok(length),
        None => refuse(400, "the Content-Length is not a number of bytes"),
    }
}

/// One or more of the characters that RFC 9110 calls `tchar`.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}
