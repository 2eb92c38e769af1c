//! Drives a publishing session: attempts, retries, liveness, tokens and the end.
//!
//! In: [`Config`] and [`Input`]. Out: [`Event`] and HTTP requests. It uses no
//! GStreamer type: the owner of the session holds the peer connection.
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
//! Invariants, each checked by a test:
//! - Every session that the server has made is deleted, also when its answer is
//!   unusable or the 201 arrives after the stop.
//! - Nothing here blocks a thread, except [`Ending::wait`], which blocks its
//!   caller for a bounded time.
//! - No event, error or log line shows a token or the path of a URL.

mod attempt;
mod backoff;
mod candidate_names;
mod config;
mod connect_times;
mod deletion;
mod driver;
mod early_connection;
mod event;
mod failure;
mod file_reads;
mod http_io;
mod ice_checks;
mod liveness;
mod media_connection;
mod panics;
mod post_exchange;
mod process;
mod proxy;
mod retry_loop;
mod session_handle;
mod token_check;
mod tokens;
mod trickle;

pub use backoff::Retries;
pub use config::Config;
pub use connect_times::Times;
pub use deletion::{Ended, Ending};
pub use event::{Event, Input, PeerEvent, State, Warning};
pub use failure::{Cause, ErrorKind, Failure, Phase};
pub use http_io::SendError;
pub use panics::Panicked;
pub use process::{Process, ProcessError};
pub use proxy::{Proxy, ProxyProblem};
pub use session_handle::Session;
pub use tokens::{NoToken, TokenProblem, TokenSource, Tokens};
