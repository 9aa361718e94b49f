//! Error names that Bellflower itself gives, stable for `ErrorEquals` in a state machine, alarms and log searches.

/// The processing function was asked to fail, see [`SIMULATE_FAILURE_FIELD`](crate::SIMULATE_FAILURE_FIELD).
pub const SIMULATED_FAILURE: &str = "Bellflower.SimulatedFailure";

/// The processing function's output would not fit into the message to the queue, see [`MAX_WORK_BYTES`](crate::MAX_WORK_BYTES).
pub const WORK_TOO_LONG: &str = "Bellflower.WorkTooLong";

/// An answer cannot be passed on (no JSON, too long); written to `error.json`, and the callback stays open.
pub const INVALID_ANSWER: &str = "Bellflower.InvalidAnswer";

/// The application answered with a `failure.json` that names no error of its own.
pub const APPLICATION_FAILURE: &str = "Bellflower.ApplicationFailure";

/// The message that asks for a callback could not be handled, however often it was tried: the application never saw it.
pub const UNDELIVERABLE: &str = "Bellflower.Undeliverable";

/// The integration function was invoked with an event that is neither an SQS batch nor one of S3.
pub const UNKNOWN_EVENT: &str = "Bellflower.UnknownEvent";

/// Some records of an S3 event could not be handled; invoking the function with the same event again is right.
pub const RECORDS_FAILED: &str = "Bellflower.RecordsFailed";
