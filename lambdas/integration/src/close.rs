//! Closing a callback: from the application's file to `SendTaskSuccess`.

use std::time::Duration;

use bellflower_contract::log::Log;
use bellflower_contract::{
    Answer, EMPTY_ANSWER_RESULT, ExecutionId, InboundKey, Layout, MAX_PAYLOAD_BYTES,
    MAX_TASK_TOKEN_LEN, TaskToken, decode_object_key, errors,
};
use serde_json::json;
use serde_json::value::RawValue;

use crate::ports::{CallError, Callbacks, Fetched, Outcome, Store};

/// How long to wait between attempts to read a token that is not there.
///
/// Our processing function's id is known to nobody before the token is there. A function of the user's own may tell it to the application at once,
/// whose answer can then overtake the message in the queue.
const TOKEN_WAITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

/// An answer older than this without a token belongs to no callback.
///
/// Lambda invokes the function again one and three minutes after an S3 event's first failure and then gives up, see
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>: so a young answer gets a second chance, an old one
/// does not count as an error.
const TOKEN_PATIENCE: Duration = Duration::from_mins(2);

/// Room around the JSON: a byte order mark, line ends, indentation by an editor.
const ANSWER_READ_LIMIT: usize = 2 * MAX_PAYLOAD_BYTES;

/// Room for white space around the token.
const TOKEN_READ_LIMIT: usize = MAX_TASK_TOKEN_LEN + 64;

/// An answer could not be passed on now; the event has to come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// A call to AWS failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer came before its callback's token.
    #[error("there is no {0} yet")]
    NoToken(String),
    /// The token file holds no token: the application, or someone, has written over it.
    #[error("{0} holds no task token")]
    SpoiltToken(String),
}

/// Why an answer cannot be a callback's result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// It is longer than Step Functions takes.
    #[error("the answer is longer than the {MAX_PAYLOAD_BYTES} bytes that Step Functions takes")]
    TooLong,
    /// Its bytes are no text.
    #[error("the answer is not UTF-8")]
    NotUtf8,
    /// Its text is no JSON.
    #[error("the answer is not JSON: {0}")]
    NotJson(String),
    /// Step Functions refused it.
    #[error("Step Functions does not take the answer as a result ({0})")]
    Refused(String),
}

/// Handles one created object; `encoded_key` is its key as in the event, `age` the time since the event.
///
/// # Errors
///
/// [`CloseError`] if the answer could not be passed on and should be tried again.
pub async fn close(
    store: &impl Store,
    callbacks: &impl Callbacks,
    layout: &Layout,
    encoded_key: &str,
    age: Duration,
    log: &Log<'_>,
) -> Result<(), CloseError> {
    let ignored = |reason: &str| {
        log.warn(
            "object ignored",
            json!({"key": encoded_key, "reason": reason}),
        );
        Ok(())
    };
    let Ok(key) = decode_object_key(encoded_key) else {
        return ignored("its key is not URL-encoded UTF-8");
    };
    match layout.parse_inbound(&key) {
        InboundKey::Answer(Answer::Success, id) => {
            succeed(store, callbacks, layout, &id, age, log).await
        }
        InboundKey::Folder => {
            log.debug(
                "object ignored",
                json!({"key": key, "reason": "it is a folder"}),
            );
            Ok(())
        }
        InboundKey::UnknownFile(_) => ignored("no answer has this name"),
        InboundKey::NoExchange => ignored("it is not in the folder of an execution id"),
        InboundKey::Elsewhere => ignored("it is not below the inbound prefix"),
    }
}

