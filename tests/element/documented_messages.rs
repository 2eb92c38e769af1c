//! The messages on the bus are those of docs/: their names, fields, types and codes. What
//! other tests see on the bus is compared too, in [`check`].

use std::collections::{BTreeMap, BTreeSet};

use gst::prelude::*;
use gstivs::element::IvsWhipSink;

use crate::documentation::{columns, page, rows};

const BUS_MESSAGES: &str = include_str!("../../src/element/bus_messages.rs");
const ERROR_DETAILS: &str = "the fields of an [error](errors.md#details-of-an-error)";

/// Names, and the types that GLib has for those of the pages.
type Fields = BTreeMap<String, &'static str>;

/// Fails if a message of the element is not as the pages have it.
pub fn check(message: &gst::Message) {
    if !message
        .src()
        .is_some_and(|source| source.is::<IvsWhipSink>())
    {
        return;
    }
    match message.view() {
        gst::MessageView::Element(element) => {
            let structure = element.structure().unwrap();
            let documented = element_messages();
            assert_eq!(
                Some(&fields_of(structure)),
                documented.get(structure.name().as_str())
            );
        }
        gst::MessageView::Error(error) => {
            check_code(&error.error());
            check_error_details(error.details().unwrap());
        }
        gst::MessageView::Warning(warning) => warning.details().into_iter().for_each(check_warning),
        gst::MessageView::Info(info) => info.details().into_iter().for_each(check_info),
        _ => {}
    }
}

fn fields_of(structure: &gst::StructureRef) -> Fields {
    let fields = structure.iter();
    fields
        .map(|(name, value)| (name.to_string(), value.type_().name()))
        .collect()
}

fn check_code(error: &glib::Error) {
    let code = match error.kind::<gst::ResourceError>() {
        Some(code) => format!("`{code:?}`"),
        None => {
            assert!(error.matches(gst::CoreError::MissingPlugin), "{error}");
            assert!(page("errors.md").contains("`GST_CORE_ERROR_MISSING_PLUGIN`"));
            return;
        }
    };
    assert!(documented_codes().contains(&code), "{code}: {error}");
}

fn check_error_details(details: &gst::StructureRef) {
    let documented = error_details();
    let fields = fields_of(details);
    for (name, kind) in &fields {
        assert_eq!(documented.get(name), Some(kind), "{name} in {details:?}");
    }
    for name in ["phase", "attempt", "retryable"] {
        assert!(fields.contains_key(name), "no {name} in {details:?}");
    }
    let phase: String = details.get("phase").unwrap();
    assert!(documented_phases().contains(&phase), "{phase}");
}

fn check_warning(details: &gst::StructureRef) {
    let text = |name| details.get::<String>(name).ok();
    if details.has_field("phase") {
        check_error_details(details);
    } else if let Some(limit) = text("limit") {
        let limits = rows(&page("limits.md"), Some("## Limit violations"));
        assert!(
            columns(limits, 1).contains(&format!("`{limit}`")),
            "{limit}"
        );
    } else if let Some(name) = text("metadata") {
        let names = rows(&page("metadata.md"), Some("## What is refused"));
        assert!(columns(names, 1).contains(&format!("`{name}`")), "{name}");
    } else {
        let row = format!("`warning={}`", text("warning").unwrap());
        let encoder = details.has_field("encoder").then_some(", `encoder`");
        let row = row + encoder.unwrap_or_default();
        assert!(documented_warnings().contains(&row), "{row}");
    }
}

fn check_info(details: &gst::StructureRef) {
    match details.has_field("phase") {
        true => check_error_details(details),
        false => assert_eq!(fields_of(details), info_details()),
    }
}

/// Rows `| name | type | … |`.
fn typed(rows: Vec<Vec<String>>) -> Fields {
    let fields = rows.into_iter();
    fields
        .map(|row| (row[0].trim_matches('`').into(), glib_type(&row[1])))
        .collect()
}

fn glib_type(name: &str) -> &'static str {
    match name {
        "string" => "gchararray",
        "uint" => "guint",
        "boolean" => "gboolean",
        "int64" => "gint64",
        "GstClockTime" => "guint64",
        _ => panic!("{name} is no type of the pages"),
    }
}

/// The tables of the page, each below a line that begins with the message's name.
fn element_messages() -> BTreeMap<String, Fields> {
    let page = page("bus-messages.md");
    let section = page.split("\n## Element messages\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let parts = section.split("\n`ivswhipsink-").skip(1).map(|part| {
        let (name, rest) = part.split_once('`').unwrap();
        (format!("ivswhipsink-{name}"), typed(rows(rest, None)))
    });
    parts.collect()
}

fn error_details() -> Fields {
    typed(rows(&page("errors.md"), Some("## Details of an error")))
}

fn documented_codes() -> BTreeSet<String> {
    let mut codes = columns(rows(&page("errors.md"), Some("## Error messages")), 1);
    // A code's second meaning has a row without it.
    codes.remove("");
    codes
}

fn documented_phases() -> BTreeSet<String> {
    let page = page("errors.md");
    let row = page.lines().find(|line| line.starts_with("| `phase` |"));
    let names = row.unwrap().split('`').skip(3).step_by(2);
    names.map(str::to_owned).collect()
}

fn documented_warnings() -> BTreeSet<String> {
    columns(rows(&page("bus-messages.md"), Some("## Warnings")), 1)
}

