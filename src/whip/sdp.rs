//! SDP as lines, grouped by section. An edit changes single lines and leaves all others
//! untouched.

use std::borrow::Cow;
use std::fmt;

/// Beginnings of the lines that hold a secret. `crypto` belongs to SDES (RFC 4568),
/// `key-mgmt` to RFC 4567 and `k` to RFC 2327; no WebRTC server should write them.
const SECRET_LINES: [&str; 4] = ["a=ice-pwd:", "a=crypto:", "a=key-mgmt:", "k="];

/// Shorter passwords are only hidden on their own line: they could be part of any word.
/// Valid ones have 22 characters at least (RFC 8839 5.4).
const MIN_PASSWORD: usize = 8;

/// Session lines and media sections, each line without its line end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sdp {
    pub(crate) session: Lines,
    pub(crate) sections: Vec<Lines>,
}

impl Sdp {
    /// The lines of a text that are not blank, without the blanks around them. `None` if
    /// the first is not `v=0` (RFC 8866 5), or the text has a NUL, where GStreamer's
    /// parser would end.
    pub(crate) fn lines_of(text: &str) -> Option<impl Iterator<Item = &str> + Clone> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text
            .split(['\n', '\r'])
            .map(|line| line.trim_matches(is_blank))
            .filter(|line| !line.is_empty());
        let is_sdp = !text.contains('\0') && canonical(lines.clone().next()?)? == "v=0";
        is_sdp.then_some(lines)
    }

    /// Splits a text at its `m=` lines. `None` if it is no SDP.
    ///
    /// Accepts a byte order mark, LF, CRLF and CR, and blanks around a line and its
    /// parts, and keeps none of them: what we read is then also what webrtcbin reads,
    /// whose parser skips some blanks and not others.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut session = Lines(Vec::new());
        let mut sections: Vec<Lines> = Vec::new();
        for line in Self::lines_of(text)?.filter_map(canonical) {
            if line.starts_with("m=") {
                sections.push(Lines(Vec::new()));
            }
            sections.last_mut().unwrap_or(&mut session).0.push(line);
        }
        Some(Self { session, sections })
    }

    /// The attribute's value in this section, else at session level.
    pub(crate) fn inherited<'a>(
        &'a self,
        section: &'a Lines,
        name: &'static str,
    ) -> Option<&'a str> {
        section.value(name).or_else(|| self.session.value(name))
    }

    /// The text for a log. It hides the secret lines, and the ICE passwords wherever else
    /// they stand.
    pub(crate) fn redacted(&self) -> String {
        let passwords: Vec<&str> = std::iter::once(&self.session)
            .chain(&self.sections)
            .filter_map(|part| part.value("ice-pwd"))
            .filter(|password| password.len() >= MIN_PASSWORD)
            .collect();
        let mut text = String::new();
        for line in self.lines() {
            let shown = passwords
                .iter()
                .fold(redacted_line(line), |line, password| {
                    line.replace(password, "(hidden)").into()
                });
            text.push_str(&shown);
            text.push('\n');
        }
        text
    }

    fn lines(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.session)
            .chain(&self.sections)
            .flat_map(|part| &part.0)
    }

    /// `ice-ufrag` and `ice-pwd` of the first section, which is the bundle's.
    pub(crate) fn ice_credentials(&self) -> Option<(&str, &str)> {
        let first = self.sections.first().unwrap_or(&self.session);
        Some((
            self.inherited(first, "ice-ufrag")?,
            self.inherited(first, "ice-pwd")?,
        ))
    }
}

/// A control character can't be part of a value, and GStreamer's parser skips some.
fn is_blank(character: char) -> bool {
    character == ' ' || character.is_control()
}

/// The line without blanks around its `=` and, in an attribute, its `:`. `None` if it has
/// not the form `letter=value`: GStreamer's parser skips such a line too.
fn canonical(line: &str) -> Option<String> {
    let (letter, value) = line.split_once('=')?;
    let (letter, value) = (
        letter.trim_end_matches(is_blank),
        value.trim_matches(is_blank),
    );
    if letter.len() != 1 {
        return None;
    }
    Some(match value.split_once(':') {
        Some((name, value)) if letter == "a" => format!(
            "a={}:{}",
            name.trim_end_matches(is_blank),
            value.trim_start_matches(is_blank)
        ),
        _ => format!("{letter}={value}"),
    })
}

