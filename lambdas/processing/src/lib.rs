//! The **processing** function: the first state of the state machine.
//!
//! It takes the execution's input, which may be any JSON, and makes the payload that the business application will read as
//! `outbound/<execution_id>/data.json`:
//!
//! ```json
//! {
//!   "execution_id": "3f0c0a0e-7c0f-4e39-9c1c-0c8a3e2b6a55",
//!   "info": "the input's Comment, or a text that says there was none",
//!   "status_code": 200,
//!   "input": {"Comment": "…", "…": "the input as it was, byte for byte"}
//! }
//! ```
//!
//! Anyone's function, in any runtime, may take its place: all that the following states need is a legal
//! [`execution_id`](bellflower_contract::ExecutionId) in the output.
//!
//! An input that makes more than [`MAX_WORK_BYTES`] of this is refused with
//! [`Bellflower.WorkTooLong`](bellflower_contract::errors::WORK_TOO_LONG): passed on, it would end the execution with an error that no state can
//! catch, and so without its message.
//!
//! # Failing on demand
//!
//! An input with `"simulate_failure": "some message"` makes the function fail with the error type
//! [`Bellflower.SimulatedFailure`](bellflower_contract::errors::SIMULATED_FAILURE) and that message, so that retries, the failure message and
//! the alarms can be tried on a pipeline as it stands. `true` (or any value but `false` and `null`) fails with a standard message.

use std::collections::BTreeMap;

use bellflower_contract::{ExecutionId, MAX_WORK_BYTES, SIMULATE_FAILURE_FIELD, errors};
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// What [`process`] makes: the payload of the exchange.
#[derive(Debug, Serialize)]
pub struct Payload<'a> {
    /// Names the exchange.
    pub execution_id: ExecutionId,
    /// The input's `Comment`, or a text that says there was none.
    pub info: String,
    /// 200, as in the original stack: the input was processed.
    pub status_code: u16,
    /// The execution's input, byte for byte.
    pub input: &'a RawValue,
}

/// The input asked for a failure. The text is the message it gave, if any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SimulatedFailure(String);

/// Makes the payload of the exchange `execution_id` from an execution's input.
///
/// # Errors
///
/// [`SimulatedFailure`] if the input asks for it.
pub fn process(
    input: &RawValue,
    execution_id: ExecutionId,
) -> Result<Payload<'_>, SimulatedFailure> {
    // An input that is no object has no fields. What they hold stays raw: it may be nested deeper than a value can be.
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(input.get()).unwrap_or_default();
    let field = |name: &str| fields.get(name).map(|raw| serde_json::from_str(raw.get()));
    match field(SIMULATE_FAILURE_FIELD) {
        None | Some(Ok(Value::Null | Value::Bool(false))) => {}
        Some(Ok(Value::String(message))) => return Err(SimulatedFailure(message)),
        Some(_) => {
            return Err(SimulatedFailure(format!(
                "the input asked for this failure with \"{SIMULATE_FAILURE_FIELD}\""
            )));
        }
    }
    let info = match field("Comment") {
        Some(Ok(Value::String(comment))) if !comment.trim().is_empty() => comment,
        _ => "The input has no Comment.".to_owned(),
    };
    Ok(Payload {
        execution_id,
        info,
        status_code: 200,
        input,
    })
}

/// The payload is longer than the state machine can pass on. The number is its length in bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the execution's input makes {0} bytes of work (input, Comment and execution_id), of which at most {MAX_WORK_BYTES} fit into the message to \
     the queue"
)]
pub struct WorkTooLong(usize);

impl Payload<'_> {
    /// The payload as JSON.
    ///
    /// # Errors
    ///
    /// [`WorkTooLong`] if the state machine cannot pass it on.
    pub fn to_json(&self) -> Result<Box<RawValue>, WorkTooLong> {
        // A payload of texts, a number and raw JSON cannot but become JSON.
        let json = to_raw_value(self).unwrap_or_default();
        match json.get().len() {
            length if length > MAX_WORK_BYTES => Err(WorkTooLong(length)),
            _ => Ok(json),
        }
    }
}

