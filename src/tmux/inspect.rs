//! What exists: one session with its panes and environment, or all of a server, each in one tmux process.
//!
//! Names and marks, which outsiders choose, are printed with their length in front: a line break in one of them cannot
//! forge a row. The foreground program is printed last, with control characters replaced.

use serde::{Deserialize, Serialize};
use tmux_interface::{CapturePane, DisplayMessage, ListPanes, ListSessions, ShowEnvironment};

use super::{
    commands::Commands,
    reader::Reader,
    server::{Server, TmuxError},
    version::Version,
};
use crate::model::{PaneId, TmuxSessionId, WindowId};

/// Which session, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionTarget {
    /// By name; never a prefix or a pattern.
    Named(String),
    /// By id.
    Id(TmuxSessionId),
    /// The session that holds this pane.
    OfPane(PaneId),
}

impl SessionTarget {
    /// As a `-t` argument. `=` makes a name exact, the colon says that it is a session.
    pub fn argument(&self) -> String {
        match self {
            Self::Named(name) => format!("={name}:"),
            Self::Id(id) => format!("{id}:"),
            Self::OfPane(pane) => pane.to_string(),
        }
    }
}

/// One pane of the inspected session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaneFacts {
    /// The session that holds it.
    pub session_id: TmuxSessionId,
    /// Never reused while the server lives.
    pub pane_id: PaneId,
    /// Never reused while the server lives.
    pub window_id: WindowId,
    /// Where the window stands now.
    pub window_index: u32,
    /// The process that the pane was started with.
    pub pid: u32,
    /// The process ended and the pane was kept (`remain-on-exit`).
    pub dead: bool,
    /// Copy mode or another mode is on: typed keys do not reach the program.
    pub in_mode: bool,
    /// `select-pane -d`: input is switched off.
    pub input_off: bool,
    /// Value of our mark on gateway windows: the session root's id, else empty.
    pub gateway_mark: String,
    /// Name of the foreground program, as tmux sees it.
    pub command: String,
}

/// One session, as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The server's pid.
    pub server_pid: u32,
    /// The server's start, seconds since 1970. With the pid: which server.
    pub server_started: i64,
    /// The server's own version; `None` if it does not say.
    pub version: Option<Version>,
    /// `$3`.
    pub session_id: TmuxSessionId,
    /// Its name now.
    pub session_name: String,
    /// Where this session's first window would stand.
    pub base_index: u32,
    /// Does tmux renumber the windows when one closes?
    pub renumber_windows: bool,
    /// Session environment, in tmux's order; removed variables are left out. It may hold secrets, and goes nowhere.
    #[serde(skip)]
    pub environment: Vec<(String, String)>,
    /// Every pane of every window.
    pub panes: Vec<PaneFacts>,
}

impl SessionFacts {
    /// The pane with this id.
    pub fn pane(&self, id: PaneId) -> Option<&PaneFacts> {
        self.panes.iter().find(|pane| pane.pane_id == id)
    }

    /// The panes of the window that stands at index 0, in tmux's order.
    pub fn window_zero(&self) -> impl Iterator<Item = &PaneFacts> {
        self.panes.iter().filter(|pane| pane.window_index == 0)
    }

    /// The lowest index from 1 at which no window stands. Windows with this mark are about to close and do not count.
    pub fn free_window_index(&self, closing: &str) -> u32 {
        (1..=u32::MAX)
            .find(|index| self.panes.iter().all(|pane| pane.window_index != *index || pane.gateway_mark == closing))
            .unwrap_or(1)
    }
}

/// A whole server, as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its pid.
    pub pid: u32,
    /// Its start, seconds since 1970. With the pid: which server.
    pub started: i64,
    /// Every pane of every session.
    pub panes: Vec<PaneFacts>,
}

const SERVER_FORMAT: &str = "server #{pid} #{start_time}";

const SESSION_FORMAT: &str = "session #{pid} #{start_time} #{session_id} #{base-index} #{renumber-windows} \
     #{n:version}:#{version} #{n:session_name}:#{session_name}";

