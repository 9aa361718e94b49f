//! What is wrong is said at once, where it is, with what is allowed; and nothing comes of it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use bellflower_tests::{
    Error, MiniStack, Names, PIPELINE_ALARMS, Plan, Run, Stage, Terraform, differences, inventory,
    observe,
};
use serde_json::{Value, json};

use super::arguments::{arguments, hcl, put};
use super::somebody;

const KIND: &str = "bellflower_callback_pipeline";

/// The errors that a command with `-json` told. No output may ever tell of a panic.
fn errors(run: &Run) -> Vec<Value> {
    for output in [&run.stdout, &run.stderr] {
        assert!(!output.contains("panicked"), "{output}");
    }
    run.stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| line["diagnostic"].clone())
        .filter(|told| told["severity"] == "error")
        .collect()
}

/// Summary and detail of an error.
fn said(error: &Value) -> String {
    let [summary, detail] =
        ["summary", "detail"].map(|part| error[part].as_str().unwrap_or_default());
    format!("{summary}. {detail}")
}

/// A configuration with these provider blocks and a resource for each row of arguments.
fn configuration(providers: &str, rows: &[Value]) -> String {
    let resource = |(number, arguments): (usize, &Value)| {
        let mut arguments = arguments.clone();
        if arguments.get("name").is_none() {
            arguments["name"] = json!("orders");
        }
        let mut block = String::new();
        if let Some(timeouts) = arguments
            .as_object_mut()
            .and_then(|map| map.remove("timeouts"))
        {
            block = format!("  timeouts {{\n{}  }}\n", hcl(&timeouts));
        }
        format!(
            "resource \"{KIND}\" \"case_{number}\" {{\n{}{block}}}\n",
            hcl(&arguments)
        )
    };
    let resources: String = rows.iter().enumerate().map(resource).collect();
    format!(
        "terraform {{\n  required_providers {{\n    bellflower = {{ source = \"bellflower/bellflower\" }}\n  }}\n}}\n{providers}\n{resources}"
    )
}

/// A fault: the arguments, where it is told, and what the message holds.
struct Fault {
    arguments: Value,
    at: String,
    words: Vec<String>,
}

fn fault(at: &str, value: Value, words: &[&str]) -> Fault {
    with(at, value, json!({}), words)
}

/// A fault that others arguments are needed for.
fn with(at: &str, value: Value, mut beside: Value, words: &[&str]) -> Fault {
    put(&mut beside, at, value);
    Fault {
        arguments: beside,
        at: at.to_owned(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// Plans all faults at once, a resource for each, and holds what is told of each against its row: one error, at its argument.
/// The order in which the rows are is the resources' names.
fn told_each(terraform: &Terraform, faults: &[Fault]) -> Result<(), Error> {
    let rows: Vec<Value> = faults.iter().map(|fault| fault.arguments.clone()).collect();
    terraform.rewrite(&configuration("", &rows))?;
    let run = terraform.run(&["plan", "-json"])?;
    let errors = errors(&run);
    let mut wrong = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let address = format!("{KIND}.case_{number}");
        let own: Vec<&Value> = errors
            .iter()
            .filter(|error| error["address"] == address)
            .collect();
        let last = fault.at.rsplit('.').next().unwrap_or_default();
        let fits = |error: &&&Value| {
            let code = error["snippet"]["code"].as_str().unwrap_or_default();
            let text = said(error);
            let words = fault.words.iter().all(|word| text.contains(word.as_str()));
            // Terraform shows the line of an argument only as deep as blocks in blocks go; deeper ones are named.
            let shown = code.trim_start_matches([' ', '"']).starts_with(last);
            words
                && (shown
                    || text
                        .replace("[\"", ".")
                        .replace("\"]", "")
                        .contains(&format!("about {}.", fault.at)))
        };
        if own.len() != 1 || !own.iter().any(|error| fits(&error)) {
            let told: Vec<String> = own
                .iter()
                .map(|error| format!("[{}] {}", error["snippet"]["code"], said(error)))
                .collect();
            wrong.push(format!(
                "{} = {}: wanted {:?}, told {told:#?}",
                fault.at, fault.arguments, fault.words
            ));
        }
    }
    let strange: Vec<&Value> = errors
        .iter()
        .filter(|error| !error["address"].is_string())
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), run.stderr);
    assert_eq!(run.code, 1);
    Ok(())
}

/// Number, least, most, what else must be set so that the least and the most are allowed. AWS's limits, from its documentation.
#[allow(clippy::too_many_lines, reason = "a table")]
fn ranges() -> Vec<(String, i64, i64, Value, Value)> {
    let free = || json!({});
    let mut rows = vec![
        ("key.deletion_window_in_days", 7, 30, free(), free()),
        ("key.rotation_period_in_days", 90, 2560, free(), free()),
        ("bucket.expiration_days", 0, 36500, free(), free()),
        ("queue.delay_seconds", 0, 900, free(), free()),
        ("queue.max_message_size", 1024, 1_048_576, free(), free()),
        (
            "queue.message_retention_seconds",
            60,
            1_209_600,
            free(),
            free(),
        ),
        ("queue.receive_wait_time_seconds", 0, 20, free(), free()),
        (
            "queue.kms_data_key_reuse_period_seconds",
            60,
            86400,
            free(),
            free(),
        ),
        (
            "dead_letter_queue.max_receive_count",
            1,
            997,
            free(),
            free(),
        ),
        (
            "dead_letter_queue.message_retention_seconds",
            60,
            1_209_600,
            free(),
            free(),
        ),
        ("processing.memory_size", 128, 10240, free(), free()),
        ("processing.timeout", 1, 900, free(), free()),
        ("integration.memory_size", 128, 10240, free(), free()),
        (
            "integration.timeout",
            1,
            900,
            free(),
            json!({"queue": {"visibility_timeout_seconds": 43200}}),
        ),
        (
            "event_source.batch_size",
            1,
            10000,
            free(),
            json!({"event_source": {"maximum_batching_window_in_seconds": 1}}),
        ),
        (
            "event_source.maximum_batching_window_in_seconds",
            0,
            300,
            free(),
            free(),
        ),
        ("event_source.maximum_concurrency", 2, 1000, free(), free()),
        (
            "event_invoke_config.maximum_event_age_in_seconds",
            60,
            21_600,
            free(),
            free(),
        ),
        (
            "event_invoke_config.maximum_retry_attempts",
            0,
            2,
            free(),
            free(),
        ),
        (
            "state_machine.callback_timeout_seconds",
            1,
            31_536_000,
            free(),
            json!({"bucket": {"expiration_days": 366}}),
        ),
        (
            "state_machine.processing_retry.max_attempts",
            0,
            99_999_999,
            free(),
            free(),
        ),
        (
            "state_machine.processing_retry.interval_seconds",
            1,
            99_999_999,
            free(),
            free(),
        ),
    ]
    .into_iter()
    .map(|(at, least, most, low, high)| (at.to_owned(), least, most, low, high))
    .collect::<Vec<_>>();
    for alarm in alarms() {
        let at = |argument: &str| format!("{alarm}.{argument}");
        let mut one = free();
        put(&mut one, &at("evaluation_periods"), json!(1));
        put(&mut one, &at("datapoints_to_alarm"), json!(1));
        rows.push((at("period"), 60, 604_800, one.clone(), one));
    }
    rows
}

