//! A session under test: sends its inputs and waits for its events, with limits.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gstivs::ivs::{Filler, FillerMode, OfferedVideo};
use gstivs::session::{
    Cause, Config, Ended, Ending, Event, Failure, Input, PeerEvent, Process, Retries, Session,
    State, TokenSource, Tokens, Warning,
};
use gstivs::whip::{Answer, Deleted, Endpoint, Offer, Token};

use crate::clock::Clock;
use crate::common::{Reply, Server, created};

/// Limit for a wait in a test, far above the usual time.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// Limit for a stop, unless a POST or DELETE is left unanswered.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// Limit for a stop that leaves a POST or DELETE unanswered: 3.2 s, and a margin
/// for a loaded machine.
pub(crate) const UNANSWERED: Duration = Duration::from_secs(6);

/// A token that appears in no other text.
pub(crate) const TOKEN: &str = "participantTokenThatNobodyMaySee";

/// The `Authorization` header for [`TOKEN`].
pub(crate) const BEARER: &str = "Bearer participantTokenThatNobodyMaySee";

/// Audio, and a video section that never sends.
pub(crate) const OFFER: &str = "v=0\r\no=- 7 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
     a=group:BUNDLE audio0 video1\r\n\
     m=audio 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:audio0\r\na=sendonly\r\n\
     a=rtpmap:96 OPUS/48000/2\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:near\r\n\
     a=ice-pwd:nearPasswordOf24Letters.\r\na=fingerprint:sha-256 00:11\r\n\
     m=video 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=mid:video1\r\na=inactive\r\n\
     a=rtpmap:97 H264/90000\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:near\r\n\
     a=ice-pwd:nearPasswordOf24Letters.\r\na=fingerprint:sha-256 00:11\r\n";

/// Settings with the token, and limits that no test reaches by chance.
pub(crate) fn config(endpoint: &str) -> Config {
    Config {
        tokens: given(TOKEN),
        ..config_without_token(endpoint)
    }
}

/// Settings without any token.
pub(crate) fn config_without_token(endpoint: &str) -> Config {
    Config {
        endpoint: Endpoint::parse(endpoint).unwrap(),
        tokens: Tokens::new(TokenSource::default()),
        redirect_hosts: Default::default(),
        http_timeout: Some(BOUND),
        connect_timeout: BOUND,
        silence_timeout: None,
        gathering_timeout: Duration::ZERO,
        retries: Retries::Limit(0),
        filler: Filler::Pinned(FillerMode::Inactive),
    }
}

/// Tokens with this one as given by the application.
pub(crate) fn given(token: &str) -> Tokens {
    Tokens::new(TokenSource {
        given: Some(Token::parse(token).unwrap()),
        ..TokenSource::default()
    })
}

/// An event of the first attempt's peer connection.
pub(crate) fn peer_event(event: PeerEvent) -> Input {
    Input::Peer { peer: 1, event }
}

/// The offer of the first peer connection, as input.
pub(crate) fn offer() -> Input {
    offer_with(1, OfferedVideo::Pinned(FillerMode::Inactive))
}

/// The offer of the peer connection with this number, with this video, as input.
pub(crate) fn offer_with(peer: u64, video: OfferedVideo) -> Input {
    let event = PeerEvent::Offer {
        offer: Offer::new(OFFER, "stream", None).unwrap(),
        video,
        heard: Arc::default(),
        took: Duration::from_millis(7),
    };
    Input::Peer { peer, event }
}

/// The media connection that is up, as input.
pub(crate) fn connected() -> Input {
    peer_event(PeerEvent::Connected)
}

/// The peer connection that can't continue, as input.
pub(crate) fn broken(cause: Cause) -> Input {
    peer_event(PeerEvent::Broken(cause))
}

/// A running session under test.
pub(crate) struct Publisher {
    clock: Option<Clock>,
    session: Option<Session>,
    tokens: Tokens,
    ending: Ending,
    events: Receiver<Event>,
}

