//! Encoded media: what a stage accepts is packetized, anything else is refused with the
//! element that makes it right.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use ivs_stage::{Kind, Stage};

use crate::harness::{Publisher, decodable, excess, stage, wait_section};

const H264: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=500 \
     ! video/x-h264,profile=constrained-baseline ";
const SMALL: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1 ";
const SOUND: &str = "audiotestsrc is-live=true ";
const NOISE: &str = "fakesrc is-live=true format=time do-timestamp=true filltype=random \
     sizetype=random sizemax=3000 datarate=100000 ";

#[test]
fn h264_in_every_form() {
    for form in [
        "stream-format=avc,alignment=au",
        "stream-format=byte-stream,alignment=au",
        "stream-format=byte-stream,alignment=nal",
        "stream-format=avc3,alignment=au",
        // Without saying which.
        "stream-format=byte-stream ! capssetter replace=true caps=video/x-h264,framerate=30/1",
    ] {
        let stage = stage();
        let launch = format!("{H264} ! h264parse ! video/x-h264,{form} ! whip. ");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 30);
        assert_eq!((video.size, video.lost), (Some((320, 240)), 0), "{form}");
    }
}

/// A camera's driver or a demuxer may give none, the same again, or begin anew.
#[test]
fn timestamps_that_are_missing_equal_or_running_back() {
    // Milliseconds after the first one.
    type Times = fn(u64) -> Option<u64>;
    let times: [Times; 3] = [|_| None, |_| Some(0), |number| Some(number % 40 * 33)];
    for form in ["alignment=au", "alignment=nal"] {
        for times in times {
            let stage = stage();
            let launch = format!(
                "{H264} ! h264parse ! video/x-h264,stream-format=byte-stream,{form} \
                 ! identity name=source ! whip. "
            );
            let mut publisher = Publisher::to_stage(&launch, &stage);
            let source = publisher.pipeline.by_name("source").unwrap();
            let (first, number) = (OnceLock::new(), AtomicU64::new(0));
            let pad = source.static_pad("src").unwrap();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                let buffer = info.buffer_mut().unwrap();
                let ends = buffer.flags().contains(gst::BufferFlags::MARKER);
                let number = number.fetch_add(u64::from(ends), Ordering::SeqCst);
                let buffer = buffer.make_mut();
                let first = *first.get_or_init(|| buffer.pts().unwrap());
                let time = times(number).map(gst::ClockTime::from_mseconds);
                buffer.set_pts(time.map(|time| first + time));
                buffer.set_dts(None);
                gst::PadProbeReturn::Ok
            });
            publisher.play();
            publisher.wait_state("publishing");
            let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 60);
            let rate = video.video.as_ref().unwrap().frame_rate.unwrap_or(0.0);
            assert!((20.0..40.0).contains(&rate), "{form}: {video:?}");
            assert_eq!(video.lost, 0);
            let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
            assert!(!publisher.messages().iter().any(is_warning));
        }
    }
}

#[test]
fn opus_whose_timestamps_are_missing_equal_or_running_back() {
    // Milliseconds after the first one.
    type Times = fn(u64) -> Option<u64>;
    let times: [Times; 3] = [|_| None, |_| Some(0), |number| Some(number % 40 * 20)];
    for times in times {
        let stage = stage();
        let launch = format!("{SOUND} ! opusenc ! identity name=source ! whip. ");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        let source = publisher.pipeline.by_name("source").unwrap();
        let (first, number) = (OnceLock::new(), AtomicU64::new(0));
        let pad = source.static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer_mut().unwrap().make_mut();
            let first = *first.get_or_init(|| buffer.pts().unwrap());
            let number = number.fetch_add(1, Ordering::SeqCst);
            let time = times(number).map(gst::ClockTime::from_mseconds);
            buffer.set_pts(time.map(|time| first + time));
            buffer.set_dts(None);
            gst::PadProbeReturn::Ok
        });
        publisher.play();
        publisher.wait_state("publishing");
        let audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 250);
        assert!(excess(&audio).abs() < 0.3 && audio.lost == 0, "{audio:?}");
        let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
        assert!(!publisher.messages().iter().any(is_warning));
    }
}

