use std::{process, time::Duration};

use super::*;

/// A private server with one pane that runs `cat`.
struct World {
    folder: tempfile::TempDir,
    server: Server,
}

impl World {
    fn new(program: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("ag-").tempdir_in("/tmp").unwrap();
        let world = Self { server: Server::at(folder.path().join("s")), folder };
        world.tmux(&["-f", "/dev/null", "new-session", "-d", "-s", "a", "-x", "80", "-y", "24", program]);
        world
    }

    #[expect(clippy::disallowed_types, reason = "plays the person at the same server")]
    fn tmux(&self, words: &[&str]) -> String {
        let socket = self.folder.path().join("s");
        let done = process::Command::new("tmux").env_remove("TMUX").arg("-S").arg(socket).args(words).output().unwrap();
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    fn hand(&self, owner: &str) -> Hand {
        Hand::new(self.server.clone(), None, "%0".parse().unwrap(), owner)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Looks until the screen holds what is wanted.
async fn until(hand: &Hand, wanted: impl Fn(&Look) -> bool) -> Look {
    for _ in 0..500 {
        let look = hand.look().await.unwrap();
        if wanted(&look) {
            return look;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:#?}", hand.look().await);
}

fn paste(buffer: String) -> [Stroke; 1] {
    [Stroke::Paste { buffer, bracketed: true, framed: false }]
}

#[tokio::test]
async fn a_text_is_typed_once_and_its_mark_tells() {
    let world = World::new("cat");
    let hand = world.hand("me");
    hand.take().await.unwrap();
    let look = until(&hand, |look| look.now.hand == "me").await;
    assert_eq!((look.now.typed.as_str(), look.now.command.as_str()), ("", "cat"));
    let guard = Guard { pid: look.now.pid, command: Some("cat".into()), ..Guard::default() };
    let mark = Mark::typed("r-1", "");
    let text = "-x; \\ $HOME #{pid} \"é\" שלום 世界;";
    let buffer = hand.load("r-1", text.as_bytes().to_vec()).await.unwrap();
    assert_eq!(hand.act(&guard, &paste(buffer), &mark).await.unwrap(), Acted::Done);
    let look = until(&hand, |look| look.rows[0] == text).await;
    assert!(look.now.was_typed("r-1") && look.now.last_typed("r-1") && !look.now.was_typed("r"));
    // The same message again finds its own mark.
    let buffer = hand.load("r-1", b"again".to_vec()).await.unwrap();
    assert!(matches!(hand.act(&guard, &paste(buffer.clone()), &mark).await.unwrap(), Acted::Held(_)));
    hand.unload(&buffer).await;
    let entered = hand.act(&guard, &[Stroke::Key("Enter")], &Mark::entered("r-1", "")).await.unwrap();
    assert_eq!(entered, Acted::Done);
    until(&hand, |look| look.rows[1] == text && look.now.entered == "r-1").await;
    assert_eq!(world.tmux(&["list-buffers"]), "", "no buffer of ours is left");
}

#[tokio::test]
async fn whatever_is_not_as_it_was_holds_the_message_back() {
    let world = World::new("cat");
    let (hand, other) = (world.hand("me"), world.hand("other"));
    hand.take().await.unwrap();
    let now = hand.look().await.unwrap().now;
    let good = Guard { pid: now.pid, ..Guard::default() };
    let mark = Mark::typed("r-2", "");
    let held = async |hand: &Hand, guard: &Guard| {
        let acted = hand.act(guard, &[Stroke::Key("x")], &mark).await.unwrap();
        let Acted::Held(facts) = acted else { panic!("typed") };
        facts
    };
    held(&other, &good).await;
    held(&hand, &Guard { pid: now.pid + 1, ..good.clone() }).await;
    held(&hand, &Guard { command: Some("bash".into()), ..good.clone() }).await;
    held(&hand, &Guard { session_activity: Some(now.session_activity - 1), ..good.clone() }).await;
    held(&hand, &Guard { cursor: Some((now.cursor_x + 1, now.cursor_y, now.history)), ..good.clone() }).await;
    held(&hand, &Guard { typed: Some("r-1".into()), ..good.clone() }).await;
    world.tmux(&["copy-mode", "-t", "%0"]);
    assert!(held(&hand, &good).await.in_mode);
    world.tmux(&["send-keys", "-t", "%0", "-X", "cancel"]);
    world.tmux(&["select-pane", "-d", "-t", "%0"]);
    assert!(held(&hand, &good).await.input_off);
    world.tmux(&["select-pane", "-e", "-t", "%0"]);
    world.tmux(&["set-option", "-w", "-t", "%0", "synchronize-panes", "on"]);
    assert!(held(&hand, &good).await.synchronized);
    world.tmux(&["set-option", "-w", "-t", "%0", "synchronize-panes", "off"]);
    assert_eq!(hand.act(&good, &[Stroke::Key("x")], &mark).await.unwrap(), Acted::Done);
    until(&hand, |look| look.rows[0] == "x").await;
}

#[tokio::test]
async fn a_key_goes_through_copy_mode_and_leaves_it_alone() {
    let world = World::new("cat -v");
    let hand = world.hand("me");
    let now = hand.look().await.unwrap().now;
    world.tmux(&["send-keys", "-t", "%0", "ab"]);
    world.tmux(&["copy-mode", "-t", "%0"]);
    assert_eq!(hand.press_through(now.pid, "C-h", 8, "x-1").await.unwrap(), Acted::Done);
    assert!(hand.look().await.unwrap().now.in_mode);
    world.tmux(&["send-keys", "-t", "%0", "-X", "cancel"]);
    until(&hand, |look| look.rows[0].starts_with("ab^H")).await;
    assert_eq!(world.tmux(&["list-buffers"]), "");
}

#[tokio::test]
async fn a_pane_that_is_gone_and_one_that_is_dead_are_told_apart() {
    let world = World::new("cat");
    world.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    let hand = world.hand("me");
    hand.take().await.unwrap();
    let now = hand.look().await.unwrap().now;
    world.tmux(&["send-keys", "-t", "%0", "C-c"]);
    until(&hand, |look| look.now.dead).await;
    let buffer = hand.load("r", b"x".to_vec()).await.unwrap();
    let guard = Guard { pid: now.pid, ..Guard::default() };
    // tmux 3.3a ends when something is pasted into a dead pane: the check is what saves it.
    let acted = hand.act(&guard, &paste(buffer), &Mark::typed("r", "")).await.unwrap();
    assert!(matches!(acted, Acted::Held(facts) if facts.dead));
    assert_eq!(world.tmux(&["display-message", "-p", "alive"]), "alive");
    let missing = Hand::new(world.server.clone(), None, "%9".parse().unwrap(), "me");
    assert!(matches!(missing.look().await, Err(HandError::Gone(_))));
}

#[tokio::test]
async fn a_look_has_colours_and_the_title() {
    let program = r"printf '\033]2;a: b #{x} é\007plain \033[2mdim \033[1;31mred\033[0m\n\033[7mx'; exec cat";
    let world = World::new(program);
    let look = until(&world.hand("me"), |look| look.rows[1] == "x").await;
    assert_eq!((look.rows[0].as_str(), look.now.title.as_str()), ("plain dim red", "a: b #{x} é"));
    let screen = look.screen();
    let dim = Style { dim: true, ..Style::default() };
    let red = Style { bold: true, foreground: crate::model::Color::Indexed(1), ..dim };
    let runs: Vec<(&str, Style)> = screen.rows[0].runs.iter().map(|run| (run.text.as_str(), run.style)).collect();
    assert_eq!(runs, [("plain ", Style::default()), ("dim ", dim), ("red", red)]);
    assert!(screen.rows[1].runs[0].style.inverse);
    assert_eq!((screen.rows.len(), screen.height, screen.cursor_x, screen.cursor_y), (24, 24, 1, 1));
    assert_eq!(Look { styled: Vec::new(), ..look.clone() }.screen().texts(), screen.texts());
}
