//! The state machine's definition in Amazon States Language, with JSONata as its query language: the processing function may get any
//! JSON as input, and JSONata, unlike a path, can build an answer from what may or may not be there.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html>

use bellflower_contract::states::{
    FAIL, PROCESSING, PUBLISH_FAILURE, PUBLISH_SUCCESS, SUCCESS, WAIT_FOR_RESPONSE,
};
use serde_json::{Value, json};

use super::policy;

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
            PUBLISH_SUCCESS: publish(with, "SUCCEEDED", "'result': $states.input.result", SUCCESS),
            SUCCESS: {"Type": "Succeed"},
            PUBLISH_FAILURE: publish(with, "FAILED", "'error': $states.input.error, 'cause': $states.input.cause", FAIL),
            FAIL: {"Type": "Fail", "Error": "{% $states.input.error %}", "Cause": "{% $states.input.cause %}"},
        },
    }))
}

/// The arguments that a definition was made from, as far as it shows them; none if it is no definition of ours.
#[must_use]
pub fn arguments(definition: &str) -> Option<Value> {
    let document: Value = serde_json::from_str(definition).ok()?;
    let states = document.get("States")?;
    let (wait, retry) = (
        states.get(WAIT_FOR_RESPONSE)?,
        states.get(PROCESSING)?.get("Retry")?.get(0)?,
    );
    Some(json!({
        "callback_timeout_seconds": wait.get("TimeoutSeconds")?,
        "callback_heartbeat_seconds": wait.get("HeartbeatSeconds"),
        "processing_retry": {
            "max_attempts": retry.get("MaxAttempts")?,
            "interval_seconds": retry.get("IntervalSeconds")?,
            "backoff_rate": retry.get("BackoffRate")?,
        },
    }))
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
        "Retry": [{
            "ErrorEquals": ["States.ALL"],
            "MaxAttempts": with.max_attempts,
            "IntervalSeconds": with.interval_seconds,
            "BackoffRate": with.backoff_rate,
        }],
        "Output": "{% $states.result.Payload %}",
        "Catch": caught("$states.errorOutput.Cause"),
        "Next": WAIT_FOR_RESPONSE,
    })
}

fn wait(with: &Definition) -> Value {
    let heartbeat = with
        .callback_heartbeat
        .map(|seconds| format!(", the heartbeat {seconds} s"))
        .unwrap_or_default();
    let late = format!(
        "$states.errorOutput.Error in ['States.Timeout', 'States.HeartbeatTimeout'] \
         ? 'No answer came in time for execution_id ' & $states.input.execution_id & ': the time-out is {} s{heartbeat}.' \
         : $states.errorOutput.Cause",
        with.callback_timeout,
    );
    let mut state = json!({
        "Type": "Task",
        "Resource": integration(with, "sqs:sendMessage.waitForTaskToken"),
        "Arguments": {
            "QueueUrl": with.queue_url,
            "MessageBody": {"Input": "{% $states.input %}", "TaskToken": "{% $states.context.Task.Token %}"},
        },
        "TimeoutSeconds": with.callback_timeout,
        // Sending may be tried again; a failure the application answered with may not.
        "Retry": [{
            "ErrorEquals": ["SQS.AmazonSQSException", "SQS.SdkClientException", "SQS.KmsThrottlingException"],
            "MaxAttempts": 5,
            "IntervalSeconds": 2,
            "BackoffRate": 2,
        }],
        "Output": "{% {'execution_id': $states.input.execution_id, 'result': $states.result} %}",
        "Catch": caught(&late),
        "Next": PUBLISH_SUCCESS,
    });
    if let Some(seconds) = with.callback_heartbeat {
        state["HeartbeatSeconds"] = json!(seconds);
    }
    state
}

/// Everything ends in the failure message, whose parts are always there.
fn caught(cause: &str) -> Value {
    let output = format!(
        "{{% ($cause := {cause}; {{\
         'execution_id': $type($states.input) = 'object' ? $states.input.execution_id, \
         'error': $states.errorOutput.Error, \
         'cause': $exists($cause) ? $string($cause) : 'No cause was given.'}}) %}}"
    );
    json!([{"ErrorEquals": ["States.ALL"], "Output": output, "Next": PUBLISH_FAILURE}])
}

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

/// A message that cannot be published does not change how the execution ends.
fn publish(with: &Definition, status: &str, facts: &str, next: &str) -> Value {
    let message = format!(
        "{{% $string({{'status': '{status}', 'pipeline': '{}', 'environment': '{}', 'execution_id': $states.input.execution_id, \
         'execution_arn': $states.context.Execution.Id, 'name': $states.context.Execution.Name, {facts}}}) %}}",
        with.pipeline, with.environment,
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
        "Catch": [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": next}],
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
        }
    }

    #[test]
    fn every_next_leads_to_a_state() {
        let document: Value = serde_json::from_str(&definition(&with(Some(60)))).unwrap();
        let states = document["States"].as_object().unwrap();
        assert_eq!(states.len(), 6);
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

    #[test]
    fn a_definition_tells_its_arguments() {
        let shown = arguments(&definition(&with(Some(60)))).unwrap();
        assert_eq!(shown["callback_timeout_seconds"], json!(3600));
        assert_eq!(shown["callback_heartbeat_seconds"], json!(60));
        assert_eq!(shown["processing_retry"]["max_attempts"], json!(3));
        assert_eq!(arguments("{}"), None);
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
