//! An S3 bucket with everything that belongs to it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>

mod contents;
mod folders;
mod lifecycle;

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{
    BlockedEncryptionTypes, BucketLifecycleConfiguration, BucketLocationConstraint,
    CreateBucketConfiguration, EncryptionType, LifecycleRule, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    Tag, Tagging,
};
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::Value;

use super::tags::Tags;
use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part, belongs};
use contents::Entry;
pub use folders::remove_empty;
use lifecycle::described_rules;

const GONE: &[&str] = &["NoSuchBucket"];
/// What S3 answers to who may not ask.
pub const DENIED: &[&str] = &["AccessDenied"];
/// The name is taken, in a region where we cannot look.
const ELSEWHERE: &[&str] = &["PermanentRedirect", "AuthorizationHeaderMalformed"];
/// There is no such bucket here.
pub const NOT_HERE: &[&str] = &[GONE[0], ELSEWHERE[0], ELSEWHERE[1]];
/// How S3 may refuse the call that sets tags where it takes another one alone.
const NOT_THIS_WAY: &[&str] = &[
    "InvalidBucketState",
    "InvalidRequest",
    "MethodNotAllowed",
    "OperationNotAllowed",
];
/// The one region without a name in requests, where making a bucket one has already succeeds.
const UNNAMED_REGION: &str = "us-east-1";
const PUBLIC_ACCESS: &[&str] = &[
    "block_public_acls",
    "block_public_policy",
    "ignore_public_acls",
    "restrict_public_buckets",
];
const ENCRYPTION: &[&str] = &["kms_master_key_id", "bucket_key_enabled", "sse_algorithm"];
/// How uploads may not be encrypted: found, kept, and not ours to decide.
const BLOCKED: &str = "blocked_encryption_types";
const LIFECYCLE: &[&str] = &["expiration_days", "lifecycle_rules"];
/// How long a bucket is emptied that somebody keeps filling.
const EMPTYING: Duration = Duration::from_mins(5);

/// How an S3 bucket should be.
#[derive(Debug, Clone, Serialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are S3's own, and independent"
)]
pub struct Bucket {
    /// The bucket's name.
    pub bucket: String,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// The region it is in.
    #[serde(skip)]
    pub region: String,
    /// Whether access lists that make something public are refused.
    pub block_public_acls: bool,
    /// Whether bucket policies that make something public are refused.
    pub block_public_policy: bool,
    /// Whether access lists that make something public do nothing.
    pub ignore_public_acls: bool,
    /// Whether a public bucket policy lets in nobody but this account and AWS services.
    pub restrict_public_buckets: bool,
    /// Whose the objects are: `BucketOwnerEnforced`.
    pub object_ownership: String,
    /// The key that encrypts objects.
    pub kms_master_key_id: String,
    /// Whether S3 asks KMS once for many objects.
    pub bucket_key_enabled: bool,
    /// How objects are encrypted: `aws:kms`.
    pub sse_algorithm: String,
    /// The bucket policy.
    pub policy: String,
    /// How the keys of answers begin.
    pub inbound_prefix: String,
    /// How the keys of requests begin.
    pub outbound_prefix: String,
    /// How the keys of task tokens begin, where they do not lie beside the requests.
    #[serde(skip)]
    pub private_prefix: Option<String>,
    /// Days until a request or an answer is deleted; 0 for never.
    pub expiration_days: i64,
    /// Whether the bucket is deleted with all that lies in it.
    #[serde(skip)]
    pub force_destroy: bool,
    /// The folder objects: empty objects whose keys end in `/`, which make the folders visible.
    pub folders: Vec<String>,
    /// All tags.
    pub tags: Tags,
}

fn tag_set<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Tag> {
    pairs
        .into_iter()
        .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
        .collect()
}

/// The tags of a bucket; `None` where there is no such one here.
///
/// # Errors
/// The failure of a call that failed otherwise.
pub async fn tags_of(bucket: &str, aws: &Aws) -> Result<Option<Tags>, Failure> {
    let tags = here(bucket, tag_set_of(bucket, aws).await, aws).await?;
    let tags = tags.flatten();
    let pairs = |tags: Vec<Tag>| tags.into_iter().map(|tag| (tag.key, tag.value));
    Ok(tags.map(|tags| Tags::listed(pairs(tags))))
}

