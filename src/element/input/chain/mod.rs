//! The elements between a pad's clocksync and its RTP sender: what makes RTP of the media
//! that come in.
//!
//! ```text
//! RTP        nothing
//! Opus       opusparse ► rtpopuspay
//! H.264      h264parse ► metadata ► rtph264pay
//! raw audio  audioconvert ► audioresample ► opusenc ► rtpopuspay
//! raw video  repeater ► videorate ► videoconvertscale ► videoflip ► encoder ► metadata
//!            ► rtph264pay
//! ```
//!
//! *repeater* fills up slow video, *metadata* is a probe that inserts the application's
//! messages.
//!
//! A chain is built at the first caps, on the pad's streaming thread, and replaced when
//! media of another kind come.

mod accepted_caps;
mod audio_clock;
mod elements;
mod encoded;
mod encoder_watch;
mod kind;
mod media_chain;
mod memory;
mod metadata;
mod pad_chain;
mod picture_repeater;
mod picture_repeats;
mod raw_audio;
mod raw_buffers;
mod raw_video;
mod settings;
mod timestamps;
mod video_encoders;

pub(crate) use accepted_caps::accepted_caps;
pub(super) use accepted_caps::advised_caps;
pub(crate) use metadata::Metadata;
pub(super) use pad_chain::PadChain;

/// Debian's packages with the elements.
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";

/// Lets the application set an encoder up. Returns whether it did.
type EncoderSetup<'a> = dyn Fn(&gst::Element) -> bool + 'a;
