//! The pictures of the black filler: one every second, encoded in advance.
//!
//! ```text
//! BlackSource ──► rtph264pay ──► webrtcbin
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection};

use super::element_removal::remove_element;
use crate::ivs::{BLACK_INTERVAL, BLACK_SIZE};
use crate::media::black_picture;

/// The elements that send on the section of a black filler.
pub(crate) struct Black {
    source: gst::Element,
    payloader: gst::Element,
}

impl Black {
    /// Makes the section and the elements that send on it. They send nothing before
    /// [`Self::start`], as nothing may be sent before the connection is up.
    pub(crate) fn new(
        bin: &gst::Bin,
        webrtcbin: &gst::Element,
        caps: &gst::Caps,
        ssrc: u32,
    ) -> Result<Self, glib::BoolError> {
        let sink = webrtcbin
            .request_pad_simple("sink_%u")
            .ok_or_else(|| glib::bool_error!("webrtcbin gives no pad"))?;
        let transceiver: WebRTCRTPTransceiver = sink.property("transceiver");
        transceiver.set_direction(WebRTCRTPTransceiverDirection::Sendonly);
        // webrtcbin writes the section from these, before any packet comes.
        sink.send_event(gst::event::StreamStart::new("black"));
        sink.send_event(gst::event::Caps::new(caps));
        let payload = caps
            .structure(0)
            .and_then(|caps| caps.get::<i32>("payload").ok())
            .and_then(|payload| u32::try_from(payload).ok())
            .ok_or_else(|| glib::bool_error!("the filler has no payload type"))?;
        let black = Self {
            source: glib::Object::new::<BlackSource>().upcast(),
            payloader: gst::ElementFactory::make("rtph264pay")
                .property("pt", payload)
                .property("ssrc", ssrc)
                .build()?,
        };
        black
            .link(bin, &sink)
            .inspect_err(|_| black.remove_element())?;
        Ok(black)
    }

    fn link(&self, bin: &gst::Bin, sink: &gst::Pad) -> Result<(), glib::BoolError> {
        for element in self.elements() {
            // It starts only in `start`, whatever the bin's state.
            element.set_locked_state(true);
            bin.add(element)?;
        }
        self.source.link(&self.payloader)?;
        let out = self
            .payloader
            .static_pad("src")
            .ok_or_else(|| glib::bool_error!("the payloader has no pad"))?;
        out.link(sink)
            .map_err(|error| glib::bool_error!("webrtcbin does not link: {error}"))?;
        Ok(())
    }

    /// Starts to send.
    pub(crate) fn start(&self) {
        for element in self.elements().into_iter().rev() {
            element.set_locked_state(false);
            // A failure is an error on the bus.
            let _ = element.sync_state_with_parent();
        }
    }

    /// Removes both elements from the bin. Can be called more than once.
    pub(crate) fn remove_element(&self) {
        self.elements().into_iter().for_each(remove_element);
    }

    pub(crate) fn owns(&self, object: &gst::Object) -> bool {
        let own = |element: &&gst::Element| element.upcast_ref::<gst::Object>() == object;
        self.elements().iter().any(own)
    }

    fn elements(&self) -> [&gst::Element; 2] {
        [&self.source, &self.payloader]
    }
}

glib::wrapper! {
    /// A live source of black pictures. Not registered, so no application can make one.
    struct BlackSource(ObjectSubclass<BlackSourceImp>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

/// The instance of a [`BlackSource`].
#[derive(Default)]
struct BlackSourceImp {
    count: AtomicU64,
    wait: Mutex<Wait>,
}

/// State of the wait for the next picture.
#[derive(Default)]
struct Wait {
    on: Option<gst::SingleShotClockId>,
    is_over: bool,
}

impl BlackSourceImp {
    fn lock(&self) -> MutexGuard<'_, Wait> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits on the system's clock: a pipeline may have no clock, or one that
    /// jumps. The base class ends the wait early when the source stops and, in
    /// GStreamer 1.26 but not in 1.22, when it pauses.
    fn wait_for_the_next(&self) {
        let clock = gst::SystemClock::obtain();
        let id = clock.new_single_shot_id(clock.time() + interval());
        {
            let mut wait = self.lock();
            if wait.is_over {
                return;
            }
            wait.on = Some(id.clone());
        }
        // An ended wait is no error: see `create`.
        let _ = id.wait();
        self.lock().on = None;
    }
}

#[glib::object_subclass]
impl ObjectSubclass for BlackSourceImp {
    const NAME: &'static str = "GstIvsWhipSinkBlackSource";
    type Type = BlackSource;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for BlackSourceImp {
    fn constructed(&self) {
        self.parent_constructed();
        let source = self.obj();
        source.set_live(true);
        source.set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for BlackSourceImp {}

impl ElementImpl for BlackSourceImp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
            std::sync::LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Black pictures",
                    "Source/Video",
                    "Black H.264 pictures that need no encoder",
                    "The gst-plugin-ivs authors",
                )
            });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
            std::sync::LazyLock::new(|| {
                let template = gst::PadTemplate::new(
                    "src",
                    gst::PadDirection::Src,
                    gst::PadPresence::Always,
                    &picture_caps(),
                );
                template.into_iter().collect()
            });
        &TEMPLATES
    }
}

