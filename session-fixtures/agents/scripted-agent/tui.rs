//! A composer at the bottom of the output, as coding agents have one: `❯ ` and the draft.
//!
//! Enter submits, Backspace takes a character away, Ctrl-C clears the draft and interrupts a turn, Escape alone
//! interrupts a turn. A submitted prompt prints `> ` and its first line; the turn ends with `reply N: HASH BYTES`, or
//! with `interrupted`. What is submitted while a turn runs waits for its end.

use std::{
    collections::VecDeque,
    io::Read,
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    composer::{Composer, visible},
    keys::{Input, Parser},
    log::{Log, hash, hex},
    make_raw,
    screen::{Region, Screen},
    settings::Settings,
};

/// How long an escape byte may be the beginning of something longer.
const ESCAPE: Duration = Duration::from_millis(50);
/// The spinner moves this often.
const FRAME: Duration = Duration::from_millis(80);
const FRAMES: [&str; 4] = ["✶", "✻", "✽", "✢"];

/// What wakes us.
enum News {
    Bytes(Vec<u8>),
    Resized,
    Closed,
}

/// What the agent is doing.
enum Phase {
    /// Starting.
    Busy {
        until: Instant,
    },
    Ready,
    /// A menu, until somebody presses `y`.
    Dialog,
    Working {
        turn: Turn,
        until: Instant,
    },
}

struct Turn {
    number: u64,
    text: Vec<u8>,
}

/// How it ended, if it did.
enum End {
    Closed,
    Left,
    Crashed,
}

struct Tui<'a> {
    settings: &'a Settings,
    log: &'a mut Log,
    screen: Screen,
    composer: Composer,
    parser: Parser,
    phase: Phase,
    waiting: VecDeque<Turn>,
    turns: u64,
    enters: u64,
    dialog_was_shown: bool,
    begun: Instant,
    born: Instant,
    last_input: Instant,
    /// The input so far came before this moment; an incomplete sequence is decided then.
    escape_due: Option<Instant>,
}

/// Plays the composer until the terminal goes, or the script leaves it. A code means: end now, as it is.
pub fn run(settings: &Settings, log: &mut Log) -> std::io::Result<Option<ExitCode>> {
    let before = make_raw()?;
    let news = listen()?;
    let now = Instant::now();
    let mut tui = Tui {
        settings,
        log,
        screen: Screen::new(settings.slow_paint),
        composer: Composer::new(&settings.draft, settings.placeholder),
        parser: Parser::default(),
        phase: Phase::Busy { until: now + settings.busy },
        waiting: VecDeque::new(),
        turns: 0,
        enters: 0,
        dialog_was_shown: false,
        begun: now,
        born: now,
        last_input: now,
        escape_due: None,
    };
    if !settings.unbracketed {
        tui.screen.write("\x1b[?2004h".to_owned())?;
    }
    let end = tui.play(&news)?;
    if matches!(end, End::Crashed) {
        return Ok(Some(ExitCode::from(3)));
    }
    if matches!(end, End::Left) {
        tui.log.note("left", &json!({}))?;
        std::thread::sleep(settings.slow_paint);
        tui.screen.paint(Region { rows: vec![String::new()], cursor: Some(0) })?;
        tui.screen.write("\x1b[?2004l".to_owned())?;
        std::thread::sleep(settings.slow_paint);
        tui.screen.flush()?;
    }
    rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &before)?;
    Ok(None)
}

fn listen() -> std::io::Result<Receiver<News>> {
    let (sender, news) = channel();
    let resized = sender.clone();
    std::thread::spawn(move || read(&sender));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kind = tokio::signal::unix::SignalKind::window_change();
    let mut changes = runtime.block_on(async { tokio::signal::unix::signal(kind) })?;
    std::thread::spawn(move || {
        runtime.block_on(async { while changes.recv().await.is_some() && resized.send(News::Resized).is_ok() {} });
    });
    Ok(news)
}

fn read(sender: &Sender<News>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let news = match std::io::stdin().read(&mut buffer) {
            Ok(count @ 1..) => News::Bytes(buffer[..count].to_vec()),
            _ => News::Closed,
        };
        let is_last = matches!(news, News::Closed);
        if sender.send(news).is_err() || is_last {
            return;
        }
    }
}

