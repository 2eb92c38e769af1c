//! The WebRTC side of a session: datagrams and commands come in, datagrams and
//! events go out, and the record gets what arrived. str0m does no I/O itself;
//! this drives it over one UDP socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep_until, timeout};

use crate::counter::Packet;
use crate::datagram;
use crate::endings::Ending;
use crate::event::Happening;
use crate::feedback::Feedback;
use crate::negotiation::{AnswerError, accept};
use crate::offer::OfferSection;
use crate::presence::{Absence, Presence};
use crate::reception::Reception;
use crate::record::millis;
use crate::remb::{REMB_INTERVAL, Remb};
use crate::sessions::Command;
use crate::silence::Silence;
use crate::state::StageState;
use crate::subscribe::{Relay, forwarded_layer};
use crate::watch::Monitor;

/// Time to send the peer a DTLS alert at the end.
const CLOSE_BOUND: Duration = Duration::from_millis(500);

/// Maximum UDP payload in bytes; the rest of a longer one is lost.
const DATAGRAM_LIMIT: usize = 2000;

/// The publisher's peer in one session.
pub(crate) struct FarEnd {
    session: u32,
    /// When the POST arrived.
    posted: Instant,
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    reception: Reception,
    /// Whether the last datagram has a retransmission. str0m delivers its packet
    /// as if it were the first one.
    repaired: bool,
    remb: Remb,
    presence: Presence,
    silence: Silence,
    /// When the next `Media` event is due.
    next_media: Option<Instant>,
    /// When the next REMB is due.
    next_remb: Option<Instant>,
    monitor: Monitor,
    relay: Relay,
    state: Arc<StageState>,
}

impl FarEnd {
    /// Answers an offer. Call [`run`](Self::run) to receive media.
    pub(crate) async fn answer(
        session: u32,
        participant: &str,
        offer: &str,
        sections: &[OfferSection],
        state: &Arc<StageState>,
    ) -> Result<(Self, String), AnswerError> {
        let posted = Instant::now();
        let socket = UdpSocket::bind((state.media_address, 0)).await;
        let socket = socket.map_err(AnswerError::Socket)?;
        let local = socket.local_addr().map_err(AnswerError::Socket)?;
        let (rtc, answer) = accept(offer, sections, local, &state.rules)?;
        let far_end = Self {
            session,
            posted,
            rtc,
            socket,
            local,
            reception: Reception::new(sections),
            repaired: false,
            remb: Remb::default(),
            presence: Presence::new(posted, state.rules.patience),
            silence: Silence::new(state.silence_rule()),
            next_media: None,
            next_remb: None,
            monitor: Monitor::new(session, posted),
            relay: Relay::new(&state.audience, participant, session),
            state: Arc::clone(state),
        };
        Ok((far_end, answer))
    }

    /// Runs until the session ends, by a command or by itself.
    pub(crate) async fn run(mut self, commands: UnboundedReceiver<Command>) -> Ending {
        let ending = self.serve(commands).await;
        if self.rtc.is_alive() && self.rtc.close().is_ok() {
            // The peer may be gone, so the result doesn't matter.
            let _ = timeout(CLOSE_BOUND, self.flush()).await;
        }
        let sections = self.reception.reports(self.state.record.elapsed_ms());
        let reason = ending;
        self.state.record.update(self.session, |report| {
            report.sections.clone_from(&sections);
            report.ended = Some(reason);
        });
        self.state.record.add(Happening::Ended {
            session: self.session,
            reason,
            sections,
        });
        ending
    }