/// What was answered of a bucket; none where there is no such one, or where it is in another region or account.
///
/// # Errors
/// The failure of a call that failed otherwise.
pub async fn here<T>(
    bucket: &str,
    answer: Result<T, Failure>,
    aws: &Aws,
) -> Result<Option<T>, Failure> {
    match answer {
        Err(failure) if failure.is(DENIED) && is_of_another_account(bucket, aws).await? => Ok(None),
        answer => absent(answer, NOT_HERE),
    }
}

/// Whether a bucket that may not be looked at is none of this account's, which lists all that are; no where that may not be seen either.
async fn is_of_another_account(bucket: &str, aws: &Aws) -> Result<bool, Failure> {
    let list = || aws.s3.list_buckets().prefix(bucket).send();
    let answer = aws.call("s3:ListBuckets", bucket, list).await;
    // One page is enough: what is called so comes first.
    let own = absent(answer, DENIED)?.map(|answer| answer.buckets.unwrap_or_default());
    let is_it = |own: &aws_sdk_s3::types::Bucket| own.name.as_deref() == Some(bucket);
    Ok(own.is_some_and(|own| !own.iter().any(is_it)))
}

/// All tags of a bucket, those of AWS among them; `None` when there is no bucket.
async fn tag_set_of(bucket: &str, aws: &Aws) -> Result<Option<Vec<Tag>>, Failure> {
    let get = || aws.s3.get_bucket_tagging().bucket(bucket).send();
    let answer = aws.call("s3:GetBucketTagging", bucket, get).await;
    let tags = absent(absent(answer, &["NoSuchTagSet"]), GONE)?;
    Ok(tags.map(|answer| answer.map(|answer| answer.tag_set).unwrap_or_default()))
}

impl Bucket {
    /// A failure to put a request together, which no input leads to.
    fn built<T>(&self, result: Result<T, BuildError>) -> Result<T, Failure> {
        result.map_err(|error| Failure::refusal(self.title(), error.to_string()))
    }

    async fn public_access_block(
        &self,
        aws: &Aws,
    ) -> Result<PublicAccessBlockConfiguration, Failure> {
        let get = || aws.s3.get_public_access_block().bucket(&self.bucket).send();
        let answer = aws.call("s3:GetPublicAccessBlock", &self.bucket, get).await;
        let answer = absent(answer, &["NoSuchPublicAccessBlockConfiguration"])?;
        let nothing = || PublicAccessBlockConfiguration::builder().build();
        Ok(answer
            .and_then(|answer| answer.public_access_block_configuration)
            .unwrap_or_else(nothing))
    }

    async fn ownership(&self, aws: &Aws) -> Result<String, Failure> {
        let get = || {
            aws.s3
                .get_bucket_ownership_controls()
                .bucket(&self.bucket)
                .send()
        };
        let answer = aws
            .call("s3:GetBucketOwnershipControls", &self.bucket, get)
            .await;
        let answer = absent(answer, &["OwnershipControlsNotFoundError"])?;
        let rules = answer
            .and_then(|answer| answer.ownership_controls)
            .map(|controls| controls.rules);
        let rule = rules.unwrap_or_default().into_iter().next();
        Ok(rule
            .map(|rule| rule.object_ownership.as_str().to_owned())
            .unwrap_or_default())
    }

    async fn encryption(&self, aws: &Aws) -> Result<Option<ServerSideEncryptionRule>, Failure> {
        let get = || aws.s3.get_bucket_encryption().bucket(&self.bucket).send();
        let answer = aws.call("s3:GetBucketEncryption", &self.bucket, get).await;
        let answer = absent(answer, &["ServerSideEncryptionConfigurationNotFoundError"])?;
        let configuration = answer.and_then(|answer| answer.server_side_encryption_configuration);
        Ok(configuration.and_then(|configuration| configuration.rules.into_iter().next()))
    }

    async fn policy_text(&self, aws: &Aws) -> Result<String, Failure> {
        let get = || aws.s3.get_bucket_policy().bucket(&self.bucket).send();
        let answer = absent(
            aws.call("s3:GetBucketPolicy", &self.bucket, get).await,
            &["NoSuchBucketPolicy"],
        )?;
        let text = answer.and_then(|answer| answer.policy);
        Ok(text
            .map(|text| policy::settled(&text, Some(&self.policy)))
            .unwrap_or_default())
    }