#[test]
fn opus_also_out_of_ogg() {
    let file = made(
        "ogg",
        "media.ogg",
        "audiotestsrc num-buffers=600 ! opusenc ! oggmux",
    );
    let bytes = std::fs::read(&file).unwrap();
    // 80 ms of pre-skip, as encoders write it for a seek, and the whole of a file's beginning.
    for pre_skip in [3840, 48_000] {
        let name = format!("pre-skip-{pre_skip}.ogg");
        std::fs::write(file.with_file_name(name), with_pre_skip(&bytes, pre_skip)).unwrap();
    }
    let folder = file.parent().unwrap();
    let muxed = |name| format!("filesrc location={}/{name} ! oggdemux", folder.display());
    for launch in [
        format!("{SOUND} ! opusenc"),
        format!("{SOUND} ! opusenc ! oggmux ! oggdemux"),
        muxed("media.ogg"),
        muxed("pre-skip-3840.ogg"),
        muxed("pre-skip-48000.ogg"),
    ] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(&format!("{launch} ! whip. "), &stage);
        publisher.play();
        publisher.wait_state("publishing");
        let audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 150);
        // A page has up to a second.
        let is_on_time = excess(&audio).abs() < 1.1;
        assert!(is_on_time && audio.lost == 0, "{launch}: {audio:?}");
        let media = (audio.packets - 1) as f64 * 0.02;
        assert!((audio.seconds - media).abs() < 0.021, "{launch}: {audio:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// A file of Ogg whose OpusHead, on its first page, has this pre-skip (RFC 7845 5.1).
fn with_pre_skip(file: &[u8], pre_skip: u16) -> Vec<u8> {
    let mut file = file.to_vec();
    let head = file
        .windows(8)
        .position(|bytes| bytes == b"OpusHead")
        .unwrap();
    file[head + 10..head + 12].copy_from_slice(&pre_skip.to_le_bytes());
    // A page begins with 27 bytes and its segments' sizes (RFC 3533 6).
    let segments = usize::from(file[26]);
    let sizes: usize = file[27..27 + segments]
        .iter()
        .copied()
        .map(usize::from)
        .sum();
    let page = &mut file[..27 + segments + sizes];
    page[22..26].fill(0);
    let checksum = page.iter().fold(0_u32, |sum, byte| {
        let sum = sum ^ (u32::from(*byte) << 24);
        (0..8).fold(sum, |sum, _| match sum >> 31 {
            1 => (sum << 1) ^ 0x04c1_1db7,
            _ => sum << 1,
        })
    });
    page[22..26].copy_from_slice(&checksum.to_le_bytes());
    file
}

#[test]
fn what_a_stage_does_not_accept_is_one_error_with_a_cure() {
    for (launch, words) in [
        (
            format!("{SMALL} ! x265enc tune=zerolatency speed-preset=ultrafast"),
            "avdec_h265",
        ),
        (format!("{SMALL} ! vp8enc deadline=1"), "vp8dec"),
        (format!("{SOUND} ! voaacenc"), "decodebin"),
        (
            format!("{SOUND} ! audio/x-raw,channels=6,channel-mask=(bitmask)0x3f ! opusenc"),
            "opusdec",
        ),
        (
            format!("{NOISE} ! video/x-h264,stream-format=avc,alignment=au,codec_data=(buffer)00"),
            "caps",
        ),
    ] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(&format!("{launch} ! whip. "), &stage);
        publisher.play();
        let error = publisher.wait_error();
        assert_eq!(error.source, "whip", "{error:?}");
        assert!(error.text().contains(words), "{error:?}");
        assert!(error.text().starts_with("Pad sink_0 "), "{error:?}");
        assert!(error.is(gst::ResourceError::Settings), "{error:?}");
        publisher.stop();
        let is_error = |message: &&gst::Message| message.type_() == gst::MessageType::Error;
        assert_eq!(publisher.messages().iter().filter(is_error).count(), 1);
    }
}

#[test]
fn noise_in_place_of_h264_is_told() {
    let stage = stage();
    let caps = "video/x-h264,stream-format=byte-stream,alignment=au";
    let mut publisher = Publisher::to_stage(&format!("{NOISE} ! {caps} ! whip. "), &stage);
    publisher.play();
    let warning = publisher.wait_warning();
    let words = "what comes in at sink_0 can't be read as H.264";
    assert!(warning.contains(words), "{warning}");
}

