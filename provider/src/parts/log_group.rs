//! A CloudWatch log group.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html>

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::operation::describe_log_groups::builders::DescribeLogGroupsFluentBuilder;
use aws_sdk_cloudwatchlogs::types::LogGroup as Described;
use futures::future::try_join_all;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::tags::Tags;
use super::{Aws, absent, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &["ResourceNotFoundException"];
/// A shorter end that names have in common would fit too many groups of others.
const SHORTEST_END: usize = 8;

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

/// The end that all these names have in common.
fn shared_end(names: &[String]) -> &str {
    let Some((first, others)) = names.split_first() else {
        return "";
    };
    let ends = (0..first.len()).filter_map(|start| first.get(start..));
    let shared = |end: &&str| others.iter().all(|name| name.ends_with(end));
    ends.into_iter().find(shared).unwrap_or_default()
}

/// The groups of these names that are there. Groups of pipelines end alike, so they are listed together; what such a list does not show within the
/// calls it would take to ask for each is asked for.
async fn listed(aws: &Aws, names: Vec<String>) -> Result<HashMap<String, Described>, Failure> {
    let end = shared_end(&names);
    let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let (mut found, mut whole) = (HashMap::new(), false);
    if wanted.len() > 1 && end.len() >= SHORTEST_END {
        let request = || aws.logs.describe_log_groups().log_group_name_pattern(end);
        let mut pages = Pages::default();
        while !whole && pages.read < wanted.len() {
            let page = pages.next(aws, &names.join(", "), request()).await?;
            whole = pages.token.is_none();
            found.extend(
                page.into_iter()
                    .filter(|(name, _)| wanted.contains(name.as_str())),
            );
        }
    }
    if !whole {
        let missing = wanted.iter().filter(|name| !found.contains_key(**name));
        let each = missing.map(|name| async move {
            let request = || aws.logs.describe_log_groups().log_group_name_prefix(*name);
            let mut pages = Pages::default();
            loop {
                let page = pages.next(aws, name, request()).await?;
                let group = page.into_iter().find(|(found, _)| found == name);
                if group.is_some() || pages.token.is_none() {
                    return Ok(group);
                }
            }
        });
        let each: Vec<Option<_>> = try_join_all(each).await?;
        found.extend(each.into_iter().flatten());
    }
    Ok(found)
}

/// A listing that is read page by page.
#[derive(Default)]
struct Pages {
    read: usize,
    token: Option<String>,
}

impl Pages {
    async fn next(
        &mut self,
        aws: &Aws,
        object: &str,
        request: DescribeLogGroupsFluentBuilder,
    ) -> Result<Vec<(String, Described)>, Failure> {
        let describe = || request.clone().set_next_token(self.token.clone()).send();
        let page = aws.call("logs:DescribeLogGroups", object, describe).await?;
        self.read += 1;
        self.token = page.next_token.filter(|token| !token.is_empty());
        let named = |group: Described| Some((group.log_group_name.clone()?, group));
        let groups = page.log_groups.unwrap_or_default();
        Ok(groups.into_iter().filter_map(named).collect())
    }
}

impl LogGroup {
    async fn find(&self, aws: &Aws) -> Result<Option<Described>, Failure> {
        let list = |names| listed(aws, names);
        aws.batches.log_groups.ask(&self.name, list).await
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

    fn tagged_as(&self) -> Option<&str> {
        Some(&self.arn)
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
        let ask = || async {
            let answer = aws.call("logs:ListTagsForResource", &self.name, list).await;
            let answer = absent(answer, GONE)?;
            Ok(answer.map(|answer| Tags::listed(answer.tags.unwrap_or_default())))
        };
        let tags = aws.tags(&self.arn, &self.tags, ask).await?;
        let tags = tags.unwrap_or_default();
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
        let answer = aws.remove("logs:DeleteLogGroup", &self.name, delete, GONE);
        answer.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pipelines_end_alike() {
        let names = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let derived = names(&[
            "/aws/lambda/orders-processing-devl-eu-west-1",
            "/aws/vendedlogs/states/orders-state-machine-devl-eu-west-1",
        ]);
        assert_eq!(shared_end(&derived), "-devl-eu-west-1");
        assert_eq!(shared_end(&names(&["/a/ü", "/b/ä"])), "");
        assert_eq!(shared_end(&names(&["/a/b"])), "/a/b");
        assert_eq!(shared_end(&[]), "");
    }
}