async fn succeed(
    store: &impl Store,
    callbacks: &impl Callbacks,
    layout: &Layout,
    id: &ExecutionId,
    age: Duration,
    log: &Log<'_>,
) -> Result<(), CloseError> {
    let key = layout.answer_key(Answer::Success, id);
    let dropped = |reason: &str| {
        log.warn(
            "answer dropped",
            json!({"execution_id": id, "key": key, "reason": reason}),
        );
        Ok(())
    };
    // The object as it is now, not as it was when the event was sent: events come late, twice and in any order.
    let (token, answer) = futures::future::try_join(find_token(store, layout, id, age), async {
        Ok(store.get(&key, ANSWER_READ_LIMIT).await?)
    })
    .await?;
    let Some(token) = token else {
        return dropped("there is no callback of this execution id");
    };
    let result = match answer {
        Fetched::Body(body) => read_result(&body),
        Fetched::TooLong => Err(InvalidAnswer::TooLong),
        Fetched::Missing => return dropped("the object is gone"),
    };
    let outcome = match &result {
        Ok(result) => callbacks.send_task_success(&token, result).await?,
        Err(invalid) => return reject(store, layout, id, &key, invalid, log).await,
    };
    match outcome {
        Outcome::Closed => {
            log.info("callback answered", json!({"execution_id": id, "key": key}));
            Ok(())
        }
        Outcome::NotOpen(code) => dropped(&format!("the callback is not open ({code})")),
        Outcome::ResultRefused(code) => {
            reject(store, layout, id, &key, &InvalidAnswer::Refused(code), log).await
        }
    }
}

/// The exchange's token; `None` if there is none and it is too late to hope for one.
async fn find_token(
    store: &impl Store,
    layout: &Layout,
    id: &ExecutionId,
    age: Duration,
) -> Result<Option<TaskToken>, CloseError> {
    let key = layout.task_token_key(id);
    let mut waits = TOKEN_WAITS.iter();
    loop {
        match store.get(&key, TOKEN_READ_LIMIT).await? {
            Fetched::Body(body) => {
                let token = std::str::from_utf8(&body)
                    .ok()
                    .and_then(|text| TaskToken::parse(text).ok());
                return token.map(Some).ok_or(CloseError::SpoiltToken(key));
            }
            Fetched::TooLong => return Err(CloseError::SpoiltToken(key)),
            Fetched::Missing if age > TOKEN_PATIENCE => return Ok(None),
            Fetched::Missing => match waits.next() {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Err(CloseError::NoToken(key)),
            },
        }
    }
}

/// Tells the application what is wrong with its answer. The callback stays open.
async fn reject(
    store: &impl Store,
    layout: &Layout,
    id: &ExecutionId,
    key: &str,
    invalid: &InvalidAnswer,
    log: &Log<'_>,
) -> Result<(), CloseError> {
    let cause = invalid.to_string();
    let note = json!({"error": errors::INVALID_ANSWER, "cause": cause, "key": key});
    log.error(
        "answer rejected",
        json!({"execution_id": id, "key": key, "cause": cause}),
    );
    store
        .put(
            &layout.error_key(id),
            "application/json",
            note.to_string().into_bytes(),
        )
        .await?;
    Ok(())
}

