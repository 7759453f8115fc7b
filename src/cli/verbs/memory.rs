//! `agents memory`: the agent's memo and pages. The files are this user's own and every change of them is whole, so that
//! they are read and written here, whether or not a gateway lives.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    api::{MemoryAnswer, MemoryCall, PageKind},
    cli::{
        args::{Memo, Memory as Words, Text},
        input, render,
        report::Reporter,
        setting,
    },
    memory::Memory,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &Words, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, words.selectors())?;
    let memory = Memory::of(&target.manifest)?;
    let text = |text: &Text| input::page(text.content.as_deref(), text.content_file.as_deref());
    let call = match words {
        Words::Path(_) => MemoryCall::Paths,
        Words::Status(_) => return status(&memory, report),
        Words::Memo(Memo::Show(_)) => MemoryCall::Memo,
        Words::Memo(Memo::Set { content, .. }) => MemoryCall::SetMemo { content: text(content)? },
        Words::Memo(Memo::Append { content, .. }) => MemoryCall::AppendMemo { content: text(content)? },
        Words::Tree { path, .. } => MemoryCall::Tree { path: path.clone() },
        Words::Resolve(page) => MemoryCall::Resolve { path: page.path.clone() },
        Words::Read(page) => MemoryCall::Read { path: page.path.clone() },
        Words::Delete(page) => MemoryCall::Delete { path: page.path.clone() },
        Words::Write(words) => MemoryCall::Write { path: words.page.path.clone(), content: text(&words.content)? },
        Words::Append(words) => MemoryCall::Append { path: words.page.path.clone(), content: text(&words.content)? },
    };
    let answer = memory.answer(&call)?;
    if report.wants_json() {
        render::json(&json!(answer));
    } else {
        print(&call, answer);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(call: &MemoryCall, answer: MemoryAnswer) {
    match answer {
        MemoryAnswer::Paths(paths) => {
            render::facts(&[("root", paths.memory_root), ("memo", paths.memo_file), ("pages", paths.pages_dir)]);
        }
        MemoryAnswer::Memo { content, .. } if *call == MemoryCall::Memo => render::raw(content.as_bytes()),
        MemoryAnswer::Memo { memo_file, content, .. } => {
            render::facts(&[("memo", memo_file), ("bytes", content.len().to_string())]);
        }
        MemoryAnswer::Page { content, .. } => render::raw(content.as_bytes()),
        MemoryAnswer::Tree { entries, .. } => {
            for entry in entries {
                let mark = match entry.kind {
                    PageKind::Directory => "/",
                    PageKind::Symlink => "@",
                    PageKind::File | PageKind::Other => "",
                };
                render::line(&format!("{}{mark}", entry.path));
            }
        }
        MemoryAnswer::Resolved { relative_link, absolute_path, exists, kind, size_bytes, .. } => {
            let what = kind.map_or("nothing yet", PageKind::as_str).to_owned();
            let mut facts = vec![("path", absolute_path), ("link", relative_link), ("kind", what)];
            facts.extend(size_bytes.filter(|_| exists).map(|size| ("bytes", size.to_string())));
            render::facts(&facts);
        }
        MemoryAnswer::Done { relative_link, detail, .. } => {
            render::facts(&[("page", relative_link), ("done", detail)]);
        }
    }
}

fn status(memory: &Memory, report: &Reporter) -> Result<ExitCode, Failure> {
    let MemoryAnswer::Memo { content, .. } = memory.answer(&MemoryCall::Memo)? else { return Ok(ExitCode::SUCCESS) };
    let MemoryAnswer::Tree { entries, .. } = memory.answer(&MemoryCall::Tree { path: ".".to_owned() })? else {
        return Ok(ExitCode::SUCCESS);
    };
    let pages = entries.iter().filter(|entry| entry.kind == PageKind::File).count();
    let bytes: u64 = entries.iter().filter_map(|entry| entry.size_bytes).sum();
    let paths = memory.paths();
    if report.wants_json() {
        let mut document = json!(paths);
        document["memo_bytes"] = json!(content.len());
        document["page_count"] = json!(pages);
        document["page_bytes"] = json!(bytes);
        render::json(&document);
    } else {
        render::facts(&[
            ("root", paths.memory_root.clone()),
            ("memo", format!("{} bytes", content.len())),
            ("pages", format!("{pages} with {bytes} bytes")),
        ]);
    }
    Ok(ExitCode::SUCCESS)
}
