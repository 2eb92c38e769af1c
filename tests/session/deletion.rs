//! The DELETE: its replies, and the host and connection it uses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gstivs::ivs::TokenDenied;
use gstivs::session::{Cause, Config, Ended, Event, Input, Retries, SendError, State, Warning};
use gstivs::whip::{DeleteError, Deleted};
use http::StatusCode;

use crate::common::{Action, Gate, Reply, Request, Server, created};
use crate::publisher::{
    BOUND, PROMPT, Publisher, UNANSWERED, broken, config, config_without_token, connected, ended,
    given, names, offer, wait_for_driver, warnings, whip_server,
};

/// Publishes to a server that handles the DELETE with this action, and stops.
/// Returns the events from the stop on and how long the stop took.
fn stop_at(action: fn() -> Action) -> (Vec<Event>, Duration) {
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => action(),
    });
    let publisher = Publisher::publishing(config(&server.url("/")));
    let (over, took) = publisher.stop();
    assert!(over, "not over after {took:?}");
    (publisher.to_the_end(), took)
}

#[test]
fn gone_before_is_as_good() {
    for status in [404, 410] {
        let reply = match status {
            404 => || Reply::new(404).into(),
            _ => || Reply::new(410).into(),
        };
        let (events, _) = stop_at(reply);
        assert_eq!(names(&events), ["stopping", "ended"]);
        assert_eq!(
            ended(&events),
            Ended::Deleted(Deleted::AlreadyGone),
            "{status}"
        );
    }
}

/// Publishes until the connection breaks, to a server that handles the DELETE with
/// this action. Returns the warnings of the session's end.
fn warnings_after(cause: Cause, action: fn() -> Action) -> Vec<Warning> {
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => action(),
    });
    let publisher = Publisher::publishing(config(&server.url("/")));
    publisher.tell(broken(cause));
    let events = publisher.to_the_end();
    assert!(server.lines().contains(&"DELETE /session/1".to_owned()));
    warnings(&events)
}

/// A server may have forgotten the session by then, or have shut down: it answers
/// 400 (Broadcast Box), 500 (live777) or nothing.
#[test]
fn behind_a_connection_that_the_server_closed_no_reply_is_a_warning() {
    let replies: [fn() -> Action; 7] = [
        || Reply::new(400).into(),
        || Reply::new(401).into(),
        || Reply::new(404).into(),
        || Reply::new(409).into(),
        || Reply::new(500).into(),
        || Action::Close,
        || Action::Silence,
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        assert_eq!(warnings_after(Cause::Closed, reply), [], "{number}");
    }
}

/// The session may live on behind a broken network.
#[test]
fn behind_a_connection_that_broke_a_refusal_is_a_warning() {
    let lost = || Cause::Lost("ICE has no candidate pair that works".to_owned());
    assert_eq!(warnings_after(lost(), || Reply::new(404).into()), []);
    let warnings = warnings_after(lost(), || Reply::new(500).into());
    assert!(
        matches!(warnings[..], [Warning::NotDeleted(Ended::Refused(_))]),
        "{warnings:?}"
    );
}

/// A publisher that keeps trying, whose clock is paused.
fn publishing(server: &Server) -> Publisher {
    let publisher = Publisher::paused(Config {
        retries: Retries::Default,
        ..config(&server.url("/"))
    });
    publisher.tell(offer());
    publisher.answer();
    publisher.tell(connected());
    publisher.until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
    publisher
}

/// The same. It has lost its session, whose first DELETE has no reply.
fn deleting_in_vain(server: &Server) -> Publisher {
    let publisher = publishing(server);
    publisher.tell(broken(Cause::Lost("nothing was received".to_owned())));
    wait_for_delete(server);
    publisher
}

fn wait_for_delete(server: &Server) {
    server
        .wait_for_line(BOUND, "DELETE /session/1")
        .expect("a DELETE");
}

/// A server that answers POSTs once the gate is open, and DELETEs from the one with this
/// number on.
fn answering_behind(gate: Gate, answered: usize) -> Server {
    let deletes = AtomicUsize::new(0);
    Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => created("/session/1", request).after(&gate),
        _ if deletes.fetch_add(1, Ordering::SeqCst) < answered => Action::Silence,
        _ => Reply::new(200).into(),
    })
}

/// A server that answers DELETEs from the one with this number on.
fn answering_from(answered: usize) -> Server {
    let gate = Gate::default();
    gate.open();
    answering_behind(gate, answered)
}

fn deletes(requests: &[Request]) -> usize {
    let is_delete = |request: &&Request| request.method == "DELETE";
    requests.iter().filter(is_delete).count()
}

