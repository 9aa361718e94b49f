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

/// The application's answer "failed", with an error and a cause.
pub const FAILURE_FILE: &str = "failure.json";

/// The application's sign of life.
pub const HEARTBEAT_FILE: &str = "heartbeat.json";

/// Prefix of the task tokens that the application must not read, see [`TaskTokenPlace::Private`].
pub const PRIVATE_PREFIX: &str = "private/";

/// Where the objects of an exchange are.
///
/// ```text
/// outbound/<execution_id>/task_token.txt   written by the integration function, first; deleted when the callback is closed
/// outbound/<execution_id>/data.json        written by the integration function, then
/// outbound/<execution_id>/error.json       written by the integration function, where an answer was refused
/// inbound/<execution_id>/success.json      written by the business application: done
/// inbound/<execution_id>/failure.json      written by the business application: failed
/// inbound/<execution_id>/heartbeat.json    written by the business application: still at it
/// ```
///
/// The token may be in `private/<execution_id>/task_token.txt` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    inbound: String,
    outbound: String,
    task_token: TaskTokenPlace,
}

/// Where task tokens are kept. Whoever can read one can answer its callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskTokenPlace {
    /// Beside the data, for applications that call Step Functions themselves.
    #[default]
    Outbound,
    /// Below [`PRIVATE_PREFIX`], where the application has no business.
    Private,
}

/// Prefixes that make no [`Layout`].
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
    /// A prefix and [`PRIVATE_PREFIX`] lie within each other, so that the application could read the tokens, or overwrite them.
    Private(String),
}

/// What an application answers with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `success.json`: the work is done.
    Success,
    /// `failure.json`: the work cannot be done.
    Failure,
    /// `heartbeat.json`: the work goes on.
    Heartbeat,
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
    /// A layout with these prefixes and the tokens beside the data.
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
        if overlap(&inbound, &outbound) {
            return Err(IllegalLayout::Overlap { inbound, outbound });
        }
        Ok(Self {
            inbound,
            outbound,
            task_token: TaskTokenPlace::Outbound,
        })
    }

    /// The same layout with the tokens at `place`.
    ///
    /// # Errors
    ///
    /// [`IllegalLayout::Private`] if they are to be private, but a prefix lies within [`PRIVATE_PREFIX`] or around it.
    pub fn with_task_token(self, place: TaskTokenPlace) -> Result<Self, IllegalLayout> {
        if place == TaskTokenPlace::Private {
            for prefix in [&self.inbound, &self.outbound] {
                if overlap(prefix, PRIVATE_PREFIX) {
                    return Err(IllegalLayout::Private(prefix.clone()));
                }
            }
        }
        Ok(Self {
            task_token: place,
            ..self
        })
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

    /// Prefix of the task tokens, with its closing `/`: the outbound prefix or [`PRIVATE_PREFIX`].
    #[must_use]
    pub fn task_token_prefix(&self) -> &str {
        match self.task_token {
            TaskTokenPlace::Outbound => &self.outbound,
            TaskTokenPlace::Private => PRIVATE_PREFIX,
        }
    }

    /// Key of the exchange's task token.
    #[must_use]
    pub fn task_token_key(&self, id: &ExecutionId) -> String {
        format!("{}{id}/{TASK_TOKEN_FILE}", self.task_token_prefix())
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
            task_token: TaskTokenPlace::default(),
        }
    }
}

impl TaskTokenPlace {
    /// Both places.
    pub const ALL: &[Self] = &[Self::Outbound, Self::Private];

    /// The place's name in configurations: `outbound` or `private`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Private => "private",
        }
    }

    /// The place of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|place| place.as_str() == name)
    }
}

impl Answer {
    /// Every answer there is.
    pub const ALL: &[Self] = &[Self::Success, Self::Failure, Self::Heartbeat];

    /// The answers that close their callback.
    pub const CLOSING: &[Self] = &[Self::Success, Self::Failure];

    /// Name of the answer's object.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Success => SUCCESS_FILE,
            Self::Failure => FAILURE_FILE,
            Self::Heartbeat => HEARTBEAT_FILE,
        }
    }

    fn from_file_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|answer| answer.file_name() == name)
    }
}

/// Whether one prefix lies within the other.
fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
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
                "the prefix {prefix:?} is not a path of folders, each of letters, digits and ! - _ . ' ( ) and ended by \"/\", such as \"{DEFAULT_INBOUND_PREFIX}\""
            ),
            Self::Overlap { inbound, outbound } => write!(
                f,
                "the prefixes {inbound:?} (inbound) and {outbound:?} (outbound) overlap: one must not lie within the other"
            ),
            Self::Private(prefix) => write!(
                f,
                "the prefix {prefix:?} overlaps with {PRIVATE_PREFIX:?}, where task tokens are kept that the application must not read"
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
    fn a_private_token_is_in_a_place_of_its_own() {
        let layout = Layout::default()
            .with_task_token(TaskTokenPlace::Private)
            .unwrap();
        assert_eq!(
            layout.task_token_key(&id("e-1")),
            "private/e-1/task_token.txt"
        );
        assert_eq!(layout.data_key(&id("e-1")), "outbound/e-1/data.json");
        assert_eq!(
            layout.with_task_token(TaskTokenPlace::Outbound),
            Ok(Layout::default())
        );
    }

    #[test]
    fn no_prefix_touches_the_private_one() {
        for (inbound, outbound) in [
            ("private/", "x/"),
            ("x/", "private/"),
            ("private/in/", "x/"),
        ] {
            let layout = Layout::new(inbound, outbound).unwrap();
            let private = layout.clone().with_task_token(TaskTokenPlace::Private);
            assert!(
                matches!(private, Err(IllegalLayout::Private(_))),
                "{inbound} {outbound}"
            );
            assert!(layout.with_task_token(TaskTokenPlace::Outbound).is_ok());
        }
        let beside = Layout::new("privates/", "x/private/").unwrap();
        assert!(beside.with_task_token(TaskTokenPlace::Private).is_ok());
    }

    #[test]
    fn places_are_found_by_their_names() {
        for &place in TaskTokenPlace::ALL {
            assert_eq!(TaskTokenPlace::parse(place.as_str()), Some(place));
        }
        for name in ["", "Private", "inbound"] {
            assert_eq!(TaskTokenPlace::parse(name), None, "{name}");
        }
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