/// The paths of all alarms.
fn alarms() -> Vec<String> {
    let of_functions = ["processing", "integration"]
        .into_iter()
        .flat_map(|function| {
            [
                "invocations",
                "errors",
                "throttles",
                "duration",
                "concurrent_executions",
            ]
            .map(|alarm| format!("{function}.alarms.{alarm}"))
        });
    let of_pipeline = PIPELINE_ALARMS.map(|alarm| format!("alarms.{alarm}"));
    of_functions.chain(of_pipeline).collect()
}

/// Numbers that are not just whole numbers in a range, or whose bounds follow from each other.
const OTHER_NUMBERS: [&str; 7] = [
    "log_retention_in_days",
    "queue.visibility_timeout_seconds",
    "processing.reserved_concurrent_executions",
    "integration.reserved_concurrent_executions",
    "state_machine.callback_heartbeat_seconds",
    "state_machine.processing_retry.backoff_rate",
    // threshold, evaluation_periods, datapoints_to_alarm
    "alarms",
];

/// Below the least, above the most, and half a one; and the least and the most are allowed.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn numbers_have_their_bounds() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let terraform = Terraform::configuration(&configuration("", &[]), &emulator.environment())?;
    let ranges = ranges();
    let forgotten: Vec<String> = arguments(&terraform, |argument| argument["type"] == "number")?
        .into_iter()
        .filter(|path| !ranges.iter().any(|row| row.0 == *path))
        .filter(|path| {
            !OTHER_NUMBERS
                .iter()
                .any(|other| path == other || format!(".{path}").contains(&format!(".{other}.")))
        })
        .collect();
    assert_eq!(forgotten, Vec::<String>::new(), "numbers without a row");

    let mut faults = Vec::new();
    for (at, least, most, low, high) in &ranges {
        let allowed = format!("from {least} to {most}");
        // An alarm's period must be a multiple of 60, too, which is told beside.
        let step = if at.contains("alarms.") { 60 } else { 1 };
        for (value, beside) in [(least - step, low), (most + step, high)] {
            let words = [allowed.as_str(), &value.to_string()];
            faults.push(with(at, json!(value), beside.clone(), &words));
        }
        if !at.contains("alarms.") {
            faults.push(fault(at, json!(0.5), &[&allowed, "whole number"]));
        }
    }
    for alarm in alarms() {
        let at = |argument: &str| format!("{alarm}.{argument}");
        faults.extend([
            fault(&at("period"), json!(0), &["from 60"]),
            fault(&at("period"), json!(90), &["multiple of 60"]),
            fault(&at("threshold"), json!(-1), &["from 0"]),
            fault(
                &at("comparison_operator"),
                json!("Equals"),
                &["GreaterThanOrEqualToThreshold", "LessThanThreshold"],
            ),
        ]);
        let mut beside = json!({});
        put(&mut beside, &at("evaluation_periods"), json!(2));
        faults.push(with(
            &at("datapoints_to_alarm"),
            json!(3),
            beside,
            &["at most evaluation_periods (2)"],
        ));
        let mut beside = json!({});
        put(&mut beside, &at("period"), json!(60));
        faults.push(with(
            &at("evaluation_periods"),
            json!(1441),
            beside.clone(),
            &["from 1 to 1440"],
        ));
        put(&mut beside, &at("period"), json!(3540));
        faults.push(with(
            &at("evaluation_periods"),
            json!(25),
            beside.clone(),
            &["88500 s", "at most 86400 s"],
        ));
        put(&mut beside, &at("period"), json!(7200));
        faults.push(with(
            &at("evaluation_periods"),
            json!(85),
            beside,
            &["612000 s", "at most 604800 s"],
        ));
    }
    for function in ["processing", "integration"] {
        let reserved = format!("{function}.reserved_concurrent_executions");
        faults.push(fault(&reserved, json!(-2), &["from -1"]));
    }
    faults.extend([
        fault(
            "log_retention_in_days",
            json!(2),
            &["0, 1, 3, 5, 7, 14, 30"],
        ),
        fault(
            "queue.visibility_timeout_seconds",
            json!(43201),
            &["from 0 to 43200"],
        ),
        fault(
            "queue.visibility_timeout_seconds",
            json!(59),
            &["60 s", "59 s", "integration.timeout"],
        ),
        fault(
            "integration.timeout",
            json!(361),
            &["361 s", "360 s", "queue.visibility_timeout_seconds"],
        ),
        fault(
            "state_machine.callback_heartbeat_seconds",
            json!(0),
            &["from 1"],
        ),
        fault(
            "state_machine.callback_heartbeat_seconds",
            json!(86400),
            &["below the callback time-out (86400 s)"],
        ),
        fault(
            "state_machine.processing_retry.backoff_rate",
            json!(0.9),
            &["from 1"],
        ),
        fault(
            "state_machine.callback_timeout_seconds",
            json!(7_776_000),
            &["bucket.expiration_days", "90 days"],
        ),
        fault(
            "bucket.expiration_days",
            json!(1),
            &["state_machine.callback_timeout_seconds"],
        ),
        fault(
            "event_source.batch_size",
            json!(11),
            &[
                "event_source.maximum_batching_window_in_seconds",
                "at least 1",
            ],
        ),
    ]);
    told_each(&terraform, &faults)?;

    let mut good = Vec::new();
    for (at, least, most, low, high) in ranges {
        for (value, mut beside) in [(least, low), (most, high)] {
            put(&mut beside, &at, json!(value));
            good.push(beside);
        }
    }
    good.extend([
        json!({"queue": {"visibility_timeout_seconds": 1}, "integration": {"timeout": 1}}),
        json!({"queue": {"visibility_timeout_seconds": 43200}}),
        json!({"state_machine": {"callback_heartbeat_seconds": 86399}}),
        json!({"processing": {"reserved_concurrent_executions": 0}}),
        json!({"processing": {"alarms": {"errors": {"period": 60, "evaluation_periods": 1440, "threshold": 0}}}}),
    ]);
    terraform.rewrite(&configuration("", &good))?;
    let run = terraform.run(&["plan", "-json"])?;
    let told: Vec<String> = errors(&run)
        .iter()
        .map(|error| format!("{} {}", error["address"], said(error)))
        .collect();
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(inventory(&emulator.aws()).await?, Vec::<String>::new());
    Ok(())
}

