//! The SQLite files of a mailbox root: the shared `index.sqlite`, and each address's `mailbox.sqlite` (contract section
//! 7.3). Owns their schema and all their SQL. Callers: `mail`.
