//! Fixtures that hold us to our word: recorded screens and streams with the states that they must yield.
//!
//! Owns reading `session-fixtures/`, feeding each to the detectors and the reducer, and saying where the answer differs.
//! Promises: no clock and no tmux; the same fixtures give the same report. Callers: `cli`, the tests.
