//! What is old goes, a little at a time, so that no caller waits for it long.

use rusqlite::{Connection, TransactionBehavior, params};

use super::tally::{FLOOR, Tally};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// Rows that are done with.
    pub(super) finished: u64,
    /// Entries of the journal.
    pub(super) entries: u64,
}

pub(super) const KEPT: Kept = Kept { finished: 10_000, entries: 50_000 };

/// Most rows that go at once, and how many must be too many before any go: each time costs a sync.
const ROWS: u64 = 200;

/// Most entries of the journal that are looked at at once.
const ENTRIES: u64 = 1_000;

/// Removes the oldest finished rows and journal entries beyond what is kept. Unfinished rows and their entries stay.
pub(super) fn sweep(sql: &mut Connection, tally: &mut Tally, kept: Kept) -> rusqlite::Result<()> {
    let rows = tally.finished >= kept.finished + ROWS;
    let entries = tally.newest.saturating_sub(tally.floor) >= kept.entries + ENTRIES;
    if !rows && !entries {
        return Ok(());
    }
    let change = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut after = tally.clone();
    if rows {
        after.finished = after.finished.saturating_sub(remove_rows(&change, after.floor)?);
    }
    if entries {
        after.floor = remove_entries(&change, after.floor)?;
    }
    change.commit()?;
    *tally = after;
    Ok(())
}

/// The oldest finished rows. Each state is asked alone, because that is how the index is sorted.
fn remove_rows(sql: &Connection, floor: u64) -> rusqlite::Result<u64> {
    let mut oldest = sql.prepare_cached(
        "SELECT sequence, request_id FROM ( \
         SELECT * FROM (SELECT sequence, request_id FROM agents_requests WHERE state = 'completed' \
                        ORDER BY sequence LIMIT ?1) UNION ALL \
         SELECT * FROM (SELECT sequence, request_id FROM agents_requests WHERE state = 'failed' \
                        ORDER BY sequence LIMIT ?1) UNION ALL \
         SELECT * FROM (SELECT sequence, request_id FROM agents_requests WHERE state = 'coalesced' \
                        ORDER BY sequence LIMIT ?1)) ORDER BY sequence LIMIT ?1",
    )?;
    let oldest: Vec<(u64, String)> =
        oldest.query_map([ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (sequence, id) in &oldest {
        sql.prepare_cached("DELETE FROM gateway_requests WHERE request_id = ?1")?.execute([id])?;
        sql.prepare_cached("DELETE FROM agents_requests WHERE sequence = ?1")?.execute([sequence])?;
        sql.prepare_cached("DELETE FROM agents_on_draft WHERE request_id = ?1")?.execute([id])?;
        // The floor passed these by, because the row was unfinished then. Newer ones go when it comes to them.
        sql.prepare_cached("DELETE FROM agents_journal WHERE request_id = ?1 AND id <= ?2")?
            .execute(params![id, floor])?;
    }
    Ok(oldest.len() as u64)
}

/// The oldest entries, but for those of unfinished rows. Returns how far it came.
fn remove_entries(sql: &Connection, floor: u64) -> rusqlite::Result<u64> {
    let next = floor + ENTRIES;
    sql.prepare_cached(
        "DELETE FROM agents_journal WHERE id > ?1 AND id <= ?2 AND (request_id IS NULL OR NOT EXISTS \
         (SELECT 1 FROM agents_requests a WHERE a.request_id = agents_journal.request_id \
          AND a.state IN ('accepted', 'running')))",
    )?
    .execute([floor, next])?;
    sql.prepare_cached(
        "INSERT INTO agents_meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
    )?
    .execute(params![FLOOR, next.to_string()])?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Scratch, id, row};

    /// What is left after sweeping until nothing more goes.
    fn swept(scratch: Scratch, kept: Kept) -> (Scratch, Tally) {
        let (path, folder) = scratch.end();
        let mut sql = Scratch::open_raw(&path);
        let mut tally = Tally::of(&sql).unwrap();
        loop {
            let before = tally.clone();
            sweep(&mut sql, &mut tally, kept).unwrap();
            assert_eq!(tally, Tally::of(&sql).unwrap(), "the counts stay true");
            assert!(before.finished - tally.finished <= ROWS, "a little at a time");
            if before == tally {
                drop(sql);
                return (Scratch::in_folder(path, folder), tally);
            }
        }
    }

    #[tokio::test]
    async fn the_oldest_finished_rows_and_entries_go_and_unfinished_ones_stay() {
        let scratch = Scratch::new();
        let all = 1500;
        scratch.accept_together((0..all).map(row).collect()).await;
        // The first two never finish; every third row is another state, so that all are asked.
        for n in 2..all {
            if n % 3 == 0 {
                scratch.store.cancel(&id(n), crate::store::scratch::now()).await.unwrap();
            } else {
                scratch.complete(n).await;
            }
        }
        let (scratch, tally) = swept(scratch, Kept { finished: 500, entries: 700 });
        assert!((500..500 + ROWS).contains(&tally.finished), "{tally:?}");
        let (oldest, newest) = scratch.store.journal_range().await.unwrap();
        assert!((700..700 + ENTRIES).contains(&(newest + 1 - oldest)), "{oldest} to {newest}");
        let gone = all - 1 - u32::try_from(tally.finished).unwrap();
        assert!(scratch.store.show(&id(gone)).await.unwrap().is_none());
        assert!(scratch.store.show(&id(gone + 1)).await.unwrap().is_some());
        assert_eq!(scratch.receipts(0).await, ["queued"], "it waits still, however old its receipt");
        let entries = scratch.store.journal_after(oldest - 1, None, 9999).await.unwrap();
        assert!(entries.len() as u64 <= newest + 1 - oldest);
        let orphans: u32 = scratch
            .outsider()
            .query_row(
                "SELECT count(*) FROM agents_journal j WHERE id < ?1 AND NOT EXISTS \
                 (SELECT 1 FROM agents_requests a WHERE a.request_id = j.request_id)",
                [oldest],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(orphans, 0);
        let theirs: u64 =
            scratch.outsider().query_row("SELECT count(*) FROM gateway_requests", [], |row| row.get(0)).unwrap();
        assert_eq!(theirs, tally.finished + 2);
        // When such a row finishes and goes, its old entries go with it.
        scratch.complete(0).await;
        scratch.complete(1).await;
        let (scratch, _) = swept(scratch, Kept { finished: 0, entries: 700 });
        let left: u32 = scratch
            .outsider()
            .query_row(
                "SELECT count(*) FROM agents_journal WHERE request_id = ?1 AND id < 10",
                [id(0).as_str()],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 0);
    }
}
