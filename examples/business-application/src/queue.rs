//! A queue that S3 tells of work, where the pipeline's `bucket.outbound_queue_arn` names one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::aws::{Error, failed};
use crate::bucket::Bucket;

/// Seconds for which a call waits for a message: the longest there is, since calls cost and waiting does not.
const WAIT: i32 = 20;

/// Time for an attempt beyond its wait.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The queue.
#[derive(Debug)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Queue {
    /// Asks SQS nothing yet.
    pub fn new(shared: &SdkConfig, url: String) -> Self {
        let timeouts = aws_config::timeout::TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let config = aws_sdk_sqs::config::Builder::from(shared).timeout_config(timeouts);
        Self {
            client: aws_sdk_sqs::Client::from_conf(config.build()),
            url,
        }
    }

    /// Messages, as soon as there are any, and at most ten; none if there were none for a while.
    pub async fn receive(&self) -> Result<Vec<Message>, Error> {
        let call = self.client.receive_message().queue_url(&self.url);
        let call = call.max_number_of_messages(10).wait_time_seconds(WAIT);
        let answer = call.send().await;
        let answer = answer.map_err(failed(format!("receiving from {}", self.url)))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Takes messages out of the queue.
    pub async fn delete(&self, messages: &[Message]) -> Result<(), Error> {
        let entry = |(number, message): (usize, &Message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .set_receipt_handle(message.receipt_handle.clone())
                .build()
                .ok()
        };
        let entries: Vec<_> = messages.iter().enumerate().filter_map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let call = self.client.delete_message_batch().queue_url(&self.url);
        let doing = || format!("deleting from {}", self.url);
        let answer = call.set_entries(Some(entries)).send().await;
        let answer = answer.map_err(failed(doing()))?;
        match answer.failed.first() {
            Some(entry) => Err(Error::refused(doing(), &entry.code)),
            None => Ok(()),
        }
    }
}

/// The execution ids of the work that messages tell of. What is no event of S3's, or of something else, tells of none.
pub fn work(messages: &[Message], bucket: &Bucket) -> HashSet<String> {
    let mut ids = HashSet::new();
    for message in messages {
        let event: Value =
            serde_json::from_str(message.body().unwrap_or_default()).unwrap_or_default();
        for record in event["Records"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            // In an event's keys a space is a plus.
            let key = text(&record["s3"]["object"]["key"]).replace('+', " ");
            let key: Cow<'_, str> = percent_decode_str(&key).decode_utf8_lossy();
            let name = text(&record["s3"]["bucket"]["name"]);
            ids.extend(bucket.id_of(&name, &key).map(str::to_owned));
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn told(body: &str) -> Vec<String> {
        let options = ["--bucket=b", "--outbound=the work/"].map(str::to_owned);
        let options = Options::parse(options.into_iter()).unwrap();
        let shared = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .build();
        let message = Message::builder().body(body).build();
        let mut ids: Vec<_> = work(&[message], &Bucket::new(&shared, &options))
            .into_iter()
            .collect();
        ids.sort();
        ids
    }

    #[test]
    fn work_is_what_s3_tells_of_the_bucket() {
        let record = |bucket: &str, key: &str| serde_json::json!({"s3": {"bucket": {"name": bucket}, "object": {"key": key}}});
        let event = serde_json::json!({"Records": [
            record("b", "the+work/e-1/data.json"),
            record("b", "the%20work/e.2/data.json"),
            record("b", "the+work/e-3/error.json"),
            record("b", "the+work/a/e-4/data.json"),
            record("b", "work/e-5/data.json"),
            record("other", "the+work/e-6/data.json"),
            {"s3": 7},
        ]});
        assert_eq!(told(&event.to_string()), ["e-1", "e.2"]);
        for other in [
            "",
            "no JSON",
            "[]",
            r#"{"Service": "Amazon S3", "Event": "s3:TestEvent"}"#,
        ] {
            assert!(told(other).is_empty(), "{other}");
        }
    }
}
