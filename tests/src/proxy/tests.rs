use std::collections::BTreeSet;
use std::sync::mpsc;

use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_types::error::display::DisplayErrorContext;

use super::*;
use crate::environment;

/// A proxy, clients behind it that try nothing again, and clients of the emulator itself.
struct Through {
    proxy: Proxy,
    aws: Aws,
    direct: Aws,
    _emulator: MiniStack,
}

fn through() -> Through {
    let emulator = MiniStack::start_with(crate::Options {
        region: "eu-west-1".to_owned(),
        ..crate::Options::default()
    })
    .unwrap();
    let proxy = Proxy::start(&emulator).unwrap();
    Through {
        aws: proxy.aws().once(),
        direct: emulator.aws(),
        proxy,
        _emulator: emulator,
    }
}

/// Code and message of a failure, as the SDK tells them.
fn told<
    T: std::fmt::Debug,
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
>(
    result: Result<T, SdkError<E, R>>,
) -> (String, String) {
    match result.unwrap_err() {
        SdkError::ServiceError(inner) => {
            let inner = inner.into_err();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(inner.code()), text(inner.message()))
        }
        other => (String::new(), DisplayErrorContext(other).to_string()),
    }
}

/// One call of each service.
macro_rules! one_of_each {
    ($aws:expr) => {{
        let aws: &Aws = $aws;
        [
            (
                "cloudwatch:DescribeAlarms",
                told(
                    aws.cloudwatch
                        .describe_alarms()
                        .alarm_names("a")
                        .send()
                        .await,
                ),
            ),
            (
                "logs:DescribeLogGroups",
                told(
                    aws.logs
                        .describe_log_groups()
                        .log_group_name_prefix("g")
                        .send()
                        .await,
                ),
            ),
            (
                "iam:GetRole",
                told(aws.iam.get_role().role_name("r").send().await),
            ),
            (
                "kms:DescribeKey",
                told(aws.kms.describe_key().key_id("alias/k").send().await),
            ),
            (
                "lambda:GetFunction",
                told(aws.lambda.get_function().function_name("f").send().await),
            ),
            (
                "s3:GetBucketPolicy",
                told(aws.s3.get_bucket_policy().bucket("bucket").send().await),
            ),
            (
                "states:DescribeStateMachine",
                told(
                    aws.sfn
                        .describe_state_machine()
                        .state_machine_arn("arn:aws:states:r:1:stateMachine:m")
                        .send()
                        .await,
                ),
            ),
            (
                "sns:GetTopicAttributes",
                told(
                    aws.sns
                        .get_topic_attributes()
                        .topic_arn("arn:aws:sns:r:1:t")
                        .send()
                        .await,
                ),
            ),
            (
                "sqs:GetQueueUrl",
                told(aws.sqs.get_queue_url().queue_name("q").send().await),
            ),
            (
                "sts:GetCallerIdentity",
                told(aws.sts.get_caller_identity().send().await),
            ),
        ]
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_reach_the_sdk_as_they_were_injected() {
    let through = through();
    let Through { proxy, aws, .. } = &through;
    let message = "Something <is> wrong & will be: for a while";
    proxy.inject(Rule::before(Fault::error(
        400,
        "SomethingWrongException",
        message,
    )));
    for (operation, (code, said)) in one_of_each!(aws) {
        assert_eq!(
            (code.as_str(), said.as_str()),
            ("SomethingWrongException", message),
            "{operation}"
        );
    }
    let calls = proxy.calls();
    assert_eq!(calls.len(), 10);
    for (call, (operation, object)) in calls.iter().zip([
        ("cloudwatch:DescribeAlarms", "a"),
        ("logs:DescribeLogGroups", "g"),
        ("iam:GetRole", "r"),
        ("kms:DescribeKey", "alias/k"),
        ("lambda:GetFunction", "f"),
        ("s3:GetBucketPolicy", "bucket"),
        ("states:DescribeStateMachine", "m"),
        ("sns:GetTopicAttributes", "t"),
        ("sqs:GetQueueUrl", "q"),
        ("sts:GetCallerIdentity", ""),
    ]) {
        assert_eq!(
            (call.operation.as_str(), call.object.as_str()),
            (operation, object)
        );
        assert_eq!(call.status, Some(400));
        assert_eq!(call.code.as_deref(), Some("SomethingWrongException"));
        assert_eq!(call.injected, ["SomethingWrongException"]);
        assert!(!call.took_effect);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_and_failures_are_in_each_services_words() {
    let through = through();
    let Through { proxy, aws, .. } = &through;
    proxy.inject(Rule::before(Fault::Throttle));
    let codes =
        one_of_each!(aws).map(|(operation, told)| (operation.split(':').next().unwrap(), told.0));
    let throttles = [
        ("cloudwatch", "Throttling"),
        ("logs", "ThrottlingException"),
        ("iam", "Throttling"),
        ("kms", "ThrottlingException"),
        ("lambda", "TooManyRequestsException"),
        ("s3", "SlowDown"),
        ("states", "ThrottlingException"),
        ("sns", "Throttling"),
        ("sqs", "RequestThrottled"),
        ("sts", "Throttling"),
    ];
    assert_eq!(
        codes,
        throttles.map(|(service, code)| (service, code.to_owned()))
    );

    for status in [500, 503] {
        proxy.clear();
        proxy.reset();
        proxy.inject(Rule::before(Fault::Status(status)));
        let told = one_of_each!(aws);
        assert!(
            told.iter().all(|(_, (code, _))| !code.is_empty()),
            "{told:?}"
        );
        assert!(proxy.calls().iter().all(|call| call.status == Some(status)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_are_not_the_shapes_names() {
    let through = through();
    let Through { proxy, aws, .. } = &through;
    let recently = "AWS.SimpleQueueService.QueueDeletedRecently";
    proxy
        .inject(Rule::before(Fault::error(400, recently, "wait 60 seconds")).on("sqs:CreateQueue"));
    let error = aws
        .sqs
        .create_queue()
        .queue_name("q")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(error.code(), Some(recently));
    assert!(error.is_queue_deleted_recently(), "{error:?}");

    proxy.inject(
        Rule::before(Fault::error(
            409,
            "ResourceConflictException",
            "in progress",
        ))
        .on("lambda:Invoke"),
    );
    let error = aws
        .lambda
        .invoke()
        .function_name("f")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_resource_conflict_exception(), "{error:?}");

    proxy.inject(
        Rule::before(Fault::error(400, "StateMachineDeleting", "being deleted")).on("states:*"),
    );
    let call = aws
        .sfn
        .create_state_machine()
        .name("m")
        .definition("{}")
        .role_arn("r");
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(error.is_state_machine_deleting(), "{error:?}");

    // HEAD has no body: the status says it all.
    proxy.inject(Rule::before(Fault::error(404, "NoSuchBucket", "gone")).on("s3:HeadBucket"));
    let error = aws
        .s3
        .head_bucket()
        .bucket("bucket")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_not_found(), "{error:?}");
}

/// The operations of S3 and Lambda named in the provider's sources; the other services name theirs in each request.
fn called_by_the_provider() -> BTreeSet<String> {
    let mut open = vec![environment::repository().join("provider/src/parts")];
    let mut found = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for quoted in text.split('"') {
            let known = ["s3:", "lambda:"].iter().any(|service| {
                quoted.strip_prefix(service).is_some_and(|rest| {
                    rest.starts_with(|c: char| c.is_ascii_uppercase())
                        && rest.chars().all(|c| c.is_ascii_alphanumeric())
                })
            });
            // The right to invoke has another name than the operation, and nobody calls it.
            if known && quoted != "lambda:InvokeFunction" {
                found.insert(quoted.to_owned());
            }
        }
    }
    found
}

/// Sends requests, whatever comes of them.
macro_rules! send {
    ($client:expr; $($call:ident $(.$with:ident($($value:expr),*))*),* $(,)?) => {
        $( let _ = $client.$call()$(.$with($($value),*))*.send().await; )*
    };
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one line for each operation")]
async fn every_operation_of_the_provider_is_recognised() {
    use aws_sdk_lambda::primitives::Blob;
    use aws_sdk_lambda::types as lambda;
    use aws_sdk_s3::types as s3;

    let through = through();
    let Through { proxy, aws, .. } = &through;
    proxy.inject(Rule::before(Fault::Status(500)));
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:f";
    let encryption = s3::ServerSideEncryptionConfiguration::builder()
        .rules(s3::ServerSideEncryptionRule::builder().build())
        .build()
        .unwrap();
    let ownership = s3::OwnershipControls::builder()
        .rules(
            s3::OwnershipControlsRule::builder()
                .object_ownership(s3::ObjectOwnership::BucketOwnerEnforced)
                .build()
                .unwrap(),
        )
        .build()
        .unwrap();
    let tagging = s3::Tagging::builder()
        .tag_set(s3::Tag::builder().key("k").value("v").build().unwrap())
        .build()
        .unwrap();
    let doomed = s3::Delete::builder()
        .objects(s3::ObjectIdentifier::builder().key("k").build().unwrap())
        .build()
        .unwrap();
    send!(aws.s3;
        head_bucket.bucket("bucket"),
        create_bucket.bucket("bucket"),
        delete_bucket.bucket("bucket"),
        get_bucket_encryption.bucket("bucket"),
        put_bucket_encryption.bucket("bucket").server_side_encryption_configuration(encryption),
        get_bucket_lifecycle_configuration.bucket("bucket"),
        put_bucket_lifecycle_configuration.bucket("bucket"),
        delete_bucket_lifecycle.bucket("bucket"),
        get_bucket_notification_configuration.bucket("bucket"),
        put_bucket_notification_configuration.bucket("bucket").notification_configuration(s3::NotificationConfiguration::builder().build()),
        get_bucket_ownership_controls.bucket("bucket"),
        put_bucket_ownership_controls.bucket("bucket").ownership_controls(ownership),
        get_bucket_policy.bucket("bucket"),
        put_bucket_policy.bucket("bucket").policy("{}"),
        delete_bucket_policy.bucket("bucket"),
        get_bucket_tagging.bucket("bucket"),
        put_bucket_tagging.bucket("bucket").tagging(tagging),
        delete_bucket_tagging.bucket("bucket"),
        get_public_access_block.bucket("bucket"),
        put_public_access_block.bucket("bucket").public_access_block_configuration(s3::PublicAccessBlockConfiguration::builder().build()),
        get_bucket_versioning.bucket("bucket"),
        list_objects_v2.bucket("bucket"),
        list_object_versions.bucket("bucket"),
        list_multipart_uploads.bucket("bucket"),
        delete_objects.bucket("bucket").delete(doomed),
        put_object.bucket("bucket").key("a folder/"),
        get_object.bucket("bucket").key("a folder/"),
        head_object.bucket("bucket").key("a folder/"),
        delete_object.bucket("bucket").key("a folder/"),
        abort_multipart_upload.bucket("bucket").key("k").upload_id("u"),
        list_buckets,
    );
    send!(aws.lambda;
        create_function.function_name("f").role("r").code(lambda::FunctionCode::builder().zip_file(Blob::new("z")).build()),
        get_function.function_name("f"),
        get_function_configuration.function_name("f"),
        update_function_configuration.function_name("f"),
        update_function_code.function_name("f"),
        delete_function.function_name("f"),
        put_function_concurrency.function_name("f").reserved_concurrent_executions(1),
        get_function_concurrency.function_name("f"),
        delete_function_concurrency.function_name("f"),
        invoke.function_name("f"),
        get_policy.function_name("f"),
        add_permission.function_name("f").statement_id("s").action("a").principal("p"),
        remove_permission.function_name("f").statement_id("s"),
        list_functions,
        list_tags.resource(arn),
        tag_resource.resource(arn).tags("k", "v"),
        untag_resource.resource(arn).tag_keys("k"),
        create_event_source_mapping.function_name("f"),
        list_event_source_mappings.function_name("f"),
        get_event_source_mapping.uuid("u"),
        update_event_source_mapping.uuid("u"),
        delete_event_source_mapping.uuid("u"),
        put_function_event_invoke_config.function_name("f"),
        get_function_event_invoke_config.function_name("f"),
        delete_function_event_invoke_config.function_name("f"),
    );
    let seen: BTreeSet<String> = proxy
        .calls()
        .into_iter()
        .map(|call| call.operation)
        .collect();
    assert_eq!(seen.len(), 31 + 25, "each is another: {seen:?}");
    let missing: Vec<String> = called_by_the_provider()
        .difference(&seen)
        .cloned()
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "send these here, too");
    assert!(called_by_the_provider().len() > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_took_effect_and_lost_calls_did_not() {
    let through = through();
    let Through {
        proxy, aws, direct, ..
    } = &through;
    for (rule, there) in [
        (Rule::before(Fault::Drop), false),
        (Rule::before(Fault::Reset), false),
        (Rule::before(Fault::Status(500)), false),
        (Rule::after(Fault::Drop), true),
        (Rule::after(Fault::Reset), true),
        (Rule::after(Fault::Status(503)), true),
        (Rule::after(Fault::Throttle), true),
    ] {
        let what = format!("{rule:?}");
        proxy.clear();
        let hits = proxy.inject(rule.first(1));
        let topic = aws.sns.create_topic().name("t").send().await;
        assert!(topic.is_err(), "{what}");
        assert_eq!(hits.count(), 1);
        assert_eq!(proxy.calls().last().unwrap().took_effect, there, "{what}");
        let topics = direct.sns.list_topics().send().await.unwrap();
        assert_eq!(!topics.topics().is_empty(), there, "{what}");
        // The next one goes through.
        let made = aws.sns.create_topic().name("t").send().await.unwrap();
        direct
            .sns
            .delete_topic()
            .topic_arn(made.topic_arn().unwrap())
            .send()
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_and_a_hang_hangs() {
    let through = through();
    let Through { proxy, aws, .. } = &through;
    proxy.inject(Rule::before(Fault::Reset).first(1));
    let (_, said) = told(aws.sts.get_caller_identity().send().await);
    assert!(said.contains("reset"), "{said}");

    proxy.inject(Rule::before(Fault::Hang).first(1));
    let call = aws.sts.get_caller_identity().send();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), call)
            .await
            .is_err()
    );
    assert_eq!(proxy.calls()[1].end, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_reads_and_hooks() {
    let through = through();
    let Through {
        proxy, aws, direct, ..
    } = &through;
    let made = aws.sqs.create_queue().queue_name("q").send().await.unwrap();
    let url = made.queue_url().unwrap();
    let delay = async || {
        let call = aws
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::DelaySeconds);
        let answer = call.send().await.unwrap();
        answer.attributes().unwrap()[&QueueAttributeName::DelaySeconds].clone()
    };
    let stale = proxy.inject(
        Rule::before(Fault::Stale)
            .on("sqs:GetQueueAttributes")
            .first(2),
    );
    assert_eq!(delay().await, "0");
    assert_eq!(stale.count(), 0, "there was nothing earlier");
    let change = aws.sqs.set_queue_attributes().queue_url(url);
    change
        .attributes(QueueAttributeName::DelaySeconds, "5")
        .send()
        .await
        .unwrap();
    assert_eq!(
        [delay().await, delay().await, delay().await],
        ["0", "0", "5"]
    );
    assert_eq!(stale.count(), 2);

    // A hook sees AWS as it is before or after the call.
    let (send, seen) = mpsc::channel();
    for when in [When::Before, When::After] {
        let (send, direct, url) = (send.clone(), direct.clone(), url.to_owned());
        let hook = move |call: &Call| {
            let (send, direct, url, index) =
                (send.clone(), direct.clone(), url.clone(), call.index);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let found =
                    runtime.block_on(direct.sqs.get_queue_attributes().queue_url(url).send());
                send.send((when, index, found.is_ok())).unwrap();
            })
            .join()
            .unwrap();
        };
        proxy.inject(Rule::new(when, Fault::hook(hook)).on("sqs:DeleteQueue"));
    }
    proxy.reset();
    aws.sqs.delete_queue().queue_url(url).send().await.unwrap();
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen, [(When::Before, 0, true), (When::After, 0, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_kept() {
    let through = through();
    let Through { proxy, aws, .. } = &through;
    aws.sts.get_caller_identity().send().await.unwrap();
    proxy.reset();
    proxy.latency(Duration::from_millis(50));
    for _ in 0..3 {
        aws.sts.get_caller_identity().send().await.unwrap();
    }
    let calls = proxy.calls();
    assert_eq!((calls.len(), sequence(&calls)), (3, 3));
    assert_eq!(counts(&calls)["sts:GetCallerIdentity"], 3);
    assert!(
        calls
            .iter()
            .all(|call| call.end.unwrap().saturating_sub(call.start) >= Duration::from_millis(50))
    );
    let spent = busy(&calls);
    assert!(
        (Duration::from_millis(150)..Duration::from_secs(2)).contains(&spent),
        "{spent:?}"
    );
    assert_eq!(
        calls[0].connection, calls[2].connection,
        "connections are kept"
    );

    proxy.latency(Duration::ZERO);
    proxy.reset();
    for _ in 0..10 {
        let ask = || aws.sts.get_caller_identity().send();
        let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
        assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok());
    }
    assert_eq!(proxy.count("sts:GetCallerIdentity"), 40);
    assert!(sequence(&proxy.calls()) < 40);
}

/// The last invocation of a function writes its log when nobody expects it any more: before the function is gone, the group comes
/// back; after that, it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_group_comes_back_as_long_as_its_function_is_there() {
    let through = through();
    let Through {
        proxy, aws, direct, ..
    } = &through;
    proxy.play(Play::LateLogGroup);
    // A zip file with nothing in it.
    let package = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let code = aws_sdk_lambda::types::FunctionCode::builder()
        .zip_file(aws_sdk_lambda::primitives::Blob::new(package))
        .build();
    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;
    let role = direct.iam.create_role().role_name("r");
    let role = role.assume_role_policy_document(trust);
    role.send().await.unwrap();
    let create = direct.lambda.create_function().function_name("f");
    let create = create.role("arn:aws:iam::123456789012:role/r").code(code);
    let create = create.runtime(aws_sdk_lambda::types::Runtime::Providedal2023);
    create.handler("bootstrap").send().await.unwrap();
    let group = "/aws/lambda/f";
    let make = direct.logs.create_log_group().log_group_name(group);
    make.send().await.unwrap();

    for there in [true, false] {
        let delete = aws.logs.delete_log_group().log_group_name(group);
        delete.send().await.unwrap();
        let found = direct.logs.describe_log_groups().send().await.unwrap();
        assert_eq!(!found.log_groups().is_empty(), there);
        if there {
            let delete = direct.lambda.delete_function().function_name("f");
            delete.send().await.unwrap();
        }
    }
}
