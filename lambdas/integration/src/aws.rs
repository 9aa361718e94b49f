//! The two ports, with the AWS SDK.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_sdk_sfn::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_sfn::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sfn::error::BoxError;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use bellflower_contract::TaskToken;
use tokio::time::{sleep, timeout};

use crate::answer::Reply;
use crate::config::Config;
use crate::ports::{CallError, Callbacks, Fetched, Object, Outcome, Store, When, Write};

/// Attempts for each call, the first one included. With every one timed out and the waits between them, a call ends after 14 seconds (twice that, where a
/// body breaks off), of the 60 that the function has by default; the handler ends it earlier if the function's own time-out is near.
const MAX_ATTEMPTS: u32 = 4;

/// Longest first wait between attempts; each further one may be twice as long. The SDK's second would be most of a small function's time.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);

/// A connection within a region is there within milliseconds, or it will not be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// One attempt, with up to 256 KiB of body. An endpoint that hangs is left after this, and the next attempt often finds another host.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Error codes of a callback that is closed for good.
const NOT_OPEN: [&str; 3] = ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"];

/// Error code of a conditional write that came at the same time as another.
const CONFLICT: &str = "ConditionalRequestConflict";

/// Error codes of an answer that will never be taken.
const REFUSED: [&str; 2] = ["InvalidOutput", "ValidationException"];

/// The bucket on S3.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    kms_key_arn: Option<String>,
}

/// Step Functions.
#[derive(Clone, Debug)]
pub struct StepFunctions {
    client: aws_sdk_sfn::Client,
}

/// Makes both clients. They share their connections' configuration, and live as long as the process.
///
/// The certificates that servers are checked against are those in the file that `SSL_CERT_FILE` names, or else the operating
/// system's.
#[must_use]
pub fn connect(config: &Config) -> (Bucket, StepFunctions) {
    let http_client: SharedHttpClient = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let region = Region::new(config.region.clone());
    let credentials = SharedCredentialsProvider::new(config.credentials.clone());
    let retries = RetryConfig::standard()
        .with_max_attempts(MAX_ATTEMPTS)
        .with_initial_backoff(INITIAL_BACKOFF);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();

    let mut s3 = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http_client.clone())
        .region(region.clone())
        .credentials_provider(credentials.clone())
        .retry_config(retries.clone())
        .timeout_config(timeouts.clone())
        .force_path_style(config.s3_use_path_style);
    s3.set_endpoint_url(config.s3_endpoint.clone());
    let mut sfn = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http_client)
        .region(region)
        .credentials_provider(credentials)
        .retry_config(retries)
        .timeout_config(timeouts);
    sfn.set_endpoint_url(config.sfn_endpoint.clone());

    let bucket = Bucket {
        client: aws_sdk_s3::Client::from_conf(s3.build()),
        name: config.bucket.clone(),
        kms_key_arn: config.kms_key_arn.clone(),
    };
    (
        bucket,
        StepFunctions {
            client: aws_sdk_sfn::Client::from_conf(sfn.build()),
        },
    )
}

