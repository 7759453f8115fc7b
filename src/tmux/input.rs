//! Typing into one pane, with proof: what the pane looks like, and effects that happen once or not at all.
//!
//! tmux runs one command list without returning to its event loop. So an effect is one message: it checks the pane
//! (the process, the mode, who else types, that this very effect was not done before), types, and leaves a mark in
//! an option of the pane. Whoever dies on the way asks the mark. Text never stands in a command: it is loaded into a
//! buffer of its own through a pipe, and is whole before anything refers to it.

mod guard;

use std::sync::Arc;

use tmux_interface::{CapturePane, DeleteBuffer, DisplayMessage, ListBuffers, ListClients, LoadBuffer, SetOption};
use tokio::sync::watch;

pub use guard::{Guard, Mark, Stroke};

use super::{
    commands::Commands,
    control::{Control, ControlError},
    reader::Reader,
    server::{Server, TmuxError},
};
use crate::model::{PaneId, Row, Run, Screen, Style};

/// Pane option: who types here now. A predecessor's late message is refused by it.
pub const HAND_OPTION: &str = "@agents_hand";

/// Names of our buffers begin so; what a crash left of them can be told from a person's own.
pub const BUFFER_PREFIX: &str = "agents-";

/// Facts about the pane, for `display-message -p`. Read by [`PaneNow::read`].
const NOW_FORMAT: &str = "now #{pid} #{pane_pid} #{pane_dead} #{pane_in_mode} #{pane_input_off} #{pane_synchronized} \
     #{alternate_on} #{cursor_flag} #{cursor_x} #{cursor_y} #{pane_width} #{pane_height} #{history_size} \
     #{history_limit} #{session_activity} #{window_activity} #{n:@agents_hand}:#{@agents_hand} \
     #{n:@agents_typed}:#{@agents_typed} #{n:@agents_entered}:#{@agents_entered} #{n:pane_tty}:#{pane_tty} \
     #{n:pane_title}:#{pane_title} #{s/[^ -~]/?/:pane_current_command}";

/// One client of the session.
const CLIENT_FORMAT: &str = "#{client_control_mode} #{client_activity}";

/// Printed between the clients and the rows.
const ROWS: &str = "agents-rows";

/// When this client's person last pressed a key; `None` for a control client, which has no person.
fn person_activity(line: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(line).ok()?;
    let (control, activity) = text.split_once(' ')?;
    if control == "1" { None } else { activity.parse().ok() }
}

/// Facts about a pane at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaneNow {
    /// The tmux server's pid.
    pub server_pid: u32,
    /// The process that the pane was started with.
    pub pid: u32,
    /// The process ended and the pane was kept.
    pub dead: bool,
    /// Copy mode or another mode is on.
    pub in_mode: bool,
    /// Input is switched off.
    pub input_off: bool,
    /// What is typed here is typed into the other panes of the window, too.
    pub synchronized: bool,
    /// The program uses the alternate screen.
    pub alternate: bool,
    /// The program shows the cursor.
    pub cursor_shown: bool,
    /// Column, from 0.
    pub cursor_x: usize,
    /// Row, from 0.
    pub cursor_y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Rows that have scrolled out.
    pub history: usize,
    /// Rows that are kept of those.
    pub history_limit: usize,
    /// When a person last pressed a key in this session, seconds since 1970. Attaching counts too.
    pub session_activity: i64,
    /// When a person's terminal last took a key in this session; `None` if no person is attached, or nobody asked.
    pub person_activity: Option<i64>,
    /// When something was last printed in this window, seconds since 1970.
    pub window_activity: i64,
    /// Who types here.
    pub hand: String,
    /// Texts that were typed by us, newest first; see [`PaneNow::was_typed`].
    pub typed: String,
    /// Texts that were submitted by us, newest first.
    pub entered: String,
    /// The pane's terminal, `/dev/pts/3`.
    pub tty: String,
    /// The title that the program gave the pane; the host's name until it gives one.
    pub title: String,
    /// Name of the foreground program, as tmux sees it; odd characters are replaced.
    pub command: String,
}

