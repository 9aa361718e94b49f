//! The pipeline that drifts, and the calls by which somebody changes it behind Terraform's back.

use aws_sdk_cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder as PutAlarm;
use aws_sdk_lambda::operation::update_function_configuration::builders::UpdateFunctionConfigurationFluentBuilder as UpdateFunction;
use aws_sdk_s3::types::{
    LambdaFunctionConfiguration, NotificationConfiguration, PublicAccessBlockConfiguration, Tag,
    Tagging,
};
use aws_sdk_sqs::types::QueueAttributeName;
use base64::Engine as _;
use bellflower_tests::{Error, Stage};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::io::Write as _;

/// Sends a call that must succeed.
macro_rules! sent {
    ($call:expr) => {{
        match $call.send().await {
            Ok(answer) => answer,
            Err(error) => panic!(
                "{}: {}",
                stringify!($call),
                aws_smithy_types::error::display::DisplayErrorContext(error)
            ),
        }
    }};
}
pub(crate) use sent;

/// The kinds of parts: those of one kind have the same properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Key,
    Bucket,
    Notification,
    Queue,
    UndeliverableQueue,
    DeadLetterQueue,
    Topic,
    Subscription,
    Function,
    Role,
    MachineRole,
    LogGroup,
    Alarm,
    PipelineAlarm,
    SumAlarm,
    Dashboard,
    EventSource,
    UndeliverableSource,
    EventInvokeConfig,
    Permission,
    Machine,
}

/// The kind of the part at a place in the resource.
pub fn kind(path: &str) -> Kind {
    let steps: Vec<&str> = path.split('.').collect();
    match steps[..] {
        ["key"] => Kind::Key,
        ["bucket"] => Kind::Bucket,
        ["notification"] => Kind::Notification,
        ["queue"] => Kind::Queue,
        ["undeliverable_queue"] => Kind::UndeliverableQueue,
        ["dead_letter_queue"] => Kind::DeadLetterQueue,
        ["topic"] => Kind::Topic,
        ["subscriptions", _] => Kind::Subscription,
        ["processing" | "integration"] => Kind::Function,
        ["state_machine", "role"] => Kind::MachineRole,
        [_, "role"] => Kind::Role,
        [_, "log_group"] => Kind::LogGroup,
        [_, "alarms", _] => Kind::Alarm,
        ["alarms", "executions_failed"] => Kind::SumAlarm,
        ["alarms", _] => Kind::PipelineAlarm,
        ["dashboard"] => Kind::Dashboard,
        ["event_source"] => Kind::EventSource,
        ["undeliverable_event_source"] => Kind::UndeliverableSource,
        ["event_invoke_config"] => Kind::EventInvokeConfig,
        ["permission"] => Kind::Permission,
        ["state_machine"] => Kind::Machine,
        _ => panic!("no kind is known of {path}"),
    }
}

/// A pipeline as it was applied: what AWS and Terraform said of it then.
pub struct Ground {
    pub stage: Stage,
    /// What AWS said.
    pub before: Value,
    /// Terraform's state.
    pub known: Value,
}

/// What was said in the arguments that is not a default.
const ARGUMENTS: &str = r#"
  tags                 = { team = "logistics" }
  permissions_boundary = "{boundary}"
  topic                = { display_name = "Orders" }
  dashboard            = {}
  bucket               = { outbound_queue_arn = "{listener}" }
  processing           = { variables = { COLOUR = "blue" } }
  event_source         = { maximum_concurrency = 5 }
  subscriptions = {
    operator = { protocol = "email", endpoint = "operator@example.com" }
    listener = {
      protocol             = "sqs"
      endpoint             = "{listener}"
      raw_message_delivery = true
      filter_policy        = jsonencode({ status = ["FAILED"] })
      filter_policy_scope  = "MessageBody"
      redrive_policy       = jsonencode({ deadLetterTargetArn = "{undelivered}" })
    }
  }
"#;

