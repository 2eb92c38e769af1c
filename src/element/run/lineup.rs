//! Decides from the pads when a session begins, when it is replaced, and when it
//! ends.
//!
//! In: the pads' states, the driver's request for an offer, PLAYING, and the
//! session's end. Out: the change to make. A value: no GStreamer type, no lock, no
//! clock.

use std::fmt;

use crate::element::input::{CapsError, PadState, StreamFormat};
use crate::whip::{TracksError, check_tracks};

/// The change to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Make the peer connection with this number.
    Open(u64),
    /// The media have changed: replace the session.
    Replace,
    /// These pads can't be published: end the session with an error.
    Refuse(Refused),
    /// The stream of every pad has ended: end the session.
    End,
    /// The session and the streams have ended: post the end of stream.
    PostEndOfStream,
    /// Media have come again since the end: start another session.
    StartAgain,
}

/// Why pads can't be published.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A pad has caps that can't be published.
    Caps(CapsError),
    /// The pads can't be published together.
    Tracks(TracksError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caps(error) => write!(f, "A pad's caps can't be published: {error}."),
            Self::Tracks(error) => write!(f, "These pads can't be published together: {error}."),
        }
    }
}

/// The line-up of one run.
#[derive(Debug, Default)]
pub(super) struct Lineup {
    has_played: bool,
    /// The peer connection that the driver waits for.
    requested: Option<u64>,
    /// The streams of the session that exists or is being made, by pad.
    published: Vec<Stream>,
    /// Whether a session was opened since the run began: from then on a pad that
    /// can't be published is left out, and ends nothing.
    has_opened: bool,
    /// The pads that are left out, and those of them that nobody was told of.
    left_out: Vec<u32>,
    untold: Vec<LeftOut>,
    session: SessionPhase,
    /// Whether the stream of every linked pad has ended.
    has_ended: bool,
    is_refused: bool,
}

/// A stream, and the pad that it is on.
type Stream = (u32, StreamFormat);

/// A pad that is not published.
pub(super) type LeftOut = (u32, Refused);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SessionPhase {
    #[default]
    Running,
    /// It was told to end, because the streams have ended.
    Ending,
    Over,
}

impl Lineup {
    /// Whether PLAYING was reached since the run began.
    pub(super) fn has_played(&self) -> bool {
        self.has_played
    }

    /// Notes that PLAYING is reached. No session opens before: in PAUSED webrtcbin
    /// can't connect, since its ICE source is live and gives no data.
    pub(super) fn playing(&mut self) {
        self.has_played = true;
    }

    /// Notes that the driver waits for this peer connection.
    pub(super) fn request_offer(&mut self, peer: u64) {
        self.requested = Some(peer);
    }

    /// Notes that the session is over, for whatever reason.
    pub(super) fn session_over(&mut self) -> Option<Change> {
        let ended_with_streams =
            std::mem::replace(&mut self.session, SessionPhase::Over) == SessionPhase::Ending;
        self.requested = None;
        match (self.has_ended, ended_with_streams) {
            (true, _) => Some(Change::PostEndOfStream),
            (false, true) => Some(self.start_again()),
            (false, false) => None,
        }
    }

    /// Compares the pads as they are now with the session.
    pub(super) fn update(&mut self, pads: &[PadState]) -> Option<Change> {
        let mut linked: Vec<&PadState> = pads.iter().filter(|pad| pad.is_linked).collect();
        if self.has_opened {
            self.leave_out(&mut linked);
        } else if let Some(error) = linked.iter().find_map(|pad| pad.caps_error()) {
            return self.refuse(Refused::Caps(error.clone()));
        }
        let has_ended = !linked.is_empty() && linked.iter().all(|pad| pad.has_ended);
        if has_ended && !self.has_ended {
            return self.streams_ended();
        }
        // Not when a pad was only released: that brings no media back.
        if self.has_ended && linked.iter().any(|pad| !pad.has_ended) {
            self.has_ended = false;
            if self.session == SessionPhase::Over {
                return Some(self.start_again());
            }
        }
        self.line_up(&linked)
    }

    /// The pads that were left out since this was last asked.
    pub(super) fn take_left_out(&mut self) -> Vec<LeftOut> {
        std::mem::take(&mut self.untold)
    }

    /// The pads whose streams are published.
    pub(super) fn published_pads(&self) -> impl Iterator<Item = u32> {
        self.published.iter().map(|(pad, _)| *pad)
    }

