//! The real executable between a fake Lambda and a fake AWS.

mod fakes;

use std::time::{Duration, Instant};

use fakes::aws::{Answer, Aws, Fault, Written};
use fakes::lambda::{Lambda, Outcome};
use serde_json::{Value, json};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_bellflower-integration");

/// Every token in these tests starts with this, so that one search finds each.
const TOKEN: &str = "AQB8AAAAKgAAAAMA";

/// A function whose AWS is `aws`.
fn start(aws: &Aws, more: &[(&str, &str)]) -> Lambda {
    let authority = aws.authority.path().to_str().unwrap();
    let mut environment = vec![
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_ENDPOINT_URL", &aws.endpoint),
        ("SSL_CERT_FILE", authority),
        ("BELLFLOWER_BUCKET", "bucket"),
    ];
    environment.extend(more);
    Lambda::start(EXECUTABLE, &environment)
}

/// Stops the function; whatever it did, its log must not have a token.
fn stop(lambda: Lambda) -> Vec<Value> {
    let lines = lambda.stop();
    assert!(
        !Value::from(lines.clone()).to_string().contains(TOKEN),
        "{lines:?}"
    );
    lines
}

fn message(id: &str, body: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": "r", "body": body, "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
        "md5OfBody": "m", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:q", "awsRegion": "eu-west-1"
    })
}

fn open_message(execution_id: &str) -> Value {
    let body = format!(
        r#"{{"Input": {{"execution_id": "{execution_id}", "n": 1.10}}, "TaskToken": "{TOKEN}{execution_id}"}}"#
    );
    message(&format!("m-{execution_id}"), &body)
}

fn created_at(key: &str, time: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventTime": time,
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "A"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"}, "responseElements": {},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "c",
               "bucket": {"name": "bucket", "ownerIdentity": {"principalId": "A"}, "arn": "arn:aws:s3:::bucket"},
               "object": {"key": key, "size": 2, "eTag": "e", "sequencer": "0A"}}
    })
}

/// An event of so long ago that a missing token is not waited for.
fn created(key: &str) -> Value {
    created_at(key, "2026-03-01T12:00:00.000Z")
}

/// An event of just now, or later: its token may still come.
fn now(key: &str) -> Value {
    created_at(key, "2100-01-01T00:00:00.000Z")
}

fn event(records: &[Value]) -> String {
    json!({"Records": records}).to_string()
}

fn all_done() -> Outcome {
    Outcome::Response(json!({"batchItemFailures": []}))
}

fn failed_items(outcome: Outcome) -> Vec<String> {
    let Outcome::Response(mut response) = outcome else {
        panic!("{outcome:?}");
    };
    let failures = response["batchItemFailures"].as_array_mut().unwrap();
    let mut ids: Vec<String> = failures
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

/// The metrics counted, in order.
fn metrics(lines: &[Value]) -> Vec<&str> {
    let lines = lines.iter().filter(|line| line["message"] == "metrics");
    lines
        .map(|line| {
            let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
            metrics[0]["Name"].as_str().unwrap()
        })
        .collect()
}

/// The one line with this message.
fn line<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let mut found = lines.iter().filter(|line| line["message"] == message);
    let line = found
        .next()
        .unwrap_or_else(|| panic!("no {message:?} in {lines:?}"));
    assert_eq!(found.next(), None);
    line
}

