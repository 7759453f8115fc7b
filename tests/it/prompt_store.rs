//! What can be wrong with the queue's file and its disk while prompts come in.
//!
//! | fault | test |
//! | --- | --- |
//! | disk full on insert | `a_full_disk_refuses_and_the_queue_stays_usable` |
//! | disk full in the middle of a delivery | `a_disk_that_fills_while_a_prompt_is_typed_delays_it` |
//! | sync fails | `after_a_failed_sync_nothing_is_taken_and_the_gateway_ends` |
//! | file deleted or replaced underneath | `a_queue_that_was_removed_takes_nothing_into_a_ghost` |
//! | file damaged: no database, a page | `a_damaged_queue_is_set_aside_and_nothing_is_taken_until_somebody_decides` |
//! | file damaged: log cut anywhere | `a_log_that_was_cut_anywhere_loses_no_more_than_its_end` |
//! | file locked by another program | `a_queue_that_another_program_locks_is_busy` |
//! | schema newer than the program | `a_queue_of_a_newer_program_is_left_alone` |
//! | schema older than the program | `a_queue_of_an_older_program_is_brought_up_to_date_with_a_copy` |
//! | a reader stays open, the log grows | `a_reader_that_stays_is_told_of_and_the_log_ends_after_it` |
//! | 100,000 rows kept, 10,000 queued | `a_hundred_thousand_rows_hold_nothing_up_and_the_queue_has_an_end` |

use std::{fs, path::PathBuf};

use rusqlite::{Connection, params};
use serde_json::json;

use crate::support::{Live, Seeded, Tracer, World, eventually, gone, id_of, lock_is_held, prompt, signal};

/// A gateway whose agent takes nothing for now.
fn held() -> Live {
    Live::new(&["draft=somebody thinks"])
}

fn release(live: &Live) {
    live.keys(&["C-c"]);
}

fn file(live: &Live) -> PathBuf {
    live.agent.root.join("gateway/queue.sqlite")
}

/// The file with its log and its index.
fn files(live: &Live) -> Vec<PathBuf> {
    ["", "-wal", "-shm"].map(|ending| PathBuf::from(format!("{}{ending}", file(live).display()))).to_vec()
}

fn small_disk(steps: &[&str]) -> Option<Live> {
    let Some(world) = World::on_small_disk(4096) else {
        eprintln!("skipped: this machine allows no file system of our own");
        return None;
    };
    let (agent, log) = world.tui("alpha", steps);
    log.wait_for_note("ready", 1);
    Some(Live::over(world, agent, log))
}

