//! Keeps panics inside of the call in which they happen.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use futures::FutureExt;

thread_local! {
    /// What the hook saw last on this thread. A caught panic is looked up here right after, on the
    /// same thread.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught: what it said, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panic(pub(crate) String);

/// Sends panics to the log. The default hook writes free text to stderr, which Terraform's log
/// cannot make sense of.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = describe(info);
            tracing::error!(panic = %text, "a panic");
            LAST.with(|last| *last.borrow_mut() = Some(text));
            // A failed assertion is worth reading.
            if cfg!(test) {
                default(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    match info.location() {
        Some(place) => format!("{message} ({}:{})", place.file(), place.line()),
        None => message.to_owned(),
    }
}

fn last() -> Panic {
    let text = LAST.with(|last| last.borrow_mut().take());
    Panic(text.unwrap_or_else(|| "a panic of which nothing is known".to_owned()))
}

/// Runs a future to its end or to its panic.
pub(crate) async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .map_err(|_| last())
}

/// Runs a function to its end or to its panic.
pub(crate) fn guarded_call<T>(function: impl FnOnce() -> T) -> Result<T, Panic> {
    std::panic::catch_unwind(AssertUnwindSafe(function)).map_err(|_| last())
}