#[test]
fn every_message_of_a_batch_is_opened_and_just_the_failed_ones_come_again() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "PUT /bucket/outbound/e-5/data.json",
        times: 9,
        answer: Answer::S3(403, "AccessDenied"),
    });
    let lambda = start(&aws, &[]);
    let mut batch: Vec<Value> = (1..=6).map(|n| open_message(&format!("e-{n}"))).collect();
    batch.push(message(
        "m-poison",
        &format!(r#"{{"Input": {{}}, "TaskToken": "{TOKEN}""#),
    ));
    batch.push(message(
        "m-no-id",
        &format!(r#"{{"Input": {{}}, "TaskToken": "{TOKEN}"}}"#),
    ));

    let outcome = lambda.invoke(&event(&batch));

    assert_eq!(failed_items(outcome), ["m-e-5", "m-no-id", "m-poison"]);
    for n in [1, 2, 3, 4, 6] {
        let id = format!("e-{n}");
        assert_eq!(
            aws.object(&format!("outbound/{id}/task_token.txt")),
            Some(format!("{TOKEN}{id}"))
        );
        assert_eq!(
            aws.object(&format!("outbound/{id}/data.json")),
            Some(format!(r#"{{"execution_id": "{id}", "n": 1.10}}"#)),
            "the input is kept byte for byte"
        );
        let prefix = format!("outbound/{id}/");
        let writes: Vec<Written> = aws
            .writes()
            .into_iter()
            .filter(|write| write.key.starts_with(&prefix))
            .collect();
        let written = |name: &str, content_type: &str| Written {
            key: prefix.clone() + name,
            content_type: content_type.to_owned(),
            kms_key: None,
        };
        assert_eq!(
            writes,
            [
                written("task_token.txt", "text/plain"),
                written("data.json", "application/json")
            ]
        );
    }
    let lines = stop(lambda);
    let denied = lines
        .iter()
        .find(|line| line["message_id"] == "m-e-5")
        .unwrap();
    assert_eq!(
        denied["cause"],
        "writing outbound/e-5/data.json: AccessDenied: of the fake (request id S3REQUEST)"
    );
    assert_eq!(denied["requestId"], "request-1");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["message"] == "callback opened")
            .count(),
        5
    );
}

#[test]
fn the_same_message_or_event_twice_has_one_effect() {
    let aws = Aws::start();
    let lambda = start(
        &aws,
        &[(
            "BELLFLOWER_KMS_KEY_ARN",
            "arn:aws:kms:eu-west-1:123456789012:key/k",
        )],
    );
    for _ in 0..2 {
        assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    }
    assert_eq!(
        aws.object("outbound/e-1/task_token.txt"),
        Some(format!("{TOKEN}e-1"))
    );
    let key = Some("arn:aws:kms:eu-west-1:123456789012:key/k".to_owned());
    assert!(aws.writes().iter().all(|write| write.kms_key == key));
    assert_eq!(aws.writes().len(), 2, "nothing is written again");

    aws.put("inbound/e-1/success.json", "{}");
    for _ in 0..2 {
        let answered = lambda.invoke(&event(&[now("inbound/e-1/success.json")]));
        assert_eq!(answered, all_done());
    }
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    assert_eq!(aws.answers(), [(format!("{TOKEN}e-1"), "{}".to_owned())]);
    assert_eq!(aws.object("outbound/e-1/task_token.txt"), None);
    let lines = stop(lambda);
    assert_eq!(metrics(&lines), ["Opened", "Answered", "Late", "Late"]);
}

#[test]
fn every_answer_of_an_event_closes_its_callback() {
    let aws = Aws::start();
    let lambda = start(&aws, &[("BELLFLOWER_INBOUND_PREFIX", "from_(app)/")]);
    for (id, answer) in [("e-1", "{\"total\": 1.10}\n"), ("e-2", "")] {
        aws.put(
            &format!("outbound/{id}/task_token.txt"),
            &format!("{TOKEN}{id}\n"),
        );
        aws.put(&format!("from_(app)/{id}/success.json"), answer);
    }

    let outcome = lambda.invoke(&event(&[
        created("from_%28app%29/e-1/success.json"),
        created("from_%28app%29/"),
        created("from_%28app%29/e-9/other+file.json"),
        created("from_%28app%29/e%2D2/success.json"),
    ]));

    assert_eq!(outcome, all_done());
    let mut answers = aws.answers();
    answers.sort();
    assert_eq!(
        answers,
        [
            (format!("{TOKEN}e-1"), "{\"total\": 1.10}".to_owned()),
            (
                format!("{TOKEN}e-2"),
                "{\"status\": \"Response Received\"}".to_owned()
            ),
        ]
    );
    let lines = stop(lambda);
    assert_eq!(
        line(&lines, "object ignored")["key"],
        "from_(app)/e-9/other file.json"
    );
}

#[test]
fn a_failed_answer_fails_the_invocation_after_the_others_are_done() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "GET /bucket/inbound/e-1/success.json",
        times: 9,
        answer: Answer::S3(403, "AccessDenied"),
    });
    let lambda = start(&aws, &[]);
    for id in ["e-1", "e-2"] {
        aws.put(
            &format!("outbound/{id}/task_token.txt"),
            &format!("{TOKEN}{id}"),
        );
        aws.put(&format!("inbound/{id}/success.json"), "{}");
    }

    let outcome = lambda.invoke(&event(&[
        now("inbound/e-1/success.json"),
        now("inbound/e-2/success.json"),
    ]));

    assert_eq!(
        outcome,
        Outcome::Error {
            kind: "Bellflower.RecordsFailed".to_owned(),
            message: "1 of 2 records failed; the log says why".to_owned(),
        }
    );
    assert_eq!(aws.answers(), [(format!("{TOKEN}e-2"), "{}".to_owned())]);
    assert_eq!(
        line(&stop(lambda), "record failed")["key"],
        "inbound/e-1/success.json"
    );
}

