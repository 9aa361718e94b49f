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

/// Most bytes of a token file that is read: more tokens than Step Functions makes in the tries of one state, and the line ends between them.
pub const MAX_TASK_TOKEN_FILE_LEN: usize = 16 * (MAX_TASK_TOKEN_LEN + 2);

/// The tokens of one exchange, oldest first; never none.
///
/// Step Functions makes a new token each time it tries to send the message of a state again, and the message of an earlier try may be in
/// the queue too. At most one of the tokens is good, and only trying tells which.
///
/// ```
/// use bellflower_contract::{TaskToken, TaskTokens};
///
/// let mut tokens = TaskTokens::parse("first\r\n\r\nsecond\n").unwrap();
/// assert!(!tokens.add(TaskToken::parse("first").unwrap()));
/// assert!(tokens.add(TaskToken::parse("third").unwrap()));
/// assert_eq!(tokens.reveal(), "first\nsecond\nthird");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskTokens(Vec<TaskToken>);

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

impl TaskTokens {
    /// Reads a token file: a token a line. Empty lines are skipped, and so are lines that hold no token, as long as one does.
    ///
    /// # Errors
    ///
    /// [`NotATaskToken`] if no line holds a token.
    pub fn parse(text: &str) -> Result<Self, NotATaskToken> {
        let tokens: Vec<TaskToken> = text
            .lines()
            .filter_map(|line| TaskToken::parse(line).ok())
            .collect();
        if tokens.is_empty() {
            Err(NotATaskToken)
        } else {
            Ok(Self(tokens))
        }
    }

    /// Adds a token at the end; `false` if it is there already. Where the file would become longer than
    /// [`MAX_TASK_TOKEN_FILE_LEN`], the oldest tokens make room.
    pub fn add(&mut self, token: TaskToken) -> bool {
        if self.0.contains(&token) {
            return false;
        }
        self.0.push(token);
        while self.reveal().len() > MAX_TASK_TOKEN_FILE_LEN {
            self.0.remove(0);
        }
        true
    }

    /// The tokens, last first: the last is the likeliest to be good.
    pub fn newest_first(&self) -> impl Iterator<Item = &TaskToken> {
        self.0.iter().rev()
    }

    /// The text of the token file, and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(TaskToken::reveal).collect();
        lines.join("\n")
    }
}

impl From<TaskToken> for TaskTokens {
    fn from(token: TaskToken) -> Self {
        Self(vec![token])
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
    fn a_file_holds_a_token_a_line() {
        let tokens = TaskTokens::parse("\u{20}AQB8a\r\n\n not one \nAQB8b").unwrap();
        let newest: Vec<&str> = tokens.newest_first().map(TaskToken::reveal).collect();
        assert_eq!(newest, ["AQB8b", "AQB8a"]);
        for text in ["", "\r\n", "no token\nno token either"] {
            assert_eq!(TaskTokens::parse(text), Err(NotATaskToken), "{text:?}");
        }
        assert!(!format!("{tokens:?}").contains("AQB8"), "{tokens:?}");
    }

    #[test]
    fn a_file_stays_short_enough_to_be_read() {
        let token = |n: usize| TaskToken::parse(&format!("{n:02048}")).unwrap();
        let mut tokens = TaskTokens::from(token(0));
        for n in 1..40 {
            assert!(tokens.add(token(n)));
        }
        let text = tokens.reveal();
        assert!(text.len() <= MAX_TASK_TOKEN_FILE_LEN);
        assert!(text.len() > MAX_TASK_TOKEN_FILE_LEN - 2 * MAX_TASK_TOKEN_LEN);
        assert_eq!(tokens.newest_first().next(), Some(&token(39)));
        assert_eq!(TaskTokens::parse(&text), Ok(tokens));
    }

    #[test]
    fn debug_hides_the_token() {
        let shown = format!("{:?}", TaskToken::parse("AQB8secret").unwrap());
        assert!(!shown.contains("AQB8"), "{shown}");
    }
}
