//! The only reader of stdin: a prompt or a mail, byte for byte, an event of a hook, or secrets.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
};

use serde_json::Value;

use crate::{api::LARGEST_PROMPT, model::Failure};

/// Nobody writes a prompt beyond this; somebody sends the wrong file, or one without end.
const LARGEST_READ: u64 = 16 * 1024 * 1024;

/// A gateway takes a body of 1 MiB; JSON needs some of it for itself.
const LARGEST_MAIL: u64 = 512 * 1024;

/// The prompt of `--prompt`, else of stdin to its end without one line break there.
///
/// # Errors
/// Usage: none was given, or it is blank, too long, or no text.
pub(super) fn prompt(flag: Option<&str>) -> Result<String, Failure> {
    if let Some(text) = flag {
        return fitting(text.to_owned());
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage(
            "there is no prompt: --prompt is missing, and stdin is a terminal",
            "give --prompt TEXT, or send the text in: `… < FILE`",
        ));
    }
    let bytes = read(None, LARGEST_READ)
        .map_err(|error| Failure::usage(format!("stdin cannot be read: {error}"), "give the text with --prompt"))?;
    if bytes.len() as u64 > LARGEST_READ {
        return Err(too_long(&format!("more than {LARGEST_READ}")));
    }
    fitting(text(bytes)?)
}

/// The text of a mail: `--body-content`, else `--body-file`, else stdin to its end without one line break there.
///
/// # Errors
/// Usage: none was given, or it is too long, or no text.
pub(super) fn mail(content: Option<&str>, file: Option<&Path>) -> Result<String, Failure> {
    let bytes = given(content, file, &MAIL)?;
    if content.is_some() { utf8(bytes, MAIL.undone) } else { text(bytes) }
}

/// Secrets, one in a line, of a file or of stdin (`-`): words of a command can be read by every process.
///
/// # Errors
/// Usage: it cannot be read, or is no text.
pub(super) fn secrets(path: &Path) -> Result<Vec<String>, Failure> {
    let bytes = read(Some(path), LARGEST_MAIL).map_err(|error| {
        let message = format!("`{}` cannot be read: {error}", path.display());
        Failure::usage(message, "give a file with one token in a line")
    })?;
    Ok(text(bytes)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The text of a memo or page, byte for byte: `--content`, else `--content-file`, else stdin to its end.
///
/// # Errors
/// Usage: none was given, or it is too long, or no text.
pub(super) fn page(content: Option<&str>, file: Option<&Path>) -> Result<String, Failure> {
    utf8(given(content, file, &PAGE)?, PAGE.undone)
}

/// Where a longer text comes from, and what is said when it does not.
struct Asked {
    content: &'static str,
    file: &'static str,
    largest: u64,
    /// What to do with a longer one.
    instead: &'static str,
    /// What a refusal left as it was.
    undone: &'static str,
}

const MAIL: Asked = Asked {
    content: "--body-content",
    file: "--body-file",
    largest: LARGEST_MAIL,
    instead: "put it into a file, and send that with --attach",
    undone: "nothing was sent",
};

const PAGE: Asked = Asked {
    content: "--content",
    file: "--content-file",
    largest: LARGEST_READ,
    instead: "split it into several pages",
    undone: "nothing was written",
};

/// The words of a flag, else a file, else stdin to its end.
fn given(content: Option<&str>, file: Option<&Path>, asked: &Asked) -> Result<Vec<u8>, Failure> {
    let Asked { content: content_flag, file: file_flag, .. } = asked;
    let file = file.filter(|path| *path != Path::new("-"));
    let bytes = match (content, file) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, None) if io::stdin().is_terminal() => {
            return Err(Failure::usage(
                format!("there is no text: {content_flag} and {file_flag} are missing, and stdin is a terminal"),
                format!("give {content_flag} TEXT or {file_flag} PATH, or send the text in: `… < FILE`"),
            ));
        }
        (None, place) => read(place, asked.largest).map_err(|error| {
            let source = place.map_or_else(|| "stdin".to_owned(), |path| format!("`{}`", path.display()));
            Failure::usage(format!("{source} cannot be read: {error}"), format!("give the text with {content_flag}"))
        })?,
    };
    if bytes.len() as u64 > asked.largest {
        return Err(Failure::usage(format!("the text is longer than {} bytes", asked.largest), asked.instead));
    }
    Ok(bytes)
}

/// What stands in a file, or comes from stdin for `-` and for no path; one byte more than `largest` says that there is
/// more.
fn read(place: Option<&Path>, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match place.filter(|path| *path != Path::new("-")) {
        Some(path) => File::open(path)?.take(largest + 1).read_to_end(&mut bytes)?,
        None => io::stdin().lock().take(largest + 1).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

/// A JSON document in this file; `-` is stdin.
///
/// # Errors
/// Usage: it cannot be read, is too long, or is no JSON.
pub(super) fn document(place: &str) -> Result<Value, Failure> {
    let unread = |error: io::Error| {
        Failure::usage(format!("`{place}` cannot be read: {error}"), "give --input FILE, or `--input -` for stdin")
    };
    let bytes = read(Some(Path::new(place)), LARGEST_READ).map_err(unread)?;
    if bytes.len() as u64 > LARGEST_READ {
        return Err(Failure::usage(format!("`{place}` has more than {LARGEST_READ} bytes"), "give less at once"));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("`{place}` is not JSON: {error}"), "mend it; nothing was sent"))
}

/// An event of a hook; `None` if there is none, or more than anybody would tell.
pub(super) fn event() -> Option<String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return None;
    }
    let mut text = String::new();
    let read = stdin.lock().take(LARGEST_READ).read_to_string(&mut text).ok()?;
    (read > 0).then_some(text)
}

/// What came in as text, without the line break that ends a file.
fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    let mut text = utf8(bytes, "nothing was sent")?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// What came in as text, byte for byte.
fn utf8(bytes: Vec<u8>, undone: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(
            format!("the text is not UTF-8: byte {at} (counted from 0) begins no character"),
            format!("convert it first, for example with `iconv`; {undone}"),
        )
    })
}

fn fitting(text: String) -> Result<String, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage("the prompt is empty", "give --prompt TEXT, or send text to stdin"));
    }
    if text.len() > LARGEST_PROMPT {
        return Err(too_long(&text.len().to_string()));
    }
    Ok(text)
}

fn too_long(length: &str) -> Failure {
    Failure::usage(
        format!("the prompt has {length} bytes; at most {LARGEST_PROMPT} are taken"),
        "put it into a file, and let the prompt name the file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_the_prompt() {
        for (bytes, expected) in
            [("a", "a"), ("a\n", "a"), ("a\n\n", "a\n"), ("a\r\n", "a"), ("a\n ", "a\n "), ("\n", "")]
        {
            assert_eq!(text(bytes.into()).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_their_place() {
        let told = text(b"ab\xffcd".to_vec()).unwrap_err();
        assert!(told.message.contains("byte 2 "), "{told}");
    }

    #[test]
    fn a_prompt_is_not_blank_and_not_too_long() {
        assert!(fitting(" \n\t".to_owned()).is_err());
        assert!(fitting("x".repeat(LARGEST_PROMPT)).is_ok());
        let told = fitting("x".repeat(LARGEST_PROMPT + 1)).unwrap_err();
        assert!(told.message.contains("524289") && told.message.contains("524288"), "{told}");
    }
}
