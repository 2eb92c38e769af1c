//! The peer connection: the only code that calls webrtcbin.
//!
//! In: pads to publish, ICE settings, an answer. Out: an offer, news of the
//! connection, and the far end's reports. webrtcbin's signals, promises and quirks
//! are handled in here.

mod black_source;
mod dtls_timers;
mod element_removal;
mod ice_server;
mod log_redaction;
mod peer_connection;
pub(super) mod plugin_preload;
mod promises;
mod transport_watch;
mod uplink_tap;
mod webrtc_stats;
mod webrtcbin;

pub(super) use peer_connection::{Peer, PeerParts};
pub(super) use webrtc_stats::Candidate;
pub(super) use webrtcbin::Source;
