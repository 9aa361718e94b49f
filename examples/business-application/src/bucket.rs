//! The bucket: all there is between the application and the pipeline.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::options::Options;

/// The work of an exchange. Once it is there, so is everything that an answer needs.
const DATA: &str = "/data.json";
const SUCCESS: &str = "/success.json";
const FAILURE: &str = "/failure.json";
const HEARTBEAT: &str = "/heartbeat.json";

/// Attempts at each call. What fails then is tried again when work is next looked for.
const ATTEMPTS: u32 = 6;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What S3 says of a bucket, credentials or a region that are not as they should be: asking again changes nothing.
const FINAL: [&str; 10] = [
    "AccessDenied",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidToken",
    "NoSuchBucket",
    "PermanentRedirect",
    "SignatureDoesNotMatch",
];

/// A call to S3 that failed in all its attempts, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct Error {
    doing: String,
    reason: String,
    code: Option<String>,
    is_final: bool,
}

impl Error {
    /// Whether it cannot get better by itself.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Whether the application's policy does not allow it.
    pub fn is_denied(&self) -> bool {
        self.code.as_deref() == Some("AccessDenied")
    }
}

fn failed<E, R>(doing: String) -> impl FnOnce(SdkError<E, R>) -> Error
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
            // Whatever S3 sends, a line is a line.
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

/// What the application says in the end.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The result.
    Success(Vec<u8>),
    /// Why there is none.
    Failure(Vec<u8>),
}

/// The bucket of a pipeline.
#[derive(Debug)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    outbound: String,
    inbound: String,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.outbound)
    }
}

impl Bucket {
    /// Takes region, credentials and endpoint from the environment; asks S3 nothing yet. Fails with a sentence for a person.
    pub async fn connect(options: &Options) -> Result<Self, String> {
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
        // Only AWS itself has a name for every bucket.
        let elsewhere = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|url| !url.is_empty()));
        let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(elsewhere);
        Ok(Self {
            client: aws_sdk_s3::Client::from_conf(config.build()),
            name: options.bucket.clone(),
            outbound: options.outbound.clone(),
            inbound: options.inbound.clone(),
        })
    }

    /// The execution ids for which there is work, done or not.
    pub async fn work(&self) -> Result<HashSet<String>, Error> {
        self.ids(&self.outbound, &[DATA]).await
    }

    /// The execution ids that have been answered.
    pub async fn answered(&self) -> Result<HashSet<String>, Error> {
        self.ids(&self.inbound, &[SUCCESS, FAILURE]).await
    }

    /// The folders below the prefix that have one of the files: one call for each thousand files.
    async fn ids(&self, prefix: &str, files: &[&str]) -> Result<HashSet<String>, Error> {
        let mut ids = HashSet::new();
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed(format!("listing s3://{}/{prefix}", self.name)))?;
            for key in page.contents().iter().filter_map(|object| object.key()) {
                let Some(rest) = key.strip_prefix(prefix) else {
                    continue;
                };
                let id = files.iter().find_map(|file| rest.strip_suffix(file));
                if let Some(id) = id.filter(|id| !id.is_empty() && !id.contains('/')) {
                    ids.insert(id.to_owned());
                }
            }
        }
        Ok(ids)
    }

    /// What there is to do.
    pub async fn data(&self, id: &str) -> Result<Vec<u8>, Error> {
        let key = format!("{}{id}{DATA}", self.outbound);
        let object = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(&key)
            .send()
            .await
            .map_err(failed(format!("reading {key}")))?;
        let body = object.body.collect().await.map_err(|error| Error {
            doing: format!("reading {key}"),
            reason: chain(&error),
            code: None,
            is_final: false,
        })?;
        Ok(body.to_vec())
    }

    /// Puts the answer, unless there is one; whether this one is the first.
    ///
    /// S3 decides: neither an attempt whose own answer was lost, nor another instance of this program, nor an earlier run of it makes a second.
    pub async fn answer(&self, id: &str, answer: Answer) -> Result<bool, Error> {
        let (file, body) = match answer {
            Answer::Success(body) => (SUCCESS, body),
            Answer::Failure(body) => (FAILURE, body),
        };
        let key = format!("{}{id}{file}", self.inbound);
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(&key)
            .content_type("application/json")
            .if_none_match("*")
            .body(ByteStream::from(body))
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("PreconditionFailed") => Ok(false),
            Err(error) => Err(failed(format!("writing {key}"))(error)),
        }
    }

    /// Says that the work goes on.
    pub async fn heartbeat(&self, id: &str) -> Result<(), Error> {
        let key = format!("{}{id}{HEARTBEAT}", self.inbound);
        self.client
            .put_object()
            .bucket(&self.name)
            .key(&key)
            .content_type("application/json")
            .body(ByteStream::from_static(b"{}"))
            .send()
            .await
            .map_err(failed(format!("writing {key}")))?;
        Ok(())
    }
}
