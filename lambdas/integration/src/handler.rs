//! Running the records of an event.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::event::s3::S3EventRecord;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use bellflower_contract::log::Log;
use bellflower_contract::{Layout, errors};
use futures::StreamExt;
use lambda_runtime::Diagnostic;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use crate::close::{CloseError, close};
use crate::event::{self, Event, UnknownEvent};
use crate::open::{OpenError, open};
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
    #[error("the record is not one of S3's, or lacks its bucket's name or its key")]
    Unreadable,
    #[error("the record is of the bucket {0}, which is not this function's")]
    OtherBucket(String),
    #[error("it was not done shortly before the function's time-out")]
    TimedOut,
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
            Ok(Event::Sqs(messages)) => self.open_all(&messages, deadline, log).await,
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

    async fn open_all(
        &self,
        messages: &[SqsMessage],
        deadline: Instant,
        log: &Log<'_>,
    ) -> Result<SqsBatchResponse, HandlerError> {
        let failed = futures::stream::iter(messages)
            .map(async |message| {
                let body = message.body.as_deref().unwrap_or_default();
                let done = within(deadline, open(&self.store, &self.layout, body, log)).await;
                done.err().map(|error| {
                    let id = message.message_id.clone();
                    log.error(
                        "record failed",
                        json!({"message_id": id, "cause": error.to_string()}),
                    );
                    id
                })
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
        within(
            deadline,
            close(&self.store, &self.callbacks, &self.layout, key, age, log),
        )
        .await
    }
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

async fn within<E: Into<RecordError>>(
    deadline: Instant,
    work: impl Future<Output = Result<(), E>>,
) -> Result<(), RecordError> {
    match timeout_at(deadline, work).await {
        Ok(done) => done.map_err(Into::into),
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
