//! Tags, and the one among them that says whose a part is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::{Attributes, Failure, Owner};

/// The tag every part carries that can carry tags; its value names the pipeline: `orders/devl/eu-west-1`.
pub const MARK: &str = "bellflower:pipeline";

/// All tags of a part, the mark among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// Collects what a service lists, without the tags that AWS itself sets (`aws:…`).
    pub fn listed<K: Into<String>, V: Into<String>>(
        tags: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let own = |(key, value): (K, V)| (key.into(), value.into());
        Self(
            tags.into_iter()
                .map(own)
                .filter(|(key, _)| !key.starts_with("aws:"))
                .collect(),
        )
    }

    /// Whose a part with the tags `found` is, where `self` are the tags it should have.
    #[must_use]
    pub fn owner_of(&self, found: &Self) -> Owner {
        match found.0.get(MARK) {
            Some(value) if self.0.get(MARK) == Some(value) => Owner::Us,
            other => Owner::SomeoneElse(other.cloned()),
        }
    }

    /// The tags to set so that `found` becomes `self`, and the keys to remove.
    #[must_use]
    pub fn changes_from(&self, found: &Self) -> (BTreeMap<String, String>, Vec<String>) {
        let set = self
            .0
            .iter()
            .filter(|(key, value)| found.0.get(*key) != Some(value));
        let remove = found.0.keys().filter(|key| !self.0.contains_key(*key));
        (
            set.map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            remove.cloned().collect(),
        )
    }

    /// Makes the tags of a part what they should be: `set` and `remove` are the service's calls for the tags to set and the keys to remove,
    /// and are made only where there are any.
    ///
    /// # Errors
    /// The failure of the call that failed.
    pub async fn write<S, R>(
        &self,
        found: &Attributes,
        set: impl FnOnce(BTreeMap<String, String>) -> S,
        remove: impl FnOnce(Vec<String>) -> R,
    ) -> Result<(), Failure>
    where
        S: Future<Output = Result<(), Failure>>,
        R: Future<Output = Result<(), Failure>>,
    {
        let (wanted, unwanted) = self.changes_from(&Self::of(found));
        if !wanted.is_empty() {
            set(wanted).await?;
        }
        if !unwanted.is_empty() {
            remove(unwanted).await?;
        }
        Ok(())
    }

    /// The tags as a map of strings from a part's found attributes.
    #[must_use]
    pub fn of(attributes: &Attributes) -> Self {
        let tags = attributes
            .get("tags")
            .and_then(serde_json::Value::as_object);
        let text = |(key, value): (&String, &serde_json::Value)| {
            Some((key.clone(), value.as_str()?.to_owned()))
        };
        Self(tags.into_iter().flatten().filter_map(text).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_to_set_and_what_to_remove() {
        let want = Tags::listed([("a", "1"), ("b", "2")]);
        let have = Tags::listed([("b", "3"), ("c", "4"), ("aws:cloudformation:stack", "x")]);
        let (set, remove) = want.changes_from(&have);
        assert_eq!(
            set,
            [
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "2".to_owned())
            ]
            .into()
        );
        assert_eq!(remove, ["c"]);
    }

    #[test]
    fn only_our_own_mark_is_ours() {
        let want = Tags::listed([(MARK, "orders/devl")]);
        assert_eq!(want.owner_of(&want), Owner::Us);
        assert_eq!(want.owner_of(&Tags::default()), Owner::SomeoneElse(None));
        let other = Tags::listed([(MARK, "orders/prod")]);
        assert_eq!(
            want.owner_of(&other),
            Owner::SomeoneElse(Some("orders/prod".into()))
        );
    }
}