#[test]
fn a_full_disk_refuses_and_the_queue_stays_usable() {
    let Some(live) = small_disk(&["draft=half a thought"]) else { return };
    let first = live.send("first");
    live.world.disk().fill();
    let mut refusals = 0;
    let mut accepted = vec![first];
    for number in 0..50 {
        let answer = live.http.post("/v1/requests", &prompt(&format!("{number} {}", "x".repeat(4_000))));
        match answer.status {
            200 => accepted.push(id_of(&answer.json())),
            507 => refusals += 1,
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert!(refusals > 0, "the disk was full");
    live.http.get("/health").ok();
    let listed = live.http.get("/v1/requests?limit=500").ok();
    assert_eq!(listed["requests"].as_array().unwrap().len(), accepted.len(), "nothing is half stored");
    live.world.disk().free();
    let last = eventually("the queue to take work again", || {
        let answer = live.http.post("/v1/requests", &prompt("last"));
        if answer.status == 200 { Ok(id_of(&answer.json())) } else { Err(format!("{answer:?}")) }
    });
    release(&live);
    accepted.iter().chain([&last]).for_each(|id| drop(live.completed(id)));
    assert_eq!(live.log.texts().len(), accepted.len() + 1);
}

#[test]
fn a_disk_that_fills_while_a_prompt_is_typed_delays_it() {
    let Some(live) = small_disk(&["slow-paint=1000"]) else { return };
    let id = live.send("one");
    live.receives(&id, "typing");
    live.world.disk().fill();
    // It is typed, and cannot be recorded to be: nothing more happens until it can.
    eventually("a step that could not be recorded", || {
        let log = fs::read_to_string(live.world.disk().seen(&live.agent.root.join("gateway/logs/gateway.log")));
        let log = log.unwrap_or_default();
        let receipts = live.receipts(&id);
        if log.contains("could not be recorded") { Ok(()) } else { Err(format!("{receipts:?}: {log}")) }
    });
    live.world.disk().free();
    live.completed(&id);
    live.completed(&live.send("two"));
    assert_eq!((live.log.wait_for(2).len(), live.log.texts()), (2, vec!["one".to_owned(), "two".to_owned()]));
    let typed = live.receipts(&id).iter().filter(|name| *name == "typing").count();
    assert_eq!(typed, 1);
    assert_eq!(live.world.tmux(&["list-buffers"]), "");
}

#[test]
fn after_a_failed_sync_nothing_is_taken_and_the_gateway_ends() {
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let mut live = held();
    let first = live.send("first");
    live.deferred(&first, "draft");
    let gateway = live.world.gateway_pid();
    let tracer = Tracer::new(gateway, "fdatasync,fsync", "error=EIO:when=1");
    let body = prompt("second").to_string();
    let answer = live
        .http
        .with("Idempotency-Key", "k")
        .try_keep()
        .and_then(|mut connection| connection.send("POST", "/v1/requests", Some(body.as_bytes())));
    // It may have met the failure with a sync of its own, and be gone.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    gone(gateway);
    drop(tracer);
    live.restart();
    // It was refused; whether it is on the disk only the next start can know, and its key finds it.
    let second = id_of(&live.http.with("Idempotency-Key", "k").post("/v1/requests", &prompt("second")).ok());
    release(&live);
    live.completed(&first);
    live.completed(&second);
    assert_eq!((live.log.wait_for(2).len(), live.log.texts()), (2, vec!["first".to_owned(), "second".to_owned()]));
}

#[test]
fn a_queue_that_was_removed_takes_nothing_into_a_ghost() {
    let mut live = held();
    live.deferred(&live.send("one"), "draft");
    for path in files(&live) {
        fs::remove_file(path).ok();
    }
    let refused = eventually("the loss to be noticed", || {
        let answer = live.http.post("/v1/requests", &prompt("two"));
        if answer.status == 503 { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    assert!(refused.body.contains("removed or replaced"), "{refused:?}");
    live.http.post("/v1/control/prompt", &json!({"prompt": "now"})).refused(503);
    live.http.get("/health").ok();
    assert!(!file(&live).exists(), "nothing was made in its place");
    live.world.agents(&["gateway", "attach", "--restart", "--background", "--agent-id", &live.agent.id]).ok();
    live.restart();
    release(&live);
    live.completed(&live.send("three"));
    assert_eq!(live.log.texts(), ["three"]);
}

/// The set-aside files that lie beside the queue.
fn set_aside(live: &Live) -> Vec<PathBuf> {
    let entries = fs::read_dir(live.agent.root.join("gateway")).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| path.to_string_lossy().contains("queue.sqlite.damaged-")).collect();
    found.retain(|path| !["-wal", "-shm"].iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    found
}

#[test]
fn a_damaged_queue_is_set_aside_and_nothing_is_taken_until_somebody_decides() {
    for damage in ["no database", "a page"] {
        let mut live = held();
        for number in 0..20 {
            live.send(&format!("lost {number} {}", "x".repeat(2_000)));
        }
        if damage == "a page" {
            // Orderly, so that the rows are in the file and not in its log; then the disk rots.
            live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
            let mut bytes = fs::read(file(&live)).unwrap();
            let pages = bytes.len() / 4096;
            for page in 2..pages {
                bytes[page * 4096..page * 4096 + 64].fill(0xa5);
            }
            fs::write(file(&live), &bytes).unwrap();
        } else {
            live.world.kill_gateways();
            files(&live)[1..].iter().for_each(|path| drop(fs::remove_file(path)));
            fs::write(file(&live), "this is no database ".repeat(1_000)).unwrap();
        }
        let damaged = fs::read(file(&live)).unwrap();
        live.restart();
        if damage == "a page" && set_aside(&live).is_empty() {
            // The start read no damaged page; the next one looks at every page, because this one is killed.
            live.kill_and_restart();
        }
        let aside = set_aside(&live);
        assert_eq!(aside.len(), 1, "{damage}: {:?}", crate::support::tree(&live.agent.root));
        assert_eq!(fs::read(&aside[0]).unwrap(), damaged, "{damage}: it is kept as it was");
        assert_eq!(live.status()["request_admission"], "blocked_reconciliation");
        let refused = live.http.post("/v1/requests", &prompt("more")).refused(409).to_string();
        assert!(refused.contains("doctor") && refused.contains("reconcile"), "{refused}");
        let now = live.http.post("/v1/control/prompt", &json!({"prompt": "now"})).refused(409);
        assert_eq!(now["error_code"], "blocked_reconciliation");
        // Also after another restart, until somebody decides.
        live.kill_and_restart();
        live.http.post("/v1/requests", &prompt("more")).refused(409);
        let doctor = live.world.agents(&["doctor"]);
        assert_eq!(doctor.status, 1, "{doctor:#?}");
        let name = aside[0].file_name().unwrap().to_string_lossy().into_owned();
        let decide = format!("agents gateway reconcile --drop --agent-id {}", live.agent.id);
        assert!(doctor.stdout.contains(&name) && doctor.stdout.contains(&decide), "{doctor:#?}");
        live.world.agents(&["gateway", "reconcile", "--drop", "--agent-id", &live.agent.id]).ok();
        release(&live);
        live.completed(&live.send("after"));
        assert_eq!(live.log.texts(), ["after"]);
        let doctor = live.world.agents(&["doctor"]);
        assert!(doctor.status == 0 && doctor.stdout.contains(&name), "{doctor:#?}");
        live.http.post("/v1/reconcile", &json!({"action": "drop"})).refused(409);
    }
}

#[test]
fn a_log_that_was_cut_anywhere_loses_no_more_than_its_end() {
    let mut chance = Seeded::new(54);
    let mut live = held();
    let ids: Vec<String> = (0..12).map(|number| live.send(&format!("prompt {number}."))).collect();
    live.world.kill_gateways();
    let (queue, log) = (fs::read(file(&live)).unwrap(), fs::read(&files(&live)[1]).unwrap());
    for cut in 0..8 {
        let length = usize::try_from(chance.within(0..log.len() as u64)).unwrap();
        fs::write(file(&live), &queue).unwrap();
        fs::write(&files(&live)[1], &log[..length]).unwrap();
        fs::remove_file(&files(&live)[2]).ok();
        live.restart();
        let listed = live.http.get("/v1/requests?limit=500").ok();
        let mut known: Vec<String> = listed["requests"].as_array().unwrap().iter().map(id_of).collect();
        known.reverse();
        assert_eq!(known, ids[..known.len()], "cut {cut} at {length} of {}", log.len());
        let added = live.send("added");
        assert_eq!(live.shown(&added)["state"], "accepted");
        live.world.kill_gateways();
    }
    assert_eq!(live.log.noted("paste"), 0);
}

#[test]
fn a_queue_that_another_program_locks_is_busy() {
    let live = held();
    live.send("one");
    let other = Connection::open(file(&live)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = live.http.post("/v1/requests", &prompt("two"));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    let two = live.send("two");
    release(&live);
    live.completed(&two);
    assert_eq!(live.log.texts(), ["one", "two"]);
}

#[test]
fn a_queue_of_a_newer_program_is_left_alone() {
    let live = held();
    let attach = ["gateway", "attach", "--background", "--agent-id", &live.agent.id];
    live.send("one");
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    let newer = Connection::open(file(&live)).unwrap();
    newer.execute("UPDATE agents_meta SET value = '99' WHERE key = 'schema_version'", []).unwrap();
    newer.close().unwrap();
    let before = fs::read(file(&live)).unwrap();
    live.world.agents(&attach).fails(12, "has version 99", "newer version");
    assert_eq!(fs::read(file(&live)).unwrap(), before);
    assert!(set_aside(&live).is_empty() && !lock_is_held(&live.agent));
    let back = Connection::open(file(&live)).unwrap();
    back.execute("UPDATE agents_meta SET value = '2' WHERE key = 'schema_version'", []).unwrap();
    back.close().unwrap();
    live.world.agents(&attach).ok();
    release(&live);
    live.log.wait_for(1);
}

#[test]
fn a_queue_of_an_older_program_is_brought_up_to_date_with_a_copy() {
    let mut live = held();
    let id = live.send("from before");
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    let older = Connection::open(file(&live)).unwrap();
    older
        .execute_batch(
            "DROP TABLE agents_requests; DROP TABLE agents_journal; \
             UPDATE agents_meta SET value = '1' WHERE key = 'schema_version'",
        )
        .unwrap();
    older.close().unwrap();
    live.restart();
    let copy = Connection::open(format!("{}.v1-backup", file(&live).display())).unwrap();
    let waiting: String = copy.query_row("SELECT request_id FROM gateway_requests", [], |row| row.get(0)).unwrap();
    assert_eq!(waiting, id);
    release(&live);
    live.completed(&id);
    assert_eq!(live.log.texts(), ["from before"]);
}

#[test]
fn a_reader_that_stays_is_told_of_and_the_log_ends_after_it() {
    let live = held();
    let reader = Connection::open(file(&live)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM gateway_requests;").unwrap();
    let large = "0123456789abcdef".repeat(32 * 1024 - 64);
    let mut connection = live.http.keep();
    for number in 0..140 {
        connection.post("/v1/requests", &prompt(&format!("{number} {large}"))).ok();
    }
    let size = || fs::metadata(&files(&live)[1]).map_or(0, |meta| meta.len());
    assert!(size() > 64 << 20, "{}", size());
    eventually("a warning", || {
        let log = live.agent.log();
        if log.contains("keeps its log from ending") { Ok(()) } else { Err(log) }
    });
    reader.execute_batch("ROLLBACK").unwrap();
    drop(reader);
    eventually("the log to end", || {
        connection.post("/v1/requests", &prompt(&large)).ok();
        if size() < 32 << 20 { Ok(()) } else { Err(size().to_string()) }
    });
}

/// Writes so many rows that are done, and so many that wait, as a program of the contract would.
fn fill(live: &Live, done: u32, waiting: u32) {
    let mut queue = Connection::open(file(live)).unwrap();
    let change = queue.transaction().unwrap();
    let insert = "INSERT INTO gateway_requests VALUES (?1, 'submit_prompt', ?2, ?3, ?4, NULL, NULL, 1, NULL, NULL)";
    let mut row = change.prepare(insert).unwrap();
    let at = "2026-11-21T10:00:00+00:00";
    for number in 0..done + waiting {
        let state = if number < done { "completed" } else { "accepted" };
        let payload = json!({ "prompt": format!("prompt {number}.") }).to_string();
        row.execute(params![format!("gwreq-20261121-100000Z-{number:08x}"), payload, state, at]).unwrap();
    }
    drop(row);
    change.commit().unwrap();
}

#[test]
fn a_hundred_thousand_rows_hold_nothing_up_and_the_queue_has_an_end() {
    let mut live = held();
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    fill(&live, 100_000, 10_000);
    live.restart();
    assert_eq!(live.status()["queue_depth"], 10_000);
    live.http.get("/v1/requests?limit=500").ok();
    let refused = live.http.post("/v1/requests", &prompt("one more"));
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("retry-after").is_some() && refused.body.contains("10000"), "{refused:?}");
    // What was done with long ago goes, a little with each change.
    let first = live.http.get("/v1/requests?state=accepted&limit=1").ok()["requests"][0].clone();
    live.http.delete(&format!("/v1/requests/{}", id_of(&first))).ok();
    let id = live.send("one more");
    assert_eq!(live.shown(&id)["state"], "accepted");
    signal(live.world.gateway_pid(), rustix::process::Signal::TERM);
    live.world.no_gateway();
    let queue = Connection::open(file(&live)).unwrap();
    let kept: u32 = queue.query_row("SELECT count(*) FROM agents_requests", [], |row| row.get(0)).unwrap();
    assert!(kept < 110_000, "{kept}");
}
