//! Spawns the stage's tasks and records their panics.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use crate::record::Record;

/// Spawns a task. If it panics, the record has the panic's text, and the next
/// look at the stage panics too.
pub(crate) fn spawn(record: &Arc<Record>, task: impl Future<Output = ()> + Send + 'static) {
    let record = Arc::clone(record);
    let task = tokio::spawn(task);
    tokio::spawn(async move {
        if let Err(error) = task.await
            && error.is_panic()
        {
            record.fail(format!(
                "a task panicked: {}",
                panic_text(&*error.into_panic())
            ));
        }
    });
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}
