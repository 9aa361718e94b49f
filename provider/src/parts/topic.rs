//! An SNS topic.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html>

use async_trait::async_trait;
use aws_sdk_sns::types::Tag;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

use super::tags::Tags;
use super::{Aws, absent, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Part};

/// Reads say `NotFound`, the calls for tags `ResourceNotFound`.
const GONE: &[&str] = &[
    "NotFound",
    "NotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
];

/// Under which name a topic that was found tells how many subscriptions it has, confirmed or not.
pub const SUBSCRIBERS: &str = "subscribers";

/// How an SNS topic should be.
#[derive(Debug, Clone, Serialize)]
pub struct Topic {
    /// The topic's name.
    pub name: String,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// What e-mail and text messages show as their sender.
    pub display_name: Option<String>,
    /// The key that encrypts messages.
    pub kms_master_key_id: String,
    /// The topic policy.
    pub policy: String,
    /// All tags.
    pub tags: Tags,
}

impl Topic {
    /// Attribute name, property, value: one row for everything that `SetTopicAttributes` takes.
    fn table(&self) -> [(&'static str, &'static str, String); 3] {
        [
            // An empty text removes it.
            (
                "DisplayName",
                "display_name",
                self.display_name.clone().unwrap_or_default(),
            ),
            (
                "KmsMasterKeyId",
                "kms_master_key_id",
                self.kms_master_key_id.clone(),
            ),
            ("Policy", "policy", self.policy.clone()),
        ]
    }

    async fn attributes(&self, aws: &Aws) -> Result<Option<HashMap<String, String>>, Failure> {
        let get = || aws.sns.get_topic_attributes().topic_arn(&self.arn).send();
        let answer = absent(
            aws.call("sns:GetTopicAttributes", &self.name, get).await,
            GONE,
        )?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    async fn listed_tags(&self, aws: &Aws) -> Result<Option<Tags>, Failure> {
        let list = || {
            aws.sns
                .list_tags_for_resource()
                .resource_arn(&self.arn)
                .send()
        };
        let answer = absent(
            aws.call("sns:ListTagsForResource", &self.name, list).await,
            GONE,
        )?;
        let pairs = |tags: Vec<Tag>| Tags::listed(tags.into_iter().map(|tag| (tag.key, tag.value)));
        Ok(answer.map(|answer| pairs(answer.tags.unwrap_or_default())))
    }

    async fn set_attributes(&self, aws: &Aws, changes: &Changes) -> Result<(), Failure> {
        // One after the other: each call writes the same object.
        for (name, _, value) in self.table().iter().filter(|row| changes.any(&[row.1])) {
            let request = || aws.sns.set_topic_attributes().topic_arn(&self.arn);
            let set = || {
                request()
                    .attribute_name(*name)
                    .attribute_value(value)
                    .send()
            };
            aws.call("sns:SetTopicAttributes", &self.name, set).await?;
        }
        Ok(())
    }

    async fn set_tags(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        let tag = |set| async move {
            let tag = || {
                let request = aws.sns.tag_resource().resource_arn(&self.arn);
                request.set_tags(Some(tags(&set))).send()
            };
            aws.call("sns:TagResource", &self.name, tag).await.map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.sns.untag_resource().resource_arn(&self.arn);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            let answer = aws.call("sns:UntagResource", &self.name, untag).await;
            answer.map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await
    }
}

fn tags(pairs: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().ok();
    pairs.iter().filter_map(tag).collect()
}

#[async_trait]
impl Part<Aws> for Topic {
    fn kind(&self) -> &'static str {
        "SNS topic"
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
        let Some(have) = self.attributes(aws).await? else {
            return Ok(None);
        };
        let ask = || self.listed_tags(aws);
        let Some(tags) = aws.tags(&self.arn, &self.tags, ask).await? else {
            return Ok(None);
        };
        let text = |name: &str| have.get(name).filter(|text| !text.is_empty()).cloned();
        let found = Self {
            name: self.name.clone(),
            arn: text("TopicArn").unwrap_or_default(),
            display_name: text("DisplayName"),
            kms_master_key_id: text("KmsMasterKeyId").unwrap_or_default(),
            policy: policy::settled(&text("Policy").unwrap_or_default(), Some(&self.policy)),
            tags: tags.clone(),
        };
        let count = |name: &str| have.get(name)?.parse::<i64>().ok();
        let counts = ["SubscriptionsConfirmed", "SubscriptionsPending"].map(count);
        let mut attributes = properties(&found);
        let subscribers: i64 = counts.into_iter().flatten().sum();
        attributes.insert(SUBSCRIBERS.to_owned(), subscribers.into());
        Ok(Some(Found {
            attributes,
            owner: self.tags.owner_of(&tags),
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let rows = self.table().into_iter().filter(|row| !row.2.is_empty());
        let values: HashMap<String, String> = rows
            .map(|(name, _, value)| (name.to_owned(), value))
            .collect();
        let tags = tags(&self.tags.0);
        // A topic that exists with other attributes or tags makes this fail, so it takes over nobody's topic.
        let create = || {
            let request = aws.sns.create_topic().name(&self.name);
            request
                .set_attributes(Some(values.clone()))
                .set_tags(Some(tags.clone()))
                .send()
        };
        aws.call("sns:CreateTopic", &self.name, create).await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        tokio::try_join!(self.set_attributes(aws, changes), self.set_tags(aws, found))?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let delete = || aws.sns.delete_topic().topic_arn(&self.arn).send();
        let answer = aws.remove("sns:DeleteTopic", &self.name, delete, GONE);
        answer.await.map(drop)
    }
}
