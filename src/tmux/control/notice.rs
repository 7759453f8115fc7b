//! What tmux tells a control client unasked, one line each.

use std::str::FromStr;

use crate::model::{PaneId, TmuxSessionId, WindowId};

/// One notification. Names and values are the bytes tmux sent: they may hold invalid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A pane printed something (never sent to a client with the flag `no-output`).
    Output {
        /// The pane that printed.
        pane: PaneId,
        /// What it printed, with tmux's octal escapes undone.
        bytes: Vec<u8>,
    },
    /// As `Output`, for a client with the flag `pause-after`.
    ExtendedOutput {
        /// The pane that printed.
        pane: PaneId,
        /// How long tmux held the bytes back, in milliseconds.
        age_ms: u64,
        /// What it printed, with tmux's octal escapes undone.
        bytes: Vec<u8>,
    },
    /// tmux stopped sending this pane's output, because the client lags.
    Pause(PaneId),
    /// tmux sends this pane's output again.
    Continue(PaneId),
    /// A mode of this pane began or ended: copy mode, a menu of tmux.
    ModeChanged(PaneId),
    /// A subscribed format (`refresh-client -B name:what:format`) has a new value. At most one a second each.
    Subscription {
        /// The name the subscription was made under. A name with a space in it arrives as [`Notice::Other`].
        name: String,
        /// The format's new value.
        value: Vec<u8>,
        /// The session it belongs to.
        session: TmuxSessionId,
        /// The window, unless the subscription is about the session.
        window: Option<WindowId>,
        /// The pane, unless the subscription is about the session or a window.
        pane: Option<PaneId>,
    },
    /// A window was linked into the client's own session. One in another session arrives as [`Notice::Other`].
    WindowAdded(WindowId),
    /// A window was closed. tmux says which session it was in only while it still is in one, so this comes for
    /// the windows of every session.
    WindowClosed(WindowId),
    /// A window, of any session, has this new name.
    WindowRenamed(WindowId, Vec<u8>),
    /// A session has a new name.
    SessionRenamed {
        /// Which session; some versions of tmux do not say, and mean the client's own.
        id: Option<TmuxSessionId>,
        /// Its new name.
        name: Vec<u8>,
    },
    /// This client is now attached to another session. Sent once after attaching, too.
    SessionChanged {
        /// The session it is attached to.
        id: TmuxSessionId,
        /// That session's name.
        name: Vec<u8>,
    },
    /// Some session was created or destroyed.
    SessionsChanged,
    /// The panes of a window were added, removed, resized or moved.
    LayoutChanged(WindowId),
    /// The client ends. Nothing follows.
    Exit {
        /// Why, in tmux's words; empty after an orderly detach.
        reason: Vec<u8>,
    },
    /// A line that is none of the above: a kind this program does not use, or a line outside the protocol.
    Other {
        /// The whole line, without its line break.
        line: Vec<u8>,
        /// The line was too long and its end is missing. A cut line is never taken for what it begins like.
        truncated: bool,
    },
}

impl Notice {
    /// Understands one whole line.
    pub(super) fn parse(line: &[u8]) -> Self {
        known(line).unwrap_or_else(|| Self::Other { line: line.to_vec(), truncated: false })
    }

    /// About how many bytes it keeps in memory beyond its own size.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Output { bytes, .. } | Self::ExtendedOutput { bytes, .. } => bytes.len(),
            Self::Subscription { name, value, .. } => name.len() + value.len(),
            Self::WindowRenamed(_, name) | Self::SessionRenamed { name, .. } | Self::SessionChanged { name, .. } => {
                name.len()
            }
            Self::Exit { reason } => reason.len(),
            Self::Other { line, .. } => line.len(),
            Self::Pause(_)
            | Self::Continue(_)
            | Self::ModeChanged(_)
            | Self::WindowAdded(_)
            | Self::WindowClosed(_)
            | Self::SessionsChanged
            | Self::LayoutChanged(_) => 0,
        }
    }
}

