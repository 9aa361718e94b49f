//! An S3 bucket with everything that belongs to it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    CreateBucketConfiguration, Delete, Error, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, ObjectIdentifier, ObjectOwnership,
    OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    Tag, Tagging,
};
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::tags::Tags;
use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

const GONE: &[&str] = &["NoSuchBucket"];
/// The name is taken, in a region where we cannot look.
const ELSEWHERE: &[&str] = &["PermanentRedirect", "AuthorizationHeaderMalformed"];
/// The one region without a name in requests, where making a bucket one has already succeeds.
const UNNAMED_REGION: &str = "us-east-1";
const PUBLIC_ACCESS: &[&str] = &[
    "block_public_acls",
    "block_public_policy",
    "ignore_public_acls",
    "restrict_public_buckets",
];
const ENCRYPTION: &[&str] = &["kms_master_key_id", "bucket_key_enabled", "sse_algorithm"];
const LIFECYCLE: &[&str] = &["expiration_days", "lifecycle_rules"];
/// Parts of an upload nobody finished cost money and cannot be seen.
const ABANDONED_UPLOAD_DAYS: i32 = 7;
/// No more than this is counted of what lies in a bucket.
const COUNTED: usize = 1000;
const EXAMPLES: usize = 3;
/// What S3 takes.
const DELETED_AT_ONCE: usize = 1000;
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

/// What lies in a bucket besides folder objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many objects, old versions and delete markers there are, as far as they were counted.
    pub count: usize,
    /// True when there are more than `count`.
    pub more: bool,
    /// The first few keys.
    pub examples: Vec<String>,
}

impl Contents {
    /// True when the bucket holds nothing but folder objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, key: &str) {
        self.count += 1;
        if self.examples.len() < EXAMPLES && !self.examples.iter().any(|known| known == key) {
            self.examples.push(key.to_owned());
        }
    }
}

/// `more than 1000 objects (outbound/a/data.json, …)`
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (than, plural) = (
            if self.more { "more than " } else { "" },
            if self.count == 1 { "" } else { "s" },
        );
        let rest = if self.count > self.examples.len() || self.more {
            ", …"
        } else {
            ""
        };
        write!(
            f,
            "{than}{} object{plural} ({}{rest})",
            self.count,
            self.examples.join(", ")
        )
    }
}

/// One entry of a listing: an object, an old version of one, or a delete marker.
struct Entry {
    key: String,
    version: Option<String>,
    /// An empty object whose key ends in `/`: it makes a folder visible and holds nothing of anybody's.
    folder: bool,
}

impl Entry {
    /// An object, whatever its version.
    fn plain(key: String) -> Self {
        Self {
            key,
            version: None,
            folder: true,
        }
    }
}

fn entries(page: ListObjectVersionsOutput) -> Vec<Entry> {
    let version = |key: String, version, size| Entry {
        folder: key.ends_with('/') && size == 0,
        key,
        version,
    };
    let versions = page.versions.unwrap_or_default().into_iter();
    let markers = page.delete_markers.unwrap_or_default().into_iter();
    versions
        .filter_map(|entry| {
            Some(version(
                entry.key?,
                entry.version_id,
                entry.size.unwrap_or_default(),
            ))
        })
        .chain(markers.filter_map(|entry| Some(version(entry.key?, entry.version_id, 0))))
        .collect()
}

/// The prefix a rule is for, wherever it is written.
fn prefix_of(rule: &LifecycleRule) -> &str {
    let filter = rule.filter.as_ref();
    let and = filter.and_then(|filter| filter.and.as_ref());
    let written = and
        .and_then(|and| and.prefix.as_ref())
        .or(filter.and_then(|filter| filter.prefix.as_ref()));
    #[allow(
        deprecated,
        reason = "rules of other tools may still have their prefix there"
    )]
    written
        .or(rule.prefix.as_ref())
        .map(String::as_str)
        .unwrap_or_default()
}

