//! Mail for a person. What others wrote reaches the terminal as text, never as commands to it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    api::{MailCall, MailChanged, MailDone, MailList, MailStatus, MessageView, Participant},
    cli::{render, report::Reporter},
    model::{ErrorCode, Failure},
};

/// Shows an answer.
pub(super) fn answer(call: &MailCall, answer: Value, report: &Reporter) -> Result<(), Failure> {
    match call {
        MailCall::Status => {
            let status: MailStatus = read(answer)?;
            let identity = status.identity;
            render::facts(&[
                ("address", identity.address),
                ("transport", identity.transport),
                ("owner", identity.principal_id),
                ("bound", status.bindings_version),
            ]);
        }
        MailCall::List(query) => {
            let list: MailList = read(answer)?;
            if list.messages.is_empty() {
                report.note(&format!("no such messages in the folder `{}` of {}", list.folder, list.identity.address));
                return Ok(());
            }
            if query.include_body {
                list.messages.iter().for_each(|message| {
                    whole(message);
                    render::line("");
                });
            } else {
                table(&list.messages);
            }
            report.note(&format!("{} of {} messages unread", list.unread_count, list.message_count));
        }
        MailCall::Peek { .. } | MailCall::Read { .. } => whole(&read::<MailDone>(answer)?.message),
        // Bytes of others are written into a file, never to a terminal.
        MailCall::Attachment { .. } => {}
        MailCall::Send(_) | MailCall::Post(_) | MailCall::Reply(_) => {
            let message = read::<MailDone>(answer)?.message;
            render::facts(&[
                ("delivered", message.message_ref.clone()),
                ("to", names(&message.to)),
                ("subject", clean(&message.subject)),
            ]);
        }
        MailCall::Mark { .. } | MailCall::Move { .. } | MailCall::Archive { .. } => {
            table(&read::<MailChanged>(answer)?.messages);
        }
    }
    Ok(())
}

/// Where a mailbox is.
pub(super) fn place(found: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), clean);
    let transport = text(&found["transport"]);
    let place = match transport.as_str() {
        "filesystem" => text(&found["mailbox"]["filesystem"]["mailbox_path"]),
        _ => text(&found["mailbox"]["stalwart"]["jmap_url"]),
    };
    let gateway = &found["gateway"]["base_url"];
    render::facts(&[
        ("agent", text(&found["managed_agent"]["agent_name"])),
        ("address", text(&found["address"])),
        ("transport", transport),
        ("mailbox", place),
        ("gateway", gateway.as_str().map_or_else(|| "none answers".to_owned(), str::to_owned)),
    ]);
}

pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::new(
            ErrorCode::Incompatible,
            format!("the gateway's answer is not the contract's: {error}"),
            "`agents gateway attach --restart` starts a gateway of this version",
        )
    })
}

/// One line of a list that goes on.
pub(super) fn line(message: &MessageView) -> String {
    let (sender, subject) = (clean(&message.sender.address), clean(&message.subject));
    format!("{}  {sender}  {subject}  {}", message.created_at_utc, message.message_ref)
}

fn table(messages: &[MessageView]) {
    let rows = messages.iter().map(|message| {
        let (state, when) = (state(message), message.created_at_utc.clone());
        [state, when, clean(&message.sender.address), clean(&message.subject), message.message_ref.clone()]
    });
    render::table(["STATE", "SENT", "FROM", "SUBJECT", "REF"], rows.collect());
}

fn state(message: &MessageView) -> String {
    let words = [
        (message.unread == Some(true), "UNREAD"),
        (message.answered == Some(true), "answered"),
        (message.archived == Some(true), "archived"),
    ];
    let words: Vec<&str> = words.iter().filter(|(is_so, _)| *is_so).map(|(_, word)| *word).collect();
    words.join(" ")
}

/// A message as it was written, below what stands on its envelope.
pub(super) fn whole(message: &MessageView) {
    let mut rows = vec![("from", name(&message.sender)), ("to", names(&message.to))];
    if !message.cc.is_empty() {
        rows.push(("cc", names(&message.cc)));
    }
    rows.push(("sent", message.created_at_utc.clone()));
    rows.push(("subject", clean(&message.subject)));
    rows.push(("message", message.message_ref.clone()));
    let state = state(message);
    if !state.is_empty() {
        rows.push(("state", state));
    }
    for file in &message.attachments {
        let size = file.size_bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
        let place = file.locator.as_deref().or(file.label.as_deref()).unwrap_or(&file.attachment_id);
        rows.push(("attached", format!("{} ({}{size})", clean(place), clean(&file.media_type))));
    }
    render::facts(&rows);
    let Some(text) = &message.body_text else { return };
    render::line("");
    render::raw(format!("{}\n", clean(text).trim_end_matches('\n')).as_bytes());
}

fn name(participant: &Participant) -> String {
    match participant.display_name.as_deref().map(clean).filter(|name| !name.trim().is_empty()) {
        Some(name) => format!("{name} <{}>", clean(&participant.address)),
        None => clean(&participant.address),
    }
}

fn names(list: &[Participant]) -> String {
    list.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A text without what a terminal would obey, or show in another order: escape sequences, control characters, and
/// marks of direction. Line breaks and tabs stay.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{1b}' => match rest.next() {
                Some('[') => drop(rest.find(|c| ('\u{40}'..='\u{7e}').contains(c))),
                // A text for the terminal itself, up to its end: BEL, or ESC and a backslash.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\u{9b}' => drop(rest.find(|c| ('\u{40}'..='\u{7e}').contains(c))),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_of_a_text_is_obeyed() {
        for (text, shown) in [
            ("a\u{1b}[31mred\u{1b}[0m b", "ared b"),
            ("\u{1b}]0;title\u{7}x\u{1b}]52;c;aGk=\u{1b}\\y", "xy"),
            ("a\rb\u{8}\u{0}\tc\nd", "ab\tc\nd"),
            ("\u{9b}2Jx\u{85}", "x"),
            ("\u{1b}(Bq\u{1b}", "Bq"),
            ("a\u{202e}b", "ab"),
            ("👩‍👩‍👧 שלום é", "👩‍👩‍👧 שלום é"),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(text in "\\PC*|[\u{0}-\u{a0}]*") {
            prop_assert!(!clean(&text).chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
