//! The key policy.

use serde_json::json;

use super::{Place, policy};

/// Lets the account's own IAM policies govern the key, lets CloudWatch Logs use it for these log groups, and CloudWatch alarms of this
/// account publish to the encrypted topic. Nobody else. The Lambdas and the state machine use it through their roles.
///
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>,
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html>
#[must_use]
pub fn policy(place: &Place, log_groups: &[&str]) -> String {
    policy::text(&json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AccountPolicies",
                "Effect": "Allow",
                "Principal": {"AWS": place.iam_arn("root")},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "LogGroups",
                "Effect": "Allow",
                "Principal": {"Service": format!("logs.{}.{}", place.region, place.dns_suffix())},
                "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                "Resource": "*",
                "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
            },
            {
                "Sid": "AlarmNotifications",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {"aws:SourceArn": place.arn("cloudwatch", "alarm:*")},
                },
            },
        ],
    }))
}
