//! The running stage: a thread with its own runtime, and the handle to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{error, fmt, io};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::http::serve;
use crate::record::{Event, Happening, Record, SessionReport};
use crate::rules::{KeySource, Rules};
use crate::site::Site;
use crate::token::{KeyError, MintError, SigningKey, TokenWish};

/// A stage that runs until it is dropped. Drop closes every socket before it
/// returns, without a word to connected peers, as a crash would; call
/// [`close_sessions`](Self::close_sessions) before for a farewell.
///
/// # Panics
///
/// If the stage's own code panicked, so does the next call that looks at what
/// happened, or else the drop: a broken far end must not pass for a quiet one.
#[derive(Debug)]
pub struct Stage {
    site: Arc<Site>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a stage did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address of a listener, or of the media, can't be had.
    Bind(SocketAddr, io::Error),
    /// The host's addresses can't be listed.
    Interfaces(io::Error),
    /// The host has no IPv4 address but loopback, where WebRTC clients don't
    /// look for each other.
    NoMediaAddress,
    /// There is no signing key.
    Key(KeyError),
    /// The thread or its runtime can't be had.
    Runtime(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(f, "can't use {address}: {error}"),
            Self::Interfaces(error) => write!(f, "can't list this host's addresses: {error}"),
            Self::NoMediaAddress => f.write_str(
                "this host has no IPv4 address but loopback, on which WebRTC clients never \
                 connect; bring a network interface up or name an address for the media",
            ),
            Self::Key(error) => write!(f, "no key to sign tokens with: {error}"),
            Self::Runtime(error) => write!(f, "can't start the stage's thread: {error}"),
        }
    }
}

impl error::Error for StartError {}

impl Stage {
    /// Starts a stage; when this returns it takes requests.
    ///
    /// # Errors
    ///
    /// When an address, the key or the thread can't be had.
    pub fn start(rules: Rules) -> Result<Self, StartError> {
        let media_address = match rules.media_address {
            Some(address) => address,
            None => outer_address()?,
        };
        try_media(media_address)?;
        let key = match &rules.key {
            KeySource::Fresh => SigningKey::fresh(),
            KeySource::File(path) => SigningKey::from_file(path),
        };
        let key = key.map_err(StartError::Key)?;
        let (listeners, hosts) = listen(&rules)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;

        let record = Arc::new(Record::new(rules.follow.clone()));
        let site = Arc::new(Site::new(rules, hosts, media_address, key, record));
        site.record.add(Happening::Listening {
            endpoint: site.endpoint(),
            hosts: site.hosts.clone(),
            media_address: media_address.to_string(),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("ivs-stage".into()).spawn({
            let site = Arc::clone(&site);
            move || run(&runtime, &site, listeners, stopped)
        });
        Ok(Self {
            site,
            stop: Some(stop),
            thread: Some(thread.map_err(StartError::Runtime)?),
        })
    }

    /// URL of the global listener, to be given to a WHIP client.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.site.endpoint()
    }

    /// Host and port of the regional listener, which keeps the sessions.
    #[must_use]
    pub fn regional_host(&self) -> String {
        self.site.regional_host().to_owned()
    }

    /// A new token that may publish, good for an hour.
    ///
    /// # Panics
    ///
    /// If OpenSSL fails; [`mint`](Self::mint) tells it as an error.
    #[must_use]
    #[expect(clippy::panic, reason = "no test can go on without a token")]
    pub fn token(&self) -> String {
        match self.mint(TokenWish::default()) {
            Ok(token) => token,
            Err(error) => panic!("ivs-stage: {error}"),
        }
    }

    /// A token as wished for. Its `whip_url` is this stage's endpoint unless
    /// the wish names one.
    ///
    /// # Errors
    ///
    /// When OpenSSL fails.
    pub fn mint(&self, mut wish: TokenWish) -> Result<String, MintError> {
        let endpoint = self.endpoint();
        wish.whip_url
            .get_or_insert_with(|| endpoint.trim_end_matches('/').to_owned());
        self.site.key.mint(&wish)
    }

    /// What has happened so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.report_panic();
        self.site.record.events()
    }

    /// Waits until `look` finds something in the events, for `bound` at most.
    /// It is called at once and then after each change.
    #[must_use]
    pub fn wait_for<T>(
        &self,
        bound: Duration,
        mut look: impl FnMut(&[Event]) -> Option<T>,
    ) -> Option<T> {
        let take = |events: &[Event], _: &[SessionReport]| events.to_vec();
        let found = self.site.record.wait(bound, take, |events| look(&events));
        self.report_panic();
        found
    }

    /// Waits until `look` finds something in the session reports, which change
    /// with every packet, for `bound` at most.
    #[must_use]
    pub fn wait_for_sessions<T>(
        &self,
        bound: Duration,
        mut look: impl FnMut(&[SessionReport]) -> Option<T>,
    ) -> Option<T> {
        let take = |_: &[Event], sessions: &[SessionReport]| sessions.to_vec();
        let found = self
            .site
            .record
            .wait(bound, take, |sessions| look(&sessions));
        self.report_panic();
        found
    }