/// The line without its secret, by what the most lenient parser would read.
fn redacted_line(line: &str) -> Cow<'_, str> {
    let letters = line.chars().filter(char::is_ascii_graphic);
    let letters = letters.collect::<String>().to_ascii_lowercase();
    let secret = SECRET_LINES
        .into_iter()
        .find(|name| letters.starts_with(name));
    match secret {
        Some(name) => format!("{name}(hidden)").into(),
        None if letters.contains("ice-pwd") || letters.contains("inline:") => "(hidden)".into(),
        None => line.into(),
    }
}

/// Hides the lines, since they hold an ICE password.
impl fmt::Debug for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} sections)", self.sections.len())
    }
}

impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            write!(f, "{line}\r\n")?;
        }
        Ok(())
    }
}

/// The lines of the session part or of one media section.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl Lines {
    /// `audio` or `video` of `m=audio 9 UDP/TLS/RTP/SAVPF 96`.
    pub(crate) fn kind(&self) -> &str {
        self.media_line().next().unwrap_or_default()
    }

    /// The port of the `m=` line; 0 if it has none.
    pub(crate) fn port(&self) -> u16 {
        self.media_line()
            .nth(1)
            .and_then(|port| port.parse().ok())
            .unwrap_or_default()
    }

    /// The value of `a=name:value` or, for a flag `a=name`, an empty text.
    pub(crate) fn value(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    /// Every value of an attribute that may occur more than once.
    pub(crate) fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |line| {
            let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
            if rest.is_empty() {
                Some(rest)
            } else {
                rest.strip_prefix(':')
            }
        })
    }

    /// Removes every line of an attribute.
    pub(crate) fn remove(&mut self, name: &str) {
        let prefix = format!("a={name}");
        self.0.retain(|line| {
            line.strip_prefix(&prefix)
                .is_none_or(|rest| !rest.is_empty() && !rest.starts_with(':'))
        });
    }

    /// Removes every line of an attribute but the first, and returns whether there was
    /// another.
    pub(crate) fn remove_repeated(&mut self, name: &'static str) -> bool {
        let Some(first) = self.value(name).map(str::to_owned) else {
            return false;
        };
        let repeated = self.values(name).count() > 1;
        if repeated {
            self.remove(name);
            self.push(&format!("{name}:{first}"));
        }
        repeated
    }

    /// Adds `a=attribute` at the end.
    pub(crate) fn push(&mut self, attribute: &str) {
        self.0.push(format!("a={attribute}"));
    }

    /// The section's direction; `sendrecv` if it names none (RFC 8866 6.7).
    pub(crate) fn direction(&self) -> Direction {
        let written = |name| self.value(name).is_some();
        if written("sendonly") {
            Direction::SendOnly
        } else if written("recvonly") {
            Direction::RecvOnly
        } else if written("inactive") {
            Direction::Inactive
        } else {
            Direction::SendRecv
        }
    }

    fn media_line(&self) -> impl Iterator<Item = &str> {
        self.0
            .first()
            .and_then(|line| line.strip_prefix("m="))
            .unwrap_or_default()
            .split(' ')
    }
}

