//! What the gateway knows of its session: one control client, no polling. The eyes get what the agent's pane prints.
//!
//! tmux tells when something changed (notices, subscriptions); the answer to "what is it now" is then asked
//! once, over the same connection. When the client is lost it is opened again with growing pauses; when the
//! session is gone, the watch ends and says so.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::{
    model::{PaneId, ProcessIdentity, TmuxSessionId, WindowId},
    os::{lock::Lock, process},
    store::AgentProcess,
    tmux::{
        PaneFacts, Server, SessionFacts, SessionTarget, TmuxError,
        control::{self, Control, ControlError, Notice, Notices},
        inspect,
    },
    tracker::Feed,
};

/// The session as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct View {
    /// The agent's process, while its pane lives.
    pub(super) agent: Option<AgentProcess>,
    /// The pane is in no mode and its input is on.
    pub(super) takes_input: bool,
    /// The session's name now.
    pub(super) session_name: String,
    /// Where the gateway's own window stands now.
    pub(super) own_index: Option<u32>,
    /// Free window indexes start here; for moving our window off index 0.
    pub(super) free_index: u32,
}

/// What is watched. The agent's pane changes when the agent is launched again in a new window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) server: Server,
    pub(super) session: TmuxSessionId,
    pub(super) server_pid: u32,
    pub(super) agent: PaneId,
    pub(super) own: Option<PaneId>,
}

/// What the watch tells the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// The control client is attached; this is its process.
    Attached(ProcessIdentity),
    /// The session looks like this.
    Seen(View),
    /// The session is gone for good, in words.
    Lost(String),
}

/// The view of a session that was inspected a moment ago; the first look of the control client corrects it.
pub(super) fn first_view(subject: &Subject, facts: &SessionFacts) -> View {
    view(subject, facts.session_name.clone(), &facts.panes)
}

/// Is the watched session still there? Asked with a tmux process of its own, when the control client is lost.
fn is_there(subject: &Subject) -> Result<bool, TmuxError> {
    let facts = inspect::session(&subject.server, &SessionTarget::Id(subject.session))?;
    Ok(facts.server_pid == subject.server_pid)
}

fn view(subject: &Subject, session_name: String, panes: &[PaneFacts]) -> View {
    let pane = panes.iter().find(|pane| pane.pane_id == subject.agent && !pane.dead);
    let agent = pane.and_then(|pane| {
        let process = process::identify(pane.pid)?;
        Some(AgentProcess { pane_id: pane.pane_id.to_string(), process })
    });
    let own = panes.iter().find(|pane| Some(pane.pane_id) == subject.own);
    let taken: Vec<u32> = panes.iter().map(|pane| pane.window_index).collect();
    View {
        takes_input: agent.is_some() && pane.is_some_and(|pane| !pane.in_mode && !pane.input_off),
        agent,
        session_name,
        own_index: own.map(|pane| pane.window_index),
        free_index: (1..=u32::MAX).find(|index| !taken.contains(index)).unwrap_or(1),
    }
}

/// Who hears of the session.
#[derive(Debug)]
pub(super) struct Listeners {
    /// The gateway.
    pub(super) sights: mpsc::Sender<Sight>,
    /// Whoever asks tmux, too: the control client, while there is one.
    pub(super) client: watch::Sender<Option<Control>>,
    /// The eyes.
    pub(super) feeds: mpsc::Sender<Feed>,
}