impl Bucket {
    async fn put_once(
        &self,
        key: &str,
        content_type: &'static str,
        body: Vec<u8>,
        when: When<'_>,
    ) -> Result<Write, SdkError<PutObjectError>> {
        let encryption = self
            .kms_key_arn
            .as_ref()
            .map(|_| ServerSideEncryption::AwsKms);
        let (absent, unchanged) = when.headers();
        let silence = Silence::default();
        let sent = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(content_type)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(self.kms_key_arn.clone())
            .set_if_none_match(absent)
            .set_if_match(unchanged)
            .body(ByteStream::from(body))
            .customize()
            .interceptor(silence.clone())
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Write::Done),
            Err(error) if when.does_not_hold(error.code()) => Ok(Write::Lost {
                after_silence: silence.was_there(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Reads an object; the inner error is a body that did not come whole.
    async fn get_once(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Result<Fetched, CallError>, CallError> {
        let doing = || format!("reading {key}");
        let sent = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await;
        let object = match sent {
            Ok(object) => object,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(Ok(Fetched::Missing)),
            Err(error) => return Err(call_error(doing(), &error)),
        };
        let fits = |length: i64| usize::try_from(length).is_ok_and(|length| length <= limit);
        if !object.content_length().is_none_or(fits) {
            return Ok(Ok(Fetched::TooLong));
        }
        let version = object.e_tag().unwrap_or_default().to_owned();
        let written = object
            .last_modified()
            .and_then(|time| SystemTime::try_from(*time).ok());
        // The attempt's time-out ends with the headers.
        Ok(
            match timeout(ATTEMPT_TIMEOUT, object.body.collect()).await {
                Ok(Ok(body)) => {
                    let body = body.to_vec();
                    Ok(if body.len() > limit {
                        Fetched::TooLong
                    } else {
                        Fetched::Object(Object {
                            body,
                            version,
                            written,
                        })
                    })
                }
                Ok(Err(error)) => Err(unanswered(doing(), "the body broke off", Some(&error))),
                Err(_) => Err(unanswered(doing(), "the body did not come in time", None)),
            },
        )
    }
}

impl Store for Bucket {
    async fn put(
        &self,
        key: &str,
        content_type: &'static str,
        body: Vec<u8>,
        when: When<'_>,
    ) -> Result<Write, CallError> {
        let mut attempt = 1;
        loop {
            let sent = self.put_once(key, content_type, body.clone(), when).await;
            match sent {
                // Two conditional writes at once: S3 decides for neither, and the SDK does not know the code.
                Err(error) if error.code() == Some(CONFLICT) && attempt < MAX_ATTEMPTS => {
                    sleep(INITIAL_BACKOFF).await;
                }
                sent => return sent.map_err(|error| call_error(format!("writing {key}"), &error)),
            }
            attempt += 1;
        }
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Fetched, CallError> {
        let fetched = self.get_once(key, limit).await?;
        if fetched.is_err() {
            return self.get_once(key, limit).await?;
        }
        fetched
    }

    async fn delete(&self, key: &str, when: When<'_>) -> Result<Write, CallError> {
        let (_, unchanged) = when.headers();
        let sent = self
            .client
            .delete_object()
            .bucket(&self.name)
            .key(key)
            .set_if_match(unchanged)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Write::Done),
            Err(error) if when.does_not_hold(error.code()) => Ok(Write::Lost {
                // Gone is gone.
                after_silence: false,
            }),
            Err(error) => Err(call_error(format!("deleting {key}"), &error)),
        }
    }
}

impl When<'_> {
    /// The headers `If-None-Match` and `If-Match`.
    fn headers(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Always => (None, None),
            Self::Absent => (Some("*".to_owned()), None),
            Self::Unchanged(version) => (None, Some(version.to_owned())),
        }
    }

    /// Whether an error code says that the condition did not hold. See
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.
    fn does_not_hold(self, code: Option<&str>) -> bool {
        match self {
            Self::Always => false,
            Self::Absent => code == Some("PreconditionFailed"),
            Self::Unchanged(_) => matches!(code, Some("PreconditionFailed" | "NoSuchKey")),
        }
    }
}

impl Callbacks for StepFunctions {
    async fn send(&self, token: &TaskToken, reply: &Reply) -> Result<Outcome, CallError> {
        let client = &self.client;
        let silence = Silence::default();
        let mut sent = match reply {
            Reply::Success(result) => {
                let call = client.send_task_success().task_token(token.reveal());
                let call = call.output(result).customize().interceptor(silence.clone());
                outcome("calling SendTaskSuccess", call.send().await, token)
            }
            Reply::Failure { error, cause } => {
                let call = client.send_task_failure().task_token(token.reveal());
                let call = call.error(error).cause(cause);
                let call = call.customize().interceptor(silence.clone());
                outcome("calling SendTaskFailure", call.send().await, token)
            }
            Reply::Heartbeat => {
                let call = client.send_task_heartbeat().task_token(token.reveal());
                outcome("calling SendTaskHeartbeat", call.send().await, token)
            }
        }?;
        if let Outcome::NotOpen { after_silence, .. } = &mut sent {
            *after_silence = silence.was_there();
        }
        Ok(sent)
    }
}

/// Whether an attempt of a call may have had its effect though AWS never said so.
#[derive(Clone, Debug, Default)]
struct Silence(Arc<AtomicBool>);

impl Silence {
    fn was_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Silence {
    fn name(&self) -> &'static str {
        "Silence"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A success whose body broke off is no answer either.
        let refused = context
            .response()
            .is_some_and(|response| response.status().is_client_error());
        if !refused {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn outcome<T, E, R>(
    doing: &str,
    sent: Result<T, SdkError<E, R>>,
    token: &TaskToken,
) -> Result<Outcome, CallError>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
    SdkError<E, R>: RequestId,
{
    let Err(error) = sent else {
        return Ok(Outcome::Taken);
    };
    let code = match &error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or_default(),
        _ => "",
    };
    if NOT_OPEN.contains(&code) {
        return Ok(Outcome::NotOpen {
            code: code.to_owned(),
            after_silence: false,
        });
    }
    if REFUSED.contains(&code) {
        return Ok(Outcome::Refused(code.to_owned()));
    }
    let mut failed = call_error(doing.to_owned(), &error);
    failed.message = failed
        .message
        .filter(|message| may_be_shown(message, token));
    Err(failed)
}

/// Whether AWS's message is free of the token, whole or shortened. AWS does quote it in some.
fn may_be_shown(message: &str, token: &TaskToken) -> bool {
    let token = token.reveal();
    let start = token.get(..token.len().min(12)).unwrap_or(token);
    !message.contains(start)
}

fn call_error<E, R>(doing: String, error: &SdkError<E, R>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
    SdkError<E, R>: RequestId,
{
    match error {
        SdkError::ServiceError(service) => CallError {
            doing,
            code: service
                .err()
                .code()
                .unwrap_or("error without a code")
                .to_owned(),
            message: service.err().message().map(ToOwned::to_owned),
            request_id: error.request_id().map(ToOwned::to_owned),
        },
        SdkError::TimeoutError(_) => unanswered(doing, "no answer in time", None),
        _ => unanswered(doing, "no answer", error.source()),
    }
}

/// An error that AWS has not told us of, with its chain of causes, such as a name that is not found or a certificate that is not trusted.
fn unanswered(doing: String, code: &str, cause: Option<&(dyn Error + 'static)>) -> CallError {
    let causes: Vec<String> = std::iter::successors(cause, |&cause| cause.source())
        .map(ToString::to_string)
        .collect();
    CallError {
        doing,
        code: code.to_owned(),
        message: (!causes.is_empty()).then(|| causes.join(": ")),
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_quote_the_token_are_not_shown() {
        let token = TaskToken::parse("AQB8AAAAKgAAAAMAAAAAsecret").unwrap();
        for message in [
            "Invalid Token: 'AQB8AAAAKgAAAAMAAAAAsecret'",
            "the token AQB8AAAAKgAAAAMA... is odd",
        ] {
            assert!(!may_be_shown(message, &token), "{message}");
        }
        assert!(may_be_shown(
            "not authorized to perform states:SendTaskSuccess",
            &token
        ));
        assert!(!may_be_shown(
            "short: abc",
            &TaskToken::parse("abc").unwrap()
        ));
    }

    #[test]
    fn an_error_without_an_answer_names_its_causes() {
        let inner = std::io::Error::other("certificate not trusted");
        let error = unanswered("reading k".to_owned(), "no answer", Some(&inner));
        assert_eq!(
            error.to_string(),
            "reading k: no answer: certificate not trusted"
        );
    }
}
