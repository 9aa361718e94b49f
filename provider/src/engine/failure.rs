//! The one error of everything that talks to AWS.

use std::fmt;
use std::time::Duration;

/// Why an operation on a part did not succeed.
///
/// Its text says what was being done, to what, and why it failed, with the service's own code and request id:
/// `lambda:CreateFunction of "orders-processing-devl-eu-west-1": … (InvalidParameterValueException, request id …, 9 attempts in 120 s)`.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// Service and operation, as in an IAM action: `lambda:CreateFunction`. Empty for a refusal of our own.
    pub operation: &'static str,
    /// The object the operation was for.
    pub object: String,
    /// The service's wire code, if the service answered.
    pub code: Option<String>,
    /// The service's message, or what went wrong on the way to it.
    pub message: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The AWS request id, if there was an answer.
    pub request_id: Option<String>,
    /// How often the operation was tried.
    pub attempts: u32,
    /// From the first try to giving up.
    pub elapsed: Duration,
    /// What a person can do about it.
    pub advice: Option<String>,
    /// True when it is unknown whether the operation took effect: no answer came, or none that could be read, or the server failed.
    pub ambiguous: bool,
    /// True when the user's interruption, or the end of the time limit, cut it short.
    pub interrupted: bool,
}

impl Failure {
    /// A refusal of our own: never retried, whatever its words.
    #[must_use]
    pub fn refusal(object: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            object: object.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// True when the service answered with one of these codes.
    #[must_use]
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }

    /// True when no answer came, or none that could be read to its end: a broken connection, a name that does not resolve, a time-out.
    #[must_use]
    pub fn unanswered(&self) -> bool {
        self.ambiguous && self.code.is_none() && self.status.is_none_or(|status| status < 400)
    }

    /// True when the caller may not do it: by IAM, a policy of the organisation, or the object's own.
    #[must_use]
    pub fn denied(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        // An answer without a body, as S3's to a HEAD, has no code.
        let is_bare = self.code.is_none() && self.status == Some(403);
        is_bare || code.starts_with("AccessDenied") || code.starts_with("AuthorizationError")
    }

    /// True when the service says that there is such an object already.
    #[must_use]
    pub fn collides(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        code.contains("Already") || code.contains("Conflict") || self.says("already exist")
    }

    /// True when the service's message holds `part`, in any case.
    #[must_use]
    pub fn says(&self, part: &str) -> bool {
        self.message
            .to_ascii_lowercase()
            .contains(&part.to_ascii_lowercase())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operation.is_empty() {
            write!(f, "{}: {}", self.object, self.why())
        } else {
            write!(
                f,
                "{} of \"{}\": {}",
                self.operation,
                self.object,
                self.why()
            )
        }
    }
}

impl Failure {
    /// Why it did not succeed, without what was being done to what.
    #[must_use]
    pub fn why(&self) -> String {
        let mut facts = Vec::new();
        facts.extend(self.code.clone());
        if self.code.is_none() {
            facts.extend(self.status.map(|status| format!("HTTP {status}")));
        }
        facts.extend(
            self.request_id
                .as_ref()
                .map(|id| format!("request id {id}")),
        );
        if self.attempts > 1 {
            facts.push(format!(
                "{} attempts in {:.0} s",
                self.attempts,
                self.elapsed.as_secs_f64()
            ));
        }
        if facts.is_empty() {
            self.message.clone()
        } else {
            format!("{} ({})", self.message, facts.join(", "))
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_what_and_why() {
        let failure = Failure {
            operation: "lambda:CreateFunction",
            object: "orders-processing".into(),
            code: Some("InvalidParameterValueException".into()),
            message: "the role cannot be assumed".into(),
            request_id: Some("abc".into()),
            attempts: 9,
            elapsed: Duration::from_mins(2),
            ..Failure::default()
        };
        assert_eq!(
            failure.to_string(),
            "lambda:CreateFunction of \"orders-processing\": the role cannot be assumed \
             (InvalidParameterValueException, request id abc, 9 attempts in 120 s)"
        );
        assert_eq!(
            Failure::refusal("SQS queue \"q\"", "is not ours").to_string(),
            "SQS queue \"q\": is not ours"
        );
    }
}
