//! Everything a pipeline consists of, asserted through the AWS API.

mod expected;

use std::collections::BTreeMap;

use self::expected::Given;
use base64::Engine as _;
use bellflower_tests::{Error, Names, Plan, Stage, differences, environment, observe};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::somebody;

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value
        .pointer(at)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {at}: {value:#}"))
}

/// Base64 of the SHA-256 of a package, as Lambda tells it of a function's code.
fn code_sha256(function: &str) -> String {
    let zip = std::fs::read(environment::lambda_package(function, "x86_64")).unwrap();
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(zip))
}

/// The attributes that only AWS can tell: ids it gives, what contains them, and URLs.
const KNOWN_AFTER_APPLY: [&str; 18] = [
    "/business_application_policy_json",
    "/dead_letter_queue/url",
    "/event_source/arn",
    "/event_source/uuid",
    "/integration/role/policy",
    "/integration/role/unique_id",
    "/key/arn",
    "/key/key_id",
    "/made_at",
    "/processing/role/policy",
    "/processing/role/unique_id",
    "/queue/url",
    "/state_machine/role/policy",
    "/state_machine/role/unique_id",
    "/timeouts",
    "/undeliverable_event_source/arn",
    "/undeliverable_event_source/uuid",
    "/undeliverable_queue/url",
];

fn unknown(at: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Bool(true) => found.push(at.to_owned()),
        Value::Object(map) => {
            for (name, value) in map {
                unknown(&format!("{at}/{name}"), value, found);
            }
        }
        _ => {}
    }
}

/// The name alone; the whole table of parts.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_all_it_needs() -> Result<(), Error> {
    let stage = Stage::new("").await?;

    let change = stage.change()?;
    assert_eq!(change["actions"], json!(["create"]));
    let mut late = Vec::new();
    unknown("", &change["after_unknown"], &mut late);
    late.retain(|at| !KNOWN_AFTER_APPLY.contains(&at.as_str()));
    assert_eq!(late, Vec::<String>::new(), "known only after apply");
    let planned = &change["after"];
    for (at, arn) in arns(&stage) {
        assert_eq!(text(planned, at), arn, "planned {at}");
    }

    stage.terraform.apply()?;
    let mut observed = stage.observe().await;
    let definition = observed["state_machine"]["definition"].take();
    let given = Given {
        key_arn: text(&observed, "/key/arn"),
        key_id: text(&observed, "/key/key_id"),
        mapping: text(&observed, "/event_source/uuid"),
        undeliverable_mapping: text(&observed, "/undeliverable_event_source/uuid"),
        processing_code: &code_sha256("processing"),
        integration_code: &code_sha256("integration"),
    };
    let expected = expected::defaults(&stage, &given);
    assert_eq!(differences(&expected, &observed), BTreeMap::new());
    assert_definition(&stage, &definition);

    // What the state tells is what AWS tells.
    let recorded = stage.state()?;
    for (at, arn) in arns(&stage) {
        assert_eq!(text(&recorded, at), arn, "{at} in the state");
    }
    for (at, observed_at) in [
        ("/key/arn", "/key/arn"),
        ("/key/key_id", "/key/key_id"),
        ("/event_source/uuid", "/event_source/uuid"),
        ("/processing/code_sha256", "/processing/code_sha256"),
        ("/integration/code_sha256", "/integration/code_sha256"),
    ] {
        assert_eq!(text(&recorded, at), text(&observed, observed_at), "{at}");
    }
    for (at, name) in [
        ("/queue/url", &stage.names.queue),
        ("/undeliverable_queue/url", &stage.names.undeliverable_queue),
        ("/dead_letter_queue/url", &stage.names.dead_letter_queue),
    ] {
        let answer = stage.aws.sqs.get_queue_url().queue_name(name).send().await;
        assert_eq!(
            answer.unwrap().queue_url(),
            recorded.pointer(at).unwrap().as_str()
        );
    }
    assert_eq!(recorded["drift"], json!({}));
    Ok(())
}

