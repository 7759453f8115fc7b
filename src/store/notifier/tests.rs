use super::*;
use crate::{
    model::{Receipt, RequestState},
    store::scratch::{Scratch, id, later, now, row},
};

fn poll(outcome: PollOutcome) -> Poll {
    Poll {
        at: now(),
        outcome,
        unread_count: Some(1),
        unread_digest: Some("d".to_owned()),
        summary: vec![],
        request_admission: "open",
        active_execution: "idle",
        queue_depth: 0,
        detail: None,
        context_error_policy: ContextErrorPolicy::default(),
        pre_notification_context_action: ContextAction::default(),
        context_action_outcome: None,
        blocks: vec![],
    }
}

fn wake_up(n: u32) -> NewRow {
    NewRow { kind: RequestKind::MailNotifierPrompt, ..row(n) }
}

fn settings() -> NotifierSettings {
    NotifierSettings {
        enabled: true,
        interval_seconds: Some(60),
        mode: NotifierMode::UnreadOnly,
        appendix_text: "be brief".to_owned(),
        notify_block_shared_tokens: SharedTokens::new(vec!["secret".to_owned()]),
        notify_block_total_chars: 99,
        ..NotifierSettings::default()
    }
}

#[tokio::test]
async fn settings_are_kept_and_a_fresh_file_has_the_contracts_defaults() {
    let scratch = Scratch::new();
    assert_eq!(scratch.store.notifier().await.unwrap(), Notifier::default());
    scratch.store.set_notifier(settings(), now()).await.unwrap();
    let scratch = scratch.again();
    assert_eq!(scratch.store.notifier().await.unwrap().settings, settings());
    scratch.store.disable_notifier(now()).await.unwrap();
    let off = NotifierSettings { enabled: false, ..settings() };
    assert_eq!(scratch.store.notifier().await.unwrap().settings, off);
}

#[tokio::test]
async fn a_wake_up_and_its_memory_are_one_step_and_never_two_wait() {
    let scratch = Scratch::new();
    let announce = async |n, refs: &[&str]| {
        let refs = refs.iter().map(|one| (*one).to_owned()).collect();
        scratch.store.announce(wake_up(n), poll(PollOutcome::Enqueued), refs, 3).await.unwrap()
    };
    assert_eq!(announce(0, &["a"]).await, Announced::Off);
    assert_eq!(scratch.store.notified().await.unwrap(), Notified::default(), "nothing of it is kept");
    scratch.store.set_notifier(settings(), now()).await.unwrap();
    assert_eq!(announce(1, &["a", "b", "a"]).await, Announced::New { waiting: 1 });
    assert_eq!(announce(2, &["c"]).await, Announced::Another);
    assert_eq!(scratch.store.waiting_wake_ups().await.unwrap(), [id(1)]);
    let told = scratch.store.notified().await.unwrap();
    assert_eq!((told.refs.len(), told.request), (2, Some(id(1))));
    scratch.complete(1).await;
    assert_eq!(announce(3, &["c"]).await, Announced::New { waiting: 1 });
    scratch.complete(3).await;
    scratch.fill(10..13).await;
    assert_eq!(announce(4, &["d"]).await, Announced::Full { waiting: 3 });
    let (shown, journal) = scratch.store.show(&id(3)).await.unwrap().unwrap();
    assert_eq!((shown.kind, shown.state), (RequestKind::MailNotifierPrompt, RequestState::Completed));
    assert_eq!(journal[0].note().unwrap().receipt, Receipt::Queued);
    let audited: u32 = scratch
        .outsider()
        .query_row("SELECT count(*) FROM gateway_notifier_audit WHERE outcome = 'enqueued'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(audited, 2);
    let record = scratch.store.notifier().await.unwrap();
    assert_eq!(record.last_notification_at_utc, Some(now().iso_seconds()));
}

#[tokio::test]
async fn errors_are_told_until_a_poll_works_and_old_polls_go() {
    let scratch = Scratch::new();
    scratch.store.set_notifier(settings(), now()).await.unwrap();
    scratch.store.polled(poll(PollOutcome::PollError), Some("down".to_owned()), false).await.unwrap();
    assert_eq!(scratch.store.notifier().await.unwrap().last_error.as_deref(), Some("down"));
    scratch.store.polled(Poll { at: later(5_000), ..poll(PollOutcome::Empty) }, None, false).await.unwrap();
    let record = scratch.store.notifier().await.unwrap();
    assert_eq!((record.last_error, record.last_poll_at_utc), (None, Some(later(5_000).iso_seconds())));
    scratch
        .outsider()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2010) \
             INSERT INTO gateway_notifier_audit (poll_time_utc, outcome) SELECT '', 'empty' FROM n",
        )
        .unwrap();
    for _ in 0..20 {
        scratch.store.polled(poll(PollOutcome::BusySkip), None, false).await.unwrap();
    }
    let count = |scratch: &Scratch| -> u64 {
        scratch.outsider().query_row("SELECT count(*) FROM gateway_notifier_audit", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&scratch), KEPT);
    scratch.store.polled(poll(PollOutcome::PollError), Some("unbound".to_owned()), true).await.unwrap();
    assert!(!scratch.store.notifier().await.unwrap().settings.enabled);
}
