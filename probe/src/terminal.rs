//! What is printed: the report, and progress for the person who waits.

use std::io::{self, Write};

/// Prints progress or a mistake. The run goes on if nobody can read it.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints the report or the usage.
pub(crate) fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}