fn known(line: &[u8]) -> Option<Notice> {
    let (kind, rest) = word(line);
    let (first, after_first) = word(rest);
    Some(match kind {
        b"%output" => Notice::Output { pane: parsed(first)?, bytes: unescape(after_first) },
        b"%extended-output" => {
            let (age, after_age) = word(after_first);
            let (_reserved, value) = at_colon(after_age)?;
            Notice::ExtendedOutput { pane: parsed(first)?, age_ms: parsed(age)?, bytes: unescape(value) }
        }
        b"%pause" => Notice::Pause(parsed(first)?),
        b"%continue" => Notice::Continue(parsed(first)?),
        b"%pane-mode-changed" => Notice::ModeChanged(parsed(first)?),
        b"%subscription-changed" => subscription(first, after_first)?,
        b"%window-add" => Notice::WindowAdded(parsed(first)?),
        b"%window-close" | b"%unlinked-window-close" => Notice::WindowClosed(parsed(first)?),
        b"%window-renamed" | b"%unlinked-window-renamed" => Notice::WindowRenamed(parsed(first)?, after_first.to_vec()),
        // `$1 name` or only `name`. A name alone has no second word after something that looks like an id.
        b"%session-renamed" => match parsed(first) {
            Some(id) if rest.len() > first.len() => Notice::SessionRenamed { id: Some(id), name: after_first.to_vec() },
            _ => Notice::SessionRenamed { id: None, name: rest.to_vec() },
        },
        b"%session-changed" => Notice::SessionChanged { id: parsed(first)?, name: after_first.to_vec() },
        b"%sessions-changed" => Notice::SessionsChanged,
        b"%layout-change" => Notice::LayoutChanged(parsed(first)?),
        b"%exit" => Notice::Exit { reason: rest.to_vec() },
        _ => return None,
    })
}

/// `$0 @0 1 %0 : value`: what does not apply is a `-`, and later versions may add words before the colon.
fn subscription(name: &[u8], rest: &[u8]) -> Option<Notice> {
    let (about, value) = at_colon(rest)?;
    let mut about = about.split(|byte| *byte == b' ');
    let (session, window, _index, pane) = (about.next()?, about.next()?, about.next()?, about.next()?);
    Some(Notice::Subscription {
        name: str::from_utf8(name).ok()?.to_owned(),
        value: value.to_vec(),
        session: parsed(session)?,
        window: parsed(window),
        pane: parsed(pane),
    })
}

/// The first word, and what follows the one space behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, &[]),
    }
}

/// What stands before and behind the first `:` that is a word of its own.
fn at_colon(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let (word, rest) = word(&text[from..]);
        if word == b":" {
            return Some((text[..from].trim_ascii_end(), rest));
        }
        from += word.len() + 1;
        if from >= text.len() {
            return None;
        }
    }
}

/// A word that is an id or a number.
pub(super) fn parsed<T: FromStr>(word: &[u8]) -> Option<T> {
    str::from_utf8(word).ok()?.parse().ok()
}

