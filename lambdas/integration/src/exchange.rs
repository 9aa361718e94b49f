//! What opening and closing a callback have in common: the token file, and telling Step Functions.

use std::time::{Duration, SystemTime};

use bellflower_contract::log::Log;
use bellflower_contract::{
    Answer, ExecutionId, Layout, MAX_PAYLOAD_BYTES, MAX_TASK_TOKEN_FILE_LEN, TaskTokens, errors,
    metrics,
};
use serde_json::json;

use crate::answer::{self, InvalidAnswer, Reply};
use crate::metrics::Dimensions;
use crate::ports::{CallError, Callbacks, Fetched, Outcome, Store, When, Write};

/// Room around the JSON: a byte order mark, line ends, indentation by an editor.
const ANSWER_READ_LIMIT: usize = 2 * MAX_PAYLOAD_BYTES;

/// All that one invocation needs to work on exchanges.
pub struct Exchanges<'a, S, C> {
    /// The bucket.
    pub store: &'a S,
    /// Step Functions.
    pub callbacks: &'a C,
    /// Where the objects are.
    pub layout: &'a Layout,
    /// Whose metrics they are.
    pub dimensions: &'a Dimensions,
    /// The invocation's log.
    pub log: &'a Log<'a>,
}

/// An exchange's tokens as they were read.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile {
    pub tokens: TaskTokens,
    pub version: String,
    written: Option<SystemTime>,
}

/// An exchange could not be worked on now; its event has to come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// A call to AWS failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The token file holds no token: someone has written over it.
    #[error("{0} holds no task token")]
    SpoiltToken(String),
}

impl<S: Store, C: Callbacks> Exchanges<'_, S, C> {
    /// The exchange's token file, if it is there.
    pub(crate) async fn read_tokens(
        &self,
        id: &ExecutionId,
    ) -> Result<Option<TokenFile>, ExchangeError> {
        let key = self.layout.task_token_key(id);
        match self.store.get(&key, MAX_TASK_TOKEN_FILE_LEN).await? {
            Fetched::Missing => Ok(None),
            Fetched::TooLong => Err(ExchangeError::SpoiltToken(key)),
            Fetched::Object(object) => {
                let tokens = std::str::from_utf8(&object.body)
                    .ok()
                    .and_then(|text| TaskTokens::parse(text).ok())
                    .ok_or(ExchangeError::SpoiltToken(key))?;
                Ok(Some(TokenFile {
                    tokens,
                    version: object.version,
                    written: object.written,
                }))
            }
        }
    }

    /// What the application's answer tells; `None` if there is none. It is read as it is now, not as it was when an event was sent: events
    /// come late, twice and in any order.
    pub(crate) async fn read_answer(
        &self,
        answer: Answer,
        id: &ExecutionId,
    ) -> Result<Option<Result<Reply, InvalidAnswer>>, ExchangeError> {
        if answer == Answer::Heartbeat {
            // There is nothing to read in it.
            return Ok(Some(Ok(Reply::Heartbeat)));
        }
        let key = self.layout.answer_key(answer, id);
        Ok(match self.store.get(&key, ANSWER_READ_LIMIT).await? {
            Fetched::Missing => None,
            Fetched::TooLong => Some(Err(InvalidAnswer::TooLong)),
            Fetched::Object(object) => Some(answer::read(answer, &key, &object.body)),
        })
    }

    /// Passes an answer on to the callback; `true` if the callback is closed now.
    pub(crate) async fn pass_on(
        &self,
        id: &ExecutionId,
        answer: Answer,
        reply: Result<Reply, InvalidAnswer>,
        mut file: TokenFile,
    ) -> Result<bool, ExchangeError> {
        let key = self.layout.answer_key(answer, id);
        let reply = match reply {
            Ok(reply) => reply,
            Err(invalid) => {
                self.reject(id, &key, &invalid).await?;
                return Ok(false);
            }
        };
        let token_key = self.layout.task_token_key(id);
        loop {
            let code = match self.try_tokens(&file.tokens, &reply).await? {
                Outcome::Taken => return self.taken(id, answer, &file).await,
                Outcome::Refused(code) => {
                    self.reject(id, &key, &InvalidAnswer::Refused(code)).await?;
                    return Ok(false);
                }
                Outcome::NotOpen(code) => code,
            };
            // A file that has changed may hold a good token by now.
            let when = When::Unchanged(&file.version);
            let newer = match self.store.delete(&token_key, when).await? {
                Write::Done => None,
                Write::Lost => self.read_tokens(id).await?,
            };
            let Some(newer) = newer else {
                self.late(id, &key, &format!("the callback is not open ({code})"));
                return Ok(true);
            };
            file = newer;
        }
    }

    async fn try_tokens(
        &self,
        tokens: &TaskTokens,
        reply: &Reply,
    ) -> Result<Outcome, ExchangeError> {
        let mut last = Outcome::NotOpen("no token".to_owned());
        for token in tokens.newest_first() {
            last = self.callbacks.send(token, reply).await?;
            if !matches!(last, Outcome::NotOpen(_)) {
                break;
            }
        }
        Ok(last)
    }

    async fn taken(
        &self,
        id: &ExecutionId,
        answer: Answer,
        file: &TokenFile,
    ) -> Result<bool, ExchangeError> {
        let (message, metric) = match answer {
            Answer::Success => ("callback answered", metrics::ANSWERED),
            Answer::Failure => ("callback failed", metrics::FAILED),
            Answer::Heartbeat => ("heartbeat passed on", metrics::HEARTBEATS),
        };
        let key = self.layout.answer_key(answer, id);
        self.log
            .info(message, json!({"execution_id": id, "key": key}));
        if answer == Answer::Heartbeat {
            self.dimensions.count(self.log, metric, Some(id), None);
            return Ok(false);
        }
        let age = file.written.and_then(|written| written.elapsed().ok());
        let age = age.unwrap_or(Duration::ZERO);
        self.dimensions.count(self.log, metric, Some(id), Some(age));
        let token_key = self.layout.task_token_key(id);
        self.store.delete(&token_key, When::Always).await?;
        Ok(true)
    }

    /// Nobody waits for this answer, and nobody will.
    pub(crate) fn late(&self, id: &ExecutionId, key: &str, reason: &str) {
        self.log.warn(
            "answer dropped",
            json!({"execution_id": id, "key": key, "reason": reason}),
        );
        self.dimensions
            .count(self.log, metrics::LATE, Some(id), None);
    }

    /// Tells the application what is wrong with its answer. The callback stays open.
    pub(crate) async fn reject(
        &self,
        id: &ExecutionId,
        key: &str,
        invalid: &InvalidAnswer,
    ) -> Result<(), ExchangeError> {
        let cause = invalid.to_string();
        let note = json!({"error": errors::INVALID_ANSWER, "cause": cause, "key": key});
        self.store
            .put(
                &self.layout.error_key(id),
                "application/json",
                note.to_string().into_bytes(),
                When::Always,
            )
            .await?;
        self.log.error(
            "answer rejected",
            json!({"execution_id": id, "key": key, "cause": cause}),
        );
        self.dimensions
            .count(self.log, metrics::REJECTED, Some(id), None);
        Ok(())
    }
}
