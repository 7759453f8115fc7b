//! The store's thread: many changes, one transaction, one sync; then all answers.
//!
//! The order is the promise. Nobody is told of a change before the sync that holds it has succeeded, and after a sync
//! that failed nobody is told of success again: the kernel reports such a failure once and then forgets it.

use std::{ffi::OsString, path::PathBuf, sync::mpsc, time::Duration};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    error::{Fault, StoreError, opening},
    migrate, open,
    retention::{self, KEPT},
    tally::{Tally, Waiting},
    thread::{Change, Job, Read, View, Write},
};
use crate::os::{
    clock,
    files::{self, FileError, Glance},
};

/// Most changes that share one transaction: enough that the sync costs each of them little.
const BATCH: usize = 256;

/// Size of the write-ahead log at which it is moved into the file.
const CHECKPOINT: u64 = 4 * 1024 * 1024;

/// The same in pages that are not moved yet.
const CHECKPOINT_FRAMES: i64 = 1000;

/// Size of the write-ahead log that somebody should know of: a reader of another program holds it.
const LARGE_LOG: u64 = 64 * 1024 * 1024;

pub(super) struct Writer {
    sql: Connection,
    path: PathBuf,
    busy: Duration,
    log_path: PathBuf,
    tally: Tally,
    /// The files that are open, as they were seen first.
    file: Glance,
    log: Option<Glance>,
    /// SQLite's count of other connections' commits.
    others: i64,
    /// Why nothing goes on.
    fault: Option<Fault>,
    /// Pages in the log when a reader kept it from being moved.
    tried: i64,
    large_log: LargeLog,
    health: watch::Sender<Option<String>>,
    newest: watch::Sender<u64>,
    waiting: watch::Sender<Waiting>,
}

impl Writer {
    pub(super) fn new(
        sql: Connection,
        path: PathBuf,
        busy: Duration,
        health: watch::Sender<Option<String>>,
        newest: watch::Sender<u64>,
        waiting: watch::Sender<Waiting>,
    ) -> Result<Self, StoreError> {
        let counted = data_version(&sql).and_then(|others| Ok((others, Tally::of(&sql)?)));
        let (others, tally) = counted.map_err(|source| {
            drop(open::leave_as_it_is(&sql, true));
            opening(&path, source)
        })?;
        let file = files::glance(&path).ok_or_else(|| FileError::Missing { path: path.clone() })?;
        newest.send_replace(tally.newest);
        waiting.send_replace(tally.waiting.clone());
        let mut log_path = OsString::from(path.as_os_str());
        log_path.push("-wal");
        let log_path = PathBuf::from(log_path);
        let log = files::glance(&log_path);
        Ok(Self {
            sql,
            path,
            busy,
            log_path,
            tally,
            file,
            log,
            others,
            fault: None,
            tried: i64::MIN,
            large_log: LargeLog::default(),
            health,
            newest,
            waiting,
        })
    }

    /// Works until the last handle is gone.
    pub(super) fn serve(&mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(first) = inbox.recv() {
            match first {
                Job::Read(question) => self.read(question),
                Job::Write(first) => {
                    let mut batch = vec![first];
                    let mut after = None;
                    while batch.len() < BATCH && after.is_none() {
                        match inbox.try_recv() {
                            Ok(Job::Write(next)) => batch.push(next),
                            Ok(Job::Read(question)) => after = Some(question),
                            Err(_) => break,
                        }
                    }
                    let busy = self.write(batch);
                    if let Some(question) = after {
                        self.read(question);
                    }
                    if busy {
                        self.refuse_all(inbox);
                    }
                }
            }
        }
    }

    /// Whoever came while a lock was waited for has waited too: each in turn would wait its own five seconds.
    fn refuse_all(&mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(job) = inbox.try_recv() {
            match job {
                Job::Write(job) => job.answer(Some(Fault::Busy.told(&self.path))),
                Job::Read(question) => self.read(question),
            }
        }
    }

