//! A customer-managed KMS key with its alias.
//!
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html>

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::operation::create_key::CreateKeyOutput;
use aws_sdk_kms::operation::get_key_policy::{GetKeyPolicyError, GetKeyPolicyOutput};
use aws_sdk_kms::types::{KeyMetadata, KeyState, Tag};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::tags::{MARK, Tags};
use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

const GONE: &[&str] = &["NotFoundException"];
/// What KMS answers to who may not ask.
pub const DENIED: &[&str] = &["AccessDeniedException"];
/// What KMS answers for a key whose material it cannot rotate, as one with imported material.
const NO_ROTATION: &[&str] = &["UnsupportedOperationException"];
/// What is known of a key that KMS does not show.
pub const HIDDEN: &str = "a key that may not be looked at";
/// The properties by which other parts name their key.
pub const NAMED_BY: [&str; 3] = ["kms_master_key_id", "kms_key_arn", "kms_key_id"];
const POLICY_NAME: &str = "default";
const ROTATION: &[&str] = &["enable_key_rotation", "rotation_period_in_days"];
/// How long KMS may not show the key of an alias that is there.
const SHOWS_WITHIN: Duration = Duration::from_secs(20);
/// How long KMS may not list a key that it has made.
const LISTED_WITHIN: Duration = Duration::from_secs(5);
/// How many keys are asked for their tags at once.
const AT_ONCE: usize = 10;

/// How a KMS key should be.
#[derive(Debug, Clone, Serialize)]
pub struct Key {
    /// The alias, `alias/…`.
    pub alias: String,
    /// The description.
    pub description: String,
    /// The key policy.
    pub policy: String,
    /// Whether the key can be used.
    pub is_enabled: bool,
    /// Whether KMS rotates the key material by itself.
    pub enable_key_rotation: bool,
    /// Days between rotations.
    pub rotation_period_in_days: i64,
    /// Days between the order to delete the key and its end.
    #[serde(skip)]
    pub deletion_window_in_days: i64,
    /// The key's id where it is known; else it is found by its alias.
    #[serde(skip)]
    pub key_id: Option<String>,
    /// Its ARN where it is known.
    #[serde(skip)]
    pub arn: Option<String>,
    /// All tags.
    pub tags: Tags,
}

/// A key that has a certain alias.
#[derive(Debug)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Whether it waits for its deletion.
    pub is_going: bool,
    /// Its tags.
    pub tags: Tags,
}

/// The policy of a key, where it is there and one may see it.
///
/// # Errors
/// The failure of the call.
pub async fn policy_of(key_id: &str, aws: &Aws) -> Result<Option<String>, Failure> {
    let get = || get_policy(key_id, aws);
    let answer = aws.call("kms:GetKeyPolicy", key_id, get).await;
    let answer = absent(answer, &[GONE, DENIED].concat())?;
    Ok(answer.and_then(|answer| answer.policy))
}

async fn get_policy(
    key_id: &str,
    aws: &Aws,
) -> Result<GetKeyPolicyOutput, SdkError<GetKeyPolicyError>> {
    let get = aws.kms.get_key_policy().key_id(key_id);
    get.policy_name(POLICY_NAME).send().await
}

/// The command that gives a key the mark of a pipeline.
#[must_use]
pub fn tagging(key: &str, mark: &str) -> String {
    format!("`aws kms tag-resource --key-id {key} --tags TagKey={MARK},TagValue={mark}`")
}

/// The key of this id, alias or ARN, even on its way out.
async fn described(key_id: &str, object: &str, aws: &Aws) -> Result<Option<KeyMetadata>, Failure> {
    let describe = || aws.kms.describe_key().key_id(key_id).send();
    let answer = absent(aws.call("kms:DescribeKey", object, describe).await, GONE)?;
    Ok(answer.and_then(|answer| answer.key_metadata))
}

/// The key that has this alias or ARN, also one that waits for its deletion.
///
/// # Errors
/// The failure of a call.
pub async fn named(alias: &str, aws: &Aws) -> Result<Option<Named>, Failure> {
    let Some(key) = described(alias, alias, aws).await? else {
        return Ok(None);
    };
    let tags = listed(&key.key_id, alias, aws).await?;
    Ok(tags.map(|tags| Named {
        is_going: is_going(key.key_state.as_ref()),
        id: key.key_id,
        tags,
    }))
}

