//! Changes in place that need more than another value: code of one's own, every alarm, every attribute of a subscription, and
//! what only destroy shows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use bellflower_tests::{DESTROY, Error, PIPELINE_ALARMS, Plan, Run, Stage, differences};
use serde_json::{Value, json};

use super::arguments::{arguments, hcl, put};
use super::somebody;
use sha2::Digest as _;

/// Applies the block's lines as an update in place, and sees that nothing is left to do.
fn applied_in_place(stage: &Stage, arguments: &str) -> Result<(), Error> {
    stage.set(arguments)?;
    let Plan::Changes(plan) = stage.terraform.plan()? else {
        panic!("nothing to do for {arguments}");
    };
    assert!(plan.contains("will be updated in-place"), "{plan}");
    assert!(!plan.contains("forces replacement"), "{plan}");
    stage.terraform.apply()?;
    let again = stage.terraform.plan()?;
    assert!(matches!(again, Plan::NoChanges), "{again:?}");
    Ok(())
}

/// A zip with one file of this text, and its SHA-256 as Lambda tells it.
pub fn zip(text: &str) -> (Vec<u8>, String) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("main.py", options).unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&bytes));
    (bytes, hash)
}

/// The SHA-256 of the code that the processing function has.
pub async fn code(stage: &Stage) -> String {
    let get = stage.aws.lambda.get_function_configuration();
    let told = get.function_name(&stage.names.processing).send().await;
    told.unwrap().code_sha256.unwrap_or_default()
}

/// From the code that comes with the provider to a file, to another content of that file, to an object in S3, to another
/// version of that object, and back.
#[tokio::test(flavor = "multi_thread")]
async fn code_of_ones_own_comes_and_goes() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;

    let path = stage.terraform.directory().join("code.zip");
    let own = |hash: &str, architecture: &str| {
        let mut expected = BTreeMap::from([
            ("/processing/code_sha256".to_owned(), json!(hash)),
            ("/processing/runtime".to_owned(), json!("python3.13")),
            ("/processing/handler".to_owned(), json!("main.handler")),
        ]);
        if architecture != "x86_64" {
            expected.insert(
                "/processing/architectures/0".to_owned(),
                json!(architecture),
            );
        }
        expected
    };
    for text in ["one", "another"] {
        let (bytes, hash) = zip(text);
        std::fs::write(&path, bytes).unwrap();
        applied_in_place(
            &stage,
            r#"processing = { filename = "code.zip", runtime = "python3.13", handler = "main.handler" }"#,
        )?;
        let found = differences(&before, &stage.observe().await);
        assert_eq!(found, own(&hash, "x86_64"), "{text}");
        assert_eq!(stage.state()?["processing"]["code_sha256"], json!(hash));
    }

    let s3 = &stage.aws.s3;
    somebody::bucket(&stage, "code").await;
    let versions = aws_sdk_s3::types::VersioningConfiguration::builder()
        .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
        .build();
    let call = s3.put_bucket_versioning().bucket("code");
    call.versioning_configuration(versions)
        .send()
        .await
        .unwrap();
    for text in ["third", "fourth"] {
        let (bytes, hash) = zip(text);
        let call = s3.put_object().bucket("code").key("processing.zip");
        let put = call.body(ByteStream::from(bytes)).send().await.unwrap();
        let version = put.version_id.unwrap();
        applied_in_place(
            &stage,
            &format!(
                r#"processing = {{
                  s3_bucket = "code"
                  s3_key = "processing.zip"
                  s3_object_version = "{version}"
                  runtime = "python3.13"
                  handler = "main.handler"
                  architectures = ["arm64"]
                }}"#
            ),
        )?;
        let found = differences(&before, &stage.observe().await);
        assert_eq!(found, own(&hash, "arm64"), "{text}");
    }

    applied_in_place(&stage, "")?;
    let found = differences(&before, &stage.observe().await);
    assert_eq!(found, BTreeMap::new());
    Ok(())
}

/// The alarms' names as arguments, and CloudWatch's names of the metrics.
const ALARMS: [(&str, &str); 5] = [
    ("invocations", "Invocations"),
    ("errors", "Errors"),
    ("throttles", "Throttles"),
    ("duration", "Duration"),
    ("concurrent_executions", "ConcurrentExecutions"),
];

const FUNCTIONS: [&str; 2] = ["processing", "integration"];

