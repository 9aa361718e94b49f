//! Somebody else in the account, who makes things of the names that a pipeline would take.

use std::time::Duration;

use aws_sdk_kms::types::KeyState;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::FunctionCode;
use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, CreateBucketConfiguration, LifecycleRule,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    Tag, Tagging,
};
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::{Aws, Error, Names, Stage, environment, eventually};

/// The tag that tells whose a part is.
pub const MARK: &str = "bellflower:pipeline";

/// Makes something of a name that a pipeline would take, as somebody else would.
#[allow(clippy::too_many_lines, reason = "a table")]
pub async fn occupy(aws: &Aws, kind: &str, names: &Names, role: &str) {
    let description = "somebody else's";
    match kind {
        "KMS key" => {
            let made = aws
                .kms
                .create_key()
                .description(description)
                .send()
                .await
                .unwrap();
            let id = made.key_metadata.unwrap().key_id;
            let call = aws.kms.create_alias().alias_name(&names.key_alias);
            call.target_key_id(id).send().await.unwrap();
        }
        "S3 bucket" => {
            aws.s3
                .create_bucket()
                .bucket(&names.bucket)
                .send()
                .await
                .unwrap();
        }
        "SQS queue" => queue(aws, &names.queue).await,
        "undeliverable queue" => queue(aws, &names.undeliverable_queue).await,
        "dead-letter queue" => queue(aws, &names.dead_letter_queue).await,
        "SNS topic" => topic(aws, &names.topic).await,
        "IAM role" => {
            self::role(aws, &names.integration_role).await;
        }
        "log group" => {
            let name = format!("/aws/lambda/{}", names.processing);
            aws.logs
                .create_log_group()
                .log_group_name(name)
                .send()
                .await
                .unwrap();
        }
        "Lambda function" => function(aws, &names.processing, role).await,
        "alarm" => {
            let call = aws
                .cloudwatch
                .put_metric_alarm()
                .alarm_name(format!("{}-errors", names.processing));
            let call = call
                .namespace("Mine")
                .metric_name("Mine")
                .statistic("Sum".into())
                .period(60);
            let call = call.evaluation_periods(1).threshold(1.0);
            call.comparison_operator("GreaterThanThreshold".into())
                .send()
                .await
                .unwrap();
        }
        _ => {
            machine(aws, &names.state_machine, role).await;
        }
    }
}

/// Gives the pipeline's bucket this mark alone, or no tag.
pub async fn mark_bucket(stage: &Stage, mark: Option<&str>) {
    let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
    let Some(mark) = mark else {
        let untag = s3.delete_bucket_tagging().bucket(bucket);
        untag.send().await.unwrap();
        return;
    };
    let tag = Tag::builder().key(MARK).value(mark).build().unwrap();
    let tags = Tagging::builder().tag_set(tag).build().unwrap();
    let put = s3.put_bucket_tagging().bucket(bucket).tagging(tags);
    put.send().await.unwrap();
}

/// Makes a state machine; its ARN.
pub async fn machine(aws: &Aws, name: &str, role: &str) -> String {
    let definition = r#"{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}"#;
    let call = aws.sfn.create_state_machine().name(name).role_arn(role);
    let made = call.definition(definition).send().await.unwrap();
    made.state_machine_arn
}

/// Takes the mark off a state machine.
pub async fn untag_machine(stage: &Stage, machine: &str) {
    let untag = stage.aws.sfn.untag_resource().resource_arn(machine);
    untag.tag_keys(MARK).send().await.unwrap();
}

/// Deletes the pipeline's state machine; its ARN.
pub async fn delete_machine(stage: &Stage) -> String {
    let machine = &stage.names.state_machine;
    let arn = stage.arn("states", &format!("stateMachine:{machine}"));
    let delete = stage.aws.sfn.delete_state_machine();
    let delete = delete.state_machine_arn(&arn);
    delete.send().await.unwrap();
    arn
}

