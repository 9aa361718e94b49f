//! The end of a message that could not be handled.

use bellflower_contract::{ExecutionId, TaskTokens, UndeliverableMessage, errors, metrics};
use serde_json::json;

use crate::answer::Reply;
use crate::exchange::{ExchangeError, Exchanges, TokenFile};
use crate::ports::{Callbacks, Outcome, Store, When};

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
        let file = match id {
            Some(id) => self.token_file(id).await?,
            None => None,
        };
        if let (Some(id), Some(file)) = (id, &file)
            && file.tokens.newest_first().any(|known| *known == token)
            && self.handed_out(id).await?
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
                // Another execution may wait under the same id.
                if let (Some(id), Some(file)) = (id, file)
                    && file.tokens == TaskTokens::from(token)
                {
                    let key = self.layout.task_token_key(id);
                    let when = When::Unchanged(&file.version);
                    self.store.delete(&key, when).await?;
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

    /// The exchange's token file; none where it holds no token or S3 does not give it away: then no answer finds its callback.
    async fn token_file(&self, id: &ExecutionId) -> Result<Option<TokenFile>, ExchangeError> {
        match self.read_tokens(id).await {
            Err(ExchangeError::SpoiltToken(_)) => Ok(None),
            Err(ExchangeError::Call(error)) if error.is_refusal(true) => Ok(None),
            other => other,
        }
    }

    async fn handed_out(&self, id: &ExecutionId) -> Result<bool, ExchangeError> {
        match self.data_exists(id).await {
            Err(error) if error.is_refusal(true) => Ok(false),
            other => Ok(other?),
        }
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

    /// What kept the message from being handled, say a disabled key, keeps nobody from ending its callback.
    #[tokio::test]
    async fn a_bucket_that_gives_nothing_away_does_not_keep_it_open() {
        for (refused, code) in [
            ("outbound/e-1/task_token.txt", "KMS.DisabledException"),
            ("outbound/e-1/data.json", "KMS.DisabledException"),
            ("outbound/e-1/task_token.txt", "NoSuchBucket"),
            ("outbound/e-1/data.json", "NoSuchBucket"),
        ] {
            let store = Memory::with(&[
                ("outbound/e-1/task_token.txt", "AQB8a"),
                ("outbound/e-1/data.json", "{}"),
            ]);
            store.refuse(refused, code);
            let machine = Machine::default();
            let (done, _) = run(&store, &machine, async |exchanges| {
                exchanges.undeliverable("m-1", BODY).await
            })
            .await;
            assert_eq!(done, Ok(()), "{refused}");
            assert_eq!(machine.taken().len(), 1, "{refused}");
        }
    }

    #[tokio::test]
    async fn the_token_of_another_execution_is_kept() {
        for tokens in ["AQB8x", "AQB8x\nAQB8a"] {
            let store = Memory::with(&[("outbound/e-1/task_token.txt", tokens)]);
            let machine = Machine::default();
            let (done, _) = run(&store, &machine, async |exchanges| {
                exchanges.undeliverable("m-1", BODY).await
            })
            .await;
            assert_eq!(done, Ok(()));
            assert_eq!(machine.taken().len(), 1);
            assert_eq!(
                store.text("outbound/e-1/task_token.txt").as_deref(),
                Some(tokens)
            );
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