    /// Leaves out the pads that can't be published beside those that are.
    fn leave_out(&mut self, linked: &mut Vec<&PadState>) {
        // Published pads first, so that a later pad displaces none of them.
        linked.sort_by_key(|pad| !self.published_pads().any(|published| published == pad.id));
        let mut tracks = Vec::new();
        let mut left_out = Vec::new();
        linked.retain(|pad| {
            let refused = match &pad.format {
                None => return true,
                Some(Err(error)) => Refused::Caps(error.clone()),
                Some(Ok(format)) => {
                    tracks.push((format.track, format.payload_type));
                    let Err(error) = check_tracks(&tracks) else {
                        return true;
                    };
                    tracks.pop();
                    Refused::Tracks(error)
                }
            };
            left_out.push((pad.id, refused));
            false
        });
        let known = std::mem::take(&mut self.left_out);
        self.left_out = left_out.iter().map(|(pad, _)| *pad).collect();
        let news = left_out.into_iter().filter(|(pad, _)| !known.contains(pad));
        self.untold.extend(news);
    }

    fn streams_ended(&mut self) -> Option<Change> {
        self.has_ended = true;
        match self.session {
            SessionPhase::Running => {
                self.session = SessionPhase::Ending;
                Some(Change::End)
            }
            SessionPhase::Ending => None,
            // A failed session must not keep the pipeline from its end.
            SessionPhase::Over => Some(Change::PostEndOfStream),
        }
    }

    fn start_again(&mut self) -> Change {
        self.session = SessionPhase::Running;
        self.published.clear();
        self.is_refused = false;
        Change::StartAgain
    }

    fn line_up(&mut self, linked: &[&PadState]) -> Option<Change> {
        if !self.has_played || self.session == SessionPhase::Over {
            return None;
        }
        // Complete once each linked pad has caps.
        let streams = linked
            .iter()
            .map(|pad| Some((pad.id, pad.format.clone()?.ok()?)));
        let mut streams: Vec<Stream> = streams.collect::<Option<_>>()?;
        streams.sort_by_key(|(_, stream)| stream.track);
        match self.requested {
            Some(peer) if !streams.is_empty() => {
                let tracks = streams
                    .iter()
                    .map(|(_, stream)| (stream.track, stream.payload_type));
                if let Err(error) = check_tracks(&tracks.collect::<Vec<_>>()) {
                    return self.refuse(Refused::Tracks(error));
                }
                self.requested = None;
                self.published = streams;
                self.has_opened = true;
                Some(Change::Open(peer))
            }
            None if !self.published.is_empty() && !self.fit(&streams) => {
                self.published.clear();
                Some(Change::Replace)
            }
            _ => None,
        }
    }

    fn fit(&self, streams: &[Stream]) -> bool {
        let mut pairs = self.published.iter().zip(streams);
        self.published.len() == streams.len()
            && pairs.all(|((_, old), (_, new))| old.fits_session_of(new))
    }

