//! The hosts and ports of IVS.

use url::Url;

/// The global WHIP endpoint. It redirects (307) to a regional host and is load
/// balanced, so it is preferred to a stage's own endpoint. Documented: Amazon IVS
/// Real-Time guide, "WHIP support".
pub const GLOBAL_ENDPOINT: &str = "https://global.whip.live-video.net";

/// Whether a URL is an https URL of IVS: every host seen is below `live-video.net`.
/// Documented: the guide's network requirements ask for `*.live-video.net`.
pub fn is_ivs(url: &Url) -> bool {
    url.scheme() == "https"
        && url.domain().is_some_and(|host| {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            host == "live-video.net" || host.ends_with(".live-video.net")
        })
}

/// What to check when no media connection comes up. The ports are documented ("Network
/// requirements").
pub const UDP_ADVICE: &str = "check that UDP gets through (IVS needs ports 443 and 3478)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_below_live_video_net_over_https_are_ivs() {
        let is = |text: &str| is_ivs(&Url::parse(text).unwrap());
        assert!(is(GLOBAL_ENDPOINT));
        assert!(is("https://0123.global-bm.whip.LIVE-VIDEO.net./publish"));
        for other in [
            "http://global.whip.live-video.net",
            "https://live-video.net.example.com",
            "https://notlive-video.net",
            "https://127.0.0.1",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
