//! The chain for raw video: a picture within the limits of IVS, and H.264 of constrained
//! baseline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gst::prelude::*;

use super::super::encoder::Encoder;
use super::super::pad_stream::PadStream;
use super::super::stream_format::CapsError;
use super::elements::{Row, factory_name};
use super::encoded::pay_h264;
use super::encoder_watch::EncoderWatch;
use super::kind::RawVideo;
use super::picture_repeater::{Passage, PictureRepeater};
use super::raw_buffers::SizeCheck;
use super::settings::ChainSettings;
use super::video_encoders::{Refusal, VideoEncoder, candidates, no_encoder, set_up, upload};
use super::{BAD, BASE, EncoderSetup, GOOD};
use crate::element::log::CAT;
use crate::ivs::{KEY_FRAME_DISTANCE, MIN_FRAME_RATE, PICTURE_BOUNDS, suggested_bit_rate};
use crate::media::{FittedPicture, PictureSize, PictureStep, PictureSteps};

/// What the encoders take.
const FORMATS: [&str; 2] = ["I420", "NV12"];

/// The elements whose settings follow the caps and the network.
pub(super) struct RawVideoChain {
    repeater: PictureRepeater,
    scale: gst::Element,
    filter: gst::Element,
    pub(super) encoder: gst::Element,
    /// Its bit rate, if that is known to follow.
    pub(super) bit_rate: Option<Encoder>,
    /// What was set on the encoder, as a launch line has it.
    pub(super) encoder_settings: String,
    /// Those that were tried before it.
    pub(super) passed_over: Vec<Refusal>,
    pub(super) watch: Arc<EncoderWatch>,
    /// Whether the application has set the encoder up.
    is_applications: bool,
    picture: Mutex<Picture>,
    built: Instant,
}

/// An encoder whose device is open.
struct OpenEncoder {
    element: gst::Element,
    /// As in [`RawVideoChain`].
    settings: String,
    is_applications: bool,
    /// As in [`RawVideoChain`].
    passed_over: Vec<Refusal>,
}

/// The picture that leaves.
#[derive(Clone, Default)]
struct Picture {
    /// The whole one, within the limits of IVS.
    full: Option<FullPicture>,
    steps: PictureSteps,
    step: Option<PictureStep>,
}

#[derive(Clone, Copy)]
struct FullPicture {
    size: PictureSize,
    /// In frames a second.
    frame_rate: f64,
    max_frame_rate: u32,
    /// What suits it, in bit/s.
    bit_rate: u64,
}

impl RawVideoChain {
    /// `failed` are the factories of encoders that do not work.
    pub(super) fn new(
        name: &str,
        video: &RawVideo,
        settings: &ChainSettings,
        failed: &[String],
        setup: &EncoderSetup<'_>,
    ) -> Result<(gst::Bin, Self), CapsError> {
        let mut row = Row::new(name);
        let repeater = PictureRepeater::new();
        row.push(repeater.clone().upcast())?;
        let converters = video
            .converter
            .map_or(&[][..], |converter| converter.elements);
        for &converter in converters {
            row.add(converter, BAD_OR_GL)?;
        }
        if video.is_interlaced {
            row.add("deinterlace", GOOD)?;
        }
        let rate = row.add("videorate", BASE)?;
        // Otherwise it holds each picture until the next one comes.
        rate.set_property("drop-only", true);
        rate.set_property("skip-to-first", true);
        let scale = row.add("videoconvertscale", BASE)?;
        let filter = row.add_filter(&gst::Caps::new_any())?;
        // A phone's film is upright by a tag. Behind the scaler there is less to turn, and a
        // picture that fits upright fits lying down.
        let flip = row.add("videoflip", GOOD)?;
        flip.set_property_from_str("video-direction", "auto");
        let OpenEncoder {
            element: encoder,
            settings: encoder_settings,
            is_applications,
            passed_over,
        } = open_encoder(settings, failed, setup)?;
        // It is open, and must not be dropped so.
        encode(&mut row, &encoder).inspect_err(|_| {
            let _ = encoder.set_state(gst::State::Null);
        })?;
        let chain = Self {
            repeater,
            scale,
            filter,
            watch: EncoderWatch::new(&encoder),
            bit_rate: Encoder::new(&encoder),
            encoder,
            encoder_settings,
            passed_over,
            is_applications,
            picture: Mutex::default(),
            built: Instant::now(),
        };
        Ok((row.finish()?, chain))
    }

