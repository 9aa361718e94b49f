//! The arguments of a pipeline, typed. Every default is already filled in (see [`super::schema::with_defaults`]).

#![allow(
    missing_docs,
    reason = "each field is documented where users see it: in the schema"
)]

use std::collections::BTreeMap;

use bellflower_contract::PRIVATE_PREFIX;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::schema::{self, OUTBOUND};

/// All arguments. Names that are `None` follow from `name`, `environment` and the place.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    pub name: String,
    pub environment: String,
    pub task_token: String,
    pub kms_key_arn: Option<String>,
    pub log_retention_in_days: i64,
    pub iam_path: String,
    pub permissions_boundary: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub tags_all: Option<BTreeMap<String, String>>,
    pub made_at: Option<String>,
    pub key: Key,
    pub bucket: Bucket,
    pub queue: Queue,
    pub undeliverable_queue: UndeliverableQueue,
    pub dead_letter_queue: DeadLetterQueue,
    pub topic: Topic,
    pub subscriptions: Option<BTreeMap<String, Subscription>>,
    pub processing: Processing,
    pub integration: Function,
    pub event_source: EventSource,
    pub undeliverable_event_source: Option<UndeliverableEventSource>,
    pub event_invoke_config: EventInvokeConfig,
    pub state_machine: StateMachine,
    pub alarms: BTreeMap<String, Alarm>,
    pub dashboard: Option<Dashboard>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Dashboard {
    pub dashboard_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Key {
    pub alias: Option<String>,
    pub description: Option<String>,
    pub deletion_window_in_days: i64,
    pub enable_key_rotation: bool,
    pub rotation_period_in_days: i64,
    pub key_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "S3 has these four switches")]
pub struct Bucket {
    pub bucket: Option<String>,
    pub force_destroy: bool,
    pub block_public_acls: bool,
    pub block_public_policy: bool,
    pub ignore_public_acls: bool,
    pub restrict_public_buckets: bool,
    pub bucket_key_enabled: bool,
    pub inbound_prefix: String,
    pub outbound_prefix: String,
    pub outbound_queue_arn: Option<String>,
    pub expiration_days: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    pub name: Option<String>,
    pub url: Option<String>,
    pub delay_seconds: i64,
    pub max_message_size: i64,
    pub message_retention_seconds: i64,
    pub receive_wait_time_seconds: i64,
    pub visibility_timeout_seconds: i64,
    pub kms_data_key_reuse_period_seconds: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct UndeliverableQueue {
    pub name: Option<String>,
    pub url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DeadLetterQueue {
    pub name: Option<String>,
    pub url: Option<String>,
    pub max_receive_count: i64,
    pub message_retention_seconds: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Topic {
    pub name: Option<String>,
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    pub protocol: String,
    pub endpoint: String,
    pub raw_message_delivery: bool,
    pub filter_policy: Option<String>,
    pub filter_policy_scope: Option<String>,
    pub redrive_policy: Option<String>,
    pub subscription_role_arn: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Function {
    pub function_name: Option<String>,
    pub memory_size: i64,
    pub timeout: i64,
    pub architectures: Vec<String>,
    pub reserved_concurrent_executions: i64,
    pub tracing_mode: String,
    pub package: Option<String>,
    pub code_sha256: Option<String>,
    pub role: Role,
    pub alarms: BTreeMap<String, Alarm>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Processing {
    #[serde(flatten)]
    pub function: Function,
    pub filename: Option<String>,
    pub s3_bucket: Option<String>,
    pub s3_key: Option<String>,
    pub s3_object_version: Option<String>,
    pub runtime: String,
    pub handler: String,
    pub variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Role {
    pub name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Alarm {
    pub enabled: bool,
    pub threshold: Option<f64>,
    pub period: i64,
    pub evaluation_periods: i64,
    pub datapoints_to_alarm: i64,
    pub comparison_operator: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct EventSource {
    pub batch_size: i64,
    pub maximum_batching_window_in_seconds: i64,
    pub maximum_concurrency: Option<i64>,
    pub enabled: bool,
    pub arn: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct UndeliverableEventSource {
    pub arn: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct EventInvokeConfig {
    pub maximum_event_age_in_seconds: i64,
    pub maximum_retry_attempts: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct StateMachine {
    pub name: Option<String>,
    pub callback_timeout_seconds: i64,
    pub callback_heartbeat_seconds: Option<i64>,
    pub processing_retry: Retry,
    pub log_level: String,
    pub include_execution_data: bool,
    pub tracing_enabled: bool,
    pub role: Role,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Retry {
    pub max_attempts: i64,
    pub interval_seconds: i64,
    pub backoff_rate: f64,
}

impl Settings {
    /// The prefix of task tokens: that of the work, beside which they lie, or one of their own.
    #[must_use]
    pub fn token_prefix(&self) -> &str {
        self.private_prefix()
            .unwrap_or(&self.bucket.outbound_prefix)
    }

    /// The prefix of task tokens that the business application must not see.
    #[must_use]
    pub fn private_prefix(&self) -> Option<&'static str> {
        // What stands in for a place not known yet is neither: so all that depends on it differs from the default's.
        (self.task_token != OUTBOUND).then_some(PRIVATE_PREFIX)
    }

    /// The same with all alarms switched on.
    #[must_use]
    pub fn with_all_alarms(&self) -> Self {
        let mut all = self.clone();
        let of_functions = [&mut all.processing.function, &mut all.integration];
        let alarms = of_functions
            .into_iter()
            .flat_map(|function| function.alarms.values_mut());
        for alarm in alarms.chain(all.alarms.values_mut()) {
            alarm.enabled = true;
        }
        all
    }

    /// Reads the arguments out of a configuration or a state, filling in the defaults.
    ///
    /// # Errors
    /// What does not fit: a number that is not whole, a value of another shape.
    pub fn read(given: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        serde_json::from_value(Value::Object(schema::with_defaults(
            schema::fields(),
            given,
        )))
    }
}

#[cfg(test)]
mod tests {
    use bellflower_contract::{Layout, TaskTokenPlace};
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_where_the_contract_has_them() {
        for place in TaskTokenPlace::ALL {
            let given = json!({"name": "orders", "task_token": place.as_str(), "bucket": {"outbound_prefix": "work/"}});
            let settings = Settings::read(given.as_object().unwrap()).unwrap();
            let layout = Layout::new("inbound/", "work/").unwrap();
            let layout = layout.with_task_token(*place).unwrap();
            assert_eq!(settings.token_prefix(), layout.task_token_prefix());
        }
        let names: Vec<&str> = TaskTokenPlace::ALL
            .iter()
            .map(|place| place.as_str())
            .collect();
        assert_eq!(names, [schema::OUTBOUND, schema::PRIVATE]);
    }
}