impl PaneNow {
    /// Reads what [`NOW_FORMAT`] printed.
    fn read(printed: &[u8]) -> Result<Self, TmuxError> {
        let mut reader = Reader { rest: printed };
        reader.word_is("now")?;
        Ok(Self {
            server_pid: reader.number()?,
            pid: reader.number()?,
            dead: reader.flag()?,
            in_mode: reader.flag()?,
            input_off: reader.flag()?,
            synchronized: reader.flag()?,
            alternate: reader.flag()?,
            cursor_shown: reader.flag()?,
            cursor_x: reader.number()?,
            cursor_y: reader.number()?,
            width: reader.number()?,
            height: reader.number()?,
            history: reader.number()?,
            history_limit: reader.number()?,
            session_activity: reader.number()?,
            window_activity: reader.number()?,
            person_activity: None,
            hand: reader.spaced()?,
            typed: reader.spaced()?,
            entered: reader.spaced()?,
            tty: reader.spaced()?,
            title: reader.spaced()?,
            command: reader.rest_of_row()?,
        })
    }

    /// Does the pane remember that this text was typed?
    pub fn was_typed(&self, id: &str) -> bool {
        guard::names(&self.typed).any(|name| name == id)
    }

    /// Is this the last text that was typed?
    pub fn last_typed(&self, id: &str) -> bool {
        guard::names(&self.typed).next() == Some(id)
    }

    /// Does the pane remember that Enter was pressed behind this text?
    pub fn was_entered(&self, id: &str) -> bool {
        guard::names(&self.entered).any(|name| name == id)
    }

    /// The cursor's row counted from the first row that ever scrolled out, while the history is not full.
    pub fn cursor_line(&self) -> usize {
        self.history + self.cursor_y
    }
}

/// A pane at one moment: its facts and the rows that are visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The facts.
    pub now: PaneNow,
    /// The rows, top to bottom, without trailing spaces. What is not UTF-8 is replaced.
    pub rows: Vec<String>,
    /// The same rows with their colours; empty where nobody captured them.
    pub styled: Vec<Row>,
}

impl Look {
    /// Reads what `capture-pane -e` printed of a pane with these facts.
    fn read<'a>(now: PaneNow, lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let lines: Vec<_> = lines.take(now.height).map(String::from_utf8_lossy).collect();
        let mut styled = Screen::styled_rows(lines.iter().map(AsRef::as_ref));
        styled.resize(now.height, Row::default());
        Self { rows: styled.iter().map(Row::text).collect(), styled, now }
    }

    /// Shows this another picture than that one did? tmux dates what a pane prints by whole seconds only.
    pub fn is_repainted(&self, earlier: &Self) -> bool {
        let place = |look: &Self| (look.now.cursor_x, look.now.cursor_line(), look.now.alternate);
        place(self) != place(earlier) || self.rows != earlier.rows
    }

    /// What the terminal shows, as the agents' profiles read it.
    pub fn screen(&self) -> Screen {
        let plain = |row: &String| match row.as_str() {
            "" => Row::default(),
            text => Row { runs: vec![Run { text: text.to_owned(), style: Style::default() }] },
        };
        let now = &self.now;
        Screen {
            rows: if self.styled.is_empty() { self.rows.iter().map(plain).collect() } else { self.styled.clone() },
            width: now.width,
            height: now.height,
            cursor_x: now.cursor_x,
            cursor_y: now.cursor_y,
            cursor_shown: now.cursor_shown,
            alternate: now.alternate,
            title: now.title.clone(),
        }
    }
}

/// Why a pane could not be asked or typed into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandError {
    /// The pane or its server is gone.
    #[error("{0}")]
    Gone(String),
    /// No answer came. An effect that was asked for may have happened or may still happen; its mark will tell.
    #[error("{0}")]
    NoAnswer(String),
    /// tmux said no, or something that cannot be read; another try will not help.
    #[error("tmux refused: {0}")]
    Failed(String),
}

impl From<TmuxError> for HandError {
    fn from(error: TmuxError) -> Self {
        let text = error.to_string();
        match error {
            TmuxError::NoServer { .. } | TmuxError::NoTarget { .. } => Self::Gone(text),
            TmuxError::Hung { .. } | TmuxError::Start(_) => Self::NoAnswer(text),
            TmuxError::NotInstalled
            | TmuxError::Failed { .. }
            | TmuxError::TooOld { .. }
            | TmuxError::Unreadable(_) => Self::Failed(text),
        }
    }
}