impl Publisher {
    /// Starts a session that has no offer yet.
    pub(crate) fn start(config: Config) -> Self {
        Self::start_on(None, config)
    }

    /// Like [`Publisher::start`], with a clock that only [`Publisher::advance`]
    /// moves.
    pub(crate) fn paused(config: Config) -> Self {
        Self::start_on(Some(Clock::paused()), config)
    }

    fn start_on(clock: Option<Clock>, config: Config) -> Self {
        let (sender, events) = channel();
        let tokens = config.tokens.clone();
        let emit = move |event| drop(sender.send(event));
        let process = Process::get().unwrap();
        let runtime = clock.as_ref().map(Clock::handle);
        let runtime = runtime.unwrap_or_else(|| process.runtime());
        let (session, ending) = Session::start(runtime, process, config, emit);
        Self {
            clock,
            session: Some(session),
            tokens,
            ending,
            events,
        }
    }

    /// Moves the paused clock, and returns when everything due has run.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.as_ref().expect("a paused clock").advance(by);
    }

    /// Whether no event has come since the last one read, apart from offers
    /// wanted, claims and times.
    pub(crate) fn is_quiet(&self) -> bool {
        self.events.try_iter().all(|event| {
            matches!(
                event,
                Event::MakeOffer { .. } | Event::Claims(_) | Event::Times(_)
            )
        })
    }

    /// The unread events so far.
    pub(crate) fn events_so_far(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// The waits for an offer in the unread events so far.
    pub(crate) fn offer_waits(&self) -> Vec<Duration> {
        let missed = self.events.try_iter().filter_map(|event| match event {
            Event::NoOffer { after } => Some(after),
            _ => None,
        });
        missed.collect()
    }

    /// Starts a session and gives it the offer.
    pub(crate) fn offering(config: Config) -> Self {
        let publisher = Self::start(config);
        publisher.tell(offer());
        publisher
    }

    /// Like [`Publisher::offering`], and waits until the session publishes.
    pub(crate) fn publishing(config: Config) -> Self {
        let publisher = Self::offering(config);
        publisher.answer();
        publisher.tell(connected());
        publisher.until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
        publisher
    }

    pub(crate) fn tell(&self, input: Input) {
        self.session.as_ref().unwrap().tell(input);
    }

    /// Gives a new token, as an application does.
    pub(crate) fn give_token(&self, token: &str) {
        self.tokens.give(Token::parse(token).ok());
        self.tell(Input::NewToken);
    }

    /// Takes back the token that was given.
    pub(crate) fn unset_token(&self) {
        self.tokens.give(None);
    }

    /// Drops the only handle.
    pub(crate) fn drop_handle(&mut self) {
        self.session = None;
    }

    /// The next event, apart from offers wanted, claims, times and missing
    /// offers. Panics if none comes.
    pub(crate) fn next(&self) -> Event {
        loop {
            match self.events.recv_timeout(BOUND).expect("one more event") {
                Event::MakeOffer { .. }
                | Event::Claims(_)
                | Event::Times(_)
                | Event::NoOffer { .. } => {}
                event => return event,
            }
        }
    }

    /// Makes the next offer, for a publisher without video. Returns the video
    /// in it.
    pub(crate) fn offer_next(&self) -> OfferedVideo {
        let (peer, video) = loop {
            if let Event::MakeOffer {
                peer,
                without_video,
            } = self.events.recv_timeout(BOUND).expect("an offer wanted")
            {
                break (peer, without_video);
            }
        };
        self.tell(offer_with(peer, video));
        video
    }

    /// Waits for the next attempt after the first. Returns the number of its
    /// peer connection.
    pub(crate) fn next_offer_wanted(&self) -> u64 {
        loop {
            match self.events.recv_timeout(BOUND).expect("one more attempt") {
                Event::MakeOffer { peer, .. } if peer > 1 => return peer,
                Event::Ended(ended) => panic!("an attempt expected, found the end: {ended:?}"),
                _ => {}
            }
        }
    }

    /// Whether an event comes within this time, to check that none does.
    pub(crate) fn has_event_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::MakeOffer { .. } | Event::Claims(_) | Event::Times(_)) => {}
                heard => return heard.is_ok(),
            }
        }
    }

    /// Waits for an event in which `look` finds something; earlier events are
    /// lost. Panics if the session ends before that.
    pub(crate) fn until<T>(&self, mut look: impl FnMut(&Event) -> Option<T>) -> T {
        let mut passed = Vec::new();
        loop {
            let event = self.next();
            if let Some(found) = look(&event) {
                return found;
            }
            let ended = matches!(event, Event::Ended(_));
            passed.push(event);
            assert!(!ended, "it was not among {passed:?}");
        }
    }

    /// Waits for the answer.
    pub(crate) fn answer(&self) -> Answer {
        self.until(|event| match event {
            Event::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        })
    }

    /// Waits for the end. Returns all events up to the last.
    pub(crate) fn to_the_end(&self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next());
            if let Some(Event::Ended(_)) = events.last() {
                return events;
            }
        }
    }

    /// Waits for the end. Returns the failure, and how the session ended.
    pub(crate) fn failed(&self) -> (Failure, Ended) {
        let events = self.to_the_end();
        let failure = events.iter().find_map(|event| match event {
            Event::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        (failure.expect("a failure"), ended(&events))
    }

    /// Stops. Returns the result of [`Ending::wait`] and how long it took.
    pub(crate) fn stop(&self) -> (bool, Duration) {
        self.tell(Input::Stop);
        self.wait()
    }

    /// Returns the result of [`Ending::wait`] and how long it took.
    pub(crate) fn wait(&self) -> (bool, Duration) {
        let start = Instant::now();
        let ended = self.ending.wait();
        (ended, start.elapsed())
    }

    /// Stops a session whose server answers. It must be prompt and delete the
    /// resource.
    pub(crate) fn stop_and_delete(&self) {
        let (over, took) = self.stop();
        assert!(over && took < PROMPT, "over: {over} after {took:?}");
        assert_eq!(ended(&self.to_the_end()), Ended::Deleted(Deleted::Done));
    }
}

/// Returns when every driver has handled what reached it before: one worker runs
/// all sessions, and it has run a whole session since.
pub(crate) fn wait_for_driver() {
    let server = whip_server("127.0.0.1");
    Publisher::publishing(config(&server.url("/"))).stop_and_delete();
}

/// A server that makes a session for every POST and accepts every DELETE.
pub(crate) fn whip_server(address: &str) -> Server {
    Server::start(address, |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    })
}