    fn read(&mut self, mut question: Box<dyn Read>) {
        self.look();
        self.catch_up();
        if let Some(fault) = &self.fault {
            question.answer(Some(fault.told(&self.path)));
            return;
        }
        let fault = question.run(&View { sql: &self.sql, tally: &self.tally }).map_err(Fault::of).err();
        let told = fault.as_ref().map(|fault| fault.told(&self.path));
        // Whoever hears of it finds the store's health already told.
        fault.into_iter().for_each(|fault| self.suffer(fault));
        question.answer(told);
    }

    /// Takes in what another program wrote, before somebody asks. On a full disk or against a lock the counts stay as
    /// they were, and reading goes on at once.
    fn catch_up(&mut self) {
        if self.fault.is_none() && data_version(&self.sql).is_ok_and(|version| version != self.others) {
            drop(self.sql.busy_timeout(Duration::ZERO));
            self.write(Vec::new());
            drop(self.sql.busy_timeout(self.busy));
        }
    }

    /// Makes all changes and answers their callers. Returns whether another program's lock kept them out.
    fn write(&mut self, mut batch: Vec<Box<dyn Write>>) -> bool {
        self.look();
        if let Some(fault) = &self.fault {
            batch.into_iter().for_each(|job| job.answer(Some(fault.told(&self.path))));
            return false;
        }
        let before = self.tally.clone();
        match self.commit(&mut batch) {
            Ok(faults) => {
                for (job, fault) in batch.into_iter().zip(faults) {
                    job.answer(fault.map(|fault| fault.told(&self.path)));
                }
                self.tidy();
                false
            }
            Err(fault) => {
                self.tally = before;
                self.roll_back();
                let busy = matches!(fault, Fault::Busy);
                let told: Vec<StoreError> = batch.iter().map(|_| fault.told(&self.path)).collect();
                self.suffer(fault);
                batch.into_iter().zip(told).for_each(|(job, error)| job.answer(Some(error)));
                busy
            }
        }
    }

    /// One transaction. A change that fails falls alone; a commit that fails takes all with it.
    ///
    /// Savepoints cost more than the changes in them, and hardly any change fails: they are for the second try.
    fn commit(&mut self, batch: &mut [Box<dyn Write>]) -> Result<Vec<Option<Fault>>, Fault> {
        let before = self.tally.clone();
        self.roll_back();
        self.run("BEGIN IMMEDIATE")?;
        let mut others = self.follow_others().map_err(Fault::of)?;
        let mut faults: Vec<Option<Fault>> = Vec::new();
        let all = batch.iter_mut().try_for_each(|job| job.run(&mut Change { sql: &self.sql, tally: &mut self.tally }));
        match all.map_err(Fault::of) {
            Ok(()) => faults.resize_with(batch.len(), || None),
            Err(fault) if fault.is_final() || batch.len() == 1 => return Err(fault),
            Err(_) => {
                self.roll_back();
                self.tally = before;
                self.run("BEGIN IMMEDIATE")?;
                others = self.follow_others().map_err(Fault::of)?;
                for job in batch {
                    faults.push(self.run_one(job.as_mut())?);
                }
            }
        }
        self.run("COMMIT")?;
        self.others = others;
        self.check_log()?;
        let newest = self.tally.newest;
        // Before the journal's news: who hears of an entry and then asks what waits must find it counted.
        let waiting = &self.tally.waiting;
        self.waiting.send_if_modified(|known| {
            let changed = known != waiting;
            if changed {
                known.clone_from(waiting);
            }
            changed
        });
        self.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        Ok(faults)
    }

    /// One change that can be taken back alone. `Err` is a fault that leaves nothing of the transaction.
    fn run_one(&mut self, job: &mut dyn Write) -> Result<Option<Fault>, Fault> {
        let before = self.tally.clone();
        self.run("SAVEPOINT job")?;
        let fault = match job.run(&mut Change { sql: &self.sql, tally: &mut self.tally }).map_err(Fault::of) {
            Ok(()) => None,
            // SQLite itself may have given the whole transaction up.
            Err(fault) if fault.is_final() || self.sql.is_autocommit() => return Err(fault),
            Err(fault) => {
                self.run("ROLLBACK TO job")?;
                self.tally = before;
                Some(fault)
            }
        };
        self.run("RELEASE job")?;
        Ok(fault)
    }