    /// Lets pictures reach the encoder only while the stream may leave.
    pub(super) fn watch_pictures(&self, stream: &Arc<PadStream>, sizes: &Arc<SizeCheck>) {
        self.repeater.begin(Passage {
            stream: stream.clone(),
            sizes: sizes.clone(),
            watch: self.watch.clone(),
        });
    }

    /// Sets the chain up for this format.
    pub(super) fn set_format(&self, video: &RawVideo, settings: &ChainSettings) {
        let FittedPicture { size, has_borders } = video.size.fit(video.pixel_shape, PICTURE_BOUNDS);
        // Where rounding changes the shape by a pixel, no border is wanted.
        self.scale.set_property("add-borders", has_borders);
        self.repeater.set_repeats(video.repeats());
        let max_frame_rate = settings.max_frame_rate;
        let rate = video.frame_rate_with_repeats();
        let rate = rate.unwrap_or(f64::from(max_frame_rate));
        let frame_rate = rate.clamp(f64::from(MIN_FRAME_RATE), f64::from(max_frame_rate));
        let bit_rate = suggested_bit_rate(size, frame_rate);
        self.picture().full = Some(FullPicture {
            size,
            frame_rate,
            max_frame_rate,
            bit_rate,
        });
        self.apply_picture();
        if let Some(encoder) = self.bit_rate.as_ref().filter(|_| !self.is_applications) {
            encoder.set_users(settings.video_bit_rate(bit_rate));
        }
    }

    /// Begins with the whole picture, as a session does.
    pub(super) fn begin_whole(&self) {
        {
            let mut picture = self.picture();
            (picture.steps, picture.step) = (PictureSteps::default(), None);
        }
        self.apply_picture();
    }

    /// Sets the bit rate of the session that goes on, in bit/s.
    pub(super) fn hold(&self, bit_rate: u64) {
        if let Some(encoder) = &self.bit_rate {
            encoder.hold(bit_rate);
        }
    }

    /// Makes the picture smaller or slower where a bit rate is too low for it, and whole
    /// again where it is not.
    pub(super) fn fit_picture(&self, bit_rate: u64) {
        let now = self.built.elapsed();
        let is_new = {
            let mut picture = self.picture();
            let Some(full) = picture.full else {
                return;
            };
            let step = picture.steps.update(bit_rate, full.bit_rate, now);
            picture.step.replace(step) != Some(step)
        };
        if is_new {
            self.apply_picture();
        }
    }

