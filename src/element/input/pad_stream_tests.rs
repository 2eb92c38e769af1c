//! Tests of what leaves a pad's stream, without a session.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::element::input::pacing::Pacing;

/// What arrives behind the stream.
#[derive(Debug, PartialEq)]
enum Arrived {
    /// Packets that came together, by what they say.
    Packets(Vec<u8>),
    Gap,
}

/// A stream of audio that ends at a pad of ours.
struct Way {
    stream: Arc<PadStream>,
    source: gst::Pad,
    _sink: gst::Pad,
    arrived: Receiver<Arrived>,
    told: Receiver<PadEvent>,
    sequence: std::cell::Cell<u8>,
}

impl Way {
    /// `flow` is what the far pad answers to packets.
    fn new(
        flow: impl Fn(&Arc<PadStream>) -> Result<gst::FlowSuccess, gst::FlowError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        gst::init().unwrap();
        let (news, told) = channel();
        let tell = move |event| drop(news.send(event));
        let stream = Arc::new(PadStream::new(7, None, tell));
        let (sender, arrived) = channel();
        let sink = far_pad(&stream, sender, flow);
        let source = gst::Pad::new(gst::PadDirection::Src);
        source.set_active(true).unwrap();
        source.link(&sink).unwrap();
        let caps = "application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000";
        let caps = gst::event::Caps::new(&caps.parse().unwrap());
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let segment = gst::event::Segment::new(&segment);
        let begin = gst::event::StreamStart::new("way");
        for event in [begin, caps, segment] {
            if let Some(event) = stream.event(&source, event) {
                stream.push_event(&source, event);
            }
        }
        told.try_iter().for_each(drop);
        Self {
            stream,
            source,
            _sink: sink,
            arrived,
            told,
            sequence: std::cell::Cell::new(0),
        }
    }

    /// Opens the gate for a peer connection.
    fn open(&self, peer: u64) {
        open(&self.stream, &self.source, peer);
    }

    /// A packet comes, and is let out.
    fn take(&self, says: u8) -> Passage {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        let packet = [0x80, 0x60, 0, sequence, 0, 0, 0, 1, 0, 0, 0, 1, says];
        let packet = gst::Buffer::from_slice(packet);
        self.stream.take(&mut std::iter::once(packet.as_ref()))
    }

    /// Several packets come, and are let out together.
    fn take_all(&self, say: &[u8]) -> Passage {
        let mut all = self.take(say[0]);
        for says in &say[1..] {
            all.packets.extend(self.take(*says).packets);
        }
        all
    }

    fn push(&self, passage: Passage) {
        self.stream.push(&self.source, passage);
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.try_iter().collect()
    }

    /// The queue of a paced stream holds what comes from now on.
    fn hold(&self) {
        self.stream.departure.set_pacing(Pacing {
            pace: Some(1),
            longest_queue: Some(Duration::from_secs(3600)),
            burst: None,
        });
    }

    /// Packets and events as they are taken from the queue. Nothing else leaves it meanwhile.
    fn leaving(&self, say: &[u8]) -> Leaving {
        let queue = self.stream.departure.queue().unwrap();
        let passage = self.take_all(say);
        queue.push(passage.packets, passage.opening).unwrap()
    }
}

fn open(stream: &Arc<PadStream>, source: &gst::Pad, peer: u64) {
    let open = OpenGate {
        peer,
        is_video: false,
        is_paced: true,
        transport_wide: None,
    };
    stream.open_gate(source, open);
}

fn far_pad(
    stream: &Arc<PadStream>,
    arrived: Sender<Arrived>,
    flow: impl Fn(&Arc<PadStream>) -> Result<gst::FlowSuccess, gst::FlowError> + Send + Sync + 'static,
) -> gst::Pad {
    let says = |packet: &gst::BufferRef| *packet.map_readable().unwrap().last().unwrap();
    let (one, many, gaps) = (arrived.clone(), arrived.clone(), arrived);
    let (of_one, of_many) = (stream.clone(), stream.clone());
    let flow = Arc::new(flow);
    let flow_of_many = flow.clone();
    let pad = gst::Pad::builder(gst::PadDirection::Sink)
        .chain_function(move |_, _, packet| {
            let _ = one.send(Arrived::Packets(vec![says(&packet)]));
            flow(&of_one)
        })
        .chain_list_function(move |_, _, list| {
            let _ = many.send(Arrived::Packets(list.iter().map(says).collect()));
            flow_of_many(&of_many)
        })
        .event_function(move |_, _, event| {
            if event.type_() == gst::EventType::Gap {
                let _ = gaps.send(Arrived::Gap);
            }
            true
        })
        .build();
    pad.set_active(true).unwrap();
    pad
}

fn gap() -> gst::Event {
    gst::event::Gap::builder(gst::ClockTime::ZERO).build()
}

fn packets(say: &[u8]) -> Arrived {
    Arrived::Packets(say.to_vec())
}

