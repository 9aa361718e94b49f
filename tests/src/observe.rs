//! What AWS says a pipeline looks like, part by part, in AWS's own words.
//!
//! It asks the services, never Terraform's state, so that a test can hold the one against the other.

// The SDK's types have names so long that `|key| key.filter_rules()` is the shorter and the clearer.
#![allow(clippy::redundant_closure_for_method_calls)]

use std::collections::BTreeMap;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    Event, FilterRule, FilterRuleName, NotificationConfigurationFilter, S3KeyFilter,
};
use serde_json::{Map, Value, json};

use crate::Aws;

/// The names of a pipeline's parts in AWS.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "each field is the name of the part it is named after"
)]
pub struct Names {
    pub key_alias: String,
    pub bucket: String,
    pub queue: String,
    pub undeliverable_queue: String,
    pub dead_letter_queue: String,
    pub topic: String,
    pub processing: String,
    pub processing_role: String,
    pub integration: String,
    pub integration_role: String,
    pub state_machine: String,
    pub state_machine_role: String,
    /// The names of the alarms on the pipeline as a whole, with `{}` for what each watches.
    pub alarm: String,
    pub dashboard: String,
}

/// The alarms on the pipeline as a whole.
pub const PIPELINE_ALARMS: [&str; 5] = [
    "callbacks_rejected",
    "callbacks_undeliverable",
    "dead_letter_depth",
    "executions_failed",
    "message_age",
];

impl Names {
    /// The names of a pipeline that sets none of them: `<name>-<part>-<environment>-<region>`.
    #[must_use]
    pub fn derived(name: &str, environment: &str, account: &str, region: &str) -> Self {
        let of = |part: &str| format!("{name}-{part}-{environment}-{region}");
        Self {
            key_alias: format!("alias/{}", of("key")),
            bucket: format!("{name}-integration-bucket-{account}-{environment}-{region}"),
            queue: of("queue"),
            undeliverable_queue: of("undeliverable-queue"),
            dead_letter_queue: of("dead-letter-queue"),
            topic: of("topic"),
            processing: of("processing"),
            processing_role: of("processing-role"),
            integration: of("integration"),
            integration_role: of("integration-role"),
            state_machine: of("state-machine"),
            state_machine_role: of("state-machine-role"),
            alarm: of("{}"),
            dashboard: of("dashboard"),
        }
    }
}

/// Asks for everything about a pipeline's parts. A part that is not there, or that AWS does not tell about, is
/// `{"error": "the service's code"}`. Times, revisions and counters are left out: what is the same twice was not
/// touched in between.
pub async fn observe(aws: &Aws, names: &Names) -> Value {
    // In boxes, since the SDK's futures are large and a test's thread has a small stack.
    let (
        key,
        bucket,
        sent,
        undeliverable,
        dead_letters,
        topic,
        processing,
        integration,
        source,
        undeliverable_source,
        machine,
        alarms,
        dashboard,
    ) = tokio::join!(
        Box::pin(key(aws, &names.key_alias)),
        Box::pin(bucket(aws, &names.bucket)),
        Box::pin(queue(aws, &names.queue)),
        Box::pin(queue(aws, &names.undeliverable_queue)),
        Box::pin(queue(aws, &names.dead_letter_queue)),
        Box::pin(topic(aws, &names.topic)),
        Box::pin(function(aws, &names.processing, &names.processing_role)),
        Box::pin(function(aws, &names.integration, &names.integration_role)),
        Box::pin(event_source(aws, &names.integration, &names.queue)),
        Box::pin(event_source(
            aws,
            &names.integration,
            &names.undeliverable_queue
        )),
        Box::pin(state_machine(
            aws,
            &names.state_machine,
            &names.state_machine_role
        )),
        Box::pin(pipeline_alarms(aws, &names.alarm)),
        Box::pin(dashboard(aws, &names.dashboard)),
    );
    json!({
        "key": key,
        "bucket": bucket,
        "queue": sent,
        "undeliverable_queue": undeliverable,
        "dead_letter_queue": dead_letters,
        "topic": topic,
        "processing": processing,
        "integration": integration,
        "event_source": source,
        "undeliverable_event_source": undeliverable_source,
        "state_machine": machine,
        "alarms": alarms,
        "dashboard": dashboard,
    })
}

