//! A process that tries for long keeps no descriptors of its failed attempts.

use std::fs::read_dir;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::harness::plugin_folder;

const ELEMENTS: usize = 20;

/// Kills the process when a test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn refused_connections_leave_none_behind() {
    // A port on which nothing listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", port.local_addr().unwrap());
    drop(port);
    let folder = plugin_folder("descriptors");
    let sink = format!("t. ! queue ! ivswhipsink whip-endpoint={endpoint} retries=1000 ");
    let launch = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! tee name=t ".to_owned()
        + &sink.repeat(ELEMENTS);
    let child = Command::new("gst-launch-1.0")
        .args(launch.split_whitespace())
        .env("GST_PLUGIN_PATH", &folder)
        .env("IVS_STAGE_TOKEN", "token")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Killed(child.unwrap());
    let descriptors = format!("/proc/{}/fd", child.0.id());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let retries = lines.filter(|line| line.as_ref().unwrap().contains("Trying again"));
    let counts = retries.map(|_| read_dir(&descriptors).unwrap().count());
    let counts: Vec<usize> = counts.take(3 * ELEMENTS).collect();
    // The fewest of a round: an attempt that is under way has some.
    let fewest = |round: usize| {
        let round = counts.chunks(ELEMENTS).nth(round);
        round.and_then(|counts| counts.iter().min()).copied()
    };
    let (first, last) = (fewest(0).unwrap(), fewest(2).unwrap());
    assert!(last <= first, "{counts:?}");
    drop(child);
    std::fs::remove_dir_all(folder).unwrap();
}
