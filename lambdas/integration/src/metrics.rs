//! The function's metrics, as lines of its log in CloudWatch's embedded metric format.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellflower_contract::log::Log;
use bellflower_contract::{ExecutionId, metrics};
use serde_json::{Value, json};

/// Whose metrics they are. A dimension without a value is left out, since CloudWatch would not take the metric.
#[derive(Clone, Debug, Default)]
pub struct Dimensions {
    /// The pipeline's name.
    pub pipeline: Option<String>,
    /// The pipeline's environment.
    pub environment: Option<String>,
}

impl Dimensions {
    /// Counts one of `metric`, whatever the log level is. `age`, if there is one, goes into [`metrics::ANSWER_AGE`].
    pub fn count(
        &self,
        log: &Log<'_>,
        metric: &str,
        id: Option<&ExecutionId>,
        age: Option<Duration>,
    ) {
        let now = SystemTime::now();
        log.unfiltered(now, "metrics", self.line(now, metric, id, age));
    }

    fn line(
        &self,
        now: SystemTime,
        metric: &str,
        id: Option<&ExecutionId>,
        age: Option<Duration>,
    ) -> Value {
        let mut line = json!({metric: 1});
        let mut definitions = vec![json!({"Name": metric, "Unit": "Count"})];
        if let Some(age) = age {
            line[metrics::ANSWER_AGE] = millis(age).into();
            definitions.push(json!({"Name": metrics::ANSWER_AGE, "Unit": "Milliseconds"}));
        }
        let mut names = Vec::new();
        for (name, value) in [
            (metrics::PIPELINE, &self.pipeline),
            (metrics::ENVIRONMENT, &self.environment),
        ] {
            if let Some(value) = value {
                line[name] = value.as_str().into();
                names.push(name);
            }
        }
        if let Some(id) = id {
            line["execution_id"] = id.as_str().into();
        }
        line["_aws"] = json!({
            "Timestamp": millis(now.duration_since(UNIX_EPOCH).unwrap_or_default()),
            "CloudWatchMetrics": [{
                "Namespace": metrics::NAMESPACE,
                "Dimensions": [names],
                "Metrics": definitions,
            }],
        });
        line
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_the_embedded_metric_format() {
        let dimensions = Dimensions {
            pipeline: Some("orders".to_owned()),
            environment: Some("devl".to_owned()),
        };
        let id = ExecutionId::parse("e-1").unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_767_225_600_123);
        let age = Some(Duration::from_millis(1_500));
        assert_eq!(
            dimensions.line(now, metrics::ANSWERED, Some(&id), age),
            json!({
                "_aws": {
                    "Timestamp": 1_767_225_600_123_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Bellflower",
                        "Dimensions": [["Pipeline", "Environment"]],
                        "Metrics": [
                            {"Name": "Answered", "Unit": "Count"},
                            {"Name": "AnswerAge", "Unit": "Milliseconds"}
                        ]
                    }]
                },
                "Pipeline": "orders", "Environment": "devl", "execution_id": "e-1", "Answered": 1, "AnswerAge": 1500
            })
        );
    }

    #[test]
    fn an_empty_dimension_is_left_out() {
        let line = Dimensions::default().line(UNIX_EPOCH, metrics::OPENED, None, None);
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 0,
                    "CloudWatchMetrics": [{
                        "Namespace": "Bellflower",
                        "Dimensions": [[]],
                        "Metrics": [{"Name": "Opened", "Unit": "Count"}]
                    }]
                },
                "Opened": 1
            })
        );
    }
}
