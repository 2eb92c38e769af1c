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
mod connect_times;
mod consent;
mod deletion;
mod driver;
mod event;
mod failure;
mod http_io;
mod liveness;
mod media_connection;
mod post_exchange;
mod process;
mod retry_loop;
mod session_handle;
mod token_check;
mod tokens;
mod trickle;

pub use backoff::Retries;
pub use config::{Config, NoToken};
pub use connect_times::Times;
pub use deletion::{Ended, Ending};
pub use event::{Event, Input, PeerNews, State, Warning};
pub use failure::{Cause, ErrorKind, Failure, Phase};
pub use http_io::SendError;
pub use process::{Process, ProcessError};
pub use session_handle::Session;
pub use tokens::{TokenProblem, TokenSource, Tokens};
