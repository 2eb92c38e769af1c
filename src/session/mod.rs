//! The driver of a publishing session: the part that waits.
//!
//! It knows HTTP, time and the order of steps, and no GStreamer type. The
//! peer connection is somebody else's; the two talk by values:
//!
//! ```text
//!            Input                                  Event
//!  ───────────────────────►  ┌─────────────┐  ───────────────────────►
//!  offer made, connected,    │   Driver    │  state, answer, warning,
//!  lost, stop                │  (one task) │  failure, ended
//!                            └──────┬──────┘
//!                        POST, redirects, DELETE
//! ```
//!
//! Invariants, each held by a test:
//! - A session that the server has made is deleted on every way out, also when
//!   its answer is unusable, and when the 201 arrives after the stop.
//! - Nothing here blocks: the only wait that does is [`Ending::wait`], on the
//!   caller's thread, with a bound.
//! - No event, error or log line holds a token or the path of a URL.

mod attempt;
mod backoff;
mod config;
mod connection;
mod consent;
mod driver;
mod ending;
mod event;
mod exchange;
mod failure;
mod handle;
mod http_io;
mod liveness;
mod process;
mod retry_loop;
mod times;
mod token_check;
mod tokens;
mod trickle;

pub use backoff::Retries;
pub use config::{Config, NoToken};
pub use ending::{Ended, Ending};
pub use event::{Event, Input, PeerNews, State, Warning};
pub use failure::{Cause, ErrorKind, Failure, Phase};
pub use handle::Session;
pub use http_io::SendError;
pub use process::{Process, ProcessError};
pub use times::Times;
pub use tokens::{TokenProblem, TokenSource, Tokens};
