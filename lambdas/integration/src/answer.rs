//! What an answer's bytes mean.

use bellflower_contract::{
    Answer, EMPTY_ANSWER_RESULT, FAILURE_FILE, HEARTBEAT_FILE, MAX_CAUSE_CHARS, MAX_ERROR_CHARS,
    MAX_RESULT_BYTES, RESERVED_ERROR_PREFIXES, SUCCESS_FILE, errors,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is told to Step Functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The callback's result, JSON.
    Success(String),
    /// The callback has failed.
    Failure {
        /// The error's name.
        error: String,
        /// What happened, for a person.
        cause: String,
    },
    /// The application is at work.
    Heartbeat,
}

/// Why an answer cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// Its file has no name of an answer.
    #[error("an answer's file is named {SUCCESS_FILE}, {FAILURE_FILE} or {HEARTBEAT_FILE}")]
    UnknownFile,
    /// S3 does not give it to the function: it is encrypted otherwise than the bucket, or archived. The text is S3's error code.
    #[error(
        "the answer cannot be read ({0}): it must be encrypted as the bucket does it by default, and not be archived"
    )]
    Unreadable(String),
    /// It is longer than the state machine takes.
    #[error(
        "the answer is longer than the {MAX_RESULT_BYTES} bytes that the state machine can pass on"
    )]
    TooLong,
    /// Its bytes are no text.
    #[error("the answer is not UTF-8")]
    NotUtf8,
    /// Its text is no JSON.
    #[error("the answer is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but no failure.
    #[error(
        "the failure is not a JSON object whose \"error\" and \"cause\", if given, are texts: {0}"
    )]
    NotAFailure(String),
    /// A text of a failure is longer than Step Functions takes.
    #[error("the failure's {field:?} is longer than {most} characters")]
    TooManyCharacters {
        /// Name of the field.
        field: &'static str,
        /// Most characters.
        most: usize,
    },
    /// A failure is named as if it were one of AWS's.
    #[error("the failure's \"error\" must not begin with {0:?}")]
    ReservedError(&'static str),
    /// Step Functions refused it.
    #[error("Step Functions does not take the answer ({0})")]
    Refused(String),
}

/// What the answer in the object `key` with these bytes tells.
///
/// # Errors
///
/// [`InvalidAnswer`] says what is wrong with the bytes.
pub fn read(answer: Answer, key: &str, body: &[u8]) -> Result<Reply, InvalidAnswer> {
    match answer {
        Answer::Success => success(body),
        Answer::Failure => failure(key, body),
        Answer::Heartbeat => Ok(Reply::Heartbeat),
    }
}

/// The JSON as it is, or [`EMPTY_ANSWER_RESULT`] where there is nothing but white space.
fn success(body: &[u8]) -> Result<Reply, InvalidAnswer> {
    let text = text(body)?;
    if text.is_empty() {
        return Ok(Reply::Success(EMPTY_ANSWER_RESULT.to_owned()));
    }
    let not_json = |error: serde_json::Error| InvalidAnswer::NotJson(error.to_string());
    let json: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    if json.get().len() > MAX_RESULT_BYTES {
        return Err(InvalidAnswer::TooLong);
    }
    // What is nested too deep, a number without end or half a character is JSON by its grammar alone: the execution would end over it.
    serde_json::from_str::<serde_json::Value>(json.get()).map_err(not_json)?;
    Ok(Reply::Success(json.get().to_owned()))
}

/// Further fields are the application's own business: a failure that is told in too many words must still end the execution.
fn failure(key: &str, body: &[u8]) -> Result<Reply, InvalidAnswer> {
    #[derive(Default, Deserialize)]
    struct Failure {
        error: Option<String>,
        cause: Option<String>,
    }

    let text = text(body)?;
    let told = if text.is_empty() {
        Failure::default()
    } else {
        // serde would fill a struct from an array too.
        let json: &RawValue = serde_json::from_str(text)
            .map_err(|error| InvalidAnswer::NotJson(error.to_string()))?;
        if !json.get().starts_with('{') {
            return Err(InvalidAnswer::NotAFailure("it is no object".to_owned()));
        }
        serde_json::from_str(json.get())
            .map_err(|error| InvalidAnswer::NotAFailure(error.to_string()))?
    };
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let error = given(told.error).unwrap_or_else(|| errors::APPLICATION_FAILURE.to_owned());
    let cause = given(told.cause)
        .unwrap_or_else(|| format!("The business application wrote {key}, which gives no cause."));
    let reserved = RESERVED_ERROR_PREFIXES
        .iter()
        .find(|prefix| error.starts_with(**prefix));
    if let Some(prefix) = reserved {
        return Err(InvalidAnswer::ReservedError(prefix));
    }
    at_most(MAX_ERROR_CHARS, "error", &error)?;
    at_most(MAX_CAUSE_CHARS, "cause", &cause)?;
    Ok(Reply::Failure { error, cause })
}

fn at_most(most: usize, field: &'static str, text: &str) -> Result<(), InvalidAnswer> {
    if text.chars().count() > most {
        return Err(InvalidAnswer::TooManyCharacters { field, most });
    }
    Ok(())
}

