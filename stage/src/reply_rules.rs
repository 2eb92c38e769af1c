//! Rules on replies: what headers, connections and the answer's SDP look like.
//! The defaults are those of IVS.

/// The form of the `Location` header in the reply to a POST that made a
/// session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocationForm {
    /// A whole URL.
    #[default]
    Absolute,
    /// A path, which the publisher resolves against the host that answered.
    PathOnly,
    /// A path and the query of the POST. Requests to the session must have both.
    PathAndQuery,
    /// A path below that of the POST.
    UnderEndpoint,
    /// The path of the POST with a slash at its end; only the query names the
    /// session.
    QueryOnly,
    /// The path of the POST. A PATCH or DELETE there is for the session made
    /// last.
    Endpoint,
    /// No such header.
    Missing,
}

/// The case of header names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// `content-type`
    #[default]
    Lower,
    /// `Content-Type`
    Title,
    /// `CONTENT-TYPE`
    Upper,
}

/// Whether a connection stays open after a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// It stays open for the next request.
    #[default]
    KeepAlive,
    /// Each reply has `Connection: close`, and the connection ends.
    Close,
}

/// What the answer's SDP looks like. These rules change only the text: the far
/// end has accepted the whole offer, so it also counts media that a publisher
/// should not send.
///
/// ```
/// use ivs_stage::{AnswerForm, Rules, SectionAnswer};
///
/// let answer = AnswerForm { video: SectionAnswer::Rejected, ..AnswerForm::default() };
/// let rules = Rules { answer, ..Rules::default() };
/// # assert_eq!(rules.answer.audio, SectionAnswer::Accepted);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerForm {
    /// The answer to audio sections.
    pub audio: SectionAnswer,
    /// The answer to video sections.
    pub video: SectionAnswer,
    /// Whether there is an `a=group:BUNDLE` line.
    pub bundle: BundleLine,
    /// Where `a=setup` stands.
    pub setup: Level,
    /// Where `a=fingerprint` stands.
    pub fingerprint: Level,
    /// The certificate that the fingerprint belongs to.
    pub certificate: Certificate,
    /// Where `a=ice-ufrag` and `a=ice-pwd` stand.
    pub ice_credentials: Level,
    /// Whether the far end does full ICE or ICE lite.
    pub ice: IceMode,
    /// Where the candidates stand.
    pub candidates: CandidatePlace,
}

/// The answer to a section of the offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SectionAnswer {
    /// As the far end gives it.
    #[default]
    Accepted,
    /// Port 0 and not in the bundle group; the other attributes stay.
    Rejected,
    /// Port 0 and not in the bundle group, with a `c=` line and no attribute:
    /// no `mid`, `setup` or ICE credentials. Pion answers so.
    RejectedBare,
}

/// Whether an answer has a bundle group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BundleLine {
    /// It has one.
    #[default]
    Present,
    /// It has none.
    Missing,
}

/// The part of the SDP where an attribute stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Each section.
    #[default]
    Section,
    /// The session part, which holds for all sections.
    Session,
    /// Both.
    Both,
}

/// The certificate that a fingerprint belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// The far end's.
    #[default]
    Own,
    /// Another one, so no publisher may send media. The stage counts packets
    /// that arrive all the same.
    Other,
}

/// The far end's kind of ICE (RFC 8445).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IceMode {
    /// Full ICE.
    #[default]
    Full,
    /// ICE lite: the answer has `a=ice-lite`, and the far end only answers the
    /// peer's checks.
    Lite,
}

/// The sections of an answer that have its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CandidatePlace {
    /// The first section that is not rejected, as on IVS.
    #[default]
    FirstSection,
    /// Each section that is not rejected.
    AllSections,
    /// None, and no candidates follow. A peer connects only if its offer or a
    /// PATCH has candidates, to which the stage then sends its checks.
    Nowhere,
}