/// Which other key than this one has this alias and keeps it, as far as one may see: one that waits for its deletion gives it to the pipeline whose it was.
pub async fn holder(alias: &str, key_id: &str, aws: &Aws) -> Option<String> {
    match described(alias, alias, aws).await {
        Ok(Some(key)) if key.key_id != key_id && !is_going(key.key_state.as_ref()) => key.arn,
        Err(failure) if failure.is(DENIED) => Some(HIDDEN.to_owned()),
        _ => None,
    }
}

/// Whether this key is there and does not wait for its deletion, or does not let that be seen.
pub async fn stands(key_id: &str, aws: &Aws) -> bool {
    let key = described(key_id, key_id, aws).await;
    key.is_err() || key.is_ok_and(|key| key.is_some_and(|key| !is_going(key.key_state.as_ref())))
}

/// Why a key of the user's is of no use, as far as one may see.
pub async fn trouble(key_id: &str, aws: &Aws) -> Option<&'static str> {
    let mut key = described(key_id, key_id, aws).await.ok()?;
    if key.is_none() {
        aws.second_thought().await;
        key = described(key_id, key_id, aws).await.ok()?;
    }
    let Some(key) = key else {
        return Some("is not there");
    };
    match key.key_state {
        Some(KeyState::Disabled) => Some("is disabled"),
        Some(KeyState::PendingImport) => Some("has no key material"),
        Some(KeyState::Unavailable) => Some("is in a key store that cannot be reached"),
        state => is_going(state.as_ref()).then_some("waits for its deletion"),
    }
}

async fn listed(key_id: &str, alias: &str, aws: &Aws) -> Result<Option<Tags>, Failure> {
    let list = || aws.kms.list_resource_tags().key_id(key_id).send();
    let answer = absent(aws.call("kms:ListResourceTags", alias, list).await, GONE)?;
    let pairs =
        |tags: Vec<Tag>| Tags::listed(tags.into_iter().map(|tag| (tag.tag_key, tag.tag_value)));
    Ok(answer.map(|answer| pairs(answer.tags.unwrap_or_default())))
}

impl Key {
    /// The key of this id or alias; none when it is not there or on its way out.
    async fn describe(&self, aws: &Aws, key_id: &str) -> Result<Option<KeyMetadata>, Failure> {
        let key = described(key_id, &self.alias, aws).await?;
        Ok(key.filter(|key| !is_going(key.key_state.as_ref())))
    }

    async fn tags_of(&self, aws: &Aws, key_id: &str) -> Result<Option<Tags>, Failure> {
        listed(key_id, &self.alias, aws).await
    }

    /// The aliases of one key, or of all keys, with the keys they point to.
    async fn aliases(
        &self,
        aws: &Aws,
        key_id: Option<&str>,
    ) -> Result<Vec<(String, Option<String>)>, Failure> {
        let mut result = Vec::new();
        let mut marker = None;
        loop {
            let list = || {
                aws.kms
                    .list_aliases()
                    .set_key_id(key_id.map(str::to_owned))
                    .set_marker(marker.clone())
                    .send()
            };
            let Some(page) = absent(aws.call("kms:ListAliases", &self.alias, list).await, GONE)?
            else {
                break;
            };
            let entries = page.aliases.unwrap_or_default();
            result.extend(
                entries
                    .into_iter()
                    .filter_map(|entry| Some((entry.alias_name?, entry.target_key_id))),
            );
            marker = page.next_marker;
            if marker.is_none() {
                break;
            }
        }
        Ok(result)
    }

    /// The key, and whether it was found by its alias. A key whose id is not known yet is found by that or, where a run ended before it had one, by its mark.
    async fn find(&self, aws: &Aws) -> Result<Option<(KeyMetadata, bool)>, Failure> {
        let Some(id) = &self.key_id else {
            let (named, orphan) =
                tokio::try_join!(self.describe(aws, &self.alias), self.orphan(aws))?;
            let named = named.map(|key| (key, true));
            return Ok(named.or(orphan.map(|key| (key, false))));
        };
        let named = match self.describe(aws, &self.alias).await {
            // The alias may be that of a key which nobody but its owner may look at.
            Err(failure) if failure.is(DENIED) => None,
            named => named?,
        };
        let is_known = |key: &&KeyMetadata| key.key_id == *id || key.arn.as_ref() == Some(id);
        if let Some(key) = named.as_ref().filter(is_known) {
            return Ok(Some((key.clone(), true)));
        }
        let known = self.describe(aws, id).await?.map(|key| (key, false));
        Ok(known.or(named.map(|key| (key, true))))
    }

