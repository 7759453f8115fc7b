//! Where things stand on a screen: the composer, the last turn, and the rows around them. Pure.

use std::{borrow::Cow, ops::Range};

use super::{
    rules::{ComposerRules, Rules, StyleTest},
    source::Region,
};
use crate::model::{Color, Row, Screen, Style};

/// One row, ready for matching.
#[derive(Debug)]
pub(super) struct Line<'a> {
    row: Cow<'a, Row>,
    /// Its text without the blanks at its end.
    pub(super) text: String,
}

impl<'a> Line<'a> {
    fn new(row: &'a Row) -> Self {
        // Some tools put a no-break space behind their sign.
        let has_fixed = row.runs.iter().any(|run| run.text.contains('\u{a0}'));
        let row = if has_fixed {
            let mut own = row.clone();
            own.runs.iter_mut().for_each(|run| run.text = run.text.replace('\u{a0}', " "));
            Cow::Owned(own)
        } else {
            Cow::Borrowed(row)
        };
        let text = row.text();
        Self { row, text }
    }

    /// Each character from a byte on, with its style.
    pub(super) fn styled_from(&self, from: usize) -> impl Iterator<Item = (char, Style)> + '_ {
        let mut at = 0;
        self.row.styled().filter(move |(c, _)| {
            let here = at;
            at += c.len_utf8();
            here >= from
        })
    }

    /// `true` if every character of the range that is not blank is drawn as asked.
    pub(super) fn drawn(&self, range: &Range<usize>, test: &StyleTest) -> bool {
        if test.is_open() {
            return true;
        }
        let mut at = 0;
        self.row.runs.iter().all(|run| {
            let here = at..at + run.text.len();
            at = here.end;
            let (from, to) = (here.start.max(range.start), here.end.min(range.end));
            from >= to
                || test.fits(run.style)
                || run.text.get(from - here.start..to - here.start).is_none_or(|part| part.trim().is_empty())
        })
    }

    /// The colour of its first character that is not blank.
    fn bar(&self) -> Option<Color> {
        self.styled_from(0).find(|(c, _)| *c != ' ').map(|(_, style)| style.foreground)
    }

    /// The background of the cell at a byte.
    fn ground(&self, at: usize) -> Option<Color> {
        self.styled_from(at).next().map(|(_, style)| style.background)
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }
}

/// Where the composer stands. All are row numbers; `bottom` is the first row that is no longer its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Composer {
    pub(super) top: usize,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) bottom: usize,
    /// Bytes of the sign in its first row.
    pub(super) sign: usize,
    /// The sign is a mode's: it is a part of what was typed.
    pub(super) is_mode: bool,
}

/// A screen with its parts.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) lines: Vec<Line<'a>>,
    pub(super) width: usize,
    pub(super) cursor: (usize, usize),
    pub(super) composer: Option<Composer>,
    /// The row of the last prompt that the tool took.
    pub(super) prompt: Option<usize>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(rules: &Rules, screen: &'a Screen) -> Self {
        let lines: Vec<Line<'a>> = screen.rows.iter().map(Line::new).collect();
        let composer = composer(&rules.composer, &lines);
        let end = composer.as_ref().map_or(lines.len(), |composer| composer.top);
        let prompt = rules.turn.prompt.as_ref().and_then(|pattern| {
            (0..end).rev().find(|row| {
                let line = &lines[*row];
                let above = rules.turn.above.as_ref();
                pattern.find(&line.text).is_some_and(|found| line.drawn(&found.range(), &rules.turn.style))
                    && above.is_none_or(|above| *row > 0 && above.is_match(&lines[*row - 1].text))
            })
        });
        Self { lines, width: screen.width, cursor: (screen.cursor_x, screen.cursor_y), composer, prompt }
    }

    /// The rows of a region, top to bottom.
    pub(super) fn rows(&self, region: Region, last: Option<usize>) -> Vec<usize> {
        let all = self.lines.len();
        let composer = self.composer.as_ref();
        let filled = |range: Range<usize>| range.filter(|row| !self.lines[*row].is_blank());
        let nearest = |rows: Vec<usize>, count: usize| rows[rows.len().saturating_sub(count)..].to_vec();
        match region {
            Region::Screen => filled(0..all).collect(),
            Region::Footer => nearest(filled(0..all).collect(), last.unwrap_or(4)),
            Region::Above => composer.map_or_else(Vec::new, |composer| {
                nearest(filled(0..composer.top).collect(), last.unwrap_or(usize::MAX))
            }),
            Region::Below => composer.map_or_else(Vec::new, |composer| {
                filled(composer.bottom..all).take(last.unwrap_or(usize::MAX)).collect()
            }),
            Region::FirstBelow => {
                composer.map_or_else(Vec::new, |composer| filled(composer.bottom..all).take(1).collect())
            }
            Region::Composer => {
                composer.map_or_else(Vec::new, |composer| filled(composer.first..composer.last + 1).collect())
            }
            Region::Turn => {
                let end = composer.map_or(all, |composer| composer.top);
                nearest(filled(self.prompt.map_or(0, |row| row + 1)..end).collect(), last.unwrap_or(usize::MAX))
            }
            Region::Cursor => filled(self.cursor.1..(self.cursor.1 + 1).min(all)).collect(),
        }
    }

    /// What of a row a rule of this region sees.
    pub(super) fn seen(&self, region: Region, row: usize) -> &str {
        let text = &self.lines[row].text;
        if region != Region::Cursor {
            return text;
        }
        let end = text.char_indices().nth(self.cursor.0).map_or(text.len(), |(at, _)| at);
        &text[..end]
    }
}

