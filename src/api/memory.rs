//! The agent's memory as it crosses HTTP (contract section 4.10).

use serde::Serialize;

use super::{Manifest, Runtime};

/// What can be asked of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 4.10")]
pub enum MemoryCall {
    Paths,
    Memo,
    SetMemo { content: String },
    AppendMemo { content: String },
    Tree { path: String },
    Resolve { path: String },
    Read { path: String },
    Write { path: String, content: String },
    Append { path: String, content: String },
    Delete { path: String },
}

/// Where a memory is: all three, or no memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "contract section 4.10")]
pub struct MemoryPaths {
    pub schema_version: u32,
    pub memory_root: String,
    pub memo_file: String,
    pub pages_dir: String,
}

impl MemoryPaths {
    /// What a manifest says; `None` for a session without memory.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let Runtime { memory_root, memo_file, pages_dir, .. } = &manifest.runtime;
        Some(Self {
            schema_version: 1,
            memory_root: memory_root.clone()?,
            memo_file: memo_file.clone()?,
            pages_dir: pages_dir.clone()?,
        })
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "contract section 4.10")]
pub enum MemoryAnswer {
    Paths(MemoryPaths),
    Memo {
        schema_version: u32,
        memo_file: String,
        content: String,
    },
    Tree {
        schema_version: u32,
        root: String,
        path: String,
        entries: Vec<PageEntry>,
    },
    Resolved {
        path: String,
        relative_link: String,
        absolute_path: String,
        exists: bool,
        kind: Option<PageKind>,
        size_bytes: Option<u64>,
    },
    Page {
        path: String,
        relative_link: String,
        absolute_path: String,
        content: String,
    },
    Done {
        success: bool,
        action: &'static str,
        path: String,
        relative_link: String,
        absolute_path: String,
        detail: String,
    },
}

/// One page or folder of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "contract section 4.10")]
pub struct PageEntry {
    pub path: String,
    pub relative_link: String,
    pub absolute_path: String,
    pub kind: PageKind,
    pub size_bytes: Option<u64>,
}

/// What stands in the tree. A link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "contract section 4.10")]
pub enum PageKind {
    File,
    Directory,
    Symlink,
    Other,
}

impl PageKind {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Other => "other",
        }
    }
}
