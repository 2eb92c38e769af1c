//! Proxies of the environment: which requests they see, and what a bad one is
//! said to be.
//!
//! The HTTP client reads the environment once per process, so each test runs
//! [`inner`] in another process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use gstivs::session::Event;

use crate::common::{Reply, Server, created};
use crate::publisher::{Publisher, config, whip_server};

/// The endpoint for [`inner`].
const ENDPOINT: &str = "IVSWHIPSINK_TEST_ENDPOINT";

/// Nothing listens on the discard port.
const DEAD: &str = "http://127.0.0.1:9";

/// Publishes to the endpoint in the environment, and prints the result.
#[test]
fn inner() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        return;
    };
    let publisher = Publisher::offering(config(&endpoint));
    let result = publisher.until(|event| match event {
        Event::Warning(warning) => {
            writeln!(std::io::stdout(), "warning: {warning}").unwrap();
            None
        }
        Event::Failed(failure) => Some(format!("{}: {failure}", failure.is_retryable())),
        Event::Answer { .. } => Some("answered".to_owned()),
        _ => None,
    });
    publisher.stop();
    publisher.until(|event| matches!(event, Event::Ended(_)).then_some(()));
    writeln!(std::io::stdout(), "result: {result}.").unwrap();
}

/// The result that [`inner`] prints with these variables.
fn publish_with(variables: &[(&str, &str)], endpoint: &str) -> String {
    run_with(variables, endpoint).0
}

/// The result and the warnings that [`inner`] prints with these variables.
fn run_with(variables: &[(&str, &str)], endpoint: &str) -> (String, Vec<String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "proxy::inner"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.env(ENDPOINT, endpoint);
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = told.lines().find_map(|line| line.split_once("result: "));
    let (_, result) = result.unwrap_or_else(|| panic!("no result: {told}"));
    assert!(!told.contains("hidden"), "{told}");
    let warnings = told.lines().filter_map(|line| line.split_once("warning: "));
    let warnings = warnings.map(|(_, warning)| warning.to_owned()).collect();
    (result.to_owned(), warnings)
}

/// Asserts that the failure names the proxy, its variable and this problem.
fn assert_told(told: &str, proxy: &str, variable: &str, problem: &str) {
    let names = format!("the proxy {proxy} (from {variable})");
    assert!(told.contains(&names) && told.contains(problem), "{told}");
}

#[test]
fn loopback_is_reached_without_the_systems_proxy() {
    let server = whip_server("127.0.0.1");
    let variables = [("http_proxy", DEAD), ("all_proxy", DEAD)];
    assert_eq!(publish_with(&variables, &server.url("/")), "answered.");
}

#[test]
fn other_hosts_are_reached_through_it() {
    let proxy = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    });
    let variables = [("http_proxy", &*proxy.url(""))];
    let told = publish_with(&variables, "http://whip.invalid/x");
    assert_eq!(told, "answered.");
    let lines = [
        "POST http://whip.invalid/x",
        "DELETE http://whip.invalid/session/1",
    ];
    assert_eq!(proxy.lines(), lines);
}

#[test]
fn dead_is_named_with_its_variable() {
    for (variable, endpoint) in [
        ("https_proxy", "https://whip.invalid/"),
        ("HTTPS_PROXY", "https://whip.invalid/"),
        ("http_proxy", "http://whip.invalid/"),
        ("HTTP_PROXY", "http://whip.invalid/"),
        ("all_proxy", "https://whip.invalid/"),
        ("ALL_PROXY", "http://whip.invalid/"),
    ] {
        let told = publish_with(&[(variable, "http://me:hidden@127.0.0.1:9")], endpoint);
        assert_told(&told, DEAD, variable, "connection refused");
        assert!(
            told.starts_with("true: ") && told.contains("no_proxy"),
            "{told}"
        );
    }
}

#[test]
fn unknown_is_named_and_the_server_is_not_said_to_be() {
    for endpoint in ["https://whip.invalid/", "http://whip.invalid/"] {
        let told = publish_with(&[("all_proxy", "http://proxy.invalid:3128")], endpoint);
        let proxy = "http://proxy.invalid:3128";
        assert_told(&told, proxy, "all_proxy", "does not resolve");
    }
}

