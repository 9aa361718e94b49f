//! What Lambda does with an asynchronous invocation that fails: how long and how often it tries, and where it puts what it gives up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html>

use async_trait::async_trait;
use aws_sdk_lambda::types::{DestinationConfig, OnFailure};
use serde::Serialize;

use super::{Aws, absent, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

const GONE: &[&str] = &["ResourceNotFoundException"];

/// How asynchronous invocations of a function should be handled.
#[derive(Debug, Clone, Serialize)]
pub struct EventInvokeConfig {
    /// The function's name.
    pub function_name: String,
    /// How long Lambda keeps an event that it could not hand over, in seconds.
    pub maximum_event_age_in_seconds: i64,
    /// How often it tries again.
    pub maximum_retry_attempts: i64,
    /// The ARN of the queue that gets an event given up, with the reason.
    pub on_failure: String,
    /// The ARN that is told of a success; empty, since nobody is.
    pub on_success: String,
}

fn narrow(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl EventInvokeConfig {
    /// It is written as a whole: what is left out is no more.
    async fn put(&self, aws: &Aws) -> Result<(), Failure> {
        let on_failure = OnFailure::builder().destination(&self.on_failure).build();
        let destinations = DestinationConfig::builder().on_failure(on_failure).build();
        let put = || {
            aws.lambda
                .put_function_event_invoke_config()
                .function_name(&self.function_name)
                .maximum_event_age_in_seconds(narrow(self.maximum_event_age_in_seconds))
                .maximum_retry_attempts(narrow(self.maximum_retry_attempts))
                .destination_config(destinations.clone())
                .send()
        };
        aws.call(
            "lambda:PutFunctionEventInvokeConfig",
            &self.function_name,
            put,
        )
        .await
        .map(drop)
    }
}

#[async_trait]
impl Part<Aws> for EventInvokeConfig {
    fn kind(&self) -> &'static str {
        "Lambda event invoke configuration"
    }

    fn name(&self) -> &str {
        &self.function_name
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    fn writes_too(&self, _one: &str, _other: &str) -> bool {
        true
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let get = || {
            aws.lambda
                .get_function_event_invoke_config()
                .function_name(&self.function_name)
                .send()
        };
        let answer = absent(
            aws.call(
                "lambda:GetFunctionEventInvokeConfig",
                &self.function_name,
                get,
            )
            .await,
            GONE,
        )?;
        Ok(answer.map(|have| {
            let to = have
                .destination_config
                .unwrap_or_else(|| DestinationConfig::builder().build());
            let found = Self {
                function_name: self.function_name.clone(),
                // AWS leaves its defaults out.
                maximum_event_age_in_seconds: have
                    .maximum_event_age_in_seconds
                    .map_or(21_600, i64::from),
                maximum_retry_attempts: have.maximum_retry_attempts.map_or(2, i64::from),
                on_failure: to
                    .on_failure
                    .and_then(|to| to.destination)
                    .unwrap_or_default(),
                on_success: to
                    .on_success
                    .and_then(|to| to.destination)
                    .unwrap_or_default(),
            };
            Found {
                attributes: properties(&found),
                // It is part of the function, which carries the mark.
                owner: Owner::Us,
            }
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        self.put(aws).await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        _found: &Found,
        _changes: &Changes,
    ) -> Result<Attributes, Failure> {
        self.put(aws).await?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let delete = || {
            aws.lambda
                .delete_function_event_invoke_config()
                .function_name(&self.function_name)
                .send()
        };
        absent(
            aws.call(
                "lambda:DeleteFunctionEventInvokeConfig",
                &self.function_name,
                delete,
            )
            .await,
            GONE,
        )
        .map(drop)
    }
}