impl Tui<'_> {
    fn play(&mut self, news: &Receiver<News>) -> std::io::Result<End> {
        loop {
            if let Some(end) = self.advance()? {
                return Ok(end);
            }
            self.screen.paint(self.region())?;
            self.screen.flush()?;
            let news = match self.next_due() {
                None => news.recv().unwrap_or(News::Closed),
                Some(due) => match news.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(news) => news,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => News::Closed,
                },
            };
            match news {
                News::Closed => return Ok(End::Closed),
                News::Resized => self.screen.repaint(self.region())?,
                News::Bytes(bytes) if self.settings.swallow => {
                    self.log.event("swallowed", &json!({"bytes": bytes.len()}))?;
                }
                News::Bytes(bytes) => {
                    if self.take(&bytes)? {
                        self.log.event("crash", &json!({}))?;
                        return Ok(End::Crashed);
                    }
                }
            }
        }
    }

    /// Ends what is over, begins what is next.
    fn advance(&mut self) -> std::io::Result<Option<End>> {
        let now = Instant::now();
        if self.escape_due.is_some_and(|due| due <= now) {
            self.escape_due = None;
            if let Some(input) = self.parser.settle() {
                self.input(input)?;
            }
        }
        loop {
            match &self.phase {
                Phase::Busy { until } if *until <= now => {
                    self.log.note("ready", &json!({}))?;
                    self.phase = Phase::Ready;
                }
                Phase::Working { turn, until } if *until <= now => {
                    let line = format!("reply {}: {} {}", turn.number, hash(&turn.text), turn.text.len());
                    self.end_turn(&line)?;
                }
                Phase::Ready if self.settings.exit_after.is_some_and(|after| self.turns >= after) => {
                    return Ok(Some(End::Left));
                }
                Phase::Ready
                    if !self.dialog_was_shown
                        && self.settings.dialog_after.is_some_and(|after| self.turns >= after) =>
                {
                    self.dialog_was_shown = true;
                    self.log.note("dialog", &json!({}))?;
                    self.phase = Phase::Dialog;
                }
                Phase::Ready => match self.waiting.pop_front() {
                    Some(turn) => self.begin_turn(turn),
                    None => return Ok(None),
                },
                _ => return Ok(None),
            }
        }
    }

    fn begin_turn(&mut self, turn: Turn) {
        if !self.settings.no_echo {
            let text = visible(&turn.text);
            let first = text.lines().next().unwrap_or_default();
            let more = text.lines().count().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" (+{more} lines)") };
            let (columns, _) = Screen::size();
            let room = columns.saturating_sub(more.len() + 4);
            let first = super::composer::wrapped(first, room).into_iter().next().unwrap_or_default();
            self.screen.print(&format!("> {first}{more}"));
        }
        self.begun = Instant::now();
        self.phase = Phase::Working { turn, until: self.begun + self.settings.work };
    }

    fn end_turn(&mut self, line: &str) -> std::io::Result<()> {
        if !self.settings.no_echo {
            self.screen.print(line);
        }
        self.turns += 1;
        self.phase = Phase::Ready;
        self.log.note("turn_ended", &json!({"turn": self.turns}))
    }

    fn interrupt(&mut self) -> std::io::Result<()> {
        let Phase::Working { turn, .. } = &self.phase else { return Ok(()) };
        self.log.event("interrupt", &json!({"prompt": turn.number}))?;
        self.end_turn("interrupted")
    }

    /// Takes bytes from the terminal; true when they are the end of us.
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<bool> {
        let mut rest = bytes;
        while let (Phase::Dialog, Some((byte, others))) = (&self.phase, rest.split_first()) {
            self.log.event("dialog_key", &json!({"byte": byte}))?;
            rest = others;
            if *byte == b'y' {
                self.log.note("dialog_left", &json!({}))?;
                self.phase = Phase::Ready;
            }
        }
        for input in self.parser.feed(rest) {
            if self.settings.crash_on_paste && input == Input::PasteBegins {
                return Ok(true);
            }
            self.input(input)?;
        }
        self.escape_due = self.parser.waits().then(|| Instant::now() + ESCAPE);
        Ok(false)
    }

    fn input(&mut self, input: Input) -> std::io::Result<()> {
        let since = self.last_input.elapsed();
        self.last_input = Instant::now();
        match input {
            Input::Text(text) => self.composer.type_text(&text),
            Input::PasteBegins => {}
            Input::Paste(text) => {
                self.log.note("paste", &json!({"bytes": text.len()}))?;
                self.composer.paste(text);
            }
            Input::Control(b'\r') if since < self.settings.enter_gap => {
                self.log.event("enter_too_soon", &json!({}))?;
                self.composer.type_text(b"\n");
            }
            Input::Control(b'\r') => self.enter()?,
            Input::Control(byte @ (b'\n' | b'\t')) => self.composer.type_text(&[byte]),
            Input::Control(0x7f | 0x08) => self.composer.backspace(),
            Input::Control(0x03) => self.control_c()?,
            Input::Control(byte) => self.log.event("key", &json!({"byte": byte}))?,
            Input::Sequence(bytes) => self.log.event("key", &json!({"hex": hex(&bytes)}))?,
            Input::Escape if matches!(self.phase, Phase::Working { .. }) => self.interrupt()?,
            Input::Escape => self.log.event("escape", &json!({}))?,
        }
        Ok(())
    }

    fn control_c(&mut self) -> std::io::Result<()> {
        let is_working = matches!(self.phase, Phase::Working { .. });
        let draft = self.composer.take();
        if !draft.is_empty() {
            let text = String::from_utf8_lossy(&draft);
            self.log.event("draft_cleared", &json!({"text": text}))?;
        } else if !is_working {
            self.log.event("key", &json!({"byte": 3}))?;
        }
        self.interrupt()
    }

    fn enter(&mut self) -> std::io::Result<()> {
        self.enters += 1;
        if self.enters <= self.settings.dead_enters {
            return self.log.event("dead_enter", &json!({}));
        }
        if self.composer.is_blank() {
            return self.log.event("enter_on_empty", &json!({}));
        }
        let text = self.composer.take();
        let is_free = matches!(self.phase, Phase::Ready) && self.waiting.is_empty();
        let number = self.log.prompt(&text, !is_free)?;
        self.waiting.push_back(Turn { number, text });
        // The next input of the same read must find us at work.
        self.advance().map(drop)
    }

    /// What stands below the lines now.
    fn region(&self) -> Region {
        let (columns, rows) = Screen::size();
        if let Phase::Dialog = self.phase {
            let rows = ["Do you want to proceed?", "❯ 1. Yes", "  2. No"].map(str::to_owned);
            return Region { rows: rows.to_vec(), cursor: None };
        }
        let mut region = Region::default();
        let is_busy = matches!(self.phase, Phase::Busy { .. } | Phase::Working { .. });
        if is_busy && !self.settings.no_echo {
            let frames = self.begun.elapsed().as_millis() / FRAME.as_millis();
            let frame = FRAMES[usize::try_from(frames).unwrap_or(0) % FRAMES.len()];
            region.rows.push(format!("{frame} Working… ({}s · esc to interrupt)", self.begun.elapsed().as_secs()));
        }
        let is_drafting = !self.composer.text().is_empty() && !self.settings.no_echo;
        if region.rows.is_empty() || is_drafting {
            let empty = Composer::default();
            let shown = if self.settings.no_echo { &empty } else { &self.composer };
            region.rows.extend(shown.rows(columns - 1, rows.saturating_sub(4)));
            region.cursor = Some(region.rows.len() - 1);
        }
        region.rows.extend(self.settings.footer.clone());
        if !self.settings.tick.is_zero() {
            let ticks = self.born.elapsed().as_millis() / self.settings.tick.as_millis();
            region.rows.push(format!("({ticks})"));
        }
        region
    }

    /// The next moment at which something happens by itself.
    fn next_due(&self) -> Option<Instant> {
        let own = match self.phase {
            Phase::Busy { until } | Phase::Working { until, .. } => Some(until.min(Instant::now() + FRAME)),
            Phase::Ready | Phase::Dialog => None,
        };
        let tick = (!self.settings.tick.is_zero()).then(|| Instant::now() + self.settings.tick / 2);
        [own, tick, self.screen.due(), self.escape_due].into_iter().flatten().min()
    }
}
