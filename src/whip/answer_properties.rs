//! Properties that hold for every answer, checked on many generated ones.

use bytes::Bytes;

use super::answer_repair::repair;
use super::sdp::Sdp;
use super::{Answer, AnswerError, Body, Offer};
use crate::random::Random;

const OFFER: &str = include_str!("../../tests/fixtures/answers/offer.sdp");
const GOOD: &str = include_str!("../../tests/fixtures/answers/good.sdp");
const PASSWORD: &str = "x7Pwd+89012345/6789012";
const ROUNDS: u64 = 1000;

/// Lines that the repairs look at, and some that they do not.
const LINES: [&str; 24] = [
    "a=group:BUNDLE audio0 video1",
    "a=group:BUNDLE audio0",
    "a=mid:audio0",
    "a=mid:video1",
    "a=ice-ufrag:one",
    "a=ice-ufrag:two",
    "a=ice-pwd:x7Pwd+89012345/6789012",
    "a=ice-pwd:another90123456789012",
    "a=fingerprint:sha-256 AB:CD",
    "a=fingerprint:sha-1 AB",
    "a=setup:passive",
    "a=setup:active",
    "a=ssrc:0 cname:c",
    "a=ssrc:7 cname:c",
    "a=recvonly",
    "a=inactive",
    "a=candidate:1 1 udp 7 192.0.2.1 9 typ host",
    "a=ice-lite",
    "a=rtpmap:111 opus/48000/2",
    "c=IN IP4 0.0.0.0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "m=audio 0 UDP/TLS/RTP/SAVPF 0",
    "m=video 9 UDP/TLS/RTP/SAVPF 127",
    "m=video 0 UDP/TLS/RTP/SAVPF 0",
];

fn any_answer(random: &mut Random) -> String {
    let mut text = "v=0\r\n".to_owned();
    for _ in 0..random.below(30) {
        text.push_str(random.one_of(&LINES));
        text.push_str("\r\n");
    }
    text
}

fn offer() -> Offer {
    Offer::new(OFFER, "s", None).unwrap()
}

fn read(text: &str) -> Result<Answer, AnswerError> {
    Answer::read(
        &Body::Whole(Bytes::copy_from_slice(text.as_bytes())),
        &offer(),
    )
}

#[test]
fn repairs_leave_nothing_to_repair() {
    let offer = offer();
    for seed in 1..=ROUNDS {
        let text = any_answer(&mut Random::new(seed));
        let mut answer = Sdp::parse(&text).unwrap();
        repair(&mut answer, offer.sdp());
        let once = answer.to_string();
        assert_eq!(
            repair(&mut answer, offer.sdp()),
            [],
            "{seed}: {text}\n{once}"
        );
        assert_eq!(answer.to_string(), once, "{seed}");
    }
}

#[test]
fn good_answers_stay_as_they_are() {
    const HARMLESS: [&str; 5] = [
        "a=candidate:1 1 udp 7 192.0.2.1 9 typ host",
        "a=ssrc:7 cname:c",
        "a=end-of-candidates",
        "a=rtpmap:111 opus/48000/2",
        "a=x:y : z",
    ];
    for seed in 1..=ROUNDS {
        let mut random = Random::new(seed);
        let mut lines: Vec<&str> = GOOD.lines().collect();
        for _ in 0..random.below(10) {
            let place = 5 + random.below(lines.len() - 4);
            lines.insert(place.max(6), random.one_of(&HARMLESS));
        }
        let text = lines.join("\r\n") + "\r\n";
        let answer = read(&text).unwrap_or_else(|error| panic!("{seed}: {error}\n{text}"));
        assert_eq!(answer.repairs(), [], "{seed}: {text}");
        assert_eq!(answer.text(), text, "{seed}");
    }
}

/// So webrtcbin, which gets the text, and we, who redact it, read the same lines.
#[test]
fn text_reads_back_as_what_it_was_written_from() {
    for seed in 1..=ROUNDS {
        let mut random = Random::new(seed);
        let text = spelled(&any_answer(&mut random), &mut random);
        let Some(sdp) = Sdp::parse(&text) else {
            continue;
        };
        let written = sdp.to_string();
        assert!(Sdp::parse(&written).unwrap() == sdp, "{seed}: {text:?}");
        for line in written.lines() {
            assert_eq!(line, line.trim(), "{seed}: {text:?}");
        }
    }
}

#[test]
fn redacted_text_never_shows_the_password() {
    for seed in 1..=ROUNDS {
        let mut random = Random::new(seed);
        let answer = any_answer(&mut random);
        let line = spelled(&format!("a=ice-pwd:{PASSWORD}"), &mut random);
        let text = format!("{}{line}\r\n", spelled(&answer, &mut random));
        let Some(sdp) = Sdp::parse(&text) else {
            continue;
        };
        let redacted = sdp.redacted();
        assert!(!redacted.contains(PASSWORD), "{seed}: {text:?}\n{redacted}");
    }
}

/// Blanks at random places outside the values, and letters of the names in any case.
fn spelled(text: &str, random: &mut Random) -> String {
    const BLANKS: [&str; 6] = [" ", "\t", "\r", "\u{c}", "\u{b}", "  "];
    let mut spelled = String::new();
    for part in text.split_inclusive(['=', ':', '\n']) {
        let (name, separator) = part.split_at(part.len() - 1);
        for text in [name, separator] {
            let before = text == name || random.below(2) == 0;
            if before && random.below(6) == 0 {
                spelled.push_str(random.one_of(&BLANKS));
            }
            spelled.push_str(text);
        }
    }
    match random.below(4) {
        0 => spelled.replace("ice-pwd", "ICE-Pwd"),
        _ => spelled,
    }
}

#[test]
fn damaged_answers_do_no_harm() {
    for seed in 1..=ROUNDS {
        let mut random = Random::new(seed);
        let mut bytes = GOOD.as_bytes().to_vec();
        for _ in 0..1 + random.below(8) {
            let place = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[place] = random.next() as u8,
                1 => bytes.truncate(place + 1),
                _ => bytes.insert(place, b'\n'),
            }
        }
        if let Ok(answer) = Answer::read(&Body::Whole(bytes.into()), &offer()) {
            answer.redacted();
            answer.udp_candidates();
            answer.ice_credentials().expect("both credentials");
        }
    }
}