/// Every place where two observations differ, as JSON pointers with the new value. Lists of different length differ as a
/// whole.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> BTreeMap<String, Value> {
    fn walk(at: &str, before: &Value, after: &Value, found: &mut BTreeMap<String, Value>) {
        if let (Value::Object(before), Value::Object(after)) = (before, after) {
            let absent = Value::Null;
            for name in before.keys().chain(after.keys()) {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                let [before, after] = [before, after].map(|map| map.get(name).unwrap_or(&absent));
                walk(&at, before, after, found);
            }
        } else if let (Value::Array(before), Value::Array(after)) = (before, after)
            && before.len() == after.len()
        {
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                walk(&format!("{at}/{number}"), before, after, found);
            }
        } else if before != after {
            found.insert(at.to_owned(), after.clone());
        }
    }
    let mut found = BTreeMap::new();
    walk("", before, after, &mut found);
    found
}

fn refused<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Value {
    let code = match error {
        SdkError::ServiceError(inner) => inner.err().code().unwrap_or("no code"),
        _ => "no answer",
    };
    json!({"error": code})
}

/// The answer of a call, or an observation that it was refused.
macro_rules! ask {
    ($call:expr) => {
        match $call.send().await {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        }
    };
}

fn document(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| {
        serde_json::from_str(text).map_or_else(|_| json!(text), by_sid)
    })
}

/// A policy with its statements by their ids, so that a difference tells in which statement it is. Anything else, and a
/// policy with a statement that has no id, stays as it is.
#[must_use]
pub fn by_sid(mut policy: Value) -> Value {
    let Some(Value::Array(statements)) = policy.get("Statement") else {
        return policy;
    };
    let named: Option<Map<String, Value>> = statements
        .iter()
        .map(|one| Some((one.get("Sid")?.as_str()?.to_owned(), one.clone())))
        .collect();
    if let Some(named) = named.filter(|named| named.len() == statements.len()) {
        policy["Statement"] = Value::Object(named);
    }
    policy
}

/// IAM answers with documents encoded as in a URL.
fn encoded_document(text: Option<&str>) -> Value {
    document(text.map(decoded).as_deref())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| {
                after
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
            })
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tag_map<'a>(tags: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Value {
    let pairs = tags
        .into_iter()
        .map(|(key, value)| (key.unwrap_or_default().to_owned(), json!(value)));
    Value::Object(pairs.collect())
}

async fn key(aws: &Aws, alias: &str) -> Value {
    let described = ask!(aws.kms.describe_key().key_id(alias));
    let Some(key) = described.key_metadata() else {
        return json!({"error": "no metadata"});
    };
    let id = key.key_id();
    let policy = ask!(aws.kms.get_key_policy().key_id(id).policy_name("default"));
    let rotation = ask!(aws.kms.get_key_rotation_status().key_id(id));
    let tags = ask!(aws.kms.list_resource_tags().key_id(id));
    let aliases = ask!(aws.kms.list_aliases().key_id(id));
    json!({
        "arn": key.arn(),
        "key_id": id,
        "aliases": aliases.aliases().iter().map(|one| one.alias_name()).collect::<Vec<_>>(),
        "description": key.description(),
        "state": key.key_state().map(aws_sdk_kms::types::KeyState::as_str),
        "manager": key.key_manager().map(aws_sdk_kms::types::KeyManagerType::as_str),
        "usage": key.key_usage().map(aws_sdk_kms::types::KeyUsageType::as_str),
        "policy": document(policy.policy()),
        "rotation": rotation.key_rotation_enabled(),
        // AWS tells none while rotation is off, the emulator does.
        "rotation_days": rotation.rotation_period_in_days().filter(|_| rotation.key_rotation_enabled()),
        "tags": tag_map(tags.tags().iter().map(|tag| (Some(tag.tag_key()), Some(tag.tag_value())))),
    })
}

