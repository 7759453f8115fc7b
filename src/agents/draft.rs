//! What stands in a composer: nothing, a placeholder, or a draft that its rows are joined to. Pure.

use super::{
    layout::{Composer, Layout},
    reading::ComposerReading,
    rules::ComposerRules,
    source::Mixed,
};

/// Reads the composer of a screen.
pub(super) fn read(rules: &ComposerRules, layout: &Layout<'_>) -> ComposerReading {
    let Some(composer) = &layout.composer else { return ComposerReading::Absent };
    let mut rows = Vec::new();
    let (mut plain, mut ghost, mut under_cursor) = (0_usize, 0_usize, 0_usize);
    for row in composer.first..=composer.last {
        let mut text = String::new();
        let mut ground = None;
        for (c, style) in layout.lines[row].styled_from(start(rules, layout, composer, row)) {
            // Beside a block stands what is not its own.
            if rules.block && *ground.get_or_insert(style.background) != style.background {
                break;
            }
            let is_ghost = rules.placeholder.iter().any(|test| test.fits(style));
            if c.is_whitespace() {
                text.push(c);
            } else if is_ghost && rules.edge == Some(c) {
                // It says that rows above have no place, and is no part of the text.
            } else if is_ghost {
                ghost += 1;
            } else {
                // Some tools draw their cursor over the first character of a placeholder.
                let count = if style.inverse { &mut under_cursor } else { &mut plain };
                *count += 1;
                text.push(c);
            }
        }
        let text = rules.wall.and_then(|wall| text.trim_end().strip_suffix(wall)).unwrap_or(&text).trim_end();
        rows.push(text.to_owned());
    }
    if let Some(wall) = rules.wall {
        plain = rows.iter().flat_map(|row| row.chars()).filter(|c| !c.is_whitespace() && *c != wall).count();
    }
    let mode = layout.lines[composer.first].text.get(..composer.sign).unwrap_or_default().trim();
    match (plain, ghost) {
        _ if composer.is_mode => ComposerReading::Draft(mode.to_owned() + joined(&rows, avail(rules, layout)).trim()),
        (0, 0) if under_cursor == 0 => ComposerReading::Empty,
        (0, 1..) => ComposerReading::Empty,
        (1.., 1..) if rules.mixed == Mixed::Unclear => ComposerReading::Unclear,
        // A block's first row is blank.
        _ => ComposerReading::Draft(joined(&rows, avail(rules, layout)).trim_start_matches('\n').to_owned()),
    }
}

/// Bytes before the text of a row.
fn start(rules: &ComposerRules, layout: &Layout<'_>, composer: &Composer, row: usize) -> usize {
    if row == composer.first {
        return composer.sign;
    }
    let text = &layout.lines[row].text;
    if rules.block {
        return rules.sign.find(text).map_or(text.len(), |found| found.end());
    }
    text.char_indices().nth(rules.indent).map_or(text.len(), |(at, _)| at)
}

/// Columns that a row of the draft can fill.
fn avail(rules: &ComposerRules, layout: &Layout<'_>) -> usize {
    layout.width.saturating_sub(rules.indent + rules.right)
}

/// Joins rows. A row that had no place for the next one's first word was wrapped there; any other ends in a line
/// break of the draft's own.
pub(super) fn joined(rows: &[String], avail: usize) -> String {
    let mut all = String::new();
    let mut before = 0;
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            let word = row.split(' ').next().unwrap_or_default().chars().count();
            let is_one_word = place.checked_sub(1).is_some_and(|before| !rows[before].contains(' '));
            if word > 0 && before >= avail && is_one_word {
                // A word that no row has place for is cut at the edge.
            } else if word > 0 && before > 0 && before + 1 + word > avail {
                all.push(' ');
            } else {
                all.push('\n');
            }
        }
        all.push_str(row);
        before = row.chars().count();
    }
    all.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(rows: &[&str], avail: usize) -> String {
        joined(&rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>(), avail)
    }

    #[test]
    fn wrapped_rows_are_joined_and_line_breaks_stay() {
        assert_eq!(join(&["one two", "three"], 10), "one two three");
        assert_eq!(join(&["one", "two"], 10), "one\ntwo");
        assert_eq!(join(&["0123456789", "0123"], 10), "01234567890123");
        assert_eq!(join(&["one two 89", "three"], 10), "one two 89 three");
        assert_eq!(join(&["one", "", "two", ""], 10), "one\n\ntwo");
    }
}