/// An endpoint may have a password, which is no business of an error's.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_fit_keeps_its_password() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let lines = "  subscriptions = { ops = { protocol = \"http\", endpoint = \"https://user:hidden-word@example.com/\" } }\n";
    let text = Stage::text("", "orders", lines);
    let terraform = Terraform::configuration(&text, &emulator.environment())?;
    let run = terraform.run(&["validate", "-json"])?;
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    let detail = told["diagnostics"][0]["detail"]
        .as_str()
        .unwrap_or_default();
    assert!(detail.contains("does not fit the protocol http"), "{told}");
    assert!(
        detail.contains("example.com") && !detail.contains("hidden-word"),
        "{detail}"
    );
    Ok(())
}

/// Protocol, an endpoint that does not fit, what is needed.
const MISFITS: [(&str, &str, &str); 13] = [
    ("email", "operator", "an e-mail address"),
    ("email", "https://example.com", "an e-mail address"),
    ("email-json", "@example.com", "an e-mail address"),
    (
        "sqs",
        "https://sqs.eu-west-1.amazonaws.com",
        "the ARN of an SQS queue",
    ),
    (
        "sqs",
        "arn:aws:sns:eu-west-1:123456789012:q",
        "the ARN of an SQS queue",
    ),
    (
        "sqs",
        "arn:aws:sqs:eu-west-1:123456789012:q.fifo",
        "no FIFO queue",
    ),
    ("lambda", "my-function", "the ARN of a Lambda function"),
    ("https", "http://example.com", "https://"),
    ("http", "https://example.com", "http://"),
    ("sms", "call me", "a phone number"),
    ("sms", "491701234567", "a phone number with +"),
    (
        "firehose",
        "arn:aws:sqs:eu-west-1:123456789012:q",
        "the ARN of a Firehose delivery stream",
    ),
    (
        "application",
        "operator@example.com",
        "the ARN of an SNS platform endpoint",
    ),
];