    fn refuse(&mut self, refused: Refused) -> Option<Change> {
        let is_first = !std::mem::replace(&mut self.is_refused, true);
        (is_first && self.session != SessionPhase::Over).then_some(Change::Refuse(refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whip::Track;

    fn stream(track: Track, payload_type: u8) -> StreamFormat {
        StreamFormat {
            track,
            payload_type,
            encoding: None,
            clock_rate: None,
            parameter_sets: None,
        }
    }

    /// On the pad with the number of its payload type.
    fn pad(format: StreamFormat) -> PadState {
        PadState {
            id: format.payload_type.into(),
            is_linked: true,
            format: Some(Ok(format)),
            has_ended: false,
        }
    }

    fn audio() -> PadState {
        pad(stream(Track::Audio, 111))
    }

    fn video() -> PadState {
        pad(stream(Track::Video, 102))
    }

    /// Linked, without caps yet.
    fn silent() -> PadState {
        PadState {
            is_linked: true,
            ..PadState::default()
        }
    }

    fn ended(pad: PadState) -> PadState {
        PadState {
            has_ended: true,
            ..pad
        }
    }

    fn wrong(error: CapsError) -> PadState {
        PadState {
            format: Some(Err(error)),
            ..silent()
        }
    }

    /// In PLAYING, and the driver waits for an offer.
    fn waiting() -> Lineup {
        let mut lineup = Lineup::default();
        lineup.playing();
        lineup.request_offer(1);
        lineup
    }

    /// With a session for these pads.
    fn on_air(pads: &[PadState]) -> Lineup {
        let mut lineup = waiting();
        assert_eq!(lineup.update(pads), Some(Change::Open(1)));
        lineup
    }

    #[test]
    fn opens_once_playing_offer_and_caps_are_there_in_whatever_order() {
        type Step = fn(&mut Lineup);
        let steps: [Step; 2] = [|lineup| lineup.playing(), |lineup| lineup.request_offer(7)];
        for order in [[0, 1], [1, 0]] {
            let mut lineup = Lineup::default();
            assert_eq!(lineup.update(&[audio()]), None);
            steps[order[0]](&mut lineup);
            assert_eq!(lineup.update(&[audio()]), None);
            steps[order[1]](&mut lineup);
            assert_eq!(lineup.update(&[silent()]), None);
            assert_eq!(lineup.update(&[audio()]), Some(Change::Open(7)));
            assert_eq!(lineup.update(&[audio()]), None, "once");
        }
    }

    #[test]
    fn waits_for_the_caps_of_every_linked_pad_and_for_no_other() {
        let unlinked = PadState::default();
        let mut lineup = waiting();
        assert_eq!(lineup.update(&[]), None);
        assert_eq!(lineup.update(std::slice::from_ref(&unlinked)), None);
        assert_eq!(lineup.update(&[audio(), silent()]), None);
        assert_eq!(lineup.update(&[audio(), unlinked]), Some(Change::Open(1)));
    }

    #[test]
    fn order_of_the_pads_is_of_no_matter() {
        let mut lineup = on_air(&[video(), audio()]);
        assert_eq!(lineup.update(&[audio(), video()]), None);
    }

    #[test]
    fn other_media_replace_the_session_once() {
        let other = pad(stream(Track::Audio, 96));
        for pads in [
            vec![audio(), video()],
            vec![video()],
            vec![other.clone()],
            vec![],
            vec![PadState::default()],
        ] {
            let mut lineup = on_air(&[audio()]);
            assert_eq!(lineup.update(&pads), Some(Change::Replace), "{pads:?}");
            assert_eq!(lineup.update(&pads), None);
        }
        let mut lineup = on_air(&[audio()]);
        lineup.update(std::slice::from_ref(&other));
        lineup.request_offer(2);
        assert_eq!(lineup.update(&[other]), Some(Change::Open(2)));
    }

    #[test]
    fn a_linked_pad_without_caps_changes_nothing_yet() {
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.update(&[audio(), silent()]), None);
        assert_eq!(lineup.update(&[audio(), video()]), Some(Change::Replace));
    }

    #[test]
    fn another_attempt_opens_with_the_same_media() {
        let mut lineup = on_air(&[audio()]);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&[audio()]), Some(Change::Open(2)));
    }

    #[test]
    fn what_does_not_go_together_is_refused_once() {
        let twice = TracksError::DuplicateKind {
            track: Track::Audio,
        };
        let payload = TracksError::SamePayloadType { payload: 111 };
        for (pads, error) in [
            ([audio(), pad(stream(Track::Audio, 96))], twice),
            ([audio(), pad(stream(Track::Video, 111))], payload),
        ] {
            let mut lineup = waiting();
            let refused = Change::Refuse(Refused::Tracks(error));
            assert_eq!(lineup.update(&pads), Some(refused));
            assert_eq!(lineup.update(&pads), None);
        }
    }

    #[test]
    fn wrong_caps_are_refused_at_once_and_once() {
        for error in [CapsError::NotRtp, CapsError::NoPayloadType] {
            let mut lineup = Lineup::default();
            let pads = [audio(), wrong(error.clone())];
            let refused = Change::Refuse(Refused::Caps(error));
            assert_eq!(lineup.update(&pads), Some(refused));
            assert_eq!(lineup.update(&pads), None);
        }
        let unlinked = PadState {
            is_linked: false,
            ..wrong(CapsError::NotRtp)
        };
        assert_eq!(waiting().update(&[unlinked]), None);
    }

    #[test]
    fn a_third_pad_is_refused_with_the_tracks() {
        let pads = [audio(), video(), pad(stream(Track::Video, 96))];
        let change = waiting().update(&pads);
        assert!(
            matches!(
                change,
                Some(Change::Refuse(Refused::Tracks(
                    TracksError::DuplicateKind { .. }
                )))
            ),
            "{change:?}"
        );
    }

