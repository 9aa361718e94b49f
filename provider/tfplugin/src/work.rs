//! The bond between a running apply and Terraform.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::value::Value;

/// A state and the private data that go with it.
type Saved = (Value, Vec<u8>);

/// Tells the state as it is at the moment.
type Source = Box<dyn Fn() -> Option<Saved> + Send>;

/// A running apply: where its state is asked for on the way, and where it learns that the user wants
/// it to end.
#[derive(Clone)]
pub struct Work {
    source: Arc<Mutex<Option<Source>>>,
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
            source: Arc::default(),
            stop: stop.child_token(),
        }
    }

    /// Remembers the state so far, in case the apply does not get to its end. Call it after each
    /// step that made or removed something. Unknown values become null.
    pub fn checkpoint(&self, state: Value, private: Vec<u8>) {
        self.checkpoint_from(move || Some((state.clone(), private.clone())));
    }

    /// Where the state so far is asked for, in case the apply does not get to its end: for work of many
    /// steps, of whose states just one is ever wanted. Unknown values become null.
    pub fn checkpoint_from(&self, source: impl Fn() -> Option<(Value, Vec<u8>)> + Send + 'static) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(source));
    }

    /// The state so far, if there is one: from what [`Work::checkpoint`] or [`Work::checkpoint_from`] was
    /// last given.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<(Value, Vec<u8>)> {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, private) = source.as_ref()?()?;
        Some((state.unknown_to_null(), private))
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

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}