/// Every fault that the configuration alone shows, in one plan.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn each_fault_is_told_on_its_argument() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let terraform = Terraform::configuration(&configuration("", &[]), &emulator.environment())?;
    let long = |length: usize| "x".repeat(length);
    let mut faults = vec![
        fault(
            "name",
            json!("Orders"),
            &["\"Orders\"", "small letters, digits and hyphens"],
        ),
        fault(
            "name",
            json!("-orders"),
            &["beginning and ending with a letter or a digit"],
        ),
        fault("name", json!(""), &["small letters"]),
        fault("name", json!("bestellungen-süd"), &["small letters"]),
        fault("environment", json!("prod_1"), &["small letters"]),
        fault(
            "kms_key_arn",
            json!("alias/mine"),
            &["\"alias/mine\"", "the ARN of a key of kms"],
        ),
        fault(
            "kms_key_arn",
            json!("arn:aws:kms:eu-west-1:123456789012:alias/mine"),
            &["the ARN of a key of kms", ":key/"],
        ),
        fault(
            "kms_key_arn",
            json!("arn:aws:kms:eu-west-1:123456789012:key/"),
            &["the ARN of a key of kms"],
        ),
        fault(
            "kms_key_arn",
            json!("arn:aws-cn:kms:eu-west-1:123456789012:key/1"),
            &["the ARN of a key of kms"],
        ),
        with(
            "key",
            json!({"description": "mine"}),
            json!({"kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1"}),
            &["kms_key_arn"],
        ),
        fault(
            "iam_path",
            json!("pipelines"),
            &["begins and ends with `/`"],
        ),
        fault(
            "bucket.outbound_queue_arn",
            json!("work"),
            &["\"work\"", "the ARN of a standard SQS queue"],
        ),
        fault(
            "bucket.outbound_queue_arn",
            json!("arn:aws:sqs:eu-west-1:123456789012:work.fifo"),
            &["the ARN of a standard SQS queue"],
        ),
        with(
            "key.rotation_period_in_days",
            json!(90),
            json!({"key": {"enable_key_rotation": false}}),
            &["no period", "enable_key_rotation"],
        ),
        fault(
            "permissions_boundary",
            json!("boundary"),
            &["the ARN of a policy of iam"],
        ),
        fault(
            "permissions_boundary",
            json!("arn:aws:iam::123456789012:role/deployer"),
            &["the ARN of a policy of iam"],
        ),
        fault(
            "topic.display_name",
            json!(""),
            &["0 characters", "1 to 100"],
        ),
        fault(
            "topic.display_name",
            json!("two\nlines"),
            &["control character"],
        ),
        with(
            "processing.s3_key",
            json!(""),
            json!({"processing": {"s3_bucket": "code"}}),
            &["0 characters", "1 to 1024"],
        ),
        fault(
            "bucket.inbound_prefix",
            json!(format!("{}/", "a".repeat(512))),
            &["513 characters", "at most 512"],
        ),
        fault(
            "tags.aws:stage",
            json!("x"),
            &["aws:stage", "AWS keeps for itself"],
        ),
        fault(
            "tags.bellflower:pipeline",
            json!("x"),
            &["bellflower:pipeline"],
        ),
        fault(
            "tags.Bellflower:Pipeline",
            json!("x"),
            &["Bellflower:Pipeline"],
        ),
        fault(
            "tags.bellflower:made-at",
            json!("x"),
            &["bellflower:made-at"],
        ),
        fault(
            &format!("tags.{}", long(129)),
            json!("x"),
            &["1 to 128 characters", "129"],
        ),
        fault(
            "tags.stage",
            json!(long(257)),
            &["at most 256 characters", "257"],
        ),
        fault(
            "tags.stage",
            json!("<prod>"),
            &["stage", "'<'", "_ . : / = + - @"],
        ),
        fault("tags.a,b", json!("x"), &["\"a,b\"", "','"]),
        with(
            "tags.stage",
            json!("x"),
            json!({"tags": {"Stage": "x"}}),
            &["Stage", "differ in their case alone"],
        ),
        fault(
            "tags",
            (0..50)
                .map(|number| (format!("k{number}"), json!("v")))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            &["50 tags are too many", "Bellflower needs two"],
        ),
        fault("key.alias", json!("mine"), &["alias/"]),
        fault("key.alias", json!("alias/aws/mine"), &["alias/aws/"]),
        fault(
            "key.alias",
            json!(format!("alias/{}", long(251))),
            &["KMS key alias", "257 characters", "256"],
        ),
        fault(
            "key.description",
            json!(long(8193)),
            &["8193 characters", "8192"],
        ),
        fault("bucket.bucket", json!("My-Bucket"), &["S3 bucket", "'M'"]),
        fault(
            "bucket.bucket",
            json!(long(64)),
            &["S3 bucket", "64 characters", "at most 63"],
        ),
        fault("bucket.bucket", json!("a..b"), &["point"]),
        fault("bucket.bucket", json!("ab"), &["S3 bucket", "3"]),
        fault(
            "bucket.bucket",
            json!("192.168.5.4"),
            &["S3 bucket", "IP address"],
        ),
        fault("bucket.bucket", json!("xn--orders"), &["begins with xn--"]),
        fault(
            "bucket.bucket",
            json!("sthree-orders"),
            &["begins with sthree-"],
        ),
        fault(
            "bucket.bucket",
            json!("amzn-s3-demo-orders"),
            &["begins with amzn-s3-demo-"],
        ),
        fault(
            "bucket.bucket",
            json!("orders-s3alias"),
            &["ends with -s3alias"],
        ),
        fault(
            "bucket.bucket",
            json!("orders--ol-s3"),
            &["ends with --ol-s3"],
        ),
        fault("bucket.bucket", json!("orders.mrap"), &["ends with .mrap"]),
        fault(
            "bucket.bucket",
            json!("orders--x-s3"),
            &["ends with --x-s3"],
        ),
        fault(
            "bucket.bucket",
            json!("orders--table-s3"),
            &["ends with --table-s3"],
        ),
        fault("bucket.bucket", json!("orders-an"), &["ends with -an"]),
        fault("bucket.inbound_prefix", json!("/in/"), &["/"]),
        fault("bucket.inbound_prefix", json!("in"), &["/"]),
        fault("bucket.outbound_prefix", json!(""), &["/"]),
        fault("bucket.inbound_prefix", json!("outbound/"), &["overlap"]),
        fault("bucket.inbound_prefix", json!("outbound/in/"), &["overlap"]),
        fault(
            "bucket.outbound_prefix",
            json!("inbound/out/"),
            &["overlap"],
        ),
        fault(
            "queue.name",
            json!("orders.fifo"),
            &["SQS queue", "FIFO", "standard"],
        ),
        fault("queue.name", json!("or.ders"), &["SQS queue", "'.'"]),
        fault(
            "dead_letter_queue.name",
            json!("orders.fifo"),
            &["SQS queue", "standard"],
        ),
        fault(
            "topic.name",
            json!("orders.fifo"),
            &["SNS topic", "standard"],
        ),
        fault(
            "queue.name",
            json!(long(81)),
            &["SQS queue", "81 characters", "80"],
        ),
        fault("dead_letter_queue.name", json!(""), &["SQS queue", "empty"]),
        fault("topic.name", json!("my topic"), &["SNS topic", "' '"]),
        fault(
            "topic.name",
            json!(long(257)),
            &["SNS topic", "257 characters", "256"],
        ),
        fault(
            "topic.display_name",
            json!(long(101)),
            &["101 characters", "100"],
        ),
        fault(
            "processing.function_name",
            json!(long(65)),
            &["Lambda function", "65 characters", "64"],
        ),
        fault("processing.role.name", json!("a/b"), &["IAM role", "'/'"]),
        fault(
            "integration.function_name",
            json!("a b"),
            &["Lambda function", "' '"],
        ),
        fault(
            "integration.role.name",
            json!(long(65)),
            &["IAM role", "65 characters", "64"],
        ),
        fault(
            "state_machine.name",
            json!(long(81)),
            &["state machine", "81 characters", "80"],
        ),
        fault("state_machine.role.name", json!("ä"), &["IAM role", "'ä'"]),
        fault(
            "processing.architectures",
            json!(["sparc"]),
            &["x86_64", "arm64"],
        ),
        fault(
            "processing.architectures",
            json!(["x86_64", "arm64"]),
            &["one entry"],
        ),
        fault("integration.architectures", json!([]), &["one entry"]),
        fault(
            "processing.tracing_mode",
            json!("Off"),
            &["Active", "PassThrough"],
        ),
        fault(
            "processing.runtime",
            json!("python3.13"),
            &["filename", "s3_bucket"],
        ),
        fault(
            "processing.handler",
            json!("main.handler"),
            &["filename", "s3_bucket"],
        ),
        fault(
            "processing.variables",
            json!({"1ST": "x"}),
            &["1ST", "letters, digits and underscores"],
        ),
        fault(
            "processing.variables",
            json!({"BIG": long(4087)}),
            &["4097 bytes", "4,096"],
        ),
        fault(
            "processing.variables",
            json!({"AWS_REGION": "eu-west-1"}),
            &["AWS_REGION", "itself"],
        ),
        fault("processing.s3_bucket", json!("code"), &["s3_key"]),
        fault("processing.s3_key", json!("code.zip"), &["s3_bucket"]),
        fault("processing.s3_object_version", json!("1"), &["s3_key"]),
        with(
            "processing.filename",
            json!("code.zip"),
            json!({"processing": {"s3_bucket": "code", "s3_key": "code.zip"}}),
            &["not from both"],
        ),
        fault(
            "state_machine.log_level",
            json!("DEBUG"),
            &["ALL", "ERROR", "FATAL", "OFF"],
        ),
    ];
    for timeout in ["create", "read", "update", "delete"] {
        faults.push(fault(
            &format!("timeouts.{timeout}"),
            json!("soon"),
            &["\"soon\"", "20m"],
        ));
        for (short, word) in [
            ("0s", "1s and more"),
            ("20ms", "1s and more"),
            ("-1m", "20m"),
            ("20M", "7d and less"),
        ] {
            faults.push(fault(
                &format!("timeouts.{timeout}"),
                json!(short),
                &[&format!("\"{short}\""), word],
            ));
        }
    }
    for (protocol, endpoint, needed) in MISFITS {
        let mut subscription = json!({"protocol": protocol});
        if protocol == "firehose" {
            subscription["subscription_role_arn"] =
                json!("arn:aws:iam::123456789012:role/firehose");
        }
        faults.push(with(
            "subscriptions.ops.endpoint",
            json!(endpoint),
            json!({"subscriptions": {"ops": subscription}}),
            &[protocol, endpoint, needed],
        ));
    }
    for (at, value, protocol, endpoint, words) in [
        (
            "protocol",
            json!("fax"),
            "",
            "1",
            &["email", "sqs", "lambda", "https"][..],
        ),
        (
            "protocol",
            json!("firehose"),
            "",
            "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x",
            &["subscription_role_arn"],
        ),
        (
            "raw_message_delivery",
            json!(true),
            "email",
            "a@example.com",
            &["sqs, http, https and firehose"],
        ),
        (
            "filter_policy",
            json!("{"),
            "email",
            "a@example.com",
            &["JSON"],
        ),
        (
            "filter_policy",
            json!("[]"),
            "email",
            "a@example.com",
            &["a JSON array", "needed is a JSON object"],
        ),
        (
            "filter_policy",
            json!("{\"status\": {\"is\": [\"FAILED\"]}}"),
            "email",
            "a@example.com",
            &["\"status\"", "an array of values", "MessageBody"],
        ),
        (
            "filter_policy_scope",
            json!("MessageBody"),
            "email",
            "a@example.com",
            &["filter_policy"],
        ),
        (
            "redrive_policy",
            json!("queue"),
            "email",
            "a@example.com",
            &["JSON object"],
        ),
        (
            "redrive_policy",
            json!("{\"deadLetterTargetArn\": \"arn:aws:sqs:eu-west-1:123456789012:q.fifo\"}"),
            "email",
            "a@example.com",
            &["deadLetterTargetArn", "standard SQS queue"],
        ),
        (
            "subscription_role_arn",
            json!("role"),
            "firehose",
            "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x",
            &["the ARN of a role of iam"],
        ),
        (
            "subscription_role_arn",
            json!("arn:aws:iam::123456789012:role/firehose"),
            "email",
            "a@example.com",
            &["for firehose", "email"],
        ),
    ] {
        let mut subscription = json!({"endpoint": endpoint});
        if !protocol.is_empty() {
            subscription["protocol"] = json!(protocol);
        }
        let at = format!("subscriptions.ops.{at}");
        faults.push(with(
            &at,
            value,
            json!({"subscriptions": {"ops": subscription}}),
            words,
        ));
    }
    told_each(&terraform, &faults)?;
    assert_eq!(inventory(&emulator.aws()).await?, Vec::<String>::new());
    Ok(())
}