/// Every ARN that follows from name, account and region.
fn arns(stage: &Stage) -> Vec<(&'static str, String)> {
    let names = &stage.names;
    let role = |name: &str| stage.arn("iam", &format!("role/{name}"));
    let function = |name: &str| stage.arn("lambda", &format!("function:{name}"));
    let log_group = |name: String| stage.arn("logs", &format!("log-group:{name}"));
    let alarm = |name: String| stage.arn("cloudwatch", &format!("alarm:{name}"));
    vec![
        ("/bucket/arn", stage.arn("s3", &names.bucket)),
        ("/queue/arn", stage.arn("sqs", &names.queue)),
        (
            "/undeliverable_queue/arn",
            stage.arn("sqs", &names.undeliverable_queue),
        ),
        (
            "/dead_letter_queue/arn",
            stage.arn("sqs", &names.dead_letter_queue),
        ),
        ("/topic/arn", stage.arn("sns", &names.topic)),
        ("/processing/arn", function(&names.processing)),
        ("/processing/role/arn", role(&names.processing_role)),
        (
            "/processing/log_group/arn",
            log_group(format!("/aws/lambda/{}", names.processing)),
        ),
        (
            "/processing/alarms/errors/arn",
            alarm(format!("{}-errors", names.processing)),
        ),
        ("/integration/arn", function(&names.integration)),
        ("/integration/role/arn", role(&names.integration_role)),
        (
            "/integration/log_group/arn",
            log_group(format!("/aws/lambda/{}", names.integration)),
        ),
        (
            "/integration/alarms/duration/arn",
            alarm(format!("{}-duration", names.integration)),
        ),
        (
            "/state_machine/arn",
            stage.arn("states", &format!("stateMachine:{}", names.state_machine)),
        ),
        ("/state_machine/role/arn", role(&names.state_machine_role)),
        (
            "/state_machine/log_group/arn",
            log_group(format!("/aws/vendedlogs/states/{}", names.state_machine)),
        ),
    ]
}

