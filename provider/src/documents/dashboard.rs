//! The dashboard: a pipeline's funnel, from executions started to callbacks answered, and what gets lost on the way.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>

use bellflower_contract::metrics;
use serde_json::{Value, json};

use super::policy;

/// What the dashboard shows.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The pipeline's environment.
    pub environment: &'a str,
    /// The region of the metrics.
    pub region: &'a str,
    /// Whose it is, in the words of the tag that other parts carry: a dashboard takes no tags.
    pub mark: &'a str,
    /// The ARN of the state machine.
    pub machine_arn: &'a str,
    /// The names of the queue, the undeliverable queue and the dead-letter queue.
    pub queues: [&'a str; 3],
    /// The names of the functions.
    pub functions: [&'a str; 2],
}

/// How a dashboard says whose it is.
const MADE_FOR: &str = "Made by Bellflower for ";

/// The whole width of a dashboard.
const WIDTH: i64 = 24;

/// The dashboard's text.
#[must_use]
#[allow(clippy::too_many_lines, reason = "one widget after the other")]
pub fn body(shown: &Shown) -> String {
    let Shown {
        pipeline,
        environment,
        mark,
        machine_arn,
        ..
    } = shown;
    let execution = |name: &str, label: &str| {
        of(
            "AWS/States",
            name,
            &[("StateMachineArn", machine_arn)],
            label,
        )
    };
    let callback = |name: &str, label: &str| {
        let dimensions = [
            (metrics::PIPELINE, *pipeline),
            (metrics::ENVIRONMENT, *environment),
        ];
        of(metrics::NAMESPACE, name, &dimensions, label)
    };
    let waiting = |name: &str| -> Vec<Value> {
        let one = |queue: &&str| of("AWS/SQS", name, &[("QueueName", queue)], queue);
        shown.queues.iter().map(one).collect()
    };
    let functions = |name: &str| -> Vec<Value> {
        let one = |function: &&str| {
            let label = format!("{name} {function}");
            of("AWS/Lambda", name, &[("FunctionName", function)], &label)
        };
        shown.functions.iter().map(one).collect()
    };
    let age = |percentile: &str| {
        let mut row = callback(metrics::ANSWER_AGE, percentile);
        if let Some(options) = row.as_array_mut().and_then(|row| row.last_mut()) {
            options["stat"] = json!(percentile);
        }
        row
    };
    let title = json!({
        "type": "text",
        "x": 0, "y": 0, "width": WIDTH, "height": 2,
        "properties": {"markdown": format!("# {pipeline} ({environment})\n{MADE_FOR}`{mark}`. Changes are undone by the next apply.")},
    });
    let widget = |(x, y, width): (i64, i64, i64),
                  heading: &str,
                  view: &str,
                  stat: &str,
                  rows: Vec<Value>| {
        json!({
            "type": "metric",
            "x": x, "y": y, "width": width, "height": 6,
            "properties": {
                "title": heading,
                "region": shown.region,
                "view": view,
                "stat": stat,
                "period": 300,
                "metrics": rows,
            },
        })
    };
    let half = WIDTH / 2;
    let mut funnel = widget(
        (0, 2, WIDTH),
        "From start to answer",
        "singleValue",
        "Sum",
        vec![
            execution("ExecutionsStarted", "Executions started"),
            callback(metrics::OPENED, "Callbacks opened"),
            callback(metrics::ANSWERED, "Answered: success"),
            callback(metrics::FAILED, "Answered: failure"),
            callback(metrics::UNDELIVERABLE, "Undeliverable"),
            execution("ExecutionsSucceeded", "Executions succeeded"),
            execution("ExecutionsFailed", "Executions failed"),
        ],
    );
    // Over the time that is looked at, not over its last five minutes.
    funnel["properties"]["setPeriodToTimeRange"] = json!(true);
    let widgets = [
        title,
        funnel,
        widget(
            (0, 8, half),
            "Executions",
            "timeSeries",
            "Sum",
            vec![
                execution("ExecutionsStarted", "Started"),
                execution("ExecutionsSucceeded", "Succeeded"),
                execution("ExecutionsFailed", "Failed"),
                execution("ExecutionsTimedOut", "Timed out"),
                execution("ExecutionsAborted", "Aborted"),
            ],
        ),
        widget(
            (half, 8, half),
            "Callbacks",
            "timeSeries",
            "Sum",
            vec![
                callback(metrics::OPENED, "Opened"),
                callback(metrics::ANSWERED, "Success"),
                callback(metrics::FAILED, "Failure"),
                callback(metrics::HEARTBEATS, "Heartbeats"),
                callback(metrics::REJECTED, "Rejected"),
                callback(metrics::LATE, "Late"),
                callback(metrics::UNDELIVERABLE, "Undeliverable"),
            ],
        ),
        widget(
            (0, 14, half),
            "From opening to answer (ms)",
            "timeSeries",
            "p50",
            vec![age("p50"), age("p99")],
        ),
        widget(
            (half, 14, half),
            "Messages waiting",
            "timeSeries",
            "Maximum",
            waiting("ApproximateNumberOfMessagesVisible"),
        ),
        widget(
            (0, 20, half),
            "Oldest message (s)",
            "timeSeries",
            "Maximum",
            waiting("ApproximateAgeOfOldestMessage"),
        ),
        widget(
            (half, 20, half),
            "Functions",
            "timeSeries",
            "Sum",
            [functions("Errors"), functions("Throttles")].concat(),
        ),
    ];
    policy::text(&json!({ "widgets": widgets }))
}

fn widgets(body: &str) -> Vec<Value> {
    let body: Option<Value> = serde_json::from_str(body).ok();
    let widgets = body.and_then(|body| body.get("widgets")?.as_array().cloned());
    widgets.unwrap_or_default()
}

/// Whether a dashboard has a widget in common with another one, or none at all any more.
#[must_use]
pub fn is_left_of(one: &str, other: &str) -> bool {
    let (left, other) = (widgets(one), widgets(other));
    left.is_empty() || left.iter().any(|widget| other.contains(widget))
}

/// Whose a dashboard is, as far as it says so.
#[must_use]
pub fn owner(body: &str) -> Option<String> {
    let text = |widget: &Value| {
        let text = widget.get("properties")?.get("markdown")?.as_str()?;
        let (_, rest) = text.split_once(MADE_FOR)?;
        Some(rest.split('`').nth(1)?.to_owned())
    };
    widgets(body).iter().find_map(text)
}

/// A metric as a row of a widget.
fn of(namespace: &str, name: &str, dimensions: &[(&str, &str)], label: &str) -> Value {
    let mut row = vec![json!(namespace), json!(name)];
    for (key, value) in dimensions {
        row.extend([json!(key), json!(value)]);
    }
    row.push(json!({ "label": label }));
    Value::Array(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown<'static> {
        Shown {
            pipeline: "orders",
            environment: "devl",
            region: "eu-west-1",
            mark: "orders/devl/eu-west-1",
            machine_arn: "arn:aws:states:eu-west-1:123456789012:stateMachine:m",
            queues: ["q", "u", "d"],
            functions: ["p", "i"],
        }
    }

    #[test]
    fn a_dashboard_says_whose_it_is() {
        assert_eq!(
            owner(&body(&shown())).as_deref(),
            Some("orders/devl/eu-west-1")
        );
        assert_eq!(owner(r#"{"widgets": []}"#), None);
        assert_eq!(owner("no JSON"), None);
    }

    #[test]
    fn every_widget_lies_beside_the_others_and_shows_something() {
        let body: Value = serde_json::from_str(&body(&shown())).unwrap();
        let widgets = body["widgets"].as_array().unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for widget in widgets {
            let side = |name: &str| widget[name].as_i64().unwrap();
            assert!(side("x") + side("width") <= WIDTH);
            for x in side("x")..side("x") + side("width") {
                for y in side("y")..side("y") + side("height") {
                    assert!(taken.insert((x, y)), "two widgets at {x}, {y}");
                }
            }
            if widget["type"] == "metric" {
                assert!(
                    !widget["properties"]["metrics"]
                        .as_array()
                        .unwrap()
                        .is_empty()
                );
            }
        }
    }

    #[test]
    fn every_metric_of_the_pipeline_is_shown() {
        let body = body(&shown());
        for name in metrics::COUNTS.iter().chain([&metrics::ANSWER_AGE]) {
            assert!(
                body.contains(&format!(r#""{}","{name}""#, metrics::NAMESPACE)),
                "{name}"
            );
        }
    }
}
