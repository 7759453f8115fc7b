//! Who sits at the other end of a loopback connection, by the kernel's word.

mod netlink;

use std::net::SocketAddr;

use procfs::net::TcpState;

/// The kernel's number for an established connection.
const ESTABLISHED: u8 = 1;

/// The user id that owns the client's end of an established TCP connection to us.
///
/// `client` and `server` are the connection as the server sees it. `None` when the kernel does not know the
/// client's socket: it is not on this machine, or already gone.
pub fn tcp_client_uid(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    // A socket whose owner closed it belongs to nobody, which the kernel shows as user 0: that is no proof.
    match netlink::socket(client, server) {
        Some(socket) => (socket.state == ESTABLISHED && socket.inode != 0).then_some(socket.uid),
        // Some containers and old kernels do not answer.
        None => listed_client_uid(client, server),
    }
}

/// The same from the kernel's table of all sockets, which takes milliseconds.
fn listed_client_uid(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let table = if client.is_ipv4() { procfs::net::tcp() } else { procfs::net::tcp6() };
    table
        .ok()?
        .into_iter()
        .find(|entry| entry.local_address == client && entry.remote_address == server)
        .filter(|entry| entry.state == TcpState::Established && entry.inode != 0)
        .map(|entry| entry.uid)
}

/// The process that listens on a TCP port of this machine, and its name; `None` if it is another user's or gone.
///
/// Walks every process: only for explaining a refusal.
pub fn listener(port: u16) -> Option<(u32, String)> {
    use procfs::process::FDTarget;
    let socket = procfs::net::tcp()
        .ok()?
        .into_iter()
        .find(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)?;
    let holds = |process: &procfs::process::Process| {
        process.fd().is_ok_and(|mut all| {
            all.any(|one| one.is_ok_and(|one| matches!(one.target, FDTarget::Socket(inode) if inode == socket.inode)))
        })
    };
    let holder = procfs::process::all_processes().ok()?.flatten().find(holds)?;
    Some((u32::try_from(holder.pid).ok()?, holder.stat().ok()?.comm))
}

/// The user that this process acts as.
pub fn my_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ways_to_ask_agree_and_a_closed_client_proves_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stream = TcpStream::connect(server).unwrap();
        let (_accepted, client) = listener.accept().unwrap();
        assert_eq!(tcp_client_uid(client, server), Some(my_uid()));
        assert_eq!(listed_client_uid(client, server), Some(my_uid()));
        drop(stream);
        assert_eq!(tcp_client_uid(client, server), None);
        assert_eq!(listed_client_uid(client, server), None);
    }
}