#[test]
fn an_answer_to_a_closed_or_unknown_callback_is_dropped() {
    let cases = ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"];
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    aws.put("inbound/e-1/success.json", "{}");
    aws.put("inbound/unknown/success.json", "{}");
    for code in cases {
        aws.put("outbound/e-1/task_token.txt", TOKEN);
        let quoting = "Invalid Token: 'AQB8AAAAKgAAAAMA'";
        aws.fail(Fault {
            call: "SendTaskSuccess",
            times: 1,
            answer: Answer::StepFunctions(code, quoting),
        });
        assert_eq!(
            lambda.invoke(&event(&[created("inbound/e-1/success.json")])),
            all_done()
        );
        assert_eq!(aws.object("outbound/e-1/task_token.txt"), None);
    }
    // Closed, and its token deleted.
    aws.put("outbound/e-1/data.json", "{}");
    assert_eq!(
        lambda.invoke(&event(&[now("inbound/e-1/success.json")])),
        all_done()
    );
    assert_eq!(
        lambda.invoke(&event(&[created("inbound/unknown/success.json")])),
        all_done()
    );
    let lines = stop(lambda);
    let reasons: Vec<&str> = lines
        .iter()
        .filter(|line| line["message"] == "answer dropped")
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "the callback is not open (TaskTimedOut)",
            "the callback is not open (TaskDoesNotExist)",
            "the callback is not open (InvalidToken)",
            "the callback is closed",
            "there is no callback of this execution id",
        ]
    );
    assert_eq!(metrics(&lines), ["Late"; 5]);
}

#[test]
fn an_answer_before_its_token_fails_so_that_it_comes_again() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    aws.put("inbound/e-1/success.json", "{}");
    let far_off = now("inbound/e-1/success.json");
    let early = lambda.invoke(&event(std::slice::from_ref(&far_off)));
    assert!(matches!(early, Outcome::Error { .. }), "{early:?}");
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    assert_eq!(aws.answers().len(), 1, "opening finds it");
    assert_eq!(lambda.invoke(&event(&[far_off])), all_done());
    assert_eq!(
        aws.answers().len(),
        1,
        "its event, too late now, is harmless"
    );
    stop(lambda);
}

#[test]
fn a_bad_answer_is_noted_and_the_next_good_one_counts() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    aws.put("outbound/e-1/task_token.txt", TOKEN);
    let too_long = format!("\"{}\"", "x".repeat(600_000));
    for (answer, cause) in [("OK", "not JSON"), (too_long.as_str(), "261888")] {
        aws.put("inbound/e-1/success.json", answer);
        assert_eq!(
            lambda.invoke(&event(&[created("inbound/e-1/success.json")])),
            all_done()
        );
        let note = aws.object("outbound/e-1/error.json").unwrap();
        assert!(note.contains(cause), "{note}");
        assert!(note.contains("Bellflower.InvalidAnswer"), "{note}");
        assert_eq!(aws.answers(), []);
    }
    aws.put("inbound/e-1/success.json", "[]");
    assert_eq!(
        lambda.invoke(&event(&[created("inbound/e-1/success.json")])),
        all_done()
    );
    assert_eq!(aws.answers(), [(TOKEN.to_owned(), "[]".to_owned())]);
    stop(lambda);
}

#[test]
fn a_body_that_does_not_come_whole_is_read_again() {
    for time in [Duration::ZERO, Duration::from_mins(1)] {
        for call in [
            "GET /bucket/outbound/e-1/task_token.txt",
            "GET /bucket/inbound/e-1/success.json",
        ] {
            let aws = Aws::start();
            aws.put("outbound/e-1/task_token.txt", TOKEN);
            aws.put("inbound/e-1/success.json", "[1, 2, 3]");
            aws.fail(Fault {
                call,
                times: 1,
                answer: Answer::CutOff(time),
            });
            let lambda = start(&aws, &[]);
            let answered = event(&[now("inbound/e-1/success.json")]);
            let outcome = lambda.invoke_within(&answered, Duration::from_secs(30));
            assert_eq!(outcome, all_done(), "{call}");
            let whole = (TOKEN.to_owned(), "[1, 2, 3]".to_owned());
            assert_eq!(aws.answers(), [whole], "{call}");
            stop(lambda);
        }
    }
}

