//! Binds the stage's addresses: rules come in, listeners and the address for
//! media go out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::rules::{HOP_LIMIT, Rules};
use crate::start_error::StartError;

/// The listeners from the global to the regional one, with host and port of
/// each. Each has a loopback address of its own if the system has more than one,
/// unless the rules name an address.
pub(crate) fn listen(
    rules: &Rules,
    media_address: IpAddr,
) -> Result<(Vec<TcpListener>, Vec<String>), StartError> {
    if rules.hops > HOP_LIMIT {
        return Err(StartError::Hops(rules.hops));
    }
    let mut listeners = Vec::new();
    let mut hosts = Vec::new();
    for hop in 0..=rules.hops {
        let port = match hop {
            0 => rules.port,
            _ if hop == rules.hops => rules.regional_port,
            _ => rules.hop_ports.get(hop - 1).copied().unwrap_or(0),
        };
        let address = rules.bind.unwrap_or(loopback(hop));
        let (listener, host) = listen_on(SocketAddr::new(address, port), media_address)?;
        hosts.push(host);
        listeners.push(listener);
    }
    Ok((listeners, hosts))
}

/// The page's listener, with its host and port, if the rules have a page.
pub(crate) fn listen_page(
    rules: &Rules,
    media_address: IpAddr,
) -> Result<Option<(TcpListener, String)>, StartError> {
    let address = rules.bind.unwrap_or(loopback(0));
    let address = rules.page_port.map(|port| SocketAddr::new(address, port));
    address
        .map(|address| listen_on(address, media_address))
        .transpose()
}

/// All addresses of the system are none that a URL could have; the one for media
/// stands for them.
fn listen_on(
    address: SocketAddr,
    media_address: IpAddr,
) -> Result<(TcpListener, String), StartError> {
    let listener = bind(address).map_err(|error| StartError::Bind(address, error))?;
    let mut address = listener.local_addr().map_err(StartError::Runtime)?;
    if address.ip().is_unspecified() {
        address.set_ip(media_address);
    }
    Ok((listener, address.to_string()))
}

fn loopback(hop: usize) -> IpAddr {
    let offset = u32::try_from(hop).unwrap_or(0) & 0xffff;
    Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + offset).into()
}

/// Rust sets `SO_REUSEADDR` on Unix, so a stage can use the ports of one that
/// has just ended, though its connections are still in `TIME_WAIT`.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).or_else(|error| match error.kind() {
        // Some systems have 127.0.0.1 as their only loopback address.
        io::ErrorKind::AddrNotAvailable => TcpListener::bind((Ipv4Addr::LOCALHOST, address.port())),
        _ => Err(error),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Fails at the start, not at each POST, if this host doesn't have the address.
pub(crate) fn check_media_address(address: IpAddr) -> Result<(), StartError> {
    let address = SocketAddr::new(address, 0);
    let socket = UdpSocket::bind(address);
    socket.map_err(|error| StartError::Bind(address, error))?;
    Ok(())
}

/// The first IPv4 address that is neither loopback nor link-local.
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
