//! Strangers on our port, clients that never finish, and a gateway without descriptors.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Agent, Run, World, eventually, get, lock_is_held, port_of, signal, stat};

fn status_in_time(world: &World, agent: &Agent) -> Run {
    let begun = Instant::now();
    let run = world.agents(&["gateway", "status", "--json", "--agent-id", &agent.id]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{run:?}");
    run
}

/// Answers every request as a v1 gateway would that is not ours, and keeps what it was sent.
fn stranger(listener: TcpListener, heard: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                let body = r#"{"protocol_version":"v1","status":"ok"}"#;
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .ok();
            }
        }
    });
}

/// Makes the live record name another port, as if our port were somebody else's now.
fn point_to(agent: &Agent, port: u16) {
    let path = agent.root.join("gateway/run/current-instance.json");
    let mut record: Value = agent.file("gateway/run/current-instance.json");
    record["port"] = json!(port);
    std::fs::write(path, record.to_string()).unwrap();
}

#[test]
fn a_stranger_on_the_port_of_a_dead_gateway_is_not_taken_for_it() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));
    signal(world.gateway_pid(), Signal::KILL);
    world.no_gateway();
    eventually("a free lock", || if lock_is_held(&agent) { Err("held".to_owned()) } else { Ok(()) });
    let heard = Arc::new(Mutex::new(String::new()));
    stranger(TcpListener::bind(("127.0.0.1", port)).unwrap(), heard.clone());
    assert_eq!(status_in_time(&world, &agent).json()["gateway_health"], "not_attached");
    assert_ne!(port_of(&world.attach(&agent)), port);
    assert_eq!(*heard.lock().unwrap(), "", "a free lock is proof enough; nobody is asked");
}

#[test]
fn a_stranger_on_the_recorded_port_never_hears_the_token() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let heard = Arc::new(Mutex::new(String::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    stranger(listener, heard.clone());
    point_to(&agent, port);
    let status = status_in_time(&world, &agent);
    assert!(status.stderr.contains(&format!("port {port} is answered by another program")), "{status:?}");
    assert_eq!(status.json()["gateway_health"], "not_attached");
    let words = heard.lock().unwrap().to_lowercase();
    assert!(words.starts_with("get /health "), "{words}");
    assert!(!words.contains("authorization") && !words.contains("/v1/status"), "{words}");
    // The real one hears of its withdrawal and corrects the record.
    world.is_consistent(&agent);
    assert_eq!(world.status(&agent), live);
}

#[test]
fn a_listener_that_says_nothing_does_not_hold_up_a_reader() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hung.local_addr().unwrap().port();
    point_to(&agent, port);
    let status = status_in_time(&world, &agent);
    assert!(status.stderr.contains(&format!("nothing came from port {port}")), "{status:?}");
    assert_eq!(status.json()["gateway_health"], "not_attached");
    world.is_consistent(&agent);
    assert_eq!(world.status(&agent), live);
}

#[test]
fn proxies_of_the_environment_are_for_other_machines() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let mut command = world.command(World::program());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    command.args(["gateway", "status", "--json", "--agent-id", &agent.id]);
    assert_eq!(world.finish(command).json(), live);
}

#[test]
fn two_hundred_half_heads_hold_nobody_up_and_are_closed() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let port = port_of(&live);
    let mut half: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: ").unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(get(port, "/health", "").status, 200);
    }
    assert_eq!(world.status(&agent), live);
    for stream in &mut half {
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let mut last = String::new();
        stream.read_to_string(&mut last).unwrap();
        assert!(last.is_empty() || last.starts_with("HTTP/1.1 408 "), "{last}");
    }
}

#[test]
fn a_gateway_without_descriptors_waits_and_recovers() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));
    let pid = world.gateway_pid();
    let mut limit = world.command("prlimit");
    limit.args(["--pid", &pid.to_string(), "--nofile=40:40"]);
    world.finish(limit).ok();
    // More than it can take, and no more than wait in line for it: a full line makes the next one wait for heads to expire.
    let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    eventually("the lack to be noticed", || {
        if agent.log().contains("cannot accept connections") { Ok(()) } else { Err(agent.log()) }
    });
    let ticks = || stat(pid).map(|stat| stat.utime + stat.stime).unwrap();
    let (before, begun) = (ticks(), Instant::now());
    eventually(
        "a second to pass",
        || if begun.elapsed() > Duration::from_secs(1) { Ok(()) } else { Err(String::new()) },
    );
    assert!(ticks() - before < 50, "{} ticks in one second", ticks() - before);
    drop(held);
    eventually("an answer", || {
        match TcpStream::connect(("127.0.0.1", port)).map(|_| get(port, "/health", "").status) {
            Ok(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(world.gateway_pid(), pid);
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
    assert_eq!(world.status(&agent)["gateway_health"], "healthy");
}
