//! The main job, from the execution's input to the message that tells of its end.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::Duration;

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::{Error, Execution, Options, Pipeline, Plan, Stage, Subscriber, eventually};
use serde_json::{Value, json};

use super::somebody;

/// What a step that needs no human may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A stage whose state machines wait and retry twenty times as fast.
async fn stage(arguments: &str) -> Result<Stage, Error> {
    let options = Options {
        wait_scale: 0.05,
        ..Options::default()
    };
    Stage::with(arguments, options).await
}

fn parsed(text: Option<&str>) -> Value {
    serde_json::from_str(text.unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Waits for an execution to succeed; its output.
async fn succeeded(pipeline: &Pipeline, execution: &str) -> Result<Value, Error> {
    let ended = pipeline.ended(execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    Ok(parsed(ended.output.as_deref()))
}

async fn failed(pipeline: &Pipeline, execution: &str) -> Result<Execution, Error> {
    let ended = pipeline.ended(execution, LIMIT).await?;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    Ok(ended)
}

/// The next message's subject and the JSON in it.
async fn message(subscriber: &Subscriber) -> Result<(String, Value), Error> {
    let message = subscriber.next(LIMIT).await?;
    let subject = message["Subject"].as_str().unwrap_or_default().to_owned();
    let body = parsed(message["Message"].as_str());
    Ok((subject, body))
}

async fn count(
    pipeline: &Pipeline,
    execution: &str,
    kind: &HistoryEventType,
) -> Result<usize, Error> {
    let history = pipeline.history(execution).await?;
    Ok(history
        .iter()
        .filter(|event| event.r#type() == kind)
        .count())
}

/// Every way an answer may come, a failure, and many at once, on one pipeline.
#[tokio::test(flavor = "multi_thread")]
async fn executions_end_with_their_answers() -> Result<(), Error> {
    let stage = stage("").await?;
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    let subscriber = Subscriber::new(stage.aws.clone(), &pipeline.topic_arn, "listener").await?;

    a_result_comes_back(&stage, &pipeline, &subscriber).await?;
    large_answers_are_told_in_short(&pipeline, &subscriber).await?;
    as_much_work_as_fits_is_handed_out(&pipeline, &subscriber).await?;
    an_empty_answer_says_that_it_came(&pipeline, &subscriber).await?;
    an_illegible_answer_can_be_mended(&pipeline, &subscriber).await?;
    a_failure_is_retried_and_told(&pipeline, &subscriber).await?;
    let tokens = many_at_once_all_end(&pipeline).await?;
    no_log_tells_a_token(&stage, &tokens).await?;

    assert!(
        matches!(stage.terraform.plan()?, Plan::NoChanges),
        "use is no drift"
    );
    Ok(())
}

async fn a_result_comes_back(
    stage: &Stage,
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<(), Error> {
    let input = r#"{"Comment": "an order", "Amount": 12.50, "Lines": [1, 2]}"#;
    let execution = pipeline.start(input).await?;
    let id = pipeline.new_exchange(&[], LIMIT).await?;

    let data = parsed(Some(
        &pipeline.object(&format!("outbound/{id}/data.json")).await?,
    ));
    let work = json!({"execution_id": id, "info": "an order", "status_code": 200, "input": parsed(Some(input))});
    assert_eq!(data, work);
    let token = pipeline
        .object(&format!("outbound/{id}/task_token.txt"))
        .await?;
    assert!(!token.is_empty() && token.trim() == token, "{token:?}");
    let key = stage.observe().await["key"]["arn"].clone();
    for file in ["data.json", "task_token.txt"] {
        let head = stage
            .aws
            .s3
            .head_object()
            .bucket(&pipeline.bucket)
            .key(format!("outbound/{id}/{file}"));
        let head = head.send().await.unwrap();
        assert_eq!(
            head.server_side_encryption()
                .map(aws_sdk_s3::types::ServerSideEncryption::as_str),
            Some("aws:kms"),
            "{file}"
        );
        assert_eq!(
            head.ssekms_key_id().map(Value::from),
            Some(key.clone()),
            "{file}"
        );
    }

    let answer = json!({"approved": true, "price": 12.5, "notes": ["ä", null]});
    pipeline.answer(&id, &answer.to_string()).await?;
    let output = succeeded(pipeline, &execution).await?;
    assert_eq!(output, json!({"execution_id": id, "result": answer}));

    let (subject, body) = message(subscriber).await?;
    assert_eq!(subject, "orders (devl): callback succeeded");
    let expected = json!({
        "status": "SUCCEEDED",
        "pipeline": "orders",
        "environment": "devl",
        "execution_id": id,
        "execution_arn": execution,
        "name": execution.rsplit(':').next(),
        "result": answer,
    });
    assert_eq!(body, expected);
    Ok(())
}

async fn an_empty_answer_says_that_it_came(
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<(), Error> {
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    pipeline.answer(&id, "").await?;
    let result = json!({"status": "Response Received"});
    let output = succeeded(pipeline, &execution).await?;
    assert_eq!(output, json!({"execution_id": id, "result": result}));
    assert_eq!(message(subscriber).await?.1["result"], result);
    Ok(())
}

async fn an_illegible_answer_can_be_mended(
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<(), Error> {
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start(r#"["any", "JSON"]"#).await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    pipeline.answer(&id, "{not JSON").await?;
    let refusal = format!("outbound/{id}/error.json");
    eventually("why the answer was refused", LIMIT, async || {
        let keys = pipeline.keys(&refusal).await?;
        Ok(if keys.is_empty() {
            Err("nothing".to_owned())
        } else {
            Ok(())
        })
    })
    .await?;
    let refusal = pipeline.object(&refusal).await?;
    assert!(refusal.contains("Bellflower.InvalidAnswer"), "{refusal}");
    pipeline.answer(&id, "[1]").await?;
    assert_eq!(succeeded(pipeline, &execution).await?["result"], json!([1]));
    assert_eq!(message(subscriber).await?.1["result"], json!([1]));
    Ok(())
}

async fn a_failure_is_retried_and_told(
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<(), Error> {
    let before = pipeline.exchanges().await?;
    let execution = pipeline
        .start(r#"{"simulate_failure": "the warehouse burns", "execution_id": "somebody-elses"}"#)
        .await?;
    let ended = failed(pipeline, &execution).await?;
    assert_eq!(ended.error.as_deref(), Some("Bellflower.SimulatedFailure"));
    let cause = ended.cause.unwrap_or_default();
    assert!(cause.contains("the warehouse burns"), "{cause}");
    // One attempt and three retries.
    assert_eq!(
        count(pipeline, &execution, &HistoryEventType::TaskFailed).await?,
        4
    );
    let (subject, body) = message(subscriber).await?;
    assert_eq!(subject, "orders (devl): callback failed");
    for (name, value) in [
        ("status", "FAILED"),
        ("pipeline", "orders"),
        ("environment", "devl"),
        ("execution_arn", &execution),
        ("error", "Bellflower.SimulatedFailure"),
        ("cause", &cause),
    ] {
        assert_eq!(body[name], value, "{name} in {body:#}");
    }
    assert_eq!(body.get("execution_id"), None, "{body:#}");
    assert_eq!(
        pipeline.exchanges().await?.len(),
        before.len(),
        "no work was handed out"
    );
    Ok(())
}

async fn many_at_once_all_end(pipeline: &Pipeline) -> Result<Vec<String>, Error> {
    const MANY: usize = 12;
    let before = pipeline.exchanges().await?;
    let mut executions = Vec::new();
    for number in 0..MANY {
        executions.push(
            pipeline
                .start(&json!({"number": number}).to_string())
                .await?,
        );
    }
    let exchanges = eventually("all exchanges", LIMIT, async || {
        let mut all = pipeline.exchanges().await?;
        all.retain(|id| !before.contains(id));
        Ok(if all.len() == MANY {
            Ok(all)
        } else {
            Err(format!("{all:?}"))
        })
    })
    .await?;
    let mut tokens = Vec::new();
    // Answered in another order than asked, each with its own number.
    for id in exchanges.iter().rev() {
        let token = format!("outbound/{id}/task_token.txt");
        tokens.push(pipeline.object(&token).await?);
        let data = parsed(Some(
            &pipeline.object(&format!("outbound/{id}/data.json")).await?,
        ));
        pipeline
            .answer(id, &json!({"echo": data["input"]["number"]}).to_string())
            .await?;
    }
    for (number, execution) in executions.iter().enumerate() {
        let output = succeeded(pipeline, execution).await?;
        assert_eq!(output["result"], json!({"echo": number}));
    }
    Ok(tokens)
}

/// The token is the right to answer: whoever reads the logs must not get it.
async fn no_log_tells_a_token(stage: &Stage, tokens: &[String]) -> Result<(), Error> {
    assert!(!tokens.is_empty());
    let mut lines = BTreeMap::new();
    for name in [&stage.names.processing, &stage.names.integration] {
        let group = format!("/aws/lambda/{name}");
        let events = stage
            .aws
            .logs
            .filter_log_events()
            .log_group_name(&group)
            .send()
            .await
            .unwrap();
        lines.insert(group, events.events().len());
        for event in events.events() {
            let line = event.message().unwrap_or_default();
            assert!(
                !tokens.iter().any(|token| line.contains(token.as_str())),
                "{line}"
            );
        }
    }
    assert!(
        lines.values().all(|count| *count > 0),
        "nothing was logged: {lines:?}"
    );
    Ok(())
}

/// What is near the 262,144 bytes that Step Functions passes on and SNS takes ends well, and says where the rest is.
async fn large_answers_are_told_in_short(
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<(), Error> {
    // Of the second only the message is too large, in which each quotation mark is two characters; the third is counted by its bytes.
    let rows = [
        ("passed on and told", json!("x".repeat(250_000)), true, true),
        ("told in short", json!(vec![""; 60_000]), true, false),
        (
            "kept in the bucket",
            json!("x".repeat(258_000)),
            false,
            false,
        ),
        ("counted in bytes", json!("€".repeat(85_500)), false, false),
    ];
    for (what, answer, passed_on, told) in rows {
        let before = pipeline.exchanges().await?;
        let execution = pipeline.start("{}").await?;
        let id = pipeline.new_exchange(&before, LIMIT).await?;
        let key = pipeline.answer(&id, &answer.to_string()).await?;
        let output = succeeded(pipeline, &execution).await?;
        let (_, body) = message(subscriber).await?;
        assert_eq!(body["status"], "SUCCEEDED", "{what}");
        assert_eq!(body["execution_id"], json!(id), "{what}");
        for (found, whole) in [(&output, passed_on), (&body, told)] {
            if whole {
                assert!(found["result"] == answer, "{what}");
                assert_eq!(found.get("result_omitted"), None, "{what}");
            } else {
                assert_eq!(found.get("result"), None, "{what}");
                assert_eq!(found["result_omitted"], true, "{what}");
                assert_eq!(found["result_key"], json!(key), "{what}");
            }
        }
    }
    Ok(())
}

/// Work of just the length that a message to the queue has room for goes its way; one byte more fails at once and says why.
async fn as_much_work_as_fits_is_handed_out(
    pipeline: &Pipeline,
    subscriber: &Subscriber,
) -> Result<(), Error> {
    use bellflower_contract::MAX_WORK_BYTES;
    let around = json!({
        "execution_id": "00000000-0000-0000-0000-000000000000",
        "info": "The input has no Comment.",
        "status_code": 200,
        "input": "",
    });
    let room = MAX_WORK_BYTES - around.to_string().len();
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start(&json!("x".repeat(room)).to_string()).await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    let data = pipeline.object(&format!("outbound/{id}/data.json")).await?;
    // The emulator sets JSON with spaces.
    assert_eq!(parsed(Some(&data)).to_string().len(), MAX_WORK_BYTES);
    pipeline.answer(&id, "{}").await?;
    succeeded(pipeline, &execution).await?;
    message(subscriber).await?;

    let execution = pipeline
        .start(&json!("x".repeat(room + 1)).to_string())
        .await?;
    let ended = failed(pipeline, &execution).await?;
    assert_eq!(ended.error.as_deref(), Some("Bellflower.WorkTooLong"));
    let attempts = count(pipeline, &execution, &HistoryEventType::TaskFailed);
    assert_eq!(attempts.await?, 1, "again would be as long");
    let (_, body) = message(subscriber).await?;
    assert_eq!(body["error"], "Bellflower.WorkTooLong", "{body:#}");
    Ok(())
}

/// Nobody answers; somebody sends what is no work.
#[tokio::test(flavor = "multi_thread")]
async fn silence_and_nonsense_are_told_of() -> Result<(), Error> {
    let stage = stage(
        r"
  integration       = { timeout = 2 }
  queue             = { visibility_timeout_seconds = 2, receive_wait_time_seconds = 0 }
  dead_letter_queue = { max_receive_count = 2 }
  state_machine     = { callback_timeout_seconds = 3 }
",
    )
    .await?;
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    let subscriber = Subscriber::new(stage.aws.clone(), &pipeline.topic_arn, "listener").await?;

    let sqs = &stage.aws.sqs;
    let url = async |name: &str| {
        sqs.get_queue_url()
            .queue_name(name)
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap()
    };
    let queue = url(&stage.names.queue).await;
    let nonsense = "this is no message of ours";
    sqs.send_message()
        .queue_url(&queue)
        .message_body(nonsense)
        .send()
        .await
        .unwrap();

    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&[], LIMIT).await?;
    let ended = failed(&pipeline, &execution).await?;
    assert_eq!(ended.error.as_deref(), Some("States.Timeout"));
    let cause = ended.cause.unwrap_or_default();
    assert!(cause.contains(&id) && cause.contains("3 s"), "{cause}");
    let (_, body) = message(&subscriber).await?;
    for (name, value) in [
        ("status", "FAILED"),
        ("execution_id", &id),
        ("error", "States.Timeout"),
        ("cause", &cause),
    ] {
        assert_eq!(body[name], value, "{name} in {body:#}");
    }

    // Nobody can use the token any more, and it is gone before anybody is told.
    let kept = pipeline.keys(&format!("outbound/{id}/")).await?;
    assert_eq!(kept, [format!("outbound/{id}/data.json")]);

    // An answer that comes too late hurts nobody, and is counted.
    pipeline.answer(&id, "{}").await?;
    let group = format!("/aws/lambda/{}", stage.names.integration);
    eventually("the late answer's metric", LIMIT, async || {
        let events = stage.aws.logs.filter_log_events();
        let events = events.log_group_name(&group).send().await;
        let events = events.map_err(Error::aws("reading the log"))?;
        let mut lines = events.events().iter().filter_map(|event| event.message());
        Ok(if lines.any(|line| line.contains("\"Late\":1")) {
            Ok(())
        } else {
            Err("no such line".to_owned())
        })
    })
    .await?;

    let dead_letters = url(&stage.names.dead_letter_queue).await;
    eventually("the nonsense in the dead-letter queue", LIMIT, async || {
        let received = sqs
            .receive_message()
            .queue_url(&dead_letters)
            .wait_time_seconds(1)
            .send()
            .await;
        let received = received.map_err(Error::aws("receiving a dead letter"))?;
        let bodies: Vec<_> = received
            .messages()
            .iter()
            .filter_map(|one| one.body())
            .collect();
        Ok(if bodies == [nonsense] {
            Ok(())
        } else {
            Err(format!("{bodies:?}"))
        })
    })
    .await?;
    let left = sqs
        .get_queue_attributes()
        .queue_url(&queue)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
        .send()
        .await
        .unwrap();
    assert!(
        left.attributes()
            .unwrap()
            .values()
            .all(|count| count == "0"),
        "{left:?}"
    );
    Ok(())
}

/// A zip with one file.
fn zip(path: &Path, name: &str, content: &str) {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    std::fs::write(path, writer.finish().unwrap().into_inner()).unwrap();
}

fn python(version: u32) -> String {
    format!(
        r#"
import os
def handler(event, context):
    return {{"execution_id": "own-{version}-" + event["order"], "stage": os.environ["STAGE"], "version": {version}}}
"#
    )
}

/// Processing code of one's own: from a file, changed, then from a bucket, then the provider's again.
#[tokio::test(flavor = "multi_thread")]
async fn processing_may_be_ones_own() -> Result<(), Error> {
    let own = |code: &str| {
        format!(
            r#"
  processing = {{
    {code}
    runtime   = "python3.11"
    handler   = "index.handler"
    variables = {{ STAGE = "test" }}
  }}
"#
        )
    };
    let stage = stage("").await?;
    stage.set(&own(r#"filename = "code.zip""#))?;
    let file = stage.terraform.directory().join("code.zip");
    zip(&file, "index.py", &python(1));
    stage.terraform.apply()?;
    let pipeline = stage.pipeline()?;
    assert_runs(&pipeline, 1).await?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // The same file written anew is no change; another content is, in place.
    zip(&file, "index.py", &python(1));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    zip(&file, "index.py", &python(2));
    let change = stage.change()?;
    assert_eq!(change["actions"], json!(["update"]));
    stage.terraform.apply()?;
    assert_runs(&pipeline, 2).await?;

    somebody::bucket(&stage, "code").await;
    zip(&file, "index.py", &python(3));
    let body = aws_sdk_s3::primitives::ByteStream::from(std::fs::read(&file).unwrap());
    stage
        .aws
        .s3
        .put_object()
        .bucket("code")
        .key("three.zip")
        .body(body)
        .send()
        .await
        .unwrap();
    stage.set(&own("s3_bucket = \"code\"\n s3_key = \"three.zip\""))?;
    assert_eq!(stage.change()?["actions"], json!(["update"]));
    stage.terraform.apply()?;
    assert_runs(&pipeline, 3).await?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    stage.set("")?;
    assert_eq!(stage.change()?["actions"], json!(["update"]));
    stage.terraform.apply()?;
    let function = stage
        .aws
        .lambda
        .get_function_configuration()
        .function_name(&stage.names.processing);
    let function = function.send().await.unwrap();
    assert_eq!(
        function
            .runtime()
            .map(aws_sdk_lambda::types::Runtime::as_str),
        Some("provided.al2023")
    );
    assert_eq!(function.handler(), Some("bootstrap"));
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    pipeline.answer(&id, "{}").await?;
    succeeded(&pipeline, &execution).await?;
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// One execution with the code of this version: what it made is what is handed out.
async fn assert_runs(pipeline: &Pipeline, version: u32) -> Result<(), Error> {
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start(r#"{"order": "a"}"#).await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    assert_eq!(id, format!("own-{version}-a"));
    let data = parsed(Some(
        &pipeline.object(&format!("outbound/{id}/data.json")).await?,
    ));
    assert_eq!(
        data,
        json!({"execution_id": id, "stage": "test", "version": version})
    );
    pipeline.answer(&id, "").await?;
    succeeded(pipeline, &execution).await?;
    Ok(())
}