async fn bucket(aws: &Aws, name: &str) -> Value {
    let s3 = &aws.s3;
    let location = ask!(s3.get_bucket_location().bucket(name));
    let (encryption, access, ownership, policy, lifecycle, notification, tags, objects) = tokio::join!(
        bucket_encryption(aws, name),
        bucket_access(aws, name),
        async {
            let answer = ask!(s3.get_bucket_ownership_controls().bucket(name));
            let rules = answer
                .ownership_controls()
                .map(|all| all.rules())
                .unwrap_or_default();
            json!(
                rules
                    .iter()
                    .map(|rule| rule.object_ownership().as_str())
                    .collect::<Vec<_>>()
            )
        },
        async {
            let answer = ask!(s3.get_bucket_policy().bucket(name));
            document(answer.policy())
        },
        bucket_lifecycle(aws, name),
        bucket_notification(aws, name),
        async {
            let answer = ask!(s3.get_bucket_tagging().bucket(name));
            tag_map(
                answer
                    .tag_set()
                    .iter()
                    .map(|tag| (Some(tag.key()), Some(tag.value()))),
            )
        },
        async {
            let answer = ask!(s3.list_objects_v2().bucket(name));
            json!(
                answer
                    .contents()
                    .iter()
                    .map(|object| object.key())
                    .collect::<Vec<_>>()
            )
        },
    );
    json!({
        "location": location.location_constraint().map(aws_sdk_s3::types::BucketLocationConstraint::as_str),
        "encryption": encryption,
        "public_access_block": access,
        "ownership": ownership,
        "policy": policy,
        "lifecycle": lifecycle,
        "notification": notification,
        "tags": tags,
        "objects": objects,
    })
}

async fn bucket_encryption(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.s3.get_bucket_encryption().bucket(name));
    let rules = answer
        .server_side_encryption_configuration()
        .map(|all| all.rules())
        .unwrap_or_default();
    let one = |rule: &aws_sdk_s3::types::ServerSideEncryptionRule| {
        let default = rule.apply_server_side_encryption_by_default();
        json!({
            "algorithm": default.map(|default| default.sse_algorithm().as_str()),
            "key": default.and_then(|default| default.kms_master_key_id()),
            "bucket_key": rule.bucket_key_enabled(),
        })
    };
    rules.iter().map(one).collect()
}

async fn bucket_access(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.s3.get_public_access_block().bucket(name));
    answer
        .public_access_block_configuration()
        .map_or(Value::Null, |block| {
            json!({
                "block_public_acls": block.block_public_acls(),
                "ignore_public_acls": block.ignore_public_acls(),
                "block_public_policy": block.block_public_policy(),
                "restrict_public_buckets": block.restrict_public_buckets(),
            })
        })
}

async fn bucket_lifecycle(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.s3.get_bucket_lifecycle_configuration().bucket(name));
    let one = |rule: &aws_sdk_s3::types::LifecycleRule| {
        let filter = rule.filter();
        let and = filter.and_then(|filter| filter.and());
        let prefix = filter.and_then(|filter| filter.prefix());
        let larger = filter.and_then(|filter| filter.object_size_greater_than());
        let shown = json!({
            "status": rule.status().as_str(),
            "prefix": prefix.or_else(|| and.and_then(|and| and.prefix())),
            "larger_than": larger.or_else(|| and.and_then(|and| and.object_size_greater_than())),
            "days": rule.expiration().and_then(|expiration| expiration.days()),
            "noncurrent_days": rule.noncurrent_version_expiration().and_then(|expiration| expiration.noncurrent_days()),
        });
        (rule.id().unwrap_or_default().to_owned(), shown)
    };
    Value::Object(answer.rules().iter().map(one).collect())
}

