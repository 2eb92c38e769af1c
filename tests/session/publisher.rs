//! A session with its test: what it is told, and what it tells, in bounds.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gstivs::ivs::{Filler, FillerMode, OfferedVideo};
use gstivs::session::{
    Cause, Config, Ended, Ending, Event, Failure, Input, PeerNews, Process, Retries, Session,
    State, TokenSource, Tokens, Warning,
};
use gstivs::whip::{Answer, Deleted, Endpoint, Offer, Token};

use crate::clock::Clock;
use crate::common::{Reply, Server, created};

/// How long a test waits for what has to come; far above what it takes.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// The longest that a stop may hold up whoever stops, where the server answers.
/// A loaded machine may add to the 0.8 s that it is.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// A token that no other text contains.
pub(crate) const TOKEN: &str = "participantTokenThatNobodyMaySee";

/// What the server has to see of it.
pub(crate) const BEARER: &str = "Bearer participantTokenThatNobodyMaySee";

/// Audio, and the video section that only stands there.
pub(crate) const OFFER: &str = "v=0\r\no=- 7 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
     a=group:BUNDLE audio0 video1\r\n\
     m=audio 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:audio0\r\na=sendonly\r\n\
     a=rtpmap:96 OPUS/48000/2\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:near\r\n\
     a=ice-pwd:nearPasswordOf24Letters.\r\na=fingerprint:sha-256 00:11\r\n\
     m=video 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=mid:video1\r\na=inactive\r\n\
     a=rtpmap:97 H264/90000\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:near\r\n\
     a=ice-pwd:nearPasswordOf24Letters.\r\na=fingerprint:sha-256 00:11\r\n";

/// Settings with the token, and bounds that no test runs into by chance.
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

/// A token that is given as it is.
pub(crate) fn given(token: &str) -> Tokens {
    Tokens::new(TokenSource {
        given: Some(Token::parse(token).unwrap()),
        ..TokenSource::default()
    })
}

/// News of the first attempt's peer connection.
pub(crate) fn news(news: PeerNews) -> Input {
    Input::Peer { peer: 1, news }
}

/// The offer as input.
pub(crate) fn offer() -> Input {
    offer_with(1, OfferedVideo::Pinned(FillerMode::Inactive))
}

/// An offer of the peer connection with this number, with this as video.
pub(crate) fn offer_with(peer: u64, video: OfferedVideo) -> Input {
    let news = PeerNews::Offer {
        offer: Offer::new(OFFER, "stream", None).unwrap(),
        video,
        heard: Arc::default(),
        took: Duration::from_millis(7),
    };
    Input::Peer { peer, news }
}

/// The media connection that stands, as input.
pub(crate) fn connected() -> Input {
    news(PeerNews::Connected)
}

/// The peer connection that can't go on, as input.
pub(crate) fn broken(cause: Cause) -> Input {
    news(PeerNews::Broken(cause))
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

    /// The same with a clock that only [`Publisher::advance`] moves.
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

    /// Moves a paused clock, and comes back when what was due has been done.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.as_ref().expect("a paused clock").advance(by);
    }

    /// Whether nothing has happened since the last event that was looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        self.events.try_iter().all(|event| {
            matches!(
                event,
                Event::MakeOffer { .. } | Event::Claims(_) | Event::Times(_)
            )
        })
    }

    /// What has happened by now and was not looked at.
    pub(crate) fn events_so_far(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// How long it has waited, each time that it told so by now.
    pub(crate) fn offers_missed(&self) -> Vec<Duration> {
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

    /// As [`Publisher::offering`], up to media that flows.
    pub(crate) fn publishing(config: Config) -> Self {
        let publisher = Self::offering(config);
        publisher.answer();
        publisher.tell(connected());
        publisher.until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
        publisher
    }

    /// Tells the session something.
    pub(crate) fn tell(&self, input: Input) {
        self.session.as_ref().unwrap().tell(input);
    }

    /// Gives another token, as an application does.
    pub(crate) fn give_token(&self, token: &str) {
        self.tokens.give(Token::parse(token).ok());
        self.tell(Input::NewToken);
    }

    /// Takes back the token that was given.
    pub(crate) fn unset_token(&self) {
        self.tokens.give(None);
    }

    /// Drops the only handle.
    pub(crate) fn let_go(&mut self) {
        self.session = None;
    }

    /// The next event that tells of what happened, or a panic when none comes.
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

    /// Gives the next offer that is wanted, for a publisher without video, and
    /// says what it had as such.
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

    /// The number of the next peer connection that is wanted, after the first.
    pub(crate) fn next_offer_wanted(&self) -> u64 {
        loop {
            match self.events.recv_timeout(BOUND).expect("one more attempt") {
                Event::MakeOffer { peer, .. } if peer > 1 => return peer,
                Event::Ended(ended) => panic!("an attempt expected, found the end: {ended:?}"),
                _ => {}
            }
        }
    }

    /// Whether an event comes within this time, for what must not come.
    pub(crate) fn tells_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::MakeOffer { .. } | Event::Claims(_) | Event::Times(_)) => {}
                heard => return heard.is_ok(),
            }
        }
    }

    /// The first event that `look` finds something in, those before it lost.
    /// A session that ends before that is a panic.
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

    /// The answer.
    pub(crate) fn answer(&self) -> Answer {
        self.until(|event| match event {
            Event::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        })
    }

    /// All events to the last.
    pub(crate) fn to_the_end(&self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next());
            if let Some(Event::Ended(_)) = events.last() {
                return events;
            }
        }
    }

    /// The failure, and how the session ended after it.
    pub(crate) fn failed(&self) -> (Failure, Ended) {
        let events = self.to_the_end();
        let failure = events.iter().find_map(|event| match event {
            Event::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        (failure.expect("a failure"), ended(&events))
    }

    /// Stops, and says how long [`Ending::wait`] took and what it said.
    pub(crate) fn stop(&self) -> (bool, Duration) {
        self.tell(Input::Stop);
        self.wait()
    }

    /// How long [`Ending::wait`] takes, and what it says.
    pub(crate) fn wait(&self) -> (bool, Duration) {
        let start = Instant::now();
        let ended = self.ending.wait();
        (ended, start.elapsed())
    }

    /// Stops a session whose server answers: promptly, deleting its resource.
    pub(crate) fn stop_and_delete(&self) {
        let (over, took) = self.stop();
        assert!(over && took < PROMPT, "over: {over} after {took:?}");
        assert_eq!(ended(&self.to_the_end()), Ended::Deleted(Deleted::Now));
    }
}

/// Comes back when the driver has seen all that had reached it before: one
/// worker serves every session, and a whole one has run through it since.
pub(crate) fn catch_up() {
    let server = whip_server("127.0.0.1");
    Publisher::publishing(config(&server.url("/"))).stop_and_delete();
}

/// A server that makes a session at any POST and ends it at any DELETE.
pub(crate) fn whip_server(address: &str) -> Server {
    Server::start(address, |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    })
}

/// How the session ended, of all its events.
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

/// Events by their names, for assertions that read as a list.
pub(crate) fn names(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::MakeOffer { .. } => "make offer",
        Event::FillerFallback { .. } => "filler fallback",
        Event::NoOffer { .. } => "no offer",
        Event::Times(_) => "times",
        Event::Trickled(_) => "trickled",
        Event::Claims(_) => "claims",
        Event::TokenWanted => "token wanted",
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
