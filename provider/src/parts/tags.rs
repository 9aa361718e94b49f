//! Tags, and the one among them that says whose a part is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::{Attributes, Failure, Owner};

/// The tag every part carries that can carry tags; its value names the pipeline: `orders/devl/eu-west-1`.
pub const MARK: &str = "bellflower:pipeline";

/// What version 0.1.0 wrote for a mark: the same without the region.
#[must_use]
pub fn former(mark: &str) -> Option<&str> {
    Some(mark.rsplit_once('/')?.0)
}

/// The tag that tells one pipeline from the next of the same name, on its state machine: when its making began.
pub const MADE_AT: &str = "bellflower:made-at";

/// The most tags a part can have; the mark and [`MADE_AT`] are among them.
pub const MOST: usize = 50;
/// The longest key and the longest value, in characters.
pub const LONGEST: (usize, usize) = (128, 256);
/// The characters beside letters, digits and spaces of any script that every service takes.
const SIGNS: &str = "_.:/=+-@";

/// Whether it is of the categories L, N or Z of Unicode: no vowel sign that is written as a character of its own, for instance.
fn is_letter_digit_or_space(c: char) -> bool {
    use unicode_general_category::GeneralCategory as Category;
    use unicode_general_category::get_general_category as category_of;
    matches!(
        category_of(c),
        Category::UppercaseLetter
            | Category::LowercaseLetter
            | Category::TitlecaseLetter
            | Category::ModifierLetter
            | Category::OtherLetter
            | Category::DecimalNumber
            | Category::LetterNumber
            | Category::OtherNumber
            | Category::SpaceSeparator
            | Category::LineSeparator
            | Category::ParagraphSeparator
    )
}

/// Says why some service refuses a tag: each has its own rules, and a pipeline's parts all carry the same tags.
///
/// The strictest are those of [IAM](https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html); those of Step Functions, KMS
/// and CloudWatch Logs are the same in other words.
#[must_use]
pub fn complaint(key: &str, value: &str) -> Option<String> {
    let legal = |c: char| is_letter_digit_or_space(c) || SIGNS.contains(c);
    let bad = |text: &str| text.chars().find(|c| !legal(*c));
    let allowed = "allowed are letters, digits, spaces and the characters _ . : / = + - @";
    let (longest_key, longest_value) = LONGEST;
    let (of_key, of_value) = (key.chars().count(), value.chars().count());
    if of_key == 0 || of_key > longest_key {
        Some(format!(
            "A tag's key has 1 to {longest_key} characters; this one has {of_key}."
        ))
    } else if key.to_ascii_lowercase().starts_with("aws:") {
        Some(format!(
            "The tag \"{key}\" begins with aws:, which AWS keeps for itself."
        ))
    } else if [MARK, MADE_AT]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(key))
    {
        Some(format!(
            "The tag \"{key}\" is one of those by which Bellflower knows what is its own."
        ))
    } else if let Some(bad) = bad(key) {
        Some(format!(
            "The key of the tag \"{key}\" contains {bad:?}; {allowed}"
        ))
    } else if of_value > longest_value {
        Some(format!(
            "A tag's value has at most {longest_value} characters; that of \"{key}\" has {of_value}."
        ))
    } else {
        let bad = bad(value)?;
        Some(format!(
            "The value of the tag \"{key}\" contains {bad:?}; {allowed}"
        ))
    }
}

/// Two keys that IAM takes for one, since it tells no small letters from capital ones. The second is given.
#[must_use]
pub fn alike<'a>(keys: impl IntoIterator<Item = &'a String>) -> Option<(&'a str, &'a str)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    keys.into_iter().find_map(|key| {
        let before = seen.insert(key.to_lowercase(), key)?;
        Some((before, key.as_str()))
    })
}

/// All tags of a part, the mark among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

/// Tags that others set, of which nothing is told and which are left: by their keys, and by how these begin.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "each field is documented where users see it: in the schema"
)]
pub struct Ignored {
    pub keys: BTreeSet<String>,
    pub key_prefixes: BTreeSet<String>,
}

impl Ignored {
    /// Whether a tag is one of them. Those by which a part is known never are.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let begins = |prefix: &String| key.starts_with(prefix.as_str());
        ![MARK, MADE_AT].contains(&key)
            && (self.keys.contains(key) || self.key_prefixes.iter().any(begins))
    }
}

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

    /// These without what is ignored; what is `wanted` is not.
    #[must_use]
    pub fn without(mut self, ignored: &Ignored, wanted: &Self) -> Self {
        self.0
            .retain(|key, _| wanted.0.contains_key(key) || !ignored.has(key));
        self
    }

    /// Whether these are of a part of the pipeline of this mark.
    #[must_use]
    pub fn are_of(&self, mark: &str) -> bool {
        self.0.get(MARK).is_some_and(|its| its == mark)
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
        // First: keys that differ in their case alone are one to IAM, and a part has no more than so many tags.
        if !unwanted.is_empty() {
            remove(unwanted).await?;
        }
        if !wanted.is_empty() {
            set(wanted).await?;
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
    fn a_tag_that_some_service_refuses_is_told() {
        let long = |length: usize| "ü".repeat(length);
        let rows = [
            ("", "x", "1 to 128"),
            (&long(129), "x", "129"),
            ("Aws:x", "x", "aws:"),
            (MARK, "x", "Bellflower"),
            (MADE_AT, "x", "Bellflower"),
            ("Bellflower:Pipeline", "x", "Bellflower"),
            ("a,b", "x", "','"),
            ("a\tb", "x", "'\\t'"),
            ("stage", "<prod>", "'<'"),
            ("stage", "a\nb", "'\\n'"),
            // A vowel sign of its own, and a letter in a circle.
            ("stage", "परि", "'ि'"),
            ("stage", "Ⓐ", "'Ⓐ'"),
            ("stage", &long(257), "257"),
        ];
        for (key, value, part) in rows {
            let said = complaint(key, value).unwrap_or_default();
            assert!(said.contains(part), "{key}={value}: {said}");
        }
        let good = [
            ("Kostenstelle für Öl", "1/2 = ½ @ a+b_c.d:e-f"),
            (&long(128), &long(256)),
            ("empty", ""),
        ];
        for (key, value) in good {
            assert_eq!(complaint(key, value), None, "{key}");
        }
    }

    #[test]
    fn keys_that_differ_in_their_case_alone_are_alike() {
        let keys = ["Stage", "owner", "stage"].map(str::to_owned);
        assert_eq!(alike(&keys), Some(("Stage", "stage")));
        assert_eq!(alike(&keys[..2]), None);
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
