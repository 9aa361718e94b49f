//! The tags of many objects in one call.
//!
//! AWS keeps an index of the tags of most services' objects. It lags behind by seconds, and not everything is in it. So what it says counts only where it says
//! what should be; whatever else it says, or does not, the service itself is asked.
//!
//! <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_resourcegroupstagging::types::{ResourceTagMapping, TagFilter};
use futures::future::join_all;
use tokio::sync::OnceCell;

use super::Aws;
use super::tags::Tags;
use crate::engine::Failure;

/// What one call takes.
const AT_ONCE: usize = 100;
/// Where there is no way to the index, nobody waits for it longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// The objects that are being looked at, and what the index says of them once somebody has asked.
#[derive(Debug, Default)]
pub struct TagIndex {
    arns: Vec<String>,
    found: OnceCell<HashMap<String, Tags>>,
}

/// Whether the index has refused or not answered: then it is left alone.
#[derive(Debug, Default)]
pub struct Closed(AtomicBool);

impl Aws {
    /// The same, about to look at the objects of these ARNs.
    #[must_use]
    pub fn looking_at(&self, arns: Vec<String>) -> Self {
        Self {
            index: Arc::new(TagIndex {
                arns,
                found: OnceCell::new(),
            }),
            ..self.clone()
        }
    }

    /// Whether the index is asked for the tags of an object.
    #[must_use]
    pub fn is_indexed(&self, arn: &str) -> bool {
        self.index.arns.iter().any(|known| known == arn)
    }

    /// The tags of an object that should have the tags `wanted`; `ask` is the service's own call for them.
    ///
    /// # Errors
    /// The failure of `ask`.
    pub async fn tags<Fut>(
        &self,
        arn: &str,
        wanted: &Tags,
        ask: impl FnOnce() -> Fut,
    ) -> Result<Option<Tags>, Failure>
    where
        Fut: Future<Output = Result<Option<Tags>, Failure>>,
    {
        if self.is_indexed(arn) {
            let found = self.index.found.get_or_init(|| self.indexed()).await;
            let found = found.get(arn).cloned();
            if found.is_some_and(|found| self.heeded(found, wanted) == *wanted) {
                return Ok(Some(wanted.clone()));
            }
        }
        Ok(ask().await?.map(|found| self.heeded(found, wanted)))
    }

    /// Of an object's tags those that count.
    #[must_use]
    pub fn heeded(&self, found: Tags, wanted: &Tags) -> Tags {
        found.without(&self.ignored_tags, wanted)
    }

    /// The ARNs of everything in this region that carries this tag, as far as the index knows; none where it cannot be asked.
    pub async fn tagged(&self, key: &str, value: &str) -> Option<Vec<String>> {
        let filter = TagFilter::builder().key(key).values(value).build();
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let get = || {
                let request = self.tagging.get_resources().tag_filters(filter.clone());
                request.set_pagination_token(token.clone()).send()
            };
            let call = self.attempt_now("tag:GetResources", "the pipeline's parts", &get);
            let page = tokio::time::timeout(PATIENCE, call).await.ok()?.ok()?;
            let entries = page.resource_tag_mapping_list.unwrap_or_default();
            arns.extend(entries.into_iter().filter_map(|entry| entry.resource_arn));
            token = page.pagination_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Some(arns);
            }
        }
    }

    async fn indexed(&self) -> HashMap<String, Tags> {
        let chunks = self.index.arns.chunks(AT_ONCE);
        let pages = join_all(chunks.map(|arns| self.page(arns))).await;
        pages.into_iter().flatten().collect()
    }

    async fn page(&self, arns: &[String]) -> Vec<(String, Tags)> {
        if self.batches.no_index.0.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let get = || {
            let request = self.tagging.get_resources();
            request.set_resource_arn_list(Some(arns.to_vec())).send()
        };
        let call = self.attempt_now("tag:GetResources", "the pipeline's parts", &get);
        let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, call).await else {
            self.batches.no_index.0.store(true, Ordering::Relaxed);
            return Vec::new();
        };
        let entries = answer.resource_tag_mapping_list.unwrap_or_default();
        let entry = |entry: ResourceTagMapping| {
            let tags = entry.tags.unwrap_or_default();
            let tags = Tags::listed(tags.into_iter().map(|tag| (tag.key, tag.value)));
            Some((entry.resource_arn?, tags))
        };
        entries.into_iter().filter_map(entry).collect()
    }
}
