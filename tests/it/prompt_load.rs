//! A thousand prompts from eight clients, while a person types in the same composer.

use std::time::Duration;

use crate::support::{Habits, Live, Sent, id_of, prompt};

#[test]
fn a_thousand_prompts_from_eight_clients_leave_a_persons_lines_alone() {
    let live = Live::new(&[]);
    let person = live.world.person(&live.agent.session);
    let typing = person.keeps_typing(Habits { seed: 42, rest: 8_000..16_000, pause: 500..2_000, ..Habits::default() });
    let all: Vec<Sent> = std::thread::scope(|scope| {
        let live = &live;
        let client = move |client: usize| {
            let mut connection = live.http.keep();
            let send = |number: usize| {
                let (client, text) = (format!("client {client}"), format!("prompt {number} of client {client}."));
                let id = id_of(&connection.post("/v1/requests", &prompt(&text)).ok());
                Sent { client, text, id: Some(id) }
            };
            (0..125).map(send).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..8).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    live.drained(Duration::from_secs(900));
    let lines = typing.stop();
    live.log.wait_for(all.len() + lines.len());
    assert!(!lines.is_empty(), "the person typed");
    live.holds(&all, &lines);
    assert_eq!(live.log.event_names(), Vec::<String>::new());
}
