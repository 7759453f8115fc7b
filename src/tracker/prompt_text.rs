//! When two texts are the same prompt. Pure.

use unicode_normalization::UnicodeNormalization;

/// A prompt without what tools change in it: composed characters, tabs as four spaces, line feeds only, nothing blank
/// around it.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.replace("\r\n", "\n").replace('\t', "    ").nfc().collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_change_makes_no_difference() {
        assert_eq!(plain("  e\u{301}a\r\n\tb\n\n"), "éa\n    b");
        assert_ne!(plain("a b"), plain("a  b"));
    }
}
