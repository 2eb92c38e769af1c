//! Sharing the way to the far end: how much it carries, who may send how much of it, what
//! leaves when, and what is left out.
//!
//! ```text
//!  feedback ──► estimator ──► allocation ──► encoder steps ──► an encoder's bit rate
//!                                 │
//!                                 └────────► pacer, retransmission budget, thinning
//! ```
//!
//! | value | decides or tells |
//! | --- | --- |
//! | [`TransportFeedback`], [`receiver_estimate`] | what the far end's RTCP says |
//! | [`SendHistory`] | the number of each packet, and what became of it |
//! | [`transport_sequence_block`], [`set_transport_sequence`] | the number's place in a packet |
//! | [`SendSideEstimator`] | how much the network carries, by the best feedback there is |
//! | [`Allocation`] | what audio, retransmissions and video get of it |
//! | [`EncoderSteps`] | when an encoder is told a new bit rate |
//! | [`Obedience`] | whether the video follows what it was told |
//! | [`Pacer`] | when a video packet leaves |
//! | [`RetransmissionBudget`] | whether a packet that the far end misses is sent again |
//! | [`PassThrough`] | whether frames have to be left out where no encoder follows the target |
//! | [`Thinning`] | which frames these are |
//!
//! Times are since some start, of a clock that does not run backwards; rates are in
//! bit/s, sizes in bytes.

mod allocation;
mod carried_rate;
mod encoder_steps;
mod estimation;
mod estimator;
mod filling_queue;
mod frame_probes;
mod goog;
mod header_extension;
mod loss_guard;
#[cfg(test)]
mod narrow_wire;
mod obedience;
mod pacer;
mod pass_through;
mod receiver_reports;
mod remb;
mod retransmission_budget;
mod send_history;
mod send_side;
mod sent_rate;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod test_feedback;
mod thinning;
mod transport_feedback;
mod uplink;

pub use allocation::{Allocation, Limits};
pub use encoder_steps::{ChangeCost, EncoderSteps};
pub use estimation::{Estimation, NetworkStatus, Stream};
pub use estimator::{BandwidthEstimator, Demand, RateRange, ReceiverReport, SentPacket};
pub use goog::GoogEstimator;
pub use header_extension::{ExtensionId, set_transport_sequence, transport_sequence_block};
pub use obedience::Obedience;
pub use pacer::{Pacer, PacerDelay};
pub use pass_through::PassThrough;
pub use receiver_reports::ReceiverReportEstimator;
pub use remb::receiver_estimate;
pub use retransmission_budget::{RetransmissionBudget, RetransmissionCount};
pub use send_history::{PacketKind, PacketResult, SendHistory};
pub use send_side::{FeedbackKind, SendSideEstimator, TransportWide};
pub use sent_rate::SentRate;
pub use thinning::{DroppedFrames, FrameKind, Thinning};
pub use transport_feedback::{Arrival, TransportFeedback, without_transport_feedback};
pub use uplink::{Leaving, Observations, Streams, Uplink, WIRE_OVERHEAD};