#[test]
fn cut_access_units_do_not_stop_the_picture() {
    for share in [2, 0] {
        access_units_are_cut(share);
    }
}

/// Leaves one of `share` of some; nothing of them if that is 0.
fn access_units_are_cut(share: usize) {
    let stage = stage();
    let launch = format!("{H264} ! identity name=cut ! whip. ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    cut(&publisher, move |number, size| match number % 20 {
        13 => size.checked_div(share).unwrap_or(0),
        _ => size,
    });
    publisher.play();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 5);
    assert_eq!(stage.sessions().len(), 1);
}

#[test]
fn opus_without_bytes_does_not_stop_the_sound() {
    for (launch, rest) in [("opusenc", 0), ("opusenc ! rtpopuspay", 12)] {
        let stage = stage();
        let launch = format!("{SOUND} ! {launch} ! identity name=cut ! whip. ");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        cut(&publisher, move |number, size| match number % 5 {
            3 => rest,
            _ => size,
        });
        publisher.play();
        publisher.wait_state("publishing");
        let audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 80);
        assert_eq!((audio.lost, stage.sessions().len()), (0, 1));
        // Those of opusenc are all of 160 bytes or more.
        assert!(audio.bytes >= 160 * audio.packets, "{audio:?}");
        let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
        assert!(!publisher.messages().iter().any(is_warning));
    }
}

