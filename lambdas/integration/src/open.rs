//! Opening a callback: from a queue's message to the application's files.

use bellflower_contract::log::Log;
use bellflower_contract::{CallbackMessage, Layout, NotAMessage};
use serde_json::json;

use crate::ports::{CallError, Store};

/// A message could not be handled; SQS delivers it again, and in the end to the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The message is not what the state machine sends.
    #[error(transparent)]
    Message(#[from] NotAMessage),
    /// An object could not be written.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Writes the token, then the data, of the message `body`.
///
/// # Errors
///
/// [`OpenError`] if the message makes no sense or an object could not be written. Whatever is there by then is written again, the same, when the message
/// is delivered again.
pub async fn open(
    store: &impl Store,
    layout: &Layout,
    body: &str,
    log: &Log<'_>,
) -> Result<(), OpenError> {
    let message = CallbackMessage::parse(body)?;
    let data_key = layout.data_key(&message.execution_id);
    let data = message.input.get().as_bytes().to_vec();
    let bytes = data.len();
    store
        .put(
            &layout.task_token_key(&message.execution_id),
            "text/plain",
            message.task_token.reveal().as_bytes().to_vec(),
        )
        .await?;
    store.put(&data_key, "application/json", data).await?;
    log.info(
        "callback opened",
        json!({"execution_id": message.execution_id, "key": data_key, "bytes": bytes}),
    );
    Ok(())
}
