//! What all sessions of a process share: the async runtime and the HTTP client.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::OnceCell;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Handle, Runtime};
use url::Url;

use crate::ivs::FillerMode;
use crate::whip::{Endpoint, is_loopback};

/// Made at the first session and kept: a pooled connection makes the DELETE
/// cheap, and threads do not multiply with elements.
static PROCESS: OnceCell<Process> = OnceCell::new();

/// A TCP or TLS handshake that takes longer is on a wire that media won't like.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The process-wide runtime and HTTP client.
pub struct Process {
    runtime: Runtime,
    client: reqwest::Client,
    /// For this machine's own servers: a proxy is another machine.
    loopback: reqwest::Client,
    pub(super) has_certificates: bool,
    /// The filler section that each host took last, by its origin: paths can
    /// hold a stream key, and be new for each token.
    filler_modes: Mutex<HashMap<String, FillerMode>>,
}

impl Process {
    /// The shared instance, made when first asked for. A failure is not
    /// kept: the next call tries again.
    ///
    /// # Errors
    /// [`ProcessError`] when the system gives no thread or no TLS.
    pub fn get() -> Result<&'static Self, ProcessError> {
        PROCESS.get_or_try_init(Self::new)
    }

    fn new() -> Result<Self, ProcessError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ivswhipsink")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| ProcessError(format!("no runtime: {error}")))?;
        let roots = certificates();
        let has_certificates = !roots.is_empty();
        let client = build(roots.clone(), Proxies::OfTheSystem)?;
        let loopback = build(roots, Proxies::None)?;
        Ok(Self {
            runtime,
            client,
            loopback,
            has_certificates,
            filler_modes: Mutex::default(),
        })
    }

    /// The runtime that carries the drivers of all elements.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// The filler section that an endpoint's host took last, if it was asked.
    pub(super) fn filler_mode(&self, endpoint: &Endpoint) -> Option<FillerMode> {
        self.filler_modes().get(&endpoint.host()).copied()
    }

    pub(super) fn remember_filler_mode(&self, endpoint: &Endpoint, mode: FillerMode) {
        self.filler_modes().insert(endpoint.host(), mode);
    }

    fn filler_modes(&self) -> MutexGuard<'_, HashMap<String, FillerMode>> {
        self.filler_modes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for a URL.
    pub(super) fn client_for(&self, url: &Url) -> &reqwest::Client {
        if is_loopback(url) {
            &self.loopback
        } else {
            &self.client
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("has_certificates", &self.has_certificates)
            .finish()
    }
}

/// The platform's CA certificates. None at all is no error yet: plain http to
/// this machine needs none, and a https request says so in its failure.
fn certificates() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

enum Proxies {
    /// Those that the environment names.
    OfTheSystem,
    None,
}

fn build(roots: RootCertStore, proxies: Proxies) -> Result<reqwest::Client, ProcessError> {
    // Named here rather than installed as the process's default provider,
    // which belongs to the application.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ProcessError(format!("no TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = match proxies {
        Proxies::OfTheSystem => reqwest::Client::builder(),
        Proxies::None => reqwest::Client::builder().no_proxy(),
    };
    builder
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("ivswhipsink/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ProcessError(format!("no HTTP client: {error}")))
}

/// The process-wide parts could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessError(String);

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the network client could not be set up: {}", self.0)
    }
}

impl std::error::Error for ProcessError {}
