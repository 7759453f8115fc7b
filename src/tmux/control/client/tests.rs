//! Against real tmux servers of our own; the bad ones are played by programs.
#![expect(clippy::disallowed_types, reason = "starts private tmux servers")]

use std::{path::Path, process, str::FromStr, time::Duration};

use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::{model::WindowId, tmux::control::Notice};

mod played;

/// No step of any test takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A private tmux server with the session `work`, 200x50. Killed at the end of the test.
struct Server {
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let server = Self { folder: tempfile::tempdir().unwrap() };
        server.tmux(&["new-session", "-d", "-s", "work", "-x", "200", "-y", "50", "sh"]);
        server
    }

    fn arguments(&self) -> [std::ffi::OsString; 4] {
        ["-f".into(), "/dev/null".into(), "-S".into(), self.folder.path().join("s").into()]
    }

    /// What one tmux command prints. It must succeed.
    fn tmux(&self, command: &[&str]) -> String {
        let output =
            process::Command::new("tmux").env_remove("TMUX").args(self.arguments()).args(command).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn signal(&self, signal: &str) {
        let pid = self.tmux(&["display-message", "-p", "#{pid}"]);
        assert!(process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn open(&self, session: &str) -> (Control, Notices, Driver) {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").args(self.arguments());
        command.args(["-C", "attach-session", "-t", session, "-f", "no-output,ignore-size"]);
        let (control, notices, driver) = open(command).unwrap();
        (control.with_time_limit(PATIENCE), notices, driver)
    }

    /// Drives a client while `talk` talks, and says how the client ended. `talk` must end it.
    async fn attached(&self, talk: impl AsyncFnOnce(Control, Notices)) -> Closed {
        let (control, notices, driver) = self.open("$0");
        driven(driver, talk(control, notices)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let killed =
            process::Command::new("tmux").env_remove("TMUX").args(self.arguments()).arg("kill-server").output();
        assert!(killed.is_ok());
    }
}

async fn driven(driver: Driver, talk: impl Future<Output = ()>) -> Closed {
    timeout(PATIENCE * 2, async { tokio::join!(driver.run(), talk).0 }).await.expect("the client must end")
}

fn one_line(answer: Answer) -> String {
    let lines = answer.unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    String::from_utf8(lines.concat()).unwrap()
}

/// Reads notices until one is wanted.
async fn wait_for<T>(notices: &mut Notices, wanted: impl Fn(&Notice) -> Option<T>) -> T {
    let found = async {
        loop {
            let notice = notices.next().await.expect("the client ended before the notice came");
            if let Some(found) = wanted(&notice) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the notice must come")
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn answers_come_to_the_one_who_asked() {
    let server = Server::start();
    // The blocks of hooks come in between and belong to nobody.
    server.tmux(&["set-hook", "-g", "after-list-panes", "display-message -p hooked"]);
    let closed = server
        .attached(async |control, _notices| {
            assert_eq!(one_line(control.ask("display-message -p '#{session_name}'").await), "work");
            assert_eq!(one_line(control.ask("list-panes -s -F '#{pane_id} é'").await), "%0 é");
            let refused = control.ask("has-session -t nobody").await;
            assert!(matches!(&refused, Err(ControlError::Refused(why)) if why.contains("nobody")), "{refused:?}");
            let unknown = control.ask("bogus").await;
            assert!(matches!(&unknown, Err(ControlError::Refused(why)) if why.contains("unknown")), "{unknown:?}");
            assert_eq!(control.ask("set-option -p @x 1").await.unwrap(), Vec::<Vec<u8>>::new());
            for unsendable in ["", "# x", "list-panes\nkill-server", "list-panes ; list-panes", "if-shell -F 1 x"] {
                let answer = control.ask(unsendable).await;
                assert!(matches!(answer, Err(ControlError::Unsendable(_))), "{unsendable}: {answer:?}");
            }
            assert_eq!(one_line(control.ask("display-message -p last").await), "last");
            control.close();
        })
        .await;
    assert!(matches!(&closed, Closed::Exit { reason } if reason.is_empty()), "{closed:?}");
}

#[tokio::test]
async fn a_list_is_answered_as_a_whole_whatever_it_runs() {
    use tmux_interface::{DisplayMessage, IfShell, PasteBuffer};
    let server = Server::start();
    let closed = server
        .attached(async |control, _notices| {
            let say = |text: &'static str| Commands::new().then(DisplayMessage::new().print().message(text));
            let choose = |condition: &'static str, then: &Commands| {
                Commands::new().then_with(
                    IfShell::new().not_execute().target_pane("%0").shell_command(condition),
                    &[then.line(), "display-message -p no ; list-panes -F '#{pane_id}'".to_owned()],
                )
            };
            let lines = |answer: Answer| String::from_utf8(answer.unwrap().join(&b' ')).unwrap();
            let two = Commands::new()
                .then(DisplayMessage::new().print().message("a b"))
                .then(DisplayMessage::new().print().message("c"));
            let (yes, no, plain) = tokio::join!(
                async { control.ask_list(&choose("1", &two)).await },
                async { control.ask_list(&choose("0", &say("yes"))).await },
                async { control.ask("display-message -p between").await },
            );
            assert_eq!((lines(yes), lines(no)), ("a b c".to_owned(), "no %0".to_owned()));
            assert_eq!(one_line(plain), "between");
            let failing = Commands::new().then(PasteBuffer::new().buffer_name("none").target_pane("%0"));
            let refused = control.ask_list(&choose("1", &failing)).await;
            assert!(matches!(&refused, Err(ControlError::Refused(why)) if why.contains("none")), "{refused:?}");
            assert_eq!(one_line(control.ask("display-message -p last").await), "last");
            control.close();
        })
        .await;
    assert!(matches!(&closed, Closed::Exit { reason } if reason.is_empty()), "{closed:?}");
}

#[tokio::test]
async fn a_hundred_at_once_are_answered_in_order() {
    let server = Server::start();
    server
        .attached(async |control, _notices| {
            let mut commands: Vec<String> = (0..100).map(|number| format!("display-message -p {number}")).collect();
            commands[40] = "has-session -t nobody".to_owned();
            commands[41] = "# nothing".to_owned();
            let (first, second) = tokio::join!(control.ask_all(&commands), control.ask_all(&commands));
            for answers in [first, second] {
                assert_eq!(answers.len(), 100);
                for (number, answer) in answers.into_iter().enumerate() {
                    match number {
                        40 => assert!(matches!(answer, Err(ControlError::Refused(_))), "{answer:?}"),
                        41 => assert!(matches!(answer, Err(ControlError::Unsendable(_))), "{answer:?}"),
                        _ => assert_eq!(one_line(answer), number.to_string()),
                    }
                }
            }
            control.close();
        })
        .await;
}

#[tokio::test]
async fn commands_and_answers_larger_than_a_pipe_go_through() {
    let server = Server::start();
    server
        .attached(async |control, _notices| {
            let long = "x".repeat(300_000);
            let commands: Vec<String> = (0..8).map(|n| format!("set-option -p @long{n} {long}")).collect();
            assert!(control.ask_all(&commands).await.iter().all(Result::is_ok));
            let shown = one_line(control.ask("show-options -pv @long7").await);
            assert_eq!(shown.len(), long.len());
            control.close();
        })
        .await;
}

#[tokio::test]
async fn a_subscription_tells_of_the_pane() {
    let server = Server::start();
    let pid = server.tmux(&["display-message", "-p", "#{pane_pid}"]);
    server
        .attached(async |control, mut notices| {
            control.ask("refresh-client -B 'agent:%0:#{pane_pid} #{pane_dead} #{@x}'").await.unwrap();
            let value = async |notices: &mut Notices| {
                wait_for(notices, |notice| match notice {
                    Notice::Subscription { name, value, session: _, window: Some(_), pane: Some(pane) } => {
                        assert_eq!((name.as_str(), pane.to_string().as_str()), ("agent", "%0"));
                        Some(String::from_utf8(value.clone()).unwrap())
                    }
                    _ => None,
                })
                .await
            };
            assert_eq!(value(&mut notices).await, format!("{pid} 0 "));
            control.ask("set-option -p -t %0 @x new").await.unwrap();
            assert_eq!(value(&mut notices).await, format!("{pid} 0 new"));
            control.close();
        })
        .await;
}

#[tokio::test]
async fn sessions_and_windows_are_noticed() {
    let server = Server::start();
    server
        .attached(async |control, mut notices| {
            let id = wait_for(&mut notices, |notice| match notice {
                Notice::SessionChanged { id, name } if name == b"work" => Some(*id),
                _ => None,
            })
            .await;
            control.ask("rename-session 'new name'").await.unwrap();
            let renamed = Notice::SessionRenamed { id: Some(id), name: b"new name".to_vec() };
            wait_for(&mut notices, |notice| (*notice == renamed).then_some(())).await;

            let window: WindowId =
                one_line(control.ask("new-window -d -P -F '#{window_id}' sh").await).parse().unwrap();
            wait_for(&mut notices, |notice| (*notice == Notice::WindowAdded(window)).then_some(())).await;
            control.ask(&format!("rename-window -t {window} 'a b'")).await.unwrap();
            let renamed = Notice::WindowRenamed(window, b"a b".to_vec());
            wait_for(&mut notices, |notice| (*notice == renamed).then_some(())).await;
            control.ask(&format!("split-window -d -t {window} sh")).await.unwrap();
            wait_for(&mut notices, |notice| (*notice == Notice::LayoutChanged(window)).then_some(())).await;
            control.ask(&format!("kill-window -t {window}")).await.unwrap();
            wait_for(&mut notices, |notice| (*notice == Notice::WindowClosed(window)).then_some(())).await;
            control.ask("new-session -d -s other sh").await.unwrap();
            wait_for(&mut notices, |notice| (*notice == Notice::SessionsChanged).then_some(())).await;
            assert_eq!(notices.take_lag(), 0);
            control.close();
        })
        .await;
}

#[tokio::test]
async fn the_end_of_the_session_is_an_exit() {
    let server = Server::start();
    server.tmux(&["new-session", "-d", "-s", "stays", "sh"]);
    let closed = server
        .attached(async |control, mut notices| {
            wait_for(&mut notices, |notice| matches!(notice, Notice::SessionChanged { .. }).then_some(())).await;
            server.tmux(&["kill-session", "-t", "=work"]);
            wait_for(&mut notices, |notice| matches!(notice, Notice::Exit { .. }).then_some(())).await;
            assert_eq!(notices.next().await, None);
            assert!(matches!(control.ask("list-panes").await, Err(ControlError::Gone)));
            assert!(matches!(control.ask_all(&["list-panes".to_owned()]).await[..], [Err(ControlError::Gone)]));
        })
        .await;
    assert!(matches!(closed, Closed::Exit { .. }), "{closed:?}");
}

#[tokio::test]
async fn the_death_of_the_server_is_noticed() {
    let server = Server::start();
    let closed = server
        .attached(async |control, mut notices| {
            control.ask("list-panes").await.unwrap();
            server.signal("-KILL");
            while notices.next().await.is_some() {}
            assert!(matches!(control.ask("list-panes").await, Err(ControlError::Gone)));
        })
        .await;
    assert!(matches!(closed, Closed::Exit { .. } | Closed::EndOfFile), "{closed:?}");
}

#[tokio::test]
async fn a_session_or_a_server_that_is_missing_ends_it() {
    let server = Server::start();
    let (control, _notices, driver) = server.open("$9");
    let closed = driven(driver, async {
        let answer = control.ask("set-option -g @harm done").await;
        assert!(matches!(answer, Err(ControlError::Gone)), "{answer:?}");
    })
    .await;
    assert_eq!(server.tmux(&["show-options", "-gqv", "@harm"]), "", "nothing may be done to another session");
    assert!(matches!(&closed, Closed::NotAttached { reason } if reason.contains("$9")), "{closed:?}");

    server.tmux(&["kill-server"]);
    let (control, _notices, driver) = server.open("$0");
    let closed = driven(driver, async {
        assert!(matches!(control.ask("list-panes").await, Err(ControlError::Gone)));
    })
    .await;
    assert!(matches!(closed, Closed::NotAttached { .. } | Closed::Exit { .. } | Closed::EndOfFile), "{closed:?}");
}

#[tokio::test]
async fn content_cannot_play_the_protocol() {
    let server = Server::start();
    let script = "printf '%%end 1 1 1\\n%%begin 1 1 1\\n%%exit\\n%%error 1 1 1\\n'; exec sleep 600";
    server.tmux(&["respawn-pane", "-k", "-t", "%0", script]);
    until("the pane must print", || server.tmux(&["capture-pane", "-p", "-t", "%0"]).contains("error")).await;
    server
        .attached(async |control, _notices| {
            let lines = control.ask("capture-pane -p -t %0").await.unwrap();
            assert_eq!(lines[..4], ["%end 1 1 1", "%begin 1 1 1", "%exit", "%error 1 1 1"].map(str::as_bytes));
            assert_eq!(one_line(control.ask("display-message -p after").await), "after");
            control.close();
        })
        .await;
}

#[tokio::test]
async fn the_window_keeps_its_size_and_nothing_is_left_behind() {
    let server = Server::start();
    let size = || server.tmux(&["display-message", "-p", "-t", "%0", "#{window_width}x#{window_height}"]);
    assert_eq!(size(), "200x50");
    let (control, _notices, driver) = server.open("$0");
    let process = Path::new("/proc").join(driver.child.id().unwrap().to_string());
    driven(driver, async {
        let own = one_line(control.ask("display-message -p '#{client_pid}'").await);
        assert!(process.ends_with(&own), "the first command is carried out by the attached client: {own}");
        let clients = server.tmux(&["list-clients", "-F", "#{client_flags}"]);
        assert!(clients.contains("ignore-size,no-output"), "{clients}");
        assert!(process.exists());
        assert_eq!(size(), "200x50");
        control.close();
        control.close();
    })
    .await;
    assert!(!process.exists(), "the client must be reaped");
    until("no client may be left", || server.tmux(&["list-clients"]).is_empty()).await;
    assert_eq!(size(), "200x50");
}

#[tokio::test]
async fn dropping_every_control_closes_the_client() {
    let server = Server::start();
    let closed = server
        .attached(async |control, _notices| {
            control.ask("list-panes").await.unwrap();
        })
        .await;
    assert!(matches!(closed, Closed::Exit { .. }), "{closed:?}");

    // Also while tmux has not answered the attaching and nothing is sent yet.
    let mut silent = Command::new("sh");
    silent.args(["-c", "read line || echo %exit"]);
    let (control, _notices, driver) = open(silent).unwrap();
    let closed = driven(driver, async {
        let hasty = control.with_time_limit(Duration::from_millis(50));
        assert!(matches!(hasty.ask("list-panes").await, Err(ControlError::TimedOut)));
        drop((control, hasty));
    })
    .await;
    assert!(matches!(closed, Closed::Exit { .. }), "{closed:?}");
}

#[tokio::test]
async fn a_late_answer_goes_to_nobody() {
    let server = Server::start();
    server
        .attached(async |control, _notices| {
            let server_pid = one_line(control.ask("display-message -p '#{pid}'").await);
            let signal = |name: &str| process::Command::new("kill").args([name, &server_pid]).status().unwrap();
            assert!(signal("-STOP").success());
            let hasty = control.with_time_limit(Duration::from_millis(200));
            assert!(matches!(hasty.ask("display-message -p late").await, Err(ControlError::TimedOut)));
            let (first, second) = ("display-message -p later".to_owned(), "display-message -p latest".to_owned());
            let answers = hasty.ask_all(&[first, second]).await;
            assert!(matches!(answers[..], [Err(ControlError::TimedOut), Err(ControlError::TimedOut)]), "{answers:?}");
            assert!(signal("-CONT").success());
            assert_eq!(one_line(control.ask("display-message -p mine").await), "mine");
            control.close();
        })
        .await;
}

/// Everything that comes until the text does, without what is lost.
async fn until_printed(output: &mut Output, text: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&all).contains(text) {
            all.extend(output.next().await.expect("the client is there").bytes);
        }
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{text} did not come"));
    all
}

#[tokio::test]
async fn only_the_wanted_pane_is_heard_and_it_can_be_paused() {
    let server = Server::start();
    server.tmux(&["new-window", "-d", "-t", "work:1", "while echo other; do sleep 0.01; done"]);
    let (control, _notices, mut driver) = server.open("$0");
    let mut output = driver.listen(PaneId::from_str("%0").unwrap());
    let closed = driven(driver, async {
        control.take_output(&["%1".parse().unwrap()]).await.unwrap();
        server.tmux(&["send-keys", "-t", "%0", "printf 'a\\033[1m\\377\\\\b%s\\n' on''e", "Enter"]);
        let heard = until_printed(&mut output, "one").await;
        assert!(heard.windows(8).any(|part| part == b"a\x1b[1m\xff\\b"), "{}", heard.escape_ascii());
        assert!(!heard.windows(5).any(|part| part == b"other"));
        control.pause(output.pane()).await.unwrap();
        server.tmux(&["send-keys", "-t", "%0", "echo tw''o", "Enter"]);
        server.tmux(&["send-keys", "-t", "%0", "tmux -S ${TMUX%%,*} wait-for -S done", "Enter"]);
        server.tmux(&["wait-for", "done"]);
        control.resume(output.pane()).await.unwrap();
        server.tmux(&["send-keys", "-t", "%0", "echo thr''ee", "Enter"]);
        let heard = until_printed(&mut output, "three").await;
        assert!(!String::from_utf8_lossy(&heard).contains("two"), "{}", heard.escape_ascii());
        server.tmux(&["copy-mode", "-t", "%0"]);
        let mode = async { while !output.next().await.expect("the client is there").mode_changed {} };
        timeout(PATIENCE, mode).await.unwrap();
        control.close();
    })
    .await;
    assert!(matches!(closed, Closed::Exit { ref reason } if reason.is_empty()), "{closed:?}");
}

#[tokio::test]
async fn a_server_outlives_pauses_in_the_middle_of_a_flood() {
    let server = Server::start();
    let (control, _notices, mut driver) = server.open("$0");
    let mut output = driver.listen(PaneId::from_str("%0").unwrap());
    driven(driver, async {
        control.take_output(&[]).await.unwrap();
        server.tmux(&["respawn-pane", "-k", "-t", "%0", "yes"]);
        for _ in 0..50 {
            assert!(output.next().await.is_some());
            control.pause(output.pane()).await.unwrap();
            control.resume(output.pane()).await.unwrap();
        }
        assert_eq!(server.tmux(&["list-panes", "-F", "#{pane_current_command}"]), "yes");
        control.close();
    })
    .await;
}
