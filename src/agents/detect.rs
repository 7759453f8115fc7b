//! Reads one screen by the rules of one profile. Pure.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    choices, draft,
    layout::Layout,
    reading::{ComposerReading, Fired, ScreenReading},
    rules::{Rule, Rules},
    source::{Proof, Region},
};
use crate::model::Screen;

/// Longest text of a rule that matched.
const SHOWN: usize = 80;

/// Reads a screen. `is_exact`: the profile was made for the version that runs.
pub(super) fn read(rules: &Rules, is_exact: bool, screen: &Screen) -> ScreenReading {
    let layout = Layout::new(rules, screen);
    let composer = draft::read(&rules.composer, &layout);
    let mut reader = Reader {
        layout: &layout,
        draft: String::new(),
        claimed: BTreeSet::new(),
        outcome: None,
        turn_work: Vec::new(),
    };
    if let ComposerReading::Draft(text) = &composer {
        reader.draft.clone_from(text);
    }
    let dialog = match composer {
        ComposerReading::Absent => choices::find(&rules.dialogs, &layout),
        _ => None,
    };
    let mut reading = ScreenReading { composer, ..ScreenReading::default() };
    if let Some((rule, dialog)) = dialog {
        reading.fired.push(Fired { rule, proves: "dialog".to_owned(), text: short(&dialog.title) });
        reading.dialog = Some(dialog);
    }
    let mut is_known = false;
    let mut is_unclear = false;
    for rule in &rules.signs {
        let is_meant = match rule.proves {
            Proof::Gone => reading.composer == ComposerReading::Absent && reading.dialog.is_none(),
            _ => true,
        };
        let Some(row) = is_meant.then(|| reader.fire(rule)).flatten() else { continue };
        let text = layout.lines[row].text.trim();
        reading.fired.push(Fired { rule: rule.name.clone(), proves: rule.proves.name().to_owned(), text: short(text) });
        match rule.proves {
            Proof::Working => reading.working.push(rule.name.clone()),
            Proof::Queued => reading.queued = Some(true),
            Proof::Starting => reading.starting = true,
            Proof::Menu => reading.menu = true,
            Proof::Unclear => is_unclear = true,
            Proof::Known => is_known = true,
            Proof::Gone => reading.gone = true,
            Proof::Stashed => reading.stashed = true,
            Proof::Interrupted | Proof::Failed | Proof::Finished => {}
        }
    }
    let below = reader.outcome.map_or(0, |(row, _, _)| row);
    // A tool's row that was left in the transcript of a turn that is over.
    reader
        .turn_work
        .iter()
        .filter(|(row, _)| *row < below)
        .for_each(|(_, name)| reading.working.retain(|one| one != name));
    match reader.outcome {
        Some((row, Proof::Failed, at)) => reading.failed = Some(paragraph(&layout, row, at)),
        Some((_, Proof::Interrupted, _)) => reading.interrupted = true,
        Some(_) => reading.finished = true,
        None => {
            reading.unfinished = rules.turn.closes
                && layout.prompt.is_some()
                && layout.composer.is_some()
                && reading.working.is_empty()
                && !reading.menu
                && !is_unclear;
        }
    }
    let tells_queue = rules.signs.iter().any(|rule| rule.proves == Proof::Queued);
    if reading.queued.is_none() && tells_queue && layout.composer.is_some() {
        reading.queued = Some(false);
    }
    // An unknown version with chrome that nobody knows: an empty box may be anything.
    if reading.composer == ComposerReading::Empty && (is_unclear || (!is_exact && !is_known)) {
        reading.composer = ComposerReading::Unclear;
    }
    reading.signature = signature(rules, &layout, &reading);
    reading
}

struct Reader<'a> {
    layout: &'a Layout<'a>,
    draft: String,
    /// Rows that a rule of higher priority has taken.
    claimed: BTreeSet<usize>,
    /// The lowest sign of how the last turn ended: row, what it proves, where its text begins.
    outcome: Option<(usize, Proof, usize)>,
    /// Signs of work within the turn: row and name.
    turn_work: Vec<(usize, String)>,
}

