//! One file per family of routes.

pub(super) mod health;
pub(super) mod status;
