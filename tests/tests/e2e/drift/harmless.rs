//! Changes that are none: what AWS sets by itself, other ways to say what is said, and what is not ours to decide.

use aws_sdk_s3::types::EventBridgeConfiguration;
use serde_json::{Value, json};

use super::ground::{alarm, notify, sent, set_queue, set_subscription, set_topic, tag};
use super::rows::{Change, live};

/// An asynchronous block as a [`Change`], in which no part is named.
macro_rules! by {
    (|$ground:ident| $done:expr) => {
        |$ground, _| {
            Box::pin(async move {
                let _ = $done;
            })
        }
    };
}

/// Parts that take a tag of AWS's own from anybody in the emulator. On AWS only AWS sets them; the emulator's S3 refuses it, too.
const TAKE_AWS_TAGS: [&str; 16] = [
    "key",
    "queue",
    "undeliverable_queue",
    "dead_letter_queue",
    "topic",
    "processing",
    "integration.role",
    "integration.log_group",
    "integration.alarms.errors",
    "alarms.message_age",
    "alarms.executions_failed",
    "event_source",
    "undeliverable_event_source",
    "state_machine",
    "state_machine.role",
    "state_machine.log_group",
];

/// A document in other words: lists in another order, one entry without its list and a list around one, true and false as
/// such, and the account's number for its root principal. Indented, as people write it.
fn reworded(document: &str) -> String {
    fn reword(value: Value) -> Value {
        match value {
            Value::Array(mut list) if list.len() == 1 && list[0].is_string() => list.remove(0),
            Value::Array(mut list) => {
                list.reverse();
                list.into_iter().map(reword).collect()
            }
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| (key, reword(value)))
                .collect(),
            Value::String(text) if text == "false" => json!(false),
            Value::String(text) => match text.split(':').collect::<Vec<_>>()[..] {
                ["arn", _, "iam", "", account, "root"] => json!(account),
                _ => json!(text),
            },
            other => other,
        }
    }
    let mut document: Value = serde_json::from_str(document).expect("the document is JSON");
    document = reword(document);
    for statement in document["Statement"].as_array_mut().into_iter().flatten() {
        if statement["Action"].is_string() {
            statement["Action"] = json!([statement["Action"]]);
        }
    }
    format!("{document:#}")
}

