//! A recording through the same senses as a live pane: terminal, title, status sequences; then the reducer. The result
//! is a timeline of states that is the same on every run.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    cast::{Cast, Event},
    terminal::Terminal,
};
use crate::{
    agents::{
        Profile,
        signs::{Heard, ProgramStatus},
    },
    model::{Moment, PaneId, Screen, Source, Spoken, TurnRecord},
    tracker::{Observation, Reducer, ScreenSeen, Seen, State, Timings, TurnEdge, When},
};

/// A live pane is looked at so long after the first byte of something new,
const SETTLE: Duration = Duration::from_millis(10);
/// or so long after the last one,
const QUIET: Duration = Duration::from_millis(30);
/// and never sooner than this after the last look.
const BETWEEN: Duration = Duration::from_millis(75);
/// How long time goes on behind the last event: everything that waits for it is settled by then.
const AFTER: Duration = Duration::from_secs(30);

/// The pane that a recording is taken for.
const PANE: &str = "%0";

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Milliseconds since the recording began.
    pub at_millis: u64,
    /// What: `phase`, `surface`, `turn`, `dialog`…
    pub what: &'static str,
    /// What it is now.
    pub is: String,
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:>5}.{:03}  {:<8} {}", self.at_millis / 1000, self.at_millis % 1000, self.what, self.is)
    }
}

/// Replays a recording with a tool's profile; `None`: only what titles and sequences say.
pub(super) fn timeline(cast: &Cast, tool: &str, profile: Option<Profile>) -> Vec<Step> {
    let mut player = Player::new(cast, tool, profile);
    for (at, event) in &cast.events {
        player.until(*at);
        match event {
            Event::Output(text) => player.print(*at, text),
            Event::Resized(width, height) => {
                player.terminal.resize(*width, *height);
                player.printed(*at);
            }
            Event::Other => {}
        }
    }
    let end = cast.events.last().map_or(Duration::ZERO, |(at, _)| *at) + AFTER;
    player.until(end);
    player.steps
}

struct Player {
    tool: String,
    profile: Option<Profile>,
    began: Moment,
    terminal: Terminal,
    status: ProgramStatus,
    title: String,
    reducer: Reducer,
    /// First and last output since the last look.
    printed: Option<(Duration, Duration)>,
    looked: Duration,
    shown: Option<Shown>,
    steps: Vec<Step>,
}

/// What of a state a timeline tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    phase: String,
    surface: String,
    last: String,
    dialog: String,
}

impl Player {
    fn new(cast: &Cast, tool: &str, profile: Option<Profile>) -> Self {
        let began = Moment::new(Timestamp::from_second(cast.header.timestamp).unwrap_or(Timestamp::UNIX_EPOCH));
        let when = When { since: Duration::ZERO, wall: began };
        Self {
            tool: tool.to_owned(),
            began,
            terminal: Terminal::new(cast.header.width, cast.header.height),
            status: ProgramStatus::default(),
            title: String::new(),
            reducer: Reducer::new(profile.clone(), Timings::default(), when),
            profile,
            printed: None,
            looked: Duration::ZERO,
            shown: None,
            steps: Vec::new(),
        }
    }

    fn when(&self, at: Duration) -> When {
        When { since: at, wall: self.began.after(at) }
    }