/// All alarms: every argument another value, then left out, then back as they were.
#[tokio::test(flavor = "multi_thread")]
async fn every_alarm_changes_goes_and_comes_back() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let rows = [
        ("threshold", json!(7.5), "threshold"),
        ("period", json!(120), "period"),
        ("evaluation_periods", json!(7), "evaluation_periods"),
        ("datapoints_to_alarm", json!(6), "datapoints"),
        (
            "comparison_operator",
            json!("GreaterThanThreshold"),
            "operator",
        ),
    ];
    let known: BTreeSet<&str> = rows.iter().map(|row| row.0).chain(["enabled"]).collect();
    let all: BTreeSet<String> = arguments(&stage.terraform, |_| true)?
        .into_iter()
        .filter(|path| format!(".{path}").contains(".alarms."))
        .collect();
    // Where each stands as an argument, and where AWS shows it.
    let of_functions = FUNCTIONS.into_iter().flat_map(|function| {
        ALARMS.map(|(alarm, metric)| {
            (
                format!("{function}.alarms.{alarm}"),
                format!("/{function}/alarms/{metric}"),
            )
        })
    });
    let of_pipeline =
        PIPELINE_ALARMS.map(|alarm| (format!("alarms.{alarm}"), format!("/alarms/{alarm}")));
    let mut expected = BTreeSet::new();
    let (mut changed, mut off) = (json!({}), json!({}));
    let (mut shows, mut gone) = (BTreeMap::new(), BTreeMap::new());
    for (alarm, seen) in of_functions.chain(of_pipeline) {
        expected.extend(known.iter().map(|argument| format!("{alarm}.{argument}")));
        for (argument, value, shown) in &rows {
            put(&mut changed, &format!("{alarm}.{argument}"), value.clone());
            // The period of a sum is in what the emulator does not keep.
            if !(alarm == "alarms.executions_failed" && *argument == "period") {
                shows.insert(format!("{seen}/{shown}"), value.clone());
            }
        }
        put(&mut off, &format!("{alarm}.enabled"), json!(false));
        gone.insert(seen, Value::Null);
    }
    assert_eq!(
        all, expected,
        "the schema has other arguments than the table"
    );

    stage.terraform.apply()?;
    let before = stage.observe().await;
    for (arguments, expected) in [(changed, shows), (off, gone), (json!({}), BTreeMap::new())] {
        applied_in_place(&stage, &hcl(&arguments))?;
        assert_eq!(differences(&before, &stage.observe().await), expected);
    }
    Ok(())
}