/// Faults that show when account, region and files are looked at: told by the plan, too.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn faults_that_follow_from_place_and_files() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let terraform = Terraform::configuration(&configuration("", &[]), &emulator.environment())?;
    let folder = terraform.directory();
    std::fs::write(folder.join("not.zip"), "PLAIN TEXT").unwrap();
    std::fs::write(folder.join("empty.zip"), "").unwrap();
    std::fs::write(folder.join("short.zip"), b"PK\x03\x04").unwrap();
    std::fs::create_dir(folder.join("folder.zip")).unwrap();
    let derived = |name: &str, environment: &str| {
        Names::derived(name, environment, emulator.account(), emulator.region())
    };
    let count = |name: &str| format!("{} characters", name.len());
    let (long, longer) = (
        "orders-of-the-day",
        "orders-of-customers-who-pay-on-delivery",
    );
    let bucket = count(&derived(long, "devl").bucket);
    let environment = count(&derived("orders", "development-of-the-team").bucket);
    let role = count(&derived(longer, "devl").integration_role);
    let mut faults = vec![
        fault(
            "name",
            json!(long),
            &["S3 bucket", &bucket, "at most 63", "bucket.bucket"],
        ),
        with(
            "environment",
            json!("development-of-the-team"),
            json!({"name": "orders"}),
            &["S3 bucket", &environment, "at most 63"],
        ),
        with(
            "name",
            json!(longer),
            json!({
                "bucket": {"bucket": "short"},
                "processing": {"role": {"name": "short"}, "function_name": "short"},
                "integration": {"function_name": "short-too"},
                "state_machine": {"role": {"name": "short-too"}, "name": "short"},
            }),
            &["IAM role", &role, "at most 64", "integration.role.name"],
        ),
        fault(
            "kms_key_arn",
            json!("arn:aws:kms:eu-north-1:123456789012:key/1"),
            &["eu-north-1", "us-east-1"],
        ),
        fault(
            "permissions_boundary",
            json!("arn:aws:iam::999999999999:policy/boundary"),
            &["999999999999", "123456789012"],
        ),
        fault(
            "permissions_boundary",
            json!("arn:aws-us-gov:iam::aws:policy/PowerUserAccess"),
            &["partition aws-us-gov", "one of aws."],
        ),
        with(
            "subscriptions.ops.subscription_role_arn",
            json!("arn:aws:iam::999999999999:role/firehose"),
            json!({"subscriptions": {"ops": {
                "protocol": "firehose",
                "endpoint": "arn:aws:firehose:us-east-1:123456789012:deliverystream/notices",
            }}}),
            &["999999999999", "123456789012"],
        ),
        with(
            "subscriptions.ops.endpoint",
            json!("arn:aws:sqs:us-east-1:123456789012:orders-queue-devl-us-east-1"),
            json!({"subscriptions": {"ops": {"protocol": "sqs"}}}),
            &["of this pipeline", "an endpoint of your own"],
        ),
        fault(
            "bucket.outbound_queue_arn",
            json!("arn:aws:sqs:us-east-1:123456789012:orders-queue-devl-us-east-1"),
            &["of this pipeline", "a queue of your own"],
        ),
        fault(
            "bucket.outbound_queue_arn",
            json!("arn:aws:sqs:eu-north-1:123456789012:work"),
            &["eu-north-1", "us-east-1"],
        ),
    ];
    for (file, why) in [
        ("missing.zip", "cannot be read"),
        ("folder.zip", "cannot be read"),
        ("not.zip", "is not a whole zip file"),
        ("empty.zip", "is not a whole zip file"),
        ("short.zip", "is not a whole zip file"),
        ("~/code.zip", "cannot be read"),
    ] {
        faults.push(fault("processing.filename", json!(file), &[file, why]));
    }
    faults.extend([
        with(
            "subscriptions.ops.redrive_policy",
            json!("{\"deadLetterTargetArn\": \"arn:aws:sqs:eu-north-1:123456789012:q\"}"),
            json!({"subscriptions": {"ops": {"protocol": "email", "endpoint": "a@example.com"}}}),
            &["eu-north-1", "own account and region"],
        ),
        // Two parts of a kind cannot share a name.
        with(
            "dead_letter_queue.name",
            json!("same"),
            json!({"queue": {"name": "same"}}),
            &["queue.name"],
        ),
        with(
            "integration.function_name",
            json!("same"),
            json!({"processing": {"function_name": "same"}}),
            &["processing.function_name"],
        ),
        with(
            "integration.role.name",
            json!("same"),
            json!({"processing": {"role": {"name": "same"}}}),
            &["processing.role.name"],
        ),
        with(
            "state_machine.role.name",
            json!("same"),
            json!({"integration": {"role": {"name": "same"}}}),
            &["integration.role.name"],
        ),
    ]);
    // arm64 packages are embedded where the toolchain could build them.
    for function in ["processing", "integration"] {
        if !bellflower_tests::environment::lambda_package(function, "arm64").is_file() {
            faults.push(fault(
                &format!("{function}.architectures"),
                json!(["arm64"]),
                &["carries no arm64 code", function],
            ));
        }
    }
    told_each(&terraform, &faults)?;
    assert_eq!(inventory(&emulator.aws()).await?, Vec::<String>::new());
    Ok(())
}

