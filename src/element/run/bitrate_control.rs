//! Lets the video follow what the network carries: the upstream encoder, else the
//! application, else by leaving out frames.

use std::time::{Duration, Instant};

use super::local_estimation::LocalEstimation;
use super::narrowing::{Narrowing, NetworkNews};
use crate::element::bus_messages;
use crate::element::input::{Encoder, EncoderError, MediaPad, Pacing};
use crate::element::peer::Peer;
use crate::element::settings::BitrateSettings;
use crate::element::signals::has_bitrate_handler;
use crate::media::bandwidth::{
    Allocation, ChangeCost, EncoderSteps, Limits, NetworkStatus, Obedience, PassThrough, Stream,
};

/// Time between two looks at the estimate: two bursts of the pacer.
const TICK: Duration = Duration::from_millis(10);

/// The same on a wide network, where there is little to decide.
const WIDE_TICK: Duration = Duration::from_millis(30);

/// Time between two looks for another encoder.
const LOOK: Duration = Duration::from_secs(1);

/// Frames that were left out show for so long in the rates of what is sent.
const THINNING_SHOWS: Duration = Duration::from_secs(10);

/// Who follows the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follower {
    /// The upstream encoder with this factory name.
    Encoder(&'static str),
    /// The application, which listens to the property `target-bitrate`.
    Application,
    /// Nobody, so frames are left out.
    Thinning,
}

impl Follower {
    /// The name in `stats`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Encoder(factory) => factory,
            Self::Application => "application",
            Self::Thinning => "thinning",
        }
    }
}

/// The control of one session's video bit rate.
pub(super) struct BitrateControl {
    peer: Peer,
    pad: MediaPad,
    settings: BitrateSettings,
    encoder: Option<Encoder>,
    /// Who should follow.
    follower: Follower,
    /// Whether frames are left out since they do not.
    gave_up: bool,
    pass_through: PassThrough,
    steps: EncoderSteps,
    /// Whether there is an estimate, or may soon be.
    has_estimate: bool,
    limits: Limits,
    /// Counts the limits of the run's sessions.
    number: u64,
    status: Option<NetworkStatus>,
    origin: Instant,
    looked: Instant,
    obedience: Obedience,
    /// An encoder that is gone, until its place is taken or the bus is told.
    gone: Option<&'static str>,
    told: Told,
    narrowing: Narrowing,
    /// When frames were left out last.
    thinned: Option<Instant>,
}

/// What the run has told the bus of who follows the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// That the element sets an upstream encoder.
    takes_over: bool,
    /// That frames are left out in place of an encoder's bits.
    gives_up: bool,
}

impl BitrateControl {
    /// Begins with a session that publishes video from `pad`. Packets may leave only
    /// afterwards.
    pub(super) fn begin(
        element: &gst::Element,
        peer: &Peer,
        pad: &MediaPad,
        settings: &BitrateSettings,
        number: u64,
        told: Told,
    ) -> Self {
        let mut control = Self {
            peer: peer.clone(),
            pad: pad.clone(),
            settings: *settings,
            encoder: None,
            follower: Follower::Thinning,
            gave_up: false,
            pass_through: PassThrough::default(),
            steps: EncoderSteps::new(ChangeCost::Free, 0, 0),
            has_estimate: true,
            limits: settings.limits(settings.start, settings.max),
            number,
            status: None,
            origin: Instant::now(),
            looked: Instant::now(),
            obedience: Obedience::default(),
            gone: None,
            told,
            narrowing: Narrowing::default(),
            thinned: None,
        };
        pad.begin_whole_picture();
        control.follow(element, settings.start);
        control
    }

    /// The target of the video in bit/s. `None` without an estimate.
    pub(super) fn target(&self) -> Option<u64> {
        self.has_estimate.then(|| self.steps.current())
    }

    pub(super) fn follower(&self) -> Follower {
        match self.gave_up {
            true => Follower::Thinning,
            false => self.follower,
        }
    }

    /// The encoder that is to be given back.
    pub(super) fn encoder(&self) -> Option<Encoder> {
        self.encoder.clone()
    }

