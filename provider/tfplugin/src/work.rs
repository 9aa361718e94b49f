//! The bond between a running apply and Terraform.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::value::Value;

/// A state and the private data that go with it.
type Saved = (Value, Vec<u8>);

/// A running apply: where it puts its state on the way, and where it learns that the user wants it
/// to end.
#[derive(Clone, Debug)]
pub struct Work {
    saved: Arc<Mutex<Option<Saved>>>,
    stop: CancellationToken,
}

impl Work {
    /// Work that stands alone; for tests of resources.
    #[must_use]
    pub fn new() -> Self {
        Self::under(&CancellationToken::new())
    }

    pub(crate) fn under(stop: &CancellationToken) -> Self {
        Self {
            saved: Arc::default(),
            stop: stop.child_token(),
        }
    }

    /// Remembers the state so far, in case the apply does not get to its end. Call it after each
    /// step that made or removed something. Unknown values become null.
    pub fn checkpoint(&self, state: Value, private: Vec<u8>) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        *saved = Some((state.unknown_to_null(), private));
    }

    /// What was last given to [`Work::checkpoint`].
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<(Value, Vec<u8>)> {
        self.saved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends this work early, as an interrupt of the user does; for tests of resources.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Whether the user interrupted Terraform.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the user interrupts Terraform. From then on there are four seconds to return the
    /// state so far with an error.
    pub async fn cancelled(&self) {
        self.stop.cancelled().await;
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}