#[allow(
    clippy::too_many_lines,
    reason = "one row for each fact of the definition"
)]
fn assert_definition(stage: &Stage, definition: &Value) {
    let states = definition["States"].as_object().unwrap();
    let mut names: Vec<&str> = states.keys().map(String::as_str).collect();
    names.sort_unstable();
    let all = [
        "Fail",
        "Processing Lambda",
        "Remove token",
        "SNS Publish (Failure)",
        "SNS Publish (Success)",
        "Success",
        "Wait For Response",
    ];
    assert_eq!(names, all);
    let names = &stage.names;
    let function = stage.arn("lambda", &format!("function:{}", names.processing));
    let topic = stage.arn("sns", &names.topic);
    let everything = json!(["States.ALL"]);
    let queue_url = format!(
        "https://sqs.{}.amazonaws.com/{}/{}",
        stage.region(),
        stage.emulator.account(),
        names.queue
    );
    for (at, value) in [
        ("/StartAt", json!("Processing Lambda")),
        (
            "/States/Processing Lambda/Resource",
            json!("arn:aws:states:::lambda:invoke"),
        ),
        (
            "/States/Processing Lambda/Arguments/FunctionName",
            json!(function),
        ),
        (
            "/States/Processing Lambda/Retry/2/ErrorEquals",
            everything.clone(),
        ),
        ("/States/Processing Lambda/Retry/2/MaxAttempts", json!(3)),
        (
            "/States/Processing Lambda/Retry/2/IntervalSeconds",
            json!(5),
        ),
        ("/States/Processing Lambda/Retry/2/BackoffRate", json!(2.0)),
        (
            "/States/Processing Lambda/Catch/1/ErrorEquals",
            everything.clone(),
        ),
        (
            "/States/Processing Lambda/Catch/1/Next",
            json!("SNS Publish (Failure)"),
        ),
        ("/States/Processing Lambda/Next", json!("Wait For Response")),
        (
            "/States/Wait For Response/Resource",
            json!("arn:aws:states:::sqs:sendMessage.waitForTaskToken"),
        ),
        (
            "/States/Wait For Response/Arguments/QueueUrl",
            json!(queue_url),
        ),
        (
            "/States/Wait For Response/Arguments/MessageBody/TaskToken",
            json!("{% $states.context.Task.Token %}"),
        ),
        ("/States/Wait For Response/TimeoutSeconds", json!(86400)),
        (
            "/States/Wait For Response/Catch/0/ErrorEquals",
            json!(["States.Timeout", "States.HeartbeatTimeout"]),
        ),
        (
            "/States/Wait For Response/Catch/0/Next",
            json!("Remove token"),
        ),
        (
            "/States/Wait For Response/Catch/2/ErrorEquals",
            everything.clone(),
        ),
        (
            "/States/Wait For Response/Catch/2/Next",
            json!("SNS Publish (Failure)"),
        ),
        (
            "/States/Remove token/Resource",
            json!("arn:aws:states:::aws-sdk:s3:deleteObject"),
        ),
        ("/States/Remove token/Arguments/Bucket", json!(names.bucket)),
        ("/States/Remove token/Next", json!("SNS Publish (Failure)")),
        (
            "/States/Wait For Response/Next",
            json!("SNS Publish (Success)"),
        ),
        (
            "/States/SNS Publish (Success)/Resource",
            json!("arn:aws:states:::sns:publish"),
        ),
        (
            "/States/SNS Publish (Success)/Arguments/TopicArn",
            json!(topic),
        ),
        ("/States/SNS Publish (Success)/Next", json!("Success")),
        (
            "/States/SNS Publish (Failure)/Resource",
            json!("arn:aws:states:::sns:publish"),
        ),
        (
            "/States/SNS Publish (Failure)/Arguments/TopicArn",
            json!(topic),
        ),
        ("/States/SNS Publish (Failure)/Next", json!("Fail")),
        // For filter policies of subscribers, which the emulator does not get from a state machine.
        (
            "/States/SNS Publish (Failure)/Arguments/MessageAttributes/status/StringValue",
            json!("FAILED"),
        ),
        (
            "/States/SNS Publish (Success)/Arguments/MessageAttributes/status/StringValue",
            json!("SUCCEEDED"),
        ),
        ("/States/Success/Type", json!("Succeed")),
        ("/States/Fail/Type", json!("Fail")),
    ] {
        assert_eq!(
            definition.pointer(at),
            Some(&value),
            "{at} in {definition:#}"
        );
    }
    let wait = &definition["States"]["Wait For Response"];
    assert_eq!(wait.get("HeartbeatSeconds"), None, "none unless it is set");
}

