//! A real JMAP server of the test's own: Debian's cyrus-imapd on a loopback port, its files in a temporary folder.
//!
//! The test answers for passwords (`saslauthd`) and carries mail between accounts (SMTP in, LMTP out), and can stop in the
//! middle of it. Accounts are made by their first mail.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use agents::{
    api::{JmapBinding, MailBinding, MailQuery},
    mail::{
        Mailbox,
        jmap::{Credential, Secret, store_credential},
    },
    model::BoxName,
};
use rustix::process::{Pid, Signal};

use super::{children, eventually, free_port};

const MASTER: &str = "/usr/sbin/cyrmaster";
const HTTPD: &str = "/usr/lib/cyrus/bin/httpd";
/// Where every account of these tests is.
pub const DOMAIN: &str = "agents.localhost";

/// Where mail stops on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It does not.
    Nowhere = 0,
    /// When the server has handed over the envelope; nobody gets the message.
    BeforeDelivery = 1,
    /// When everybody has the message; the server is not told.
    AfterDelivery = 2,
}

#[derive(Debug, Default)]
struct Bridge {
    hold: AtomicUsize,
    held: AtomicUsize,
}

/// One server until it is dropped.
#[derive(Debug)]
pub struct Cyrus {
    folder: tempfile::TempDir,
    pub port: u16,
    /// Where it speaks TLS, if it does.
    pub tls: Option<u16>,
    master: Option<Child>,
    bridge: Arc<Bridge>,
}

impl Cyrus {
    /// Starts one, or says why not.
    pub fn start() -> Option<Self> {
        Self::start_as(None)
    }