impl From<WorkTooLong> for Diagnostic {
    fn from(failure: WorkTooLong) -> Self {
        Self {
            error_type: errors::WORK_TOO_LONG.to_owned(),
            error_message: failure.to_string(),
        }
    }
}

impl From<SimulatedFailure> for Diagnostic {
    fn from(failure: SimulatedFailure) -> Self {
        Self {
            error_type: errors::SIMULATED_FAILURE.to_owned(),
            error_message: failure.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(input: &str) -> Result<Value, SimulatedFailure> {
        let input: &RawValue = serde_json::from_str(input).unwrap();
        let payload = process(input, ExecutionId::parse("e-1").unwrap())?;
        Ok(serde_json::to_value(payload).unwrap())
    }

    #[test]
    fn what_is_nested_deep_hides_no_field() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let input = format!(r#"{{"a": {deep}, "Comment": "an order"}}"#);
        let input: &RawValue = serde_json::from_str(&input).unwrap();
        let payload = process(input, ExecutionId::parse("e-1").unwrap()).unwrap();
        assert_eq!(payload.info, "an order");
        let failing = format!(r#"{{"simulate_failure": {deep}}}"#);
        let failing: &RawValue = serde_json::from_str(&failing).unwrap();
        assert!(process(failing, ExecutionId::parse("e-1").unwrap()).is_err());
    }

    #[test]
    fn the_comment_is_passed_on() {
        assert_eq!(
            run(r#"{"Comment": "an order", "lines": [1, 2]}"#).unwrap(),
            json!({
                "execution_id": "e-1", "info": "an order", "status_code": 200,
                "input": {"Comment": "an order", "lines": [1, 2]}
            })
        );
    }

    #[test]
    fn any_json_is_an_input() {
        for input in [
            "{}",
            "[]",
            "null",
            "7",
            r#""text""#,
            r#"["x", "y"]"#,
            r#"{"Comment": 7}"#,
            r#"{"Comment": " "}"#,
        ] {
            let payload = run(input).unwrap();
            assert_eq!(payload["info"], "The input has no Comment.", "{input}");
            assert_eq!(
                payload["input"],
                serde_json::from_str::<Value>(input).unwrap()
            );
        }
    }

    #[test]
    fn the_input_keeps_its_digits_and_its_order() {
        let text = r#"{"z": 1.10, "a": 123456789012345678901234567890}"#;
        let input: &RawValue = serde_json::from_str(text).unwrap();
        let payload = process(input, ExecutionId::parse("e-1").unwrap()).unwrap();
        assert!(serde_json::to_string(&payload).unwrap().contains(text));
    }

    #[test]
    fn the_work_fits_into_the_message_to_the_queue() {
        let run = |length: usize| {
            let input = to_raw_value(&"x".repeat(length)).unwrap();
            let payload = process(&input, ExecutionId::parse("e-1").unwrap()).unwrap();
            payload.to_json().map(|json| json.get().len())
        };
        let around = run(0).unwrap();
        assert_eq!(run(MAX_WORK_BYTES - around), Ok(MAX_WORK_BYTES));
        assert_eq!(
            run(MAX_WORK_BYTES - around + 1),
            Err(WorkTooLong(MAX_WORK_BYTES + 1))
        );
    }

    #[test]
    fn it_fails_on_demand() {
        let failure = run(r#"{"simulate_failure": "out of paper"}"#).unwrap_err();
        assert_eq!(failure, SimulatedFailure("out of paper".to_owned()));
        let diagnostic = Diagnostic::from(failure);
        assert_eq!(diagnostic.error_type, "Bellflower.SimulatedFailure");
        assert_eq!(diagnostic.error_message, "out of paper");
        for input in [
            r#"{"simulate_failure": true}"#,
            r#"{"simulate_failure": {}}"#,
        ] {
            assert!(run(input).is_err(), "{input}");
        }
    }

    #[test]
    fn it_does_not_fail_unless_asked() {
        for input in [
            r#"{"simulate_failure": false}"#,
            r#"{"simulate_failure": null}"#,
            r#"["simulate_failure", "simulate_failure"]"#,
            r#"{"input": {"simulate_failure": true}}"#,
        ] {
            assert!(run(input).is_ok(), "{input}");
        }
    }
}
