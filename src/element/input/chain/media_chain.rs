//! The elements for one kind of media.

use std::sync::Arc;

use gst::prelude::*;

use super::super::pad_stream::PadStream;
use super::super::rtp_sender::RtpSender;
use super::super::stream_format::CapsError;
use super::EncoderSetup;
use super::elements::entrance;
use super::encoded;
use super::kind::MediaKind;
use super::raw_audio::RawAudioChain;
use super::raw_buffers::SizeCheck;
use super::raw_video::RawVideoChain;
use super::settings::ChainSettings;

/// The elements for one kind of media.
pub(super) struct Chain {
    pub(super) bin: gst::Bin,
    pub(super) kind: MediaKind,
    pub(super) parts: Parts,
}

pub(super) enum Parts {
    Encoded,
    Audio(RawAudioChain),
    Video(Box<RawVideoChain>),
}

impl Chain {
    /// `None` for RTP, which needs no elements.
    pub(super) fn new(
        name: &str,
        kind: &MediaKind,
        settings: &ChainSettings,
        failed: &[String],
        setup: &EncoderSetup<'_>,
    ) -> Result<Option<Self>, CapsError> {
        let (bin, parts) = match kind {
            MediaKind::Rtp => return Ok(None),
            MediaKind::Opus => (encoded::opus(name)?, Parts::Encoded),
            MediaKind::H264 => (encoded::h264(name)?, Parts::Encoded),
            MediaKind::RawAudio(_) => {
                let (bin, chain) = RawAudioChain::new(name)?;
                (bin, Parts::Audio(chain))
            }
            MediaKind::RawVideo(video) => {
                let (bin, chain) = RawVideoChain::new(name, video, settings, failed, setup)?;
                (bin, Parts::Video(Box::new(chain)))
            }
        };
        Ok(Some(Self {
            bin,
            kind: kind.clone(),
            parts,
        }))
    }

    pub(super) fn set_format(&self, kind: &MediaKind, settings: &ChainSettings) {
        match (&self.parts, kind) {
            (Parts::Audio(chain), MediaKind::RawAudio(audio)) => chain.set_format(*audio, settings),
            (Parts::Video(chain), MediaKind::RawVideo(video)) => chain.set_format(video, settings),
            _ => {}
        }
    }

    /// Begins with this format, and with the bit rate of the session that goes on, in bit/s.
    pub(super) fn begin(&self, kind: &MediaKind, settings: &ChainSettings, target: Option<u64>) {
        let (Parts::Video(video), Some(target)) = (&self.parts, target) else {
            return self.set_format(kind, settings);
        };
        // The picture's own bit rate must not be set even once, and is the upper bound then.
        video.hold(target);
        self.set_format(kind, settings);
        video.hold(target);
        video.fit_picture(target);
    }

    pub(super) fn has_failed(&self) -> bool {
        match &self.parts {
            Parts::Video(video) => video.watch.has_failed(),
            _ => false,
        }
    }

    /// Lets raw media reach the elements only as their caps say, and pictures only while the
    /// stream may leave.
    pub(super) fn watch_buffers(&self, stream: &Arc<PadStream>, sizes: &Arc<SizeCheck>) {
        hide_changes(&self.bin);
        match &self.parts {
            Parts::Video(video) => video.watch_pictures(stream, sizes),
            Parts::Audio(_) => check_sizes(&self.bin, stream, sizes),
            Parts::Encoded => {}
        }
    }

    /// Before it is linked, so that its pads are active when the first event comes.
    pub(super) fn enter(
        &self,
        bin: &gst::Bin,
        sync: &gst::Element,
        sender: &RtpSender,
    ) -> Result<(), glib::BoolError> {
        // The element may change its state now, which must not fail with what does not start.
        self.bin.set_locked_state(true);
        bin.add(&self.bin)?;
        self.bin.link_pads(Some("src"), sender, Some("sink"))?;
        self.bin.sync_state_with_parent()?;
        self.bin.set_locked_state(false);
        self.bin.sync_state_with_parent()?;
        sync.link_pads(Some("src"), &self.bin, Some("sink"))
    }

    /// The element that does not start. Of a bin that does not, all elements are back in the
    /// state that they had, so they are tried again, in the order in which a bin does it.
    pub(super) fn element_that_fails(&self) -> Option<gst::Element> {
        let mut elements = self.bin.iterate_sorted().into_iter().flatten();
        elements.find(|element| element.set_state(gst::State::Paused).is_err())
    }

    /// The element of the row that an object is, or that has it inside.
    pub(super) fn element_with(&self, child: &gst::Object) -> Option<gst::Element> {
        let mut elements = self.bin.iterate_elements().into_iter().flatten();
        elements.find(|element| {
            child == element.upcast_ref::<gst::Object>() || child.has_as_ancestor(element)
        })
    }

    pub(super) fn leave(&self, bin: &gst::Bin) {
        self.bin.set_locked_state(true);
        let _ = self.bin.set_state(gst::State::Null);
        if self.bin.parent().as_ref() == Some(bin.upcast_ref()) {
            let _ = bin.remove(&self.bin);
        }
    }
}

/// Keeps from upstream that caps change in here: what the pad takes stays the same, and a
/// source that negotiates anew stutters.
fn hide_changes(bin: &gst::Bin) {
    if let Some(sink) = entrance(bin) {
        sink.add_probe(gst::PadProbeType::EVENT_UPSTREAM, |_, info| {
            match info.event().map(|event| event.type_()) {
                Some(gst::EventType::Reconfigure) => {
                    // The bindings don't leave it to GStreamer, which would for Drop.
                    drop(info.data.take());
                    gst::PadProbeReturn::Handled
                }
                _ => gst::PadProbeReturn::Ok,
            }
        });
    }
}

/// Leaves out raw audio that is not what its caps say.
fn check_sizes(bin: &gst::Bin, stream: &Arc<PadStream>, sizes: &Arc<SizeCheck>) {
    let (stream, sizes) = (stream.clone(), sizes.clone());
    if let Some(sink) = entrance(bin) {
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) if !sizes.passes(buffer, &stream) => {
                // The bindings don't leave it to GStreamer, which would for Drop.
                drop(info.data.take());
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        });
    }
}
