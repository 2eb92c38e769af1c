//! SDP that the stage's page shows.

#[path = "../../stage/src/watch/redaction.rs"]
mod sdp;

use sdp::without_secrets;

const CREDENTIALS: [&str; 6] = [
    "a=ice-ufrag",
    "a=ice-pwd",
    "a=crypto",
    "k=clear",
    "k=base64",
    "k=uri",
];
/// The shortest user fragment of ICE (RFC 8839 5.4).
const SECRET: usize = 4;

/// The bytes are an offer or an answer.
pub fn redaction(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = without_secrets(&text);
    assert_eq!(without_secrets(&shown), shown);
    let (mut secrets, mut others) = (Vec::new(), Vec::new());
    // RFC 8866 5: a reader may take other ends of lines than CRLF.
    for line in text.split(['\r', '\n']) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name = name.trim_start().to_ascii_lowercase();
        if CREDENTIALS.contains(&name.as_str()) {
            secrets.push(value.trim());
        } else if name == "a=candidate" {
            candidate(line, &mut secrets, &mut others);
        } else {
            others.push(line);
            assert!(shown.contains(line), "{line:?} is not in {shown:?}");
        }
    }
    for secret in secrets {
        // What is also said elsewhere is no secret of this line.
        let is_elsewhere = others.iter().any(|other| other.contains(secret));
        let is_short = secret.len() < SECRET;
        assert!(
            is_short || is_elsewhere || !shown.contains(secret),
            "{secret:?} in {shown:?}"
        );
    }
}

/// The word after each `ufrag` is a secret.
fn candidate<'a>(line: &'a str, secrets: &mut Vec<&'a str>, others: &mut Vec<&'a str>) {
    let (mut is_secret, mut told, mut end) = (false, 0, 0);
    for word in line.split_inclusive(' ') {
        let begin = end;
        end += word.len();
        let word = word.trim_end_matches(' ');
        if word.is_empty() {
            continue;
        }
        if is_secret {
            secrets.push(word);
            others.push(&line[told..begin]);
            told = begin + word.len();
        }
        is_secret = !is_secret && word.eq_ignore_ascii_case("ufrag");
    }
    others.push(&line[told..]);
}
