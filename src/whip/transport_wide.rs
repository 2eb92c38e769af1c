//! The header extension of transport-wide congestion control in offers and answers
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, RFC 8285 5).

use super::sdp::{Lines, Sdp};

const URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Offers the extension in each section. All sections of a bundle have to use one number
/// (RFC 8843 9).
pub(super) fn offer(sdp: &mut Sdp, id: u8) {
    for section in &mut sdp.sections {
        section.push(&format!("extmap:{id} {URI}"));
    }
}

/// Takes the extension out of an answer, and returns the kinds of the sections that accept
/// it, each with its number.
///
/// The element numbers packets itself, also those that webrtcbin sends again. Told of the
/// extension, webrtcbin would number them too, and remember each until there is feedback.
pub(super) fn take(sdp: &mut Sdp) -> Vec<(String, u8)> {
    let mut accepted = Vec::new();
    for section in &mut sdp.sections {
        let kind = section.kind().to_owned();
        accepted.extend(number(section).map(|id| (kind, id)));
        section.0.retain(|line| !line.ends_with(URI));
    }
    accepted
}

/// The number of `a=extmap:3 URI` or `a=extmap:3/sendonly URI`: 1 to 14, the range of
/// one-byte headers.
fn number(section: &Lines) -> Option<u8> {
    section.values("extmap").find_map(|value| {
        let (id, uri) = value.split_once(' ')?;
        let id = id.split('/').next()?.parse().ok()?;
        (uri.trim() == URI && (1..=14).contains(&id)).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(extmaps: [&str; 2]) -> Sdp {
        let [audio, video] = extmaps;
        let text = format!(
            "v=0\r\nm=audio 9 x 111\r\na=mid:0\r\n{audio}m=video 9 x 102\r\n{video}a=recvonly\r\n"
        );
        Sdp::parse(&text).unwrap()
    }

    #[test]
    fn is_offered_in_both_sections() {
        let mut offered = sdp(["", ""]);
        offer(&mut offered, 3);
        let line = format!("a=extmap:3 {URI}\r\n");
        assert_eq!(offered.to_string().matches(&line).count(), 2);
        assert_eq!(
            take(&mut offered),
            [("audio".into(), 3), ("video".into(), 3)]
        );
        assert!(offered == sdp(["", ""]));
    }

    #[test]
    fn counts_where_it_is_accepted_with_a_number_that_fits() {
        let other = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
        let sent = format!("a=extmap:3/recvonly {URI}\r\n");
        let mut answer = sdp([other, &sent]);
        assert_eq!(take(&mut answer), [("video".into(), 3)]);
        assert!(answer == sdp([other, ""]));
        for id in ["0", "15", "300", "x"] {
            let line = format!("a=extmap:{id} {URI}\r\n");
            assert_eq!(take(&mut sdp([&line, ""])), [], "{id}");
        }
    }
}