/// How the session ended, from its last event.
pub(crate) fn ended(events: &[Event]) -> Ended {
    match events.last() {
        Some(Event::Ended(ended)) => ended.clone(),
        other => panic!("expected the end, found {other:?}"),
    }
}

/// The warnings among events.
pub(crate) fn warnings(events: &[Event]) -> Vec<Warning> {
    let warning = |event: &Event| match event {
        Event::Warning(warning) => Some(warning.clone()),
        _ => None,
    };
    events.iter().filter_map(warning).collect()
}

/// The names of events, so that assertions read as a list.
pub(crate) fn names(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::MakeOffer { .. } => "make offer",
        Event::FillerFallback { .. } => "filler fallback",
        Event::NoOffer { .. } => "no offer",
        Event::Times(_) => "times",
        Event::CandidateName { .. } => "candidate name",
        Event::CandidatesSent(_) => "trickled",
        Event::Claims(_) => "claims",
        Event::NewTokenWanted => "token wanted",
        Event::Retry { .. } => "retry",
        Event::State(State::Connecting) => "connecting",
        Event::State(State::Publishing) => "publishing",
        Event::State(State::Stopping) => "stopping",
        Event::Redirected { .. } => "redirected",
        Event::Answer { .. } => "answer",
        Event::Warning(_) => "warning",
        Event::Failed(_) => "failed",
        Event::Ended(_) => "ended",
    };
    events.iter().map(name).collect()
}
