//! What the function needs of AWS, as narrow as it needs it.

use std::fmt;
use std::future::Future;

use bellflower_contract::TaskToken;

/// The bucket.
pub trait Store {
    /// Writes an object, replacing what is there.
    fn put(
        &self,
        key: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<(), CallError>>;

    /// Reads an object of at most `limit` bytes.
    fn get(&self, key: &str, limit: usize) -> impl Future<Output = Result<Fetched, CallError>>;
}

/// Step Functions.
pub trait Callbacks {
    /// Closes a callback with a result, which must be JSON.
    fn send_task_success(
        &self,
        token: &TaskToken,
        result: &str,
    ) -> impl Future<Output = Result<Outcome, CallError>>;
}

/// What [`Store::get`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The object's bytes.
    Body(Vec<u8>),
    /// An object longer than the limit.
    TooLong,
    /// No object.
    Missing,
}

/// Where a callback stands after [`Callbacks::send_task_success`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This call closed it.
    Closed,
    /// It was no longer open, and will never be again. The text is AWS's error code.
    NotOpen(String),
    /// It is open, since AWS does not take this result and never will. The text is AWS's error code.
    ResultRefused(String),
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