/// Subscriptions come, change and go. Each step: the argument, and what AWS has then, by protocol and endpoint.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn subscriptions_follow_their_argument() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    for name in ["listener", "second", "undelivered"] {
        let call = stage.aws.sqs.create_queue().queue_name(name);
        call.send().await.unwrap();
    }
    let [listener, second, undelivered] =
        ["listener", "second", "undelivered"].map(|name| stage.arn("sqs", name));
    let function = stage.arn("lambda", "function:theirs");
    stage.terraform.apply()?;
    let before = stage.observe().await;

    let redrive = json!({"deadLetterTargetArn": undelivered});
    let by_status = json!({"status": ["FAILED"]});
    let nested = json!({"result": {"status": ["Response Received"]}});
    let email = |endpoint: &str| json!({"protocol": "email", "endpoint": endpoint});
    let sqs = |endpoint: &str| json!({"protocol": "sqs", "endpoint": endpoint});
    let with = |mut one: Value, more: Value| {
        one.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        one
    };
    let plain = json!({"RawMessageDelivery": "false", "FilterPolicy": null, "RedrivePolicy": null});
    let hook = json!({"protocol": "https", "endpoint": "https://example.com/hook"});
    let hook_label = "https https://example.com/hook".to_owned();
    let [to_listener, to_second] = [&listener, &second].map(|arn| format!("sqs {arn}"));
    let steps = [
        (
            "two are added",
            json!({"operator": email("operator@example.com"), "listener": sqs(&listener)}),
            vec![
                ("email operator@example.com".to_owned(), plain.clone()),
                (to_listener.clone(), plain.clone()),
            ],
        ),
        (
            "one gets everything",
            json!({"operator": email("operator@example.com"), "listener": with(sqs(&listener), json!({
                "raw_message_delivery": true,
                "filter_policy": nested.to_string(),
                "filter_policy_scope": "MessageBody",
                "redrive_policy": redrive.to_string(),
            }))}),
            vec![
                ("email operator@example.com".to_owned(), plain.clone()),
                (
                    to_listener.clone(),
                    json!({
                        "RawMessageDelivery": "true",
                        "FilterPolicy": nested,
                        "FilterPolicyScope": "MessageBody",
                        "RedrivePolicy": redrive,
                    }),
                ),
            ],
        ),
        (
            "its filter looks elsewhere, the rest is taken away; the other has another endpoint",
            json!({"operator": email("night@example.com"), "listener": with(sqs(&listener), json!({
                "filter_policy": by_status.to_string(),
                "filter_policy_scope": "MessageAttributes",
            }))}),
            vec![
                ("email night@example.com".to_owned(), plain.clone()),
                (
                    to_listener.clone(),
                    json!({
                        "RawMessageDelivery": "false",
                        "FilterPolicy": by_status,
                        "FilterPolicyScope": "MessageAttributes",
                        "RedrivePolicy": null,
                    }),
                ),
            ],
        ),
        (
            "another queue, no filter; another protocol under the same name",
            json!({"operator": hook, "listener": sqs(&second)}),
            vec![
                (hook_label.clone(), plain.clone()),
                (to_second.clone(), plain.clone()),
            ],
        ),
        (
            "the same one under another name",
            json!({"operator": hook, "renamed": sqs(&second)}),
            vec![
                (hook_label, plain.clone()),
                (to_second.clone(), plain.clone()),
            ],
        ),
        (
            "one is removed",
            json!({"renamed": sqs(&second)}),
            vec![(to_second, plain.clone())],
        ),
        ("the last one is removed", json!({}), Vec::new()),
        (
            "a function is added",
            json!({"function": {"protocol": "lambda", "endpoint": function}}),
            vec![(format!("lambda {function}"), plain)],
        ),
        ("the argument is left out", Value::Null, Vec::new()),
    ];
    for (step, given, expected) in steps {
        // JSON is a legal expression of Terraform's language.
        let argument = match given {
            Value::Null => String::new(),
            given => format!("subscriptions = {given}"),
        };
        applied_in_place(&stage, &argument)?;
        let mut now = stage.observe().await;
        let found = now["topic"]["subscriptions"].take();
        let found = found.as_object().unwrap();
        let labels: BTreeSet<&String> = found.keys().collect();
        let wanted: BTreeSet<&String> = expected.iter().map(|(label, _)| label).collect();
        assert_eq!(labels, wanted, "{step}");
        for (label, attributes) in &expected {
            for (name, value) in attributes.as_object().unwrap() {
                let shown = found[label].get(name).cloned().unwrap_or_default();
                // A filter that lets all pass is none, and so is an empty text.
                let nothing = shown == json!({}) || shown == "" || shown == "false";
                let shown = if nothing { Value::Null } else { shown };
                let value = if value == "false" {
                    &Value::Null
                } else {
                    value
                };
                assert_eq!(shown, *value, "{step}: {name} of {label}");
            }
        }
        now["topic"]["subscriptions"] = json!({});
        assert_eq!(differences(&before, &now), BTreeMap::new(), "{step}");
    }
    Ok(())
}

/// The diagnostics of a command with `-json`: severity, summary and detail, and the line of code they are shown at.
fn told(run: &Run) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    run.stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| line["diagnostic"].clone())
        .filter(Value::is_object)
        .map(|told| {
            let said = format!("{}. {}", text(&told["summary"]), text(&told["detail"]));
            (
                text(&told["severity"]),
                said,
                text(&told["snippet"]["code"]),
            )
        })
        .collect()
}

