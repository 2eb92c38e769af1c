//! SDP as lines, grouped by section. An edit changes single lines and leaves all others
//! untouched.

use std::fmt;

/// Session lines and media sections, each line without its line end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sdp {
    pub(crate) session: Lines,
    pub(crate) sections: Vec<Lines>,
}

impl Sdp {
    /// Whether the first line of a text is `v=0` (RFC 8866 5).
    pub(crate) fn begins(text: &str) -> bool {
        lines(text).next().is_some_and(is_version)
    }

    /// Splits a text at its `m=` lines. `None` if the first line is not `v=0`
    /// (RFC 8866 5). Accepts LF and CRLF.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = lines(text);
        let first = lines.next().filter(|line| is_version(line))?;
        let mut session = Lines(vec![first.to_owned()]);
        let mut sections: Vec<Lines> = Vec::new();
        for line in lines {
            if line.starts_with("m=") {
                sections.push(Lines(Vec::new()));
            }
            sections
                .last_mut()
                .unwrap_or(&mut session)
                .0
                .push(line.to_owned());
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

    /// The text for a log, with the values of secret attributes hidden. `crypto`
    /// belongs to SDES (RFC 4568), which no WebRTC server should write.
    pub(crate) fn redacted(&self) -> String {
        let hidden = |line: &str| {
            ["a=ice-pwd:", "a=crypto:"].into_iter().find(|name| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        let mut text = String::new();
        for line in self.lines() {
            match hidden(line) {
                Some(name) => text.push_str(&format!("{name}(hidden)")),
                None => text.push_str(line),
            }
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

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.is_empty())
}

fn is_version(line: &str) -> bool {
    line.trim_end() == "v=0"
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

    #[test]
    fn redacted_has_no_password_at_any_level() {
        let text = "v=0\r\na=ice-pwd:one\r\nm=audio 9 x 96\r\na=ice-ufrag:u\r\na=ICE-PWD:two\r\n\
            a=ice-pwd:\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:three\r\na=x:\u{e9}\r\n";
        assert_eq!(
            Sdp::parse(text).unwrap().redacted(),
            "v=0\na=ice-pwd:(hidden)\nm=audio 9 x 96\na=ice-ufrag:u\na=ice-pwd:(hidden)\n\
             a=ice-pwd:(hidden)\na=crypto:(hidden)\na=x:\u{e9}\n"
        );
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
