//! Secrets that no output may show: the token, passwords, and the paths of URLs,
//! which are capabilities (RFC 9725 5).

use gstivs::session::{Event, Input, Process};

use crate::common::{Action, Reply, Request, Server, answer_for, created, redirect};
use crate::publisher::{Publisher, TOKEN, config, connected};

/// Part of every path and of the TURN credential in these tests.
const PATH: &str = "pathThatNobodyMaySee";

/// Everything that can be printed of an event.
fn shown(event: &Event) -> String {
    let display = match event {
        Event::Failed(failure) => failure.to_string(),
        Event::Warning(warning) => warning.to_string(),
        _ => String::new(),
    };
    format!("{event:?} {event:#?} {display}")
}

/// Runs a session to its end; stops it if it gets an answer.
fn run(server: &Server) -> Vec<Event> {
    let publisher = Publisher::offering(config(&server.url(&format!("/{PATH}"))));
    let mut events = Vec::new();
    loop {
        events.push(publisher.next());
        match events.last() {
            Some(Event::Answer { .. }) => {
                publisher.tell(connected());
                publisher.tell(Input::Stop);
            }
            Some(Event::Ended(_)) => return events,
            _ => {}
        }
    }
}

fn assert_hidden(events: &[Event]) {
    for event in events {
        let shown = shown(event);
        for secret in [TOKEN, PATH, "farEndPassword", "nearPassword"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

fn script(
    post: impl Fn(&Request) -> Action + Send + Sync + 'static,
    delete: fn() -> Action,
) -> Server {
    Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => post(request),
        _ => delete(),
    })
}

fn session() -> String {
    format!("/session/{PATH}?key={PATH}")
}

#[test]
fn no_event_of_a_session_shows_them() {
    let ok = || Reply::new(200).into();
    let ends: [fn() -> Action; 3] = [ok, || Reply::new(500).into(), || Action::Close];
    for end in ends {
        let server = script(|request| created(&session(), request), end);
        let next = server.url(&format!("/{PATH}/2"));
        let first = Server::start("127.0.0.2", move |_| redirect(&next));
        let events = run(&first);
        assert!(events.len() >= 5, "{events:?}");
        assert_hidden(&events);
    }
}

/// A look-up of such a host would tell the token to every name server on the way.
#[test]
fn no_host_name_shows_the_token() {
    let host = |piece: &str| format!("http://{piece}.example/");
    let (upper, piece) = (TOKEN.to_uppercase(), &TOKEN[..20]);
    let escaped: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for name in [TOKEN, &upper, piece, &escaped] {
        let to = host(name);
        let server = Server::start("127.0.0.1", move |_| redirect(&to));
        let events = run(&server);
        let Some(Event::Failed(failure)) = events.iter().rev().nth(1) else {
            panic!("a failure: {events:?}")
        };
        assert!(failure.to_string().contains("token"), "{failure}");
        assert!(!failure.to_string().contains("redirect-hosts"), "{failure}");
        assert_no_piece(&events);

        let location = host(name);
        let server = script(
            move |request| created(&location, request),
            || Reply::new(200).into(),
        );
        let events = run(&server);
        assert!(matches!(&events[1], Event::Warning(_)), "{events:?}");
        assert_no_piece(&events);
        assert_eq!(server.requests().len(), 1, "no DELETE");
    }
}

fn assert_no_piece(events: &[Event]) {
    for event in events {
        let shown = shown(event).to_lowercase();
        assert!(!shown.contains(&TOKEN[..12].to_lowercase()), "{shown}");
    }
}

/// The answer's Link headers may contain a TURN server's password.
#[test]
fn no_event_shows_the_credential_of_an_ice_server() {
    let server = script(
        |request| {
            let link = format!(
                "<turn:turn.example.net>; rel=\"ice-server\"; username=\"u\"; \
                 credential=\"{PATH}\"; credential-type=\"password\""
            );
            Reply::new(201)
                .header("Content-Type", "application/sdp")
                .header("Location", &session())
                .header("Link", &link)
                .body(answer_for(&request.body))
                .into()
        },
        || Reply::new(200).into(),
    );
    let events = run(&server);
    let told = events.iter().any(|event| match event {
        Event::Answer { ice_servers, .. } => ice_servers
            .iter()
            .any(|server| server.credential.as_deref() == Some(PATH)),
        _ => false,
    });
    assert!(told, "the credential is in there: {events:?}");
    assert_hidden(&events);
}

#[test]
fn no_failure_shows_them() {
    let posts: [fn(&Request) -> Action; 9] = [
        |_| Reply::new(403).body("no").into(),
        |_| Action::Close,
        |_| redirect(&format!("/{PATH}")),
        |_| redirect(&format!("http://0.0.0.0:9/{PATH}")),
        |_| redirect(&format!("ftp://127.0.0.1/{PATH}")),
        |_| Reply::new(303).header("Location", &session()).into(),
        |_| Reply::new(201).header("Location", &session()).into(),
        |request| {
            let cut = answer_for(&request.body).replace("a=setup", "a=x");
            Reply::new(201)
                .header("Location", &session())
                .body(cut)
                .into()
        },
        |request| created(&format!("http://0.0.0.0:9{}", session()), request),
    ];
    for post in posts {
        let server = script(post, || Reply::new(200).into());
        let events = run(&server);
        let told = events
            .iter()
            .any(|event| matches!(event, Event::Failed(_) | Event::Warning(_)));
        assert!(told, "{events:?}");
        assert_hidden(&events);
    }
}

/// Some servers and proxies repeat the token that they refuse.
#[test]
fn words_of_a_server_that_repeats_the_token_do_not_show_it() {
    let server = script(
        |request| {
            let token = request.authorization().unwrap_or_default();
            Reply::new(401).body(format!("invalid: {token}")).into()
        },
        || Reply::new(200).into(),
    );
    assert_hidden(&run(&server));
}

/// Express answers every unknown path with `Cannot POST /…`.
#[test]
fn words_of_a_server_that_repeats_the_path_do_not_show_it() {
    let server = script(
        |request| {
            let words = format!("Cannot POST {}", request.path);
            Reply::new(404).body(words).into()
        },
        || Reply::new(200).into(),
    );
    assert_hidden(&run(&server));
}

#[test]
fn settings_and_the_process_do_not_show_them() {
    let config = config(&format!("http://127.0.0.1:9/{PATH}"));
    for shown in [
        format!("{config:#?}"),
        format!("{:?}", Process::get().unwrap()),
    ] {
        assert!(!shown.contains(TOKEN) && !shown.contains(PATH), "{shown}");
    }
}
