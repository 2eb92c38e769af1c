//! SDP answers for offers of any shape.

/// The fingerprint in an answer. No certificate matches it, so media never
/// connects; tests that need media use a real far end.
pub(crate) const FINGERPRINT: &str = "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:\
     B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

/// A valid transport without a far end behind it.
const TRANSPORT: &str = "a=ice-ufrag:farEnd\r\na=ice-pwd:farEndPasswordOf24Letters\r\n\
     a=setup:passive\r\na=rtcp-mux\r\n";

/// An answer that accepts everything in the offer: one bundle with a section
/// for each of the offer's, of the same kind, mid, formats and mappings.
/// `sendonly` is answered by `recvonly`, `inactive` by `inactive`.
pub(crate) fn answer_for(offer: &str) -> String {
    let sections: Vec<Vec<&str>> = sections(offer);
    let mids: Vec<&str> = sections
        .iter()
        .filter_map(|lines| lines.iter().find_map(|line| line.strip_prefix("a=mid:")))
        .collect();
    let mut answer = String::from("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
    if !mids.is_empty() {
        answer += &format!("a=group:BUNDLE {}\r\n", mids.join(" "));
    }
    for lines in sections {
        answer += &section(&lines);
    }
    answer
}

fn sections(offer: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in offer.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line.trim_end());
        }
    }
    sections
}

fn section(offered: &[&str]) -> String {
    let mut section = format!("{}\r\nc=IN IP4 127.0.0.1\r\n", offered[0]);
    for line in offered {
        if ["a=mid:", "a=rtpmap:", "a=fmtp:"]
            .iter()
            .any(|kept| line.starts_with(kept))
        {
            section += &format!("{line}\r\n");
        }
    }
    let direction = match offered
        .iter()
        .find(|line| ["a=sendonly", "a=recvonly", "a=inactive"].contains(line))
    {
        Some(&"a=sendonly") => "recvonly",
        Some(&"a=recvonly") => "sendonly",
        Some(_) => "inactive",
        None => "sendrecv",
    };
    section + &format!("a={direction}\r\n{TRANSPORT}a=fingerprint:{FINGERPRINT}\r\n")
}
