//! The media side of a server, as far as a session's own checks reach it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use stun_types::message::{
    IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWriteVec, ShortTermCredentials,
};
use stun_types::prelude::*;

use crate::common::{Action, Reply, Request, Server, answer_for};
use crate::publisher::BOUND;

/// The ICE password in the answers of `answer_for`.
const PASSWORD: &str = "farEndPasswordOf24Letters";

/// Shows that what was sent before has been handled.
const MARK: &[u8] = b"mark";

/// Ends the far end's thread.
const END: &[u8] = b"end";

/// A UDP socket that counts checks, and may answer them.
pub(crate) struct FarEnd {
    socket: UdpSocket,
    checks: Arc<AtomicUsize>,
    marks: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl FarEnd {
    /// Answers every check.
    pub(crate) fn answering() -> Self {
        Self::start(true)
    }

    /// Answers no check.
    pub(crate) fn mute() -> Self {
        Self::start(false)
    }

    fn start(answers: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let checks = Arc::new(AtomicUsize::new(0));
        let (marked, marks) = channel();
        let (receiving, count) = (socket.try_clone().unwrap(), checks.clone());
        let serve = move || {
            let mut packet = [0; 1500];
            loop {
                let (length, from) = receiving.recv_from(&mut packet).unwrap();
                match &packet[..length] {
                    END => return,
                    MARK => marked.send(()).unwrap(),
                    check => {
                        count.fetch_add(1, Ordering::SeqCst);
                        if answers {
                            // Fails if the session has closed its socket.
                            let _ = receiving.send_to(&reply_to(check), from);
                        }
                    }
                }
            }
        };
        Self {
            socket,
            checks,
            marks,
            thread: Some(std::thread::spawn(serve)),
        }
    }

    /// A WHIP server whose answers name this far end.
    pub(crate) fn server(&self) -> Server {
        let port = self.socket.local_addr().unwrap().port();
        let candidate = format!("a=candidate:1 1 udp 1 127.0.0.1 {port} typ host\r\n");
        Server::start("127.0.0.1", move |request| answer(request, &candidate))
    }

    /// How many checks have been sent so far.
    pub(crate) fn checks(&self) -> usize {
        self.settle();
        self.checks.load(Ordering::SeqCst)
    }

    /// Returns when every check sent so far is answered: packets to this
    /// machine arrive in order.
    pub(crate) fn settle(&self) {
        self.send(MARK);
        self.marks.recv_timeout(BOUND).unwrap();
    }

    fn send(&self, packet: &[u8]) {
        let address = self.socket.local_addr().unwrap();
        self.socket.send_to(packet, address).unwrap();
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.send(END);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn answer(request: &Request, candidate: &str) -> Action {
    let reply = match request.method.as_str() {
        "POST" => Reply::new(201)
            .header("Content-Type", "application/sdp")
            .header("Location", "/session/1")
            .body(answer_for(&request.body) + candidate),
        _ => Reply::new(200),
    };
    reply.into()
}

fn reply_to(check: &[u8]) -> Vec<u8> {
    let request = Message::from_bytes(check).unwrap();
    let password: MessageIntegrityCredentials =
        ShortTermCredentials::new(PASSWORD.to_owned()).into();
    let mut reply = Message::builder_success(&request, MessageWriteVec::new());
    reply
        .add_message_integrity(&password, IntegrityAlgorithm::Sha1)
        .unwrap();
    reply.finish()
}