async fn bucket_notification(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.s3.get_bucket_notification_configuration().bucket(name));
    let rules = |filter: Option<&NotificationConfigurationFilter>| {
        let named = |rule: &FilterRule| {
            let name = rule.name().map(FilterRuleName::as_str);
            (name.unwrap_or_default().to_lowercase(), json!(rule.value()))
        };
        let key = filter.and_then(NotificationConfigurationFilter::key);
        let rules = key.map(S3KeyFilter::filter_rules).unwrap_or_default();
        rules.iter().map(named).collect::<Map<_, _>>()
    };
    let events = |events: &[Event]| json!(events.iter().map(Event::as_str).collect::<Vec<_>>());
    let functions = answer.lambda_function_configurations().iter().map(|with| {
        json!({"id": with.id(), "function": with.lambda_function_arn(), "events": events(with.events()), "filter": rules(with.filter())})
    });
    let queues = answer.queue_configurations().iter().map(|with| {
        json!({"id": with.id(), "queue": with.queue_arn(), "events": events(with.events()), "filter": rules(with.filter())})
    });
    json!({
        "functions": functions.collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(),
        "topics": answer.topic_configurations().len(),
    })
}

async fn queue(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.sqs.get_queue_url().queue_name(name));
    let url = answer.queue_url().unwrap_or_default();
    let answer = ask!(
        aws.sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(aws_sdk_sqs::types::QueueAttributeName::All)
    );
    let tags = ask!(aws.sqs.list_queue_tags().queue_url(url));
    let mut found: Map<String, Value> = answer
        .attributes()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
        .filter(|(name, _)| {
            !name.ends_with("Timestamp") && !name.starts_with("ApproximateNumberOf")
        })
        .collect();
    for name in ["Policy", "RedrivePolicy", "RedriveAllowPolicy"] {
        if let Some(value) = found.get_mut(name) {
            *value = document(value.as_str());
        }
    }
    let pairs = tags.tags().into_iter().flatten();
    found.insert(
        "tags".to_owned(),
        tag_map(pairs.map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))),
    );
    Value::Object(found)
}

async fn topic(aws: &Aws, name: &str) -> Value {
    let topics = ask!(aws.sns.list_topics());
    let ending = format!(":{name}");
    let Some(arn) = topics
        .topics()
        .iter()
        .filter_map(|topic| topic.topic_arn())
        .find(|arn| arn.ends_with(&ending))
    else {
        return json!({"error": "NotFound"});
    };
    let answer = ask!(aws.sns.get_topic_attributes().topic_arn(arn));
    let tags = ask!(aws.sns.list_tags_for_resource().resource_arn(arn));
    let listed = ask!(aws.sns.list_subscriptions_by_topic().topic_arn(arn));
    let attributes = answer.attributes();
    let text = |name: &str| attributes.and_then(|all| all.get(name)).map(String::as_str);
    let mut subscriptions = Map::new();
    for one in listed.subscriptions() {
        let label = format!(
            "{} {}",
            one.protocol().unwrap_or_default(),
            one.endpoint().unwrap_or_default()
        );
        let arn = one.subscription_arn().unwrap_or_default();
        let answer = ask!(aws.sns.get_subscription_attributes().subscription_arn(arn));
        let mut found: Map<String, Value> = answer
            .attributes()
            .into_iter()
            .flatten()
            // An attribute that was taken away is none on AWS and an empty text in the emulator.
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        for name in ["FilterPolicy", "RedrivePolicy"] {
            if let Some(value) = found.get_mut(name) {
                *value = document(value.as_str());
            }
        }
        subscriptions.insert(label, Value::Object(found));
    }
    json!({
        "arn": arn,
        "display_name": text("DisplayName"),
        "key": text("KmsMasterKeyId"),
        "policy": document(text("Policy")),
        "subscriptions": subscriptions,
        "tags": tag_map(tags.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value())))),
    })
}

