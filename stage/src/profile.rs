//! The WHIP servers that the stage can imitate, and their names.

use std::str::FromStr;
use std::{error, fmt};

/// A WHIP server that the stage can imitate: see
/// [`Rules::profile`](crate::Rules::profile).
///
/// A profile has what a publisher sees of the server, by its public source at
/// the commit named or by a public report. Tokens and far end are still the
/// stage's own. No profile was compared with the running server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Amazon IVS, as far as it is publicly known: the default rules.
    #[default]
    Ivs,
    /// MediaMTX at `3e09466`, `http_server.go`: `Location` has the query of the
    /// POST; the ETag is a bare star; it doesn't check `If-Match`; 400 for a
    /// wrong type; 401 with a `Basic` challenge for a missing token. The header
    /// `E-Tag` is that of its versions before September 2023.
    MediaMtx,
    /// Janus's simple-whip-server at `0f4061f`, `whip.js`, with trickle: the 204
    /// has an ETag; 403 for a missing token, 406 for a wrong type; it doesn't
    /// check `If-Match`.
    Janus,
    /// The same with strict ETags: 412 without the right `If-Match`.
    JanusStrict,
    /// The same with trickle off: 405 for a PATCH.
    JanusNoTrickle,
    /// LiveKit's server at `788d4c3`, `whipservice.go`: the ETag has no quotes;
    /// 428 without `If-Match`, whose value doesn't matter; 400 for a candidate
    /// of a section other than the first; `Link` has a path-escaped target and
    /// no `credential-type`.
    LiveKit,
    /// LiveKit's ingress at `19017c8`, `server.go`: `Location` is below the
    /// endpoint, whose path has the stream key; the ETag has no quotes; 422 for
    /// a PATCH that is not an ICE restart; each section of the offer must carry
    /// media within 10 s, whatever its direction.
    LiveKitIngress,
    /// SRS at `101382a`, `srs_app_rtc_api.cpp`: `Location` is the endpoint with
    /// a slash at its end and the session in the query; it closes every
    /// connection; it handles a PATCH as an offer.
    Srs,
    /// Broadcast Box at `9f43de2`, `whip.go`: 400 for a missing token and for an
    /// unknown session; 204 for a DELETE; `Link` is not an ICE server and has an
    /// attribute of its own.
    BroadcastBox,
    /// Broadcast Box's builds of 2023 (its issue 11): 200 instead of 201.
    BroadcastBox2023,
    /// Cloudflare Stream: never answers a PATCH (react-native-whip-whep 289);
    /// `Location` is below the endpoint; one candidate with ICE lite
    /// (interoperation notes on FFmpeg); header names in a case that some
    /// clients don't expect (EyeTS issue 18).
    Cloudflare,
    /// Galene at `9e03b36`, `webserver/whip.go`: 301 to its canonical host;
    /// `Location` is below the endpoint; 412 for another `If-Match`, also in a
    /// DELETE, but none is needed; 415 for a wrong type.
    Galene,
    /// live777 at `4220514`: no ETag; 204 for PATCH and DELETE; 500 for errors
    /// (its issue 340).
    Live777,
    /// Livepeer at `176aa41`, `media/whip_server.go`: a weak ETag; no route for
    /// PATCH and DELETE; it drops a session without H.264 video after 5 s.
    Livepeer,
    /// Eyevinn's WHIP packages at `0e2b801`, `whipFastifyApi.ts`: `Link`
    /// without angle brackets and with `credential:`, a colon for the equals
    /// sign; PATCH ignores `If-Match`.
    Eyevinn,
    /// OvenMediaEngine (OBS issue 12790, its own issue 1942): `Location` has
    /// path and query; the only ICE server is TURN over TCP, as in some set-ups.
    OvenMediaEngine,
    /// pion's example `whip-whep` at `3234944`, `main.go`: the answer has no
    /// `Content-Type`; `Location` is the endpoint; it reads every request there
    /// as an offer, and closes the connection if it is not one.
    PionExample,
    /// Twitch in 2023 (OBS issue 9459): no `Location`.
    Twitch,
    /// Monibuca (its issue 23): 200 instead of 201.
    Monibuca,
    /// go2rtc (its issue 1315): 201 without `Location`.
    Go2rtc,
}

/// The profiles and their names.
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
    /// All profiles, IVS first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(profile, _)| *profile)
    }

    /// The name on the command line and for [`FromStr`], such as `mediamtx`.
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

/// The error for a name that no profile has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
        let names = names.join(", ");
        write!(f, "unknown profile {:?}: expected one of {names}", self.0)
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
