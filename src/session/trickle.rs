//! The one PATCH with our candidates (RFC 9725 4.3.2), off the connect path.

use std::time::Duration;

use http::Request;
use tokio::sync::watch;
use tokio::time::Instant;

use super::http_io::send;
use super::process::Process;
use super::tokens::SessionToken;
use crate::whip::{Fragment, Offer, Resource, Trickling, read_trickle};

/// Host candidates are there at once; those of slow STUN and TURN servers are
/// not waited for longer, since the server learns of us by our checks anyway.
const GATHERING: Duration = Duration::from_millis(1_500);

/// Some servers never answer a PATCH (Cloudflare Stream).
const TIMEOUT: Duration = Duration::from_secs(5);

/// The local candidates so far, of the peer connection that is in use.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) candidates: Vec<String>,
    pub(super) complete: bool,
}

/// Candidates that wait to be sent.
pub(super) struct Trickle {
    trickling: Trickling,
    token: SessionToken,
    offer: Offer,
    at_last: Instant,
}

impl Trickle {
    /// None where the server does not show that it takes candidates.
    pub(super) fn new(resource: &Resource, token: SessionToken, offer: Offer) -> Option<Self> {
        let trickling = resource.can_trickle().then(|| resource.trickling())?;
        Some(Self {
            trickling,
            token,
            offer,
            at_last: Instant::now() + GATHERING,
        })
    }

    /// When to send: once gathering is complete, or has taken long enough.
    pub(super) fn when(&self, gathered: &Gathered) -> Instant {
        if gathered.complete {
            Instant::now()
        } else {
            self.at_last
        }
    }

    /// The PATCH; none if there is nothing to tell.
    pub(super) fn request(&self, gathered: &Gathered) -> Option<Request<String>> {
        if gathered.candidates.is_empty() {
            return None;
        }
        let fragment = Fragment::of_offer(&self.offer, &gathered.candidates, gathered.complete)?;
        Some(self.trickling.patch(self.token.used(), &fragment))
    }
}

/// Sends the PATCH; the error is words for the log.
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