/// Watches until told to stop or the session is lost.
pub(super) async fn watch(
    mut subject: watch::Receiver<Subject>,
    listeners: Listeners,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = Pause::default();
    loop {
        let now = subject.borrow_and_update().clone();
        match connected(now.clone(), &mut subject, &listeners, &mut pause, stop.clone()).await {
            Ended::Again => continue,
            Ended::Stopped => return,
            Ended::Disconnected => {}
        }
        // The connection is lost: is the session?
        if let Some(why) = lost(now).await {
            // Nobody listening means that the gateway is ending already.
            drop(listeners.sights.send(Sight::Lost(why)).await);
            drop(stop.wait_for(|stop| *stop).await);
            return;
        }
        tracing::warn!(retry_ms = pause.next_millis(), "lost the tmux control client; opening another");
        tokio::select! {
            () = pause.wait() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

enum Ended {
    /// The connection is gone.
    Disconnected,
    /// Another pane is to be watched.
    Again,
    /// The gateway ends.
    Stopped,
}

/// Pauses between attempts: 0.1 s doubling to 5 s, each with some randomness so that many gateways spread out.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    fn next_millis(&self) -> u64 {
        (100_u64 << self.failures.min(6)).min(5_000)
    }

    async fn wait(&mut self) {
        let base = self.next_millis();
        let spread = u64::from(std::process::id()) * 7919 % (base / 4 + 1);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(Duration::from_millis(base + spread)).await;
    }
}

/// One life of a control client.
async fn connected(
    subject: Subject,
    subjects: &mut watch::Receiver<Subject>,
    Listeners { sights, client, feeds }: &Listeners,
    pause: &mut Pause,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    // Held until the client is attached: see `Server::gated`.
    let mut turn = turn(&subject.server).await;
    let opened = control::open(subject.server.control_command(&format!("{}:", subject.session)));
    let (control, mut notices, mut driver) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "could not start a tmux control client");
            return Ended::Disconnected;
        }
    };
    let mut output = Some(driver.listen(subject.agent));
    let conversation = async {
        let (mut last, mut silent) = (None, Vec::new());
        loop {
            let windows = match ask(&control, &subject).await {
                Ok((seen, panes)) => {
                    pause.failures = 0;
                    drop(turn.take());
                    // Attached: whoever types may use it, too.
                    let first = client.send_if_modified(|shared| shared.replace(control.clone()).is_none());
                    if first
                        && let Some(process) = process::identify(control.pid())
                        && sights.send(Sight::Attached(process)).await.is_err()
                    {
                        return Ended::Disconnected;
                    }
                    let is_news = last.as_ref() != Some(&seen);
                    last = Some(seen.clone());
                    if sights.send(Sight::Seen(seen)).await.is_err() {
                        return Ended::Disconnected;
                    }
                    // What changes and changes back between two checks of a subscription is not told. Made anew, it
                    // tells the present value once more, so what we know cannot stay behind.
                    if is_news && subscribe(&control, &subject).await.is_err() {
                        return Ended::Disconnected;
                    }
                    let others = panes.iter().map(|pane| pane.pane_id).filter(|pane| *pane != subject.agent);
                    let listening = listen(&control, others, &mut silent, output.is_some()).await;
                    if let Err(error) = &listening {
                        tracing::warn!(%error, "tmux does not tell what the panes print; looking now and then instead");
                    }
                    if matches!(listening, Err(ControlError::Gone | ControlError::TimedOut)) {
                        return Ended::Disconnected;
                    }
                    if let Some(output) = output.take().filter(|_| listening.is_ok()) {
                        // Eyes that are gone mean that the gateway is ending already.
                        drop(feeds.try_send(Feed { control: control.clone(), output }));
                    }
                    panes.iter().map(|pane| pane.window_id).collect::<Vec<_>>()
                }
                Err(error) => {
                    tracing::debug!(%error, "the control client gave no answer");
                    return Ended::Disconnected;
                }
            };
            tokio::select! {
                more = next_change(&mut notices, subject.session, &windows) => if !more { return Ended::Disconnected },
                _ = subjects.changed() => return Ended::Again,
                _ = stop.changed() => return Ended::Stopped,
                () = agent_ended(last.as_ref().and_then(|seen| seen.agent.as_ref())) => {}
            }
        }
    };
    // The driver drains the client whatever the conversation waits for.
    let mut driver = std::pin::pin!(driver.run());
    let ended = tokio::select! {
        ended = conversation => ended,
        closed = &mut driver => {
            client.send_replace(None);
            tracing::debug!(?closed, "the tmux control client has ended");
            return Ended::Disconnected;
        }
    };
    client.send_replace(None);
    let _turn = self::turn(&subject.server).await;
    control.close();
    driver.await;
    ended
}

/// Waits for this gateway's turn to open or close a control client.
async fn turn(server: &Server) -> Option<Lock> {
    let server = server.clone();
    tokio::task::spawn_blocking(move || server.alone()).await.ok().flatten()
}

