//! Every way to make the parts call every operation they know, with what AWS answers when nothing is wrong.

use std::sync::Arc;

use serde_json::{Value, json};
use terraform_provider_bellflower::engine::{Attributes, Changes, Failure, Found, Owner};
use terraform_provider_bellflower::parts::alarm::{Alarm, Watched};
use terraform_provider_bellflower::parts::bucket::Bucket;
use terraform_provider_bellflower::parts::dashboard::Dashboard;
use terraform_provider_bellflower::parts::event_invoke_config::EventInvokeConfig;
use terraform_provider_bellflower::parts::event_source::EventSource;
use terraform_provider_bellflower::parts::function::{Code, Function, Source};
use terraform_provider_bellflower::parts::key::Key;
use terraform_provider_bellflower::parts::log_group::LogGroup;
use terraform_provider_bellflower::parts::notification::Notification;
use terraform_provider_bellflower::parts::permission::Permission;
use terraform_provider_bellflower::parts::queue::Queue;
use terraform_provider_bellflower::parts::role::Role;
use terraform_provider_bellflower::parts::state_machine::StateMachine;
use terraform_provider_bellflower::parts::subscription::Subscription;
use terraform_provider_bellflower::parts::tags::{MARK, Tags};
use terraform_provider_bellflower::parts::topic::Topic;
use terraform_provider_bellflower::parts::{Aws, Part};

use super::Counts;
use super::wire::{Fault, Reply};

/// What is done to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Read,
    /// Of every property at once, with a tag to remove.
    Update,
    Delete,
}

/// What is answered to an operation, given how often each was asked for; none for the usual.
pub type Answers = fn(&str, &Counts) -> Option<Reply>;

/// A part, what is done to it, and the answers that are other than usual.
pub struct Scene {
    pub part: Box<Part>,
    pub verb: Verb,
    pub answers: Answers,
}

impl Scene {
    pub async fn run(&self, aws: &Aws) -> Result<(), Failure> {
        match self.verb {
            Verb::Create => self.part.create(aws).await.map(drop),
            Verb::Read => self.part.read(aws).await.map(drop),
            Verb::Update => {
                let changes = Changes::between(&self.part.desired(), &Attributes::new());
                self.part.update(aws, &found(), &changes).await.map(drop)
            }
            Verb::Delete => {
                self.part.delete(aws, &found()).await?;
                self.part.gone(aws, &found()).await
            }
        }
    }
}

fn found() -> Found {
    let attributes = json!({
        "key_id": "k",
        "alias": "alias/orders",
        "arn": "arn:aws:x:eu-west-1:123456789012:x",
        "uuid": "u",
        "function_name": "f",
        "subscription_arn": SUBSCRIPTION,
        "tags": { "old": "tag" },
    });
    let Value::Object(attributes) = attributes else {
        unreachable!("an object")
    };
    Found {
        attributes,
        owner: Owner::Us,
    }
}

const SUBSCRIPTION: &str = "arn:aws:sns:eu-west-1:123456789012:t:1";
const ROLE: &str = "<Role><Path>/</Path><RoleName>orders</RoleName><RoleId>AROA1</RoleId>\
    <Arn>arn:aws:iam::123456789012:role/orders</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>";