    async fn ids(&self, aws: &Aws) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        let mut marker = None;
        loop {
            let list = || aws.kms.list_keys().set_marker(marker.clone()).send();
            let page = aws.call("kms:ListKeys", &self.alias, list).await?;
            let keys = page.keys.unwrap_or_default();
            ids.extend(keys.into_iter().filter_map(|key| key.key_id));
            marker = page.next_marker;
            if marker.is_none() {
                return Ok(ids);
            }
        }
    }

    /// A key with our mark and no alias: what a run left behind that ended between making the key and naming it.
    async fn orphan(&self, aws: &Aws) -> Result<Option<KeyMetadata>, Failure> {
        let (aliases, ids) = tokio::try_join!(self.aliases(aws, None), self.ids(aws))?;
        let named: BTreeSet<String> = aliases.into_iter().filter_map(|alias| alias.1).collect();
        let unnamed = ids.into_iter().filter(|id| !named.contains(id));
        let marked = |id: String| async move {
            match self.tags_of(aws, &id).await {
                Ok(Some(tags)) if self.tags.owner_of(&tags) == Owner::Us => {
                    self.describe(aws, &id).await
                }
                // Keys we may not look at are not ours.
                Err(failure) if !failure.is(DENIED) && failure.status != Some(403) => Err(failure),
                _ => Ok(None),
            }
        };
        let found = stream::iter(unnamed.map(marked)).buffered(AT_ONCE);
        let mut found = Box::pin(found.try_filter_map(|key| std::future::ready(Ok(key))));
        found.try_next().await
    }

    /// `CreateKey` knows no idempotency token.
    async fn make(&self, aws: &Aws) -> Result<KeyMetadata, Failure> {
        let create = || {
            aws.kms
                .create_key()
                .description(&self.description)
                .policy(&self.policy)
                .set_tags(Some(tag_list(&self.tags.0)))
                .send()
        };
        let made = || async {
            let found = self.orphan(aws).await?;
            Ok(found.map(|key| CreateKeyOutput::builder().key_metadata(key).build()))
        };
        let answer = aws
            .call_once("kms:CreateKey", &self.alias, create, &made)
            .await;
        let answer = match answer {
            // Who repeats nothing has not waited for what it may have made.
            Err(failure)
                if failure.ambiguous && !failure.interrupted && failure.elapsed < LISTED_WITHIN =>
            {
                aws.rest(LISTED_WITHIN.saturating_sub(failure.elapsed))
                    .await;
                made().await.ok().flatten().ok_or(failure)
            }
            answer => answer,
        }?;
        let nothing = || Failure::refusal(self.title(), "KMS answered without the key it made");
        answer.key_metadata.ok_or_else(nothing)
    }

    /// Points the alias at the key; an alias that still names a key on its way out is taken over.
    async fn name_it(&self, aws: &Aws, key_id: &str) -> Result<(), Failure> {
        let create = || {
            aws.kms
                .create_alias()
                .alias_name(&self.alias)
                .target_key_id(key_id)
                .send()
        };
        let failure = match aws.call("kms:CreateAlias", &self.alias, create).await {
            Err(failure) if failure.is(&["AlreadyExistsException"]) => failure,
            other => return other.map(drop),
        };
        let named = || described(&self.alias, &self.alias, aws);
        let named = match aws.patiently(SHOWS_WITHIN, named).await {
            Err(denied) if denied.is(DENIED) => {
                return Err(failure.advise(format!(
                    "The alias is of {HIDDEN}: give `key.alias` another name, or have the alias pointed at {key_id} by whom it belongs to."
                )));
            }
            named => named?,
        };
        let Some(key) = named else {
            return Err(failure.advise(
                "KMS does not tell yet which key the alias is of, so it was left as it is: apply once more.",
            ));
        };
        if key.key_id == key_id {
            // The answer to an earlier try was lost.
            return Ok(());
        }
        if !is_going(key.key_state.as_ref()) {
            let arn = key.arn.as_deref().unwrap_or_default();
            return Err(failure.advise(format!(
                "The alias is of another key, {arn}: give `key.alias` another name, or point the alias at {key_id} with `aws kms update-alias` if nothing \
                 needs it there."
            )));
        }
        let tags = self.tags_of(aws, &key.key_id).await?;
        if tags.is_some_and(|tags| self.tags.owner_of(&tags) != Owner::Us) {
            return Err(failure.advise(
                "The alias is of a key that waits for its deletion and was not made by this pipeline: give `key.alias` another name, or delete the alias if \
                 nothing needs it any more.",
            ));
        }
        let update = || {
            aws.kms
                .update_alias()
                .alias_name(&self.alias)
                .target_key_id(key_id)
                .send()
        };
        let answer = aws.call("kms:UpdateAlias", &self.alias, update).await;
        answer.map(drop)
    }

    /// Answers whether the key was there.
    async fn schedule_deletion(&self, aws: &Aws, id: &str) -> Result<bool, Failure> {
        let days = i32::try_from(self.deletion_window_in_days).ok();
        let schedule = || {
            aws.kms
                .schedule_key_deletion()
                .key_id(id)
                .set_pending_window_in_days(days)
                .send()
        };
        let answer = match aws
            .remove("kms:ScheduleKeyDeletion", &self.alias, schedule, GONE)
            .await
        {
            Err(failure)
                if failure.is(&["KMSInvalidStateException"])
                    && failure.says("pending deletion") =>
            {
                return Ok(true);
            }
            other => other?,
        };
        let Some(answer) = answer else {
            return Ok(false);
        };
        if is_going(answer.key_state.as_ref()) {
            return Ok(true);
        }
        let gone = || async { Ok(self.describe(aws, id).await?.is_none().then_some(())) };
        aws.settle(
            &self.title(),
            "scheduled for deletion",
            Duration::from_mins(2),
            gone,
        )
        .await?;
        Ok(true)
    }

    async fn rotate(&self, aws: &Aws, key_id: &str) -> Result<(), Failure> {
        if self.enable_key_rotation {
            let days = i32::try_from(self.rotation_period_in_days).ok();
            let enable = || {
                aws.kms
                    .enable_key_rotation()
                    .key_id(key_id)
                    .set_rotation_period_in_days(days)
                    .send()
            };
            aws.call("kms:EnableKeyRotation", &self.alias, enable)
                .await
                .map(drop)
        } else {
            let disable = || aws.kms.disable_key_rotation().key_id(key_id).send();
            aws.call("kms:DisableKeyRotation", &self.alias, disable)
                .await
                .map(drop)
        }
    }
}

