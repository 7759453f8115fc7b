//! Who may come in. Stands in front of routing, so no route can be missed. Pure but for the kernel's word on a peer.
//!
//! Loopback is not a trust boundary: a web page in the user's browser can reach it. A caller without a token
//! must be the same user by the kernel's word *and* show no sign of a browser.

use std::fmt;

use axum::http::{HeaderMap, Method, Request, header};
use subtle::ConstantTimeEq;

use super::serve::{Connection, Peer};
use crate::api::Host;

/// The bearer token. It cannot be printed by accident.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes the secret.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    fn is(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// A refusal before routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// HTTP status.
    pub status: u16,
    /// For the body; the same text for every wrong token.
    pub reason: &'static str,
}

/// The rules of one listener.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it listens.
    pub host: Host,
    /// On which port.
    pub port: u16,
    /// What a caller may show instead of being the same user.
    pub token: Token,
    /// The user that the gateway runs as.
    pub uid: u32,
}

const UNAUTHORIZED: Denied = Denied { status: 401, reason: "a valid bearer token is needed" };

impl Access {
    /// Decides about one request.
    ///
    /// # Errors
    /// [`Denied`]: 421 for a foreign `Host`, 403 for a browser, 415 for a body that is not JSON, 401 without proof.
    pub fn check<B>(&self, request: &Request<B>, connection: &Connection) -> Result<(), Denied> {
        let headers = request.headers();
        self.check_host(headers, connection)?;
        check_browser(request.method(), headers)?;
        check_content_type(request.method(), headers)?;
        if request.uri().path() == "/health" && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(());
        }
        self.check_caller(headers, connection)
    }

    /// The name must be ours: a name that an attacker points at 127.0.0.1 is not.
    fn check_host(&self, headers: &HeaderMap, connection: &Connection) -> Result<(), Denied> {
        // A browser cannot open a Unix socket, and there is no name for it.
        if matches!(connection.peer(), Peer::Unix { .. }) {
            return Ok(());
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Denied { status: 400, reason: "exactly one Host header is needed" });
        };
        let host = host.to_str().unwrap_or_default();
        let ours = ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .any(|name| host.eq_ignore_ascii_case(&format!("{name}:{}", self.port)));
        // Opened to the network on purpose: other names lead here too, and the token decides.
        if ours || (self.host == Host::Any && !host.starts_with("0.0.0.0")) {
            return Ok(());
        }
        Err(Denied { status: 421, reason: "this is not the host that was asked for" })
    }

    fn check_caller(&self, headers: &HeaderMap, connection: &Connection) -> Result<(), Denied> {
        let mut offered = headers.get_all(header::AUTHORIZATION).iter();
        match (offered.next(), offered.next()) {
            (Some(one), None) => {
                let text = one.to_str().unwrap_or_default();
                let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                if token.is_some_and(|(_, token)| self.token.is(token.trim())) { Ok(()) } else { Err(UNAUTHORIZED) }
            }
            (None, _) if !shows_browser(headers) && is_local(connection) && connection.peer_uid() == Some(self.uid) => {
                Ok(())
            }
            _ => Err(UNAUTHORIZED),
        }
    }
}

fn is_local(connection: &Connection) -> bool {
    match connection.peer() {
        Peer::Unix { .. } => true,
        Peer::Tcp { client, .. } => client.ip().is_loopback(),
    }
}

fn shows_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

/// Pages of other sites are refused whatever they carry; an origin of localhost proves nothing, since the
/// agent's own browser is local too.
fn check_browser(method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
    let foreign = Denied { status: 403, reason: "requests from web pages are not accepted" };
    let preflight = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if headers.contains_key(header::ORIGIN) || preflight {
        return Err(foreign);
    }
    let site = headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or_default());
    if site.is_some_and(|site| !matches!(site, "none" | "same-origin")) { Err(foreign) } else { Ok(()) }
}

/// A body must be JSON by its type: forms and plain text are what a page can send without asking.
fn check_content_type(method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let is_json = kind.is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if is_json || (!has_body && kind.is_none()) {
        return Ok(());
    }
    Err(Denied { status: 415, reason: "the body must be application/json" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, headers: &[(&str, &str)], uid: u32) -> u16 {
        let access = Access { host: Host::Loopback, port: 4711, token: Token::new("secret".into()), uid: 1000 };
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let connection = Connection::new(Peer::Unix { uid });
        match access.check(&request.body(()).unwrap(), &connection) {
            Ok(()) => 200,
            Err(denied) => denied.status,
        }
    }

    #[test]
    fn the_same_user_needs_no_token_and_others_do() {
        assert_eq!(check("GET /v1/status", &[], 1000), 200);
        assert_eq!(check("GET /v1/status", &[], 1001), 401);
        assert_eq!(check("GET /v1/status", &[("authorization", "Bearer secret")], 1001), 200);
        assert_eq!(check("GET /v1/status", &[("authorization", "Bearer secre")], 1000), 401);
        assert_eq!(check("GET /v1/status", &[("authorization", "Bearer ")], 1000), 401);
        assert_eq!(check("GET /health", &[], 1001), 200);
        assert_eq!(check("GET /nothing", &[], 1001), 401, "a stranger does not learn which routes exist");
    }

    #[test]
    fn a_browser_is_refused_or_needs_the_token() {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:4711"] {
            assert_eq!(check("GET /v1/status", &[("origin", origin)], 1000), 403, "{origin}");
        }
        assert_eq!(check("GET /health", &[("sec-fetch-site", "cross-site")], 1000), 403);
        assert_eq!(check("GET /v1/status", &[("sec-fetch-mode", "navigate"), ("sec-fetch-site", "none")], 1000), 401);
        let preflight = [("access-control-request-method", "POST")];
        assert_eq!(check("OPTIONS /v1/status", &preflight, 1000), 403);
    }

    #[test]
    fn bodies_must_be_json() {
        assert_eq!(check("POST /v1/status", &[("content-type", "text/plain"), ("content-length", "2")], 1000), 415);
        assert_eq!(check("POST /v1/status", &[("content-length", "2")], 1000), 415);
        let json = [("content-type", "application/json; charset=utf-8"), ("content-length", "2")];
        assert_eq!(check("POST /v1/status", &json, 1000), 200);
        assert_eq!(check("DELETE /v1/status", &[], 1000), 200);
    }

    #[test]
    fn a_foreign_host_is_misdirected() {
        let access = Access { host: Host::Loopback, port: 4711, token: Token::new("secret".into()), uid: 0 };
        let status = |host: &str| {
            let request = Request::builder().uri("/health").header("host", host).body(()).unwrap();
            let address = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
            let connection = Connection::new(Peer::Tcp { client: address(1), server: address(4711) });
            access.check(&request, &connection).map_or_else(|denied| denied.status, |()| 200)
        };
        for ours in ["127.0.0.1:4711", "localhost:4711", "LOCALHOST:4711", "[::1]:4711"] {
            assert_eq!(status(ours), 200, "{ours}");
        }
        for foreign in ["evil.example", "evil.example:4711", "127.0.0.1:4712", "127.0.0.1", "0.0.0.0:4711"] {
            assert_eq!(status(foreign), 421, "{foreign}");
        }
    }
}