/// What AWS answers to a call that succeeds.
pub fn usual(operation: &str) -> Reply {
    let key = || json!({ "KeyMetadata": { "KeyId": "k", "Arn": "arn:aws:kms:eu-west-1:123456789012:key/k", "Enabled": true, "KeyState": "Enabled" } });
    match operation {
        "cloudwatch:DescribeAlarms" => Reply::Json(
            json!({ "MetricAlarms": [{ "AlarmName": "alarm", "AlarmArn": "arn:aws:cloudwatch:x" }] }),
        ),
        "iam:CreateRole" | "iam:GetRole" => Reply::Xml(ROLE),
        "iam:GetRolePolicy" => Reply::Xml(
            "<RoleName>orders</RoleName><PolicyName>bellflower</PolicyName><PolicyDocument>%7B%7D</PolicyDocument>",
        ),
        "iam:ListAttachedRolePolicies" => Reply::Xml(
            "<AttachedPolicies><member><PolicyName>p</PolicyName><PolicyArn>arn:aws:iam::aws:policy/p</PolicyArn></member></AttachedPolicies>",
        ),
        "iam:ListRolePolicies" => Reply::Xml("<PolicyNames><member>other</member></PolicyNames>"),
        "iam:ListInstanceProfilesForRole" => Reply::Xml(
            "<InstanceProfiles><member><Path>/</Path><InstanceProfileName>i</InstanceProfileName><InstanceProfileId>AIPA1</InstanceProfileId>\
             <Arn>arn:aws:iam::123456789012:instance-profile/i</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate><Roles/></member></InstanceProfiles>",
        ),
        "kms:CreateKey" | "kms:DescribeKey" => Reply::Json(key()),
        "kms:GetKeyPolicy" => Reply::Json(json!({ "Policy": "{}" })),
        "kms:GetKeyRotationStatus" => Reply::Json(json!({ "KeyRotationEnabled": true })),
        "kms:ListKeys" => Reply::Json(json!({ "Keys": [{ "KeyId": "other" }] })),
        "kms:ScheduleKeyDeletion" => Reply::Json(json!({ "KeyState": "PendingDeletion" })),
        "lambda:CreateFunction" | "lambda:GetFunctionConfiguration" => Reply::Json(
            json!({ "State": "Active", "LastUpdateStatus": "Successful", "CodeSha256": "x" }),
        ),
        "lambda:GetFunction" => Reply::Json(json!({ "Configuration": { "FunctionName": "f" } })),
        "lambda:GetPolicy" => Reply::Json(json!({ "Policy": "{\"Statement\":[]}" })),
        "lambda:CreateEventSourceMapping"
        | "lambda:UpdateEventSourceMapping"
        | "lambda:GetEventSourceMapping" => Reply::Json(json!({ "UUID": "u", "State": "Enabled" })),
        "lambda:ListEventSourceMappings" => {
            Reply::Json(json!({ "EventSourceMappings": [{ "UUID": "u", "State": "Enabled" }] }))
        }
        "logs:DescribeLogGroups" => {
            Reply::Json(json!({ "logGroups": [{ "logGroupName": "/aws/lambda/f" }] }))
        }
        "s3:GetBucketTagging" => Reply::Xml(
            "<Tagging><TagSet><Tag><Key>bellflower:pipeline</Key><Value>orders/devl/eu-west-1</Value></Tag></TagSet></Tagging>",
        ),
        "s3:ListBuckets" => Reply::Xml(
            "<ListAllMyBucketsResult><Buckets><Bucket><Name>b</Name></Bucket></Buckets></ListAllMyBucketsResult>",
        ),
        "s3:GetPublicAccessBlock" => Reply::Xml("<PublicAccessBlockConfiguration/>"),
        "s3:GetBucketOwnershipControls" => Reply::Xml("<OwnershipControls/>"),
        "s3:GetBucketEncryption" => Reply::Xml("<ServerSideEncryptionConfiguration/>"),
        "s3:GetBucketLifecycleConfiguration" => Reply::Xml("<LifecycleConfiguration/>"),
        "s3:GetBucketNotificationConfiguration" => Reply::Xml(
            "<NotificationConfiguration><CloudFunctionConfiguration><Id>i</Id><CloudFunction>arn:f</CloudFunction>\
             <Event>s3:ObjectCreated:*</Event></CloudFunctionConfiguration></NotificationConfiguration>",
        ),
        "s3:ListObjectVersions" => Reply::Xml(
            "<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>a</Key><VersionId>1</VersionId><Size>1</Size></Version></ListVersionsResult>",
        ),
        "s3:ListObjectsV2" => Reply::Xml("<ListBucketResult/>"),
        "s3:ListMultipartUploads" => Reply::Xml(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>b</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>",
        ),
        "s3:DeleteObjects" => Reply::Xml("<DeleteResult/>"),
        "sns:GetSubscriptionAttributes" => Reply::Xml(
            "<Attributes><entry><key>PendingConfirmation</key><value>false</value></entry></Attributes>",
        ),
        "sns:GetTopicAttributes" => Reply::Xml("<Attributes/>"),
        "sns:ListSubscriptionsByTopic" => Reply::Xml(
            "<Subscriptions><member><SubscriptionArn>arn:aws:sns:eu-west-1:123456789012:t:1</SubscriptionArn><Protocol>sqs</Protocol>\
             <Endpoint>arn:aws:sqs:eu-west-1:123456789012:q</Endpoint></member></Subscriptions>",
        ),
        "sns:Subscribe" => {
            Reply::Xml("<SubscriptionArn>arn:aws:sns:eu-west-1:123456789012:t:1</SubscriptionArn>")
        }
        "sqs:CreateQueue" | "sqs:GetQueueUrl" => {
            Reply::Json(json!({ "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/q" }))
        }
        "states:CreateStateMachine" => {
            Reply::Json(json!({ "stateMachineArn": "arn:m", "creationDate": 0 }))
        }
        "states:UpdateStateMachine" => Reply::Json(json!({ "updateDate": 0 })),
        "states:StopExecution" => Reply::Json(json!({ "stopDate": 0 })),
        "states:DescribeStateMachine" => Reply::Json(json!({
            "stateMachineArn": "arn:m", "name": "m", "definition": "{}", "roleArn": "arn:r", "type": "STANDARD", "creationDate": 0,
        })),
        _ => Reply::Empty,
    }
}

