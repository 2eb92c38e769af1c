//! ICE servers in the form that webrtcbin takes them.

use crate::whip::IceServer;

/// A server as webrtcbin's property or action wants it.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(crate) enum IceUrl {
    /// For the property `stun-server`, which holds one.
    Stun(String),
    /// For the action `add-turn-server`. Holds a credential.
    Turn(String),
}

/// webrtcbin wants `turn://user:password@host:port?transport=…` where RFC 7065
/// has `turn:host:port?transport=…` and the credentials apart.
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

/// Leaves RFC 3986's unreserved characters, which mean nothing in a URL.
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
