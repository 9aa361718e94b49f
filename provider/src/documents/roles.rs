//! Who may assume each role, and what each role may do: no more than its code or definition uses.

use serde_json::{Value, json};

use super::{Place, policy};

/// Lets one AWS service assume a role, only for objects of this account and, where the service says which, only for `source`.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>
#[must_use]
pub fn trust(place: &Place, service: &str, source: Option<&str>) -> String {
    let mut condition = json!({"StringEquals": {"aws:SourceAccount": place.account}});
    if let Some(source) = source {
        condition["ArnLike"] = json!({"aws:SourceArn": source});
    }
    document(&[json!({
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    })])
}

/// What the processing function does: write its log, send its traces.
#[must_use]
pub fn processing(log_group_arn: &str, tracing: bool) -> String {
    document(&function(log_group_arn, tracing))
}

/// What the integration function works with.
#[derive(Debug)]
pub struct Integration<'a> {
    /// The ARN of its log group.
    pub log_group_arn: &'a str,
    /// Whether it sends traces.
    pub tracing: bool,
    /// The ARN of the queue it reads.
    pub queue_arn: &'a str,
    /// The ARN of the bucket.
    pub bucket_arn: &'a str,
    /// The prefix of answers, ending in `/`.
    pub inbound_prefix: &'a str,
    /// The prefix of work handed out, ending in `/`.
    pub outbound_prefix: &'a str,
    /// The ARN of the key.
    pub key_arn: &'a str,
}

/// What the integration function does: take messages, write work, read answers and tokens, answer the state machine.
#[must_use]
pub fn integration(with: &Integration) -> String {
    let Integration {
        bucket_arn,
        inbound_prefix,
        outbound_prefix,
        ..
    } = with;
    let mut statements = function(with.log_group_arn, with.tracing);
    statements.extend([
        json!({
            "Sid": "TakeMessages",
            "Effect": "Allow",
            "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
            "Resource": with.queue_arn,
        }),
        json!({
            "Sid": "ReadExchange",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [format!("{bucket_arn}/{inbound_prefix}*"), format!("{bucket_arn}/{outbound_prefix}*")],
        }),
        json!({
            "Sid": "WriteWork",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": format!("{bucket_arn}/{outbound_prefix}*"),
        }),
        // Without it S3 answers 403, not 404, for an object that is not there yet.
        json!({
            "Sid": "TellMissingFromForbidden",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": [format!("{inbound_prefix}*"), format!("{outbound_prefix}*")]}},
        }),
        json!({
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": with.key_arn,
        }),
        // These actions know no resource type: the token itself is the right to answer.
        json!({
            "Sid": "AnswerCallbacks",
            "Effect": "Allow",
            "Action": ["states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess"],
            "Resource": "*",
        }),
    ]);
    document(&statements)
}

/// What the state machine works with.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The ARN of the processing function.
    pub function_arn: &'a str,
    /// The ARN of the queue it sends to.
    pub queue_arn: &'a str,
    /// The ARN of the topic it publishes to.
    pub topic_arn: &'a str,
    /// The ARN of the key of queue and topic.
    pub key_arn: &'a str,
    /// Whether it logs.
    pub logging: bool,
    /// Whether it sends traces.
    pub tracing: bool,
}

/// What the state machine does: invoke, send, publish, log, trace.
#[must_use]
pub fn machine(with: &Machine) -> String {
    let mut statements = vec![
        json!({"Sid": "Process", "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": with.function_arn}),
        json!({"Sid": "HandOut", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": with.queue_arn}),
        json!({"Sid": "Notify", "Effect": "Allow", "Action": "sns:Publish", "Resource": with.topic_arn}),
        json!({
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": with.key_arn,
        }),
    ];
    if with.logging {
        // Log delivery knows no resource types: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
        statements.push(json!({
            "Sid": "DeliverLogs",
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeLogGroups",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
            ],
            "Resource": "*",
        }));
    }
    if with.tracing {
        statements.push(traces(&[
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ]));
    }
    document(&statements)
}

fn function(log_group_arn: &str, tracing: bool) -> Vec<Value> {
    let mut statements = vec![json!({
        "Sid": "WriteLog",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": format!("{log_group_arn}:*"),
    })];
    if tracing {
        statements.push(traces(&[]));
    }
    statements
}

/// X-Ray's actions know no resource types.
fn traces(more: &[&str]) -> Value {
    let mut actions = more.to_vec();
    actions.extend(["xray:PutTelemetryRecords", "xray:PutTraceSegments"]);
    json!({"Sid": "SendTraces", "Effect": "Allow", "Action": actions, "Resource": "*"})
}

fn document(statements: &[Value]) -> String {
    policy::text(&json!({"Version": "2012-10-17", "Statement": statements}))
}