impl Reader<'_> {
    /// The lowest row of the rule's region that it matches.
    fn fire(&mut self, rule: &Rule) -> Option<usize> {
        if rule.when.as_ref().is_some_and(|when| !when.is_match(&self.draft)) {
            return None;
        }
        let rows = self.layout.rows(rule.region, rule.last);
        let (row, at) = rows.into_iter().rev().find_map(|row| self.matches(rule, row).map(|at| (row, at)))?;
        self.claimed.insert(row);
        if rule.proves == Proof::Working && rule.region == Region::Turn {
            self.turn_work.push((row, rule.name.clone()));
        }
        if matches!(rule.proves, Proof::Interrupted | Proof::Failed | Proof::Finished)
            && self.outcome.is_none_or(|(lowest, _, _)| row > lowest)
        {
            self.outcome = Some((row, rule.proves, at));
        }
        Some(row)
    }

    /// Where in the row the text begins that the rule is about.
    fn matches(&self, rule: &Rule, row: usize) -> Option<usize> {
        if self.claimed.contains(&row) && rule.region != Region::Footer {
            return None;
        }
        let seen = self.layout.seen(rule.region, row);
        let range = if rule.pattern.captures_len() > 1 {
            let found = rule.pattern.captures(seen)?;
            found.name("at").or_else(|| found.get(0))?.range()
        } else {
            rule.pattern.find(seen)?.range()
        };
        self.layout.lines[row].drawn(&range, &rule.style).then_some(range.start)
    }
}

/// A text that goes on in indented rows, as one line.
fn paragraph(layout: &Layout<'_>, row: usize, at: usize) -> String {
    let first = layout.lines[row].text.get(at..).unwrap_or_default().trim();
    let rest = layout.lines.iter().skip(row + 1).map(|line| line.text.as_str());
    let end = layout.composer.as_ref().map_or(usize::MAX, |composer| composer.top).saturating_sub(row + 1);
    let more = rest.take(end).take_while(|text| text.starts_with("  ") && !text.trim().is_empty()).take(4);
    std::iter::once(first).chain(more.map(str::trim)).collect::<Vec<_>>().join(" ")
}

fn short(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Stands for what bears structure: rows above the composer's end that are no spinners, tips or hints.
fn signature(rules: &Rules, layout: &Layout<'_>, reading: &ScreenReading) -> String {
    let mut hasher = DefaultHasher::new();
    let end = layout.composer.as_ref().map_or(layout.lines.len(), |composer| composer.bottom);
    for line in layout.lines.iter().take(end) {
        let text = line.text.trim();
        let is_skipped = rules.skip.iter().any(|skip| skip.is_match(&line.text));
        if !text.is_empty() && !is_skipped {
            text.hash(&mut hasher);
        }
    }
    (&reading.working.is_empty(), reading.menu, reading.starting, reading.gone).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use crate::{
        agents::{ComposerReading, Profile},
        model::Screen,
    };

    fn screen(lines: &[&str]) -> Screen {
        let rows = Screen::styled_rows(lines.iter().copied());
        Screen { width: 60, height: rows.len(), rows, ..Screen::default() }
    }

    const RULE: &str = "────────────────────────────────────────────────────────────";

    #[test]
    fn an_unknown_version_with_unknown_chrome_is_not_called_empty() {
        let known = screen(&[RULE, "❯ ", RULE, "  ? for shortcuts"]);
        let unknown = screen(&[RULE, "❯ ", RULE, "  something new"]);
        let exact = Profile::find("claude", Some("2.1.330")).unwrap();
        let other = Profile::find("claude", Some("3.0")).unwrap();
        assert_eq!(exact.read(&unknown).composer, ComposerReading::Empty);
        assert_eq!(other.read(&unknown).composer, ComposerReading::Unclear);
        assert_eq!(other.read(&known).composer, ComposerReading::Empty);
    }

    #[test]
    fn a_signature_stays_while_only_spinners_and_tips_change() {
        let profile = Profile::find("claude", Some("2.1.330")).unwrap();
        let draw = |spinner: &str, tip: &str, reply: &str| {
            profile.read(&screen(&[reply, "", spinner, tip, RULE, "❯ ", RULE, "  esc to interrupt"])).signature
        };
        let one = draw("✻ Honking… (2s)", "  ⎿  Tip: one", "● a");
        assert_eq!(one, draw("✢ Baking… (3s)", "  ⎿  Tip: two", "● a"));
        assert_ne!(one, draw("✻ Honking… (2s)", "  ⎿  Tip: one", "● a b"));
    }

    static ALL: LazyLock<Vec<Profile>> = LazyLock::new(|| {
        let tools = ["claude", "codex", "gemini", "kimi", "opencode", "aider"];
        tools.iter().filter_map(|tool| Profile::find(tool, None)).collect()
    });

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        #[test]
        fn any_screen_can_be_read(lines in proptest::collection::vec("[ ❯›>●│┃╭╰▄▀─╹0-9a-z.?()\u{1b}\\[m;]{0,70}", 0..30), x in 0_usize..90, y in 0_usize..40) {
            let mut screen = screen(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            (screen.cursor_x, screen.cursor_y) = (x, y);
            for profile in ALL.iter() {
                proptest::prop_assert_eq!(profile.read(&screen), profile.read(&screen));
            }
        }
    }
}
