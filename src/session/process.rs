//! What all sessions of a process share: the async runtime, the HTTP clients
//! and the remembered filler modes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::OnceCell;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Handle, Runtime};
use url::Url;

use super::early_connection::{self, EarlyLayer};
use super::proxy::{Proxies, Proxy};
use crate::ivs::FillerMode;
use crate::whip::{Endpoint, is_loopback};

/// Made at the first session and kept: a pooled connection makes the DELETE
/// cheap, and the number of threads does not grow with the elements.
static PROCESS: OnceCell<Process> = OnceCell::new();

/// A network with slower TCP and TLS handshakes is no use for live media.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The process-wide runtime and HTTP clients.
pub struct Process {
    runtime: Runtime,
    client: reqwest::Client,
    /// Opens early connections for `client`.
    opener: reqwest::Client,
    /// For servers on this machine. It uses no proxy: a proxy is another machine.
    loopback: reqwest::Client,
    proxies: Proxies,
    pub(super) has_certificates: bool,
    /// The filler mode that each server last accepted, by origin: a path can
    /// contain a stream key and differ for each token.
    filler_modes: Mutex<HashMap<String, FillerMode>>,
}

impl Process {
    /// The shared instance, made by the first call. After a failure the next
    /// call tries again.
    ///
    /// # Errors
    /// [`ProcessError`] if the runtime's thread or TLS can't be set up.
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
        let early = EarlyLayer::new();
        let client = client_builder(&roots)?.connector_layer(early.clone());
        let opener = client_builder(&roots)?.connector_layer(early);
        let loopback = client_builder(&roots)?.no_proxy();
        Ok(Self {
            runtime,
            client: build(client)?,
            opener: build(opener)?,
            loopback: build(loopback)?,
            proxies: Proxies::of_the_environment(),
            has_certificates,
            filler_modes: Mutex::default(),
        })
    }

    /// The runtime that runs the drivers of all elements.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// The filler mode that the endpoint's server last accepted, if any.
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

    /// The proxy through which a request to this URL goes, if any.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<Proxy> {
        self.proxies.of(url).filter(|_| !is_loopback(url))
    }

    /// The environment's variables that should name a proxy for this URL and do not.
    pub(super) fn ignored_proxies(&self, url: &Url) -> &[&'static str] {
        match is_loopback(url) {
            true => &[],
            false => self.proxies.ignored_for(url),
        }
    }

    /// Opens the connection for the next request to this URL, in the background.
    /// On this machine that gains nothing.
    pub(super) fn connect_early(&'static self, url: &Url) {
        if !is_loopback(url) {
            tokio::spawn(early_connection::open(&self.opener, url.clone()));
        }
    }

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

/// The platform's CA certificates. An empty list is no error here: plain http
/// to this machine needs none, and an https request fails with a clear error.
fn certificates() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn client_builder(roots: &RootCertStore) -> Result<reqwest::ClientBuilder, ProcessError> {
    // Set for this client only: the process's default provider belongs to the
    // application.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ProcessError(format!("no TLS: {error}")))?
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("ivswhipsink/", env!("CARGO_PKG_VERSION"))))
}

fn build(client: reqwest::ClientBuilder) -> Result<reqwest::Client, ProcessError> {
    client
        .build()
        .map_err(|error| ProcessError(format!("no HTTP client: {error}")))
}

/// The process-wide runtime or HTTP clients could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessError(String);

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the network client could not be set up: {}", self.0)
    }
}

impl std::error::Error for ProcessError {}