/// The bytes as text, without the byte order mark that Windows programs like to put in front, and without white space around it.
fn text(body: &[u8]) -> Result<&str, InvalidAnswer> {
    let text = std::str::from_utf8(body).map_err(|_| InvalidAnswer::NotUtf8)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(body: &[u8]) -> Result<String, InvalidAnswer> {
        match read(Answer::Success, "k", body)? {
            Reply::Success(result) => Ok(result),
            other => panic!("{other:?}"),
        }
    }

    fn told(body: &str) -> Result<(String, String), InvalidAnswer> {
        let key = "inbound/e-1/failure.json";
        match read(Answer::Failure, key, body.as_bytes())? {
            Reply::Failure { error, cause } => Ok((error, cause)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_result_is_the_answers_json_as_it_is() {
        let cases: [(&[u8], &str); 8] = [
            (b"", EMPTY_ANSWER_RESULT),
            (b" \r\n\t", EMPTY_ANSWER_RESULT),
            ("\u{feff}".as_bytes(), EMPTY_ANSWER_RESULT),
            (b"{\"b\": 1.10, \"a\": 2}\r\n", "{\"b\": 1.10, \"a\": 2}"),
            ("\u{feff}{\"ok\":true}".as_bytes(), "{\"ok\":true}"),
            (b"null", "null"),
            (b"[1,\n2]", "[1,\n2]"),
            ("\"注文\"".as_bytes(), "\"注文\""),
        ];
        for (body, expected) in cases {
            assert_eq!(result(body).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_result() {
        assert_eq!(result(&[0xff, 0xfe]), Err(InvalidAnswer::NotUtf8));
        for body in ["OK", "{", "{} {}", "{'a': 1}", "{\"a\": 1,}", "NaN"] {
            let result = result(body.as_bytes());
            assert!(
                matches!(result, Err(InvalidAnswer::NotJson(_))),
                "{body}: {result:?}"
            );
        }
    }

    #[test]
    fn what_no_state_machine_can_read_is_no_answer() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for body in [deep.as_str(), "1e400", r#"{"a": "\ud800"}"#, "\u{a0}"] {
            let result = result(body.as_bytes());
            assert!(
                matches!(result, Err(InvalidAnswer::NotJson(_))),
                "{body}: {result:?}"
            );
        }
        let fine = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert_eq!(result(fine.as_bytes()), Ok(fine));
    }

    #[test]
    fn the_limit_counts_bytes_and_leaves_room_for_the_wrapping() {
        let of_length = |length: usize| format!("\"{}\"", "x".repeat(length - 2)).into_bytes();
        let longest = result(&of_length(MAX_RESULT_BYTES)).unwrap();
        assert_eq!(
            result(&of_length(MAX_RESULT_BYTES + 1)),
            Err(InvalidAnswer::TooLong)
        );
        let wide = format!("\"{}\"", "é".repeat(MAX_RESULT_BYTES / 2));
        assert_eq!(result(wide.as_bytes()), Err(InvalidAnswer::TooLong));
        let id = "i".repeat(bellflower_contract::MAX_EXECUTION_ID_LEN);
        let output = format!(r#"{{"execution_id": "{id}", "result": {longest}}}"#);
        assert!(output.len() <= bellflower_contract::MAX_PAYLOAD_BYTES);
    }

    #[test]
    fn a_failure_tells_as_much_as_it_likes() {
        let by_default = (
            "Bellflower.ApplicationFailure".to_owned(),
            "The business application wrote inbound/e-1/failure.json, which gives no cause."
                .to_owned(),
        );
        for body in [
            "",
            "\u{feff}\r\n",
            "{}",
            r#"{"error": null, "cause": " "}"#,
            r#"{"error": "", "more": [1]}"#,
        ] {
            assert_eq!(told(body), Ok(by_default.clone()), "{body}");
        }
        assert_eq!(
            told("\u{feff}{\"error\": \"Orders.NoStock\", \"cause\": \"在庫なし\"}\n"),
            Ok(("Orders.NoStock".to_owned(), "在庫なし".to_owned()))
        );
    }

    #[test]
    fn what_is_no_failure() {
        for body in [
            "[]",
            r#"["e", "c"]"#,
            "null",
            "7",
            r#"{"error": 7}"#,
            r#"{"cause": ["x"]}"#,
        ] {
            let found = told(body);
            assert!(
                matches!(found, Err(InvalidAnswer::NotAFailure(_))),
                "{body}: {found:?}"
            );
        }
        for body in ["no stock", "{", "{'error': 'x'}"] {
            assert!(
                matches!(told(body), Err(InvalidAnswer::NotJson(_))),
                "{body}"
            );
        }
        for error in ["States.Timeout", "SQS.AmazonSQSException"] {
            let found = told(&format!(r#"{{"error": "{error}"}}"#));
            assert!(matches!(found, Err(InvalidAnswer::ReservedError(_))));
        }
    }

    #[test]
    fn the_limits_of_a_failure_count_characters() {
        let (error, cause) = ("é".repeat(MAX_ERROR_CHARS), "注".repeat(MAX_CAUSE_CHARS));
        let told_of = |error: &str, cause: &str| {
            told(&format!(r#"{{"error": "{error}", "cause": "{cause}"}}"#))
        };
        assert_eq!(told_of(&error, &cause), Ok((error.clone(), cause.clone())));
        for (error, cause) in [(error.clone() + "x", cause.clone()), (error, cause + "x")] {
            assert!(matches!(
                told_of(&error, &cause),
                Err(InvalidAnswer::TooManyCharacters { .. })
            ));
        }
    }

    #[test]
    fn anything_is_a_heartbeat() {
        for body in [&b"\xff"[..], b"", b"{"] {
            assert_eq!(read(Answer::Heartbeat, "k", body), Ok(Reply::Heartbeat));
        }
    }
}
