use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{ExecutionId, TaskToken};

/// Field of the message that holds the processing function's output.
pub const INPUT_FIELD: &str = "Input";

/// Field of the message that holds the task token.
pub const TASK_TOKEN_FIELD: &str = "TaskToken";

/// Field of the processing function's output, and so of the message's `Input`, that names the exchange.
pub const EXECUTION_ID_FIELD: &str = "execution_id";

/// What the state machine sends to the queue: `{"Input": {"execution_id": …, …}, "TaskToken": "…", "SentAt": …}`.
#[derive(Debug)]
pub struct CallbackMessage<'a> {
    /// Names the exchange; taken from the input.
    pub execution_id: ExecutionId,
    /// The processing function's output as it was sent, byte for byte: numbers keep their digits and fields their order.
    pub input: &'a RawValue,
    /// Answers the callback.
    pub task_token: TaskToken,
    /// When it was sent first, if it says so: `SentAt`, in milliseconds since 1970.
    pub sent_at: Option<SystemTime>,
}

/// A text is no [`CallbackMessage`].
///
/// No variant quotes the text, since the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAMessage {
    /// It is not JSON, or the envelope's fields are missing or of the wrong type.
    Envelope {
        /// Where the JSON reader stopped, counted from 1.
        line: usize,
        /// Where the JSON reader stopped, counted from 1 (0: before the first).
        column: usize,
    },
    /// `TaskToken` is empty, too long, or no token at all.
    TaskToken,
    /// `Input` is no object that has a legal `execution_id`.
    ExecutionId,
}

impl<'a> CallbackMessage<'a> {
    /// Reads a message's body.
    ///
    /// # Errors
    ///
    /// [`NotAMessage`] says which part is wrong, without quoting it.
    pub fn parse(body: &'a str) -> Result<Self, NotAMessage> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow, rename = "Input")]
            input: &'a RawValue,
            #[serde(rename = "TaskToken")]
            task_token: String,
            #[serde(borrow, default, rename = "SentAt")]
            sent_at: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Input {
            execution_id: ExecutionId,
        }

        let envelope: Envelope<'a> = parse_object(body).map_err(|error| NotAMessage::Envelope {
            line: error.line(),
            column: error.column(),
        })?;
        let task_token =
            TaskToken::parse(&envelope.task_token).map_err(|_| NotAMessage::TaskToken)?;
        let Input { execution_id } =
            parse_object(envelope.input.get()).map_err(|_| NotAMessage::ExecutionId)?;
        Ok(Self {
            execution_id,
            input: envelope.input,
            task_token,
            sent_at: envelope.sent_at.and_then(time),
        })
    }
}

/// A time in milliseconds since 1970; none if it is anything else.
fn time(millis: &RawValue) -> Option<SystemTime> {
    let millis = millis.get().parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// What can be made out of a message that could not be handled, however little of it makes sense.
#[derive(Debug, PartialEq, Eq)]
pub struct UndeliverableMessage {
    /// Ends the callback; `None` if nobody can.
    pub task_token: Option<TaskToken>,
    /// Names the exchange, if anything does.
    pub execution_id: Option<ExecutionId>,
}

impl UndeliverableMessage {
    /// Reads a message's body. What [`CallbackMessage::parse`] can read, this can: no value of the application's is looked into, however deep it is.
    #[must_use]
    pub fn parse(body: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow, default, rename = "Input")]
            input: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "TaskToken")]
            task_token: Option<&'a RawValue>,
        }
        #[derive(Default, Deserialize)]
        struct Input<'a> {
            #[serde(borrow, default)]
            execution_id: Option<&'a RawValue>,
        }

        let text = |json: &RawValue| serde_json::from_str::<String>(json.get()).ok();
        let envelope: Envelope<'_> = parse_object(body).unwrap_or_default();
        let input: Input<'_> = envelope
            .input
            .and_then(|input| parse_object(input.get()).ok())
            .unwrap_or_default();
        Self {
            task_token: envelope
                .task_token
                .and_then(text)
                .and_then(|text| TaskToken::parse(&text).ok()),
            execution_id: input
                .execution_id
                .and_then(text)
                .and_then(|text| ExecutionId::parse(&text).ok()),
        }
    }
}

/// Reads a struct from a JSON object only: serde would also fill one from an array, position by position.
fn parse_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return Err(serde::de::Error::custom("an array is no object"));
    }
    serde_json::from_str(text)
}

impl fmt::Display for NotAMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope { line, column } => write!(
                f,
                "the message is not {{\"{INPUT_FIELD}\": …, \"{TASK_TOKEN_FIELD}\": \"…\"}} (line {line}, column {column})"
            ),
            Self::TaskToken => write!(f, "the message's {TASK_TOKEN_FIELD} is no task token"),
            Self::ExecutionId => write!(
                f,
                "the message's {INPUT_FIELD} is not an object with a legal {EXECUTION_ID_FIELD}"
            ),
        }
    }
}

