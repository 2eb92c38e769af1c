//! Detects that the far end is gone: webrtcbin 1.22 stays connected to a dead
//! peer for minutes.
//!
//! Every received packet is a sign of life, above all RTCP, which a receiver
//! sends every 1 to 7 s whether media flows or not (RFC 3550 6.2). A single lost
//! report must not end a session. After a longer silence we therefore send our
//! own connectivity checks (as in RFC 7675). libnice does not pass on replies to
//! checks that it did not send, so ours use a separate socket. Full and lite ICE
//! agents answer anybody who knows the password (RFC 8445 7.3).
//!
//! A reply to a check shows that the far end lives, not that the media's own
//! socket still reaches us: after a change of network or of a NAT's table it
//! does not. So replies only bridge a few late reports.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::ice_checks::IceChecks;

/// Number of intervals in the silence time-out. This many silent ones are a loss.
const INTERVALS: u32 = 5;

/// From this many silent intervals on we send checks. With fewer, reports may
/// only be late.
const DOUBTFUL: u32 = 3;

/// Checks in a row without a reply after which we stop asking: the far end does
/// not answer them, or they do not reach it.
const MAX_ROUNDS: u32 = 5;

/// How many of the answer's candidates of an address family are asked. A server
/// has one or two; more can be other people's addresses.
const MAX_CANDIDATES: usize = 8;

/// Replies to checks bridge a silence of the media's socket of this many times
/// the silence time-out.
const BRIDGED: u32 = 2;

/// Shortest silence of the media's socket that is a loss although checks are
/// answered: reports can be 7 s apart, and two in a row can be lost.
const MIN_BRIDGED: Duration = Duration::from_secs(20);

/// The result of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveliness {
    /// The far end was heard, or has only been silent for a short time.
    Alive,
    /// The far end should be sent a check.
    SendCheck,
    /// The far end is gone.
    Lost,
}

/// Counts silent intervals instead of time: a process that was suspended has
/// not received anything either, although the far end may be alive.
#[derive(Debug)]
pub(super) struct Liveness {
    bound: Duration,
    counts: Counts,
    has_ever_heard_media: bool,
    has_ever_heard: bool,
    /// Intervals in a row without any packet.
    silent: u32,
    /// Intervals in a row without a packet on the media's socket.
    media_silent: u32,
}

/// Numbers of packets received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// On the media's socket.
    pub(super) media: u64,
    /// Replies to our checks, on their own socket.
    pub(super) replies: u64,
}

impl Liveness {
    pub(super) fn new(bound: Duration, counts: Counts) -> Self {
        Self {
            bound,
            counts,
            has_ever_heard_media: false,
            has_ever_heard: false,
            silent: 0,
            media_silent: 0,
        }
    }

    /// Length of the silence so far.
    pub(super) fn silence(&self) -> Duration {
        let intervals = match self.silent {
            0..INTERVALS => self.media_silent,
            silent => silent,
        };
        self.interval() * intervals
    }

    pub(super) fn interval(&self) -> Duration {
        self.bound / INTERVALS
    }

    /// Whether any packet was received since [`Liveness::new`].
    pub(super) fn has_ever_heard(&self) -> bool {
        self.has_ever_heard
    }

    /// Whether another check can tell anything, if the far end is in doubt.
    pub(super) fn is_worth_a_check(&self) -> bool {
        self.silent < DOUBTFUL + MAX_ROUNDS
    }

    /// Ends an interval.
    pub(super) fn tick(&mut self, counts: Counts) -> Liveliness {
        let before = std::mem::replace(&mut self.counts, counts);
        self.silent = self.silent.saturating_add(1);
        self.media_silent = self.media_silent.saturating_add(1);
        if counts != before {
            self.silent = 0;
            self.has_ever_heard = true;
        }
        if counts.media != before.media {
            self.media_silent = 0;
            self.has_ever_heard_media = true;
        }
        if self.is_deaf() {
            return Liveliness::Lost;
        }
        match self.silent {
            0..DOUBTFUL => Liveliness::Alive,
            DOUBTFUL..INTERVALS => Liveliness::SendCheck,
            _ => Liveliness::Lost,
        }
    }