/// One pane a row, for `list-panes -F`. Read by [`read_panes`].
///
/// tmux looks the foreground command up anew wherever a format names it, and it may change in between: a length
/// in front could be another command's. So it stands at the end, named once, with control characters replaced.
pub const PANE_FORMAT: &str = "pane #{session_id} #{pane_id} #{window_id} #{window_index} #{pane_pid} #{pane_dead} \
     #{pane_in_mode} #{pane_input_off} #{n:@agents_gateway}:#{@agents_gateway} \
     #{s/[^ -~]/?/:pane_current_command}";

/// The same without the foreground program, which is read as empty: for everybody who does not need it. The answer
/// then changes only when the pane does, not with every program that starts in it.
pub const STEADY_PANE_FORMAT: &str = "pane #{session_id} #{pane_id} #{window_id} #{window_index} #{pane_pid} #{pane_dead} \
     #{pane_in_mode} #{pane_input_off} #{n:@agents_gateway}:#{@agents_gateway} ";

/// Looks at one session: a single tmux process.
///
/// # Errors
/// [`TmuxError::NoTarget`] if there is no such session, [`TmuxError::TooOld`] for an old server, and the rest.
pub fn session(server: &Server, target: &SessionTarget) -> Result<SessionFacts, TmuxError> {
    let at = target.argument();
    let commands = Commands::new()
        .then(DisplayMessage::new().print().target_pane(at.as_str()).message(SESSION_FORMAT))
        .then(ListPanes::new().session().target(at.as_str()).format(PANE_FORMAT))
        .then(ShowEnvironment::new().target_session(at.as_str()));
    let facts = read_session(&server.run(&commands)?)?;
    match facts.version {
        Some(version) if !version.is_supported() => Err(TmuxError::TooOld { found: version.to_string() }),
        _ => Ok(facts),
    }
}

