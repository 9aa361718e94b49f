use std::fmt;

use crate::ExecutionId;

/// Prefix of the application's answers unless another is set.
pub const DEFAULT_INBOUND_PREFIX: &str = "inbound/";

/// Prefix of the work handed out unless another is set.
pub const DEFAULT_OUTBOUND_PREFIX: &str = "outbound/";

/// Suffix of the objects that the bucket tells the integration function about.
pub const ANSWER_SUFFIX: &str = ".json";

/// The task token, as plain text.
pub const TASK_TOKEN_FILE: &str = "task_token.txt";

/// The work: the processing function's output. Once it is there, the token is too.
pub const DATA_FILE: &str = "data.json";

/// Why the application's last answer was refused.
pub const ERROR_FILE: &str = "error.json";

/// The application's answer "done", with the callback's result.
pub const SUCCESS_FILE: &str = "success.json";

/// Prefix of the task tokens that the application must not read.
pub const PRIVATE_PREFIX: &str = "private/";

/// Where the objects of an exchange are.
///
/// ```text
/// outbound/<execution_id>/task_token.txt   written by the integration function, first
/// outbound/<execution_id>/data.json        written by the integration function, then
/// outbound/<execution_id>/error.json       written by the integration function, where an answer was refused
/// inbound/<execution_id>/success.json      written by the business application
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    inbound: String,
    outbound: String,
}

/// Two prefixes that make no [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IllegalLayout {
    /// A prefix is not `folder/` or `folder/folder/…/`.
    Prefix(String),
    /// One prefix lies within the other, so that what the function writes would invoke it again.
    Overlap {
        /// Prefix of the answers.
        inbound: String,
        /// Prefix of the work.
        outbound: String,
    },
}

/// What an application answers with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `success.json`: the work is done.
    Success,
}

/// What an object's key means to the integration function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundKey {
    /// An answer to the callback of this exchange.
    Answer(Answer, ExecutionId),
    /// A folder object, made by a console or a sync tool. Nothing to do.
    Folder,
    /// An object below a legal exchange's folder, under a name that means nothing.
    UnknownFile(ExecutionId),
    /// An object below the inbound prefix, but not in the folder of an exchange.
    NoExchange,
    /// An object that is not below the inbound prefix at all.
    Elsewhere,
}

impl Layout {
    /// A layout with these prefixes.
    ///
    /// # Errors
    ///
    /// [`IllegalLayout`] if a prefix is not made of non-empty folder names of `A-Z a-z 0-9 ! - _ . ' ( )`, each ended by `/`,
    /// or if one prefix lies within the other.
    pub fn new(
        inbound: impl Into<String>,
        outbound: impl Into<String>,
    ) -> Result<Self, IllegalLayout> {
        let (inbound, outbound) = (inbound.into(), outbound.into());
        for prefix in [&inbound, &outbound] {
            if !is_folder_path(prefix) {
                return Err(IllegalLayout::Prefix(prefix.clone()));
            }
        }
        if inbound.starts_with(&outbound) || outbound.starts_with(&inbound) {
            return Err(IllegalLayout::Overlap { inbound, outbound });
        }
        Ok(Self { inbound, outbound })
    }

    /// Prefix of the answers, with its closing `/`.
    #[must_use]
    pub fn inbound_prefix(&self) -> &str {
        &self.inbound
    }

    /// Prefix of the work, with its closing `/`.
    #[must_use]
    pub fn outbound_prefix(&self) -> &str {
        &self.outbound
    }

    /// Key of the exchange's task token.
    #[must_use]
    pub fn task_token_key(&self, id: &ExecutionId) -> String {
        format!("{}{id}/{TASK_TOKEN_FILE}", self.outbound)
    }

    /// Key of the exchange's work.
    #[must_use]
    pub fn data_key(&self, id: &ExecutionId) -> String {
        format!("{}{id}/{DATA_FILE}", self.outbound)
    }

    /// Key of the note that says why an answer was refused.
    #[must_use]
    pub fn error_key(&self, id: &ExecutionId) -> String {
        format!("{}{id}/{ERROR_FILE}", self.outbound)
    }

    /// Key of an answer.
    #[must_use]
    pub fn answer_key(&self, answer: Answer, id: &ExecutionId) -> String {
        format!("{}{id}/{}", self.inbound, answer.file_name())
    }

    /// What a decoded key (see [`decode_object_key`](crate::decode_object_key)) means.
    #[must_use]
    pub fn parse_inbound(&self, key: &str) -> InboundKey {
        let Some(path) = key.strip_prefix(&self.inbound) else {
            return InboundKey::Elsewhere;
        };
        if path.is_empty() || path.ends_with('/') {
            return InboundKey::Folder;
        }
        let Some((folder, file)) = path.split_once('/') else {
            return InboundKey::NoExchange;
        };
        let Ok(id) = ExecutionId::parse(folder) else {
            return InboundKey::NoExchange;
        };
        match Answer::from_file_name(file) {
            Some(answer) => InboundKey::Answer(answer, id),
            None => InboundKey::UnknownFile(id),
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            inbound: DEFAULT_INBOUND_PREFIX.to_owned(),
            outbound: DEFAULT_OUTBOUND_PREFIX.to_owned(),
        }
    }
}

