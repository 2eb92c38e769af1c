//! The examples in Python and C, which use the plugin as an installed one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use ivs_stage::{Kind, Lifetime, Rules, Stage, TokenWish};

use crate::common::process::{end, signal};
use crate::{BOUND, launch};

/// Files that these tests make; cargo's own place for that.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with nothing but the plugin, which `cargo test` puts beside this executable.
static PLUGIN_FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let executable = std::env::current_exe().unwrap();
    let built = executable.parent().unwrap().join("libgstivs.so");
    let folder = Path::new(SCRATCH).join("plugin");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(built, folder.join("libgstivs.so")).unwrap();
    folder
});

static C_PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", "gstreamer-1.0"])
        .output()
        .unwrap();
    let flags = String::from_utf8(flags.stdout).unwrap();
    let program = Path::new(SCRATCH).join("publish");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
        .arg(Path::new(ROOT).join("examples/publish.c"))
        .arg("-o")
        .arg(&program)
        .args(flags.split_whitespace())
        .status()
        .unwrap();
    assert!(compiled.success(), "cc examples/publish.c");
    program
});

/// A Python program and its interpreter: Debian's, which finds Debian's bindings.
pub(crate) fn python_program(path: &str, variables: &[String]) -> (PathBuf, Vec<String>) {
    let path = Path::new(ROOT).join(path);
    let path = path.to_str().unwrap().to_owned();
    with_plugin(variables, vec!["/usr/bin/python3".to_owned(), path])
}

pub(crate) fn c_program(variables: &[String]) -> (PathBuf, Vec<String>) {
    let program = C_PROGRAM.to_str().unwrap().to_owned();
    with_plugin(variables, vec![program])
}

fn with_plugin(variables: &[String], command: Vec<String>) -> (PathBuf, Vec<String>) {
    let plugin = format!("GST_PLUGIN_PATH={}", PLUGIN_FOLDER.display());
    let all = variables.iter().cloned().chain([plugin]).chain(command);
    (PathBuf::from("/usr/bin/env"), all.collect())
}

#[test]
fn an_expired_token_is_renewed_by_the_application() {
    let stage = Stage::start(Rules::default()).unwrap();
    let expired = stage
        .mint(TokenWish {
            lifetime: Lifetime::ExpiredSince(Duration::from_secs(600)),
            ..TokenWish::default()
        })
        .unwrap();
    let file = Path::new(SCRATCH).join("new-token");
    std::fs::write(&file, stage.token()).unwrap();
    let variables = [format!("IVS_TOKEN_COMMAND=cat {}", file.display())];
    let commands = [
        python_program("examples/publish.py", &variables),
        c_program(&variables),
    ];
    for (index, command) in commands.into_iter().enumerate() {
        let child = launch(command, &stage, &expired);
        let publishes = stage.wait_for_sessions(BOUND, |sessions| {
            let session = sessions.get(index)?;
            (session.packets(Kind::Audio) > 80).then_some(())
        });
        signal(&child, "INT");
        let run = end(child);
        assert!(publishes.is_some(), "{run:?}");
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        assert!(
            run.output.contains("packets of audio; video has"),
            "{run:?}"
        );
        assert_eq!(stage.live_sessions(), 0);
    }
    assert_eq!(stage.sessions().len(), 2);
}

/// Without a new token the error stays, and the program ends.
#[test]
fn a_command_without_a_token_leaves_the_error() {
    let stage = Stage::start(Rules::default()).unwrap();
    let wish = TokenWish {
        allow_publish: false,
        ..TokenWish::default()
    };
    let useless = stage.mint(wish).unwrap();
    let variables = ["IVS_TOKEN_COMMAND=false".to_owned()];
    for command in [
        python_program("examples/publish.py", &variables),
        c_program(&variables),
    ] {
        let run = end(launch(command, &stage, &useless));
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        assert!(run.errors.contains("does not allow publishing"), "{run:?}");
    }
}
