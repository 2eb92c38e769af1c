//! The reference in docs/ has exactly what the element has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use glib::subclass::SignalId;
use gst::prelude::*;
use gstivs::element::{IvsWhipSink, SessionState};

use crate::harness::{init, plugin_folder};

pub fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// The cells of all table rows below this heading, up to the next one of a page. Without
/// the tables' heads.
pub fn rows(page: &str, heading: Option<&str>) -> Vec<Vec<String>> {
    let section = match heading {
        Some(heading) => {
            let start = page.find(&format!("\n{heading}\n")).unwrap();
            let text = &page[start + heading.len() + 2..];
            text.split("\n## ").next().unwrap()
        }
        None => page,
    };
    let lines: Vec<&str> = section.lines().collect();
    let is_row = |line: &str| line.starts_with("| ") && !line.starts_with("| ---");
    let is_head = |index: usize| {
        let next = lines.get(index + 1);
        next.is_some_and(|next| next.starts_with("| ---"))
    };
    let rows = lines.iter().enumerate();
    rows.filter(|(index, line)| is_row(line) && !is_head(*index))
        .map(|(_, line)| {
            // No cell has the character.
            let line = line.trim_matches('|');
            line.split('|').map(|cell| cell.trim().into()).collect()
        })
        .collect()
}

pub fn columns(rows: Vec<Vec<String>>, count: usize) -> BTreeSet<String> {
    let rows = rows.into_iter();
    rows.map(|row| row[..count].join(" | ").trim_end().to_owned())
        .collect()
}

/// A property as the table has it: name, type, default, range, and when it can be set.
fn property_row(spec: &glib::ParamSpec) -> String {
    let is_readonly = !spec.flags().contains(glib::ParamFlags::WRITABLE);
    let (kind, default, range) = kind_default_range(spec);
    let range = match is_readonly && kind != "enum" {
        true => String::new(),
        false => range,
    };
    let has = |flag: glib::ParamFlags| spec.flags().contains(flag);
    let change = if is_readonly {
        "read-only"
    } else if has(gst::PARAM_FLAG_MUTABLE_PLAYING) {
        "any time"
    } else {
        assert!(has(gst::PARAM_FLAG_MUTABLE_READY), "{}", spec.name());
        "NULL, READY"
    };
    let name = spec.name();
    let row = [&format!("`{name}`"), kind, &default, &range, change].map(str::to_owned);
    row.join(" | ")
}

fn kind_default_range(spec: &glib::ParamSpec) -> (&'static str, String, String) {
    let code = |text: &dyn std::fmt::Display| format!("`{text}`");
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecString>() {
        let default = spec.default_value().map(|text| code(&text));
        ("string", default.unwrap_or("unset".into()), String::new())
    } else if let Some(spec) = spec.downcast_ref::<glib::ParamSpecBoolean>() {
        ("boolean", code(&spec.default_value()), String::new())
    } else if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt>() {
        let range = format!("{} to {}", spec.minimum(), spec.maximum());
        ("uint", code(&spec.default_value()), range)
    } else if let Some(spec) = spec.downcast_ref::<glib::ParamSpecInt>() {
        let range = format!("{} to {}", spec.minimum(), spec.maximum());
        ("int", code(&spec.default_value()), range)
    } else if let Some(spec) = spec.downcast_ref::<glib::ParamSpecInt64>() {
        ("int64", code(&spec.default_value()), String::new())
    } else if let Some(spec) = spec.downcast_ref::<glib::ParamSpecEnum>() {
        let class = spec.enum_class();
        let nicks = class.values().iter();
        let range: Vec<String> = nicks.map(|value| code(&value.nick())).collect();
        let default = class.value(spec.default_value_as_i32());
        ("enum", code(&default.unwrap().nick()), range.join(", "))
    } else if spec.value_type() == gst::Caps::static_type() {
        ("caps", "unset".into(), String::new())
    } else if spec.value_type() == gst::Array::static_type() {
        ("array", String::new(), String::new())
    } else if spec.value_type().is_a(glib::Object::static_type()) {
        ("object", String::new(), String::new())
    } else {
        assert_eq!(spec.value_type(), gst::Structure::static_type());
        ("structure", String::new(), String::new())
    }
}

#[test]
fn the_property_tables_are_the_class() {
    init();
    let class = glib::object::ObjectClass::from_type(IvsWhipSink::static_type()).unwrap();
    let specs = class.list_properties();
    let own = specs
        .iter()
        .filter(|spec| spec.owner_type() == IvsWhipSink::static_type());
    let expected: BTreeSet<String> = own.map(property_row).collect();
    let documented = columns(rows(&page("properties.md"), None), 5);
    assert_eq!(documented, expected);
}

