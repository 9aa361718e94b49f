//! One way to call AWS: typed errors in, a [`Failure`] out, repeated by the consistency table.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::consistency::TABLE;
use super::tag_index::{Closed, TagIndex};
use super::tags::Ignored;
use crate::engine::{Batch, Failure, retry};

/// One client for each service, all on one HTTP connection pool.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Amazon CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// AWS IAM.
    pub iam: aws_sdk_iam::Client,
    /// AWS KMS.
    pub kms: aws_sdk_kms::Client,
    /// AWS Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// Amazon CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// Amazon S3.
    pub s3: aws_sdk_s3::Client,
    /// AWS Step Functions.
    pub sfn: aws_sdk_sfn::Client,
    /// Amazon SNS.
    pub sns: aws_sdk_sns::Client,
    /// Amazon SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// AWS STS.
    pub sts: aws_sdk_sts::Client,
    /// AWS Resource Groups Tagging.
    pub tagging: aws_sdk_resourcegroupstagging::Client,
}

/// Questions about many objects that AWS answers in one call.
#[derive(Debug)]
pub struct Batches {
    /// Alarms by name.
    pub describe_alarms: Batch<aws_sdk_cloudwatch::types::MetricAlarm>,
    /// Alarms to delete by name.
    pub delete_alarms: Batch<()>,
    /// Log groups by name.
    pub log_groups: Batch<aws_sdk_cloudwatchlogs::types::LogGroup>,
    /// Event source mappings by the name of their function.
    pub event_sources: Batch<Vec<aws_sdk_lambda::types::EventSourceMappingConfiguration>>,
    /// The URLs of queues that SQS lists, by name.
    pub queues: Batch<String>,
    /// Queues that SQS may go on to show for a while.
    pub deleted_queues: super::queue::Deleted,
    /// Whether the index of tags is not to be had.
    pub no_index: Closed,
    /// A turn for each call that may be under way.
    pub turns: Semaphore,
    /// When each operation last succeeded.
    pub served: Mutex<HashMap<&'static str, Instant>>,
}

/// How many calls are under way at a time: more than a pipeline has, while dozens of pipelines at once would open a connection for each of hundreds, and be throttled.
const UNDER_WAY: usize = 64;

impl Default for Batches {
    fn default() -> Self {
        // Both calls take at most 100 names.
        Self {
            describe_alarms: Batch::of(100),
            delete_alarms: Batch::of(100),
            // A page holds 50.
            log_groups: Batch::of(50),
            // A call each, side by side.
            event_sources: Batch::of(20),
            // What a page holds.
            queues: Batch::of(1000),
            deleted_queues: super::queue::Deleted::default(),
            no_index: Closed::default(),
            turns: Semaphore::new(UNDER_WAY),
            served: Mutex::default(),
        }
    }
}

/// What a part needs to work: the clients, where they point, and the signal to stop.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The clients.
    pub clients: Clients,
    /// Calls shared by parts, of this pipeline and of others.
    pub batches: Arc<Batches>,
    /// The tags of what is being looked at.
    pub index: Arc<TagIndex>,
    /// The region all regional parts are in.
    pub region: String,
    /// Whether Step Functions has told of the pipeline's state machine, which it tells those of the machine's own account alone.
    pub at_home: Arc<AtomicBool>,
    /// How often a request is repeated that AWS throttled, failed to serve or did not answer; none for as long as the table says.
    pub max_retries: Option<u32>,
    /// Whether what is only to go is looked at, of which it does not matter who else uses it.
    pub in_brief: bool,
    /// Tags of others that count for nothing.
    pub ignored_tags: Arc<Ignored>,
    /// Turns true when the user interrupts: waiting ends, nothing new begins.
    pub stop: CancellationToken,
    /// When that was noticed.
    pub stopped: Arc<OnceLock<Instant>>,
}

/// The pauses of polling: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long after a denial something is looked for once more.
const SECOND_THOUGHT: Duration = Duration::from_secs(1);
/// How long requests under way may go on after an interruption: Terraform and its user want an answer within seconds.
const GRACE: Duration = Duration::from_secs(3);

impl std::ops::Deref for Aws {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Aws {
    /// The same, with another signal to stop.
    #[must_use]
    pub fn until(&self, stop: CancellationToken) -> Self {
        Self {
            stop,
            stopped: Arc::default(),
            ..self.clone()
        }
    }

    /// Sends a request, and again while the consistency table says that time will mend its failure.
    ///
    /// # Errors
    /// The last failure.
    pub async fn call<T, E, Fut>(
        &self,
        operation: &'static str,
        object: &str,
        send: impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let attempt = || self.attempt(operation, object, &send);
        self.again(operation, attempt).await
    }

    /// Repeats attempts at an operation as the consistency table has it.
    async fn again<T, Fut>(
        &self,
        operation: &'static str,
        attempt: impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let all = || {
            let served = self.batches.served.lock();
            served.unwrap_or_else(PoisonError::into_inner)
        };
        let served = || all().get(operation).copied();
        let stop = || self.stop.cancelled();
        let answer = retry::retry(TABLE, self.max_retries, stop, served, attempt).await;
        if answer.is_ok() {
            all().insert(operation, Instant::now());
        }
        answer
    }