    /// The number of its limits.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn told(&self) -> Told {
        self.told
    }

    /// Whether the rates of what is sent show that frames were left out.
    pub(super) fn shows_thinning(&self) -> bool {
        self.thinned
            .is_some_and(|thinned| thinned.elapsed() < THINNING_SHOWS)
    }

    /// What is known of the network.
    pub(super) fn status(&self) -> Option<NetworkStatus> {
        self.status
    }

    /// Time between two ticks.
    pub(super) fn interval(&self) -> Duration {
        match self.status.is_some_and(|status| status.is_wide) {
            true => WIDE_TICK,
            false => TICK,
        }
    }

    /// Looks at the estimate. Returns whether target, follower or encoder have changed.
    pub(super) fn tick(&mut self, element: &gst::Element, local: &mut LocalEstimation) -> bool {
        let before = (self.target(), self.follower(), self.number);
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look(element);
        }
        match self.estimate(local) {
            Some(allocation) => self.apply(element, allocation),
            None => self.let_go(),
        }
        before != (self.target(), self.follower(), self.number)
    }

    fn estimate(&mut self, local: &mut LocalEstimation) -> Option<Allocation> {
        let estimation = local.within(self.limits, self.number, &self.peer);
        let follows = self.follower() != Follower::Thinning;
        let incoming = self.pad.incoming_rate().filter(|_| !follows);
        estimation.set_stream(incoming.map(|bit_rate| Stream {
            bit_rate,
            is_thinned: self.pass_through.is_narrow(),
        }));
        let allocation = estimation.take(self.peer.observe(estimation.target()));
        let status = estimation.status();
        let longest_queue = self.pass_through.longest_queue();
        self.pad.set_pacing(Pacing {
            pace: estimation.pace(),
            longest_queue: longest_queue.or(status.longest_queue()),
            burst: status.burst(),
        });
        self.status = Some(status);
        allocation
    }

    /// Begins to estimate within other limits.
    fn set_limits(&mut self, start: u64, max: u64) {
        self.limits = self.settings.limits(start, max);
        if self.follower() == Follower::Thinning {
            // Nobody makes the stream smaller, and each group would lose its end.
            self.limits.max_repaired_video = u64::MAX;
        }
        self.number += 1;
        self.narrowing.begin(start, max, self.origin.elapsed());
    }

    /// All is as without congestion control.
    fn let_go(&mut self) {
        self.thin(None);
        if std::mem::take(&mut self.has_estimate) {
            let max = self.limits.max_video;
            self.steps = EncoderSteps::new(self.cost(), max, max);
            self.pad.suit_picture(max);
            self.pad.forget_target();
            if let Some(encoder) = &self.encoder {
                encoder.restore();
            }
        }
    }

    /// Gives the encoder back what the user has set.
    pub(super) fn end(mut self) {
        self.thin(None);
        if let Some(encoder) = &self.encoder {
            encoder.give_back();
        }
        self.pad.forget_target();
    }

    /// Finds who follows, and begins to estimate within their limits, at `start` in bit/s.
    fn follow(&mut self, element: &gst::Element, start: u64) {
        self.encoder = self.pad.encoder().map(|encoder| encoder.lend());
        self.follower = match &self.encoder {
            Some(encoder) => Follower::Encoder(encoder.factory()),
            None if has_bitrate_handler(element) => Follower::Application,
            None => Follower::Thinning,
        };
        self.gave_up = self.encoder.as_ref().is_some_and(Encoder::is_bound);
        self.obedience = Obedience::default();
        let max = self.ceiling();
        let start = match self.follower() {
            // With room for a stream that varies. It passes whole until the network shows
            // that it does not fit.
            Follower::Thinning => {
                let incoming = self.pad.incoming_rate().unwrap_or(0);
                (incoming.saturating_mul(13) / 10).max(start)
            }
            _ => start,
        };
        self.begin_at(element, start.min(max), max);
    }

    fn cost(&self) -> ChangeCost {
        let encoder = self.encoder.as_ref();
        encoder.map_or(ChangeCost::Free, Encoder::cost)
    }

    /// The highest bit rate of the video. What a control binding sets may change.
    fn ceiling(&self) -> u64 {
        match &self.encoder {
            Some(encoder) if encoder.users() > 0 && !encoder.is_bound() => {
                encoder.users().min(self.settings.max)
            }
            _ => self.settings.max,
        }
    }

    fn begin_at(&mut self, element: &gst::Element, start: u64, max: u64) {
        self.pass_through = PassThrough::default();
        self.set_limits(start, max);
        self.steps = EncoderSteps::new(self.cost(), start, max);
        self.set_encoder(element, start);
    }

    /// Takes the bit rate that the user has set meanwhile as the highest.
    fn take_ceiling(&mut self, element: &gst::Element) {
        let max = self.ceiling();
        self.begin_at(element, self.steps.current().min(max), max);
    }

    /// Notices another encoder, or another bit rate that the user has set.
    fn look(&mut self, element: &gst::Element) {
        let found = self.pad.encoder();
        let is_same = match (&self.encoder, &found) {
            (Some(encoder), Some(found)) => encoder.is(found),
            (None, None) => {
                (self.follower == Follower::Application) == has_bitrate_handler(element)
            }
            _ => false,
        };
        if !is_same {
            if let Some(encoder) = self.encoder.take() {
                encoder.give_back();
                self.gone = Some(encoder.factory());
            }
            // What the network carries does not depend on who makes the video.
            let start = self.target().unwrap_or(self.settings.start);
            return self.follow(element, start);
        }
        self.notice_gone(element);
        if self.encoder.as_ref().is_some_and(Encoder::notice_user) && self.has_estimate {
            self.take_ceiling(element);
        }
    }

    /// Warns of an encoder that is gone once other media have its place, a look later: an
    /// encoder that comes for it is a change of source.
    fn notice_gone(&mut self, element: &gst::Element) {
        if !self.pad.state().is_linked {
            return;
        }
        let Some(factory) = self.gone.take() else {
            return;
        };
        if self.follower() == Follower::Thinning {
            let text = format!(
                "{factory}, which followed the network, no longer makes the video, so frames are \
                 left out when the network carries less."
            );
            self.thin_instead(element, &text);
        }
    }

    fn apply(&mut self, element: &gst::Element, allocation: Allocation) {
        if !std::mem::replace(&mut self.has_estimate, true) {
            self.take_ceiling(element);
        }
        let changed = self.steps.step(allocation.encoder, self.origin.elapsed());
        if let Some(bit_rate) = changed {
            self.set_encoder(element, bit_rate);
        }
        self.pad.suit_picture(self.steps.current());
        self.notice_excess(element);
        self.thin(Some(allocation));
        self.tell(element);
    }

    /// Leaves out frames that do not fit, if nobody makes them smaller, or not in time.
    fn thin(&mut self, allocation: Option<Allocation>) {
        let (Some(allocation), Some(status)) = (allocation, self.status) else {
            self.pass_through = PassThrough::default();
            return self.pad.set_thinning(None);
        };
        let granted = allocation.encoder;
        if self.follower() != Follower::Thinning {
            self.pass_through = PassThrough::default();
            return self.set_thinning(status.thins_encoder_to(granted));
        }
        let incoming = self.pad.incoming_rate();
        let now = self.origin.elapsed();
        let thinned = self.pass_through.thin(status, granted, incoming, now);
        self.set_thinning(thinned);
    }

    fn set_thinning(&mut self, target: Option<u64>) {
        if target.is_some() {
            self.thinned = Some(Instant::now());
        }
        self.pad.set_thinning(target);
    }

    fn set_encoder(&mut self, element: &gst::Element, bit_rate: u64) {
        let Some(encoder) = &self.encoder else {
            return;
        };
        let why = match encoder.set(bit_rate) {
            Ok(()) => return self.tell_takeover(element, bit_rate),
            Err(EncoderError::UserChanged) => return self.take_ceiling(element),
            Err(EncoderError::Bound) => "a control binding sets it",
            Err(EncoderError::Refused) => "it does not take the value",
        };
        let text = format!(
            "The bit rate of {} can't be set: {why}. So frames are left out when the network \
             carries less.",
            encoder.factory()
        );
        self.thin_instead(element, &text);
    }

    fn tell_takeover(&mut self, element: &gst::Element, bit_rate: u64) {
        if let Some(encoder) = &self.encoder
            && self.pad.own_encoder_settings().is_none()
            && !std::mem::replace(&mut self.told.takes_over, true)
        {
            bus_messages::post_takes_over(element, encoder.factory(), bit_rate, self.ceiling());
        }
    }

    fn notice_excess(&mut self, element: &gst::Element) {
        let sent = self.pad.traffic().map_or(0, |traffic| traffic.bit_rate);
        let target = self.steps.current();
        let now = self.origin.elapsed();
        if self.obedience.follows(sent, target, now) || self.follower() == Follower::Thinning {
            return;
        }
        let text = format!(
            "The video has {} kbit/s though {} was told {}, so frames are left out when the \
             network carries less.",
            sent / 1000,
            self.follower.name(),
            target / 1000
        );
        self.thin_instead(element, &text);
    }

    fn thin_instead(&mut self, element: &gst::Element, text: &str) {
        self.gave_up = true;
        if !std::mem::replace(&mut self.told.gives_up, true) {
            bus_messages::post_warning(element, text);
        }
    }

    /// Tells the bus once when the network narrows the video, and once when it is wide
    /// again.
    fn tell(&mut self, element: &gst::Element) {
        // The target of a stream that passes whole says nothing of it.
        let incoming = self.pad.incoming_rate();
        let needed = incoming.filter(|_| self.follower() == Follower::Thinning);
        let target = match needed {
            Some(needed) if !self.pass_through.is_narrow() => needed.max(self.narrowing.highest()),
            _ => self.steps.current(),
        };
        // An encoder that chooses its bit rate does not say what it wants.
        let follows = matches!(self.follower(), Follower::Encoder(_));
        let is_told = |encoder: &&Encoder| follows && encoder.users() > 0;
        let wanted = self
            .encoder
            .as_ref()
            .filter(is_told)
            .map(|_| self.ceiling());
        match self.narrowing.news(target, wanted, self.origin.elapsed()) {
            Some(NetworkNews::Narrowed { from, to }) => {
                bus_messages::post_narrowed(element, from, to, self.follower().name());
            }
            Some(NetworkNews::Widened { to }) => bus_messages::post_widened(element, to),
            None => {}
        }
    }
}
