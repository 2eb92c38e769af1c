//! Commands in documents, examples and scripts contain no token or password:
//! `ps` would show it to every user of the machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Texts that put a secret on a command line.
const REVEALING: [&str; 6] = [
    "auth-token=",
    "turn-server=",
    "Bearer ",
    "--token ",
    "--token=",
    "env IVS_STAGE_TOKEN=",
];

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["README.md", "DESIGN.md", "CHANGELOG.md", "Makefile"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    for folder in [
        "docs",
        "examples",
        "probe/src",
        "scripts",
        "stage/src/command",
    ] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.into_iter().filter(|path| path.is_file()).collect()
}

fn revealing(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| REVEALING.iter().any(|word| line.contains(word)) || is_inline(line))
        .collect()
}

/// Whether a token is written in front of a command, so that the shell's history
/// keeps it.
fn is_inline(line: &str) -> bool {
    let value = line.split_once("IVS_STAGE_TOKEN=").map(|(_, value)| value);
    value.is_some_and(|value| value.trim_start_matches(['"', '\'']).starts_with("ey"))
}

#[test]
fn none_shows_a_token_or_a_password() {
    for path in files() {
        // A picture may be among them.
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let lines = revealing(&text);
        assert!(lines.is_empty(), "{}: {lines:#?}", path.display());
    }
}

#[test]
fn the_documents_and_scripts_are_looked_at() {
    let names: Vec<String> = files()
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in [
        "README.md",
        "cookbook.md",
        "Makefile",
        "publish_audio.rs",
        "demo.sh",
    ] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    for line in [
        "gst-launch-1.0 … ! ivswhipsink auth-token=$TOKEN",
        "curl -H 'Authorization: Bearer $TOKEN'",
        "IVS_STAGE_TOKEN=eyJhbGciOi gst-launch-1.0",
    ] {
        assert_eq!(revealing(line), [line]);
    }
    let good = "export IVS_STAGE_TOKEN=\"$(target/release/ivs-stage token)\"";
    assert!(revealing(good).is_empty());
}