/// Every pane of the server, and which server it is: a single tmux process. `None` when no server runs.
///
/// # Errors
/// [`TmuxError`] when tmux is missing or hangs.
pub fn all_panes(server: &Server) -> Result<Option<ServerFacts>, TmuxError> {
    if !server.has_socket_file() {
        return Ok(None);
    }
    let commands = Commands::new()
        .then(DisplayMessage::new().print().message(SERVER_FORMAT))
        .then(ListPanes::new().all().format(PANE_FORMAT));
    match server.run(&commands) {
        Ok(printed) => read_server(&printed).map(Some),
        Err(TmuxError::NoServer { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Names of the server's sessions, for "did you mean". Empty when there is no server.
pub fn session_names(server: &Server) -> Vec<String> {
    let format = "#{n:session_name}:#{session_name}";
    let Ok(printed) = server.run(&Commands::new().then(ListSessions::new().format(format))) else {
        return Vec::new();
    };
    let mut reader = Reader { rest: &printed };
    let mut names = Vec::new();
    while let Ok(name) = reader.counted() {
        names.push(name);
        if reader.end_of_row().is_err() {
            break;
        }
    }
    names
}

/// The visible rows of a pane as plain text.
///
/// # Errors
/// [`TmuxError`].
pub fn screen(server: &Server, pane: PaneId) -> Result<String, TmuxError> {
    let at = pane.to_string();
    let printed = server.run(&Commands::new().then(CapturePane::new().stdout().target_pane(at.as_str())))?;
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// The pid of the server that answers; `None` when none does.
pub fn server_pid(server: &Server) -> Option<u32> {
    let printed = server.run(&Commands::new().then(DisplayMessage::new().print().message("#{pid}"))).ok()?;
    String::from_utf8_lossy(&printed).trim().parse().ok()
}

/// The name of a window.
///
/// # Errors
/// [`TmuxError`].
pub fn window_name(server: &Server, window: WindowId) -> Result<String, TmuxError> {
    let at = window.to_string();
    let ask = DisplayMessage::new().print().target_pane(at.as_str()).message("#{n:window_name}:#{window_name}");
    let printed = server.run(&Commands::new().then(ask))?;
    Reader { rest: &printed }.counted()
}

fn read_server(printed: &[u8]) -> Result<ServerFacts, TmuxError> {
    let mut reader = Reader { rest: printed };
    reader.word_is("server")?;
    let (pid, started) = (reader.number()?, reader.number()?);
    reader.end_of_row()?;
    Ok(ServerFacts { pid, started, panes: read_panes(&mut reader)? })
}

fn read_session(printed: &[u8]) -> Result<SessionFacts, TmuxError> {
    let mut reader = Reader { rest: printed };
    reader.word_is("session")?;
    let server_pid = reader.number()?;
    let server_started = reader.number()?;
    let session_id = reader.number()?;
    let base_index = reader.number()?;
    let renumber_windows = reader.flag()?;
    let version = Version::parse(&reader.counted()?);
    reader.space()?;
    let session_name = reader.counted()?;
    reader.end_of_row()?;
    let panes = read_panes(&mut reader)?;
    let environment = read_environment(reader.rest);
    Ok(SessionFacts {
        server_pid,
        server_started,
        version,
        session_id,
        session_name,
        base_index,
        renumber_windows,
        environment,
        panes,
    })
}

/// Reads rows printed by [`PANE_FORMAT`], as many as there are.
pub fn panes_from_rows(printed: &[u8]) -> Result<Vec<PaneFacts>, TmuxError> {
    read_panes(&mut Reader { rest: printed })
}

fn read_panes(reader: &mut Reader<'_>) -> Result<Vec<PaneFacts>, TmuxError> {
    let mut panes = Vec::new();
    while reader.rest.starts_with(b"pane $") {
        reader.word_is("pane")?;
        let pane = PaneFacts {
            session_id: reader.number()?,
            pane_id: reader.number()?,
            window_id: reader.number()?,
            window_index: reader.number()?,
            pid: reader.number()?,
            dead: reader.flag()?,
            in_mode: reader.flag()?,
            input_off: reader.flag()?,
            gateway_mark: {
                let mark = reader.counted()?;
                reader.space()?;
                mark
            },
            command: reader.rest_of_row()?,
        };
        panes.push(pane);
    }
    Ok(panes)
}

/// `NAME=value` lines; `-NAME` means removed. A value's own line breaks make extra lines, which is why a name
/// that appears twice is dropped: one of the two is part of another variable's value.
fn read_environment(printed: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(printed);
    let pairs: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let once = |name: &str| pairs.iter().filter(|(other, _)| *other == name).count() == 1;
    pairs.iter().filter(|(name, _)| once(name)).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_name_does_not_forge_a_row() {
        let printed = b"session 10 1700000000 $3 1 on 4:3.3a 5:my se\n\
            pane $3 %0 @0 0 100 0 0 0 0: bash\n\
            pane $3 %1 @1 1 101 0 1 0 9:ab\npane $ a pane $9\n\
            TERM=x\n-OLD\nAGENTS_AGENT_ID=a\nFAKE=1\nFAKE=2\n";
        let facts = read_session(printed).unwrap();
        assert_eq!(facts.session_name, "my se");
        assert_eq!(facts.panes.len(), 2);
        assert_eq!(facts.panes[1].command, "a pane $9");
        assert!(facts.panes[1].in_mode && !facts.panes[0].in_mode);
        assert_eq!(facts.panes[1].gateway_mark, "ab\npane $");
        assert!(facts.renumber_windows);
        assert_eq!(facts.free_window_index("other"), 2);
        assert_eq!(facts.free_window_index("ab\npane $"), 1, "a window that closes gives its index back");
        assert_eq!(
            facts.environment,
            [("TERM".to_owned(), "x".to_owned()), ("AGENTS_AGENT_ID".to_owned(), "a".to_owned())],
            "a name that appears twice proves nothing"
        );
    }

    #[test]
    fn a_row_without_the_program_is_read_with_an_empty_one() {
        let panes = panes_from_rows(b"pane $3 %0 @0 0 100 0 0 0 0: \npane $3 %1 @1 1 101 1 0 0 2:ab \n").unwrap();
        assert_eq!(panes.len(), 2);
        assert!(panes.iter().all(|pane| pane.command.is_empty()));
        let server = read_server(b"server 10 1700000000\npane $3 %0 @0 0 100 0 0 0 0: bash\n").unwrap();
        assert_eq!((server.pid, server.started, server.panes.len()), (10, 1_700_000_000, 1));
    }

    #[test]
    fn names_become_exact_targets() {
        assert_eq!(SessionTarget::Named("foo".into()).argument(), "=foo:");
        assert_eq!(SessionTarget::Id("$3".parse().unwrap()).argument(), "$3:");
    }
}
