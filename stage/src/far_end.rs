//! The WebRTC half of a session: str0m's sans-I/O machine over one UDP socket,
//! counting what arrives.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{error, fmt, io};

use str0m::change::SdpOffer;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::answer;
use crate::media::{Counter, Packet, SectionReport};
use crate::offer::OfferSection;
use crate::record::{Ending, Happening, Kind, Record, millis};
use crate::rules::Rules;

/// How long telling the peer of the end may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Biggest UDP payload taken.
const DATAGRAM: usize = 2000;

/// One peer's end of a session.
pub(crate) struct FarEnd {
    session: u32,
    posted: Instant,
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    counters: Vec<Counter>,
    connected: bool,
    /// Since when the peer has been missing.
    missing: Option<Instant>,
    patience: Duration,
    media_interval: Option<Duration>,
    next_media: Option<Instant>,
    key_frame_on_connect: bool,
    record: Arc<Record>,
}

/// Why an offer got no answer.
#[derive(Debug)]
pub(crate) enum AnswerError {
    Socket(io::Error),
    Offer(String),
    /// A section has no codec that the stage takes.
    Codec,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "no UDP socket for media: {error}"),
            Self::Offer(error) => write!(f, "the offer can't be answered: {error}"),
            Self::Codec => f.write_str("a section has no codec that the stage takes"),
        }
    }
}

impl error::Error for AnswerError {}

impl FarEnd {
    /// Answers an offer; media can come as soon as the peer has the answer and
    /// [`run`](Self::run) is going.
    pub(crate) async fn answer(
        session: u32,
        offer: &str,
        sections: &[OfferSection],
        media_address: IpAddr,
        rules: &Rules,
        record: Arc<Record>,
    ) -> Result<(Self, String), AnswerError> {
        let posted = Instant::now();
        let socket = UdpSocket::bind((media_address, 0)).await;
        let socket = socket.map_err(AnswerError::Socket)?;
        let local = socket.local_addr().map_err(AnswerError::Socket)?;
        let (rtc, answer) = accept(offer, local).map_err(AnswerError::Offer)?;
        // One rejected section refuses the whole POST (RFC 9725 4.4.3).
        if answer::rejects_some(&answer, sections) {
            return Err(AnswerError::Codec);
        }
        let far_end = Self {
            session,
            posted,
            rtc,
            socket,
            local,
            counters: sections.iter().map(Counter::new).collect(),
            connected: false,
            missing: Some(posted),
            patience: rules.patience,
            media_interval: rules.media_interval,
            next_media: None,
            key_frame_on_connect: rules.key_frame_on_connect,
            record,
        };
        Ok((far_end, answer))
    }

    /// Runs until the session ends, by order or by itself.
    pub(crate) async fn run(mut self, order: oneshot::Receiver<Ending>) -> Ending {
        let ending = self.serve(order).await;
        if self.rtc.is_alive() && self.rtc.close().is_ok() {
            // The peer may be gone; nothing waits for it.
            let _ = timeout(FAREWELL, self.flush()).await;
        }
        let sections = self.reports();
        let reason = ending;
        self.record.update(self.session, |report| {
            report.sections.clone_from(&sections);
            report.ended = Some(reason);
        });
        self.record.add(Happening::Ended {
            session: self.session,
            reason,
            sections,
        });
        ending
    }