#[test]
fn wrong_password_is_the_proxys_word() {
    let proxy = Server::start("127.0.0.1", |_| Reply::new(407).body("who?").into());
    let address = proxy.url("");
    let with_password = address.replace("//", "//me:hidden@");
    for endpoint in ["https://whip.invalid/", "http://whip.invalid/"] {
        let told = publish_with(&[("all_proxy", &with_password)], endpoint);
        assert_told(&told, &address, "all_proxy", "407");
        assert!(told.starts_with("false: "), "{told}");
        assert!(!told.contains("refused the offer"), "{told}");
    }
}

#[test]
fn refusing_is_named() {
    for status in [403, 502] {
        let proxy = Server::start("127.0.0.1", move |_| Reply::new(status).into());
        let variables = [("https_proxy", &*proxy.url(""))];
        let told = publish_with(&variables, "https://whip.invalid/");
        assert_told(&told, &proxy.url(""), "https_proxy", "does not connect");
    }
}

/// It would be ignored, and the user wonders why the requests go without it.
#[test]
fn a_variable_that_names_no_proxy_is_a_warning() {
    for value in [
        "ftp://me:hidden@proxy.invalid:3128",
        "http://me:hidden@proxy invalid",
        "/hidden",
    ] {
        for (variable, endpoint) in [
            ("HTTPS_PROXY", "https://whip.invalid/"),
            ("http_proxy", "http://whip.invalid/"),
            ("all_proxy", "https://whip.invalid/"),
        ] {
            let (result, warnings) = run_with(&[(variable, value)], endpoint);
            assert!(result.contains("does not resolve"), "{result}");
            let [warning] = &warnings[..] else {
                panic!("{variable}={value}: {warnings:?}")
            };
            assert!(
                warning.contains(variable) && warning.contains("socks5h://"),
                "{warning}"
            );
        }
    }
}

#[test]
fn a_variable_that_does_not_count_is_no_warning() {
    const BAD: &str = "ftp://proxy.invalid";
    let endpoint = "https://whip.invalid/";
    for variables in [
        &[("https_proxy", "")][..],
        &[("http_proxy", BAD)],
        &[("all_proxy", BAD), ("https_proxy", DEAD)],
        &[("https_proxy", BAD), ("HTTPS_PROXY", DEAD)],
        &[("https_proxy", BAD), ("no_proxy", "invalid")],
        &[("https_proxy", BAD), ("REQUEST_METHOD", "GET")],
    ] {
        let (_, warnings) = run_with(variables, endpoint);
        assert_eq!(warnings, [""; 0], "{variables:?}");
    }
    let server = whip_server("127.0.0.1");
    let (_, warnings) = run_with(&[("http_proxy", BAD)], &server.url("/"));
    assert!(
        !warnings
            .iter()
            .any(|warning| warning.contains("http_proxy")),
        "{warnings:?}"
    );
}

#[test]
fn exempted_hosts_are_not_its_fault() {
    let variables = [("https_proxy", DEAD), ("no_proxy", "invalid")];
    let told = publish_with(&variables, "https://whip.invalid/");
    assert!(!told.contains("proxy"), "{told}");
    assert!(told.contains("does not resolve"), "{told}");
}

/// A SOCKS5 proxy (RFC 1928) without authentication for one connection, which
/// it makes to this server whatever is asked for. Returns its address.
fn socks_proxy(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = server.port();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut greeting = [0; 2];
        client.read_exact(&mut greeting).unwrap();
        client.read_exact(&mut vec![0; greeting[1].into()]).unwrap();
        client.write_all(&[5, 0]).unwrap();
        let mut request = [0; 5];
        client.read_exact(&mut request).unwrap();
        assert_eq!(request[3], 3, "a host name");
        let rest = usize::from(request[4]) + 2;
        client.read_exact(&mut vec![0; rest]).unwrap();
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut to));
        // An error is the end of the connection.
        let _ = std::io::copy(&mut client, &mut server);
    });
    format!("socks5h://{address}")
}

#[test]
fn socks_works() {
    let server = whip_server("127.0.0.1");
    let variables = [("all_proxy", &*socks_proxy(&server))];
    assert_eq!(
        publish_with(&variables, "http://whip.invalid/"),
        "answered."
    );
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn dead_socks_is_named() {
    let variables = [("https_proxy", "socks5h://127.0.0.1:9")];
    let told = publish_with(&variables, "https://whip.invalid/");
    assert_told(&told, "socks5h://127.0.0.1:9", "https_proxy", "");
}