pub async fn queue(aws: &Aws, name: &str) {
    let call = aws.sqs.create_queue().queue_name(name);
    call.send().await.unwrap();
}

/// Makes a queue that everybody may use, S3 among them; its URL.
pub async fn open_queue(aws: &Aws, name: &str) -> String {
    let open = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}]}"#;
    let call = aws.sqs.create_queue().queue_name(name);
    let call = call.attributes(QueueAttributeName::Policy, open);
    call.send().await.unwrap().queue_url.unwrap()
}

pub async fn topic(aws: &Aws, name: &str) {
    aws.sns.create_topic().name(name).send().await.unwrap();
}

/// Makes a role; its ARN.
pub async fn role(aws: &Aws, name: &str) -> String {
    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]}, "Action": "sts:AssumeRole"}]}"#;
    let call = aws.iam.create_role().role_name(name);
    let made = call
        .assume_role_policy_document(trust)
        .send()
        .await
        .unwrap();
    made.role.unwrap().arn
}

/// Makes a function and waits until it is active.
pub async fn function(aws: &Aws, name: &str, role: &str) {
    let code = std::fs::read(environment::lambda_package("processing", "x86_64")).unwrap();
    let code = FunctionCode::builder().zip_file(Blob::new(code)).build();
    let call = aws.lambda.create_function().function_name(name).role(role);
    let call = call
        .runtime("provided.al2023".into())
        .handler("bootstrap")
        .code(code);
    call.send().await.unwrap();
    eventually(
        "the function's state",
        Duration::from_secs(10),
        async || {
            let call = aws.lambda.get_function_configuration().function_name(name);
            let state = call
                .send()
                .await
                .map_err(Error::aws("reading a function"))?
                .state;
            let state = state.map(|state| state.as_str().to_owned());
            Ok(if state.as_deref() == Some("Active") {
                Ok(())
            } else {
                Err(format!("{state:?}"))
            })
        },
    )
    .await
    .unwrap();
}

/// Deletes a pipeline's bucket, in which there is nothing but its folders.
pub async fn delete_bucket(stage: &Stage, bucket: &str) {
    let s3 = &stage.aws.s3;
    for folder in ["inbound/", "outbound/"] {
        let delete = s3.delete_object().bucket(bucket).key(folder);
        delete.send().await.unwrap();
    }
    s3.delete_bucket().bucket(bucket).send().await.unwrap();
}

/// Makes a bucket in the pipeline's region, where there is none of this name.
pub async fn bucket(stage: &Stage, name: &str) {
    let place = CreateBucketConfiguration::builder();
    let place = place.location_constraint(stage.region().into()).build();
    let create = stage.aws.s3.create_bucket().bucket(name);
    let create = create.create_bucket_configuration(place).send().await;
    let there = |error: &CreateBucketError| error.is_bucket_already_owned_by_you();
    assert!(create.is_ok() || create.is_err_and(|error| there(&error.into_service_error())));
}

/// Puts code where the functions of a pipeline may find it: `code.zip` in the bucket `code`.
pub async fn code(stage: &Stage, zip: Vec<u8>) {
    bucket(stage, "code").await;
    let s3 = &stage.aws.s3;
    let put = s3.put_object().bucket("code").key("code.zip");
    put.body(ByteStream::from(zip)).send().await.unwrap();
}

/// Puts an object without anything in it.
pub async fn put(stage: &Stage, bucket: &str, key: &str) {
    let put = stage.aws.s3.put_object().bucket(bucket).key(key);
    put.send().await.unwrap();
}

/// Makes a key; its ARN.
pub async fn key(stage: &Stage) -> String {
    let made = stage.aws.kms.create_key().send().await.unwrap();
    made.key_metadata.unwrap().arn.unwrap()
}

/// The pipeline's tag, as KMS takes it.
pub fn mark_of_key(stage: &Stage) -> aws_sdk_kms::types::Tag {
    let tag = aws_sdk_kms::types::Tag::builder().tag_key(MARK);
    let mark = format!("orders/devl/{}", stage.region());
    tag.tag_value(mark).build().unwrap()
}

