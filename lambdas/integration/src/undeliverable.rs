//! The end of a message that could not be handled.

use bellflower_contract::{ExecutionId, TaskToken, UndeliverableMessage, errors, metrics};
use serde_json::json;

use crate::answer::Reply;
use crate::exchange::{ExchangeError, Exchanges};
use crate::ports::{Callbacks, Fetched, Outcome, Store, When};

impl<S: Store, C: Callbacks> Exchanges<'_, S, C> {
    /// Fails the callback of the message, so that its execution ends now and says why, and not at its time-out.
    ///
    /// The queue delivers the message several times before it moves it to the dead-letter queue: the time that ends the callback is counted, and of a
    /// message that cannot be told from others each.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`] if a call failed.
    pub async fn undeliverable(&self, message_id: &str, body: &str) -> Result<(), ExchangeError> {
        let message = UndeliverableMessage::parse(body);
        let id = message.execution_id.as_ref();
        let count = || {
            self.dimensions
                .count(self.log, metrics::UNDELIVERABLE, id, None);
        };
        let fields = json!({"message_id": message_id, "execution_id": id});
        let Some(token) = message.task_token else {
            count();
            self.log.error("message without a task token", fields);
            return Ok(());
        };
        if let Some(id) = id
            && self.is_open(id, &token).await?
        {
            // The application has the work: it was the message that could not be taken out of its queue.
            self.log.error("message of an open callback", fields);
            return Ok(());
        }
        let whose = id.map_or_else(String::new, |id| format!(" of execution_id {id}"));
        let reply = Reply::Failure {
            error: errors::UNDELIVERABLE.to_owned(),
            cause: format!(
                "The message with the work{whose} could not be handled; it is kept in the dead-letter queue (message id {message_id})."
            ),
        };
        match self.callbacks.send(&token, &reply).await? {
            Outcome::Taken => {
                count();
                self.log.error("callback ended as undeliverable", fields);
                if let Some(id) = id {
                    let key = self.layout.task_token_key(id);
                    self.store.delete(&key, When::Always).await?;
                }
            }
            Outcome::NotOpen {
                after_silence: true,
                ..
            } => {
                count();
                let mut fields = fields;
                fields["confirmed"] = json!(false);
                self.log.error("callback ended as undeliverable", fields);
            }
            // Told before, or the callback has had its time-out.
            Outcome::NotOpen { code, .. } | Outcome::Refused(code) => self.log.info(
                "undeliverable message of a closed callback",
                json!({"message_id": message_id, "execution_id": id, "code": code}),
            ),
        }
        Ok(())
    }

    /// Whether the work of this token's callback has been handed out.
    async fn is_open(&self, id: &ExecutionId, token: &TaskToken) -> Result<bool, ExchangeError> {
        let file = match self.read_tokens(id).await {
            Ok(Some(file)) => file,
            Ok(None) | Err(ExchangeError::SpoiltToken(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        if !file.tokens.newest_first().any(|known| known == token) {
            return Ok(false);
        }
        let data = self.store.get(&self.layout.data_key(id), 0).await?;
        Ok(data != Fetched::Missing)
    }
}

#[cfg(test)]
mod tests {
    use crate::memory::{Machine, Memory, run};

    const BODY: &str = r#"{"Input": {"execution_id": "e-1"}, "TaskToken": "AQB8a"}"#;

    #[tokio::test]
    async fn the_callback_fails_and_says_why_once() {
        let store = Memory::with(&[("outbound/e-1/task_token.txt", "AQB8a")]);
        let machine = Machine::default();
        for metrics in [&["Undeliverable"][..], &[]] {
            let (done, told) = run(&store, &machine, async |exchanges| {
                exchanges.undeliverable("m-1", BODY).await
            })
            .await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.metrics(), metrics);
        }
        assert_eq!(
            machine.taken(),
            [
                "AQB8a: Bellflower.Undeliverable: The message with the work of execution_id e-1 could not be handled; \
                 it is kept in the dead-letter queue (message id m-1)."
            ]
        );
        assert_eq!(store.text("outbound/e-1/task_token.txt"), None);
    }

    #[tokio::test]
    async fn work_that_was_handed_out_is_not_undeliverable() {
        let data = ("outbound/e-1/data.json", "{}");
        let tokens = |text| ("outbound/e-1/task_token.txt", text);
        for (files, ends) in [
            (vec![tokens("AQB8a"), data], false),
            (vec![tokens("AQB8c\nAQB8a"), data], false),
            (vec![tokens("AQB8a")], true),
            (vec![data], true),
            (vec![tokens("AQB8c"), data], true),
            (vec![tokens("two words"), data], true),
        ] {
            let (store, machine) = (Memory::with(&files), Machine::default());
            let (done, _) = run(&store, &machine, async |exchanges| {
                exchanges.undeliverable("m-1", BODY).await
            })
            .await;
            assert_eq!(done, Ok(()));
            assert_eq!(!machine.taken().is_empty(), ends, "{files:?}");
        }
    }

    #[tokio::test]
    async fn the_token_of_a_later_try_is_kept() {
        let store = Memory::with(&[("outbound/e-1/task_token.txt", "AQB8b")]);
        let machine = Machine::closed(&["AQB8a"]);
        let (done, _) = run(&store, &machine, async |exchanges| {
            exchanges.undeliverable("m-1", BODY).await
        })
        .await;
        assert_eq!(done, Ok(()));
        assert!(store.text("outbound/e-1/task_token.txt").is_some());
    }

    #[tokio::test]
    async fn a_message_without_a_token_is_counted_too() {
        let (store, machine) = (Memory::default(), Machine::default());
        let (done, told) = run(&store, &machine, async |exchanges| {
            exchanges.undeliverable("m-1", "poison").await
        })
        .await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.messages(), ["message without a task token"]);
        assert_eq!(told.metrics(), ["Undeliverable"]);
        assert!(machine.taken().is_empty());
    }
}
