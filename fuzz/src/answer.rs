//! An SDP answer.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use gstivs::whip::{Answer, Body, Offer, Track};

const OFFER: &str = include_str!("../../tests/fixtures/answers/offer.sdp");
const PASSWORD: &str = "a=ice-pwd:";
/// Shorter texts can be part of any line.
const SECRET: usize = 8;

pub fn answer(data: &[u8]) {
    let offer = Offer::new(OFFER, "s", None).unwrap();
    let read = |bytes: &[u8]| Answer::read(&Body::Whole(Bytes::copy_from_slice(bytes)), &offer);
    let Ok(mut answer) = read(data) else { return };
    repaired_once_is_repaired(&answer, read(answer.text().as_bytes()).unwrap());
    redacted_shows_no_password(&answer);
    for track in [Track::Audio, Track::Video] {
        let id = answer.transport_wide(track);
        assert!(id.is_none_or(|id| (1..=14).contains(&id)), "{id:?}");
    }
    assert!(answer.ice_credentials().is_some());
    assert!(!answer.fingerprints().is_empty());
    candidates_are_a_handful(&mut answer);
}

fn repaired_once_is_repaired(answer: &Answer, again: Answer) {
    assert_eq!(again.repairs(), []);
    assert_eq!(again.text(), answer.text());
}

fn redacted_shows_no_password(answer: &Answer) {
    let (text, redacted) = (answer.text(), answer.redacted());
    let (passwords, others): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with(PASSWORD));
    for password in passwords.iter().map(|line| line[PASSWORD.len()..].trim()) {
        // What another line says is no secret of this one.
        let is_elsewhere = others.iter().any(|line| line.contains(password));
        if password.len() >= SECRET && !is_elsewhere {
            assert!(!redacted.contains(password), "{redacted}");
        }
    }
}

fn candidates_are_a_handful(answer: &mut Answer) {
    assert!(answer.udp_candidates().len() <= 8);
    let names = answer.udp_candidate_names();
    assert!(names.len() <= 8);
    let Some((name, _)) = names.first() else {
        return;
    };
    let lines = answer.text().lines().count();
    let addresses: Vec<IpAddr> = (1..=9)
        .map(|n| Ipv4Addr::new(192, 0, 2, n).into())
        .collect();
    answer.set_addresses(name, &addresses);
    assert!(answer.text().lines().count() <= lines + 8);
    assert!(
        !answer
            .udp_candidates()
            .iter()
            .any(|address| address.ip().is_unspecified())
    );
}
