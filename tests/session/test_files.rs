//! A file of tests that no `mod` names is not compiled, and nothing tells of it.

use std::fs;
use std::path::Path;

/// The files beside `main.rs` or `mod.rs` that it leaves out.
fn left_out(folder: &Path) -> Vec<String> {
    let roots = ["main.rs", "mod.rs"].map(|name| fs::read_to_string(folder.join(name)));
    let Some(root) = roots.into_iter().find_map(Result::ok) else {
        return Vec::new();
    };
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let modules = names.filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()));
    let is_named = |module: &str| {
        let declaration = format!("mod {module};");
        let mut lines = root
            .lines()
            .map(|line| line.trim_start_matches("pub(crate) "));
        matches!(module, "main" | "mod") || lines.any(|line| line == declaration)
    };
    modules.filter(|module| !is_named(module)).collect()
}

#[test]
fn each_is_compiled() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in fs::read_dir(tests).unwrap() {
        let folder = entry.unwrap().path();
        let left_out = left_out(&folder);
        assert!(left_out.is_empty(), "{}: {left_out:?}", folder.display());
    }
}