/// Every argument at another value than its default, and what of AWS differs for it: just that.
#[tokio::test(flavor = "multi_thread")]
async fn every_argument_reaches_aws() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let boundary = stage.arn("iam", "policy/boundary");
    make_policy(&stage, "boundary").await;
    let listener = make_queue(&stage, "listener").await;
    stage.terraform.rewrite(&Stage::text(
        r#"default_tags {
             tags = { team = "logistics", stage = "default" }
           }"#,
        "orders",
        &format!(
            r#"
  permissions_boundary = "{boundary}"
  {}
  subscriptions = {{
    listener = {{
      protocol             = "sqs"
      endpoint             = "{listener}"
      raw_message_delivery = true
      filter_policy        = jsonencode({{ status = ["FAILED"] }})
      filter_policy_scope  = "MessageBody"
      redrive_policy       = jsonencode({{ deadLetterTargetArn = "{listener}" }})
    }}
    operator = {{ protocol = "email", endpoint = "operator@example.com" }}
    page     = {{ protocol = "https", endpoint = "https://example.com/hook" }}
  }}"#,
            ARGUMENTS.replace("{listener}", &listener)
        ),
    ))?;
    stage.terraform.apply()?;

    let mut observed = stage.observe().await;
    let definition = observed["state_machine"]["definition"].take();
    let given = Given {
        key_arn: text(&observed, "/key/arn"),
        key_id: text(&observed, "/key/key_id"),
        mapping: text(&observed, "/event_source/uuid"),
        undeliverable_mapping: text(&observed, "/undeliverable_event_source/uuid"),
        processing_code: &code_sha256("processing"),
        integration_code: &code_sha256("integration"),
    };
    let defaults = expected::defaults(&stage, &given);
    let mut found = differences(&defaults, &observed);

    // Tags of the block over those of the provider, on everything that takes tags: 32 parts, less the three alarms left out.
    let tags: Vec<String> = found
        .keys()
        .filter_map(|at| at.strip_suffix("/tags/stage").map(str::to_owned))
        .collect();
    assert_eq!(tags.len(), 29, "{tags:?}");
    for part in &tags {
        for (tag, value) in [
            ("team", "logistics"),
            ("stage", "test"),
            ("cost~1centre", "4711"),
        ] {
            let at = format!("{part}/tags/{tag}");
            assert_eq!(found.remove(&at), Some(json!(value)), "{at}");
        }
    }

    assert_subscriptions(&observed, &listener);
    found.retain(|at, _| !at.starts_with("/topic/subscriptions/"));
    for (at, value) in [
        ("/States/Wait For Response/TimeoutSeconds", json!(7200)),
        ("/States/Wait For Response/HeartbeatSeconds", json!(600)),
        ("/States/Processing Lambda/Retry/2/MaxAttempts", json!(5)),
        (
            "/States/Processing Lambda/Retry/2/IntervalSeconds",
            json!(2),
        ),
        ("/States/Processing Lambda/Retry/2/BackoffRate", json!(1.5)),
    ] {
        assert_eq!(definition.pointer(at), Some(&value), "{at}");
    }

    let expected = expected_differences(&stage, &boundary);
    let missing: Vec<_> = expected
        .iter()
        .filter(|(at, value)| found.get(*at) != Some(value))
        .collect();
    let surplus: Vec<_> = found
        .iter()
        .filter(|(at, _)| !expected.contains_key(*at))
        .collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:#?}\nnot asked for: {surplus:#?}"
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

const ARGUMENTS: &str = r#"
  log_retention_in_days = 30
  iam_path              = "/pipelines/orders/"
  tags                  = { stage = "test", "cost/centre" = "4711" }
  key = {
    description             = "of my own"
    deletion_window_in_days = 7
    enable_key_rotation     = true
    rotation_period_in_days = 180
  }
  bucket = {
    force_destroy           = true
    block_public_acls       = false
    block_public_policy     = false
    ignore_public_acls      = false
    restrict_public_buckets = false
    bucket_key_enabled      = false
    inbound_prefix          = "answers/"
    outbound_prefix         = "work/"
    outbound_queue_arn      = "{listener}"
    expiration_days         = 10
  }
  queue = {
    delay_seconds                     = 1
    max_message_size                  = 262144
    message_retention_seconds         = 86400
    receive_wait_time_seconds         = 5
    visibility_timeout_seconds        = 720
    kms_data_key_reuse_period_seconds = 600
  }
  dead_letter_queue = {
    max_receive_count         = 2
    message_retention_seconds = 172800
  }
  topic = { display_name = "Orders" }
  alarms = {
    dead_letter_depth  = { enabled = false }
    message_age        = { threshold = 60, period = 120, evaluation_periods = 3, datapoints_to_alarm = 2 }
    executions_failed  = { threshold = 5, comparison_operator = "GreaterThanThreshold" }
    callbacks_rejected = { threshold = 2, period = 600 }
  }
  event_invoke_config = {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 1
  }
  processing = {
    memory_size                    = 256
    timeout                        = 20
    reserved_concurrent_executions = 7
    tracing_mode                   = "PassThrough"
    variables                      = { STAGE = "test", LOG_LEVEL = "debug" }
    alarms = {
      invocations = { threshold = 5, period = 60 }
      errors = {
        threshold           = 2
        period              = 900
        evaluation_periods  = 4
        datapoints_to_alarm = 3
        comparison_operator = "GreaterThanThreshold"
      }
      throttles             = { enabled = false }
      duration              = { threshold = 500.5 }
      concurrent_executions = { threshold = 3 }
    }
  }
  integration = {
    memory_size                    = 512
    timeout                        = 120
    reserved_concurrent_executions = 8
    tracing_mode                   = "PassThrough"
    alarms = {
      invocations           = { enabled = false }
      errors                = { threshold = 1 }
      throttles             = { threshold = 3, comparison_operator = "GreaterThanThreshold" }
      duration              = { comparison_operator = "GreaterThanThreshold" }
      concurrent_executions = { period = 300 }
    }
  }
  event_source = {
    batch_size                         = 25
    maximum_batching_window_in_seconds = 2
    maximum_concurrency                = 4
    enabled                            = false
  }
  state_machine = {
    callback_timeout_seconds   = 7200
    callback_heartbeat_seconds = 600
    log_level                  = "ERROR"
    include_execution_data     = true
    tracing_enabled            = false
    processing_retry = {
      max_attempts     = 5
      interval_seconds = 2
      backoff_rate     = 1.5
    }
  }
