//! What lies in the bucket: counting it, and getting rid of it.

use std::fmt;

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::{Delete, Error, ObjectIdentifier};

use super::{Bucket, GONE};
use crate::engine::{Failure, Part};
use crate::parts::{Aws, absent};

/// No more than this is counted of what lies in a bucket.
const COUNTED: usize = 1000;
const EXAMPLES: usize = 3;
/// What S3 takes.
const DELETED_AT_ONCE: usize = 1000;

/// What lies in a bucket besides folder objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many objects, old versions and delete markers there are, as far as they were counted.
    pub count: usize,
    /// How many of these are old versions and delete markers.
    pub past: usize,
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

    pub(super) fn add(&mut self, key: &str, is_past: bool) {
        self.count += 1;
        self.past += usize::from(is_past);
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
        let past = match self.past {
            0 => String::new(),
            past => format!(
                "{past} of them old version{0} or delete marker{0}, which `aws s3api list-object-versions` shows; ",
                if past == 1 { "" } else { "s" }
            ),
        };
        write!(
            f,
            "{than}{} object{plural} ({past}{}{rest})",
            self.count,
            self.examples.join(", ")
        )
    }
}

/// One entry of a listing: an object, an old version of one, or a delete marker.
pub(super) struct Entry {
    key: String,
    version: Option<String>,
    /// An empty object whose key ends in `/`: it makes a folder visible and holds nothing of anybody's.
    folder: bool,
    /// An old version or a delete marker.
    past: bool,
}

impl Entry {
    /// An object, whatever its version.
    pub(super) fn plain(key: String) -> Self {
        Self {
            key,
            version: None,
            folder: true,
            past: false,
        }
    }
}

pub(super) fn entries(page: ListObjectVersionsOutput) -> Vec<Entry> {
    let version = |key: String, version, size, past| Entry {
        folder: key.ends_with('/') && size == 0,
        key,
        version,
        past,
    };
    let versions = page.versions.unwrap_or_default().into_iter();
    let markers = page.delete_markers.unwrap_or_default().into_iter();
    versions
        .filter_map(|entry| {
            Some(version(
                entry.key?,
                entry.version_id,
                entry.size.unwrap_or_default(),
                entry.is_latest == Some(false),
            ))
        })
        .chain(markers.filter_map(|entry| Some(version(entry.key?, entry.version_id, 0, true))))
        .collect()
}

impl Bucket {
    /// What lies in the bucket, counted to a little over 1000, and the folder objects met on the way. A bucket that is not there is
    /// empty.
    pub(super) async fn survey(&self, aws: &Aws) -> Result<(Contents, Vec<Entry>), Failure> {
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
                    contents.add(&entry.key, entry.past);
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

    pub(super) fn refusal(&self, contents: &Contents) -> Option<Failure> {
        let message = format!("it still holds {contents}");
        (!contents.is_empty()).then(|| {
            Failure::refusal(self.title(), message).advise(
                "Move away what is still needed and empty the bucket, or set `force_destroy = true` for it, apply, and destroy \
                 again: then everything in it is deleted with it. Where it is to be replaced, apply that first for itself, and `terraform untaint` before that where it is tainted. \
                 No apply reaches what Terraform calls deposed (create_before_destroy): empty its bucket.",
            )
        })
    }

    pub(super) async fn remove(&self, aws: &Aws, entries: Vec<Entry>) -> Result<(), Failure> {
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
            let answer = match aws.call("s3:DeleteObjects", &self.bucket, send).await {
                // A key may hold what XML does not: then each is named in a URL.
                Err(failure) if failure.is(&["MalformedXML"]) => {
                    self.remove_each(aws, objects.iter()).await?;
                    continue;
                }
                answer => absent(answer, GONE)?,
            };
            // Some may be left for the moment, of which S3 says why when it is asked for one alone.
            let errors = answer.and_then(|answer| answer.errors).unwrap_or_default();
            let left = |object: &&ObjectIdentifier| {
                let is_it = |error: &Error| error.key.as_deref() == Some(object.key());
                errors.iter().any(is_it)
            };
            self.remove_each(aws, objects.iter().filter(left)).await?;
        }
        Ok(())
    }

    async fn remove_each(
        &self,
        aws: &Aws,
        objects: impl Iterator<Item = &ObjectIdentifier>,
    ) -> Result<(), Failure> {
        for object in objects {
            let delete = || {
                let request = aws.s3.delete_object().bucket(&self.bucket);
                let request = request.set_version_id(object.version_id.clone());
                request.key(&object.key).send()
            };
            let name = format!("{}/{}", self.bucket, object.key.escape_debug());
            absent(aws.call("s3:DeleteObject", &name, delete).await, GONE)?;
        }
        Ok(())
    }

    /// Deletes all objects, versions, delete markers and unfinished uploads.
    pub(super) async fn empty(&self, aws: &Aws) -> Result<(), Failure> {
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
    pub(super) async fn deleted(&self, aws: &Aws) -> Result<Option<()>, Failure> {
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

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion};

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
        contents.add("a", false);
        assert_eq!(contents.to_string(), "1 object (a)");
        for key in ["a", "b", "c", "d"] {
            contents.add(key, false);
        }
        assert_eq!(contents.to_string(), "5 objects (a, b, c, …)");
        contents.more = true;
        assert_eq!(contents.to_string(), "more than 5 objects (a, b, c, …)");
        let mut deleted = Contents::default();
        deleted.add("a", true);
        deleted.add("a", true);
        assert_eq!(
            deleted.to_string(),
            "2 objects (2 of them old versions or delete markers, which `aws s3api list-object-versions` shows; a, …)"
        );
        assert!(sample().refusal(&Contents::default()).is_none());
        assert!(
            sample()
                .refusal(&contents)
                .is_some_and(|failure| failure.operation.is_empty())
        );
    }
}
