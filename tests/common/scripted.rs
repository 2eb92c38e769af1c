//! A scripted HTTP/1.1 server on threads. It listens on its own port, handles
//! each request as the test's script says, and records it.
//!
//! ```ignore
//! let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
//!     "POST" => created("/session/1", request),
//!     _ => Reply::new(200).into(),
//! });
//! // … something that publishes to server.url("/whip") and stops …
//! let delete = server.wait_for(BOUND, |requests| {
//!     requests.iter().find(|request| request.method == "DELETE").cloned()
//! });
//! assert_eq!(delete.unwrap().path, "/session/1");
//! ```

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::answer::answer_for;
use super::gate::Gate;
use super::message::{Reply, Request, Rest};

/// What the server does with a request.
pub(crate) enum Action {
    /// Answers; the connection stays open for the next request.
    Reply(Reply),
    /// Closes the connection without an answer.
    Close,
    /// Never answers; keeps the connection until the server is dropped.
    Silence,
    /// Performs the other action once the gate is open.
    After(Gate, Box<Action>),
}

impl Action {
    /// The same action, once the gate is open.
    pub(crate) fn after(self, gate: &Gate) -> Self {
        Self::After(gate.clone(), Box::new(self))
    }
}

impl From<Reply> for Action {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A 201 with an answer that fits the offer in the request.
pub(crate) fn created(location: &str, request: &Request) -> Action {
    let reply = Reply::new(201)
        .header("Content-Type", "application/sdp")
        .header("Location", location)
        .body(answer_for(&request.body));
    reply.into()
}

/// A 307 to another URL.
pub(crate) fn redirect(location: &str) -> Action {
    Reply::new(307).header("Location", location).into()
}

/// A connection as the server reads and writes it: plain TCP, or a test's wrapper
/// around it.
pub(crate) trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// A running server. When dropped it stops, and panics if its script did.
pub(crate) struct Server {
    scheme: &'static str,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of this address.
    pub(crate) fn start(
        address: &str,
        script: impl Fn(&Request) -> Action + Send + Sync + 'static,
    ) -> Self {
        Self::start_wrapped("http", address, |stream| Some(Box::new(stream)), script)
    }

    /// Handles the requests with these actions in order; panics if there are
    /// more requests than actions.
    pub(crate) fn in_order(address: &str, actions: Vec<Action>) -> Self {
        let left = Mutex::new(actions.into_iter());
        Self::start(address, move |request| {
            let next = left.lock().unwrap().next();
            next.unwrap_or_else(|| panic!("no action is left for {}", request.line()))
        })
    }

    /// Resets every connection as soon as a request starts to arrive: a socket
    /// that is closed with unread bytes sends RST instead of FIN.
    pub(crate) fn resetting(address: &str) -> Self {
        let peek = |stream: TcpStream| {
            let _ = stream.peek(&mut [0]);
            None
        };
        Self::start_wrapped("http", address, peek, |_| Action::Close)
    }

    /// Like [`Server::start`], but `wrap` gets each connection first. If it
    /// returns `None`, the connection is closed at once.
    pub(crate) fn start_wrapped(
        scheme: &'static str,
        address: &str,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
        script: impl Fn(&Request) -> Action + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            wrap: Box::new(wrap),
            script: Box::new(script),
            state: Mutex::default(),
            changed: Condvar::new(),
            stopped: Gate::default(),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&accepting, &listener));
        Self {
            scheme,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.shared.address)
    }

    /// A URL of this server; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub(crate) fn port(&self) -> u16 {
        self.shared.address.port()
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.healthy().requests.clone()
    }

    /// Method and path of the requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// Number of connections so far, with or without requests.
    pub(crate) fn connections(&self) -> usize {
        self.shared.healthy().connections
    }

    /// Waits for the first connection.
    pub(crate) fn wait_for_connection(&self, bound: Duration) -> Option<()> {
        let state = self.shared.healthy();
        let is_none = |state: &mut State| state.connections == 0;
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, bound, is_none)
            .unwrap();
        (state.connections > 0).then_some(())
    }

    /// Waits until `look` finds something in the requests so far; `None` after
    /// `bound`.
    pub(crate) fn wait_for<T>(
        &self,
        bound: Duration,
        mut look: impl FnMut(&[Request]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + bound;
        let mut state = self.shared.healthy();
        loop {
            if let Some(found) = look(&state.requests) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
            state = state.checked();
        }
    }

    /// Waits for a request with this method and path.
    pub(crate) fn wait_for_line(&self, bound: Duration, line: &str) -> Option<Request> {
        self.wait_for(bound, |requests| {
            requests
                .iter()
                .find(|request| request.line() == line)
                .cloned()
        })
    }

    /// Closes all open connections, as servers do with idle ones.
    pub(crate) fn hang_up(&self) {
        for stream in self.shared.healthy().streams.values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        let acceptor = self.acceptor.take().map(JoinHandle::join);
        let panicked = self.shared.state.lock().unwrap().panicked.take();
        // A second panic would abort and hide the first.
        if !std::thread::panicking() {
            assert!(matches!(acceptor, Some(Ok(()))), "the acceptor panicked");
            assert_eq!(panicked, None, "the server's script panicked");
        }
    }
}

