//! What an operator and a business application do with a pipeline that has been applied, through the AWS API.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use bellflower_contract::{DATA_FILE, SUCCESS_FILE, TASK_TOKEN_FILE};
use serde_json::Value;

use crate::{Aws, Error};

/// How often [`eventually`] looks.
const EVERY: Duration = Duration::from_millis(100);

/// Looks until `look` finds what is wanted (`Ok`), or the limit is over. `look` says what it saw otherwise (`Err`).
///
/// # Errors
/// [`Error::Timeout`] with what was seen last; an error of `look` itself ends the wait.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>, Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if started.elapsed() > limit => {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    seconds: limit.as_secs(),
                    seen,
                });
            }
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

/// A pipeline as Terraform's state describes it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// ARN of the state machine.
    pub state_machine_arn: String,
    /// Name of the bucket.
    pub bucket: String,
    /// ARN of the topic.
    pub topic_arn: String,
    aws: Aws,
}

/// An execution that has ended.
#[derive(Debug, Clone)]
pub struct Execution {
    /// How it ended.
    pub status: ExecutionStatus,
    /// Its output, where it succeeded.
    pub output: Option<String>,
    /// The error's name, where it failed.
    pub error: Option<String>,
    /// The error's cause, where it failed.
    pub cause: Option<String>,
}

impl Pipeline {
    /// Reads the names of the parts from the attributes of a `bellflower_callback_pipeline` in Terraform's state.
    ///
    /// # Errors
    /// When an attribute is missing.
    pub fn new(aws: Aws, attributes: &Value) -> Result<Self, Error> {
        let text = |path: &str| {
            attributes
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| {
                    Error::Missing(format!(
                        "the resource has no {path} in Terraform's state:\n{attributes:#}"
                    ))
                })
        };
        Ok(Self {
            state_machine_arn: text("/state_machine/arn")?,
            bucket: text("/bucket/bucket")?,
            topic_arn: text("/topic/arn")?,
            aws,
        })
    }

    /// Starts an execution; its ARN.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn start(&self, input: &str) -> Result<String, Error> {
        let started = self
            .aws
            .sfn
            .start_execution()
            .state_machine_arn(&self.state_machine_arn)
            .input(input)
            .send()
            .await
            .map_err(Error::aws("starting an execution"))?;
        Ok(started.execution_arn)
    }

    /// The exchanges whose data and task token are both in `outbound/`, by execution id.
    ///
    /// # Errors
    /// When the bucket cannot be listed.
    pub async fn exchanges(&self) -> Result<Vec<String>, Error> {
        let keys = self.keys("outbound/").await?;
        Ok(keys
            .iter()
            .filter_map(|key| {
                key.strip_prefix("outbound/")?
                    .strip_suffix(DATA_FILE)?
                    .strip_suffix('/')
            })
            .filter(|id| keys.contains(&format!("outbound/{id}/{TASK_TOKEN_FILE}")))
            .map(str::to_owned)
            .collect())
    }

    /// The bucket's keys under a prefix.
    ///
    /// # Errors
    /// When the bucket cannot be listed.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let listed = self
            .aws
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .send()
            .await
            .map_err(Error::aws("listing the bucket"))?;
        Ok(listed
            .contents()
            .iter()
            .filter_map(|object| object.key().map(str::to_owned))
            .collect())
    }

    /// Waits for an exchange that was not there before; its execution id.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn new_exchange(&self, before: &[String], limit: Duration) -> Result<String, Error> {
        let what = format!("outbound/<execution id>/{DATA_FILE} and {TASK_TOKEN_FILE}");
        eventually(&what, limit, async || {
            let mut all = self.exchanges().await?;
            all.retain(|id| !before.contains(id));
            match all.pop() {
                Some(id) => Ok(Ok(id)),
                None => Ok(Err(format!("{:?}", self.keys("").await?))),
            }
        })
        .await
    }

    /// The text of an object.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn object(&self, key: &str) -> Result<String, Error> {
        let object = self
            .aws
            .s3
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(Error::aws("reading an object"))?;
        let bytes = object
            .body
            .collect()
            .await
            .map_err(Error::aws("reading an object"))?;
        Ok(String::from_utf8_lossy(&bytes.into_bytes()).into_owned())
    }

    /// Does what the business application does when its work is done.
    ///
    /// # Errors
    /// When the object cannot be put.
    pub async fn answer(&self, execution_id: &str, body: &str) -> Result<String, Error> {
        let key = format!("inbound/{execution_id}/{SUCCESS_FILE}");
        self.aws
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .body(ByteStream::from(body.as_bytes().to_vec()))
            .send()
            .await
            .map_err(Error::aws("uploading the answer"))?;
        Ok(key)
    }

    /// Deletes the objects of every exchange, as an operator does who is about to destroy a pipeline that keeps its
    /// data (`force_destroy = false`). The keys that were there.
    ///
    /// # Errors
    /// When an object cannot be deleted.
    pub async fn clear(&self) -> Result<Vec<String>, Error> {
        let mut keys = self.keys("").await?;
        // Keys that end with a slash are the folders, which are parts of the pipeline.
        keys.retain(|key| !key.ends_with('/'));
        for key in &keys {
            self.aws
                .s3
                .delete_object()
                .bucket(&self.bucket)
                .key(key)
                .send()
                .await
                .map_err(Error::aws("deleting an object"))?;
        }
        Ok(keys)
    }

    /// Waits until an execution has ended in whichever way.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub async fn ended(&self, execution_arn: &str, limit: Duration) -> Result<Execution, Error> {
        eventually("the end of the execution", limit, async || {
            let found = self
                .aws
                .sfn
                .describe_execution()
                .execution_arn(execution_arn)
                .send()
                .await
                .map_err(Error::aws("describing an execution"))?;
            if found.status == ExecutionStatus::Running {
                return Ok(Err("it is running".to_owned()));
            }
            Ok(Ok(Execution {
                status: found.status,
                output: found.output,
                error: found.error,
                cause: found.cause,
            }))
        })
        .await
    }

    /// Everything that happened in an execution, oldest first.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn history(&self, execution_arn: &str) -> Result<Vec<HistoryEvent>, Error> {
        let mut events = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .aws
                .sfn
                .get_execution_history()
                .execution_arn(execution_arn)
                .set_next_token(token)
                .send()
                .await
                .map_err(Error::aws("reading an execution's history"))?;
            events.extend(page.events);
            token = page.next_token;
            if token.is_none() {
                return Ok(events);
            }
        }
    }
}
