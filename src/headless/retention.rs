//! The files of old turns go: a few at the end of each turn, all of them with `agents cleanup`. There is no timer.
//!
//! What stays whatever the limits say: a turn that is not settled, the last one, the newest one that knows a
//! conversation, one whose request is not done with, and one that ended a moment ago.

use std::time::Duration;

use super::artefacts::{Turn, last, turns};
use crate::{
    api::{HeadlessFile, KeepTurns},
    model::Moment,
    os::files::{self, FileError},
    session::{SessionRoot, documents},
};

/// Whoever asked for a turn may still read its files for so long after its end.
const STILL_READ: Duration = Duration::from_secs(60);

/// Most turns that go at the end of one: somebody waits for it.
const AT_ONCE: usize = 32;

/// What a folder is called while it goes, so that nobody meets half a turn.
const GOING: &str = ".going-";

const MILLIS_OF_A_DAY: i64 = 86_400_000;

/// The limits of a session: those of `headless.json`, else the usual ones.
fn limits(root: &SessionRoot) -> Option<KeepTurns> {
    let file: Result<Option<HeadlessFile>, _> = documents::load_if_present(&root.headless());
    // A damaged file may say `keep`: nothing goes.
    file.ok().map(|file| file.map_or_else(KeepTurns::default, |file| file.keep))
}

/// The turns of a session that are beyond its limits, the oldest first.
pub fn old(root: &SessionRoot, now: Moment) -> Vec<Turn> {
    match limits(root) {
        Some(keep) if keep != KeepTurns::FOR_EVER => beyond(root, &keep, now),
        _ => Vec::new(),
    }
}

fn beyond(root: &SessionRoot, keep: &KeepTurns, now: Moment) -> Vec<Turn> {
    let most = keep.turns.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    if keep.days.is_none() && std::fs::read_dir(root.turn_artifacts()).map_or(0, Iterator::count) <= most {
        return Vec::new();
    }
    let all = turns(root);
    let newest = last(root).map(|(turn, _)| turn);
    let resumed = all.iter().find(|(turn, _)| turn.end().is_some_and(|end| end.session_id.is_some()));
    let kept = [newest.as_ref(), resumed.map(|(turn, _)| turn)];
    let goes = |place: usize, turn: &Turn| {
        let Some(ended) = turn.end().and_then(|end| Moment::parse(&end.ended_at_utc)) else { return false };
        let age = now.epoch_millis() - ended.epoch_millis();
        let aged = keep.days.is_some_and(|days| age > i64::from(days) * MILLIS_OF_A_DAY);
        (place >= most || aged) && u128::try_from(age).is_ok_and(|age| age > STILL_READ.as_millis())
    };
    let mut old: Vec<Turn> = all
        .iter()
        .enumerate()
        .filter(|(_, (turn, plan))| !kept.contains(&Some(turn)) && (plan.request_id.is_none() || turn.is_recorded()))
        .filter(|(place, (turn, _))| goes(*place, turn))
        .map(|(_, (turn, _))| turn.clone())
        .collect();
    old.reverse();
    old
}

/// Removes the files of a turn.
///
/// # Errors
/// When they cannot be removed.
pub fn remove(root: &SessionRoot, turn: &Turn) -> Result<(), FileError> {
    let going = root.turn_artifacts().join(format!("{GOING}{}", turn.id()));
    // Somebody died over it.
    files::remove_tree(&going)?;
    files::rename(turn.folder(), &going)?;
    files::remove_tree(&going)
}