    /// All sessions, live and ended, in the order of their POSTs.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionReport> {
        self.report_panic();
        self.site.record.sessions()
    }

    /// How many sessions were made and have neither been deleted nor ended. A
    /// publisher that went away without DELETE stays for a while: a ghost.
    #[must_use]
    pub fn live_sessions(&self) -> usize {
        let sessions = self.sessions();
        sessions
            .iter()
            .filter(|report| report.ended.is_none())
            .count()
    }

    /// Ends every session from the stage's side, with a DTLS alert to the
    /// peer. Their URLs answer 404 from then on.
    pub fn close_sessions(&self) {
        self.site.sessions.close_all(&self.site.record);
    }

    #[expect(clippy::panic, reason = "a test must not go on with a broken far end")]
    fn report_panic(&self) {
        if let Some(failure) = self.site.record.failure() {
            panic!("ivs-stage: {failure}");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            self.site.record.fail("the stage's thread panicked".into());
        }
        if !thread::panicking() {
            self.report_panic();
        }
    }
}

/// Serves until the handle is dropped. The runtime goes with this call, and
/// with it every task and socket.
fn run(
    runtime: &Runtime,
    site: &Arc<Site>,
    listeners: Vec<TcpListener>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        for (place, listener) in listeners.into_iter().enumerate() {
            serve(site, place, listener);
        }
        // An error is the sender's drop, the usual way to stop.
        let _ = stopped.await;
    });
}

/// Listeners from the global one to the regional one, each on another loopback
/// address where the system has more than one.
fn listen(rules: &Rules) -> Result<(Vec<TcpListener>, Vec<String>), StartError> {
    let mut listeners = Vec::new();
    let mut hosts = Vec::new();
    for place in 0..=rules.hops {
        let port = match place {
            0 => rules.port,
            _ if place == rules.hops => rules.regional_port,
            _ => 0,
        };
        let address = SocketAddr::new(loopback(place), port);
        let listener = bind(address).map_err(|error| StartError::Bind(address, error))?;
        let address = listener.local_addr().map_err(StartError::Runtime)?;
        hosts.push(address.to_string());
        listeners.push(listener);
    }
    Ok((listeners, hosts))
}

fn loopback(place: usize) -> IpAddr {
    let offset = u32::try_from(place).unwrap_or(0) & 0xffff;
    Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + offset).into()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).or_else(|error| match error.kind() {
        // Some systems have 127.0.0.1 only.
        io::ErrorKind::AddrNotAvailable => TcpListener::bind((Ipv4Addr::LOCALHOST, address.port())),
        _ => Err(error),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Finds out now, and not at each POST, that an address isn't this host's.
fn try_media(address: IpAddr) -> Result<(), StartError> {
    let address = SocketAddr::new(address, 0);
    let socket = UdpSocket::bind(address);
    socket.map_err(|error| StartError::Bind(address, error))?;
    Ok(())
}

fn outer_address() -> Result<IpAddr, StartError> {
    let interfaces = if_addrs::get_if_addrs().map_err(StartError::Interfaces)?;
    let mut addresses = interfaces.iter().map(if_addrs::Interface::ip);
    addresses
        .find(|address| match address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(_) => false,
        })
        .ok_or(StartError::NoMediaAddress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::watch;

    #[test]
    #[should_panic(expected = "a task panicked: oh no")]
    fn a_panic_of_a_task_shows() {
        let stage = Stage::start(Rules::default()).unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        let record = Arc::clone(&stage.site.record);
        runtime.block_on(async {
            watch(&record, async { panic!("oh no") });
            while record.failure().is_none() {
                tokio::task::yield_now().await;
            }
        });
        drop(stage);
    }

    #[test]
    fn a_taken_port_is_named() {
        let stage = Stage::start(Rules::default()).unwrap();
        let endpoint = stage.endpoint();
        let port = endpoint.trim_end_matches('/').rsplit(':').next().unwrap();
        let rules = Rules {
            port: port.parse().unwrap(),
            ..Rules::default()
        };
        let error = Stage::start(rules).err().unwrap().to_string();
        assert!(error.contains(port), "{error}");
    }

    #[test]
    fn a_media_address_of_another_host_is_named() {
        let rules = Rules {
            media_address: Some(Ipv4Addr::new(203, 0, 113, 9).into()),
            ..Rules::default()
        };
        let error = Stage::start(rules).err().unwrap().to_string();
        assert!(error.contains("203.0.113.9"), "{error}");
    }

    #[test]
    fn waiting_ends_at_its_bound() {
        let stage = Stage::start(Rules::default()).unwrap();
        let bound = Duration::from_millis(50);
        let mut looks = 0;
        let found = stage.wait_for(bound, |events| {
            looks += 1;
            events.get(1).map(|_| ())
        });
        assert!(found.is_none());
        assert!(looks <= 2, "{looks}");
    }
}
