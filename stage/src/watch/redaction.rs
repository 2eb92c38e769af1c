//! Cuts the secrets out of SDP, so that the page can show it: SDP comes in, the
//! same without ICE credentials and SRTP keys goes out.

/// Stands for what was cut.
const CUT: &str = "…";

pub(crate) fn without_secrets(sdp: &str) -> String {
    let mut text = String::new();
    for line in sdp.lines() {
        text.push_str(&redacted(line));
        text.push('\n');
    }
    text
}

fn redacted(line: &str) -> String {
    let name = line.trim_start().split(':').next().unwrap_or("");
    match name.to_ascii_lowercase().as_str() {
        "a=ice-ufrag" | "a=ice-pwd" | "a=crypto" | "k=clear" | "k=base64" | "k=uri" => {
            format!("{name}:{CUT}")
        }
        "a=candidate" => without_ufrag(line),
        _ => line.to_owned(),
    }
}

/// A candidate can repeat the user fragment as an extension (RFC 8839 5.1).
fn without_ufrag(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let named = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case("ufrag"));
    if let Some(value) = named.and_then(|place| words.get_mut(place + 1)) {
        *value = CUT;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_wherever_they_stand() {
        let sdp = "v=0\r\na=ice-ufrag:SECRET\r\n a=ICE-PWD:SECRET\r\nm=audio 9 X 0\r\n\
            a=crypto:1 AES inline:SECRET\r\na=fingerprint:sha-256 00:11\r\n\
            a=candidate:1 1 udp 1 192.0.2.1 5 typ host generation 0 ufrag SECRET network-cost 1\r\n";
        let cut = without_secrets(sdp);
        assert!(!cut.contains("SECRET"), "{cut}");
        assert!(cut.contains("192.0.2.1 5 typ host generation 0 ufrag … network-cost 1\n"));
        assert!(cut.contains("a=fingerprint:sha-256 00:11\n"));
    }
}
