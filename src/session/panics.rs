//! Turns a panic into a value, so that no task ends without a word.
//!
//! The panic's own text is left out: it can be any library's, with whatever it
//! quotes. The panic hook has printed it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinError;

/// A panic in a task of the session: a fault of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// What the task does, as in "the task that posts the offer".
    pub(super) task: &'static str,
}

impl Panicked {
    /// `None` if the task was cancelled, because the runtime shuts down.
    pub(super) fn of(error: &JoinError, task: &'static str) -> Option<Self> {
        error.is_panic().then_some(Self { task })
    }
}

/// Why a task ended without a result, for a message.
pub(super) fn words(error: &JoinError, task: &'static str) -> String {
    match Panicked::of(error, task) {
        Some(panicked) => panicked.to_string(),
        None => "the process is about to end".to_owned(),
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the task that {} has panicked, which is a fault of this plugin (standard error \
             says where)",
            self.task
        )
    }
}

/// Runs a future up to its end or its panic.
pub(super) async fn caught<T>(
    task: &'static str,
    future: impl Future<Output = T>,
) -> Result<T, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        // After a panic the future is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(_) => Poll::Ready(Err(Panicked { task })),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_value() {
        let panics = async {
            tokio::task::yield_now().await;
            panic!("a secret")
        };
        let Err(panicked) = caught::<()>("waits", panics).await else {
            panic!("a panic expected");
        };
        assert!(panicked.to_string().contains("task that waits"));
        assert!(!panicked.to_string().contains("secret"));
        assert_eq!(caught("counts", async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn only_a_panic_of_a_task_counts() {
        let died: Result<(), JoinError> = tokio::spawn(async { panic!("on purpose") }).await;
        let died = died.unwrap_err();
        assert_eq!(Panicked::of(&died, "x"), Some(Panicked { task: "x" }));
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(Panicked::of(&task.await.unwrap_err(), "x"), None);
    }
}
