//! A change of a mailbox that is ready but for its locks. While it waits for them it holds nothing, so that nobody waits
//! behind it; who drops it has changed nothing.

use std::{fmt, time::Duration};

use super::root::Waiting;
use crate::mail::MailError;

type Work<T> = Box<dyn FnOnce() -> Result<T, MailError> + Send>;

/// A change that waits for its locks.
pub struct Pending<T> {
    waiting: Waiting,
    work: Work<T>,
}

/// How far a call has come.
#[derive(Debug)]
pub enum Progress<T> {
    /// It is done.
    Done(T),
    /// Nothing was changed yet.
    Waits(Pending<T>),
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl<T: 'static> Pending<T> {
    pub(super) fn new(waiting: Waiting, work: impl FnOnce() -> Result<T, MailError> + Send + 'static) -> Self {
        Self { waiting, work: Box::new(work) }
    }

    /// When to try again.
    pub fn pause(&self) -> Duration {
        self.waiting.pause()
    }

    /// Does it if the locks are free right now.
    ///
    /// # Errors
    /// [`MailError`]: nothing was done; [`MailError::Unavailable`] also when it has waited too long.
    pub fn try_now(mut self) -> Result<Progress<T>, MailError> {
        match self.waiting.try_take()? {
            Some(locks) => {
                let done = (self.work)();
                drop(locks);
                done.map(Progress::Done)
            }
            None => Ok(Progress::Waits(self)),
        }
    }

    /// Waits for the locks on this thread, and does it.
    ///
    /// # Errors
    /// As [`Pending::try_now`].
    pub fn now(mut self) -> Result<T, MailError> {
        let locks = self.waiting.take()?;
        let done = (self.work)();
        drop(locks);
        done
    }

    /// The same, and then this.
    pub fn map<U>(self, then: impl FnOnce(T) -> U + Send + 'static) -> Pending<U> {
        let Self { waiting, work } = self;
        Pending { waiting, work: Box::new(move || work().map(then)) }
    }
}

impl<T: 'static> Progress<T> {
    /// One step further, without waiting.
    ///
    /// # Errors
    /// As [`Pending::try_now`].
    pub fn step(self) -> Result<Self, MailError> {
        match self {
            Self::Done(done) => Ok(Self::Done(done)),
            Self::Waits(pending) => pending.try_now(),
        }
    }

    /// To its end, on this thread.
    ///
    /// # Errors
    /// As [`Pending::now`].
    pub fn now(self) -> Result<T, MailError> {
        match self {
            Self::Done(done) => Ok(done),
            Self::Waits(pending) => pending.now(),
        }
    }

    /// The same, and then this.
    pub fn map<U>(self, then: impl FnOnce(T) -> U + Send + 'static) -> Progress<U> {
        match self {
            Self::Done(done) => Progress::Done(then(done)),
            Self::Waits(pending) => Progress::Waits(pending.map(then)),
        }
    }
}
