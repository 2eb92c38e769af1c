//! The page's files, which are part of the program.

/// A file's content type and text.
pub(crate) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Some(match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("page/style.css")),
        "/icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        "/page.js" => (SCRIPT, include_str!("page/page.js")),
        "/publisher.js" => (SCRIPT, include_str!("page/publisher.js")),
        "/player.js" => (SCRIPT, include_str!("page/player.js")),
        "/plot.js" => (SCRIPT, include_str!("page/plot.js")),
        "/element.js" => (SCRIPT, include_str!("page/element.js")),
        _ => return None,
    })
}
