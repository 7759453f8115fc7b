//! Secrets from the kernel's random source.

use std::{
    fmt::Write,
    io,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A number that this process gives once, counted up from a random one: two processes hardly ever give the same.
pub fn serial() -> u32 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU32::new(uuid::Uuid::new_v4().as_fields().0));
    next.fetch_add(1, Ordering::Relaxed)
}

/// Twelve lower-case hex digits that nobody guesses and nothing else has.
pub fn short_id() -> String {
    let digits = uuid::Uuid::new_v4().simple().to_string();
    digits.get(..12).unwrap_or_default().to_owned()
}

/// 256 random bits in 64 lower-case hex digits.
///
/// # Errors
/// When the kernel has no randomness to give.
pub fn token() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let mut digits = String::with_capacity(64);
    for byte in bytes {
        write!(digits, "{byte:02x}").map_err(io::Error::other)?;
    }
    Ok(digits)
}
