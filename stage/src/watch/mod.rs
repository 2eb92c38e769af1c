//! The page that shows the stage: who publishes, the picture and sound live, and
//! the numbers of the last two minutes.
//!
//! A far end's `Monitor` makes a `Sample` each second; the `Board` keeps them;
//! `server` gives them out as JSON to the page, which asks each second, and
//! checks that the page is this stage's own.

mod board;
mod files;
mod invitation;
mod log;
mod meter;
mod monitor;
mod origin;
mod redaction;
mod server;

pub(crate) use board::{Board, Card};
pub(crate) use meter::Sample;
pub(crate) use monitor::Monitor;
pub(crate) use server::answer;
