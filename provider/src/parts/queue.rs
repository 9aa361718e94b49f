//! An SQS queue.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde::Serialize;
use tokio::time::Instant;

use super::tags::Tags;
use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &[
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
];

/// Under which name a queue that was found tells how many messages are in it.
pub const MESSAGES: &str = "messages";

/// How long SQS may deny a queue that is there.
const ABSENT_FOR_A_MOMENT: Duration = Duration::from_secs(20);

/// How long SQS may show a queue that was deleted, with its attributes and tags.
const GHOST_FOR: Duration = Duration::from_mins(1);

/// The queues that this process has deleted, and when.
#[derive(Debug, Default)]
pub struct Deleted(Mutex<HashMap<String, Instant>>);

impl Deleted {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, arn: &str) {
        self.all().insert(arn.to_owned(), Instant::now());
    }

    fn forget(&self, arn: &str) {
        self.all().remove(arn);
    }

    /// Whether what SQS shows under this ARN may be what was deleted.
    fn haunts(&self, arn: &str) -> bool {
        let when = self.all().get(arn).copied();
        when.is_some_and(|when| when.elapsed() < GHOST_FOR)
    }
}

/// How an SQS queue should be. Times are in seconds, sizes in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Queue {
    /// The queue's name.
    pub name: String,
    /// The URL under which SQS knows it, wherever its endpoint is.
    #[serde(skip)]
    pub address: String,
    /// Its URL as SQS tells it, where it is known; else SQS is asked.
    #[serde(skip)]
    pub url: Option<String>,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// How long a message is held back.
    pub delay_seconds: i64,
    /// The largest message.
    pub max_message_size: i64,
    /// How long a message is kept.
    pub message_retention_seconds: i64,
    /// How long a receive call waits for a message.
    pub receive_wait_time_seconds: i64,
    /// How long a received message stays hidden.
    pub visibility_timeout_seconds: i64,
    /// The key that encrypts messages.
    pub kms_master_key_id: String,
    /// How long SQS uses a data key before it asks KMS again.
    pub kms_data_key_reuse_period_seconds: i64,
    /// The queue policy.
    pub policy: String,
    /// Where messages go that were received too often; none for a dead-letter queue itself.
    pub redrive_policy: Option<String>,
    /// Who may use this queue as a dead-letter queue.
    pub redrive_allow_policy: Option<String>,
    /// All tags.
    pub tags: Tags,
}

