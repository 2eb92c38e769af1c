//! What comes in at a pad, by its caps.

use super::super::stream_format::{CapsError, ForeignCodec, StreamFormat};
use super::memory::{MemoryConverter, converter};
use super::picture_repeats::Repeats;
use crate::ivs::own_profile_level_id;
use crate::media::PictureSize;
use crate::whip::Track;

/// What comes in at a pad.
#[derive(Clone, Debug)]
pub(super) enum MediaKind {
    Rtp,
    Opus,
    H264,
    RawAudio(RawAudio),
    RawVideo(RawVideo),
}

/// The format of raw audio, as far as it decides what is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawAudio {
    pub(super) channels: u32,
    /// Whether the caps say where each channel belongs. Without that, more than two can't
    /// be mixed by their places.
    pub(super) has_positions: bool,
    /// The bytes of a sample of every channel.
    pub(super) frame_bytes: usize,
    /// In samples a second.
    pub(super) rate: u32,
    /// Whether each channel lies by itself.
    pub(super) is_planar: bool,
}

/// The format of raw video, as far as it decides what is made of it.
#[derive(Clone, Debug)]
pub(super) struct RawVideo {
    pub(super) size: PictureSize,
    /// Width to height of a pixel.
    pub(super) pixel_shape: (u32, u32),
    /// In frames a second; `None` if it varies.
    pub(super) frame_rate: Option<f64>,
    pub(super) is_interlaced: bool,
    /// 0 if it is not in system memory.
    pub(super) picture_bytes: usize,
    /// For pictures that are not in system memory.
    pub(super) converter: Option<&'static MemoryConverter>,
}

/// What encoders make that a stage does not accept. Webcams with these exist, and choose
/// by the answer to a caps query, so JPEG is not in the list.
pub(super) const FOREIGN_CODECS: [ForeignCodec; 9] = [
    foreign("video/x-h265", "H.265", "avdec_h265"),
    foreign("video/x-vp8", "VP8", "vp8dec"),
    foreign("video/x-vp9", "VP9", "vp9dec"),
    foreign("video/x-av1", "AV1", "dav1ddec or av1dec"),
    foreign("audio/mpeg", "MPEG audio (AAC, MP3)", "decodebin"),
    foreign("audio/x-vorbis", "Vorbis", "vorbisdec"),
    foreign("audio/x-flac", "FLAC", "flacdec"),
    foreign("audio/x-mulaw", "G.711 (PCMU)", "mulawdec"),
    foreign("audio/x-alaw", "G.711 (PCMA)", "alawdec"),
];

const fn foreign(
    media_type: &'static str,
    name: &'static str,
    decoder: &'static str,
) -> ForeignCodec {
    ForeignCodec {
        media_type,
        name,
        decoder,
    }
}

impl MediaKind {
    /// Reads caps.
    ///
    /// # Errors
    /// [`CapsError`] if media with these caps can't be published.
    pub(super) fn of(caps: &gst::CapsRef) -> Result<Self, CapsError> {
        let nothing = || CapsError::Media("caps without a structure".to_owned());
        let structure = caps.structure(0).ok_or_else(nothing)?;
        let name = structure.name().as_str();
        match name {
            "application/x-rtp" => Ok(Self::Rtp),
            "video/x-h264" => Ok(Self::H264),
            "audio/x-opus" => opus(structure),
            "audio/x-raw" => Ok(Self::RawAudio(RawAudio::of(structure)?)),
            "video/x-raw" => {
                let mut video = RawVideo::of(structure, caps.features(0))?;
                if video.converter.is_none() {
                    video.picture_bytes = picture_bytes(caps)?;
                }
                Ok(Self::RawVideo(video))
            }
            _ => {
                let foreign = FOREIGN_CODECS.iter().find(|codec| codec.media_type == name);
                let media = || CapsError::Media(name.to_owned());
                Err(foreign.map_or_else(media, CapsError::Codec))
            }
        }
    }

    /// `None` for RTP, whose caps the last element reads.
    pub(super) fn track(&self) -> Option<Track> {
        match self {
            Self::Rtp => None,
            Self::Opus | Self::RawAudio(_) => Some(Track::Audio),
            Self::H264 | Self::RawVideo(_) => Some(Track::Video),
        }
    }