/// At the end of a turn: what is old goes, a little at a time. What cannot go stays until the next one.
pub(super) fn sweep(root: &SessionRoot, now: Moment) {
    for turn in old(root, now).iter().take(AT_ONCE) {
        if let Err(error) = remove(root, turn) {
            tracing::warn!(%error, turn = turn.id(), "an old turn could not be removed");
        }
    }
    let left = std::fs::read_dir(root.turn_artifacts()).into_iter().flatten().flatten();
    for entry in left.filter(|entry| entry.file_name().to_string_lossy().starts_with(GOING)) {
        if let Err(error) = files::remove_tree(&entry.path()) {
            tracing::warn!(%error, "what was left of an old turn could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-21T12:00:00.000Z";

    struct Room {
        root: SessionRoot,
        _folder: tempfile::TempDir,
    }

    impl Room {
        fn new(keep: &serde_json::Value) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = SessionRoot::at(folder.path().join("root"));
            files::create_private_dir(&root.turn_artifacts()).unwrap();
            let file = json!({ "schema_version": 1, "dialect": "generic", "startup": { "mode": "new" }, "keep": keep });
            let made = Self { root, _folder: folder };
            made.write(&made.root.headless(), &file);
            made
        }

        fn write(&self, path: &std::path::Path, value: &serde_json::Value) {
            assert!(path.starts_with(self.root.path()));
            files::replace(path, value.to_string().as_bytes(), files::Durability::Process).unwrap();
        }

        /// A turn that ended at this time of the day, in a conversation if it is given.
        fn turn(&self, index: u64, request: Option<&str>, ended: Option<&str>, session: Option<&str>) -> Turn {
            let turn = Turn::of(&self.root, &format!("turn-{index:04}")).unwrap();
            files::create_private_dir(turn.folder()).unwrap();
            self.write(
                &turn.plan_file(),
                &json!({ "schema_version": 1, "turn_id": turn.id(), "turn_index": index, "request_id": request,
                    "dialect": "generic", "words": [], "reads_prompt": true, "conversation": "new",
                    "working_directory": "/", "environment": [], "created_at_utc": NOW }),
            );
            if let Some(ended) = ended {
                self.write(
                    &turn.end_file(),
                    &json!({ "schema_version": 1, "outcome": "success", "exit_code": 0, "session_id": session,
                        "has_reply": false, "reply_truncated": false, "exact": false,
                        "ended_at_utc": format!("2026-11-{ended}.000Z") }),
                );
            }
            let last = json!({ "schema_version": 1, "turn_id": turn.id(), "turn_index": index });
            self.write(&self.root.headless_turn(), &last);
            turn
        }

        fn old(&self) -> Vec<String> {
            old(&self.root, Moment::parse(NOW).unwrap()).iter().map(|turn| turn.id().to_owned()).collect()
        }
    }

    #[test]
    fn what_is_too_many_or_too_old_goes_and_nothing_that_is_needed() {
        let room = Room::new(&json!({ "turns": 2, "days": null }));
        room.turn(1, None, Some("21T08:00:00"), Some("chat"));
        room.turn(2, Some("gwreq-1"), Some("21T08:01:00"), None);
        let told = room.turn(3, Some("gwreq-2"), Some("21T08:02:00"), None);
        told.mark_recorded().unwrap();
        room.turn(4, None, None, None);
        room.turn(5, None, Some("21T08:03:00"), None);
        room.turn(6, None, Some("21T11:59:30"), None);
        room.turn(7, None, Some("21T08:04:00"), None);
        room.turn(8, None, Some("21T08:05:00"), None);
        // 1 knows the conversation, 2 is not on record, 4 is not settled, 6 ended a moment ago.
        assert_eq!(room.old(), ["turn-0003", "turn-0005"]);
        remove(&room.root, &told).unwrap();
        assert!(!told.folder().exists() && room.old() == ["turn-0005"]);
        std::fs::create_dir(room.root.turn_artifacts().join(".going-turn-0000")).unwrap();
        sweep(&room.root, Moment::parse(NOW).unwrap());
        assert!(room.old().is_empty());
        let left = std::fs::read_dir(room.root.turn_artifacts()).unwrap().count();
        assert_eq!(left, 6, "and nothing half");
    }

    #[test]
    fn age_alone_counts_from_the_end_and_off_keeps_everything() {
        let room = Room::new(&json!({ "turns": null, "days": 2 }));
        room.turn(1, None, Some("18T12:00:00"), None);
        room.turn(2, None, Some("20T12:00:00"), None);
        room.turn(3, None, Some("18T13:00:00"), None);
        assert_eq!(room.old(), ["turn-0001"], "the last one stays, however old");
        let room = Room::new(&json!({ "turns": null, "days": null }));
        room.turn(1, None, Some("01T12:00:00"), None);
        room.turn(2, None, Some("01T12:00:00"), None);
        assert!(room.old().is_empty());
        room.write(&room.root.headless(), &json!({ "damaged": true }));
        assert!(room.old().is_empty());
    }
}
