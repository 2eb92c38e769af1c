//! The element by which pictures come into the chain for raw video.
//!
//! It mends or leaves out what the elements behind would choke on, lets pictures pass only
//! while the stream may leave, and repeats the last picture of a source that is slower than
//! a stage wants, or that sends one only when something changes. videorate can't do the
//! latter: it makes nothing before the next picture comes. Not registered, so no
//! application can make one.

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::super::pad_stream::PadStream;
use super::encoder_watch::EncoderWatch;
use super::picture_repeats::Repeats;
use super::raw_buffers::SizeCheck;
use super::timestamps::PictureTimes;
use crate::element::log::CAT;

glib::wrapper! {
    /// The first element of the chain for raw video.
    pub(super) struct PictureRepeater(ObjectSubclass<PictureRepeaterImp>)
        @extends gst::Element, gst::Object;
}

/// What decides which pictures pass, and learns of it.
pub(super) struct Passage {
    pub(super) stream: Arc<PadStream>,
    pub(super) sizes: Arc<SizeCheck>,
    pub(super) watch: Arc<EncoderWatch>,
}

impl PictureRepeater {
    pub(super) fn new() -> Self {
        glib::Object::new()
    }

    /// Before the first picture.
    pub(super) fn begin(&self, passage: Passage) {
        // Fails only if it was set before.
        let _ = self.imp().passage.set(passage);
    }

    /// Sets when pictures are repeated, if they are.
    pub(super) fn set_repeats(&self, repeats: Option<Repeats>) {
        self.imp().shared.change(|state| state.repeats = repeats);
    }
}

/// What the streaming thread and the one that repeats share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    repeats: Option<Repeats>,
    /// Kept only while pictures are repeated: a source may have few buffers.
    last: Option<LastPicture>,
    is_playing: bool,
    has_ended: bool,
    has_thread: bool,
}

struct LastPicture {
    picture: gst::Buffer,
    arrived: Instant,
    /// The number of the next repeat.
    next: u32,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    /// Waits until a repeat is due. Returns whether there will be more.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.has_ended {
                state.has_thread = false;
                return false;
            }
            let left = state.time_left();
            if left == Some(Duration::ZERO) {
                return true;
            }
            // Without anything to repeat, until something changes.
            let left = left.unwrap_or(Duration::from_secs(3600));
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The time until the next repeat.
    fn time_left(&self) -> Option<Duration> {
        let (repeats, last) = (self.repeats?, self.last.as_ref()?);
        let due = repeats.due(last.next).filter(|_| self.is_playing)?;
        Some(due.saturating_sub(last.arrived.elapsed()))
    }

    /// The repeat that is due.
    fn take_repeat(&mut self) -> Option<gst::Buffer> {
        let (repeats, last) = (self.repeats?, self.last.as_mut()?);
        let number = repeats.latest(last.next, last.arrived.elapsed());
        let number = number.filter(|_| self.is_playing)?;
        last.next = number.saturating_add(1);
        let mut picture = last.picture.copy();
        let later = gst::ClockTime::try_from(repeats.media_time(number)).ok();
        let pts = picture.pts().zip(later);
        let pts = pts.map(|(pts, later)| pts.saturating_add(later));
        picture.get_mut()?.set_pts(pts);
        Some(picture)
    }

    /// Goes on, after a pause, from where it was.
    fn resume(&mut self) {
        self.is_playing = true;
        if let (Some(repeats), Some(last)) = (self.repeats, &mut self.last) {
            let passed = repeats.media_time(last.next.saturating_sub(1));
            let arrived = Instant::now().checked_sub(passed);
            last.arrived = arrived.unwrap_or(last.arrived);
        }
    }
}

/// The instance of a [`PictureRepeater`].
pub(super) struct PictureRepeaterImp {
    sink: gst::Pad,
    source: gst::Pad,
    passage: OnceLock<Passage>,
    times: PictureTimes,
    shared: Arc<Shared>,
}

impl PictureRepeaterImp {
    fn take(&self, mut picture: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(passage) = self.passage.get() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if !passage.sizes.passes(&picture, &passage.stream) {
            return Ok(gst::FlowSuccess::Ok);
        }
        self.times.let_rise(&self.sink, &mut picture);
        self.keep(&picture);
        self.push(passage, picture)
    }

    /// Keeps a picture to repeat it, also one that may not leave now: a source may send
    /// no other before the session stands.
    fn keep(&self, picture: &gst::Buffer) {
        let mut state = self.shared.lock();
        if state.repeats.is_none() {
            return;
        }
        let last = LastPicture {
            picture: picture.clone(),
            arrived: Instant::now(),
            next: 1,
        };
        // Its release may call into another element.
        let before = state.last.replace(last);
        let has_thread = std::mem::replace(&mut state.has_thread, true);
        drop(state);
        drop(before);
        self.shared.changed.notify_all();
        if !has_thread {
            self.begin_repeating();
        }
    }

