//! The sink pads, and the elements between a pad and webrtcbin.
//!
//! In: RTP buffers, caps and events from upstream, on its streaming threads. Out:
//! media through an open gate, news for the conductor, and measurements of each
//! stream.

mod arrivals;
mod caps;
mod chain;
mod departure;
mod encoder;
mod gate;
mod known_encoders;
mod latency;
mod media_pad;
mod outgoing;
mod pacing;
mod pad_event;
mod pad_list;
mod pad_stream;
mod pad_timing;
mod property_bounds;
mod rtp_sender;
mod stream_format;
mod traffic_meter;
mod upstream;
mod upstream_encoder;

pub(super) use chain::accepted_caps;
pub(super) use encoder::{Encoder, EncoderError};
pub(super) use latency::Latency;
pub(super) use media_pad::MediaPad;
pub(super) use pacing::Pacing;
pub(super) use pad_event::PadEvent;
pub(super) use pad_list::PadList;
pub(super) use pad_stream::OpenGate;
pub(super) use pad_timing::NEVER_HELD;
pub(super) use stream_format::{CapsError, PadState, StreamFormat};
pub(super) use traffic_meter::Traffic;
pub(super) use upstream::{UpstreamEnds, upstream_ends};
