//! Negotiates a session: an offer and the rules come in, str0m's session and
//! the answer's SDP go out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{error, fmt, io};

use str0m::change::SdpOffer;
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, Rtc, RtcConfig};

use crate::answer;
use crate::feedback::Feedback;
use crate::offer::OfferSection;
use crate::reply_rules::IceMode;
use crate::rules::Rules;

/// Why there is no answer to an offer.
#[derive(Debug)]
pub(crate) enum AnswerError {
    Socket(io::Error),
    Offer(String),
    /// A section has no codec that the stage takes.
    Codec,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "can't open a UDP socket for media: {error}"),
            Self::Offer(error) => write!(f, "can't answer the offer: {error}"),
            Self::Codec => f.write_str("a section has no codec that the stage takes"),
        }
    }
}

impl error::Error for AnswerError {}

/// Accepts a publisher's offer. Returns str0m's session, and the answer in the
/// form that the rules have.
pub(crate) fn accept(
    offer: &str,
    offered: &[OfferSection],
    local: SocketAddr,
    rules: &Rules,
) -> Result<(Rtc, String), AnswerError> {
    let mut rtc = new_rtc(rules);
    let answer = answer(&mut rtc, offer, offered, local)?;
    let answer = answer::without_feedback(&answer, rules.feedback);
    Ok((rtc, answer::apply_form(&answer, &rules.answer)))
}

/// Accepts a viewer's offer.
pub(crate) fn accept_viewer(
    offer: &str,
    offered: &[OfferSection],
    local: SocketAddr,
) -> Result<(Rtc, String), AnswerError> {
    let mut rtc = base_config().build(Instant::now());
    let answer = answer(&mut rtc, offer, offered, local)?;
    Ok((rtc, answer::for_viewer(&answer)))
}

fn answer(
    rtc: &mut Rtc,
    offer: &str,
    offered: &[OfferSection],
    local: SocketAddr,
) -> Result<String, AnswerError> {
    // The parser's error quotes the offer, which holds ICE credentials.
    let offer = SdpOffer::from_sdp_string(offer)
        .map_err(|_| AnswerError::Offer("its SDP is invalid".to_owned()))?;
    let candidate =
        Candidate::host(local, "udp").map_err(|error| AnswerError::Offer(error.to_string()))?;
    rtc.add_local_candidate(candidate);
    let answer = rtc
        .sdp_api()
        .accept_offer(offer)
        .map_err(|error| AnswerError::Offer(error.to_string()))?
        .to_sdp_string();
    // RFC 9725 4.4.3: a rejected section refuses the whole POST.
    if answer::rejects_offered(&answer, offered) {
        return Err(AnswerError::Codec);
    }
    Ok(answer)
}

/// The codecs that an IVS stage takes. RTP mode handles single packets instead of
/// frames.
fn base_config() -> RtcConfig {
    RtcConfig::new()
        .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
        .clear_codecs()
        .enable_opus(true, false)
        .enable_h264(true)
        .set_rtp_mode(true)
}

fn new_rtc(rules: &Rules) -> Rtc {
    let mut config = base_config()
        .set_ice_lite(rules.answer.ice == IceMode::Lite)
        .set_stats_interval(Some(Duration::from_secs(1)));
    if let Some(interval) = rules.report_interval.filter(|time| !time.is_zero()) {
        config = config
            .set_rtcp_report_interval_audio(interval)
            .set_rtcp_report_interval_video(interval);
    }
    if rules.feedback != Feedback::TransportWide {
        config = config.set_extension_map(without_transport_wide());
    }
    config.build(Instant::now())
}

/// str0m sends transport-wide feedback if both sides have the extension.
fn without_transport_wide() -> ExtensionMap {
    let mut kept = ExtensionMap::empty();
    let all = ExtensionMap::standard();
    let wanted = all
        .iter()
        .filter(|(_, extension)| **extension != Extension::TransportSequenceNumber);
    wanted.for_each(|(id, extension)| kept.set(id, extension.clone()));
    kept
}