impl Answer {
    /// Every answer there is.
    pub const ALL: &[Self] = &[Self::Success];

    /// Name of the answer's object.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Success => SUCCESS_FILE,
        }
    }

    fn from_file_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|answer| answer.file_name() == name)
    }
}

/// The characters that S3 calls safe in keys, less `*`, which IAM policies would read as a wildcard.
fn is_folder_path(prefix: &str) -> bool {
    prefix.strip_suffix('/').is_some_and(|path| {
        path.split('/').all(|folder| {
            !matches!(folder, "" | "." | "..")
                && folder.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'!' | b'-' | b'_' | b'.' | b'\'' | b'(' | b')')
                })
        })
    })
}

impl fmt::Display for IllegalLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(
                f,
                "the prefix {prefix:?} is not a path of folders that ends with \"/\", such as \"{DEFAULT_INBOUND_PREFIX}\""
            ),
            Self::Overlap { inbound, outbound } => write!(
                f,
                "the prefixes {inbound:?} (inbound) and {outbound:?} (outbound) overlap: one must not lie within the other"
            ),
        }
    }
}

impl std::error::Error for IllegalLayout {}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ExecutionId {
        ExecutionId::parse(text).unwrap()
    }

    #[test]
    fn keys_are_the_original_stacks() {
        let layout = Layout::default();
        assert_eq!(
            layout.task_token_key(&id("e-1")),
            "outbound/e-1/task_token.txt"
        );
        assert_eq!(layout.data_key(&id("e-1")), "outbound/e-1/data.json");
        assert_eq!(layout.error_key(&id("e-1")), "outbound/e-1/error.json");
        assert_eq!(
            layout.answer_key(Answer::Success, &id("e-1")),
            "inbound/e-1/success.json"
        );
    }

    #[test]
    fn the_default_is_legal() {
        assert_eq!(
            Layout::new(DEFAULT_INBOUND_PREFIX, DEFAULT_OUTBOUND_PREFIX),
            Ok(Layout::default())
        );
    }

    #[test]
    fn prefixes_are_paths_of_folders() {
        assert!(Layout::new("from/app/", "to/app/").is_ok());
        assert!(Layout::new("inbound/", "inbound2/").is_ok());
        for prefix in [
            "",
            "/",
            "inbound",
            "/inbound/",
            "a//",
            "a//b/",
            "../",
            "a/./",
            "a b/",
            "a*/",
            "ü/",
            "a?/",
        ] {
            assert_eq!(
                Layout::new(prefix, "outbound/"),
                Err(IllegalLayout::Prefix(prefix.to_owned()))
            );
            assert_eq!(
                Layout::new("inbound/", prefix),
                Err(IllegalLayout::Prefix(prefix.to_owned()))
            );
        }
    }

    #[test]
    fn prefixes_do_not_overlap() {
        for (inbound, outbound) in [("x/", "x/"), ("x/", "x/out/"), ("x/in/", "x/")] {
            assert!(
                matches!(
                    Layout::new(inbound, outbound),
                    Err(IllegalLayout::Overlap { .. })
                ),
                "{inbound} {outbound}"
            );
        }
    }

    #[test]
    fn every_answer_is_found_again_by_its_key() {
        let layout = Layout::new("a/b/", "c/").unwrap();
        for &answer in Answer::ALL {
            let key = layout.answer_key(answer, &id("e-1"));
            assert_eq!(
                layout.parse_inbound(&key),
                InboundKey::Answer(answer, id("e-1"))
            );
            assert!(key.ends_with(ANSWER_SUFFIX));
        }
    }

    #[test]
    fn other_keys_are_told_apart() {
        let layout = Layout::default();
        let cases = [
            ("inbound/", InboundKey::Folder),
            ("inbound/e-1/", InboundKey::Folder),
            ("inbound/a b/", InboundKey::Folder),
            ("inbound/e-1/other.json", InboundKey::UnknownFile(id("e-1"))),
            (
                "inbound/e-1/SUCCESS.json",
                InboundKey::UnknownFile(id("e-1")),
            ),
            (
                "inbound/e-1/deeper/success.json",
                InboundKey::UnknownFile(id("e-1")),
            ),
            ("inbound/success.json", InboundKey::NoExchange),
            ("inbound//success.json", InboundKey::NoExchange),
            ("inbound/../success.json", InboundKey::NoExchange),
            ("inbound/a b/success.json", InboundKey::NoExchange),
            ("inbound/注文/success.json", InboundKey::NoExchange),
            ("outbound/e-1/data.json", InboundKey::Elsewhere),
            ("Inbound/e-1/success.json", InboundKey::Elsewhere),
            ("x/inbound/e-1/success.json", InboundKey::Elsewhere),
            ("", InboundKey::Elsewhere),
        ];
        for (key, expected) in cases {
            assert_eq!(layout.parse_inbound(key), expected, "{key}");
        }
    }
}
