//! Rules about forms: what a reply and the SDP in it look like. The defaults
//! are those of IVS.

/// The form of the `Location` header of a reply that made a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocationForm {
    /// A whole URL.
    #[default]
    Absolute,
    /// A path, to be resolved against the host that answered.
    PathOnly,
    /// A path, and the query of the POST copied after it. The session is found
    /// with the whole of it only.
    PathAndQuery,
    /// A path below the one that was posted to, which thus is in it.
    UnderEndpoint,
    /// The path that was posted to, with a slash at its end, and the session in
    /// the query only.
    QueryOnly,
    /// The very path that was posted to; a PATCH or DELETE there is about the
    /// session made last.
    Endpoint,
    /// No such header.
    Missing,
}

/// How names of headers are written.
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

/// Whether a connection lives on after a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// It takes the next request.
    #[default]
    KeepAlive,
    /// `Connection: close` is in each reply, and the connection ends.
    Close,
}

/// What the answer's SDP looks like. Forms that are wrong are so in the text
/// only: the far end itself has accepted the offer, so that it counts whatever
/// a publisher sends that shouldn't.
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
    /// What is said to audio sections.
    pub audio: SectionAnswer,
    /// What is said to video sections.
    pub video: SectionAnswer,
    /// Whether the bundle group is there.
    pub bundle: BundleLine,
    /// Where `a=setup` is.
    pub setup: Level,
    /// Where `a=fingerprint` is.
    pub fingerprint: Level,
    /// Whose certificate that fingerprint is of.
    pub certificate: Certificate,
    /// Where `a=ice-ufrag` and `a=ice-pwd` are.
    pub ice_credentials: Level,
    /// Whether the far end's ICE is whole.
    pub ice: IceMode,
    /// Where the candidates are.
    pub candidates: CandidatePlace,
}

/// What an answer says to a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SectionAnswer {
    /// Yes.
    #[default]
    Accepted,
    /// Port 0, and out of the bundle group; all else as if accepted.
    Rejected,
    /// Port 0, and out of the bundle group, with a `c=` line and nothing else:
    /// no `mid`, `setup` or ICE credentials. Pion's form.
    RejectedBare,
}

/// Whether an answer has the bundle group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BundleLine {
    /// It has.
    #[default]
    Present,
    /// It hasn't.
    Missing,
}

/// Where an attribute is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// In each section.
    #[default]
    Section,
    /// In the session's part, for all sections.
    Session,
    /// In both.
    Both,
}

/// Whose certificate a fingerprint is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// The far end's.
    #[default]
    Own,
    /// Another one, so that no publisher may send media. Those packets that
    /// come all the same are counted.
    Other,
}

/// How much of ICE the far end does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IceMode {
    /// All.
    #[default]
    Full,
    /// It says `a=ice-lite`, and only answers the peer's checks.
    Lite,
}

/// Where an answer has its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CandidatePlace {
    /// In the first section that isn't rejected, as on IVS.
    #[default]
    FirstSection,
    /// In each section that isn't rejected.
    AllSections,
    /// Nowhere, and none follow. A peer connects only if the stage knows its
    /// candidates and goes to see it.
    Nowhere,
}