/// Lets DELETEs time out and be sent again, until there are this many.
fn repeat(publisher: &Publisher, server: &Server, count: usize) {
    for count in 2..=count {
        publisher.advance(Duration::from_secs(3));
        publisher.advance(Duration::from_secs(2));
        let found = server.wait_for(BOUND, |requests| (deletes(requests) >= count).then_some(()));
        found.unwrap_or_else(|| panic!("{count} DELETEs"));
    }
}

/// No DELETE and no warning follows, also at the stop.
fn assert_no_more(publisher: &Publisher, server: &Server, count: usize) {
    // Long enough for another DELETE, too short for one whose reply is on its way.
    publisher.advance(Duration::from_secs(2));
    let (over, _) = publisher.stop();
    assert!(over);
    assert_eq!(warnings(&publisher.to_the_end()), []);
    assert_eq!(deletes(&server.requests()), count);
}

/// The outage that broke the session lasts longer than one DELETE.
#[test]
fn of_a_lost_session_is_repeated_until_it_is_answered() {
    let server = answering_from(2);
    let publisher = deleting_in_vain(&server);
    repeat(&publisher, &server, 3);
    assert_no_more(&publisher, &server, 3);
}

/// Other media came when the network was gone.
#[test]
fn of_a_replaced_session_is_repeated_until_it_is_answered() {
    let server = answering_from(2);
    let publisher = publishing(&server);
    publisher.tell(Input::Replace);
    wait_for_delete(&server);
    repeat(&publisher, &server, 3);
    assert_no_more(&publisher, &server, 3);
}

#[test]
fn of_a_session_that_was_made_too_late_is_repeated_until_it_is_answered() {
    let lost = || {
        broken(Cause::Lost(
            "ICE has no candidate pair that works".to_owned(),
        ))
    };
    for input in [Input::Replace, lost()] {
        let gate = Gate::default();
        let server = answering_behind(gate.clone(), 2);
        let publisher = Publisher::paused(Config {
            retries: Retries::Default,
            ..config(&server.url("/"))
        });
        publisher.tell(offer());
        server.wait_for_line(BOUND, "POST /").expect("a POST");
        publisher.tell(input);
        // Gives the attempt up before the clock moves: its retry is due 2.4 s later at most.
        publisher.advance(Duration::ZERO);
        publisher.advance(Duration::from_secs(3));
        publisher.next_offer_wanted();
        gate.open();
        wait_for_delete(&server);
        repeat(&publisher, &server, 3);
        assert_no_more(&publisher, &server, 3);
    }
}

#[test]
fn of_a_lost_session_is_given_up_after_a_minute() {
    let server = answering_from(usize::MAX);
    let publisher = deleting_in_vain(&server);
    repeat(&publisher, &server, 12);
    publisher.advance(Duration::from_secs(3));
    // Told while the next session is under way.
    let warning = publisher.until(|event| match event {
        Event::Warning(warning) => Some(warning.clone()),
        _ => None,
    });
    let unanswered = Ended::Unanswered(SendError::Timeout);
    assert_eq!(warning, Warning::NotDeleted(unanswered));
    assert_no_more(&publisher, &server, 12);
}

#[test]
fn of_a_lost_session_does_not_hold_up_a_stop() {
    let server = answering_from(usize::MAX);
    let publisher = deleting_in_vain(&server);
    publisher.advance(Duration::from_secs(3));
    let (over, took) = publisher.stop();
    assert!(over && took < PROMPT, "over: {over} after {took:?}");
}

#[test]
fn refused_is_a_warning() {
    let (events, took) = stop_at(|| Reply::new(500).into());
    assert!(took < PROMPT, "{took:?}");
    let refused = Ended::Refused(DeleteError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
    });
    assert_eq!(names(&events), ["stopping", "warning", "ended"]);
    assert_eq!(ended(&events), refused);
    assert_eq!(warnings(&events), [Warning::NotDeleted(refused)]);
    let text = warnings(&events)[0].to_string();
    assert!(
        text.contains("500") && text.contains("could not be deleted"),
        "{text}"
    );
}

#[test]
fn redirected_is_not_followed_and_a_warning() {
    let (events, _) = stop_at(|| Reply::new(307).header("Location", "/x").into());
    assert_eq!(names(&events), ["stopping", "warning", "ended"]);
}

#[test]
fn unanswered_is_given_up_in_time() {
    let (events, took) = stop_at(|| Action::Silence);
    assert!(took < UNANSWERED, "{took:?}");
    let unanswered = Ended::Unanswered(SendError::Timeout);
    assert_eq!(ended(&events), unanswered);
    assert_eq!(warnings(&events), [Warning::NotDeleted(unanswered)]);
}

#[test]
fn body_of_the_reply_is_not_waited_for() {
    let (events, took) = stop_at(|| Reply::new(200).body("ok").stalling().into());
    assert!(took < PROMPT, "{took:?}");
    assert_eq!(ended(&events), Ended::Deleted(Deleted::Done));
}