/// The direction of a media section, seen from the side that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `a=sendrecv`, or no direction attribute.
    SendRecv,
    /// `a=sendonly`.
    SendOnly,
    /// `a=recvonly`.
    RecvOnly,
    /// `a=inactive`.
    Inactive,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\na=ice-lite\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=mid-extra:x\r\na=inactive\r\n";

    #[test]
    fn gives_back_what_it_read() {
        assert_eq!(Sdp::parse(TEXT).unwrap().to_string(), TEXT);
        let line_feeds = TEXT.replace("\r\n", "\n");
        assert_eq!(Sdp::parse(&line_feeds).unwrap().to_string(), TEXT);
    }

    const PASSWORD: &str = "pwd4567890123456789012";

    #[test]
    fn redacted_has_no_password_in_any_spelling() {
        for line in [
            "a=ice-pwd:#",
            "a=ICE-PWD:#",
            " a=ice-pwd:#",
            "\t a=ice-pwd:# \t",
            "a =ice-pwd:#",
            "a= ice-pwd:#",
            "a=ice-pwd :#",
            "a=ice-pwd: #",
            " A = Ice-Pwd : #",
            "a=ice-pwd #",
            "a=ice-pwd=#",
            "a=ice\u{7f}-pwd:#",
            "a=ice-pwd:# a=ice-pwd:#",
            "a=ice-ufrag:u\ra=ice-pwd:#",
            "a=ice-ufrag:u\u{c}a=ice-pwd:#",
            "i=a=ice-pwd:#",
            "a=x:1\ta=ice-pwd:#",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:#",
            "a=Crypto :1 x inline:#",
            "a=key-mgmt:mikey #",
            "k=clear:#",
            " k = base64:#",
        ] {
            for text in [
                format!("v=0\r\n{line}\r\nm=audio 9 x 96\r\na=ice-ufrag:u\r\n"),
                format!("v=0\r\nm=audio 9 x 96\r\n{line}\r\na=ice-ufrag:u\r\n"),
            ] {
                let redacted = Sdp::parse(&text.replace('#', PASSWORD)).unwrap().redacted();
                assert!(!redacted.contains(PASSWORD), "{line:?}: {redacted}");
                assert!(redacted.contains("(hidden)"), "{line:?}: {redacted}");
                assert!(
                    redacted.ends_with("a=ice-ufrag:u\n"),
                    "{line:?}: {redacted}"
                );
            }
        }
    }

    #[test]
    fn redacted_has_no_password_that_another_line_repeats() {
        let text = format!(
            "v=0\r\ni=try {PASSWORD} here\r\na=ice-pwd:{PASSWORD}\r\n\
             m=audio 9 x 96\r\na=x-debug:pwd={PASSWORD}\r\na=ice-pwd:p\r\n"
        );
        assert_eq!(
            Sdp::parse(&text).unwrap().redacted(),
            "v=0\ni=try (hidden) here\na=ice-pwd:(hidden)\nm=audio 9 x 96\n\
             a=x-debug:pwd=(hidden)\na=ice-pwd:(hidden)\n"
        );
    }

    #[test]
    fn redacted_keeps_every_other_line() {
        let text = TEXT.replace("a=mid-extra:x", "a=x:\u{e9}\r\na=ice-options:trickle");
        let redacted = Sdp::parse(&text).unwrap().redacted();
        assert_eq!(redacted, text.replace("\r\n", "\n"));
    }

    #[test]
    fn anything_but_v0_first_is_no_sdp() {
        for bad in ["", "<html>", "{\"v\":0}", "m=audio 9 x 0\r\n", "v=1\r\n"] {
            assert_eq!(Sdp::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn reads_sections() {
        let sdp = Sdp::parse(TEXT).unwrap();
        let [audio, video] = &sdp.sections[..] else {
            panic!("two sections")
        };
        assert_eq!(
            (audio.kind(), audio.port(), audio.direction()),
            ("audio", 9, Direction::SendOnly)
        );
        assert_eq!(
            (video.kind(), video.port(), video.direction()),
            ("video", 0, Direction::Inactive)
        );
        assert_eq!(video.value("mid"), Some("1"));
        assert_eq!(sdp.inherited(video, "ice-lite"), Some(""));
    }

    #[test]
    fn edits_touch_their_line_only() {
        let mut sdp = Sdp::parse(TEXT).unwrap();
        sdp.sections[1].remove("mid");
        let text = sdp.to_string();
        assert!(text.contains("m=video 0 UDP/TLS/RTP/SAVPF 97\r\na=mid-extra:x\r\na=inactive\r\n"));
    }
}