/// The page has them in a sentence, each as `` `name` (type ``.
fn info_details() -> Fields {
    let page = page("bus-messages.md");
    let section = page.split("\n## Info messages\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap().replace('\n', " ");
    let parts: Vec<&str> = section.split('`').collect();
    let named = parts.windows(2).filter(|pair| pair[1].starts_with(" ("));
    let fields = named.map(|pair| {
        let kind = pair[1].trim_start_matches(" (");
        let end = kind.find(|letter: char| !letter.is_alphanumeric()).unwrap();
        (pair[0].to_owned(), glib_type(&kind[..end]))
    });
    fields.collect()
}

/// The functions of a source file, by name.
fn functions(source: &str) -> Vec<(&str, &str)> {
    let lines = source.split("\nfn ");
    let functions = lines
        .flat_map(|part| part.split("\npub(super) fn "))
        .skip(1);
    functions
        .map(|text| text.split_once('(').unwrap())
        .collect()
}

fn body<'a>(source: &'a str, name: &str) -> &'a str {
    let functions = functions(source);
    functions
        .iter()
        .find(|(found, _)| *found == name)
        .unwrap()
        .1
}

/// The words that follow `before` and are in quotation marks, perhaps in the next line.
fn quoted(text: &str, before: &str) -> BTreeSet<String> {
    let parts = text.split(before).skip(1);
    let words = parts.filter_map(|rest| rest.trim_start().strip_prefix('"'));
    words
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// The names that a function `name` or the like gives to the variants of an enumeration.
fn names(source: &str, function: &str) -> BTreeSet<String> {
    let start = source.find(&format!("fn {function}")).unwrap();
    let end = source[start..].find("\n    }\n").unwrap();
    quoted(&source[start..start + end], "=>")
}

fn in_code(names: BTreeSet<String>) -> BTreeSet<String> {
    names.into_iter().map(|name| format!("`{name}`")).collect()
}

#[test]
fn the_details_of_errors_are_the_tables() {
    let functions = ["failure_details", "post_settings_error", "details"];
    let fields = functions
        .iter()
        .flat_map(|name| quoted(body(BUS_MESSAGES, name), ".field("));
    let documented = error_details().into_keys();
    assert_eq!(documented.collect::<BTreeSet<_>>(), fields.collect());

    let mut phases = names(include_str!("../../src/session/failure.rs"), "name(self)");
    phases.extend(["settings", "start"].map(str::to_owned));
    assert_eq!(documented_phases(), phases);

    let codes = body(BUS_MESSAGES, "resource_error")
        .split("=> gst::ResourceError::")
        .skip(1);
    let codes = codes.map(|rest| format!("`{}`", rest.split(',').next().unwrap()));
    assert_eq!(documented_codes(), codes.collect());
}

#[test]
fn the_element_messages_are_the_tables() {
    let mut built = BTreeMap::new();
    for (_, body) in functions(BUS_MESSAGES) {
        let constants = BUS_MESSAGES.split("pub(super) const ").skip(1);
        for constant in constants {
            let (constant, rest) = constant.split_once(": &str = \"").unwrap();
            if body.contains(&format!("Structure::builder({constant})")) {
                let name = rest.split('"').next().unwrap().to_owned();
                built.insert(name, quoted(body, ".field("));
            }
        }
    }
    let documented = element_messages().into_iter();
    let documented = documented.map(|(name, fields)| (name, fields.into_keys().collect()));
    assert_eq!(documented.collect::<BTreeMap<_, BTreeSet<_>>>(), built);
}

#[test]
fn the_kinds_of_warnings_are_the_table() {
    let session = names(include_str!("../../src/session/event.rs"), "name(&self)");
    let mut kinds = BTreeSet::new();
    for (name, body) in functions(BUS_MESSAGES) {
        let posts = ["Warning::builder(", "post_detailed_warning("];
        if name == "post_detailed_warning" || !posts.iter().any(|call| body.contains(call)) {
            continue;
        }
        // In the order of the page's cell.
        let own = quoted(body, ".field(");
        let fields = ["warning", "limit", "encoder", "metadata"].iter();
        let fields: Vec<String> = fields
            .filter(|field| own.contains(**field))
            .map(|field| format!("`{field}`"))
            .collect();
        match &fields[..] {
            [] if body.contains("failure_details(") => drop(kinds.insert(ERROR_DETAILS.into())),
            [] => drop(kinds.insert("none".into())),
            [one] if one == "`warning`" => {
                kinds.extend(session.iter().map(|name| format!("`warning={name}`")));
            }
            _ => {
                let value = quoted(body, ".field(\"warning\",").pop_first();
                let warning = format!("`warning={}`", value.unwrap_or_default());
                kinds.insert(fields.join(", ").replace("`warning`", &warning));
            }
        }
    }
    assert_eq!(documented_warnings(), kinds);
}

#[test]
fn the_details_of_infos_are_in_the_list() {
    let fields = quoted(body(BUS_MESSAGES, "post_timing"), ".field(");
    assert_eq!(info_details().into_keys().collect::<BTreeSet<_>>(), fields);
}

#[test]
fn the_names_of_limits_and_of_refused_metadata_are_the_tables() {
    let limits = names(
        include_str!("../../src/ivs/limits/violation.rs"),
        "name(&self)",
    );
    let documented = rows(&page("limits.md"), Some("## Limit violations"));
    assert_eq!(columns(documented, 1), in_code(limits));

    let mut metadata = names(include_str!("../../src/element/metadata.rs"), "name(&self)");
    metadata.extend(names(
        include_str!("../../src/ivs/metadata.rs"),
        "bound(&self)",
    ));
    let documented = rows(&page("metadata.md"), Some("## What is refused"));
    assert_eq!(columns(documented, 1), in_code(metadata));
}