async fn role(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.iam.get_role().role_name(name));
    let Some(role) = answer.role() else {
        return json!({"error": "no role"});
    };
    let listed = ask!(aws.iam.list_role_policies().role_name(name));
    let attached = ask!(aws.iam.list_attached_role_policies().role_name(name));
    let mut policies = Map::new();
    for policy in listed.policy_names() {
        let answer = ask!(
            aws.iam
                .get_role_policy()
                .role_name(name)
                .policy_name(policy)
        );
        policies.insert(
            policy.clone(),
            encoded_document(Some(answer.policy_document())),
        );
    }
    let boundary = role.permissions_boundary();
    json!({
        "arn": role.arn(),
        "path": role.path(),
        "description": role.description(),
        "trust": encoded_document(role.assume_role_policy_document()),
        "boundary": boundary.and_then(|boundary| boundary.permissions_boundary_arn()),
        "policies": policies,
        "attached": attached.attached_policies().iter().map(|one| one.policy_arn()).collect::<Vec<_>>(),
        "tags": tag_map(role.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value())))),
    })
}

async fn log_group(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.logs.describe_log_groups().log_group_name_prefix(name));
    let Some(group) = answer
        .log_groups()
        .iter()
        .find(|group| group.log_group_name() == Some(name))
    else {
        return json!({"error": "NotFound"});
    };
    let arn = group.arn().unwrap_or_default().trim_end_matches(":*");
    let tags = ask!(aws.logs.list_tags_for_resource().resource_arn(arn));
    let pairs = tags.tags().into_iter().flatten();
    json!({
        "arn": arn,
        "retention": group.retention_in_days(),
        "key": group.kms_key_id(),
        "tags": tag_map(pairs.map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))),
    })
}

async fn function(aws: &Aws, name: &str, role_name: &str) -> Value {
    let answer = ask!(aws.lambda.get_function().function_name(name));
    let concurrency = ask!(aws.lambda.get_function_concurrency().function_name(name));
    let Some(found) = answer.configuration() else {
        return json!({"error": "no configuration"});
    };
    let log_name = format!("/aws/lambda/{name}");
    let (policy, invoke_config, role, log_group, alarms) = tokio::join!(
        async {
            let answer = ask!(aws.lambda.get_policy().function_name(name));
            document(answer.policy())["Statement"].take()
        },
        event_invoke_config(aws, name),
        role(aws, role_name),
        log_group(aws, &log_name),
        alarms(aws, name),
    );
    let pairs = answer.tags().into_iter().flatten();
    let variables = found
        .environment()
        .and_then(|all| all.variables())
        .into_iter()
        .flatten();
    json!({
        "arn": found.function_arn(),
        "description": found.description(),
        "runtime": found.runtime().map(aws_sdk_lambda::types::Runtime::as_str),
        "handler": found.handler(),
        "role_arn": found.role(),
        "memory": found.memory_size(),
        "timeout": found.timeout(),
        "architectures": found.architectures().iter().map(aws_sdk_lambda::types::Architecture::as_str).collect::<Vec<_>>(),
        "logging": found.logging_config().and_then(|with| with.log_group()),
        "tracing": found.tracing_config().and_then(|with| with.mode()).map(aws_sdk_lambda::types::TracingMode::as_str),
        "key": found.kms_key_arn(),
        "code_sha256": found.code_sha256(),
        "state": found.state().map(aws_sdk_lambda::types::State::as_str),
        "variables": tag_map(variables.map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))),
        "reserved_concurrency": concurrency.reserved_concurrent_executions(),
        "policy": policy,
        "event_invoke_config": invoke_config,
        "tags": tag_map(pairs.map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))),
        "role": role,
        "log_group": log_group,
        "alarms": alarms,
    })
}