/// A lifecycle rule in the words of the hashicorp/aws provider; what we never set is shown as the SDK prints it.
fn described_rule(rule: &LifecycleRule) -> Value {
    let filter = rule.filter.as_ref();
    let and = filter.and_then(|filter| filter.and.as_ref());
    let larger = match and {
        // S3 wants two conditions there, so one that is not shown is the size, at its least.
        Some(and) => Some(and.object_size_greater_than.unwrap_or_default()),
        None => filter.and_then(|filter| filter.object_size_greater_than),
    };
    let expiration = rule.expiration.as_ref();
    let others: Vec<String> = [
        filter
            .and_then(|filter| filter.tag.as_ref())
            .map(|tag| format!("{tag:?}")),
        filter
            .and_then(|filter| filter.object_size_less_than)
            .map(|size| format!("smaller than {size}")),
        and.map(LifecycleRuleAndOperator::tags)
            .filter(|tags| !tags.is_empty())
            .map(|tags| format!("{tags:?}")),
        and.and_then(|and| and.object_size_less_than)
            .filter(|size| *size > 0)
            .map(|size| format!("smaller than {size}")),
        expiration
            .and_then(|expiration| expiration.date)
            .map(|date| format!("on {date}")),
        expiration
            .and_then(|expiration| expiration.expired_object_delete_marker)
            .filter(|set| *set)
            .map(|_| "expired delete markers".to_owned()),
        Some(rule.transitions())
            .filter(|list| !list.is_empty())
            .map(|list| format!("{list:?}")),
        Some(rule.noncurrent_version_transitions())
            .filter(|list| !list.is_empty())
            .map(|list| format!("{list:?}")),
        rule.noncurrent_version_expiration
            .as_ref()
            .map(|expiration| format!("{expiration:?}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut shown = json!({
        "id": rule.id,
        "status": rule.status.as_str(),
        "prefix": prefix_of(rule),
        "object_size_greater_than": larger,
        "expiration_days": expiration.and_then(|expiration| expiration.days),
        "abort_incomplete_multipart_upload_days":
            rule.abort_incomplete_multipart_upload.as_ref().and_then(|abort| abort.days_after_initiation),
        "others": others,
    });
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, value| !value.is_null() && *value != json!([]));
    }
    shown
}

/// The canonical text of lifecycle rules: in the order of their ids.
fn described_rules(rules: &[LifecycleRule]) -> String {
    let mut rules: Vec<&LifecycleRule> = rules.iter().collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    Value::Array(rules.into_iter().map(described_rule).collect()).to_string()
}

/// The place a folder is in: `a/` for `a/b/`, nothing for `a/`.
fn above(folder: &str) -> &str {
    let name = folder.trim_end_matches('/');
    name.rfind('/').map_or("", |slash| &folder[..=slash])
}

fn tag_set<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Tag> {
    pairs
        .into_iter()
        .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
        .collect()
}

impl Bucket {
    /// A failure to put a request together, which no input leads to.
    fn built<T>(&self, result: Result<T, BuildError>) -> Result<T, Failure> {
        result.map_err(|error| Failure::refusal(self.title(), error.to_string()))
    }

    /// The lifecycle: requests and answers end after their days, but not the folder objects, which are empty.
    fn rules(&self) -> Result<Vec<LifecycleRule>, Failure> {
        let mut rules = Vec::new();
        if let (1.., Ok(days)) = (self.expiration_days, i32::try_from(self.expiration_days)) {
            let private = self.private_prefix.as_ref();
            for (id, prefix) in [
                ("inbound", &self.inbound_prefix),
                ("outbound", &self.outbound_prefix),
            ]
            .into_iter()
            .chain(private.map(|prefix| ("private", prefix)))
            {
                let and = LifecycleRuleAndOperator::builder()
                    .prefix(prefix)
                    .object_size_greater_than(0)
                    .build();
                let rule = LifecycleRule::builder()
                    .id(format!("bellflower-expire-{id}"))
                    .status(ExpirationStatus::Enabled)
                    .filter(LifecycleRuleFilter::builder().and(and).build())
                    .expiration(LifecycleExpiration::builder().days(days).build());
                rules.push(self.built(rule.build())?);
            }
        }
        let abort = AbortIncompleteMultipartUpload::builder()
            .days_after_initiation(ABANDONED_UPLOAD_DAYS)
            .build();
        let rule = LifecycleRule::builder()
            .id("bellflower-abort-uploads")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .abort_incomplete_multipart_upload(abort);
        rules.push(self.built(rule.build())?);
        Ok(rules)
    }

    /// Days until requests and answers end, by the rules found; where the two differ, the one that is not as it should be.
    fn expiration_of(&self, rules: &[LifecycleRule]) -> i64 {
        let days = |prefix: &str| {
            let fits = |rule: &&LifecycleRule| {
                rule.status == ExpirationStatus::Enabled && prefix_of(rule) == prefix
            };
            rules
                .iter()
                .filter(fits)
                .find_map(|rule| rule.expiration.as_ref()?.days)
                .map_or(0, i64::from)
        };
        let (inbound, outbound) = (days(&self.inbound_prefix), days(&self.outbound_prefix));
        if inbound == self.expiration_days {
            outbound
        } else {
            inbound
        }
    }