/// Before a create nothing is there.
fn new(operation: &str, _: &Counts) -> Option<Reply> {
    (operation == "lambda:ListEventSourceMappings").then_some(Reply::Empty)
}

fn as_usual(_: &str, _: &Counts) -> Option<Reply> {
    None
}

/// After a delete nothing is there.
fn gone(operation: &str, _: &Counts) -> Option<Reply> {
    let error = |code, status| {
        Some(Reply::Fault(Fault::Error(
            code,
            "It does not exist.",
            status,
        )))
    };
    match operation {
        "lambda:GetFunctionConfiguration" => error("ResourceNotFoundException", 404),
        "lambda:ListEventSourceMappings" | "sns:ListSubscriptionsByTopic" => Some(Reply::Empty),
        "s3:HeadBucket" => error("NotFound", 404),
        "sqs:GetQueueAttributes" => error("AWS.SimpleQueueService.NonExistentQueue", 400),
        "states:DescribeStateMachine" => error("StateMachineDoesNotExist", 400),
        _ => None,
    }
}

/// The bucket's name is another account's.
fn abroad(operation: &str, _: &Counts) -> Option<Reply> {
    let denied = Fault::Error("AccessDenied", "Access Denied", 403);
    match operation {
        "s3:GetBucketTagging" => Some(Reply::Fault(denied)),
        "s3:ListBuckets" => Some(Reply::Xml(
            "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>",
        )),
        _ => None,
    }
}

/// A state machine that is deleted waits for as long as an execution does.
pub fn held(operation: &str, counts: &Counts) -> Option<Reply> {
    match operation {
        "states:DescribeStateMachine" => Some(Reply::Json(json!({
            "stateMachineArn": "arn:m", "name": "m", "definition": "{}", "roleArn": "arn:r", "type": "STANDARD", "creationDate": 0,
            "status": "DELETING",
        }))),
        // Listed late.
        "states:ListExecutions" if counts[operation] > 1 => {
            Some(Reply::Json(json!({"executions": [{
                "executionArn": "arn:e", "stateMachineArn": "arn:m", "name": "e", "status": "RUNNING", "startDate": 0,
            }]})))
        }
        _ => None,
    }
}

