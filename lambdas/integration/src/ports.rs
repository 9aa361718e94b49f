//! What the function needs of AWS, as narrow as it needs it.

use std::fmt;
use std::future::Future;
use std::time::SystemTime;

use bellflower_contract::TaskToken;

use crate::answer::Reply;

/// The bucket.
pub trait Store {
    /// Writes an object, if the condition holds.
    fn put(
        &self,
        key: &str,
        content_type: &'static str,
        body: Vec<u8>,
        when: When<'_>,
    ) -> impl Future<Output = Result<Write, CallError>>;

    /// Reads an object of at most `limit` bytes.
    fn get(&self, key: &str, limit: usize) -> impl Future<Output = Result<Fetched, CallError>>;

    /// Deletes an object, if the condition holds. An object that is not there is deleted already.
    fn delete(&self, key: &str, when: When<'_>) -> impl Future<Output = Result<Write, CallError>>;
}

/// Step Functions.
pub trait Callbacks {
    /// Answers a callback.
    fn send(
        &self,
        token: &TaskToken,
        reply: &Reply,
    ) -> impl Future<Output = Result<Outcome, CallError>>;
}

/// When an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When<'a> {
    /// Whatever is there.
    Always,
    /// Only if there is none.
    Absent,
    /// Only if it is the one with this [`Object::version`].
    Unchanged(&'a str),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The object is as it was to be.
    Done,
    /// The condition did not hold: someone else was there first.
    Lost {
        /// An earlier attempt of the same call had no answer, and may be what was there first.
        after_silence: bool,
    },
}

/// What [`Store::get`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The object.
    Object(Object),
    /// An object longer than the limit.
    TooLong,
    /// No object.
    Missing,
}

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub body: Vec<u8>,
    /// Its entity tag.
    pub version: String,
    /// When it was last written, to the second.
    pub written: Option<SystemTime>,
}

/// Where a callback stands after [`Callbacks::send`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was open and has taken the reply.
    Taken,
    /// It was no longer open, and will never be again.
    NotOpen {
        /// AWS's error code.
        code: String,
        /// An earlier attempt of the same call had no answer, and may be what closed it.
        after_silence: bool,
    },
    /// It is open, since AWS does not take this reply and never will. The text is AWS's error code.
    Refused(String),
}

/// A call to AWS failed, and the next attempt may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What was being done to what, such as `writing outbound/e-1/data.json`.
    pub doing: String,
    /// AWS's error code, or what kept the call from an answer.
    pub code: String,
    /// AWS's message. Never one that could quote a task token.
    pub message: Option<String>,
    /// AWS's request id, for a support case.
    pub request_id: Option<String>,
}

/// Codes with which S3 refuses an object for what it is: encrypted with a key of the customer's own, or archived.
const UNREADABLE: [&str; 2] = ["InvalidObjectState", "InvalidRequest"];

/// Codes with which S3 refuses an object whose KMS key may not be used, among them the one it also has while a new role is not known everywhere, or whose bucket is
/// gone.
const DENIED: [&str; 5] = [
    "AccessDenied",
    "KMS.DisabledException",
    "KMS.KMSInvalidStateException",
    "KMS.NotFoundException",
    "NoSuchBucket",
];

impl CallError {
    /// Whether S3 refuses to give an object away, and would again. That a key may not be used counts only if it is `final_say`.
    #[must_use]
    pub fn is_refusal(&self, final_say: bool) -> bool {
        let code = self.code.as_str();
        UNREADABLE.contains(&code) || (final_say && DENIED.contains(&code))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.code)?;
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request id {request_id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}
