//! A host name that does not resolve now may resolve at the next attempt.

use std::process::Command;

use gstivs::session::{Cause, Config, Event, Failure, Input, Retries, SendError};

use crate::publisher::{Publisher, config, offer, whip_server};

const INNER: &str = "IVSWHIPSINK_TEST_HOSTS";
const NAME: &str = "name_resolution::a_name_that_resolves_later_is_published_to";

/// Runs a command in its own mount namespace, in which the hosts file of this test
/// is the only source of names.
const NAMESPACE: &str = "echo 'hosts: files' > \"$0.switch\" && mount --bind \"$0\" /etc/hosts \
                         && mount --bind \"$0.switch\" /etc/nsswitch.conf && exec \"$@\"";

#[test]
fn a_name_that_resolves_later_is_published_to() {
    if let Some(hosts) = std::env::var_os(INNER) {
        return in_namespace(&hosts);
    }
    if !has_namespaces() {
        // Skipped, as in a container: without a namespace the test can't change
        // how names resolve.
        return;
    }
    let hosts = std::env::temp_dir().join(format!("ivswhipsink-hosts-{}", std::process::id()));
    std::fs::write(&hosts, "").unwrap();
    let output = unshare()
        .args(["sh", "-c", NAMESPACE])
        .arg(&hosts)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INNER, &hosts)
        .output()
        .unwrap();
    std::fs::remove_file(&hosts).unwrap();
    let switch = format!("{}.switch", hosts.display());
    std::fs::remove_file(switch).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n{complaint}"
    );
}

fn unshare() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "--propagation", "unchanged"]);
    unshare
}

fn has_namespaces() -> bool {
    unshare()
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn in_namespace(hosts: &std::ffi::OsStr) {
    let server = whip_server("127.0.0.1");
    let endpoint = server.url("/").replace("127.0.0.1", "stage.test");
    let publisher = Publisher::offering(Config {
        retries: Retries::Default,
        ..config(&endpoint)
    });
    let failure: Failure = publisher.until(|event| match event {
        Event::Retry { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert_eq!(failure.cause, Cause::Send(SendError::UnknownHost));
    std::fs::write(hosts, "127.0.0.1 stage.test\n").unwrap();
    let peer = publisher.next_offer_wanted();
    publisher.tell(match offer() {
        Input::Peer { event, .. } => Input::Peer { peer, event },
        other => other,
    });
    publisher.answer();
    publisher.stop_and_delete();
}