    /// Sends a request that removes what was seen a moment ago. That it is not there is believed when it is said twice, and answered
    /// with nothing.
    ///
    /// # Errors
    /// The last failure.
    pub async fn remove<T, E, Fut>(
        &self,
        operation: &'static str,
        object: &str,
        send: impl Fn() -> Fut,
        gone: &[&str],
    ) -> Result<Option<T>, Failure>
    where
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let answer = self.call(operation, object, &send).await;
        match answer {
            // An earlier try may have removed it.
            Err(failure) if failure.is(gone) && failure.attempts == 1 => {
                self.second_thought().await;
                absent(self.call(operation, object, send).await, gone)
            }
            answer => absent(answer, gone),
        }
    }

    /// Sends a request that makes something anew each time it is sent: where a failure leaves open whether it took effect, `made` looks for
    /// what it made before it is sent again.
    ///
    /// # Errors
    /// The last failure, of the request or of the look.
    pub async fn call_once<T, E, Fut, Look>(
        &self,
        operation: &'static str,
        object: &str,
        send: impl Fn() -> Fut,
        made: impl Fn() -> Look,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        Look: Future<Output = Result<Option<T>, Failure>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let doubtful = AtomicBool::new(false);
        let attempt = || async {
            // It may have taken effect since.
            if doubtful.load(Ordering::Relaxed)
                && let Some(made) = made().await?
            {
                return Ok(made);
            }
            match self.attempt(operation, object, &send).await {
                Err(failure) if failure.ambiguous && !failure.interrupted => {
                    doubtful.store(true, Ordering::Relaxed);
                    made().await?.ok_or(failure)
                }
                other => other,
            }
        };
        self.again(operation, attempt).await
    }

    /// Sends a request once, when its turn comes, whatever comes of it.
    ///
    /// # Errors
    /// Its failure.
    pub async fn attempt<T, E, Fut>(
        &self,
        operation: &'static str,
        object: &str,
        send: &impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let _turn = tokio::select! {
            biased;
            turn = self.batches.turns.acquire() => turn,
            () = self.stop.cancelled() => {
                return Err(Failure {
                    operation,
                    object: object.to_owned(),
                    message: "interrupted while it waited for its turn".to_owned(),
                    attempts: 1,
                    interrupted: true,
                    ..Failure::default()
                });
            }
        };
        self.attempt_now(operation, object, send).await
    }

    /// Sends a request once and at once, whatever comes of it.
    ///
    /// # Errors
    /// Its failure.
    pub async fn attempt_now<T, E, Fut>(
        &self,
        operation: &'static str,
        object: &str,
        send: &impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let begin = Instant::now();
        let patience = async {
            self.stop.cancelled().await;
            let stopped = *self.stopped.get_or_init(Instant::now);
            tokio::time::sleep_until(stopped + GRACE).await;
        };
        let answer = tokio::select! {
            answer = send() => answer.map_err(|error| failure(operation, object, &error)),
            () = patience => Err(Failure {
                operation,
                object: object.to_owned(),
                message: cut_off(operation).to_owned(),
                attempts: 1,
                ambiguous: true,
                interrupted: true,
                ..Failure::default()
            }),
        };
        let code = answer
            .as_ref()
            .err()
            .map(|failure| failure.code.as_deref().unwrap_or("no answer"));
        tracing::debug!(operation, object, code, elapsed = ?begin.elapsed(), "called AWS");
        answer
    }

    /// Notes an answer that tells that the credentials in use are of the pipeline's own account.
    pub fn is_told_by_its_own<T>(&self, answer: Option<T>) -> Option<T> {
        self.at_home.fetch_or(answer.is_some(), Ordering::Relaxed);
        answer
    }