/// Undoes tmux's escapes: a backslash and three octal digits are one byte. Anything else stands for itself.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        if let [b'\\', high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', after @ ..] = rest {
            bytes.push((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'));
            rest = after;
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn other(line: &[u8]) -> Notice {
        Notice::Other { line: line.to_vec(), truncated: false }
    }

    #[test]
    fn every_kind_is_understood() {
        let pane: PaneId = "%3".parse().unwrap();
        let window: WindowId = "@2".parse().unwrap();
        let session: TmuxSessionId = "$1".parse().unwrap();
        let name = b"a \xff b".to_vec();
        for (line, notice) in [
            (&b"%output %3 a\\033[m\\134 \xff"[..], Notice::Output { pane, bytes: b"a\x1b[m\\ \xff".to_vec() }),
            (b"%output %3 ", Notice::Output { pane, bytes: vec![] }),
            (
                b"%extended-output %3 1200 : a : b\\012",
                Notice::ExtendedOutput { pane, age_ms: 1200, bytes: b"a : b\n".to_vec() },
            ),
            (
                b"%extended-output %3 7 later words : x",
                Notice::ExtendedOutput { pane, age_ms: 7, bytes: b"x".to_vec() },
            ),
            (b"%pause %3", Notice::Pause(pane)),
            (b"%continue %3", Notice::Continue(pane)),
            (b"%window-add @2", Notice::WindowAdded(window)),
            (b"%window-close @2", Notice::WindowClosed(window)),
            (b"%unlinked-window-close @2", Notice::WindowClosed(window)),
            (b"%window-renamed @2 a \xff b", Notice::WindowRenamed(window, name.clone())),
            (b"%unlinked-window-renamed @2 a \xff b", Notice::WindowRenamed(window, name.clone())),
            (b"%session-renamed $1 a \xff b", Notice::SessionRenamed { id: Some(session), name: name.clone() }),
            (b"%session-renamed a \xff b", Notice::SessionRenamed { id: None, name: name.clone() }),
            (b"%session-renamed $1", Notice::SessionRenamed { id: None, name: b"$1".to_vec() }),
            (b"%session-changed $1 a \xff b", Notice::SessionChanged { id: session, name }),
            (b"%sessions-changed", Notice::SessionsChanged),
            (b"%layout-change @2 b25f,80x24,0,0,2 b25f,80x24,0,0,2 *", Notice::LayoutChanged(window)),
            (b"%exit", Notice::Exit { reason: vec![] }),
            (b"%exit server exited", Notice::Exit { reason: b"server exited".to_vec() }),
        ] {
            assert_eq!(Notice::parse(line), notice, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_subscription_says_what_it_is_about() {
        let about = |line: &[u8]| match Notice::parse(line) {
            Notice::Subscription { name, value, session, window, pane } => {
                (name, value, session.to_string(), [window.is_some(), pane.is_some()])
            }
            notice => panic!("{notice:?}"),
        };
        assert_eq!(
            about(b"%subscription-changed agent $0 @0 0 %0 : 6751 0"),
            ("agent".to_owned(), b"6751 0".to_vec(), "$0".to_owned(), [true, true])
        );
        assert_eq!(
            about(b"%subscription-changed w $0 @0 0 - : a : b"),
            ("w".to_owned(), b"a : b".to_vec(), "$0".to_owned(), [true, false])
        );
        assert_eq!(
            about(b"%subscription-changed s $0 - - - : "),
            ("s".to_owned(), vec![], "$0".to_owned(), [false, false])
        );
    }

    #[test]
    fn what_is_not_understood_is_handed_on_whole() {
        for line in [
            &b""[..],
            b"plain",
            b"%output",
            b"%output 3 x",
            b"%output @3 x",
            b"%extended-output %3 soon : x",
            b"%extended-output %3 1",
            b"%pause",
            b"%window-add $1",
            b"%unlinked-window-add @3",
            b"%subscription-changed two words $0 @0 0 %0 : x",
            b"%subscription-changed s $0 @0 : x",
            b"%subscription-changed",
            b"%end 1 2 1",
            b"%begin",
            b"%paste-buffer-changed buffer0",
        ] {
            assert_eq!(Notice::parse(line), other(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn half_an_escape_stands_for_itself() {
        for text in [&b"\\"[..], b"\\1", b"\\12", b"\\128", b"\\400", b"\\x41", b"a\\"] {
            assert_eq!(unescape(text), text, "{}", text.escape_ascii());
        }
    }

    /// As tmux writes `%output`: control bytes and the backslash are escaped, everything else is raw.
    fn escape(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().fold(Vec::new(), |mut text, byte| {
            if *byte < b' ' || *byte == b'\\' {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            } else {
                text.push(*byte);
            }
            text
        })
    }

    proptest! {
        #[test]
        fn unescape_inverts_escape(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        #[test]
        fn no_line_panics(line: Vec<u8>, kind in "%(output|extended-output|subscription-changed|session-renamed) ") {
            Notice::parse(&line);
            Notice::parse(&[kind.as_bytes(), &line].concat());
        }
    }
}
