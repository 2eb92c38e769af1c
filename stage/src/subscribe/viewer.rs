//! A viewer's peer: the publisher's packets, datagrams and commands come in,
//! datagrams go out. str0m does no I/O itself; this drives it over one UDP
//! socket, as the publisher's far end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::{MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::endings::ViewerEnding;
use crate::event::Happening;
use crate::negotiation::{AnswerError, accept_viewer};
use crate::offer::{Kind, OfferSection};
use crate::presence::Presence;
use crate::state::StageState;
use crate::subscribe::audience::{Media, Subscription};
use crate::subscribe::renumbering::Renumbering;

/// Time to send the peer a DTLS alert at the end.
const CLOSE_BOUND: Duration = Duration::from_millis(500);

/// Maximum UDP payload in bytes; the rest of a longer one is lost.
const DATAGRAM_LIMIT: usize = 2000;

/// How many packets are taken from the queue at a time. str0m sends them before
/// the next ones.
const BATCH: usize = 32;

/// One viewer of one publisher.
pub(crate) struct Viewer {
    id: u32,
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    presence: Presence,
    connected: bool,
    subscription: Subscription,
    audio: Option<Stream>,
    video: Option<Stream>,
    packets: u64,
    state: Arc<StageState>,
}

/// What is sent in one section.
struct Stream {
    mid: Mid,
    numbers: Renumbering,
}

impl Viewer {
    /// Answers an offer. Call [`run`](Self::run) to send media.
    pub(crate) async fn answer(
        id: u32,
        offer: &str,
        sections: &[OfferSection],
        subscription: Subscription,
        state: &Arc<StageState>,
    ) -> Result<(Self, String), AnswerError> {
        let socket = UdpSocket::bind((state.media_address, 0)).await;
        let socket = socket.map_err(AnswerError::Socket)?;
        let local = socket.local_addr().map_err(AnswerError::Socket)?;
        let (rtc, answer) = accept_viewer(offer, sections, local)?;
        let stream = |kind: MediaKind, clock_rate| {
            let mut mids = sections.iter().map(|section| section.mid.as_str().into());
            let mid = mids.find(|mid| rtc.media(*mid).is_some_and(|media| sends(media, kind)))?;
            Some(Stream {
                mid,
                numbers: Renumbering::new(clock_rate),
            })
        };
        let viewer = Self {
            id,
            audio: stream(MediaKind::Audio, 48_000),
            video: stream(MediaKind::Video, 90_000),
            rtc,
            socket,
            local,
            presence: Presence::new(Instant::now(), state.rules.patience),
            connected: false,
            subscription,
            packets: 0,
            state: Arc::clone(state),
        };
        Ok((viewer, answer))
    }

    /// Runs until the viewer's session ends; `deleted` ends it.
    pub(crate) async fn run(mut self, deleted: oneshot::Receiver<()>) {
        let reason = self.serve(deleted).await;
        if self.rtc.is_alive() && self.rtc.close().is_ok() {
            // The peer may be gone, so the result doesn't matter.
            let _ = timeout(CLOSE_BOUND, self.flush()).await;
        }
        self.state.record.add(Happening::Unsubscribed {
            viewer: self.id,
            reason,
            packets: self.packets,
            dropped: self.subscription.dropped(),
        });
    }