    async fn serve(&mut self, mut commands: UnboundedReceiver<Command>) -> Ending {
        let mut datagram = vec![0; DATAGRAM_LIMIT];
        loop {
            let Ok(wake) = self.flush().await else {
                return Ending::Failed;
            };
            let now = Instant::now();
            if let Some(ending) = self.ending(now) {
                return ending;
            }
            self.report_media(now);
            self.send_remb(now);
            if self.relay.take_request(now) {
                self.request_key_frames();
            }
            let handled = tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::End(ending)) => return ending,
                    Some(Command::Candidates(candidates)) => self.add_candidates(&candidates),
                    Some(Command::KeyFrame) => {
                        self.relay.want_key_frame(Instant::now());
                        Ok(())
                    }
                    // The stage is being dropped.
                    None => return Ending::Closed,
                },
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, source)) => self.receive(source, &datagram[..length]),
                    // An ICMP "port unreachable" for an earlier datagram.
                    Err(_) => Ok(()),
                },
                () = sleep_until(wake.into()) => self.tick(),
            };
            if handled.is_err() {
                return Ending::Failed;
            }
        }
    }

    /// Sends str0m's datagrams and handles its events. Returns the next time to
    /// wake up.
    async fn flush(&mut self) -> Result<Instant, str0m::RtcError> {
        while self.rtc.is_alive() {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(self.next_wake(at)),
                Output::Transmit(out) => {
                    if self.keeps_back(&out.contents) {
                        continue;
                    }
                    // A failure is like a lost packet; ICE notices if it lasts.
                    let _ = self.socket.send_to(&out.contents, out.destination).await;
                }
                Output::Event(event) => self.handle(event),
            }
        }
        Ok(self.next_wake(Instant::now() + self.state.rules.patience))
    }

    /// str0m can't be told to send no RTCP.
    fn keeps_back(&self, datagram: &[u8]) -> bool {
        let silent = self.state.rules.feedback == Feedback::None;
        self.state.is_media_dropped() || (silent && datagram::is_rtcp(datagram))
    }

    fn next_wake(&self, rtc: Instant) -> Instant {
        let own = [
            self.presence.deadline(),
            self.silence.due(),
            self.next_media,
            self.next_remb,
            self.relay.due(),
            Some(self.monitor.due()),
        ];
        own.into_iter().flatten().fold(rtc, Instant::min)
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), str0m::RtcError> {
        if self.state.is_media_dropped() {
            return Ok(());
        }
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) else {
            // It is not STUN, DTLS or RTP.
            return Ok(());
        };
        let stream = datagram::rtp_stream(datagram);
        self.repaired = stream.is_some_and(|(payload_type, _)| self.repairs(payload_type));
        self.rtc
            .handle_input(Input::Receive(Instant::now(), receive))?;
        if let Some((_, ssrc)) = stream {
            self.monitor.note_peer(source);
            self.count_datagram(ssrc, datagram.len());
        }
        Ok(())
    }

    /// Whether packets with this payload type are retransmissions (RFC 4588).
    fn repairs(&self, payload_type: u8) -> bool {
        let mut params = self.rtc.codec_config().params().iter();
        params.any(|one| one.resend().is_some_and(|resend| *resend == payload_type))
    }

    fn count_datagram(&mut self, ssrc: u32, bytes: usize) {
        self.reception.add_datagram(bytes);
        if !self.repaired {
            return;
        }
        let mut video = self.reception.video().into_iter();
        let mut direct = self.rtc.direct_api();
        let section = video.find(|mid| {
            let stream = direct.stream_rx_by_mid(mid.as_str().into(), None);
            stream.and_then(|stream| stream.rtx()) == Some(ssrc.into())
        });
        if let Some(mid) = section {
            self.reception.add_retransmission(&mid, bytes);
        }
    }

    /// Ignores invalid candidates (RFC 9725 4.3.2).
    fn add_candidates(&mut self, lines: &[String]) -> Result<(), str0m::RtcError> {
        for line in lines {
            if let Ok(candidate) = Candidate::from_sdp_string(line) {
                self.rtc.add_remote_candidate(candidate);
            }
        }
        self.tick()
    }

    fn tick(&mut self) -> Result<(), str0m::RtcError> {
        self.rtc.handle_input(Input::Timeout(Instant::now()))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected => self.on_connected(),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.on_peer_lost("ICE got no answer");
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) => self.on_peer_back(),
            Event::Closed => self.on_peer_lost("DTLS was closed"),
            Event::RtpPacket(packet) => self.on_packet(&packet),
            Event::PeerStats(stats) => self.monitor.note_stats(&stats),
            _ => {}
        }
    }

    fn on_connected(&mut self) {
        self.presence.connect();
        let now = Instant::now();
        let interval = self.state.rules.media_interval;
        self.next_media = interval.map(|interval| now + interval);
        let remb = self.state.rules.feedback == Feedback::Remb;
        self.next_remb = remb.then(|| now + REMB_INTERVAL);
        self.silence.begin(now);
        let after_ms = millis(self.posted.elapsed());
        self.state
            .record
            .update(self.session, |report| report.connected_ms = Some(after_ms));
        self.state.record.add(Happening::Connected {
            session: self.session,
            after_ms,
        });
        if self.state.rules.key_frame_on_connect {
            self.relay.want_key_frame(now);
        }
    }

    fn request_key_frames(&mut self) {
        for mid in self.reception.video() {
            let mid = mid.as_str().into();
            let layer = forwarded_layer(&self.rtc, mid);
            if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, layer) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    fn on_peer_lost(&mut self, reason: &str) {
        if !self.presence.lose(Instant::now()) {
            return;
        }
        self.state
            .record
            .update(self.session, |report| report.peer_lost = true);
        self.state.record.add(Happening::PeerLost {
            session: self.session,
            reason: reason.to_owned(),
        });
    }

    fn on_peer_back(&mut self) {
        if self.presence.come_back() {
            self.state
                .record
                .update(self.session, |report| report.peer_lost = false);
        }
    }

    fn on_packet(&mut self, packet: &RtpPacket) {
        let ssrc = packet.header.ssrc;
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc);
        let Some((mid, rid)) = stream.map(|stream| (stream.mid(), stream.rid())) else {
            return;
        };
        self.relay.forward(&self.rtc, mid, rid, packet);
        let counted = self.reception.add(
            &mid,
            &Packet {
                ssrc: *ssrc,
                sequence: *packet.seq_no,
                timestamp: packet.time.numer(),
                seconds: packet.time.as_seconds(),
                marker: packet.header.marker,
                repaired: self.repaired,
                payload: &packet.payload,
                at_ms: self.state.record.elapsed_ms(),
            },
        );
        let Some(section) = counted else {
            return;
        };
        if section.packets == 1 {
            self.state.record.add(Happening::FirstPacket {
                session: self.session,
                mid: section.mid.clone(),
                kind: section.kind,
                after_ms: millis(self.posted.elapsed()),
            });
        }
        self.state.record.update(self.session, |report| {
            let mut sections = report.sections.iter_mut();
            if let Some(old) = sections.find(|old| old.mid == section.mid) {
                *old = section;
            }
        });
    }

    /// How the session ends by now, if it does.
    fn ending(&mut self, now: Instant) -> Option<Ending> {
        let gone = self.presence.absence(now).map(|absence| match absence {
            Absence::Lost => Ending::PeerLost,
            Absence::NeverConnected => Ending::NeverConnected,
        });
        gone.or_else(|| self.silence.ending(now, &self.reception))
            .or_else(|| self.monitor.ending(now, &self.state, &self.reception))
    }

    fn report_media(&mut self, now: Instant) {
        let (Some(interval), Some(next)) = (self.state.rules.media_interval, self.next_media)
        else {
            return;
        };
        if now < next {
            return;
        }
        self.next_media = Some(now + interval);
        self.state.record.add(Happening::Media {
            session: self.session,
            sections: self.reception.reports(self.state.record.elapsed_ms()),
        });
        self.reception.begin_interval();
    }

    /// It leaves with str0m's next output.
    fn send_remb(&mut self, now: Instant) {
        if self.next_remb.is_none_or(|next| now < next) {
            return;
        }
        self.next_remb = Some(now + REMB_INTERVAL);
        let rate = self.remb.estimate(self.reception.arrived());
        let mut video = self.reception.video().into_iter();
        let (Some(rate), Some(mid)) = (rate, video.next()) else {
            return;
        };
        let mid = mid.as_str().into();
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
            stream.request_remb(rate.into());
        }
    }
}