"#;

/// What [`ARGUMENTS`] change, by JSON pointer. `null`: it is not there any more.
#[allow(clippy::too_many_lines, reason = "one row for each argument")]
fn expected_differences(stage: &Stage, boundary: &str) -> BTreeMap<String, Value> {
    let names = &stage.names;
    let bucket = stage.arn("s3", &names.bucket);
    let exchange = "/integration/role/policies/bellflower/Statement";
    let mut expected: BTreeMap<String, Value> = [
        ("/key/description", json!("of my own")),
        ("/key/rotation_days", json!(180)),
        (
            "/bucket/public_access_block/block_public_acls",
            json!(false),
        ),
        (
            "/bucket/public_access_block/block_public_policy",
            json!(false),
        ),
        (
            "/bucket/public_access_block/ignore_public_acls",
            json!(false),
        ),
        (
            "/bucket/public_access_block/restrict_public_buckets",
            json!(false),
        ),
        ("/bucket/encryption/0/bucket_key", json!(false)),
        (
            "/bucket/notification/functions/0/filter/prefix",
            json!("answers/"),
        ),
        (
            "/bucket/notification/queues",
            json!([{
                "id": "bellflower-outbound",
                "queue": stage.arn("sqs", "listener"),
                "events": ["s3:ObjectCreated:*"],
                "filter": {"prefix": "work/", "suffix": "/data.json"},
            }]),
        ),
        (
            "/bucket/lifecycle/bellflower-expire-inbound/prefix",
            json!("answers/"),
        ),
        (
            "/bucket/lifecycle/bellflower-expire-inbound/days",
            json!(10),
        ),
        (
            "/bucket/lifecycle/bellflower-expire-inbound/noncurrent_days",
            json!(10),
        ),
        (
            "/bucket/lifecycle/bellflower-expire-outbound/prefix",
            json!("work/"),
        ),
        (
            "/bucket/lifecycle/bellflower-expire-outbound/days",
            json!(10),
        ),
        (
            "/bucket/lifecycle/bellflower-expire-outbound/noncurrent_days",
            json!(10),
        ),
        ("/bucket/objects/0", json!("answers/")),
        ("/bucket/objects/1", json!("work/")),
        ("/queue/DelaySeconds", json!("1")),
        ("/queue/MaximumMessageSize", json!("262144")),
        ("/queue/MessageRetentionPeriod", json!("86400")),
        ("/queue/ReceiveMessageWaitTimeSeconds", json!("5")),
        ("/queue/VisibilityTimeout", json!("720")),
        ("/queue/KmsDataKeyReusePeriodSeconds", json!("600")),
        ("/queue/RedrivePolicy/maxReceiveCount", json!(2)),
        (
            "/undeliverable_queue/RedrivePolicy/maxReceiveCount",
            json!(5),
        ),
        // The messages and the key are the same ones, and so is the function that takes them.
        ("/undeliverable_queue/MaximumMessageSize", json!("262144")),
        (
            "/undeliverable_queue/KmsDataKeyReusePeriodSeconds",
            json!("600"),
        ),
        (
            "/undeliverable_queue/MessageRetentionPeriod",
            json!("172800"),
        ),
        ("/undeliverable_queue/VisibilityTimeout", json!("720")),
        (
            "/integration/event_invoke_config/maximum_event_age",
            json!(3600),
        ),
        ("/integration/event_invoke_config/maximum_retries", json!(1)),
        ("/dead_letter_queue/MaximumMessageSize", json!("262144")),
        (
            "/dead_letter_queue/KmsDataKeyReusePeriodSeconds",
            json!("600"),
        ),
        ("/dead_letter_queue/MessageRetentionPeriod", json!("172800")),
        ("/topic/display_name", json!("Orders")),
        ("/processing/memory", json!(256)),
        ("/processing/timeout", json!(20)),
        ("/processing/reserved_concurrency", json!(7)),
        ("/processing/tracing", json!("PassThrough")),
        ("/processing/variables/STAGE", json!("test")),
        ("/processing/variables/LOG_LEVEL", json!("debug")),
        ("/processing/alarms/Invocations/threshold", json!(5.0)),
        ("/processing/alarms/Invocations/period", json!(60)),
        ("/processing/alarms/Errors/threshold", json!(2.0)),
        ("/processing/alarms/Errors/period", json!(900)),
        ("/processing/alarms/Errors/evaluation_periods", json!(4)),
        ("/processing/alarms/Errors/datapoints", json!(3)),
        (
            "/processing/alarms/Errors/operator",
            json!("GreaterThanThreshold"),
        ),
        ("/processing/alarms/Throttles", Value::Null),
        ("/processing/alarms/Duration/threshold", json!(500.5)),
        (
            "/processing/alarms/ConcurrentExecutions/threshold",
            json!(3.0),
        ),
        ("/integration/memory", json!(512)),
        ("/integration/timeout", json!(120)),
        ("/integration/reserved_concurrency", json!(8)),
        ("/integration/tracing", json!("PassThrough")),
        (
            "/integration/variables/BELLFLOWER_INBOUND_PREFIX",
            json!("answers/"),
        ),
        (
            "/integration/variables/BELLFLOWER_OUTBOUND_PREFIX",
            json!("work/"),
        ),
        ("/alarms/dead_letter_depth", Value::Null),
        ("/alarms/message_age/threshold", json!(60.0)),
        ("/alarms/message_age/period", json!(120)),
        ("/alarms/message_age/evaluation_periods", json!(3)),
        ("/alarms/message_age/datapoints", json!(2)),
        ("/alarms/executions_failed/threshold", json!(5.0)),
        (
            "/alarms/executions_failed/operator",
            json!("GreaterThanThreshold"),
        ),
        ("/alarms/callbacks_rejected/threshold", json!(2.0)),
        ("/alarms/callbacks_rejected/period", json!(600)),
        ("/integration/alarms/Invocations", Value::Null),
        ("/integration/alarms/Errors/threshold", json!(1.0)),
        ("/integration/alarms/Throttles/threshold", json!(3.0)),
        (
            "/integration/alarms/Throttles/operator",
            json!("GreaterThanThreshold"),
        ),
        // 80 % of the time-out, in milliseconds.
        ("/integration/alarms/Duration/threshold", json!(96_000.0)),
        (
            "/integration/alarms/Duration/operator",
            json!("GreaterThanThreshold"),
        ),
        (
            "/integration/alarms/ConcurrentExecutions/period",
            json!(300),
        ),
        ("/event_source/batch_size", json!(25)),
        ("/event_source/batching_window", json!(2)),
        ("/event_source/maximum_concurrency", json!(4)),
        ("/event_source/state", json!("Disabled")),
        ("/state_machine/logging/level", json!("ERROR")),
        ("/state_machine/logging/execution_data", json!(true)),
    ]
    .map(|(at, value)| (at.to_owned(), value))
    .into();
    // No traces, no right to send them.
    expected.extend(["processing", "integration", "state_machine"].map(|part| {
        let at = format!("/{part}/role/policies/bellflower/Statement/SendTraces");
        (at, Value::Null)
    }));
    for (at, value) in [
        (
            "ReadExchange/Resource/0",
            json!(format!("{bucket}/answers/*")),
        ),
        ("ReadExchange/Resource/1", json!(format!("{bucket}/work/*"))),
        ("WriteWork/Resource/0", json!(format!("{bucket}/work/*"))),
        (
            "RemoveTokens/Resource",
            json!(format!("{bucket}/work/*/task_token.txt")),
        ),
        (
            "TellMissingFromForbidden/Condition/StringLike/s3:prefix/0",
            json!("answers/*"),
        ),
        (
            "TellMissingFromForbidden/Condition/StringLike/s3:prefix/1",
            json!("work/*"),
        ),
    ] {
        expected.insert(format!("{exchange}/{at}"), value);
    }
    expected.insert(
        "/state_machine/role/policies/bellflower/Statement/RemoveTokens/Resource".to_owned(),
        json!(format!("{bucket}/work/*/task_token.txt")),
    );
    for part in ["processing", "integration", "state_machine"] {
        let role = match part {
            "processing" => &names.processing_role,
            "integration" => &names.integration_role,
            _ => &names.state_machine_role,
        };
        let arn = stage.arn("iam", &format!("role/pipelines/orders/{role}"));
        let rows = [
            ("log_group/retention", json!(30)),
            ("role/boundary", json!(boundary)),
            ("role/path", json!("/pipelines/orders/")),
            ("role/arn", json!(arn)),
            ("role_arn", json!(arn)),
        ];
        expected.extend(rows.map(|(at, value)| (format!("/{part}/{at}"), value)));
    }
    expected
}

