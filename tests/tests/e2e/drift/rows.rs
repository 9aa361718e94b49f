//! The table: what somebody changes, and what the plan has to say of it.

use std::pin::Pin;

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StandardUnit, Statistic};
use aws_sdk_lambda::operation::add_permission::builders::AddPermissionFluentBuilder as AddPermission;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    ApplicationLogLevel, Architecture, DestinationConfig, Environment, Filter, FilterCriteria,
    LogFormat, LoggingConfig, OnFailure, OnSuccess, Runtime, ScalingConfig, TracingConfig,
    TracingMode,
};
use aws_sdk_s3::types::{
    Event, ExpirationStatus, FilterRule, FilterRuleName, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NotificationConfigurationFilter, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, QueueConfiguration, S3KeyFilter, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use aws_sdk_sfn::types::{LogLevel, LoggingConfiguration};

use super::super::somebody;
use super::ground::{
    Ground, Kind, alarm, block, code, extended, notify, notify_function, sent, set_queue,
    set_subscription, set_topic, statement_of_somebody, tag, update_function,
};

/// A change of a part, through the API of its service.
pub type Change = for<'a> fn(&'a Ground, &'a str) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// How a value has to be told.
#[derive(Debug, Clone, Copy)]
pub enum Words {
    /// With exactly these words, or as the same JSON.
    Are(&'static str),
    /// With these words among them.
    Hold(&'static str),
    /// As the state told it before the change.
    AsBefore,
}
use Words::{Are, AsBefore, Hold};

/// A property of a part that is changed.
pub struct Row {
    /// The round in which it is: no property is changed twice at once.
    pub round: usize,
    /// The property.
    pub property: &'static str,
    /// The change; none where the row above does it.
    pub change: Option<Change>,
    /// What it is then.
    pub is: Words,
    /// What it should be.
    pub should: Words,
    /// Where AWS shows the change, below the part in the observation.
    pub seen: &'static str,
}

/// What no value is called.
pub const NOTHING: &str = "not set";

fn row(
    round: usize,
    property: &'static str,
    change: Change,
    is: Words,
    should: Words,
    seen: &'static str,
) -> Row {
    Row {
        round,
        property,
        change: Some(change),
        is,
        should,
        seen,
    }
}

/// A property that the row above changes, too.
fn also(round: usize, property: &'static str, is: Words, should: Words, seen: &'static str) -> Row {
    Row {
        round,
        property,
        change: None,
        is,
        should,
        seen,
    }
}

/// An asynchronous block as a [`Change`].
macro_rules! by {
    (|$ground:pat_param, $path:pat_param| $done:expr) => {
        |$ground, $path| {
            Box::pin(async move {
                let _ = $done;
            })
        }
    };
}

/// How many rounds there are.
pub const ROUNDS: usize = 4;
/// The round in which the first parts disappear, too.
pub const WITH_THE_FIRST_TO_GO: usize = 5;

/// All rows of the parts of a kind.
pub fn rows(kind: Kind) -> Vec<Row> {
    let mut rows = match kind {
        Kind::Key => key(),
        Kind::Bucket => bucket(),
        Kind::Notification => return notification(),
        Kind::Queue => queue(),
        Kind::UndeliverableQueue => undeliverable_queue(),
        Kind::DeadLetterQueue => dead_letter_queue(),
        Kind::Topic => topic(),
        Kind::Subscription => return subscription(),
        Kind::Function => function(),
        // What is given to all of them alike shows as the argument's.
        Kind::Role => role([1, 2]),
        Kind::MachineRole => role([2, 1]),
        Kind::LogGroup => log_group(),
        Kind::Alarm => alarms(),
        Kind::PipelineAlarm => pipeline_alarms(),
        Kind::SumAlarm => sum_alarm(),
        Kind::Dashboard => return dashboard(),
        Kind::EventSource => event_source(),
        Kind::UndeliverableSource => undeliverable_source(),
        Kind::EventInvokeConfig => return event_invoke_config(),
        Kind::Permission => return permission(),
        Kind::Machine => machine(),
    };
    rows.extend(tags());
    rows
}

const NAMES_IT: &str = "name the part: one of another name is another part, and this one is gone";
const NO_CALL: &str =
    "in the emulator, which has no AssociateKmsKey, can be neither changed nor mended";

/// Properties that cannot be changed behind our back, with the reason.
pub fn untestable(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let own = |names: &[&'static str]| names.iter().map(|name| (*name, NAMES_IT)).collect();
    match kind {
        Kind::Key => Vec::new(),
        Kind::Bucket => {
            let prefix = "are no property in AWS: rules, folders and filters are made of them, and have rows";
            vec![
                ("arn", NAMES_IT),
                ("bucket", NAMES_IT),
                ("inbound_prefix", prefix),
                ("outbound_prefix", prefix),
            ]
        }
        Kind::Notification => own(&["bucket"]),
        Kind::Queue | Kind::UndeliverableQueue | Kind::DeadLetterQueue | Kind::Topic => {
            own(&["arn", "name"])
        }
        Kind::Subscription => own(&["endpoint", "protocol", "topic_arn"]),
        Kind::Function => {
            let mut own = own(&["arn", "function_name"]);
            let no_trouble = "since no function of the emulator is ever in trouble: the provider's own tests have it";
            own.push(("status", no_trouble));
            own
        }
        Kind::Role | Kind::MachineRole => own(&["arn", "name", "path"]),
        Kind::LogGroup => vec![
            ("arn", NAMES_IT),
            ("kms_key_id", NO_CALL),
            ("name", NAMES_IT),
        ],
        Kind::Alarm | Kind::PipelineAlarm | Kind::SumAlarm => own(&["alarm_name", "arn"]),
        Kind::Dashboard => own(&["arn", "dashboard_name"]),
        Kind::EventSource | Kind::UndeliverableSource => {
            let mut own = own(&["event_source_arn"]);
            let kept = "in the emulator, which keeps no pollers: answers.rs has it, behind a proxy";
            own.push(("provisioned_poller_config", kept));
            own
        }
        Kind::EventInvokeConfig => own(&["function_name"]),
        Kind::Permission => own(&["function_name", "statement_id"]),
        Kind::Machine => vec![
            ("arn", NAMES_IT),
            ("name", NAMES_IT),
            (
                "status",
                "which shows in the emulator only behind a proxy: upsets.rs has it",
            ),
            (
                "tracing_enabled",
                "in the emulator, which neither keeps nor shows the tracing of a state machine",
            ),
            ("type", "which no call changes"),
        ],
    }
}

const TAGS: Words = Are(r#"{"bellflower:pipeline":"{mark}","team":"logistics"}"#);

/// The round in which nothing but the mark is taken away: a part that differs otherwise, too, is not recognised.
pub const MARKS: usize = 4;

fn tags() -> Vec<Row> {
    let tags = "tags";
    vec![
        row(
            1,
            tags,
            by!(|g, at| tag(g, at, &[("stranger", "here")], &[]).await),
            Are(r#"{"bellflower:pipeline":"{mark}","stranger":"here","team":"logistics"}"#),
            TAGS,
            tags,
        ),
        row(
            2,
            tags,
            by!(|g, at| tag(g, at, &[("team", "somebody")], &[]).await),
            Are(r#"{"bellflower:pipeline":"{mark}","team":"somebody"}"#),
            TAGS,
            tags,
        ),
        row(
            3,
            tags,
            by!(|g, at| tag(g, at, &[], &["team"]).await),
            Are(r#"{"bellflower:pipeline":"{mark}"}"#),
            TAGS,
            tags,
        ),
        row(
            MARKS,
            tags,
            by!(|g, at| tag(g, at, &[], &["bellflower:pipeline"]).await),
            Are(r#"{"team":"logistics"}"#),
            TAGS,
            tags,
        ),
    ]
}

fn key() -> Vec<Row> {
    vec![
        row(
            1,
            "description",
            by!(|g, at| sent!(
                g.stage
                    .aws
                    .kms
                    .update_key_description()
                    .key_id(g.attribute(at, "key_id"))
                    .description("By somebody")
            )),
            Are("By somebody"),
            Are("Encrypts the callback pipeline orders (devl)"),
            "description",
        ),
        row(
            1,
            "policy",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .kms
                    .put_key_policy()
                    .key_id(g.attribute(at, "key_id"));
                sent!(call.policy(extended(&g.attribute(at, "policy"))))
            }),
            Hold("BySomebody"),
            AsBefore,
            "policy",
        ),
        row(
            1,
            "rotation_period_in_days",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .kms
                    .enable_key_rotation()
                    .key_id(g.attribute(at, "key_id"));
                sent!(call.rotation_period_in_days(100))
            }),
            Are("100"),
            Are("365"),
            "rotation_days",
        ),
        row(
            2,
            "enable_key_rotation",
            by!(|g, at| sent!(
                g.stage
                    .aws
                    .kms
                    .disable_key_rotation()
                    .key_id(g.attribute(at, "key_id"))
            )),
            Are("false"),
            Are("true"),
            "rotation",
        ),
        row(
            3,
            "is_enabled",
            by!(|g, at| sent!(
                g.stage
                    .aws
                    .kms
                    .disable_key()
                    .key_id(g.attribute(at, "key_id"))
            )),
            Are("false"),
            Are("true"),
            "state",
        ),
        row(
            WITH_THE_FIRST_TO_GO,
            "alias",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .kms
                    .delete_alias()
                    .alias_name(&g.stage.names.key_alias)
            )),
            Are(NOTHING),
            Are("{alias}"),
            "aliases",
        ),
    ]
}

/// Encrypts the bucket's objects otherwise.
async fn encrypt(ground: &Ground, by: ServerSideEncryption, key: Option<String>, bucket_key: bool) {
    let by = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(by)
        .set_kms_master_key_id(key);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by.build().unwrap())
        .bucket_key_enabled(bucket_key);
    let rules = ServerSideEncryptionConfiguration::builder()
        .rules(rule.build())
        .build()
        .unwrap();
    let call = ground
        .stage
        .aws
        .s3
        .put_bucket_encryption()
        .bucket(&ground.stage.names.bucket);
    sent!(call.server_side_encryption_configuration(rules));
}

/// Sets the bucket's lifecycle rules to what `alter` makes of them.
pub async fn live(ground: &Ground, alter: impl FnOnce(&mut Vec<LifecycleRule>)) {
    somebody::live(&ground.stage, alter).await;
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn bucket() -> Vec<Row> {
    vec![
        row(
            1,
            "block_public_acls",
            by!(|g, _| block(g, |now| &mut now.block_public_acls).await),
            Are("false"),
            Are("true"),
            "public_access_block/block_public_acls",
        ),
        row(
            1,
            "block_public_policy",
            by!(|g, _| block(g, |now| &mut now.block_public_policy).await),
            Are("false"),
            Are("true"),
            "public_access_block/block_public_policy",
        ),
        row(
            2,
            "ignore_public_acls",
            by!(|g, _| block(g, |now| &mut now.ignore_public_acls).await),
            Are("false"),
            Are("true"),
            "public_access_block/ignore_public_acls",
        ),
        row(
            2,
            "restrict_public_buckets",
            by!(|g, _| block(g, |now| &mut now.restrict_public_buckets).await),
            Are("false"),
            Are("true"),
            "public_access_block/restrict_public_buckets",
        ),
        row(
            3,
            "block_public_acls",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_public_access_block()
                    .bucket(&g.stage.names.bucket)
            )),
            Are("false"),
            Are("true"),
            "public_access_block",
        ),
        also(
            3,
            "block_public_policy",
            Are("false"),
            Are("true"),
            "public_access_block",
        ),
        also(
            3,
            "ignore_public_acls",
            Are("false"),
            Are("true"),
            "public_access_block",
        ),
        also(
            3,
            "restrict_public_buckets",
            Are("false"),
            Are("true"),
            "public_access_block",
        ),
        row(
            1,
            "object_ownership",
            by!(|g, _| {
                let rule = OwnershipControlsRule::builder()
                    .object_ownership(ObjectOwnership::BucketOwnerPreferred);
                let controls = OwnershipControls::builder()
                    .rules(rule.build().unwrap())
                    .build()
                    .unwrap();
                let call = g
                    .stage
                    .aws
                    .s3
                    .put_bucket_ownership_controls()
                    .bucket(&g.stage.names.bucket);
                sent!(call.ownership_controls(controls))
            }),
            Are("BucketOwnerPreferred"),
            Are("BucketOwnerEnforced"),
            "ownership",
        ),
        row(
            2,
            "object_ownership",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_bucket_ownership_controls()
                    .bucket(&g.stage.names.bucket)
            )),
            Are(NOTHING),
            Are("BucketOwnerEnforced"),
            "ownership",
        ),
        row(
            1,
            "kms_master_key_id",
            by!(|g, _| encrypt(g, ServerSideEncryption::AwsKms, Some(g.other_key()), false).await),
            Are("{other-key}"),
            Are("{key}"),
            "encryption",
        ),
        also(
            1,
            "bucket_key_enabled",
            Are("false"),
            Are("true"),
            "encryption",
        ),
        row(
            2,
            "sse_algorithm",
            by!(|g, _| encrypt(g, ServerSideEncryption::Aes256, None, true).await),
            Are("AES256"),
            Are("aws:kms"),
            "encryption",
        ),
        also(
            2,
            "kms_master_key_id",
            Are(NOTHING),
            Are("{key}"),
            "encryption",
        ),
        row(
            3,
            "sse_algorithm",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_bucket_encryption()
                    .bucket(&g.stage.names.bucket)
            )),
            Are("AES256"),
            Are("aws:kms"),
            "encryption",
        ),
        also(
            3,
            "kms_master_key_id",
            Are(NOTHING),
            Are("{key}"),
            "encryption",
        ),
        row(
            1,
            "policy",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .s3
                    .put_bucket_policy()
                    .bucket(&g.stage.names.bucket);
                sent!(call.policy(extended(&g.attribute(at, "policy"))))
            }),
            Hold("BySomebody"),
            AsBefore,
            "policy",
        ),
        row(
            2,
            "policy",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_bucket_policy()
                    .bucket(&g.stage.names.bucket)
            )),
            Are(""),
            AsBefore,
            "policy",
        ),
        row(
            1,
            "expiration_days",
            by!(|g, _| live(g, |rules| somebody::last(rules, 5)).await),
            Are("5"),
            Are("90"),
            "lifecycle/bellflower-expire-inbound/days",
        ),
        also(
            1,
            "lifecycle_rules",
            Hold(r#""expiration_days":5"#),
            Hold(r#""expiration_days":90"#),
            "lifecycle",
        ),
        row(
            2,
            "lifecycle_rules",
            by!(|g, _| live(g, |rules| {
                let filter = LifecycleRuleFilter::builder().prefix("somewhere/").build();
                let rule = LifecycleRule::builder()
                    .id("somebodys")
                    .status(ExpirationStatus::Enabled)
                    .filter(filter);
                let rule = rule.expiration(LifecycleExpiration::builder().days(1).build());
                rules.push(rule.build().unwrap());
                // One alone is no change of the days.
                let inbound = rules
                    .iter_mut()
                    .find(|rule| rule.id.as_deref() == Some("bellflower-expire-inbound"));
                inbound.unwrap().expiration = Some(LifecycleExpiration::builder().days(5).build());
            })
            .await),
            Hold(r#""id":"somebodys""#),
            Hold("bellflower-abort-uploads"),
            "lifecycle/somebodys",
        ),
        row(
            3,
            "expiration_days",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_bucket_lifecycle()
                    .bucket(&g.stage.names.bucket)
            )),
            Are("0"),
            Are("90"),
            "lifecycle",
        ),
        also(
            3,
            "lifecycle_rules",
            Are("[]"),
            Hold("bellflower-abort-uploads"),
            "lifecycle",
        ),
        row(
            1,
            "folders",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_object()
                    .bucket(&g.stage.names.bucket)
                    .key("inbound/")
            )),
            Are(r#"["outbound/"]"#),
            Are(r#"["inbound/","outbound/"]"#),
            "objects",
        ),
        row(
            2,
            "folders",
            by!(|g, _| sent!(
                g.stage
                    .aws
                    .s3
                    .delete_object()
                    .bucket(&g.stage.names.bucket)
                    .key("outbound/")
            )),
            Are(r#"["inbound/"]"#),
            Are(r#"["inbound/","outbound/"]"#),
            "objects",
        ),
    ]
}

/// Another filter of the events the function is told of.
fn filter(prefix: &str, suffix: &str) -> NotificationConfigurationFilter {
    let rule = |name, value: &str| FilterRule::builder().name(name).value(value).build();
    let key = S3KeyFilter::builder()
        .filter_rules(rule(FilterRuleName::Prefix, prefix))
        .filter_rules(rule(FilterRuleName::Suffix, suffix));
    NotificationConfigurationFilter::builder()
        .key(key.build())
        .build()
}

fn notification() -> Vec<Row> {
    let mut rows = notification_of_answers();
    rows.extend(notification_of_work());
    rows
}

fn notification_of_work() -> Vec<Row> {
    vec![
        row(
            1,
            "outbound_queue_arn",
            by!(|g, _| notify(g, |mut now| {
                now.queue_configurations.as_mut().unwrap()[0].queue_arn = g.filled("{undelivered}");
                now
            })
            .await),
            Are("{undelivered}"),
            Are("{listener}"),
            "queues/0/queue",
        ),
        row(
            3,
            "outbound_queue_arn",
            by!(|g, _| notify(g, |mut now| {
                now.queue_configurations = None;
                now
            })
            .await),
            Are(NOTHING),
            Are("{listener}"),
            "queues/0",
        ),
        row(
            2,
            "outbound_filter_prefix",
            by!(|g, _| notify(g, |mut now| {
                let rule = FilterRule::builder().name(FilterRuleName::Prefix);
                let rule = rule.value("elsewhere/").build();
                let suffix = FilterRule::builder().name(FilterRuleName::Suffix);
                let suffix = suffix.value("/data.json").build();
                let rules = S3KeyFilter::builder()
                    .filter_rules(rule)
                    .filter_rules(suffix);
                let filter = NotificationConfigurationFilter::builder().key(rules.build());
                now.queue_configurations.as_mut().unwrap()[0].filter = Some(filter.build());
                now
            })
            .await),
            Are("elsewhere/"),
            Are("outbound/"),
            "queues/0/filter/prefix",
        ),
    ]
}

fn notification_of_answers() -> Vec<Row> {
    vec![
        row(
            1,
            "events",
            by!(
                |g, _| notify_function(g, |entry| entry.events = vec![Event::S3ObjectCreatedPut])
                    .await
            ),
            Are(r#"["s3:ObjectCreated:Put"]"#),
            Are(r#"["s3:ObjectCreated:*"]"#),
            "functions/0/events",
        ),
        row(
            1,
            "filter_prefix",
            by!(|g, _| notify_function(g, |entry| entry.filter =
                Some(filter("elsewhere/", ".xml")))
            .await),
            Are("elsewhere/"),
            Are("inbound/"),
            "functions/0/filter/prefix",
        ),
        also(
            1,
            "filter_suffix",
            Are(".xml"),
            Are(".json"),
            "functions/0/filter/suffix",
        ),
        row(
            1,
            "lambda_function_arn",
            by!(
                |g, _| notify_function(g, |entry| entry.lambda_function_arn =
                    g.filled("{processing}"))
                .await
            ),
            Are("{processing}"),
            Are("{integration}"),
            "functions/0/function",
        ),
        row(
            2,
            "id",
            by!(|g, _| notify_function(g, |entry| entry.id = Some("somebodys".to_owned())).await),
            Are("somebodys"),
            Are("bellflower-inbound"),
            "functions/0/id",
        ),
        row(
            2,
            "others",
            by!(|g, _| notify(g, |mut now| {
                let queue = QueueConfiguration::builder().queue_arn(g.filled("{undelivered}"));
                let queue = queue.events(Event::S3ObjectRemoved).build().unwrap();
                now.queue_configurations.as_mut().unwrap().push(queue);
                now
            })
            .await),
            Are("1"),
            Are("0"),
            "queues/1",
        ),
        row(
            3,
            "filter_prefix",
            by!(|g, _| notify_function(g, |entry| entry.filter = None).await),
            Are(NOTHING),
            Are("inbound/"),
            "functions/0/filter",
        ),
        also(
            3,
            "filter_suffix",
            Are(NOTHING),
            Are(".json"),
            "functions/0/filter",
        ),
    ]
}

/// What all queues have, with the value of each as it should be.
fn any_queue(values: [&'static str; 4]) -> Vec<Row> {
    let [delay, retention, wait, visibility] = values;
    vec![
        row(
            1,
            "delay_seconds",
            by!(|g, at| set_queue(g, at, "DelaySeconds", "7").await),
            Are("7"),
            Are(delay),
            "DelaySeconds",
        ),
        row(
            1,
            "max_message_size",
            by!(|g, at| set_queue(g, at, "MaximumMessageSize", "2048").await),
            Are("2048"),
            Are("1048576"),
            "MaximumMessageSize",
        ),
        row(
            1,
            "message_retention_seconds",
            by!(|g, at| set_queue(g, at, "MessageRetentionPeriod", "999").await),
            Are("999"),
            Are(retention),
            "MessageRetentionPeriod",
        ),
        row(
            1,
            "receive_wait_time_seconds",
            by!(|g, at| set_queue(g, at, "ReceiveMessageWaitTimeSeconds", "3").await),
            Are("3"),
            Are(wait),
            "ReceiveMessageWaitTimeSeconds",
        ),
        row(
            1,
            "visibility_timeout_seconds",
            by!(|g, at| set_queue(g, at, "VisibilityTimeout", "777").await),
            Are("777"),
            Are(visibility),
            "VisibilityTimeout",
        ),
        row(
            1,
            "kms_master_key_id",
            by!(|g, at| set_queue(g, at, "KmsMasterKeyId", "{other-key}").await),
            Are("{other-key}"),
            Are("{key}"),
            "KmsMasterKeyId",
        ),
        row(
            2,
            "kms_master_key_id",
            by!(|g, at| set_queue(g, at, "KmsMasterKeyId", "").await),
            Are(NOTHING),
            Are("{key}"),
            "KmsMasterKeyId",
        ),
        row(
            1,
            "kms_data_key_reuse_period_seconds",
            by!(|g, at| set_queue(g, at, "KmsDataKeyReusePeriodSeconds", "600").await),
            Are("600"),
            Are("300"),
            "KmsDataKeyReusePeriodSeconds",
        ),
        row(
            1,
            "policy",
            by!(|g, at| set_queue(g, at, "Policy", &extended(&g.attribute(at, "policy"))).await),
            Hold("BySomebody"),
            AsBefore,
            "Policy",
        ),
        row(
            2,
            "policy",
            by!(|g, at| set_queue(g, at, "Policy", "").await),
            Are(""),
            AsBefore,
            "Policy",
        ),
    ]
}

fn queue() -> Vec<Row> {
    let mut rows = any_queue(["0", "345600", "20", "360"]);
    rows.extend([
        row(
            1,
            "redrive_policy",
            by!(|g, at| {
                let other = r#"{"deadLetterTargetArn":"{undelivered}","maxReceiveCount":9}"#;
                set_queue(g, at, "RedrivePolicy", other).await;
            }),
            Are(r#"{"deadLetterTargetArn":"{undelivered}","maxReceiveCount":9}"#),
            Are(r#"{"deadLetterTargetArn":"{undeliverable-queue}","maxReceiveCount":5}"#),
            "RedrivePolicy",
        ),
        row(
            2,
            "redrive_policy",
            by!(|g, at| set_queue(g, at, "RedrivePolicy", "").await),
            Are(NOTHING),
            Are(r#"{"deadLetterTargetArn":"{undeliverable-queue}","maxReceiveCount":5}"#),
            "RedrivePolicy",
        ),
        row(
            1,
            "redrive_allow_policy",
            by!(|g, at| set_queue(
                g,
                at,
                "RedriveAllowPolicy",
                r#"{"redrivePermission":"allowAll"}"#
            )
            .await),
            Are(r#"{"redrivePermission":"allowAll"}"#),
            Are(NOTHING),
            "RedriveAllowPolicy",
        ),
    ]);
    rows
}

fn undeliverable_queue() -> Vec<Row> {
    let mut rows = any_queue(["0", "1209600", "0", "360"]);
    rows.extend([
        row(
            1,
            "redrive_policy",
            by!(|g, at| {
                let other = r#"{"deadLetterTargetArn":"{undelivered}","maxReceiveCount":9}"#;
                set_queue(g, at, "RedrivePolicy", other).await;
            }),
            Are(r#"{"deadLetterTargetArn":"{undelivered}","maxReceiveCount":9}"#),
            Are(r#"{"deadLetterTargetArn":"{dead-letter-queue}","maxReceiveCount":8}"#),
            "RedrivePolicy",
        ),
        row(
            1,
            "redrive_allow_policy",
            by!(|g, at| set_queue(
                g,
                at,
                "RedriveAllowPolicy",
                r#"{"redrivePermission":"denyAll"}"#
            )
            .await),
            Are(r#"{"redrivePermission":"denyAll"}"#),
            Are(r#"{"redrivePermission":"byQueue","sourceQueueArns":["{queue}"]}"#),
            "RedriveAllowPolicy",
        ),
    ]);
    rows
}

fn dead_letter_queue() -> Vec<Row> {
    let mut rows = any_queue(["0", "1209600", "0", "30"]);
    rows.extend([
        row(
            1,
            "redrive_policy",
            by!(|g, at| {
                let other = r#"{"deadLetterTargetArn":"{undelivered}","maxReceiveCount":9}"#;
                set_queue(g, at, "RedrivePolicy", other).await;
            }),
            Are(r#"{"deadLetterTargetArn":"{undelivered}","maxReceiveCount":9}"#),
            Are(NOTHING),
            "RedrivePolicy",
        ),
        row(
            1,
            "redrive_allow_policy",
            by!(|g, at| set_queue(
                g,
                at,
                "RedriveAllowPolicy",
                r#"{"redrivePermission":"denyAll"}"#
            )
            .await),
            Are(r#"{"redrivePermission":"denyAll"}"#),
            Are(r#"{"redrivePermission":"byQueue","sourceQueueArns":["{undeliverable-queue}"]}"#),
            "RedriveAllowPolicy",
        ),
        row(
            2,
            "redrive_allow_policy",
            by!(|g, at| set_queue(g, at, "RedriveAllowPolicy", "").await),
            Are(NOTHING),
            Are(r#"{"redrivePermission":"byQueue","sourceQueueArns":["{undeliverable-queue}"]}"#),
            "RedriveAllowPolicy",
        ),
    ]);
    rows
}

fn topic() -> Vec<Row> {
    vec![
        row(
            1,
            "display_name",
            by!(|g, _| set_topic(g, "DisplayName", "Somebody").await),
            Are("Somebody"),
            Are("Orders"),
            "display_name",
        ),
        row(
            2,
            "display_name",
            by!(|g, _| set_topic(g, "DisplayName", "").await),
            Are(NOTHING),
            Are("Orders"),
            "display_name",
        ),
        row(
            1,
            "kms_master_key_id",
            by!(|g, _| set_topic(g, "KmsMasterKeyId", "{other-key}").await),
            Are("{other-key}"),
            Are("{key}"),
            "key",
        ),
        row(
            2,
            "kms_master_key_id",
            by!(|g, _| set_topic(g, "KmsMasterKeyId", "").await),
            Are(NOTHING),
            Are("{key}"),
            "key",
        ),
        row(
            1,
            "policy",
            by!(|g, at| set_topic(g, "Policy", &extended(&g.attribute(at, "policy"))).await),
            Hold("BySomebody"),
            AsBefore,
            "policy",
        ),
    ]
}

fn subscription() -> Vec<Row> {
    vec![
        row(
            1,
            "raw_message_delivery",
            by!(|g, at| set_subscription(g, at, "RawMessageDelivery", Some("false")).await),
            Are("false"),
            Are("true"),
            "RawMessageDelivery",
        ),
        row(
            1,
            "filter_policy",
            by!(|g, at| set_subscription(
                g,
                at,
                "FilterPolicy",
                Some(r#"{"status":["FAILED","LATE"]}"#)
            )
            .await),
            Are(r#"{"status":["FAILED","LATE"]}"#),
            Are(r#"{"status":["FAILED"]}"#),
            "FilterPolicy",
        ),
        row(
            2,
            "filter_policy",
            by!(|g, at| set_subscription(g, at, "FilterPolicy", Some("{}")).await),
            Are(NOTHING),
            Are(r#"{"status":["FAILED"]}"#),
            "FilterPolicy",
        ),
        row(
            1,
            "filter_policy_scope",
            by!(
                |g, at| set_subscription(g, at, "FilterPolicyScope", Some("MessageAttributes"))
                    .await
            ),
            Are("MessageAttributes"),
            Are("MessageBody"),
            "FilterPolicyScope",
        ),
        row(
            1,
            "redrive_policy",
            by!(|g, at| {
                let other = r#"{"deadLetterTargetArn":"{dead-letter-queue}"}"#;
                set_subscription(g, at, "RedrivePolicy", Some(other)).await;
            }),
            Are(r#"{"deadLetterTargetArn":"{dead-letter-queue}"}"#),
            Are(r#"{"deadLetterTargetArn":"{undelivered}"}"#),
            "RedrivePolicy",
        ),
        row(
            2,
            "redrive_policy",
            by!(|g, at| set_subscription(g, at, "RedrivePolicy", None).await),
            Are(NOTHING),
            Are(r#"{"deadLetterTargetArn":"{undelivered}"}"#),
            "RedrivePolicy",
        ),
        row(
            1,
            "subscription_role_arn",
            by!(
                |g, at| set_subscription(g, at, "SubscriptionRoleArn", Some("{somebody's-role}"))
                    .await
            ),
            Are("{somebody's-role}"),
            Are(NOTHING),
            "SubscriptionRoleArn",
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn function() -> Vec<Row> {
    vec![
        row(
            1,
            "description",
            by!(|g, at| sent!(update_function(g, at).description("By somebody"))),
            Are("By somebody"),
            Hold(" and "),
            "description",
        ),
        row(
            1,
            "role_arn",
            by!(|g, at| sent!(update_function(g, at).role(g.somebodys_role()))),
            Are("{somebody's-role}"),
            Are("arn:aws:iam::{account}:role/orders-{owner}-role-devl-{region}"),
            "role_arn",
        ),
        row(
            1,
            "memory_size",
            by!(|g, at| sent!(update_function(g, at).memory_size(1024))),
            Are("1024"),
            Are("128"),
            "memory",
        ),
        row(
            1,
            "timeout",
            by!(|g, at| sent!(update_function(g, at).timeout(77))),
            Are("77"),
            AsBefore,
            "timeout",
        ),
        row(
            1,
            "variables",
            by!(|g, at| {
                let other = Environment::builder().variables("BY", "somebody").build();
                sent!(update_function(g, at).environment(other))
            }),
            Hold(r#""BY":""#),
            Hold(r#"":""#),
            "variables",
        ),
        row(
            2,
            "variables",
            by!(|g, at| {
                let none = Environment::builder()
                    .set_variables(Some(std::collections::HashMap::new()))
                    .build();
                sent!(update_function(g, at).environment(none))
            }),
            Are("{}"),
            Hold(r#"":""#),
            "variables",
        ),
        row(
            1,
            "tracing_mode",
            by!(|g, at| {
                let other = TracingConfig::builder()
                    .mode(TracingMode::PassThrough)
                    .build();
                sent!(update_function(g, at).tracing_config(other))
            }),
            Are("PassThrough"),
            Are("Active"),
            "tracing",
        ),
        row(
            1,
            "logging_config",
            by!(|g, at| {
                let elsewhere = LoggingConfig::builder()
                    .log_format(LogFormat::Json)
                    .application_log_level(ApplicationLogLevel::Fatal)
                    .log_group("/somewhere/else");
                sent!(update_function(g, at).logging_config(elsewhere.build()))
            }),
            Are(r#"{"log_group":"/somewhere/else"}"#),
            Hold(r#""/aws/lambda/orders-"#),
            "logging",
        ),
        row(
            1,
            "kms_key_arn",
            by!(|g, at| sent!(update_function(g, at).kms_key_arn(g.other_key()))),
            Are("{other-key}"),
            Are("{key}"),
            "key",
        ),
        row(
            2,
            "kms_key_arn",
            by!(|g, at| sent!(update_function(g, at).kms_key_arn(""))),
            Are(NOTHING),
            Are("{key}"),
            "key",
        ),
        row(
            1,
            "reserved_concurrent_executions",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .lambda
                    .put_function_concurrency()
                    .function_name(g.function(at));
                sent!(call.reserved_concurrent_executions(2))
            }),
            Are("2"),
            Are("-1"),
            "reserved_concurrency",
        ),
        row(
            2,
            "reserved_concurrent_executions",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .lambda
                    .put_function_concurrency()
                    .function_name(g.function(at));
                sent!(call.reserved_concurrent_executions(0))
            }),
            Are("0"),
            Are("-1"),
            "reserved_concurrency",
        ),
        row(
            1,
            "runtime",
            by!(|g, at| sent!(update_function(g, at).runtime(Runtime::from("python3.13")))),
            Are("python3.13"),
            Are("provided.al2023"),
            "runtime",
        ),
        row(
            1,
            "handler",
            by!(|g, at| sent!(update_function(g, at).handler("main.handler"))),
            Are("main.handler"),
            Are("bootstrap"),
            "handler",
        ),
        row(
            2,
            "package",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .lambda
                    .update_function_code()
                    .function_name(g.function(at));
                sent!(
                    call.zip_file(Blob::new(code().0))
                        .architectures(Architecture::Arm64)
                )
            }),
            Are("other code, SHA-256 {code}"),
            AsBefore,
            "code_sha256",
        ),
        also(2, "code_sha256", Are("{code}"), AsBefore, "code_sha256"),
        also(
            2,
            "architectures",
            Are(r#"["arm64"]"#),
            Are(r#"["x86_64"]"#),
            "architectures",
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn role([other, none]: [usize; 2]) -> Vec<Row> {
    vec![
        row(
            1,
            "description",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .iam
                    .update_role()
                    .role_name(g.attribute(at, "name"));
                sent!(call.description("By somebody"))
            }),
            Are("By somebody"),
            Hold("of the callback pipeline orders (devl)"),
            "description",
        ),
        row(
            1,
            "assume_role_policy",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .iam
                    .update_assume_role_policy()
                    .role_name(g.attribute(at, "name"));
                sent!(call.policy_document(extended(&g.attribute(at, "assume_role_policy"))))
            }),
            Hold("BySomebody"),
            AsBefore,
            "trust",
        ),
        row(
            other,
            "permissions_boundary",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .iam
                    .put_role_permissions_boundary()
                    .role_name(g.attribute(at, "name"));
                sent!(call.permissions_boundary(g.filled("{other-boundary}")))
            }),
            Are("{other-boundary}"),
            Are("{boundary}"),
            "boundary",
        ),
        row(
            none,
            "permissions_boundary",
            by!(|g, at| {
                sent!(
                    g.stage
                        .aws
                        .iam
                        .delete_role_permissions_boundary()
                        .role_name(g.attribute(at, "name"))
                )
            }),
            Are(NOTHING),
            Are("{boundary}"),
            "boundary",
        ),
        row(
            1,
            "policy",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .iam
                    .put_role_policy()
                    .role_name(g.attribute(at, "name"));
                sent!(
                    call.policy_name("bellflower")
                        .policy_document(statement_of_somebody().to_string())
                )
            }),
            Hold("BySomebody"),
            AsBefore,
            "policies/bellflower",
        ),
        row(
            2,
            "policy",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .iam
                    .delete_role_policy()
                    .role_name(g.attribute(at, "name"));
                sent!(call.policy_name("bellflower"))
            }),
            Are(""),
            AsBefore,
            "policies/bellflower",
        ),
    ]
}

fn log_group() -> Vec<Row> {
    vec![
        row(
            1,
            "retention_in_days",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .logs
                    .put_retention_policy()
                    .log_group_name(g.attribute(at, "name"));
                sent!(call.retention_in_days(1))
            }),
            Are("1"),
            Are("14"),
            "retention",
        ),
        row(
            2,
            "retention_in_days",
            by!(|g, at| sent!(
                g.stage
                    .aws
                    .logs
                    .delete_retention_policy()
                    .log_group_name(g.attribute(at, "name"))
            )),
            Are("0"),
            Are("14"),
            "retention",
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "a table")]
/// What every alarm has, whatever it watches.
fn any_alarm() -> Vec<Row> {
    vec![
        row(
            1,
            "alarm_description",
            by!(|g, at| sent!(alarm(g, at).await.alarm_description("By somebody"))),
            Are("By somebody"),
            Hold("."),
            "description",
        ),
        row(
            1,
            "evaluation_periods",
            by!(|g, at| sent!(alarm(g, at).await.evaluation_periods(9))),
            Are("9"),
            AsBefore,
            "evaluation_periods",
        ),
        row(
            1,
            "datapoints_to_alarm",
            by!(|g, at| sent!(alarm(g, at).await.datapoints_to_alarm(8))),
            Are("8"),
            AsBefore,
            "datapoints",
        ),
        row(
            1,
            "threshold",
            by!(|g, at| sent!(alarm(g, at).await.threshold(7.5))),
            Are("7.5"),
            AsBefore,
            "threshold",
        ),
        row(
            1,
            "comparison_operator",
            by!(|g, at| sent!(
                alarm(g, at)
                    .await
                    .comparison_operator(ComparisonOperator::LessThanThreshold)
            )),
            Are("LessThanThreshold"),
            AsBefore,
            "operator",
        ),
        row(
            1,
            "treat_missing_data",
            by!(|g, at| sent!(alarm(g, at).await.treat_missing_data("breaching"))),
            Are("breaching"),
            Are("notBreaching"),
            "missing_data",
        ),
        row(
            1,
            "actions_enabled",
            by!(|g, at| sent!(alarm(g, at).await.actions_enabled(false))),
            Are("false"),
            Are("true"),
            "actions_enabled",
        ),
        row(
            1,
            "alarm_actions",
            by!(|g, at| sent!(alarm(g, at).await.set_alarm_actions(Some(Vec::new())))),
            Are("[]"),
            Are(r#"["{topic}"]"#),
            "alarm_actions",
        ),
        row(
            1,
            "ok_actions",
            by!(|g, at| sent!(alarm(g, at).await.ok_actions(g.arn("topic")))),
            Are(r#"["{topic}"]"#),
            Are("[]"),
            "ok_actions",
        ),
        row(
            1,
            "unit",
            by!(|g, at| sent!(alarm(g, at).await.unit(StandardUnit::Bytes))),
            Are("Bytes"),
            Are(NOTHING),
            "unit",
        ),
    ]
}

/// What an alarm on one metric has beside that.
fn alarm_on_one() -> Vec<Row> {
    let mut rows = any_alarm();
    rows.extend([
        row(
            1,
            "namespace",
            by!(|g, at| sent!(alarm(g, at).await.namespace("Somebody/Else"))),
            Are("Somebody/Else"),
            Are("{namespace}"),
            "namespace",
        ),
        row(
            1,
            "statistic",
            by!(|g, at| sent!(alarm(g, at).await.statistic(Statistic::Minimum))),
            Are("Minimum"),
            Are("{statistic}"),
            "statistic",
        ),
        row(
            2,
            "statistic",
            by!(|g, at| {
                let call = alarm(g, at).await.set_statistic(None);
                sent!(call.extended_statistic("p99"))
            }),
            Are("p99"),
            Are("{statistic}"),
            "extended_statistic",
        ),
        row(
            1,
            "period",
            by!(|g, at| sent!(alarm(g, at).await.period(120))),
            Are("120"),
            AsBefore,
            "period",
        ),
    ]);
    rows
}

fn alarms() -> Vec<Row> {
    let mut rows = alarm_on_one();
    rows.extend([
        row(
            2,
            "metric_name",
            by!(|g, at| sent!(alarm(g, at).await.metric_name("DeadLetterErrors"))),
            Are("DeadLetterErrors"),
            Are("{metric}"),
            "",
        ),
        row(
            3,
            "dimensions",
            by!(|g, at| {
                let other = Dimension::builder()
                    .name("FunctionName")
                    .value("somebodys")
                    .build();
                sent!(alarm(g, at).await.set_dimensions(Some(vec![other])))
            }),
            Are(r#"{"FunctionName":"somebodys"}"#),
            Are(r#"{"FunctionName":"orders-{owner}-devl-{region}"}"#),
            "",
        ),
    ]);
    rows
}

fn pipeline_alarms() -> Vec<Row> {
    let mut rows = alarm_on_one();
    rows.extend([
        row(
            2,
            "metric_name",
            by!(|g, at| sent!(alarm(g, at).await.metric_name("DeadLetterErrors"))),
            Are("DeadLetterErrors"),
            Are("{metric}"),
            "metric",
        ),
        row(
            3,
            "dimensions",
            by!(|g, at| {
                let other = Dimension::builder()
                    .name("FunctionName")
                    .value("somebodys")
                    .build();
                sent!(alarm(g, at).await.set_dimensions(Some(vec![other])))
            }),
            Are(r#"{"FunctionName":"somebodys"}"#),
            Hold("orders"),
            "dimensions",
        ),
    ]);
    rows
}

fn sum_alarm() -> Vec<Row> {
    let mut rows = any_alarm();
    rows.push(row(
        2,
        "metric_query",
        by!(|g, at| {
            let call = alarm(g, at).await.namespace("Somebody/Else");
            sent!(call.metric_name("Errors"))
        }),
        Are(NOTHING),
        Hold("ExecutionsFailed"),
        "metric",
    ));
    rows
}

/// The call that changes the mapping.
macro_rules! mapping {
    ($ground:ident, $path:ident) => {
        $ground
            .stage
            .aws
            .lambda
            .update_event_source_mapping()
            .uuid($ground.attribute($path, "uuid"))
    };
}

fn any_source() -> Vec<Row> {
    vec![
        row(
            1,
            "batch_size",
            by!(|g, at| sent!(mapping!(g, at).batch_size(3))),
            Are("3"),
            Are("10"),
            "batch_size",
        ),
        row(
            1,
            "maximum_batching_window_in_seconds",
            by!(|g, at| sent!(mapping!(g, at).maximum_batching_window_in_seconds(2))),
            Are("2"),
            Are("0"),
            "batching_window",
        ),
        row(
            1,
            "function_response_types",
            by!(|g, at| sent!(mapping!(g, at).set_function_response_types(Some(Vec::new())))),
            Are("[]"),
            Are(r#"["ReportBatchItemFailures"]"#),
            "response_types",
        ),
        row(
            1,
            "enabled",
            by!(|g, at| sent!(mapping!(g, at).enabled(false))),
            Are("false"),
            Are("true"),
            "state",
        ),
        row(
            2,
            "filter_criteria",
            by!(|g, at| {
                let filter = Filter::builder().pattern(r#"{"body":{"colour":["blue"]}}"#);
                let criteria = FilterCriteria::builder().filters(filter.build());
                sent!(mapping!(g, at).filter_criteria(criteria.build()))
            }),
            Are(r#"[{"body":{"colour":["blue"]}}]"#),
            Are(NOTHING),
            "filters",
        ),
        row(
            3,
            "function_name",
            by!(|g, at| {
                let other = &g.stage.names.processing;
                sent!(mapping!(g, at).function_name(other))
            }),
            Are("orders-processing-devl-{region}"),
            Are("orders-integration-devl-{region}"),
            "",
        ),
    ]
}

fn event_source() -> Vec<Row> {
    let mut rows = any_source();
    rows.extend([
        row(
            1,
            "maximum_concurrency",
            by!(|g, at| {
                let other = ScalingConfig::builder().maximum_concurrency(7).build();
                sent!(mapping!(g, at).scaling_config(other))
            }),
            Are("7"),
            Are("5"),
            "maximum_concurrency",
        ),
        row(
            2,
            "maximum_concurrency",
            by!(|g, at| sent!(mapping!(g, at).scaling_config(ScalingConfig::builder().build()))),
            Are(NOTHING),
            Are("5"),
            "maximum_concurrency",
        ),
    ]);
    rows
}

fn undeliverable_source() -> Vec<Row> {
    let mut rows = any_source();
    rows.push(row(
        1,
        "maximum_concurrency",
        by!(|g, at| {
            let other = ScalingConfig::builder().maximum_concurrency(7).build();
            sent!(mapping!(g, at).scaling_config(other))
        }),
        Are("7"),
        Are("2"),
        "maximum_concurrency",
    ));
    rows
}

fn dashboard() -> Vec<Row> {
    vec![row(
        1,
        "dashboard_body",
        by!(|g, at| {
            let body = g.attribute(at, "dashboard_body");
            let call = g.stage.aws.cloudwatch.put_dashboard();
            let call = call.dashboard_name(&g.stage.names.dashboard);
            sent!(call.dashboard_body(body.replace("Callbacks", "By somebody")))
        }),
        Hold("By somebody"),
        AsBefore,
        "widgets",
    )]
}

fn event_invoke_config() -> Vec<Row> {
    vec![
        row(
            1,
            "maximum_event_age_in_seconds",
            by!(|g, _| {
                let to = DestinationConfig::builder()
                    .on_failure(
                        OnFailure::builder()
                            .destination(g.filled("{topic}"))
                            .build(),
                    )
                    .on_success(
                        OnSuccess::builder()
                            .destination(g.filled("{topic}"))
                            .build(),
                    );
                let call = g.stage.aws.lambda.put_function_event_invoke_config();
                let call = call.function_name(&g.stage.names.integration);
                let call = call.maximum_event_age_in_seconds(120);
                sent!(
                    call.maximum_retry_attempts(0)
                        .destination_config(to.build())
                )
            }),
            Are("120"),
            Are("21600"),
            "maximum_event_age",
        ),
        also(
            1,
            "maximum_retry_attempts",
            Are("0"),
            Are("2"),
            "maximum_retries",
        ),
        also(
            1,
            "on_failure",
            Are("{topic}"),
            Are("{dead-letter-queue}"),
            "on_failure",
        ),
        also(1, "on_success", Are("{topic}"), Are(NOTHING), "on_success"),
        row(
            2,
            "on_failure",
            by!(|g, _| {
                let call = g.stage.aws.lambda.put_function_event_invoke_config();
                let call = call.function_name(&g.stage.names.integration);
                sent!(
                    call.maximum_event_age_in_seconds(21600)
                        .maximum_retry_attempts(2)
                )
            }),
            Are(NOTHING),
            Are("{dead-letter-queue}"),
            "on_failure",
        ),
    ]
}

/// Removes the permission; the call that makes one of the same id.
async fn permit(ground: &Ground, action: &str, principal: &str) -> AddPermission {
    let (lambda, function) = (&ground.stage.aws.lambda, &ground.stage.names.integration);
    let id = "bellflower-bucket";
    sent!(
        lambda
            .remove_permission()
            .function_name(function)
            .statement_id(id)
    );
    let call = lambda
        .add_permission()
        .function_name(function)
        .statement_id(id);
    call.action(action).principal(principal)
}

fn permission() -> Vec<Row> {
    vec![
        row(
            1,
            "action",
            by!(|g, _| {
                let call = permit(g, "lambda:GetFunction", "sns.amazonaws.com").await;
                let call = call.source_arn(g.filled("{topic}"));
                sent!(call.source_account("210987654321"))
            }),
            Are("lambda:GetFunction"),
            Are("lambda:InvokeFunction"),
            "bellflower-bucket/Action",
        ),
        also(
            1,
            "principal",
            Are("sns.amazonaws.com"),
            Are("s3.amazonaws.com"),
            "bellflower-bucket/Principal",
        ),
        also(
            1,
            "source_account",
            Are("210987654321"),
            Are("{account}"),
            "bellflower-bucket/Condition",
        ),
        also(
            1,
            "source_arn",
            Are("{topic}"),
            Are("{bucket}"),
            "bellflower-bucket/Condition",
        ),
        row(
            2,
            "source_account",
            by!(|g, _| sent!(permit(g, "lambda:InvokeFunction", "s3.amazonaws.com").await)),
            Are(NOTHING),
            Are("{account}"),
            "bellflower-bucket/Condition",
        ),
        also(
            2,
            "source_arn",
            Are(NOTHING),
            Are("{bucket}"),
            "bellflower-bucket/Condition",
        ),
        row(
            3,
            "further",
            by!(|g, _| {
                let call = permit(g, "lambda:InvokeFunction", "s3.amazonaws.com").await;
                let call = call.source_arn(g.filled("{bucket}"));
                let call = call.source_account(g.filled("{account}"));
                sent!(call.principal_org_id("o-a1b2c3d4e5"))
            }),
            Are(r#"{"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}"#),
            Are(NOTHING),
            "bellflower-bucket/Condition",
        ),
    ]
}

/// Logs executions otherwise, to the group a function logs to.
async fn log_otherwise(ground: &Ground, path: &str) {
    use aws_sdk_sfn::types::{CloudWatchLogsLogGroup, LogDestination};
    let group = CloudWatchLogsLogGroup::builder()
        .log_group_arn(format!("{}:*", ground.arn("processing.log_group")));
    let logging = LoggingConfiguration::builder()
        .level(LogLevel::Error)
        .include_execution_data(true)
        .destinations(
            LogDestination::builder()
                .cloud_watch_logs_log_group(group.build())
                .build(),
        );
    let call = ground
        .stage
        .aws
        .sfn
        .update_state_machine()
        .state_machine_arn(ground.arn(path));
    sent!(call.logging_configuration(logging.build()));
}

fn machine() -> Vec<Row> {
    vec![
        row(
            1,
            "definition",
            by!(|g, at| {
                let other =
                    r#"{"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": true}}}"#;
                sent!(
                    g.stage
                        .aws
                        .sfn
                        .update_state_machine()
                        .state_machine_arn(g.arn(at))
                        .definition(other)
                )
            }),
            Are(r#"{"StartAt":"Pass","States":{"Pass":{"End":true,"Type":"Pass"}}}"#),
            AsBefore,
            "definition",
        ),
        row(
            1,
            "role_arn",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .sfn
                    .update_state_machine()
                    .state_machine_arn(g.arn(at));
                sent!(call.role_arn(g.somebodys_role()))
            }),
            Are("{somebody's-role}"),
            Are("arn:aws:iam::{account}:role/orders-state-machine-role-devl-{region}"),
            "role_arn",
        ),
        row(
            1,
            "log_level",
            by!(|g, at| log_otherwise(g, at).await),
            Are("ERROR"),
            Are("ALL"),
            "logging/level",
        ),
        also(
            1,
            "include_execution_data",
            Are("true"),
            Are("false"),
            "logging/execution_data",
        ),
        also(
            1,
            "log_destination",
            Hold("log-group:/aws/lambda/orders-processing"),
            Are("{machine-log}:*"),
            "logging/destinations",
        ),
        row(
            2,
            "log_level",
            by!(|g, at| {
                let call = g
                    .stage
                    .aws
                    .sfn
                    .update_state_machine()
                    .state_machine_arn(g.arn(at));
                sent!(call.logging_configuration(
                    LoggingConfiguration::builder().level(LogLevel::Off).build()
                ))
            }),
            Are("OFF"),
            Are("ALL"),
            "logging/level",
        ),
    ]
}
