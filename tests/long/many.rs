//! The cost of many elements in one process.

use std::time::Duration;

use crate::alone::{alone, show};
use crate::far_end::FarEnd;
use crate::harness::AUDIO;
use crate::process_usage::{Usage, cpu_time};
use crate::publisher::Publisher;

const ELEMENTS: usize = 40;
const SECONDS: f64 = 20.0;

#[test]
#[ignore = "slow: make test-long"]
fn forty_elements_publish_in_one_process() {
    alone("many::forty_elements_publish_in_one_process", || {
        let far_end = FarEnd::start();
        let before = Usage::now();
        let publishers: Vec<Publisher> = (0..ELEMENTS)
            .map(|_| Publisher::to(&far_end, AUDIO))
            .collect();
        publishers.iter().for_each(Publisher::play);
        let connects = publishers
            .iter()
            .map(|publisher| publisher.wait_state("publishing"));
        let slowest = connects.max().unwrap();
        far_end.wait("media of all", |counts| counts.playing.len() == ELEMENTS);
        let cpu = cpu_time();
        far_end.wait_for(Duration::from_secs(60), "time of media of all", |counts| {
            counts.playing.values().all(|seconds| *seconds >= SECONDS)
        });
        let cpu = cpu_time() - cpu;
        let on_air = Usage::now();
        drop(publishers);
        far_end.wait_all_deleted();
        assert_eq!(far_end.look(|counts| counts.created), ELEMENTS);
        show(&format!("before: {before}"));
        show(&format!("{ELEMENTS} on air: {on_air}"));
        show(&format!(
            "the last one on air after {slowest}; {cpu:.1?} of processor time in {SECONDS} s, \
             encoders included"
        ));
        let each = |all: usize| all / ELEMENTS;
        assert!(each(on_air.threads - before.threads) <= 12);
        assert!(each(on_air.files - before.files) <= 40);
        assert!(on_air.memory - before.memory < 400 * 1024);
        assert!(cpu < Duration::from_secs(30));
    });
}
