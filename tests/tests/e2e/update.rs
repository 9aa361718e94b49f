//! Every argument changed: in place where AWS can, with a replacement where it cannot.

use std::collections::{BTreeMap, BTreeSet};

use bellflower_tests::{APPLY, Error, Plan, Stage, differences};
use serde_json::{Map, Value, json};

use super::somebody;

/// One argument, another value for it, and what of AWS differs for it.
struct Row {
    /// Dotted: `queue.delay_seconds`.
    argument: &'static str,
    value: Value,
    /// JSON pointers into an observation, with the new value there; `null` where it is gone, `…text` where a longer text
    /// has to hold it.
    aws: Vec<(String, Value)>,
}

fn row<const N: usize>(
    argument: &'static str,
    value: impl Into<Value>,
    aws: [(&str, Value); N],
) -> Row {
    let aws = aws.map(|(at, value)| (at.to_owned(), value)).into();
    Row {
        argument,
        value: value.into(),
        aws,
    }
}

/// A row whose argument is found in AWS in just one place, as it is.
fn same(argument: &'static str, value: impl Into<Value>, at: &str) -> Row {
    let value = value.into();
    row(argument, value.clone(), [(at, value)])
}

/// A row for a queue's attribute, which SQS tells as text.
fn queue(argument: &'static str, value: i64, at: &str) -> Row {
    row(argument, value, [(at, json!(value.to_string()))])
}

/// A row for the state machine's definition.
fn state(argument: &'static str, value: impl Into<Value>, at: &str) -> Row {
    same(
        argument,
        value,
        &format!("/state_machine/definition/States/{at}"),
    )
}

/// A row without traces: the right to send them goes, too.
fn untraced(
    argument: &'static str,
    value: impl Into<Value>,
    part: &str,
    seen: Option<Value>,
) -> Row {
    let right = format!("/{part}/role/policies/bellflower/Statement/SendTraces");
    let mut aws = vec![(right, Value::Null)];
    aws.extend(seen.map(|value| (format!("/{part}/tracing"), value)));
    Row {
        argument,
        value: value.into(),
        aws,
    }
}

