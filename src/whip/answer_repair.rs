//! Repairs of answers that deviate from the RFCs.
//!
//! Each deviation is known from some server, and webrtcbin would refuse the answer,
//! crash, or never report a connection (measured on 1.22 to 1.28). A repair is a pure
//! function on the answer's lines. It leaves an answer that does not need it unchanged.

use std::fmt;
use std::num::NonZeroU32;

use super::sdp::{Lines, Sdp};

/// The attributes of a transport. webrtcbin needs them in every section, even in a
/// rejected one.
const TRANSPORT: [&str; 4] = ["ice-ufrag", "ice-pwd", "fingerprint", "setup"];

/// A repair that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A section had no `a=mid`, or one without a value. It got the offer's.
    Mid,
    /// A section had no transport attributes. It got the bundle's, since webrtcbin
    /// needs them in each section. A bundled section may omit them (RFC 9143 7.1.3),
    /// and pion's rejected sections have no attributes.
    Transport,
    /// `a=setup` was at session level only, which webrtcbin 1.22 refuses.
    Setup,
    /// `a=fingerprint` was at both levels, which webrtcbin 1.24 refuses.
    Fingerprint,
    /// `a=ice-ufrag` and `a=ice-pwd` were at different levels, which RFC 8839 5.4
    /// allows, but webrtcbin reads both from one level. Or one was repeated at session
    /// level, at which webrtcbin aborts the process.
    Credentials,
    /// An `a=ssrc` line had no id or the id 0, for which webrtcbin logs a CRITICAL. It was
    /// dropped: an SSRC of the server has no meaning for us, since it sends nothing.
    Source,
    /// There was no BUNDLE group. Without one, webrtcbin from 1.26 on never reports
    /// that it is connected.
    Bundle,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mid => "a section had no mid",
            Self::Transport => "a section had no transport of its own",
            Self::Setup => "setup was only at session level",
            Self::Fingerprint => "the fingerprint was at both levels",
            Self::Credentials => "the ICE credentials were at two levels or repeated",
            Self::Source => "an ssrc line had no possible id",
            Self::Bundle => "there was no BUNDLE group",
        })
    }
}

/// Makes every repair that the answer needs, and returns which it made.
pub(super) fn repair(answer: &mut Sdp, offer: &Sdp) -> Vec<Repair> {
    type Mend = fn(&mut Sdp, &Sdp) -> bool;
    let repairs: [(Repair, Mend); 7] = [
        (Repair::Mid, add_mids),
        (Repair::Transport, fill_transport),
        (Repair::Setup, spread_setup),
        (Repair::Fingerprint, drop_doubled_fingerprint),
        (Repair::Credentials, join_credentials),
        (Repair::Source, drop_impossible_sources),
        (Repair::Bundle, add_bundle),
    ];
    let needed = repairs.into_iter().filter(|(_, mend)| mend(answer, offer));
    needed.map(|(repair, _)| repair).collect()
}

fn add_mids(answer: &mut Sdp, offer: &Sdp) -> bool {
    let mut mended = false;
    for (section, offered) in answer.sections.iter_mut().zip(&offer.sections) {
        let has_mid = section.value("mid").is_some_and(|mid| !mid.is_empty());
        if let (false, Some(mid)) = (has_mid, offered.value("mid")) {
            section.remove("mid");
            section.push(&format!("mid:{mid}"));
            mended = true;
        }
    }
    mended
}

