//! The handle to a running stage, and the thread and runtime that serve it.
//! Rules come in; the endpoint, tokens, events and session reports go out.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::addresses::{check_media_address, first_media_address, listen, listen_page};
use crate::event::{Event, Happening};
use crate::http::{Door, serve};
use crate::participant_token::{MintError, SigningKey, TokenWish};
use crate::record::{Record, SessionReport};
use crate::rules::{KeySource, Rules};
use crate::start_error::StartError;
use crate::state::StageState;

/// A stage that runs until it is dropped. The drop closes every socket before
/// it returns and, like a crash, tells connected peers nothing. To send them a
/// DTLS alert, call [`close_sessions`](Self::close_sessions) first.
///
/// # Panics
///
/// If the stage's own code panicked, the next call that reads events or
/// sessions panics too, or else the drop. Otherwise a test would take a broken
/// far end for a silent one.
#[derive(Debug)]
pub struct Stage {
    state: Arc<StageState>,
    /// Ends the stage when dropped.
    freezes: Option<UnboundedSender<Freeze>>,
    /// `Some` while the stage is frozen; the drop of the sender thaws it.
    frozen: Mutex<Option<mpsc::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the stage's thread to stop.
#[derive(Debug)]
struct Freeze {
    /// Gets a message when the thread has stopped.
    stopped: mpsc::Sender<()>,
    /// Disconnects when the thread may continue.
    thaw: mpsc::Receiver<()>,
}

impl Stage {
    /// Starts a stage. It accepts requests when this returns.
    ///
    /// # Errors
    ///
    /// See [`StartError`]: an address or port is not available, the signing key
    /// can't be used, or the thread can't be started.
    pub fn start(rules: Rules) -> Result<Self, StartError> {
        let media_address = match rules.media_address {
            Some(address) => address,
            None => first_media_address()?,
        };
        check_media_address(media_address)?;
        let key = match &rules.key {
            KeySource::Fresh => SigningKey::fresh(),
            KeySource::File(path) => SigningKey::from_file(path),
        };
        let key = key.map_err(StartError::Key)?;
        let (listeners, hosts) = listen(&rules, media_address)?;
        let page = listen_page(&rules, media_address)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;

        let record = Arc::new(Record::new(rules.follow.clone()));
        let (page, page_host) = page.unzip();
        let mut state = StageState::new(rules, hosts, media_address, key, record);
        state.page_host = page_host;
        let state = Arc::new(state);
        state.record.add(Happening::Listening {
            endpoint: state.endpoint(),
            hosts: state.hosts.clone(),
            media_address: media_address.to_string(),
            page: state.page_url(),
        });
        let (freezes, orders) = unbounded_channel();
        let thread = thread::Builder::new().name("ivs-stage".into()).spawn({
            let state = Arc::clone(&state);
            let hops = listeners.into_iter().enumerate();
            let hops = hops.map(|(hop, listener)| (Door::Hop(hop), listener));
            let doors = hops.chain(page.map(|listener| (Door::Page, listener)));
            let doors = doors.collect();
            move || run(&runtime, &state, doors, orders)
        });
        Ok(Self {
            state,
            freezes: Some(freezes),
            frozen: Mutex::new(None),
            thread: Some(thread.map_err(StartError::Runtime)?),
        })
    }

    /// URL of the global listener: what a WHIP client gets as its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.state.endpoint()
    }

    /// Host and port of the regional listener, which keeps the sessions.
    #[must_use]
    pub fn regional_host(&self) -> String {
        self.state.regional_host().to_owned()
    }

    /// URL of the page that shows the stage, if [`Rules::page_port`] has one.
    #[must_use]
    pub fn page(&self) -> Option<String> {
        self.state.page_url()
    }

    /// A new token that may publish and is valid for an hour.
    ///
    /// # Panics
    ///
    /// If OpenSSL fails; [`mint`](Self::mint) returns an error instead.
    #[must_use]
    #[expect(clippy::panic, reason = "no test can go on without a token")]
    pub fn token(&self) -> String {
        match self.mint(TokenWish::default()) {
            Ok(token) => token,
            Err(error) => panic!("ivs-stage: {error}"),
        }
    }

    /// A token with these claims. Its `whip_url` is this stage's endpoint
    /// unless the wish has one.
    ///
    /// # Errors
    ///
    /// If OpenSSL fails.
    pub fn mint(&self, mut wish: TokenWish) -> Result<String, MintError> {
        let endpoint = self.endpoint();
        wish.whip_url
            .get_or_insert_with(|| endpoint.trim_end_matches('/').to_owned());
        self.state.key.mint(&wish)
    }

