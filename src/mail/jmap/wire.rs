//! HTTP to one JMAP server: one origin, one time limit for a whole call, bounded answers, the password nowhere else.

use std::{fmt, io, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::time::Instant;
use ureq::{
    Agent,
    http::{Response, Uri},
    tls::{RootCerts, TlsConfig},
};

use super::secret::{Credential, Secret};
use crate::{mail::MailError, os::files};

/// Everything that one call of a mailbox may take, connecting and reading together.
const LIMIT: Duration = Duration::from_secs(10);
/// The same for a call that carries files.
const UPLOAD_LIMIT: Duration = Duration::from_secs(60);
/// For one more look after a failure.
const BRIEF: Duration = Duration::from_secs(2);
/// Largest answer that is read.
const LARGEST_ANSWER: u64 = 32 * 1024 * 1024;
/// How often a server may send us elsewhere.
const REDIRECTS: usize = 5;
/// Where systems keep the certificates that they trust; without any, those that were compiled in are used.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// When a call has to be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// For a call without files.
    pub(super) fn soon() -> Self {
        Self(Instant::now() + LIMIT)
    }

    /// For a call with files.
    pub(super) fn for_files() -> Self {
        Self(Instant::now() + UPLOAD_LIMIT)
    }

    /// For one more look when a call has failed.
    pub(super) fn briefly() -> Self {
        Self(Instant::now() + BRIEF)
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Scheme, host and port: the password goes nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl Origin {
    /// The origin of an address, if a password may go there: TLS, or this machine.
    ///
    /// # Errors
    /// [`MailError::Invalid`].
    pub(super) fn of(url: &str) -> Result<(Self, String), MailError> {
        let wrong = |why: &str| MailError::Invalid(format!("the mail server's address cannot be used: {why}"));
        let uri: Uri = url.parse().map_err(|_error| wrong("it is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("it is not a whole URL"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a login; the password has a file of its own"));
        }
        let host = authority.host().to_ascii_lowercase();
        let default = match scheme {
            "https" => 443,
            "http" if is_this_machine(&host) => 80,
            "http" => return Err(wrong("a password goes over plain http to this machine only; use https")),
            _ => return Err(wrong("only https is spoken, and http to this machine")),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok((Self { scheme: scheme.to_owned(), host, port: authority.port_u16().unwrap_or(default) }, path))
    }

    /// The path of a link of the server's, which has to stay at this origin.
    ///
    /// # Errors
    /// [`MailError::Rejected`].
    pub(super) fn path_of(&self, link: &str) -> Result<String, MailError> {
        if link.starts_with('/') && !link.starts_with("//") {
            return Ok(link.to_owned());
        }
        match Self::of(link) {
            Ok((origin, path)) if origin == *self => Ok(path),
            Ok((origin, _)) => Err(MailError::Rejected(format!(
                "the mail server {self} sends us to {origin}; bind the session to that one if it is meant"
            ))),
            Err(_) => Err(MailError::Rejected(format!("the mail server {self} sends us to an address without TLS"))),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// One server, as one login.
#[derive(Clone)]
pub(super) struct Wire {
    agent: Agent,
    origin: Origin,
    authorization: Secret,
    login: String,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("origin", &self.origin).field("login", &self.login).finish_non_exhaustive()
    }
}

impl Wire {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`MailError::Invalid`] for an authority that is none.
    pub(super) fn new(origin: Origin, credential: &Credential) -> Result<Self, MailError> {
        let login = &credential.login_identity;
        let pair = BASE64_STANDARD.encode(format!("{login}:{}", credential.password.reveal()));
        let tls = TlsConfig::builder().root_certs(trusted(&origin, credential.authority.as_deref())?).build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // Whose proxy it is does not follow from whose mail it is.
            .proxy(None)
            // A kept connection may belong to a server that is gone; a new one tells the truth.
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .user_agent(concat!("agents/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .new_agent();
        Ok(Self { agent, origin, authorization: Secret::new(format!("Basic {pair}")), login: login.clone() })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A document; `None` where the server has none (404, 405).
    pub(super) fn get(&self, path: &str, deadline: Deadline) -> Result<Option<Value>, MailError> {
        self.ask(path, deadline)?.map(|answer| self.document(answer)).transpose()
    }

    /// The bytes of a file of so many at most; `None` where the server has none (404, 405).
    pub(super) fn file(&self, path: &str, largest: u64, deadline: Deadline) -> Result<Option<Vec<u8>>, MailError> {
        self.ask(path, deadline)?.map(|answer| self.bytes(answer, largest)).transpose()
    }

    fn ask(&self, path: &str, deadline: Deadline) -> Result<Option<Response<ureq::Body>>, MailError> {
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTS {
            let request = self
                .agent
                .get(format!("{}{path}", self.origin))
                .header("authorization", self.authorization.reveal())
                .config()
                .timeout_global(Some(deadline.left()))
                .build();
            let answer = request.call().map_err(|error| self.unreachable(error))?;
            if answer.status().is_redirection() {
                let to = answer.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
                path = self.origin.path_of(to)?;
                continue;
            }
            if matches!(answer.status().as_u16(), 404 | 405) {
                return Ok(None);
            }
            return Ok(Some(answer));
        }
        Err(MailError::Rejected(format!("the mail server {} sends us in a circle", self.origin)))
    }

    /// Posts a JSON document or the bytes of a file.
    pub(super) fn post(&self, path: &str, media: &str, body: &[u8], deadline: Deadline) -> Result<Value, MailError> {
        let request = self
            .agent
            .post(format!("{}{path}", self.origin))
            .header("authorization", self.authorization.reveal())
            .header("content-type", media)
            .header("accept", "application/json")
            .config()
            .timeout_global(Some(deadline.left()))
            .build();
        let answer = request.send(body).map_err(|error| self.unreachable(error))?;
        self.document(answer)
    }

    fn document(&self, answer: Response<ureq::Body>) -> Result<Value, MailError> {
        let bytes = self.bytes(answer, LARGEST_ANSWER)?;
        serde_json::from_slice(&bytes).map_err(|_error| {
            MailError::Rejected(format!("the mail server {} answered something that is not JMAP", self.origin))
        })
    }

    fn bytes(&self, mut answer: Response<ureq::Body>, largest: u64) -> Result<Vec<u8>, MailError> {
        let status = answer.status().as_u16();
        let origin = &self.origin;
        match status {
            200..=299 => {}
            401 | 403 => {
                return Err(MailError::Rejected(format!(
                    "the mail server {origin} refused the login or password of {}",
                    self.login
                )));
            }
            413 => return Err(MailError::Invalid(format!("the mail server {origin} finds it too large"))),
            429 | 500.. => {
                return Err(MailError::Unavailable(format!("the mail server {origin} answered {status}")));
            }
            _ => {
                return Err(MailError::Rejected(format!(
                    "the mail server {origin} answered {status}: does JMAP live there?"
                )));
            }
        }
        // One more than fits tells a file of that size from a larger one.
        let read = answer.body_mut().with_config().limit(largest + 1).read_to_vec();
        read.map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: ureq::Error) -> MailError {
        let origin = &self.origin;
        let later = |why: &str| MailError::Unavailable(format!("the mail server {origin} {why}"));
        match error {
            ureq::Error::Timeout(_) => later("did not answer in time"),
            ureq::Error::HostNotFound => later("was not found: nobody knows the name"),
            ureq::Error::BodyExceedsLimit(_) => {
                MailError::Invalid(format!("the mail server {origin} answers too much at once; ask for less"))
            }
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => later("is not there: the connection was refused"),
                io::ErrorKind::InvalidData => self.no_tls(&error.to_string()),
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => later("did not answer in time"),
                _ => later(&format!("was lost: {error}")),
            },
            ureq::Error::Tls(why) => self.no_tls(why),
            ureq::Error::Rustls(error) => self.no_tls(&error.to_string()),
            error => later(&format!("was lost: {error}")),
        }
    }

    fn no_tls(&self, why: &str) -> MailError {
        let way_out = if why.contains("UnknownIssuer") {
            "; nobody who is trusted vouches for it: `agents mail bind --jmap-ca FILE` names who does"
        } else {
            ""
        };
        MailError::Rejected(format!("no safe connection to the mail server {}: {why}{way_out}", self.origin))
    }
}

/// Who vouches for a server: those that somebody named for it, else those that this system trusts.
fn trusted(origin: &Origin, authority: Option<&str>) -> Result<RootCerts, MailError> {
    match authority {
        None => Ok(trusted_here(origin)),
        Some(_) if origin.scheme != "https" => {
            Err(MailError::Invalid("a certificate authority is for https alone".to_owned()))
        }
        Some(text) => match certificates(text.as_bytes()) {
            found if found.is_empty() => {
                Err(MailError::Invalid("the mail server's authority holds no certificate in PEM".to_owned()))
            }
            found => Ok(RootCerts::new_with_certs(&found)),
        },
    }
}

fn certificates(pem: &[u8]) -> Vec<ureq::tls::Certificate<'static>> {
    let certificate = |item| match item {
        Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    ureq::tls::parse_pem(pem).filter_map(certificate).collect()
}

fn trusted_here(origin: &Origin) -> RootCerts {
    if origin.scheme != "https" {
        return RootCerts::WebPki;
    }
    let bundle = TRUSTED.iter().find_map(|path| files::read_linked(std::path::Path::new(path)).ok());
    let Some(bundle) = bundle else { return RootCerts::WebPki };
    let found = certificates(&bundle);
    if found.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_over_tls_or_stays_on_this_machine() {
        for fine in ["https://mail.example", "http://127.0.0.1:8080/jmap", "http://[::1]:1/", "http://localhost/"] {
            assert!(Origin::of(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "http://mail.example",
            "http://127.0.0.1.example/",
            "ftp://x",
            "/jmap",
            "https://a:b@mail.example",
            "",
            "x y",
        ] {
            assert!(matches!(Origin::of(wrong), Err(MailError::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn links_stay_at_their_origin() {
        let (origin, path) = Origin::of("https://Mail.example/.well-known/jmap").unwrap();
        assert_eq!((origin.to_string().as_str(), path.as_str()), ("https://mail.example:443", "/.well-known/jmap"));
        assert_eq!(origin.path_of("/jmap/?a=b"), Ok("/jmap/?a=b".to_owned()));
        assert_eq!(origin.path_of("https://mail.example:443/jmap"), Ok("/jmap".to_owned()));
        for away in
            ["https://evil.example/", "http://mail.example/", "//evil.example/x", "https://mail.example:444/", ""]
        {
            assert!(matches!(origin.path_of(away), Err(MailError::Rejected(_))), "{away}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let (origin, _) = Origin::of("http://127.0.0.1:1/").unwrap();
        let credential = Credential {
            credential_ref: "x".to_owned(),
            login_identity: "alpha".to_owned(),
            password: Secret::new("swordfish".to_owned()),
            authority: None,
        };
        let shown = format!("{:?} {credential:?}", Wire::new(origin, &credential));
        assert!(!shown.contains("swordfish") && !shown.contains("YWxwaGE6"), "{shown}");
    }
}
