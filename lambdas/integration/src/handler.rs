//! Running the records of an event.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::event::s3::S3EventRecord;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use bellflower_contract::log::Log;
use bellflower_contract::{Layout, errors};
use futures::{FutureExt, StreamExt};
use lambda_runtime::Diagnostic;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use crate::close::CloseError;
use crate::event::{self, Event, UnknownEvent};
use crate::exchange::{ExchangeError, Exchanges};
use crate::metrics::Dimensions;
use crate::open::OpenError;
use crate::ports::{Callbacks, Store};

/// Most records that are handled at a time: enough to hide the network, few enough for the smallest function's memory.
const CONCURRENCY: usize = 10;

/// Most of the time that is kept back for the answer to Lambda.
const RESERVE: Duration = Duration::from_secs(1);

/// The function, with all it needs.
#[derive(Debug)]
pub struct Handler<S, C> {
    /// The bucket.
    pub store: S,
    /// Its name: events of another's are refused.
    pub bucket: String,
    /// Step Functions.
    pub callbacks: C,
    /// Where the objects are.
    pub layout: Layout,
    /// The queue of messages that could not be handled, if there is one.
    pub undeliverable_queue_arn: Option<String>,
    /// Whose metrics they are.
    pub dimensions: Dimensions,
}

/// The invocation fails as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The event makes no sense here.
    #[error(transparent)]
    Event(#[from] UnknownEvent),
    /// Records failed, and only the invocation's failure can say so.
    #[error("{failed} of {total} records failed; the log says why")]
    Records {
        /// How many failed.
        failed: usize,
        /// How many there were.
        total: usize,
    },
}

/// Why a record failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Close(#[from] CloseError),
    #[error(transparent)]
    Undeliverable(#[from] ExchangeError),
    #[error("the record is not one of S3's, or lacks its bucket's name or its key")]
    Unreadable,
    #[error("the record is of the bucket {0}, which is not this function's")]
    OtherBucket(String),
    #[error("it was not done shortly before the function's time-out")]
    TimedOut,
    #[error("the function panicked on it; the line before says where")]
    Panicked,
}

impl<S: Store, C: Callbacks> Handler<S, C> {
    /// Handles one event. Records that are not done by `deadline` count as failed.
    ///
    /// # Errors
    ///
    /// [`HandlerError`] if the event is unknown, or a record failed of which Lambda cannot be told otherwise.
    pub async fn handle(
        &self,
        event: &RawValue,
        deadline: Instant,
        log: &Log<'_>,
    ) -> Result<SqsBatchResponse, HandlerError> {
        match event::parse(event) {
            Ok(Event::Sqs(messages)) => self.take_all(&messages, deadline, log).await,
            Ok(Event::S3(records)) => self.close_all(&records, deadline, log).await,
            Ok(Event::S3Test) => {
                log.info("test event received", json!({}));
                Ok(SqsBatchResponse::default())
            }
            Err(unknown) => {
                log.error("event refused", json!({"cause": unknown.to_string()}));
                Err(unknown.into())
            }
        }
    }

