//! The policies of the queues and the topic.

use serde_json::{Value, json};

use super::{Place, policy};

/// Refuses every request to a queue that does not come over TLS or that comes from another account.
///
/// Who of this account may use the queue is left to IAM policies.
#[must_use]
pub fn queue_policy(place: &Place, queue_arn: &str) -> String {
    policy::text(&json!({
        "Version": "2012-10-17",
        "Statement": [
            tls_only("sqs:*", queue_arn),
            {
                "Sid": "ThisAccountOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": queue_arn,
                "Condition": {
                    "StringNotEquals": {"aws:PrincipalAccount": place.account},
                    "Bool": {"aws:PrincipalIsAWSService": "false"},
                },
            },
        ],
    }))
}

/// Lets this account's alarms publish, and everybody over TLS only.
///
/// Who else of this account may publish, subscribe or change the topic is left to IAM policies: a statement for the account's root would
/// give nobody anything that these do not.
///
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html>
#[must_use]
pub fn topic_policy(place: &Place, topic_arn: &str) -> String {
    policy::text(&json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AlarmNotifications",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {"aws:SourceArn": place.arn("cloudwatch", "alarm:*")},
                },
            },
            tls_only("sns:Publish", topic_arn),
        ],
    }))
}

/// Where a queue's messages go once they were received `max_receive_count` times.
#[must_use]
pub fn redrive_policy(dead_letter_queue_arn: &str, max_receive_count: i64) -> String {
    policy::text(
        &json!({"deadLetterTargetArn": dead_letter_queue_arn, "maxReceiveCount": max_receive_count}),
    )
}

/// Lets just one queue use another as its dead-letter queue.
#[must_use]
pub fn redrive_allow_policy(queue_arn: &str) -> String {
    policy::text(&json!({"redrivePermission": "byQueue", "sourceQueueArns": [queue_arn]}))
}

fn tls_only(action: &str, resource: &str) -> Value {
    json!({
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    })
}