    async fn lifecycle(&self, aws: &Aws) -> Result<Vec<LifecycleRule>, Failure> {
        let get = || {
            aws.s3
                .get_bucket_lifecycle_configuration()
                .bucket(&self.bucket)
                .send()
        };
        let answer = aws
            .call("s3:GetBucketLifecycleConfiguration", &self.bucket, get)
            .await;
        Ok(absent(answer, &["NoSuchLifecycleConfiguration"])?
            .and_then(|answer| answer.rules)
            .unwrap_or_default())
    }

    /// Everything but the tags, as it is.
    async fn look(&self, aws: &Aws, tags: Tags) -> Result<Attributes, Failure> {
        let (access, object_ownership, encryption, policy, rules, folders) = tokio::try_join!(
            self.public_access_block(aws),
            self.ownership(aws),
            self.encryption(aws),
            self.policy_text(aws),
            self.lifecycle(aws),
            self.folders_of(aws),
        )?;
        let by_default = encryption
            .as_ref()
            .and_then(|rule| rule.apply_server_side_encryption_by_default.as_ref());
        let found = Self {
            block_public_acls: access.block_public_acls.unwrap_or_default(),
            block_public_policy: access.block_public_policy.unwrap_or_default(),
            ignore_public_acls: access.ignore_public_acls.unwrap_or_default(),
            restrict_public_buckets: access.restrict_public_buckets.unwrap_or_default(),
            object_ownership,
            kms_master_key_id: by_default
                .and_then(|rule| rule.kms_master_key_id.clone())
                .unwrap_or_default(),
            bucket_key_enabled: encryption
                .as_ref()
                .and_then(|rule| rule.bucket_key_enabled)
                .unwrap_or_default(),
            sse_algorithm: by_default
                .map(|rule| rule.sse_algorithm.as_str().to_owned())
                .unwrap_or_default(),
            policy,
            expiration_days: self.expiration_of(&rules),
            folders,
            tags,
            ..self.clone()
        };
        let blocked = encryption.and_then(|rule| rule.blocked_encryption_types);
        let blocked = blocked.and_then(|blocked| blocked.encryption_type);
        let blocked: Vec<&str> = blocked
            .iter()
            .flatten()
            .map(EncryptionType::as_str)
            .collect();
        let mut attributes = properties(&found);
        attributes.extend(attributes! { "lifecycle_rules": described_rules(&rules) });
        attributes.insert(BLOCKED.to_owned(), blocked.into());
        Ok(attributes)
    }

    async fn make(&self, aws: &Aws) -> Result<(), Failure> {
        let named = (self.region != UNNAMED_REGION)
            .then(|| BucketLocationConstraint::from(self.region.as_str()));
        let configuration = CreateBucketConfiguration::builder()
            .set_location_constraint(named)
            .set_tags(Some(tag_set(&self.tags.0)))
            .build();
        let create = || {
            aws.s3
                .create_bucket()
                .bucket(&self.bucket)
                .object_ownership(ObjectOwnership::from(self.object_ownership.as_str()))
                .create_bucket_configuration(configuration.clone())
                .send()
        };
        let answer = aws.call("s3:CreateBucket", &self.bucket, create).await;
        answer.map_err(|failure| {
            if failure.is(&["BucketAlreadyExists"]) {
                failure.advise("Bucket names are shared by all AWS accounts. Give the bucket a name of its own.")
            } else {
                failure
            }
        })?;
        if self.region == UNNAMED_REGION {
            self.prove_it_is_new(aws).await?;
        }
        Ok(())
    }