    /// The events so far, in the order of their times. Of more than 4096 it has
    /// the first one and the last ones.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.report_panic();
        self.state.record.events()
    }

    /// Waits up to `bound` until `look` returns `Some`. Calls `look` at once and
    /// then after each change. `None` means that the time is over.
    #[must_use]
    pub fn wait_for<T>(
        &self,
        bound: Duration,
        mut look: impl FnMut(&[Event]) -> Option<T>,
    ) -> Option<T> {
        let take = |events: &[Event], _: &[SessionReport]| events.to_vec();
        let found = self.state.record.wait(bound, take, |events| look(&events));
        self.report_panic();
        found
    }

    /// As [`wait_for`](Self::wait_for), for the session reports, which change
    /// with every packet.
    #[must_use]
    pub fn wait_for_sessions<T>(
        &self,
        bound: Duration,
        mut look: impl FnMut(&[SessionReport]) -> Option<T>,
    ) -> Option<T> {
        let take = |_: &[Event], sessions: &[SessionReport]| sessions.to_vec();
        let found = self
            .state
            .record
            .wait(bound, take, |sessions| look(&sessions));
        self.report_panic();
        found
    }

    /// The live sessions and the last 256 that ended, in the order of their POSTs.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionReport> {
        self.report_panic();
        self.state.record.sessions()
    }

    /// Number of sessions that have not ended. The session of a publisher that
    /// vanished without DELETE counts until [`Rules::patience`] is over.
    #[must_use]
    pub fn live_sessions(&self) -> usize {
        let sessions = self.sessions();
        sessions
            .iter()
            .filter(|report| report.ended.is_none())
            .count()
    }

    /// Ends every session and sends each peer a DTLS alert. From then on their
    /// URLs answer 404.
    pub fn close_sessions(&self) {
        self.state.sessions.close_all(&self.state.record);
    }

    /// Stops the stage like a process that gets SIGSTOP. Its sockets stay open,
    /// the system accepts connections and queues datagrams, but the stage reads,
    /// answers and sends nothing and no timer runs. It has stopped when this
    /// returns, and stays so until [`thaw`](Self::thaw) or the drop.
    pub fn freeze(&self) {
        let mut frozen = self.frozen();
        let Some(freezes) = self.freezes.as_ref().filter(|_| frozen.is_none()) else {
            return;
        };
        let (stopped, has_stopped) = mpsc::channel();
        let (thaw_on_drop, thaw) = mpsc::channel();
        // Both fail if the stage's thread has panicked, which shows elsewhere.
        let _ = freezes.send(Freeze { stopped, thaw });
        let _ = has_stopped.recv();
        *frozen = Some(thaw_on_drop);
    }

    /// Ends [`freeze`](Self::freeze). The stage then reads what has arrived
    /// meanwhile.
    pub fn thaw(&self) {
        drop(self.frozen().take());
    }

    /// From now on drops every datagram of every session, in both directions,
    /// as a network failure does. HTTP still works. New sessions don't connect.
    pub fn drop_media(&self) {
        self.state.drop_media();
    }

    /// Ends [`drop_media`](Self::drop_media).
    pub fn restore_media(&self) {
        self.state.restore_media();
    }

    /// This stage's rules, with the ports that it uses. After the drop, a stage
    /// that starts with them has the same URLs. It accepts the same tokens if
    /// the key is a [`KeySource::File`], and has none of the sessions.
    ///
    /// ```
    /// use ivs_stage::{Rules, Stage};
    ///
    /// let stage = Stage::start(Rules::default())?;
    /// let (endpoint, rules) = (stage.endpoint(), stage.rules());
    /// drop(stage);
    /// assert_eq!(Stage::start(rules)?.endpoint(), endpoint);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn rules(&self) -> Rules {
        let port = |host: &String| host.rsplit_once(':')?.1.parse().ok();
        let ports: Vec<u16> = self.state.hosts.iter().filter_map(port).collect();
        let between = ports.get(1..ports.len().saturating_sub(1)).unwrap_or(&[]);
        Rules {
            port: ports.first().copied().unwrap_or(0),
            regional_port: ports.last().copied().unwrap_or(0),
            hop_ports: between.to_vec(),
            page_port: self.state.page_host.as_ref().and_then(port),
            ..self.state.rules.clone()
        }
    }

    fn frozen(&self) -> MutexGuard<'_, Option<mpsc::Sender<()>>> {
        // One value, so a panic can't leave it half changed.
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::panic, reason = "a test must not go on with a broken far end")]
    fn report_panic(&self) {
        if let Some(failure) = self.state.record.failure() {
            panic!("ivs-stage: {failure}");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.thaw();
        drop(self.freezes.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            self.state.record.fail("the stage's thread panicked".into());
        }
        if !thread::panicking() {
            self.report_panic();
        }
    }
}

/// Serves until the handle is dropped. The runtime is dropped after this call,
/// and closes every task and socket.
fn run(
    runtime: &Runtime,
    state: &Arc<StageState>,
    doors: Vec<(Door, TcpListener)>,
    mut freezes: UnboundedReceiver<Freeze>,
) {
    runtime.block_on(async {
        for (door, listener) in doors {
            serve(state, door, listener);
        }
        while let Some(freeze) = freezes.recv().await {
            // The runtime has this thread only, so blocking it stops every
            // task. Both calls fail if the handle is gone.
            let _ = freeze.stopped.send(());
            let _ = freeze.thaw.recv();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::task::spawn;

    #[test]
    #[should_panic(expected = "a task panicked: oh no")]
    fn a_panic_of_a_task_shows() {
        let stage = Stage::start(Rules::default()).unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        let record = Arc::clone(&stage.state.record);
        runtime.block_on(async {
            spawn(&record, async { panic!("oh no") });
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
    fn too_many_hops_are_refused_before_a_port_is_taken() {
        let rules = |hops| Rules {
            hops,
            ..Rules::default()
        };
        let error = Stage::start(rules(33)).err().unwrap().to_string();
        assert!(error.contains("33"), "{error}");
        assert!(Stage::start(rules(32)).is_ok());
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
