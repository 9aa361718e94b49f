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
/// Under which name a group that was found tells that AWS does not delete it.
const PROTECTED: &str = "deletion_protection_enabled";

/// How a list of groups by their names may be refused.
const REFUSED: &[&str] = &["InvalidParameterException", "ResourceNotFoundException"];

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

/// Whether a listing left out everything but what the group is called, as one by `logGroupNamePattern` does.
fn is_bare(group: &Described) -> bool {
    group.stored_bytes.is_none()
        && group.log_group_class.is_none()
        && group.retention_in_days.is_none()
        && group.kms_key_id.is_none()
}

/// The groups of these names that are there. They are listed together; what such a list does not tell, or not within the calls it would take to ask for
/// each, is asked for.
async fn listed(aws: &Aws, names: Vec<String>) -> Result<HashMap<String, Described>, Failure> {
    let mut left: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let (mut found, mut pages) = (HashMap::new(), Pages::default());
    let most = left.len();
    while most > 1 && pages.read < most {
        let identifiers = Some(names.clone());
        let request = aws.logs.describe_log_groups();
        let request = request.set_log_group_identifiers(identifiers);
        let page = match pages.next(aws, &names.join(", "), request).await {
            // Whatever such a list is refused for, asking for each shows.
            Err(failure) if failure.is(REFUSED) => break,
            page => page?,
        };
        let mut bare = BTreeSet::new();
        for (name, group) in page {
            let Some(name) = left.take(name.as_str()) else {
                continue;
            };
            if is_bare(&group) {
                bare.insert(name);
            } else {
                found.insert(name.to_owned(), group);
            }
        }
        if pages.token.is_none() {
            // Who was not listed is not there.
            left = bare;
            break;
        }
        left.append(&mut bare);
    }
    let each = left.into_iter().map(|name| async move {
        let request = || aws.logs.describe_log_groups().log_group_name_prefix(name);
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
            // What a policy of the whole account says is shown in its stead, and nothing that is written here changes it.
            retention_in_days: match group.retention_policy_name {
                Some(_) => self.retention_in_days,
                None => group.retention_in_days.map_or(0, i64::from),
            },
            kms_key_id: group.kms_key_id.unwrap_or_default(),
            tags: tags.clone(),
        };
        let mut attributes = properties(&have);
        if group.deletion_protection_enabled == Some(true) {
            attributes.insert(PROTECTED.to_owned(), true.into());
        }
        Ok(Some(Found {
            attributes,
            owner: self.tags.owner_of(&tags),
        }))
    }

    fn protected(&self, found: &Found) -> Option<Failure> {
        found.attributes.contains_key(PROTECTED).then(|| {
            Failure::refusal(self.title(), "somebody has protected it from deletion").advise(format!(
                "To let it go: aws logs put-log-group-deletion-protection --log-group-identifier {} --no-deletion-protection-enabled",
                self.name
            ))
        })
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
