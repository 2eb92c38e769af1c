//! What a client sends to the local stage: HTTP, an offer, a token, a fragment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ivs_stage::{PatchRule, Rules, Stage, TrickleRule};

/// It gets an answer.
const OFFER: &[u8] = include_bytes!("../seeds/stage/offer").split_at(1).1;
const BOUND: Duration = Duration::from_secs(20);
/// Requests to one stage, whose record grows with them.
const REQUESTS: u32 = 500;

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    stage: Stage,
    token: String,
    requests: u32,
}

/// The first byte says where the others go.
pub fn stage(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let mut shared = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    // One that failed is not used again.
    let kept = shared.take().filter(|running| running.requests < REQUESTS);
    let mut running = kept.unwrap_or_else(Running::start);
    running.requests += 1;
    match kind % 4 {
        0 => running.http(data),
        1 => running.offer(data),
        2 => running.token(data),
        _ => running.fragment(data),
    }
    assert_eq!(running.stage.live_sessions(), 0);
    *shared = Some(running);
}

impl Running {
    fn start() -> Self {
        let stage = Stage::start(Rules {
            patch: PatchRule::Trickle(TrickleRule::UNCHECKED),
            page_port: Some(0),
            ..Rules::default()
        });
        let stage = stage.unwrap();
        Self {
            token: stage.token(),
            stage,
            requests: 0,
        }
    }

    /// The bytes are all that a connection brings, to the endpoint or to the page.
    fn http(&self, data: &[u8]) {
        let page = self.stage.page().unwrap();
        let page = page.strip_prefix("http://").unwrap();
        let page = page.split('/').next().unwrap();
        for host in [self.stage.regional_host().as_str(), page] {
            let reply = exchange(host, data, true);
            if !reply.is_empty() {
                self.check(&reply, true);
            }
        }
    }

    /// The bytes are an offer, to publish or to watch.
    fn offer(&self, data: &[u8]) {
        let watched = self.post("/subscribe/nobody", &self.token, data);
        assert!(
            (400..500).contains(&self.check(&watched, false)),
            "{watched}"
        );
        let reply = self.post("/", &self.token, data);
        if self.check(&reply, false) == 201 {
            self.end(&reply);
        }
    }

    /// The bytes are a token.
    fn token(&self, data: &[u8]) {
        let Ok(token) = std::str::from_utf8(data) else {
            return;
        };
        if token.chars().any(char::is_control) {
            return;
        }
        for path in ["/", "/subscribe/nobody"] {
            let reply = self.post(path, token, OFFER);
            let status = self.check(&reply, false);
            assert!((400..500).contains(&status), "{token}: {reply}");
        }
    }

    /// The bytes are what a PATCH brings to a session.
    fn fragment(&self, data: &[u8]) {
        let reply = self.post("/", &self.token, OFFER);
        assert_eq!(self.check(&reply, false), 201, "{reply}");
        let kind = "application/trickle-ice-sdpfrag";
        let patched = self.request("PATCH", location(&reply), &self.token, kind, data);
        self.check(&patched, false);
        self.end(&reply);
    }

    fn end(&self, reply: &str) {
        let ended = self.request("DELETE", location(reply), &self.token, "", b"");
        assert_eq!(self.check(&ended, false), 200, "{ended}");
    }

    /// The status of a reply that is one of the stage's own.
    fn check(&self, reply: &str, is_raw: bool) -> u16 {
        let status = reply
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5));
        let status: u16 = status.and_then(|status| status.parse().ok()).expect(reply);
        assert!((100..500).contains(&status), "{reply}");
        // The page gives out tokens.
        assert!(is_raw || !reply.contains(&self.token), "{reply}");
        status
    }

    fn post(&self, path: &str, token: &str, body: &[u8]) -> String {
        self.request("POST", path, token, "application/sdp", body)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: &[u8],
    ) -> String {
        let (host, length) = (self.stage.regional_host(), body.len());
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        let reply = exchange(&host, &bytes, false);
        assert!(!reply.is_empty(), "no reply to {method} {path}");
        reply
    }
}

fn location(reply: &str) -> &str {
    let line = reply.lines().find(|line| {
        let name = line.split(':').next().unwrap();
        name.eq_ignore_ascii_case("location")
    });
    let url = line.unwrap().split_once(':').unwrap().1.trim();
    match url.strip_prefix("http://") {
        Some(rest) => &rest[rest.find('/').unwrap()..],
        None => url,
    }
}

/// What comes back until the stage closes the connection, which it does. It drops a request
/// whose client has closed its side before the reply.
fn exchange(host: &str, bytes: &[u8], is_all: bool) -> String {
    let mut connection = TcpStream::connect(host).unwrap();
    connection.set_read_timeout(Some(BOUND)).unwrap();
    // The stage may have closed it after the first bytes.
    let _ = connection.write_all(bytes);
    if is_all {
        let _ = connection.shutdown(Shutdown::Write);
    }
    let mut reply = Vec::new();
    match connection.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {}", bytes.escape_ascii()),
    }
    String::from_utf8_lossy(&reply).into_owned()
}