/// The changes, in groups in which no two are of the same AWS object's settings: a change that only gets to AWS together
/// with another one is caught.
#[allow(clippy::too_many_lines, reason = "one row for each argument")]
fn groups(boundary: &str, bucket: &str, listener: &str) -> Vec<Vec<Row>> {
    let integration = "/integration/role/policies/bellflower/Statement";
    let wait = "/state_machine/definition/States/Wait For Response";
    let boundaries = ["processing", "integration", "state_machine"]
        .map(|part| (format!("/{part}/role/boundary"), json!(boundary)));
    let retention = ["processing", "integration", "state_machine"]
        .map(|part| (format!("/{part}/log_group/retention"), json!(90)));
    vec![
        vec![
            same("key.description", "of my own", "/key/description"),
            row("bucket.force_destroy", true, []),
            row(
                "bucket.bucket_key_enabled",
                false,
                [("/bucket/encryption/0/bucket_key", json!(false))],
            ),
            queue("queue.delay_seconds", 5, "/queue/DelaySeconds"),
            same("topic.display_name", "Orders", "/topic/display_name"),
            same("processing.memory_size", 256, "/processing/memory"),
            row(
                "processing.alarms.errors.threshold",
                2,
                [("/processing/alarms/Errors/threshold", json!(2.0))],
            ),
            row(
                "processing.alarms.duration.threshold",
                500,
                [("/processing/alarms/Duration/threshold", json!(500.0))],
            ),
            same("integration.memory_size", 512, "/integration/memory"),
            row(
                "integration.alarms.throttles.enabled",
                false,
                [("/integration/alarms/Throttles", Value::Null)],
            ),
            same("event_source.batch_size", 3, "/event_source/batch_size"),
            // The token's place: in the function's environment, its role, the state machine and the lifecycle.
            row(
                "task_token",
                "private",
                [
                    (
                        "/integration/variables/BELLFLOWER_TASK_TOKEN",
                        json!("private"),
                    ),
                    (
                        &format!("{integration}/RemoveTokens/Resource"),
                        json!("…private/*/task_token.txt"),
                    ),
                    (
                        &format!("{integration}/ReadExchange/Resource"),
                        json!([
                            format!("{bucket}/inbound/*"),
                            format!("{bucket}/outbound/*"),
                            format!("{bucket}/private/*")
                        ]),
                    ),
                    (
                        &format!("{integration}/WriteWork/Resource"),
                        json!([
                            format!("{bucket}/outbound/*"),
                            format!("{bucket}/private/*")
                        ]),
                    ),
                    (
                        &format!(
                            "{integration}/TellMissingFromForbidden/Condition/StringLike/s3:prefix"
                        ),
                        json!(["inbound/*", "outbound/*", "private/*"]),
                    ),
                    (
                        "/state_machine/role/policies/bellflower/Statement/RemoveTokens/Resource",
                        json!("…private/*/task_token.txt"),
                    ),
                    (
                        "/state_machine/definition/States/Remove token/Arguments/Key",
                        json!("…private/"),
                    ),
                    (
                        "/bucket/lifecycle/bellflower-expire-private",
                        json!({"status": "Enabled", "prefix": "private/", "larger_than": 0, "days": 90, "noncurrent_days": 90}),
                    ),
                ],
            ),
            row(
                "state_machine.callback_timeout_seconds",
                600,
                [
                    (&format!("{wait}/TimeoutSeconds"), json!(600)),
                    (&format!("{wait}/Catch/0/Output"), json!("…600 s")),
                    (&format!("{wait}/Catch/1/Output"), json!("…600 s")),
                    (&format!("{wait}/Catch/2/Output"), json!("…600 s")),
                ],
            ),
            Row {
                argument: "log_retention_in_days",
                value: json!(90),
                aws: retention.into(),
            },
        ],
        vec![
            row(
                "key.enable_key_rotation",
                false,
                [
                    ("/key/rotation", json!(false)),
                    ("/key/rotation_days", Value::Null),
                ],
            ),
            same(
                "bucket.block_public_acls",
                false,
                "/bucket/public_access_block/block_public_acls",
            ),
            row(
                "bucket.expiration_days",
                30,
                [
                    (
                        "/bucket/lifecycle/bellflower-expire-inbound/days",
                        json!(30),
                    ),
                    (
                        "/bucket/lifecycle/bellflower-expire-inbound/noncurrent_days",
                        json!(30),
                    ),
                    (
                        "/bucket/lifecycle/bellflower-expire-outbound/days",
                        json!(30),
                    ),
                    (
                        "/bucket/lifecycle/bellflower-expire-outbound/noncurrent_days",
                        json!(30),
                    ),
                ],
            ),
            row(
                "queue.max_message_size",
                2048,
                [
                    ("/queue/MaximumMessageSize", json!("2048")),
                    ("/undeliverable_queue/MaximumMessageSize", json!("2048")),
                    ("/dead_letter_queue/MaximumMessageSize", json!("2048")),
                ],
            ),
            // The alarm on the duration and the state's own time-out follow.
            row(
                "processing.timeout",
                10,
                [
                    ("/processing/timeout", json!(10)),
                    ("/processing/alarms/Duration/threshold", json!(8000.0)),
                    (
                        "/state_machine/definition/States/Processing Lambda/TimeoutSeconds",
                        json!(70),
                    ),
                ],
            ),
            same(
                "processing.alarms.errors.period",
                900,
                "/processing/alarms/Errors/period",
            ),
            row(
                "integration.timeout",
                30,
                [
                    ("/integration/timeout", json!(30)),
                    ("/integration/alarms/Duration/threshold", json!(24000.0)),
                ],
            ),
            same(
                "event_source.maximum_batching_window_in_seconds",
                3,
                "/event_source/batching_window",
            ),
            row(
                "state_machine.log_level",
                "ERROR",
                [("/state_machine/logging/level", json!("ERROR"))],
            ),
            Row {
                argument: "permissions_boundary",
                value: json!(boundary),
                aws: boundaries.into(),
            },
        ],
        vec![
            same("key.rotation_period_in_days", 180, "/key/rotation_days"),
            same(
                "bucket.block_public_policy",
                false,
                "/bucket/public_access_block/block_public_policy",
            ),
            row(
                "bucket.inbound_prefix",
                "answers/",
                [
                    (
                        "/bucket/lifecycle/bellflower-expire-inbound/prefix",
                        json!("answers/"),
                    ),
                    (
                        "/bucket/notification/functions/0/filter/prefix",
                        json!("answers/"),
                    ),
                    (
                        "/integration/variables/BELLFLOWER_INBOUND_PREFIX",
                        json!("answers/"),
                    ),
                    // Where an answer is that is too large to be passed on.
                    (
                        "/state_machine/definition/States/Wait For Response/Output",
                        json!("…\"answers/"),
                    ),
                    (
                        "/state_machine/definition/States/SNS Publish (Success)/Arguments/Message",
                        json!("…\"answers/"),
                    ),
                ],
            ),
            queue(
                "queue.message_retention_seconds",
                86400,
                "/queue/MessageRetentionPeriod",
            ),
            row(
                "dead_letter_queue.message_retention_seconds",
                172_800,
                [
                    ("/dead_letter_queue/MessageRetentionPeriod", json!("172800")),
                    (
                        "/undeliverable_queue/MessageRetentionPeriod",
                        json!("172800"),
                    ),
                ],
            ),
            same(
                "processing.reserved_concurrent_executions",
                2,
                "/processing/reserved_concurrency",
            ),
            same(
                "processing.alarms.errors.evaluation_periods",
                5,
                "/processing/alarms/Errors/evaluation_periods",
            ),
            same(
                "event_source.maximum_concurrency",
                4,
                "/event_source/maximum_concurrency",
            ),
            same(
                "state_machine.include_execution_data",
                true,
                "/state_machine/logging/execution_data",
            ),
        ],
        vec![
            row("key.deletion_window_in_days", 7, []),
            same(
                "bucket.ignore_public_acls",
                false,
                "/bucket/public_access_block/ignore_public_acls",
            ),
            queue(
                "queue.receive_wait_time_seconds",
                1,
                "/queue/ReceiveMessageWaitTimeSeconds",
            ),
            same(
                "event_invoke_config.maximum_event_age_in_seconds",
                3600,
                "/integration/event_invoke_config/maximum_event_age",
            ),
            row(
                "dead_letter_queue.max_receive_count",
                2,
                [
                    ("/queue/RedrivePolicy/maxReceiveCount", json!(2)),
                    (
                        "/undeliverable_queue/RedrivePolicy/maxReceiveCount",
                        json!(5),
                    ),
                ],
            ),
            untraced(
                "processing.tracing_mode",
                "PassThrough",
                "processing",
                Some(json!("PassThrough")),
            ),
            same(
                "processing.alarms.errors.datapoints_to_alarm",
                1,
                "/processing/alarms/Errors/datapoints",
            ),
            same(
                "integration.reserved_concurrent_executions",
                3,
                "/integration/reserved_concurrency",
            ),
            row(
                "event_source.enabled",
                false,
                [("/event_source/state", json!("Disabled"))],
            ),
            // The emulator does not tell a state machine's tracing, but the right to send traces.
            untraced(
                "state_machine.tracing_enabled",
                false,
                "state_machine",
                None,
            ),
        ],
        vec![
            same(
                "bucket.restrict_public_buckets",
                false,
                "/bucket/public_access_block/restrict_public_buckets",
            ),
            row(
                "bucket.outbound_prefix",
                "work/",
                [
                    (
                        "/bucket/lifecycle/bellflower-expire-outbound/prefix",
                        json!("work/"),
                    ),
                    (
                        "/integration/variables/BELLFLOWER_OUTBOUND_PREFIX",
                        json!("work/"),
                    ),
                    (
                        &format!("{integration}/WriteWork/Resource/0"),
                        json!("…work/*"),
                    ),
                    (
                        &format!("{integration}/RemoveTokens/Resource"),
                        json!("…work/*/task_token.txt"),
                    ),
                    (
                        "/state_machine/role/policies/bellflower/Statement/RemoveTokens/Resource",
                        json!("…work/*/task_token.txt"),
                    ),
                    (
                        "/state_machine/definition/States/Remove token/Arguments/Key",
                        json!("…work/"),
                    ),
                ],
            ),
            row(
                "queue.visibility_timeout_seconds",
                600,
                [
                    ("/queue/VisibilityTimeout", json!("600")),
                    ("/undeliverable_queue/VisibilityTimeout", json!("600")),
                ],
            ),
            same(
                "event_invoke_config.maximum_retry_attempts",
                1,
                "/integration/event_invoke_config/maximum_retries",
            ),
            row(
                "processing.variables",
                json!({"A_B": "c"}),
                [("/processing/variables/A_B", json!("c"))],
            ),
            same(
                "processing.alarms.errors.comparison_operator",
                "GreaterThanThreshold",
                "/processing/alarms/Errors/operator",
            ),
            untraced(
                "integration.tracing_mode",
                "PassThrough",
                "integration",
                Some(json!("PassThrough")),
            ),
            row(
                "state_machine.callback_heartbeat_seconds",
                60,
                [
                    (&format!("{wait}/HeartbeatSeconds"), json!(60)),
                    (&format!("{wait}/Catch/0/Output"), json!("…60 s")),
                    (&format!("{wait}/Catch/1/Output"), json!("…60 s")),
                    (&format!("{wait}/Catch/2/Output"), json!("…60 s")),
                ],
            ),
        ],
        vec![
            row(
                "bucket.expiration_days",
                0,
                [
                    ("/bucket/lifecycle/bellflower-expire-inbound", Value::Null),
                    ("/bucket/lifecycle/bellflower-expire-outbound", Value::Null),
                ],
            ),
            row(
                "bucket.outbound_queue_arn",
                listener,
                [(
                    "/bucket/notification/queues",
                    json!([{
                        "id": "bellflower-outbound",
                        "queue": listener,
                        "events": ["s3:ObjectCreated:*"],
                        "filter": {"prefix": "outbound/", "suffix": "/data.json"},
                    }]),
                )],
            ),
            row(
                "queue.kms_data_key_reuse_period_seconds",
                60,
                [
                    ("/queue/KmsDataKeyReusePeriodSeconds", json!("60")),
                    (
                        "/undeliverable_queue/KmsDataKeyReusePeriodSeconds",
                        json!("60"),
                    ),
                    (
                        "/dead_letter_queue/KmsDataKeyReusePeriodSeconds",
                        json!("60"),
                    ),
                ],
            ),
            row(
                "processing.alarms.errors.enabled",
                false,
                [("/processing/alarms/Errors", Value::Null)],
            ),
            state(
                "state_machine.processing_retry.max_attempts",
                1,
                "Processing Lambda/Retry/2/MaxAttempts",
            ),
        ],
        vec![state(
            "state_machine.processing_retry.interval_seconds",
            1,
            "Processing Lambda/Retry/2/IntervalSeconds",
        )],
        vec![
            row(
                "processing.reserved_concurrent_executions",
                0,
                [("/processing/reserved_concurrency", json!(0))],
            ),
            state(
                "state_machine.processing_retry.backoff_rate",
                1.5,
                "Processing Lambda/Retry/2/BackoffRate",
            ),
        ],
        // Everything back to its default.
        Vec::new(),
    ]
}