    /// In one region S3 answers "created" for a bucket the account has had all along. Only a new one carries our mark.
    async fn prove_it_is_new(&self, aws: &Aws) -> Result<(), Failure> {
        let other = OnceLock::new();
        let marked = || async {
            let tags = tag_set_of(&self.bucket, aws).await?.unwrap_or_default();
            let tags = Tags::listed(tags.into_iter().map(|tag| (tag.key, tag.value)));
            Ok(match self.tags.owner_of(&tags) {
                Owner::Us => Some(()),
                Owner::SomeoneElse(mark) => {
                    mark.map(|mark| other.set(mark));
                    None
                }
            })
        };
        let title = self.title();
        let settled = aws.settle(
            &title,
            "carrying the tags it was made with",
            Duration::from_secs(30),
            marked,
        );
        match settled.await {
            Err(failure) if !failure.interrupted => match other.get() {
                Some(mark) => Err(belongs(self, Some(mark))),
                None => Err(failure),
            },
            other => other,
        }
    }

    async fn put_tags(&self, aws: &Aws) -> Result<(), Failure> {
        // The call replaces all tags, and S3 refuses to let go of those of AWS.
        let theirs = tag_set_of(&self.bucket, aws).await?.unwrap_or_default();
        let stays = |key: &str| {
            let ignored = aws.ignored_tags.has(key) && !self.tags.0.contains_key(key);
            key.starts_with("aws:") || ignored
        };
        let theirs = theirs.into_iter().filter(|tag| stays(&tag.key));
        let tags = theirs.chain(tag_set(&self.tags.0)).collect();
        let tagging = self.built(Tagging::builder().set_tag_set(Some(tags)).build())?;
        let put = || {
            aws.s3
                .put_bucket_tagging()
                .bucket(&self.bucket)
                .tagging(tagging.clone())
                .send()
        };
        let answer = aws.call("s3:PutBucketTagging", &self.bucket, put);
        answer.await.map(drop).map_err(|failure| {
            // AWS does not document the code of this one.
            if !failure.is(NOT_THIS_WAY) {
                return failure;
            }
            failure.advise(format!(
                "S3 refuses it where attribute-based access control is switched on for the bucket (`aws s3api get-bucket-abac --bucket {0}`): `aws s3api put-bucket-abac \
                 --bucket {0} --abac-status Status=Disabled` before the apply, or give it these tags with `aws s3control tag-resource`.",
                self.bucket
            ))
        })
    }

    async fn put_public_access_block(&self, aws: &Aws) -> Result<(), Failure> {
        let configuration = PublicAccessBlockConfiguration::builder()
            .block_public_acls(self.block_public_acls)
            .block_public_policy(self.block_public_policy)
            .ignore_public_acls(self.ignore_public_acls)
            .restrict_public_buckets(self.restrict_public_buckets)
            .build();
        let put = || {
            let request = aws.s3.put_public_access_block().bucket(&self.bucket);
            request
                .public_access_block_configuration(configuration.clone())
                .send()
        };
        aws.call("s3:PutPublicAccessBlock", &self.bucket, put)
            .await
            .map(drop)
    }

    async fn put_policy(&self, aws: &Aws) -> Result<(), Failure> {
        let put = || {
            aws.s3
                .put_bucket_policy()
                .bucket(&self.bucket)
                .policy(&self.policy)
                .send()
        };
        aws.call("s3:PutBucketPolicy", &self.bucket, put)
            .await
            .map(drop)
    }

    async fn put_ownership(&self, aws: &Aws) -> Result<(), Failure> {
        let ownership = ObjectOwnership::from(self.object_ownership.as_str());
        let rule = self.built(
            OwnershipControlsRule::builder()
                .object_ownership(ownership)
                .build(),
        )?;
        let controls = self.built(OwnershipControls::builder().rules(rule).build())?;
        let put = || {
            let request = aws.s3.put_bucket_ownership_controls().bucket(&self.bucket);
            request.ownership_controls(controls.clone()).send()
        };
        let answer = aws.call("s3:PutBucketOwnershipControls", &self.bucket, put);
        answer.await.map(drop).map_err(|failure| {
            if !failure.is(&["InvalidBucketAclWithObjectOwnership"]) {
                return failure;
            }
            failure.advise(format!(
                "The bucket's access control list lets others in: `aws s3api put-bucket-acl --bucket {} --acl private` takes that away, then apply again.",
                self.bucket
            ))
        })
    }

