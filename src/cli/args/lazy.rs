//! Groups of commands whose grammar is made only when somebody types one of them.
//!
//! A hundred commands with their options cost three times as much as most commands themselves, and the memory stays
//! with a gateway. clap can leave a group for later ([`clap::Command::defer`]), but its help then comes out in
//! another order; so whatever is not parsed at once is parsed again with the whole grammar.

use std::{cell::Cell, ffi::OsString, ops::Deref};

use clap::{ArgMatches, Command, FromArgMatches, Parser, Subcommand};

use super::Cli;

thread_local! {
    /// Are groups left for later on this thread?
    static DEFERS: Cell<bool> = const { Cell::new(false) };
}

/// Parses a command line.
///
/// # Errors
/// What clap has to say instead: help, the version, or what is wrong.
pub(in crate::cli) fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    DEFERS.set(true);
    let parsed = Cli::try_parse_from(words);
    DEFERS.set(false);
    parsed.or_else(|_| Cli::try_parse_from(words))
}

/// A group of commands.
#[derive(Debug)]
pub(in crate::cli) struct Lazy<T>(pub(in crate::cli) T);

impl<T> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Lazy<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Subcommand> Subcommand for Lazy<T> {
    fn augment_subcommands(group: Command) -> Command {
        if DEFERS.get() { group.defer(T::augment_subcommands) } else { T::augment_subcommands(group) }
    }

    fn augment_subcommands_for_update(group: Command) -> Command {
        T::augment_subcommands_for_update(group)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<String, String> {
        let words: Vec<OsString> = std::iter::once("agents").chain(words.iter().copied()).map(Into::into).collect();
        let (lazily, wholly) = (parse(&words), Cli::try_parse_from(&words));
        let (lazily, wholly) = (lazily.map(|cli| format!("{cli:?}")), wholly.map(|cli| format!("{cli:?}")));
        let told = |error: clap::Error| error.to_string();
        let (lazily, wholly) = (lazily.map_err(told), wholly.map_err(told));
        assert_eq!(lazily, wholly, "{words:?}");
        lazily
    }

    #[test]
    fn what_is_parsed_lazily_is_what_is_parsed_wholly() {
        for words in [
            &["--json", "gateway", "status", "--agent-name", "a", "-v"][..],
            &["gateway", "run", "--session-root", "/x", "--ready", "r", "--quiet"],
            &["gateway", "requests", "list", "--home", "/h", "--color", "never"],
            &["gateway", "mail-notifier", "enable", "--interval-seconds", "60", "--agent-id", "a"],
            &["memory", "memo", "show", "--current-session"],
            &["mail", "list", "--agent-name", "a"],
            &["turn", "list", "--tmux-socket", "s"],
            &["mailbox", "status"],
            &["contract", "check", "folder"],
            &["list", "--all"],
        ] {
            parsed(words).unwrap();
        }
    }

    #[test]
    fn help_and_mistakes_are_told_by_the_whole_grammar() {
        for words in [
            &["--help"][..],
            &["gateway", "--help"],
            &["gateway", "status", "--help"],
            &["help", "gateway", "requests"],
            &["gateway", "requests", "list", "-h"],
            &["gateway", "statsu"],
            &["gateway", "status", "-v", "-q"],
            &["mail", "send"],
            &["gateway"],
        ] {
            parsed(words).unwrap_err();
        }
        let help = parsed(&["gateway", "status", "--help"]).unwrap_err();
        assert!(help.starts_with("Show the session's status"), "{help}");
        assert!(help.find("Which session") < help.find("Global options"), "{help}");
    }
}