    /// Whether the media's socket has been silent for too long, whatever the
    /// replies say. A socket on which nothing ever came tells nothing: some
    /// servers send no reports.
    fn is_deaf(&self) -> bool {
        let bridged = (self.bound * BRIDGED).max(MIN_BRIDGED);
        self.has_ever_heard_media && self.interval() * self.media_silent >= bridged
    }
}

/// Decides whether silence from the start of a session counts as a loss. With a
/// server that neither sends packets nor answers checks, every session would be
/// lost. After one received packet, silence in that session always counts.
#[derive(Debug, Default)]
pub(super) struct SilenceHistory {
    /// Sessions in a row that were lost by silence without any received packet.
    mute: u32,
}

impl SilenceHistory {
    pub(super) fn counts_as_loss(&self) -> bool {
        self.mute < 2
    }

    /// Notes a session that was lost by silence.
    pub(super) fn lost(&mut self, had_heard: bool) {
        self.mute = if had_heard { 0 } else { self.mute + 1 };
    }
}

/// Sends checks to the far end and counts the replies.
#[derive(Debug)]
pub(super) struct CheckSender {
    ice: IceChecks,
    candidates: Vec<SocketAddr>,
    replies: Arc<AtomicU64>,
    listening: Vec<JoinHandle<()>>,
}

impl CheckSender {
    /// `candidates` are those of the answer.
    pub(super) fn new(ice: IceChecks, candidates: Vec<SocketAddr>) -> Self {
        Self {
            ice,
            candidates,
            replies: Arc::default(),
            listening: Vec::new(),
        }
    }

    /// Number of replies so far; one for each round and address family at most.
    pub(super) fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Sends each candidate a check, twice in case one is lost, and listens for
    /// replies until the next call.
    pub(super) fn send_checks(&mut self) {
        self.stop_listening();
        let families = [
            SocketAddr::is_ipv4 as fn(&SocketAddr) -> bool,
            SocketAddr::is_ipv6,
        ];
        for is_of_family in families {
            let candidates: Vec<_> = self
                .candidates
                .iter()
                .copied()
                .filter(is_of_family)
                .take(MAX_CANDIDATES)
                .collect();
            if !candidates.is_empty() {
                let round = round(self.ice.clone(), candidates, self.replies.clone());
                self.listening.push(tokio::spawn(round));
            }
        }
    }

    fn stop_listening(&mut self) {
        for listening in self.listening.drain(..) {
            listening.abort();
        }
    }
}

