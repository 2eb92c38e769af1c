//! Viewers, as IVS has them (WHEP): a POST to `/subscribe/{participantId}` comes
//! in, and the publisher's media go out as they arrived, without transcoding.
//!
//! ```text
//! publisher's far end ──► Audience ──bounded channel──► Viewer ──► a browser
//!                ◄── at most one key-frame request each interval ──┘
//! ```
//!
//! A viewer has a task, a socket and a queue of its own. What doesn't fit into
//! the queue is dropped for that viewer alone, which goes on with the next key
//! frame.

mod audience;
mod post;
mod relay;
mod renumbering;
mod viewer;
mod viewers;

pub(crate) use audience::Audience;
pub(crate) use post::{delete, post, subscribed_participant};
pub(crate) use relay::{Relay, forwarded_layer};
pub(crate) use viewers::Viewers;
