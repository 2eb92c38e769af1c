//! The chain of one pad, and its replacement.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::super::encoder::Encoder;
use super::super::pad_stream::PadStream;
use super::super::rtp_sender::RtpSender;
use super::super::stream_format::CapsError;
use super::audio_clock::AudioClock;
use super::elements::factory_name;
use super::kind::MediaKind;
use super::media_chain::{Chain, Parts};
use super::metadata::Metadata;
use super::raw_buffers::SizeCheck;
use super::settings::ChainSettings;
use super::video_encoders::Refusal;
use crate::element::log::CAT;
use crate::element::signals;
use crate::media::AudioArrival;

/// The place of a chain between a pad's clocksync and its RTP sender.
pub(in super::super) struct PadChain {
    name: String,
    sync: gst::Element,
    sender: RtpSender,
    stream: Arc<PadStream>,
    metadata: Arc<Metadata>,
    sizes: Arc<SizeCheck>,
    audio: AudioClock,
    /// Whether a buffer has come in.
    is_fed: AtomicBool,
    /// Whether the last buffer did not pass.
    is_failing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` for RTP, and for media that can't be published.
    chain: Option<Arc<Chain>>,
    /// The factories of encoders that failed with media of this kind.
    failed: Vec<String>,
    /// The factories of encoders that were passed over, and of which the user was told.
    told: Vec<String>,
    /// What the session gives an own encoder, in bit/s.
    target: Option<u64>,
    /// Since when no buffer has passed.
    failing_since: Option<Instant>,
    /// Whether the pad has left the element.
    has_left: bool,
}

/// What comes in may fail to pass for so long.
const PATIENCE: Duration = Duration::from_secs(1);

impl PadChain {
    /// `name` is that of the pad.
    pub(in super::super) fn new(
        name: &str,
        sync: &gst::Element,
        sender: &RtpSender,
        stream: &Arc<PadStream>,
    ) -> Self {
        Self {
            name: format!("{name}-media"),
            sync: sync.clone(),
            sender: sender.clone(),
            stream: stream.clone(),
            metadata: Arc::default(),
            sizes: SizeCheck::new(name),
            audio: AudioClock::default(),
            is_fed: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Takes the caps of what comes in, ahead of the first buffer with them, and returns
    /// those with which it goes on. On the pad's streaming thread.
    pub(in super::super) fn take_caps(
        &self,
        bin: Option<&gst::Bin>,
        caps: &gst::CapsRef,
    ) -> Option<gst::Caps> {
        let bin = bin?;
        let kind = MediaKind::of(caps);
        if let Ok(kind) = &kind {
            self.sizes.set_format(kind);
            self.audio.set_format(kind);
        }
        let prepared = kind.and_then(|kind| {
            kind.track()
                .map_or(Ok(()), |track| self.stream.check(track))?;
            self.forgive_encoders(&kind);
            self.prepare(bin, kind)
        });
        match prepared {
            Ok(kind) => {
                let settings = ChainSettings::of(Some(bin.upcast_ref()));
                self.announce(&kind, &settings);
                kind.with_frame_rate(caps, settings.max_frame_rate)
            }
            Err(error) => {
                self.replace(bin, None);
                self.stream.refuse(error);
                None
            }
        }
    }

    /// Lets the timestamps of audio begin anew.
    pub(in super::super) fn restart_times(&self) {
        self.audio.restart();
    }

    /// Whether it mends the timestamps of what comes in.
    pub(in super::super) fn times_audio(&self) -> bool {
        self.audio.is_audio()
    }

    /// Whether to leave out audio that lies so far before its segment.
    pub(in super::super) fn leaves_out(
        &self,
        buffer: &gst::BufferRef,
        ahead: gst::ClockTime,
    ) -> bool {
        self.audio.leaves_out(buffer, ahead)
    }

    /// Mends the timestamp of audio, ahead of the elements that go by it. Returns whether
    /// anything is left of the buffer.
    pub(in super::super) fn time_audio(
        &self,
        buffer: &mut gst::Buffer,
        now: impl FnOnce() -> Option<AudioArrival>,
    ) -> bool {
        self.audio.mend(buffer, now)
    }

    fn announce(&self, kind: &MediaKind, settings: &ChainSettings) {
        if let Some(format) = kind.format(settings.max_frame_rate) {
            self.stream.announce(format);
        }
    }

    /// Replaces an encoder that does not work. On the pad's streaming thread.
    pub(in super::super) fn replace_failed_encoder(&self, bin: impl Fn() -> Option<gst::Bin>) {
        self.is_fed.store(true, Ordering::Release);
        let Some(chain) = self.chain() else {
            return;
        };
        let Parts::Video(video) = &chain.parts else {
            return;
        };
        if !video.watch.has_failed() {
            return;
        }
        let Some(bin) = &bin() else {
            return;
        };
        let name = factory_name(&video.encoder);
        let why = video.watch.failure().unwrap_or_default();
        self.lock().failed.push(name.clone());
        self.replace(bin, None);
        match self.prepare(bin, chain.kind.clone()) {
            Ok(kind) => {
                self.announce(&kind, &ChainSettings::of(Some(bin.upcast_ref())));
                let next = self.encoder().map(|encoder| factory_name(&encoder));
                let next = next.unwrap_or_default();
                let text = format!(
                    "The video encoder {name} does not work: {why}. {next} is used instead."
                );
                self.stream.warn_of_encoder(name, text);
            }
            Err(error) => {
                let text = format!("The video encoder {name} does not work: {why}.");
                self.stream.warn_of_encoder(name, text);
                self.stream.refuse(error);
            }
        }
    }

    /// Notes an error of an element. Returns whether it is one of the chain's.
    pub(in super::super) fn child_failed(&self, child: &gst::Object, text: &str) -> bool {
        let Some(chain) = self
            .chain()
            .filter(|chain| child.has_as_ancestor(&chain.bin))
        else {
            return false;
        };
        match (&chain.parts, chain.element_with(child)) {
            (Parts::Video(video), Some(element)) if element == video.encoder => {
                video.watch.fail(text.to_owned());
            }
            (_, Some(element)) => self.stream.refuse(failed_element(&chain, &element, text)),
            (_, None) => self.refuse_failed(text),
        }
        true
    }

    /// The encoded media that come in, of which nothing is made yet.
    pub(in super::super) fn unread(&self) -> Option<&'static str> {
        let is_fed = self.is_fed.load(Ordering::Acquire);
        match self.chain()?.kind {
            MediaKind::H264 if is_fed => Some("H.264"),
            MediaKind::Opus if is_fed => Some("Opus"),
            _ => None,
        }
    }

    /// Notes that the elements took what came in.
    pub(in super::super) fn flow_passed(&self) {
        if self.is_failing.swap(false, Ordering::AcqRel) {
            self.lock().failing_since = None;
        }
    }

    /// Notes that the elements did not take what came in. An element that was between two
    /// forms of caps takes the next buffer.
    pub(in super::super) fn flow_failed(&self, error: gst::FlowError) {
        let is_end = matches!(error, gst::FlowError::Flushing | gst::FlowError::Eos);
        match self.chain() {
            Some(_) if !is_end && !self.has_failed_for(PATIENCE) => {}
            Some(chain) if !is_end => match &chain.parts {
                // Its error message has come already.
                Parts::Video(video) if video.watch.has_failed() => {}
                Parts::Video(video) if !video.watch.has_made() => {
                    video
                        .watch
                        .fail(format!("its pictures do not pass ({error})"));
                }
                _ => self.refuse_failed(&error.to_string()),
            },
            _ => {}
        }
    }

    fn has_failed_for(&self, time: Duration) -> bool {
        self.is_failing.store(true, Ordering::Release);
        let since = *self.lock().failing_since.get_or_insert_with(Instant::now);
        since.elapsed() >= time
    }

    /// The video encoder, if the chain has one.
    pub(in super::super) fn encoder(&self) -> Option<gst::Element> {
        match &self.chain()?.parts {
            Parts::Video(video) => Some(video.encoder.clone()),
            _ => None,
        }
    }

    /// The bit rate of the video encoder, if that is known to follow.
    pub(in super::super) fn bit_rate(&self) -> Option<Encoder> {
        match &self.chain()?.parts {
            Parts::Video(video) => video.bit_rate.clone(),
            _ => None,
        }
    }

    /// The settings of the video encoder, as a launch line has them.
    pub(in super::super) fn encoder_settings(&self) -> Option<String> {
        match &self.chain()?.parts {
            Parts::Video(video) => Some(video.encoder_settings.clone()),
            _ => None,
        }
    }

    /// Begins with the whole picture, as a session does.
    pub(in super::super) fn begin_whole_picture(&self) {
        if let Some(Parts::Video(video)) = self.chain().as_deref().map(|chain| &chain.parts) {
            video.begin_whole();
        }
    }

    /// Suits the picture of an own encoder to its bit rate, with which one that replaces it
    /// begins.
    pub(in super::super) fn suit_picture(&self, bit_rate: u64) {
        self.lock().target = Some(bit_rate);
        if let Some(Parts::Video(video)) = self.chain().as_deref().map(|chain| &chain.parts) {
            video.fit_picture(bit_rate);
        }
    }

    /// Lets own encoders have what suits their pictures.
    pub(in super::super) fn forget_target(&self) {
        self.lock().target = None;
        if let Some(encoder) = self.bit_rate() {
            encoder.restore();
        }
    }

    /// The messages that go into the video, if its frames come in: encoded or raw.
    pub(in super::super) fn metadata(&self) -> Option<Arc<Metadata>> {
        let chain = self.chain()?;
        chain.kind.has_frames().then(|| self.metadata.clone())
    }

    /// Sets what share of the audio the far end misses, in percent.
    pub(in super::super) fn set_audio_loss(&self, percent: u8) {
        if let Some(Parts::Audio(audio)) = self.chain().as_deref().map(|chain| &chain.parts) {
            audio.set_loss(percent);
        }
    }

    /// Removes the elements, so that clocksync and sender are linked.
    pub(in super::super) fn clear(&self, bin: &gst::Bin) {
        self.replace(bin, None);
    }

    /// Forgets which encoders failed, what the session gave them, and the messages that wait.
    pub(in super::super) fn reset(&self) {
        self.is_fed.store(false, Ordering::Release);
        self.audio.restart();
        {
            let mut state = self.lock();
            state.failed.clear();
            state.told.clear();
            state.target = None;
        }
        self.metadata.clear();
    }

    /// Removes the chain from the bin.
    pub(in super::super) fn leave(&self, bin: &gst::Bin) {
        let chain = {
            let mut state = self.lock();
            state.has_left = true;
            state.chain.take()
        };
        if let Some(chain) = chain {
            chain.leave(bin);
        }
    }

    fn refuse_failed(&self, text: &str) {
        self.stream.refuse(failed_chain(text));
    }

    /// Lets encoders that failed be tried again when media of another kind come, or media
    /// after none that could be published: a device may have been in use.
    fn forgive_encoders(&self, kind: &MediaKind) {
        let is_kept = |chain: Arc<Chain>| chain.kind.has_chain_of(kind);
        if !self.chain().is_some_and(is_kept) {
            self.lock().failed.clear();
        }
    }

    /// Makes the chain fit media of this kind.
    fn prepare(&self, bin: &gst::Bin, kind: MediaKind) -> Result<MediaKind, CapsError> {
        let settings = ChainSettings::of(Some(bin.upcast_ref()));
        let fits = |chain: &Arc<Chain>| chain.kind.has_chain_of(&kind) && !chain.has_failed();
        if let Some(chain) = self.chain().filter(fits) {
            chain.set_format(&kind, &settings);
        } else if let Some(chain) = self.begin_chain(bin, &kind, &settings)? {
            chain.begin(&kind, &settings, self.target());
        }
        Ok(kind)
    }

    /// Builds a chain and puts it in place. Of several encoders, the first that starts.
    fn begin_chain(
        &self,
        bin: &gst::Bin,
        kind: &MediaKind,
        settings: &ChainSettings,
    ) -> Result<Option<Arc<Chain>>, CapsError> {
        self.replace(bin, None);
        let mut stopped = Vec::new();
        loop {
            let chain = self.build(bin, kind, settings)?;
            let Some(error) = self.replace(bin, chain.clone()) else {
                self.tell_passed_over(chain.as_deref(), &stopped);
                return Ok(chain);
            };
            let failed = chain.filter(|_| !self.has_left());
            let failed = failed.map(|chain| (chain.element_that_fails(), chain));
            self.replace(bin, None);
            let Some((element, chain)) = failed else {
                return Err(failed_chain(&error.message));
            };
            match (&chain.parts, element) {
                // One that has failed once only, as a device that was busy, is the encoder
                // too.
                (Parts::Video(video), element)
                    if element
                        .as_ref()
                        .is_none_or(|element| *element == video.encoder) =>
                {
                    let name = factory_name(&video.encoder);
                    stopped.push(Refusal::new(&name, "does not start"));
                    self.lock().failed.push(name);
                }
                (_, Some(element)) => {
                    return Err(failed_element(&chain, &element, "it does not start"));
                }
                (_, None) => return Err(failed_chain(&error.message)),
            }
        }
    }

    /// Warns of the encoders that were tried before the one that is used, once of each.
    fn tell_passed_over(&self, chain: Option<&Chain>, stopped: &[Refusal]) {
        let Some(Parts::Video(video)) = chain.map(|chain| &chain.parts) else {
            return;
        };
        let used = factory_name(&video.encoder);
        for refusal in video.passed_over.iter().chain(stopped) {
            if self.note_told(&refusal.factory) {
                let text = format!("The video encoder {refusal}. {used} is used instead.");
                self.stream.warn_of_encoder(refusal.factory.clone(), text);
            }
        }
    }

    /// Returns whether it is the first time.
    fn note_told(&self, factory: &str) -> bool {
        let mut state = self.lock();
        let is_first = !state.told.iter().any(|told| told == factory);
        if is_first {
            state.told.push(factory.to_owned());
        }
        is_first
    }

    fn build(
        &self,
        bin: &gst::Bin,
        kind: &MediaKind,
        settings: &ChainSettings,
    ) -> Result<Option<Arc<Chain>>, CapsError> {
        let failed = self.lock().failed.clone();
        let setup = |encoder: &gst::Element| signals::set_up_encoder(bin.upcast_ref(), encoder);
        let chain = Chain::new(&self.name, kind, settings, &failed, &setup)?;
        if let Some(chain) = &chain {
            chain.watch_buffers(&self.stream, &self.sizes);
        }
        if let Some(chain) = chain.as_ref().filter(|chain| chain.kind.has_frames()) {
            self.metadata.insert_into(&chain.bin, &self.stream);
        }
        Ok(chain.map(Arc::new))
    }

    /// Puts a chain in place of the one that is there; `None` links clocksync and sender.
    /// Returns what failed.
    fn replace(&self, bin: &gst::Bin, chain: Option<Arc<Chain>>) -> Option<glib::BoolError> {
        let (before, has_left) = {
            let mut state = self.lock();
            // A handler of `encoder-setup` may have released the pad.
            let kept = chain.clone().filter(|_| !state.has_left);
            (std::mem::replace(&mut state.chain, kept), state.has_left)
        };
        if has_left && let Some(chain) = &chain {
            chain.leave(bin);
            return Some(glib::bool_error!("the pad was released"));
        }
        if let (None, None) = (&before, &chain) {
            return None;
        }
        let source = self.sync.static_pad("src");
        if let Some(source) = &source
            && let Some(peer) = source.peer()
        {
            let _ = source.unlink(&peer);
        }
        if let Some(before) = before {
            before.leave(bin);
        }
        let linked = match &chain {
            None => self.sync.link_pads(Some("src"), &self.sender, Some("sink")),
            Some(chain) => chain.enter(bin, &self.sync, &self.sender),
        };
        linked
            .inspect_err(|error| gst::warning!(CAT, obj = self.sync, "{}", error.message))
            .err()
    }

    fn target(&self) -> Option<u64> {
        self.lock().target
    }

    fn has_left(&self) -> bool {
        self.lock().has_left
    }

    fn chain(&self) -> Option<Arc<Chain>> {
        self.lock().chain.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed_element(chain: &Chain, element: &gst::Element, why: &str) -> CapsError {
    let name = factory_name(element);
    match chain.kind.converters().contains(&name.as_str()) {
        true => CapsError::Chain(format!(
            "{name}, which brings the pictures to system memory, failed: {why}; check its device \
             and driver, or bring them there with an element before the pad"
        )),
        false => failed_chain(&format!("{name}: {why}")),
    }
}

fn failed_chain(text: &str) -> CapsError {
    CapsError::Chain(format!(
        "the elements that prepare it failed: {text}; check that the caps upstream say what the \
         buffers hold"
    ))
}
