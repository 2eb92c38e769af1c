//! Makes a peer connection and its offer.

use gst::prelude::*;

use super::run_state::Run;
use crate::element::peer::{Peer, PeerParts, Source};
use crate::element::signals;
use crate::ivs::OfferedVideo;
use crate::media::DtlsCertificate;
use crate::session::{Cause, Input, PeerEvent};
use crate::whip::Track;

/// Makes a peer connection and requests its offer. A failure is told to the session.
pub(super) fn open(run: &Run, element: &gst::Bin, number: u64) {
    if !run.view.begin_opening() {
        return;
    }
    run.session.tell(Input::Peer {
        peer: number,
        event: PeerEvent::Making,
    });
    match make_peer(run, element, number) {
        Ok(peer) if run.view.keep_peer(&peer) => {
            peer.offer(format!("ivswhipsink-{}", glib::uuid_string_random()));
        }
        // The run was stopped meanwhile, and the stop could not close it.
        Ok(peer) => peer.close(),
        Err(cause) => run.session.tell(Input::Peer {
            peer: number,
            event: PeerEvent::Broken(cause),
        }),
    }
    run.view.end_busy();
}

fn make_peer(run: &Run, element: &gst::Bin, number: u64) -> Result<Peer, Cause> {
    let pads = run.state.pads.get();
    let sources: Vec<Source> = pads
        .iter()
        .filter(|pad| run.lineup.published_pads().any(|id| id == pad.id))
        .filter_map(|pad| {
            let format = pad.format()?;
            Some(Source {
                is_retransmitted: run.media.retransmits && format.track == Track::Video,
                format,
                pad: pad.clone(),
            })
        })
        .collect();
    let has_video = sources
        .iter()
        .any(|source| source.format.track == Track::Video);
    let certificate =
        DtlsCertificate::generate().map_err(|error| Cause::Peer(error.to_string()))?;
    let parts = PeerParts {
        number,
        sources,
        ice: run.media.ice.clone(),
        transport_wide: run.media.bitrates.is_some(),
        certificate,
        video: match has_video {
            true => OfferedVideo::Media,
            false => run.without_video,
        },
    };
    let ready = |webrtcbin: &gst::Element| {
        element.emit_by_name::<()>(signals::WEBRTCBIN_READY, &[webrtcbin]);
        // A handler may stop the pipeline, and start it again.
        match run.view.is_stopped() {
            true => Err(glib::bool_error!("the run was stopped")),
            false => Ok(()),
        }
    };
    let session = run.session.clone();
    let tell = move |event| {
        session.tell(Input::Peer {
            peer: number,
            event,
        })
    };
    Peer::new(element, parts, ready, tell).map_err(|error| Cause::Peer(error.to_string()))
}