impl BaseSrcImpl for BlackSourceImp {
    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        let waits_on = {
            let mut wait = self.lock();
            wait.is_over = true;
            wait.on.take()
        };
        if let Some(id) = waits_on {
            id.unschedule();
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.lock().is_over = false;
        Ok(())
    }
}

impl PushSrcImpl for BlackSourceImp {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        let number = self.count.load(Ordering::Relaxed);
        if number > 0 {
            // If the base class ended the wait, it keeps the picture through the pause
            // or drops it. An error would end the streaming task, and after a pause
            // the base class starts it before it ends.
            self.wait_for_the_next();
        }
        self.count.store(number + 1, Ordering::Relaxed);
        let now = self.obj().current_running_time();
        let mut buffer = gst::Buffer::from_slice(black_picture(number));
        if let Some(buffer) = buffer.get_mut() {
            // Without a clock the time is counted in pictures.
            buffer.set_pts(now.unwrap_or(interval() * number));
            buffer.set_duration(interval());
        }
        Ok(CreateSuccess::NewBuffer(buffer))
    }
}

fn interval() -> gst::ClockTime {
    BLACK_INTERVAL.try_into().unwrap_or(gst::ClockTime::SECOND)
}

fn picture_caps() -> gst::Caps {
    gst::Caps::builder("video/x-h264")
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .field("profile", "constrained-baseline")
        .field("level", "3.1")
        .field("width", BLACK_SIZE.0 as i32)
        .field("height", BLACK_SIZE.1 as i32)
        .field("framerate", gst::Fraction::new(1, 1))
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;
    use std::time::Duration;

    use super::*;

    /// Told of each buffer that arrives at the sink `out`.
    fn arrivals(pipeline: &gst::Bin) -> Receiver<gst::Buffer> {
        let (sender, arrived) = std::sync::mpsc::channel();
        let out = pipeline.by_name("out").unwrap();
        out.connect("handoff", false, move |values| {
            let _ = sender.send(values[1].get().unwrap());
            None
        });
        arrived
    }

    #[test]
    fn a_wait_that_the_base_class_ends_does_not_end_the_stream() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = glib::Object::new::<BlackSource>();
        let sink = gst::ElementFactory::make("fakesink")
            .name("out")
            .property("signal-handoffs", true)
            .build()
            .unwrap();
        pipeline.add_many([source.upcast_ref(), &sink]).unwrap();
        source.link(&sink).unwrap();
        let pictures = arrivals(pipeline.upcast_ref());
        pipeline.set_state(gst::State::Playing).unwrap();
        for _ in 0..3 {
            pictures.recv_timeout(Duration::from_secs(5)).unwrap();
            // Like a pause that is over before the streaming thread notices.
            while source.imp().lock().on.is_none() {
                std::thread::yield_now();
            }
            source.imp().unlock().unwrap();
            source.imp().unlock_stop().unwrap();
        }
        let picture = pictures.recv_timeout(Duration::from_secs(5));
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(picture.is_ok());
    }

    /// The frames that a decoder makes of four of these pictures, in I420.
    fn decoded(decoder: &str) -> Vec<Vec<u8>> {
        let stream: Vec<u8> = (0..4).flat_map(black_picture).collect();
        let file = std::env::temp_dir().join(format!("{decoder}-{}.h264", std::process::id()));
        std::fs::write(&file, stream).unwrap();
        let pipeline = gst::parse::launch(&format!(
            "filesrc location={} ! h264parse ! {decoder} ! videoconvert ! \
             video/x-raw,format=I420 ! fakesink name=out signal-handoffs=true",
            file.display()
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let frames = arrivals(pipeline.upcast_ref());
        pipeline.set_state(gst::State::Playing).unwrap();
        let message = pipeline.bus().unwrap().timed_pop_filtered(
            gst::ClockTime::from_seconds(10),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        pipeline.set_state(gst::State::Null).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(message.unwrap().type_(), gst::MessageType::Eos);
        let bytes = |frame: gst::Buffer| frame.map_readable().unwrap().to_vec();
        frames.try_iter().map(bytes).collect()
    }

    #[test]
    fn decoders_see_nothing_but_black() {
        gst::init().unwrap();
        let (width, height) = (BLACK_SIZE.0 as usize, BLACK_SIZE.1 as usize);
        for decoder in ["openh264dec", "avdec_h264"] {
            // avdec_h264 is in a package that nothing else here needs.
            if decoder == "avdec_h264" && gst::ElementFactory::find(decoder).is_none() {
                continue;
            }
            let frames = decoded(decoder);
            assert_eq!(frames.len(), 4, "{decoder}");
            for frame in frames {
                let (luma, chroma) = frame.split_at(width * height);
                assert!(luma.iter().all(|value| *value == 16), "{decoder}");
                assert_eq!(chroma.len(), width * height / 2);
                assert!(chroma.iter().all(|value| *value == 128), "{decoder}");
            }
        }
    }
}