#[test]
fn packets_leave_together_up_to_an_event() {
    let way = Way::new(|_| Ok(gst::FlowSuccess::Ok));
    way.open(1);
    let first = way.leaving(&[1, 2]);
    // They wait while something leaves.
    way.push(way.take_all(&[3, 4]));
    way.stream.push_event(&way.source, gap());
    way.push(way.take(5));
    assert_eq!(way.arrived(), []);
    way.stream.leave(&way.source, first);
    let mut arrived = way.arrived();
    let bound = Duration::from_secs(10);
    while arrived.last() != Some(&packets(&[5])) {
        arrived.push(way.arrived.recv_timeout(bound).unwrap());
    }
    let expected = [
        packets(&[1, 2]),
        packets(&[3, 4]),
        Arrived::Gap,
        packets(&[5]),
    ];
    assert_eq!(arrived, expected);
}

#[test]
fn a_burst_of_a_former_session_stays_behind_but_not_its_events() {
    for reopens in [true, false] {
        let way = Way::new(|_| Ok(gst::FlowSuccess::Ok));
        way.open(1);
        let burst = way.leaving(&[1, 2]);
        way.stream.push_event(&way.source, gap());
        way.stream.close_gate();
        if reopens {
            // A session that begins anew may count its peer connections anew.
            way.open(1);
        }
        way.stream.leave(&way.source, burst);
        let bound = Duration::from_secs(10);
        assert_eq!(way.arrived.recv_timeout(bound), Ok(Arrived::Gap));
        let next = way.take(3);
        assert_eq!(next.packets.len(), usize::from(reopens));
        if reopens {
            way.push(next);
            assert_eq!(way.arrived.recv_timeout(bound), Ok(packets(&[3])));
        }
    }
}

/// The thread that pushes into webrtcbin is back when the next one is linked.
#[test]
fn a_session_that_ends_within_a_burst_leaves_nothing_of_it_to_the_next() {
    let (sender, replaced) = channel::<gst::Pad>();
    let replaced = Mutex::new(replaced);
    let way = Way::new(move |stream| {
        let source = replaced.lock().unwrap().try_recv();
        if let Ok(source) = source {
            stream.close_gate();
            open(stream, &source, 2);
            return Err(gst::FlowError::Flushing);
        }
        Ok(gst::FlowSuccess::Ok)
    });
    way.open(1);
    way.hold();
    // One is due at once, and the others wait.
    way.push(way.take_all(&[1, 2, 3]));
    assert_eq!(way.arrived(), [packets(&[1])]);
    way.stream.push_event(&way.source, gap());
    way.push(way.take(4));
    sender.send(way.source.clone()).unwrap();
    way.stream.departure.set_pacing(Pacing::default());
    let bound = Duration::from_secs(10);
    let arrived = || way.arrived.recv_timeout(bound).unwrap();
    assert_eq!([arrived(), arrived()], [packets(&[2, 3]), Arrived::Gap]);
    way.push(way.take(5));
    assert_eq!(arrived(), packets(&[5]));
    assert!(way.told.try_recv().is_err(), "it is no failure");
}

#[test]
fn what_was_let_out_for_a_former_session_does_not_wait_for_the_next() {
    for is_held in [true, false] {
        let way = Way::new(|_| Ok(gst::FlowSuccess::Ok));
        way.open(1);
        let late = way.take(1);
        way.stream.close_gate();
        way.open(2);
        if is_held {
            way.hold();
            way.push(way.take(2));
        }
        way.push(late);
        way.push(way.take(3));
        way.stream.departure.set_pacing(Pacing::default());
        let mut says = Vec::new();
        while says.last() != Some(&3) {
            match way.arrived.recv_timeout(Duration::from_secs(10)) {
                Ok(Arrived::Packets(packets)) => says.extend(packets),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(says, if is_held { vec![2, 3] } else { vec![3] });
    }
}

#[test]
fn packets_that_are_not_taken_close_the_gate_and_are_told_once() {
    let way = Way::new(|_| Err(gst::FlowError::Error));
    way.open(9);
    let second = way.take(2);
    way.push(way.take(1));
    assert!(!way.stream.is_open());
    let told = way.told.try_recv();
    assert!(
        matches!(told, Ok(PadEvent::PushFailed(9, gst::FlowError::Error))),
        "another event"
    );
    way.push(second);
    assert!(way.told.try_recv().is_err());
    let traffic = way.stream.traffic.traffic().unwrap();
    assert_eq!(traffic.packets, 0, "they did not leave");
}

#[test]
fn packets_that_a_former_session_did_not_take_close_no_gate_of_the_next() {
    let (sender, replaced) = channel::<gst::Pad>();
    let replaced = Mutex::new(replaced);
    let way = Way::new(move |stream| {
        let source = replaced.lock().unwrap().recv().unwrap();
        stream.close_gate();
        open(stream, &source, 2);
        Err(gst::FlowError::Error)
    });
    way.open(1);
    sender.send(way.source.clone()).unwrap();
    way.push(way.take(1));
    assert!(way.stream.is_open());
    assert!(way.told.try_recv().is_err());
}

#[test]
fn packets_that_a_webrtcbin_on_its_way_out_does_not_take_are_no_failure() {
    let way = Way::new(|_| Err(gst::FlowError::Flushing));
    way.open(1);
    way.push(way.take(1));
    assert!(way.stream.is_open());
    assert!(way.told.try_recv().is_err());
}