fn attached(operation: &str, counts: &Counts) -> Option<Reply> {
    (operation == "iam:DeleteRole" && counts["iam:DeleteRole"] == 1).then_some(Reply::Fault(
        Fault::Error(
            "DeleteConflict",
            "Cannot delete entity, must detach all policies first.",
            409,
        ),
    ))
}

/// One execution runs, and is stopped.
fn running(operation: &str, counts: &Counts) -> Option<Reply> {
    if operation != "states:ListExecutions" {
        return gone(operation, counts);
    }
    let execution = json!({ "executionArn": "arn:e", "stateMachineArn": "arn:m", "name": "e", "status": "RUNNING", "startDate": 0 });
    let list = if counts.get("states:StopExecution").is_none() {
        json!([execution])
    } else {
        json!([])
    };
    Some(Reply::Json(json!({ "executions": list })))
}

/// A mapping that is not yet what it will be.
fn in_between(operation: &str, _: &Counts) -> Option<Reply> {
    let state = json!({ "UUID": "u", "State": "Updating" });
    (operation == "lambda:UpdateEventSourceMapping").then_some(Reply::Json(state))
}

/// An alias that names a key of ours on its way out.
fn stale_alias(operation: &str, _: &Counts) -> Option<Reply> {
    match operation {
        "kms:CreateAlias" => Some(Reply::Fault(Fault::Error(
            "AlreadyExistsException",
            "An alias with the name alias/orders already exists",
            400,
        ))),
        "kms:ListResourceTags" => Some(Reply::Json(
            json!({ "Tags": [{ "TagKey": MARK, "TagValue": "orders/devl/eu-west-1" }] }),
        )),
        "kms:DescribeKey" => Some(Reply::Json(
            json!({ "KeyMetadata": { "KeyId": "old", "KeyState": "PendingDeletion" } }),
        )),
        _ => None,
    }
}

fn tags() -> Tags {
    Tags([(MARK.to_owned(), "orders/devl/eu-west-1".to_owned())].into())
}

fn role() -> Role {
    Role {
        name: "orders".into(),
        arn: "arn:aws:iam::123456789012:role/orders".into(),
        path: "/".into(),
        description: "x".into(),
        assume_role_policy: "{}".into(),
        permissions_boundary: Some("arn:aws:iam::123456789012:policy/b".into()),
        policy: "{}".into(),
        tags: tags(),
    }
}

pub fn function() -> Function {
    Function {
        function_name: "f".into(),
        arn: "arn:aws:lambda:eu-west-1:123456789012:function:f".into(),
        description: "x".into(),
        role: role().arn,
        runtime: "provided.al2023".into(),
        handler: "bootstrap".into(),
        memory_size: 128,
        timeout: 30,
        architectures: vec!["x86_64".into()],
        variables: [("A".to_owned(), "b".to_owned())].into(),
        tracing_mode: "Active".into(),
        kms_key_arn: "arn:aws:kms:eu-west-1:123456789012:key/k".into(),
        reserved_concurrent_executions: 5,
        package: "p".into(),
        code_sha256: Some("x".into()),
        code: Code::Given(Source::Zip(Arc::from(b"zip".as_slice()))),
        tags: tags(),
    }
}

fn mapping() -> EventSource {
    EventSource {
        function_name: "f".into(),
        event_source_arn: "arn:aws:sqs:eu-west-1:123456789012:q".into(),
        batch_size: 10,
        maximum_batching_window_in_seconds: 0,
        maximum_concurrency: Some(5),
        function_response_types: vec!["ReportBatchItemFailures".into()],
        enabled: true,
        arn: None,
        arn_prefix: "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:".into(),
        tags: tags(),
    }
}

