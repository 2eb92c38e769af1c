//! Looks up host names in the answer's candidates: webrtcbin takes only addresses and
//! names of multicast DNS.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::event::Event;
use crate::whip::{Answer, Token};

/// Limit for all names of an answer: a name server that takes longer is of no use for
/// a connection that has 10 s.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Puts addresses in place of the names, as far as they are found in time. A name that
/// is not found stays, and does no harm.
pub(super) async fn look_up_candidates(
    answer: &mut Answer,
    token: Option<&Token>,
    emit: &mut (impl FnMut(Event) + Send),
) {
    let deadline = Instant::now() + LOOKUP_TIMEOUT;
    let mut names: Vec<String> = Vec::new();
    for (name, _) in answer.udp_candidate_names() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        // A look-up would tell the token to name servers.
        if token.is_some_and(|token| token.is_shown_by(&name)) {
            continue;
        }
        let found = match timeout_at(deadline, addresses(&name)).await {
            Ok(found) => found,
            Err(_) => Err("no reply in time".to_owned()),
        };
        if let Ok(addresses) = &found {
            answer.set_addresses(&name, addresses);
        }
        emit(Event::CandidateName { name, found });
    }
}

async fn addresses(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = lookup_host((name, 0)).await;
    let found = found.map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}