    fn exchanges<'a>(&'a self, log: &'a Log<'a>) -> Exchanges<'a, S, C> {
        Exchanges {
            store: &self.store,
            callbacks: &self.callbacks,
            layout: &self.layout,
            dimensions: &self.dimensions,
            log,
        }
    }

    async fn take_all(
        &self,
        messages: &[SqsMessage],
        deadline: Instant,
        log: &Log<'_>,
    ) -> Result<SqsBatchResponse, HandlerError> {
        let failed = futures::stream::iter(messages)
            .map(async |message| {
                let id = message.message_id.clone();
                let undeliverable = self.is_undeliverable(message);
                let done = if undeliverable {
                    within(deadline, self.end(message, log)).await
                } else {
                    let body = message.body.as_deref().unwrap_or_default();
                    within(deadline, self.exchanges(log).open(body, waited(message))).await
                };
                if let Err(error) = &done {
                    log.error(
                        "record failed",
                        json!({"message_id": id, "cause": error.to_string()}),
                    );
                }
                // Only a failed message is moved to the dead-letter queue, where it is to be kept.
                (undeliverable || done.is_err()).then_some(id)
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(std::future::ready)
            .collect::<Vec<_>>()
            .await;
        let count = failed.len();
        let mut response = SqsBatchResponse::default();
        for id in failed {
            // Without an id SQS would take a response for success, so all of the batch has to come again.
            let Some(id) = id.filter(|id| !id.is_empty()) else {
                return Err(HandlerError::Records {
                    failed: count,
                    total: messages.len(),
                });
            };
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
        Ok(response)
    }

    fn is_undeliverable(&self, message: &SqsMessage) -> bool {
        self.undeliverable_queue_arn.is_some()
            && message.event_source_arn == self.undeliverable_queue_arn
    }

    async fn end(&self, message: &SqsMessage, log: &Log<'_>) -> Result<(), ExchangeError> {
        self.exchanges(log)
            .undeliverable(
                message.message_id.as_deref().unwrap_or_default(),
                message.body.as_deref().unwrap_or_default(),
            )
            .await
    }

    async fn close_all(
        &self,
        records: &[Option<S3EventRecord>],
        deadline: Instant,
        log: &Log<'_>,
    ) -> Result<SqsBatchResponse, HandlerError> {
        let failed = futures::stream::iter(records)
            .map(async |record| {
                let done = self.close_one(record.as_ref(), deadline, log).await;
                done.inspect_err(|error| {
                    let key = record
                        .as_ref()
                        .and_then(|record| record.s3.object.key.as_deref());
                    log.error(
                        "record failed",
                        json!({"key": key, "cause": error.to_string()}),
                    );
                })
                .is_err()
            })
            .buffer_unordered(CONCURRENCY)
            .filter(|failed| std::future::ready(*failed))
            .count()
            .await;
        if failed > 0 {
            return Err(HandlerError::Records {
                failed,
                total: records.len(),
            });
        }
        Ok(SqsBatchResponse::default())
    }

    async fn close_one(
        &self,
        record: Option<&S3EventRecord>,
        deadline: Instant,
        log: &Log<'_>,
    ) -> Result<(), RecordError> {
        let record = record.ok_or(RecordError::Unreadable)?;
        let s3 = &record.s3;
        let (Some(bucket), Some(key)) = (&s3.bucket.name, &s3.object.key) else {
            return Err(RecordError::Unreadable);
        };
        if *bucket != self.bucket {
            return Err(RecordError::OtherBucket(bucket.clone()));
        }
        let age = SystemTime::now()
            .duration_since(record.event_time.into())
            .unwrap_or_default();
        within(deadline, self.exchanges(log).close(key, age)).await
    }
}

/// How long ago a message was sent; no time at all if it does not say.
fn waited(message: &SqsMessage) -> Duration {
    let sent = message.attributes.get("SentTimestamp");
    let sent = sent.and_then(|millis| millis.parse().ok());
    sent.and_then(|millis| {
        let sent = UNIX_EPOCH + Duration::from_millis(millis);
        SystemTime::now().duration_since(sent).ok()
    })
    .unwrap_or_default()
}

/// When to stop, given the invocation's deadline in milliseconds since 1970 as Lambda tells it: before it by a fifth of the time that is
/// left, but by no more than a second.
#[must_use]
pub fn stop_at(deadline_millis: u64) -> Instant {
    let left = (UNIX_EPOCH + Duration::from_millis(deadline_millis))
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    Instant::now() + (left * 4 / 5).max(left.saturating_sub(RESERVE))
}

/// Works on one record. Whatever happens to it, even a panic, is its own affair.
async fn within<E: Into<RecordError>>(
    deadline: Instant,
    work: impl Future<Output = Result<(), E>>,
) -> Result<(), RecordError> {
    match timeout_at(deadline, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(done)) => done.map_err(Into::into),
        Ok(Err(_)) => Err(RecordError::Panicked),
        Err(_) => Err(RecordError::TimedOut),
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match error {
            HandlerError::Event(_) => errors::UNKNOWN_EVENT,
            HandlerError::Records { .. } => errors::RECORDS_FAILED,
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bellflower_contract::log::Level;
    use serde_json::Value;

    use super::*;
    use crate::memory::{Machine, Memory};
    use crate::ports::{CallError, Fetched, When, Write};

    /// A bucket in which some keys are a bug.
    struct Panics(Memory);

    impl Store for Panics {
        async fn put(
            &self,
            key: &str,
            content_type: &'static str,
            body: Vec<u8>,
            when: When<'_>,
        ) -> Result<Write, CallError> {
            assert!(!key.contains("poison"), "a bug");
            self.0.put(key, content_type, body, when).await
        }

        async fn get(&self, key: &str, limit: usize) -> Result<Fetched, CallError> {
            assert!(!key.contains("inbound/poison"), "a bug");
            self.0.get(key, limit).await
        }

        async fn delete(&self, key: &str, when: When<'_>) -> Result<Write, CallError> {
            self.0.delete(key, when).await
        }
    }

    async fn handle(
        store: Memory,
        event: &Value,
    ) -> (
        Result<SqsBatchResponse, HandlerError>,
        Handler<Panics, Machine>,
        String,
    ) {
        let handler = Handler {
            store: Panics(store),
            bucket: "bucket".to_owned(),
            callbacks: Machine::default(),
            layout: Layout::default(),
            undeliverable_queue_arn: None,
            dimensions: Dimensions::default(),
        };
        let lines = Mutex::new(String::new());
        let sink = |line: &str| lines.lock().unwrap().push_str(line);
        let log = Log::new("r-1", Level::Error, &sink);
        let event: Box<RawValue> = serde_json::from_str(&event.to_string()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let done = handler.handle(&event, deadline, &log).await;
        (done, handler, lines.into_inner().unwrap())
    }

    #[tokio::test]
    async fn a_panic_on_a_message_is_that_messages_failure() {
        let message = |id: &str| {
            let body = format!(r#"{{"Input": {{"execution_id": "{id}"}}, "TaskToken": "AQB8"}}"#);
            json!({"messageId": id, "body": body, "eventSource": "aws:sqs"})
        };
        let records: Vec<Value> = ["e-1", "poison", "e-2"].map(message).into();
        let event = json!({"Records": records});
        let (done, handler, log) = handle(Memory::default(), &event).await;
        let failures = done.unwrap().batch_item_failures;
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].item_identifier, "poison");
        for id in ["e-1", "e-2"] {
            let data = format!("outbound/{id}/data.json");
            assert!(handler.store.0.text(&data).is_some(), "{id}");
        }
        assert!(log.contains("the function panicked on it"), "{log}");
    }

    #[tokio::test]
    async fn a_panic_on_an_answer_is_that_answers_failure() {
        let record = |id: &str| {
            json!({
                "eventSource": "aws:s3", "eventTime": "2026-03-01T12:00:00.000Z",
                "requestParameters": {}, "responseElements": {}, "userIdentity": {},
                "s3": {"bucket": {"name": "bucket", "ownerIdentity": {}}, "object": {"key": format!("inbound/{id}/success.json")}}
            })
        };
        let store = Memory::with(&[
            ("outbound/poison/task_token.txt", "AQB8p"),
            ("outbound/e-1/task_token.txt", "AQB8a"),
            ("inbound/e-1/success.json", "{}"),
        ]);
        let records: Vec<Value> = ["poison", "e-1"].map(record).into();
        let event = json!({"Records": records});
        let (done, handler, _) = handle(store, &event).await;
        let failed = HandlerError::Records {
            failed: 1,
            total: 2,
        };
        assert_eq!(done.unwrap_err(), failed);
        assert_eq!(handler.callbacks.taken(), ["AQB8a: {}"]);
    }
}
