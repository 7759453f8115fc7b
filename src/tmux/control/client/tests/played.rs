//! Against programs that play a bad tmux.

use super::*;

/// A program instead of tmux, which has attached.
fn fake(script: &str) -> (Control, Notices, Driver) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("echo '%begin 1 0 0'; echo '%end 1 0 0'\n{script}")]);
    open(command).unwrap()
}

#[tokio::test]
async fn a_slow_consumer_holds_nobody_back_and_learns_what_it_missed() {
    let (control, mut notices, driver) = fake(
        "i=0; while [ $i -lt 3000 ]; do echo %window-add @$i; i=$((i+1)); done
         read line; echo '%begin 1 1 1'; echo \"$line\"; echo '%end 1 1 1'; read line; echo %exit",
    );
    let closed = driven(driver, async {
        let patient = control.with_time_limit(PATIENCE);
        assert_eq!(one_line(patient.ask("list-panes").await), "list-panes");
        assert_eq!(notices.next().await, Some(Notice::WindowAdded("@1976".parse().unwrap())));
        assert_eq!(notices.take_lag(), 1976);
        assert_eq!(notices.take_lag(), 0);
        control.close();
    })
    .await;
    assert!(matches!(closed, Closed::Exit { .. }), "{closed:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_half_an_answer() {
    let (control, _notices, driver) = fake(
        "read line; echo '%begin 1 1 1'; head -c 3000000 /dev/zero; echo; echo '%end 1 1 1'
         read line; echo '%begin 1 2 1'; echo small; echo '%end 1 2 1'; read line",
    );
    driven(driver, async {
        let patient = control.with_time_limit(PATIENCE);
        assert!(matches!(patient.ask("list-panes").await, Err(ControlError::TooLarge)));
        assert_eq!(one_line(patient.ask("list-panes").await), "small");
        control.close();
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_end_is_killed() {
    let (control, _notices, driver) = fake("printf '%%begin 1 1 0\\n%%end 1 1 0\\n'; trap '' TERM HUP; exec sleep 600");
    let closed = driven(driver, async {
        let hasty = control.with_time_limit(Duration::from_millis(50));
        assert!(matches!(hasty.ask("list-panes").await, Err(ControlError::TimedOut)));
        control.close();
    })
    .await;
    assert!(matches!(closed, Closed::Killed), "{closed:?}");
}

#[tokio::test]
async fn a_dead_client_is_noticed_though_its_output_stays_open() {
    let (control, _notices, driver) = fake("sleep 5 & exit 1");
    let closed = driven(driver, async {
        assert!(matches!(control.ask("list-panes").await, Err(ControlError::Gone | ControlError::TimedOut)));
    })
    .await;
    assert!(matches!(closed, Closed::EndOfFile), "{closed:?}");
}

#[tokio::test]
async fn without_its_driver_everybody_is_told() {
    let (control, mut notices, driver) = fake("exec cat");
    drop(driver);
    assert!(matches!(control.ask("list-panes").await, Err(ControlError::Gone)));
    assert_eq!(notices.next().await, None);
    assert!(matches!(open(Command::new("/nonexistent/tmux")), Err(ControlError::Start(_))));
}
