//! What the lint of the policies finds and must, each with its reason. One that is not found any more fails the test.

use super::reference::Rule;

/// A finding that has to be: document, statement, what, rule, reason. A `*` at the document's or the action's end stands for several.
pub type Exception = (&'static str, &'static str, &'static str, Rule, &'static str);

pub const EXCEPTIONS: &[Exception] = &[
    (
        "integration-role",
        "AnswerCallbacks",
        "states:SendTask*",
        Rule::NoResourceTypes,
        "AWS knows no resource type for these: the token itself is the right to answer",
    ),
    (
        "*-role",
        "SendTraces",
        "xray:*",
        Rule::NoResourceTypes,
        "AWS knows no resource type for these",
    ),
    (
        "state-machine-role",
        "DeliverLogs",
        "logs:*",
        Rule::NoResourceTypes,
        "AWS knows no resource type for log delivery: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
    ),
    (
        "key",
        "*",
        "kms:*",
        Rule::WildResource,
        "in a key policy it means this key: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html",
    ),
    (
        "key",
        "AccountPolicies",
        "kms:*",
        Rule::WildAction,
        "lets the account's own policies decide, without which nobody could ever mend the key's: \
         https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html",
    ),
    (
        "key",
        "*",
        "kms:GenerateDataKey*",
        Rule::WildAction,
        "as AWS documents it for both services: \
         https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html, \
         https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html",
    ),
    (
        "key",
        "LogGroups",
        "kms:ReEncrypt*",
        Rule::WildAction,
        "as AWS documents it: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html",
    ),
];
