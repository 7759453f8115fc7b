//! Words for commands that a person pastes into a shell.

/// The text as one word of a POSIX shell, whatever it holds. Plain words stay as they are.
pub fn shell_quote(text: &str) -> String {
    // Not `=` and `~`, which some shells expand at the front of a word.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_go_without_quotes() {
        for plain in ["alpha", "/tmp/s-1/x.y", "%3", "@3", "a:b"] {
            assert_eq!(shell_quote(plain), plain);
        }
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("my work"), "'my work'");
        assert_eq!(shell_quote("=name"), "'=name'");
        assert_eq!(shell_quote("$3"), "'$3'");
        assert_eq!(shell_quote("x'; y `z` $(w)"), r"'x'\''; y `z` $(w)'");
    }
}
