//! What a refused POST means, and what the user can do.

use super::filler::OfferedVideo;
use super::offered_media::OfferedMedia;
use crate::whip::Refusal;

/// The kind of a refusal, for the error code that an application sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The token is wrong, or does not allow publishing.
    NotAuthorized,
    /// There is nothing to publish to.
    NotFound,
    /// The stage is full or in use, or requests are throttled.
    Busy,
    /// The offer or the server itself is the problem.
    OpenWrite,
}

/// Whether another attempt can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before somebody changes something.
    Never,
    /// Yes, after a while.
    Later,
}

/// The meaning of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The kind of refusal.
    pub kind: RefusalKind,
    /// Whether another attempt can help.
    pub retry: Retry,
    /// One sentence about what to do next.
    pub advice: String,
}

/// The code in IVS's JSON error body, `{"code": n, "message": "…"}` (seen: AWS's
/// browser SDK). `None` if the body has another form.
pub fn ivs_code(refusal: &Refusal) -> Option<u32> {
    let json: serde_json::Value = serde_json::from_slice(&refusal.body).ok()?;
    u32::try_from(json.get("code")?.as_u64()?).ok()
}

/// IVS's code for refusals without a reason, such as that of an offer without a video
/// section (seen: AWS's browser SDK, and a public audio-only client).
pub const CANNOT_PUBLISH: u32 = 2001;
/// IVS's code for an expired token (seen: AWS's browser SDK).
pub const EXPIRED_TOKEN: u32 = 2002;
/// IVS's code for an offer without a codec that it accepts (seen: AWS's browser SDK).
pub(super) const NO_COMMON_CODEC: u32 = 2014;

/// Explains a refusal of an offer, by IVS's code if it is a known one, else by its HTTP
/// status.
pub fn explain_refusal(refusal: &Refusal, offered: &OfferedMedia) -> Explanation {
    let code = ivs_code(refusal);
    let row = code.and_then(by_code);
    let (kind, retry, advice) = row.unwrap_or_else(|| by_status(refusal.status.as_u16()));
    let advice = match code {
        Some(CANNOT_PUBLISH) => about_any_section(offered),
        Some(NO_COMMON_CODEC) => about_codecs(offered),
        _ => None,
    }
    .unwrap_or_else(|| advice.to_owned());
    Explanation {
        kind,
        retry,
        advice,
    }
}

/// Whether the filler can be the reason for a refusal: not if IVS finds no codec that it
/// accepts, and the offer has others.
pub(super) fn is_about_filler(refusal: &Refusal, offered: &OfferedMedia) -> bool {
    match ivs_code(refusal) {
        Some(CANNOT_PUBLISH) => true,
        Some(NO_COMMON_CODEC) => offered.foreign_codecs.is_empty(),
        _ => false,
    }
}

/// Whether IVS says by its code that no other attempt can help.
pub fn is_final_for_ivs(refusal: &Refusal) -> bool {
    let row = ivs_code(refusal).and_then(by_code);
    row.is_some_and(|(_, retry, _)| retry == Retry::Never)
}

/// Advice for a refusal without a reason.
fn about_any_section(offered: &OfferedMedia) -> Option<String> {
    let Some(foreign) = about_foreign(offered) else {
        return about_video(offered.video);
    };
    Some(match offered.video {
        OfferedVideo::Media | OfferedVideo::Filler(_) => {
            format!("IVS gives no reason, but {foreign}")
        }
        video @ (OfferedVideo::Nothing | OfferedVideo::Pinned(_)) => {
            format!("{}; besides, {foreign}", about_video(video)?)
        }
    })
}

/// Advice for a refusal of the codecs.
fn about_codecs(offered: &OfferedMedia) -> Option<String> {
    about_foreign(offered).or_else(|| about_section_form(offered.video))
}

/// What is wrong with the codecs, if that is known.
fn about_foreign(offered: &OfferedMedia) -> Option<String> {
    let foreign = offered.foreign_codecs.iter().map(ToString::to_string);
    let foreign: Vec<_> = foreign.collect();
    (!foreign.is_empty()).then(|| foreign.join("; "))
}