/// Waits for the end of the agent's process. tmux does not tell of it while a child still holds the terminal.
async fn agent_ended(agent: Option<&AgentProcess>) {
    match agent {
        Some(agent) => process::ended(&agent.process).await,
        None => std::future::pending().await,
    }
}

/// Waits for news that may change the view, and takes all that have come with it; `false` when the client is gone.
async fn next_change(notices: &mut Notices, session: TmuxSessionId, windows: &[WindowId]) -> bool {
    loop {
        match notices.next().await {
            None | Some(Notice::Exit { .. }) => return false,
            Some(notice) if matters(&notice, session, windows) => return true,
            Some(_) => {}
        }
        if notices.take_lag() > 0 {
            return true;
        }
    }
}

/// May this notice change the view?
///
/// tmux tells every control client of every window and session of its server. With a hundred gateways on one
/// server, answering to what happens in other sessions would cost the square of their number.
fn matters(notice: &Notice, session: TmuxSessionId, windows: &[WindowId]) -> bool {
    match notice {
        Notice::Subscription { .. } | Notice::WindowAdded(_) | Notice::SessionChanged { .. } => true,
        Notice::WindowClosed(window) | Notice::LayoutChanged(window) => windows.contains(window),
        Notice::SessionRenamed { id, .. } => id.is_none_or(|id| id == session),
        _ => false,
    }
}

/// tmux checks subscriptions once a second and speaks only when the value changed.
async fn subscribe(control: &Control, subject: &Subject) -> Result<(), ControlError> {
    let agent = format!(
        "refresh-client -B 'agent:{}:#{{pane_pid}} #{{pane_dead}} #{{pane_in_mode}} #{{pane_input_off}} #{{window_index}}'",
        subject.agent
    );
    control.ask(&agent).await?;
    if let Some(own) = subject.own {
        control.ask(&format!("refresh-client -B 'own:{own}:#{{window_index}}'")).await?;
    }
    Ok(())
}

/// Keeps the output of all panes but the agent's from us: also of those that are new. The gateway's own window shows its
/// log. `first`: nothing was sent so far.
async fn listen(
    control: &Control,
    others: impl Iterator<Item = PaneId>,
    silent: &mut Vec<PaneId>,
    first: bool,
) -> Result<(), ControlError> {
    let new: Vec<PaneId> = others.filter(|pane| !silent.contains(pane)).collect();
    if first {
        control.take_output(&new).await?;
    } else {
        for pane in &new {
            control.pause(*pane).await?;
        }
    }
    silent.extend(new);
    Ok(())
}

/// The view, and the panes of the session.
async fn ask(control: &Control, subject: &Subject) -> Result<(View, Vec<PaneFacts>), ControlError> {
    let asked = format!("display-message -p -t '{}:' '#{{pid}} #{{session_name}}'", subject.session);
    let answer = control.ask(&asked).await?;
    let rows =
        control.ask(&format!("list-panes -s -t '{}:' -F '{}'", subject.session, inspect::STEADY_PANE_FORMAT)).await?;
    let mut printed = rows.join(&b'\n');
    printed.push(b'\n');
    let panes = inspect::panes_from_rows(&printed).map_err(|error| ControlError::Refused(error.to_string()))?;
    let answer = answer.first().map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default();
    let (server, name) = answer.split_once(' ').unwrap_or_default();
    // A new server on the socket gives its sessions the same ids.
    if server != subject.server_pid.to_string() {
        return Err(ControlError::Refused("another tmux server answers on the socket".to_owned()));
    }
    Ok((view(subject, name.to_owned(), &panes), panes))
}

/// Why the session is gone; `None` while it is there, or while nobody can tell.
async fn lost(subject: Subject) -> Option<String> {
    match tokio::task::spawn_blocking(move || is_there(&subject)).await {
        Ok(Err(TmuxError::NoTarget { .. })) => Some("the tmux session was closed".to_owned()),
        Ok(Err(TmuxError::NoServer { .. })) => Some("the tmux server has ended".to_owned()),
        Ok(Ok(false)) => Some("another tmux server runs on the socket now".to_owned()),
        _ => None,
    }
}
