//! The bucket policy.

use serde_json::json;

use super::{Place, policy};

/// Refuses every request that does not come over TLS.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html>
#[must_use]
pub fn policy(place: &Place, bucket: &str) -> String {
    policy::text(&json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [place.s3_arn(bucket), place.s3_arn(&format!("{bucket}/*"))],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }],
    }))
}
