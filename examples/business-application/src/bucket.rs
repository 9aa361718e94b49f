//! The bucket: all there is between the application and the pipeline.

use std::collections::HashSet;
use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;

use crate::aws::{Error, failed};
use crate::options::Options;

/// The work of an exchange. Once it is there, so is everything that an answer needs.
const DATA: &str = "/data.json";
const SUCCESS: &str = "/success.json";
const FAILURE: &str = "/failure.json";
const HEARTBEAT: &str = "/heartbeat.json";

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
    /// Asks S3 nothing yet.
    pub fn new(shared: &SdkConfig, options: &Options) -> Self {
        // Only AWS itself has a name for every bucket.
        let elsewhere = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|url| !url.is_empty()));
        let config = aws_sdk_s3::config::Builder::from(shared).force_path_style(elsewhere);
        Self {
            client: aws_sdk_s3::Client::from_conf(config.build()),
            name: options.bucket.clone(),
            outbound: options.outbound.clone(),
            inbound: options.inbound.clone(),
        }
    }

    /// The execution id of work in an object of a bucket; nothing if it is another bucket's, or no work.
    pub fn id_of<'a>(&self, bucket: &str, key: &'a str) -> Option<&'a str> {
        if bucket != self.name {
            return None;
        }
        id(key, &self.outbound, &[DATA])
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
                ids.extend(id(key, prefix, files).map(str::to_owned));
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
        let body = object.body.collect().await;
        let body = body.map_err(|error| Error::unanswered(format!("reading {key}"), &error))?;
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

/// The folder below the prefix that has one of the files, if the key is of one.
fn id<'a>(key: &'a str, prefix: &str, files: &[&str]) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix)?;
    let id = files.iter().find_map(|file| rest.strip_suffix(file))?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}
