//! The invariants of the fuzz targets, on bytes that are the same at each run: seeds, and
//! seeds damaged in many ways. `make fuzz` looks further.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "how a test fails"
)]
// What is public for the fuzz targets.
#![allow(unreachable_pub)]

#[path = "../../fuzz/src/lib.rs"]
mod invariants;
#[allow(dead_code)]
#[path = "../../src/random.rs"]
mod random;

use std::path::Path;

use random::Random;

/// Inputs for each target.
const ROUNDS: u64 = 1000;

#[test]
fn answer() {
    holds(invariants::answer, "answer");
}

#[test]
fn reply() {
    holds(invariants::reply, "reply");
}

#[test]
fn token() {
    holds(invariants::token, "token");
}

#[test]
fn rtp() {
    holds(invariants::rtp, "rtp");
}

#[test]
fn h264() {
    holds(invariants::h264, "h264");
}

#[test]
fn rtcp() {
    holds(invariants::rtcp, "rtcp");
}

#[test]
fn uplink() {
    holds(invariants::uplink, "uplink");
}

#[test]
fn hosts() {
    holds(invariants::hosts, "hosts");
}

#[test]
fn redaction() {
    holds(invariants::redaction, "redaction");
}

#[test]
fn stage() {
    holds(invariants::stage, "stage");
}

fn holds(invariant: fn(&[u8]), target: &str) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| invariant(seed));
    for round in 1..=ROUNDS {
        let mut random = Random::new(round);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(8) {
            damage(&mut bytes, &mut random, &seeds);
        }
        if let Err(panic) = std::panic::catch_unwind(|| invariant(&bytes)) {
            eprintln!("round {round}: {}", bytes.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

/// The files of the target's folder, and those that all tests share.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = match target {
        "answer" => Some("tests/fixtures/answers"),
        "reply" => Some("tests/fixtures/replies"),
        _ => None,
    };
    let own = format!("fuzz/seeds/{target}");
    let mut files: Vec<_> = shared
        .into_iter()
        .chain([own.as_str()])
        .filter_map(|folder| std::fs::read_dir(root.join(folder)).ok())
        .flat_map(|folder| folder.map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds for {target}");
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random, seeds: &[Vec<u8>]) {
    let place = random.below(bytes.len() + 1);
    match random.below(6) {
        0 if place < bytes.len() => bytes[place] = random.next() as u8,
        1 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
        2 => bytes.insert(place, random.next() as u8),
        3 => bytes.truncate(place),
        // A piece again, elsewhere.
        4 => {
            let piece = bytes[place..(place + random.below(40)).min(bytes.len())].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            bytes.splice(place.., other[from..].iter().copied());
        }
    }
}
