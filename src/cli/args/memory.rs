//! The words around an agent's memory.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Selectors;

/// `agents memory`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Memory {
    /// Print where the memory is
    Path(Selectors),
    /// Print where the memory is, and how much is in it
    Status(Selectors),
    /// The memo: one text that is always at hand
    #[command(subcommand)]
    Memo(Memo),
    /// List pages and folders
    Tree {
        #[command(flatten)]
        selectors: Selectors,
        /// The folder to list
        #[arg(long, value_name = "PATH", default_value = ".")]
        path: String,
    },
    /// Print where a page is, and whether it is there
    Resolve(OnePage),
    /// Print a page
    Read(OnePage),
    /// Replace a page, or make it
    Write(PageContent),
    /// Add to a page, or make it
    Append(PageContent),
    /// Delete a page, or a folder with everything in it
    Delete(OnePage),
}

/// `agents memory memo`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Memo {
    /// Print the memo
    Show(Selectors),
    /// Replace the memo
    Set {
        #[command(flatten)]
        selectors: Selectors,
        #[command(flatten)]
        content: Text,
    },
    /// Add to the memo
    Append {
        #[command(flatten)]
        selectors: Selectors,
        #[command(flatten)]
        content: Text,
    },
}

/// Which page.
#[derive(Debug, Args)]
pub(in crate::cli) struct OnePage {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The page, relative to the pages
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) path: String,
}

/// Which page, and what is to be in it.
#[derive(Debug, Args)]
pub(in crate::cli) struct PageContent {
    #[command(flatten)]
    pub(in crate::cli) page: OnePage,
    #[command(flatten)]
    pub(in crate::cli) content: Text,
}

/// A text, exactly as it is given.
#[derive(Debug, Args)]
pub(in crate::cli) struct Text {
    /// The text [default: stdin]
    #[arg(long, value_name = "TEXT", conflicts_with = "content_file")]
    pub(in crate::cli) content: Option<String>,
    /// A file with the text; `-` is stdin
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) content_file: Option<PathBuf>,
}

impl Memory {
    pub(in crate::cli) fn selectors(&self) -> &Selectors {
        match self {
            Self::Path(selectors) | Self::Status(selectors) | Self::Tree { selectors, .. } => selectors,
            Self::Memo(Memo::Show(selectors) | Memo::Set { selectors, .. } | Memo::Append { selectors, .. }) => {
                selectors
            }
            Self::Resolve(page) | Self::Read(page) | Self::Delete(page) => &page.selectors,
            Self::Write(words) | Self::Append(words) => &words.page.selectors,
        }
    }
}
