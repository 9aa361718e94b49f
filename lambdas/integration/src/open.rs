//! Opening a callback: from a queue's message to the application's files.

use std::time::Duration;

use bellflower_contract::{
    Answer, CallbackMessage, ExecutionId, NotAMessage, TaskToken, TaskTokens, metrics,
};
use serde_json::json;

use crate::answer::Reply;
use crate::exchange::{ExchangeError, Exchanges, PATIENCE};
use crate::ports::{CallError, Callbacks, Outcome, Store, When, Write};

/// How often a token is added to a file that others change at the same time.
const TRIES: usize = 5;

/// Of a message that waited longer than this, Step Functions is asked whether its callback is still open. Nearly all are younger: of these each
/// would be one call more.
const BELIEVED: Duration = Duration::from_mins(1);

/// A message could not be handled; SQS delivers it again, and in the end to the undeliverable queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The message is not what the state machine sends.
    #[error(transparent)]
    Message(#[from] NotAMessage),
    /// The exchange could not be worked on.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The token file changed each time before the token could be added.
    #[error("{0} was changed by others each time")]
    Contended(String),
}

impl From<CallError> for OpenError {
    fn from(error: CallError) -> Self {
        Self::Exchange(error.into())
    }
}

impl<S: Store, C: Callbacks> Exchanges<'_, S, C> {
    /// Writes the token, then the data, of the message `body`. Done again, it changes nothing.
    ///
    /// In between it passes on an answer that is there already: of an application that was faster than the message, or of one that answered an
    /// earlier try of the same state, whose token is no longer good. A message that `waited` so long that its execution ended meanwhile is dropped:
    /// nobody is to work for nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the message makes no sense or a call failed. What is there by then stays and is not written again.
    pub async fn open(&self, body: &str, waited: Duration) -> Result<(), OpenError> {
        let message = CallbackMessage::parse(body)?;
        // One that somebody has moved back to the queue is new to SQS alone.
        let sent = message.sent_at.and_then(|sent| sent.elapsed().ok());
        let waited = waited.max(sent.unwrap_or_default());
        let id = &message.execution_id;
        let key = self.layout.data_key(id);
        if waited > BELIEVED
            && let Some(code) = self.is_over(id, &message.task_token).await
        {
            if self.data_exists(id).await? {
                let fields = json!({"execution_id": id, "key": key});
                self.log.info("callback opened before", fields);
            } else {
                let reason = format!("the callback is not open ({code})");
                let fields = json!({"execution_id": id, "reason": reason});
                self.log.warn("message dropped", fields);
            }
            return Ok(());
        }
        self.add_token(id, &message.task_token).await?;
        self.pass_on_waiting(id, waited > PATIENCE).await?;
        let data = message.input.get().as_bytes().to_vec();
        let bytes = data.len();
        let put = self.store.put(&key, "application/json", data, When::Absent);
        let mut fields = json!({"execution_id": id, "key": key, "bytes": bytes});
        let written = put.await?;
        let lost = Write::Lost {
            after_silence: false,
        };
        if written == lost {
            self.log.info("callback opened before", fields);
            return Ok(());
        }
        if written != Write::Done {
            fields["confirmed"] = json!(false);
        }
        self.log.info("callback opened", fields);
        self.dimensions
            .count(self.log, metrics::OPENED, Some(id), None);
        Ok(())
    }

    /// The code with which Step Functions says that a callback is no longer open; none if it is, or does not say so: that alone is no reason to
    /// keep work back.
    async fn is_over(&self, id: &ExecutionId, token: &TaskToken) -> Option<String> {
        match self.callbacks.send(token, &Reply::Heartbeat).await {
            Ok(Outcome::NotOpen { code, .. }) => Some(code),
            Ok(Outcome::Taken | Outcome::Refused(_)) => None,
            Err(error) => {
                let fields = json!({"execution_id": id, "cause": error.to_string()});
                self.log.warn("open callback not confirmed", fields);
                None
            }
        }
    }

    async fn add_token(&self, id: &ExecutionId, token: &TaskToken) -> Result<(), OpenError> {
        let key = self.layout.task_token_key(id);
        for _ in 0..TRIES {
            let first = TaskTokens::from(token.clone());
            if self.put_tokens(&key, &first, When::Absent).await? == Write::Done {
                return Ok(());
            }
            let Some(mut file) = self.read_tokens(id).await? else {
                continue;
            };
            if !file.tokens.add(token.clone()) {
                return Ok(());
            }
            let when = When::Unchanged(&file.version);
            if self.put_tokens(&key, &file.tokens, when).await? == Write::Done {
                return Ok(());
            }
        }
        Err(OpenError::Contended(key))
    }

    async fn put_tokens(
        &self,
        key: &str,
        tokens: &TaskTokens,
        when: When<'_>,
    ) -> Result<Write, CallError> {
        let body = tokens.reveal().into_bytes();
        self.store.put(key, "text/plain", body, when).await
    }

    async fn pass_on_waiting(
        &self,
        id: &ExecutionId,
        final_say: bool,
    ) -> Result<(), ExchangeError> {
        let answers = Answer::CLOSING.iter().map(async |&answer| {
            Ok::<_, ExchangeError>((answer, self.read_answer(answer, id, final_say).await?))
        });
        for (answer, reply) in futures::future::try_join_all(answers).await? {
            let Some(reply) = reply else { continue };
            let Some(file) = self.read_tokens(id).await? else {
                break;
            };
            let key = self.layout.answer_key(answer, id);
            if self.pass_on(id, &key, reply, file).await? {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Machine, Memory, Told, run};

    const TOKENS: &str = "outbound/e-1/task_token.txt";
    const DATA: &str = "outbound/e-1/data.json";
    const SUCCESS: &str = "inbound/e-1/success.json";
    const FAILURE: &str = "inbound/e-1/failure.json";

    fn message(token: &str) -> String {
        format!(r#"{{"Input": {{"execution_id": "e-1", "n": 1.10}}, "TaskToken": "{token}"}}"#)
    }

    async fn open(store: &Memory, machine: &Machine, token: &str) -> (Result<(), OpenError>, Told) {
        let body = message(token);
        run(store, machine, async |exchanges| {
            exchanges.open(&body, Duration::ZERO).await
        })
        .await
    }

    #[tokio::test]
    async fn a_message_twice_has_one_effect() {
        let (store, machine) = (Memory::default(), Machine::default());
        let (done, told) = open(&store, &machine, "AQB8a").await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.messages(), ["callback opened"]);
        assert_eq!(told.metrics(), ["Opened"]);
        assert_eq!(store.text(TOKENS).as_deref(), Some("AQB8a"));
        let data = r#"{"execution_id": "e-1", "n": 1.10}"#;
        assert_eq!(store.text(DATA).as_deref(), Some(data), "byte for byte");

        store.set(DATA, "not to be touched");
        let (done, told) = open(&store, &machine, "AQB8a").await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.messages(), ["callback opened before"]);
        assert!(told.metrics().is_empty());
        assert_eq!(store.text(TOKENS).as_deref(), Some("AQB8a"));
        assert_eq!(store.text(DATA).as_deref(), Some("not to be touched"));
        assert!(machine.taken().is_empty());
    }

    #[tokio::test]
    async fn a_half_opened_callback_is_opened_whole() {
        let store = Memory::with(&[(TOKENS, "AQB8a")]);
        let (done, told) = open(&store, &Machine::default(), "AQB8a").await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.metrics(), ["Opened"]);
        assert!(store.text(DATA).is_some());
    }

    #[tokio::test]
    async fn a_new_token_is_added_and_the_answer_that_is_there_goes_to_it() {
        for (file, body, taken, metric) in [
            (SUCCESS, "{}", "AQB8b: {}", "Answered"),
            (
                FAILURE,
                r#"{"error": "E", "cause": "c"}"#,
                "AQB8b: E: c",
                "Failed",
            ),
        ] {
            let machine = Machine::closed(&["AQB8a"]);
            let store = Memory::with(&[(TOKENS, "AQB8a"), (DATA, "{}")]);
            assert_eq!(open(&store, &machine, "AQB8b").await.0, Ok(()));
            assert_eq!(store.text(TOKENS).as_deref(), Some("AQB8a\nAQB8b"));

            store.set(file, body);
            let (done, told) = open(&store, &machine, "AQB8b").await;
            assert_eq!(done, Ok(()));
            assert_eq!(machine.taken(), [taken]);
            assert_eq!(told.metrics(), [metric]);
            assert_eq!(store.text(TOKENS), None, "a closed callback has no token");
        }
    }

    #[tokio::test]
    async fn a_message_after_its_callback_was_closed_leaves_no_token() {
        let store = Memory::with(&[(DATA, "{}"), (SUCCESS, "{}")]);
        let machine = Machine::closed(&["AQB8a"]);
        let (done, _) = open(&store, &machine, "AQB8a").await;
        assert_eq!(done, Ok(()));
        assert!(machine.taken().is_empty());
        assert_eq!(store.text(TOKENS), None);
    }

    #[tokio::test]
    async fn an_answer_that_was_faster_than_the_message_counts() {
        let store = Memory::with(&[(SUCCESS, "OK"), (FAILURE, "")]);
        let machine = Machine::default();
        let (done, told) = open(&store, &machine, "AQB8a").await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.metrics(), ["Rejected", "Failed", "Opened"]);
        assert_eq!(machine.taken()[0], "AQB8a: alive");
        assert_eq!(machine.taken().len(), 2);
    }

    #[tokio::test]
    async fn whoever_writes_at_the_same_time_no_token_is_lost() {
        let machine = Machine::default();
        let put = format!("put {TOKENS}");

        // Another is first; then a third comes between reading and adding.
        let store = Memory::default();
        store.meanwhile(&put, TOKENS, Some("AQB8b"));
        store.meanwhile(&put, TOKENS, Some("AQB8b\nAQB8c"));
        assert_eq!(open(&store, &machine, "AQB8a").await.0, Ok(()));
        assert_eq!(store.text(TOKENS).as_deref(), Some("AQB8b\nAQB8c\nAQB8a"));

        // Another callback is closed just then.
        let store = Memory::with(&[(TOKENS, "AQB8b")]);
        store.meanwhile(&format!("get {TOKENS}"), TOKENS, None);
        assert_eq!(open(&store, &machine, "AQB8a").await.0, Ok(()));
        assert_eq!(store.text(TOKENS).as_deref(), Some("AQB8a"));
    }

    #[tokio::test]
    async fn work_that_waited_longer_than_its_execution_is_not_handed_out() {
        let (young, old) = (Duration::from_secs(59), Duration::from_secs(61));
        for (closed, waited, opened) in [
            (&["AQB8a"][..], old, false),
            (&["AQB8a"], young, true),
            (&[], old, true),
        ] {
            let (store, machine) = (Memory::default(), Machine::closed(closed));
            let body = message("AQB8a");
            let (done, told) = run(&store, &machine, async |exchanges| {
                exchanges.open(&body, waited).await
            })
            .await;
            assert_eq!(done, Ok(()));
            assert_eq!(store.text(DATA).is_some(), opened, "{closed:?} {waited:?}");
            assert_eq!(store.text(TOKENS).is_some(), opened);
            let message = if opened {
                "callback opened"
            } else {
                "message dropped"
            };
            assert_eq!(told.messages(), [message]);
        }
    }

    /// Nor does it keep work back that Step Functions does not answer the question.
    #[tokio::test]
    async fn what_cannot_be_asked_is_handed_out() {
        let (store, mut machine) = (Memory::default(), Machine::default());
        machine.failing = true;
        let body = message("AQB8a");
        let (done, told) = run(&store, &machine, async |exchanges| {
            exchanges.open(&body, Duration::from_mins(6)).await
        })
        .await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.metrics(), ["Opened"]);
    }

    #[tokio::test]
    async fn a_message_again_after_its_answer_is_no_dropped_one() {
        let store = Memory::with(&[(DATA, "{}")]);
        let body = message("AQB8a");
        let (done, told) = run(&store, &Machine::closed(&["AQB8a"]), async |exchanges| {
            exchanges.open(&body, Duration::from_mins(6)).await
        })
        .await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.messages(), ["callback opened before"]);
    }

    /// At first it may be the role that is not known everywhere yet: the message comes again.
    #[tokio::test]
    async fn an_answer_that_may_not_be_read_does_not_keep_the_work_back_for_ever() {
        for (waited, metrics) in [
            (Duration::ZERO, None),
            (Duration::from_mins(6), Some(["Rejected", "Opened"])),
        ] {
            let store = Memory::with(&[(SUCCESS, "{}")]);
            store.refuse(SUCCESS, "AccessDenied");
            let body = message("AQB8a");
            let (done, told) = run(&store, &Machine::default(), async |exchanges| {
                exchanges.open(&body, waited).await
            })
            .await;
            assert_eq!(done.is_ok(), metrics.is_some());
            assert_eq!(
                told.metrics(),
                metrics.as_ref().map_or(&[][..], |all| &all[..])
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_not_opened() {
        let store = Memory::default();
        let (done, _) = run(&store, &Machine::default(), async |exchanges| {
            exchanges
                .open(r#"{"Input": {}, "TaskToken": "AQB8"}"#, Duration::ZERO)
                .await
        })
        .await;
        assert_eq!(done, Err(OpenError::Message(NotAMessage::ExecutionId)));
    }
}
