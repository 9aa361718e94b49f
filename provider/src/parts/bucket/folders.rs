//! The folder objects of a bucket, each an empty object whose key is a prefix.

use std::collections::BTreeSet;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use futures::future::try_join_all;

use super::{Bucket, GONE};
use crate::engine::Failure;
use crate::parts::{Aws, absent};

/// The place a folder is in: `a/` for `a/b/`, nothing for `a/`.
fn above(folder: &str) -> &str {
    let name = folder.trim_end_matches('/');
    name.rfind('/').map_or("", |slash| &folder[..=slash])
}

/// Removes the folder object of a prefix unless something lies under it or in it. One that is not there is fine.
///
/// # Errors
/// The failure to look or to remove.
pub async fn remove_empty(aws: &Aws, bucket: &str, prefix: &str) -> Result<(), Failure> {
    let list = || {
        aws.s3
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .max_keys(2)
            .send()
    };
    let answer = absent(aws.call("s3:ListObjectsV2", bucket, list).await, GONE)?;
    let objects = answer
        .and_then(|answer| answer.contents)
        .unwrap_or_default();
    let alone = matches!(&objects[..], [only]
        if only.key.as_deref() == Some(prefix) && only.size == Some(0));
    if alone {
        let delete = || aws.s3.delete_object().bucket(bucket).key(prefix).send();
        aws.call("s3:DeleteObject", &format!("{bucket}/{prefix}"), delete)
            .await?;
    }
    Ok(())
}

impl Bucket {
    /// Those of our folders that can be seen: by their own object, or by any other in them.
    pub(super) async fn folders_of(&self, aws: &Aws) -> Result<Vec<String>, Failure> {
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

    pub(super) async fn put_folder(&self, aws: &Aws, folder: &str) -> Result<(), Failure> {
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
}