/// Gives a key the pipeline's tag.
pub async fn mark_key(stage: &Stage, key: &str) {
    let tag = stage.aws.kms.tag_resource().key_id(key);
    tag.tags(mark_of_key(stage)).send().await.unwrap();
}

/// Takes the pipeline's tag from its key; the key's ARN.
pub async fn untag_key(stage: &Stage) -> String {
    let told = stage.state().unwrap();
    let key = told["key"]["arn"].as_str().unwrap().to_owned();
    let untag = stage.aws.kms.untag_resource().key_id(&key);
    untag.tag_keys(MARK).send().await.unwrap();
    key
}

/// What KMS says of a key.
pub async fn state_of_key(stage: &Stage, key: &str) -> KeyState {
    let described = stage.aws.kms.describe_key().key_id(key).send().await;
    let metadata = described.unwrap().key_metadata.unwrap();
    metadata.key_state.unwrap()
}

/// The URL of a queue.
pub async fn url_of(stage: &Stage, queue: &str) -> String {
    let get = stage.aws.sqs.get_queue_url().queue_name(queue);
    get.send().await.unwrap().queue_url.unwrap()
}

/// Takes the mark off a queue; its URL.
pub async fn untag_queue(stage: &Stage, queue: &str) -> String {
    let url = url_of(stage, queue).await;
    let untag = stage.aws.sqs.untag_queue().queue_url(&url);
    untag.tag_keys(MARK).send().await.unwrap();
    url
}

/// Sends a message.
pub async fn send(stage: &Stage, queue: &str) {
    let url = url_of(stage, queue).await;
    let send = stage.aws.sqs.send_message().queue_url(url);
    send.message_body("{}").send().await.unwrap();
}

/// About how many messages a queue has.
pub async fn messages(stage: &Stage, queue: &str) -> String {
    let url = url_of(stage, queue).await;
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let get = stage.aws.sqs.get_queue_attributes().queue_url(url);
    let get = get.attribute_names(name.clone());
    let mut found = get.send().await.unwrap().attributes.unwrap();
    found.remove(&name).unwrap()
}

/// Sets the rules of the pipeline's bucket to what `alter` makes of them.
pub async fn live(stage: &Stage, alter: impl FnOnce(&mut Vec<LifecycleRule>)) {
    let (s3, bucket) = (&stage.aws.s3, &stage.names.bucket);
    let found = s3.get_bucket_lifecycle_configuration().bucket(bucket);
    let mut rules = found.send().await.unwrap().rules.unwrap();
    alter(&mut rules);
    let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules));
    let put = s3.put_bucket_lifecycle_configuration().bucket(bucket);
    let put = put.lifecycle_configuration(rules.build().unwrap());
    put.send().await.unwrap();
}

/// Has S3 encrypt what comes to the pipeline's bucket with a key of its own.
pub async fn encrypt_by_s3(stage: &Stage) {
    encrypt(stage, "AES256", None).await;
}

/// Has S3 encrypt it with a key that somebody makes for that; its ARN.
pub async fn encrypt_by_another(stage: &Stage) -> String {
    let key = key(stage).await;
    encrypt(stage, "aws:kms", Some(&key)).await;
    key
}

async fn encrypt(stage: &Stage, algorithm: &str, key: Option<&str>) {
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm.into())
        .set_kms_master_key_id(key.map(str::to_owned));
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default.build().unwrap());
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule.build());
    let put = stage.aws.s3.put_bucket_encryption();
    let put = put.bucket(&stage.names.bucket);
    let put = put.server_side_encryption_configuration(rules.build().unwrap());
    put.send().await.unwrap();
}

/// Gives all that expires these days.
pub fn last(rules: &mut [LifecycleRule], days: i32) {
    for expiration in rules.iter_mut().filter_map(|rule| rule.expiration.as_mut()) {
        expiration.days = Some(days);
    }
}
