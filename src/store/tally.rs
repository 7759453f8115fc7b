//! Counts that are asked for with every piece of work, kept in memory so that they cost the same with 100,000 rows.

use rusqlite::{Connection, OptionalExtension};

use super::epochs::Depth;

/// Unfinished rows of the queue by epoch. Two entries at most, but for a gateway that was never reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting(Vec<(u64, u64)>);

impl Waiting {
    /// All of them, and how many of them are of earlier epochs than this.
    pub fn depth(&self, epoch: u64) -> Depth {
        let earlier = self.0.iter().filter(|(of, _)| *of < epoch).map(|(_, count)| count).sum();
        Depth { waiting: self.0.iter().map(|(_, count)| count).sum(), of_earlier_epochs: earlier }
    }
}

/// What the tables add up to. Changed beside every change of theirs, and put back when that is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) waiting: Waiting,
    /// Rows of every route that are done with.
    pub(super) finished: u64,
    /// Newest id of the journal; 0 if it has none.
    pub(super) newest: u64,
    /// Every entry of the journal with a higher id is there; of the lower ones, only those of unfinished work.
    pub(super) floor: u64,
}

/// Key of [`Tally::floor`] in `agents_meta`.
pub(super) const FLOOR: &str = "journal_floor";

impl Tally {
    /// Counts.
    pub(super) fn of(sql: &Connection) -> rusqlite::Result<Self> {
        let mut by_epoch = sql.prepare(
            "SELECT epoch, count(*) FROM agents_requests WHERE state IN ('accepted', 'running') AND route = 'queue' \
             GROUP BY epoch",
        )?;
        let waiting = by_epoch.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        let waiting = Waiting(waiting);
        let finished = sql.query_row(
            "SELECT count(*) FROM agents_requests WHERE state IN ('completed', 'failed', 'coalesced')",
            [],
            |row| row.get(0),
        )?;
        let newest = sql.query_row("SELECT coalesce(max(id), 0) FROM agents_journal", [], |row| row.get(0))?;
        let floor: Option<String> =
            sql.query_row("SELECT value FROM agents_meta WHERE key = ?1", [FLOOR], |row| row.get(0)).optional()?;
        Ok(Self { waiting, finished, newest, floor: floor.and_then(|text| text.parse().ok()).unwrap_or(0) })
    }

    /// Unfinished rows of the queue, and how many of them are of earlier epochs than this.
    pub(super) fn depth(&self, epoch: u64) -> Depth {
        self.waiting.depth(epoch)
    }

    pub(super) fn add_waiting(&mut self, epoch: u64) {
        match self.waiting.0.iter_mut().find(|(of, _)| *of == epoch) {
            Some((_, count)) => *count += 1,
            None => self.waiting.0.push((epoch, 1)),
        }
    }

    pub(super) fn remove_waiting(&mut self, epoch: u64) {
        if let Some((_, count)) = self.waiting.0.iter_mut().find(|(of, _)| *of == epoch) {
            *count = count.saturating_sub(1);
        }
        self.waiting.0.retain(|(_, count)| *count > 0);
    }
}
