//! Other servers' ways, as sets of rules.

use std::str::FromStr;
use std::{error, fmt};

/// A WHIP server whose ways the stage can take on, by
/// [`Rules::profile`](crate::Rules::profile).
///
/// Each is what its public source, at the commit named, or a public report
/// shows of it to a publisher, and no more: the tokens and the far end are
/// still the stage's own. None was compared with the running server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Amazon IVS, as far as it is known in public: the default rules.
    #[default]
    Ivs,
    /// MediaMTX at `3e09466`, `http_server.go`: the POST's query is copied into
    /// `Location`; the ETag is a bare star; `If-Match` isn't checked; a wrong
    /// type is 400; a missing token is 401 that asks for Basic; a header
    /// `E-Tag` comes from its versions before September 2023.
    MediaMtx,
    /// Janus's simple-whip-server at `0f4061f`, `whip.js`, with trickle: the 204
    /// has an ETag; a missing token is 403, a wrong type 406; `If-Match` isn't
    /// checked.
    Janus,
    /// The same with strict ETags: 412 without the right `If-Match`.
    JanusStrict,
    /// The same with trickle off: PATCH is 405.
    JanusNoTrickle,
    /// LiveKit's server at `788d4c3`, `whipservice.go`: the ETag has no quotes;
    /// 428 without `If-Match`, and any value will do; a candidate of another
    /// section than the first is 400; `Link` has its target path-escaped and no
    /// `credential-type`.
    LiveKit,
    /// LiveKit's ingress at `19017c8`, `server.go`: `Location` lies under the
    /// endpoint, whose path holds the stream key; the ETag has no quotes; PATCH
    /// is for restarts only, else 422; each section of the offer must bring
    /// media within 10 s, whatever its direction.
    LiveKitIngress,
    /// SRS at `101382a`, `srs_app_rtc_api.cpp`: `Location` is the endpoint with
    /// a slash at its end and the session in the query; every connection is
    /// closed; a PATCH falls into the handler of offers.
    Srs,
    /// Broadcast Box at `9f43de2`, `whip.go`: no token is 400, an unknown
    /// session too; DELETE is 204; `Link` is about something else, and has an
    /// attribute of its own.
    BroadcastBox,
    /// Broadcast Box's builds of 2023 (its issue 11): 200 for 201.
    BroadcastBox2023,
    /// Cloudflare Stream: a PATCH is never answered (react-native-whip-whep
    /// 289), `Location` lies under the endpoint, one candidate of ICE lite
    /// (interoperation notes on FFmpeg), names of headers in another case than
    /// some clients look for (an issue 18 of EyeTS).
    Cloudflare,
    /// Galene at `9e03b36`, `webserver/whip.go`: 301 to its canonical host;
    /// `Location` joined to the path; 412 for another `If-Match`, none is
    /// fine, and DELETE honours it; 415 for a wrong type.
    Galene,
    /// live777 at `4220514`: no ETag; PATCH and DELETE are 204; errors are 500
    /// (its issue 340).
    Live777,
    /// Livepeer at `176aa41`, `media/whip_server.go`: a weak ETag; neither PATCH nor DELETE has a
    /// route; a session without H.264 video is dropped after 5 s.
    Livepeer,
    /// Eyevinn's WHIP packages at `0e2b801`, `whipFastifyApi.ts`: `Link`
    /// without angle brackets, and `credential:` with a colon; PATCH doesn't
    /// look at `If-Match`.
    Eyevinn,
    /// OvenMediaEngine (OBS issue 12790, its own 1942): `Location` has path and
    /// query; set-ups whose only ICE server is TURN over TCP.
    OvenMediaEngine,
    /// pion's example `whip-whep` at `3234944`, `main.go`: the answer has no
    /// `Content-Type`; `Location` is the endpoint itself; whatever comes there
    /// is read as an offer, and the connection dropped where it is none.
    PionExample,
    /// Twitch in 2023 (OBS issue 9459): no `Location`.
    Twitch,
    /// Monibuca (its issue 23): 200 for 201.
    Monibuca,
    /// go2rtc (its issue 1315): 201 without `Location`.
    Go2rtc,
}

/// Every profile with its name.
const NAMES: &[(Profile, &str)] = &[
    (Profile::Ivs, "ivs"),
    (Profile::MediaMtx, "mediamtx"),
    (Profile::Janus, "janus"),
    (Profile::JanusStrict, "janus-strict"),
    (Profile::JanusNoTrickle, "janus-no-trickle"),
    (Profile::LiveKit, "livekit"),
    (Profile::LiveKitIngress, "livekit-ingress"),
    (Profile::Srs, "srs"),
    (Profile::BroadcastBox, "broadcast-box"),
    (Profile::BroadcastBox2023, "broadcast-box-2023"),
    (Profile::Cloudflare, "cloudflare"),
    (Profile::Galene, "galene"),
    (Profile::Live777, "live777"),
    (Profile::Livepeer, "livepeer"),
    (Profile::Eyevinn, "eyevinn"),
    (Profile::OvenMediaEngine, "ovenmediaengine"),
    (Profile::PionExample, "pion-example"),
    (Profile::Twitch, "twitch"),
    (Profile::Monibuca, "monibuca"),
    (Profile::Go2rtc, "go2rtc"),
];

impl Profile {
    /// Every profile.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(profile, _)| *profile)
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(profile, _)| *profile == self);
        named.map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no profile of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
        let names = names.join(", ");
        write!(f, "expected a profile where {:?} is: {names}", self.0)
    }
}

impl error::Error for UnknownProfile {}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let named = NAMES.iter().find(|(_, name)| *name == text);
        named
            .map(|(profile, _)| *profile)
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_a_name_of_its_own() {
        for profile in Profile::all() {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let unknown = "red5".parse::<Profile>().unwrap_err().to_string();
        assert!(
            unknown.contains("red5") && unknown.contains("mediamtx"),
            "{unknown}"
        );
    }
}
