//! Servers on this machine are reached without a proxy: a proxy that receives the
//! token could use it.

use std::process::Command;

use crate::publisher::{Publisher, config, whip_server};

const INNER: &str = "IVSWHIPSINK_TEST_BEHIND_PROXY";

#[test]
fn loopback_is_reached_without_the_systems_proxy() {
    if std::env::var_os(INNER).is_some() {
        let server = whip_server("127.0.0.1");
        return Publisher::publishing(config(&server.url("/"))).stop_and_delete();
    }
    // The HTTP client reads the environment once per process, so this needs
    // another process. Nothing listens on the discard port: requests to it fail.
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "proxy::loopback_is_reached_without_the_systems_proxy",
        ])
        .env(INNER, "yes")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("all_proxy", "http://127.0.0.1:9")
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}"
    );
}