/// The file that the code came from is gone: a plan says so, an apply ends there, and a destroy needs no file.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_package_stands_against_apply_but_not_against_destroy() -> Result<(), Error> {
    let lines = |file: &str, delay: u32| {
        format!(
            "processing = {{\n    filename = \"{file}\"\n    runtime = \"python3.13\"\n    handler = \"main.handler\"\n  }}\n  \
             queue = {{ delay_seconds = {delay} }}"
        )
    };
    let stage = Stage::new(&lines("code.zip", 0)).await?;
    let path = stage.terraform.directory().join("code.zip");
    std::fs::write(&path, zip("one").0).unwrap();
    stage.terraform.apply()?;
    let before = stage.observe().await;
    for (what, content) in [("gone", None), ("no zip", Some("PLAIN TEXT"))] {
        match content {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => std::fs::write(&path, text).unwrap(),
        }
        stage.set(&lines("code.zip", 5))?;
        for command in [&["plan", "-json"][..], &["apply", "-auto-approve", "-json"]] {
            let run = stage.terraform.run(command)?;
            let told = told(&run);
            let severity = if command[0] == "plan" {
                assert_eq!(run.code, 0, "{what}: {told:#?}");
                "warning"
            } else {
                assert_eq!(run.code, 1, "{what}: {told:#?}");
                "error"
            };
            let fits = |(is, said, code): &(String, String, String)| {
                is == severity
                    && said.contains("\"code.zip\"")
                    && code.trim_start().starts_with("filename")
            };
            assert!(told.iter().any(fits), "{what}, {command:?}: {told:#?}");
        }
        let after = differences(&before, &stage.observe().await);
        assert_eq!(after, BTreeMap::new(), "{what}");
    }

    // Another file than before that is not there is a slip of the pen, and an error at once.
    stage.set(&lines("other.zip", 0))?;
    let run = stage.terraform.run(&["plan", "-json"])?;
    let told_of_other = told(&run);
    assert!(
        run.code == 1
            && told_of_other
                .iter()
                .any(|(is, said, _)| is == "error" && said.contains("\"other.zip\"")),
        "{told_of_other:#?}"
    );

    // Not even where the function itself is gone.
    std::fs::remove_file(&path).unwrap();
    let delete = stage.aws.lambda.delete_function();
    let delete = delete.function_name(&stage.names.processing);
    delete.send().await.unwrap();
    stage.set(&lines("code.zip", 0))?;
    let run = stage
        .terraform
        .run(&["destroy", "-auto-approve", "-json"])?;
    assert_eq!((run.code, told(&run)), (0, Vec::new()));
    assert_eq!(stage.left().await?, Vec::<String>::new());
    Ok(())
}

/// Logging that is off has no destination, gets one when it is switched on, and loses it again.
#[tokio::test(flavor = "multi_thread")]
async fn logging_is_switched_off_and_on() -> Result<(), Error> {
    let lines = |level: &str| {
        format!("state_machine = {{ log_level = \"{level}\", include_execution_data = true }}")
    };
    let stage = Stage::new(&lines("OFF")).await?;
    stage.terraform.apply()?;
    let again = stage.terraform.plan()?;
    assert!(matches!(again, Plan::NoChanges), "{again:?}");
    let logging = async || stage.observe().await["state_machine"]["logging"].clone();
    let off = logging().await;
    assert_eq!(off["level"], json!("OFF"), "{off}");
    assert_eq!(off["destinations"], json!([]), "{off}");
    applied_in_place(&stage, &lines("ALL"))?;
    let on = logging().await;
    assert_eq!(on["destinations"].as_array().map(Vec::len), Some(1), "{on}");
    applied_in_place(&stage, &lines("OFF"))?;
    assert_eq!(logging().await, off);
    Ok(())
}

/// The folder object of a prefix that is no more goes with it, unless something lies under it.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_folder_goes_when_it_is_empty() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let objects = async || stage.observe().await["bucket"]["objects"].clone();
    assert_eq!(objects().await, json!(["inbound/", "outbound/"]));
    let work = "outbound/1/data.json";
    let call = stage.aws.s3.put_object().bucket(&stage.names.bucket);
    call.key(work).send().await.unwrap();
    let other = "bucket = { inbound_prefix = \"answers/\", outbound_prefix = \"work/\" }";
    stage.set(other)?;
    let run = stage.terraform.run(&["plan", "-no-color"])?;
    // Terraform tells warnings of one kind together.
    assert!(
        run.flat().contains("Open callbacks would be lost"),
        "{}",
        run.flat()
    );
    applied_in_place(&stage, other)?;
    assert_eq!(
        objects().await,
        json!(["answers/", "outbound/", work, "work/"])
    );
    Ok(())
}

/// Arguments that no part in AWS shows: an update of them is there when destroy comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_destroy_shows() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    stage.terraform.apply()?;
    let before = stage.observe().await;
    let call = stage.aws.s3.put_object().bucket(&stage.names.bucket);
    call.key("outbound/1/data.json").send().await.unwrap();
    let said = stage.terraform.refuse(&DESTROY)?;
    assert!(said.contains(&stage.names.bucket), "{said}");

    applied_in_place(
        &stage,
        "bucket = { force_destroy = true }\n  key = { deletion_window_in_days = 7 }",
    )?;
    stage.terraform.destroy()?;
    assert_eq!(stage.left().await?, Vec::<String>::new());
    let key = before["key"]["key_id"].as_str().unwrap();
    let described = stage
        .aws
        .kms
        .describe_key()
        .key_id(key)
        .send()
        .await
        .unwrap();
    let deletion = *described.key_metadata().unwrap().deletion_date().unwrap();
    let now = std::time::SystemTime::now();
    let hours = std::time::SystemTime::try_from(deletion)
        .unwrap()
        .duration_since(now)
        .unwrap()
        .as_secs()
        / 3600;
    assert!(
        (6 * 24 + 12..=7 * 24).contains(&hours),
        "the key ends in {hours} hours"
    );
    Ok(())
}