/// Bit rates, times and rates are nothing without a unit.
#[test]
fn each_number_has_its_unit_in_gst_inspect() {
    init();
    let class = glib::object::ObjectClass::from_type(IvsWhipSink::static_type()).unwrap();
    for spec in class.list_properties() {
        let is_number = spec.value_type() == u32::static_type();
        if spec.owner_type() != IvsWhipSink::static_type() || !is_number {
            continue;
        }
        let blurb = spec.blurb().unwrap();
        let units = ["bit/s", "seconds", "Seconds", "Milliseconds", "a second"];
        assert!(units.iter().any(|unit| blurb.contains(unit)), "{blurb}");
    }
}

#[test]
fn the_state_table_is_the_enumeration() {
    init();
    let class = glib::EnumClass::with_type(SessionState::static_type()).unwrap();
    let nicks = class.values().iter();
    let expected: BTreeSet<String> = nicks.map(|value| format!("`{}`", value.nick())).collect();
    let documented = columns(rows(&page("session-states.md"), None), 1);
    assert_eq!(documented, expected);
}

/// What `gst-inspect-1.0` prints of the element.
fn inspected() -> String {
    let folder = plugin_folder("documentation");
    let output = Command::new("gst-inspect-1.0")
        .args(["--no-colors", "ivswhipsink"])
        .env("GST_PLUGIN_PATH_1_0", &folder)
        .env("GST_REGISTRY_1_0", folder.join("registry.bin"))
        .output()
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A signal as the table has it: name, kind, arguments, and what it returns.
fn signal_row(name: &str) -> String {
    let signal = SignalId::lookup(name, IvsWhipSink::static_type());
    let query = signal.unwrap_or_else(|| panic!("{name}")).query();
    let kind = match query.flags().contains(glib::SignalFlags::ACTION) {
        true => "action",
        false => "signal",
    };
    let arguments = query.param_types().iter();
    let arguments: Vec<String> = arguments
        .map(|argument| format!("`{}`", argument.type_().name()))
        .collect();
    let arguments = match arguments.is_empty() {
        true => "none".to_owned(),
        false => arguments.join(", "),
    };
    let result = match query.return_type().type_() {
        glib::Type::UNIT => "nothing".to_owned(),
        result => format!("`{}`", result.name()),
    };
    format!("`{name}` | {kind} | {arguments} | {result}")
}

/// GLib's list of an element's signals is not in the bindings, so gst-inspect-1.0 reads it.
#[test]
fn the_signal_table_is_what_gst_inspect_shows() {
    let text = inspected();
    let signals = text.split_once("\nElement Signals:").unwrap().1;
    // In front of each name are two blanks and a quotation mark.
    let names = signals.split("\n  \"").skip(1);
    let names = names.map(|rest| rest.split('"').next().unwrap());
    let expected: BTreeSet<String> = names.map(signal_row).collect();
    let documented = rows(&page("signals.md"), Some("## All signals"));
    assert_eq!(columns(documented, 4), expected, "{text}");
    assert!(expected.len() > 3, "{text}");
}

/// The names in a function of src/element/stats.rs: no session has all fields at once.
fn field_names(function: &str) -> BTreeSet<String> {
    let calls = [".field(", ".field_if_some("];
    let mut names = BTreeSet::new();
    for (start, call) in calls.iter().flat_map(|call| function.match_indices(call)) {
        let argument = function[start + call.len()..].trim_start();
        let quoted = argument.strip_prefix("name(").unwrap_or(argument);
        let literal = quoted.strip_prefix('"');
        let literal = literal.unwrap_or_else(|| panic!("not a name: {:.40}", quoted));
        names.insert(literal.split('"').next().unwrap().to_owned());
    }
    names
}

#[test]
fn the_statistics_tables_are_the_fields_of_stats() {
    let source = include_str!("../../src/element/stats.rs");
    let (mut session, mut stream) = (BTreeSet::new(), BTreeSet::new());
    for function in source
        .split("\nfn ")
        .flat_map(|part| part.split("\npub(super) fn "))
    {
        let names = field_names(function).into_iter();
        if function.contains("format.track.name()") {
            stream.extend(names.map(|name| format!("`{name}`")));
        } else if function.contains("{side}-candidate-{name}") {
            let both = names.flat_map(|name| ["local", "remote"].map(|side| (side, name.clone())));
            session.extend(both.map(|(side, name)| format!("`{side}-candidate-{name}`")));
        } else {
            session.extend(names.map(|name| format!("`{name}`")));
        }
    }
    assert!(session.len() > 20 && stream.len() > 10);
    init();
    let class = glib::object::ObjectClass::from_type(IvsWhipSink::static_type()).unwrap();
    let property = class.find_property("stats").unwrap();
    let blurb = property.blurb().unwrap();
    let is_name = |word: &&str| word.contains('-') && !word.ends_with(['-', '*']);
    for name in blurb.split([' ', ',', ':', '.']).filter(is_name) {
        let name = format!("`{name}`");
        assert!(session.contains(&name) || stream.contains(&name), "{name}");
    }
    let page = page("statistics.md");
    let documented = |heading| columns(rows(&page, Some(heading)), 1);
    assert_eq!(documented("## Fields of the session"), session);
    assert_eq!(documented("## Fields of a stream"), stream);
}
