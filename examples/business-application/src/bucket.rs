//! The bucket: all there is between the application and the pipeline.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::options::Options;

/// The work of an exchange. Once it is there, so is everything that an answer needs.
const DATA: &str = "/data.json";
const SUCCESS: &str = "/success.json";
const FAILURE: &str = "/failure.json";
const HEARTBEAT: &str = "/heartbeat.json";

/// Attempts at each call. What fails then is tried again when work is next looked for.
const ATTEMPTS: u32 = 6;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A call to S3 that failed in all its attempts.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct Error {
    doing: String,
    reason: String,
    code: Option<String>,
}

impl Error {
    /// Whether the application's policy does not allow it.
    pub fn is_denied(&self) -> bool {
        self.code.as_deref() == Some("AccessDenied")
    }
}

fn failed<E, R>(doing: String) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    move |error| Error {
        doing,
        code: error.code().map(ToOwned::to_owned),
        reason: DisplayErrorContext(error).to_string(),
    }
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
    /// Takes region, credentials and endpoint from the environment.
    pub async fn connect(options: &Options) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .load()
            .await;
        // Only AWS itself has a name for every bucket.
        let elsewhere = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|url| !url.is_empty()));
        let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(elsewhere);
        Self {
            client: aws_sdk_s3::Client::from_conf(config.build()),
            name: options.bucket.clone(),
            outbound: options.outbound.clone(),
            inbound: options.inbound.clone(),
        }
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
            let page = page.map_err(failed(format!("listing {prefix}")))?;
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
            reason: error.to_string(),
            code: None,
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
