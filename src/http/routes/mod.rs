//! One file per family of routes.

pub(super) mod ag_ui;
pub(super) mod agent_events;
pub(super) mod approvals;
pub(super) mod control;
pub(super) mod events;
pub(super) mod headless;
pub(super) mod health;
pub(super) mod mail;
pub(super) mod mail_notifier;
pub(super) mod memory;
pub(super) mod reconcile;
pub(super) mod recordings;
pub(super) mod reminders;
pub(super) mod requests;
pub(super) mod screen;
pub(super) mod status;
pub(super) mod tui;
pub(super) mod turns;
