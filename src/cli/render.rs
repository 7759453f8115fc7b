//! What stdout carries: documents, tables and plain facts.

use std::io::{self, IsTerminal};

use serde_json::Value;

use super::{
    report::{Reporter, printable},
    stdout,
};
use crate::{
    api::{Admission, Connectivity, GatewayHealth, Host, Recovery, StatusDocument},
    lifecycle::{Entry, Unread},
};

/// One JSON document.
pub(super) fn json(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    stdout::write(format!("{text}\n").as_bytes());
}

/// One line.
pub(super) fn line(text: &str) {
    try_line(text);
}

/// One line, for a command that goes on until nobody takes it any more.
pub(super) fn try_line(text: &str) -> bool {
    stdout::write(format!("{}\n", printable(text)).as_bytes())
}

/// One JSON value on a line of its own, for a command that goes on until nobody takes it any more.
pub(super) fn try_json_line(value: &Value) -> bool {
    stdout::write(format!("{value}\n").as_bytes())
}

/// Bytes as they are: completion scripts, help.
pub(super) fn raw(bytes: &[u8]) {
    stdout::write(bytes);
}

/// `name   value` lines, values aligned.
pub(super) fn facts(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in rows {
        line(&format!("{name:width$}  {value}"));
    }
}

/// The status for a person.
pub(super) fn status(status: &StatusDocument, log: &str) {
    let place = match (&status.gateway_tmux_window_index, &status.gateway_tmux_window_id) {
        (Some(index), Some(id)) => format!("window {index} ({id})"),
        _ => "a detached process".to_owned(),
    };
    let gateway = match (status.gateway_health, status.gateway_host, status.gateway_port) {
        (GatewayHealth::Healthy, Some(Host::Loopback), Some(port)) => {
            format!("live at http://127.0.0.1:{port}, in {place}")
        }
        (GatewayHealth::Healthy, Some(Host::Any), Some(port)) => {
            format!("live at http://127.0.0.1:{port} and every other address of this machine, in {place}")
        }
        _ => "offline".to_owned(),
    };
    let agent = match status.managed_agent_connectivity {
        Connectivity::Connected => format!("connected (epoch {})", status.managed_agent_instance_epoch),
        Connectivity::Unavailable if status.gateway_health == GatewayHealth::NotAttached => {
            "unknown: no gateway watches it".to_owned()
        }
        Connectivity::Unavailable => "gone: its pane or program has ended".to_owned(),
    };
    let admission = match (status.request_admission, status.managed_agent_recovery) {
        (Admission::Open, _) => "open".to_owned(),
        (Admission::BlockedReconciliation, _) | (_, Recovery::ReconciliationRequired) => {
            "blocked: rows of an earlier agent wait for a decision".to_owned()
        }
        (Admission::BlockedUnavailable, _) => "closed".to_owned(),
    };
    facts(&[
        ("session", status.tmux_session_name.clone()),
        ("gateway", gateway),
        ("agent", agent),
        ("requests", format!("{admission}, {} waiting", status.queue_depth)),
        ("log", log.to_owned()),
    ]);
}

/// The table of agents; with a column for their mail where one of them has a mailbox.
pub(super) fn list(entries: &[Entry]) {
    let mail = |entry: &Entry| entry.mail.as_ref().map_or_else(|| "-".to_owned(), unread);
    let rows = entries.iter().map(|entry| {
        let record = &entry.record;
        let session = record.terminal.current_session_name.as_deref().unwrap_or(&record.terminal.last_session_name);
        [
            record.agent_name.clone(),
            entry.agent.to_owned(),
            entry.gateway.clone().unwrap_or_else(|| "-".to_owned()),
            record.identity.tool.clone(),
            session.to_owned(),
            record.agent_id.clone(),
        ]
    });
    if entries.iter().all(|entry| entry.mail.is_none()) {
        return table(["NAME", "AGENT", "GATEWAY", "TOOL", "SESSION", "ID"], rows.collect());
    }
    let rows = rows.zip(entries).map(|([name, agent, gateway, tool, session, id], entry)| {
        [name, agent, gateway, mail(entry), tool, session, id]
    });
    table(["NAME", "AGENT", "GATEWAY", "MAIL", "TOOL", "SESSION", "ID"], rows.collect());
}

/// How much mail an agent has: the number of unread messages, or `?` where it could not be counted.
pub(super) fn unread(mail: &Unread) -> String {
    match mail.unread {
        Some(0) => "none".to_owned(),
        Some(count) => format!("{count} new"),
        None => "?".to_owned(),
    }
}

/// Rows below a head, columns aligned.
pub(super) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) {
    let all: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| printable(&row[column]).chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{:width$}", printable(cell))).collect();
        line(cells.join("  ").trim_end());
    }
}

/// What an agent answered: as it is for a program, without escapes for a terminal.
pub(super) fn reply(reply: Option<&str>, report: &Reporter) {
    let Some(text) = reply else { return report.note("the turn has ended; what the agent replied is not known") };
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    if io::stdout().is_terminal() {
        let lines: Vec<String> =
            text.split('\n').map(|line| line.split('\t').map(printable).collect::<Vec<_>>().join("\t")).collect();
        raw(format!("{}{end}", lines.join("\n")).as_bytes());
    } else {
        raw(format!("{text}{end}").as_bytes());
    }
}