    /// Waits before the first question about something that takes its time; ends with an interruption.
    pub async fn rest(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits before a denial is asked for once more: AWS may deny for a moment what is there.
    pub async fn second_thought(&self) {
        self.rest(SECOND_THOUGHT).await;
    }

    /// What `probe` finds, or nothing when `budget` is over and it still finds nothing.
    ///
    /// # Errors
    /// A failure of `probe`.
    pub async fn patiently<T, Fut>(
        &self,
        budget: Duration,
        probe: impl Fn() -> Fut,
    ) -> Result<Option<T>, Failure>
    where
        Fut: Future<Output = Result<Option<T>, Failure>>,
    {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let found = probe().await?;
            if found.is_some() || begin.elapsed() + pause > budget || self.stop.is_cancelled() {
                return Ok(found);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Polls until `probe` answers with a value: at once, then after 0.1 s, 0.2 s … up to 2 s, for at most `budget`.
    ///
    /// # Errors
    /// A failure of `probe`, or that the time is up or the work was interrupted, naming `state`, what was waited for.
    pub async fn settle<T, Fut>(
        &self,
        object: &str,
        state: &str,
        budget: Duration,
        probe: impl Fn() -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<Option<T>, Failure>>,
    {
        let begin = Instant::now();
        let attempts = AtomicU32::new(0);
        let counted = || {
            attempts.fetch_add(1, Ordering::Relaxed);
            probe()
        };
        if let Some(value) = self.patiently(budget, counted).await? {
            return Ok(value);
        }
        let interrupted = self.stop.is_cancelled();
        let message = if interrupted {
            format!("interrupted while waiting until it is {state}")
        } else {
            format!("it is still not {state}")
        };
        Err(Failure {
            interrupted,
            attempts: attempts.into_inner(),
            elapsed: begin.elapsed(),
            ..Failure::refusal(object, message)
        })
    }
}

/// How long one attempt of a request may take.
pub const ATTEMPT: Duration = Duration::from_mins(1);

/// Turns an SDK error into a [`Failure`].
pub fn failure<E>(
    operation: &'static str,
    object: &str,
    error: &SdkError<E, HttpResponse>,
) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let response = error.raw_response();
    let header = |name: &str| {
        response
            .and_then(|r| r.headers().get(name))
            .map(str::to_owned)
    };
    let service = error.as_service_error();
    let message = service
        .and_then(|e| e.message())
        .filter(|message| !message.is_empty())
        .map_or_else(
            || match service {
                Some(service) if service.code().is_none() => unexplained(response).to_owned(),
                _ => innermost(error),
            },
            str::to_owned,
        );
    // Of an answer that could not be read to its end the status tells nothing.
    let is_cut = |response: &&HttpResponse| {
        matches!(error, SdkError::ResponseError(_)) && response.body().bytes().is_none()
    };
    let whole = response.filter(|response| !is_cut(response));
    let status = whole.map(|r| r.status().as_u16());
    let unreachable = matches!(
        error,
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)
    );
    Failure {
        operation,
        object: object.to_owned(),
        code: service.and_then(|e| e.code()).map(str::to_owned),
        message,
        status,
        request_id: service
            .and_then(|e| e.meta().extra("aws_request_id"))
            .map(str::to_owned)
            .or_else(|| header("x-amzn-requestid"))
            .or_else(|| header("x-amz-request-id")),
        attempts: 1,
        advice: unreachable.then(|| {
            "No answer came from AWS. Check the network, HTTPS_PROXY and NO_PROXY, the region, `endpoints` and AWS_ENDPOINT_URL, `custom_ca_bundle`, that \
             credentials can be had, and, where S3 is at an endpoint of its own, `s3_use_path_style`."
                .to_owned()
        }),
        ambiguous: (unreachable && !lacks_credentials(error))
            || matches!(error, SdkError::ResponseError(_))
            // An error on an answer that tells of success: it could not be read.
            || status.is_some_and(|status| !(300..500).contains(&status)),
        ..Failure::default()
    }
}

/// What there is to say of a failure that AWS says nothing of.
fn unexplained(response: Option<&HttpResponse>) -> &'static str {
    match response.map(|response| response.status().as_u16()) {
        Some(401 | 403) => {
            "access was denied without a reason, by AWS or by what answers in its place"
        }
        _ => "the answer gives no reason",
    }
}

/// True when a request was never sent, for want of credentials. Where they come from was asked more than once already.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(<dyn std::error::Error>::is::<CredentialsError>)
}

/// An error, and what caused it, and what caused that.
pub fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    let of = |cause: &&'a (dyn std::error::Error + 'static)| cause.source();
    std::iter::successors(Some(error), of)
}

/// The chain of causes, without repeating itself: what went wrong is at its end.
#[must_use]
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        DisplayErrorContext(error).to_string()
    } else {
        texts.join(": ")
    }
}

/// Takes one of these codes for "it is not there".
///
/// # Errors
/// Every other failure.
pub fn absent<T>(result: Result<T, Failure>, codes: &[&str]) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.is(codes) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// What is said of a call that was given up before its answer came.
fn cut_off(operation: &str) -> &'static str {
    let call = operation
        .split_once(':')
        .map_or(operation, |(_, call)| call);
    let reads = ["Describe", "Get", "Head", "List"];
    if reads.iter().any(|verb| call.starts_with(verb)) {
        "interrupted before an answer came"
    } else {
        "interrupted before an answer came; it may have taken effect"
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn what_reads_takes_no_effect() {
        let may = |operation| cut_off(operation).contains("effect");
        assert!(!may("sns:GetTopicAttributes") && may("sns:SetTopicAttributes"));
    }

    #[test]
    fn an_answer_that_is_cut_is_none() {
        let of = |status: u16, body: SdkBody| {
            let status = status.try_into().unwrap();
            let raw = HttpResponse::new(status, body);
            let error = SdkError::<GetQueueUrlError, _>::response_error("not understood", raw);
            failure("sqs:GetQueueUrl", "orders", &error)
        };
        for status in [200, 404, 500] {
            let cut = of(status, SdkBody::taken());
            assert!(cut.unanswered() && cut.ambiguous, "{status}");
        }
        let page = of(403, SdkBody::from("<html>Blocked by the proxy</html>"));
        assert!(!page.unanswered());
        assert_eq!(page.status, Some(403));
    }
}