impl From<ControlError> for HandError {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        match error {
            ControlError::Refused(said) if said.contains("can't find") => Self::Gone(said),
            ControlError::Refused(said) => Self::Failed(said),
            ControlError::Start(_) | ControlError::Unsendable(_) | ControlError::TooLarge => Self::Failed(text),
            ControlError::TimedOut | ControlError::Gone => Self::NoAnswer(text),
        }
    }
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It happened now.
    Done,
    /// The check failed and nothing happened; the facts say why.
    Held(Box<PaneNow>),
}

/// One pane, and whoever types into it under one name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hand {
    server: Server,
    control: Option<watch::Receiver<Option<Control>>>,
    pane: PaneId,
    owner: Arc<str>,
}

impl Hand {
    /// A hand for this pane. `owner` is a word of letters, digits and `-` that no other hand ever uses. Where a
    /// control client is there it is used, otherwise each message is a tmux process.
    pub fn new(
        server: Server,
        control: Option<watch::Receiver<Option<Control>>>,
        pane: PaneId,
        owner: impl Into<Arc<str>>,
    ) -> Self {
        Self { server, control, pane, owner: owner.into() }
    }

    /// The pane.
    pub fn pane(&self) -> PaneId {
        self.pane
    }

    /// This hand's name.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Makes this the pane's hand. From here on the messages of every other one are refused.
    ///
    /// # Errors
    /// [`HandError`].
    pub async fn take(&self) -> Result<(), HandError> {
        let at = self.pane.to_string();
        let take = SetOption::new().pane().target_pane(at.as_str()).option(HAND_OPTION).value(&*self.owner);
        self.run(Commands::new().then(take)).await.map(drop)
    }

    /// Looks at the pane: facts and rows of one moment.
    ///
    /// # Errors
    /// [`HandError`].
    pub async fn look(&self) -> Result<Look, HandError> {
        let at = self.pane.to_string();
        let commands = Commands::new()
            .then(DisplayMessage::new().print().target_pane(at.as_str()).message(NOW_FORMAT))
            .then(ListClients::new().target_session(at.as_str()).format(CLIENT_FORMAT))
            .then(DisplayMessage::new().print().message(ROWS))
            .then(CapturePane::new().stdout().escape_sequences().target_pane(at.as_str()));
        let printed = self.run(commands).await?;
        let mut lines = printed.split(|byte| *byte == b'\n');
        let mut first = lines.next().unwrap_or_default().to_vec();
        first.push(b'\n');
        let mut now = PaneNow::read(&first)?;
        let clients = lines.by_ref().take_while(|line| *line != ROWS.as_bytes());
        now.person_activity = clients.filter_map(person_activity).max();
        Ok(Look::read(now, lines))
    }

    /// As [`Hand::look`], without asking when a person last pressed a key.
    ///
    /// # Errors
    /// [`HandError`].
    pub async fn glance(&self) -> Result<Look, HandError> {
        let at = self.pane.to_string();
        let commands = Commands::new()
            .then(DisplayMessage::new().print().target_pane(at.as_str()).message(NOW_FORMAT))
            .then(CapturePane::new().stdout().escape_sequences().target_pane(at.as_str()));
        let printed = self.run(commands).await?;
        let facts = printed.iter().position(|byte| *byte == b'\n').map_or(printed.len(), |end| end + 1);
        let (facts, rows) = printed.split_at(facts);
        Ok(Look::read(PaneNow::read(facts)?, rows.split(|byte| *byte == b'\n')))
    }