/// Every invocation works with the clients that were made when the function started.
#[test]
fn connections_are_kept_from_one_invocation_to_the_next() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    aws.put("inbound/e-1/heartbeat.json", "");
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    let beat = event(&[now("inbound/e-1/heartbeat.json")]);
    assert_eq!(lambda.invoke(&beat), all_done());
    let connections = aws.connections();
    for _ in 0..5 {
        assert_eq!(lambda.invoke(&beat), all_done());
    }
    assert_eq!(aws.connections(), connections);
    stop(lambda);
}

/// It is encrypted with a key of the customer's own, say, or archived.
#[test]
fn an_answer_that_s3_does_not_give_away_is_noted_and_the_next_good_one_counts() {
    for code in ["InvalidRequest", "InvalidObjectState", "AccessDenied"] {
        let aws = Aws::start();
        let lambda = start(&aws, &[]);
        aws.put("outbound/e-1/task_token.txt", TOKEN);
        aws.put("inbound/e-1/success.json", "{}");
        aws.fail(Fault {
            call: "GET /bucket/inbound/e-1/success.json",
            times: 1,
            answer: Answer::S3(403, code),
        });
        let answered = event(&[created("inbound/e-1/success.json")]);
        assert_eq!(lambda.invoke(&answered), all_done());
        let note = aws.object("outbound/e-1/error.json").unwrap();
        assert!(note.contains(code), "{note}");
        assert_eq!(aws.answers(), []);
        assert_eq!(lambda.invoke(&answered), all_done());
        assert_eq!(aws.answers(), [(TOKEN.to_owned(), "{}".to_owned())]);
        assert_eq!(metrics(&stop(lambda)), ["Rejected", "Answered"]);
    }
}

/// Its execution was stopped, or had its time-out, while the message waited.
#[test]
fn work_that_nobody_waits_for_is_not_handed_out() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    aws.time_out(&format!("{TOKEN}e-1"));
    let mut old = open_message("e-1");
    old["attributes"]["SentTimestamp"] = json!("1767225600000");
    let mut other = open_message("e-2");
    other["attributes"] = old["attributes"].clone();
    // Moved back from a dead-letter queue, it is new to SQS.
    aws.time_out(&format!("{TOKEN}e-3"));
    let mut moved = open_message("e-3");
    let body = moved["body"].as_str().unwrap();
    moved["body"] = json!(body.replacen('{', r#"{"SentAt": 1767225600000, "#, 1));
    assert_eq!(lambda.invoke(&event(&[old, other, moved])), all_done());
    for dropped in ["e-1", "e-3"] {
        for file in ["data.json", "task_token.txt"] {
            let key = format!("outbound/{dropped}/{file}");
            assert_eq!(aws.object(&key), None, "{key}");
        }
    }
    assert!(aws.object("outbound/e-2/data.json").is_some());
    let lines = stop(lambda);
    let dropped = lines.iter();
    let mut dropped: Vec<_> = dropped
        .filter(|line| line["message"] == "message dropped")
        .map(|line| (line["execution_id"].as_str(), line["reason"].as_str()))
        .collect();
    dropped.sort_unstable();
    let reason = Some("the callback is not open (TaskTimedOut)");
    assert_eq!(dropped, [(Some("e-1"), reason), (Some("e-3"), reason)]);
    assert_eq!(metrics(&lines), ["Opened"]);
}

#[test]
fn throttled_calls_are_tried_again() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "PUT /bucket/outbound/e-1/task",
        times: 2,
        answer: Answer::S3(503, "SlowDown"),
    });
    aws.fail(Fault {
        call: "SendTaskSuccess",
        times: 2,
        answer: Answer::StepFunctions("ThrottlingException", "Rate exceeded"),
    });
    let lambda = start(&aws, &[]);
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    aws.put("inbound/e-1/success.json", "{}");
    assert_eq!(
        lambda.invoke(&event(&[created("inbound/e-1/success.json")])),
        all_done()
    );
    assert_eq!(aws.answers().len(), 1);
    stop(lambda);
}