impl Ground {
    /// Applies the pipeline.
    pub async fn new() -> Result<Self, Error> {
        let stage = Stage::new("").await?;
        // Everything is open: what bounds the roles must not stop the pipeline, and S3 asks the queue before it tells it anything.
        let mut open = json!({"Sid": "Open", "Effect": "Allow", "Action": "*", "Resource": "*"});
        let document = |statement: &Value| {
            json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
        };
        for name in ["boundary", "other-boundary"] {
            let call = stage.aws.iam.create_policy().policy_name(name);
            sent!(call.policy_document(document(&open)));
        }
        open["Principal"] = json!("*");
        for name in ["listener", "undelivered"] {
            let call = stage.aws.sqs.create_queue().queue_name(name);
            sent!(call.attributes(QueueAttributeName::Policy, document(&open)));
        }
        let mut ground = Self {
            stage,
            before: Value::Null,
            known: Value::Null,
        };
        ground.stage.set(&ground.filled(ARGUMENTS))?;
        ground.stage.terraform.apply()?;
        ground.look().await?;
        Ok(ground)
    }

    /// Takes what is there now as what should be.
    pub async fn look(&mut self) -> Result<(), Error> {
        self.before = self.stage.observe().await;
        self.known = self.stage.state()?;
        Ok(())
    }

    /// Puts names and ids into a text of the tables.
    pub fn filled(&self, text: &str) -> String {
        let (stage, names) = (&self.stage, &self.stage.names);
        let mut text = text.to_owned();
        for (placeholder, value) in [
            ("{mark}", format!("orders/devl/{}", stage.region())),
            ("{account}", stage.emulator.account().to_owned()),
            ("{region}", stage.region().to_owned()),
            ("{boundary}", stage.arn("iam", "policy/boundary")),
            (
                "{other-boundary}",
                stage.arn("iam", "policy/other-boundary"),
            ),
            ("{listener}", stage.arn("sqs", "listener")),
            ("{undelivered}", stage.arn("sqs", "undelivered")),
            ("{alias}", names.key_alias.clone()),
            ("{key}", self.text("/key/arn")),
            ("{other-key}", self.other_key()),
            ("{bucket}", stage.arn("s3", &names.bucket)),
            ("{queue}", stage.arn("sqs", &names.queue)),
            (
                "{undeliverable-queue}",
                stage.arn("sqs", &names.undeliverable_queue),
            ),
            (
                "{dead-letter-queue}",
                stage.arn("sqs", &names.dead_letter_queue),
            ),
            ("{topic}", stage.arn("sns", &names.topic)),
            ("{processing}", self.function_arn(&names.processing)),
            ("{integration}", self.function_arn(&names.integration)),
            (
                "{somebody's-role}",
                stage.arn("iam", &format!("role/{SOMEBODYS_ROLE}")),
            ),
            (
                "{machine-log}",
                stage.arn(
                    "logs",
                    &format!("log-group:/aws/vendedlogs/states/{}", names.state_machine),
                ),
            ),
            ("{code}", code().1),
        ] {
            text = text.replace(placeholder, &value);
        }
        text
    }

    /// As [`Ground::filled`], with what differs among the parts of one kind.
    pub fn filled_for(&self, path: &str, text: &str) -> String {
        let owner = path.split('.').next().unwrap_or_default();
        let mut text = self.filled(text);
        if matches!(kind(path), Kind::Alarm | Kind::PipelineAlarm) {
            let alarm = path.rsplit('.').next().unwrap_or_default();
            text = text
                .replace("{namespace}", namespace(alarm))
                .replace("{metric}", metric(alarm))
                .replace("{statistic}", statistic(alarm));
        }
        text.replace("{owner}", &owner.replace('_', "-"))
    }

    fn function_arn(&self, name: &str) -> String {
        self.stage.arn("lambda", &format!("function:{name}"))
    }

    /// The ARN of a role of no part.
    pub fn somebodys_role(&self) -> String {
        self.filled("{somebody's-role}")
    }

    /// The ARN of a key that is not the pipeline's.
    pub fn other_key(&self) -> String {
        self.stage
            .arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab")
    }

    /// A text of the state, empty when it has none.
    fn text(&self, pointer: &str) -> String {
        let value = self.known.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    }

    /// An attribute of a part in the state.
    pub fn attribute(&self, path: &str, name: &str) -> String {
        self.text(&format!("/{}/{name}", path.replace('.', "/")))
    }

