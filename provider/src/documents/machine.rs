//! The state machine's definition in Amazon States Language, with JSONata as its query language: the processing function may get any
//! JSON as input, and JSONata, unlike a path, can build an answer from what may or may not be there.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html>

use bellflower_contract::states::{
    FAIL, PROCESSING, PUBLISH_FAILURE, PUBLISH_SUCCESS, REMOVE_TOKEN, SUCCESS, WAIT_FOR_RESPONSE,
};
use bellflower_contract::{MAX_PAYLOAD_BYTES, SUCCESS_FILE, TASK_TOKEN_FILE, errors};
use serde_json::{Map, Value, json};

use super::policy;

/// What a result and a message leave free of the 262,144 bytes that Step Functions passes on and SNS takes: for what stands around them,
/// and since an execution just below the limit can end where nothing catches it.
const SPARE_BYTES: usize = 8192;

/// How much of a long cause a message holds, in characters.
const CAUSE_IN_SHORT: usize = 1000;

/// What the definition is made from. Times are in seconds.
#[derive(Debug, Clone)]
pub struct Definition<'a> {
    /// The pipeline's name, for the messages.
    pub pipeline: &'a str,
    /// The pipeline's environment, for the messages.
    pub environment: &'a str,
    /// The partition of the service integrations.
    pub partition: &'a str,
    /// The ARN of the processing function.
    pub function_arn: &'a str,
    /// The function's own time-out.
    pub function_timeout: i64,
    /// How often a failed processing is tried again.
    pub max_attempts: i64,
    /// The pause before the first of these.
    pub interval_seconds: i64,
    /// By how much each pause is longer than the one before.
    pub backoff_rate: f64,
    /// The URL of the queue.
    pub queue_url: &'a str,
    /// How long an answer may take.
    pub callback_timeout: i64,
    /// How long the application may stay silent.
    pub callback_heartbeat: Option<i64>,
    /// The ARN of the topic.
    pub topic_arn: &'a str,
    /// The name of the bucket.
    pub bucket: &'a str,
    /// The prefix of answers, ending in `/`.
    pub inbound_prefix: &'a str,
    /// The prefix of task tokens, ending in `/`.
    pub token_prefix: &'a str,
}

/// The definition's text.
#[must_use]
pub fn definition(with: &Definition) -> String {
    policy::text(&json!({
        "Comment": format!("Callback pipeline {} ({})", with.pipeline, with.environment),
        "QueryLanguage": "JSONata",
        "StartAt": PROCESSING,
        "States": {
            PROCESSING: processing(with),
            WAIT_FOR_RESPONSE: wait(with),
            PUBLISH_SUCCESS: publish(with, &succeeded(with)),
            SUCCESS: {"Type": "Succeed"},
            REMOVE_TOKEN: remove_token(with),
            PUBLISH_FAILURE: publish(with, &failed()),
            FAIL: {"Type": "Fail", "Error": "{% $states.input.error %}", "Cause": "{% $states.input.cause %}"},
        },
    }))
}

/// Whether a definition has the state in which executions wait for an answer.
#[must_use]
pub fn has_wait(definition: &str) -> bool {
    let document: Option<Value> = serde_json::from_str(definition).ok();
    document.is_some_and(|document| document["States"].get(WAIT_FOR_RESPONSE).is_some())
}

/// The arguments that a definition was made from, as far as it shows them; none if it is no definition of ours.
#[must_use]
pub fn arguments(definition: &str) -> Option<Value> {
    let document: Value = serde_json::from_str(definition).ok()?;
    let states = document.get("States")?;
    let (wait, retry) = (
        states.get(WAIT_FOR_RESPONSE)?,
        // The last one, of any error: those before it are of errors that the user has no say in.
        states.get(PROCESSING)?.get("Retry")?.as_array()?.last()?,
    );
    let mut arguments = numbers(wait, &CALLBACK);
    arguments.insert(
        "processing_retry".to_owned(),
        numbers(retry, &RETRIED).into(),
    );
    Some(arguments.into())
}