    /// Rows from `first` to `last`, joined where the terminal wrapped them. 0 is the first visible row, and rows
    /// that have scrolled out count down from -1.
    ///
    /// # Errors
    /// [`HandError`].
    pub async fn text(&self, first: i64, last: i64) -> Result<String, HandError> {
        let (at, first, last) = (self.pane.to_string(), first.to_string(), last.to_string());
        let capture = CapturePane::new()
            .stdout()
            .join()
            .target_pane(at.as_str())
            .start_line(first.as_str())
            .end_line(last.as_str());
        let printed = self.run(Commands::new().then(capture)).await?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    /// Loads a text into a buffer of its own and returns the buffer's name. Nothing is typed yet.
    ///
    /// # Errors
    /// [`HandError`].
    pub async fn load(&self, name: &str, text: Vec<u8>) -> Result<String, HandError> {
        let buffer = format!("{BUFFER_PREFIX}{name}");
        let (server, named) = (self.server.clone(), buffer.clone());
        // By a process of its own, whose end says that the whole text is there: a sender that dies half-way leaves
        // a buffer that nobody refers to.
        beside(move || {
            let load = LoadBuffer::new().buffer_name(named.as_str()).path("-");
            server.run_with_input(&Commands::new().then(load), &text).map(drop)
        })
        .await?;
        Ok(buffer)
    }

    /// Removes a buffer that was loaded and not typed.
    pub async fn unload(&self, buffer: &str) {
        // It may be gone already: typing removes it.
        if let Err(error) = self.run(Commands::new().then(DeleteBuffer::new().buffer_name(buffer))).await {
            tracing::debug!(%error, buffer, "a buffer was not removed");
        }
    }

    /// Types these strokes and leaves the mark, if the guard holds; all in one message.
    ///
    /// # Errors
    /// [`HandError`]; after [`HandError::NoAnswer`] only the mark tells whether it happened.
    pub async fn act(&self, guard: &Guard, strokes: &[Stroke], mark: &Mark) -> Result<Acted, HandError> {
        self.told(guard::message(self.pane, &self.owner, guard, strokes, mark, NOW_FORMAT)).await
    }

    /// Presses one key that must reach the program whatever the person looks at, and does nothing else.
    ///
    /// In copy mode a key would go to the mode, so there it is pasted: its byte goes straight to the program.
    ///
    /// # Errors
    /// [`HandError`].
    pub async fn press_through(&self, pid: u32, key: &'static str, byte: u8, name: &str) -> Result<Acted, HandError> {
        let acted = self.told(guard::pressed(self.pane, pid, key, NOW_FORMAT)).await?;
        let past = matches!(&acted, Acted::Held(now)
            if now.pid == pid && !now.dead && !now.input_off && (now.in_mode || now.synchronized));
        if !past {
            return Ok(acted);
        }
        let buffer = self.load(name, vec![byte]).await?;
        let acted = self.told(guard::pasted(self.pane, pid, &buffer, NOW_FORMAT)).await;
        if !matches!(acted, Ok(Acted::Done)) {
            self.unload(&buffer).await;
        }
        acted
    }

    /// Removes what crashes left of our own buffers: those that have been there for an hour.
    pub async fn sweep(&self, now: i64) {
        let list = ListBuffers::new().format("#{buffer_created} #{buffer_name}");
        let Ok(printed) = self.run(Commands::new().then(list)).await else { return };
        let printed = String::from_utf8_lossy(&printed).into_owned();
        for (created, name) in printed.lines().filter_map(|line| line.split_once(' ')) {
            let old = created.parse::<i64>().is_ok_and(|created| now - created > 3600);
            if old && name.starts_with(BUFFER_PREFIX) {
                self.unload(name).await;
            }
        }
    }

    /// Runs a message that says whether its effect happened.
    async fn told(&self, message: Commands) -> Result<Acted, HandError> {
        let printed = self.run(message).await?;
        match printed.strip_prefix(guard::DONE.as_bytes()) {
            Some(_) => Ok(Acted::Done),
            None => Ok(Acted::Held(Box::new(PaneNow::read(&printed)?))),
        }
    }

    /// Runs a list and returns what it printed.
    async fn run(&self, commands: Commands) -> Result<Vec<u8>, HandError> {
        let control = self.control.as_ref().and_then(|control| control.borrow().clone());
        if let Some(control) = control {
            let lines = control.ask_list(&commands).await?;
            let mut printed = lines.join(&b'\n');
            printed.push(b'\n');
            return Ok(printed);
        }
        let server = self.server.clone();
        beside(move || server.run(&commands)).await
    }
}

/// Runs a tmux process beside the thread that serves requests.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TmuxError> + Send + 'static,
) -> Result<T, HandError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(HandError::NoAnswer(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