impl Queue {
    /// Attribute name, property, value: one row for everything that `SetQueueAttributes` takes.
    fn table(&self) -> [(Name, &'static str, String); 10] {
        [
            (
                Name::DelaySeconds,
                "delay_seconds",
                self.delay_seconds.to_string(),
            ),
            (
                Name::MaximumMessageSize,
                "max_message_size",
                self.max_message_size.to_string(),
            ),
            (
                Name::MessageRetentionPeriod,
                "message_retention_seconds",
                self.message_retention_seconds.to_string(),
            ),
            (
                Name::ReceiveMessageWaitTimeSeconds,
                "receive_wait_time_seconds",
                self.receive_wait_time_seconds.to_string(),
            ),
            (
                Name::VisibilityTimeout,
                "visibility_timeout_seconds",
                self.visibility_timeout_seconds.to_string(),
            ),
            (
                Name::KmsMasterKeyId,
                "kms_master_key_id",
                self.kms_master_key_id.clone(),
            ),
            (
                Name::KmsDataKeyReusePeriodSeconds,
                "kms_data_key_reuse_period_seconds",
                self.kms_data_key_reuse_period_seconds.to_string(),
            ),
            (Name::Policy, "policy", self.policy.clone()),
            // An empty text removes either of these.
            (
                Name::RedrivePolicy,
                "redrive_policy",
                self.redrive_policy.clone().unwrap_or_default(),
            ),
            (
                Name::RedriveAllowPolicy,
                "redrive_allow_policy",
                self.redrive_allow_policy.clone().unwrap_or_default(),
            ),
        ]
    }

    async fn find_url(&self, aws: &Aws) -> Result<Option<String>, Failure> {
        let answer = aws
            .call("sqs:GetQueueUrl", &self.name, || {
                aws.sqs.get_queue_url().queue_name(&self.name).send()
            })
            .await;
        Ok(absent(answer, GONE)?.and_then(|answer| answer.queue_url))
    }

    async fn attributes(&self, aws: &Aws) -> Result<Option<HashMap<Name, String>>, Failure> {
        let get = || {
            aws.sqs
                .get_queue_attributes()
                .queue_url(&self.address)
                .attribute_names(Name::All)
                .send()
        };
        let answer = aws.call("sqs:GetQueueAttributes", &self.name, get).await;
        Ok(absent(answer, GONE)?.map(|answer| answer.attributes.unwrap_or_default()))
    }

    /// The queue as SQS describes it, with the tags it should have.
    fn described(&self, have: &HashMap<Name, String>) -> Self {
        let document = |name: &Name, want: Option<&String>| {
            have.get(name)
                .filter(|text| !text.is_empty())
                .map(|text| policy::settled(text, want.map(String::as_str)))
        };
        Self {
            name: self.name.clone(),
            address: self.address.clone(),
            url: self.url.clone(),
            arn: have.get(&Name::QueueArn).cloned().unwrap_or_default(),
            delay_seconds: number(have, &Name::DelaySeconds),
            max_message_size: number(have, &Name::MaximumMessageSize),
            message_retention_seconds: number(have, &Name::MessageRetentionPeriod),
            receive_wait_time_seconds: number(have, &Name::ReceiveMessageWaitTimeSeconds),
            visibility_timeout_seconds: number(have, &Name::VisibilityTimeout),
            kms_master_key_id: have.get(&Name::KmsMasterKeyId).cloned().unwrap_or_default(),
            // AWS leaves the default out.
            kms_data_key_reuse_period_seconds: have
                .get(&Name::KmsDataKeyReusePeriodSeconds)
                .map_or(300, |text| text.parse().unwrap_or_default()),
            policy: document(&Name::Policy, Some(&self.policy)).unwrap_or_default(),
            redrive_policy: document(&Name::RedrivePolicy, self.redrive_policy.as_ref()),
            redrive_allow_policy: document(
                &Name::RedriveAllowPolicy,
                self.redrive_allow_policy.as_ref(),
            ),
            tags: self.tags.clone(),
        }
    }
}

/// What all of these begin with.
fn common_start(names: &[String]) -> &str {
    let Some(first) = names.first() else {
        return "";
    };
    let shared = |other: &String| {
        let pairs = first.bytes().zip(other.bytes());
        pairs.take_while(|(one, other)| one == other).count()
    };
    let length = names.iter().map(shared).min().unwrap_or_default();
    // Names are ASCII, and what is not would be none of SQS.
    first.get(..length).unwrap_or_default()
}

/// The queues that SQS lists, by name, these among them if they are there.
async fn listed(aws: &Aws, names: Vec<String>) -> Result<HashMap<String, String>, Failure> {
    let mut found = HashMap::new();
    let mut token = None;
    loop {
        let list = || {
            let request = aws.sqs.list_queues().max_results(1000);
            request
                .queue_name_prefix(common_start(&names))
                .set_next_token(token.clone())
                .send()
        };
        let page = aws
            .call("sqs:ListQueues", common_start(&names), list)
            .await?;
        let urls = page.queue_urls.unwrap_or_default().into_iter();
        found.extend(urls.filter_map(|url| Some((url.rsplit('/').next()?.to_owned(), url))));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(found);
        }
    }
}

