//! `agents mail watch`: each message when it arrives, once.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use serde_json::json;

use super::{super::gateway::requests::INTERRUPTED, letters, mailbox};
use crate::{
    api::{MailBinding, MailQuery, MessageView},
    cli::{args::MailWatch, render, report::Reporter, setting},
    client::{Patience, Waited},
    mail::{MailError, Mailbox},
    model::{BoxName, ErrorCode, Failure},
    os::{files, notify::Changes},
    target::Context,
};

/// After a file has appeared its message may be listed a moment later: so often, and so much later, it is looked again.
const AGAIN: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500)];

pub(super) fn run(context: &Context, words: &MailWatch, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, &words.selectors)?;
    let mailbox = mailbox(&target)?;
    let folder: BoxName = words.folder.parse()?;
    let mut patience = Patience::new(words.timeout)?;
    // Listened for before the first look: what comes in between is seen twice and told once.
    let mut arrivals = Arrivals::of(&mailbox, &folder, Duration::from_secs_f64(words.interval_seconds), &mut patience);
    let mut watch = Watch { known: HashSet::new(), left: words.count, words, report };
    let present = mailbox.list(&MailQuery::of(folder.clone()))?;
    let is_old = |message: &&MessageView| !(words.all || words.unread && message.unread == Some(true));
    watch.known.extend(present.iter().filter(is_old).map(|message| message.message_ref.clone()));
    if !words.unread && !words.all {
        report.detail(&format!("waiting for mail of {}; Ctrl-C ends", mailbox.binding().address()));
    }
    let mut away = false;
    loop {
        match mailbox.list(&MailQuery::of(folder.clone())) {
            Ok(messages) => {
                if std::mem::take(&mut away) {
                    report.note("the mailbox answers again");
                }
                let new = watch.tell(&mailbox, messages)?;
                if watch.is_over() {
                    return Ok(ExitCode::SUCCESS);
                }
                arrivals.looked(new);
            }
            // Nothing is lost: what came meanwhile is told when it answers again.
            Err(why) if matches!(why, MailError::Unavailable(_)) || is_root_away(&mailbox) => {
                if !std::mem::replace(&mut away, true) {
                    report.note(&format!("the mailbox does not answer ({why}); waiting for it until Ctrl-C"));
                }
            }
            Err(error) => return Err(error.into()),
        }
        match arrivals.wait(&mut patience, away) {
            Waited::For(()) => {}
            Waited::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
            Waited::TimeOver => {
                return Err(Failure::new(
                    ErrorCode::Timeout,
                    "no further message came within the time",
                    "`agents mail list` shows what there is; a longer --timeout waits longer",
                ));
            }
        }
    }
}

struct Watch<'a> {
    known: HashSet<String>,
    left: Option<u32>,
    words: &'a MailWatch,
    report: &'a Reporter,
}

impl Watch<'_> {
    /// Tells what is new, oldest first. Returns whether anything was.
    fn tell(&mut self, mailbox: &Mailbox, messages: Vec<MessageView>) -> Result<bool, Failure> {
        let new = messages.into_iter().rev().filter(|message| self.known.insert(message.message_ref.clone()));
        let new: Vec<MessageView> = new.collect();
        for message in &new {
            if self.is_over() {
                break;
            }
            let message = if self.words.include_body {
                match mailbox.show(&message.message_ref, None, false) {
                    Ok(whole) => whole,
                    // Somebody was quicker and took it away.
                    Err(MailError::UnknownMessage(_)) => continue,
                    Err(error) => return Err(error.into()),
                }
            } else {
                message.clone()
            };
            self.left = self.left.map(|left| left.saturating_sub(1));
            if !self.show(&message) {
                self.left = Some(0);
            }
        }
        Ok(!new.is_empty())
    }

    /// `false` when nobody takes it any more.
    fn show(&self, message: &MessageView) -> bool {
        if self.report.wants_json() {
            return render::try_json_line(&json!(message));
        }
        let taken = render::try_line(&letters::line(message));
        let text = message.body_text.as_deref().map(letters::clean).unwrap_or_default();
        taken && text.lines().all(|line| render::try_line(&format!("  | {line}")))
    }

    fn is_over(&self) -> bool {
        self.left == Some(0)
    }
}

/// When to look again: as soon as a file appears in the folder, where there is one, and every few seconds in any case: a
/// folder that was removed and made again, or whose root was put in place by a rename, tells nothing.
struct Arrivals {
    /// The folder, and who listens there.
    listening: Option<(PathBuf, Changes)>,
    interval: Duration,
    /// Looks that are still due after the last change.
    due: std::slice::Iter<'static, Duration>,
}

impl Arrivals {
    fn of(mailbox: &Mailbox, folder: &BoxName, interval: Duration, patience: &mut Patience) -> Self {
        let watched = mailbox.arrivals().map(|inbox| inbox.with_file_name(folder.as_str()));
        let listening = watched.and_then(|path| match patience.wait(async { Changes::new() }) {
            Waited::For(Ok(mut changes)) => {
                changes.add(&path);
                Some((path, changes))
            }
            // The user has no watch left.
            _ => None,
        });
        Self { listening, interval, due: [].iter() }
    }

    fn looked(&mut self, found: bool) {
        if found {
            self.due = [].iter();
        }
    }

    fn wait(&mut self, patience: &mut Patience, away: bool) -> Waited<()> {
        if let Some(span) = self.due.next() {
            return patience.pause(*span);
        }
        let Some((folder, changes)) = self.listening.as_mut().filter(|_| !away) else {
            return patience.pause(self.interval);
        };
        // The folder of this moment: once more changes nothing, and another one in its place is heard from now on.
        changes.add(folder);
        let interval = self.interval;
        match patience.wait(async { tokio::time::timeout(interval, changes.any()).await }) {
            Waited::For(Ok(Ok(()))) => {
                self.due = AGAIN.iter();
                Waited::For(())
            }
            Waited::For(Ok(Err(_no_more))) => {
                self.listening = None;
                Waited::For(())
            }
            Waited::For(Err(_elapsed)) => Waited::For(()),
            Waited::TimeOver => Waited::TimeOver,
            Waited::Interrupted => Waited::Interrupted,
        }
    }
}

/// Is the mailbox's root not there now? One that is being put back is waited for.
fn is_root_away(mailbox: &Mailbox) -> bool {
    match mailbox.binding() {
        MailBinding::Filesystem(binding) => files::inode(Path::new(&binding.filesystem_root)).is_none(),
        MailBinding::Stalwart(_) => false,
    }
}
