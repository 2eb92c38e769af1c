//! Opens the connection to the endpoint before there is an offer to send.
//!
//! The HTTP client can't do this, but it lets a layer wrap what makes its
//! connections. Two clients share one layer: the first only connects, for a
//! request that is never sent, and leaves the connection to the second.

use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task_local;
use tokio::time::{Instant, sleep_until};
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use crate::whip::origin;

/// How long an unused connection is kept. Some servers close one that brings no
/// request within 5 s, and a POST on it would fail.
const KEPT: Duration = Duration::from_secs(4);

#[derive(Clone)]
enum Purpose {
    /// Leave a connection to this origin to the next request.
    Open(String),
    /// Send a request to this origin.
    Send(String),
}

task_local! {
    /// What this task's request is for. The client does not tell the layer.
    static PURPOSE: Purpose;
}

/// Opens a connection with the client for it. Returns when it was used or is
/// given up. A failure is none: the next request tries itself and tells why.
pub(super) async fn open(client: &reqwest::Client, url: Url) {
    let purpose = Purpose::Open(origin(&url));
    let request = client.head(url).send();
    // The layer answers no such request, so it always fails.
    let _ = PURPOSE.scope(purpose, request).await;
}

/// Runs a request to a URL, which may use the connection that is open for it.
pub(super) async fn with_early<T>(url: &Url, request: impl Future<Output = T>) -> T {
    PURPOSE.scope(Purpose::Send(origin(url)), request).await
}

type Opening<C> = (Instant, oneshot::Receiver<C>);

/// The connections that are open or being opened, by origin. `C` is the client's
/// type of a connection, which has no name outside of it.
pub(super) struct EarlyLayer<C>(Arc<Mutex<HashMap<String, Opening<C>>>>);

impl<C> EarlyLayer<C> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    fn take(&self, origin: &str) -> Option<Opening<C>> {
        self.lock().remove(origin)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Opening<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Clone for EarlyLayer<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, C> Layer<S> for EarlyLayer<C> {
    type Service = EarlyConnector<S, C>;

    fn layer(&self, connector: S) -> Self::Service {
        EarlyConnector {
            connector,
            early: self.clone(),
        }
    }
}

/// Makes connections, or takes early ones.
pub(super) struct EarlyConnector<S, C> {
    connector: S,
    early: EarlyLayer<C>,
}

impl<S: Clone, C> Clone for EarlyConnector<S, C> {
    fn clone(&self) -> Self {
        self.early.layer(self.connector.clone())
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, R, C> Service<R> for EarlyConnector<S, C>
where
    S: Service<R, Response = C, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
    C: Send + 'static,
{
    type Response = C;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The one that is ready, not its clone.
        let next = self.connector.clone();
        let mut connector = std::mem::replace(&mut self.connector, next);
        match PURPOSE.try_with(Clone::clone) {
            Ok(Purpose::Open(origin)) => {
                let early = self.early.clone();
                Box::pin(leave(early, origin, connector.call(request)))
            }
            Ok(Purpose::Send(origin)) => match self.early.take(&origin) {
                Some((since, early)) if since.elapsed() < KEPT => Box::pin(async move {
                    match early.await {
                        Ok(connection) => Ok(connection),
                        Err(_) => connector.call(request).await,
                    }
                }),
                _ => Box::pin(connector.call(request)),
            },
            Err(_) => Box::pin(connector.call(request)),
        }
    }
}

/// Leaves a connection to who wants it, for [`KEPT`].
async fn leave<C>(
    early: EarlyLayer<C>,
    origin: String,
    connecting: impl Future<Output = Result<C, BoxError>>,
) -> Result<C, BoxError> {
    let since = Instant::now();
    let (sender, receiver) = oneshot::channel();
    early.lock().insert(origin.clone(), (since, receiver));
    // If it fails, the sender is dropped, and who waits connects itself.
    let _ = sender.send(connecting.await?);
    sleep_until(since + KEPT).await;
    // Closes an unused one, if it is not another's by now.
    let mut connections = early.lock();
    if connections.get(&origin).is_some_and(|(of, _)| *of == since) {
        connections.remove(&origin);
    }
    Err("the connection is left to another request".into())
}
