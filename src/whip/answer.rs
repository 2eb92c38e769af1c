//! The SDP answer in a 2xx reply to the POST, checked against its offer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Host;

use super::answer_repair::{Repair, repair};
use super::body::Body;
use super::fingerprint::Fingerprint;
use super::offer::{Offer, sends};
use super::sdp::{Direction, Lines, Sdp};
use super::tracks::Track;
use super::transport_wide;

/// The most lines of an answer. Those of known servers have up to about 200.
const MAX_LINES: usize = 1000;

/// The longest line of an answer, in bytes. The longest known lines are parameter sets
/// in `a=fmtp`, with some hundred bytes.
const MAX_LINE: usize = 8 * 1024;

/// The most candidates that are used. Known servers have up to four.
const MAX_CANDIDATES: usize = 8;

/// An SDP answer that fits its offer: it has a section for each offered one, accepts
/// every section that sends, and has the attributes that a transport needs. Its `Debug`
/// hides the server's ICE password.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    sdp: Sdp,
    repairs: Vec<Repair>,
    /// The kinds of the sections that accept transport-wide congestion control, each with
    /// the number of its header extension.
    transport_wide: Vec<(String, u8)>,
}

impl Answer {
    /// Reads a reply's body as the answer to `offer`, and repairs known deviations.
    ///
    /// # Errors
    /// [`AnswerError`] if the answer can't be used. The session exists on the server
    /// all the same.
    pub fn read(body: &Body, offer: &Offer) -> Result<Self, AnswerError> {
        let bytes = match body {
            Body::Whole(bytes) => bytes,
            Body::TooLong(_) => return Err(AnswerError::TooLong),
            Body::Broken(_) => return Err(AnswerError::Broken),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(AnswerError::Empty);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| AnswerError::NotSdp)?;
        check_size(text)?;
        let mut sdp = Sdp::parse(text).ok_or(AnswerError::NotSdp)?;
        check_count(&sdp, offer)?;
        let repairs = repair(&mut sdp, offer.sdp());
        let transport_wide = transport_wide::take(&mut sdp);
        let answer = Self {
            sdp,
            repairs,
            transport_wide,
        };
        answer.fits(offer)?;
        Ok(answer)
    }

    /// The number of the header extension with which a track's packets carry transport-wide
    /// sequence numbers: 1 to 14. `None` if the server does not accept it.
    pub fn transport_wide(&self, track: Track) -> Option<u8> {
        let mut accepted = self.transport_wide.iter();
        let (_, id) = accepted.find(|(kind, _)| kind == track.name())?;
        Some(*id)
    }

    /// The text to apply as remote description. It does not mention transport-wide
    /// congestion control, which is not the peer connection's.
    pub fn text(&self) -> String {
        self.sdp.to_string()
    }

    /// The same text for a log, without the server's ICE password.
    pub fn redacted(&self) -> String {
        self.sdp.redacted()
    }

    /// The addresses of the UDP candidates, each once, and 8 at most: who sends to all
    /// of them must not be made to flood a network.
    pub fn udp_candidates(&self) -> Vec<SocketAddr> {
        handful(self.candidates().filter_map(|(host, port)| match host {
            Host::Ipv4(address) => Some(SocketAddr::new(address.into(), port)),
            Host::Ipv6(address) => Some(SocketAddr::new(address.into(), port)),
            Host::Domain(_) => None,
        }))
    }

    /// Host name and port of the UDP candidates that have a name in place of an address
    /// (RFC 8839 5.1), each once, and 8 at most. Their addresses have to be looked up.
    pub fn udp_candidate_names(&self) -> Vec<(String, u16)> {
        handful(self.candidates().filter_map(|(host, port)| match host {
            Host::Domain(name) => Some((name, port)),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }))
    }