    /// All tags of the bucket, those of AWS among them; `None` when there is no bucket.
    async fn tags_of(&self, aws: &Aws) -> Result<Option<Vec<Tag>>, Failure> {
        let get = || aws.s3.get_bucket_tagging().bucket(&self.bucket).send();
        let answer = absent(
            aws.call("s3:GetBucketTagging", &self.bucket, get).await,
            &["NoSuchTagSet"],
        );
        Ok(absent(answer, GONE)?
            .map(|answer| answer.map(|answer| answer.tag_set).unwrap_or_default()))
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

    /// Those of our folders that can be seen: by their own object, or by any other in them.
    async fn folders_of(&self, aws: &Aws) -> Result<Vec<String>, Failure> {
        let places: BTreeSet<&str> = self.folders.iter().map(|folder| above(folder)).collect();
        let lists = try_join_all(places.into_iter().map(|place| self.folders_in(aws, place)));
        let seen: BTreeSet<String> = lists.await?.into_iter().flatten().collect();
        Ok(self
            .folders
            .iter()
            .filter(|folder| seen.contains(*folder))
            .cloned()
            .collect())
    }

    /// The folders right below a place.
    async fn folders_in(&self, aws: &Aws, place: &str) -> Result<Vec<String>, Failure> {
        let mut folders = Vec::new();
        let mut token = None;
        loop {
            let list = || {
                let request = aws.s3.list_objects_v2().bucket(&self.bucket);
                request
                    .prefix(place)
                    .delimiter("/")
                    .set_continuation_token(token.clone())
                    .send()
            };
            let page = aws.call("s3:ListObjectsV2", &self.bucket, list).await?;
            let prefixes = page.common_prefixes.unwrap_or_default();
            folders.extend(prefixes.into_iter().filter_map(|entry| entry.prefix));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(folders);
            }
        }
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
        let mut attributes = properties(&found);
        attributes.extend(attributes! { "lifecycle_rules": described_rules(&rules) });
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
        let marked = || async {
            let tags = self.tags_of(aws).await?.unwrap_or_default();
            let tags = Tags::listed(tags.into_iter().map(|tag| (tag.key, tag.value)));
            Ok((self.tags.owner_of(&tags) == Owner::Us).then_some(()))
        };
        aws.settle(
            &self.title(),
            "carrying the tags it was made with",
            Duration::from_secs(30),
            marked,
        )
        .await
    }

    async fn put_tags(&self, aws: &Aws) -> Result<(), Failure> {
        // The call replaces all tags, and S3 refuses to let go of those of AWS.
        let theirs = self.tags_of(aws).await?.unwrap_or_default();
        let theirs = theirs.into_iter().filter(|tag| tag.key.starts_with("aws:"));
        let tags = theirs.chain(tag_set(&self.tags.0)).collect();
        let tagging = self.built(Tagging::builder().set_tag_set(Some(tags)).build())?;
        let put = || {
            aws.s3
                .put_bucket_tagging()
                .bucket(&self.bucket)
                .tagging(tagging.clone())
                .send()
        };
        aws.call("s3:PutBucketTagging", &self.bucket, put)
            .await
            .map(drop)
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
        aws.call("s3:PutBucketOwnershipControls", &self.bucket, put)
            .await
            .map(drop)
    }

    async fn put_encryption(&self, aws: &Aws) -> Result<(), Failure> {
        let by_default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::from(self.sse_algorithm.as_str()))
            .kms_master_key_id(&self.kms_master_key_id);
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(self.built(by_default.build())?)
            .bucket_key_enabled(self.bucket_key_enabled)
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

    async fn put_folder(&self, aws: &Aws, folder: &str) -> Result<(), Failure> {
        // The encryption is said again, since the bucket's own may take a moment to be known everywhere.
        let put = || {
            aws.s3
                .put_object()
                .bucket(&self.bucket)
                .key(folder)
                .content_type("application/x-directory")
                .server_side_encryption(ServerSideEncryption::from(self.sse_algorithm.as_str()))
                .ssekms_key_id(&self.kms_master_key_id)
                .bucket_key_enabled(self.bucket_key_enabled)
                .body(ByteStream::from_static(b""))
                .send()
        };
        aws.call("s3:PutObject", &format!("{}/{folder}", self.bucket), put)
            .await
            .map(drop)
    }

