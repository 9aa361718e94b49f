//! The parts that somebody deletes.

use aws_sdk_s3::types::NotificationConfiguration;

use super::ground::{Ground, Kind, kind, sent};

/// The parts that go in each round. What hangs on another part goes before it: else it would go with it.
///
/// With the key go the log groups, since the emulator cannot give one that is there another key.
pub const ROUNDS: [&[&str]; 3] = [
    &[
        "alarms.callbacks_rejected",
        "alarms.callbacks_undeliverable",
        "alarms.dead_letter_depth",
        "alarms.executions_failed",
        "alarms.message_age",
        "dashboard",
        "integration.alarms.concurrent_executions",
        "integration.alarms.duration",
        "integration.alarms.errors",
        "integration.alarms.invocations",
        "integration.alarms.throttles",
        "integration.log_group",
        "processing.alarms.concurrent_executions",
        "processing.alarms.duration",
        "processing.alarms.errors",
        "processing.alarms.invocations",
        "processing.alarms.throttles",
        "processing.log_group",
        "state_machine.log_group",
        "event_source",
        "undeliverable_event_source",
        "event_invoke_config",
        "permission",
        "notification",
        "subscriptions.listener",
        "subscriptions.operator",
    ],
    &[
        "bucket",
        "dead_letter_queue",
        "integration",
        "integration.role",
        "processing",
        "processing.role",
        "queue",
        "undeliverable_queue",
        "state_machine",
        "state_machine.role",
        "topic",
    ],
    &[
        "key",
        "integration.log_group",
        "processing.log_group",
        "state_machine.log_group",
    ],
];

/// What goes with a part, without a call of its own.
pub fn goes_with(path: &str) -> &'static [&'static str] {
    match path {
        "bucket" => &["notification"],
        "integration" => &["permission", "event_invoke_config"],
        "topic" => &["subscriptions.listener", "subscriptions.operator"],
        _ => &[],
    }
}

/// Deletes a part.
#[allow(clippy::too_many_lines, reason = "each service has its own call")]
pub async fn delete(ground: &Ground, path: &str) {
    let (aws, names) = (&ground.stage.aws, &ground.stage.names);
    match kind(path) {
        Kind::Key => {
            let id = ground.attribute(path, "key_id");
            sent!(
                aws.kms
                    .schedule_key_deletion()
                    .key_id(id)
                    .pending_window_in_days(7)
            );
        }
        Kind::Bucket => {
            let objects = sent!(aws.s3.list_objects_v2().bucket(&names.bucket));
            for key in objects.contents().iter().filter_map(|object| object.key()) {
                sent!(aws.s3.delete_object().bucket(&names.bucket).key(key));
            }
            sent!(aws.s3.delete_bucket().bucket(&names.bucket));
        }
        Kind::Notification => {
            let call = aws
                .s3
                .put_bucket_notification_configuration()
                .bucket(&names.bucket);
            sent!(call.notification_configuration(NotificationConfiguration::builder().build()));
        }
        Kind::Queue | Kind::UndeliverableQueue | Kind::DeadLetterQueue => {
            sent!(
                aws.sqs
                    .delete_queue()
                    .queue_url(ground.attribute(path, "url"))
            );
        }
        Kind::Topic => {
            sent!(aws.sns.delete_topic().topic_arn(ground.arn(path)));
        }
        Kind::Subscription => {
            sent!(aws.sns.unsubscribe().subscription_arn(ground.arn(path)));
        }
        Kind::Function => {
            sent!(
                aws.lambda
                    .delete_function()
                    .function_name(ground.function(path))
            );
        }
        Kind::Role | Kind::MachineRole => {
            let name = ground.attribute(path, "name");
            sent!(
                aws.iam
                    .delete_role_policy()
                    .role_name(&name)
                    .policy_name("bellflower")
            );
            sent!(aws.iam.delete_role().role_name(&name));
        }
        Kind::LogGroup => {
            sent!(
                aws.logs
                    .delete_log_group()
                    .log_group_name(ground.attribute(path, "name"))
            );
        }
        Kind::Dashboard => {
            let call = aws.cloudwatch.delete_dashboards();
            sent!(call.dashboard_names(&names.dashboard));
        }
        Kind::Alarm | Kind::PipelineAlarm | Kind::SumAlarm => {
            let arn = ground.arn(path);
            sent!(
                aws.cloudwatch
                    .delete_alarms()
                    .alarm_names(arn.split_once(":alarm:").unwrap().1)
            );
        }
        Kind::EventInvokeConfig => {
            let call = aws.lambda.delete_function_event_invoke_config();
            sent!(call.function_name(&names.integration));
        }
        Kind::EventSource | Kind::UndeliverableSource => {
            sent!(
                aws.lambda
                    .delete_event_source_mapping()
                    .uuid(ground.attribute(path, "uuid"))
            );
        }
        Kind::Permission => {
            let call = aws
                .lambda
                .remove_permission()
                .function_name(&names.integration);
            sent!(call.statement_id("bellflower-bucket"));
        }
        Kind::Machine => {
            sent!(
                aws.sfn
                    .delete_state_machine()
                    .state_machine_arn(ground.arn(path))
            );
        }
    }
}
