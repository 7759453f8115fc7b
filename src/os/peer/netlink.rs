//! Asks the kernel about one TCP socket, by its two ends (`sock_diag(7)`).
//!
//! Its table of all sockets, `/proc/net/tcp`, takes milliseconds to walk, however few there are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect,
    netlink::{SOCK_DIAG, SocketAddrNetlink},
    recv, send, socket_with,
};

/// What the kernel says of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    /// The user that it belongs to.
    pub(super) uid: u32,
    /// Its state, 1 for an established connection.
    pub(super) state: u8,
    /// 0 when no process holds it any more.
    pub(super) inode: u32,
}

/// `SOCK_DIAG_BY_FAMILY`, also the type of the answer.
const BY_FAMILY: u16 = 20;

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;

const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `struct nlmsghdr`.
const HEAD: usize = 16;

/// `struct inet_diag_sockid`.
const ENDS: usize = 48;

/// `struct inet_diag_req_v2`.
const QUESTION: usize = HEAD + 8 + ENDS;

/// `struct inet_diag_msg`.
const ANSWER: usize = HEAD + 4 + ENDS + 20;

/// The socket that is bound to `own` and connected to `peer`; `None` when the kernel names none.
pub(super) fn socket(own: SocketAddr, peer: SocketAddr) -> Option<Socket> {
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG)).ok()?;
    // Connected to port 0, the kernel's, it takes nobody else's words.
    connect(&kernel, &SocketAddrNetlink::new(0, 0)).ok()?;
    send(&kernel, &question(own, peer), SendFlags::empty()).ok()?;
    let mut answer = [0; 512];
    // The kernel has answered before the sending returned.
    let (_, length) = recv(&kernel, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    read(answer.get(..length)?, own, peer)
}

fn question(own: SocketAddr, peer: SocketAddr) -> [u8; QUESTION] {
    let family = if own.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut bytes = Vec::with_capacity(QUESTION);
    bytes.extend(u32::try_from(QUESTION).unwrap_or_default().to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    // In any state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(own.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(padded(own.ip()));
    bytes.extend(padded(peer.ip()));
    // On any interface, whatever its cookie.
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([0xff; 8]);
    let mut question = [0; QUESTION];
    question.copy_from_slice(&bytes);
    question
}

fn padded(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Reads an answer. The kernel may name a listening socket where there is no connection, so the ends are compared.
fn read(answer: &[u8], own: SocketAddr, peer: SocketAddr) -> Option<Socket> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if answer.len() < ANSWER || answer.get(4..6)? != BY_FAMILY.to_ne_bytes() {
        return None;
    }
    let (family, state, ends) = (*answer.get(HEAD)?, *answer.get(HEAD + 1)?, HEAD + 4);
    let ip = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = answer.get(at..at + 16)?.try_into().ok()?;
        match family {
            AF_INET => Some(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()),
            AF_INET6 => Some(Ipv6Addr::from(octets).to_canonical()),
            _ => None,
        }
    };
    let same = port(ends)? == own.port()
        && port(ends + 2)? == peer.port()
        && ip(ends + 4)? == own.ip().to_canonical()
        && ip(ends + 20)? == peer.ip().to_canonical();
    let facts = ends + ENDS;
    same.then_some(Socket { uid: number(facts + 12)?, state, inode: number(facts + 16)? })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn one_connection_is_found_by_its_ends_and_nothing_else_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        let own = client.local_addr().unwrap();
        let seen = socket(own, server).unwrap();
        assert_eq!((seen.uid, seen.state), (super::super::my_uid(), 1));
        assert_ne!(seen.inode, 0);
        let other = SocketAddr::new(own.ip(), own.port() ^ 1);
        assert_eq!(socket(other, server).filter(|seen| seen.state == 1), None);
        // The listener is bound to the asked end, and is not the asked connection.
        assert_eq!(socket(server, SocketAddr::from(([127, 0, 0, 1], 1))), None);
    }

    #[test]
    fn an_answer_that_is_short_or_of_another_kind_says_nothing() {
        let (own, peer) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        assert_eq!(read(&[], own, peer), None);
        assert_eq!(read(&[0; ANSWER], own, peer), None);
        assert_eq!(question(own, peer).len(), 72);
    }
}