/// The callback's result from the bytes of `success.json`: its JSON as it is, or [`EMPTY_ANSWER_RESULT`] where there is nothing but white space.
///
/// # Errors
///
/// [`InvalidAnswer`] if it is no JSON or too long.
pub fn read_result(body: &[u8]) -> Result<String, InvalidAnswer> {
    let text = std::str::from_utf8(body).map_err(|_| InvalidAnswer::NotUtf8)?;
    // Windows programs like to put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.is_empty() {
        return Ok(EMPTY_ANSWER_RESULT.to_owned());
    }
    let json: &RawValue =
        serde_json::from_str(text).map_err(|error| InvalidAnswer::NotJson(error.to_string()))?;
    if json.get().len() > MAX_PAYLOAD_BYTES {
        return Err(InvalidAnswer::TooLong);
    }
    Ok(json.get().to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::sync::Mutex;

    use bellflower_contract::log::Level;
    use serde_json::Value;

    use super::*;

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
        for (body, result) in cases {
            assert_eq!(read_result(body).as_deref(), Ok(result));
        }
    }

    #[test]
    fn what_is_no_result() {
        assert_eq!(read_result(&[0xff, 0xfe]), Err(InvalidAnswer::NotUtf8));
        for body in ["OK", "{", "{} {}", "{'a': 1}", "{\"a\": 1,}", "NaN"] {
            let result = read_result(body.as_bytes());
            assert!(
                matches!(result, Err(InvalidAnswer::NotJson(_))),
                "{body}: {result:?}"
            );
        }
    }

    #[test]
    fn the_limit_counts_bytes() {
        let of_length = |length: usize| format!("\"{}\"", "x".repeat(length - 2)).into_bytes();
        assert!(read_result(&of_length(262_144)).is_ok());
        assert_eq!(
            read_result(&of_length(262_145)),
            Err(InvalidAnswer::TooLong)
        );
        let wide = format!("\"{}\"", "é".repeat(131_072));
        assert_eq!(read_result(wide.as_bytes()), Err(InvalidAnswer::TooLong));
    }

    /// A bucket in memory; a script says what the token file answers first.
    #[derive(Default)]
    struct Memory {
        objects: RefCell<HashMap<String, Vec<u8>>>,
        missing_reads: RefCell<usize>,
    }

    impl Memory {
        fn with(objects: &[(&str, &str)]) -> Self {
            let objects = objects
                .iter()
                .map(|(key, body)| ((*key).to_owned(), body.as_bytes().to_vec()))
                .collect();
            Self {
                objects: RefCell::new(objects),
                ..Self::default()
            }
        }
    }

    impl Store for Memory {
        async fn put(&self, key: &str, _: &'static str, body: Vec<u8>) -> Result<(), CallError> {
            self.objects.borrow_mut().insert(key.to_owned(), body);
            Ok(())
        }

        async fn get(&self, key: &str, limit: usize) -> Result<Fetched, CallError> {
            if key.ends_with("task_token.txt") && *self.missing_reads.borrow() > 0 {
                *self.missing_reads.borrow_mut() -= 1;
                return Ok(Fetched::Missing);
            }
            Ok(match self.objects.borrow().get(key) {
                None => Fetched::Missing,
                Some(body) if body.len() > limit => Fetched::TooLong,
                Some(body) => Fetched::Body(body.clone()),
            })
        }
    }

    struct Script {
        outcome: Outcome,
        sent: RefCell<Vec<(String, String)>>,
    }

    impl Script {
        fn new(outcome: Outcome) -> Self {
            Self {
                outcome,
                sent: RefCell::default(),
            }
        }
    }

    impl Callbacks for Script {
        async fn send_task_success(
            &self,
            token: &TaskToken,
            result: &str,
        ) -> Result<Outcome, CallError> {
            self.sent
                .borrow_mut()
                .push((token.reveal().to_owned(), result.to_owned()));
            Ok(self.outcome.clone())
        }
    }

    const TOKEN: (&str, &str) = ("outbound/e-1/task_token.txt", "AQB8secret\n");
    const KEY: &str = "inbound/e-1/success.json";
    const NOW: Duration = Duration::ZERO;

    /// Runs [`close`] and returns its result with the log lines.
    async fn run(
        store: &Memory,
        callbacks: &Script,
        key: &str,
        age: Duration,
    ) -> (Result<(), CloseError>, Vec<Value>) {
        let lines = Mutex::new(Vec::new());
        let sink = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let log = Log::new("r-1", Level::Info, &sink);
        let result = close(store, callbacks, &Layout::default(), key, age, &log).await;
        let lines = lines.into_inner().unwrap();
        assert!(!lines.concat().contains("AQB8secret"), "{lines:?}");
        let lines = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (result, lines)
    }

    #[tokio::test]
    async fn an_answer_closes_its_callback() {
        let store = Memory::with(&[TOKEN, (KEY, "{\"total\": 7}")]);
        let callbacks = Script::new(Outcome::Closed);
        let (result, lines) = run(&store, &callbacks, KEY, NOW).await;
        assert_eq!(result, Ok(()));
        let sent = callbacks.sent.into_inner();
        assert_eq!(
            sent,
            [("AQB8secret".to_owned(), "{\"total\": 7}".to_owned())]
        );
        assert_eq!(lines[0]["message"], "callback answered");
        assert_eq!(lines[0]["execution_id"], "e-1");
    }

    #[tokio::test]
    async fn a_closed_callback_is_no_failure() {
        let store = Memory::with(&[TOKEN, (KEY, "")]);
        let callbacks = Script::new(Outcome::NotOpen("TaskTimedOut".to_owned()));
        let (result, lines) = run(&store, &callbacks, KEY, NOW).await;
        assert_eq!(result, Ok(()));
        assert_eq!(lines[0]["message"], "answer dropped");
        assert_eq!(
            lines[0]["reason"],
            "the callback is not open (TaskTimedOut)"
        );
    }

    #[tokio::test]
    async fn a_bad_answer_leaves_a_note_and_the_callback_open() {
        let cases = [
            (Outcome::Closed, "OK", "not JSON", 0),
            (
                Outcome::ResultRefused("InvalidOutput".to_owned()),
                "{}",
                "InvalidOutput",
                1,
            ),
        ];
        for (outcome, body, cause, calls) in cases {
            let store = Memory::with(&[TOKEN, (KEY, body)]);
            let callbacks = Script::new(outcome);
            let (result, lines) = run(&store, &callbacks, KEY, NOW).await;
            assert_eq!(result, Ok(()));
            assert_eq!(lines[0]["message"], "answer rejected");
            let note = store.objects.borrow()["outbound/e-1/error.json"].clone();
            let note: Value = serde_json::from_slice(&note).unwrap();
            assert_eq!(note["error"], "Bellflower.InvalidAnswer");
            assert_eq!(note["key"], KEY);
            assert!(note["cause"].as_str().unwrap().contains(cause), "{note}");
            assert_eq!(callbacks.sent.borrow().len(), calls);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_overtook_its_token_waits_for_it() {
        let store = Memory::with(&[TOKEN, (KEY, "")]);
        *store.missing_reads.borrow_mut() = TOKEN_WAITS.len();
        let callbacks = Script::new(Outcome::Closed);
        assert_eq!(run(&store, &callbacks, KEY, NOW).await.0, Ok(()));
        assert_eq!(callbacks.sent.borrow().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_a_young_answer_comes_again_and_an_old_one_is_dropped() {
        let store = Memory::with(&[(KEY, "")]);
        let callbacks = Script::new(Outcome::Closed);
        let (result, _) = run(&store, &callbacks, KEY, NOW).await;
        assert_eq!(
            result,
            Err(CloseError::NoToken(
                "outbound/e-1/task_token.txt".to_owned()
            ))
        );
        let (result, lines) = run(&store, &callbacks, KEY, Duration::from_mins(3)).await;
        assert_eq!(result, Ok(()));
        assert_eq!(lines[0]["message"], "answer dropped");
        assert!(callbacks.sent.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_spoilt_token_file_is_not_quoted() {
        let store = Memory::with(&[(TOKEN.0, "AQB8secret but spoilt"), (KEY, "")]);
        let (result, _) = run(&store, &Script::new(Outcome::Closed), KEY, NOW).await;
        let error = result.unwrap_err();
        assert_eq!(error, CloseError::SpoiltToken(TOKEN.0.to_owned()));
        assert!(!error.to_string().contains("AQB8secret"));
    }

    #[tokio::test]
    async fn other_objects_are_ignored() {
        let store = Memory::with(&[TOKEN, (KEY, "")]);
        let callbacks = Script::new(Outcome::Closed);
        for key in [
            "inbound/e-1/other.json",
            "inbound/x.json",
            "outbound/e-1/data.json",
            "inbound/%zz",
        ] {
            let (result, lines) = run(&store, &callbacks, key, NOW).await;
            assert_eq!(result, Ok(()));
            assert_eq!(lines[0]["message"], "object ignored", "{key}");
        }
        let (result, lines) = run(&store, &callbacks, "inbound/", NOW).await;
        assert_eq!(
            (result, lines.len()),
            (Ok(()), 0),
            "a folder is not worth a line"
        );
        assert!(callbacks.sent.borrow().is_empty());
    }
}