    /// Leaves no transaction open. Also before a new one: the last roll-back may have failed.
    fn roll_back(&self) {
        if !self.sql.is_autocommit() {
            // What cannot be rolled back was not committed either; the first fault is the one that counts.
            drop(self.run("ROLLBACK"));
        }
    }

    /// Takes in what another program committed since the last look, and returns SQLite's count of that moment.
    fn follow_others(&mut self) -> rusqlite::Result<i64> {
        let version = data_version(&self.sql)?;
        if version != self.others {
            migrate::follow_others(&self.sql, clock::now())?;
            self.tally = Tally::of(&self.sql)?;
        }
        Ok(version)
    }

    /// Looks whether the path still leads to the file that is open.
    fn look(&mut self) {
        if self.fault.is_none() && !files::glance(&self.path).is_some_and(|seen| seen.is_same_file(&self.file)) {
            self.suffer(Fault::Replaced);
        }
    }

    /// A log that is gone took the commit with it: nobody who opens the file will ever see it.
    fn check_log(&mut self) -> Result<(), Fault> {
        let seen = files::glance(&self.log_path).ok_or(Fault::Replaced)?;
        if self.log.is_some_and(|known| !known.is_same_file(&seen)) {
            return Err(Fault::Replaced);
        }
        self.log = Some(seen);
        Ok(())
    }

    /// What is to be done when nobody waits: the log's size, and rows that are old enough to go.
    fn tidy(&mut self) {
        let bytes = self.log.map_or(0, |log| log.bytes);
        if bytes >= CHECKPOINT
            && let Err(fault) = self.checkpoint()
        {
            self.note("the queue's log could not be moved into its file", fault);
        }
        if self.large_log.is_news(bytes) {
            tracing::warn!(bytes, path = %self.log_path.display(), "another program reads the queue and keeps its log from ending");
        }
        if let Err(fault) = retention::sweep(&mut self.sql, &mut self.tally, KEPT).map_err(Fault::of) {
            self.note("old requests could not be removed", fault);
        }
    }

    /// Moves the log into the file once it is full; from then on the log is written over from its start.
    ///
    /// A log that is held by a reader cannot start over; it is tried again after as much once more.
    fn checkpoint(&mut self) -> Result<(), Fault> {
        let frames = |mode: &str| {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
            self.sql.prepare_cached(mode)?.query_row([], row)
        };
        let (filled, moved) = frames("PRAGMA wal_checkpoint(NOOP)").map_err(Fault::of)?;
        let tried_lately = (self.tried..self.tried + CHECKPOINT_FRAMES).contains(&filled);
        if filled - moved < CHECKPOINT_FRAMES || tried_lately {
            return Ok(());
        }
        let (filled, moved) = frames("PRAGMA wal_checkpoint(PASSIVE)").map_err(Fault::of)?;
        self.tried = if moved < filled { filled } else { i64::MIN };
        Ok(())
    }

    /// A fault that no caller is told of.
    fn note(&mut self, what: &str, fault: Fault) {
        tracing::warn!(reason = %fault.told(&self.path), "{what}");
        self.suffer(fault);
    }

    /// Remembers a fault after which nothing goes on.
    fn suffer(&mut self, fault: Fault) {
        if !fault.is_final() || self.fault.is_some() {
            return;
        }
        let why = fault.told(&self.path).to_string();
        tracing::error!("{why}");
        // The end must not sync again either: the next start reads the log and finds what really is there.
        drop(open::leave_as_it_is(&self.sql, true));
        self.fault = Some(fault);
        self.health.send_replace(Some(why));
    }

    fn run(&self, statement: &str) -> Result<(), Fault> {
        self.sql.prepare_cached(statement).and_then(|mut prepared| prepared.execute([])).map(drop).map_err(Fault::of)
    }
}

/// Tells of a large log once, until it is small again.
#[derive(Debug, Default)]
struct LargeLog {
    told: bool,
}

impl LargeLog {
    fn is_news(&mut self, bytes: u64) -> bool {
        let large = bytes > LARGE_LOG;
        let news = large && !self.told;
        self.told = large;
        news
    }
}

/// Changes when another connection commits, and only then.
fn data_version(sql: &Connection) -> rusqlite::Result<i64> {
    sql.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests;
