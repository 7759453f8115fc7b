//! Tells the agent that mail is there (contract section 4.9).
//!
//! Owns: its settings and its audit (rows of the store), when to look (mail arrives, the interval has passed, the agent
//! became ready), whether the agent may be told now, and the words. Promises: an idle agent hears of mail at once; one
//! wake-up for many messages; never twice for an unchanged set unless its interval says so; nothing is written into a
//! dialog, a draft, a copy mode or a dead pane, for everything goes through the queue; what a message says is quoted and
//! attributed, never the operator's words unless its sender is proven; every poll leaves a row. Callers: `gateway` runs
//! it, `http` changes its settings.