/// A replacement is said beside the argument that causes it, with the value it gets.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_is_said_beside_its_cause() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    let key = somebody::key(&stage).await;
    let mut rows: BTreeMap<String, String> = [
        ("environment", "prod"),
        ("iam_path", "/pipelines/"),
        ("key.alias", "alias/mine"),
        ("bucket.bucket", "my-exchange"),
        ("queue.name", "my-queue"),
        ("undeliverable_queue.name", "my-strays"),
        ("dead_letter_queue.name", "my-dead-letters"),
        ("topic.name", "my-topic"),
        ("processing.function_name", "my-processing"),
        ("processing.role.name", "my-processing-role"),
        ("integration.function_name", "my-integration"),
        ("integration.role.name", "my-integration-role"),
        ("state_machine.name", "my-machine"),
        ("state_machine.role.name", "my-machine-role"),
    ]
    .map(|(argument, value)| (argument.to_owned(), value.to_owned()))
    .into();
    let replacing = arguments(&stage.terraform, |argument| {
        let text = argument["description"].as_str();
        text.is_some_and(|text| text.contains("replaces the whole pipeline"))
    })?;
    let replacing: BTreeSet<String> = replacing
        .into_iter()
        .filter(|path| path != "name")
        .collect();
    assert_eq!(
        rows.keys().cloned().collect::<BTreeSet<_>>(),
        replacing,
        "the schema's replacements"
    );

    stage.terraform.apply()?;
    // Those of the key in a plan of its own: with a key of the user's there is no block of that name.
    let lists = [
        std::mem::take(&mut rows),
        BTreeMap::from([("kms_key_arn".to_owned(), key)]),
    ];
    for list in lists {
        let mut tree = json!({});
        for (argument, value) in &list {
            put(&mut tree, argument, json!(value));
        }
        stage.set(&hcl(&tree))?;
        let Plan::Changes(plan) = stage.terraform.plan()? else {
            panic!("nothing to do");
        };
        for (argument, value) in &list {
            let last = argument.rsplit('.').next().unwrap_or_default();
            let said = plan.lines().any(|line| {
                let words = line.trim_start_matches(['~', '+', '-', '/', ' ']);
                words.starts_with(&format!("{last} "))
                    && line.contains(&format!("\"{value}\""))
                    && line.ends_with("# forces replacement")
            });
            assert!(said, "{argument}: {plan}");
        }
    }
    Ok(())
}

/// A queue that is told of work is told of it in its new place, by the apply that moves it, and nobody is said to have changed anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_told_of_work_wherever_it_is() -> Result<(), Error> {
    let stage = Stage::new("").await?;
    somebody::open_queue(&stage.aws, "listener").await;
    let listener = stage.arn("sqs", "listener");
    let lines = |prefixes: &str| {
        format!("bucket = {{ outbound_queue_arn = \"{listener}\", {prefixes} }}\n")
    };
    stage.set(&lines(""))?;
    stage.terraform.apply()?;
    for (prefixes, outbound) in [
        (r#"outbound_prefix = "work/new/""#, "work/new/"),
        (
            r#"outbound_prefix = "work/", inbound_prefix = "in/b/""#,
            "work/",
        ),
        (r#"outbound_prefix = "w/", inbound_prefix = "in/""#, "w/"),
    ] {
        stage.set(&lines(prefixes))?;
        let said = stage.terraform.apply()?.flat();
        assert!(!said.contains("since the plan"), "{said}");
        assert!(!said.contains("was not seen so"), "{said}");
        let told = stage.observe().await["bucket"]["notification"]["queues"][0].clone();
        assert_eq!(told["filter"]["prefix"], json!(outbound), "{told}");
        let again = stage.terraform.plan()?;
        assert!(matches!(again, Plan::NoChanges), "{prefixes}: {again:?}");
    }
    Ok(())
}
