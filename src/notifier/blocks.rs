//! Notify blocks: what senders want said beside a wake-up. Pure.
//!
//! A block is a stranger's text on its way into a prompt. It is cleaned, cut, quoted line by line behind `> `, and
//! stands below the address of its sender: whatever it holds, no line of it can look like one of ours.

use subtle::ConstantTimeEq;

use crate::api::{
    BlockAuthMode, BlockEntry, BlockPlacement, BlockRender, BlockVerifier, MessageView, NotifierSettings,
};

/// Blocks that one wake-up looks at. All other messages are counted, and can be read.
const MOST: usize = 500;

/// Characters of an address that are shown.
const LONGEST_ADDRESS: usize = 120;

/// The blocks of some messages, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Quoted {
    /// In front of the notifier's words.
    pub(super) before: Vec<String>,
    /// Behind them.
    pub(super) after: Vec<String>,
    /// How many were left out because the others filled the room.
    pub(super) left_out: usize,
    /// All of them, shown or not.
    pub(super) entries: Vec<BlockEntry>,
}

/// Quotes the blocks of these messages.
pub(super) fn quote(messages: &[MessageView], settings: &NotifierSettings) -> Quoted {
    let mut quoted = Quoted::default();
    let mut room = settings.notify_block_total_chars;
    let with_block = messages.iter().filter_map(|message| Some((message, message.notify_block.as_ref()?)));
    for (message, block) in with_block.take(MOST) {
        let (outcome, why) = verify(message, settings);
        let lines = clean_lines(&block.text);
        let (text, truncated) = cut(&lines.join("\n"), settings.notify_block_per_message_chars);
        let withheld = if settings.notify_block_render == BlockRender::Disabled {
            Some("notify blocks are switched off")
        } else if settings.notify_block_auth_mode == BlockAuthMode::Required && outcome != "passed" {
            Some("its sender is not verified")
        } else if text.trim().is_empty() {
            Some("nothing in it can be shown")
        } else {
            None
        };
        let shown = withheld.is_none().then(|| render(message, &text, outcome));
        let fits = shown.as_ref().is_some_and(|shown| shown.chars().count() <= room);
        if let Some(shown) = shown {
            if fits {
                room -= shown.chars().count();
                let side = match block.placement {
                    BlockPlacement::Prepend => &mut quoted.before,
                    BlockPlacement::Append => &mut quoted.after,
                };
                side.push(shown);
            } else {
                quoted.left_out += 1;
            }
        }
        let detail = why.or_else(|| withheld.or((!fits).then_some("the others filled the room")).map(str::to_owned));
        quoted.entries.push(BlockEntry {
            message_ref: message.message_ref.clone(),
            rendered: fits,
            auth_scheme: message.notify_auth.as_ref().map(|auth| line(&auth.scheme, 40)),
            auth_outcome: outcome,
            auth_detail: detail,
            block_chars: block.text.chars().count(),
            block_truncated: truncated,
        });
    }
    quoted
}

/// `passed`, `failed` or `skipped`, and why.
fn verify(message: &MessageView, settings: &NotifierSettings) -> (&'static str, Option<String>) {
    if settings.notify_block_auth_verifier == BlockVerifier::None {
        return ("skipped", None);
    }
    let Some(token) = message.notify_auth.as_ref().and_then(|auth| auth.token.as_deref()) else {
        return ("failed", Some("the message brings no token".to_owned()));
    };
    // All are compared, whichever fits: the time tells nothing.
    let known = settings.notify_block_shared_tokens.reveal().iter();
    let fits = known.fold(subtle::Choice::from(0), |fits, known| fits | known.as_bytes().ct_eq(token.as_bytes()));
    if bool::from(fits) {
        return ("passed", None);
    }
    ("failed", Some("its token is none of the shared ones".to_owned()))
}

fn render(message: &MessageView, text: &str, outcome: &str) -> String {
    let proof = if outcome == "passed" { "sender verified" } else { "sender not verified" };
    let quoted: Vec<String> = text.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect();
    format!("Note from {} ({proof}):\n{}", address(&message.sender.address), quoted.join("\n"))
}

