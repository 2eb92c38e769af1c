//! Applications with their own tokio runtime, on whose threads blocking on
//! another runtime would panic.

use tokio::runtime::Builder;

use crate::publisher::{Publisher, config, whip_server};

/// Runs a whole session; starts it and waits for its end on the calling thread.
fn publish() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::publishing(config(&server.url("/")));
    publisher.stop_and_delete();
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn session_runs_inside_block_on() {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { publish() });
}

#[test]
fn session_runs_in_a_task_of_a_single_threaded_runtime() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(async { publish() }).await.unwrap() });
}
