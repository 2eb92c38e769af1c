//! The application's messages for the video, from the signal `send-metadata` to the pad.

use std::fmt;

use super::bus_messages;
use super::run::ElementState;
use crate::ivs::MetadataError;
use crate::whip::Track;

/// Why a message is not sent.
enum Refused {
    /// The element is not started.
    Stopped,
    /// No video comes in.
    NoVideo,
    /// Video comes in packets that are made already.
    RtpVideo,
    Bound(MetadataError),
}

impl Refused {
    fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::NoVideo => "no-video",
            Self::RtpVideo => "rtp-video",
            Self::Bound(error) => error.bound(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => {
                f.write_str("the element is stopped; send metadata in the session state publishing")
            }
            Self::NoVideo => f.write_str(
                "they travel with the video, and none comes in; link encoded or raw video, and \
                 send metadata when it has caps",
            ),
            Self::RtpVideo => f.write_str(
                "they are put into frames, and the video comes as RTP; link encoded or raw video: \
                 leave out the payloader",
            ),
            Self::Bound(error) => error.fmt(f),
        }
    }
}

/// Sends a message with the next frame of the video, and with `repeat` frames after it.
/// If it can't be, posts a warning and returns false.
pub(super) fn send(element: &gst::Element, state: &ElementState, data: &[u8], repeat: u32) -> bool {
    match try_send(state, data, repeat) {
        Ok(()) => true,
        Err(refused) => {
            let text = format!("Metadata were not sent: {refused}.");
            bus_messages::post_metadata_warning(element, refused.name(), &text);
            false
        }
    }
}

fn try_send(state: &ElementState, data: &[u8], repeat: u32) -> Result<(), Refused> {
    if state.run().is_none() {
        return Err(Refused::Stopped);
    }
    let mut pads = state.pads.get();
    pads.retain(|pad| !pad.state().has_ended);
    match pads.iter().find_map(|pad| pad.metadata()) {
        Some(metadata) => metadata.push(data, repeat).map_err(Refused::Bound),
        None => {
            let mut formats = pads.iter().filter_map(|pad| pad.format());
            match formats.any(|format| format.track == Track::Video) {
                true => Err(Refused::RtpVideo),
                false => Err(Refused::NoVideo),
            }
        }
    }
}
