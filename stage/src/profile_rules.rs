//! The rules of each profile; [`Profile`] names their sources. The ICE servers
//! in them have loopback addresses without a listener, so that no test sends
//! anything to other hosts.

use std::time::Duration;

use crate::profile::Profile;
use crate::reply_rules::{
    AnswerForm, CandidatePlace, Connections, HeaderCase, IceMode, LocationForm,
};
use crate::request_rules::{DeleteRule, MidRule, PatchEtag, PatchRule, SilenceRule, TrickleRule};
use crate::rules::{Refusal, Rules};
use crate::video_rule::VideoRule;

impl Rules {
    /// The rules that make the stage answer like another server.
    ///
    /// ```
    /// use ivs_stage::{Profile, Rules, Stage};
    ///
    /// let stage = Stage::start(Rules { hops: 1, ..Rules::profile(Profile::MediaMtx) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn profile(profile: Profile) -> Self {
        match profile {
            Profile::Ivs => Self::default(),
            Profile::MediaMtx => media_mtx(),
            Profile::Janus => janus(TrickleRule::UNCHECKED),
            Profile::JanusStrict => janus(TrickleRule {
                without_if_match: Some(412),
                other_if_match: Some(412),
                ..TrickleRule::UNCHECKED
            }),
            Profile::JanusNoTrickle => Self {
                patch: PatchRule::Status,
                ..janus(TrickleRule::UNCHECKED)
            },
            Profile::LiveKit => live_kit(),
            Profile::LiveKitIngress => live_kit_ingress(),
            Profile::Srs => srs(),
            Profile::BroadcastBox => broadcast_box(),
            Profile::BroadcastBox2023 => Self {
                created_status: 200,
                ..broadcast_box()
            },
            Profile::Cloudflare => cloudflare(),
            Profile::Galene => galene(),
            Profile::Live777 => live777(),
            Profile::Livepeer => livepeer(),
            Profile::Eyevinn => eyevinn(),
            Profile::OvenMediaEngine => oven_media_engine(),
            Profile::PionExample => pion_example(),
            Profile::Twitch | Profile::Go2rtc => Self {
                location: LocationForm::Missing,
                ..plain()
            },
            Profile::Monibuca => Self {
                created_status: 200,
                ..plain()
            },
        }
    }
}

/// A server that doesn't redirect, sends a path as `Location`, needs no video
/// and puts candidates in every section.
fn plain() -> Rules {
    Rules {
        hops: 0,
        video: VideoRule::NotNeeded,
        location: LocationForm::PathOnly,
        answer: AnswerForm {
            candidates: CandidatePlace::AllSections,
            ..AnswerForm::default()
        },
        ..Rules::default()
    }
}

/// The same on Go's `net/http`, which writes header names in title case.
fn plain_go() -> Rules {
    Rules {
        header_case: HeaderCase::Title,
        ..plain()
    }
}

fn media_mtx() -> Rules {
    let basic = r#"Basic realm="mediamtx""#;
    Rules {
        location: LocationForm::PathAndQuery,
        etag: Some("*".into()),
        headers: vec![
            ("E-Tag".into(), "*".into()),
            ("ID".into(), "1".into()),
            ("Accept-Patch".into(), crate::trickle::FRAGMENT.into()),
        ],
        patch: PatchRule::Trickle(TrickleRule::UNCHECKED),
        wrong_type_status: 400,
        missing_token: Refusal::status(401).header("WWW-Authenticate", basic),
        ..plain_go()
    }
}