    /// What will leave, where that is known before anything is encoded. `max_frame_rate` is
    /// in frames a second.
    pub(super) fn format(&self, max_frame_rate: u32) -> Option<StreamFormat> {
        match self {
            Self::RawAudio(audio) => Some(opus_format(audio.output_channels())),
            Self::RawVideo(_) => Some(h264_format(max_frame_rate)),
            Self::Rtp | Self::Opus | Self::H264 => None,
        }
    }

    /// The factories of the elements that bring its pictures to system memory.
    pub(super) fn converters(&self) -> &'static [&'static str] {
        match self {
            Self::RawVideo(video) => video.converter.map_or(&[], |converter| converter.elements),
            _ => &[],
        }
    }

    /// Whether it is video that comes in frames, and not in packets.
    pub(super) fn has_frames(&self) -> bool {
        matches!(self, Self::H264 | Self::RawVideo(_))
    }

    /// The caps of raw video whose pictures are repeated, with the frame rate that they
    /// have then; of one that varies it is the highest that may leave, and videorate lets
    /// pictures pass as they come.
    pub(super) fn with_frame_rate(&self, caps: &gst::CapsRef, max_rate: u32) -> Option<gst::Caps> {
        let Self::RawVideo(video) = self else {
            return None;
        };
        let repeats = video.repeats()?;
        let given = caps.structure(0)?.get::<gst::Fraction>("framerate").ok();
        let times = |pictures| {
            let pictures = i32::try_from(pictures).ok()?;
            let frames = given?.numer().checked_mul(pictures)?;
            Some(gst::Fraction::new(frames, given?.denom()))
        };
        let varying = gst::Fraction::new(i32::try_from(max_rate).unwrap_or(i32::MAX), 1);
        let rate = repeats.per_picture().and_then(times).unwrap_or(varying);
        let mut caps = caps.to_owned();
        caps.make_mut().set("framerate", rate);
        Some(caps)
    }

    /// Whether the same elements fit both.
    pub(super) fn has_chain_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::RawVideo(one), Self::RawVideo(other)) => one.has_chain_of(other),
            (Self::RawAudio(one), Self::RawAudio(other)) => one.has_chain_of(*other),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

impl RawAudio {
    fn of(structure: &gst::StructureRef) -> Result<Self, CapsError> {
        let incomplete = || CapsError::Incomplete("audio", "format, rate and channels");
        let number = |name| structure.get::<i32>(name).ok();
        let number = |name| {
            u32::try_from(number(name)?)
                .ok()
                .filter(|&number| number > 0)
        };
        let (channels, rate) = number("channels")
            .zip(number("rate"))
            .ok_or_else(incomplete)?;
        let format = structure.get::<&str>("format").ok();
        let sample_bytes = format.and_then(sample_bytes).ok_or_else(incomplete)?;
        let mask = structure.get::<gst::Bitmask>("channel-mask");
        let layout = structure.get::<&str>("layout");
        Ok(Self {
            channels,
            has_positions: channels <= 2 || mask.is_ok_and(|mask| *mask != 0),
            frame_bytes: sample_bytes * channels as usize,
            rate,
            is_planar: layout.is_ok_and(|layout| layout == "non-interleaved"),
        })
    }

    /// audioconvert does not negotiate any more once its matrix was taken away, or got
    /// another size.
    fn has_chain_of(self, other: Self) -> bool {
        let mixed = |audio: Self| (!audio.has_positions).then_some(audio.channels);
        mixed(self) == mixed(other)
    }

    /// Mono stays mono, anything more becomes stereo.
    pub(super) fn output_channels(self) -> u32 {
        self.channels.min(2)
    }
}

