//! Parses an offer: SDP comes in, its sections go out, with what the stage
//! checks and reports. ICE passwords are not read, so no report can show them.

use serde::{Deserialize, Serialize};

/// One `m=` section of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferSection {
    /// Audio, video or other.
    pub kind: Kind,
    /// The section's `mid`; empty without one.
    pub mid: String,
    /// The port of the `m=` line.
    pub port: u16,
    /// Whether it has `a=bundle-only`.
    pub bundle_only: bool,
    /// The direction of media, from the offerer's side.
    pub direction: Direction,
    /// Codec names of the `a=rtpmap` lines, as written.
    pub codecs: Vec<String>,
    /// Number of `a=candidate` lines.
    pub candidates: usize,
    /// Whether it has `a=msid`.
    pub msid: bool,
    /// Whether it has `a=ssrc`.
    pub ssrc: bool,
    /// The value of `a=setup` in the section, or else in the session part.
    pub setup: Option<String>,
    /// URIs of the header extensions, from the `a=extmap` lines.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// Kind of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
    /// Anything else.
    Other,
}

/// Direction attribute of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Sends and receives. Also the default without an attribute (RFC 8866 6.7).
    #[default]
    SendRecv,
    /// Sends only.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    pub(crate) fn from_attribute(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

impl OfferSection {
    pub(crate) fn has_codec(&self, name: &str) -> bool {
        self.codecs
            .iter()
            .any(|codec| codec.eq_ignore_ascii_case(name))
    }

    pub(crate) fn will_send(&self) -> bool {
        self.direction.sends() && (self.port != 0 || self.bundle_only)
    }
}

/// The sections of an SDP text. `None` if it isn't SDP or has no section.
pub(crate) fn read_sections(sdp: &str) -> Option<Vec<OfferSection>> {
    let mut lines = sdp.lines().map(str::trim_end);
    if lines.next() != Some("v=0") {
        return None;
    }
    let mut defaults = OfferSection::blank();
    let mut sections: Vec<OfferSection> = Vec::new();
    for line in lines {
        if let Some(media) = line.strip_prefix("m=") {
            sections.push(OfferSection::start(media, &defaults)?);
        } else if let Some(attribute) = line.strip_prefix("a=") {
            let section = sections.last_mut().unwrap_or(&mut defaults);
            section.take(attribute);
        }
    }
    (!sections.is_empty()).then_some(sections)
}

/// The offer's ICE user fragment. Another one in a PATCH is an ICE restart.
pub(crate) fn ufrag(sdp: &str) -> Option<String> {
    let mut lines = sdp.lines().map(str::trim_end);
    let ufrag = lines.find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    Some(ufrag.to_owned())
}

impl OfferSection {
    fn blank() -> Self {
        Self {
            kind: Kind::Other,
            mid: String::new(),
            port: 0,
            bundle_only: false,
            direction: Direction::default(),
            codecs: Vec::new(),
            candidates: 0,
            msid: false,
            ssrc: false,
            setup: None,
            extensions: Vec::new(),
        }
    }

    /// A section from the rest of its `m=` line. The session's direction and
    /// setup hold unless the section has its own (RFC 8866 6.7).
    fn start(media: &str, defaults: &Self) -> Option<Self> {
        let mut words = media.split(' ');
        let kind = match words.next()? {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            _ => Kind::Other,
        };
        Some(Self {
            kind,
            port: words.next()?.parse().ok()?,
            direction: defaults.direction,
            setup: defaults.setup.clone(),
            ..Self::blank()
        })
    }

    fn take(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        if let Some(direction) = Direction::from_attribute(name) {
            self.direction = direction;
        }
        match name {
            "mid" => self.mid = value.to_owned(),
            "bundle-only" => self.bundle_only = true,
            "candidate" => self.candidates += 1,
            "msid" => self.msid = true,
            "ssrc" => self.ssrc = true,
            "setup" => self.setup = Some(value.to_owned()),
            "rtpmap" => self.codecs.extend(codec_name(value)),
            "extmap" => self.extensions.extend(extension(value)),
            _ => {}
        }
    }
}

/// `H264` from `96 H264/90000`.
fn codec_name(rtpmap: &str) -> Option<String> {
    let (_, codec) = rtpmap.split_once(' ')?;
    let name = codec.split('/').next()?;
    Some(name.to_owned())
}

/// The URI in `3 URI` or `3/sendonly URI attributes` (RFC 8285 5).
fn extension(extmap: &str) -> Option<String> {
    Some(extmap.split(' ').nth(1)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        a=setup:actpass\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\n\
        a=rtpmap:96 OPUS/48000/2\r\na=msid:s t\r\na=ssrc:1 cname:c\r\n\
        a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\n\
        a=extmap:3 urn:example:x\r\na=extmap:4/sendonly urn:example:y z\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=inactive\r\n\
        a=rtpmap:97 H264/90000\r\n";

    #[test]
    fn sections_are_read_with_the_sessions_defaults() {
        let sections = read_sections(OFFER).unwrap();
        assert_eq!(sections.len(), 2);
        let audio = &sections[0];
        assert_eq!(
            (audio.kind, audio.mid.as_str(), audio.port),
            (Kind::Audio, "0", 9)
        );
        assert_eq!(audio.direction, Direction::SendOnly);
        assert_eq!(audio.codecs, ["OPUS"]);
        assert_eq!((audio.candidates, audio.msid, audio.ssrc), (1, true, true));
        assert_eq!(audio.setup.as_deref(), Some("actpass"));
        assert_eq!(audio.extensions, ["urn:example:x", "urn:example:y"]);
        assert_eq!(sections[1].direction, Direction::Inactive);
        assert_eq!(sections[1].candidates, 0);
    }

    #[test]
    fn text_that_is_no_sdp_has_no_sections() {
        assert_eq!(read_sections("{}"), None);
        assert_eq!(read_sections(""), None);
        assert_eq!(read_sections("v=0\r\ns=-\r\n"), None);
        assert_eq!(read_sections("v=0\r\nm=audio x\r\n"), None);
    }
}
