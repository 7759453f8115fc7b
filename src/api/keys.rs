//! The grammar of `POST /v1/control/send-keys` (contract section 4.4). Pure.

/// One piece of a sequence, in the order in which it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPress {
    /// Text, typed character by character. Never empty, and never two in a row.
    Literal(String),
    /// A key with a name.
    Special(SpecialKey),
}

macro_rules! special_keys {
    ($($variant:ident = $name:literal,)*) => {
        /// A key that a sequence may name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is the key of its name")]
        pub enum SpecialKey {
            $($variant,)*
        }

        impl SpecialKey {
            /// Every key, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in a sequence, which is also tmux's name of the key.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

special_keys! {
    BSpace = "BSpace",
    CtrlC = "C-c",
    CtrlD = "C-d",
    CtrlU = "C-u",
    CtrlZ = "C-z",
    Down = "Down",
    Enter = "Enter",
    Escape = "Escape",
    Left = "Left",
    Right = "Right",
    Tab = "Tab",
    Up = "Up",
}

impl SpecialKey {
    /// The key with exactly this name; case matters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }
}

/// A token that names no key. Nothing of its sequence is typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsupported special key `<[{name}]>` at character {position}; supported are {}", supported())]
pub struct UnknownKey {
    /// What stands between the brackets, at most 40 characters of it.
    pub name: String,
    /// Where the token begins, in characters from 0.
    pub position: usize,
}

fn supported() -> String {
    let names: Vec<&str> = SpecialKey::ALL.iter().map(|key| key.name()).collect();
    names.join(", ")
}

/// Reads a sequence: `<[NAME]>` is a key, everything else is text. With `escaped` all of it is text.
///
/// A name has no white space and none of `<`, `>`, `[`, `]`; what only resembles a token is text.
///
/// # Errors
/// The first token whose name is no key.
pub fn parse_keys(sequence: &str, escaped: bool) -> Result<Vec<KeyPress>, UnknownKey> {
    let mut keys = Vec::new();
    let mut text = String::new();
    let mut rest = sequence;
    while let Some(first) = rest.chars().next() {
        let token = if escaped { None } else { token(rest) };
        let Some((name, after)) = token else {
            text.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        };
        let Some(key) = SpecialKey::from_name(name) else {
            let before = sequence.len() - rest.len();
            return Err(UnknownKey {
                name: name.chars().take(40).collect(),
                position: sequence.get(..before).unwrap_or_default().chars().count(),
            });
        };
        if !text.is_empty() {
            keys.push(KeyPress::Literal(std::mem::take(&mut text)));
        }
        keys.push(KeyPress::Special(key));
        rest = after;
    }
    if !text.is_empty() {
        keys.push(KeyPress::Literal(text));
    }
    Ok(keys)
}

/// The name of the token that the text begins with, and what follows the token.
fn token(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("<[")?;
    let end = inner.find(|c| !may_name(c))?;
    let (name, after) = inner.split_at_checked(end)?;
    let after = after.strip_prefix("]>")?;
    (!name.is_empty()).then_some((name, after))
}

/// The four separators count as white space where the grammar comes from, though not for Unicode.
fn may_name(c: char) -> bool {
    !c.is_whitespace() && !('\u{1c}'..='\u{1f}').contains(&c) && !"<>[]".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> KeyPress {
        KeyPress::Literal(text.to_owned())
    }

    /// What was read, written again.
    fn written(keys: &[KeyPress]) -> String {
        keys.iter()
            .map(|key| match key {
                KeyPress::Literal(text) => text.clone(),
                KeyPress::Special(key) => format!("<[{}]>", key.name()),
            })
            .collect()
    }

    #[test]
    fn text_and_keys_are_told_apart() {
        use KeyPress::Special;
        let read = |sequence| parse_keys(sequence, false).unwrap();
        let (enter, up) = (Special(SpecialKey::Enter), Special(SpecialKey::Up));
        assert_eq!(read("/model<[Enter]><[Up]>x y"), [literal("/model"), enter.clone(), up, literal("x y")]);
        assert_eq!(read("<[Enter]> "), [enter.clone(), literal(" ")]);
        assert_eq!(read("<[<[Enter]>]>"), [literal("<["), enter.clone(), literal("]>")]);
        assert_eq!(read("שלום 👩‍👩‍👧<[C-u]>"), [literal("שלום 👩‍👩‍👧"), Special(SpecialKey::CtrlU)]);
        assert_eq!(read(""), []);
        for text in [
            "<[]>",
            "<[ Enter]>",
            "<[Enter ]>",
            "<[En\u{1f}ter]>",
            "<[Enter>",
            "<[Enter]",
            "< [Enter]>",
            "[Enter]",
            " \n",
        ] {
            assert_eq!(read(text), [literal(text)], "{text:?}");
        }
    }

    #[test]
    fn an_unknown_name_fails_the_whole_sequence() {
        let fails = |sequence: &str| parse_keys(sequence, false).unwrap_err();
        assert_eq!(fails("é<[enter]>"), UnknownKey { name: "enter".to_owned(), position: 1 });
        assert_eq!(fails("<[Enter]>x<[F1]><[Q]>"), UnknownKey { name: "F1".to_owned(), position: 10 });
        assert_eq!(fails(&format!("<[{}]>", "x".repeat(1000))).name.len(), 40);
        let words = fails("<[F1]>").to_string();
        assert!(
            words.starts_with("unsupported special key `<[F1]>` at character 0; supported are BSpace, C-c,"),
            "{words}"
        );
        assert_eq!(parse_keys("<[F1]>", true), Ok(vec![literal("<[F1]>")]));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added(parts in prop::collection::vec(prop_oneof![
            "[<>\\[\\] a-cE]{0,6}",
            prop::sample::select(SpecialKey::ALL).prop_map(|key| format!("<[{}]>", key.name())),
            any::<String>(),
        ], 0..12)) {
            let sequence = parts.concat();
            if let Ok(keys) = parse_keys(&sequence, false) {
                prop_assert_eq!(written(&keys), sequence.clone());
                prop_assert!(!keys.contains(&literal("")));
                for pair in keys.windows(2) {
                    prop_assert!(!matches!(pair, [KeyPress::Literal(_), KeyPress::Literal(_)]), "{:?}", pair);
                }
            }
            let escaped = parse_keys(&sequence, true).unwrap();
            prop_assert_eq!(written(&escaped), sequence);
            prop_assert!(escaped.iter().all(|key| matches!(key, KeyPress::Literal(_))));
        }

        #[test]
        fn every_key_is_found_wherever_it_stands(before in "[a-z ]{0,5}", after in "[a-z ]{0,5}", at in 0..SpecialKey::ALL.len()) {
            let key = SpecialKey::ALL[at];
            let keys = parse_keys(&format!("{before}<[{}]>{after}", key.name()), false).unwrap();
            prop_assert!(keys.contains(&KeyPress::Special(key)));
        }
    }
}