/// The arguments as lines of the block. JSON is a legal expression of Terraform's language.
fn lines(rows: &[Row]) -> String {
    let mut tree = Map::new();
    for row in rows {
        let mut here = &mut tree;
        let (path, name) = row.argument.rsplit_once('.').unwrap_or(("", row.argument));
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let next = here.entry(step).or_insert_with(|| json!({}));
            here = next
                .as_object_mut()
                .expect("an object, or the table names an argument twice");
        }
        here.insert(name.to_owned(), row.value.clone());
    }
    let lines: Vec<String> = tree
        .iter()
        .map(|(name, value)| format!("  {name} = {value}"))
        .collect();
    lines.join("\n")
}

/// What may differ in a plan beside the arguments: computed attributes that follow from them.
fn follows(at: &str) -> bool {
    ["/policy", "/business_application_policy_json", "/definition", "/retention_in_days", "/duration/threshold"].iter().any(|end| at.ends_with(end))
        // An alarm that goes loses its attributes.
        || at.contains("/alarms/") && (at.ends_with("/alarm_name") || at.ends_with("/arn"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_argument_changes_in_place() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let call = stage.aws.iam.create_policy().policy_name("boundary");
    let document = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    call.policy_document(document).send().await.unwrap();
    let boundary = stage.arn("iam", "policy/boundary");
    let listener_url = somebody::open_queue(&stage.aws, "listener").await;
    let listener = stage.arn("sqs", "listener");
    stage.terraform.apply()?;
    let defaults = stage.observe().await;
    let default_state = stage.state()?;

    for rows in groups(&boundary, &stage.arn("s3", &stage.names.bucket), &listener) {
        let names: Vec<_> = rows.iter().map(|row| row.argument).collect();
        stage.set(&lines(&rows))?;

        let change = stage.change()?;
        assert_eq!(change["actions"], json!(["update"]), "{names:?}");
        // Against the defaults, for what was changed before goes back with the same plan.
        let planned = differences(&default_state, &known_or_before(&change, &default_state));
        for row in &rows {
            let at = format!("/{}", row.argument.replace('.', "/"));
            let at = if row.argument == "processing.variables" {
                format!("{at}/A_B")
            } else {
                at
            };
            let value = row.value.get("A_B").unwrap_or(&row.value);
            assert_eq!(
                planned.get(&at),
                Some(value),
                "{at} in the plan: {planned:#?}"
            );
        }
        let arguments: BTreeSet<String> = rows
            .iter()
            .map(|row| format!("/{}", row.argument.replace('.', "/")))
            .collect();
        let surplus: Vec<_> = planned
            .keys()
            .filter(|at| {
                !arguments
                    .iter()
                    .any(|argument| at.starts_with(argument.as_str()))
                    && !follows(at)
            })
            .collect();
        assert_eq!(
            surplus,
            Vec::<&String>::new(),
            "the plan of {names:?} shows more"
        );

        let applied = stage
            .terraform
            .expect(&["apply", "-no-color", "the.plan"])?;
        let said = applied.flat();
        assert!(!said.contains("since the plan"), "{names:?}: {said}");
        assert_in_aws(&stage, &defaults, &rows).await;
        if let Plan::Changes(text) = stage.terraform.plan()? {
            panic!("after {names:?} the plan was to be empty:\n{text}");
        }
    }
    let call = stage.aws.iam.delete_policy().policy_arn(&boundary);
    call.send().await.unwrap();
    let call = stage.aws.sqs.delete_queue().queue_url(listener_url);
    call.send().await.unwrap();
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// The planned values, with those that are known after apply as they were.
fn known_or_before(change: &Value, before: &Value) -> Value {
    fn walk(after: &Value, unknown: &Value, before: &Value) -> Value {
        match (after, unknown) {
            (_, Value::Bool(true)) => before.clone(),
            (Value::Object(map), _) => {
                let mut names: BTreeSet<&String> = map.keys().collect();
                names.extend(unknown.as_object().into_iter().flat_map(Map::keys));
                let each = |name: &String| {
                    let of = |value: &Value| value.get(name).cloned().unwrap_or_default();
                    (name.clone(), walk(&of(after), &of(unknown), &of(before)))
                };
                Value::Object(names.into_iter().map(each).collect())
            }
            _ => after.clone(),
        }
    }
    walk(&change["after"], &change["after_unknown"], before)
}

/// The text of `…text`.
fn part_of(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix('…')
}

/// What differs from the defaults is what the rows say, and nothing else.
async fn assert_in_aws(stage: &Stage, defaults: &Value, rows: &[Row]) {
    let observed = stage.observe().await;
    let mut folders = [
        ("bucket.inbound_prefix", "inbound/"),
        ("bucket.outbound_prefix", "outbound/"),
    ]
    .map(|(argument, default)| {
        let row = rows.iter().find(|row| row.argument == argument);
        row.and_then(|row| row.value.as_str()).unwrap_or(default)
    });
    folders.sort_unstable();
    assert_eq!(observed["bucket"]["objects"], json!(folders));
    let mut found = differences(defaults, &observed);
    found.retain(|at, _| !at.starts_with("/bucket/objects"));
    let integration = "/integration/role/policies/bellflower/Statement";
    let mut missing = BTreeMap::new();
    for (at, value) in rows.iter().flat_map(|row| &row.aws) {
        match found.remove(at) {
            Some(is) if is == *value => {}
            Some(Value::String(is)) if part_of(value).is_some_and(|part| is.contains(part)) => {}
            other => {
                missing.insert(at, (value, other));
            }
        }
    }
    // A prefix stands in the policy in several places.
    if rows
        .iter()
        .any(|row| row.argument.ends_with("bound_prefix"))
    {
        found.retain(|at, _| !at.starts_with(integration));
    }
    let names: Vec<_> = rows.iter().map(|row| row.argument).collect();
    assert!(
        missing.is_empty() && found.is_empty(),
        "{names:?}\nnot so in AWS (wanted, is): {missing:#?}\nalso changed: {found:#?}"
    );
}

/// The paths that force a replacement, dotted.
fn replaces(change: &Value) -> BTreeSet<String> {
    let paths = change["replace_paths"].as_array().into_iter().flatten();
    let dotted = |path: &Value| {
        let steps = path.as_array().into_iter().flatten();
        steps
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(".")
    };
    paths.map(dotted).collect()
}

/// What AWS cannot change in place is replaced, and the plan says for which argument.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_replaced() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let other_key = somebody::key(&stage).await;
    let rows = |list: &[(&'static str, &str)]| -> Vec<Row> {
        list.iter()
            .map(|(argument, value)| row(argument, *value, []))
            .collect()
    };
    for list in [
        &[
            ("key.alias", "alias/mine"),
            ("bucket.bucket", "my-exchange"),
            ("queue.name", "my-queue"),
            ("undeliverable_queue.name", "my-undeliverable-queue"),
            ("dead_letter_queue.name", "my-dead-letter-queue"),
            ("topic.name", "my-topic"),
            ("processing.function_name", "my-processing"),
            ("processing.role.name", "my-processing-role"),
            ("integration.function_name", "my-integration"),
            ("integration.role.name", "my-integration-role"),
            ("state_machine.name", "my-state-machine"),
            ("state_machine.role.name", "my-state-machine-role"),
            ("iam_path", "/mine/"),
        ] as &[(&str, &str)],
        &[("kms_key_arn", other_key.as_str())],
        &[("environment", "prod")],
    ] {
        stage.set(&lines(&rows(list)))?;
        let change = stage.change()?;
        assert_eq!(change["actions"], json!(["delete", "create"]));
        let expected: BTreeSet<String> = list
            .iter()
            .map(|(argument, _)| (*argument).to_owned())
            .collect();
        assert_eq!(replaces(&change), expected);
    }

    // And so it is done.
    stage.terraform.rewrite(&Stage::text("", "parcels", ""))?;
    let change = stage.change()?;
    assert_eq!(replaces(&change), BTreeSet::from(["name".to_owned()]));
    stage.terraform.apply()?;
    let left = stage.left().await?;
    let old: Vec<_> = left.iter().filter(|one| one.contains("orders-")).collect();
    assert_eq!(old, Vec::<&String>::new());
    assert!(
        left.iter().any(|one| one.contains("parcels-queue-devl")),
        "{left:?}"
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// One key of the user's for another, as far as the emulator goes: it cannot give a log group another key. What comes before
/// is changed, what comes after is left, and Terraform knows which is which.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_can_be_gone_back_on() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let (one, other) = (somebody::key(&stage).await, somebody::key(&stage).await);
    stage.set(&format!("kms_key_arn = \"{one}\""))?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    stage.set(&format!("kms_key_arn = \"{other}\""))?;
    assert_eq!(stage.change()?["actions"], json!(["update"]), "in place");

    let said = stage.terraform.refuse(&APPLY)?;
    for words in [
        "Open callbacks would be lost",
        "logs:AssociateKmsKey",
        "request id",
        "not worked on",
    ] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let after = stage.observe().await;
    for at in [
        "/queue/KmsMasterKeyId",
        "/topic/key",
        "/bucket/encryption/0/key",
    ] {
        assert_eq!(after.pointer(at), Some(&json!(other)), "{at}");
    }
    let of = |all: &Value| all["processing"]["key"].clone();
    assert_eq!(of(&after), of(&before));
    assert!(matches!(stage.terraform.plan()?, Plan::Changes(_)));

    stage.set(&format!("kms_key_arn = \"{one}\""))?;
    stage.terraform.apply()?;
    assert_eq!(
        differences(&before, &stage.observe().await),
        BTreeMap::new()
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

fn subscriptions(observed: &Value) -> BTreeSet<&str> {
    let all = observed["topic"]["subscriptions"].as_object().unwrap();
    all.keys().map(String::as_str).collect()
}

/// Subscriptions and tags come, change and go.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_tags_come_change_and_go() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    for name in ["one", "two"] {
        stage
            .aws
            .sqs
            .create_queue()
            .queue_name(name)
            .send()
            .await
            .unwrap();
    }
    let [one, two] = ["one", "two"].map(|name| stage.arn("sqs", name));
    let write = |default_tags: &str, arguments: &str| {
        let provider = format!("default_tags {{\n tags = {{ {default_tags} }}\n}}");
        stage
            .terraform
            .rewrite(&Stage::text(&provider, "orders", arguments))
    };

    write(
        r#"team = "logistics""#,
        &format!(
            r#"
  tags          = {{ stage = "test", cost = "1" }}
  subscriptions = {{
    queue    = {{ protocol = "sqs", endpoint = "{one}" }}
    operator = {{ protocol = "email", endpoint = "operator@example.com" }}
  }}"#
        ),
    )?;
    stage.terraform.apply()?;
    let first = stage.observe().await;
    let operator = "email operator@example.com";
    assert_eq!(
        subscriptions(&first),
        [operator, &format!("sqs {one}")].into()
    );
    let mark = "orders/devl/eu-west-1";
    assert_tags(
        &first,
        &json!({"bellflower:pipeline": mark, "team": "logistics", "stage": "test", "cost": "1"}),
    );

    // Attributes change in place: the subscription stays the same one. Tags change, come and go.
    write(
        r#"team = "shipping", owner = "me""#,
        &format!(
            r#"
  tags          = {{ stage = "prod" }}
  subscriptions = {{
    queue    = {{ protocol = "sqs", endpoint = "{one}", raw_message_delivery = true, filter_policy = jsonencode({{ status = ["FAILED"] }}) }}
    operator = {{ protocol = "email", endpoint = "operator@example.com" }}
  }}"#
        ),
    )?;
    assert_eq!(stage.change()?["actions"], json!(["update"]));
    stage.terraform.apply()?;
    let second = stage.observe().await;
    let label = format!("sqs {one}");
    let [was, is] = [&first, &second].map(|observed| &observed["topic"]["subscriptions"][&label]);
    assert_eq!(was["SubscriptionArn"], is["SubscriptionArn"]);
    assert_eq!(is["RawMessageDelivery"], "true");
    assert_eq!(is["FilterPolicy"], json!({"status": ["FAILED"]}));
    assert_tags(
        &second,
        &json!({"bellflower:pipeline": mark, "team": "shipping", "owner": "me", "stage": "prod"}),
    );
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    // Another endpoint is another subscription; the old one goes.
    write(
        "",
        &format!(r#"subscriptions = {{ queue = {{ protocol = "sqs", endpoint = "{two}" }} }}"#),
    )?;
    stage.terraform.apply()?;
    let third = stage.observe().await;
    assert_eq!(
        subscriptions(&third),
        [format!("sqs {two}").as_str()].into()
    );
    assert_tags(&third, &json!({"bellflower:pipeline": mark}));
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));

    write("", "")?;
    stage.terraform.apply()?;
    assert_eq!(subscriptions(&stage.observe().await), BTreeSet::new());
    assert!(matches!(stage.terraform.plan()?, Plan::NoChanges));
    Ok(())
}

/// The tags of all 25 parts that take tags.
fn assert_tags(observed: &Value, expected: &Value) {
    fn walk<'a>(at: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            if name == "tags" {
                found.push((at, value));
            } else {
                walk(&at, value, found);
            }
        }
    }
    let mut found = Vec::new();
    walk("", observed, &mut found);
    assert_eq!(found.len(), 32);
    for (at, tags) in found {
        assert_eq!(tags, expected, "{at}");
    }
}
