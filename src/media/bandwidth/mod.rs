//! Sharing the way to the far end: what leaves when, what is left out, and what the far
//! end says about it.
//!
//! | value | decides or tells |
//! | --- | --- |
//! | [`Pacer`] | when a video packet leaves |
//! | [`RetransmissionBudget`] | whether a packet that the far end misses is sent again |
//! | [`Thinning`] | which frames are left out where no encoder follows the target |
//! | [`SendHistory`] | the number of each packet, and what became of it |
//! | [`TransportFeedback`], [`receiver_estimate`] | what the far end's RTCP says |
//! | [`transport_sequence_block`], [`set_transport_sequence`] | the number's place in a packet |
//!
//! Times are since some start, of a clock that does not run backwards; rates are in
//! bit/s, sizes in bytes.

mod allocation;
mod encoder_steps;
mod estimator;
mod frame_probes;
mod goog;
mod header_extension;
mod loss_guard;
#[cfg(test)]
mod narrow_wire;
mod pacer;
mod receiver_reports;
mod remb;
mod retransmission_budget;
mod send_history;
mod sent_rate;
#[cfg(test)]
mod test_feedback;
mod thinning;
mod transport_feedback;

pub use allocation::{Allocation, Limits};
pub use encoder_steps::{ChangeCost, EncoderSteps};
pub use estimator::{BandwidthEstimator, RateRange, ReceiverReport, SentPacket};
pub use goog::GoogEstimator;
pub use header_extension::{ExtensionId, set_transport_sequence, transport_sequence_block};
pub use pacer::{Pacer, PacerDelay};
pub use receiver_reports::ReceiverReportEstimator;
pub use remb::receiver_estimate;
pub use retransmission_budget::{RetransmissionBudget, RetransmissionCount};
pub use send_history::{PacketKind, PacketResult, SendHistory};
pub use sent_rate::SentRate;
pub use thinning::{DroppedFrames, FrameKind, Thinning};
pub use transport_feedback::{Arrival, TransportFeedback};
