//! A CloudWatch log group.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html>

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::types::LogGroup as Described;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

use super::tags::Tags;
use super::{Aws, absent, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &["ResourceNotFoundException"];

/// How a log group should be.
#[derive(Debug, Clone, Serialize)]
pub struct LogGroup {
    /// The group's name.
    pub name: String,
    /// Its ARN, which follows from the name, without `:*`.
    pub arn: String,
    /// How many days events are kept; 0 keeps them for ever.
    pub retention_in_days: i64,
    /// The ARN of the key that encrypts events.
    pub kms_key_id: String,
    /// All tags.
    pub tags: Tags,
}

impl LogGroup {
    async fn find(&self, aws: &Aws) -> Result<Option<Described>, Failure> {
        let mut token = None;
        loop {
            let describe = || {
                aws.logs
                    .describe_log_groups()
                    .log_group_name_prefix(&self.name)
                    .set_next_token(token.clone())
                    .send()
            };
            let page = aws
                .call("logs:DescribeLogGroups", &self.name, describe)
                .await?;
            let same = |group: &Described| group.log_group_name.as_deref() == Some(&self.name);
            if let Some(group) = page.log_groups.unwrap_or_default().into_iter().find(same) {
                return Ok(Some(group));
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    async fn put_retention(&self, aws: &Aws) -> Result<(), Failure> {
        if self.retention_in_days == 0 {
            let delete = || {
                aws.logs
                    .delete_retention_policy()
                    .log_group_name(&self.name)
                    .send()
            };
            return aws
                .call("logs:DeleteRetentionPolicy", &self.name, delete)
                .await
                .map(drop);
        }
        let days = i32::try_from(self.retention_in_days).unwrap_or(i32::MAX);
        let put = || {
            aws.logs
                .put_retention_policy()
                .log_group_name(&self.name)
                .retention_in_days(days)
                .send()
        };
        aws.call("logs:PutRetentionPolicy", &self.name, put)
            .await
            .map(drop)
    }
}

#[async_trait]
impl Part<Aws> for LogGroup {
    fn kind(&self) -> &'static str {
        "CloudWatch log group"
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let list = || {
            aws.logs
                .list_tags_for_resource()
                .resource_arn(&self.arn)
                .send()
        };
        let Some(group) = self.find(aws).await? else {
            return Ok(None);
        };
        let answer = aws.call("logs:ListTagsForResource", &self.name, list).await;
        let tags = Tags::listed(
            absent(answer, GONE)?
                .and_then(|answer| answer.tags)
                .unwrap_or_default(),
        );
        let arn = group.log_group_arn.or(group.arn).unwrap_or_default();
        let have = Self {
            name: self.name.clone(),
            arn: arn.trim_end_matches(":*").to_owned(),
            retention_in_days: group.retention_in_days.map_or(0, i64::from),
            kms_key_id: group.kms_key_id.unwrap_or_default(),
            tags: tags.clone(),
        };
        Ok(Some(Found {
            attributes: properties(&have),
            owner: self.tags.owner_of(&tags),
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let tags: HashMap<String, String> = self.tags.0.clone().into_iter().collect();
        let create = || {
            let request = aws
                .logs
                .create_log_group()
                .log_group_name(&self.name)
                .kms_key_id(&self.kms_key_id);
            request.set_tags(Some(tags.clone())).send()
        };
        aws.call("logs:CreateLogGroup", &self.name, create).await?;
        if self.retention_in_days != 0 {
            self.put_retention(aws).await?;
        }
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        if changes.any(&["retention_in_days"]) {
            self.put_retention(aws).await?;
        }
        if changes.any(&["kms_key_id"]) {
            let associate = || {
                aws.logs
                    .associate_kms_key()
                    .log_group_name(&self.name)
                    .kms_key_id(&self.kms_key_id)
                    .send()
            };
            aws.call("logs:AssociateKmsKey", &self.name, associate)
                .await?;
        }
        let tag = |set: BTreeMap<String, String>| async move {
            let tags: HashMap<String, String> = set.into_iter().collect();
            let tag = || {
                let request = aws.logs.tag_resource().resource_arn(&self.arn);
                request.set_tags(Some(tags.clone())).send()
            };
            aws.call("logs:TagResource", &self.name, tag)
                .await
                .map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.logs.untag_resource().resource_arn(&self.arn);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            let answer = aws.call("logs:UntagResource", &self.name, untag).await;
            answer.map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let delete = || {
            aws.logs
                .delete_log_group()
                .log_group_name(&self.name)
                .send()
        };
        absent(
            aws.call("logs:DeleteLogGroup", &self.name, delete).await,
            GONE,
        )
        .map(drop)
    }
}
