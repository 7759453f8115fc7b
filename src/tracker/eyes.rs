//! Looks at the agent's pane when it printed something, and hands on what is seen.
//!
//! tmux says what the pane prints ([`Feed`]); `pace` decides when to look; each look is read and given to the
//! [`Tracker`] if it is another one. The bytes themselves are searched for the tool's own signs. Nothing happens while
//! nothing is printed. Without a feed the pane is asked now and then instead, and that is said.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use super::{
    Observation, Recorder, ScreenSeen, Seen, Tracker,
    pace::{Allowance, Due, Pace},
    sight,
};
use crate::{
    agents::signs::{Heard, ProgramStatus},
    api::{RecordingAction, Recordings},
    model::{PaneId, Screen, Source},
    os::files::FileError,
    tmux::{
        Server,
        control::{Control, Output, Printed},
        input::{Hand, HandError, Look},
    },
};

/// What a control client says of the agent's pane, for as long as it lives.
#[derive(Debug)]
pub struct Feed {
    /// The client.
    pub control: Control,
    /// What the pane prints.
    pub output: Output,
}

/// The handle: what else may be asked of the eyes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Eyes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    control: watch::Receiver<Option<Control>>,
    pane: watch::Sender<PaneId>,
    nudged: Notify,
    recorder: Recorder,
}

/// A pane at one moment, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The pane.
    pub pane: PaneId,
    /// What it shows.
    pub screen: Screen,
    /// The foreground program, as tmux sees it.
    pub command: String,
    /// The program ended and the pane was kept.
    pub dead: bool,
    /// Copy mode or another mode is on.
    pub in_mode: bool,
}

impl Eyes {
    /// Eyes for this pane. Where a control client is there it is used, otherwise each look is a tmux process.
    pub fn new(server: Server, control: watch::Receiver<Option<Control>>, pane: PaneId, recorder: Recorder) -> Self {
        let shared = Shared { server, control, pane: watch::Sender::new(pane), nudged: Notify::new(), recorder };
        Self { shared: Arc::new(shared) }
    }

    /// The agent stands in this pane now.
    pub fn turn_to(&self, pane: PaneId) {
        self.shared.pane.send_if_modified(|current| std::mem::replace(current, pane) != pane);
    }

    /// Something may have changed that prints nothing: a mode, the end of a process.
    pub fn nudge(&self) {
        self.shared.nudged.notify_one();
    }

    /// Begins or ends a recording, and says what is there then.
    ///
    /// # Errors
    /// The folder or its files cannot be used.
    pub async fn record(&self, action: RecordingAction) -> Result<Recordings, FileError> {
        let recorder = self.shared.recorder.clone();
        let done = beside(move || match action {
            RecordingAction::Start => recorder.start(),
            RecordingAction::Stop => Ok(recorder.stop()),
        });
        if done.await? {
            self.nudge();
        }
        self.recordings().await
    }

    /// The recordings.
    ///
    /// # Errors
    /// Their folder cannot be read.
    pub async fn recordings(&self) -> Result<Recordings, FileError> {
        let recorder = self.shared.recorder.clone();
        beside(move || recorder.list()).await
    }

    /// Looks now.
    ///
    /// # Errors
    /// Why the pane could not be looked at.
    pub async fn picture(&self) -> Result<Picture, HandError> {
        let hand = self.hand();
        let look = hand.glance().await?;
        Ok(Picture {
            pane: hand.pane(),
            screen: look.screen(),
            command: look.now.command,
            dead: look.now.dead,
            in_mode: look.now.in_mode,
        })
    }

    fn hand(&self) -> Hand {
        let pane = *self.shared.pane.borrow();
        Hand::new(self.shared.server.clone(), Some(self.shared.control.clone()), pane, "eyes")
    }
}

/// The eyes at work.
#[derive(Debug)]
pub struct Watcher {
    eyes: Eyes,
    tracker: Tracker,
    tool: String,
    began: Instant,
    pace: Pace,
    feed: Option<Feed>,
    /// The output is off, because it floods.
    off: bool,
    status: ProgramStatus,
    last: Option<ScreenSeen>,
    title: String,
    /// Columns and rows, as a recording knows them.
    size: (usize, usize),
}