/// What is done, and how.
#[allow(clippy::too_many_lines, reason = "a table")]
pub fn rows() -> Vec<(&'static str, Change)> {
    vec![
        (
            "tags of AWS's own",
            by!(|g| for path in TAKE_AWS_TAGS {
                tag(
                    g,
                    path,
                    &[("aws:cloudformation:stack-name", "somebodys")],
                    &[],
                )
                .await;
            }),
        ),
        (
            "the key policy in other words",
            by!(|g| {
                let call = g
                    .stage
                    .aws
                    .kms
                    .put_key_policy()
                    .key_id(g.attribute("key", "key_id"));
                sent!(call.policy(reworded(&g.attribute("key", "policy"))))
            }),
        ),
        (
            "another alias of the key",
            by!(|g| {
                let call = g.stage.aws.kms.create_alias().alias_name("alias/somebodys");
                sent!(call.target_key_id(g.attribute("key", "key_id")))
            }),
        ),
        (
            "the bucket policy in other words",
            by!(|g| {
                let call = g
                    .stage
                    .aws
                    .s3
                    .put_bucket_policy()
                    .bucket(&g.stage.names.bucket);
                sent!(call.policy(reworded(&g.attribute("bucket", "policy"))))
            }),
        ),
        (
            "the lifecycle rules in another order",
            by!(|g| live(g, |rules| rules.reverse()).await),
        ),
        (
            "a folder without its own object, but with others in it",
            by!(|g| {
                let (s3, bucket) = (&g.stage.aws.s3, &g.stage.names.bucket);
                sent!(
                    s3.put_object()
                        .bucket(bucket)
                        .key("outbound/somebodys/notes.txt")
                );
                sent!(s3.delete_object().bucket(bucket).key("outbound/"))
            }),
        ),
        (
            "the bucket's events to EventBridge, too",
            by!(|g| notify(g, |mut now| {
                now.event_bridge_configuration = Some(EventBridgeConfiguration::builder().build());
                now
            })
            .await),
        ),
        (
            "the queues' policies in other words",
            by!(
                |g| for path in ["queue", "undeliverable_queue", "dead_letter_queue"] {
                    set_queue(g, path, "Policy", &reworded(&g.attribute(path, "policy"))).await;
                }
            ),
        ),
        (
            "the redrive policies in other words",
            by!(|g| {
                let redrive =
                    r#"{ "maxReceiveCount": "5", "deadLetterTargetArn": "{undeliverable-queue}" }"#;
                set_queue(g, "queue", "RedrivePolicy", redrive).await;
                let allow = r#"{ "sourceQueueArns": "{queue}", "redrivePermission": "byQueue" }"#;
                set_queue(g, "undeliverable_queue", "RedriveAllowPolicy", allow).await;
            }),
        ),
        (
            "the topic policy in other words",
            by!(|g| set_topic(g, "Policy", &reworded(&g.attribute("topic", "policy"))).await),
        ),
        (
            "a subscription of somebody's",
            by!(|g| {
                let call = g.stage.aws.sns.subscribe().topic_arn(g.arn("topic"));
                sent!(call.protocol("email").endpoint("somebody@example.com"))
            }),
        ),
        (
            "a subscription's defaults said",
            by!(|g| for (name, value) in [
                ("FilterPolicyScope", "MessageAttributes"),
                ("FilterPolicy", "{}"),
                ("RawMessageDelivery", "false")
            ] {
                set_subscription(g, "subscriptions.operator", name, Some(value)).await;
            }),
        ),
        (
            "a subscription's documents in other words",
            by!(|g| for (name, value) in [
                ("FilterPolicy", r#"{ "status": [ "FAILED" ] }"#),
                (
                    "RedrivePolicy",
                    r#"{ "deadLetterTargetArn": "{undelivered}" }"#
                ),
            ] {
                set_subscription(g, "subscriptions.listener", name, Some(value)).await;
            }),
        ),
        (
            "the roles' policies in other words",
            by!(
                |g| for path in ["processing.role", "integration.role", "state_machine.role"] {
                    let name = g.attribute(path, "name");
                    let call = g.stage.aws.iam.update_assume_role_policy().role_name(&name);
                    sent!(call.policy_document(reworded(&g.attribute(path, "assume_role_policy"))));
                    let call = g
                        .stage
                        .aws
                        .iam
                        .put_role_policy()
                        .role_name(&name)
                        .policy_name("bellflower");
                    sent!(call.policy_document(reworded(&g.attribute(path, "policy"))));
                }
            ),
        ),
        (
            "an alarm's defaults left out",
            by!(|g| {
                // All of the last three periods, which is what it means to say nothing.
                let call = alarm(g, "integration.alarms.duration").await;
                sent!(
                    call.set_datapoints_to_alarm(None)
                        .set_actions_enabled(None)
                        .set_ok_actions(None)
                )
            }),
        ),
        (
            "the definition in other words",
            by!(|g| {
                let definition: Value =
                    serde_json::from_str(&g.attribute("state_machine", "definition")).unwrap();
                let call = g
                    .stage
                    .aws
                    .sfn
                    .update_state_machine()
                    .state_machine_arn(g.arn("state_machine"));
                sent!(call.definition(format!("{definition:#}")))
            }),
        ),
        (
            "a log stream",
            by!(|g| {
                let call = g
                    .stage
                    .aws
                    .logs
                    .create_log_stream()
                    .log_stream_name("somebodys");
                sent!(call.log_group_name(g.attribute("processing.log_group", "name")))
            }),
        ),
    ]
}