    /// Lets time pass: looks that are due, and whatever the reducer waits for.
    fn until(&mut self, at: Duration) {
        loop {
            let look = self.due();
            let tick = self.reducer.next();
            match (look, tick) {
                (Some(look), _) if look <= at && tick.is_none_or(|tick| look <= tick) => self.look(look),
                (_, Some(tick)) if tick <= at => {
                    let edges = self.reducer.tick(self.when(tick));
                    self.tell(tick, edges);
                    if self.reducer.next() == Some(tick) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    fn due(&self) -> Option<Duration> {
        let (first, last) = self.printed?;
        let soon = (first + SETTLE).max(self.looked + BETWEEN);
        Some(soon.min((last + QUIET).max(first + SETTLE)))
    }

    fn print(&mut self, at: Duration, text: &str) {
        self.terminal.print(text);
        for heard in self.status.feed(text.as_bytes()) {
            match heard {
                Heard::Status(sign) => self.observe(at, Source::ProgramStatus, Seen::Sign(sign)),
                Heard::Title(title) => self.titled(at, title),
            }
        }
        self.printed(at);
    }

    fn printed(&mut self, at: Duration) {
        let first = self.printed.map_or(at, |(first, _)| first);
        self.printed = Some((first, at));
    }

    fn titled(&mut self, at: Duration, title: String) {
        if title == self.title {
            return;
        }
        if let Some(sign) = self.profile.as_ref().and_then(|profile| profile.title.read(&title)) {
            self.observe(at, Source::Title, Seen::Sign(sign));
        }
        self.title = title;
    }

    fn look(&mut self, at: Duration) {
        self.printed = None;
        self.looked = at;
        let screen = self.terminal.screen(&self.title);
        let (Some(profile), Ok(pane)) = (&self.profile, PANE.parse()) else { return };
        let seen = seen(&self.tool, pane, &screen, profile);
        self.observe(at, Source::Screen, Seen::Screen(Box::new(seen)));
    }

    fn observe(&mut self, at: Duration, source: Source, seen: Seen) {
        let edges = self.reducer.take(self.when(at), &Observation { source, seen });
        self.tell(at, edges);
    }

    fn tell(&mut self, at: Duration, edges: Vec<TurnEdge>) {
        for edge in edges {
            let is = match edge {
                TurnEdge::Started(turn) => format!("started ({})", spoken(&turn.started_by)),
                TurnEdge::Ended(turn) => ended(&turn),
                TurnEdge::Amended(turn) => format!("amended: {}", ended(&turn)),
            };
            self.step(at, "turn", is);
        }
        let now = shown(self.reducer.state());
        if let Some(before) = self.shown.replace(now.clone()) {
            let pairs = [
                ("phase", before.phase, now.phase),
                ("surface", before.surface, now.surface),
                ("last", before.last, now.last),
                ("dialog", before.dialog, now.dialog),
            ];
            for (what, before, now) in pairs {
                if before != now {
                    self.step(at, what, now);
                }
            }
        } else {
            self.step(at, "phase", now.phase);
        }
    }

    fn step(&mut self, at: Duration, what: &'static str, is: String) {
        let at_millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step { at_millis, what, is });
    }
}

fn spoken(by: &[Spoken]) -> String {
    by.iter().map(|one| format!("{}: {}", one.source.name(), one.what)).collect::<Vec<_>>().join("; ")
}

fn ended(turn: &TurnRecord) -> String {
    let outcome = turn.outcome.map_or("?", crate::model::Outcome::name);
    let error = turn.error.as_ref().map(|error| format!(", {error}")).unwrap_or_default();
    format!("ended {outcome}{error} ({})", spoken(&turn.ended_by))
}

fn shown(state: &State) -> Shown {
    let surface = &state.surface;
    let flag = |name: &str, value: crate::tracker::Tri| format!("{name}={}", value.name());
    Shown {
        phase: state.phase.name().to_owned(),
        surface: [
            flag("accepting", surface.accepting_input),
            flag("editing", surface.editing_input),
            flag("posture", surface.ready_posture),
            flag("pending", surface.pending_input),
        ]
        .join(" "),
        last: state.last_turn.result().to_owned(),
        dialog: state.dialog.as_ref().map_or_else(
            || "none".to_owned(),
            |dialog| format!("{}: {} ({} choices)", dialog.kind.name(), dialog.title, dialog.choices.len()),
        ),
    }
}

/// A screen as a capture of a live pane would have brought it.
pub(super) fn seen(tool: &str, pane: PaneId, screen: &Screen, profile: &Profile) -> ScreenSeen {
    let text = screen.texts().join("\n");
    let text = text.trim_end();
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    ScreenSeen {
        pane,
        pid: 1,
        dead: false,
        in_mode: false,
        command: tool.to_owned(),
        title: screen.title.clone(),
        reading: profile.read(screen),
        hash: format!("{:016x}", hasher.finish()),
        length: text.chars().count(),
        excerpt: text.to_owned(),
    }
}
