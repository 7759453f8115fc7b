//! Reads what tmux printed by our formats. Pure.

use super::server::TmuxError;

/// Reads words separated by one space, and texts with their length in front.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl Reader<'_> {
    fn fail(&self, wanted: &str) -> TmuxError {
        let seen = String::from_utf8_lossy(&self.rest[..self.rest.len().min(60)]).escape_debug().to_string();
        TmuxError::Unreadable(format!("expected {wanted} at `{seen}`"))
    }

    pub(super) fn word(&mut self) -> Result<String, TmuxError> {
        let end = self.rest.iter().position(|byte| matches!(byte, b' ' | b'\n')).ok_or_else(|| self.fail("a word"))?;
        let word = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest = &self.rest[end..];
        if self.rest.first() == Some(&b' ') {
            self.rest = &self.rest[1..];
        }
        Ok(word)
    }

    pub(super) fn word_is(&mut self, wanted: &str) -> Result<(), TmuxError> {
        if self.word()? == wanted { Ok(()) } else { Err(self.fail(wanted)) }
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Result<T, TmuxError> {
        self.word()?.parse().map_err(|_other| self.fail("a number or an id"))
    }

    /// tmux prints `1` or `on` for yes; `0`, `off` or nothing for no.
    pub(super) fn flag(&mut self) -> Result<bool, TmuxError> {
        Ok(matches!(self.word()?.as_str(), "1" | "on"))
    }

    pub(super) fn counted(&mut self) -> Result<String, TmuxError> {
        let colon = self.rest.iter().position(|byte| *byte == b':').ok_or_else(|| self.fail("a length"))?;
        let length: usize = std::str::from_utf8(&self.rest[..colon])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.fail("a length"))?;
        let text = self.rest.get(colon + 1..colon + 1 + length).ok_or_else(|| self.fail("a text of that length"))?;
        let text = String::from_utf8_lossy(text).into_owned();
        self.rest = &self.rest[colon + 1 + length..];
        Ok(text)
    }

    /// A counted text and the space behind it.
    pub(super) fn spaced(&mut self) -> Result<String, TmuxError> {
        let text = self.counted()?;
        self.space()?;
        Ok(text)
    }

    /// What stands before the line break, which is taken too.
    pub(super) fn rest_of_row(&mut self) -> Result<String, TmuxError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| self.fail("the end of the row"))?;
        let text = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    pub(super) fn space(&mut self) -> Result<(), TmuxError> {
        self.rest = self.rest.strip_prefix(b" ").ok_or_else(|| self.fail("a space"))?;
        Ok(())
    }

    pub(super) fn end_of_row(&mut self) -> Result<(), TmuxError> {
        self.rest = self.rest.strip_prefix(b"\n").ok_or_else(|| self.fail("the end of the row"))?;
        Ok(())
    }
}
