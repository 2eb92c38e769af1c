//! What `docs/threads.md` says, compared with what comes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ivs_stage::{Lifetime, Rules, Stage, TokenWish, VideoRule};

use crate::common::process::run;
use crate::other_languages::python_program;

const PAGE: &str = include_str!("../../docs/threads.md");
const VIDEO: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
    ! x264enc tune=zerolatency key-int-max=300 ! rtph264pay aggregate-mode=zero-latency \
    ! ivswhipsink name=whip";
const RAW: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
    ! ivswhipsink name=whip";
const AUDIO: &str = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! ivswhipsink name=whip";

#[test]
fn each_comes_on_the_thread_that_the_page_names() {
    // So that the filler falls back, which an info message tells.
    let stage = Stage::start(Rules {
        video: VideoRule::RefuseInactive,
        ..Rules::default()
    })
    .unwrap();
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("threads-token");
    std::fs::write(&new, stage.token()).unwrap();
    let wish = TokenWish {
        lifetime: Lifetime::ExpiredSince(Duration::from_secs(600)),
        ..TokenWish::default()
    };
    let expired = stage.mint(wish).unwrap();

    let endpoint = stage.endpoint();
    let mut seen = BTreeSet::new();
    for (endpoint, token, pipeline) in [
        (endpoint.as_str(), expired.as_str(), VIDEO),
        (&endpoint, &expired, AUDIO),
        (&endpoint, &expired, RAW),
        (&endpoint, "no-token-of-this-stage", VIDEO),
        // Nobody listens there.
        ("http://127.0.0.1:9/", "x", VIDEO),
        ("ftp://127.0.0.1/", "x", VIDEO),
    ] {
        let (program, mut arguments) = python_program("tests/examples/threads.py", &[]);
        let given = [endpoint, new.to_str().unwrap(), pipeline];
        arguments.extend(given.map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = run(program, &arguments, Some(token));
        assert!(run.status.success(), "{run:?}");
        seen.extend(run.output.lines().map(str::to_owned));
    }
    assert_eq!(seen, rows_of_the_page());
}

/// The rows `| kind | name | threads |`, one text for each thread.
fn rows_of_the_page() -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [
            "",
            kind @ ("signal" | "notify" | "message"),
            name,
            threads,
            ..,
        ] = cells[..]
        else {
            continue;
        };
        for thread in threads.split(',') {
            let thread = thread.trim().trim_matches('`');
            // Linux shows 15 characters of a name.
            let thread = &thread[..thread.len().min(15)];
            rows.insert(format!("{kind} {} {thread}", name.trim_matches('`')));
        }
    }
    rows
}