fn assert_subscriptions(observed: &Value, listener: &str) {
    let all = observed["topic"]["subscriptions"].as_object().unwrap();
    assert_eq!(all.len(), 3, "{all:#?}");
    let sqs = &all[&format!("sqs {listener}")];
    for (at, value) in [
        ("/RawMessageDelivery", json!("true")),
        ("/FilterPolicy", json!({"status": ["FAILED"]})),
        ("/FilterPolicyScope", json!("MessageBody")),
        ("/RedrivePolicy", json!({"deadLetterTargetArn": listener})),
    ] {
        assert_eq!(sqs.pointer(at), Some(&value), "{at} in {sqs:#}");
    }
    assert!(all.contains_key("email operator@example.com"));
    assert!(all.contains_key("https https://example.com/hook"));
}

async fn make_policy(stage: &Stage, name: &str) {
    let document = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    let call = stage.aws.iam.create_policy().policy_name(name);
    call.policy_document(document).send().await.unwrap();
}

/// Makes a queue; its ARN.
async fn make_queue(stage: &Stage, name: &str) -> String {
    somebody::open_queue(&stage.aws, name).await;
    stage.arn("sqs", name)
}

/// Every name given, and an existing key: the same pipeline under other names, and no key of its own.
#[allow(clippy::too_many_lines, reason = "a table")]
#[tokio::test(flavor = "multi_thread")]
async fn names_and_a_key_of_ones_own() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let key_arn = somebody::key(&stage).await;
    let names = Names {
        key_alias: "alias/orders-key-devl-eu-west-1".to_owned(),
        bucket: "my-exchange.example".to_owned(),
        queue: "My_Queue".to_owned(),
        undeliverable_queue: "My_Strays".to_owned(),
        dead_letter_queue: "My_Dead-Letters".to_owned(),
        topic: "My_Topic".to_owned(),
        processing: "My_Processing".to_owned(),
        processing_role: "My+Processing@role".to_owned(),
        integration: "My_Integration".to_owned(),
        integration_role: "My.Integration=role".to_owned(),
        state_machine: "My_Machine".to_owned(),
        state_machine_role: "My,Machine-role".to_owned(),
        alarm: stage.names.alarm.clone(),
        dashboard: "My_Dashboard".to_owned(),
    };
    stage.set(&format!(
        r#"
  kms_key_arn       = "{key_arn}"
  bucket            = {{ bucket = "{}" }}
  queue             = {{ name = "{}" }}
  undeliverable_queue = {{ name = "{}" }}
  dead_letter_queue = {{ name = "{}" }}
  topic             = {{ name = "{}" }}
  processing        = {{ function_name = "{}", role = {{ name = "{}" }} }}
  integration       = {{ function_name = "{}", role = {{ name = "{}" }} }}
  state_machine     = {{ name = "{}", role = {{ name = "{}" }} }}
  dashboard         = {{ dashboard_name = "{}" }}
"#,
        names.bucket,
        names.queue,
        names.undeliverable_queue,
        names.dead_letter_queue,
        names.topic,
        names.processing,
        names.processing_role,
        names.integration,
        names.integration_role,
        names.state_machine,
        names.state_machine_role,
        names.dashboard,
    ))?;
    // With the key known, everything that follows from it is known too.
    let mut late = Vec::new();
    unknown("", &stage.change()?["after_unknown"], &mut late);
    assert_eq!(
        late,
        [
            "/dead_letter_queue/url",
            "/event_source/arn",
            "/event_source/uuid",
            "/integration/role/unique_id",
            "/made_at",
            "/processing/role/unique_id",
            "/queue/url",
            "/state_machine/role/unique_id",
            "/undeliverable_event_source/arn",
            "/undeliverable_event_source/uuid",
            "/undeliverable_queue/url"
        ]
    );
    stage.terraform.apply()?;

    let mut observed = observe(&stage.aws, &names).await;
    observed["state_machine"]["definition"].take();
    assert_eq!(
        observed["key"]["error"], "NotFoundException",
        "no key of its own"
    );
    observed["key"].take();
    let title = &observed["dashboard"]["widgets"][0]["properties"]["markdown"];
    assert!(
        title
            .as_str()
            .is_some_and(|text| text.contains("orders/devl/eu-west-1")),
        "{title}"
    );
    observed["dashboard"].take();
    let given = Given {
        key_arn: &key_arn,
        key_id: "",
        mapping: text(&observed, "/event_source/uuid"),
        undeliverable_mapping: text(&observed, "/undeliverable_event_source/uuid"),
        processing_code: text(&observed, "/processing/code_sha256"),
        integration_code: text(&observed, "/integration/code_sha256"),
    };
    let mut expected = expected::defaults(&stage, &given).to_string();
    let derived = &stage.names;
    // Roles first, and dead letters before letters: one name holds another.
    for (from, to) in [
        (&derived.processing_role, &names.processing_role),
        (&derived.integration_role, &names.integration_role),
        (&derived.state_machine_role, &names.state_machine_role),
        (&derived.processing, &names.processing),
        (&derived.integration, &names.integration),
        (&derived.state_machine, &names.state_machine),
        (&derived.undeliverable_queue, &names.undeliverable_queue),
        (&derived.dead_letter_queue, &names.dead_letter_queue),
        (&derived.queue, &names.queue),
        (&derived.topic, &names.topic),
        (&derived.bucket, &names.bucket),
    ] {
        expected = expected.replace(from.as_str(), to);
    }
    let mut expected: Value = serde_json::from_str(&expected).unwrap();
    expected["key"].take();
    expected["dashboard"].take();
    assert_eq!(differences(&expected, &observed), BTreeMap::new());
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    stage.terraform.destroy()?;
    let described = stage.aws.kms.describe_key().key_id(&key_arn).send().await;
    let key = described.unwrap().key_metadata.unwrap();
    assert_eq!(
        key.key_state().map(aws_sdk_kms::types::KeyState::as_str),
        Some("Enabled")
    );
    Ok(())
}
