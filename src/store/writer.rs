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
mod tests {
    use rusqlite::ffi;

    use super::*;
    use crate::{
        model::RequestState,
        store::{
            Admitted, NewRow,
            scratch::{Scratch, id, now, row},
        },
    };

    /// Transactions in the write-ahead log: the last frame of each carries the size of the file.
    fn commits(scratch: &Scratch) -> usize {
        let log = files::read(&scratch.path.with_file_name("queue.sqlite-wal")).unwrap();
        log[32..].chunks(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    fn sequence(answer: &Result<Admitted, StoreError>) -> u64 {
        match answer {
            Ok(Admitted::New { sequence, .. }) => *sequence,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_comes_together_shares_one_transaction() {
        let scratch = Scratch::new();
        scratch.fill(0..1).await;
        let before = commits(&scratch);
        let answers = scratch.accept_together((1..101).map(row).collect()).await;
        assert_eq!(answers.iter().map(sequence).collect::<Vec<_>>(), (2..102).collect::<Vec<_>>());
        assert_eq!(commits(&scratch), before + 1);
        assert_eq!(*scratch.store.newest().borrow(), 101, "one receipt each");
        assert!(scratch.store.health().borrow().is_none());
    }

    #[tokio::test]
    async fn a_change_that_fails_falls_alone() {
        let scratch = Scratch::new();
        scratch.fill(0..1).await;
        let twice = NewRow { payload_json: "second".to_owned(), ..row(0) };
        let answers = scratch.accept_together(vec![row(1), twice, row(2)]).await;
        assert_eq!((sequence(&answers[0]), sequence(&answers[2])), (2, 3));
        assert!(matches!(&answers[1], Err(StoreError::Sql { .. })), "{answers:?}");
        assert!(answers[1].as_ref().unwrap_err().to_string().contains("UNIQUE"), "{answers:?}");
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 3);
        assert_eq!(scratch.store.journal_range().await.unwrap(), (1, 3));
        let (kept, _) = scratch.store.show(&id(0)).await.unwrap().unwrap();
        assert_eq!(kept.prompt.as_deref(), Some("number 0"));
        let alone = scratch.accept(row(0)).await;
        assert!(matches!(alone, Err(StoreError::Sql { .. })), "{alone:?}");
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 3);
    }

    #[tokio::test]
    async fn a_replaced_or_removed_file_takes_nothing_more() {
        for (name, replace) in [("queue.sqlite", true), ("queue.sqlite", false), ("queue.sqlite-wal", false)] {
            let scratch = Scratch::new();
            scratch.fill(0..1).await;
            let (file, away) = (scratch.path.with_file_name(name), scratch.path.with_file_name("away"));
            files::rename(&file, &away).unwrap();
            if replace {
                files::create_if_missing(&file).unwrap();
            }
            let refused = scratch.accept(row(1)).await;
            assert!(matches!(refused, Err(StoreError::Replaced { .. })), "{name}: {refused:?}");
            assert!(scratch.store.health().borrow().as_deref().unwrap().contains("removed or replaced"));
            files::remove(&file).unwrap();
            files::rename(&away, &file).unwrap();
            assert!(matches!(scratch.accept(row(2)).await, Err(StoreError::Replaced { .. })), "once is for good");
            assert!(matches!(scratch.store.check().await, Err(StoreError::Replaced { .. })));
        }
    }

    #[tokio::test]
    async fn a_lock_is_waited_for_and_then_told() {
        let scratch = Scratch::impatient(Duration::from_millis(20));
        scratch.fill(0..1).await;
        let outsider = scratch.outsider();
        outsider.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let refused = scratch.accept_together(vec![row(1), row(2)]).await;
        assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Busy { .. }))), "{refused:?}");
        assert_eq!(scratch.store.waiting(10).await.unwrap().len(), 1, "reading goes on");
        outsider.execute_batch("COMMIT").unwrap();
        scratch.fill(1..3).await;
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 3);
        assert!(scratch.store.health().borrow().is_none());
    }

    #[tokio::test]
    async fn a_full_disk_keeps_nothing_of_the_change_and_ends_with_space() {
        let scratch = Scratch::new();
        scratch.fill(0..1).await;
        let limit = |pages: u32| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            scratch.store.read(move |view| view.sql.query_row(&pragma, [], |_| Ok(())))
        };
        limit(1).await.unwrap();
        let large = |n| NewRow { payload_json: "x".repeat(100_000), ..row(n) };
        let refused = scratch.accept_together(vec![large(1), large(2)]).await;
        assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Full { .. }))), "{refused:?}");
        assert!(scratch.store.show(&id(1)).await.unwrap().is_none(), "reading goes on, and finds no half");
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 1);
        limit(1_000_000).await.unwrap();
        scratch.accept(large(1)).await.unwrap();
        assert!(scratch.store.health().borrow().is_none());
        let scratch = scratch.again();
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 2);
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_reported_as_done() {
        let scratch = Scratch::new();
        scratch.fill(0..1).await;
        let failed: Result<(), _> = scratch
            .store
            .write(|change| {
                change.sql.execute("UPDATE agents_requests SET receipt = 'typing'", [])?;
                Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None))
            })
            .await;
        assert!(matches!(failed, Err(StoreError::Sick { .. })), "{failed:?}");
        assert!(matches!(scratch.accept(row(1)).await, Err(StoreError::Sick { .. })));
        assert!(matches!(scratch.store.depth(1).await, Err(StoreError::Sick { .. })));
        let why = scratch.store.health().borrow().clone().unwrap();
        assert!(why.contains("disk I/O error"), "{why}");
        let log = scratch.path.with_file_name("queue.sqlite-wal");
        let before = files::read(&log).unwrap();
        let (path, _folder) = scratch.end();
        assert_eq!(files::read(&log).unwrap(), before, "the end does not sync again");
        let (store, _thread) = crate::store::Store::open(&path, now()).unwrap();
        assert_eq!(store.show(&id(0)).await.unwrap().unwrap().0.receipt.name(), "queued");
    }

    #[tokio::test]
    async fn rows_of_another_program_are_counted_as_they_come_and_go() {
        let scratch = Scratch::new();
        scratch.fill(0..2).await;
        let outsider = scratch.outsider();
        let insert = "INSERT INTO gateway_requests VALUES \
                      ('theirs-1', 'submit_prompt', '{}', 'accepted', '2026-11-21T09:00:00+00:00', NULL, NULL, 1, NULL, NULL)";
        outsider.execute(insert, []).unwrap();
        assert_eq!(scratch.store.depth(2).await.unwrap().of_earlier_epochs, 3);
        let waiting = scratch.store.waiting(9).await.unwrap();
        assert_eq!(waiting[2].id.as_str(), "theirs-1", "behind what is there already");
        outsider
            .execute("UPDATE gateway_requests SET state = 'failed' WHERE request_id = ?1", [id(0).as_str()])
            .unwrap();
        assert_eq!(scratch.state(0).await, RequestState::Failed);
        outsider.execute("DELETE FROM gateway_requests", []).unwrap();
        scratch.fill(5..6).await;
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 1);
    }

    #[tokio::test]
    async fn the_log_is_moved_into_the_file_and_does_not_grow_for_ever() {
        let scratch = Scratch::new();
        for n in 0..60 {
            scratch.accept(NewRow { payload_json: "x".repeat(200_000), ..row(n) }).await.unwrap();
        }
        let bytes = |name: &str| files::glance(&scratch.path.with_file_name(name)).unwrap().bytes;
        assert!(bytes("queue.sqlite-wal") < 2 * CHECKPOINT, "{}", bytes("queue.sqlite-wal"));
        assert!(bytes("queue.sqlite") > CHECKPOINT, "{}", bytes("queue.sqlite"));
    }

    #[tokio::test]
    async fn a_reader_that_stays_lets_the_log_grow_only_until_it_leaves() {
        let scratch = Scratch::new();
        let outsider = scratch.outsider();
        outsider.execute_batch("BEGIN; SELECT * FROM agents_meta;").unwrap();
        let large = |n| NewRow { payload_json: "x".repeat(200_000), ..row(n) };
        for n in 0..60 {
            scratch.accept(large(n)).await.unwrap();
        }
        let bytes = || files::glance(&scratch.path.with_file_name("queue.sqlite-wal")).unwrap().bytes;
        assert!(bytes() > 2 * CHECKPOINT, "{}", bytes());
        outsider.execute_batch("COMMIT").unwrap();
        for n in 60..120 {
            scratch.accept(large(n)).await.unwrap();
        }
        assert!(bytes() <= 2 * CHECKPOINT, "{}", bytes());
        assert!(scratch.store.health().borrow().is_none());
    }

    #[test]
    fn a_large_log_is_told_once_until_it_was_small_again() {
        let mut log = LargeLog::default();
        let told: Vec<bool> = [1, 2, 3, 0, 2].map(|part| log.is_news(part * LARGE_LOG)).to_vec();
        assert_eq!(told, [false, true, false, false, true]);
    }
}
