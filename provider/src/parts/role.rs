//! An IAM role with its one inline policy.
//!
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>

use async_trait::async_trait;
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::tags::Tags;
use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &["NoSuchEntity", "NoSuchEntityException"];
/// How many pages of what others attached are taken off at most.
const PAGES: u32 = 20;
const CONFLICT: &[&str] = &["DeleteConflict", "DeleteConflictException"];
/// The name of the inline policy.
const POLICY_NAME: &str = "bellflower";

/// How an IAM role should be.
#[derive(Debug, Clone, Serialize)]
pub struct Role {
    /// The role's name.
    pub name: String,
    /// Its ARN, which follows from name and path.
    pub arn: String,
    /// The path, `/` or `/…/`.
    pub path: String,
    /// What it is for.
    pub description: String,
    /// Who may assume it.
    pub assume_role_policy: String,
    /// The ARN of the policy that bounds it.
    pub permissions_boundary: Option<String>,
    /// What it may do: the text of its inline policy.
    pub policy: String,
    /// All tags.
    pub tags: Tags,
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn iam_tags(tags: &std::collections::BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter()
        .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
        .collect()
}

impl Role {
    async fn delete_policy(&self, aws: &Aws, policy: &str) -> Result<(), Failure> {
        let delete = || {
            aws.iam
                .delete_role_policy()
                .role_name(&self.name)
                .policy_name(policy)
                .send()
        };
        let answer = aws.call("iam:DeleteRolePolicy", &self.name, delete).await;
        absent(answer, GONE).map(drop)
    }

    /// Takes off what others attached to the role, which would keep it alive, as far as IAM lists it at once. Answers whether there is more.
    async fn strip(&self, aws: &Aws) -> Result<bool, Failure> {
        let name = &self.name;
        let (attached, inline, profiles) = tokio::join!(
            aws.call("iam:ListAttachedRolePolicies", name, || aws
                .iam
                .list_attached_role_policies()
                .role_name(name)
                .send()),
            aws.call("iam:ListRolePolicies", name, || aws
                .iam
                .list_role_policies()
                .role_name(name)
                .send()),
            aws.call("iam:ListInstanceProfilesForRole", name, || {
                aws.iam
                    .list_instance_profiles_for_role()
                    .role_name(name)
                    .send()
            }),
        );
        let (attached, inline, profiles) = (
            absent(attached, GONE)?,
            absent(inline, GONE)?,
            absent(profiles, GONE)?,
        );
        let more = attached.as_ref().is_some_and(|page| page.is_truncated)
            || inline.as_ref().is_some_and(|page| page.is_truncated)
            || profiles.as_ref().is_some_and(|page| page.is_truncated);
        for arn in attached
            .and_then(|answer| answer.attached_policies)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|attachment| attachment.policy_arn)
        {
            let detach = || {
                aws.iam
                    .detach_role_policy()
                    .role_name(name)
                    .policy_arn(&arn)
                    .send()
            };
            absent(aws.call("iam:DetachRolePolicy", name, detach).await, GONE)?;
        }
        for policy in inline.map(|answer| answer.policy_names).unwrap_or_default() {
            self.delete_policy(aws, &policy).await?;
        }
        for profile in profiles
            .map(|answer| answer.instance_profiles)
            .unwrap_or_default()
        {
            let profile = &profile.instance_profile_name;
            let remove = || {
                aws.iam
                    .remove_role_from_instance_profile()
                    .role_name(name)
                    .instance_profile_name(profile)
                    .send()
            };
            absent(
                aws.call("iam:RemoveRoleFromInstanceProfile", name, remove)
                    .await,
                GONE,
            )?;
        }
        Ok(more)
    }

    /// Sets the boundary, or takes it away where there is to be none.
    async fn put_boundary(&self, aws: &Aws) -> Result<(), Failure> {
        let name = &self.name;
        if let Some(boundary) = &self.permissions_boundary {
            let put = || {
                aws.iam
                    .put_role_permissions_boundary()
                    .role_name(name)
                    .permissions_boundary(boundary)
                    .send()
            };
            let answer = aws.call("iam:PutRolePermissionsBoundary", name, put);
            return answer.await.map(drop);
        }
        let delete = || {
            aws.iam
                .delete_role_permissions_boundary()
                .role_name(name)
                .send()
        };
        let answer = aws.call("iam:DeleteRolePermissionsBoundary", name, delete);
        absent(answer.await, GONE).map(drop)
    }

    async fn put_policy(&self, aws: &Aws) -> Result<(), Failure> {
        let put = || {
            aws.iam
                .put_role_policy()
                .role_name(&self.name)
                .policy_name(POLICY_NAME)
                .policy_document(&self.policy)
                .send()
        };
        aws.call("iam:PutRolePolicy", &self.name, put)
            .await
            .map(drop)
    }
}