fn invoke_config() -> EventInvokeConfig {
    EventInvokeConfig {
        function_name: "f".into(),
        maximum_event_age_in_seconds: 21_600,
        maximum_retry_attempts: 2,
        on_failure: "arn:aws:sqs:eu-west-1:123456789012:d".into(),
        on_success: String::new(),
    }
}

fn permission() -> Permission {
    Permission {
        function_name: "f".into(),
        statement_id: "bucket".into(),
        action: "lambda:InvokeFunction".into(),
        principal: "s3.amazonaws.com".into(),
        source_arn: "arn:aws:s3:::b".into(),
        source_account: "123456789012".into(),
    }
}

pub fn queue() -> Queue {
    Queue {
        name: "q".into(),
        address: "https://sqs.eu-west-1.amazonaws.com/123456789012/q".into(),
        url: None,
        arn: "arn:aws:sqs:eu-west-1:123456789012:q".into(),
        delay_seconds: 0,
        max_message_size: 262_144,
        message_retention_seconds: 345_600,
        receive_wait_time_seconds: 0,
        visibility_timeout_seconds: 180,
        kms_master_key_id: "arn:aws:kms:eu-west-1:123456789012:key/k".into(),
        kms_data_key_reuse_period_seconds: 300,
        policy: "{}".into(),
        redrive_policy: None,
        redrive_allow_policy: None,
        tags: tags(),
    }
}

fn topic() -> Topic {
    Topic {
        name: "t".into(),
        arn: "arn:aws:sns:eu-west-1:123456789012:t".into(),
        display_name: Some("Orders".into()),
        kms_master_key_id: "arn:aws:kms:eu-west-1:123456789012:key/k".into(),
        policy: "{}".into(),
        tags: tags(),
    }
}

fn subscription() -> Subscription {
    Subscription {
        label: "sqs q".into(),
        topic_arn: topic().arn,
        protocol: "sqs".into(),
        endpoint: queue().arn,
        raw_message_delivery: true,
        filter_policy: None,
        filter_policy_scope: None,
        redrive_policy: None,
        subscription_role_arn: None,
    }
}

fn bucket(force_destroy: bool) -> Bucket {
    Bucket {
        bucket: "b".into(),
        arn: "arn:aws:s3:::b".into(),
        region: "eu-west-1".into(),
        block_public_acls: true,
        block_public_policy: true,
        ignore_public_acls: true,
        restrict_public_buckets: true,
        object_ownership: "BucketOwnerEnforced".into(),
        kms_master_key_id: "arn:aws:kms:eu-west-1:123456789012:key/k".into(),
        bucket_key_enabled: true,
        sse_algorithm: "aws:kms".into(),
        policy: "{}".into(),
        inbound_prefix: "inbound/".into(),
        outbound_prefix: "outbound/".into(),
        private_prefix: None,
        expiration_days: 30,
        force_destroy,
        folders: vec!["inbound/".into()],
        tags: tags(),
    }
}

pub fn notification() -> Notification {
    Notification {
        bucket: "b".into(),
        lambda_function_arn: function().arn,
        events: vec!["s3:ObjectCreated:*".into()],
        filter_prefix: "inbound/".into(),
        filter_suffix: ".json".into(),
        id: "bellflower".into(),
        outbound_queue_arn: None,
        outbound_filter_prefix: None,
        outbound_suffix: "/data.json".into(),
    }
}

pub fn machine(force_destroy: bool) -> StateMachine {
    StateMachine {
        name: "m".into(),
        arn: "arn:aws:states:eu-west-1:123456789012:stateMachine:m".into(),
        definition: "{}".into(),
        role_arn: role().arn,
        kind: "STANDARD".into(),
        log_level: "ALL".into(),
        include_execution_data: false,
        log_destination: "arn:aws:logs:eu-west-1:123456789012:log-group:g:*".into(),
        tracing_enabled: true,
        force_destroy,
        tags: tags(),
    }
}