    async fn serve(&mut self, mut deleted: oneshot::Receiver<()>) -> ViewerEnding {
        let mut datagram = vec![0; DATAGRAM_LIMIT];
        let mut media = Vec::with_capacity(BATCH);
        loop {
            let Ok(wake) = self.flush().await else {
                return ViewerEnding::Failed;
            };
            if self.presence.absence(Instant::now()).is_some() {
                return ViewerEnding::ViewerLost;
            }
            let handled = tokio::select! {
                // Fails when the entry is dropped, which is the DELETE.
                _ = &mut deleted => return ViewerEnding::Deleted,
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, source)) => self.receive(source, &datagram[..length]),
                    // An ICMP "port unreachable" for an earlier datagram.
                    Err(_) => Ok(()),
                },
                taken = self.subscription.media.recv_many(&mut media, BATCH) => match taken {
                    0 => return ViewerEnding::PublisherLeft,
                    _ => self.send(&mut media),
                },
                () = sleep_until(wake.into()) => self.tick(),
            };
            if handled.is_err() {
                return ViewerEnding::Failed;
            }
        }
    }

    /// Sends str0m's datagrams and handles its events. Returns the next time to
    /// wake up.
    async fn flush(&mut self) -> Result<Instant, RtcError> {
        let mut wake = Instant::now() + self.state.rules.patience;
        while self.rtc.is_alive() {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    wake = at;
                    break;
                }
                Output::Transmit(_) if self.state.is_media_dropped() => {}
                Output::Transmit(out) => {
                    // A failure is like a lost packet; ICE notices if it lasts.
                    let _ = self.socket.send_to(&out.contents, out.destination).await;
                }
                Output::Event(event) => self.handle(event),
            }
        }
        Ok(self.presence.deadline().map_or(wake, |at| at.min(wake)))
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), RtcError> {
        if self.state.is_media_dropped() {
            return Ok(());
        }
        match Receive::new(Protocol::Udp, source, self.local, datagram) {
            Ok(receive) => self
                .rtc
                .handle_input(Input::Receive(Instant::now(), receive)),
            // It is not STUN, DTLS or RTP.
            Err(_) => Ok(()),
        }
    }

    fn tick(&mut self) -> Result<(), RtcError> {
        self.rtc.handle_input(Input::Timeout(Instant::now()))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.presence.connect();
                self.connected = true;
                self.subscription.want_key_frame();
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                self.presence.lose(Instant::now());
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) => {
                self.presence.come_back();
            }
            Event::KeyframeRequest(_) => self.subscription.want_key_frame(),
            _ => {}
        }
    }

    /// Hands packets to str0m, which sends them at its next output. What comes
    /// before the connection is of no use after it.
    fn send(&mut self, media: &mut Vec<Media>) -> Result<(), RtcError> {
        for one in media.drain(..) {
            if self.connected {
                self.send_one(&one);
            }
        }
        self.tick()
    }

    fn send_one(&mut self, media: &Media) {
        let stream = match media.kind {
            Kind::Audio => self.audio.as_mut(),
            Kind::Video => self.video.as_mut(),
            Kind::Other => None,
        };
        let Some(stream) = stream else {
            return;
        };
        let Some(payload_type) = payload_type(&self.rtc, stream.mid, media) else {
            return;
        };
        let Some((sequence, timestamp)) = stream.numbers.number(media) else {
            return;
        };
        let mut direct = self.rtc.direct_api();
        if let Some(out) = direct.stream_tx_by_mid(stream.mid, None) {
            let payload = Arc::clone(&media.payload);
            let sequence = sequence.into();
            let packet = RtpWrite::new(payload_type, sequence, timestamp, media.arrived, payload);
            let packet = packet
                .marker(media.marker)
                .nackable(media.kind == Kind::Video);
            out.write_rtp(packet.ext_vals(media.extensions.clone()));
            self.packets += 1;
        }
    }
}

fn sends(media: &str0m::media::Media, kind: MediaKind) -> bool {
    media.kind() == kind && media.direction().is_sending()
}

/// The payload type under which this viewer knows the packet's format; else the
/// viewer's first one with the codec.
fn payload_type(rtc: &Rtc, mid: Mid, media: &Media) -> Option<Pt> {
    let known = rtc.media(mid)?.remote_pts();
    let same = rtc.codec_config().match_params(media.format);
    let same = same.map(str0m::format::PayloadParams::pt);
    if let Some(same) = same.filter(|same| known.contains(same)) {
        return Some(same);
    }
    let codec = media.format.spec().codec;
    let params = rtc.codec_config().params().iter();
    let mut of_codec = params.filter(|one| one.spec().codec == codec && known.contains(&one.pt()));
    of_codec.next().map(str0m::format::PayloadParams::pt)
}
