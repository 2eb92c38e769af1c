//! The addresses that a stage takes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::rules::Rules;
use crate::start_error::StartError;

/// Listeners from the global one to the regional one, each on another loopback
/// address where the system has more than one.
pub(crate) fn listen(rules: &Rules) -> Result<(Vec<TcpListener>, Vec<String>), StartError> {
    let mut listeners = Vec::new();
    let mut hosts = Vec::new();
    for hop in 0..=rules.hops {
        let port = match hop {
            0 => rules.port,
            _ if hop == rules.hops => rules.regional_port,
            _ => rules.hop_ports.get(hop - 1).copied().unwrap_or(0),
        };
        let address = SocketAddr::new(loopback(hop), port);
        let listener = bind(address).map_err(|error| StartError::Bind(address, error))?;
        let address = listener.local_addr().map_err(StartError::Runtime)?;
        hosts.push(address.to_string());
        listeners.push(listener);
    }
    Ok((listeners, hosts))
}

fn loopback(hop: usize) -> IpAddr {
    let offset = u32::try_from(hop).unwrap_or(0) & 0xffff;
    Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + offset).into()
}

/// Rust's listeners have `SO_REUSEADDR` on Unix, so that a stage can take the
/// ports of one that has just ended, whose connections linger in `TIME_WAIT`.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).or_else(|error| match error.kind() {
        // Some systems have 127.0.0.1 only.
        io::ErrorKind::AddrNotAvailable => TcpListener::bind((Ipv4Addr::LOCALHOST, address.port())),
        _ => Err(error),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Finds out now, and not at each POST, that an address isn't this host's.
pub(crate) fn check_media_address(address: IpAddr) -> Result<(), StartError> {
    let address = SocketAddr::new(address, 0);
    let socket = UdpSocket::bind(address);
    socket.map_err(|error| StartError::Bind(address, error))?;
    Ok(())
}

pub(crate) fn first_media_address() -> Result<IpAddr, StartError> {
    let interfaces = if_addrs::get_if_addrs().map_err(StartError::Interfaces)?;
    let mut addresses = interfaces.iter().map(if_addrs::Interface::ip);
    addresses
        .find(|address| match address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(_) => false,
        })
        .ok_or(StartError::NoMediaAddress)
}