fn key(key_id: Option<&str>) -> Key {
    Key {
        alias: "alias/orders".into(),
        description: "x".into(),
        policy: "{}".into(),
        is_enabled: true,
        enable_key_rotation: true,
        rotation_period_in_days: 365,
        deletion_window_in_days: 30,
        key_id: key_id.map(str::to_owned),
        arn: None,
        tags: tags(),
    }
}

fn group(retention_in_days: i64) -> LogGroup {
    LogGroup {
        name: "/aws/lambda/f".into(),
        arn: "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/f".into(),
        retention_in_days,
        kms_key_id: "arn:aws:kms:eu-west-1:123456789012:key/k".into(),
        tags: tags(),
    }
}

fn dashboard() -> Dashboard {
    Dashboard {
        dashboard_name: "d".into(),
        arn: "arn:aws:cloudwatch::123456789012:dashboard/d".into(),
        dashboard_body: r#"{"widgets":[]}"#.into(),
    }
}

fn alarm() -> Alarm {
    Alarm {
        alarm_name: "alarm".into(),
        arn: "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:alarm".into(),
        alarm_description: "It fails.".into(),
        watched: Watched::sum(
            "AWS/Lambda",
            &["Errors", "Throttles"],
            &[("FunctionName".to_owned(), "f".to_owned())].into(),
            "Sum",
            60,
        ),
        evaluation_periods: 1,
        datapoints_to_alarm: 1,
        threshold: 1.0,
        comparison_operator: "GreaterThanOrEqualToThreshold".into(),
        treat_missing_data: "missing".into(),
        actions_enabled: true,
        alarm_actions: vec![],
        ok_actions: vec![],
        tags: tags(),
    }
}

/// All scenes; an operation is looked for in the first that has it.
pub fn all() -> Vec<Scene> {
    let mut scenes = Vec::new();
    let parts: [fn() -> Box<Part>; 15] = [
        || Box::new(role()),
        || Box::new(function()),
        || Box::new(mapping()),
        || Box::new(invoke_config()),
        || Box::new(permission()),
        || Box::new(queue()),
        || Box::new(topic()),
        || Box::new(subscription()),
        || Box::new(bucket(false)),
        || Box::new(notification()),
        || Box::new(machine(false)),
        || Box::new(key(Some("k"))),
        || Box::new(group(30)),
        || Box::new(alarm()),
        || Box::new(dashboard()),
    ];
    for part in parts {
        for (verb, answers) in [
            (Verb::Create, new as Answers),
            (Verb::Read, as_usual),
            (Verb::Update, as_usual),
            (Verb::Delete, gone),
        ] {
            scenes.push(Scene {
                part: part(),
                verb,
                answers,
            });
        }
    }
    let mut also = |part: Box<Part>, verb, answers| {
        scenes.push(Scene {
            part,
            verb,
            answers,
        });
    };
    also(Box::new(role()), Verb::Delete, attached);
    also(Box::new(bucket(false)), Verb::Read, abroad);
    also(
        Box::new(Role {
            permissions_boundary: None,
            ..role()
        }),
        Verb::Update,
        as_usual,
    );
    also(
        Box::new(Function {
            reserved_concurrent_executions: -1,
            ..function()
        }),
        Verb::Update,
        as_usual,
    );
    also(Box::new(mapping()), Verb::Update, in_between);
    also(Box::new(bucket(true)), Verb::Delete, gone);
    also(Box::new(machine(true)), Verb::Delete, running);
    also(Box::new(key(None)), Verb::Read, as_usual);
    also(Box::new(key(None)), Verb::Create, stale_alias);
    also(
        Box::new(Key {
            enable_key_rotation: false,
            ..key(Some("k"))
        }),
        Verb::Update,
        as_usual,
    );
    also(Box::new(group(0)), Verb::Update, as_usual);
    scenes
}
