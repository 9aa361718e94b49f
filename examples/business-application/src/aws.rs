//! What every call to AWS has in common: where it goes, how long it may take, and how its failure is told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

/// Attempts at each call. What fails then is tried again when work is next looked for.
const ATTEMPTS: u32 = 6;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What AWS says of a bucket, a queue, credentials or a region that are not as they should be: asking again changes nothing.
const FINAL: [&str; 14] = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidToken",
    "NoSuchBucket",
    "PermanentRedirect",
    "QueueDoesNotExist",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// A call that failed in all its attempts, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct Error {
    doing: String,
    reason: String,
    code: Option<String>,
    is_final: bool,
}

impl Error {
    /// An error that AWS has not told us of.
    pub fn unanswered(doing: String, error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            doing,
            reason: chain(error),
            code: None,
            is_final: false,
        }
    }

    /// A part of a call that was refused in an answer that is none.
    pub fn refused(doing: String, code: &str) -> Self {
        Self {
            doing,
            reason: code.to_owned(),
            code: Some(code.to_owned()),
            is_final: false,
        }
    }

    /// Whether it cannot get better by itself.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Whether the application's policy does not allow it.
    pub fn is_denied(&self) -> bool {
        self.code.as_deref() == Some("AccessDenied")
    }
}

/// Makes the error of a call that was `doing` something.
pub fn failed<E, R>(doing: String) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug + 'static,
{
    move |error| {
        let code = error.code().map(ToOwned::to_owned);
        let said_no = code.as_deref().is_some_and(|code| FINAL.contains(&code));
        let credentials = causes(&error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
        let reason = match (&code, error.message(), credentials) {
            (Some(code), Some(message), _) => format!("{message} ({code})"),
            (Some(code), None, _) => code.clone(),
            // The SDK's own words are a list of everybody it has asked.
            (None, _, Some(CredentialsError::CredentialsNotLoaded(_))) => {
                "no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned()
            }
            (None, _, Some(cause)) => format!("no credentials: {}", chain(cause)),
            (None, _, None) => chain(&error),
        };
        Error {
            doing,
            // Whatever AWS sends, a line is a line.
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
            is_final: said_no || credentials.is_some_and(are_missing),
            code,
        }
    }
}

/// Whether there is nobody who could be asked for credentials again.
fn are_missing(error: &CredentialsError) -> bool {
    matches!(
        error,
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
    )
}

/// An error and its causes.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause.source())
}

/// What an error and its causes say, each thing once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in causes(error).map(ToString::to_string) {
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// Trusts whom the operating system trusts, or the certificates in the file that `AWS_CA_BUNDLE` names.
fn http_client() -> Result<SharedHttpClient, String> {
    let builder =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let path = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    let Some(path) = path.map(PathBuf::from) else {
        return Ok(builder.build_https());
    };
    let unusable = |why: &dyn fmt::Display| format!("AWS_CA_BUNDLE {}: {why}", path.display());
    let pem = std::fs::read(&path).map_err(|error| unusable(&error))?;
    if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(unusable(&"it holds no certificate in PEM form"));
    }
    let context = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(pem))
        .build()
        .map_err(|error| unusable(&error))?;
    Ok(builder.tls_context(context).build_https())
}

/// Region, credentials and endpoint from the environment; AWS is asked nothing yet. Fails with a sentence for a person.
pub async fn environment() -> Result<SdkConfig, String> {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client()?)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
        .load()
        .await;
    if shared.region().is_none() {
        return Err(
            "there is no region: set AWS_REGION, or AWS_PROFILE to one that has a region"
                .to_owned(),
        );
    }
    Ok(shared)
}
