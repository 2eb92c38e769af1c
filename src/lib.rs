//! lib
pub mod ivs;
pub mod session;
pub mod whip;