/// An address, whatever a server took for one.
pub(super) fn address(text: &str) -> String {
    line(text, LONGEST_ADDRESS)
}

/// A text as one line of at most so many characters.
pub(super) fn line(text: &str, longest: usize) -> String {
    let words = clean_lines(text).join(" ");
    let words: Vec<&str> = words.split_whitespace().collect();
    cut(&words.join(" "), longest).0
}

/// The first so many characters, with `…` as the last one if there are more.
fn cut(text: &str, longest: usize) -> (String, bool) {
    if text.chars().count() <= longest {
        return (text.to_owned(), false);
    }
    let mut kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    (kept, true)
}

/// The lines of a stranger's text, without anything that a terminal would act on or a reader could not see.
fn clean_lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_sequence(&mut rest),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => lines.push(String::new()),
            '\t' => push(&mut lines, ' '),
            _ if c.is_control() || is_invisible(c) => {}
            _ => push(&mut lines, c),
        }
    }
    let blank = |line: &String| line.trim().is_empty();
    let first = lines.iter().position(|line| !blank(line)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !blank(line)).map_or(first, |last| last + 1);
    lines.get(first..last).map(<[String]>::to_vec).unwrap_or_default()
}

fn push(lines: &mut [String], c: char) {
    if let Some(line) = lines.last_mut() {
        line.push(c);
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Leaves out what follows an escape character.
fn skip_escape(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_sequence(rest);
        }
        // A title, a link, a clipboard: to its end, and never over the end of the line.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(c) = rest.next_if(|c| *c != '\n' && *c != '\r') {
                if c == '\u{7}' || c == '\u{9c}' {
                    return;
                }
                if c == '\u{1b}' {
                    rest.next_if_eq(&'\\');
                    return;
                }
            }
        }
        Some(c) if !c.is_control() => drop(rest.next()),
        _ => {}
    }
}

/// Leaves out a control sequence from behind its beginning.
fn skip_sequence(rest: &mut Rest<'_>) {
    while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    rest.next_if(|c| matches!(c, '@'..='~'));
}

