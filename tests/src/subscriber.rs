//! An SQS queue that hears a topic's messages.

use std::time::Duration;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName};
use serde_json::{Value, json};

use crate::{Aws, Error, eventually};

/// A queue of our own, subscribed to a topic.
#[derive(Debug)]
pub struct Subscriber {
    aws: Aws,
    queue_url: String,
    subscription_arn: String,
}

impl Subscriber {
    /// Makes the queue, lets the topic write to it, and subscribes it.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn new(aws: Aws, topic_arn: &str, queue_name: &str) -> Result<Self, Error> {
        let queue = aws
            .sqs
            .create_queue()
            .queue_name(queue_name)
            .send()
            .await
            .map_err(Error::aws("creating the subscriber's queue"))?;
        let queue_url = queue.queue_url.unwrap_or_default();
        let attributes = aws
            .sqs
            .get_queue_attributes()
            .queue_url(&queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .map_err(Error::aws("reading the subscriber's queue"))?;
        let queue_arn = attributes
            .attributes()
            .and_then(|all| all.get(&QueueAttributeName::QueueArn))
            .cloned()
            .unwrap_or_default();
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }],
        });
        aws.sqs
            .set_queue_attributes()
            .queue_url(&queue_url)
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .send()
            .await
            .map_err(Error::aws(
                "letting the topic write to the subscriber's queue",
            ))?;
        let subscription = aws
            .sns
            .subscribe()
            .topic_arn(topic_arn)
            .protocol("sqs")
            .endpoint(queue_arn)
            .return_subscription_arn(true)
            .send()
            .await
            .map_err(Error::aws("subscribing the queue to the topic"))?;
        Ok(Self {
            aws,
            queue_url,
            subscription_arn: subscription.subscription_arn.unwrap_or_default(),
        })
    }

    /// Waits for the next message: what SNS delivered, with `Subject` and `Message` in it.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next(&self, limit: Duration) -> Result<Value, Error> {
        eventually("a message from the topic", limit, async || {
            let received = self
                .aws
                .sqs
                .receive_message()
                .queue_url(&self.queue_url)
                .max_number_of_messages(1)
                .wait_time_seconds(1)
                .send()
                .await
                .map_err(Error::aws("receiving from the subscriber's queue"))?;
            let Some(message) = received.messages().first() else {
                return Ok(Err("an empty queue".to_owned()));
            };
            self.aws
                .sqs
                .delete_message()
                .queue_url(&self.queue_url)
                .receipt_handle(message.receipt_handle().unwrap_or_default())
                .send()
                .await
                .map_err(Error::aws("deleting from the subscriber's queue"))?;
            let body = message.body().unwrap_or_default();
            Ok(Ok(
                serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))
            ))
        })
        .await
    }

    /// Takes what is there now, ten messages at most: what SNS delivered, as [`Subscriber::next`] has it.
    ///
    /// # Errors
    /// When AWS refuses.
    ///
    /// # Panics
    /// Never: what the deletion's entries need is set.
    pub async fn take(&self) -> Result<Vec<Value>, Error> {
        let received = self
            .aws
            .sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(10)
            .wait_time_seconds(1)
            .send()
            .await
            .map_err(Error::aws("receiving from the subscriber's queue"))?;
        let messages = received.messages();
        let entries: Vec<_> = (0..)
            .zip(messages)
            .map(|(number, message): (u32, _)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(message.receipt_handle().unwrap_or_default())
                    .build()
                    .expect("both are set")
            })
            .collect();
        if !entries.is_empty() {
            self.aws
                .sqs
                .delete_message_batch()
                .queue_url(&self.queue_url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(Error::aws("deleting from the subscriber's queue"))?;
        }
        let bodies = messages.iter().filter_map(|message| message.body());
        Ok(bodies
            .map(|body| serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)))
            .collect())
    }

    /// Unsubscribes and deletes the queue.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn remove(self) -> Result<(), Error> {
        self.aws
            .sns
            .unsubscribe()
            .subscription_arn(&self.subscription_arn)
            .send()
            .await
            .map_err(Error::aws("unsubscribing from the topic"))?;
        self.aws
            .sqs
            .delete_queue()
            .queue_url(&self.queue_url)
            .send()
            .await
            .map_err(Error::aws("deleting the subscriber's queue"))?;
        Ok(())
    }
}
