//! Closing a callback: from the application's file to Step Functions.

use std::time::Duration;

use bellflower_contract::{Answer, ExecutionId, InboundKey, decode_object_key, metrics};
use serde_json::json;

use crate::answer::InvalidAnswer;
use crate::exchange::{ExchangeError, Exchanges, PATIENCE, TokenFile};
use crate::ports::{CallError, Callbacks, Store};

/// How long to wait between attempts to read a token that is not there.
///
/// Our processing function's id is known to nobody before the token is there. A function of the user's own may tell it to the application at once,
/// whose answer can then overtake the message in the queue.
const TOKEN_WAITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

/// An answer could not be passed on now; the event has to come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// The exchange could not be worked on.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The answer came before its callback's token.
    #[error("there is no {0} yet")]
    NoToken(String),
}

impl From<CallError> for CloseError {
    fn from(error: CallError) -> Self {
        Self::Exchange(error.into())
    }
}

/// Where an answer's token is.
enum Sought {
    Found(TokenFile),
    /// There will be none, for this reason.
    Never(&'static str),
}

impl<S: Store, C: Callbacks> Exchanges<'_, S, C> {
    /// Handles one created object; `encoded_key` is its key as in the event, `age` the time since the event.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if the answer could not be passed on and should be tried again.
    pub async fn close(&self, encoded_key: &str, age: Duration) -> Result<(), CloseError> {
        let Ok(key) = decode_object_key(encoded_key) else {
            self.stray(encoded_key, "its key is not URL-encoded UTF-8");
            return Ok(());
        };
        match self.layout.parse_inbound(&key) {
            InboundKey::Answer(answer, id) => self.answer(answer, &id, age).await,
            InboundKey::UnknownFile(id) => self.unknown_file(&id, &key).await,
            InboundKey::NoExchange => {
                self.stray(&key, "it is not in the folder of an execution id");
                Ok(())
            }
            InboundKey::Elsewhere => {
                self.ignored(&key, "it is not below the inbound prefix");
                Ok(())
            }
            InboundKey::Folder => {
                self.log.debug(
                    "object ignored",
                    json!({"key": key, "reason": "it is a folder"}),
                );
                Ok(())
            }
        }
    }

    fn ignored(&self, key: &str, reason: &str) {
        self.log
            .warn("object ignored", json!({"key": key, "reason": reason}));
    }

    /// An answer, for all we know, but to which callback? Nobody can be told but the operator.
    fn stray(&self, key: &str, reason: &str) {
        self.ignored(key, reason);
        self.dimensions
            .count(self.log, metrics::REJECTED, None, None);
    }

    async fn unknown_file(&self, id: &ExecutionId, key: &str) -> Result<(), CloseError> {
        if let Some(file) = self.read_tokens(id).await? {
            self.pass_on(id, key, Err(InvalidAnswer::UnknownFile), file)
                .await?;
        } else {
            self.ignored(key, "no answer has this name, and no callback waits");
        }
        Ok(())
    }

    async fn answer(
        &self,
        answer: Answer,
        id: &ExecutionId,
        age: Duration,
    ) -> Result<(), CloseError> {
        let key = self.layout.answer_key(answer, id);
        let file = match self.find_tokens(id, age).await? {
            Sought::Found(file) => file,
            Sought::Never(reason) => {
                self.late(id, &key, reason);
                return Ok(());
            }
        };
        match self.read_answer(answer, id, age > PATIENCE).await? {
            Some(reply) => {
                self.pass_on(id, &key, reply, file).await?;
            }
            None => self.log.warn(
                "answer dropped",
                json!({"execution_id": id, "key": key, "reason": "the object is gone"}),
            ),
        }
        Ok(())
    }