#[test]
fn what_hangs_is_given_back_before_the_functions_time_out() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "PUT /bucket/outbound/e-1/",
        times: 9,
        answer: Answer::Hang,
    });
    let lambda = start(&aws, &[]);
    let begin = Instant::now();
    let outcome = lambda.invoke_within(
        &event(&[open_message("e-1"), open_message("e-2")]),
        Duration::from_millis(2_500),
    );
    assert_eq!(failed_items(outcome), ["m-e-1"]);
    assert!(
        begin.elapsed() > Duration::from_millis(1_500),
        "it does use its time"
    );
    assert!(aws.object("outbound/e-2/data.json").is_some());
    stop(lambda);
}

#[test]
fn an_error_that_quotes_the_token_is_logged_without_it() {
    let aws = Aws::start();
    let quoting = "no access with AQB8AAAAKgAAAAMA";
    aws.fail(Fault {
        call: "SendTaskSuccess",
        times: 1,
        answer: Answer::StepFunctions("AccessDeniedException", quoting),
    });
    let lambda = start(&aws, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]);
    aws.put("outbound/e-1/task_token.txt", TOKEN);
    aws.put("inbound/e-1/success.json", "{}");
    let outcome = lambda.invoke(&event(&[created("inbound/e-1/success.json")]));
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}");
    let lines = stop(lambda);
    assert_eq!(
        line(&lines, "record failed")["cause"],
        "calling SendTaskSuccess: AccessDeniedException"
    );
}

#[test]
fn the_test_event_is_taken_and_unknown_events_are_refused() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"});
    assert_eq!(lambda.invoke(&test.to_string()), all_done());
    for unknown in [
        "{}",
        "[1]",
        "null",
        &format!("\"{TOKEN}\""),
        &format!("{{\"TaskToken\": \"{TOKEN}\"}}"),
    ] {
        let Outcome::Error { kind, message } = lambda.invoke(unknown) else {
            panic!("{unknown} was taken");
        };
        assert_eq!(kind, "Bellflower.UnknownEvent");
        assert!(!message.contains(TOKEN), "{message}");
    }
    let other = json!({"Records": [{"EventSource": "aws:sns"}]}).to_string();
    assert!(matches!(lambda.invoke(&other), Outcome::Error { .. }));
    assert_eq!(aws.writes(), []);
    stop(lambda);
}

#[test]
fn an_event_of_another_bucket_is_refused() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    let mut record = created("inbound/e-1/success.json");
    record["s3"]["bucket"]["name"] = json!("other");
    assert!(matches!(
        lambda.invoke(&event(&[record])),
        Outcome::Error { .. }
    ));
    let lines = stop(lambda);
    assert!(
        line(&lines, "record failed")["cause"]
            .as_str()
            .unwrap()
            .contains("other")
    );
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let aws = Aws::start();
    let stranger = Aws::start();
    let lambda = start(
        &aws,
        &[("SSL_CERT_FILE", stranger.authority.path().to_str().unwrap())],
    );
    let outcome = lambda.invoke(&event(&[open_message("e-1")]));
    assert_eq!(failed_items(outcome), ["m-e-1"]);
    let lines = stop(lambda);
    let cause = line(&lines, "record failed")["cause"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(cause.contains("certificate"), "{cause}");
    assert_eq!(aws.writes(), []);
}

#[test]
fn without_its_configuration_it_does_not_start_and_says_why() {
    let lambda = Lambda::start(EXECUTABLE, &[]);
    let (status, lines) = lambda.finish();
    assert!(!status.success());
    assert_eq!(
        line(&lines, "function cannot start")["cause"],
        "the environment variable BELLFLOWER_BUCKET is not set"
    );
}

#[test]
fn of_ten_messages_eight_are_handled_and_the_poisonous_come_again() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    let mut batch: Vec<Value> = (1..=8).map(|n| open_message(&format!("e-{n}"))).collect();
    batch.insert(4, message("m-poison", &format!("{{\"{TOKEN}\": \"")));
    let mut odd = message("m-odd", "");
    odd["body"] = json!(7);
    batch.insert(2, odd);
    let outcome = lambda.invoke(&event(&batch));
    assert_eq!(failed_items(outcome), ["m-odd", "m-poison"]);
    for n in 1..=8 {
        let data = format!("outbound/e-{n}/data.json");
        assert!(aws.object(&data).is_some(), "{data}");
    }
    assert_eq!(metrics(&stop(lambda)), ["Opened"; 8]);
}