/// The lowest composer of a screen.
fn composer(rules: &ComposerRules, lines: &[Line<'_>]) -> Option<Composer> {
    (0..lines.len()).rev().find_map(|first| composer_at(rules, lines, first))
}

fn composer_at(rules: &ComposerRules, lines: &[Line<'_>], first: usize) -> Option<Composer> {
    let line = &lines[first];
    let scrolled =
        first > 0 && rules.scrolled.as_ref().is_some_and(|scrolled| scrolled.is_match(&lines[first - 1].text));
    let starts = |found: &regex::Match<'_>| found.start() == 0 && line.drawn(&found.range(), &rules.style);
    let (sign, is_mode) = match rules.sign.find(&line.text).filter(starts) {
        Some(found) => (found.end(), false),
        // Its first rows, and the sign with them, have no place on the screen.
        None if scrolled => (line.text.len().min(rules.indent), false),
        None => (rules.modes.as_ref()?.find(&line.text).filter(|found| found.start() == 0)?.end(), true),
    };
    let signed = |row: usize| rules.sign.find(&lines[row].text).is_some_and(|found| found.start() == 0);
    // Rows of one block have one bar and one background: a menu may stand right above it.
    let ground = |row: usize| {
        let found = rules.sign.find(&lines[row].text)?;
        Some((lines[row].bar(), lines[row].ground(found.end())))
    };
    let same = |row: usize| signed(row) && ground(row) == ground(first);
    if rules.block && first > 0 && same(first - 1) {
        return None;
    }
    let top = match &rules.above {
        Some(above) => first.checked_sub(1).filter(|row| above.is_match(&lines[*row].text))?,
        None => first,
    };
    if let Some(over) = &rules.over {
        (top.saturating_sub(rules.over_rows)..top).find(|row| over.is_match(&lines[*row].text))?;
    }
    let (last, bottom) = match &rules.below {
        // Where no edge is drawn above (some tools draw none without true colour), there is none below.
        Some(below) if !lines[top].is_blank() => {
            let edge = (first + 1..lines.len()).find(|row| below.is_match(&lines[*row].text))?;
            ((edge - 1).saturating_sub(rules.tail).max(first), edge + 1)
        }
        _ => open_end(lines, first),
    };
    let indented = |row: usize| {
        let line = &lines[row];
        if rules.block {
            return same(row);
        }
        rules.wall.is_some() || line.is_blank() || line.text.chars().take(rules.indent).all(|c| c == ' ')
    };
    let is_whole = (first + usize::from(!scrolled)..=last).all(indented);
    let refused = |row: usize| rules.not_below.as_ref().is_some_and(|refuses| refuses.is_match(&lines[row].text));
    (is_whole && !(bottom..lines.len()).any(refused)).then_some(Composer { top, first, last, bottom, sign, is_mode })
}

/// The end of a composer without a lower edge: the last block of rows on the screen is the footer's.
fn open_end(lines: &[Line<'_>], first: usize) -> (usize, usize) {
    let end = lines.iter().rposition(|line| !line.is_blank()).unwrap_or(first).max(first);
    let footer = (first..=end).rev().find(|row| lines[*row].is_blank()).map_or(end + 1, |blank| blank + 1);
    let last = (first..footer).rev().find(|row| !lines[*row].is_blank()).unwrap_or(first);
    (last, footer)
}
