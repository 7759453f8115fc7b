//! Dialogs: what is asked, which answers there are, and which key takes each. Pure.

use regex::Regex;

use super::{
    dialog::{Choice, Dialog, DialogKind},
    layout::Layout,
    rules::{DialogRule, DialogRules},
    source::Answer,
};

/// Rows that a question may go on into.
const TITLE_ROWS: usize = 3;

/// A dialog, and the name of the rule that knows it.
pub(super) fn find(rules: &DialogRules, layout: &Layout<'_>) -> Option<(String, Dialog)> {
    let rows: Vec<String> = layout.lines.iter().map(|line| without_walls(&line.text, &rules.walls)).collect();
    let end = rows.iter().rposition(|row| !row.trim().is_empty())? + 1;
    let rows = &rows[..end];
    let beside = rules.kinds.iter().find_map(|kind| beside(kind.row.as_ref()?, layout, rows));
    let block = beside.or_else(|| block(rules, rows));
    let known = rules.kinds.iter().find_map(|kind| Some((kind, known_by(kind, rows, block.as_ref())?)));
    let block = match (block, &known) {
        (Some(block), Some(_)) => block,
        (Some(block), None) if is_footed(rules, &rows[block.last + 1..]) && block.choices.len() > 1 => block,
        (_, Some(_)) => Block { first: end, last: end - 1, is_numbered: false, choices: Vec::new() },
        _ => return None,
    };
    let title_row = match known {
        Some((_, row)) => row,
        None => (0..block.first).rev().find(|row| !rows[*row].trim().is_empty())?,
    };
    let kind = known.map(|(kind, _)| kind);
    let title = title(kind, rows, title_row, block.first, layout.width);
    let start = start(rules, layout, rows, title_row);
    let text: Vec<&str> = rows[start..].iter().map(|row| row.trim()).collect();
    let dialog = Dialog {
        kind: kind.map_or(DialogKind::Other, |kind| kind.kind),
        title,
        text: text.join("\n").trim().to_owned(),
        choices: keyed(rules, block, kind),
    };
    Some((kind.map_or("choices", |kind| kind.name.as_str()).to_owned(), dialog))
}

/// The row of the question, if this kind of dialog is on the screen.
fn known_by(kind: &DialogRule, rows: &[String], block: Option<&Block>) -> Option<usize> {
    let (first, after) = match block {
        Some(block) => (block.first, block.last + 1),
        None if kind.free => (rows.len(), rows.len()),
        None => return None,
    };
    if let Some(below) = &kind.below {
        rows[after..].iter().find(|row| below.is_match(row))?;
    }
    match &kind.pattern {
        Some(pattern) => (0..first).rev().find(|row| pattern.is_match(&rows[*row])),
        None => (0..first).rev().find(|row| !rows[*row].trim().is_empty()),
    }
}

/// Where a dialog's text begins: below its edge; without one, below two blank rows.
fn start(rules: &DialogRules, layout: &Layout<'_>, rows: &[String], title: usize) -> usize {
    let is_blank = |row: usize| rows[row].trim().is_empty();
    let edge = rules
        .start
        .as_ref()
        .and_then(|start| (0..title).rev().find(|row| start.is_match(&layout.lines[*row].text)).map(|row| row + 1));
    edge.unwrap_or_else(|| (1..title).rev().find(|row| is_blank(*row) && is_blank(*row - 1)).map_or(0, |row| row + 1))
}

/// Walls become blanks: columns stay.
fn without_walls(text: &str, walls: &[char]) -> String {
    let is_edge = |c: char| c == ' ' || walls.contains(&c);
    let start = text.len() - text.trim_start_matches(is_edge).len();
    let end = start + text[start..].trim_end_matches(is_edge).len();
    let blank = |c: char| if walls.contains(&c) { ' ' } else { c };
    let mut row: String = text[..start].chars().map(blank).collect();
    row.push_str(&text[start..end]);
    row
}

fn is_footed(rules: &DialogRules, rows: &[String]) -> bool {
    rules.footer.as_ref().is_some_and(|footer| rows.iter().any(|row| footer.is_match(row)))
}

struct Block {
    first: usize,
    last: usize,
    is_numbered: bool,
    choices: Vec<Choice>,
}

/// One row that may be a choice.
struct Item<'a> {
    is_pointed: bool,
    number: Option<u32>,
    /// The column in which the label begins, or its number.
    column: usize,
    label: &'a str,
}

fn item<'a>(rules: &DialogRules, row: &'a str) -> Option<Item<'a>> {
    let mut rest = row.trim_start();
    let pointed = rest.chars().next().filter(|c| rules.pointers.contains(c));
    if let Some(pointer) = pointed {
        rest = rest[pointer.len_utf8()..].trim_start();
    }
    let column = row.chars().count() - rest.chars().count();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = (digits > 0 && rest[digits..].starts_with(". ")).then(|| rest[..digits].parse().ok()).flatten();
    let label = number.map_or(rest, |_| rest[digits + 2..].trim_start());
    (!label.is_empty()).then_some(Item { is_pointed: pointed.is_some(), number, column, label })
}

