//! What the provider, the two Lambda functions and a business application agree on.
//!
//! The provider writes these names into a state machine definition, a function's environment and the
//! bucket's notification; the Lambdas read them back; the business application sees the object keys. A name
//! that two of them must spell alike is defined here and nowhere else.
//!
//! * [`mod@env`]: environment variables of the integration function
//! * [`metrics`]: what the integration function counts
//! * [`states`]: the states of the state machine
//! * [`errors`]: error names an execution can end with
//! * [`CallbackMessage`]: what the state machine sends to the queue; [`UndeliverableMessage`]: what is left of one that is spoilt
//! * [`Layout`]: the object keys in the bucket
//! * [`ExecutionId`], [`TaskToken`]: the two values every exchange turns on; [`TaskTokens`]: a token file
//! * [`log`]: the form of the functions' log lines
//!
//! Everything is a pure value: no I/O, no AWS, no dependency but serde.

mod execution_id;
mod layout;
mod message;
mod object_key;
mod task_token;

pub mod env;
pub mod errors;
pub mod log;
pub mod metrics;
pub mod states;

pub use execution_id::{ExecutionId, IllegalExecutionId, MAX_EXECUTION_ID_LEN};
pub use layout::{
    ANSWER_SUFFIX, Answer, DATA_FILE, DEFAULT_INBOUND_PREFIX, DEFAULT_OUTBOUND_PREFIX, ERROR_FILE,
    FAILURE_FILE, HEARTBEAT_FILE, IllegalLayout, InboundKey, Layout, PRIVATE_PREFIX, SUCCESS_FILE,
    TASK_TOKEN_FILE, TaskTokenPlace,
};
pub use message::{
    CallbackMessage, EXECUTION_ID_FIELD, INPUT_FIELD, NotAMessage, TASK_TOKEN_FIELD,
    UndeliverableMessage,
};
pub use object_key::{NotAnObjectKey, decode_object_key};
pub use task_token::{
    MAX_TASK_TOKEN_FILE_LEN, MAX_TASK_TOKEN_LEN, NotATaskToken, TaskToken, TaskTokens,
};

/// Most bytes of JSON that Step Functions takes as a task's result or passes between states.
///
/// See <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub const MAX_PAYLOAD_BYTES: usize = 262_144;

/// Most bytes of JSON in a `success.json`, white space around it not counted.
///
/// The state machine passes the answer on as `{"execution_id": …, "result": …}`, which must not be longer than [`MAX_PAYLOAD_BYTES`]: no state
/// could catch that error, and the execution would end without its message. The 256 bytes less are for the wrapping.
pub const MAX_RESULT_BYTES: usize = MAX_PAYLOAD_BYTES - 256;

/// Most bytes of JSON that the processing function may make of an execution's input.
///
/// The state machine gets it wrapped in what Lambda tells about the invocation, and passes it on as
/// `{"Input": …, "TaskToken": …}`. Neither may be longer than [`MAX_PAYLOAD_BYTES`]; the 8 KiB less are for the wrapping.
pub const MAX_WORK_BYTES: usize = MAX_PAYLOAD_BYTES - 8 * 1024;

/// Most characters of the error in a `failure.json`.
///
/// See <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html>.
pub const MAX_ERROR_CHARS: usize = 256;

/// Most characters of the cause in a `failure.json`.
///
/// See <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html>.
pub const MAX_CAUSE_CHARS: usize = 32_768;

/// Beginnings of an error's name that a `failure.json` must not use: the state machine would take the failure for one of AWS's own, and try again what
/// the application has ended, or tell of a time-out that was none.
pub const RESERVED_ERROR_PREFIXES: [&str; 2] = ["States.", "SQS."];

/// The callback's result where `success.json` is an empty file.
pub const EMPTY_ANSWER_RESULT: &str = r#"{"status": "Response Received"}"#;

/// Field of the execution's input that makes the processing function fail on demand.
///
/// A string is the failure's message; any other value but `false` and `null` fails with a standard message.
pub const SIMULATE_FAILURE_FIELD: &str = "simulate_failure";