#[test]
fn the_callback_of_an_undeliverable_message_fails_and_the_message_is_kept() {
    let queue = "arn:aws:sqs:eu-west-1:123456789012:undeliverable";
    let aws = Aws::start();
    let lambda = start(&aws, &[("BELLFLOWER_UNDELIVERABLE_QUEUE_ARN", queue)]);
    aws.put("outbound/e-1/task_token.txt", &format!("{TOKEN}e-1"));
    // SQS counts the receives of all queues together.
    for receive in 6..=8 {
        let batch: Vec<Value> = [
            open_message("e-1"),
            message(
                "m-odd",
                &format!(r#"{{"Input": 7, "TaskToken": "{TOKEN}odd"}}"#),
            ),
            message("m-poison", "poison"),
        ]
        .into_iter()
        .map(|mut record| {
            record["eventSourceARN"] = json!(queue);
            record["attributes"]["ApproximateReceiveCount"] = json!(receive.to_string());
            record
        })
        .collect();
        let outcome = lambda.invoke(&event(&batch));
        assert_eq!(failed_items(outcome), ["m-e-1", "m-odd", "m-poison"]);
    }
    let mut answers = aws.answers();
    answers.sort();
    let cause = |whose: &str, id: &str| {
        format!(
            "Bellflower.Undeliverable: The message with the work{whose} could not be handled; \
             it is kept in the dead-letter queue (message id {id})."
        )
    };
    assert_eq!(
        answers,
        [
            (
                format!("{TOKEN}e-1"),
                cause(" of execution_id e-1", "m-e-1")
            ),
            (format!("{TOKEN}odd"), cause("", "m-odd")),
        ]
    );
    assert_eq!(aws.object("outbound/e-1/task_token.txt"), None);
    assert_eq!(aws.object("outbound/e-1/data.json"), None);
    // Each callback once, and the poison each time.
    assert_eq!(metrics(&stop(lambda)), ["Undeliverable"; 5]);
}

#[test]
fn a_failure_and_a_heartbeat_are_passed_on() {
    let aws = Aws::start();
    let lambda = start(
        &aws,
        &[
            ("AWS_LAMBDA_LOG_LEVEL", "FATAL"),
            ("BELLFLOWER_PIPELINE", "orders"),
            ("BELLFLOWER_ENVIRONMENT", "devl"),
        ],
    );
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    aws.put("inbound/e-1/heartbeat.json", "no JSON at all");
    aws.put(
        "inbound/e-1/failure.json",
        r#"{"error": "Orders.NoStock", "cause": "none left"}"#,
    );
    for file in ["heartbeat", "heartbeat", "failure", "heartbeat"] {
        let key = format!("inbound/e-1/{file}.json");
        assert_eq!(lambda.invoke(&event(&[now(&key)])), all_done());
    }
    let told: Vec<String> = aws.answers().into_iter().map(|(_, told)| told).collect();
    assert_eq!(told, ["Orders.NoStock: none left"]);
    assert_eq!(aws.heartbeats(), 2);
    let lines = stop(lambda);
    assert_eq!(
        metrics(&lines),
        ["Opened", "Heartbeats", "Heartbeats", "Failed", "Late"],
        "whatever the log level is"
    );
    assert_eq!(lines.len(), 5);
    let failed = &lines[3];
    assert_eq!(failed["Pipeline"], "orders");
    assert_eq!(failed["Environment"], "devl");
    assert_eq!(
        failed["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([["Pipeline", "Environment"]])
    );
    assert_eq!(failed["Failed"], 1);
    let five_years = 5 * 365 * 86_400_000_u64;
    assert!(
        failed["AnswerAge"].as_u64().unwrap() > five_years,
        "{failed}"
    );
    let timestamp = failed["_aws"]["Timestamp"].as_u64().unwrap();
    assert!(timestamp > 1_700_000_000_000, "{failed}");
}

#[test]
fn a_private_token_is_kept_apart() {
    let aws = Aws::start();
    let lambda = start(&aws, &[("BELLFLOWER_TASK_TOKEN", "private")]);
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    let keys: Vec<String> = aws.writes().into_iter().map(|write| write.key).collect();
    assert_eq!(
        keys,
        ["private/e-1/task_token.txt", "outbound/e-1/data.json"]
    );
    aws.put("inbound/e-1/success.json", "");
    let outcome = lambda.invoke(&event(&[now("inbound/e-1/success.json")]));
    assert_eq!(outcome, all_done());
    assert_eq!(aws.answers().len(), 1);
    assert_eq!(aws.deletes(), ["private/e-1/task_token.txt"]);
    stop(lambda);
}

#[test]
fn a_second_token_of_the_same_work_gets_the_answer() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    let again = open_message("e-1")
        .to_string()
        .replace(TOKEN, &format!("{TOKEN}2"));
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    assert_eq!(
        lambda.invoke(&event(std::slice::from_ref(&again))),
        all_done()
    );
    assert_eq!(
        aws.object("outbound/e-1/task_token.txt"),
        Some(format!("{TOKEN}e-1\n{TOKEN}2e-1"))
    );
    // The second is dead: the first gets it.
    aws.time_out(&format!("{TOKEN}2e-1"));
    aws.put("inbound/e-1/success.json", "1");
    let outcome = lambda.invoke(&event(&[now("inbound/e-1/success.json")]));
    assert_eq!(outcome, all_done());
    assert_eq!(aws.answers(), [(format!("{TOKEN}e-1"), "1".to_owned())]);
    assert_eq!(metrics(&stop(lambda)), ["Opened", "Answered"]);
}

#[test]
fn an_event_out_of_order_counts_what_is_there() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    // The event of a bad answer comes when the good one has replaced it, before that one's own.
    aws.put("inbound/e-1/success.json", "\"good\"");
    for _ in 0..2 {
        let outcome = lambda.invoke(&event(&[now("inbound/e-1/success.json")]));
        assert_eq!(outcome, all_done());
    }
    // A failure after the success changes nothing.
    aws.put("inbound/e-1/failure.json", "");
    let outcome = lambda.invoke(&event(&[now("inbound/e-1/failure.json")]));
    assert_eq!(outcome, all_done());
    assert_eq!(
        aws.answers(),
        [(format!("{TOKEN}e-1"), "\"good\"".to_owned())]
    );
    assert_eq!(aws.object("outbound/e-1/error.json"), None);
    stop(lambda);
}

