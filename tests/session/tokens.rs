//! Which token each request carries.

use std::path::{Path, PathBuf};

use gstivs::session::{Cause, Config, Ended, ErrorKind, Input, TokenProblem, TokenSource, Tokens};
use gstivs::whip::Token;

use crate::common::{Action, Gate, Server, redirect};
use crate::publisher::{BOUND, Publisher, config, config_without_token, given, whip_server};

/// A file with a token, removed when dropped.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("ivs-session-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        // A test may have removed it already.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn from_file(endpoint: &str, path: &Path) -> Config {
    Config {
        tokens: Tokens::new(TokenSource {
            file: Some(path.to_owned()),
            ..TokenSource::default()
        }),
        ..config_without_token(endpoint)
    }
}

#[test]
fn file_is_read_anew_for_each_session() {
    let server = whip_server("127.0.0.1");
    let file = TokenFile::new("anew", "first\n");
    let publisher = Publisher::publishing(from_file(&server.url("/"), &file.0));
    std::fs::write(&file.0, "second\n").unwrap();
    publisher.tell(Input::Replace);
    publisher.offer_next();
    publisher.answer();
    publisher.stop_and_delete();
    let requests = server.requests();
    let posts = requests.iter().filter(|request| request.method == "POST");
    let tokens: Vec<_> = posts.map(|post| post.authorization().unwrap()).collect();
    assert_eq!(tokens, ["Bearer first", "Bearer second"]);
}

#[test]
fn file_that_has_gone_is_no_reason_not_to_delete() {
    let server = whip_server("127.0.0.1");
    let file = TokenFile::new("gone", "first");
    let publisher = Publisher::publishing(from_file(&server.url("/"), &file.0));
    std::fs::remove_file(&file.0).unwrap();
    publisher.stop_and_delete();
    assert_eq!(server.requests()[1].authorization(), Some("Bearer first"));
}

#[test]
fn file_that_gives_no_token_sends_no_request() {
    let server = whip_server("127.0.0.1");
    let two_lines = TokenFile::new("lines", "hidden\nlines");
    let nowhere = Path::new("/nowhere/token");
    for (path, readable) in [(two_lines.0.as_path(), true), (nowhere, false)] {
        let (failure, ended) = Publisher::offering(from_file(&server.url("/"), path)).failed();
        match &failure.cause {
            Cause::Token(TokenProblem::NoToken { .. }) => assert!(readable),
            Cause::Token(TokenProblem::Unreadable { .. }) => assert!(!readable),
            other => panic!("expected a problem with the token, found {other:?}"),
        }
        assert_eq!(failure.kind(), ErrorKind::Settings);
        assert!(!failure.is_retryable());
        let text = failure.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!(ended, Ended::NothingToDelete);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn newer_token_is_used_from_the_next_request_on() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::start(Config {
        tokens: given("first"),
        ..config_without_token(&server.url("/"))
    });
    publisher.give_token("second");
    publisher.tell(crate::publisher::offer());
    publisher.answer();
    publisher.stop_and_delete();
    let shown: Vec<_> = server.requests();
    assert_eq!(shown[0].authorization(), Some("Bearer second"));
}

#[test]
fn newer_token_is_used_behind_a_redirect_that_was_under_way() {
    let gate = Gate::default();
    let server = Server::in_order(
        "127.0.0.1",
        vec![redirect("/region").after(&gate), Action::Silence],
    );
    let publisher = Publisher::offering(Config {
        tokens: given("first"),
        ..config_without_token(&server.url("/"))
    });
    let count = |count| server.wait_for(BOUND, |requests| (requests.len() == count).then_some(()));
    count(1).expect("the first POST");
    publisher.give_token("second");
    gate.open();
    count(2).expect("the POST behind the redirect");
    let shown = server.requests();
    assert_eq!(shown[0].authorization(), Some("Bearer first"));
    assert_eq!(shown[1].authorization(), Some("Bearer second"));
}

#[test]
fn one_that_is_unset_gives_way_to_the_next_place() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::start(Config {
        tokens: Tokens::new(TokenSource {
            given: Token::parse("first").ok(),
            environment: Token::parse("fromEnvironment").ok(),
            ..TokenSource::default()
        }),
        ..config_without_token(&server.url("/"))
    });
    publisher.unset_token();
    publisher.tell(crate::publisher::offer());
    publisher.answer();
    publisher.stop_and_delete();
    for request in server.requests() {
        assert_eq!(request.authorization(), Some("Bearer fromEnvironment"));
    }
}

#[test]
fn environment_is_the_last_place_to_look() {
    let server = whip_server("127.0.0.1");
    let mut config = config(&server.url("/"));
    config.tokens = Tokens::new(TokenSource {
        environment: Some(Token::parse("fromEnvironment").unwrap()),
        ..TokenSource::default()
    });
    Publisher::publishing(config).stop_and_delete();
    for request in server.requests() {
        assert_eq!(request.authorization(), Some("Bearer fromEnvironment"));
    }
}
