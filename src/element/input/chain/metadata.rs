//! Puts messages into frames of H.264, in front of the payloader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gst::prelude::*;

use super::super::pad_stream::PadStream;
use crate::ivs::{MetadataError, MetadataQueue};
use crate::media::FirstSlice;

/// The messages of a pad. They outlive its chain.
pub(crate) struct Metadata {
    queue: Mutex<MetadataQueue>,
    origin: Instant,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            origin: Instant::now(),
        }
    }
}

impl Metadata {
    /// Takes a message for the next frame that leaves, and for `repeat` frames after it.
    ///
    /// # Errors
    /// [`MetadataError`] if it is out of bounds.
    pub(crate) fn push(&self, data: &[u8], repeat: u32) -> Result<(), MetadataError> {
        self.lock().push(data, repeat, self.origin.elapsed())
    }

    /// Forgets all messages.
    pub(super) fn clear(&self) {
        *self.lock() = MetadataQueue::default();
    }

    /// Inserts the messages into what enters the last element of a chain, a payloader of
    /// H.264 as a byte stream.
    pub(super) fn insert_into(self: &Arc<Self>, chain: &gst::Bin, stream: &Arc<PadStream>) {
        let source = chain.static_pad("src").and_downcast::<gst::GhostPad>();
        let last = source.and_then(|ghost| ghost.target()?.parent_element());
        let Some(sink) = last.and_then(|payloader| payloader.static_pad("sink")) else {
            return;
        };
        let (metadata, stream) = (self.clone(), stream.clone());
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(frame)) = &mut info.data
                && let Some(with_messages) = metadata.with_messages(frame, &stream)
            {
                *frame = with_messages;
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// The frame with the messages that are due. `None` if it stays as it is.
    fn with_messages(&self, frame: &gst::BufferRef, stream: &PadStream) -> Option<gst::Buffer> {
        if self.lock().is_empty() {
            return None;
        }
        // Some parsers put each unit in a buffer of its own.
        let first = FirstSlice::find(&frame.map_readable().ok()?)?;
        if !stream.lets_pass(first.is_key_frame) {
            return None;
        }
        let units = self.lock().next_frame(self.origin.elapsed());
        if units.is_empty() {
            return None;
        }
        insert(frame, first.offset, units)
    }

    fn lock(&self) -> MutexGuard<'_, MetadataQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy of the frame with bytes inserted. Its own bytes are shared.
fn insert(frame: &gst::BufferRef, offset: usize, bytes: Vec<u8>) -> Option<gst::Buffer> {
    let memory = gst::BufferCopyFlags::MEMORY;
    let all_else =
        gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
    let mut whole = gst::Buffer::new();
    frame.copy_into(whole.get_mut()?, all_else, ..).ok()?;
    if offset > 0 {
        whole.append(frame.copy_region(memory, ..offset).ok()?);
    }
    whole.append(gst::Buffer::from_slice(bytes));
    whole.append(frame.copy_region(memory, offset..).ok()?);
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_inserted_and_the_rest_stays() {
        gst::init().unwrap();
        for offset in [0, 2, 3] {
            let mut frame = gst::Buffer::from_slice([1, 2, 3, 4]);
            let writable = frame.get_mut().unwrap();
            writable.set_pts(gst::ClockTime::SECOND);
            writable.set_flags(gst::BufferFlags::DELTA_UNIT | gst::BufferFlags::MARKER);
            let whole = insert(&frame, offset, vec![7, 7]).unwrap();
            let mut expected = vec![1, 2, 3, 4];
            expected.splice(offset..offset, [7, 7]);
            assert_eq!(whole.map_readable().unwrap().as_slice(), expected);
            assert_eq!(whole.pts(), frame.pts());
            assert!(whole.flags().contains(frame.flags()));
        }
    }
}
