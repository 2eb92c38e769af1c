//! A WHIP client for tests: HTTP over a plain socket, and str0m as publisher.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ivs_stage::{Happening, SessionReport, Stage};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{
    Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer,
};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcError};

/// How long a test waits for what must happen.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// A reply, with header names in lower case.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One request on its own connection.
pub(crate) fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    parse(&exchange(method, url, headers, body, BOUND).unwrap())
}

/// The whole reply until the connection ends. Fails if that takes longer than
/// `bound`.
pub(crate) fn exchange(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
    bound: Duration,
) -> io::Result<String> {
    let mut stream = send(method, url, headers, body);
    stream.set_read_timeout(Some(bound))?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Sends a request. Read its reply from the connection.
pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    headers.push(("Content-Length", &length));
    let mut stream = send_head(method, url, &headers);
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

/// Sends a request without its body.
pub(crate) fn send_head(method: &str, url: &str, headers: &[(&str, &str)]) -> TcpStream {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (host, path) = rest.split_once('/').expect("a URL with a path");
    let mut text = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

pub(crate) fn parse(reply: &str) -> Reply {
    let (head, body) = reply.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        (name.to_lowercase(), value.to_owned())
    });
    Reply {
        status: status.parse().unwrap(),
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

pub(crate) fn post(url: &str, token: &str, offer: &str) -> Reply {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Content-Type", "application/sdp"),
        ("Authorization", authorization.as_str()),
    ];
    request("POST", url, &headers, offer)
}

pub(crate) fn delete(url: &str, token: &str) -> Reply {
    request(
        "DELETE",
        url,
        &[("Authorization", &format!("Bearer {token}"))],
        "",
    )
}

/// Resolves a `Location` that is a URL or an absolute path (RFC 3986 5.2).
pub(crate) fn resolve(base: &str, location: &str) -> String {
    if location.starts_with("http://") {
        return location.to_owned();
    }
    let host = base.split('/').nth(2).unwrap();
    format!("http://{host}{location}")
}

/// URL of the regional host's endpoint.
pub(crate) fn regional(stage: &Stage) -> String {
    format!("http://{}/", stage.regional_host())
}

pub(crate) fn happened(stage: &Stage, test: impl Fn(&Happening) -> bool) -> bool {
    stage
        .wait_for(BOUND, |events| {
            events.iter().find(|event| test(&event.what)).map(|_| ())
        })
        .is_some()
}

/// Waits until a session passes the test.
pub(crate) fn session_is(stage: &Stage, test: impl Fn(&SessionReport) -> bool) -> bool {
    stage
        .wait_for_sessions(BOUND, |sessions| {
            sessions.iter().find(|one| test(one)).map(|_| ())
        })
        .is_some()
}

/// An offer without a publisher: audio and inactive H.264.
pub(crate) fn offer() -> String {
    Publisher::new().offer
}

/// A publisher that sends audio and offers inactive H.264 video.
pub(crate) struct Publisher {
    pub(crate) rtc: Rtc,
    pub(crate) offer: String,
    /// Number of RTP packets sent.
    pub(crate) sent: usize,
    /// Number of RTP packets received.
    pub(crate) received: usize,
    /// Whether the stage has closed the connection.
    pub(crate) closed: bool,
    /// Number of key-frame requests received.
    pub(crate) asked: usize,
    /// Whether RTP packets get lost on their way.
    pub(crate) loses: bool,
    /// How many of the next RTP packets get lost on their way to here.
    pub(crate) misses: usize,
    pending: Option<SdpPendingOffer>,
    audio: Mid,
    video: Mid,
    socket: UdpSocket,
}

/// Whether a publisher checks the stage's fingerprint, as it must.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FingerprintCheck {
    On,
    Off,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self::with_video(Direction::Inactive)
    }

    /// With audio, and video in this direction.
    pub(crate) fn with_video(video: Direction) -> Self {
        Self::with_check(video, FingerprintCheck::On)
    }

    pub(crate) fn with_check(video: Direction, check: FingerprintCheck) -> Self {
        Self::peer(Direction::SendOnly, video, check, &[])
    }

    /// With audio, and video in these simulcast layers.
    pub(crate) fn with_layers(layers: &[&str]) -> Self {
        let both = Direction::SendOnly;
        Self::peer(both, both, FingerprintCheck::On, layers)
    }

    /// Not a publisher but a viewer: it receives both.
    pub(crate) fn viewer() -> Self {
        Self::peer(
            Direction::RecvOnly,
            Direction::RecvOnly,
            FingerprintCheck::On,
            &[],
        )
    }

    fn peer(audio: Direction, video: Direction, check: FingerprintCheck, layers: &[&str]) -> Self {
        let address = if_addrs::get_if_addrs().unwrap();
        let address = address
            .iter()
            .find(|one| !one.is_loopback() && one.ip().is_ipv4());
        let socket = UdpSocket::bind((address.unwrap().ip(), 0)).unwrap();
        let mut rtc = Rtc::builder()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .set_fingerprint_verification(check == FingerprintCheck::On)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_h264(true)
            .set_rtp_mode(true)
            .enable_raw_packets(true)
            .build(Instant::now());
        let local = socket.local_addr().unwrap();
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut change = rtc.sdp_api();
        let audio = change.add_media(MediaKind::Audio, audio, None, None, None);
        let simulcast = (!layers.is_empty()).then(|| Simulcast {
            send: layers.iter().map(|rid| SimulcastLayer::new(rid)).collect(),
            recv: Vec::new(),
        });
        let video = change.add_media(MediaKind::Video, video, None, None, simulcast);
        let (offer, pending) = change.apply().unwrap();
        Self {
            rtc,
            offer: offer.to_sdp_string(),
            sent: 0,
            received: 0,
            closed: false,
            asked: 0,
            loses: false,
            misses: 0,
            pending: Some(pending),
            audio,
            video,
            socket,
        }
    }

    pub(crate) fn accept(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// Posts the offer, takes the answer and connects. Returns the session URL.
    pub(crate) fn publish(&mut self, stage: &Stage, token: &str) -> String {
        let url = regional(stage);
        let reply = post(&url, token, &self.offer);
        assert_eq!(reply.status, 201, "{}", reply.body);
        self.accept(&reply.body);
        self.connect();
        resolve(&url, reply.header("location").unwrap())
    }

    /// Runs until an event passes the test. False after `bound` or an error.
    pub(crate) fn run_until(
        &mut self,
        bound: Duration,
        mut test: impl FnMut(&Event) -> bool,
    ) -> bool {
        let end = Instant::now() + bound;
        while Instant::now() < end && self.rtc.is_alive() {
            let Ok(output) = self.rtc.poll_output() else {
                return false;
            };
            match output {
                Output::Timeout(at) => {
                    if self.wait(at.min(end)).is_err() {
                        return false;
                    }
                }
                Output::Transmit(out) => {
                    if is_rtp(&out.contents) {
                        self.sent += 1;
                        if self.loses {
                            continue;
                        }
                    }
                    self.socket.send_to(&out.contents, out.destination).unwrap();
                }
                Output::Event(event) => {
                    self.asked += usize::from(matches!(event, Event::KeyframeRequest(_)));
                    self.received += usize::from(matches!(event, Event::RtpPacket(_)));
                    self.closed |= matches!(event, Event::Closed);
                    if test(&event) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Runs until the test passes. False after [`BOUND`].
    pub(crate) fn run_while_waiting(&mut self, test: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + BOUND;
        while Instant::now() < end {
            if test(self) {
                return true;
            }
            self.run_until(Duration::from_millis(10), |_| false);
        }
        false
    }

    pub(crate) fn connect(&mut self) {
        assert!(self.run_until(BOUND, |event| matches!(event, Event::Connected)));
    }

    /// Requests a key frame of the video that it receives.
    pub(crate) fn want_key_frame(&mut self) {
        let mut direct = self.rtc.direct_api();
        let video = direct.stream_rx_by_mid(self.video, None).unwrap();
        video.request_keyframe(KeyframeRequestKind::Pli);
    }

    /// Sends Opus packets of 20 ms, faster than real time, without those in
    /// `lose`.
    pub(crate) fn send_audio(&mut self, packets: u64, lose: &[u64]) {
        for number in (0..packets).filter(|number| !lose.contains(number)) {
            self.send_audio_packet(number);
        }
    }

    pub(crate) fn send_audio_packet(&mut self, number: u64) {
        let time = u32::try_from(number * 960).unwrap();
        self.send(self.audio, Codec::Opus, number, time, &[0xf8; 80]);
        self.run_until(Duration::from_millis(2), |_| false);
    }

    /// Sends a key frame in one packet.
    pub(crate) fn send_picture(&mut self, number: u64) {
        let time = u32::try_from(number * 3000).unwrap();
        self.send(self.video, Codec::H264, number, time, &[0x65, 0x88]);
        self.run_until(Duration::from_millis(2), |_| false);
    }

    /// Sends a frame in one packet: a key frame with parameter sets if the number
    /// is 0. Returns when the packet is on its way.
    pub(crate) fn send_frame(&mut self, number: u64) {
        let key: &[u8] = &[0x78, 0, 2, 0x67, 66, 0, 1, 0x68, 0, 2, 0x65, 0x88];
        let payload = if number == 0 { key } else { &[0x41, 0x9a] };
        let time = u32::try_from(number * 3000).unwrap();
        let sent = self.sent;
        self.send(self.video, Codec::H264, number, time, payload);
        assert!(self.run_while_waiting(|publisher| publisher.sent > sent));
    }

    /// Sends a frame in one packet, without waiting for it to leave.
    pub(crate) fn send_numbered(&mut self, number: u64, key: bool) {
        let key_frame: &[u8] = &[0x78, 0, 2, 0x67, 66, 0, 1, 0x68, 0, 2, 0x65, 0x88];
        let payload = if key { key_frame } else { &[0x41, 0x9a] };
        let time = u32::try_from(number * 3000).unwrap();
        self.send(self.video, Codec::H264, number, time, payload);
    }

    /// Sends a frame of a simulcast layer in one packet, without waiting for it to leave.
    pub(crate) fn send_layer(&mut self, rid: &str, number: u64, payload: &[u8]) {
        let time = u32::try_from(number * 3000).unwrap();
        let layer = Some(rid.into());
        self.send_in(self.video, layer, Codec::H264, number, time, payload);
    }

    /// Sends a frame of many packets of 1150 bytes, without waiting for them to
    /// leave.
    pub(crate) fn send_large_frame(&mut self, number: u64, packets: u64) {
        let mut payload = [0; 1150];
        payload[..2].copy_from_slice(&[0x41, 0x9a]);
        let time = u32::try_from(number * 3000).unwrap();
        for packet in 0..packets {
            self.send(
                self.video,
                Codec::H264,
                number * packets + packet,
                time,
                &payload,
            );
        }
    }

    /// Sends one packet of video, without waiting for it to leave.
    pub(crate) fn send_payload(&mut self, number: u64, time: u32, payload: &[u8]) {
        self.send(self.video, Codec::H264, number, time, payload);
    }

    fn send(&mut self, mid: Mid, codec: Codec, number: u64, time: u32, payload: &[u8]) {
        self.send_in(mid, None, codec, number, time, payload);
    }

    fn send_in(
        &mut self,
        mid: Mid,
        layer: Option<Rid>,
        codec: Codec,
        number: u64,
        time: u32,
        payload: &[u8],
    ) {
        let mut params = self.rtc.codec_config().params().iter();
        let pt = params.find(|params| params.spec().codec == codec);
        let pt = pt.unwrap().pt();
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, layer).unwrap();
        let packet = RtpWrite::new(pt, (1000 + number).into(), time, Instant::now(), payload);
        stream.write_rtp(packet.marker(true).nackable(true));
    }

    fn wait(&mut self, until: Instant) -> Result<(), RtcError> {
        let left = until.saturating_duration_since(Instant::now());
        self.socket
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .unwrap();
        let mut datagram = [0; 2000];
        let now = Instant::now;
        let input = match self.socket.recv_from(&mut datagram) {
            Ok((length, _)) if self.misses > 0 && is_rtp(&datagram[..length]) => {
                self.misses -= 1;
                Input::Timeout(now())
            }
            Ok((length, source)) => {
                let local = self.socket.local_addr().unwrap();
                let receive = Receive::new(Protocol::Udp, source, local, &datagram[..length]);
                Input::Receive(now(), receive.unwrap())
            }
            Err(_) => Input::Timeout(now()),
        };
        self.rtc.handle_input(input)
    }
}

fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..192, kind, ..] if !(192..224).contains(kind))
}
