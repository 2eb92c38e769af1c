//! RTP, H.264, RTCP and DTLS certificates as values: what they say, and what a
//! stream measures.
//!
//! Nothing here does I/O, reads a clock, logs, or knows AWS or GStreamer. Time
//! is an argument.

mod black_picture;
mod dtls_certificate;
mod h264;
mod rate_meter;
mod rtcp_reports;
#[cfg(test)]
pub(crate) mod sample_stream;
pub(crate) mod sps;
mod stream_meter;

pub use black_picture::black_picture;
pub use dtls_certificate::{CertificateError, DtlsCertificate};
pub use rtcp_reports::{Report, RtcpReports};
pub use sps::Sps;
pub use stream_meter::{AudioMeter, BFrames, VideoMeter};
