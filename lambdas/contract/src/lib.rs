//! What the provider, the two Lambda functions and a business application agree on.
//!
//! The provider writes these names into a state machine definition, a function's environment and the
//! bucket's notification; the Lambdas read them back; the business application sees the object keys. A name
//! that two of them must spell alike is defined here and nowhere else.
//!
//! * [`mod@env`]: environment variables of the integration function
//! * [`states`]: the states of the state machine
//! * [`errors`]: error names an execution can end with
//! * [`CallbackMessage`]: what the state machine sends to the queue
//! * [`Layout`]: the object keys in the bucket
//! * [`ExecutionId`], [`TaskToken`]: the two values every exchange turns on
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
    IllegalLayout, InboundKey, Layout, PRIVATE_PREFIX, SUCCESS_FILE, TASK_TOKEN_FILE,
};
pub use message::{
    CallbackMessage, EXECUTION_ID_FIELD, INPUT_FIELD, NotAMessage, TASK_TOKEN_FIELD,
};
pub use object_key::{NotAnObjectKey, decode_object_key};
pub use task_token::{MAX_TASK_TOKEN_LEN, NotATaskToken, TaskToken};

/// Most bytes of JSON that Step Functions takes as a task's result or passes between states.
///
/// See <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub const MAX_PAYLOAD_BYTES: usize = 262_144;

/// The callback's result where `success.json` is an empty file.
pub const EMPTY_ANSWER_RESULT: &str = r#"{"status": "Response Received"}"#;

/// Field of the execution's input that makes the processing function fail on demand.
///
/// A string is the failure's message; any other value but `false` and `null` fails with a standard message.
pub const SIMULATE_FAILURE_FIELD: &str = "simulate_failure";