#[async_trait]
impl Part<Aws> for Role {
    fn kind(&self) -> &'static str {
        "IAM role"
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    fn fixed(&self) -> &'static [&'static str] {
        &["path"]
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let get_role = || aws.iam.get_role().role_name(&self.name).send();
        let get_policy = || {
            aws.iam
                .get_role_policy()
                .role_name(&self.name)
                .policy_name(POLICY_NAME)
                .send()
        };
        let role = aws.call("iam:GetRole", &self.name, get_role).await;
        let Some(role) = absent(role, GONE)?.and_then(|answer| answer.role) else {
            return Ok(None);
        };
        let inline = aws.call("iam:GetRolePolicy", &self.name, get_policy).await;
        let inline = absent(inline, GONE)?;
        let trust = decoded(
            role.assume_role_policy_document
                .as_deref()
                .unwrap_or_default(),
        );
        let tags = Tags::listed(
            role.tags
                .unwrap_or_default()
                .into_iter()
                .map(|tag| (tag.key, tag.value)),
        );
        let tags = aws.heeded(tags, &self.tags);
        let have = Self {
            name: role.role_name,
            // Of a role just made, IAM may tell its unique id in place of the ARN.
            arn: Some(role.arn)
                .filter(|arn| arn.starts_with("arn:"))
                .unwrap_or_else(|| self.arn.clone()),
            path: role.path,
            description: role.description.unwrap_or_default(),
            assume_role_policy: policy::settled(&trust, Some(&self.assume_role_policy)),
            permissions_boundary: role
                .permissions_boundary
                .and_then(|boundary| boundary.permissions_boundary_arn),
            policy: inline.map_or_else(String::new, |answer| {
                policy::settled(&decoded(&answer.policy_document), Some(&self.policy))
            }),
            tags: tags.clone(),
        };
        let mut attributes = properties(&have);
        attributes.extend(attributes! { "unique_id": role.role_id });
        Ok(Some(Found {
            attributes,
            owner: self.tags.owner_of(&tags),
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let create = || {
            aws.iam
                .create_role()
                .role_name(&self.name)
                .path(&self.path)
                .description(&self.description)
                .assume_role_policy_document(&self.assume_role_policy)
                .set_permissions_boundary(self.permissions_boundary.clone())
                .set_tags(Some(iam_tags(&self.tags.0)))
                .send()
        };
        let answer = aws.call("iam:CreateRole", &self.name, create).await?;
        self.put_policy(aws).await?;
        Ok(attributes! { "unique_id": answer.role.map(|role| role.role_id) })
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let name = &self.name;
        let bounded = changes.any(&["permissions_boundary"]);
        // Who may change only bounded roles needs the boundary first, and loses the role with it.
        if bounded && self.permissions_boundary.is_some() {
            self.put_boundary(aws).await?;
        }
        if changes.any(&["assume_role_policy"]) {
            let document = &self.assume_role_policy;
            let update = || {
                aws.iam
                    .update_assume_role_policy()
                    .role_name(name)
                    .policy_document(document)
                    .send()
            };
            aws.call("iam:UpdateAssumeRolePolicy", name, update).await?;
        }
        if changes.any(&["description"]) {
            let update = || {
                aws.iam
                    .update_role()
                    .role_name(name)
                    .description(&self.description)
                    .send()
            };
            aws.call("iam:UpdateRole", name, update).await?;
        }
        if changes.any(&["policy"]) {
            self.put_policy(aws).await?;
        }
        let tag = |set| async move {
            let tag = || {
                let request = aws.iam.tag_role().role_name(name);
                request.set_tags(Some(iam_tags(&set))).send()
            };
            aws.call("iam:TagRole", name, tag).await.map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.iam.untag_role().role_name(name);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            aws.call("iam:UntagRole", name, untag).await.map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await?;
        if bounded && self.permissions_boundary.is_none() {
            self.put_boundary(aws).await?;
        }
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let name = &self.name;
        self.delete_policy(aws, POLICY_NAME).await?;
        let delete = || aws.iam.delete_role().role_name(name).send();
        match aws.attempt("iam:DeleteRole", name, &delete).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is(CONFLICT) => {
                for _ in 0..PAGES {
                    if !Box::pin(self.strip(aws)).await? {
                        break;
                    }
                }
            }
            // Whether it is worth another try is the table's to say.
            Err(_) => {}
        }
        let answer = aws.remove("iam:DeleteRole", name, delete, GONE);
        answer.await.map(drop)
    }
}