async fn event_invoke_config(aws: &Aws, function: &str) -> Value {
    let call = aws.lambda.get_function_event_invoke_config();
    let answer = ask!(call.function_name(function));
    let to = answer.destination_config();
    json!({
        "maximum_event_age": answer.maximum_event_age_in_seconds(),
        "maximum_retries": answer.maximum_retry_attempts(),
        "on_failure": to.and_then(|to| to.on_failure()).and_then(|to| to.destination()),
        "on_success": to.and_then(|to| to.on_success()).and_then(|to| to.destination()),
    })
}

async fn alarms(aws: &Aws, function: &str) -> Value {
    let answer = ask!(aws.cloudwatch.describe_alarms().max_records(100));
    let mut found = Map::new();
    for alarm in answer.metric_alarms() {
        let of_function = alarm.namespace() == Some("AWS/Lambda")
            && alarm
                .dimensions()
                .iter()
                .any(|one| one.value() == Some(function));
        if of_function {
            let metric = alarm.metric_name().unwrap_or_default().to_owned();
            found.insert(metric, alarm_of(aws, alarm).await);
        }
    }
    Value::Object(found)
}

async fn alarm_of(aws: &Aws, alarm: &aws_sdk_cloudwatch::types::MetricAlarm) -> Value {
    let arn = alarm.alarm_arn().unwrap_or_default();
    let tags = ask!(aws.cloudwatch.list_tags_for_resource().resource_arn(arn));
    let dimensions = alarm.dimensions();
    json!({
        "name": alarm.alarm_name(),
        "arn": arn,
        "description": alarm.alarm_description(),
        "namespace": alarm.namespace(),
        "dimensions": tag_map(dimensions.iter().map(|one| (one.name(), one.value()))),
        "statistic": alarm.statistic().map(aws_sdk_cloudwatch::types::Statistic::as_str),
        "extended_statistic": alarm.extended_statistic(),
        "unit": alarm.unit().map(aws_sdk_cloudwatch::types::StandardUnit::as_str),
        "threshold": alarm.threshold(),
        "period": alarm.period(),
        "evaluation_periods": alarm.evaluation_periods(),
        "datapoints": alarm.datapoints_to_alarm(),
        "operator": alarm.comparison_operator().map(aws_sdk_cloudwatch::types::ComparisonOperator::as_str),
        "missing_data": alarm.treat_missing_data(),
        "actions_enabled": alarm.actions_enabled(),
        "alarm_actions": alarm.alarm_actions(),
        "ok_actions": alarm.ok_actions(),
        "tags": tag_map(tags.tags().iter().map(|tag| (tag.key(), tag.value()))),
    })
}

async fn pipeline_alarms(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.cloudwatch.describe_alarms().max_records(100));
    let mut found = Map::new();
    for alarm in PIPELINE_ALARMS {
        let name = name.replace("{}", &alarm.replace('_', "-"));
        let known = answer
            .metric_alarms()
            .iter()
            .find(|one| one.alarm_name() == Some(name.as_str()));
        if let Some(known) = known {
            let mut shown = alarm_of(aws, known).await;
            shown["metric"] = json!(known.metric_name());
            found.insert(alarm.to_owned(), shown);
        }
    }
    Value::Object(found)
}

async fn dashboard(aws: &Aws, name: &str) -> Value {
    let answer = ask!(aws.cloudwatch.get_dashboard().dashboard_name(name));
    document(answer.dashboard_body())
}

