//! The secrets of a session, and the search for them.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gst::prelude::*;
use gst_webrtc::WebRTCSessionDescription;

/// Texts that have to stay hidden, each with a name.
#[derive(Clone, Default)]
pub struct Secrets {
    texts: Vec<(String, String)>,
}

impl Secrets {
    pub fn add(&mut self, name: &str, text: &str) {
        assert!(text.len() >= 8, "{name} is too short to be searched for");
        self.texts.push((name.to_owned(), text.to_owned()));
    }

    /// Adds each of the three parts of a token, which is a JWT.
    pub fn add_token(&mut self, token: &str) {
        for part in token.split('.') {
            self.add("token", part);
        }
    }

    /// Adds the secrets of a connection that is up: ICE passwords, the key of the
    /// DTLS certificate, SRTP keys of both directions.
    pub fn add_connection(&mut self, webrtcbin: &gst::Element) {
        for name in ["current-local-description", "current-remote-description"] {
            let description = webrtcbin.property::<WebRTCSessionDescription>(name);
            let text = description.sdp().as_text().unwrap();
            let password = text
                .lines()
                .find_map(|line| line.strip_prefix("a=ice-pwd:"))
                .unwrap();
            self.add("ICE password", password.trim());
        }
        let bin = webrtcbin.downcast_ref::<gst::Bin>().unwrap();
        for element in bin.iterate_recurse().into_iter().flatten() {
            let factory = element.factory().map(|factory| factory.name());
            match factory.as_deref().unwrap_or_default() {
                "dtlsdec" => self.add_dtls_key(&element.property::<String>("pem")),
                "srtpenc" => self.add_srtp_key(&element.property::<gst::Buffer>("key")),
                "srtpdec" => {
                    let caps = element.emit_by_name::<Option<gst::Caps>>("request-key", &[&0u32]);
                    let key = caps.unwrap().structure(0).unwrap().get("srtp-key");
                    self.add_srtp_key(&key.unwrap());
                }
                _ => {}
            }
        }
    }

    fn add_dtls_key(&mut self, pem: &str) {
        let (key, _) = pem.split_once("-----END PRIVATE KEY-----").unwrap();
        for line in key.lines().filter(|line| !line.contains("-----")) {
            self.add("DTLS key", line);
        }
    }

    /// Adds the beginning of a key, since a graph dump cuts off the rest.
    fn add_srtp_key(&mut self, key: &gst::Buffer) {
        let key = key.map_readable().unwrap();
        let hex: String = key[..10].iter().map(|byte| format!("{byte:02x}")).collect();
        self.add("SRTP key", &hex);
        self.add("SRTP key", &STANDARD.encode(&key[..12]));
    }

    /// The names of the secrets in a text.
    pub fn find(&self, text: &str) -> BTreeSet<&str> {
        let found = self
            .texts
            .iter()
            .filter(|(_, secret)| text.contains(secret));
        found.map(|(name, _)| name.as_str()).collect()
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.texts.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The lines with a secret, for a failure's text: 20 at most, 300 bytes of each.
    pub fn lines<'a>(&self, text: &'a str) -> Vec<(BTreeSet<&str>, &'a str)> {
        let lines = text.lines().map(|line| (self.find(line), line));
        lines
            .filter(|(found, _)| !found.is_empty())
            .map(|(found, line)| (found, &line[..line.floor_char_boundary(300)]))
            .take(20)
            .collect()
    }

    /// Writes the secrets to a file, for the process that searches.
    pub fn save(&self, path: &Path) {
        let lines: String = self
            .texts
            .iter()
            .map(|(name, text)| format!("{name}\t{text}\n"))
            .collect();
        std::fs::write(path, lines).unwrap();
    }

    pub fn load(path: &Path) -> Self {
        let lines = std::fs::read_to_string(path).unwrap();
        let texts = lines.lines().map(|line| {
            let (name, text) = line.split_once('\t').unwrap();
            (name.to_owned(), text.to_owned())
        });
        Self {
            texts: texts.collect(),
        }
    }
}

#[test]
fn the_search_finds_what_it_was_given() {
    let mut secrets = Secrets::default();
    secrets.add_token("headerheader.claimsclaims.signature");
    assert_eq!(secrets.find("x claimsclaims y"), BTreeSet::from(["token"]));
    assert!(secrets.find("claims").is_empty());
    assert_eq!(secrets.lines("a\nsignature=1\nb").len(), 1);
}
