use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest [`ExecutionId`], in bytes.
pub const MAX_EXECUTION_ID_LEN: usize = 128;

/// Names one exchange with the business application; it is the folder of the exchange's objects.
///
/// Our processing function makes a UUID, but anyone's function may take its place, so every id that is safe as
/// a folder name is accepted: 1 to 128 of `A-Z a-z 0-9 . _ -`, but neither `.` nor `..`. Upper and lower case differ, as they do in S3.
///
/// ```
/// use bellflower_contract::ExecutionId;
///
/// assert!(ExecutionId::parse("order-4711_2.retry").is_ok());
/// assert!(ExecutionId::parse("../secrets").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutionId(String);

/// The text is no [`ExecutionId`].
///
/// The message does not quote the text: it comes from outside, has no length limit and may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalExecutionId;

impl ExecutionId {
    /// Checks that `text` is an execution id.
    ///
    /// # Errors
    ///
    /// [`IllegalExecutionId`] if it is empty, too long, `.` or `..`, or has a character that is not allowed.
    pub fn parse(text: impl Into<String>) -> Result<Self, IllegalExecutionId> {
        let text = text.into();
        let legal = (1..=MAX_EXECUTION_ID_LEN).contains(&text.len())
            && text != "."
            && text != ".."
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if legal {
            Ok(Self(text))
        } else {
            Err(IllegalExecutionId)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ExecutionId {
    type Error = IllegalExecutionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<ExecutionId> for String {
    fn from(id: ExecutionId) -> Self {
        id.0
    }
}

impl fmt::Display for IllegalExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an execution id is 1 to {MAX_EXECUTION_ID_LEN} of A-Z a-z 0-9 . _ - and neither \".\" nor \"..\""
        )
    }
}

impl std::error::Error for IllegalExecutionId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_safe_folder_names_are_legal() {
        for text in [
            "a",
            "0b6cf1c4-6f0a-4d39-8f0e-5d1f3c7d8e9f",
            "ORDER_4711.v2",
            "...",
            "-",
            &"x".repeat(128),
        ] {
            assert_eq!(
                ExecutionId::parse(text).map(String::from).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn everything_else_is_illegal() {
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a+b",
            "é",
            "a%20b",
            "a\n",
            "a\\b",
            &"x".repeat(129),
        ] {
            assert_eq!(
                ExecutionId::parse(text),
                Err(IllegalExecutionId),
                "{text:?}"
            );
        }
    }

    #[test]
    fn json_is_checked_too() {
        assert!(serde_json::from_str::<ExecutionId>(r#""order-1""#).is_ok());
        assert!(serde_json::from_str::<ExecutionId>(r#""../x""#).is_err());
        assert!(serde_json::from_str::<ExecutionId>("7").is_err());
    }
}
