//! The **integration** function: it stands between Step Functions, which speaks in task tokens, and a business application that
//! only understands files.
//!
//! | Event | What it does |
//! |---|---|
//! | a batch of SQS messages | opens a callback for each: writes `outbound/<id>/task_token.txt`, then `outbound/<id>/data.json` |
//! | a batch from the undeliverable queue | ends the callback of each with `SendTaskFailure` and gives the message back, so that SQS moves it to the dead-letter queue |
//! | an S3 event | passes each `inbound/<id>/success.json`, `failure.json` and `heartbeat.json` on to Step Functions |
//! | `s3:TestEvent`, which S3 sends when a notification is set up | nothing |
//! | any other | fails with [`Bellflower.UnknownEvent`](bellflower_contract::errors::UNKNOWN_EVENT) |
//!
//! # What may be relied on
//!
//! * **No record is lost for another's sake.** All records of an event are handled, several at a time. SQS gets back just those that failed
//!   (a partial batch response); an S3 event with a failed record fails after the others are done, so that Lambda invokes the
//!   function again with it. A panic in a record is that record's failure.
//! * **Once is enough, twice is harmless.** AWS delivers at least once. A message handled again finds its objects there and leaves them; an answer
//!   that comes again finds its callback closed and is dropped. Nothing that can never succeed is retried for ever.
//! * **The data is the signal.** It is written after the token, so an application that sees the data can answer.
//! * **Several tokens, one callback.** Step Functions makes a new token when it sends a state's message again. The token file keeps each, and an
//!   answer is tried with each, until one takes it. It is deleted once the callback is closed.
//! * **A bad answer leaves the callback open.** `outbound/<id>/error.json` says what was wrong with it, and the next good answer counts.
//! * **No AWS call outlives the function.** Every call has a time-out, throttled and failed ones are tried again, and what is not done
//!   shortly before the function's own time-out is given back as failed.
//! * **The token is never shown**: not in logs, not in errors, not when AWS quotes it.
//!
//! # Log lines
//!
//! JSON lines (see [`bellflower_contract::log`]) with these messages: `callback opened`, `callback opened before` (a message that came
//! twice, or a new token for the same work), `message dropped` (its callback is no longer open, and its work was not handed out), `open callback not confirmed`
//! (Step Functions did not say whether it is; the work is handed out), `callback answered`, `callback failed`, `heartbeat passed on`, `answer dropped` (the callback is
//! closed, or there is none), `answer rejected` (see `error.json`), `object ignored`, `callback ended as undeliverable`, `message of an open callback` (in the undeliverable queue, but its
//! work was handed out), `test event received`, `undeliverable message of a closed callback`, `message without a task token`, `record failed`, `event refused`, `function panicked`. The fields
//! name the execution id, the object's key, and where a call failed its error code and the AWS request id. `"confirmed": false` is on what AWS most probably took: the callback was
//! closed, or the file there, when a call without an answer was tried again.
//!
//! Lines with the message `metrics` are those of [`bellflower_contract::metrics`], written whatever the log level is.
//!
//! # The way through
//!
//! [`config`] reads the environment, [`event`] tells events apart, [`handler`] runs the records, [`open`], [`close`] and [`undeliverable`] do the
//! work on an [`exchange`] against the two traits in [`ports`], and [`aws`] implements those with the AWS SDK. [`answer`] reads what the
//! application wrote, [`metrics`] counts.

#[cfg(panic = "abort")]
compile_error!(
    "a panic in one record must not end the others, see `handler`: build with panic = \"unwind\""
);

pub mod answer;
pub mod aws;
pub mod close;
pub mod config;
pub mod event;
pub mod exchange;
pub mod handler;
pub mod metrics;
pub mod open;
pub mod ports;
pub mod undeliverable;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod schemas;