/// What a definition works with: the ARN of the processing function, the URL of the queue and the ARN of the topic, as far as it shows them.
#[must_use]
pub fn works_with(definition: &str) -> [Option<String>; 3] {
    let document: Value = serde_json::from_str(definition).unwrap_or_default();
    let told = |(state, argument): (&str, &str)| {
        let told = document["States"][state]["Arguments"][argument].as_str();
        told.map(str::to_owned)
    };
    [
        (PROCESSING, "FunctionName"),
        (WAIT_FOR_RESPONSE, "QueueUrl"),
        (PUBLISH_SUCCESS, "TopicArn"),
    ]
    .map(told)
}

/// An argument, the field of the definition that has it, and which numbers it takes.
type Number = (&'static str, &'static str, fn(&Value) -> bool);

const CALLBACK: [Number; 2] = [
    ("callback_timeout_seconds", "TimeoutSeconds", Value::is_i64),
    (
        "callback_heartbeat_seconds",
        "HeartbeatSeconds",
        Value::is_i64,
    ),
];

const RETRIED: [Number; 3] = [
    ("max_attempts", "MaxAttempts", Value::is_i64),
    ("interval_seconds", "IntervalSeconds", Value::is_i64),
    ("backoff_rate", "BackoffRate", Value::is_number),
];

/// The numbers that stand there. Somebody may have put an expression in the place of one, which tells nothing before an execution.
fn numbers(of: &Value, wanted: &[Number]) -> Map<String, Value> {
    let number = |(argument, field, fits): &Number| {
        let value = of.get(field).filter(|value| fits(value))?;
        Some(((*argument).to_owned(), value.clone()))
    };
    wanted.iter().filter_map(number).collect()
}

fn integration(with: &Definition, action: &str) -> String {
    format!("arn:{}:states:::{action}", with.partition)
}

fn processing(with: &Definition) -> Value {
    json!({
        "Type": "Task",
        "Resource": integration(with, "lambda:invoke"),
        "Arguments": {"FunctionName": with.function_arn, "Payload": "{% $states.input %}"},
        // The function's own time-out comes first; this one catches what the function cannot tell any more.
        "TimeoutSeconds": with.function_timeout + 60,
        "Retry": [
            // It would be too long again.
            {"ErrorEquals": [errors::WORK_TOO_LONG], "MaxAttempts": 0},
            // More executions at once than the account may run functions: these wait their turn, some ten minutes if need be.
            {
                "ErrorEquals": ["Lambda.TooManyRequestsException"],
                "MaxAttempts": 15,
                "IntervalSeconds": 1,
                "BackoffRate": 2,
                "MaxDelaySeconds": 60,
                "JitterStrategy": "FULL",
            },
            {
                "ErrorEquals": ["States.ALL"],
                "MaxAttempts": with.max_attempts,
                "IntervalSeconds": with.interval_seconds,
                "BackoffRate": with.backoff_rate,
            },
        ],
        "Output": "{% $states.result.Payload %}",
        // Whatever its input calls so is no id of this execution's.
        "Catch": caught("", "$states.errorOutput.Cause", &[]),
        "Next": WAIT_FOR_RESPONSE,
    })
}

fn wait(with: &Definition) -> Value {
    let heartbeat = with
        .callback_heartbeat
        .map(|seconds| format!(", the heartbeat {seconds} s"))
        .unwrap_or_default();
    let late = format!(
        "$states.errorOutput.Error in ['{}', '{}'] \
         ? 'No answer came in time for execution_id ' & $states.input.execution_id & ': the time-out is {} s{heartbeat}.' \
         : $states.errorOutput.Cause",
        TIME_OUTS[0], TIME_OUTS[1], with.callback_timeout,
    );
    let mut state = json!({
        "Type": "Task",
        "Resource": integration(with, "sqs:sendMessage.waitForTaskToken"),
        "Arguments": {
            "QueueUrl": with.queue_url,
            // What is moved back from a dead-letter queue counts as just sent there: the message itself tells how old it is.
            "MessageBody": {
                "Input": "{% $states.input %}",
                "TaskToken": "{% $states.context.Task.Token %}",
                "SentAt": "{% $millis() %}",
            },
        },
        "TimeoutSeconds": with.callback_timeout,
        // Sending may be tried again; a failure the application answered with may not.
        "Retry": [{
            "ErrorEquals": [
                "SQS.AmazonSQSException",
                "SQS.SdkClientException",
                "SQS.KmsThrottledException",
                "SQS.RequestThrottledException",
            ],
            "MaxAttempts": 5,
            "IntervalSeconds": 2,
            "BackoffRate": 2,
        }],
        "Output": result(with),
        // Whatever else ends the wait came through the integration function, which has removed the token, or there was none.
        "Catch": caught(EXECUTION_ID, &late, &[(&TIME_OUTS, REMOVE_TOKEN)]),
        "Next": PUBLISH_SUCCESS,
    });
    if let Some(seconds) = with.callback_heartbeat {
        state["HeartbeatSeconds"] = json!(seconds);
    }
    state
}