async fn event_source(aws: &Aws, function: &str, queue: &str) -> Value {
    let answer = ask!(
        aws.lambda
            .list_event_source_mappings()
            .function_name(function)
    );
    let ending = format!(":{queue}");
    let of_queue: Vec<_> = answer
        .event_source_mappings()
        .iter()
        .filter(|mapping| {
            mapping
                .event_source_arn()
                .is_some_and(|arn| arn.ends_with(&ending))
        })
        .collect();
    let [mapping] = of_queue[..] else {
        return json!({"error": format!("{} mappings", of_queue.len())});
    };
    let arn = mapping.event_source_mapping_arn().unwrap_or_default();
    let tags = ask!(aws.lambda.list_tags().resource(arn));
    let pairs = tags.tags().into_iter().flatten();
    let filters = mapping
        .filter_criteria()
        .into_iter()
        .flat_map(aws_sdk_lambda::types::FilterCriteria::filters);
    json!({
        "uuid": mapping.uuid(),
        "function": mapping.function_arn(),
        "source": mapping.event_source_arn(),
        "state": mapping.state(),
        "batch_size": mapping.batch_size(),
        "batching_window": mapping.maximum_batching_window_in_seconds(),
        "maximum_concurrency": mapping.scaling_config().and_then(|with| with.maximum_concurrency()),
        "filters": filters.map(aws_sdk_lambda::types::Filter::pattern).collect::<Vec<_>>(),
        "response_types": mapping.function_response_types().iter().map(aws_sdk_lambda::types::FunctionResponseType::as_str).collect::<Vec<_>>(),
        "tags": tag_map(pairs.map(|(key, value)| (Some(key.as_str()), Some(value.as_str())))),
    })
}

async fn state_machine(aws: &Aws, name: &str, role_name: &str) -> Value {
    let machines = ask!(aws.sfn.list_state_machines());
    let Some(arn) = machines
        .state_machines()
        .iter()
        .find(|machine| machine.name() == name)
        .map(|machine| machine.state_machine_arn())
    else {
        return json!({"error": "StateMachineDoesNotExist"});
    };
    let found = ask!(aws.sfn.describe_state_machine().state_machine_arn(arn));
    let tags = ask!(aws.sfn.list_tags_for_resource().resource_arn(arn));
    let mut tags = tag_map(tags.tags().iter().map(|tag| (tag.key(), tag.value())));
    // Each pipeline has another.
    let made_at = tags
        .as_object_mut()
        .and_then(|tags| tags.remove("bellflower:made-at"));
    let log_name = format!("/aws/vendedlogs/states/{name}");
    let (role, log_group) = tokio::join!(role(aws, role_name), log_group(aws, &log_name));
    let logging = found.logging_configuration();
    let destination = |one: &aws_sdk_sfn::types::LogDestination| {
        json!(
            one.cloud_watch_logs_log_group()
                .and_then(|group| group.log_group_arn())
        )
    };
    json!({
        "arn": arn,
        "type": found.r#type().as_str(),
        "status": found.status().map(aws_sdk_sfn::types::StateMachineStatus::as_str),
        "role_arn": found.role_arn(),
        "definition": document(Some(found.definition())),
        "logging": {
            "level": logging.and_then(|with| with.level()).map(aws_sdk_sfn::types::LogLevel::as_str),
            "execution_data": logging.map(|with| with.include_execution_data()),
            "destinations": logging.map(|with| with.destinations().iter().map(destination).collect::<Vec<_>>()),
        },
        "tracing": found.tracing_configuration().map(|with| with.enabled()),
        "tags": tags,
        "tells_when_it_was_made": made_at.is_some(),
        "role": role,
        "log_group": log_group,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_the_place_and_the_new_value() {
        let before =
            json!({"queue": {"DelaySeconds": "0", "tags": {"a/b": "1"}}, "topic": {"arn": "t"}});
        let after = json!({"queue": {"DelaySeconds": "5", "tags": {}}, "topic": {"arn": "t"}});
        let found = differences(&before, &after);
        let expected = [
            ("/queue/DelaySeconds".to_owned(), json!("5")),
            ("/queue/tags/a~1b".to_owned(), Value::Null),
        ];
        assert_eq!(found, expected.into());
    }

    #[test]
    fn documents_in_urls_are_decoded() {
        assert_eq!(
            encoded_document(Some("%7B%22a%22%3A%20%22b%25%22%7D")),
            json!({"a": "b%"})
        );
        assert_eq!(encoded_document(None), Value::Null);
    }
}