    /// Puts addresses in place of a host name in the UDP candidates, 8 of them at most.
    /// The name stays if there is no address.
    pub fn set_addresses(&mut self, name: &str, addresses: &[IpAddr]) {
        let addresses = addresses.iter().filter(|address| !address.is_unspecified());
        let addresses: Vec<_> = addresses.collect();
        let mut left = if addresses.is_empty() {
            0
        } else {
            MAX_CANDIDATES
        };
        for section in &mut self.sdp.sections {
            let lines = std::mem::take(&mut section.0);
            for line in lines {
                if left == 0 || !is_named(&line, name) {
                    section.0.push(line);
                    continue;
                }
                for address in addresses.iter().take(left) {
                    section.0.push(with_address(&line, address));
                }
                left = left.saturating_sub(addresses.len());
            }
        }
    }

    fn candidates(&self) -> impl Iterator<Item = (Host, u16)> {
        self.sdp
            .sections
            .iter()
            .flat_map(|section| section.values("candidate"))
            .filter_map(udp_candidate)
    }

    /// The repairs that were made, for the log.
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// The fingerprints of the server's certificate. Those with an unknown algorithm
    /// are left out.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        std::iter::once(&self.sdp.session)
            .chain(&self.sdp.sections)
            .flat_map(|part| part.values("fingerprint"))
            .filter_map(|value| value.parse().ok())
            .collect()
    }

    /// ICE user name fragment and password of the first section. Secrets.
    pub fn ice_credentials(&self) -> Option<(&str, &str)> {
        self.sdp.ice_credentials()
    }

    #[cfg(test)]
    pub(crate) fn unchecked(text: &str) -> Self {
        Self {
            sdp: Sdp::parse(text).unwrap(),
            repairs: Vec::new(),
            transport_wide: Vec::new(),
        }
    }

    fn fits(&self, offer: &Offer) -> Result<(), AnswerError> {
        let offered = &offer.sdp().sections;
        let answered = &self.sdp.sections;
        for (index, (asked, got)) in offered.iter().zip(answered).enumerate() {
            if asked.kind() != got.kind() {
                return Err(AnswerError::Kind { index });
            }
            if !sends(asked.direction()) {
                continue;
            }
            if got.port() == 0 || !receives(got.direction()) {
                return Err(AnswerError::Refused {
                    kind: asked.kind().to_owned(),
                });
            }
            self.has_transport(got)?;
        }
        Ok(())
    }

    fn has_transport(&self, section: &Lines) -> Result<(), AnswerError> {
        for attribute in ["ice-ufrag", "ice-pwd", "fingerprint", "setup"] {
            if self.sdp.inherited(section, attribute).is_none() {
                return Err(AnswerError::Missing { attribute });
            }
        }
        if self.fingerprints().is_empty() {
            return Err(AnswerError::Missing {
                attribute: "fingerprint",
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} sections)", self.sdp.sections.len())
    }
}

/// Bounds what the repairs and webrtcbin have to go through.
fn check_size(text: &str) -> Result<(), AnswerError> {
    let lines = Sdp::lines_of(text).ok_or(AnswerError::NotSdp)?;
    for (index, line) in lines.enumerate() {
        if index == MAX_LINES {
            return Err(AnswerError::TooManyLines);
        }
        if line.len() > MAX_LINE {
            return Err(AnswerError::LineTooLong);
        }
    }
    Ok(())
}

fn check_count(answer: &Sdp, offer: &Offer) -> Result<(), AnswerError> {
    let (offered, answered) = (offer.sdp().sections.len(), answer.sections.len());
    match offered == answered {
        true => Ok(()),
        false => Err(AnswerError::Sections { offered, answered }),
    }
}

/// Host and port in `foundation component protocol priority address port …`
/// (RFC 8839 5.1), if the protocol is UDP and the component RTP.
fn udp_candidate(candidate: &str) -> Option<(Host, u16)> {
    let words: Vec<&str> = candidate.split_ascii_whitespace().take(6).collect();
    let [_, "1", protocol, _, address, port] = words[..] else {
        return None;
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    if !protocol.eq_ignore_ascii_case("udp") {
        return None;
    }
    let host = match address.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => return None,
        Ok(IpAddr::V4(address)) => Host::Ipv4(address),
        Ok(IpAddr::V6(address)) => Host::Ipv6(address),
        Err(_) => Host::parse(address).ok()?,
    };
    Some((host, port))
}