    async fn put_encryption(&self, aws: &Aws, blocked: &[&str]) -> Result<(), Failure> {
        let types = blocked.iter().map(|name| EncryptionType::from(*name));
        let types = BlockedEncryptionTypes::builder().set_encryption_type(Some(types.collect()));
        let by_default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::from(self.sse_algorithm.as_str()))
            .kms_master_key_id(&self.kms_master_key_id);
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(self.built(by_default.build())?)
            .bucket_key_enabled(self.bucket_key_enabled)
            .set_blocked_encryption_types((!blocked.is_empty()).then(|| types.build()))
            .build();
        let configuration = self.built(
            ServerSideEncryptionConfiguration::builder()
                .rules(rule)
                .build(),
        )?;
        let put = || {
            let request = aws.s3.put_bucket_encryption().bucket(&self.bucket);
            request
                .server_side_encryption_configuration(configuration.clone())
                .send()
        };
        aws.call("s3:PutBucketEncryption", &self.bucket, put)
            .await
            .map(drop)
    }

    async fn put_lifecycle(&self, aws: &Aws) -> Result<(), Failure> {
        let configuration = BucketLifecycleConfiguration::builder()
            .set_rules(Some(self.rules()?))
            .build();
        let configuration = self.built(configuration)?;
        let put = || {
            let request = aws
                .s3
                .put_bucket_lifecycle_configuration()
                .bucket(&self.bucket);
            request
                .lifecycle_configuration(configuration.clone())
                .send()
        };
        aws.call("s3:PutBucketLifecycleConfiguration", &self.bucket, put)
            .await
            .map(drop)
    }

    /// Writes what `wanted` asks for by the names of properties, and the folder objects that were not there `before`.
    async fn put(
        &self,
        aws: &Aws,
        wanted: impl Fn(&[&str]) -> bool + Send + Sync,
        before: &Attributes,
    ) -> Result<(), Failure> {
        // S3 refuses two changes of a bucket's access at once, and the block comes before what it may have to block.
        let access = async {
            if wanted(PUBLIC_ACCESS) {
                self.put_public_access_block(aws).await?;
            }
            if wanted(&["policy"]) {
                self.put_policy(aws).await?;
            }
            if wanted(&["object_ownership"]) {
                self.put_ownership(aws).await?;
            }
            Ok(())
        };
        let encryption = async {
            if wanted(ENCRYPTION) {
                self.put_encryption(aws, &texts(before, BLOCKED)).await
            } else {
                Ok(())
            }
        };
        let lifecycle = async {
            if wanted(LIFECYCLE) {
                self.put_lifecycle(aws).await
            } else {
                Ok(())
            }
        };
        let tags = async {
            if wanted(&["tags"]) {
                self.put_tags(aws).await
            } else {
                Ok(())
            }
        };
        let present = texts(before, "folders");
        let missing = self
            .folders
            .iter()
            .filter(|folder| !present.contains(&folder.as_str()));
        let folders = try_join_all(missing.map(|folder| self.put_folder(aws, folder)));
        tokio::try_join!(access, encryption, lifecycle, tags, folders)?;
        Ok(())
    }
}

/// The texts of a list.
fn texts<'a>(attributes: &'a Attributes, name: &str) -> Vec<&'a str> {
    let list = attributes.get(name).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.collect()
}

