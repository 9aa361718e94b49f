//! The **integration** function: it stands between Step Functions, which speaks in task tokens, and a business application that
//! only understands files.
//!
//! | Event | What it does |
//! |---|---|
//! | a batch of SQS messages | opens a callback for each: writes `outbound/<id>/task_token.txt`, then `outbound/<id>/data.json` |
//! | an S3 event | closes the callback of each `inbound/<id>/success.json` with `SendTaskSuccess` and the object's JSON |
//! | `s3:TestEvent`, which S3 sends when a notification is set up | nothing |
//! | any other | fails with [`Bellflower.UnknownEvent`](bellflower_contract::errors::UNKNOWN_EVENT) |
//!
//! # What may be relied on
//!
//! * **No record is lost for another's sake.** All records of an event are handled, several at a time. SQS gets back just those that failed
//!   (a partial batch response); an S3 event with a failed record fails after the others are done, so that Lambda invokes the
//!   function again with it.
//! * **Once is enough, twice is harmless.** AWS delivers at least once. A message handled again writes the same objects again; an answer
//!   that comes again finds its callback closed and is dropped with a log line. Nothing that can never succeed is retried for ever.
//! * **The data is the signal.** It is written after the token, so an application that sees the data can answer.
//! * **A bad answer leaves the callback open.** `outbound/<id>/error.json` says what was wrong with it, and the next good answer counts.
//! * **No AWS call outlives the function.** Every call has a time-out, throttled and failed ones are tried again, and what is not done
//!   shortly before the function's own time-out is given back as failed.
//! * **The token is never shown**: not in logs, not in errors, not when AWS quotes it.
//!
//! # Log lines
//!
//! JSON lines (see [`bellflower_contract::log`]) with these messages: `callback opened`, `callback answered`, `answer dropped` (the callback is
//! closed, or there is none), `answer rejected` (see `error.json`), `object ignored`, `record failed`, `event refused`. The fields name the
//! execution id, the object's key, and where a call failed its error code and the AWS request id.
//!
//! # The way through
//!
//! [`config`] reads the environment, [`event`] tells events apart, [`handler`] runs the records, [`open`] and [`close`] do the work against
//! the two traits in [`ports`], and [`aws`] implements those with the AWS SDK.

pub mod aws;
pub mod close;
pub mod config;
pub mod event;
pub mod handler;
pub mod open;
pub mod ports;