#[test]
fn an_answer_under_an_odd_key_is_noted_and_the_next_good_one_counts() {
    let aws = Aws::start();
    let lambda = start(&aws, &[]);
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    let odd = [
        ("inbound/e-1/my+success.json", "inbound/e-1/my success.json"),
        ("inbound/e-1/100%25.json", "inbound/e-1/100%.json"),
        (
            "inbound/e-1/%E6%B3%A8%E6%96%87.json",
            "inbound/e-1/注文.json",
        ),
        ("inbound/e-1/../success.json", "inbound/e-1/../success.json"),
    ];
    for (encoded, key) in odd {
        aws.put(key, "{}");
        assert_eq!(lambda.invoke(&event(&[now(encoded)])), all_done());
        let note: Value =
            serde_json::from_str(&aws.object("outbound/e-1/error.json").unwrap()).unwrap();
        assert_eq!(note["key"], key);
        assert_eq!(note["error"], "Bellflower.InvalidAnswer");
    }
    // Whose are these?
    for stray in ["inbound/..%2F/success.json", "inbound/e+1/success.json"] {
        assert_eq!(lambda.invoke(&event(&[now(stray)])), all_done());
    }
    aws.put("inbound/e-1/success.json", "{}");
    let outcome = lambda.invoke(&event(&[now("inbound/e-1/success.json")]));
    assert_eq!(outcome, all_done());
    assert_eq!(aws.answers().len(), 1);
    let lines = stop(lambda);
    let expected = [&["Opened"][..], &["Rejected"; 6], &["Answered"]].concat();
    assert_eq!(metrics(&lines), expected);
}

/// Every call of an exchange, and where it goes.
const CALLS: [&str; 8] = [
    "PUT /bucket/outbound/e-1/task_token.txt",
    "PUT /bucket/outbound/e-1/data.json",
    "GET /bucket/inbound/e-1/failure.json",
    "GET /bucket/inbound/e-1/success.json",
    "GET /bucket/outbound/e-1/task_token.txt",
    "SendTaskHeartbeat",
    "SendTaskSuccess",
    "DELETE /bucket/outbound/e-1/task_token.txt",
];

