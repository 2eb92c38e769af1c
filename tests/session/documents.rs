//! Documents link only to what exists, each page of docs/ has a table of contents and is in
//! the README's table, and the table of IVS's codes is that of the element.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gstivs::ivs::{OfferedMedia, OfferedVideo, RefusalKind, Retry, explain_refusal};
use gstivs::whip::Refusal;
use http::StatusCode;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 15, "{pages:?}");
    pages
}

fn documents() -> Vec<PathBuf> {
    let mut documents = pages();
    let others = ["README.md", "DESIGN.md", "CHANGELOG.md"];
    documents.extend(others.map(|name| root().join(name)));
    documents
}

/// The lines outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors that GitHub gives to the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let mut anchors = BTreeSet::new();
    for heading in headings {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|character| character.is_alphanumeric() || " -_".contains(*character));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let is_new = anchors.insert(anchor);
        assert!(is_new, "two headings: {heading}");
    }
    anchors
}

/// The targets of a document's links, but for those to the web. A link may go on in the
/// next line.
fn targets(text: &str) -> Vec<String> {
    let text = prose(text).collect::<Vec<_>>().join("\n");
    let links = text.split("](").skip(1);
    let targets = links.map(|rest| rest.split(')').next().unwrap().to_owned());
    targets
        .filter(|target| !target.starts_with("https://"))
        .collect()
}

/// What is wrong with a link, if anything.
fn fault(document: &Path, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => document.to_owned(),
        _ => document.parent()?.join(file),
    };
    if !path.exists() {
        return Some(format!("{target}: no such file"));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&path).unwrap();
    let is_there = anchors(&text).contains(anchor);
    (!is_there).then(|| format!("{target}: no such heading"))
}

#[test]
fn every_link_and_anchor_exists() {
    let mut count = 0;
    for document in documents() {
        let targets = targets(&fs::read_to_string(&document).unwrap());
        count += targets.len();
        let faults = targets.iter().filter_map(|target| fault(&document, target));
        let faults: Vec<String> = faults.collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", document.display());
    }
    assert!(count > 100, "{count} links");
}

#[test]
fn broken_links_are_faults() {
    let readme = root().join("README.md");
    let text = "See [a](docs/none.md),\n[b](docs/limits.md#nowhere), [c](#nowhere) and\n\
                [d](https://example.net).\n```sh\n[e](none)\n```\n";
    let targets = targets(text);
    assert_eq!(
        targets,
        ["docs/none.md", "docs/limits.md#nowhere", "#nowhere"]
    );
    for target in targets {
        assert!(fault(&readme, &target).is_some(), "{target}");
    }
    assert_eq!(
        anchors("# A `b_c`, d-e?\n"),
        ["a-b_c-d-e".to_owned()].into()
    );
}

#[test]
fn each_page_has_contents_and_is_in_the_readmes_table() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        assert!(readme.contains(&format!("](docs/{name})")), "{name}");
        let text = fs::read_to_string(&page).unwrap();
        let listed: BTreeSet<String> = targets(&text)
            .iter()
            .filter_map(|target| target.strip_prefix('#').map(str::to_owned))
            .collect();
        for heading in prose(&text).filter(|line| line.starts_with("## ")) {
            let anchor = anchors(heading).pop_first().unwrap();
            assert!(listed.contains(&anchor), "{name}: {heading}");
        }
    }
}

/// Code, kind, and whether it is retried, as the table has them.
type CodeRow = (u32, String, String);

fn explained(code: u32) -> (RefusalKind, Retry, String) {
    let body = format!(r#"{{"code":{code},"message":"m"}}"#);
    let refusal = Refusal {
        // No code of IVS has the meaning of this status.
        status: StatusCode::METHOD_NOT_ALLOWED,
        retry_after: None,
        body: body.into(),
    };
    let explanation = explain_refusal(&refusal, &OfferedMedia::accepted(OfferedVideo::Media));
    (explanation.kind, explanation.retry, explanation.advice)
}

#[test]
fn the_table_of_ivss_codes_is_the_elements() {
    let unknown = explained(0);
    let known = (1..10_000).filter_map(|code| {
        let row = explained(code);
        let retried = if row.1 == Retry::Later { "yes" } else { "no" };
        (row != unknown).then(|| (code, format!("`{:?}`", row.0), retried.to_owned()))
    });
    let known: BTreeSet<CodeRow> = known.collect();
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let documented = prose(&page).filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let code = cells.next()?.parse().ok()?;
        Some((code, cells.next()?.to_owned(), cells.next()?.to_owned()))
    });
    assert_eq!(documented.collect::<BTreeSet<CodeRow>>(), known);
    assert!(known.len() > 10);
}
