//! The running stage: a thread with its own runtime, and the handle to it.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::addresses::{check_media_address, first_media_address, listen};
use crate::http::serve;
use crate::participant_token::{MintError, SigningKey, TokenWish};
use crate::record::{Event, Happening, Record, SessionReport};
use crate::rules::{KeySource, Rules};
use crate::start_error::StartError;
use crate::state::StageState;

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
    state: Arc<StageState>,
    /// Dropped, it ends the stage.
    freezes: Option<UnboundedSender<Freeze>>,
    /// While the stage is frozen; dropped, it thaws the stage.
    frozen: Mutex<Option<mpsc::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

/// An order to the stage's thread to stand still.
#[derive(Debug)]
struct Freeze {
    /// Told when it does.
    still: mpsc::Sender<()>,
    /// Ends when it may go on.
    thaw: mpsc::Receiver<()>,
}

impl Stage {
    /// Starts a stage; when this returns it takes requests.
    ///
    /// # Errors
    ///
    /// When an address, the key or the thread can't be had.
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
        let (listeners, hosts) = listen(&rules)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;

        let record = Arc::new(Record::new(rules.follow.clone()));
        let state = Arc::new(StageState::new(rules, hosts, media_address, key, record));
        state.record.add(Happening::Listening {
            endpoint: state.endpoint(),
            hosts: state.hosts.clone(),
            media_address: media_address.to_string(),
        });
        let (freezes, orders) = unbounded_channel();
        let thread = thread::Builder::new().name("ivs-stage".into()).spawn({
            let state = Arc::clone(&state);
            move || run(&runtime, &state, listeners, orders)
        });
        Ok(Self {
            state,
            freezes: Some(freezes),
            frozen: Mutex::new(None),
            thread: Some(thread.map_err(StartError::Runtime)?),
        })
    }

    /// URL of the global listener, to be given to a WHIP client.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.state.endpoint()
    }

    /// Host and port of the regional listener, which keeps the sessions.
    #[must_use]
    pub fn regional_host(&self) -> String {
        self.state.regional_host().to_owned()
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
        self.state.key.mint(&wish)
    }

    /// What has happened so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.report_panic();
        self.state.record.events()
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
        let found = self.state.record.wait(bound, take, |events| look(&events));
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
            .state
            .record
            .wait(bound, take, |sessions| look(&sessions));
        self.report_panic();
        found
    }

    /// All sessions, live and ended, in the order of their POSTs.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionReport> {
        self.report_panic();
        self.state.record.sessions()
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
        self.state.sessions.close_all(&self.state.record);
    }

    /// Makes the stage stand still, as a stopped process does: its sockets stay
    /// open, connections to it are taken by the system and datagrams wait, but
    /// nothing is read, answered or sent, and no time-out runs. It stands still
    /// when this returns, until [`thaw`](Self::thaw) or the drop.
    pub fn freeze(&self) {
        let mut frozen = self.frozen();
        let Some(freezes) = self.freezes.as_ref().filter(|_| frozen.is_none()) else {
            return;
        };
        let (still, stands) = mpsc::channel();
        let (warm, thaw) = mpsc::channel();
        // Both fail if the stage's thread is gone; its panic shows elsewhere.
        let _ = freezes.send(Freeze { still, thaw });
        let _ = stands.recv();
        *frozen = Some(warm);
    }

    /// Ends [`freeze`](Self::freeze). What came meanwhile is worked through, as
    /// by a process that goes on.
    pub fn thaw(&self) {
        drop(self.frozen().take());
    }

    /// Loses every datagram of every session, in both directions, from now on,
    /// while HTTP works: the network between here and there is cut. Sessions
    /// made meanwhile don't connect.
    pub fn drop_media(&self) {
        self.state.drop_media();
    }

    /// Ends [`drop_media`](Self::drop_media).
    pub fn restore_media(&self) {
        self.state.restore_media();
    }

    /// The rules this stage runs by, with the ports that it has: a stage that
    /// starts with them, once this one is dropped, is in the same place. It
    /// takes this one's tokens if the key is a [`KeySource::File`]; it knows
    /// none of its sessions.
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
        let ports = self.state.hosts.iter().filter_map(|host| {
            let (_, port) = host.rsplit_once(':')?;
            port.parse().ok()
        });
        let ports: Vec<u16> = ports.collect();
        let between = ports.get(1..ports.len().saturating_sub(1)).unwrap_or(&[]);
        Rules {
            port: ports.first().copied().unwrap_or(0),
            regional_port: ports.last().copied().unwrap_or(0),
            hop_ports: between.to_vec(),
            ..self.state.rules.clone()
        }
    }

    fn frozen(&self) -> MutexGuard<'_, Option<mpsc::Sender<()>>> {
        // It holds one value, whole at any time.
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

/// Serves until the handle is dropped. The runtime goes with this call, and
/// with it every task and socket.
fn run(
    runtime: &Runtime,
    state: &Arc<StageState>,
    listeners: Vec<TcpListener>,
    mut freezes: UnboundedReceiver<Freeze>,
) {
    runtime.block_on(async {
        for (hop, listener) in listeners.into_iter().enumerate() {
            serve(state, hop, listener);
        }
        while let Some(freeze) = freezes.recv().await {
            // The whole runtime is on this thread: if it blocks, all stands
            // still. Both fail if nobody waits any more.
            let _ = freeze.still.send(());
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
