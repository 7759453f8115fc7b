//! One look, read: by the tool's profile, or as any line reader's. Asks the kernel only about a pane that looks ready.

use std::hash::{DefaultHasher, Hash, Hasher};

use sha1::{Digest, Sha1};

use super::{Around, Composer, ScreenSeen, Why, composer::composer, generic};
use crate::{
    agents::{ComposerReading, Dialog, DialogKind, Fired, Profile, ScreenReading},
    model::PaneId,
    os::terminal,
    tmux::input::Look,
};

/// Characters of a screen's text that are kept for people.
const EXCERPT: usize = 4_000;

/// Reads a look.
pub(super) fn see(pane: PaneId, look: &Look, profile: Option<&Profile>, tool: &str) -> ScreenSeen {
    let reading = match profile {
        Some(profile) => profile.read(&look.screen()),
        None => line_reader(look, tool),
    };
    let text = look.rows.join("\n");
    let text = text.trim_end();
    let length = text.chars().count();
    let from = text.char_indices().nth(length.saturating_sub(EXCERPT)).map_or(0, |(at, _)| at);
    ScreenSeen {
        pane,
        pid: look.now.pid,
        dead: look.now.dead,
        in_mode: look.now.in_mode,
        command: look.now.command.clone(),
        title: look.now.title.clone(),
        reading,
        hash: format!("{:x}", Sha1::digest(text.as_bytes())),
        length,
        excerpt: text[from..].to_owned(),
    }
}

/// Does something go on there that could end without a word?
pub(super) fn is_unsettled(seen: &ScreenSeen) -> bool {
    let reading = &seen.reading;
    !seen.dead
        && (reading.composer != ComposerReading::Empty || !reading.working.is_empty() || reading.dialog.is_some())
}

/// What any line reader shows, in the words of a profile.
fn line_reader(look: &Look, tool: &str) -> ScreenReading {
    let mut reading = generic::read(look, &Around::default(), tool);
    if reading.is_ready() {
        let around = Around { modes: None, foreground: terminal::foreground(look.now.pid) };
        reading = generic::read(look, &around, tool);
    }
    let is = |why: &Option<Why>, reason: &str| why.as_ref().is_some_and(|why| why.reason == reason);
    let against = &reading.against;
    let fired = against.iter().map(|why| Fired {
        rule: format!("line_reader.{}", why.reason),
        proves: why.reason.to_owned(),
        text: why.detail.clone(),
    });
    ScreenReading {
        composer: match composer(look, generic::is_shell(tool)) {
            Composer::Empty => ComposerReading::Empty,
            Composer::Draft(text) => ComposerReading::Draft(text),
            Composer::Ambiguous | Composer::Continuation => ComposerReading::Unclear,
            Composer::Absent => ComposerReading::Absent,
        },
        working: against.iter().filter(|why| why.reason == "busy").map(|why| why.detail.clone()).collect(),
        dialog: is(against, "dialog").then(|| Dialog {
            kind: DialogKind::Other,
            title: look.rows.get(look.now.cursor_y).map_or("", |row| row.trim()).to_owned(),
            text: look.rows.join("\n").trim_end().to_owned(),
            choices: Vec::new(),
        }),
        queued: Some(false),
        gone: is(against, "agent_not_running"),
        signature: signature(&look.rows),
        fired: fired.collect(),
        ..ScreenReading::default()
    }
}

/// A line reader draws no spinners: every row counts.
fn signature(rows: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    rows.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::composer::tests::pane;

    fn seen(row: &str) -> ScreenSeen {
        let mut look = pane(row, "");
        look.now.pid = u32::MAX;
        see("%0".parse().unwrap(), &look, None, "sqlite3")
    }

    #[test]
    fn a_line_reader_is_read_in_the_words_of_a_profile() {
        let ready = seen("sqlite> ");
        assert_eq!((&ready.reading.composer, is_unsettled(&ready)), (&ComposerReading::Empty, false));
        let draft = seen("sqlite> select 1");
        assert_eq!(draft.reading.composer, ComposerReading::Draft("select 1".to_owned()));
        let busy = seen("counting");
        assert_eq!(busy.reading.working, ["no prompt stands at the cursor"]);
        assert!(is_unsettled(&busy));
        let asks = seen("Remove it? [y/N] ");
        assert_eq!(asks.reading.dialog.unwrap().title, "Remove it? [y/N]");
        assert_ne!(draft.reading.signature, busy.reading.signature);
    }

    #[test]
    fn the_text_is_counted_hashed_and_cut() {
        let short = seen("é$");
        assert_eq!((short.length, short.excerpt.as_str()), (2, "é$"));
        assert_eq!(short.hash, "e8bcda2e363fdd0e20d4d1c28bbfef105e76224d");
        let mut long = pane("", "");
        long.rows = vec!["é".repeat(5000)];
        let long = see("%0".parse().unwrap(), &long, None, "cat");
        assert_eq!((long.length, long.excerpt.chars().count()), (5000, EXCERPT));
    }
}
