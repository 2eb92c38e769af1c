//! Sharing the way to the far end: what leaves when, and what is left out.
//!
//! Times are since some start, of a clock that does not run backwards; rates are in
//! bit/s, sizes in bytes.

mod pacer;
mod retransmission_budget;

pub use pacer::{Pacer, PacerDelay};
pub use retransmission_budget::{RetransmissionBudget, RetransmissionCount};