#[test]
fn opus_that_is_always_without_bytes_is_told() {
    let stage = stage();
    let launch = format!("{SOUND} ! opusenc ! identity name=cut ! whip. ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    cut(&publisher, |_, _| 0);
    publisher.play();
    let warning = publisher.wait_warning();
    let words = "what comes in at sink_0 can't be read as Opus";
    assert!(warning.contains(words), "{warning}");
}

/// Cuts the buffers that leave `cut` to what `rest` makes of their number and size.
fn cut(publisher: &Publisher, rest: impl Fn(u64, usize) -> usize + Send + Sync + 'static) {
    let cut = publisher.pipeline.by_name("cut").unwrap();
    let counter = AtomicU64::new(0);
    let source = cut.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let rest = rest(number, buffer.size());
            if rest < buffer.size() {
                buffer.make_mut().set_size(rest);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Makes a file of two seconds with H.264 and AAC. The caller removes the folder.
fn file(name: &str) -> PathBuf {
    made(
        name,
        "media.mp4",
        "videotestsrc num-buffers=90 ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc speed-preset=ultrafast bframes=0 key-int-max=15 \
         ! video/x-h264,profile=baseline ! mux. \
         audiotestsrc num-buffers=130 ! voaacenc ! mux. mp4mux name=mux",
    )
}

/// Makes a file of a minute with a picture, and with a sound in mono and one in stereo. The
/// caller removes the folder.
fn file_of_two_sounds(name: &str) -> PathBuf {
    made(
        name,
        "media.mkv",
        "audiotestsrc num-buffers=3000 ! audio/x-raw,rate=48000,channels=1 ! opusenc ! queue \
         ! mux. audiotestsrc num-buffers=3000 ! audio/x-raw,rate=48000,channels=2 ! vorbisenc \
         ! queue ! mux. videotestsrc num-buffers=640 \
         ! video/x-raw,width=160,height=160,framerate=10/1 \
         ! x264enc speed-preset=ultrafast bframes=0 key-int-max=10 \
         ! video/x-h264,profile=baseline ! queue ! mux. matroskamux name=mux",
    )
}

fn made(folder: &str, name: &str, launch: &str) -> PathBuf {
    crate::harness::init();
    let folder = std::env::temp_dir().join(format!("ivswhipsink-{folder}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    let launch = format!("{launch} ! filesink location={}", file.display());
    let pipeline = gst::parse::launch(&launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &end);
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    file
}

#[test]
fn a_file_through_uridecodebin_and_decodebin() {
    let file = file("decode");
    let path = file.display();
    for source in [
        format!("uridecodebin uri=file://{path} name=d"),
        format!("filesrc location={path} ! decodebin name=d"),
    ] {
        let stage = stage();
        let launch = format!("{source} d. ! queue ! whip. d. ! queue ! whip. ");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        publisher.wait_eos();
        publisher.stop();
        let video = wait_section(&stage, Kind::Video, |_| true);
        let audio = wait_section(&stage, Kind::Audio, |_| true);
        // A session begins some time after the file.
        assert!(
            decodable(&video) > 20 && audio.packets > 30,
            "{video:?} {audio:?}"
        );
        assert_eq!(stage.sessions().len(), 1);
    }
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn a_film_without_sound_on_the_way_of_one_with_sound() {
    let film = made(
        "without-sound",
        "film.mp4",
        "videotestsrc num-buffers=60 ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc key-int-max=15 bframes=0 ! video/x-h264,profile=constrained-baseline \
         ! mp4mux",
    );
    let stage = stage();
    let launch = format!(
        "uridecodebin uri=file://{} name=d d. ! queue ! whip. d. ! queue ! whip. ",
        film.display()
    );
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    let since_playing = publisher.wait_state("publishing");
    assert!(
        since_playing < gst::ClockTime::from_seconds(4),
        "{since_playing}"
    );
    publisher.wait_eos();
    publisher.stop();
    wait_section(&stage, Kind::Video, |video| decodable(video) > 20);
    std::fs::remove_dir_all(film.parent().unwrap()).unwrap();
}

/// The streams of a film that are not sound, and the sounds.
fn streams(publisher: &mut Publisher) -> (Vec<String>, Vec<String>) {
    let all = publisher.wait("streams", |message| match message.view() {
        gst::MessageView::StreamCollection(message) => Some(message.stream_collection()),
        _ => None,
    });
    let is_sound = |stream: &gst::Stream| stream.stream_type().contains(gst::StreamType::AUDIO);
    let (sounds, others): (Vec<_>, Vec<_>) = all.iter().partition(is_sound);
    let ids = |streams: Vec<gst::Stream>| {
        let ids = streams.iter().map(|stream| stream.stream_id().unwrap());
        ids.map(String::from).collect()
    };
    (ids(others), ids(sounds))
}

/// The channels of the sound that the element encodes.
fn channels(publisher: &Publisher) -> Option<i32> {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let encoder = bin.iterate_all_by_element_factory_name("opusenc").next();
    let caps = encoder.ok()??.static_pad("sink")?.current_caps()?;
    caps.structure(0)?.get("channels").ok()
}

fn other_sounds_are_chosen(mut publisher: Publisher, stage: &Stage) {
    publisher
        .whip
        .set_property("whip-endpoint", stage.endpoint());
    publisher.whip.set_property("auth-token", stage.token());
    publisher.play();
    let (others, sounds) = streams(&mut publisher);
    publisher.wait_state("publishing");
    for number in [1, 0, 1] {
        let chosen = others.iter().chain([&sounds[number]]);
        let event = gst::event::SelectStreams::new(chosen.map(String::as_str));
        assert!(publisher.pipeline.send_event(event));
        let wanted = Some(number as i32 + 1);
        let audio = wait_section(stage, Kind::Audio, |_| channels(&publisher) == wanted);
        let more = audio.packets + 40;
        wait_section(stage, Kind::Audio, |audio| audio.packets >= more);
        assert_eq!(channels(&publisher), wanted);
    }
    let audio = wait_section(stage, Kind::Audio, |_| true);
    assert_eq!((audio.lost, stage.sessions().len()), (0, 1));
    let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
    assert!(!publisher.messages().iter().any(is_warning));
}

#[test]
fn another_sound_of_a_film_is_chosen_on_air() {
    let file = file_of_two_sounds("sounds");
    let uri = format!("file://{}", file.display());
    let stage_of_decodebin = stage();
    let launch = format!(
        "uridecodebin3 uri={uri} name=d d.audio_0 ! queue ! whip. d.video_0 ! queue ! whip. "
    );
    other_sounds_are_chosen(Publisher::new(&launch), &stage_of_decodebin);
    let stage_of_playbin = stage();
    let playbin = gst::ElementFactory::make("playbin3").build().unwrap();
    playbin.set_property("uri", uri);
    let pictures = gst::ElementFactory::make("fakesink").build().unwrap();
    playbin.set_property("video-sink", &pictures);
    let sink = gst::parse::bin_from_description("queue ! ivswhipsink name=whip", true).unwrap();
    let whip = sink.by_name("whip").unwrap();
    playbin.set_property("audio-sink", &sink);
    let publisher = Publisher::of(playbin.downcast().unwrap(), whip);
    other_sounds_are_chosen(publisher, &stage_of_playbin);
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}
