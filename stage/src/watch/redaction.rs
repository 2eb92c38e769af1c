//! Cuts the secrets out of SDP, so that the page can show it: SDP comes in, the
//! same without ICE credentials and SRTP keys goes out.

/// Stands for what was cut.
const CUT: &str = "…";

pub(crate) fn without_secrets(sdp: &str) -> String {
    let mut text = String::new();
    // RFC 8866 5: a reader may take other ends of lines than CRLF.
    for line in sdp.lines().flat_map(|line| line.split('\r')) {
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
    let mut is_value = false;
    let words = line.split(' ').map(|word| {
        if word.is_empty() {
            return word;
        }
        let is_cut = is_value;
        is_value = !is_cut && word.eq_ignore_ascii_case("ufrag");
        if is_cut { CUT } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_wherever_they_stand() {
        let sdp = "v=0\r\na=ice-ufrag:SECRET\r\n a=ICE-PWD:SECRET\r\nm=audio 9 X 0\r\n\
            a=crypto:1 AES inline:SECRET\r\na=fingerprint:sha-256 00:11\r\n\
            a=candidate:1 1 udp 1 192.0.2.1 5 typ host generation 0 ufrag SECRET network-cost 1\r\n\
            a=candidate:1 1 udp 1 192.0.2.1 5 typ host ufrag  SECRET ufrag SECRET\r\n\
            a=end-of-candidates\ra=ice-pwd:SECRET\n";
        let cut = without_secrets(sdp);
        assert!(!cut.contains("SECRET"), "{cut}");
        assert!(cut.contains("192.0.2.1 5 typ host generation 0 ufrag … network-cost 1\n"));
        assert!(cut.contains("a=fingerprint:sha-256 00:11\n"));
    }
}