impl RawVideo {
    fn of(
        structure: &gst::StructureRef,
        features: Option<&gst::CapsFeaturesRef>,
    ) -> Result<Self, CapsError> {
        let side = |name| {
            let side = structure.get::<i32>(name).unwrap_or_default();
            u32::try_from(side).unwrap_or_default()
        };
        let fraction = |name| {
            let fraction = structure.get::<gst::Fraction>(name).ok()?;
            let numerator = u32::try_from(fraction.numer()).ok()?;
            Some((numerator, u32::try_from(fraction.denom()).ok()?))
        };
        let frame_rate = fraction("framerate").filter(|(numerator, _)| *numerator > 0);
        let interlacing = structure.get::<&str>("interlace-mode");
        Ok(Self {
            size: PictureSize {
                width: side("width"),
                height: side("height"),
            },
            pixel_shape: fraction("pixel-aspect-ratio").unwrap_or((1, 1)),
            frame_rate: frame_rate.map(|(frames, seconds)| f64::from(frames) / f64::from(seconds)),
            is_interlaced: interlacing.is_ok_and(|mode| mode != "progressive"),
            picture_bytes: 0,
            converter: features.map_or(Ok(None), converter)?,
        })
    }

    /// When pictures have to be repeated, if they have to be.
    pub(super) fn repeats(&self) -> Option<Repeats> {
        Repeats::of(self.frame_rate)
    }

    /// In frames a second; `None` if it varies.
    pub(super) fn frame_rate_with_repeats(&self) -> Option<f64> {
        let repeats = self.repeats().and_then(Repeats::per_picture);
        Some(self.frame_rate? * f64::from(repeats.unwrap_or(1)))
    }

    fn has_chain_of(&self, other: &Self) -> bool {
        let memory = |video: &Self| video.converter.map(|converter| converter.feature);
        self.is_interlaced == other.is_interlaced && memory(self) == memory(other)
    }
}

/// The bytes of a picture with these caps.
fn picture_bytes(caps: &gst::CapsRef) -> Result<usize, CapsError> {
    let info = gst_video::VideoInfo::from_caps(caps).ok();
    info.map(|info| info.size())
        .ok_or(CapsError::Incomplete("video", "format, width and height"))
}

/// The bytes of a sample of a format such as `S16LE` or `S24_32LE`, whose last number is
/// the width in bits.
fn sample_bytes(format: &str) -> Option<usize> {
    let mut numbers = format.split(|character: char| !character.is_ascii_digit());
    let width = numbers.rfind(|number| !number.is_empty())?;
    let bits = width.parse::<usize>().ok().filter(|bits| *bits <= 64)?;
    Some(bits.div_ceil(8))
}

/// Reads Opus caps.
fn opus(structure: &gst::StructureRef) -> Result<MediaKind, CapsError> {
    let family = structure.get::<i32>("channel-mapping-family").unwrap_or(0);
    let channels = structure.get::<i32>("channels").unwrap_or(2);
    // Family 0 has one or two channels (RFC 7845 5.1.1.1).
    match family == 0 && channels <= 2 {
        true => Ok(MediaKind::Opus),
        false => Err(CapsError::OpusChannels),
    }
}

fn opus_format(channels: u32) -> StreamFormat {
    let stereo = (channels == 2).then(|| ("sprop-stereo", "1".to_owned()));
    StreamFormat {
        track: Track::Audio,
        encoding: Some("OPUS".to_owned()),
        named_clock_rate: Some(48_000),
        parameter_sets: None,
        parameters: stereo.into_iter().collect(),
    }
}

