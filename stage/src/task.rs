//! Tasks whose panics reach the test that runs the stage.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use crate::record::Record;

/// Spawns a task. A panic of it goes to the record, and from there to the test
/// that looks at the stage.
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
