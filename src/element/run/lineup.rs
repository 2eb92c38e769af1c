//! Decides from the pads when a session begins, when it is replaced, and when it
//! ends.
//!
//! In: the pads' states, the driver's request for an offer, PLAYING, and the
//! session's end. Out: the change to make. A value: no GStreamer type, no lock, no
//! clock.

use std::fmt;

use crate::element::input::{CapsError, PadState, StreamFormat};
use crate::whip::{MAX_TRACKS, Track, TracksError, check_tracks};

/// A change to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Make the peer connection with this number.
    Open(u64),
    /// The media have changed: replace the session.
    Replace,
    /// These pads can't be published: end the session with an error.
    Refuse(Refused),
    /// The pad with this id can't be published beside the others: warn of it.
    LeaveOut(u32, Refused),
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
    /// Whether another element of the pipeline may still add a pad for this one.
    awaits_pads: bool,
    /// The linked pads without caps that are awaited no longer.
    given_up: Vec<u32>,
    /// The peer connection that the driver waits for.
    requested: Option<u64>,
    /// The streams of the last session that was opened, by pad.
    published: Vec<Stream>,
    /// Whether that session is over or being replaced.
    is_replaced: bool,
    /// Whether a session was opened since the run began: from then on a pad that
    /// can't be published is left out, and ends nothing.
    has_opened: bool,
    left_out: Vec<u32>,
    session: SessionPhase,
    /// Whether the stream of every linked pad has ended.
    has_ended: bool,
    is_refused: bool,
}

/// A stream, and the pad that it is on.
type Stream = (u32, StreamFormat);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SessionPhase {
    #[default]
    Running,
    /// It was told to end, because the streams have ended.
    Ending,
    Over,
}

impl Lineup {
    /// Whether a session was opened since the run began.
    pub(super) fn has_opened(&self) -> bool {
        self.has_opened
    }

    /// Sets whether another element of the pipeline may still add a pad for this one: until
    /// then the first session begins with both sound and picture only.
    pub(super) fn await_pads(&mut self, awaits_pads: bool) {
        self.awaits_pads = awaits_pads;
    }

    /// Sets which linked pads without caps are awaited no longer.
    pub(super) fn give_up(&mut self, pads: Vec<u32>) {
        self.given_up = pads;
    }

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

    /// Notes that a pad was flushed, after which its stream goes on. The stream may
    /// have ended once more when [`Self::update`] sees the pad.
    pub(super) fn flushed(&mut self, pad: u32) -> Option<Change> {
        if self.is_left_out(pad) || !std::mem::take(&mut self.has_ended) {
            return None;
        }
        (self.session == SessionPhase::Over).then(|| self.start_again())
    }

    /// Compares the pads as they are now with the session.
    pub(super) fn update(&mut self, pads: &[PadState]) -> Vec<Change> {
        // A published pad whose source is gone awaits another one.
        let is_published = |pad: &PadState| self.published_pads().any(|id| id == pad.id);
        let present = pads.iter().filter(|pad| pad.is_linked || is_published(pad));
        let present: Vec<&PadState> = present.collect();
        let mut changes = Vec::new();
        let publishable = match self.has_opened {
            true => self.leave_out(&present, &mut changes),
            false => present.clone(),
        };
        let wrong = publishable.iter().find_map(|pad| pad.caps_error());
        let is_wrong = wrong.is_some();
        changes.extend(wrong.and_then(|error| self.refuse(Refused::Caps(error.clone()))));
        // A pad that can't be published ends nothing, unless there are only such pads.
        let counted = match publishable.is_empty() {
            true => &present,
            false => &publishable,
        };
        let counted = counted.iter().filter(|pad| {
            pad.is_linked && (pad.format.is_some() || pad.has_ended || !self.is_given_up(pad.id))
        });
        let counted: Vec<&PadState> = counted.copied().collect();
        let has_ended = !counted.is_empty() && counted.iter().all(|pad| pad.has_ended);
        if has_ended && !self.has_ended {
            changes.extend(self.streams_ended());
            return changes;
        }
        // Not when a pad was only released: that brings no media back.
        if self.has_ended && counted.iter().any(|pad| !pad.has_ended) {
            self.has_ended = false;
            if self.session == SessionPhase::Over {
                changes.push(self.start_again());
                return changes;
            }
        }
        if !is_wrong {
            changes.extend(self.line_up(&publishable));
        }
        changes
    }

