//! A notify block in the body of a message: a fenced block with the info string `houmao-notify` (contract section 7.2).
//! Pure.

use crate::api::{BlockPlacement, NotifyBlock};

/// Info string of the fence.
const INFO: &str = "houmao-notify";

/// How many characters a block keeps.
const LONGEST: usize = 512;

/// The text, cut with `…` if it is longer than a block may be.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some(_) => text.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// The first such block in a body that is not empty.
pub(super) fn lifted(body: &str) -> Option<NotifyBlock> {
    let mut open: Option<(usize, bool, Vec<&str>)> = None;
    for line in body.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let ticks = line[indent..].bytes().take_while(|byte| *byte == b'`').count();
        let info = line[indent + ticks..].trim();
        match &mut open {
            None if indent < 4 && ticks >= 3 && !info.contains('`') => {
                open = Some((ticks, info.split_whitespace().next() == Some(INFO), Vec::new()));
            }
            None => {}
            Some((fence, is_block, text)) if indent < 4 && ticks >= *fence && info.is_empty() => {
                let text = text.join("\n");
                if *is_block && !text.trim().is_empty() {
                    return Some(NotifyBlock { text: shortened(&text), placement: BlockPlacement::default() });
                }
                open = None;
            }
            Some((_, _, text)) => text.push(line),
        }
    }
    None
}

/// The body with the block in it, unless it has one already.
pub(super) fn mirrored(body: &str, block: &NotifyBlock) -> String {
    if lifted(body).is_some() || block.text.trim().is_empty() {
        return body.to_owned();
    }
    let longest = block.text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let gap = match body {
        "" => "",
        body if body.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{body}{gap}{fence}{INFO}\n{}\n{fence}\n", block.text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_block_that_is_not_empty_counts() {
        let body =
            "x\n```houmao-notify\n \n```\n````text\n```houmao-notify\nno\n```\n````\n```houmao-notify\na\nb\n```\n";
        assert_eq!(lifted(body).unwrap().text, "a\nb");
        assert_eq!(lifted("```houmao-notify\nnever closed"), None);
        assert_eq!(lifted("    ```houmao-notify\n    code\n    ```"), None);
    }

    #[test]
    fn long_blocks_are_cut() {
        assert_eq!(shortened(&"ä".repeat(512)).chars().count(), 512);
        let cut = shortened(&"ä".repeat(513));
        assert!(cut.chars().count() == 512 && cut.ends_with('…'));
    }

    proptest! {
        #[test]
        fn what_is_mirrored_is_lifted_again(text in "[^\r\n\0]{1,40}(\n[^\r\n\0]{0,40}){0,3}", body in "[a-z \n]{0,40}") {
            prop_assume!(!text.trim().is_empty());
            let block = NotifyBlock { text: text.clone(), placement: BlockPlacement::Append };
            prop_assert_eq!(lifted(&mirrored(&body, &block)).map(|found| found.text), Some(text));
        }

        #[test]
        fn nothing_makes_it_panic(body in "(`{0,5}|houmao-notify|[a-zä ]|\n){0,40}") {
            lifted(&body);
        }
    }
}