#[async_trait]
impl Part<Aws> for Bucket {
    fn kind(&self) -> &'static str {
        "S3 bucket"
    }

    fn name(&self) -> &str {
        &self.bucket
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        desired.extend(
            attributes! { "lifecycle_rules": described_rules(&self.rules().unwrap_or_default()) },
        );
        desired
    }

    fn tagged_as(&self) -> Option<&str> {
        Some(&self.arn)
    }

    fn writes_too(&self, one: &str, other: &str) -> bool {
        let calls = [PUBLIC_ACCESS, ENCRYPTION, LIFECYCLE];
        let mut calls = calls.iter();
        calls.any(|call| call.contains(&one) && call.contains(&other))
    }

    fn follows(&self, property: &str) -> Option<&'static str> {
        (property == "lifecycle_rules").then_some("expiration_days")
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let ask = || async {
            let tags = tag_set_of(&self.bucket, aws).await?;
            Ok(tags.map(|tags| Tags::listed(tags.into_iter().map(|tag| (tag.key, tag.value)))))
        };
        let tags = match aws.tags(&self.arn, &self.tags, ask).await {
            Ok(Some(tags)) => tags,
            Ok(None) => return Ok(None),
            Err(failure)
                if failure.is(ELSEWHERE)
                    || failure.is(DENIED) && is_of_another_account(&self.bucket, aws).await? =>
            {
                return Ok(Some(Found {
                    attributes: Attributes::new(),
                    owner: Owner::SomeoneElse(None),
                }));
            }
            Err(failure) if failure.is(DENIED) => {
                return Err(failure.advise(
                    "A bucket of this name exists. It belongs to another account (which s3:ListAllMyBuckets would show), or these credentials may not read its tags.",
                ));
            }
            Err(failure) => return Err(failure),
        };
        let owner = self.tags.owner_of(&tags);
        // It may be ours and have lost its mark: what else it is tells.
        if owner != Owner::Us {
            let look = Box::pin(self.look(aws, tags.clone())).await;
            let look = absent(look, &[GONE, DENIED].concat())?;
            // A null stands for what nobody may see: which key it works with.
            let unseen = || attributes! { "tags": tags, "kms_master_key_id": Value::Null };
            let attributes = look.unwrap_or_else(unseen);
            return Ok(Some(Found { attributes, owner }));
        }
        // Just after it was made, a bucket can be there for one call and not for the next.
        let whole = || async {
            let look = absent(Box::pin(self.look(aws, tags.clone())).await, GONE)?;
            // Its tags may have outlived it in the index.
            let gone = look.is_none() && tag_set_of(&self.bucket, aws).await?.is_none();
            Ok((look.is_some() || gone).then_some(look))
        };
        let look = aws
            .settle(
                &self.title(),
                "readable as a whole",
                Duration::from_secs(20),
                whole,
            )
            .await?;
        Ok(look.map(|attributes| Found { attributes, owner }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        self.make(aws).await?;
        let wanted = |names: &[&str]| names != ["tags"] && names != ["object_ownership"];
        Box::pin(self.put(aws, wanted, &Attributes::new())).await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        Box::pin(self.put(aws, |names| changes.any(names), &found.attributes)).await?;
        Ok(Attributes::new())
    }

    async fn in_use(&self, aws: &Aws, strictly: bool) -> Result<Option<Failure>, Failure> {
        if self.force_destroy && !strictly {
            return Ok(None);
        }
        let (contents, _) = self.survey(aws).await?;
        Ok(self.refusal(&contents))
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        if self.force_destroy {
            self.empty(aws).await?;
        } else {
            // What else is in it was looked for before the destroy began, and shows again if it is there.
            let folders = self.folders.iter().cloned().map(Entry::plain);
            self.remove(aws, folders.collect()).await?;
        }
        let gone = || async { self.deleted(aws).await };
        let title = self.title();
        let emptied = aws.settle(&title, "empty and deleted", EMPTYING, gone);
        emptied.await.map_err(|failure| {
            if failure.operation.is_empty() && !failure.interrupted {
                failure.advise("What is written to it all the time keeps it: end what writes, and destroy again.")
            } else {
                failure
            }
        })?;
        let gone = || async {
            let head = || aws.s3.head_bucket().bucket(&self.bucket).send();
            match aws.call("s3:HeadBucket", &self.bucket, head).await {
                Err(failure) if failure.status == Some(404) => Ok(Some(())),
                other => other.map(|_| None),
            }
        };
        aws.settle(&self.title(), "gone", Duration::from_mins(2), gone)
            .await
    }
}

#[cfg(test)]
fn sample() -> Bucket {
    Bucket {
        bucket: "b".into(),
        arn: "arn:aws:s3:::b".into(),
        region: "eu-west-1".into(),
        block_public_acls: true,
        block_public_policy: true,
        ignore_public_acls: true,
        restrict_public_buckets: true,
        object_ownership: "BucketOwnerEnforced".into(),
        kms_master_key_id: "arn:aws:kms:eu-west-1:123456789012:key/k".into(),
        bucket_key_enabled: true,
        sse_algorithm: "aws:kms".into(),
        policy: "{}".into(),
        inbound_prefix: "inbound/".into(),
        outbound_prefix: "outbound/".into(),
        private_prefix: None,
        expiration_days: 30,
        force_destroy: false,
        folders: vec!["inbound/".into(), "outbound/".into()],
        tags: Tags::default(),
    }
}
