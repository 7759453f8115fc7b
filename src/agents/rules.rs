//! A profile made ready to run: patterns compiled, colours read. Every mistake is found here, with its line.

use std::collections::BTreeMap;

use regex::Regex;
use toml::Spanned;

use super::{
    dialog::DialogKind,
    source::{Answer, Mixed, ProfileSource, Proof, Region, RuleSource, StyleSource},
};
use crate::model::{Color, Style};

/// What is wrong with a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ProfileError {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Everything that a screen is read by.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) composer: ComposerRules,
    pub(super) turn: TurnRules,
    /// Rows that say nothing about structure. Several, because an alternative that may begin anywhere is slow.
    pub(super) skip: Vec<Regex>,
    /// Highest priority first.
    pub(super) signs: Vec<Rule>,
    pub(super) dialogs: DialogRules,
}

#[derive(Debug)]
pub(super) struct ComposerRules {
    pub(super) sign: Regex,
    pub(super) modes: Option<Regex>,
    pub(super) style: StyleTest,
    pub(super) above: Option<Regex>,
    /// The row above a text whose first rows, and its sign, have no place on the screen.
    pub(super) scrolled: Option<Regex>,
    /// Stands at the right edge of a text that goes on above.
    pub(super) edge: Option<char>,
    pub(super) below: Option<Regex>,
    pub(super) over: Option<Regex>,
    pub(super) over_rows: usize,
    pub(super) not_below: Option<Regex>,
    pub(super) indent: usize,
    pub(super) right: usize,
    pub(super) wall: Option<char>,
    /// Every row begins with the sign, and the composer ends where its background does.
    pub(super) block: bool,
    /// Rows at its end that are not the text's.
    pub(super) tail: usize,
    pub(super) placeholder: Vec<StyleTest>,
    pub(super) mixed: Mixed,
}

#[derive(Debug)]
pub(super) struct TurnRules {
    pub(super) prompt: Option<Regex>,
    pub(super) above: Option<Regex>,
    pub(super) style: StyleTest,
    pub(super) closes: bool,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) proves: Proof,
    pub(super) region: Region,
    pub(super) last: Option<usize>,
    pub(super) pattern: Regex,
    pub(super) style: StyleTest,
    pub(super) when: Option<Regex>,
}

#[derive(Debug)]
pub(super) struct DialogRules {
    pub(super) pointers: Vec<char>,
    pub(super) walls: Vec<char>,
    pub(super) start: Option<Regex>,
    pub(super) footer: Option<Regex>,
    pub(super) key: Option<Regex>,
    pub(super) answer: Answer,
    pub(super) kinds: Vec<DialogRule>,
}

#[derive(Debug)]
pub(super) struct DialogRule {
    pub(super) name: String,
    pub(super) kind: DialogKind,
    /// In a row above the choices.
    pub(super) pattern: Option<Regex>,
    /// In a row below them.
    pub(super) below: Option<Regex>,
    /// The row in which the choices stand side by side.
    pub(super) row: Option<Regex>,
    /// Keys of choices that the screen does not name, by label.
    pub(super) keys: BTreeMap<String, String>,
    pub(super) answer: Option<Answer>,
    pub(super) free: bool,
}

/// What a piece of text has to look like. Nothing asked: everything fits.
#[derive(Debug, Clone, Default)]
pub(super) struct StyleTest {
    bold: Option<bool>,
    dim: Option<bool>,
    italic: Option<bool>,
    inverse: Option<bool>,
    foreground: Option<Tint>,
    background: Option<Tint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tint {
    /// The terminal's own.
    Own,
    /// Any other.
    Set,
    /// This one.
    Is(Color),
}

impl Tint {
    fn fits(self, color: Color) -> bool {
        match self {
            Self::Own => color == Color::Default,
            Self::Set => color != Color::Default,
            Self::Is(wanted) => color == wanted,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "default" => Some(Self::Own),
            "set" => Some(Self::Set),
            _ => match text.strip_prefix('#') {
                Some(hex) if hex.len() == 6 => {
                    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
                    Some(Self::Is(Color::Rgb(byte(0)?, byte(2)?, byte(4)?)))
                }
                _ => text.parse().ok().map(|number| Self::Is(Color::Indexed(number))),
            },
        }
    }
}

impl StyleTest {
    /// `true` if a piece drawn like this is meant.
    pub(super) fn fits(&self, style: Style) -> bool {
        let flag = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        flag(self.bold, style.bold)
            && flag(self.dim, style.dim)
            && flag(self.italic, style.italic)
            && flag(self.inverse, style.inverse)
            && self.foreground.is_none_or(|tint| tint.fits(style.foreground))
            && self.background.is_none_or(|tint| tint.fits(style.background))
    }