/// The provider block's own faults. Each row: the block's lines, where it is told, what the message holds.
#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_provider_block() -> Result<(), Error> {
    let rows: [(&str, &str, &[&str]); 16] = [
        ("region = \"EU West\"", "region", &["EU West", "eu-west-1"]),
        (
            "assume_role {\n    role_arn = \"arn:aws:iam::123456789012:role/deployer\"\n    duration = \"5m\"\n  }",
            "duration",
            &["5m", "15m to 12h"],
        ),
        (
            "assume_role {\n    role_arn = \"arn:aws:iam::123456789012:role/deployer\"\n    session_name = \"a b\"\n  }",
            "session_name",
            &["a b", "2 to 64"],
        ),
        (
            "assume_role {\n    role_arn = \"arn:aws:iam::123456789012:role/deployer\"\n    policy = \"nojson\"\n  }",
            "policy",
            &["JSON object"],
        ),
        (
            "default_tags {\n    tags = {\n      stage = \"<prod>\"\n    }\n  }",
            "stage",
            &["stage", "'<'", "_ . : / = + - @"],
        ),
        (
            "default_tags {\n    tags = {\n      \"aws:stage\" = \"prod\"\n    }\n  }",
            "\"aws:stage\"",
            &["AWS keeps for itself"],
        ),
        ("access_key = \"key\"", "access_key", &["secret_key"]),
        ("secret_key = \"secret\"", "secret_key", &["access_key"]),
        ("token = \"token\"", "token", &["access_key", "secret_key"]),
        ("max_retries = 101", "max_retries", &["0 to 100"]),
        ("max_retries = -1", "max_retries", &["0 to 100"]),
        (
            "custom_ca_bundle = \"/nowhere/ca.pem\"",
            "custom_ca_bundle",
            &["/nowhere/ca.pem"],
        ),
        (
            "endpoints {\n    all = \"localhost:4566\"\n  }",
            "all",
            &["localhost:4566", "https://"],
        ),
        (
            "endpoints {\n    sqs = \"ftp://x\"\n  }",
            "sqs",
            &["ftp://x", "https://"],
        ),
        (
            "assume_role {\n    role_arn = \"deployer\"\n  }",
            "role_arn",
            &["arn:aws:iam::123456789012:role/name"],
        ),
        (
            "assume_role {\n    role_arn = \"arn:aws:iam::123456789012:role/deployer\"\n    duration = \"long\"\n  }",
            "duration",
            &["\"long\"", "1h"],
        ),
    ];
    let emulator = MiniStack::start()?;
    let mut text = configuration("", &[]);
    for (number, (lines, _, _)) in rows.iter().enumerate() {
        let block = format!(
            "provider \"bellflower\" {{\n  alias = \"case_{number}\"\n  {lines}\n}}\n\
             resource \"{KIND}\" \"case_{number}\" {{\n  provider = bellflower.case_{number}\n  name = \"orders\"\n}}\n"
        );
        text.push_str(&block);
    }
    let terraform = Terraform::configuration(&text, &emulator.environment())?;
    let run = terraform.run(&["plan", "-json"])?;
    let errors = errors(&run);
    for (number, (lines, at, words)) in rows.iter().enumerate() {
        let ending = format!(".case_{number}");
        let own: Vec<&Value> = errors
            .iter()
            .filter(|error| {
                error["address"]
                    .as_str()
                    .is_some_and(|address| address.ends_with(&ending))
            })
            .collect();
        assert_eq!(own.len(), 1, "{lines}: {errors:#?}");
        let code = own[0]["snippet"]["code"].as_str().unwrap_or_default();
        assert!(code.trim_start().starts_with(at), "{lines}: {:#}", own[0]);
        assert!(
            words.iter().all(|word| said(own[0]).contains(word)),
            "{lines}: {:#}",
            own[0]
        );
    }
    Ok(())
}

