//! Who may assume each role, and what each role may do: no more than its code or definition uses.

use bellflower_contract::TASK_TOKEN_FILE;
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

/// What the processing function does: write its log, send its traces, have Lambda open its variables.
///
/// Lambda grants the last to the role it is given, and not to one of the same name that is made later: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html>.
#[must_use]
pub fn processing(log_group_arn: &str, tracing: bool, function_arn: &str, key_arn: &str) -> String {
    let mut statements = function(log_group_arn, tracing);
    statements.push(json!({
        "Sid": OPEN_VARIABLES,
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": key_arn,
        "Condition": {"StringEquals": {"kms:EncryptionContext:aws:lambda:FunctionArn": function_arn}},
    }));
    document(&statements)
}

/// The statement that has all prefixes.
const READ_EXCHANGE: &str = "ReadExchange";

/// The statements that have the key.
const USE_KEY: &str = "UseKey";
const OPEN_VARIABLES: &str = "OpenVariables";

/// What the integration function works with.
#[derive(Debug)]
pub struct Integration<'a> {
    /// The ARN of its log group.
    pub log_group_arn: &'a str,
    /// Whether it sends traces.
    pub tracing: bool,
    /// The ARN of the queue it reads.
    pub queue_arn: &'a str,
    /// The ARN of the queue of what it could not handle, which it reads, too.
    pub undeliverable_queue_arn: &'a str,
    /// The ARN of the queue in which Lambda puts invocations that failed for good, in the function's name.
    pub dead_letter_queue_arn: &'a str,
    /// The ARN of the bucket.
    pub bucket_arn: &'a str,
    /// The prefix of answers, ending in `/`.
    pub inbound_prefix: &'a str,
    /// The prefix of work handed out, ending in `/`.
    pub outbound_prefix: &'a str,
    /// The prefix of task tokens, ending in `/`: that of work, or one of their own.
    pub token_prefix: &'a str,
    /// The ARN of the key.
    pub key_arn: &'a str,
}

/// The keys of task tokens.
fn tokens(bucket_arn: &str, token_prefix: &str) -> String {
    format!("{bucket_arn}/{token_prefix}*/{TASK_TOKEN_FILE}")
}

