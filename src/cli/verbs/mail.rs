//! `agents mail`: the session's mailbox, through its gateway where one answers, else directly.

mod letters;
mod save;
mod watch;

use std::{path::Path, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::launch;
use crate::{
    api::{
        BlockPlacement, Host, IDEMPOTENCY_KEY_HEADER, MailBinding, MailCall, MailContent, MailDraft, MailFlags,
        MailGateway, MailPost, MailQuery, MailReply, NewAttachment, NotifyBlock, ReplyPolicy, resolve_live,
    },
    cli::{
        args::{self, AnsweredState, Content, Mail, Placement, PostPolicy, ReadState},
        input, render,
        report::Reporter,
        setting,
    },
    client::{Call, CallError, Gateway},
    lifecycle::{self, Live, MailboxWish, ServerWish, Unbound},
    mail::{MailError, Mailbox, jmap::Secret},
    model::{ErrorCode, Failure, shell_quote},
    os::files,
    target::{Context, Target},
};

pub(super) fn run(context: &Context, words: &Mail, report: &Reporter) -> Result<ExitCode, Failure> {
    let call = match words {
        Mail::Watch(words) => return watch::run(context, words, report),
        Mail::Save(words) => return save::run(context, words, report),
        Mail::ResolveLive(selectors) => {
            let target = setting::resolve(context, selectors)?;
            let mailbox = mailbox(&target)?;
            let live = live(&target)?.map(|(_, place)| place);
            let found = resolve_live(&target.manifest, mailbox.binding(), live.as_ref());
            if report.wants_json() {
                render::json(&found);
            } else {
                letters::place(&found);
            }
            return Ok(ExitCode::SUCCESS);
        }
        Mail::Bind(words) => return bind(context, words, report),
        Mail::Unbind(selectors) => return unbind(&setting::resolve(context, selectors)?, report),
        other => call_of(other)?,
    };
    let target = setting::resolve(context, words.selectors())?;
    let answer = ask(&target, &call)?;
    if report.wants_json() {
        render::json(&answer);
    } else {
        letters::answer(&call, answer, report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bind(context: &Context, words: &args::MailBind, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, &words.selectors)?;
    if let (Some(url), Some(login), Some(file)) = (&words.jmap_url, &words.login, &words.password_file) {
        return bind_server(
            context,
            &target,
            words,
            &ServerWish {
                url: url.clone(),
                login: login.clone(),
                password: password(file)?,
                authority: words.jmap_ca.as_deref().map(authority).transpose()?,
                address: words.address.as_deref().map(str::parse).transpose()?,
            },
            report,
        );
    }
    let wish = launch::wish(words.address.as_deref(), words.root.dir.as_deref())?;
    let wish = MailboxWish { mode: words.mode.into(), ..wish };
    let binding = json!(lifecycle::bind_mailbox(context, &target, &wish)?);
    if report.wants_json() {
        render::json(&json!({ "mailbox": binding }));
    } else {
        let text = |key: &str| binding[key].as_str().unwrap_or("-").to_owned();
        render::facts(&[("agent", target.label()), ("mailbox", text("address")), ("root", text("filesystem_root"))]);
        report.note("a program that runs already finds it with `agents mail status`");
    }
    Ok(ExitCode::SUCCESS)
}

fn bind_server(
    context: &Context,
    target: &Target,
    words: &args::MailBind,
    wish: &ServerWish,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    if words.root.dir.is_some() {
        return Err(Failure::usage("a mailbox is on a server or in a folder", "leave out --mail-root or --jmap-url"));
    }
    let binding = json!(lifecycle::bind_mail_server(context, target, wish)?);
    if report.wants_json() {
        render::json(&json!({ "mailbox": binding }));
    } else {
        let text = |key: &str| binding[key].as_str().unwrap_or("-").to_owned();
        let login = text("login_identity");
        render::facts(&[
            ("agent", target.label()),
            ("mailbox", text("address")),
            ("server", text("jmap_url")),
            ("login", login),
        ]);
        report.note("its password is kept in files that only you can read");
    }
    Ok(ExitCode::SUCCESS)
}

/// The one line of a file, or of stdin.
fn password(file: &Path) -> Result<Secret, Failure> {
    let lines = input::secrets(file)?;
    let [line] = &lines[..] else {
        let message = format!("`{}` has {} lines that are not blank", file.display(), lines.len());
        return Err(Failure::usage(message, "give a file with the password in one line"));
    };
    Ok(Secret::new(line.clone()))
}

/// Who vouches for a server.
fn authority(file: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(files::read_linked(file)?);
    text.map_err(|_other| {
        Failure::usage(format!("`{}` holds no certificate in PEM", file.display()), "give the authority's certificate")
    })
}

fn unbind(target: &Target, report: &Reporter) -> Result<ExitCode, Failure> {
    let before = lifecycle::unbind_mailbox(target)?;
    if report.wants_json() {
        render::json(&json!({ "mailbox": null, "before": before.map(|before| before.binding) }));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(before) = before else {
        report.note("it had no mailbox");
        return Ok(ExitCode::SUCCESS);
    };
    render::facts(&[("unbound", before.binding["address"].as_str().unwrap_or("a mailbox").to_owned())]);
    report.note(&format!(
        "the address stays registered, and its mail where it is; `{}` binds it again",
        bind_again(&before)
    ));
    Ok(ExitCode::SUCCESS)
}

/// The command that makes a binding again, whose parts are none of the defaults.
fn bind_again(before: &Unbound) -> String {
    let mut command = "agents mail bind".to_owned();
    let mut say = |flag: &str, value: &str| command.push_str(&[" ", flag, " ", &*shell_quote(value)].concat());
    match MailBinding::of(Some(&before.binding)) {
        Ok(Some(MailBinding::Filesystem(bound))) => {
            say("--mail-root", &bound.filesystem_root);
            say("--address", bound.address.as_str());
        }
        Ok(Some(MailBinding::Stalwart(bound))) => {
            say("--jmap-url", &bound.jmap_url);
            say("--login", &bound.login_identity);
            say("--address", bound.address.as_str());
            // Both are forgotten by now.
            command.push_str(" --password-file FILE");
            if before.authority {
                command.push_str(" --jmap-ca FILE");
            }
        }
        _ => {}
    }
    command
}

/// What was typed, as a call.
fn call_of(words: &Mail) -> Result<MailCall, Failure> {
    let call = match words {
        Mail::List(words) => MailCall::List(query(words)?),
        Mail::Peek(words) => {
            MailCall::Peek { message_ref: words.message_ref.clone(), folder: folder(words.folder.as_deref())? }
        }
        Mail::Read(words) => {
            MailCall::Read { message_ref: words.message_ref.clone(), folder: folder(words.folder.as_deref())? }
        }
        Mail::Send(words) => MailCall::Send(MailDraft {
            to: words.to.iter().map(|to| to.parse()).collect::<Result<_, _>>()?,
            cc: words.cc.iter().map(|cc| cc.parse()).collect::<Result<_, _>>()?,
            subject: words.subject.clone(),
            content: content(&words.content)?,
        }),
        Mail::Post(words) => MailCall::Post(MailPost {
            subject: words.subject.clone(),
            reply_policy: match words.reply_policy {
                PostPolicy::OperatorMailbox => ReplyPolicy::OperatorMailbox,
                PostPolicy::None => ReplyPolicy::None,
            },
            content: content(&words.content)?,
        }),
        Mail::Reply(words) => {
            MailCall::Reply(MailReply { message_ref: words.message_ref.clone(), content: content(&words.content)? })
        }
        Mail::Mark(words) => MailCall::Mark {
            message_refs: words.messages.refs.clone(),
            flags: MailFlags {
                read: flag(words.read, words.unread),
                answered: flag(words.answered, words.unanswered),
                archived: flag(words.archived, words.unarchived),
            },
        },
        Mail::Move { messages, destination_box, .. } => {
            MailCall::Move { message_refs: messages.refs.clone(), destination: destination_box.parse()? }
        }
        Mail::Archive { messages, .. } => MailCall::Archive { message_refs: messages.refs.clone() },
        _ => MailCall::Status,
    };
    // A gateway would say the same, with the words of its body.
    call.check().map_err(MailError::Invalid)?;
    Ok(call)
}

fn query(words: &args::MailList) -> Result<MailQuery, Failure> {
    Ok(MailQuery {
        folder: words.folder.parse()?,
        read: match words.read_state {
            ReadState::Any => None,
            ReadState::Read => Some(true),
            ReadState::Unread => Some(false),
        },
        answered: match words.answered_state {
            AnsweredState::Any => None,
            AnsweredState::Answered => Some(true),
            AnsweredState::Unanswered => Some(false),
        },
        archived: flag(words.archived, words.not_archived),
        limit: words.limit.and_then(|limit| usize::try_from(limit).ok()),
        since: words.since.clone(),
        include_body: words.include_body,
    })
}

fn folder(name: Option<&str>) -> Result<Option<crate::model::BoxName>, Failure> {
    Ok(name.map(str::parse).transpose()?)
}

fn flag(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

fn content(words: &Content) -> Result<MailContent, Failure> {
    let attachments = words.attach.iter().map(|path| {
        let path = setting::absolute(path)?;
        let path = path.to_str().ok_or_else(|| {
            Failure::usage(format!("the path `{}` is not UTF-8", path.display()), "give the file another name")
        })?;
        Ok(NewAttachment { path: path.to_owned(), label: None })
    });
    let placement = match words.notify_block_placement {
        Placement::Append => BlockPlacement::Append,
        Placement::Prepend => BlockPlacement::Prepend,
    };
    // Without a key of the caller's own, an answer that got lost could not be asked for again.
    let key = words.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    Ok(MailContent {
        body: input::mail(words.text.as_deref(), words.file.as_deref())?,
        attachments: attachments.collect::<Result<_, Failure>>()?,
        notify_block: words.notify_block.clone().map(|text| NotifyBlock { text, placement }),
        notify_auth: None,
        key: Some(key),
    })
}

/// The mailbox of a session, without a gateway.
fn mailbox(target: &Target) -> Result<Mailbox, Failure> {
    Ok(Mailbox::of_session(&target.manifest, target.root.mailbox_secrets())?)
}

/// The session's gateway, if one answers; it is not waited for.
fn live(target: &Target) -> Result<Option<(Gateway, MailGateway)>, Failure> {
    let identity = target.manifest.attach_identity(&target.root.name());
    let Live::Answering { instance, owner, .. } = lifecycle::observe(&target.root, &identity)? else {
        return Ok(None);
    };
    let state_path = target.root.state().to_string_lossy().into_owned();
    let place = MailGateway { host: instance.host.as_str().to_owned(), port: instance.port, state_path };
    Ok(Some((Gateway::new(&target.root, &instance, owner.as_ref()), place)))
}

/// How long a gateway may take: its own limit, and a little more, so that it says itself what is late.
const ANSWER_LIMIT: Duration = Duration::from_secs(35);

/// Asks the gateway where one serves mail, else the mailbox itself: the answers are the same.
fn ask(target: &Target, call: &MailCall) -> Result<Value, Failure> {
    let gateway = live(target)?.filter(|(_, place)| place.host == Host::Loopback.as_str());
    if let Some((gateway, _)) = gateway {
        let (path, body) = (call.path(), call.body());
        let headers: Vec<_> = call.key().map(|key| (IDEMPOTENCY_KEY_HEADER, key.to_owned())).into_iter().collect();
        let asked = match &body {
            Some(body) => Call { headers: &headers, limit: ANSWER_LIMIT, ..Call::post(&path, body) },
            None => Call { limit: ANSWER_LIMIT, ..Call::get(&path) },
        };
        match gateway.call(&asked) {
            Ok(answer) => return Ok(answer),
            // Nothing was asked, or of a gateway that knows no mail.
            Err(CallError::NoAnswer(_)) => {}
            Err(CallError::Refused(refusal)) if refusal.status == 404 && refusal.detail == "Not Found" => {}
            Err(CallError::Refused(refusal)) => {
                let told = MailError::told(&refusal.code, refusal.detail.clone());
                return Err(told.unwrap_or_else(|| CallError::Refused(refusal).into()));
            }
            Err(lost) => return Err(repeatable(lost.into(), call)),
        }
    }
    Ok(json!(mailbox(target)?.answer(call)?))
}

/// An answer that did not come can be asked for again: the key says that it is the same message.
fn repeatable(failure: Failure, call: &MailCall) -> Failure {
    match call.key().filter(|_| failure.code == ErrorCode::Unconfirmed) {
        Some(key) => {
            let key = shell_quote(key);
            let hint = format!("the same command with `--idempotency-key {key}` asks again, and sends nothing twice");
            Failure { hint, ..failure }
        }
        None => failure,
    }
}
