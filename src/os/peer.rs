//! Who sits at the other end of a loopback connection, by the kernel's word.

use std::net::SocketAddr;

/// The user id that owns the client's end of an established TCP connection to us.
///
/// `client` and `server` are the connection as the server sees it. `None` when the kernel does not list the
/// client's socket: it is not on this machine, or already gone.
pub fn tcp_client_uid(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let table = if client.is_ipv4() { procfs::net::tcp() } else { procfs::net::tcp6() };
    table
        .ok()?
        .into_iter()
        .find(|entry| entry.local_address == client && entry.remote_address == server)
        .map(|entry| entry.uid)
}

/// The user that this process acts as.
pub fn my_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