/// What Terraform runs in is wrong: one error that names operation and cause. Each row: what is set or removed, the provider
/// block, what the message holds.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_runs_in_is_wrong() -> Result<(), Error> {
    type Setting = (&'static str, Option<&'static str>);
    let rows: [(&str, &[Setting], &[&str]); 9] = [
        (
            "a region that is none",
            &[("AWS_REGION", Some("EU West"))],
            &["EU West", "AWS_REGION"],
        ),
        (
            "an endpoint that is no URL",
            &[("AWS_ENDPOINT_URL", Some("localhost:4566"))],
            &["localhost:4566", "https://"],
        ),
        (
            "no credentials",
            &[("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None)],
            &[
                "sts:GetCallerIdentity",
                "No usable credentials",
                "AWS_ACCESS_KEY_ID",
            ],
        ),
        (
            "a profile that is not there",
            &[("AWS_ACCESS_KEY_ID", None), ("AWS_PROFILE", Some("nobody"))],
            &["nobody"],
        ),
        (
            "credentials that AWS does not know",
            &[("AWS_ACCESS_KEY_ID", Some("AKIAAAAAAAAAAAAAAAAA"))],
            &["sts:GetCallerIdentity", "InvalidClientTokenId"],
        ),
        (
            "no region",
            &[("AWS_REGION", None)],
            &["region", "AWS_REGION"],
        ),
        (
            "an endpoint where nothing listens",
            &[("AWS_ENDPOINT_URL", Some("https://127.0.0.1:1"))],
            &[
                "sts:GetCallerIdentity",
                "Connection refused",
                "https://127.0.0.1:1",
            ],
        ),
        (
            "an endpoint whose certificate nobody vouches for",
            &[("AWS_CA_BUNDLE", None)],
            &["sts:GetCallerIdentity", "certificate"],
        ),
        (
            "a CA bundle that is not there",
            &[("AWS_CA_BUNDLE", Some("/nowhere/ca.pem"))],
            &["/nowhere/ca.pem"],
        ),
    ];
    let emulator = MiniStack::start()?;
    let mut wrong = Vec::new();
    for (what, settings, words) in rows {
        let mut terraform =
            Terraform::configuration(&Stage::text("", "orders", ""), &emulator.environment())?;
        for (name, value) in settings {
            terraform.set(name, *value);
        }
        let started = std::time::Instant::now();
        let run = terraform.run(&["plan", "-json"])?;
        let errors = errors(&run);
        let told: Vec<String> = errors.iter().map(said).collect();
        if told.len() != 1 || !words.iter().all(|word| told[0].contains(word)) || run.code != 1 {
            wrong.push(format!("{what}: wanted {words:?}, told {told:#?}"));
        }
        assert!(
            started.elapsed().as_secs() < 60,
            "{what} took {:?}",
            started.elapsed()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(inventory(&emulator.aws()).await?, Vec::<String>::new());
    Ok(())
}

/// A service that denies everything, in its own wire form: status line and headers, body. Its URL.
fn denying(content_type: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let deny = move |stream: TcpStream| {
        let mut stream = stream;
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let head = request.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                if request.len() >= head + 4 + length.unwrap_or(0_usize) {
                    break;
                }
            }
            match stream.read(&mut part) {
                Ok(0) | Err(_) => return,
                Ok(count) => request.extend_from_slice(&part[..count]),
            }
        }
        let _ = write!(
            stream,
            "HTTP/1.1 403 Forbidden\r\nContent-Type: {content_type}\r\nx-amzn-requestid: denied-by-a-test\r\nx-amz-request-id: denied-by-a-test\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || deny(stream));
        }
    });
    url
}

const JSON: (&str, &str) = (
    "application/x-amz-json-1.0",
    r#"{"__type": "com.amazonaws#AccessDeniedException", "message": "you may not look", "Message": "you may not look"}"#,
);
const QUERY: (&str, &str) = (
    "text/xml",
    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>you may not look</Message></Error>\
     <RequestId>denied-by-a-test</RequestId></ErrorResponse>",
);
const S3: (&str, &str) = (
    "application/xml",
    "<Error><Code>AccessDenied</Code><Message>you may not look</Message><RequestId>denied-by-a-test</RequestId></Error>",
);

/// Each service in turn denies everything: the errors name operation, object, cause and request id, and nothing is made.
#[tokio::test(flavor = "multi_thread")]
async fn access_denied() -> Result<(), Error> {
    let rows = [
        ("iam", "iam:", QUERY),
        ("kms", "kms:", JSON),
        ("lambda", "lambda:", JSON),
        ("cloudwatchlogs", "logs:", JSON),
        ("s3", "s3:", S3),
        ("sfn", "states:", JSON),
        ("sns", "sns:", QUERY),
        ("sqs", "sqs:", JSON),
        ("sts", "sts:", QUERY),
    ];
    let emulator = MiniStack::start()?;
    let terraform =
        Terraform::configuration(&Stage::text("", "orders", ""), &emulator.environment())?;
    for (service, prefix, (content_type, body)) in rows {
        let provider = format!(
            "endpoints {{\n{service} = \"{}\"\n}}",
            denying(content_type, body)
        );
        terraform.rewrite(&Stage::text(&provider, "orders", ""))?;
        let run = terraform.run(&["apply", "-auto-approve", "-json"])?;
        let errors = errors(&run);
        assert!(
            !errors.is_empty() && run.code == 1,
            "{service}: {}",
            run.stdout
        );
        for error in &errors {
            let said = said(error);
            assert!(said.starts_with(prefix), "{service}: {said}");
            for word in [
                "AccessDenied",
                "you may not look",
                "request id denied-by-a-test",
            ] {
                assert!(said.contains(word), "{service}: {word} in {said}");
            }
            // The object: a name, or whose credentials.
            assert!(
                said.contains("orders-") || service == "sts",
                "{service}: {said}"
            );
        }
        assert_eq!(
            inventory(&emulator.aws()).await?,
            Vec::<String>::new(),
            "{service}"
        );
        assert_eq!(
            terraform.expect(&["state", "list"])?.stdout,
            "",
            "{service}"
        );
    }
    Ok(())
}

