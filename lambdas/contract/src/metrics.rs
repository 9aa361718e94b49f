//! What the integration function counts, for alarms and dashboards.
//!
//! It writes them to its log in CloudWatch's embedded metric format, see
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>. Each is in
//! [`NAMESPACE`] with the two dimensions [`PIPELINE`] and [`ENVIRONMENT`]; the unit is `Count`, but for [`ANSWER_AGE`].

/// Namespace of every metric.
pub const NAMESPACE: &str = "Bellflower";

/// Dimension: the pipeline's name.
pub const PIPELINE: &str = "Pipeline";

/// Dimension: the pipeline's environment.
pub const ENVIRONMENT: &str = "Environment";

/// Callbacks whose work was handed out.
pub const OPENED: &str = "Opened";

/// Callbacks that the application closed with `success.json`.
pub const ANSWERED: &str = "Answered";

/// Callbacks that the application closed with `failure.json`.
pub const FAILED: &str = "Failed";

/// Signs of life that were passed on.
pub const HEARTBEATS: &str = "Heartbeats";

/// Answers that could not be passed on; the application has to answer again.
pub const REJECTED: &str = "Rejected";

/// Answers for which no callback was open: too late, given twice, or to an execution id that was never handed out.
pub const LATE: &str = "Late";

/// Messages that could not be handled; each is kept in the dead-letter queue, and its execution fails.
pub const UNDELIVERABLE: &str = "Undeliverable";

/// Milliseconds from the callback's opening until it was closed by the application, to the second.
pub const ANSWER_AGE: &str = "AnswerAge";

/// Every metric that counts.
pub const COUNTS: &[&str] = &[
    OPENED,
    ANSWERED,
    FAILED,
    HEARTBEATS,
    REJECTED,
    LATE,
    UNDELIVERABLE,
];
