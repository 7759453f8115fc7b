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
    outsider.execute("UPDATE gateway_requests SET state = 'failed' WHERE request_id = ?1", [id(0).as_str()]).unwrap();
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