    /// `true` if it asks for nothing.
    pub(super) fn is_open(&self) -> bool {
        let flags = [self.bold, self.dim, self.italic, self.inverse];
        flags.iter().all(Option::is_none) && self.foreground.is_none() && self.background.is_none()
    }
}

/// Compiles what was read; `text` is its source, for telling lines.
pub(super) fn compile(source: &ProfileSource, text: &str) -> Result<Rules, ProfileError> {
    let compiler = Compiler { text };
    let composer = &source.composer;
    let mut rules = source.rules.iter().collect::<Vec<_>>();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    Ok(Rules {
        composer: ComposerRules {
            sign: compiler.pattern(&composer.sign)?,
            modes: compiler.maybe(composer.modes.as_ref())?,
            style: compiler.style(&composer.style)?,
            above: compiler.maybe(composer.above.as_ref())?,
            scrolled: compiler.maybe(composer.scrolled.as_ref())?,
            edge: composer.edge,
            below: compiler.maybe(composer.below.as_ref())?,
            over: compiler.maybe(composer.over.as_ref())?,
            over_rows: composer.over_rows,
            not_below: compiler.maybe(composer.not_below.as_ref())?,
            indent: composer.indent,
            right: composer.right,
            wall: composer.wall,
            block: composer.block,
            tail: composer.tail,
            placeholder: composer.placeholder.iter().map(|one| compiler.style(one)).collect::<Result<_, _>>()?,
            mixed: composer.mixed,
        },
        turn: TurnRules {
            prompt: compiler.maybe(source.turn.prompt.as_ref())?,
            above: compiler.maybe(source.turn.above.as_ref())?,
            style: compiler.style(&source.turn.style)?,
            closes: source.turn.closes,
        },
        skip: source.signature.skip.iter().map(|one| compiler.pattern(one)).collect::<Result<_, _>>()?,
        signs: rules.into_iter().map(|rule| compiler.rule(rule)).collect::<Result<_, _>>()?,
        dialogs: compiler.dialogs(source)?,
    })
}

struct Compiler<'a> {
    text: &'a str,
}

impl Compiler<'_> {
    fn dialogs(&self, source: &ProfileSource) -> Result<DialogRules, ProfileError> {
        let dialogs = &source.dialogs;
        let kind = |one: &super::source::DialogSource| {
            Ok(DialogRule {
                name: one.name.clone(),
                kind: one.kind,
                pattern: self.maybe(one.pattern.as_ref())?,
                below: self.maybe(one.below.as_ref())?,
                row: self.maybe(one.row.as_ref())?,
                keys: one.keys.clone(),
                answer: one.answer,
                free: one.free,
            })
        };
        Ok(DialogRules {
            pointers: dialogs.pointers.chars().collect(),
            walls: dialogs.walls.chars().collect(),
            start: self.maybe(dialogs.start.as_ref())?,
            footer: self.maybe(dialogs.footer.as_ref())?,
            key: self.maybe(dialogs.key.as_ref())?,
            answer: dialogs.answer,
            kinds: source.dialog.iter().map(kind).collect::<Result<_, ProfileError>>()?,
        })
    }

    fn rule(&self, source: &RuleSource) -> Result<Rule, ProfileError> {
        Ok(Rule {
            name: source.name.clone(),
            proves: source.proves,
            region: source.region,
            last: source.last,
            pattern: self.pattern(&source.pattern)?,
            style: self.style(&source.style)?,
            when: self.maybe(source.when.as_ref())?,
        })
    }

    fn maybe(&self, pattern: Option<&Spanned<String>>) -> Result<Option<Regex>, ProfileError> {
        pattern.map(|pattern| self.pattern(pattern)).transpose()
    }

    fn pattern(&self, pattern: &Spanned<String>) -> Result<Regex, ProfileError> {
        Regex::new(pattern.get_ref()).map_err(|error| {
            let reason = match error {
                regex::Error::Syntax(long) => long.lines().last().unwrap_or_default().to_owned(),
                other => other.to_string(),
            };
            self.error(pattern, format!("`{}` is no pattern: {reason}", pattern.get_ref()))
        })
    }

    fn style(&self, source: &StyleSource) -> Result<StyleTest, ProfileError> {
        let tint = |color: &Option<Spanned<String>>| {
            let read = |color: &Spanned<String>| {
                Tint::parse(color.get_ref()).ok_or_else(|| {
                    let message = format!("`{}` is no colour: `set`, `default`, 0 to 255 or #rrggbb", color.get_ref());
                    self.error(color, message)
                })
            };
            color.as_ref().map(read).transpose()
        };
        Ok(StyleTest {
            bold: source.bold,
            dim: source.dim,
            italic: source.italic,
            inverse: source.inverse,
            foreground: tint(&source.foreground)?,
            background: tint(&source.background)?,
        })
    }

    fn error(&self, at: &Spanned<String>, message: String) -> ProfileError {
        ProfileError { line: line_of(self.text, at.span().start), message }
    }
}

/// The line of a place in a text, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