    pub fn arn(&self, path: &str) -> String {
        self.attribute(path, "arn")
    }

    /// The name of the function a path begins with.
    pub fn function(&self, path: &str) -> String {
        let owner = path.split('.').next().unwrap_or_default();
        self.attribute(owner, "function_name")
    }

    /// Where the observation has a part.
    pub fn observed_at(&self, path: &str) -> String {
        match kind(path) {
            Kind::Notification => "/bucket/notification".to_owned(),
            Kind::Permission => "/integration/policy".to_owned(),
            Kind::EventInvokeConfig => "/integration/event_invoke_config".to_owned(),
            Kind::Subscription => {
                let [protocol, endpoint] =
                    ["protocol", "endpoint"].map(|name| self.attribute(path, name));
                format!("/topic/subscriptions/{protocol} {endpoint}")
            }
            Kind::Alarm => {
                let (owner, alarm) = path.split_once(".alarms.").unwrap();
                format!("/{owner}/alarms/{}", metric(alarm))
            }
            _ => format!("/{}", path.replace('.', "/")),
        }
    }
}

/// The metric an alarm watches.
fn metric(alarm: &str) -> &'static str {
    match alarm {
        "invocations" => "Invocations",
        "errors" => "Errors",
        "throttles" => "Throttles",
        "duration" => "Duration",
        "concurrent_executions" => "ConcurrentExecutions",
        "dead_letter_depth" => "ApproximateNumberOfMessagesVisible",
        "message_age" => "ApproximateAgeOfOldestMessage",
        "callbacks_rejected" => "Rejected",
        "callbacks_undeliverable" => "Undeliverable",
        _ => panic!("no metric is known of {alarm}"),
    }
}

/// How the values of an alarm's period become one.
fn statistic(alarm: &str) -> &'static str {
    match alarm {
        "duration" => "Average",
        "concurrent_executions" | "dead_letter_depth" | "message_age" => "Maximum",
        _ => "Sum",
    }
}

/// The namespace of an alarm's metric.
fn namespace(alarm: &str) -> &'static str {
    match alarm {
        "dead_letter_depth" | "message_age" => "AWS/SQS",
        "callbacks_rejected" | "callbacks_undeliverable" => "Bellflower",
        _ => "AWS/Lambda",
    }
}

const SOMEBODYS_ROLE: &str = "somebodys-role";

/// A policy of one statement that no pipeline has.
pub fn statement_of_somebody() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "BySomebody", "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*",
    }]})
}

/// A policy document with a statement more.
pub fn extended(document: &str) -> String {
    let mut document: Value = serde_json::from_str(document).unwrap();
    let mut more = document["Statement"][0].clone();
    more["Sid"] = json!("BySomebody");
    document["Statement"].as_array_mut().unwrap().push(more);
    document.to_string()
}

/// A package of no pipeline, and its hash as Lambda tells it.
pub fn code() -> (Vec<u8>, String) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(b"#!/bin/sh\n").unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&bytes));
    (bytes, hash)
}