#[test]
fn server_that_is_gone_is_a_warning() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::publishing(config(&server.url("/")));
    drop(server);
    let (over, took) = publisher.stop();
    assert!(over && took < PROMPT, "over: {over} after {took:?}");
    let events = publisher.to_the_end();
    assert_eq!(names(&events), ["stopping", "warning", "ended"]);
    // It depends on what the connection reports first.
    assert!(
        matches!(
            ended(&events),
            Ended::Unanswered(SendError::ConnectionRefused | SendError::Closed)
        ),
        "{events:?}"
    );
}

#[test]
fn connection_that_the_server_closed_while_idle_is_replaced() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::publishing(config(&server.url("/")));
    server.hang_up();
    wait_for_driver();
    publisher.stop_and_delete();
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

/// Publishes with the token `first`, gives `second`, and stops. The server answers
/// a DELETE by its token. Returns the tokens that it saw, and the events.
fn delete_after_a_new_token(
    answers: impl Fn(&str) -> u16 + Send + Sync + 'static,
) -> (Vec<String>, Vec<Event>) {
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(answers(request.authorization().unwrap())).into(),
    });
    let publisher = Publisher::publishing(Config {
        tokens: given("first"),
        ..config_without_token(&server.url("/"))
    });
    publisher.give_token("second");
    let (over, took) = publisher.stop();
    assert!(over && took < PROMPT, "over: {over} after {took:?}");
    let events = publisher.to_the_end();
    let requests = server.requests();
    let deletes = requests.iter().skip(1);
    let tokens = deletes.map(|delete| delete.authorization().unwrap().to_owned());
    (tokens.collect(), events)
}

#[test]
fn is_sent_with_the_token_that_made_the_session() {
    let only_its_own = |token: &str| match token {
        "Bearer first" => 200,
        _ => 404,
    };
    let (tokens, events) = delete_after_a_new_token(only_its_own);
    assert_eq!(tokens, ["Bearer first"]);
    assert_eq!(ended(&events), Ended::Deleted(Deleted::Done));
}

#[test]
fn is_sent_with_the_newest_token_if_the_first_is_refused() {
    for refusal in [401, 403] {
        let answers = move |token: &str| match token {
            "Bearer first" => refusal,
            _ => 200,
        };
        let (tokens, events) = delete_after_a_new_token(answers);
        assert_eq!(tokens, ["Bearer first", "Bearer second"]);
        assert_eq!(ended(&events), Ended::Deleted(Deleted::Done));
    }
}

#[test]
fn is_not_repeated_for_another_reason_than_the_token() {
    let (tokens, events) = delete_after_a_new_token(|_| 500);
    assert_eq!(tokens, ["Bearer first"]);
    assert_eq!(names(&events), ["stopping", "warning", "ended"]);
}

/// RFC 9110 9.2.2: DELETE is idempotent, so a client may send it again when the
/// server closes the kept connection as idle at that moment. Otherwise the
/// participant would stay on the stage.
#[test]
fn connection_that_closes_under_the_delete_is_replaced() {
    let deletes = AtomicUsize::new(0);
    let server = Server::start("127.0.0.1", move |request| {
        if request.method == "POST" {
            return created("/session/1", request);
        }
        match deletes.fetch_add(1, Ordering::Relaxed) {
            0 => Action::Close,
            _ => Reply::new(200).into(),
        }
    });
    let publisher = Publisher::publishing(config(&server.url("/")));
    publisher.stop_and_delete();
}

#[test]
fn resource_on_a_host_that_may_not_have_the_token_is_deleted_without() {
    let media = whip_server("127.0.0.1");
    // This machine by an address outside 127.0.0.0/8.
    let host = format!("http://0.0.0.0:{}", media.port());
    let location = format!("{host}/session/secret");
    let server = Server::start("127.0.0.1", move |request| created(&location, request));
    let publisher = Publisher::offering(config(&server.url("/")));
    let events: Vec<Event> = (0..3).map(|_| publisher.next()).collect();
    assert_eq!(names(&events), ["connecting", "warning", "answer"]);
    let warning = Warning::ResourceElsewhere(TokenDenied::Host { host: host.clone() });
    let text = warning.to_string();
    assert!(text.contains(&host) && !text.contains("secret"), "{text}");
    assert_eq!(warnings(&events), [warning]);

    publisher.stop_and_delete();
    assert_eq!(media.lines(), ["DELETE /session/secret"]);
    assert_eq!(media.requests()[0].authorization(), None);
}

#[test]
fn resource_on_another_host_of_this_machine_is_deleted_with_the_token() {
    let media = whip_server("127.0.0.2");
    let location = media.url("/session/1");
    let server = Server::start("127.0.0.1", move |request| created(&location, request));
    Publisher::publishing(config(&server.url("/"))).stop_and_delete();
    assert_eq!(media.lines(), ["DELETE /session/1"]);
    assert!(media.requests()[0].authorization().is_some());
}
