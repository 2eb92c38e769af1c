//! The rule on the far end's feedback (RTCP), and what of it shows in the
//! answer's SDP and on the wire.

/// The feedback from which a publisher learns how much gets through.
///
/// Under every rule but [`None`](Self::None) the far end also sends receiver
/// reports, requests key frames, and requests each missing video packet up to
/// five times, 33 ms apart and whatever the round-trip time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feedback {
    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions)
    /// every 50 ms, for the sections whose offer has the header extension and
    /// `transport-cc`. Without them it is as [`ReceiverReports`](Self::ReceiverReports).
    /// The answer has `goog-remb` too, but no REMB is sent.
    #[default]
    TransportWide,
    /// REMB (draft-alvestrand-rmcat-remb) every 500 ms, for the first video
    /// SSRC. The answer has neither the extension nor `transport-cc`.
    ///
    /// The estimate is for all sections together. It is 0.85 of the received
    /// rate after an interval in which more than 5 % of the packets were lost,
    /// before retransmission. Otherwise it rises by 4 %, to at most one and a
    /// half times the received rate and 10 kbit/s.
    Remb,
    /// Neither of the two; the answer doesn't offer them.
    ReceiverReports,
    /// No RTCP at all. The answer has no `a=rtcp-fb`.
    None,
}

impl Feedback {
    /// Whether an answer's line names feedback that the far end doesn't send.
    pub(crate) fn forbids(self, line: &str) -> bool {
        let Some(feedback) = line.strip_prefix("a=rtcp-fb:") else {
            return false;
        };
        match self {
            Self::TransportWide => false,
            Self::Remb => feedback.ends_with(" transport-cc"),
            Self::ReceiverReports => {
                feedback.ends_with(" transport-cc") || feedback.ends_with(" goog-remb")
            }
            Self::None => true,
        }
    }
}