    fn begin_repeating(&self) {
        let (element, shared) = (self.obj().downgrade(), self.shared.clone());
        let name = std::thread::Builder::new().name("ivs-pictures".to_owned());
        let thread = name.spawn(move || {
            while shared.wait() {
                let Some(element) = element.upgrade() else {
                    return;
                };
                element.imp().repeat();
            }
        });
        if let Err(error) = thread {
            self.shared.lock().has_thread = false;
            gst::warning!(CAT, imp = self, "no pictures are repeated: {error}");
        }
    }

    fn repeat(&self) {
        // As if the picture had come in: no event or other picture comes in between.
        let _streaming = self.sink.stream_lock();
        let picture = self.shared.lock().take_repeat();
        if let (Some(mut picture), Some(passage)) = (picture, self.passage.get()) {
            self.times.let_rise(&self.sink, &mut picture);
            // What fails shows with the next picture that comes in.
            let _ = self.push(passage, picture);
        }
    }

    fn push(
        &self,
        passage: &Passage,
        picture: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if !passage.stream.is_open() {
            passage.watch.pause();
            return Ok(gst::FlowSuccess::Ok);
        }
        // An encoder that makes nothing of it is told otherwise.
        passage.stream.arrivals.note();
        self.source.push(picture)
    }

    fn event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::Segment => {
                self.times.restart();
                self.forget();
            }
            gst::EventType::StreamStart
            | gst::EventType::Caps
            | gst::EventType::FlushStop
            | gst::EventType::Eos => self.forget(),
            _ => {}
        }
        gst::Pad::event_default(&self.sink, Some(&*self.obj()), event)
    }

    /// Forgets the last picture, of a stream that is over or changes.
    fn forget(&self) {
        let before = self.shared.change(|state| state.last.take());
        drop(before);
    }

    /// Asks for one buffer more, if one is kept.
    fn query(&self, query: &mut gst::QueryRef) -> bool {
        let is_answered = gst::Pad::query_default(&self.sink, Some(&*self.obj()), query);
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
            && self.shared.lock().repeats.is_some()
        {
            let pools: Vec<_> = allocation.allocation_pools().collect();
            for (index, (pool, size, min, max)) in (0..).zip(pools) {
                let max = if max == 0 { 0 } else { max.saturating_add(1) };
                allocation.set_nth_allocation_pool(
                    index,
                    pool.as_ref(),
                    size,
                    min.saturating_add(1),
                    max,
                );
            }
        }
        is_answered
    }
}

static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
    let template = |name, direction| {
        let presence = gst::PadPresence::Always;
        gst::PadTemplate::new(name, direction, presence, &gst::Caps::new_any())
    };
    let templates = [
        template("sink", gst::PadDirection::Sink),
        template("src", gst::PadDirection::Src),
    ];
    templates.into_iter().flatten().collect()
});

#[glib::object_subclass]
impl ObjectSubclass for PictureRepeaterImp {
    const NAME: &'static str = "GstIvsPictureRepeater";
    type Type = PictureRepeater;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let proxy = gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION;
        let pad = |name, direction| match class.pad_template(name) {
            Some(template) => gst::Pad::builder_from_template(&template).flags(proxy),
            None => gst::Pad::builder(direction).name(name).flags(proxy),
        };
        Self {
            sink: pad("sink", gst::PadDirection::Sink)
                .chain_function(|_, parent, picture| {
                    let failed = || Err(gst::FlowError::Error);
                    Self::catch_panic_pad_function(parent, failed, |imp| imp.take(picture))
                })
                .event_function(|_, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |imp| imp.event(event))
                })
                .query_function(|_, parent, query| {
                    Self::catch_panic_pad_function(parent, || false, |imp| imp.query(query))
                })
                .build(),
            source: pad("src", gst::PadDirection::Src).build(),
            passage: OnceLock::new(),
            times: PictureTimes::default(),
            shared: Arc::default(),
        }
    }
}

impl ObjectImpl for PictureRepeaterImp {
    fn constructed(&self) {
        self.parent_constructed();
        // Fails only for names that are in use.
        let _ = self.obj().add_pad(&self.sink);
        let _ = self.obj().add_pad(&self.source);
    }
}

impl GstObjectImpl for PictureRepeaterImp {}

impl ElementImpl for PictureRepeaterImp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Picture repeater",
                "Filter/Video",
                "Repeats the last picture while a slow source sends none",
                "The ivswhipsink developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let change = |change: fn(&mut State)| self.shared.change(change);
        match transition {
            gst::StateChange::ReadyToPaused => change(|state| state.has_ended = false),
            gst::StateChange::PausedToPlaying => change(State::resume),
            gst::StateChange::PlayingToPaused => change(|state| state.is_playing = false),
            // Not waited for: its push ends with the pads.
            gst::StateChange::PausedToReady => {
                change(|state| state.has_ended = true);
                self.forget();
            }
            _ => {}
        }
        self.parent_change_state(transition)
    }
}