    async fn find_tokens(&self, id: &ExecutionId, age: Duration) -> Result<Sought, CloseError> {
        let mut waits = TOKEN_WAITS.iter();
        loop {
            if let Some(file) = self.read_tokens(id).await? {
                return Ok(Sought::Found(file));
            }
            if self.data_exists(id).await? {
                // The token is written before the data and deleted after it: whoever sees the data but no token afterwards is too late.
                return Ok(match self.read_tokens(id).await? {
                    Some(file) => Sought::Found(file),
                    None => Sought::Never("the callback is closed"),
                });
            }
            if age > PATIENCE {
                return Ok(Sought::Never("there is no callback of this execution id"));
            }
            let Some(wait) = waits.next() else {
                return Err(CloseError::NoToken(self.layout.task_token_key(id)));
            };
            tokio::time::sleep(*wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::memory::{AGE, Machine, Memory, Told, run};

    const TOKENS: &str = "outbound/e-1/task_token.txt";
    const TOKEN: (&str, &str) = (TOKENS, "AQB8a\n");
    const DATA: (&str, &str) = ("outbound/e-1/data.json", "{}");
    const KEY: &str = "inbound/e-1/success.json";
    const FAILURE: &str = "inbound/e-1/failure.json";
    const HEARTBEAT: &str = "inbound/e-1/heartbeat.json";
    const ERROR: &str = "outbound/e-1/error.json";
    const NOW: Duration = Duration::ZERO;

    async fn close(
        store: &Memory,
        machine: &Machine,
        key: &str,
        age: Duration,
    ) -> (Result<(), CloseError>, Told) {
        run(store, machine, async |exchanges| {
            exchanges.close(key, age).await
        })
        .await
    }

    #[tokio::test]
    async fn an_answer_closes_its_callback_and_the_token_is_deleted() {
        let failure = r#"{"error": "Orders.NoStock", "cause": "none left"}"#;
        for (key, body, taken, message, metric) in [
            (
                KEY,
                "{\"n\": 7}",
                "AQB8a: {\"n\": 7}",
                "callback answered",
                "Answered",
            ),
            (
                FAILURE,
                failure,
                "AQB8a: Orders.NoStock: none left",
                "callback failed",
                "Failed",
            ),
        ] {
            let store = Memory::with(&[TOKEN, DATA, (key, body)]);
            let machine = Machine::default();
            let (done, told) = close(&store, &machine, key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(machine.taken(), [taken]);
            assert_eq!(told.messages(), [message]);
            assert_eq!(told.metrics(), [metric]);
            let age = told.field("AnswerAge").as_u64().unwrap();
            assert!((7000..8000).contains(&age), "{age} of {AGE:?}");
            assert_eq!(store.text(TOKENS), None);

            // The same event again.
            let (done, told) = close(&store, &machine, key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(machine.taken().len(), 1);
            assert_eq!(told.messages(), ["answer dropped"]);
            assert_eq!(told.metrics(), ["Late"]);
            assert_eq!(told.field("reason"), "the callback is closed");
        }
    }

    #[tokio::test]
    async fn a_heartbeat_leaves_the_callback_open() {
        let store = Memory::with(&[TOKEN, DATA]);
        let machine = Machine::default();
        for _ in 0..2 {
            let (done, told) = close(&store, &machine, HEARTBEAT, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.messages(), ["heartbeat passed on"]);
            assert_eq!(told.metrics(), ["Heartbeats"]);
        }
        assert_eq!(machine.taken(), ["AQB8a: alive", "AQB8a: alive"]);
        assert!(store.text(TOKENS).is_some());
    }

    #[tokio::test]
    async fn of_several_tokens_the_good_one_counts() {
        let store = Memory::with(&[(TOKENS, "AQB8a\nAQB8b\nAQB8c"), DATA, (KEY, "{}")]);
        let machine = Machine::closed(&["AQB8a", "AQB8c"]);
        let (done, told) = close(&store, &machine, KEY, NOW).await;
        assert_eq!(done, Ok(()));
        assert_eq!(machine.taken(), ["AQB8b: {}"]);
        assert_eq!(told.metrics(), ["Answered"]);
    }

    #[tokio::test]
    async fn a_late_answer_is_dropped_and_the_token_deleted() {
        for key in [KEY, FAILURE, HEARTBEAT] {
            let store = Memory::with(&[TOKEN, DATA, (KEY, ""), (FAILURE, "")]);
            let (done, told) = close(&store, &Machine::closed(&["AQB8a"]), key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.messages(), ["answer dropped"]);
            assert_eq!(told.metrics(), ["Late"]);
            assert_eq!(
                told.field("reason"),
                "the callback is not open (TaskTimedOut)"
            );
            assert_eq!(store.text(TOKENS), None);
        }
    }

    /// The first attempt closed the callback, though nobody heard of it: the second only finds it closed.
    #[tokio::test]
    async fn an_answer_whose_taking_went_unheard_is_no_late_one() {
        for (key, metric) in [(KEY, "Answered"), (FAILURE, "Failed")] {
            let store = Memory::with(&[(TOKENS, "AQB8a\nAQB8b"), DATA, (key, "")]);
            let mut machine = Machine::closed(&["AQB8a", "AQB8b"]);
            machine.silent = true;
            let (done, told) = close(&store, &machine, key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.metrics(), [metric]);
            assert_eq!(told.field("confirmed"), false);
            assert_eq!(store.text(TOKENS), None);
        }

        // Silence about a token that is closed says nothing about the others.
        let store = Memory::with(&[(TOKENS, "AQB8a\nAQB8b"), DATA, (KEY, "{}")]);
        let mut machine = Machine::closed(&["AQB8b"]);
        machine.silent = true;
        assert_eq!(close(&store, &machine, KEY, NOW).await.0, Ok(()));
        assert_eq!(machine.taken(), ["AQB8a: {}"]);
    }

    #[tokio::test]
    async fn a_token_that_comes_while_the_old_one_proves_dead_is_not_deleted() {
        let store = Memory::with(&[TOKEN, DATA, (KEY, "{}")]);
        store.meanwhile(&format!("delete {TOKENS}"), TOKENS, Some("AQB8a\nAQB8b"));
        let machine = Machine::closed(&["AQB8a"]);
        let (done, told) = close(&store, &machine, KEY, NOW).await;
        assert_eq!(done, Ok(()));
        assert_eq!(machine.taken(), ["AQB8b: {}"]);
        assert_eq!(told.metrics(), ["Answered"]);

        let store = Memory::with(&[TOKEN, DATA, (KEY, "{}")]);
        store.meanwhile(&format!("delete {TOKENS}"), TOKENS, None);
        let (done, told) = close(&store, &Machine::closed(&["AQB8a"]), KEY, NOW).await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.metrics(), ["Late"]);
    }

    #[tokio::test]
    async fn a_bad_answer_leaves_a_note_and_the_callback_open() {
        let cases = [
            (KEY, "OK", None, "not JSON"),
            (KEY, "{}", Some("InvalidOutput"), "InvalidOutput"),
            (FAILURE, "7", None, "no object"),
            ("inbound/e-1/Success.json", "{}", None, "success.json"),
            (
                "inbound/e-1/my+answer+%C3%A9+100%25.json",
                "{}",
                None,
                "success.json",
            ),
            ("inbound/e-1/../success.json", "{}", None, "success.json"),
        ];
        for (key, body, refusal, cause) in cases {
            let store = Memory::with(&[TOKEN, DATA, (key, body)]);
            let machine = Machine::refusing(refusal);
            let (done, told) = close(&store, &machine, key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.messages(), ["answer rejected"]);
            assert_eq!(told.metrics(), ["Rejected"]);
            let note: Value = serde_json::from_str(&store.text(ERROR).unwrap()).unwrap();
            assert_eq!(note["error"], "Bellflower.InvalidAnswer");
            assert_eq!(note["key"], decode_object_key(key).unwrap());
            assert!(note["cause"].as_str().unwrap().contains(cause), "{note}");
            // Step Functions was asked whether anybody waits.
            assert!(machine.taken().iter().all(|taken| taken == "AQB8a: alive"));

            let machine = Machine::default();
            store.set(KEY, "{}");
            assert_eq!(close(&store, &machine, KEY, NOW).await.0, Ok(()));
            assert_eq!(machine.taken(), ["AQB8a: {}"]);
        }
    }

    #[tokio::test]
    async fn a_bad_answer_nobody_waits_for_is_late_and_no_bad_one() {
        for key in [KEY, "inbound/e-1/Success.json"] {
            let store = Memory::with(&[TOKEN, DATA, (key, "OK")]);
            let (done, told) = close(&store, &Machine::closed(&["AQB8a"]), key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.metrics(), ["Late"], "{key}");
            assert_eq!(store.text(ERROR), None, "{key}");
            assert_eq!(store.text(TOKENS), None, "{key}");
        }
    }

    /// A refusal that may be the role's is waited out; one that is the object's is told at once.
    #[tokio::test]
    async fn an_answer_that_may_not_be_read_leaves_a_note_in_the_end() {
        let old = Duration::from_mins(3);
        for (code, age, noted) in [
            ("AccessDenied", NOW, false),
            ("AccessDenied", old, true),
            ("KMS.DisabledException", NOW, false),
            ("KMS.DisabledException", old, true),
            ("InvalidObjectState", NOW, true),
            ("InvalidRequest", NOW, true),
            ("SlowDown", old, false),
            ("KMS.ThrottlingException", old, false),
        ] {
            let store = Memory::with(&[TOKEN, DATA, (KEY, "{}")]);
            store.refuse(KEY, code);
            let (done, told) = close(&store, &Machine::default(), KEY, age).await;
            assert_eq!(done.is_ok(), noted, "{code} {age:?}");
            let expected = if noted { &["Rejected"][..] } else { &[] };
            assert_eq!(told.metrics(), expected, "{code} {age:?}");
            let note = store.text(ERROR).unwrap_or_default();
            assert_eq!(note.contains(code), noted, "{note}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_overtook_its_token_waits_for_it() {
        let store = Memory::with(&[TOKEN, (KEY, "")]);
        store.missing_reads.set(TOKEN_WAITS.len());
        let machine = Machine::default();
        assert_eq!(close(&store, &machine, KEY, NOW).await.0, Ok(()));
        assert_eq!(machine.taken().len(), 1);
    }

    #[tokio::test]
    async fn a_callback_that_opens_between_the_looks_is_no_closed_one() {
        let store = Memory::with(&[TOKEN, DATA, (KEY, "")]);
        store.missing_reads.set(1);
        let machine = Machine::default();
        assert_eq!(close(&store, &machine, KEY, NOW).await.0, Ok(()));
        assert_eq!(machine.taken().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_a_young_answer_comes_again_and_an_old_one_is_dropped() {
        let store = Memory::with(&[(KEY, "")]);
        let machine = Machine::default();
        let (done, told) = close(&store, &machine, KEY, NOW).await;
        assert_eq!(done, Err(CloseError::NoToken(TOKENS.to_owned())));
        assert!(told.metrics().is_empty());
        let (done, told) = close(&store, &machine, KEY, Duration::from_mins(3)).await;
        assert_eq!(done, Ok(()));
        assert_eq!(told.messages(), ["answer dropped"]);
        assert_eq!(told.metrics(), ["Late"]);
        assert!(machine.taken().is_empty());
    }

    #[tokio::test]
    async fn a_spoilt_token_file_is_not_quoted() {
        let store = Memory::with(&[(TOKENS, "AQB8a but spoilt"), (KEY, "")]);
        let (done, _) = close(&store, &Machine::default(), KEY, NOW).await;
        let error = done.unwrap_err();
        let spoilt = ExchangeError::SpoiltToken(TOKENS.to_owned());
        assert_eq!(error, CloseError::Exchange(spoilt));
        assert!(!error.to_string().contains("AQB8"));
    }

    #[tokio::test]
    async fn other_objects_are_ignored() {
        let store = Memory::with(&[TOKEN, (KEY, "")]);
        let machine = Machine::default();
        for (key, metrics) in [
            ("inbound/e-2/other.json", 0),
            ("outbound/e-1/data.json", 0),
            ("inbound/x.json", 1),
            ("inbound/../success.json", 1),
            ("inbound/%E6%B3%A8+1/success.json", 1),
            ("inbound/%zz", 1),
        ] {
            let (done, told) = close(&store, &machine, key, NOW).await;
            assert_eq!(done, Ok(()));
            assert_eq!(told.messages(), ["object ignored"], "{key}");
            assert_eq!(told.metrics(), ["Rejected"][..metrics], "{key}");
        }
        let (done, told) = close(&store, &machine, "inbound/", NOW).await;
        assert_eq!(done, Ok(()));
        assert!(told.messages().is_empty(), "a folder is not worth a line");
        assert!(machine.taken().is_empty());
    }
}