fn h264_format(max_frame_rate: u32) -> StreamFormat {
    let parameters = [
        ("packetization-mode", "1"),
        ("profile-level-id", own_profile_level_id(max_frame_rate)),
        ("level-asymmetry-allowed", "1"),
    ];
    StreamFormat {
        track: Track::Video,
        encoding: Some("H264".to_owned()),
        named_clock_rate: Some(90_000),
        parameter_sets: None,
        parameters: parameters
            .map(|(name, value)| (name, value.to_owned()))
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(caps: &str) -> Result<MediaKind, CapsError> {
        gst::init().unwrap();
        MediaKind::of(&caps.parse::<gst::Caps>().unwrap())
    }

    #[test]
    fn media_by_their_caps() {
        assert!(matches!(kind("application/x-rtp"), Ok(MediaKind::Rtp)));
        let h264 = "video/x-h264,stream-format=avc,alignment=au";
        assert!(matches!(kind(h264), Ok(MediaKind::H264)));
        for opus in [
            "audio/x-opus",
            "audio/x-opus,channel-mapping-family=0,channels=2",
            "audio/x-opus,channel-mapping-family=0",
            "audio/x-opus,channels=1",
        ] {
            assert!(matches!(kind(opus), Ok(MediaKind::Opus)), "{opus}");
        }
    }

    #[test]
    fn what_a_stage_does_not_accept() {
        let error = |caps| kind(caps).unwrap_err().to_string();
        for (caps, cure) in [
            ("video/x-h265", "avdec_h265"),
            ("video/x-vp8", "vp8dec"),
            ("audio/mpeg,mpegversion=4", "decodebin"),
            (
                "audio/x-opus,channel-mapping-family=1,channels=6",
                "opusdec",
            ),
            ("audio/x-opus,channel-mapping-family=255", "opusdec"),
            ("text/x-raw", "found text/x-raw"),
        ] {
            assert!(error(caps).contains(cure), "{}", error(caps));
        }
    }

    #[test]
    fn raw_audio() {
        let raw = |fields: &str| match kind(&format!("audio/x-raw,rate=8000,{fields}")) {
            Ok(MediaKind::RawAudio(audio)) => (
                audio.output_channels(),
                audio.has_positions,
                audio.frame_bytes,
            ),
            other => panic!("{other:?}"),
        };
        assert_eq!(raw("format=U8,channels=1"), (1, true, 1));
        assert_eq!(raw("format=S16LE,channels=2"), (2, true, 4));
        assert_eq!(raw("format=S24_32BE,channels=1"), (1, true, 4));
        assert_eq!(raw("format=U18LE,channels=1"), (1, true, 3));
        let surround = "format=F64LE,channels=6,channel-mask=(bitmask)0x3f";
        assert_eq!(raw(surround), (2, true, 48));
        let interface = "format=S16LE,channels=32,channel-mask=(bitmask)0";
        assert_eq!(raw(interface), (2, false, 64));
    }

    #[test]
    fn raw_media_without_the_fields_that_they_need() {
        for caps in [
            "audio/x-raw",
            "audio/x-raw,format=S16LE,rate=48000",
            "audio/x-raw,format=S16LE,channels=2",
            "audio/x-raw,format=S16LE,channels=0,rate=48000",
            "video/x-raw",
            "video/x-raw,format=I420,width=320",
            "video/x-raw,format=NEW,width=320,height=240",
        ] {
            let error = kind(caps).unwrap_err().to_string();
            assert!(error.contains("capsfilter"), "{caps}: {error}");
        }
    }

    #[test]
    fn raw_video() {
        let caps = "video/x-raw,format=I420,width=720,height=576,framerate=25/1,\
                    pixel-aspect-ratio=16/15,interlace-mode=interleaved";
        let Ok(MediaKind::RawVideo(video)) = kind(caps) else {
            panic!();
        };
        assert_eq!((video.size.width, video.size.height), (720, 576));
        assert_eq!(video.frame_rate, Some(25.0));
        assert_eq!(video.pixel_shape, (16, 15));
        assert!(video.is_interlaced && video.converter.is_none());
        assert_eq!(video.picture_bytes, 720 * 576 * 3 / 2);
        let varying = "video/x-raw,format=I420,width=16,height=16,framerate=0/1";
        let Ok(MediaKind::RawVideo(video)) = kind(varying) else {
            panic!();
        };
        assert_eq!(video.frame_rate, None);
    }

    #[test]
    fn slow_pictures_have_the_frame_rate_with_which_they_are_repeated() {
        for (rate, expected) in [
            ("0/1", Some((30, 1))),
            ("5/1", Some((10, 1))),
            ("7000/1001", Some((2000, 143))),
            ("1/60", Some((10, 1))),
            ("10/1", None),
            ("30/1", None),
        ] {
            let caps = format!("video/x-raw,format=I420,width=16,height=16,framerate={rate}");
            let kind = kind(&caps).unwrap();
            let with = kind.with_frame_rate(&caps.parse::<gst::Caps>().unwrap(), 30);
            let with = with.map(|caps| {
                let rate = caps.structure(0).unwrap().get::<gst::Fraction>("framerate");
                let rate = rate.unwrap();
                (rate.numer(), rate.denom())
            });
            assert_eq!(with, expected, "{rate}");
        }
    }
}
