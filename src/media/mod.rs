//! RTP, H.264, RTCP, timestamps and DTLS certificates as values.
//!
//! In: packets, and the time at which each passed. Out: what a stream measures,
//! how its timestamps are aligned, what the far end reports, and what a parameter set
//! says. Also made here: a DTLS certificate, a black picture, and messages that travel with
//! a frame. [`bandwidth`] estimates what the network carries, and decides what leaves when.
//!
//! This module has no I/O, clock, logging, AWS fact or GStreamer type.

mod audio_times;
pub mod bandwidth;
mod black_picture;
mod dtls_certificate;
mod expected_loss;
mod h264;
mod opus_packet;
mod parameter_sets;
mod picture_size;
mod picture_steps;
mod rate_meter;
mod rtcp_reports;
mod rtp_stream;
#[cfg(test)]
pub(crate) mod sample_stream;
mod sei;
pub(crate) mod sps;
mod stream_meter;
mod time_alignment;

pub use audio_times::{AudioArrival, AudioPlace, AudioTimes, AudioUnit};
pub use black_picture::black_picture;
pub use dtls_certificate::{CertificateError, DtlsCertificate};
pub use expected_loss::ExpectedLoss;
pub use opus_packet::{OPUS_CLOCK_RATE, opus_samples};
pub use parameter_sets::{FrameStart, ParameterSets};
pub use picture_size::{FittedPicture, PictureSize, SideBounds};
pub use picture_steps::{PictureStep, PictureSteps};
pub use rtcp_reports::{Report, RtcpReports};
pub use rtp_stream::{Missing, Moment, Place, RtpHeader, RtpStream};
pub use sei::{ByteRate, FirstSlice, user_data_unit};
pub use sps::Sps;
pub use stream_meter::{AudioMeter, BFrames, VideoMeter};
pub use time_alignment::{Step, TimeAlignment, Timing, TimingNews};