/// Advice for a refusal that the video section may have caused.
fn about_video(video: OfferedVideo) -> Option<String> {
    match video {
        OfferedVideo::Media => None,
        OfferedVideo::Nothing => Some(
            "IVS says this when an offer has no H.264 video section; video-filler=none is set: \
             use video-filler=auto"
                .to_owned(),
        ),
        OfferedVideo::Pinned(mode) => Some(format!(
            "IVS says this when an offer has no video section that it takes; video-filler={} is \
             set: use video-filler=auto",
            mode.name()
        )),
        OfferedVideo::Filler(_) => Some(
            "IVS gives no reason; check that the audio is Opus (opusenc, rtpopuspay); \
             video-filler=auto has offered every form of video section in place of video, so \
             else link a video pad too"
                .to_owned(),
        ),
    }
}

/// Advice for a refusal of the codecs in an offer that has only codecs of IVS, as far as
/// it shows: it is the form of a section that IVS does not take.
fn about_section_form(video: OfferedVideo) -> Option<String> {
    const AUDIO: &str = "check that the audio is Opus (opusenc, rtpopuspay)";
    match video {
        OfferedVideo::Media => None,
        OfferedVideo::Nothing => about_video(video),
        OfferedVideo::Pinned(mode) => Some(format!(
            "{AUDIO}; the video section is H.264, but video-filler={} is set: else use \
             video-filler=auto",
            mode.name()
        )),
        OfferedVideo::Filler(_) => Some(format!(
            "{AUDIO}; the video section is H.264 in every form that video-filler=auto has offered"
        )),
    }
}