    /// Starts one that speaks TLS, too. Its certificate is for `localhost` alone.
    pub fn start_with_tls() -> Option<Self> {
        if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: openssl is not installed");
            return None;
        }
        Self::start_as(Some(free_port()))
    }

    fn start_as(tls: Option<u16>) -> Option<Self> {
        for needed in [MASTER, HTTPD] {
            if !Path::new(needed).exists() {
                eprintln!("skipped: {needed} is not installed (Debian: cyrus-imapd and cyrus-caldav)");
                return None;
            }
        }
        let folder = tempfile::Builder::new().prefix("agents-cyrus-").tempdir().unwrap();
        let bridge = Arc::<Bridge>::default();
        let mut cyrus = Self { folder, port: free_port(), tls, master: None, bridge };
        cyrus.write_settings();
        if tls.is_some() {
            cyrus.write_certificates();
        }
        cyrus.serve_passwords();
        let smtp = cyrus.carry_mail();
        cyrus.write_configuration(smtp);
        cyrus.up();
        Some(cyrus)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The user that the server becomes: root has to become somebody, anybody else stays who he is.
    fn user() -> (String, Option<(u32, u32)>) {
        if !rustix::process::geteuid().is_root() {
            let out = Command::new("id").arg("-un").output().unwrap();
            return (String::from_utf8(out.stdout).unwrap().trim().to_owned(), None);
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let line = users.lines().find(|line| line.starts_with("cyrus:")).expect("the package makes a user `cyrus`");
        let fields: Vec<&str> = line.split(':').collect();
        ("cyrus".to_owned(), Some((fields[2].parse().unwrap(), fields[3].parse().unwrap())))
    }

    fn write_settings(&self) {
        let (_, owner) = Self::user();
        std::fs::set_permissions(self.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["conf", "part", "sockets"] {
            std::fs::create_dir(self.path(name)).unwrap();
            if let Some((uid, gid)) = owner {
                std::os::unix::fs::chown(self.path(name), Some(uid), Some(gid)).unwrap();
            }
        }
    }

    /// An authority of its own, and what it says about the server.
    fn write_certificates(&self) {
        let run = |words: &[&str]| {
            let mut command = Command::new("openssl");
            let done = command.current_dir(self.folder.path()).args(words).output().unwrap();
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
        run(&[&new[..], &ca].concat());
        run(&[&new[..], &["-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr"]].concat());
        std::fs::write(self.path("names"), "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n").unwrap();
        let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        run(&[&sign[..], &["-days", "2", "-extfile", "names", "-out", "server.pem"]].concat());
        // The server is another user.
        std::fs::set_permissions(self.path("server.key"), PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// Who vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn write_configuration(&self, smtp: u16) {
        let root = self.folder.path().display();
        let (user, _) = Self::user();
        let port = self.port;
        let settings = format!(
            "configdirectory: {root}/conf\npartition-default: {root}/part\ndefaultpartition: default\n\
             cyrus_user: {user}\nproc_path: {root}/conf/proc\nmboxname_lockpath: {root}/conf/lock\n\
             virtdomains: userid\ndefaultdomain: {DOMAIN}\nunixhierarchysep: on\naltnamespace: on\n\
             allowplaintext: yes\nsasl_pwcheck_method: saslauthd\nsasl_saslauthd_path: {root}/sockets/auth\n\
             sasl_mech_list: PLAIN\nhttpmodules: jmap\nconversations: yes\nconversations_db: twoskip\n\
             autocreate_post: yes\nautocreate_quota: 0\nautocreate_inbox_folders: Sent | Archive | Drafts | Trash\n\
             xlist-sent: Sent\nxlist-archive: Archive\nxlist-drafts: Drafts\nxlist-trash: Trash\n\
             lmtpsocket: {root}/sockets/lmtp\nlmtp_downcase_rcpt: yes\nidlesocket: {root}/sockets/idle\n\
             notifysocket: {root}/sockets/notify\nsmtp_backend: host\nsmtp_host: 127.0.0.1:{smtp}/noauth\n"
        );
        let (tls_settings, tls_service) = match self.tls {
            Some(port) => (
                format!("tls_server_cert: {root}/server.pem\ntls_server_key: {root}/server.key\n"),
                format!(
                    "https cmd=\"httpd -s -C {root}/imapd.conf\" listen=\"127.0.0.1:{port}\" prefork=1 maxchild=5\n  "
                ),
            ),
            None => Default::default(),
        };
        std::fs::write(self.path("imapd.conf"), settings + &tls_settings).unwrap();
        let services = format!(
            "START {{\n  recover cmd=\"ctl_cyrusdb -r -C {root}/imapd.conf\"\n}}\nSERVICES {{\n  \
             http cmd=\"httpd -C {root}/imapd.conf\" listen=\"127.0.0.1:{port}\" prefork=1 maxchild=20\n  {tls_service}\
             lmtpunix cmd=\"lmtpd -a -C {root}/imapd.conf\" listen=\"{root}/sockets/lmtp\" prefork=1 maxchild=20\n}}\n\
             EVENTS {{\n}}\n"
        );
        std::fs::write(self.path("cyrus.conf"), services).unwrap();
    }

    /// Starts the server that was killed, or the first one.
    pub fn up(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new(MASTER)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["-C", &self.path("imapd.conf").display().to_string()])
            .args(["-M", &self.path("cyrus.conf").display().to_string()])
            .args(["-p", &self.path("pid").display().to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.master = Some(child);
        eventually("the mail server", || {
            if let Ok(Some(status)) = self.master.as_mut().unwrap().try_wait() {
                panic!("{status}: {}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
            }
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
            UnixStream::connect(self.path("sockets/lmtp")).map(drop).map_err(|error| error.to_string())
        });
    }

    /// A signal for every process of the server. It gets no time to start others.
    pub fn signal_all(&self, signal: Signal) {
        let Some(master) = &self.master else { return };
        let send = |pid: u32, signal| {
            rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).ok();
        };
        if signal != Signal::CONT {
            send(master.id(), Signal::STOP);
        }
        children(master.id()).into_iter().for_each(|pid| send(pid, signal));
        send(master.id(), signal);
    }

    /// Kills all of it at once.
    pub fn kill(&mut self) {
        self.signal_all(Signal::KILL);
        if let Some(mut master) = self.master.take() {
            master.wait().unwrap();
        }
    }

    /// Where mail stops from now on.
    pub fn hold(&self, hold: Hold) {
        self.bridge.hold.store(hold as usize, Ordering::SeqCst);
    }

    /// How many messages were held.
    pub fn held(&self) -> usize {
        self.bridge.held.load(Ordering::SeqCst)
    }

    /// Everybody's password is `secret of NAME`.
    fn serve_passwords(&self) {
        let path = self.path("sockets/auth");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut words = Vec::new();
                for _ in 0..4 {
                    let mut length = [0; 2];
                    let mut word = Vec::new();
                    if stream.read_exact(&mut length).is_err() {
                        break;
                    }
                    word.resize(u16::from_be_bytes(length).into(), 0);
                    stream.read_exact(&mut word).ok();
                    words.push(String::from_utf8_lossy(&word).into_owned());
                }
                let fits = words.len() == 4 && words[1] == password_of(words[0].split('@').next().unwrap());
                stream.write_all(if fits { b"\0\x02OK" } else { b"\0\x02NO" }).ok();
            }
        });
    }

    /// SMTP in, LMTP out: the two differ in the greeting and in the number of answers to a message.
    fn carry_mail(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (lmtp, bridge) = (self.path("sockets/lmtp"), self.bridge.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (lmtp, bridge) = (lmtp.clone(), bridge.clone());
                std::thread::spawn(move || bridge.carry(&stream, &lmtp));
            }
        });
        port
    }

    /// The mailbox of an account with an empty inbox, bound as a session would be.
    pub fn account(&self, name: &str) -> Mailbox {
        deliver(&self.path("sockets/lmtp"), name);
        let mailbox = self.bound(name, &password_of(name));
        let all = mailbox.list(&MailQuery::of(BoxName::inbox())).unwrap();
        let first: Vec<String> = all.into_iter().map(|message| message.message_ref).collect();
        mailbox.relocate(&first, &"Trash".parse().unwrap()).unwrap();
        mailbox
    }

    /// The folder with a session's credentials.
    pub fn secrets(&self, name: &str) -> PathBuf {
        self.path(&format!("session-{name}/mailbox-secrets"))
    }

    /// A mailbox that logs in with this password.
    pub fn bound(&self, name: &str, password: &str) -> Mailbox {
        let binding = self.binding(name);
        let credential = Credential {
            credential_ref: binding.credential_ref.clone(),
            login_identity: binding.login_identity.clone(),
            password: Secret::new(password.to_owned()),
            authority: None,
        };
        store_credential(&credential, &[&self.secrets(name)]).unwrap();
        Mailbox::of(&MailBinding::Stalwart(binding), self.secrets(name)).unwrap()
    }

    /// What a manifest says.
    pub fn binding(&self, name: &str) -> JmapBinding {
        let address = format!("{name}@{DOMAIN}").parse().unwrap();
        JmapBinding {
            principal_id: name.to_owned(),
            credential_ref: agents::mail::jmap::reference_for(&address),
            address,
            bindings_version: "2026-11-21T11:59:27.741130Z".to_owned(),
            jmap_url: format!("http://127.0.0.1:{}", self.port),
            management_url: String::new(),
            login_identity: format!("{name}@{DOMAIN}"),
        }
    }
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Everybody's password.
pub fn password_of(name: &str) -> String {
    format!("secret of {name}")
}

/// One line of answers, or several: the last has no `-` behind its number.
fn answer(from: &mut impl BufRead) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return all;
        }
        let goes_on = line.as_bytes().get(3) == Some(&b'-');
        all += &line;
        if !goes_on {
            return all;
        }
    }
}

