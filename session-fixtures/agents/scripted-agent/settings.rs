//! Settings on the command line, in any order and at any place. Times are milliseconds.

use std::{path::PathBuf, time::Duration};

/// How this agent behaves.
#[derive(Debug, Default)]
pub struct Settings {
    /// `log=FILE`: a JSON line for each prompt, and for each thing that was not expected.
    pub log: Option<PathBuf>,
    /// `work=MS`: how long a turn takes.
    pub work: Duration,
    /// `busy=MS`: how long it is busy before the first composer.
    pub busy: Duration,
    /// `slow-paint=MS`: every change is drawn that much later.
    pub slow_paint: Duration,
    /// `enter-gap=MS`: an Enter sooner than this after other input is a line break of the draft.
    pub enter_gap: Duration,
    /// `dead-enter=N`: the first N Enters do nothing.
    pub dead_enters: u64,
    /// `dialog-after=N`: a yes/no menu stands there after N turns; 0 is the start.
    pub dialog_after: Option<u64>,
    /// `exit-after=N`: leaves the composer after N turns, and the script goes on.
    pub exit_after: Option<u64>,
    /// `crash-on-paste`: dies in the middle of a paste and leaves the terminal as it is.
    pub crash_on_paste: bool,
    /// `no-echo`: takes everything and shows nothing of it.
    pub no_echo: bool,
    /// `swallow`: throws all input away.
    pub swallow: bool,
    /// `placeholder`: a long paste shows as `[Pasted text #1 +11 lines]`.
    pub placeholder: bool,
    /// `unbracketed`: does not ask for bracketed paste.
    pub unbracketed: bool,
    /// `draft=TEXT`: somebody has begun to type.
    pub draft: String,
    /// `footer=TEXT`: a line below the composer.
    pub footer: Option<String>,
    /// `tick=MS`: a number below the composer that changes so often.
    pub tick: Duration,
}

/// Settings and what remains: the steps.
pub fn read(words: impl Iterator<Item = String>) -> Result<(Settings, Vec<String>), String> {
    let (mut settings, mut steps) = (Settings::default(), Vec::new());
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        let number = || value.parse::<u64>().map_err(|error| format!("`{word}`: {error}"));
        let time = || number().map(Duration::from_millis);
        match name {
            "log" => settings.log = Some(value.into()),
            "work" => settings.work = time()?,
            "busy" => settings.busy = time()?,
            "slow-paint" => settings.slow_paint = time()?,
            "enter-gap" => settings.enter_gap = time()?,
            "dead-enter" => settings.dead_enters = number()?,
            "dialog-after" => settings.dialog_after = Some(number()?),
            "exit-after" => settings.exit_after = Some(number()?),
            "crash-on-paste" => settings.crash_on_paste = true,
            "no-echo" => settings.no_echo = true,
            "swallow" => settings.swallow = true,
            "placeholder" => settings.placeholder = true,
            "unbracketed" => settings.unbracketed = true,
            "draft" => value.clone_into(&mut settings.draft),
            "tick" => settings.tick = time()?,
            "footer" => settings.footer = Some(value.to_owned()),
            _ => steps.push(word),
        }
    }
    Ok((settings, steps))
}