impl std::error::Error for NotAMessage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_is_kept_byte_for_byte() {
        let body = r#"{"Input": {"z": 1.10, "execution_id": "e-1", "a": 123456789012345678901234567890}, "TaskToken": "AQB8"}"#;
        let message = CallbackMessage::parse(body).unwrap();
        assert_eq!(message.execution_id.as_str(), "e-1");
        assert_eq!(message.task_token.reveal(), "AQB8");
        assert_eq!(
            message.input.get(),
            r#"{"z": 1.10, "execution_id": "e-1", "a": 123456789012345678901234567890}"#
        );
    }

    #[test]
    fn what_can_be_opened_can_be_given_up() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for value in ["1", &deep, r#""\ud800""#, "1e999"] {
            let body =
                format!(r#"{{"Input":{{"execution_id":"e-1","x":{value}}},"TaskToken":"AQB8"}}"#);
            assert!(CallbackMessage::parse(&body).is_ok(), "{value}");
            let given_up = UndeliverableMessage::parse(&body);
            assert!(given_up.task_token.is_some(), "{value}");
            assert!(given_up.execution_id.is_some(), "{value}");
        }
    }

    #[test]
    fn the_order_of_fields_and_further_fields_do_not_matter() {
        let body = r#"{"TaskToken":"AQB8","More":[1],"Input":{"execution_id":"e"}}"#;
        assert!(CallbackMessage::parse(body).is_ok());
    }

    #[test]
    fn it_may_say_when_it_was_sent() {
        for (said, sent_at) in [
            ("1764249600123", Some(1_764_249_600_123)),
            ("null", None),
            (r#""yesterday""#, None),
            ("-1", None),
            ("18446744073709551616", None),
        ] {
            let body =
                format!(r#"{{"Input":{{"execution_id":"e"}},"TaskToken":"AQB8","SentAt":{said}}}"#);
            let sent_at = sent_at.map(|millis| UNIX_EPOCH + Duration::from_millis(millis));
            let message = CallbackMessage::parse(&body).unwrap();
            assert_eq!(message.sent_at, sent_at, "{said}");
        }
    }

    #[test]
    fn errors_say_which_part_is_wrong() {
        let envelope = [
            "",
            "SECRET",
            r#""SECRET""#,
            r#"["x", "SECRET"]"#,
            r#"{"Input": {}}"#,
            r#"{"Input": {"execution_id": "e"}, "TaskToken": 5}"#,
            r#"{"Input": {"execution_id": "e"}, "TaskToken": "SECRET""#,
            r#"{"Input": {"execution_id": "e"}, "TaskToken": {"SECRET": "SECRET"}}"#,
        ];
        for body in envelope {
            let error = CallbackMessage::parse(body).unwrap_err();
            assert!(matches!(error, NotAMessage::Envelope { .. }), "{body}");
        }
        let cases = [
            (
                r#"{"Input": {"execution_id": "e"}, "TaskToken": ""}"#,
                NotAMessage::TaskToken,
            ),
            (
                r#"{"Input": {"execution_id": "e"}, "TaskToken": "SEC RET"}"#,
                NotAMessage::TaskToken,
            ),
            (
                r#"{"Input": null, "TaskToken": "SECRET"}"#,
                NotAMessage::ExecutionId,
            ),
            (
                r#"{"Input": ["e"], "TaskToken": "SECRET"}"#,
                NotAMessage::ExecutionId,
            ),
            (
                r#"{"Input": {"execution_id": "../e"}, "TaskToken": "SECRET"}"#,
                NotAMessage::ExecutionId,
            ),
            (
                r#"{"Input": {"execution_id": 7}, "TaskToken": "SECRET"}"#,
                NotAMessage::ExecutionId,
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(
                CallbackMessage::parse(body).unwrap_err(),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_left_of_a_spoilt_message_is_read() {
        let cases = [
            (
                r#"{"Input": {"execution_id": "e"}, "TaskToken": "AQB8"}"#,
                Some("AQB8"),
                Some("e"),
            ),
            (
                r#"{"Input": {"execution_id": "../e"}, "TaskToken": "AQB8"}"#,
                Some("AQB8"),
                None,
            ),
            (
                r#"{"Input": "text", "TaskToken": "AQB8"}"#,
                Some("AQB8"),
                None,
            ),
            (r#"{"TaskToken": "AQB8"}"#, Some("AQB8"), None),
            (
                r#"{"Input": {"execution_id": "e"}, "TaskToken": 7}"#,
                None,
                Some("e"),
            ),
            (r#"["TaskToken", "AQB8"]"#, None, None),
            ("AQB8", None, None),
            ("", None, None),
        ];
        for (body, token, id) in cases {
            let message = UndeliverableMessage::parse(body);
            let found = message.task_token.as_ref().map(TaskToken::reveal);
            assert_eq!(found, token, "{body}");
            let found = message.execution_id.as_ref().map(ExecutionId::as_str);
            assert_eq!(found, id, "{body}");
            assert!(!format!("{message:?}").contains("AQB8"));
        }
    }

    #[test]
    fn no_error_and_no_debug_output_quotes_the_token() {
        for body in [
            r#""SECRET""#,
            "SECRET",
            r#"{"Input": {}, "TaskToken": ["SECRET"]}"#,
            r#"{"Input": {}, "TaskToken": "SECRET TOKEN"}"#,
            r#"{"Input": "SECRET", "TaskToken": "SECRET"}"#,
        ] {
            let error = CallbackMessage::parse(body).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("SECRET"), "{shown}");
        }
        let good = r#"{"Input": {"execution_id": "e"}, "TaskToken": "SECRET"}"#;
        assert!(!format!("{:?}", CallbackMessage::parse(good).unwrap()).contains("SECRET"));
    }
}
