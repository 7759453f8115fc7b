//! Waking up at a moment, by the kernel's own timers: nothing runs until then.
//!
//! Tokio's timers stand still while the machine sleeps, and know nothing of a wall clock that was set.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Two timers: one counts since boot, the other follows the wall clock.
#[derive(Debug)]
pub struct Alarm {
    boot: AsyncFd<OwnedFd>,
    wall: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Nothing is set. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel has no timer left for this process.
    #[expect(deprecated, reason = "its successor is `unsafe`; an `OwnedFd` keeps the promise that it asks for")]
    pub fn new() -> io::Result<Self> {
        let timer = |clock| {
            let timer = timerfd_create(clock, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            AsyncFd::with_interest(timer, Interest::READABLE)
        };
        Ok(Self { boot: timer(TimerfdClockId::Boottime)?, wall: timer(TimerfdClockId::Realtime)? })
    }

    /// Waits until one of these moments, in microseconds since boot and since 1970. With a moment of the wall clock it
    /// returns as well when somebody sets that clock. Without any it waits for ever.
    ///
    /// # Errors
    /// The kernel refuses the timer.
    pub async fn wait(&self, boot: Option<i64>, wall: Option<i64>) -> io::Result<()> {
        let set = |timer: &AsyncFd<OwnedFd>, moment: Option<i64>, flags| {
            match timerfd_settime(timer.get_ref(), TimerfdTimerFlags::ABSTIME | flags, &once(moment)) {
                // Set, and the clock was set since somebody looked last.
                Ok(_) | Err(Errno::CANCELED) => Ok(()),
                Err(error) => Err(io::Error::from(error)),
            }
        };
        set(&self.boot, boot, TimerfdTimerFlags::empty())?;
        set(&self.wall, wall, TimerfdTimerFlags::CANCEL_ON_SET)?;
        tokio::select! {
            rung = rung(&self.boot) => rung,
            rung = rung(&self.wall) => rung,
        }
    }
}

/// Zero disarms a timer.
fn once(moment: Option<i64>) -> Itimerspec {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let at = moment.map_or(never, |micros| {
        let micros = micros.max(1);
        Timespec { tv_sec: micros / 1_000_000, tv_nsec: micros % 1_000_000 * 1_000 }
    });
    Itimerspec { it_interval: never, it_value: at }
}

/// Waits until a timer has run out, or its clock was set, and takes that in.
async fn rung(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = timer.readable().await?;
        match rustix::io::read(timer.get_ref(), &mut [0_u8; 8]) {
            Err(Errno::AGAIN) => ready.clear_ready(),
            Ok(_) | Err(Errno::CANCELED) => {
                ready.clear_ready();
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::clock;

    #[tokio::test]
    async fn it_rings_at_the_first_moment_and_not_before() {
        let alarm = Alarm::new().unwrap();
        let (boot, wall) = (clock::since_boot(), clock::now().epoch_micros());
        alarm.wait(Some(boot + 20_000), Some(wall + 60_000_000)).await.unwrap();
        assert!(clock::since_boot() >= boot + 20_000);
        alarm.wait(None, Some(wall + 40_000)).await.unwrap();
        assert!(clock::now().epoch_micros() >= wall + 40_000);
        // What is past rings at once, and no moment never.
        alarm.wait(Some(-5), None).await.unwrap();
        alarm.wait(None, Some(1)).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), alarm.wait(None, None)).await.is_err());
    }
}