fn number(found: &HashMap<Name, String>, name: &Name) -> i64 {
    found
        .get(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// About how many messages there are: waiting, handed out, and delayed.
fn messages(found: &HashMap<Name, String>) -> i64 {
    let states = [
        Name::ApproximateNumberOfMessages,
        Name::ApproximateNumberOfMessagesNotVisible,
        Name::ApproximateNumberOfMessagesDelayed,
    ];
    states.iter().map(|name| number(found, name)).sum()
}

#[async_trait]
impl Part<Aws> for Queue {
    fn kind(&self) -> &'static str {
        "SQS queue"
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    fn tagged_as(&self) -> Option<&str> {
        Some(&self.arn)
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        if aws.batches.deleted_queues.haunts(&self.arn) {
            return Ok(None);
        }
        let look = || self.attributes(aws);
        // A queue that is known to be there can look absent for a moment.
        let patience = if self.url.is_some() {
            ABSENT_FOR_A_MOMENT
        } else {
            Duration::ZERO
        };
        let Some(have) = aws.patiently(patience, look).await? else {
            return Ok(None);
        };
        let list = || aws.sqs.list_queue_tags().queue_url(&self.address).send();
        let url = async {
            match &self.url {
                Some(url) => Ok(Some(url.clone())),
                None => self.find_url(aws).await,
            }
        };
        let ask = || async {
            let answer = aws.call("sqs:ListQueueTags", &self.name, list).await;
            let answer = absent(answer, GONE)?;
            Ok(answer.map(|answer| Tags::listed(answer.tags.unwrap_or_default())))
        };
        let (tags, url) = tokio::try_join!(aws.tags(&self.arn, &self.tags, ask), url)?;
        let tags = tags.unwrap_or_default();
        let found = Self {
            tags: tags.clone(),
            ..self.described(&have)
        };
        let mut attributes = properties(&found);
        attributes.extend(attributes! { "url": url });
        attributes.insert(MESSAGES.to_owned(), messages(&have).into());
        Ok(Some(Found {
            attributes,
            owner: self.tags.owner_of(&tags),
        }))
    }

    fn is_sought_long(&self) -> bool {
        self.url.is_some()
    }

    fn appears_late(&self) -> bool {
        true
    }

    async fn shows(&self, aws: &Aws) -> Result<bool, Failure> {
        let have = self.attributes(aws).await?;
        Ok(have.is_some_and(|have| properties(&self.described(&have)) == properties(self)))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let values: HashMap<Name, String> = self
            .table()
            .into_iter()
            .filter(|row| !row.2.is_empty())
            .map(|(name, _, value)| (name, value))
            .collect();
        let tags: HashMap<String, String> = self.tags.0.clone().into_iter().collect();
        let create = || {
            let (values, tags) = (values.clone(), tags.clone());
            aws.sqs
                .create_queue()
                .queue_name(&self.name)
                .set_attributes(Some(values))
                .set_tags(Some(tags))
                .send()
        };
        let answer = aws.call("sqs:CreateQueue", &self.name, create).await?;
        aws.batches.deleted_queues.forget(&self.arn);
        Ok(attributes! { "url": answer.queue_url.unwrap_or_default() })
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let url = self.address.as_str();
        let values: HashMap<Name, String> = self
            .table()
            .into_iter()
            .filter(|(_, property, _)| changes.any(&[property]))
            .map(|(name, _, value)| (name, value))
            .collect();
        if !values.is_empty() {
            let set = || {
                aws.sqs
                    .set_queue_attributes()
                    .queue_url(url)
                    .set_attributes(Some(values.clone()))
                    .send()
            };
            aws.call("sqs:SetQueueAttributes", &self.name, set).await?;
        }
        let tag = |set: BTreeMap<String, String>| async move {
            let tags: HashMap<String, String> = set.into_iter().collect();
            let tag = || {
                let request = aws.sqs.tag_queue().queue_url(url);
                request.set_tags(Some(tags.clone())).send()
            };
            aws.call("sqs:TagQueue", &self.name, tag).await.map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.sqs.untag_queue().queue_url(url);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            aws.call("sqs:UntagQueue", &self.name, untag)
                .await
                .map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let url = self.address.as_str();
        let delete = || aws.sqs.delete_queue().queue_url(url).send();
        absent(aws.call("sqs:DeleteQueue", &self.name, delete).await, GONE)?;
        aws.batches.deleted_queues.note(&self.arn);
        Ok(())
    }

    async fn gone(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let gone = || async {
            let list = |names: Vec<String>| listed(aws, names);
            let shown = aws.batches.queues.ask(&self.name, list).await;
            // A listing may lag behind, or be forbidden: then the queue itself tells.
            let gone = matches!(shown, Ok(None)) || self.attributes(aws).await?.is_none();
            Ok(gone.then_some(()))
        };
        aws.settle(&self.title(), "gone", Duration::from_mins(3), gone)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_alike_as_far_as_all_do() {
        let start = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            common_start(&names).to_owned()
        };
        assert_eq!(start(&["orders-queue", "orders-dead"]), "orders-");
        assert_eq!(start(&["orders", "orders-queue"]), "orders");
        assert_eq!(start(&["orders"]), "orders");
        assert_eq!(start(&["orders", "parcels"]), "");
        assert_eq!(start(&[]), "");
    }
}