fn janus(trickle: TrickleRule) -> Rules {
    Rules {
        etag: Some(r#""janus""#.into()),
        patch: PatchRule::Trickle(TrickleRule {
            etag: PatchEtag::Present,
            ..trickle
        }),
        wrong_type_status: 406,
        header_case: HeaderCase::Title,
        ..plain()
    }
}

fn live_kit() -> Rules {
    let turn =
        r#"<turn:127.0.0.1:9%3Ftransport=udp>; rel="ice-server"; username="u"; credential="c""#;
    Rules {
        etag: Some("ufrag".into()),
        links: vec![turn.into()],
        patch: PatchRule::Trickle(TrickleRule {
            without_if_match: Some(428),
            mid: MidRule::FirstOnly,
            ..TrickleRule::UNCHECKED
        }),
        missing_token: Refusal::status(401),
        ..plain_go()
    }
}

fn live_kit_ingress() -> Rules {
    Rules {
        location: LocationForm::UnderEndpoint,
        etag: Some("5d2f1a90".into()),
        patch_status: 422,
        silence: SilenceRule::AnySection {
            within: Duration::from_secs(10),
        },
        ..plain_go()
    }
}

fn srs() -> Rules {
    Rules {
        location: LocationForm::QueryOnly,
        connections: Connections::Close,
        header_case: HeaderCase::Title,
        patch_status: 400,
        ..plain()
    }
}

fn broadcast_box() -> Rules {
    let events = "<http://127.0.0.1:9/api/sse/1>; \
        rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"layers\"";
    Rules {
        links: vec![events.into()],
        patch: PatchRule::Trickle(TrickleRule::UNCHECKED),
        wrong_type_status: 400,
        missing_token: Refusal::status(400),
        delete: DeleteRule::Status(204),
        unknown_session_status: 400,
        ..plain_go()
    }
}

fn cloudflare() -> Rules {
    Rules {
        location: LocationForm::UnderEndpoint,
        header_case: HeaderCase::Upper,
        patch: PatchRule::NoAnswer,
        answer: AnswerForm {
            ice: IceMode::Lite,
            ..AnswerForm::default()
        },
        ..plain()
    }
}

fn galene() -> Rules {
    Rules {
        hops: 1,
        redirect_status: 301,
        location: LocationForm::UnderEndpoint,
        etag: Some(r#""galene""#.into()),
        patch: PatchRule::Trickle(TrickleRule {
            other_if_match: Some(412),
            ..TrickleRule::UNCHECKED
        }),
        delete: DeleteRule::IfMatch(200),
        ..plain_go()
    }
}

fn live777() -> Rules {
    Rules {
        patch: PatchRule::Trickle(TrickleRule::UNCHECKED),
        delete: DeleteRule::Status(204),
        wrong_type_status: 500,
        unknown_session_status: 500,
        ..plain()
    }
}

fn livepeer() -> Rules {
    Rules {
        location: LocationForm::Absolute,
        etag: Some(r#"W/"livepeer""#.into()),
        links: vec![r#"<stun:127.0.0.1:9>; rel="ice-server""#.into()],
        patch_status: 404,
        delete: DeleteRule::NoRoute,
        silence: SilenceRule::NoVideo {
            within: Duration::from_secs(5),
        },
        ..plain_go()
    }
}

fn eyevinn() -> Rules {
    Rules {
        links: vec![
            r#"stun:127.0.0.1:9; rel="ice-server""#.into(),
            r#"turn:127.0.0.1:9?transport=udp; rel="ice-server"; username="u"; credential: "c""#
                .into(),
        ],
        patch: PatchRule::Trickle(TrickleRule::UNCHECKED),
        ..plain()
    }
}

fn oven_media_engine() -> Rules {
    let turn = "<turn:127.0.0.1:9?transport=tcp>; rel=\"ice-server\"; username=\"u\"; \
        credential=\"c\"; credential-type=\"password\"";
    Rules {
        location: LocationForm::PathAndQuery,
        etag: Some(r#""ome""#.into()),
        links: vec![turn.into()],
        header_case: HeaderCase::Title,
        ..plain()
    }
}

fn pion_example() -> Rules {
    Rules {
        content_type: None,
        location: LocationForm::Endpoint,
        patch: PatchRule::Dropped,
        delete: DeleteRule::Dropped,
        ..plain_go()
    }
}
