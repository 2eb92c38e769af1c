//! H.264 in RTP payloads.

use gstivs::media::{ParameterSets, Sps};

use super::cursor::Cursor;

/// The bytes are payloads, each with its length before it; the first one also a
/// parameter set and the text of caps.
pub fn h264(data: &[u8]) {
    let mut payloads = Cursor(data);
    let mut sets = ParameterSets::default();
    if let Some(sps) = Sps::parse(data) {
        assert!(sps.width > 0 && sps.height > 0, "{sps:?}");
        let _ = (sps.is_baseline(), sps.profile());
    }
    sets.replace(&String::from_utf8_lossy(data));
    let mut timestamp = 0;
    while let Some(length) = payloads.byte() {
        // The highest bit says that the frame goes on.
        timestamp += u32::from(length >> 7 == 0);
        let start = sets.packet(payloads.take(usize::from(length & 0x7f)), timestamp);
        assert!(!start.lacks_sets || start.is_entry, "{start:?}");
        assert!(!(start.is_preamble && start.kind.is_some()), "{start:?}");
    }
    sets_read_back(&sets);
}

/// What is put before a key frame holds the same sets.
fn sets_read_back(sets: &ParameterSets) {
    let payloads = sets.payloads();
    let mut again = ParameterSets::default();
    for payload in &payloads {
        again.packet(payload, 7);
    }
    assert_eq!(again.payloads(), payloads);
    if !payloads.is_empty() {
        assert!(!again.packet(&[0x65, 0x88, 1], 7).lacks_sets);
    }
}
