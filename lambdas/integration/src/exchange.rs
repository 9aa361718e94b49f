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

/// Of an answer older than this, or of a message that waited longer, what is missing is no longer waited for: a token, the permission to read.
///
/// Lambda invokes the function again one and three minutes after an S3 event's first failure and then gives up, see
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>: so a young answer gets a second chance, an old one
/// does not count as an error. Should its message come after all, opening the callback finds the answer.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

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

    /// Whether the exchange's work has been handed out.
    pub(crate) async fn data_exists(&self, id: &ExecutionId) -> Result<bool, CallError> {
        let found = self.store.get(&self.layout.data_key(id), 0).await?;
        Ok(found != Fetched::Missing)
    }

    /// What the application's answer tells; `None` if there is none. It is read as it is now, not as it was when an event was sent: events
    /// come late, twice and in any order. A refusal to read it is the answer's fault if it is `final_say`; before, it may be a role that AWS does
    /// not know everywhere yet.
    pub(crate) async fn read_answer(
        &self,
        answer: Answer,
        id: &ExecutionId,
        final_say: bool,
    ) -> Result<Option<Result<Reply, InvalidAnswer>>, ExchangeError> {
        if answer == Answer::Heartbeat {
            // There is nothing to read in it.
            return Ok(Some(Ok(Reply::Heartbeat)));
        }
        let key = self.layout.answer_key(answer, id);
        Ok(match self.store.get(&key, ANSWER_READ_LIMIT).await {
            Ok(Fetched::Missing) => None,
            Ok(Fetched::TooLong) => Some(Err(InvalidAnswer::TooLong)),
            Ok(Fetched::Object(object)) => Some(answer::read(answer, &key, &object.body)),
            Err(error) if error.is_refusal(final_say) => {
                Some(Err(InvalidAnswer::Unreadable(error.code)))
            }
            Err(error) => return Err(error.into()),
        })
    }

    /// Passes the answer in the object `key` on to the callback; `true` if the callback is closed now.
    ///
    /// In the place of one that makes no sense goes a heartbeat, which tells whether anybody still waits for a better one.
    pub(crate) async fn pass_on(
        &self,
        id: &ExecutionId,
        key: &str,
        reply: Result<Reply, InvalidAnswer>,
        mut file: TokenFile,
    ) -> Result<bool, ExchangeError> {
        let sent = reply.as_ref().unwrap_or(&Reply::Heartbeat);
        let token_key = self.layout.task_token_key(id);
        let mut perhaps_taken = false;
        loop {
            let code = match (self.try_tokens(&file.tokens, sent).await?, &reply) {
                (Outcome::Taken, Ok(reply)) => {
                    self.count_taken(id, key, reply, Some(&file));
                    let closed = *reply != Reply::Heartbeat;
                    if closed {
                        self.store.delete(&token_key, When::Always).await?;
                    }
                    return Ok(closed);
                }
                (Outcome::Taken | Outcome::Refused(_), Err(invalid)) => {
                    self.reject(id, key, invalid).await?;
                    return Ok(false);
                }
                (Outcome::Refused(code), Ok(_)) => {
                    self.reject(id, key, &InvalidAnswer::Refused(code)).await?;
                    return Ok(false);
                }
                (
                    Outcome::NotOpen {
                        code,
                        after_silence,
                    },
                    _,
                ) => {
                    perhaps_taken |= after_silence;
                    code
                }
            };
            // A file that has changed may hold a good token by now.
            let when = When::Unchanged(&file.version);
            let newer = match self.store.delete(&token_key, when).await? {
                Write::Done => None,
                Write::Lost { .. } => self.read_tokens(id).await?,
            };
            match (newer, &reply) {
                (Some(newer), _) => file = newer,
                (None, Ok(reply)) if perhaps_taken => {
                    self.count_taken(id, key, reply, None);
                    return Ok(true);
                }
                (None, _) => {
                    self.late(id, key, &format!("the callback is not open ({code})"));
                    return Ok(true);
                }
            }
        }
    }

    /// Tries each token until one is good. Of several that are not, it matters whether one may have become so by this very reply.
    async fn try_tokens(
        &self,
        tokens: &TaskTokens,
        reply: &Reply,
    ) -> Result<Outcome, ExchangeError> {
        let mut last = String::from("no token");
        let mut silence = false;
        for token in tokens.newest_first() {
            match self.callbacks.send(token, reply).await? {
                Outcome::NotOpen {
                    code,
                    after_silence,
                } => {
                    last = code;
                    silence |= after_silence;
                }
                outcome => return Ok(outcome),
            }
        }
        Ok(Outcome::NotOpen {
            code: last,
            after_silence: silence,
        })
    }

    /// Tells of a reply that was taken, or, where there is no `file` to take its age from, that most probably was.
    fn count_taken(&self, id: &ExecutionId, key: &str, reply: &Reply, file: Option<&TokenFile>) {
        let (message, metric) = match reply {
            Reply::Success(_) => ("callback answered", metrics::ANSWERED),
            Reply::Failure { .. } => ("callback failed", metrics::FAILED),
            Reply::Heartbeat => ("heartbeat passed on", metrics::HEARTBEATS),
        };
        let mut fields = json!({"execution_id": id, "key": key});
        if file.is_none() {
            fields["confirmed"] = json!(false);
        }
        self.log.info(message, fields);
        let age = |file: &TokenFile| file.written.and_then(|written| written.elapsed().ok());
        let closing = file.filter(|_| *reply != Reply::Heartbeat);
        let age = closing.map(|file| age(file).unwrap_or(Duration::ZERO));
        self.dimensions.count(self.log, metric, Some(id), age);
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
    async fn reject(
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
