//! Which gateway runs, which agent process it serves, and how many rows wait.

use rusqlite::{OptionalExtension, params};

use super::{error::StoreError, thread::Store};
use crate::model::{Moment, ProcessIdentity};

/// The agent's process in its pane: what an epoch stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentProcess {
    /// `%0`.
    pub pane_id: String,
    /// The process.
    pub process: ProcessIdentity,
}

/// Rows that are not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// In `accepted` and `running`.
    pub waiting: u64,
    /// Of those, accepted for an earlier agent process.
    pub of_earlier_epochs: u64,
}

impl Store {
    /// Registers this run of the gateway and returns its generation, one higher than any before.
    ///
    /// `is_alive` is asked about the last run that did not end orderly: a live one means that the lock file was
    /// replaced under a running gateway, and two writers would follow.
    ///
    /// # Errors
    /// [`StoreError::Owned`], or SQLite's reason.
    pub async fn claim_run(
        &self,
        instance_id: &str,
        me: &ProcessIdentity,
        now: Moment,
        is_alive: impl Fn(&ProcessIdentity) -> bool + Send + 'static,
    ) -> Result<u64, StoreError> {
        let (instance_id, me) = (instance_id.to_owned(), me.clone());
        let claimed = self
            .write(move |change| {
                let sql = change.sql;
                let last = sql
                    .query_row(
                        "SELECT pid, start_ticks, boot_id FROM agents_gateway_runs \
                         WHERE ended_at_utc IS NULL ORDER BY generation DESC LIMIT 1",
                        [],
                        |row| Ok(ProcessIdentity { pid: row.get(0)?, start_ticks: row.get(1)?, boot_id: row.get(2)? }),
                    )
                    .optional()?;
                if let Some(other) = last.filter(|other| *other != me && is_alive(other)) {
                    return Ok(Err(other.pid));
                }
                // One row per run; a year of daily restarts is a few kilobytes, and old ones tell nothing.
                sql.execute(
                    "DELETE FROM agents_gateway_runs WHERE generation < (SELECT max(generation) FROM agents_gateway_runs) - 50",
                    [],
                )?;
                sql.execute(
                    "INSERT INTO agents_gateway_runs (instance_id, pid, start_ticks, boot_id, started_at_utc) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![instance_id, me.pid, me.start_ticks, me.boot_id, now.iso_seconds()],
                )?;
                Ok(Ok(u64::try_from(sql.last_insert_rowid()).unwrap_or_default()))
            })
            .await?;
        claimed.map_err(|pid| StoreError::Owned { pid })
    }

    /// Notes that a run ended orderly.
    ///
    /// # Errors
    /// SQLite's reason.
    pub async fn end_run(&self, generation: u64, now: Moment) -> Result<(), StoreError> {
        self.write(move |change| {
            change
                .sql
                .execute(
                    "UPDATE agents_gateway_runs SET ended_at_utc = ?2 WHERE generation = ?1",
                    params![generation, now.iso_seconds()],
                )
                .map(drop)
        })
        .await
    }

    /// The epoch of this agent process: the one on record if it is still the same process, else a new one.
    ///
    /// # Errors
    /// SQLite's reason.
    pub async fn epoch_of(&self, agent: AgentProcess, now: Moment) -> Result<u64, StoreError> {
        self.write(move |change| {
            let sql = change.sql;
            let last = sql
                .query_row(
                    "SELECT epoch, pane_id, pane_pid, start_ticks, boot_id FROM agents_epochs ORDER BY epoch DESC LIMIT 1",
                    [],
                    |row| {
                        let process =
                            ProcessIdentity { pid: row.get(2)?, start_ticks: row.get(3)?, boot_id: row.get(4)? };
                        Ok((row.get::<_, u64>(0)?, AgentProcess { pane_id: row.get(1)?, process }))
                    },
                )
                .optional()?;
            if let Some((epoch, _)) = last.filter(|(_, known)| *known == agent) {
                return Ok(epoch);
            }
            sql.execute(
                "INSERT INTO agents_epochs (pane_id, pane_pid, start_ticks, boot_id, first_seen_at_utc) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![agent.pane_id, agent.process.pid, agent.process.start_ticks, agent.process.boot_id, now.iso_seconds()],
            )?;
            Ok(u64::try_from(sql.last_insert_rowid()).unwrap_or_default())
        })
        .await
    }

    /// The last epoch on record; 0 when no agent was ever seen.
    ///
    /// # Errors
    /// SQLite's reason.
    pub async fn last_epoch(&self) -> Result<u64, StoreError> {
        self.read(|view| view.sql.query_row("SELECT coalesce(max(epoch), 0) FROM agents_epochs", [], |row| row.get(0)))
            .await
    }

    /// How many rows wait, and how many of them for an earlier agent.
    ///
    /// # Errors
    /// SQLite's reason.
    pub async fn depth(&self, epoch: u64) -> Result<Depth, StoreError> {
        self.read(move |view| Ok(view.tally.depth(epoch))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Moment {
        Moment::parse("2026-11-21T10:00:00+00:00").unwrap()
    }

    fn process(pid: u32) -> ProcessIdentity {
        ProcessIdentity { pid, start_ticks: 7, boot_id: "b".to_owned() }
    }

    #[tokio::test]
    async fn the_same_process_keeps_its_epoch_and_a_new_one_gets_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _thread) = Store::open(&folder.path().join("queue.sqlite"), now()).unwrap();
        let agent = |pid| AgentProcess { pane_id: "%0".to_owned(), process: process(pid) };
        assert_eq!(store.last_epoch().await.unwrap(), 0);
        assert_eq!(store.epoch_of(agent(10), now()).await.unwrap(), 1);
        assert_eq!(store.epoch_of(agent(10), now()).await.unwrap(), 1);
        assert_eq!(store.epoch_of(agent(11), now()).await.unwrap(), 2);
        assert_eq!(store.depth(2).await.unwrap(), Depth::default());
    }

    #[tokio::test]
    async fn a_run_that_still_lives_keeps_the_next_one_out() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _thread) = Store::open(&folder.path().join("queue.sqlite"), now()).unwrap();
        assert_eq!(store.claim_run("a", &process(1), now(), |_| true).await.unwrap(), 1);
        let refused = store.claim_run("b", &process(2), now(), |_| true).await;
        assert!(matches!(refused, Err(StoreError::Owned { pid: 1 })));
        assert_eq!(store.claim_run("b", &process(2), now(), |_| false).await.unwrap(), 2);
        store.end_run(2, now()).await.unwrap();
        assert_eq!(
            store.claim_run("c", &process(3), now(), |_| true).await.unwrap_err().to_string(),
            StoreError::Owned { pid: 1 }.to_string()
        );
    }
}
