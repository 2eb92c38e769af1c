//! Why a stage does not start.

use std::net::SocketAddr;
use std::{error, fmt, io};

use crate::participant_token::KeyError;
use crate::rules::HOP_LIMIT;

/// Why a stage did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address of a listener or of the media can't be bound.
    Bind(SocketAddr, io::Error),
    /// There are more hops than a stage has listeners for.
    Hops(usize),
    /// The system doesn't list the host's addresses.
    Interfaces(io::Error),
    /// The host has no IPv4 address except loopback and link-local ones, and
    /// WebRTC clients don't connect over loopback.
    NoMediaAddress,
    /// The signing key can't be read or made.
    Key(KeyError),
    /// The thread or its runtime can't be started.
    Runtime(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(f, "can't use {address}: {error}"),
            Self::Hops(hops) => write!(
                f,
                "can't redirect {hops} times: expected at most {HOP_LIMIT} hops"
            ),
            Self::Interfaces(error) => write!(f, "can't list this host's addresses: {error}"),
            Self::NoMediaAddress => f.write_str(
                "this host has no IPv4 address except loopback, over which WebRTC clients don't \
                 connect; bring up a network interface or set a media address",
            ),
            Self::Key(error) => write!(f, "can't load the key for tokens: {error}"),
            Self::Runtime(error) => write!(f, "can't start the stage's thread: {error}"),
        }
    }
}

impl error::Error for StartError {}