/// Whether a value takes at most so many bytes as JSON, as an expression.
///
/// A character of UTF-8 takes four bytes at most. Only what may be too much by that is looked at more closely: then each that is not of ASCII
/// counts as four.
fn fits(value: &str, most: usize) -> String {
    format!(
        "($text := $string({value}); $length($text) * 4 <= {most} ? true \
         : $length($replace($text, /[^\\x00-\\x7F]/, '####')) <= {most})"
    )
}

/// What is passed on: the answer, or where to find it if it leaves no room for anything else.
fn result(with: &Definition) -> String {
    format!(
        "{{% {} \
         ? {{'execution_id': $states.input.execution_id, 'result': $states.result}} \
         : {{'execution_id': $states.input.execution_id, {}}} %}}",
        // The two brackets, without which nothing could be said of null, are not counted.
        fits("[$states.result]", MAX_PAYLOAD_BYTES - SPARE_BYTES + 2),
        omitted(with),
    )
}

/// The fields that stand for a result.
fn omitted(with: &Definition) -> String {
    let key = key(with.inbound_prefix, SUCCESS_FILE);
    format!("'result_omitted': true, 'result_key': {key}")
}

/// The key of a file of this execution's exchange, as an expression.
fn key(prefix: &str, file: &str) -> String {
    format!(
        "{} & $states.input.execution_id & {}",
        json!(prefix),
        json!(format!("/{file}"))
    )
}