    async fn serve(&mut self, mut order: oneshot::Receiver<Ending>) -> Ending {
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let Ok(wake) = self.flush().await else {
                return Ending::Failed;
            };
            let now = Instant::now();
            if let Some(ending) = self.out_of_patience(now) {
                return ending;
            }
            self.tell_media(now);
            let handled = tokio::select! {
                // A dropped order means that the stage itself is going away.
                ending = &mut order => return ending.unwrap_or(Ending::Closed),
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, source)) => self.receive(source, &datagram[..length]),
                    // ICMP's "port unreachable" of an earlier packet shows here.
                    Err(_) => Ok(()),
                },
                () = sleep_until(wake.into()) => self.tick(),
            };
            if handled.is_err() {
                return Ending::Failed;
            }
        }
    }

    /// Sends and takes note of all there is, up to the next time to wake.
    async fn flush(&mut self) -> Result<Instant, str0m::RtcError> {
        while self.rtc.is_alive() {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(self.wake(at)),
                Output::Transmit(out) => {
                    // Lost like any packet may be; ICE notices if it lasts.
                    let _ = self.socket.send_to(&out.contents, out.destination).await;
                }
                Output::Event(event) => self.note(event),
            }
        }
        Ok(self.wake(Instant::now() + self.patience))
    }

    fn wake(&self, rtc: Instant) -> Instant {
        let patience = self.missing.map(|since| since + self.patience);
        [patience, self.next_media]
            .into_iter()
            .flatten()
            .fold(rtc, Instant::min)
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), str0m::RtcError> {
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) else {
            // Not STUN, DTLS or RTP: nothing for this session.
            return Ok(());
        };
        self.rtc
            .handle_input(Input::Receive(Instant::now(), receive))
    }

    fn tick(&mut self) -> Result<(), str0m::RtcError> {
        self.rtc.handle_input(Input::Timeout(Instant::now()))
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.note_connected(),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.note_missing("ICE got no answer");
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) if self.connected => self.note_back(),
            Event::Closed => self.note_missing("DTLS was closed"),
            Event::RtpPacket(packet) => self.note_packet(&packet),
            _ => {}
        }
    }

    fn note_connected(&mut self) {
        self.connected = true;
        self.missing = None;
        self.next_media = self
            .media_interval
            .map(|interval| Instant::now() + interval);
        let after_ms = millis(self.posted.elapsed());
        self.record
            .update(self.session, |report| report.connected_ms = Some(after_ms));
        self.record.add(Happening::Connected {
            session: self.session,
            after_ms,
        });
        if self.key_frame_on_connect {
            self.ask_for_key_frames();
        }
    }

    fn ask_for_key_frames(&mut self) {
        let video = self
            .counters
            .iter()
            .filter(|c| c.report().kind == Kind::Video);
        for mid in video.map(|counter| counter.report().mid.as_str().into()) {
            if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    fn note_missing(&mut self, reason: &str) {
        if !self.connected || self.missing.is_some() {
            return;
        }
        self.missing = Some(Instant::now());
        self.record
            .update(self.session, |report| report.peer_lost = true);
        self.record.add(Happening::PeerLost {
            session: self.session,
            reason: reason.to_owned(),
        });
    }

    fn note_back(&mut self) {
        self.missing = None;
        self.record
            .update(self.session, |report| report.peer_lost = false);
    }

    fn note_packet(&mut self, packet: &RtpPacket) {
        let ssrc = packet.header.ssrc;
        let Some(mid) = self
            .rtc
            .direct_api()
            .stream_rx(&ssrc)
            .map(|stream| stream.mid())
        else {
            return;
        };
        let mut counters = self.counters.iter_mut();
        let Some(counter) = counters.find(|c| c.report().mid == *mid) else {
            return;
        };
        counter.add(&Packet {
            ssrc: *ssrc,
            sequence: *packet.seq_no,
            seconds: packet.time.as_seconds(),
            payload: &packet.payload,
            at_ms: self.record.elapsed_ms(),
        });
        let section = counter.report().clone();
        if section.packets == 1 {
            self.record.add(Happening::FirstPacket {
                session: self.session,
                mid: section.mid.clone(),
                kind: section.kind,
                after_ms: millis(self.posted.elapsed()),
            });
        }
        self.record.update(self.session, |report| {
            let mut sections = report.sections.iter_mut();
            if let Some(old) = sections.find(|old| old.mid == section.mid) {
                *old = section;
            }
        });
    }

    fn out_of_patience(&self, now: Instant) -> Option<Ending> {
        let since = self.missing?;
        if now < since + self.patience {
            return None;
        }
        Some(if self.connected {
            Ending::PeerLost
        } else {
            Ending::NeverConnected
        })
    }

    fn tell_media(&mut self, now: Instant) {
        let (Some(interval), Some(next)) = (self.media_interval, self.next_media) else {
            return;
        };
        if now < next {
            return;
        }
        self.next_media = Some(now + interval);
        self.record.add(Happening::Media {
            session: self.session,
            sections: self.reports(),
        });
    }

    fn reports(&self) -> Vec<SectionReport> {
        self.counters
            .iter()
            .map(|counter| counter.report().clone())
            .collect()
    }
}

/// A str0m machine that has answered, and its answer as IVS would write it.
fn accept(offer: &str, local: SocketAddr) -> Result<(Rtc, String), String> {
    // The parser's own words quote the offer, which holds ICE credentials.
    let offer = SdpOffer::from_sdp_string(offer).map_err(|_| "it isn't whole SDP".to_owned())?;
    let candidate = Candidate::host(local, "udp").map_err(|error| error.to_string())?;
    // The codecs that an IVS stage takes; RTP mode hands packets over as they
    // are, without waiting for whole frames.
    let mut rtc = RtcConfig::new()
        .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
        .clear_codecs()
        .enable_opus(true, false)
        .enable_h264(true)
        .set_rtp_mode(true)
        .build(Instant::now());
    rtc.add_local_candidate(candidate);
    let answer = rtc
        .sdp_api()
        .accept_offer(offer)
        .map_err(|error| error.to_string())?;
    Ok((rtc, answer::in_ivs_form(&answer.to_sdp_string())))
}