/// A right is missing for one call in the middle: what exists is in the state, and the next apply, with the right, ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_is_missing_halfway() -> Result<(), Error> {
    let mut stage = Stage::new("").await?;
    let iam = stage.aws.iam.clone();
    iam.create_user()
        .user_name("deployer")
        .send()
        .await
        .unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "states:CreateStateMachine", "Resource": "*"},
    ]});
    let call = iam
        .put_user_policy()
        .user_name("deployer")
        .policy_name("almost-everything");
    call.policy_document(policy.to_string())
        .send()
        .await
        .unwrap();
    let key = iam
        .create_access_key()
        .user_name("deployer")
        .send()
        .await
        .unwrap();
    let key = key.access_key().unwrap();
    let owner = stage.emulator.account().to_owned();
    stage
        .terraform
        .set("AWS_ACCESS_KEY_ID", Some(key.access_key_id()));
    stage
        .terraform
        .set("AWS_SECRET_ACCESS_KEY", Some(key.secret_access_key()));

    let run = stage.terraform.run(&["apply", "-auto-approve", "-json"])?;
    let errors = errors(&run);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    for word in [
        "states:CreateStateMachine",
        &stage.names.state_machine,
        "AccessDenied",
    ] {
        assert!(
            said(&errors[0]).contains(word),
            "{word} in {}",
            said(&errors[0])
        );
    }
    // All that does not stand on it is there and known.
    assert_eq!(
        stage.state()?["queue"]["arn"],
        stage.arn("sqs", &stage.names.queue)
    );
    let observed = stage.observe().await;
    assert_eq!(observed["processing"]["state"], "Active");
    assert_eq!(
        observed["state_machine"]["error"],
        "StateMachineDoesNotExist"
    );

    stage.terraform.set("AWS_ACCESS_KEY_ID", Some(&owner));
    stage.terraform.set("AWS_SECRET_ACCESS_KEY", Some("secret"));
    stage
        .terraform
        .expect(&["untaint", bellflower_tests::ADDRESS])?;
    stage.terraform.apply()?;
    let after = stage.observe().await;
    assert_eq!(after["state_machine"]["status"], "ACTIVE");
    assert_eq!(after["queue"], observed["queue"]);
    let again = stage.terraform.plan()?;
    assert!(matches!(again, Plan::NoChanges), "{again:?}");
    Ok(())
}

/// A name is taken: one error names part and name; what is there stays as it is, and nothing else is made. Each row: the kind
/// as the error names it (or what is made, where there are two of a kind), and the name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_by_somebody_else() -> Result<(), Error> {
    type Name = fn(&Names) -> String;
    let rows: [(&str, &str, Name); 11] = [
        ("KMS key", "KMS key", |names| names.key_alias.clone()),
        ("S3 bucket", "S3 bucket", |names| names.bucket.clone()),
        ("SQS queue", "SQS queue", |names| names.queue.clone()),
        ("undeliverable queue", "SQS queue", |names| {
            names.undeliverable_queue.clone()
        }),
        ("dead-letter queue", "SQS queue", |names| {
            names.dead_letter_queue.clone()
        }),
        ("SNS topic", "SNS topic", |names| names.topic.clone()),
        ("IAM role", "IAM role", |names| {
            names.integration_role.clone()
        }),
        ("log group", "log group", |names| {
            format!("/aws/lambda/{}", names.processing)
        }),
        ("Lambda function", "Lambda function", |names| {
            names.processing.clone()
        }),
        ("alarm", "alarm", |names| {
            format!("{}-errors", names.processing)
        }),
        ("state machine", "state machine", |names| {
            names.state_machine.clone()
        }),
    ];
    let emulator = MiniStack::start()?;
    let aws = emulator.aws();
    let role = somebody::role(&aws, "somebody").await;
    let terraform =
        Terraform::configuration(&Stage::text("", "orders", ""), &emulator.environment())?;
    for (number, (kind, title, name)) in rows.into_iter().enumerate() {
        let pipeline = format!("taken-{number}");
        let names = Names::derived(&pipeline, "devl", emulator.account(), emulator.region());
        somebody::occupy(&aws, kind, &names, &role).await;
        let (before, seen) = (inventory(&aws).await?, observe(&aws, &names).await);
        terraform.rewrite(&Stage::text("", &pipeline, ""))?;
        let run = terraform.run(&["apply", "-auto-approve", "-json"])?;
        let errors = errors(&run);
        assert_eq!(errors.len(), 1, "{kind}: {errors:#?}");
        let said = said(&errors[0]);
        for word in [title, &name(&names), "left as it is"] {
            assert!(said.contains(word), "{kind}: {word} in {said}");
        }
        assert_eq!(inventory(&aws).await?, before, "{kind}");
        assert_eq!(
            differences(&seen, &observe(&aws, &names).await),
            [].into(),
            "{kind}"
        );
        assert_eq!(terraform.expect(&["state", "list"])?.stdout, "", "{kind}");
    }
    Ok(())
}

/// A part of one pipeline is no part of another: the error says whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_by_another_pipeline() -> Result<(), Error> {
    let emulator = MiniStack::start()?;
    let aws = emulator.aws();
    let first = json!({"name": "first", "topic": {"name": "shared"}});
    let second = json!({"name": "second", "topic": {"name": "shared"}});
    let terraform = Terraform::configuration(
        &configuration("", std::slice::from_ref(&first)),
        &emulator.environment(),
    )?;
    terraform.apply()?;
    let before: BTreeSet<String> = inventory(&aws).await?.into_iter().collect();
    terraform.rewrite(&configuration("", &[first.clone(), second]))?;
    let run = terraform.run(&["apply", "-auto-approve", "-json"])?;
    let errors = errors(&run);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    for word in ["SNS topic", "\"shared\"", "first/devl"] {
        assert!(
            said(&errors[0]).contains(word),
            "{word} in {}",
            said(&errors[0])
        );
    }
    let after: BTreeSet<String> = inventory(&aws).await?.into_iter().collect();
    assert_eq!(after, before);
    terraform.rewrite(&configuration("", &[first]))?;
    let again = terraform.plan()?;
    assert!(matches!(again, Plan::NoChanges), "{again:?}");
    Ok(())
}