    /// The pads whose streams are published.
    pub(super) fn published_pads(&self) -> impl Iterator<Item = u32> {
        self.published.iter().map(|(pad, _)| *pad)
    }

    /// Whether a pad is not published because it can't be.
    pub(super) fn is_left_out(&self, pad: u32) -> bool {
        self.left_out.contains(&pad)
    }

    /// The pads that are not published because they can't be.
    pub(super) fn left_out(&self) -> &[u32] {
        &self.left_out
    }

    /// Leaves out the pads that can't be published beside the others, and returns the
    /// others.
    fn leave_out<'a>(
        &mut self,
        present: &[&'a PadState],
        changes: &mut Vec<Change>,
    ) -> Vec<&'a PadState> {
        let mut publishable = present.to_vec();
        // Published pads first, so that a later pad displaces none of them.
        publishable.sort_by_key(|pad| !self.published_pads().any(|published| published == pad.id));
        let known = std::mem::take(&mut self.left_out);
        let mut tracks = Vec::new();
        publishable.retain(|pad| {
            let refused = match &pad.format {
                None => return true,
                Some(Err(error)) => Refused::Caps(error.clone()),
                Some(Ok(format)) => {
                    tracks.push(format.track);
                    let Err(error) = check_tracks(&tracks) else {
                        return true;
                    };
                    tracks.pop();
                    Refused::Tracks(error)
                }
            };
            self.left_out.push(pad.id);
            if !known.contains(&pad.id) {
                changes.push(Change::LeaveOut(pad.id, refused));
            }
            false
        });
        publishable
    }

    fn is_given_up(&self, pad: u32) -> bool {
        self.given_up.contains(&pad)
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
        self.is_replaced = true;
        self.is_refused = false;
        Change::StartAgain
    }

    fn line_up(&mut self, publishable: &[&PadState]) -> Option<Change> {
        if !self.has_played || self.session == SessionPhase::Over {
            return None;
        }
        // Complete once each awaited pad has caps, or has ended without. A session that
        // was lost does not wait for them: caps that come later replace the next one.
        let waits = !(self.has_opened && self.requested.is_some());
        let expected = publishable.iter().filter(|pad| {
            let is_awaited = waits && !pad.has_ended && !self.is_given_up(pad.id);
            pad.format.is_some() || is_awaited
        });
        let streams = expected.map(|pad| Some((pad.id, pad.format.clone()?.ok()?)));
        let mut streams: Vec<Stream> = streams.collect::<Option<_>>()?;
        streams.sort_by_key(|(_, stream)| stream.track);
        match self.requested {
            Some(peer) if !streams.is_empty() => {
                let tracks = streams.iter().map(|(_, stream)| stream.track);
                let tracks: Vec<Track> = tracks.collect();
                if let Err(error) = check_tracks(&tracks) {
                    return self.refuse(Refused::Tracks(error));
                }
                if self.awaits_pads && !self.has_opened && tracks.len() < MAX_TRACKS {
                    return None;
                }
                self.requested = None;
                self.published = streams;
                self.is_replaced = false;
                self.has_opened = true;
                Some(Change::Open(peer))
            }
            None if self.has_opened && !self.is_replaced && !self.fit(&streams) => {
                self.is_replaced = true;
                Some(Change::Replace)
            }
            _ => None,
        }
    }

    /// Whether the session that exists can carry these streams. It can't if one is on
    /// another pad: webrtcbin is linked to the pad that it was made for.
    fn fit(&self, streams: &[Stream]) -> bool {
        let mut pairs = self.published.iter().zip(streams);
        self.published.len() == streams.len()
            && pairs.all(|((old_pad, old), (new_pad, new))| {
                old_pad == new_pad && old.fits_session_of(new)
            })
    }

    fn refuse(&mut self, refused: Refused) -> Option<Change> {
        let is_first = !std::mem::replace(&mut self.is_refused, true);
        (is_first && self.session != SessionPhase::Over).then_some(Change::Refuse(refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(track: Track, encoding: &str) -> StreamFormat {
        StreamFormat {
            track,
            encoding: Some(encoding.to_owned()),
            named_clock_rate: None,
            parameter_sets: None,
            parameters: Vec::new(),
        }
    }

    fn pad(id: u32, format: StreamFormat) -> PadState {
        PadState {
            id,
            is_linked: true,
            format: Some(Ok(format)),
            has_ended: false,
        }
    }

    fn audio() -> PadState {
        pad(111, stream(Track::Audio, "OPUS"))
    }

    fn video() -> PadState {
        pad(102, stream(Track::Video, "H264"))
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
        assert_eq!(lineup.update(pads), [Change::Open(1)]);
        lineup
    }

    #[test]
    fn opens_once_playing_offer_and_caps_are_there_in_whatever_order() {
        type Step = fn(&mut Lineup);
        let steps: [Step; 2] = [|lineup| lineup.playing(), |lineup| lineup.request_offer(7)];
        for order in [[0, 1], [1, 0]] {
            let mut lineup = Lineup::default();
            assert_eq!(lineup.update(&[audio()]), []);
            steps[order[0]](&mut lineup);
            assert_eq!(lineup.update(&[audio()]), []);
            steps[order[1]](&mut lineup);
            assert_eq!(lineup.update(&[silent()]), []);
            assert_eq!(lineup.update(&[audio()]), [Change::Open(7)]);
            assert_eq!(lineup.update(&[audio()]), [], "once");
        }
    }

    #[test]
    fn waits_for_the_caps_of_every_linked_pad_and_for_no_other() {
        let unlinked = PadState::default();
        let mut lineup = waiting();
        assert_eq!(lineup.update(&[]), []);
        assert_eq!(lineup.update(std::slice::from_ref(&unlinked)), []);
        assert_eq!(lineup.update(&[audio(), silent()]), []);
        assert_eq!(lineup.update(&[audio(), unlinked]), [Change::Open(1)]);
    }

    #[test]
    fn awaits_pads_of_other_elements_for_what_is_missing() {
        let awaiting = || {
            let mut lineup = waiting();
            lineup.await_pads(true);
            lineup
        };
        for pads in [vec![], vec![audio()], vec![video()]] {
            let mut lineup = awaiting();
            assert_eq!(lineup.update(&pads), [], "{pads:?}");
            lineup.await_pads(false);
            let expected = pads.first().map(|_| Change::Open(1));
            assert_eq!(lineup.update(&pads), Vec::from_iter(expected), "{pads:?}");
        }
        // Both are as much as there can be.
        assert_eq!(awaiting().update(&[audio(), video()]), [Change::Open(1)]);
        // It keeps no error back.
        let pads = [audio(), pad(96, stream(Track::Audio, "PCMU"))];
        assert!(matches!(awaiting().update(&pads)[..], [Change::Refuse(_)]));
        // Nor a session after the first.
        let mut lineup = on_air(&[audio()]);
        lineup.await_pads(true);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&[audio()]), [Change::Open(2)]);
    }

    #[test]
    fn a_pad_that_stays_without_caps_keeps_the_others_back_for_a_time_only() {
        let mut lineup = waiting();
        let pads = [audio(), PadState { id: 7, ..silent() }];
        assert_eq!(lineup.update(&pads), []);
        lineup.give_up(vec![7]);
        assert_eq!(lineup.update(&pads), [Change::Open(1)]);
        assert_eq!(lineup.update(&pads), []);
        // Its caps come late.
        assert_eq!(lineup.update(&[audio(), video()]), [Change::Replace]);
        // It does not keep the end away, and alone it is none.
        let mut lineup = on_air(&[audio()]);
        lineup.give_up(vec![7]);
        let alone = [PadState { id: 7, ..silent() }];
        assert_eq!(
            lineup.update(&[ended(audio()), alone[0].clone()]),
            [Change::End]
        );
        let mut lineup = waiting();
        lineup.give_up(vec![7]);
        assert_eq!(lineup.update(&alone), []);
    }

    #[test]
    fn on_air_a_pad_without_caps_keeps_no_change_back_once_it_is_given_up() {
        let mut lineup = on_air(&[audio()]);
        let other = pad(111, stream(Track::Audio, "PCMU"));
        let pads = [other, PadState { id: 7, ..silent() }];
        assert_eq!(lineup.update(&pads), []);
        lineup.give_up(vec![7]);
        assert_eq!(lineup.update(&pads), [Change::Replace]);
    }

    #[test]
    fn order_of_the_pads_is_of_no_matter() {
        let mut lineup = on_air(&[video(), audio()]);
        assert_eq!(lineup.update(&[audio(), video()]), []);
    }

    #[test]
    fn other_media_replace_the_session_once() {
        let other = pad(96, stream(Track::Audio, "PCMU"));
        for pads in [
            vec![audio(), video()],
            vec![video()],
            vec![other.clone()],
            vec![],
            vec![PadState::default()],
        ] {
            let mut lineup = on_air(&[audio()]);
            assert_eq!(lineup.update(&pads), [Change::Replace], "{pads:?}");
            assert_eq!(lineup.update(&pads), []);
        }
        let mut lineup = on_air(&[audio()]);
        lineup.update(std::slice::from_ref(&other));
        lineup.request_offer(2);
        assert_eq!(lineup.update(&[other]), [Change::Open(2)]);
    }

    #[test]
    fn a_linked_pad_without_caps_changes_nothing_yet() {
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.update(&[audio(), silent()]), []);
        assert_eq!(lineup.update(&[audio(), video()]), [Change::Replace]);
    }

    #[test]
    fn a_pad_without_caps_holds_up_no_reconnect_and_ended_no_start() {
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.update(&[audio(), silent()]), []);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&[audio(), silent()]), [Change::Open(2)]);
        assert_eq!(lineup.update(&[audio(), video()]), [Change::Replace]);
        let pads = [audio(), ended(silent())];
        assert_eq!(waiting().update(&pads), [Change::Open(1)]);
    }

    #[test]
    fn another_attempt_opens_with_the_same_media() {
        let mut lineup = on_air(&[audio()]);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&[audio()]), [Change::Open(2)]);
    }

    #[test]
    fn what_does_not_go_together_is_refused_once() {
        let twice = TracksError::DuplicateKind {
            track: Track::Audio,
        };
        let pads = [audio(), pad(96, stream(Track::Audio, "PCMU"))];
        let mut lineup = waiting();
        let refused = Change::Refuse(Refused::Tracks(twice));
        assert_eq!(lineup.update(&pads), [refused]);
        assert_eq!(lineup.update(&pads), []);
    }

    #[test]
    fn a_published_pad_whose_source_is_gone_keeps_the_session() {
        let mut lineup = on_air(&[audio(), video()]);
        let without_source = PadState {
            is_linked: false,
            ..video()
        };
        let pads = [audio(), without_source.clone()];
        assert_eq!(lineup.update(&pads), []);
        assert_eq!(lineup.update(&[audio(), video()]), []);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&pads), [Change::Open(2)]);
        let pads = [ended(audio()), without_source];
        assert_eq!(lineup.update(&pads), [Change::End]);
    }

    #[test]
    fn wrong_caps_are_refused_at_once_and_once() {
        for error in [CapsError::OpusChannels, CapsError::Kind("text".into())] {
            let mut lineup = Lineup::default();
            let pads = [audio(), wrong(error.clone())];
            let refused = Change::Refuse(Refused::Caps(error));
            assert_eq!(lineup.update(&pads), [refused]);
            assert_eq!(lineup.update(&pads), []);
        }
        let unlinked = PadState {
            is_linked: false,
            ..wrong(CapsError::OpusChannels)
        };
        assert_eq!(waiting().update(&[unlinked]), []);
    }

    #[test]
    fn a_third_pad_is_refused_with_the_tracks() {
        let pads = [audio(), video(), pad(96, stream(Track::Video, "VP8"))];
        let track = Track::Video;
        let refused = Refused::Tracks(TracksError::DuplicateKind { track });
        assert_eq!(waiting().update(&pads), [Change::Refuse(refused)]);
    }

    #[test]
    fn on_air_a_pad_that_can_not_be_published_is_left_out_and_told_once() {
        let second = pad(96, stream(Track::Audio, "PCMU"));
        let twice = Refused::Tracks(TracksError::DuplicateKind {
            track: Track::Audio,
        });
        let not_rtp = PadState {
            id: 9,
            ..wrong(CapsError::OpusChannels)
        };
        for (other, expected) in [
            (second, Change::LeaveOut(96, twice)),
            (
                not_rtp,
                Change::LeaveOut(9, Refused::Caps(CapsError::OpusChannels)),
            ),
        ] {
            let mut lineup = on_air(&[audio()]);
            // Before the one on air, as its number may be the lower one.
            let pads = [other.clone(), audio()];
            assert_eq!(lineup.update(&pads), [expected]);
            assert_eq!(lineup.update(&pads), []);
            // Nor does it keep the end of the stream away.
            let pads = [other, ended(audio())];
            assert_eq!(lineup.update(&pads), [Change::End]);
        }
    }

    #[test]
    fn a_pad_that_was_left_out_is_published_once_it_can_be() {
        let second = pad(96, stream(Track::Audio, "PCMU"));
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[audio(), second.clone()]);
        let alone = [second];
        assert_eq!(lineup.update(&alone), [Change::Replace]);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&alone), [Change::Open(2)]);
        assert_eq!(lineup.published_pads().collect::<Vec<_>>(), [96]);
    }

    #[test]
    fn published_pads_with_wrong_caps_are_left_out_and_the_others_go_on() {
        let mut lineup = on_air(&[audio(), video()]);
        let broken = PadState {
            id: 102,
            ..wrong(CapsError::OpusChannels)
        };
        let pads = [audio(), broken];
        let left_out = Change::LeaveOut(102, Refused::Caps(CapsError::OpusChannels));
        assert_eq!(lineup.update(&pads), [left_out, Change::Replace]);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&pads), [Change::Open(2)]);
        assert_eq!(lineup.published_pads().collect::<Vec<_>>(), [111]);
    }

    #[test]
    fn a_pad_in_place_of_another_replaces_the_session() {
        let other = PadState { id: 7, ..audio() };
        // Released and requested anew, perhaps before anybody looks.
        assert_eq!(
            on_air(&[audio()]).update(std::slice::from_ref(&other)),
            [Change::Replace]
        );
        // Left out first, then alone.
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.update(&[audio(), other.clone()]).len(), 1);
        assert_eq!(
            lineup.update(std::slice::from_ref(&other)),
            [Change::Replace]
        );
        lineup.request_offer(2);
        assert_eq!(
            lineup.update(std::slice::from_ref(&other)),
            [Change::Open(2)]
        );
        assert_eq!(lineup.published_pads().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn a_pad_that_is_left_out_displaces_none_in_the_next_session() {
        let second = PadState { id: 7, ..audio() };
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[second.clone(), audio()]);
        let pads = [second, audio(), video()];
        assert_eq!(lineup.update(&pads), [Change::Replace]);
        assert_eq!(lineup.update(&pads), []);
        lineup.request_offer(2);
        assert_eq!(lineup.update(&pads), [Change::Open(2)]);
        assert_eq!(lineup.published_pads().collect::<Vec<_>>(), [111, 102]);
        assert_eq!(lineup.left_out(), [7]);
    }

    #[test]
    fn pads_that_can_not_be_published_still_end() {
        let broken = || PadState {
            id: 111,
            ..wrong(CapsError::OpusChannels)
        };
        let refused = || Refused::Caps(CapsError::OpusChannels);
        // The only pad on air gets wrong caps.
        let mut lineup = on_air(&[audio()]);
        let left_out = Change::LeaveOut(111, refused());
        assert_eq!(lineup.update(&[broken()]), [left_out, Change::Replace]);
        assert_eq!(lineup.update(&[ended(broken())]), [Change::End]);
        // It never had others, and ends before anybody looks, or later.
        let mut lineup = waiting();
        let changes = [Change::Refuse(refused()), Change::End];
        assert_eq!(lineup.update(&[ended(broken())]), changes);
        let mut lineup = waiting();
        assert_eq!(lineup.update(&[broken()]), [Change::Refuse(refused())]);
        assert_eq!(lineup.session_over(), None);
        let ended = [ended(broken())];
        assert_eq!(lineup.update(&ended), [Change::PostEndOfStream]);
    }

    #[test]
    fn the_session_ends_once_every_linked_pad_has_ended() {
        let mut lineup = on_air(&[audio(), video()]);
        assert_eq!(lineup.update(&[ended(audio()), video()]), []);
        let all = [ended(audio()), ended(video()), PadState::default()];
        assert_eq!(lineup.update(&all), [Change::End]);
        assert_eq!(lineup.update(&all), []);
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
    }

    #[test]
    fn releasing_the_last_pad_that_has_not_ended_ends_the_session() {
        let mut lineup = on_air(&[audio(), video()]);
        assert_eq!(lineup.update(&[ended(audio()), video()]), []);
        assert_eq!(lineup.update(&[ended(audio())]), [Change::End]);
    }

    #[test]
    fn end_of_stream_of_a_failed_session_is_posted_at_once() {
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.session_over(), None);
        let over = [ended(audio())];
        assert_eq!(lineup.update(&over), [Change::PostEndOfStream]);
        assert_eq!(lineup.update(&over), []);
    }

    #[test]
    fn end_of_stream_before_the_session_has_begun() {
        let mut lineup = Lineup::default();
        assert_eq!(lineup.update(&[ended(audio())]), [Change::End]);
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
    }

    #[test]
    fn media_that_come_again_after_the_end_begin_another_session() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        lineup.session_over();
        assert_eq!(lineup.update(&[audio()]), [Change::StartAgain]);
        lineup.request_offer(1);
        assert_eq!(lineup.update(&[audio()]), [Change::Open(1)]);
        assert_eq!(lineup.update(&[ended(audio())]), [Change::End]);
    }

    #[test]
    fn media_that_come_again_before_the_end_begin_another_session_after_it() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        assert_eq!(lineup.update(&[audio()]), []);
        assert_eq!(lineup.session_over(), Some(Change::StartAgain));
        lineup.request_offer(1);
        assert_eq!(lineup.update(&[audio()]), [Change::Open(1)]);
    }

    #[test]
    fn flushed_and_ended_again_before_the_end_is_one_end() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        lineup.update(&[audio()]);
        assert_eq!(lineup.update(&[ended(audio())]), []);
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
    }

    #[test]
    fn flushed_and_ended_again_before_anybody_looks_is_another_end() {
        let mut lineup = on_air(&[audio()]);
        assert_eq!(lineup.update(&[ended(audio())]), [Change::End]);
        lineup.session_over();
        assert_eq!(lineup.flushed(111), Some(Change::StartAgain));
        assert_eq!(lineup.update(&[ended(audio())]), [Change::End]);
        assert_eq!(lineup.session_over(), Some(Change::PostEndOfStream));
        // On air a flush changes nothing.
        assert_eq!(on_air(&[audio()]).flushed(111), None);
    }

    #[test]
    fn pads_released_after_the_end_begin_nothing() {
        let mut lineup = on_air(&[audio()]);
        lineup.update(&[ended(audio())]);
        lineup.session_over();
        assert_eq!(lineup.update(&[]), []);
        assert_eq!(lineup.update(&[PadState::default()]), []);
    }

    #[test]
    fn a_failed_session_begins_again_with_nothing() {
        let mut lineup = on_air(&[audio()]);
        lineup.session_over();
        for pads in [vec![audio()], vec![video()], vec![]] {
            assert_eq!(lineup.update(&pads), [], "{pads:?}");
        }
    }
}