type Row = (RefusalKind, Retry, &'static str);

/// The meanings of the codes, and which of them are retried, are seen in AWS's browser
/// SDK (npm amazon-ivs-web-broadcast 1.41.0). One thing differs: codes for the
/// service's own trouble are retried here although the SDK gives up, because an encoder
/// often has nobody to press the button again. The number of publishers is documented
/// ("Service quotas").
fn by_code(code: u32) -> Option<Row> {
    use RefusalKind::{Busy, NotAuthorized, NotFound, OpenWrite};
    use Retry::{Later, Never};
    Some(match code {
        CANNOT_PUBLISH => (
            OpenWrite,
            Never,
            "IVS gives no reason; check that video is H.264 (x264enc, rtph264pay) and audio Opus \
             (opusenc, rtpopuspay)",
        ),
        EXPIRED_TOKEN => (
            NotAuthorized,
            Never,
            "the participant token has expired: create a new one",
        ),
        2003 => (
            NotAuthorized,
            Never,
            "the participant token is not valid for publishing here: create one for this stage, with the PUBLISH capability",
        ),
        2004 => (
            NotFound,
            Never,
            "the stage does not exist any more: create a token for another",
        ),
        2005 => (
            Busy,
            Never,
            "the stage is at capacity (12 publishers at most): remove a publisher, then start again",
        ),
        2006..=2008 => (
            OpenWrite,
            Later,
            "IVS could not check the token because of an internal problem",
        ),
        2010 => (
            Busy,
            Later,
            "this participant is already publishing: stop the other publisher or use another token",
        ),
        2011 => (
            NotAuthorized,
            Never,
            "the participant token is of an old type that requires TURN: create a new one",
        ),
        2012 => (
            Busy,
            Later,
            "an earlier session of this participant has not ended yet; it ends by itself",
        ),
        2013 => (
            Busy,
            Later,
            "IVS throttles requests: start fewer publishers at a time",
        ),
        NO_COMMON_CODEC => (
            OpenWrite,
            Never,
            "IVS takes H.264 video and Opus audio: use x264enc or another H.264 encoder with \
             rtph264pay, and opusenc with rtpopuspay",
        ),
        _ => return None,
    })
}

fn by_status(status: u16) -> Row {
    use RefusalKind::{Busy, NotAuthorized, NotFound, OpenWrite};
    use Retry::{Later, Never};
    match status {
        401 | 403 => (
            NotAuthorized,
            Never,
            "check that the token is right, not expired, and allows publishing",
        ),
        404 | 410 => (
            NotFound,
            Never,
            "check whip-endpoint: there is nothing to publish to",
        ),
        405 => (
            OpenWrite,
            Never,
            "check whip-endpoint: the server takes no POST there",
        ),
        409 => (
            Busy,
            Later,
            "somebody else publishes there: stop the other publisher",
        ),
        408 | 425 => (OpenWrite, Later, "the server asks for another attempt"),
        429 | 503 => (
            Busy,
            Later,
            "the server is busy: wait, or start fewer publishers at a time",
        ),
        400..500 => (
            OpenWrite,
            Never,
            "the server refused the offer; see its message",
        ),
        _ => (OpenWrite, Later, "the server has an internal problem"),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::ivs::FillerMode;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: body.to_owned().into(),
        }
    }

    fn of_code(code: u32) -> Explanation {
        let body = format!(r#"{{"code":{code},"message":"m"}}"#);
        explain_refusal(
            &refusal(400, &body),
            &OfferedMedia::accepted(OfferedVideo::Media),
        )
    }

    #[test]
    fn each_code() {
        use RefusalKind::{Busy, NotAuthorized, NotFound, OpenWrite};
        use Retry::{Later, Never};
        for (code, kind, retry, word) in [
            (2001, OpenWrite, Never, "no reason"),
            (2002, NotAuthorized, Never, "expired"),
            (2003, NotAuthorized, Never, "PUBLISH"),
            (2004, NotFound, Never, "does not exist"),
            (2005, Busy, Never, "capacity"),
            (2006, OpenWrite, Later, "could not check"),
            (2007, OpenWrite, Later, "could not check"),
            (2008, OpenWrite, Later, "could not check"),
            (2010, Busy, Later, "already publishing"),
            (2011, NotAuthorized, Never, "TURN"),
            (2012, Busy, Later, "has not ended yet"),
            (2013, Busy, Later, "throttles"),
            (2014, OpenWrite, Never, "rtph264pay"),
        ] {
            let explanation = of_code(code);
            assert_eq!(
                (explanation.kind, explanation.retry),
                (kind, retry),
                "{code}"
            );
            assert!(
                explanation.advice.contains(word),
                "{code}: {}",
                explanation.advice
            );
        }
    }

    #[test]
    fn code_2001_without_video_names_the_property() {
        let refusal = refusal(
            400,
            r#"{"code":2001,"message":"failed to create publisher session"}"#,
        );
        let advice =
            explain_refusal(&refusal, &OfferedMedia::accepted(OfferedVideo::Nothing)).advice;
        assert!(advice.contains("video-filler=auto"), "{advice}");
        assert_eq!(ivs_code(&refusal), Some(2001));
    }

    #[test]
    fn refusals_that_a_filler_can_cause_say_which_was_offered() {
        for code in [2001, 2014] {
            let body = format!(r#"{{"code":{code},"message":"m"}}"#);
            let advice = |video| {
                explain_refusal(&refusal(400, &body), &OfferedMedia::accepted(video)).advice
            };
            let pinned = advice(OfferedVideo::Pinned(FillerMode::Sendonly));
            assert!(pinned.contains("video-filler=sendonly is set"), "{pinned}");
            let all = advice(OfferedVideo::Filler(FillerMode::Black));
            assert!(all.contains("every form"), "{all}");
            let none = advice(OfferedVideo::Nothing);
            assert!(none.contains("video-filler=none is set"), "{none}");
        }
    }

    /// The filler's codec is our own, so only the audio's can be wrong.
    #[test]
    fn refused_codecs_of_an_audio_only_offer_are_the_audios() {
        let body = r#"{"code":2014,"message":"no matching codec"}"#;
        for video in [
            OfferedVideo::Filler(FillerMode::Black),
            OfferedVideo::Pinned(FillerMode::Inactive),
        ] {
            let advice =
                explain_refusal(&refusal(400, body), &OfferedMedia::accepted(video)).advice;
            assert!(!advice.contains("no reason"), "{advice}");
            assert!(advice.contains("check that the audio is Opus"), "{advice}");
        }
        let filler = OfferedVideo::Filler(FillerMode::Black);
        let advice = explain_refusal(
            &refusal(400, &body.replace("2014", "2001")),
            &OfferedMedia::accepted(filler),
        )
        .advice;
        let (audio, video) = (advice.find("audio"), advice.find("video"));
        assert!(audio < video, "the audio first: {advice}");
    }

    #[test]
    fn a_codec_that_is_not_ivss_explains_the_refusal() {
        let advice = |code, video| {
            let body = format!(r#"{{"code":{code},"message":"m"}}"#);
            explain_refusal(&refusal(400, &body), &OfferedMedia::with_pcmu(video)).advice
        };
        const PCMU: &str =
            "the audio is PCMU, and IVS takes only Opus: use opusenc with rtpopuspay";
        let filler = OfferedVideo::Filler(FillerMode::Inactive);
        let pinned = OfferedVideo::Pinned(FillerMode::Inactive);
        for video in [filler, pinned, OfferedVideo::Nothing, OfferedVideo::Media] {
            assert_eq!(advice(2014, video), PCMU);
        }
        for video in [filler, OfferedVideo::Media] {
            let text = advice(2001, video);
            assert_eq!(text, format!("IVS gives no reason, but {PCMU}"));
        }
        // Both can be the reason.
        for video in [pinned, OfferedVideo::Nothing] {
            let text = advice(2001, video);
            assert!(
                text.contains("use video-filler=auto; besides, the audio is PCMU"),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_codes_fall_back_to_the_status() {
        let unknown = r#"{"code":2999,"message":"m"}"#;
        for (status, kind, retry) in [
            (403, RefusalKind::NotAuthorized, Retry::Never),
            (404, RefusalKind::NotFound, Retry::Never),
            (418, RefusalKind::OpenWrite, Retry::Never),
            (429, RefusalKind::Busy, Retry::Later),
            (500, RefusalKind::OpenWrite, Retry::Later),
        ] {
            let explanation = explain_refusal(
                &refusal(status, unknown),
                &OfferedMedia::accepted(OfferedVideo::Media),
            );
            assert_eq!(
                (explanation.kind, explanation.retry),
                (kind, retry),
                "{status}"
            );
        }
    }

    #[test]
    fn a_server_that_takes_no_post_did_not_look_at_the_offer() {
        let offered = OfferedMedia::accepted(OfferedVideo::Media);
        let advice = explain_refusal(&refusal(405, ""), &offered).advice;
        assert!(advice.contains("takes no POST"), "{advice}");
    }

    #[test]
    fn each_status() {
        for (status, kind, retry) in [
            (400, RefusalKind::OpenWrite, Retry::Never),
            (401, RefusalKind::NotAuthorized, Retry::Never),
            (403, RefusalKind::NotAuthorized, Retry::Never),
            (404, RefusalKind::NotFound, Retry::Never),
            (405, RefusalKind::OpenWrite, Retry::Never),
            (408, RefusalKind::OpenWrite, Retry::Later),
            (409, RefusalKind::Busy, Retry::Later),
            (410, RefusalKind::NotFound, Retry::Never),
            (422, RefusalKind::OpenWrite, Retry::Never),
            (425, RefusalKind::OpenWrite, Retry::Later),
            (429, RefusalKind::Busy, Retry::Later),
            (500, RefusalKind::OpenWrite, Retry::Later),
            (502, RefusalKind::OpenWrite, Retry::Later),
            (503, RefusalKind::Busy, Retry::Later),
        ] {
            let explanation = explain_refusal(
                &refusal(status, ""),
                &OfferedMedia::accepted(OfferedVideo::Media),
            );
            assert_eq!(
                (explanation.kind, explanation.retry),
                (kind, retry),
                "{status}"
            );
        }
    }

    #[test]
    fn only_known_codes_are_final_for_ivs() {
        for (status, body, is_final) in [
            (400, r#"{"code":2004,"message":"m"}"#, true),
            (400, r#"{"code":2012,"message":"m"}"#, false),
            (404, r#"{"code":2999,"message":"m"}"#, false),
            (404, "<html>", false),
        ] {
            assert_eq!(is_final_for_ivs(&refusal(status, body)), is_final, "{body}");
        }
    }

    #[test]
    fn bodies_that_hold_no_code() {
        for body in [
            "",
            "no",
            "[]",
            r#"{"code":"2001"}"#,
            r#"{"code":-1}"#,
            r#"{"code":99999999999}"#,
        ] {
            assert_eq!(ivs_code(&refusal(400, body)), None, "{body}");
        }
    }
}