fn is_going(state: Option<&KeyState>) -> bool {
    matches!(
        state,
        Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion)
    )
}

fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().tag_key(key).tag_value(value).build().ok();
    tags.iter().filter_map(tag).collect()
}

#[async_trait]
impl Part<Aws> for Key {
    fn kind(&self) -> &'static str {
        "KMS key"
    }

    fn name(&self) -> &str {
        &self.alias
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    fn tagged_as(&self) -> Option<&str> {
        self.arn.as_deref()
    }

    /// It was looked for by its id, or by its alias: that it has lost the one or the other makes it no other key.
    fn is_known_by(&self, found: &Attributes) -> bool {
        let changes = Changes::between(&self.desired(), found);
        changes
            .names()
            .all(|name| ["alias", "tags"].contains(&name))
    }

    fn writes_too(&self, one: &str, other: &str) -> bool {
        [one, other].iter().all(|name| ROTATION.contains(name))
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let Some((key, by_alias)) = Box::pin(self.find(aws)).await? else {
            return Ok(None);
        };
        let id = key.key_id.as_str();
        let get_rotation = || aws.kms.get_key_rotation_status().key_id(id).send();
        // Another alias of the key is somebody else's business; that ours is missing is mended, not a name that changed.
        let alias = async {
            let is_named = by_alias || {
                let aliases = self.aliases(aws, Some(id)).await?;
                aliases.iter().any(|alias| alias.0 == self.alias)
            };
            Ok(is_named.then_some(&self.alias))
        };
        let (document, rotation, tags, alias) = tokio::join!(
            aws.call("kms:GetKeyPolicy", &self.alias, || get_policy(id, aws)),
            aws.call("kms:GetKeyRotationStatus", &self.alias, get_rotation),
            aws.tags(key.arn.as_deref().unwrap_or_default(), &self.tags, || self
                .tags_of(aws, id)),
            alias,
        );
        let rotation = absent(rotation, NO_ROTATION);
        let tags = tags?.unwrap_or_default();
        let owner = self.tags.owner_of(&tags);
        let denied = [document.as_ref().err(), rotation.as_ref().err()];
        if owner != Owner::Us && denied.into_iter().flatten().any(|one| one.is(DENIED)) {
            // Who may do only what the pipeline's tag allows sees no more of it. A key that is known by its id is no other one: the tag is what it lacks.
            let is_id = self.key_id.as_deref() == Some(id);
            // As other parts or the alias name it.
            let is_named = self.key_id.is_some() && (by_alias || self.key_id == key.arn);
            let as_told = Self {
                description: key.description.clone().unwrap_or_default(),
                is_enabled: key.enabled,
                ..self.clone()
            };
            let mut attributes = if owner == Owner::SomeoneElse(None) && (is_id || is_named) {
                properties(&as_told)
            } else {
                Attributes::new()
            };
            attributes.extend(attributes! { "tags": tags, "arn": key.arn, "key_id": id });
            let unseen = is_id.then_some(&self.alias);
            attributes.extend(attributes! { "alias": alias.unwrap_or(unseen) });
            return Ok(Some(Found { attributes, owner }));
        }
        let (document, rotation, alias) = (document?, rotation?, alias?);
        let rotation = rotation.filter(|rotation| rotation.key_rotation_enabled);
        let have = Self {
            description: key.description.clone().unwrap_or_default(),
            policy: policy::settled(
                document.policy.as_deref().unwrap_or_default(),
                Some(&self.policy),
            ),
            is_enabled: key.enabled,
            enable_key_rotation: rotation.is_some(),
            // Without rotation there is none.
            rotation_period_in_days: rotation
                .and_then(|rotation| rotation.rotation_period_in_days)
                .map_or(self.rotation_period_in_days, i64::from),
            tags,
            ..self.clone()
        };
        let mut attributes = properties(&have);
        attributes.extend(attributes! {
            "alias": alias,
            "arn": key.arn.clone().unwrap_or_default(),
            "key_id": id,
        });
        Ok(Some(Found { attributes, owner }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let key = self.make(aws).await?;
        let id = key.key_id.as_str();
        let rotate = async {
            if self.enable_key_rotation {
                self.rotate(aws, id).await
            } else {
                Ok(())
            }
        };
        let (named, rotated) = tokio::join!(self.name_it(aws, id), rotate);
        if let Err(failure) = named {
            if failure.ambiguous || failure.interrupted {
                return Err(failure);
            }
            // It would be used by nobody and paid for ever, and the next run may not be let to find it.
            if self
                .schedule_deletion(aws, id)
                .await
                .is_ok_and(|was_there| was_there)
            {
                return Err(failure);
            }
            let advice = failure.advice.clone().unwrap_or_default();
            let advice = format!(
                "{advice} The key {id} was made, has no alias, and could not be removed again. The next run finds it by its tag; only if there is to be none, \
                 remove it with `aws kms schedule-key-deletion --key-id {id}`."
            );
            return Err(failure.advise(advice.trim_start()));
        }
        rotated?;
        Ok(attributes! { "arn": key.arn.clone().unwrap_or_default(), "key_id": id })
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let id = found.text("key_id");
        if changes.any(&["is_enabled"]) {
            // First: a disabled key refuses most of what follows.
            aws.call("kms:EnableKey", &self.alias, || {
                aws.kms.enable_key().key_id(id).send()
            })
            .await?;
        }
        if changes.any(&["policy"]) {
            let put = || {
                aws.kms
                    .put_key_policy()
                    .key_id(id)
                    .policy_name(POLICY_NAME)
                    .policy(&self.policy)
                    .send()
            };
            aws.call("kms:PutKeyPolicy", &self.alias, put).await?;
        }
        if changes.any(&["description"]) {
            let update = || {
                aws.kms
                    .update_key_description()
                    .key_id(id)
                    .description(&self.description)
                    .send()
            };
            aws.call("kms:UpdateKeyDescription", &self.alias, update)
                .await?;
        }
        if changes.any(&["alias"]) {
            self.name_it(aws, id).await?;
        }
        if changes.any(ROTATION) {
            self.rotate(aws, id).await?;
        }
        let tag = |set| async move {
            let tag = || {
                let request = aws.kms.tag_resource().key_id(id);
                request.set_tags(Some(tag_list(&set))).send()
            };
            aws.call("kms:TagResource", &self.alias, tag)
                .await
                .map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.kms.untag_resource().key_id(id);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            let answer = aws.call("kms:UntagResource", &self.alias, untag).await;
            answer.map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        let id = found.text("key_id");
        let alias = found.text("alias");
        if !alias.is_empty() {
            let delete = || aws.kms.delete_alias().alias_name(alias).send();
            aws.remove("kms:DeleteAlias", &self.alias, delete, GONE)
                .await?;
        }
        match self.schedule_deletion(aws, id).await {
            Err(denied) if denied.is(DENIED) => Err(denied.advise(format!(
                "The key is {id}: the pipeline's alias of it is deleted, and it is not going to be."
            ))),
            done => done.map(drop),
        }
    }
}