/// Whether a line is a UDP candidate with this host name.
fn is_named(line: &str, name: &str) -> bool {
    let candidate = line.strip_prefix("a=candidate:").and_then(udp_candidate);
    matches!(candidate, Some((Host::Domain(found), _)) if found == name)
}

/// The candidate's line with another address.
fn with_address(line: &str, address: &IpAddr) -> String {
    let address = address.to_string();
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    if let Some(word) = words.get_mut(4) {
        *word = &address;
    }
    words.join(" ")
}

/// The first [`MAX_CANDIDATES`] different items.
fn handful<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if kept.len() == MAX_CANDIDATES {
            break;
        }
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// Whether a section of the server's answer with this direction accepts our media.
fn receives(direction: Direction) -> bool {
    matches!(direction, Direction::RecvOnly | Direction::SendRecv)
}

/// Why the body of a 2xx is not a usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// The body is empty or white space.
    Empty,
    /// The body is not UTF-8, or does not begin with `v=0`.
    NotSdp,
    /// The body is a web page: its type is HTML, or it begins with `<`.
    WebPage,
    /// The body is longer than the size limit for an answer.
    TooLong,
    /// The answer has more than 1000 lines.
    TooManyLines,
    /// A line of the answer has more than 8 KB.
    LineTooLong,
    /// The connection ended in the middle of the body.
    Broken,
    /// The answer does not have as many sections as the offer (RFC 3264 6).
    Sections {
        /// Number of sections in the offer.
        offered: usize,
        /// Number of sections in the answer.
        answered: usize,
    },
    /// A section is of another kind than the offer's at the same position.
    Kind {
        /// Position of the section, from 0.
        index: usize,
    },
    /// The server did not accept a section that sends media.
    Refused {
        /// `audio` or `video`.
        kind: String,
    },
    /// An accepted section lacks an attribute that its transport needs.
    Missing {
        /// Name of the SDP attribute.
        attribute: &'static str,
    },
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected an SDP answer, found an empty body"),
            Self::NotSdp => f.write_str("expected an SDP answer, found something else"),
            Self::WebPage => f.write_str("expected an SDP answer, found a web page"),
            Self::TooLong => f.write_str("expected an SDP answer, found a body too long for one"),
            Self::TooManyLines => write!(
                f,
                "expected an SDP answer of at most {MAX_LINES} lines, found more"
            ),
            Self::LineTooLong => write!(
                f,
                "expected an SDP answer with lines of at most {} KB, found a longer one",
                MAX_LINE / 1024
            ),
            Self::Broken => f.write_str("the connection ended in the middle of the SDP answer"),
            Self::Sections { offered, answered } => write!(
                f,
                "expected {offered} media sections in the SDP answer, found {answered}; \
                 it may have been cut short"
            ),
            Self::Kind { index } => {
                write!(
                    f,
                    "media section {index} of the SDP answer is of another kind than offered"
                )
            }
            Self::Refused { kind } => write!(f, "the SDP answer refuses {kind}"),
            Self::Missing { attribute } => {
                write!(
                    f,
                    "the SDP answer lacks a={attribute}; it may have been cut short"
                )
            }
        }
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OFFER: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=inactive\r\n";

    fn answer_text() -> String {
        let fingerprint = Fingerprint::of_certificate(b"der");
        let transport = format!(
            "a=ice-ufrag:u\r\na=ice-pwd:hidden\r\na=fingerprint:{fingerprint}\r\n\
             a=setup:passive\r\n"
        );
        format!(
            "v=0\r\ns=-\r\na=group:BUNDLE 0 1\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\n{transport}\
             m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=inactive\r\n{transport}"
        )
    }

    fn read(text: &str) -> Result<Answer, AnswerError> {
        let offer = Offer::new(OFFER, "s", None).unwrap();
        Answer::read(
            &Body::Whole(Bytes::copy_from_slice(text.as_bytes())),
            &offer,
        )
    }

    #[test]
    fn fitting_answer_is_taken_as_it_is() {
        let answer = read(&answer_text()).unwrap();
        assert_eq!(answer.text(), answer_text());
        assert!(answer.fingerprints()[0].matches(b"der"));
        assert!(!format!("{answer:?}").contains("hidden"));
    }

    #[test]
    fn transport_wide_congestion_control_counts_by_track_and_is_not_in_the_text() {
        let uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
        let extension = format!("a=extmap:3 {uri}\r\na=mid:1");
        let answer = read(&answer_text().replace("a=mid:1", &extension)).unwrap();
        assert_eq!(answer.transport_wide(Track::Video), Some(3));
        assert_eq!(answer.transport_wide(Track::Audio), None);
        assert_eq!(answer.text(), answer_text());
    }

    #[test]
    fn the_log_shows_the_text_without_the_password() {
        let redacted = read(&answer_text()).unwrap().redacted();
        assert!(redacted.contains("a=setup:passive"), "{redacted}");
        assert!(!redacted.contains("ice-pwd:hidden"), "{redacted}");
    }

    #[test]
    fn repairs_are_told() {
        let answer = read(&answer_text().replace("a=mid:1\r\n", "")).unwrap();
        assert_eq!(answer.repairs(), [Repair::Mid]);
    }

    #[test]
    fn byte_order_mark_blanks_and_line_ends_are_forgiven() {
        let text = answer_text();
        for (name, odd) in [
            ("mark", format!("\u{feff}{text}")),
            ("line end", text.replace("\r\n", " \t\r\n")),
            ("line start", text.replace("a=", " \ta=")),
            ("LF", text.replace("\r\n", "\n")),
            ("CR", text.replace("\r\n", "\r")),
            ("CR CR LF", text.replace('\n', "\r\n")),
            (
                "blanks at =",
                text.replace("a=", "a = ").replace("m=", "m= "),
            ),
            ("blanks at :", text.replace("ice-pwd:", "ice-pwd : ")),
            ("before v=0", format!(" \r\n {text}")),
        ] {
            let answer = read(&odd).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(answer.text(), text, "{name}");
            assert_eq!(answer.repairs(), [], "{name}");
            assert!(!answer.redacted().contains("hidden\n"), "{name}");
            let (ufrag, pwd) = answer.ice_credentials().unwrap();
            assert_eq!((ufrag, pwd), ("u", "hidden"), "{name}");
        }
    }

    #[test]
    fn null_bytes_are_no_text() {
        assert_eq!(
            read(&answer_text().replace("s=-", "s=\0")),
            Err(AnswerError::NotSdp)
        );
    }

    #[test]
    fn refused_filler_is_no_error() {
        assert!(read(&answer_text().replace("m=video 9", "m=video 0")).is_ok());
    }

    #[test]
    fn transport_attributes_may_stand_at_session_level() {
        let moved = answer_text()
            .replace("a=setup:passive\r\n", "")
            .replace("s=-", "s=-\r\na=setup:passive");
        assert!(read(&moved).is_ok());
    }

    #[test]
    fn udp_candidates_that_are_addresses() {
        let candidates = "a=candidate:1 1 udp 7 192.0.2.1 5000 typ host\r\n\
             a=candidate:2 1 UDP 6 2001:db8::1 5001 typ host\r\n\
             a=candidate:3 2 udp 5 192.0.2.1 5002 typ host\r\n\
             a=candidate:4 1 tcp 4 192.0.2.1 5003 typ host tcptype passive\r\n\
             a=candidate:5 1 udp 3 name.local 5004 typ host\r\n";
        let text = answer_text().replace("m=video", &format!("{candidates}m=video"));
        let found: Vec<String> = read(&text)
            .unwrap()
            .udp_candidates()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["192.0.2.1:5000", "[2001:db8::1]:5001"]);
        assert_eq!(
            read(&text).unwrap().udp_candidate_names(),
            [("name.local".to_owned(), 5004)]
        );
    }

    #[test]
    fn addresses_replace_names_in_candidates() {
        let lines = "a=candidate:1 1 udp 7 192.0.2.1 9 typ host\r\n\
                     a=candidate:2 1 UDP 7 Media.Example 9 typ host generation 0\r\n\
                     a=candidate:3 1 udp 7 other.example 9 typ host\r\n\
                     a=candidate:4 1 tcp 7 media.example 9 typ host tcptype passive\r\n";
        let with = |lines: &str| answer_text().replace("m=video", &format!("{lines}m=video"));
        let mut answer = read(&with(lines)).unwrap();
        let name = answer.udp_candidate_names()[0].0.clone();
        answer.set_addresses(&name, &[]);
        answer.set_addresses(&name, &["0.0.0.0".parse().unwrap()]);
        assert_eq!(answer, read(&with(lines)).unwrap());
        let addresses = ["192.0.2.2", "2001:db8::2"].map(|address| address.parse().unwrap());
        answer.set_addresses(&name, &addresses);
        let resolved = lines.replace(
            "a=candidate:2 1 UDP 7 Media.Example 9 typ host generation 0\r\n",
            "a=candidate:2 1 UDP 7 192.0.2.2 9 typ host generation 0\r\n\
             a=candidate:2 1 UDP 7 2001:db8::2 9 typ host generation 0\r\n",
        );
        assert_eq!(answer, read(&with(&resolved)).unwrap());
    }

    #[test]
    fn names_become_a_handful_of_addresses() {
        let lines: String = (1..=100)
            .map(|port| format!("a=candidate:1 1 udp 7 a.example {port} typ host\r\n"))
            .collect();
        let text = answer_text().replace("m=video", &format!("{lines}m=video"));
        let mut answer = read(&text).unwrap();
        let addresses: Vec<IpAddr> = (0..5).map(|n| [192, 0, 2, n].into()).collect();
        answer.set_addresses("a.example", &addresses);
        assert_eq!(answer.text().matches("192.0.2.").count(), 8);
    }

    #[test]
    fn many_candidates_are_a_handful() {
        let with = |candidate: &dyn Fn(u32) -> String| {
            let lines: String = (0..900).map(candidate).collect();
            read(&answer_text().replace("m=video", &format!("{lines}m=video"))).unwrap()
        };
        let line =
            |address: &str, port| format!("a=candidate:1 1 udp 7 {address} {port} typ host\r\n");
        assert_eq!(with(&|_| line("192.0.2.1", 9)).udp_candidates().len(), 1);
        assert_eq!(
            with(&|n| line("192.0.2.1", n + 1)).udp_candidates().len(),
            8
        );
        assert_eq!(
            with(&|_| line("a.example", 9)).udp_candidate_names().len(),
            1
        );
        assert_eq!(
            with(&|n| line("a.example", n + 1))
                .udp_candidate_names()
                .len(),
            8
        );
    }

    #[test]
    fn addresses_that_nobody_has_are_no_candidates() {
        for address in ["0.0.0.0", "::", "192.0.2.1.9", "fe80::1%eth0", "", "a b"] {
            let line = format!("a=candidate:1 1 udp 7 {address} 9 typ host\r\nm=video");
            let answer = read(&answer_text().replace("m=video", &line)).unwrap();
            assert_eq!(answer.udp_candidates(), [], "{address}");
            assert_eq!(answer.udp_candidate_names(), [], "{address}");
        }
    }

    #[test]
    fn empty() {
        assert_eq!(read(" \r\n"), Err(AnswerError::Empty));
    }

    #[test]
    fn not_sdp() {
        assert_eq!(read("<html>hello</html>"), Err(AnswerError::NotSdp));
        assert_eq!(
            read(&"<html>\n".repeat(2 * MAX_LINES)),
            Err(AnswerError::NotSdp)
        );
        let offer = Offer::new(OFFER, "s", None).unwrap();
        let binary = Body::Whole(Bytes::from_static(b"\xff\xfe"));
        assert_eq!(Answer::read(&binary, &offer), Err(AnswerError::NotSdp));
    }

    #[test]
    fn too_long_and_broken() {
        let offer = Offer::new(OFFER, "s", None).unwrap();
        assert_eq!(
            Answer::read(&Body::TooLong(Bytes::new()), &offer),
            Err(AnswerError::TooLong)
        );
        assert_eq!(
            Answer::read(&Body::Broken(Bytes::new()), &offer),
            Err(AnswerError::Broken)
        );
    }

    #[test]
    fn sections() {
        let whole = answer_text();
        let cut = whole.split("m=video").next().unwrap();
        assert_eq!(
            read(cut),
            Err(AnswerError::Sections {
                offered: 2,
                answered: 1
            })
        );
    }

    /// The longest body that is read, in the shape that costs the most.
    #[test]
    fn hostile_answers_cost_nothing() {
        const BODY: usize = 512 * 1024;
        let transport = answer_text().replace("m=video", "m=audio");
        let filled = |head: &str, line: &str| {
            let count = (BODY - head.len()) / line.len();
            head.to_owned() + &line.repeat(count)
        };
        let session = format!("v=0\n{}", "x\n".repeat(131_072));
        for text in [
            filled(&format!("{session}{transport}m=a 9\n"), "m=\n"),
            filled("v=0\n", "m=audio 9\n"),
            filled(&answer_text(), "a=x\n"),
            filled(&answer_text(), "a=fingerprint:sha-256 00\n"),
            filled(&answer_text(), " "),
            filled(&answer_text(), "\n"),
            filled(&answer_text().replace("s=-", "s=-\na=ice-pwd:"), "p"),
        ] {
            let since = std::time::Instant::now();
            let answer = read(&text);
            if let Ok(answer) = &answer {
                answer.redacted();
            }
            let took = since.elapsed();

            // Without optimisation it costs fifty times as much.
            let bound = if cfg!(debug_assertions) { 2500 } else { 50 };
            assert!(took.as_millis() < bound, "{took:?}: {answer:?}");
        }
    }

    #[test]
    fn too_many_lines() {
        let lines = |count: usize| answer_text() + &"a=x\r\n".repeat(count);
        let rest = MAX_LINES - answer_text().lines().count();
        assert!(read(&lines(rest)).is_ok());
        assert_eq!(read(&lines(rest + 1)), Err(AnswerError::TooManyLines));
    }

    #[test]
    fn too_long_a_line() {
        let line = |length: usize| answer_text() + "a=" + &"x".repeat(length - 2);
        assert!(read(&line(MAX_LINE)).is_ok());
        assert_eq!(read(&line(MAX_LINE + 1)), Err(AnswerError::LineTooLong));
    }

    #[test]
    fn kind() {
        let swapped = answer_text().replace("m=video", "m=application");
        assert_eq!(read(&swapped), Err(AnswerError::Kind { index: 1 }));
    }

    #[test]
    fn refused() {
        let refused = AnswerError::Refused {
            kind: "audio".into(),
        };
        for text in [
            answer_text().replace("m=audio 9", "m=audio 0"),
            answer_text().replace("a=recvonly", "a=inactive"),
            answer_text().replace("a=recvonly", "a=sendonly"),
        ] {
            assert_eq!(read(&text), Err(refused.clone()));
        }
    }

    #[test]
    fn missing() {
        for attribute in ["ice-ufrag", "ice-pwd", "fingerprint", "setup"] {
            let text = answer_text().replace(&format!("a={attribute}"), "a=x");
            assert_eq!(read(&text), Err(AnswerError::Missing { attribute }));
        }
        let weak = answer_text().replace("sha-256", "sha-1");
        assert_eq!(
            read(&weak),
            Err(AnswerError::Missing {
                attribute: "fingerprint"
            })
        );
    }
}
