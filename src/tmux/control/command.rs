//! Which commands tmux answers with exactly one block.

/// Commands that answer with a block for each command they run. Their output would be lost or worse: that of
/// `run-shell` is shown to the person, on top of the pane.
const SEVERAL_BLOCKS: [&str; 3] = ["if-shell", "run-shell", "source-file"];

/// Checks that a command is one line that tmux answers with one block, success or error.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn one_block(command: &str) -> Result<(), &'static str> {
    one_line(command)?;
    let name = command.split(' ').next().unwrap_or_default();
    // An empty line detaches the client. Blank lines, comments, `A=b` and `%if` are answered with nothing.
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    {
        return Err("it does not begin with the name of a command");
    }
    // tmux takes the beginning of a name for the whole of it; `if`, `run` and `source` are among them.
    if SEVERAL_BLOCKS.iter().any(|several| several.starts_with(name)) {
        return Err("it would run other commands, each of which answers for itself");
    }
    if has_bare_semicolon(command) {
        return Err("it is a list of commands, each of which answers for itself");
    }
    Ok(())
}

/// Checks that a list stays one line, and is not the empty one that detaches the client.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn one_line(list: &str) -> Result<(), &'static str> {
    if list.contains(['\n', '\r', '\0']) {
        return Err("it holds a line break or a NUL, which would cut it in two");
    }
    if !list.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("it does not begin with the name of a command");
    }
    Ok(())
}

/// Is there a `;` that is neither quoted nor escaped?
fn has_bare_semicolon(command: &str) -> bool {
    let mut quote = None;
    let mut bytes = command.bytes();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None | Some(b'"'), b'\\') => {
                bytes.next();
            }
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None, b';') => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::one_block;

    #[test]
    fn single_commands_pass() {
        for command in [
            "list-panes",
            "display-message -p '#{session_name}'",
            "display-message -p 'a;b'",
            r#"display-message -p "a \"; b""#,
            r"display-message -p a\;b",
            r"list-windows -F 'a;b\'",
            "refresh-client -B 'agent:%0:#{pane_pid} #{pane_dead}'",
            "set-option -p -t %0 @token 'é # {'",
            "bogus",
        ] {
            assert_eq!(one_block(command), Ok(()), "{command}");
        }
    }

    #[test]
    fn what_breaks_the_order_of_answers_does_not_pass() {
        for command in [
            "",
            " ",
            "\t",
            " list-panes",
            "# comment",
            "A=b",
            "%if 1",
            "{ list-panes }",
            "list-panes\n",
            "list-panes\r",
            "list-panes\nkill-server",
            "display-message -p a\0b",
            "if-shell true 'list-panes'",
            "if -F 1 list-panes",
            "if-sh -F 1 list-panes",
            "run-shell true",
            "run -C list-panes",
            "source /dev/null",
            "list-panes ; list-panes",
            "list-panes;",
            r"display-message -p 'a\'; list-panes",
            r"display-message -p a\\; list-panes",
            "bind-key x { list-panes ; list-panes }",
        ] {
            assert!(one_block(command).is_err(), "{}", command.escape_debug());
        }
    }
}