    /// Sets the caps of the picture that suits. Another thread may do so at the same time:
    /// the newest picture has to win.
    fn apply_picture(&self) {
        loop {
            let caps = self.picture().caps();
            if self.filter.property::<gst::Caps>("caps") != caps {
                gst::info!(CAT, obj = self.filter, "the picture is {caps}");
                self.filter.set_property("caps", &caps);
            }
            if self.picture().caps() == caps {
                return;
            }
        }
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Picture {
    /// The caps of the picture that suits.
    fn caps(&self) -> gst::Caps {
        let Some(full) = self.full else {
            return gst::Caps::new_any();
        };
        let (scale, divisor) = self
            .step
            .map_or(((1, 1), 1), |step| (step.scale, step.rate_divisor));
        let size = full.size.reduced(scale, PICTURE_BOUNDS.min);
        let slower = full.frame_rate / f64::from(divisor);
        let max_rate = match divisor {
            1 => full.max_frame_rate,
            // At most 60, so nothing is cut off.
            _ => (slower.round() as u32).max(MIN_FRAME_RATE),
        };
        picture_caps(size, max_rate)
    }
}

/// An encoder that opens, and its settings.
fn open_encoder(
    settings: &ChainSettings,
    failed: &[String],
    setup: &EncoderSetup<'_>,
) -> Result<OpenEncoder, CapsError> {
    let mut refused = Vec::new();
    for (name, known) in candidates(settings, failed) {
        let Ok(encoder) = gst::ElementFactory::make(name).build() else {
            refused.push(Refusal::new(name, "can't be made"));
            continue;
        };
        let is_applications = setup(&encoder);
        let applied = match known.filter(|_| !is_applications) {
            Some(known) => set_up_for(&encoder, known, settings),
            None => String::new(),
        };
        // Hardware encoders open their device here.
        let is_open = encoder.set_state(gst::State::Ready).is_ok();
        if is_open && makes_h264(&encoder) {
            return Ok(OpenEncoder {
                element: encoder,
                settings: applied,
                is_applications,
                passed_over: refused,
            });
        }
        let _ = encoder.set_state(gst::State::Null);
        let why = match is_open {
            true => "makes no H.264 of constrained baseline of raw video",
            false => "does not open",
        };
        refused.push(Refusal::new(name, why));
    }
    refused.extend(failed.iter().map(|name| Refusal::new(name, "failed")));
    Err(no_encoder(settings, &refused))
}

/// Adds the encoder, and what it needs to get the row's pictures and to make what leaves.
fn encode(row: &mut Row, encoder: &gst::Element) -> Result<(), CapsError> {
    if let Some((upload, package)) = upload(&factory_name(encoder)) {
        row.add(upload, package)?;
    }
    row.push(encoder.clone())?;
    // VideoToolbox's makes AVC only.
    if !can(encoder, "src", &byte_stream()) {
        row.add_filter(&h264_caps())?;
        let parser = row.add("h264parse", BAD)?;
        parser.set_property("config-interval", -1);
    }
    row.add_filter(&byte_stream())?;
    pay_h264(row)
}

/// Whether an encoder takes pictures and makes what leaves of them, as far as its open
/// device can tell.
fn makes_h264(encoder: &gst::Element) -> bool {
    let is_uploaded = upload(&factory_name(encoder)).is_some();
    let pictures = gst::Caps::builder("video/x-raw").field("format", gst::List::new(FORMATS));
    let pictures = match is_uploaded {
        true => pictures.any_features().build(),
        false => pictures.build(),
    };
    can(encoder, "sink", &pictures)
        && !can(encoder, "sink", &h264_caps())
        && can(encoder, "src", &h264_caps())
}

fn can(encoder: &gst::Element, pad: &str, caps: &gst::Caps) -> bool {
    let pad = encoder.static_pad(pad);
    pad.is_some_and(|pad| pad.query_caps(None).can_intersect(caps))
}

fn set_up_for(encoder: &gst::Element, known: &VideoEncoder, settings: &ChainSettings) -> String {
    set_up(encoder, known, KEY_FRAME_DISTANCE * settings.max_frame_rate)
}

fn picture_caps(size: PictureSize, max_rate: u32) -> gst::Caps {
    let side = |side| i32::try_from(side).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw")
        .field("format", gst::List::new(FORMATS))
        .field("width", side(size.width))
        .field("height", side(size.height))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field("framerate", rates(max_rate))
        .build()
}

/// GStreamer takes no range of one value.
fn rates(max: u32) -> glib::SendValue {
    let rate = |rate| gst::Fraction::new(i32::try_from(rate).unwrap_or(i32::MAX), 1);
    match max > MIN_FRAME_RATE {
        true => gst::FractionRange::new(rate(MIN_FRAME_RATE), rate(max)).to_send_value(),
        false => rate(MIN_FRAME_RATE).to_send_value(),
    }
}

/// The profiles that leave.
fn h264_caps() -> gst::Caps {
    gst::Caps::builder("video/x-h264")
        .field(
            "profile",
            gst::List::new(["constrained-baseline", "baseline"]),
        )
        .build()
}

/// In which metadata can be inserted.
fn byte_stream() -> gst::Caps {
    let mut caps = h264_caps();
    let fields = caps.make_mut();
    fields.set("stream-format", "byte-stream");
    fields.set("alignment", "au");
    caps
}

const BAD_OR_GL: &str = "gstreamer1.0-gl or gstreamer1.0-plugins-bad";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_highest_frame_rate_is_a_limit_too() {
        gst::init().unwrap();
        let size = PictureSize {
            width: 640,
            height: 360,
        };
        let offered = "video/x-raw,framerate=[1/1,60/1]"
            .parse::<gst::Caps>()
            .unwrap();
        for (max, expected) in [(10, "10/1"), (8, "10/1"), (15, "[ 10/1, 15/1 ]")] {
            let caps = picture_caps(size, max).intersect(&offered);
            let rate = caps.structure(0).unwrap().value("framerate").unwrap();
            let expected = format!("framerate=(fraction){expected}");
            assert!(caps.to_string().contains(&expected), "{max}: {rate:?}");
        }
    }
}
