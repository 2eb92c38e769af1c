//! Sends our candidates in one PATCH (RFC 9725 4.3.2). Nothing waits for it.

use std::time::Duration;

use http::Request;
use tokio::sync::watch;
use tokio::time::Instant;

use super::http_io::send;
use super::process::Process;
use super::tokens::SessionToken;
use crate::whip::{Fragment, Offer, Resource, Trickling, read_trickle};

/// How long to wait for all candidates. Host candidates are known at once. Slow
/// STUN and TURN servers get no more time, since the server learns our address
/// from our checks anyway.
const GATHERING_LIMIT: Duration = Duration::from_millis(1_500);

/// Some servers never answer a PATCH (Cloudflare Stream).
const TIMEOUT: Duration = Duration::from_secs(5);

/// The local candidates of the current peer connection so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) candidates: Vec<String>,
    pub(super) complete: bool,
}

/// A PATCH that waits for candidates.
pub(super) struct Trickle {
    trickling: Trickling,
    token: SessionToken,
    offer: Offer,
    send_by: Instant,
}

impl Trickle {
    /// `None` if the server does not show that it accepts candidates.
    pub(super) fn new(resource: &Resource, token: SessionToken, offer: Offer) -> Option<Self> {
        let trickling = resource.can_trickle().then(|| resource.trickling())?;
        Some(Self {
            trickling,
            token,
            offer,
            send_by: Instant::now() + GATHERING_LIMIT,
        })
    }

    /// When to send: once gathering is complete, at the latest after [`GATHERING_LIMIT`].
    pub(super) fn when(&self, gathered: &Gathered) -> Instant {
        if gathered.complete {
            Instant::now()
        } else {
            self.send_by
        }
    }

    /// The PATCH; `None` if there is nothing to send.
    pub(super) fn request(&self, gathered: &Gathered) -> Option<Request<String>> {
        if gathered.candidates.is_empty() {
            return None;
        }
        let fragment = Fragment::of_offer(&self.offer, &gathered.candidates, gathered.complete)?;
        Some(self.trickling.patch(self.token.used(), &fragment))
    }
}

/// Sends the PATCH; the error is a text for the log.
pub(super) async fn send_fragment(
    process: &'static Process,
    request: Request<String>,
) -> Result<(), String> {
    let (_keep, mut no_stop) = watch::channel(false);
    let deadline = Some(Instant::now() + TIMEOUT);
    let reply = send(process, request, deadline, &mut no_stop).await;
    let reply = reply.map_err(|error| error.to_string())?;
    read_trickle(reply.status()).map_err(|error| error.to_string())
}