    #[test]
    fn on_air_a_pad_that_can_not_be_published_is_left_out_and_told_once() {
        let second = pad(stream(Track::Audio, 96));
        let twice = Refused::Tracks(TracksError::DuplicateKind {
            track: Track::Audio,
        });
        let not_rtp = PadState {
            id: 9,
            ..wrong(CapsError::NotRtp)
        };
        for (other, expected) in [
            (second, (96, twice)),
            (not_rtp, (9, Refused::Caps(CapsError::NotRtp))),
        ] {
            let mut lineup = on_air(&[audio()]);
            // Before the one on air, as its number may be the lower one.
            let pads = [other.clone(), audio()];
            assert_eq!(lineup.update(&pads), None);
            assert_eq!(lineup.take_left_out(), [expected]);
            assert_eq!(lineup.update(&pads), None);
            assert_eq!(lineup.take_left_out(), []);
            // Nor does it keep the end of the stream away.
            let pads = [other, ended(audio())];
            assert_eq!(lineup.update(&pads), Some(Change::End));
        }
    }

    #[test]
    fn a_pad_that_was_left_out_is_published_once_it_can_be() {
        let second = pad(stream(Track::Audio, 96));
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[audio(), second.clone()]);
        let alone = [second];
        assert_eq!(lineup.update(&alone), Some(Change::Replace));
        lineup.request_offer(2);
        assert_eq!(lineup.update(&alone), Some(Change::Open(2)));
        assert_eq!(lineup.published_pads().collect::<Vec<_>>(), [96]);
    }

    #[test]
    fn published_pads_with_wrong_caps_are_left_out_and_the_others_go_on() {
        let mut lineup = on_air(&[audio(), video()]);
        let broken = PadState {
            id: 102,
            ..wrong(CapsError::NotRtp)
        };
        let pads = [audio(), broken];
        assert_eq!(lineup.update(&pads), Some(Change::Replace));
        lineup.request_offer(2);
        assert_eq!(lineup.update(&pads), Some(Change::Open(2)));
        assert_eq!(lineup.published_pads().collect::<Vec<_>>(), [111]);
    }

    #[test]
    fn the_session_ends_once_every_linked_pad_has_ended() {
        let mut lineup = on_air(&[audio(), video()]);
        assert_eq!(lineup.update(&[ended(audio()), video()]), None);
        let all = [ended(audio()), ended(video()), PadState::default()];
        assert_eq!(lineup.update(&all), Some(Change::End));
        assert_eq!(lineup.update(&all), None);
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
    }

    #[test]
    fn releasing_the_last_pad_that_has_not_ended_ends_the_session() {
        let mut lineup = on_air(&[audio(), video()]);
        assert_eq!(lineup.update(&[ended(audio()), video()]), None);
        assert_eq!(lineup.update(&[ended(audio())]), Some(Change::End));
    }

    #[test]
    fn end_of_stream_of_a_failed_session_is_posted_at_once() {
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.session_over(), None);
        let over = [ended(audio())];
        assert_eq!(lineup.update(&over), Some(Change::PostEndOfStream));
        assert_eq!(lineup.update(&over), None);
    }

    #[test]
    fn end_of_stream_before_the_session_has_begun() {
        let mut lineup = Lineup::default();
        assert_eq!(lineup.update(&[ended(audio())]), Some(Change::End));
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
    }

    #[test]
    fn media_that_come_again_after_the_end_begin_another_session() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        lineup.session_over();
        assert_eq!(lineup.update(&[audio()]), Some(Change::StartAgain));
        lineup.request_offer(1);
        assert_eq!(lineup.update(&[audio()]), Some(Change::Open(1)));
        assert_eq!(lineup.update(&[ended(audio())]), Some(Change::End));
    }

    #[test]
    fn media_that_come_again_before_the_end_begin_another_session_after_it() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        assert_eq!(lineup.update(&[audio()]), None);
        assert_eq!(lineup.session_over(), Some(Change::StartAgain));
        lineup.request_offer(1);
        assert_eq!(lineup.update(&[audio()]), Some(Change::Open(1)));
    }

    #[test]
    fn flushed_and_ended_again_before_the_end_is_one_end() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        lineup.update(&[audio()]);
        assert_eq!(lineup.update(&[ended(audio())]), None);
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
    }

    #[test]
    fn pads_released_after_the_end_begin_nothing() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        lineup.session_over();
        assert_eq!(lineup.update(&[]), None);
        assert_eq!(lineup.update(&[PadState::default()]), None);
    }

    #[test]
    fn a_failed_session_begins_again_with_nothing() {
        let mut lineup = on_air(&[audio()]);
        lineup.session_over();
        for pads in [vec![audio()], vec![video()], vec![]] {
            assert_eq!(lineup.update(&pads), None, "{pads:?}");
        }
    }
}