/// What the integration function does: take messages, write work, read answers and tokens, answer the state machine, remove tokens.
#[must_use]
pub fn integration(with: &Integration) -> String {
    let Integration {
        bucket_arn,
        inbound_prefix,
        outbound_prefix,
        token_prefix,
        ..
    } = with;
    let private = (token_prefix != outbound_prefix).then_some(token_prefix);
    let objects = |prefix: &&str| format!("{bucket_arn}/{prefix}*");
    let keys = |prefix: &&str| format!("{prefix}*");
    let mut written: Vec<&str> = vec![outbound_prefix];
    written.extend(private);
    let mut all: Vec<&str> = vec![inbound_prefix];
    all.extend(&written);
    let mut statements = function(with.log_group_arn, with.tracing);
    statements.extend([
        json!({
            "Sid": "TakeMessages",
            "Effect": "Allow",
            "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
            "Resource": [with.queue_arn, with.undeliverable_queue_arn],
        }),
        json!({
            "Sid": "KeepFailedInvocations",
            "Effect": "Allow",
            "Action": "sqs:SendMessage",
            "Resource": with.dead_letter_queue_arn,
        }),
        json!({
            "Sid": READ_EXCHANGE,
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": all.iter().map(objects).collect::<Vec<_>>(),
        }),
        json!({
            "Sid": "WriteWork",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": written.iter().map(objects).collect::<Vec<_>>(),
        }),
        json!({
            "Sid": "RemoveTokens",
            "Effect": "Allow",
            "Action": "s3:DeleteObject",
            "Resource": tokens(bucket_arn, token_prefix),
        }),
        // Without it S3 answers 403, not 404, for an object that is not there yet, whose key it takes for the prefix.
        json!({
            "Sid": "TellMissingFromForbidden",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": all.iter().map(keys).collect::<Vec<_>>()}},
        }),
        json!({
            "Sid": USE_KEY,
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

/// The prefixes of answers, of work and, where they do not lie beside that, of tokens, as the integration function's policy tells them; none of one that is not ours.
#[must_use]
pub fn prefixes(policy: &str) -> Vec<String> {
    let read = statement(policy, &[READ_EXCHANGE]).unwrap_or_default();
    let objects = read["Resource"].as_array();
    let objects = objects.into_iter().flatten().filter_map(Value::as_str);
    let prefix = |object: &str| Some(object.split_once('/')?.1.trim_end_matches('*').to_owned());
    objects.filter_map(prefix).collect()
}

/// The ARN of the key, as a function's or the state machine's policy tells it; none of one that is not ours.
#[must_use]
pub fn key(policy: &str) -> Option<String> {
    let statement = statement(policy, &[USE_KEY, OPEN_VARIABLES])?;
    Some(statement["Resource"].as_str()?.to_owned())
}

/// The first statement of a policy that has one of these ids.
fn statement(policy: &str, ids: &[&str]) -> Option<Value> {
    let document: Value = serde_json::from_str(policy).ok()?;
    let is_it = |statement: &&Value| ids.iter().any(|id| statement["Sid"] == *id);
    document["Statement"]
        .as_array()?
        .iter()
        .find(is_it)
        .cloned()
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
    /// The ARN of the bucket out of which it removes tokens.
    pub bucket_arn: &'a str,
    /// The prefix of task tokens, ending in `/`.
    pub token_prefix: &'a str,
    /// The ARN of the key of queue and topic.
    pub key_arn: &'a str,
    /// Whether it logs.
    pub logging: bool,
    /// Whether it sends traces.
    pub tracing: bool,
}

/// What the state machine does: invoke, send, publish, remove tokens, log, trace.
#[must_use]
pub fn machine(with: &Machine) -> String {
    let mut statements = vec![
        json!({"Sid": "Process", "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": with.function_arn}),
        json!({"Sid": "HandOut", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": with.queue_arn}),
        json!({"Sid": "Notify", "Effect": "Allow", "Action": "sns:Publish", "Resource": with.topic_arn}),
        json!({
            "Sid": "RemoveTokens",
            "Effect": "Allow",
            "Action": "s3:DeleteObject",
            "Resource": tokens(with.bucket_arn, with.token_prefix),
        }),
        json!({
            "Sid": USE_KEY,
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

/// What the business application works with.
#[derive(Debug)]
pub struct Application<'a> {
    /// Where the pipeline lives.
    pub place: &'a Place,
    /// The ARN of the bucket.
    pub bucket_arn: &'a str,
    /// The prefix of answers, ending in `/`.
    pub inbound_prefix: &'a str,
    /// The prefix of work handed out, ending in `/`.
    pub outbound_prefix: &'a str,
    /// The ARN of the key.
    pub key_arn: &'a str,
}

/// What the business application does: look for work, read it, put its answers.
///
/// The key is for objects in S3 alone, so that it opens neither messages nor logs.
#[must_use]
pub fn business_application(with: &Application) -> String {
    let Application {
        place,
        bucket_arn,
        inbound_prefix,
        outbound_prefix,
        key_arn,
    } = with;
    document(&[
        json!({
            "Sid": "LookForWork",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": format!("{outbound_prefix}*")}},
        }),
        json!({
            "Sid": "ReadWork",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": format!("{bucket_arn}/{outbound_prefix}*"),
        }),
        json!({
            "Sid": "Answer",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": format!("{bucket_arn}/{inbound_prefix}*"),
        }),
        json!({
            "Sid": USE_KEY,
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": key_arn,
            "Condition": {"StringEquals": {"kms:ViaService": format!("s3.{}.{}", place.region, place.dns_suffix())}},
        }),
    ])
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

#[cfg(test)]
mod tests {
    use super::super::names::place;
    use super::*;

    const BUCKET: &str = "arn:aws:s3:::b";

    fn statement(policy: &str, sid: &str) -> Value {
        super::statement(policy, &[sid]).unwrap_or_default()
    }

    fn integration_with(token_prefix: &str) -> String {
        integration(&Integration {
            log_group_arn: "arn:aws:logs:eu-west-1:123456789012:log-group:g",
            tracing: false,
            queue_arn: "arn:q",
            undeliverable_queue_arn: "arn:u",
            dead_letter_queue_arn: "arn:d",
            bucket_arn: BUCKET,
            inbound_prefix: "inbound/",
            outbound_prefix: "outbound/",
            token_prefix,
            key_arn: "arn:k",
        })
    }

    #[test]
    fn tokens_are_read_written_and_removed_where_they_are() {
        let beside = integration_with("outbound/");
        assert_eq!(
            statement(&beside, "RemoveTokens")["Resource"],
            "arn:aws:s3:::b/outbound/*/task_token.txt"
        );
        let work = json!(["arn:aws:s3:::b/outbound/*"]);
        assert_eq!(statement(&beside, "WriteWork")["Resource"], work);
        let private = integration_with("private/");
        assert_eq!(
            statement(&private, "RemoveTokens")["Resource"],
            "arn:aws:s3:::b/private/*/task_token.txt"
        );
        assert_eq!(prefixes(&beside), ["inbound/", "outbound/"]);
        assert_eq!(prefixes(&private), ["inbound/", "outbound/", "private/"]);
        assert!(prefixes("{}").is_empty());
        assert_eq!(key(&beside).as_deref(), Some("arn:k"));
        let other = processing("arn:l", false, "arn:f", "arn:k");
        assert_eq!(key(&other).as_deref(), Some("arn:k"));
        assert_eq!(key("{}"), None);
        let both = json!(["arn:aws:s3:::b/outbound/*", "arn:aws:s3:::b/private/*"]);
        assert_eq!(statement(&private, "WriteWork")["Resource"], both);
        let listed = &statement(&private, "TellMissingFromForbidden")["Condition"];
        let prefixes = json!(["inbound/*", "outbound/*", "private/*"]);
        assert_eq!(listed["StringLike"]["s3:prefix"], prefixes);
    }

    #[test]
    fn the_application_has_nothing_of_what_is_private() {
        let place = place();
        let policy = business_application(&Application {
            place: &place,
            bucket_arn: BUCKET,
            inbound_prefix: "inbound/",
            outbound_prefix: "outbound/",
            key_arn: "arn:k",
        });
        let resources = ["LookForWork", "ReadWork", "Answer", "UseKey"]
            .map(|sid| statement(&policy, sid)["Resource"].clone());
        let expected = [
            BUCKET,
            "arn:aws:s3:::b/outbound/*",
            "arn:aws:s3:::b/inbound/*",
            "arn:k",
        ];
        assert_eq!(resources, expected.map(|text| json!(text)));
        assert_eq!(
            statement(&policy, "UseKey")["Condition"],
            json!({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}})
        );
    }
}