/// Sets and removes tags of a part, by its service's own call.
#[allow(clippy::too_many_lines, reason = "each service has its own call")]
pub async fn tag(ground: &Ground, path: &str, set: &[(&str, &str)], unset: &[&str]) {
    let aws = &ground.stage.aws;
    let arn = ground.arn(path);
    let set: Vec<(String, String)> = set
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let unset: Vec<String> = unset.iter().map(|key| (*key).to_owned()).collect();
    /// The tags as a list of the service's own type.
    macro_rules! list {
        ($service:ident, $key:ident, $value:ident) => {
            Some(
                set.iter()
                    .map(|(key, value)| {
                        let tag = $service::types::Tag::builder().$key(key).$value(value);
                        Finished::finished(tag.build())
                    })
                    .collect(),
            )
        };
    }
    /// Both calls, each where there is something to do.
    macro_rules! both {
        ($tag:expr, $untag:expr) => {{
            if !set.is_empty() {
                sent!($tag);
            }
            if !unset.is_empty() {
                sent!($untag);
            }
        }};
    }
    let keys = Some(unset.clone());
    match kind(path) {
        Kind::Key => {
            let id = ground.attribute(path, "key_id");
            both!(
                aws.kms
                    .tag_resource()
                    .key_id(&id)
                    .set_tags(list!(aws_sdk_kms, tag_key, tag_value)),
                aws.kms.untag_resource().key_id(&id).set_tag_keys(keys)
            );
        }
        Kind::Bucket => {
            let bucket = &ground.stage.names.bucket;
            let mut tags = sent!(aws.s3.get_bucket_tagging().bucket(bucket)).tag_set;
            tags.retain(|tag| {
                !unset.contains(&tag.key) && !set.iter().any(|(key, _)| *key == tag.key)
            });
            let new = |(key, value): &(String, String)| {
                Tag::builder().key(key).value(value).build().unwrap()
            };
            tags.extend(set.iter().map(new));
            let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
            sent!(aws.s3.put_bucket_tagging().bucket(bucket).tagging(tagging));
        }
        Kind::Queue | Kind::UndeliverableQueue | Kind::DeadLetterQueue => {
            let url = ground.attribute(path, "url");
            let tags = set.iter().cloned().collect();
            both!(
                aws.sqs.tag_queue().queue_url(&url).set_tags(Some(tags)),
                aws.sqs.untag_queue().queue_url(&url).set_tag_keys(keys)
            );
        }
        Kind::Topic => both!(
            aws.sns
                .tag_resource()
                .resource_arn(&arn)
                .set_tags(list!(aws_sdk_sns, key, value)),
            aws.sns
                .untag_resource()
                .resource_arn(&arn)
                .set_tag_keys(keys)
        ),
        Kind::Function | Kind::EventSource | Kind::UndeliverableSource => {
            let tags = set.iter().cloned().collect();
            both!(
                aws.lambda
                    .tag_resource()
                    .resource(&arn)
                    .set_tags(Some(tags)),
                aws.lambda
                    .untag_resource()
                    .resource(&arn)
                    .set_tag_keys(keys)
            );
        }
        Kind::Role | Kind::MachineRole => {
            let name = ground.attribute(path, "name");
            both!(
                aws.iam
                    .tag_role()
                    .role_name(&name)
                    .set_tags(list!(aws_sdk_iam, key, value)),
                aws.iam.untag_role().role_name(&name).set_tag_keys(keys)
            );
        }
        Kind::LogGroup => {
            let tags = set.iter().cloned().collect();
            both!(
                aws.logs
                    .tag_resource()
                    .resource_arn(&arn)
                    .set_tags(Some(tags)),
                aws.logs
                    .untag_resource()
                    .resource_arn(&arn)
                    .set_tag_keys(keys)
            );
        }
        Kind::Alarm | Kind::PipelineAlarm | Kind::SumAlarm => both!(
            aws.cloudwatch
                .tag_resource()
                .resource_arn(&arn)
                .set_tags(list!(aws_sdk_cloudwatch, key, value)),
            aws.cloudwatch
                .untag_resource()
                .resource_arn(&arn)
                .set_tag_keys(keys)
        ),
        Kind::Machine => both!(
            aws.sfn
                .tag_resource()
                .resource_arn(&arn)
                .set_tags(list!(aws_sdk_sfn, key, value)),
            aws.sfn
                .untag_resource()
                .resource_arn(&arn)
                .set_tag_keys(keys)
        ),
        Kind::Notification
        | Kind::Subscription
        | Kind::Permission
        | Kind::EventInvokeConfig
        | Kind::Dashboard => {
            panic!("{path} has no tags")
        }
    }
}

/// Some of the SDKs' builders can fail and some cannot.
trait Finished<T> {
    fn finished(self) -> T;
}

impl<T, E: std::fmt::Debug> Finished<T> for Result<T, E> {
    fn finished(self) -> T {
        self.unwrap()
    }
}

impl Finished<Self> for aws_sdk_cloudwatch::types::Tag {
    fn finished(self) -> Self {
        self
    }
}

impl Finished<Self> for aws_sdk_sfn::types::Tag {
    fn finished(self) -> Self {
        self
    }
}