    /// Writes what `wanted` asks for by the names of properties, and the folder objects not in `present`.
    async fn put(
        &self,
        aws: &Aws,
        wanted: impl Fn(&[&str]) -> bool + Send + Sync,
        present: &[&str],
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
                self.put_encryption(aws).await
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
        let missing = self
            .folders
            .iter()
            .filter(|folder| !present.contains(&folder.as_str()));
        let folders = try_join_all(missing.map(|folder| self.put_folder(aws, folder)));
        tokio::try_join!(access, encryption, lifecycle, tags, folders)?;
        Ok(())
    }

    /// What lies in the bucket, counted to a little over 1000, and the folder objects met on the way. A bucket that is not there is
    /// empty.
    async fn survey(&self, aws: &Aws) -> Result<(Contents, Vec<Entry>), Failure> {
        let (mut contents, mut folders) = (Contents::default(), Vec::new());
        let (mut key, mut version) = (None, None);
        loop {
            let Some(page) = self.page(aws, key, version).await? else {
                break;
            };
            (key, version) = (
                page.next_key_marker.clone(),
                page.next_version_id_marker.clone(),
            );
            let last = key.is_none() || !page.is_truncated.unwrap_or_default();
            for entry in entries(page) {
                if entry.folder {
                    folders.push(entry);
                } else if contents.count < COUNTED {
                    contents.add(&entry.key);
                } else {
                    contents.more = true;
                }
            }
            if last || contents.more {
                break;
            }
        }
        Ok((contents, folders))
    }

    async fn page(
        &self,
        aws: &Aws,
        key: Option<String>,
        version: Option<String>,
    ) -> Result<Option<ListObjectVersionsOutput>, Failure> {
        let list = || {
            let request = aws.s3.list_object_versions().bucket(&self.bucket);
            request
                .set_key_marker(key.clone())
                .set_version_id_marker(version.clone())
                .send()
        };
        absent(
            aws.call("s3:ListObjectVersions", &self.bucket, list).await,
            GONE,
        )
    }

    fn refusal(&self, contents: &Contents) -> Option<Failure> {
        let message = format!("it still holds {contents}, so it was not deleted");
        (!contents.is_empty()).then(|| {
            Failure::refusal(self.title(), message).advise(
                "Move away what is still needed and empty the bucket, or set `force_destroy = true` for it, apply, and destroy \
                 again: then everything in it is deleted with it.",
            )
        })
    }

    async fn remove(&self, aws: &Aws, entries: Vec<Entry>) -> Result<(), Failure> {
        let identifier = |entry: Entry| {
            ObjectIdentifier::builder()
                .key(entry.key)
                .set_version_id(entry.version)
                .build()
        };
        let objects = self.built(
            entries
                .into_iter()
                .map(identifier)
                .collect::<Result<Vec<_>, _>>(),
        )?;
        for objects in objects.chunks(DELETED_AT_ONCE) {
            let delete = self.built(
                Delete::builder()
                    .set_objects(Some(objects.to_vec()))
                    .quiet(true)
                    .build(),
            )?;
            let send = || {
                aws.s3
                    .delete_objects()
                    .bucket(&self.bucket)
                    .delete(delete.clone())
                    .send()
            };
            let answer = absent(aws.call("s3:DeleteObjects", &self.bucket, send).await, GONE)?;
            if let Some(error) = answer
                .and_then(|answer| answer.errors)
                .unwrap_or_default()
                .into_iter()
                .next()
            {
                return Err(self.kept(error));
            }
        }
        Ok(())
    }

    /// The failure to delete one object.
    fn kept(&self, error: Error) -> Failure {
        Failure {
            operation: "s3:DeleteObjects",
            object: format!("{}/{}", self.bucket, error.key.unwrap_or_default()),
            code: error.code,
            message: error.message.unwrap_or_default(),
            attempts: 1,
            ..Failure::default()
        }
    }

    /// Deletes all objects, versions, delete markers and unfinished uploads.
    async fn empty(&self, aws: &Aws) -> Result<(), Failure> {
        // Always the first page, since what was on it is gone the next time.
        let mut more = true;
        while more && let Some(page) = self.page(aws, None, None).await? {
            more = page.is_truncated.unwrap_or_default();
            let entries = entries(page);
            if aws.stop.is_cancelled() {
                return Err(Failure::refusal(
                    self.title(),
                    "interrupted while emptying it",
                ));
            }
            self.remove(aws, entries).await?;
        }
        self.abort_uploads(aws).await
    }