struct Shared {
    address: SocketAddr,
    wrap: Box<dyn Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync>,
    script: Box<dyn Fn(&Request) -> Action + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
    stopped: Gate,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    connections: usize,
    /// Open connections, so that a stop can close those that threads still read.
    streams: HashMap<usize, TcpStream>,
    /// Gates at which threads may wait; a stop opens them.
    gates: Vec<Gate>,
    stopping: bool,
    panicked: Option<String>,
}

/// Panics on the test's thread if a server's thread has panicked.
trait Checked {
    fn checked(self) -> Self;
}

impl Checked for MutexGuard<'_, State> {
    fn checked(mut self) -> Self {
        if let Some(panicked) = self.panicked.take() {
            drop(self);
            panic!("the server's script panicked: {panicked}");
        }
        self
    }
}

impl Shared {
    fn healthy(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap().checked()
    }

    fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.stopping = true;
        for stream in state.streams.values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        for gate in &state.gates {
            gate.open();
        }
        drop(state);
        self.stopped.open();
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
    }

    /// Registers a connection; `None` when the server is stopping.
    fn enter(&self, stream: &TcpStream) -> Option<usize> {
        let mut state = self.state.lock().unwrap();
        if state.stopping {
            return None;
        }
        state.connections += 1;
        let number = state.connections;
        state.streams.insert(number, stream.try_clone().unwrap());
        self.changed.notify_all();
        Some(number)
    }

    /// Serves one connection to its end. An I/O error means that the client has
    /// gone; the test checks whether that is right.
    fn serve(&self, number: usize, stream: TcpStream) {
        let served = catch_unwind(AssertUnwindSafe(|| {
            if let Some(wire) = (self.wrap)(stream) {
                let mut reader = BufReader::new(wire);
                while let Ok(Some(request)) = Request::read(&mut reader) {
                    self.note(&request);
                    let action = (self.script)(&request);
                    if !self.act(reader.get_mut(), action) {
                        break;
                    }
                }
            }
        }));
        let mut state = self.state.lock().unwrap();
        // Drops the last handle, which closes the connection.
        state.streams.remove(&number);
        if let Err(panic) = served {
            state.panicked = Some(words(&*panic));
        }
        self.changed.notify_all();
    }

    fn note(&self, request: &Request) {
        self.state.lock().unwrap().requests.push(request.clone());
        self.changed.notify_all();
    }

    /// Performs the script's action. Returns whether the connection stays open.
    fn act(&self, wire: &mut Box<dyn Wire>, action: Action) -> bool {
        match action {
            Action::Reply(reply) => match reply.write(wire) {
                Ok(Rest::Stall) => {
                    self.stopped.pass();
                    false
                }
                Ok(Rest::Close) | Err(_) => false,
                Ok(_) => true,
            },
            Action::Close => false,
            Action::Silence => {
                self.stopped.pass();
                false
            }
            Action::After(gate, action) => {
                let mut state = self.state.lock().unwrap();
                state.gates.push(gate.clone());
                let stopping = state.stopping;
                drop(state);
                if !stopping {
                    gate.pass();
                }
                self.act(wire, *action)
            }
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let Some(number) = shared.enter(&stream) else {
            break;
        };
        let shared = Arc::clone(shared);
        threads.push(std::thread::spawn(move || shared.serve(number, stream)));
    }
    for thread in threads {
        // `serve` has recorded its panic, if any.
        let _ = thread.join();
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "without a text".to_owned())
}
