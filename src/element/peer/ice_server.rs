//! ICE servers in the form that webrtcbin accepts.

use crate::whip::IceServer;

/// An ICE server for webrtcbin.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(crate) enum IceUrl {
    /// For the property `stun-server`, which holds only one.
    Stun(String),
    /// For the action signal `add-turn-server`. Holds a credential.
    Turn(String),
}

/// Converts a server from the form of RFC 7065, `turn:host:port?transport=…` and
/// separate credentials, to webrtcbin's `turn://user:password@host:port?transport=…`.
/// `None` for another scheme, and for TURN without credentials.
pub(crate) fn ice_url(server: &IceServer) -> Option<IceUrl> {
    let (scheme, rest) = server.url.split_once(':')?;
    match scheme {
        "stun" | "stuns" => Some(IceUrl::Stun(format!("stun://{rest}"))),
        "turn" | "turns" => {
            let user = escape(server.username.as_deref()?);
            let password = escape(server.credential.as_deref()?);
            Some(IceUrl::Turn(format!("{scheme}://{user}:{password}@{rest}")))
        }
        _ => None,
    }
}

/// Percent-encodes everything but letters and digits, as other characters can have a
/// meaning in a URL (RFC 3986).
fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> IceServer {
        IceServer {
            url: url.into(),
            username: Some("u:1".into()),
            credential: Some("p@/w".into()),
        }
    }

    #[test]
    fn stun_and_turn() {
        assert_eq!(
            ice_url(&server("stun:stun.example.net:3478")),
            Some(IceUrl::Stun("stun://stun.example.net:3478".into()))
        );
        assert_eq!(
            ice_url(&server("turns:t.example.net:443?transport=tcp")),
            Some(IceUrl::Turn(
                "turns://u%3A1:p%40%2Fw@t.example.net:443?transport=tcp".into()
            ))
        );
    }

    #[test]
    fn turn_without_credentials_is_left_out() {
        let bare = IceServer {
            username: None,
            ..server("turn:t.example.net")
        };
        assert_eq!(ice_url(&bare), None);
    }
}