impl Drop for CheckSender {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

/// One round with candidates of one address family. A socket error has the same
/// effect as a missing reply.
async fn round(ice: IceChecks, candidates: Vec<SocketAddr>, replies: Arc<AtomicU64>) {
    let any: SocketAddr = match candidates.first() {
        Some(SocketAddr::V6(_)) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        _ => (Ipv4Addr::UNSPECIFIED, 0).into(),
    };
    let Ok(socket) = UdpSocket::bind(any).await else {
        return;
    };
    let Some(check) = ice.check() else { return };
    for candidate in candidates.iter().chain(&candidates) {
        let _ = socket.send_to(&check.packet, candidate).await;
    }
    let mut packet = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        let is_reply = candidates.contains(&from)
            && packet
                .get(..length)
                .is_some_and(|packet| ice.is_reply(&check, packet));
        if is_reply {
            replies.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whip::{Answer, Offer};

    fn counts(media: u64, replies: u64) -> Counts {
        Counts { media, replies }
    }

    fn liveness() -> Liveness {
        Liveness::new(Duration::from_secs(10), counts(7, 0))
    }

    #[test]
    fn silence_is_doubtful_first_and_a_loss_at_the_bound() {
        let mut liveness = liveness();
        assert_eq!(liveness.interval() * INTERVALS, Duration::from_secs(10));
        assert_eq!(liveness.tick(counts(8, 0)), Liveliness::Alive);
        let signs: Vec<Liveliness> = (0..5).map(|_| liveness.tick(counts(8, 0))).collect();
        assert_eq!(
            signs,
            [
                Liveliness::Alive,
                Liveliness::Alive,
                Liveliness::SendCheck,
                Liveliness::SendCheck,
                Liveliness::Lost
            ]
        );
        assert!(liveness.has_ever_heard());
    }

    #[test]
    fn reports_every_six_seconds_are_enough() {
        let mut liveness = liveness();
        assert!((0..100).all(|tick| liveness.tick(counts(8 + tick / 3, 0)) == Liveliness::Alive));
    }

    #[test]
    fn a_reply_ends_the_doubt() {
        let mut liveness = liveness();
        let signs: Vec<Liveliness> = [0, 0, 0, 1, 1]
            .map(|replies| liveness.tick(counts(7, replies)))
            .to_vec();
        assert_eq!(
            signs,
            [
                Liveliness::Alive,
                Liveliness::Alive,
                Liveliness::SendCheck,
                Liveliness::Alive,
                Liveliness::Alive
            ]
        );
    }

    /// The interval that is a loss, if a check is answered in each.
    fn deaf_after(bound: u64, media: u64) -> Option<u64> {
        let mut liveness = Liveness::new(Duration::from_secs(bound), counts(7, 0));
        liveness.tick(counts(media, 0));
        (1..100).find(|&tick| liveness.tick(counts(media, tick)) == Liveliness::Lost)
    }

    #[test]
    fn replies_bridge_two_times_the_bound_and_at_least_two_lost_reports() {
        assert_eq!(deaf_after(10, 8), Some(10));
        assert_eq!(deaf_after(2, 8), Some(50));
        assert_eq!(deaf_after(60, 8), Some(10));
        assert_eq!(deaf_after(10, 7), None, "never heard");
    }

    #[test]
    fn a_server_that_is_always_mute_is_not_judged_by_silence() {
        let mut silence = SilenceHistory::default();
        silence.lost(false);
        silence.lost(true);
        silence.lost(false);
        assert!(silence.counts_as_loss());
        silence.lost(false);
        assert!(!silence.counts_as_loss());
    }

    fn consent() -> IceChecks {
        let offer = "v=0\r\nm=audio 9 x 0\r\na=sendonly\r\na=ice-ufrag:ours\r\na=ice-pwd:x\r\n";
        let offer = Offer::new(offer, "s", None).unwrap();
        let answer = Answer::unchecked("v=0\r\na=ice-ufrag:theirs\r\na=ice-pwd:their-password\r\n");
        IceChecks::new(&offer, &answer).unwrap()
    }

    #[tokio::test]
    async fn a_handful_of_candidates_is_asked() {
        let far_end = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let candidates = vec![far_end.local_addr().unwrap(); 100];
        let mut sender = CheckSender::new(consent(), candidates);
        sender.send_checks();
        far_end.readable().await.unwrap();
        // Behind all checks: they are sent in one go.
        let address = far_end.local_addr().unwrap();
        far_end.send_to(b"end", address).await.unwrap();
        let mut packet = [0; 1500];
        let mut asked = 0;
        while far_end.recv_from(&mut packet).await.unwrap().0 > 3 {
            asked += 1;
        }
        assert_eq!(asked, 2 * MAX_CANDIDATES);
    }

    #[tokio::test]
    async fn a_far_end_that_answers_is_heard_and_a_stranger_is_not() {
        let far_end = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let candidates = vec![far_end.local_addr().unwrap()];
        let mut sender = CheckSender::new(consent(), candidates);
        sender.send_checks();
        let mut packet = [0; 1500];
        let (length, from) = far_end.recv_from(&mut packet).await.unwrap();
        far_end.send_to(b"no reply at all", from).await.unwrap();
        let reply = consent().reply_to(&packet[..length]);
        far_end.send_to(&reply, from).await.unwrap();
        let listening = sender.listening.pop().unwrap();
        listening.await.unwrap();
        assert_eq!(sender.replies(), 1);
    }
}