/// Signs that change the order of others, or hide among them.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::{NotifyAuth, NotifyBlock, Participant, SharedTokens};

    /// A message of somebody.
    pub(in crate::notifier) fn message(number: usize, sender: &str, subject: &str) -> MessageView {
        MessageView {
            message_ref: format!("filesystem:msg-{number}"),
            thread_ref: None,
            created_at_utc: "2026-11-21T10:00:00+00:00".to_owned(),
            subject: subject.to_owned(),
            read: Some(false),
            answered: Some(false),
            archived: Some(false),
            folder: Some("inbox".to_owned()),
            unread: Some(true),
            body_preview: None,
            body_text: None,
            sender: Participant { address: sender.to_owned(), display_name: None, principal_id: None },
            to: vec![],
            cc: vec![],
            reply_to: vec![],
            attachments: vec![],
            notify_block: None,
            notify_auth: None,
        }
    }

    fn with_block(text: &str, placement: BlockPlacement, token: Option<&str>) -> MessageView {
        let auth =
            NotifyAuth { scheme: "none".to_owned(), token: token.map(str::to_owned), iss: None, iat: None, exp: None };
        MessageView {
            notify_block: Some(NotifyBlock { text: text.to_owned(), placement }),
            notify_auth: token.is_some().then_some(auth),
            ..message(1, "bob@agents.localhost", "hi")
        }
    }

    fn of(text: &str) -> Quoted {
        quote(&[with_block(text, BlockPlacement::Append, None)], &NotifierSettings::default())
    }

    #[test]
    fn a_block_is_quoted_below_its_sender() {
        let quoted = of("\n\ndo this\n\nthen that\n");
        assert_eq!(quoted.after, ["Note from bob@agents.localhost (sender not verified):\n> do this\n>\n> then that"]);
        let entry = &quoted.entries[0];
        assert_eq!((entry.rendered, entry.auth_outcome, entry.block_truncated), (true, "skipped", false));
        let settings = NotifierSettings::default();
        let before = quote(&[with_block("x", BlockPlacement::Prepend, None)], &settings);
        assert_eq!((before.before.len(), before.after.len()), (1, 0));
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_or_a_reader_cannot_see_is_left() {
        for (text, left) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}rest", "rest"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{9b}201~x", "x"),
            ("\u{1b}[201~x", "x"),
            ("\u{1b}cx", "x"),
            ("a\u{8}b\u{7f}c\0", "abc"),
            ("a\u{202e}b\u{e0041}\u{200b}c", "abc"),
            ("a\tb", "a b"),
            ("open \u{1b}]0;never closed", "open"),
        ] {
            assert_eq!(line(text, 99), left, "{text:?}");
        }
        assert_eq!(clean_lines("a\r\nb\rc\u{2028}d\u{85}e\u{b}f"), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(clean_lines("x \u{1b}]0;t\ny"), ["x ", "y"], "an open title does not swallow the next line");
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_does_not_fit_is_counted() {
        let settings = NotifierSettings {
            notify_block_per_message_chars: 5,
            notify_block_total_chars: 130,
            ..NotifierSettings::default()
        };
        let messages = vec![with_block("123456", BlockPlacement::Append, None); 4];
        let quoted = quote(&messages, &settings);
        assert!(quoted.after[0].ends_with("> 1234…"), "{quoted:?}");
        assert_eq!((quoted.after.len(), quoted.left_out, quoted.entries.len()), (2, 2, 4));
        let told: Vec<_> = quoted.entries.iter().map(|entry| (entry.rendered, entry.block_truncated)).collect();
        assert_eq!(told, [(true, true), (true, true), (false, true), (false, true)]);
        assert!(quoted.entries[3].auth_detail.as_deref().unwrap().contains("room"));
    }

    #[test]
    fn only_verified_blocks_are_shown_where_that_is_required() {
        let messages = [
            with_block("a", BlockPlacement::Append, Some("right")),
            with_block("b", BlockPlacement::Append, Some("wrong")),
            with_block("c", BlockPlacement::Append, None),
        ];
        let mut settings = NotifierSettings {
            notify_block_auth_verifier: BlockVerifier::SharedToken,
            notify_block_shared_tokens: SharedTokens::new(vec!["other".to_owned(), "right".to_owned()]),
            ..NotifierSettings::default()
        };
        let outcomes = |settings: &NotifierSettings| {
            let entries = quote(&messages, settings).entries;
            entries.into_iter().map(|entry| (entry.auth_outcome, entry.rendered)).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(&settings), [("passed", true), ("failed", true), ("failed", true)]);
        assert!(quote(&messages, &settings).after[0].contains("(sender verified)"));
        settings.notify_block_auth_mode = BlockAuthMode::Required;
        assert_eq!(outcomes(&settings), [("passed", true), ("failed", false), ("failed", false)]);
        settings.notify_block_auth_verifier = BlockVerifier::None;
        assert_eq!(outcomes(&settings), [("skipped", false); 3], "nobody is verified");
        settings.notify_block_auth_mode = BlockAuthMode::PermissiveLog;
        settings.notify_block_render = BlockRender::Disabled;
        assert_eq!(outcomes(&settings), [("skipped", false); 3]);
        settings.notify_block_shared_tokens = SharedTokens::default();
        settings.notify_block_auth_verifier = BlockVerifier::SharedToken;
        let empty = [with_block("a", BlockPlacement::Append, Some(""))];
        assert_eq!(quote(&empty, &settings).entries[0].auth_outcome, "failed");
    }

    proptest! {
        #[test]
        fn no_line_of_a_block_can_look_like_ours(text in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f\u{2028}\u{2029}\u{202e}]){0,80}",
            sender in "(\\PC|[\\x00-\\x1f\u{2028}]){0,40}") {
            let message = MessageView {
                sender: Participant { address: sender, display_name: None, principal_id: None },
                ..with_block(&text, BlockPlacement::Append, None)
            };
            let quoted = quote(&[message], &NotifierSettings::default());
            for shown in &quoted.after {
                let mut lines = shown.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
                prop_assert!(lines.next().unwrap().starts_with("Note from "));
                prop_assert!(lines.all(|line| line.starts_with('>')), "{shown:?}");
                prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && !is_invisible(c)));
            }
            prop_assert_eq!(quoted.entries.len(), 1);
        }
    }
}