/// The first mail of an account makes its mailboxes.
fn deliver(lmtp: &Path, name: &str) {
    let stream = UnixStream::connect(lmtp).unwrap();
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
    answer(&mut reader);
    let message = format!("From: postmaster@{DOMAIN}\r\nTo: {name}@{DOMAIN}\r\nSubject: welcome\r\n\r\nhello\r\n.");
    for line in
        ["LHLO x", &format!("MAIL FROM:<postmaster@{DOMAIN}>"), &format!("RCPT TO:<{name}@{DOMAIN}>"), "DATA", &message]
    {
        writer.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let said = answer(&mut reader);
        assert!(said.starts_with(['2', '3']), "{line}: {said}");
    }
}

impl Bridge {
    fn holds(&self, hold: Hold) -> bool {
        self.hold.load(Ordering::SeqCst) == hold as usize
    }

    /// For as long as the other end is there.
    fn wait(&self, stream: &TcpStream) {
        self.held.fetch_add(1, Ordering::SeqCst);
        let mut stream = stream;
        let mut rest = [0; 512];
        while matches!(stream.read(&mut rest), Ok(1..)) {}
    }

    fn carry(&self, smtp: &TcpStream, lmtp: &Path) -> Option<()> {
        let up = UnixStream::connect(lmtp).ok()?;
        let (mut from_up, mut up) = (BufReader::new(up.try_clone().ok()?), up);
        let (mut from_down, mut down) = (BufReader::new(smtp.try_clone().ok()?), smtp);
        down.write_all(answer(&mut from_up).replace("LMTP", "ESMTP").as_bytes()).ok()?;
        let mut recipients = 0;
        loop {
            let mut line = String::new();
            if from_down.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let word = line.split_whitespace().next()?.to_uppercase();
            if word == "RCPT" && line.contains("nobody") {
                down.write_all(b"550 5.1.1 there is nobody\r\n").ok()?;
                continue;
            }
            if matches!(word.as_str(), "EHLO" | "HELO") {
                line = format!("LHLO{}", &line[4..]);
            }
            if word == "DATA" && self.holds(Hold::BeforeDelivery) {
                self.wait(smtp);
                return None;
            }
            up.write_all(line.as_bytes()).ok()?;
            let said = answer(&mut from_up);
            down.write_all(said.as_bytes()).ok()?;
            match word.as_str() {
                "RCPT" if said.starts_with('2') => recipients += 1,
                "RSET" => recipients = 0,
                "QUIT" => return None,
                "DATA" if said.starts_with('3') => {
                    loop {
                        let mut line = Vec::new();
                        if from_down.read_until(b'\n', &mut line).ok()? == 0 {
                            return None;
                        }
                        up.write_all(&line).ok()?;
                        if line == b".\r\n" {
                            break;
                        }
                    }
                    let all: Vec<String> = (0..recipients).map(|_| answer(&mut from_up)).collect();
                    if self.holds(Hold::AfterDelivery) {
                        self.wait(smtp);
                        return None;
                    }
                    let worst = all.iter().find(|said| !said.starts_with('2')).or(all.first())?;
                    down.write_all(worst.as_bytes()).ok()?;
                    recipients = 0;
                }
                _ => {}
            }
        }
    }
}