fn fill_transport(answer: &mut Sdp, _: &Sdp) -> bool {
    let Some(first) = answer.sections.iter().find(|section| section.port() != 0) else {
        return false;
    };
    let lines: Vec<(&'static str, String)> = TRANSPORT
        .into_iter()
        .filter_map(|name| Some((name, answer.inherited(first, name)?.to_owned())))
        .collect();
    let mut mended = false;
    for section in &mut answer.sections {
        for (name, value) in &lines {
            let is_there = section
                .value(name)
                .or_else(|| answer.session.value(name))
                .is_some();
            if !is_there || (section.port() == 0 && section.value(name).is_none()) {
                section.push(&format!("{name}:{value}"));
                mended = true;
            }
        }
    }
    mended
}

fn spread_setup(answer: &mut Sdp, _: &Sdp) -> bool {
    let Some(setup) = answer.session.value("setup").map(str::to_owned) else {
        return false;
    };
    let mut mended = false;
    for section in &mut answer.sections {
        if section.value("setup").is_none() {
            section.push(&format!("setup:{setup}"));
            mended = true;
        }
    }
    mended
}

fn drop_doubled_fingerprint(answer: &mut Sdp, _: &Sdp) -> bool {
    let everywhere = answer
        .sections
        .iter()
        .all(|section| section.value("fingerprint").is_some());
    let doubled = everywhere && answer.session.value("fingerprint").is_some();
    if doubled {
        answer.session.remove("fingerprint");
    }
    doubled
}

fn join_credentials(answer: &mut Sdp, _: &Sdp) -> bool {
    const NAMES: [&str; 2] = ["ice-ufrag", "ice-pwd"];
    let mut mended = false;
    for name in NAMES {
        mended |= answer.session.remove_repeated(name);
    }
    for section in &mut answer.sections {
        for (there, missing) in [(NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])] {
            if section.value(there).is_none() || section.value(missing).is_some() {
                continue;
            }
            if let Some(inherited) = answer.session.value(missing) {
                section.push(&format!("{missing}:{inherited}"));
                mended = true;
            }
        }
    }
    mended
}

fn drop_impossible_sources(answer: &mut Sdp, _: &Sdp) -> bool {
    let mut mended = false;
    for section in &mut answer.sections {
        let count = section.0.len();
        section.0.retain(|line| !has_impossible_source(line));
        mended |= section.0.len() != count;
    }
    mended
}

/// webrtcbin reads the id with `sscanf("%u")`, so an overflow may become 0 too.
fn has_impossible_source(line: &str) -> bool {
    let Some(source) = line.strip_prefix("a=ssrc:") else {
        return false;
    };
    let id = source.split(' ').next().unwrap_or_default();
    id.parse::<NonZeroU32>().is_err()
}