/// The lowest list with a pointer in it.
fn block(rules: &DialogRules, rows: &[String]) -> Option<Block> {
    let at = (0..rows.len()).rev().find(|row| item(rules, &rows[*row]).is_some_and(|item| item.is_pointed))?;
    let pointed = item(rules, &rows[at])?;
    let is_numbered = pointed.number.is_some();
    let is_choice = |item: &Item<'_>| item.column == pointed.column && item.number.is_some() == is_numbered;
    let is_more = |item: &Item<'_>| item.number.is_none() && item.column > pointed.column;
    let mut first = at;
    for row in (0..at).rev() {
        match item(rules, &rows[row]) {
            Some(item) if is_choice(&item) => first = row,
            Some(item) if is_more(&item) => {}
            _ => break,
        }
    }
    let mut choices: Vec<Choice> = Vec::new();
    let mut last = at;
    for (row, text) in rows.iter().enumerate().skip(first) {
        match item(rules, text) {
            Some(item) if is_choice(&item) => {
                let place = u32::try_from(choices.len() + 1).unwrap_or(u32::MAX);
                let number = item.number.unwrap_or(place);
                choices.push(Choice { number, label: item.label.to_owned(), selected: item.is_pointed, key: None });
            }
            Some(item) if is_more(&item) => {
                if let Some(choice) = choices.last_mut() {
                    choice.label = format!("{} {}", choice.label, item.label);
                }
            }
            _ => break,
        }
        last = row;
    }
    Some(Block { first, last, is_numbered, choices })
}

/// The question: from where the rule matched to its question mark, over rows where it was wrapped.
fn title(kind: Option<&DialogRule>, rows: &[String], at: usize, until: usize, width: usize) -> String {
    let row = &rows[at];
    let start = kind.and_then(|kind| kind.pattern.as_ref()?.find(row)).map_or(0, |found| found.start());
    let mut title = row.get(start..).unwrap_or_default().trim().to_owned();
    for more in rows.iter().take(until).skip(at + 1).take(TITLE_ROWS) {
        let was_wrapped = rows[at].chars().count() * 4 >= width * 3;
        if title.contains('?') || title.ends_with(':') || more.trim().is_empty() || !was_wrapped {
            break;
        }
        title = format!("{title} {}", more.trim());
    }
    match title.find('?') {
        Some(end) => title[..=end].to_owned(),
        None => title,
    }
}

/// Choices side by side in one row: the one that is pointed at has a background of its own.
fn beside(pattern: &Regex, layout: &Layout<'_>, rows: &[String]) -> Option<Block> {
    let at = (0..rows.len()).rev().find(|row| pattern.is_match(&rows[*row]))?;
    let row = &rows[at];
    let found = pattern.find(row)?;
    let cells: Vec<_> = layout.lines[at].styled_from(0).collect();
    let ground = |byte: usize| cells.get(row[..byte].chars().count()).map(|(_, style)| style.background);
    let mut choices = Vec::new();
    let mut from = found.start();
    for label in row[found.range()].split("  ").map(str::trim).filter(|label| !label.is_empty()) {
        let start = from + row[from..].find(label)?;
        from = start + label.len();
        let number = u32::try_from(choices.len() + 1).unwrap_or(u32::MAX);
        // Beside the label stands a blank of the same button; in front of all of them the row's own ground.
        let selected = ground(start) != ground(found.start().saturating_sub(2));
        choices.push(Choice { number, label: label.to_owned(), selected, key: None });
    }
    Some(Block { first: at, last: at, is_numbered: false, choices })
}

/// Gives each choice its key: the one that the screen or the profile names, or its digit.
fn keyed(rules: &DialogRules, block: Block, kind: Option<&DialogRule>) -> Vec<Choice> {
    let answer = kind.and_then(|kind| kind.answer).unwrap_or(rules.answer);
    let has_digit = |choice: &Choice| block.is_numbered && choice.number < 10 && answer == Answer::Digit;
    let key = |mut choice: Choice| {
        let named = rules.key.as_ref().and_then(|key| {
            let found = key.captures(&choice.label)?;
            Some((found.get(0)?.start(), found.get(1)?.as_str().to_owned()))
        });
        if let Some((start, named)) = named {
            choice.label.truncate(start);
            choice.label.truncate(choice.label.trim_end().len());
            choice.key = Some(match named.as_str() {
                "esc" => "Escape".to_owned(),
                "enter" => "Enter".to_owned(),
                _ => named,
            });
        } else if let Some(key) = kind.and_then(|kind| kind.keys.get(&choice.label)) {
            choice.key = Some(key.clone());
        } else if has_digit(&choice) {
            choice.key = Some(choice.number.to_string());
        }
        choice
    };
    block.choices.into_iter().map(key).collect()
}
