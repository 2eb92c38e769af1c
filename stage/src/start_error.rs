//! Why a stage does not start.

use std::net::SocketAddr;
use std::{error, fmt, io};

use crate::participant_token::KeyError;

/// Why a stage did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address of a listener, or of the media, can't be had.
    Bind(SocketAddr, io::Error),
    /// The host's addresses can't be listed.
    Interfaces(io::Error),
    /// The host has no IPv4 address but loopback, where WebRTC clients don't
    /// look for each other.
    NoMediaAddress,
    /// There is no signing key.
    Key(KeyError),
    /// The thread or its runtime can't be had.
    Runtime(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(f, "can't use {address}: {error}"),
            Self::Interfaces(error) => write!(f, "can't list this host's addresses: {error}"),
            Self::NoMediaAddress => f.write_str(
                "this host has no IPv4 address but loopback, on which WebRTC clients never \
                 connect; bring a network interface up or name an address for the media",
            ),
            Self::Key(error) => write!(f, "no key to sign tokens with: {error}"),
            Self::Runtime(error) => write!(f, "can't start the stage's thread: {error}"),
        }
    }
}

impl error::Error for StartError {}
