//! What is to be said to the agent later (contract section 4.7).
//!
//! Owns: the schedule (`plan`, pure), its rows in the store, and the task that fires what is due. Promises: a reminder
//! that was answered is on disk and survives every restart; what fell due meanwhile is treated as it says itself; the
//! order is that of ranking, then creation, and only the first is effective; a delay is measured with a clock that does
//! not jump, a time of day with the wall clock. Callers: `gateway` runs it, `http` changes it.