    /// Deletes the bucket; nothing when somebody wrote to it in between, which is then looked at.
    async fn deleted(&self, aws: &Aws) -> Result<Option<()>, Failure> {
        let delete = || aws.s3.delete_bucket().bucket(&self.bucket).send();
        match aws.call("s3:DeleteBucket", &self.bucket, delete).await {
            Err(failure) if failure.is(&["BucketNotEmpty"]) => {}
            other => return absent(other, GONE).map(|_| Some(())),
        }
        if self.force_destroy {
            self.empty(aws).await?;
            return Ok(None);
        }
        let (contents, folders) = self.survey(aws).await?;
        match self.refusal(&contents) {
            Some(refusal) => Err(refusal),
            None => self.remove(aws, folders).await.map(|()| None),
        }
    }

    async fn abort_uploads(&self, aws: &Aws) -> Result<(), Failure> {
        let (mut key, mut id) = (None, None);
        loop {
            let list = || {
                let request = aws.s3.list_multipart_uploads().bucket(&self.bucket);
                request
                    .set_key_marker(key.clone())
                    .set_upload_id_marker(id.clone())
                    .send()
            };
            let answer = absent(
                aws.call("s3:ListMultipartUploads", &self.bucket, list)
                    .await,
                GONE,
            )?;
            let Some(page) = answer else { return Ok(()) };
            for upload in page.uploads.unwrap_or_default() {
                let (Some(key), Some(id)) = (upload.key, upload.upload_id) else {
                    continue;
                };
                let abort = || {
                    aws.s3
                        .abort_multipart_upload()
                        .bucket(&self.bucket)
                        .key(&key)
                        .upload_id(&id)
                        .send()
                };
                let answer = aws
                    .call(
                        "s3:AbortMultipartUpload",
                        &format!("{}/{key}", self.bucket),
                        abort,
                    )
                    .await;
                absent(answer, &["NoSuchUpload", "NoSuchBucket"])?;
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
            if key.is_none() || !page.is_truncated.unwrap_or_default() {
                return Ok(());
            }
        }
    }
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

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let ask = || async {
            let tags = self.tags_of(aws).await?;
            Ok(tags.map(|tags| Tags::listed(tags.into_iter().map(|tag| (tag.key, tag.value)))))
        };
        let tags = match aws.tags(&self.arn, &self.tags, ask).await {
            Ok(Some(tags)) => tags,
            Ok(None) => return Ok(None),
            Err(failure) if failure.is(ELSEWHERE) => {
                return Ok(Some(Found {
                    attributes: Attributes::new(),
                    owner: Owner::SomeoneElse(None),
                }));
            }
            Err(failure) if failure.is(&["AccessDenied"]) => {
                return Err(failure.advise(
                    "A bucket of this name exists. It belongs to another account, or these credentials may not read its tags.",
                ));
            }
            Err(failure) => return Err(failure),
        };
        let owner = self.tags.owner_of(&tags);
        match owner {
            Owner::Us => {}
            // It may be ours and have lost its mark: what else it is tells.
            Owner::SomeoneElse(None) => {
                let look = Box::pin(self.look(aws, tags.clone())).await;
                let attributes = look.unwrap_or_else(|_| attributes! { "tags": tags });
                return Ok(Some(Found { attributes, owner }));
            }
            Owner::SomeoneElse(Some(_)) => {
                let attributes = attributes! { "tags": tags };
                return Ok(Some(Found { attributes, owner }));
            }
        }
        // Just after it was made, a bucket can be there for one call and not for the next.
        let whole = || async {
            let look = absent(Box::pin(self.look(aws, tags.clone())).await, GONE)?;
            // Its tags may have outlived it in the index.
            let gone = look.is_none() && self.tags_of(aws).await?.is_none();
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
        Box::pin(self.put(aws, wanted, &[])).await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let present = found.attributes.get("folders").and_then(Value::as_array);
        let present: Vec<&str> = present
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        Box::pin(self.put(aws, |names| changes.any(names), &present)).await?;
        Ok(Attributes::new())
    }

    async fn in_use(&self, aws: &Aws) -> Result<Option<Failure>, Failure> {
        if self.force_destroy {
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
        aws.settle(&self.title(), "empty and deleted", EMPTYING, gone)
            .await?;
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
mod tests {
    use super::*;
    use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion, Transition};

    fn bucket() -> Bucket {
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

    /// Rules as S3 shows them: in an order of its own, an empty prefix left out, a size of 0 said or not.
    fn shown(size: Option<i64>) -> Vec<LifecycleRule> {
        let mut rules = bucket().rules().unwrap();
        rules.reverse();
        for filter in rules.iter_mut().filter_map(|rule| rule.filter.as_mut()) {
            match &mut filter.and {
                Some(and) => and.object_size_greater_than = size,
                None => filter.prefix = None,
            }
        }
        rules
    }

    #[test]
    fn its_own_lifecycle_is_no_difference() {
        let want = described_rules(&bucket().rules().unwrap());
        assert_eq!(described_rules(&shown(Some(0))), want);
        assert_eq!(described_rules(&shown(None)), want);
        assert_eq!(bucket().expiration_of(&shown(None)), 30);
        assert!(
            want.contains(r#""prefix":"inbound/""#)
                && want.contains(r#""object_size_greater_than":0"#),
            "{want}"
        );
    }

    #[test]
    fn tokens_of_their_own_place_end_too() {
        let apart = Bucket {
            private_prefix: Some("private/".into()),
            ..bucket()
        };
        let rules = apart.rules().unwrap();
        assert!(rules.iter().any(|rule| prefix_of(rule) == "private/"));
        assert_eq!(rules.len(), bucket().rules().unwrap().len() + 1);
    }

    #[test]
    fn every_other_lifecycle_is_a_difference() {
        let want = described_rules(&bucket().rules().unwrap());
        let differs = |change: &dyn Fn(&mut LifecycleRule)| {
            let mut rules = bucket().rules().unwrap();
            change(&mut rules[0]);
            described_rules(&rules) != want
        };
        assert!(differs(&|rule| rule.status = ExpirationStatus::Disabled));
        assert!(differs(
            &|rule| rule.expiration = Some(LifecycleExpiration::builder().days(31).build())
        ));
        assert!(differs(
            &|rule| rule.filter = Some(LifecycleRuleFilter::builder().prefix("inbound/").build())
        ));
        assert!(differs(
            &|rule| rule.transitions = Some(vec![Transition::builder().days(1).build()])
        ));
        assert!(described_rules(&[]) != want);
    }

    #[test]
    fn days_are_those_that_are_not_as_they_should_be() {
        let mut rules = bucket().rules().unwrap();
        rules[1].expiration = Some(LifecycleExpiration::builder().days(7).build());
        assert_eq!(bucket().expiration_of(&rules), 7);
        rules[1].status = ExpirationStatus::Disabled;
        assert_eq!(bucket().expiration_of(&rules), 0);
        assert_eq!(bucket().expiration_of(&[]), 0);
    }

    #[test]
    fn never_means_no_rule_but_the_one_for_uploads() {
        let never = Bucket {
            expiration_days: 0,
            ..bucket()
        };
        assert_eq!(never.rules().unwrap().len(), 1);
        assert_eq!(never.expiration_of(&never.rules().unwrap()), 0);
    }

    #[test]
    fn folder_objects_are_empty_and_end_in_a_slash() {
        let version = |key: &str, size| {
            ObjectVersion::builder()
                .key(key)
                .version_id("null")
                .size(size)
                .build()
        };
        let page = ListObjectVersionsOutput::builder()
            .versions(version("inbound/", 0))
            .versions(version("inbound/x", 0))
            .versions(version("odd/", 3))
            .delete_markers(
                DeleteMarkerEntry::builder()
                    .key("outbound/")
                    .version_id("v")
                    .build(),
            )
            .build();
        let folders: Vec<(String, bool)> = entries(page)
            .into_iter()
            .map(|entry| (entry.key, entry.folder))
            .collect();
        let names: Vec<&str> = folders
            .iter()
            .filter(|entry| entry.1)
            .map(|entry| entry.0.as_str())
            .collect();
        assert_eq!((folders.len(), names), (4, vec!["inbound/", "outbound/"]));
    }

    #[test]
    fn says_what_lies_in_it() {
        let mut contents = Contents::default();
        contents.add("a");
        assert_eq!(contents.to_string(), "1 object (a)");
        for key in ["a", "b", "c", "d"] {
            contents.add(key);
        }
        assert_eq!(contents.to_string(), "5 objects (a, b, c, …)");
        contents.more = true;
        assert_eq!(contents.to_string(), "more than 5 objects (a, b, c, …)");
        assert!(bucket().refusal(&Contents::default()).is_none());
        assert!(
            bucket()
                .refusal(&contents)
                .is_some_and(|failure| failure.operation.is_empty())
        );
    }
}
