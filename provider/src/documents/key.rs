//! The key policy.

use serde_json::{Value, json};

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

/// Whether this is such a policy, for whatever log groups.
#[must_use]
pub fn is_policy(found: &str, place: &Place) -> bool {
    let Ok(mut document) = serde_json::from_str::<Value>(found) else {
        return false;
    };
    let statements = document["Statement"].as_array_mut();
    for statement in statements.into_iter().flatten() {
        let groups =
            statement.pointer_mut("/Condition/ArnEquals/kms:EncryptionContext:aws:logs:arn");
        if let Some(groups) = groups {
            *groups = json!([]);
        }
    }
    policy::is_same(&policy::text(&document), &policy(place, &[]))
}

#[cfg(test)]
mod tests {
    use super::super::names::place;
    use super::*;

    #[test]
    fn a_policy_is_known_whatever_its_log_groups() {
        let place = place();
        let groups = ["arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/own"];
        for groups in [
            &groups[..],
            &[
                groups[0],
                "arn:aws:logs:eu-west-1:123456789012:log-group:more",
            ],
            &[],
        ] {
            assert!(is_policy(&policy(&place, groups), &place), "{groups:?}");
        }
        let more = policy(&place, &groups).replace("kms:DescribeKey", "kms:CreateGrant");
        for other in [&more, "{}", "no policy"] {
            assert!(!is_policy(other, &place), "{other}");
        }
    }
}