/// A whole exchange in which each call goes wrong once, as `answer` says.
fn exchange_with_faults(calls: &[&'static str], answer: fn() -> Answer) -> (Aws, Vec<Value>) {
    let aws = Aws::start();
    for &call in calls {
        aws.fail(Fault {
            call,
            times: 1,
            answer: answer(),
        });
    }
    let lambda = start(&aws, &[]);
    let opened = lambda.invoke_within(&event(&[open_message("e-1")]), Duration::from_secs(30));
    assert_eq!(opened, all_done());
    aws.put("inbound/e-1/success.json", "{}");
    for file in ["heartbeat", "success"] {
        let key = format!("inbound/e-1/{file}.json");
        let outcome = lambda.invoke_within(&event(&[now(&key)]), Duration::from_secs(30));
        assert_eq!(outcome, all_done());
    }
    assert_eq!(aws.object("outbound/e-1/task_token.txt"), None);
    assert!(aws.object("outbound/e-1/data.json").is_some());
    let lines = stop(lambda);
    (aws, lines)
}

#[test]
fn an_exchange_survives_throttling_errors_and_silence_of_every_call() {
    for (calls, answer) in [
        (&CALLS[..], (|| Answer::Broken) as fn() -> Answer),
        (&CALLS[..], || Answer::S3(503, "SlowDown")),
        (&CALLS[5..7], || {
            Answer::StepFunctions("ThrottlingException", "Rate exceeded")
        }),
    ] {
        let (aws, _) = exchange_with_faults(calls, answer);
        assert_eq!((aws.heartbeats(), aws.answers().len()), (1, 1));
    }
    // Silence takes its time.
    let (aws, _) = exchange_with_faults(&[CALLS[1], CALLS[6]], || Answer::Hang);
    assert_eq!((aws.heartbeats(), aws.answers().len()), (1, 1));
}

#[test]
fn a_call_whose_answer_was_lost_has_one_effect() {
    let (aws, lines) = exchange_with_faults(&CALLS, || Answer::DoneButBroken);
    assert_eq!(aws.answers().len(), 1);
    assert_eq!(metrics(&lines), ["Opened", "Heartbeats", "Answered"]);
    let writes = aws.writes();
    assert_eq!(writes.len(), 2, "{writes:?}");
}

#[test]
fn writes_that_meet_are_tried_again() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "PUT /bucket/outbound/e-1/",
        times: 2,
        answer: Answer::S3(409, "ConditionalRequestConflict"),
    });
    let lambda = start(&aws, &[]);
    assert_eq!(lambda.invoke(&event(&[open_message("e-1")])), all_done());
    assert_eq!(aws.writes().len(), 2);
    stop(lambda);
}

#[test]
fn what_was_given_back_half_done_is_finished_when_it_comes_again() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "PUT /bucket/outbound/e-1/data.json",
        times: 9,
        answer: Answer::S3(403, "AccessDenied"),
    });
    aws.fail(Fault {
        call: "SendTaskSuccess",
        times: 4,
        answer: Answer::Broken,
    });
    let lambda = start(&aws, &[]);
    let batch = event(&[open_message("e-1")]);
    while aws.object("outbound/e-1/data.json").is_none() {
        let outcome = lambda.invoke(&batch);
        if aws.object("outbound/e-1/data.json").is_none() {
            assert_eq!(failed_items(outcome), ["m-e-1"]);
        } else {
            assert_eq!(outcome, all_done());
        }
    }
    aws.put("inbound/e-1/success.json", "{}");
    let answered = event(&[now("inbound/e-1/success.json")]);
    let outcome = lambda.invoke(&answered);
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}");
    assert_eq!(lambda.invoke(&answered), all_done());
    assert_eq!(aws.answers().len(), 1);
    assert_eq!(metrics(&stop(lambda)), ["Opened", "Answered"]);
}

#[test]
fn silence_of_step_functions_is_given_back_before_the_functions_time_out() {
    let aws = Aws::start();
    aws.fail(Fault {
        call: "SendTaskSuccess",
        times: 9,
        answer: Answer::Hang,
    });
    let lambda = start(&aws, &[]);
    aws.put("outbound/e-1/task_token.txt", TOKEN);
    aws.put("inbound/e-1/success.json", "{}");
    let outcome = lambda.invoke_within(
        &event(&[now("inbound/e-1/success.json")]),
        Duration::from_millis(2_500),
    );
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}");
    assert!(aws.object("outbound/e-1/task_token.txt").is_some());
    stop(lambda);
}