/// What woke us.
enum Wake {
    Fed(Feed),
    Printed(Printed),
    FeedEnded,
    Due(Due),
    Nudged,
    Turned,
    /// The rules to read by are others now.
    Judged,
    Stopped,
}

impl Watcher {
    /// Will look for this tracker. `tool` is the agent's program as it was recorded; without a profile it is read as
    /// any line reader.
    pub fn new(eyes: Eyes, tracker: Tracker, tool: String) -> Self {
        Self {
            eyes,
            tracker,
            tool,
            began: Instant::now(),
            pace: Pace::new(),
            feed: None,
            off: false,
            status: ProgramStatus::default(),
            last: None,
            title: String::new(),
            size: (0, 0),
        }
    }

    /// Looks until told to stop.
    pub async fn run(mut self, mut feeds: mpsc::Receiver<Feed>, mut stop: watch::Receiver<bool>) {
        let eyes = self.eyes.clone();
        // It takes some milliseconds, and the gateway is still starting.
        if let Some(profile) = self.tracker.profile() {
            drop(tokio::task::spawn_blocking(move || profile.prepare()).await);
        }
        let mut panes = eyes.shared.pane.subscribe();
        let mut profiles = self.tracker.profiles();
        loop {
            let due = self.pace.due();
            let wake = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Wake::Stopped,
                Some(feed) = feeds.recv() => Wake::Fed(feed),
                printed = printed(self.feed.as_mut()) => printed.map_or(Wake::FeedEnded, Wake::Printed),
                _ = panes.changed() => Wake::Turned,
                _ = profiles.changed() => Wake::Judged,
                () = eyes.shared.nudged.notified() => Wake::Nudged,
                what = at(self.began, due) => Wake::Due(what),
            };
            let now = self.began.elapsed();
            match wake {
                Wake::Stopped => {
                    let recorder = eyes.shared.recorder.clone();
                    drop(beside(move || Ok(recorder.stop())).await);
                    return;
                }
                Wake::Fed(feed) => self.fed(feed, now),
                Wake::FeedEnded => self.feed_ended(now),
                Wake::Printed(printed) => self.printed(&printed, now).await,
                Wake::Nudged | Wake::Judged => self.pace.nudge(now),
                Wake::Turned => {
                    self.last = None;
                    self.pace.nudge(now);
                }
                Wake::Due(Due::Resume) => {
                    self.resume().await;
                    self.pace.follow(now, self.allowance());
                }
                Wake::Due(what) => self.look(what).await,
            }
        }
    }

    fn fed(&mut self, feed: Feed, now: Duration) {
        self.feed = Some(feed);
        self.off = false;
        self.status = ProgramStatus::default();
        self.pace.follow(now, self.allowance());
        self.recorder().lost();
        self.channel(true, "tmux tells what the pane prints");
    }

    fn feed_ended(&mut self, now: Duration) {
        self.feed = None;
        self.recorder().lost();
        self.pace.poll(now);
        let why = "there is no tmux control client: the pane is asked every 0.1 to 2 seconds instead";
        tracing::warn!("{why}");
        self.channel(false, why);
    }

    async fn printed(&mut self, printed: &Printed, now: Duration) {
        if printed.lost {
            self.status = ProgramStatus::default();
            self.recorder().lost();
        }
        self.recorder().print(&printed.bytes);
        for heard in self.status.feed(&printed.bytes) {
            match heard {
                Heard::Status(sign) => self.say(Source::ProgramStatus, Seen::Sign(sign)),
                Heard::Title(title) => self.titled(title),
            }
        }
        if printed.paused {
            tracing::debug!("tmux paused the pane's output, because we lagged; looking at the pane instead");
            self.resume().await;
        }
        if !self.pace.printed(now, printed.bytes.len(), self.allowance()) {
            return;
        }
        let Some(feed) = &self.feed else { return };
        if feed.control.pause(feed.output.pane()).await.is_ok() {
            if !std::mem::replace(&mut self.off, true) {
                tracing::info!("the pane prints very much: its output is switched off, and the pane looked at instead");
            }
            self.recorder().lost();
            self.pace.is_off(now);
        }
    }

    /// How much the pane may print.
    fn allowance(&self) -> Allowance {
        if self.recorder().is_active() { Allowance::RECORD } else { Allowance::PICTURE }
    }

    fn recorder(&self) -> &Recorder {
        &self.eyes.shared.recorder
    }

    /// Has tmux send the output again.
    async fn resume(&mut self) {
        self.status = ProgramStatus::default();
        // What was printed meanwhile is not known.
        self.recorder().lost();
        if let Some(feed) = &self.feed
            && let Err(error) = feed.control.resume(feed.output.pane()).await
        {
            tracing::debug!(%error, "the pane's output could not be switched on again");
        }
    }

    async fn look(&mut self, what: Due) {
        let hand = self.eyes.hand();
        let look = hand.glance().await;
        let now = self.began.elapsed();
        match look {
            Ok(look) => {
                let before = self.last.as_ref().map(|seen| seen.hash.clone());
                let (changed, unsettled) = self.take_in(hand.pane(), &look);
                self.pace.looked(now, changed, unsettled);
                if self.recorder().wants_seed() {
                    // The disk was too slow for it: the recording must not end with a hole.
                    self.pace.nudge(now);
                }
                let redrawn = self.last.as_ref().map(|seen| seen.hash.clone()) != before;
                // What was printed before the look has been told before the look's own answer.
                let told = self.feed.as_ref().is_some_and(|feed| feed.output.has_more());
                if what == Due::Check && redrawn && !told {
                    tracing::warn!("the pane changed and tmux did not tell; asking for its output again");
                    self.resume().await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the pane could not be looked at");
                self.pace.looked(now, false, true);
            }
        }
    }

    /// Hands a look on, if it is another one than the last; returns whether it is, and whether something goes on.
    fn take_in(&mut self, pane: PaneId, look: &Look) -> (bool, bool) {
        self.record(look);
        self.titled(look.now.title.clone());
        let seen = sight::see(pane, look, self.tracker.profile().as_ref(), &self.tool);
        let unsettled = sight::is_unsettled(&seen);
        let changed = self.last.as_ref() != Some(&seen);
        if changed {
            self.last = Some(seen.clone());
            self.say(Source::Screen, Seen::Screen(Box::new(seen)));
        }
        (changed, unsettled)
    }

    /// What a recording needs beside the bytes.
    fn record(&mut self, look: &Look) {
        let size = (look.now.width, look.now.height);
        if self.recorder().wants_seed() {
            self.recorder().seed(look.screen());
        } else if self.size != size && self.recorder().is_active() {
            self.recorder().resized(size.0, size.1);
        }
        self.size = size;
    }

    /// A title speaks once, whether it was heard or seen.
    fn titled(&mut self, title: String) {
        if self.title == title {
            return;
        }
        if let Some(sign) = self.tracker.profile().and_then(|profile| profile.title.read(&title)) {
            self.say(Source::Title, Seen::Sign(sign));
        }
        self.title = title;
    }

    fn channel(&self, up: bool, why: &str) {
        self.say(Source::Screen, Seen::Channel { up, why: why.to_owned() });
    }

    fn say(&self, source: Source, seen: Seen) {
        self.tracker.observe(&Observation { source, seen });
    }
}

/// Does work that waits for the disk beside the one thread that serves requests.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let (doing, path) = ("work on", PathBuf::from("recordings"));
        Err(FileError::Io { doing, path, source: std::io::Error::other(error) })
    })
}

async fn printed(feed: Option<&mut Feed>) -> Option<Printed> {
    match feed {
        Some(feed) => feed.output.next().await,
        None => std::future::pending().await,
    }
}

async fn at(began: Instant, due: Option<(Duration, Due)>) -> Due {
    match due {
        Some((moment, what)) => {
            tokio::time::sleep_until(began + moment).await;
            what
        }
        None => std::future::pending().await,
    }
}