/// Sets an attribute of a queue.
pub async fn set_queue(ground: &Ground, path: &str, name: &str, value: &str) {
    let call = ground.stage.aws.sqs.set_queue_attributes();
    let call = call.queue_url(ground.attribute(path, "url"));
    sent!(call.attributes(QueueAttributeName::from(name), ground.filled(value)));
}

/// Sets an attribute of the topic.
pub async fn set_topic(ground: &Ground, name: &str, value: &str) {
    let call = ground.stage.aws.sns.set_topic_attributes();
    let call = call.topic_arn(ground.arn("topic")).attribute_name(name);
    sent!(call.attribute_value(ground.filled(value)));
}

/// Sets an attribute of a subscription, or takes it away.
pub async fn set_subscription(ground: &Ground, path: &str, name: &str, value: Option<&str>) {
    let call = ground.stage.aws.sns.set_subscription_attributes();
    let call = call.subscription_arn(ground.arn(path)).attribute_name(name);
    sent!(call.set_attribute_value(value.map(|value| ground.filled(value))));
}

/// The call that changes what it is told of a function.
pub fn update_function(ground: &Ground, path: &str) -> UpdateFunction {
    let call = ground.stage.aws.lambda.update_function_configuration();
    call.function_name(ground.function(path))
}

/// The call that puts an alarm as it is now, to be altered before it is sent.
pub async fn alarm(ground: &Ground, path: &str) -> PutAlarm {
    let cloudwatch = &ground.stage.aws.cloudwatch;
    let arn = ground.arn(path);
    let name = arn.split_once(":alarm:").unwrap().1;
    let found = sent!(cloudwatch.describe_alarms().alarm_names(name));
    let now = found.metric_alarms.unwrap().remove(0);
    // AWS takes one or the other.
    let statistic = now.statistic.filter(|_| now.extended_statistic.is_none());
    cloudwatch
        .put_metric_alarm()
        .alarm_name(name)
        .set_alarm_description(now.alarm_description)
        .set_namespace(now.namespace)
        .set_metric_name(now.metric_name)
        .set_dimensions(now.dimensions)
        .set_statistic(statistic)
        .set_extended_statistic(now.extended_statistic)
        .set_unit(now.unit)
        .set_period(now.period)
        .set_evaluation_periods(now.evaluation_periods)
        .set_datapoints_to_alarm(now.datapoints_to_alarm)
        .set_threshold(now.threshold)
        .set_comparison_operator(now.comparison_operator)
        .set_treat_missing_data(now.treat_missing_data)
        .set_actions_enabled(now.actions_enabled)
        .set_alarm_actions(now.alarm_actions)
        .set_ok_actions(now.ok_actions)
}

/// Blocks other public access than now.
pub async fn block(
    ground: &Ground,
    alter: impl FnOnce(&mut PublicAccessBlockConfiguration) -> &mut Option<bool>,
) {
    let (s3, bucket) = (&ground.stage.aws.s3, &ground.stage.names.bucket);
    let found = sent!(s3.get_public_access_block().bucket(bucket));
    let mut now = found.public_access_block_configuration.unwrap();
    *alter(&mut now) = Some(false);
    let call = s3.put_public_access_block().bucket(bucket);
    sent!(call.public_access_block_configuration(now));
}

/// Tells others of the bucket's events than now.
pub async fn notify(
    ground: &Ground,
    alter: impl FnOnce(NotificationConfiguration) -> NotificationConfiguration,
) {
    let (s3, bucket) = (&ground.stage.aws.s3, &ground.stage.names.bucket);
    let found = sent!(s3.get_bucket_notification_configuration().bucket(bucket));
    let now = NotificationConfiguration::builder()
        .set_topic_configurations(found.topic_configurations)
        .set_queue_configurations(found.queue_configurations)
        .set_lambda_function_configurations(found.lambda_function_configurations)
        .build();
    let call = s3.put_bucket_notification_configuration().bucket(bucket);
    sent!(call.notification_configuration(alter(now)));
}

/// As [`notify`], of the function's entry.
pub async fn notify_function(
    ground: &Ground,
    alter: impl FnOnce(&mut LambdaFunctionConfiguration),
) {
    notify(ground, |mut now| {
        alter(&mut now.lambda_function_configurations.as_mut().unwrap()[0]);
        now
    })
    .await;
}
