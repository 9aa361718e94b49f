use std::fmt;

/// Longest task token that Step Functions hands out or takes, in bytes.
///
/// See <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html>.
pub const MAX_TASK_TOKEN_LEN: usize = 2048;

/// A Step Functions task token: whoever has it can answer the callback, so it is never shown.
///
/// It has no `Display`, no `Serialize`, and its `Debug` hides it; [`TaskToken::reveal`] is the one way to the text, easy to find
/// in a review.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskToken(String);

/// The text is no [`TaskToken`]. The message does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATaskToken;

impl TaskToken {
    /// Takes `text` as a token. White space around it is dropped, since an editor may have left a newline in the token file.
    ///
    /// # Errors
    ///
    /// [`NotATaskToken`] if nothing is left, it is longer than [`MAX_TASK_TOKEN_LEN`], or has characters that are not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, NotATaskToken> {
        let text = text.trim();
        let legal = (1..=MAX_TASK_TOKEN_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotATaskToken)
        }
    }

    /// The token itself: for the token file and for Step Functions, and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskToken(hidden)")
    }
}

impl fmt::Display for NotATaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a task token is 1 to {MAX_TASK_TOKEN_LEN} printable ASCII characters"
        )
    }
}

impl std::error::Error for NotATaskToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_every_legal_length_are_taken_and_trimmed() {
        assert_eq!(TaskToken::parse("AQB8/+=\r\n").unwrap().reveal(), "AQB8/+=");
        assert!(TaskToken::parse(&"t".repeat(2048)).is_ok());
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for text in ["", " \n", "two words", "tokén", &"t".repeat(2049)] {
            assert_eq!(TaskToken::parse(text), Err(NotATaskToken), "{text:?}");
        }
    }

    #[test]
    fn debug_hides_the_token() {
        let shown = format!("{:?}", TaskToken::parse("AQB8secret").unwrap());
        assert!(!shown.contains("AQB8"), "{shown}");
    }
}
