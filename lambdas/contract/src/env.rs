//! Environment variables of the integration function.

/// Name of the bucket that the exchange goes through. Required.
pub const BUCKET: &str = "BELLFLOWER_BUCKET";

/// ARN of the KMS key for the objects the function writes. Where it is left out, the bucket's default encryption holds.
pub const KMS_KEY_ARN: &str = "BELLFLOWER_KMS_KEY_ARN";

/// Prefix of the application's answers; [`DEFAULT_INBOUND_PREFIX`](crate::DEFAULT_INBOUND_PREFIX) where it is left out.
pub const INBOUND_PREFIX: &str = "BELLFLOWER_INBOUND_PREFIX";

/// Prefix of the work handed out; [`DEFAULT_OUTBOUND_PREFIX`](crate::DEFAULT_OUTBOUND_PREFIX) where it is left out.
pub const OUTBOUND_PREFIX: &str = "BELLFLOWER_OUTBOUND_PREFIX";

/// `true` or `false`: address the bucket as `https://endpoint/bucket` and not as `https://bucket.endpoint`.
///
/// Where it is left out, path style is used exactly when an endpoint URL is set (`AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3`),
/// since a local AWS seldom answers to the names of buckets.
pub const S3_USE_PATH_STYLE: &str = "BELLFLOWER_S3_USE_PATH_STYLE";

/// Where task tokens are kept: `outbound` or `private`, see [`TaskTokenPlace`](crate::TaskTokenPlace); `outbound` where it is left out.
pub const TASK_TOKEN: &str = "BELLFLOWER_TASK_TOKEN";

/// ARN of the queue of messages that could not be handled. Their callbacks are ended with
/// [`errors::UNDELIVERABLE`](crate::errors::UNDELIVERABLE). Where it is left out, every queue is one of callbacks to open.
pub const UNDELIVERABLE_QUEUE_ARN: &str = "BELLFLOWER_UNDELIVERABLE_QUEUE_ARN";

/// The pipeline's name, as a dimension of its [`metrics`](crate::metrics). Empty where it is left out.
pub const PIPELINE: &str = "BELLFLOWER_PIPELINE";

/// The pipeline's environment, as a dimension of its [`metrics`](crate::metrics). Empty where it is left out.
pub const ENVIRONMENT: &str = "BELLFLOWER_ENVIRONMENT";
