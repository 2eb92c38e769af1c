//! What GStreamer and GLib log at WARNING and above in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The lines that were logged: without the numbers in them, the first as it was, and the
/// count.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<BTreeMap<String, (String, usize)>>>);

impl Logged {
    /// Takes the place of the printed logs, for the rest of the process.
    pub fn start() -> Self {
        let logged = Self::default();
        gst::log::set_active(true);
        gst::log::set_default_threshold(gst::DebugLevel::Warning);
        gst::log::remove_default_log_function();
        let of_gstreamer = logged.clone();
        gst::log::add_log_function(move |category, level, _, _, _, object, message| {
            if level <= gst::DebugLevel::Warning {
                let message = message.get().unwrap_or_default();
                let object = object.map(ToString::to_string).unwrap_or_default();
                of_gstreamer.add(&format!(
                    "{level:?} {} {object}: {message}",
                    category.name()
                ));
            }
        });
        let of_glib = logged.clone();
        glib::log_set_default_handler(move |domain, level, message| {
            use glib::LogLevel::{Critical, Error, Warning};
            if matches!(level, Error | Critical | Warning) {
                of_glib.add(&format!(
                    "{level:?} {}: {message}",
                    domain.unwrap_or_default()
                ));
            }
        });
        logged
    }

    /// Adds a line; a test adds what it finds on its buses.
    pub fn add(&self, line: &str) {
        let letters = line.replace(|letter: char| letter.is_ascii_digit(), "");
        let mut logged = self.0.lock().unwrap();
        let (_, count) = logged.entry(letters).or_insert((line.to_owned(), 0));
        *count += 1;
    }

    /// The lines that are not known, with their counts.
    pub fn other_than(&self, is_known: impl Fn(&str) -> bool) -> Vec<(String, usize)> {
        let logged = self.0.lock().unwrap();
        let unknown = logged.iter().filter(|(line, _)| !is_known(line));
        unknown.map(|(_, first)| first.clone()).collect()
    }
}