fn add_bundle(answer: &mut Sdp, offer: &Sdp) -> bool {
    let bundles = |sdp: &Sdp| {
        sdp.session
            .values("group")
            .any(|group| group.starts_with("BUNDLE"))
    };
    if bundles(answer) || !bundles(offer) {
        return false;
    }
    let accepted = answer.sections.iter().filter(|section| section.port() != 0);
    let mids: Vec<&str> = accepted
        .filter_map(|section: &Lines| section.value("mid"))
        .collect();
    if mids.is_empty() {
        return false;
    }
    let group = format!("group:BUNDLE {}", mids.join(" "));
    answer.session.push(&group);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = include_str!("../../tests/fixtures/answers/offer.sdp");

    /// Repairs a fixture and checks what every repaired answer must have.
    fn repaired(text: &str) -> (Vec<Repair>, Sdp) {
        let offer = Sdp::parse(OFFER).unwrap();
        let mut answer = Sdp::parse(text).unwrap();
        let repairs = repair(&mut answer, &offer);
        for section in &answer.sections {
            assert!(section.value("mid").is_some(), "{answer}");
            for name in TRANSPORT {
                assert!(
                    answer.inherited(section, name).is_some(),
                    "{name}: {answer}"
                );
            }
            assert!(section.value("setup").is_some(), "{answer}");
        }
        assert!(answer.session.value("group").is_some(), "{answer}");
        assert_eq!(repair(&mut answer, &offer), [], "once is enough");
        (repairs, answer)
    }

    #[test]
    fn a_good_answer_stays_as_it_is() {
        let text = include_str!("../../tests/fixtures/answers/good.sdp");
        let (repairs, answer) = repaired(text);
        assert_eq!(repairs, []);
        assert_eq!(answer, Sdp::parse(text).unwrap());
    }

    #[test]
    fn a_mid_without_a_value_is_none() {
        let good = include_str!("../../tests/fixtures/answers/good.sdp");
        for empty in ["a=mid:", "a=mid"] {
            let (repairs, answer) = repaired(&good.replace("a=mid:video1", empty));
            assert_eq!(repairs, [Repair::Mid]);
            assert_eq!(answer.sections[1].value("mid"), Some("video1"));
        }
    }

    #[test]
    fn bare_rejected_filler_of_pion() {
        let (repairs, answer) = repaired(include_str!(
            "../../tests/fixtures/answers/pion-rejected.sdp"
        ));
        assert_eq!(repairs, [Repair::Mid, Repair::Transport]);
        assert_eq!(answer.sections[1].value("mid"), Some("video1"));
        assert_eq!(answer.sections[1].port(), 0);
        assert_eq!(answer.session.value("group"), Some("BUNDLE audio0"));
    }

    #[test]
    fn transport_in_the_bundles_section_only() {
        let text = include_str!("../../tests/fixtures/answers/bundled-transport.sdp");
        let (repairs, answer) = repaired(text);
        assert_eq!(repairs, [Repair::Transport]);
        assert_eq!(answer.sections[1].value("ice-ufrag"), Some("u"));
    }

    #[test]
    fn setup_at_session_level_only() {
        let (repairs, _) = repaired(include_str!(
            "../../tests/fixtures/answers/session-setup.sdp"
        ));
        assert_eq!(repairs, [Repair::Setup]);
    }

    #[test]
    fn fingerprint_at_both_levels() {
        let (repairs, answer) = repaired(include_str!(
            "../../tests/fixtures/answers/doubled-fingerprint.sdp"
        ));
        assert_eq!(repairs, [Repair::Fingerprint]);
        assert_eq!(answer.session.value("fingerprint"), None);
    }

    #[test]
    fn no_bundle_group_and_no_mids() {
        let (repairs, answer) =
            repaired(include_str!("../../tests/fixtures/answers/no-bundle.sdp"));
        assert_eq!(repairs, [Repair::Mid, Repair::Bundle]);
        assert_eq!(answer.session.value("group"), Some("BUNDLE audio0 video1"));
    }

    #[test]
    fn credentials_split_over_the_levels() {
        let split = include_str!("../../tests/fixtures/answers/split-credentials.sdp");
        let reverse = split
            .replace("ice-ufrag:serverUfrag", "x")
            .replace(
                "ice-pwd:serverPasswordOfEnoughLength",
                "ice-ufrag:serverUfrag",
            )
            .replace("a=x", "a=ice-pwd:serverPasswordOfEnoughLength");
        for text in [split.to_owned(), reverse] {
            let (repairs, answer) = repaired(&text);
            assert_eq!(repairs, [Repair::Credentials], "{text}");
            for section in &answer.sections {
                assert_eq!(section.value("ice-ufrag"), Some("serverUfrag"));
                let password = section.value("ice-pwd");
                assert_eq!(password, Some("serverPasswordOfEnoughLength"));
            }
        }
    }

    #[test]
    fn section_that_overrides_one_credential_of_the_session() {
        let text = include_str!("../../tests/fixtures/answers/split-credentials.sdp");
        let text = text.replace("a=mid:audio0", "a=mid:audio0\na=ice-ufrag:own");
        let (_, answer) = repaired(&text);
        assert_eq!(answer.ice_credentials().unwrap().0, "own");
        assert_eq!(answer.sections[0].values("ice-ufrag").count(), 1);
    }

    #[test]
    fn repeated_credentials() {
        let text = include_str!("../../tests/fixtures/answers/good.sdp");
        let text = text.replace(
            "t=0 0",
            "t=0 0\na=ice-ufrag:1\na=ice-ufrag:2\na=ice-pwd:3\na=ice-pwd:4",
        );
        let (repairs, answer) = repaired(&text);
        assert_eq!(repairs, [Repair::Credentials]);
        assert_eq!(answer.session.values("ice-pwd").collect::<Vec<_>>(), ["3"]);
    }

    #[test]
    fn sources_with_an_impossible_id() {
        let good = include_str!("../../tests/fixtures/answers/good.sdp");
        for id in ["0", "00", "-0", "x", "", "4294967296", "0x0"] {
            let line = format!("a=mid:audio0\na=ssrc:{id} cname:c\na=ssrc:7 cname:c");
            let (repairs, answer) = repaired(&good.replace("a=mid:audio0", &line));
            assert_eq!(repairs, [Repair::Source], "{id}");
            let sources: Vec<&str> = answer.sections[0].values("ssrc").collect();
            assert_eq!(sources, ["7 cname:c"], "{id}");
        }
    }

    #[test]
    fn sources_with_a_possible_id_stay() {
        let text = include_str!("../../tests/fixtures/answers/good.sdp");
        let lines = "a=mid:audio0\na=ssrc:1\na=ssrc:4294967295 cname:c";
        let (repairs, _) = repaired(&text.replace("a=mid:audio0", lines));
        assert_eq!(repairs, []);
    }
}
