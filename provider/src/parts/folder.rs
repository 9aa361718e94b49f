//! The folder objects of a bucket, each an empty object whose key is a prefix: what becomes of those no longer in use.

use super::{Aws, absent};
use crate::engine::Failure;

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
    let answer = absent(
        aws.call("s3:ListObjectsV2", bucket, list).await,
        &["NoSuchBucket"],
    )?;
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