/// A token is a secret without which nobody can answer; once the wait is over it is of no use to anybody. That it could not be removed changes
/// nothing.
fn remove_token(with: &Definition) -> Value {
    json!({
        "Type": "Task",
        "Resource": integration(with, "aws-sdk:s3:deleteObject"),
        "Arguments": {
            "Bucket": with.bucket,
            "Key": format!("{{% {} %}}", key(with.token_prefix, TASK_TOKEN_FILE)),
        },
        "TimeoutSeconds": 60,
        "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 3, "IntervalSeconds": 1, "BackoffRate": 2}],
        "Output": "{% $states.input %}",
        "Catch": [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": PUBLISH_FAILURE}],
        "Next": PUBLISH_FAILURE,
    })
}

/// The errors of a wait that was too long.
const TIME_OUTS: [&str; 2] = ["States.Timeout", "States.HeartbeatTimeout"];

/// Names the exchange once there is one.
const EXECUTION_ID: &str = "'execution_id': $states.input.execution_id, ";

/// Everything ends in the failure message, of which error and cause are always there, some errors by way of another state.
///
/// `States.ALL` does not catch data that is too large; named, it is caught:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
fn caught(id: &str, cause: &str, ways: &[(&[&str], &str)]) -> Value {
    let too_large = format!(
        "$states.errorOutput.Error = '{TOO_LARGE}' \
         ? 'Step Functions passes on at most {MAX_PAYLOAD_BYTES} bytes, and this is more: ' & $states.errorOutput.Cause : ({cause})"
    );
    let output = format!(
        "{{% ($cause := {too_large}; {{{id}\
         'error': $states.errorOutput.Error, \
         'cause': $exists($cause) ? $string($cause) : 'No cause was given.'}}) %}}"
    );
    let all: [(&[&str], &str); 2] = [
        (&[TOO_LARGE], PUBLISH_FAILURE),
        (&["States.ALL"], PUBLISH_FAILURE),
    ];
    let catch = |(errors, next): &(&[&str], &str)| json!({"ErrorEquals": errors, "Output": output, "Next": next});
    ways.iter().chain(&all).map(catch).collect()
}

/// The error of data that is more than Step Functions passes on.
const TOO_LARGE: &str = "States.DataLimitExceeded";

/// SNS takes subjects of at most 100 characters and refuses the message of a longer one.
fn subject(with: &Definition, status: &str) -> String {
    const MOST: usize = 100;
    let end = format!(
        " ({}): callback {}",
        with.environment,
        status.to_lowercase()
    );
    let room = MOST.saturating_sub(end.chars().count());
    let name: String = with.pipeline.chars().take(room).collect();
    (name + &end).chars().take(MOST).collect()
}

/// A message about the end of an execution.
struct Message {
    status: &'static str,
    /// What is told of it, as fields of a JSONata object.
    facts: &'static str,
    /// The same where it is more than SNS takes; a field says what is missing.
    in_short: String,
    next: &'static str,
}

fn succeeded(with: &Definition) -> Message {
    Message {
        status: "SUCCEEDED",
        facts: "'result': $states.input.result, 'result_omitted': $states.input.result_omitted, 'result_key': $states.input.result_key",
        in_short: omitted(with),
        next: SUCCESS,
    }
}

fn failed() -> Message {
    Message {
        status: "FAILED",
        facts: "'error': $states.input.error, 'cause': $states.input.cause",
        in_short: format!(
            "'error': $substring($states.input.error, 0, 256), 'cause': $substring($states.input.cause, 0, {CAUSE_IN_SHORT}), \
             'cause_truncated': true"
        ),
        next: FAIL,
    }
}

/// A message that cannot be published does not change how the execution ends.
fn publish(with: &Definition, about: &Message) -> Value {
    let Message {
        status,
        facts,
        in_short,
        next,
    } = about;
    // Measured as it travels: as a text in JSON, in which every quotation mark is two characters.
    let message = format!(
        "{{% ($about := {{'status': '{status}', 'pipeline': '{}', 'environment': '{}', 'execution_id': $states.input.execution_id, \
         'execution_arn': $states.context.Execution.Id, 'name': $states.context.Execution.Name}}; \
         $whole := $string($merge([$about, {{{facts}}}])); \
         {} ? $whole : $string($merge([$about, {{{in_short}}}]))) %}}",
        with.pipeline,
        with.environment,
        fits("[$whole]", MAX_PAYLOAD_BYTES - SPARE_BYTES),
    );
    json!({
        "Type": "Task",
        "Resource": integration(with, "sns:publish"),
        "Arguments": {
            "TopicArn": with.topic_arn,
            "Subject": subject(with, status),
            "Message": message,
            "MessageAttributes": {"status": {"DataType": "String", "StringValue": status}},
        },
        "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 5, "IntervalSeconds": 2, "BackoffRate": 2}],
        "Output": "{% $states.input %}",
        "Catch": [
            {"ErrorEquals": [TOO_LARGE], "Output": "{% $states.input %}", "Next": next},
            {"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": next},
        ],
        "Next": next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(heartbeat: Option<i64>) -> Definition<'static> {
        Definition {
            pipeline: "orders",
            environment: "devl",
            partition: "aws",
            function_arn: "arn:aws:lambda:eu-west-1:123456789012:function:f",
            function_timeout: 30,
            max_attempts: 3,
            interval_seconds: 5,
            backoff_rate: 2.0,
            queue_url: "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
            callback_timeout: 3600,
            callback_heartbeat: heartbeat,
            topic_arn: "arn:aws:sns:eu-west-1:123456789012:t",
            bucket: "b",
            inbound_prefix: "inbound/",
            token_prefix: "outbound/",
        }
    }

    #[test]
    fn what_it_works_with_is_read_back() {
        let with = with(None);
        let told = works_with(&definition(&with));
        let wanted = [with.function_arn, with.queue_url, with.topic_arn];
        assert_eq!(told, wanted.map(|one| Some(one.to_owned())));
        assert_eq!(works_with("{}"), [None, None, None]);
    }

    #[test]
    fn every_next_leads_to_a_state() {
        let document: Value = serde_json::from_str(&definition(&with(Some(60)))).unwrap();
        let states = document["States"].as_object().unwrap();
        assert_eq!(states.len(), 7);
        for (name, state) in states {
            let catches = state["Catch"].as_array().cloned().unwrap_or_default();
            for next in catches
                .iter()
                .chain([state])
                .filter_map(|from| from["Next"].as_str())
            {
                assert!(states.contains_key(next), "{name} leads to {next}");
            }
        }
        assert!(states.contains_key(document["StartAt"].as_str().unwrap()));
    }

    fn states(with: &Definition) -> Value {
        let mut document: Value = serde_json::from_str(&definition(with)).unwrap();
        document["States"].take()
    }

    #[test]
    fn the_token_goes_when_the_wait_was_too_long_and_before_anybody_is_told() {
        let states = states(&with(None));
        let ways = states[WAIT_FOR_RESPONSE]["Catch"].as_array().unwrap();
        let ways: Vec<_> = ways
            .iter()
            .map(|catch| json!([catch["ErrorEquals"][0], catch["Next"]]))
            .collect();
        assert_eq!(
            ways,
            [
                json!([TIME_OUTS[0], REMOVE_TOKEN]),
                json!([TOO_LARGE, PUBLISH_FAILURE]),
                json!(["States.ALL", PUBLISH_FAILURE]),
            ]
        );
        let remove = &states[REMOVE_TOKEN];
        assert_eq!(remove["Next"], PUBLISH_FAILURE);
        assert_eq!(remove["Catch"][0]["Next"], PUBLISH_FAILURE);
        assert_eq!(
            remove["Resource"],
            "arn:aws:states:::aws-sdk:s3:deleteObject"
        );
        assert_eq!(
            remove["Arguments"]["Key"],
            r#"{% "outbound/" & $states.input.execution_id & "/task_token.txt" %}"#
        );
        // No wait, no token.
        assert_eq!(states[PROCESSING]["Catch"][0]["Next"], PUBLISH_FAILURE);
        let odd = Definition {
            token_prefix: "it's/",
            ..with(None)
        };
        let odd = self::states(&odd);
        let key = odd[REMOVE_TOKEN]["Arguments"]["Key"].as_str().unwrap();
        assert!(key.contains(r#""it's/""#), "{key}");
    }

    #[test]
    fn data_that_is_too_large_is_caught_by_its_name() {
        let states = states(&with(None));
        for state in [
            PROCESSING,
            WAIT_FOR_RESPONSE,
            PUBLISH_SUCCESS,
            PUBLISH_FAILURE,
        ] {
            let names: Vec<&Value> = states[state]["Catch"]
                .as_array()
                .unwrap()
                .iter()
                .map(|catch| &catch["ErrorEquals"])
                .collect();
            let last = [&json!([TOO_LARGE]), &json!(["States.ALL"])];
            assert!(names.ends_with(&last), "{state}: {names:?}");
        }
    }

    #[test]
    fn a_definition_tells_its_arguments() {
        let shown = arguments(&definition(&with(Some(60)))).unwrap();
        assert_eq!(shown["callback_timeout_seconds"], json!(3600));
        assert_eq!(shown["callback_heartbeat_seconds"], json!(60));
        assert_eq!(shown["processing_retry"]["max_attempts"], json!(3));
        assert_eq!(arguments("{}"), None);
        // An expression of somebody's is no argument.
        let mut theirs: Value = serde_json::from_str(&definition(&with(Some(60)))).unwrap();
        theirs["States"][WAIT_FOR_RESPONSE]["TimeoutSeconds"] = json!("{% $states.input.limit %}");
        let shown = arguments(&theirs.to_string()).unwrap();
        assert_eq!(shown.get("callback_timeout_seconds"), None);
        assert_eq!(shown["callback_heartbeat_seconds"], json!(60));
    }

    #[test]
    fn a_subject_is_never_too_long_for_sns() {
        assert_eq!(
            subject(&with(None), "FAILED"),
            "orders (devl): callback failed"
        );
        let long = "x".repeat(120);
        let with = Definition {
            pipeline: &long,
            ..with(None)
        };
        assert_eq!(subject(&with, "SUCCEEDED").len(), 100);
        assert!(subject(&with, "SUCCEEDED").ends_with("callback succeeded"));
    }

    #[test]
    fn the_heartbeat_is_there_only_when_set() {
        let heartbeat = |seconds| {
            let document: Value = serde_json::from_str(&definition(&with(seconds))).unwrap();
            document["States"][WAIT_FOR_RESPONSE]["HeartbeatSeconds"].clone()
        };
        assert_eq!(heartbeat(Some(60)), json!(60));
        assert_eq!(heartbeat(None), Value::Null);
    }
}
