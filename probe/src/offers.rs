//! The offers of the HTTP checks: all valid, with different video sections. No
//! client connects for them.

use std::error::Error;

use base64::Engine as _;
use gstivs::ivs::filler_codec;
use gstivs::media::DtlsCertificate;
use gstivs::whip::{Fingerprint, Offer};
use ring::rand::{SecureRandom, SystemRandom};

use crate::plan::VIDEO_SECTIONS;

/// The kinds of video section that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoSection {
    Inactive,
    SendOnly,
    WithoutSsrc,
    WithoutMsid,
    RecvOnly,
    PortZero,
    Vp8,
    None,
}

impl VideoSection {
    pub(crate) const ALL: [Self; VIDEO_SECTIONS] = [
        Self::Inactive,
        Self::SendOnly,
        Self::WithoutSsrc,
        Self::WithoutMsid,
        Self::RecvOnly,
        Self::PortZero,
        Self::Vp8,
        Self::None,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inactive => "H.264, `inactive`",
            Self::SendOnly => "H.264, `sendonly`, with ssrc and msid",
            Self::WithoutSsrc => "H.264, `sendonly`, msid without ssrc",
            Self::WithoutMsid => "H.264, `sendonly`, neither ssrc nor msid",
            Self::RecvOnly => "H.264, `recvonly`",
            Self::PortZero => "H.264, port 0",
            Self::Vp8 => "VP8, `sendonly`, with ssrc and msid",
            Self::None => "no video section",
        }
    }

    fn direction(self) -> &'static str {
        match self {
            Self::Inactive | Self::PortZero => "inactive",
            Self::RecvOnly => "recvonly",
            _ => "sendonly",
        }
    }
}

/// An offer, and the body to POST, which may differ from it.
pub(crate) struct TestOffer {
    pub(crate) offer: Offer,
    pub(crate) body: String,
}

impl TestOffer {
    /// Makes an offer with new ICE credentials, SSRCs and a new certificate, as a
    /// client that starts does.
    pub(crate) fn new(section: VideoSection) -> Result<Self, Box<dyn Error>> {
        let fingerprint =
            Fingerprint::of_certificate(DtlsCertificate::generate()?.der()).to_string();
        let transport = format!(
            "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:{}\r\n\
             a=ice-pwd:{}\r\na=ice-options:trickle\r\na=fingerprint:{fingerprint}\r\n",
            ice_text(6)?,
            ice_text(24)?,
        );
        // A section with port 0 is in no group (RFC 8843 7.2.1).
        let group = match section {
            VideoSection::None | VideoSection::PortZero => "0",
            _ => "0 1",
        };
        let text = format!(
            "v=0\r\no=- {} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {group}\r\n{}{}",
            random_u32()?,
            audio(&transport)?,
            video(section, &transport)?,
        );
        let stream = ice_text(12)?.replace(['+', '/'], "x");
        let offer = Offer::new(&text, &stream, None)?;
        let mut body = offer.text();
        if section == VideoSection::WithoutMsid {
            body = without_last_msid(&body);
        }
        Ok(Self { offer, body })
    }
}

/// Random text for ICE credentials. Base64 has just the characters of RFC 8839's
/// `ice-char` (5.4).
pub(crate) fn ice_text(bytes: usize) -> Result<String, Box<dyn Error>> {
    let mut random = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| "no random numbers")?;
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(random))
}

fn audio(transport: &str) -> Result<String, Box<dyn Error>> {
    Ok(format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:0\r\na=sendonly\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n{}",
        source()?
    ))
}

fn video(section: VideoSection, transport: &str) -> Result<String, Box<dyn Error>> {
    if section == VideoSection::None {
        return Ok(String::new());
    }
    let codec = filler_codec(&[111]);
    let payload = codec.payload;
    let format = match section {
        VideoSection::Vp8 => format!("a=rtpmap:{payload} VP8/90000\r\n"),
        _ => format!(
            "a=rtpmap:{payload} H264/{}\r\na=fmtp:{payload} level-asymmetry-allowed=1;\
             packetization-mode={};profile-level-id={}\r\n",
            codec.clock_rate, codec.packetization_mode, codec.profile_level_id
        ),
    };
    let source = match section {
        VideoSection::SendOnly | VideoSection::Vp8 => source()?,
        _ => String::new(),
    };
    let port = if section == VideoSection::PortZero {
        0
    } else {
        9
    };
    Ok(format!(
        "m=video {port} UDP/TLS/RTP/SAVPF {payload}\r\n{transport}a=mid:1\r\na={}\r\n\
         {format}a=rtcp-fb:{payload} nack pli\r\n{source}",
        section.direction()
    ))
}

fn source() -> Result<String, Box<dyn Error>> {
    Ok(format!("a=ssrc:{} cname:probe\r\n", random_u32()?))
}

fn random_u32() -> Result<u32, Box<dyn Error>> {
    let mut random = [0; 4];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| "no random numbers")?;
    Ok(u32::from_be_bytes(random))
}

/// Undoes what `Offer` does: it adds an msid to each section (RFC 9725 4.4.2).
fn without_last_msid(text: &str) -> String {
    let (before, video) = text.split_once("m=video").unwrap_or((text, ""));
    let kept = video.split_inclusive("\r\n");
    let kept: String = kept.filter(|line| !line.starts_with("a=msid:")).collect();
    format!("{before}m=video{kept}")
}
