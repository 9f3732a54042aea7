//! TCP and UDP sockets of one port.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use crate::error::BindError;

/// Binds both; with port 0 to the same free port.
pub(super) fn both(addr: SocketAddr) -> Result<(TcpListener, UdpSocket), BindError> {
    let mut tries = if addr.port() == 0 { FREE_PORT_TRIES_MAX } else { 1 };
    loop {
        tries -= 1;
        match once(addr) {
            // The port that is free for TCP may be taken for UDP.
            Err(BindError::InUse { .. }) if tries > 0 => {}
            result => return result,
        }
    }
}

fn once(addr: SocketAddr) -> Result<(TcpListener, UdpSocket), BindError> {
    let tcp = TcpListener::bind(addr).map_err(|error| explain(addr, "TCP", error))?;
    let same = tcp.local_addr().map_err(|error| explain(addr, "TCP", error))?;
    let udp = UdpSocket::bind(same).map_err(|error| explain(same, "UDP", error))?;
    tcp.set_nonblocking(true).map_err(|error| explain(same, "TCP", error))?;
    Ok((tcp, udp))
}

fn explain(addr: SocketAddr, protocol: &'static str, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { addr, protocol },
        _ => BindError::Address { addr, protocol, source },
    }
}

/// One failure is rare, this many mean that something else is wrong.
const FREE_PORT_TRIES_MAX: u32 = 32;
