//! lib
pub mod ivs;
pub mod whip;
