//! When what is in the bucket ends, as S3's lifecycle rules.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration,
};
use serde_json::{Value, json};

use super::Bucket;
use crate::engine::Failure;

/// Parts of an upload nobody finished cost money and cannot be seen.
const ABANDONED_UPLOAD_DAYS: i32 = 7;

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
    let noncurrent = rule.noncurrent_version_expiration.as_ref();
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
        noncurrent
            .and_then(|expiration| expiration.newer_noncurrent_versions)
            .map(|kept| format!("{kept} noncurrent versions kept")),
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
        "noncurrent_version_expiration_days": noncurrent.and_then(|expiration| expiration.noncurrent_days),
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
pub(super) fn described_rules(rules: &[LifecycleRule]) -> String {
    let mut rules: Vec<&LifecycleRule> = rules.iter().collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    Value::Array(rules.into_iter().map(described_rule).collect()).to_string()
}

fn rule_id(name: &str) -> String {
    format!("bellflower-expire-{name}")
}

impl Bucket {
    /// The lifecycle: requests and answers end after their days, but not the folder objects, which are empty.
    pub(super) fn rules(&self) -> Result<Vec<LifecycleRule>, Failure> {
        let mut rules = Vec::new();
        if let (1.., Ok(days)) = (self.expiration_days, i32::try_from(self.expiration_days)) {
            let private = self.private_prefix.as_ref();
            // Somebody may switch versioning on; without it there are none.
            let noncurrent = NoncurrentVersionExpiration::builder()
                .noncurrent_days(days)
                .build();
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
                    .id(rule_id(id))
                    .status(ExpirationStatus::Enabled)
                    .filter(LifecycleRuleFilter::builder().and(and).build())
                    .expiration(LifecycleExpiration::builder().days(days).build())
                    .noncurrent_version_expiration(noncurrent.clone());
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

    /// Days until requests and answers end, by the rules that were made for them, or else by those for all objects of their prefixes. Where these rules say one thing here and
    /// another there, it is as it should be, and the rules show what is not: no argument says what is so of one of them.
    pub(super) fn expiration_of(&self, rules: &[LifecycleRule]) -> i64 {
        let days = |name: &str, prefix: &str| {
            let id = rule_id(name);
            let made_for_it = rules.iter().find(|rule| rule.id.as_deref() == Some(&id));
            let of_all = || {
                rules
                    .iter()
                    .find(|rule| prefix_of(rule) == prefix && is_for_all(rule))
            };
            made_for_it
                .or_else(of_all)
                .filter(|rule| rule.status == ExpirationStatus::Enabled)
                .and_then(|rule| rule.expiration.as_ref()?.days)
                .map_or(0, i64::from)
        };
        let inbound = days("inbound", &self.inbound_prefix);
        if inbound == days("outbound", &self.outbound_prefix) {
            inbound
        } else {
            self.expiration_days
        }
    }
}

/// Whether a rule is for all objects of its prefix, but for empty ones.
fn is_for_all(rule: &LifecycleRule) -> bool {
    let Some(filter) = &rule.filter else {
        return true;
    };
    let and = filter.and.as_ref();
    let larger = filter
        .object_size_greater_than
        .or(and.and_then(|and| and.object_size_greater_than));
    let smaller = filter
        .object_size_less_than
        .or(and.and_then(|and| and.object_size_less_than));
    let is_tagged = filter.tag.is_some() || and.is_some_and(|and| !and.tags().is_empty());
    !is_tagged && larger.unwrap_or_default() == 0 && smaller.unwrap_or_default() == 0
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use aws_sdk_s3::types::{Tag, Transition};

    /// Rules as S3 shows them: in an order of its own, an empty prefix left out, a size of 0 said or not.
    fn shown(size: Option<i64>) -> Vec<LifecycleRule> {
        let mut rules = sample().rules().unwrap();
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
        let want = described_rules(&sample().rules().unwrap());
        assert_eq!(described_rules(&shown(Some(0))), want);
        assert_eq!(described_rules(&shown(None)), want);
        assert_eq!(sample().expiration_of(&shown(None)), 30);
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
            ..sample()
        };
        let rules = apart.rules().unwrap();
        assert!(rules.iter().any(|rule| prefix_of(rule) == "private/"));
        assert_eq!(rules.len(), sample().rules().unwrap().len() + 1);
    }

    #[test]
    fn every_other_lifecycle_is_a_difference() {
        let want = described_rules(&sample().rules().unwrap());
        let differs = |change: &dyn Fn(&mut LifecycleRule)| {
            let mut rules = sample().rules().unwrap();
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
        assert!(differs(&|rule| rule.noncurrent_version_expiration = None));
        assert!(differs(
            &|rule| rule.transitions = Some(vec![Transition::builder().days(1).build()])
        ));
        assert!(described_rules(&[]) != want);
    }

    #[test]
    fn days_are_those_that_all_objects_have() {
        let all = |days: i32| {
            let mut rules = sample().rules().unwrap();
            for rule in &mut rules[..2] {
                rule.expiration = Some(LifecycleExpiration::builder().days(days).build());
            }
            rules
        };
        let mut rules = all(7);
        assert_eq!(sample().expiration_of(&rules), 7);
        // Drafts alone go after a day.
        let tag = Tag::builder().key("draft").value("true").build().unwrap();
        let and = LifecycleRuleAndOperator::builder()
            .prefix("inbound/")
            .tags(tag);
        let mut drafts = all(1).remove(0);
        drafts.id = Some("a-drafts".into());
        drafts.filter = Some(LifecycleRuleFilter::builder().and(and.build()).build());
        rules.insert(0, drafts);
        assert_eq!(sample().expiration_of(&rules), 7);
        // Rules of another tool in their place.
        for rule in &mut rules {
            rule.id = None;
        }
        assert_eq!(sample().expiration_of(&rules), 7);
        // One thing here and another there is for the rules to show.
        for change in [
            |rule: &mut LifecycleRule| rule.status = ExpirationStatus::Disabled,
            |rule: &mut LifecycleRule| rule.expiration = None,
        ] {
            let mut rules = all(7);
            change(&mut rules[1]);
            assert_eq!(sample().expiration_of(&rules), 30);
        }
        let mut rules = all(7);
        for rule in &mut rules[..2] {
            rule.status = ExpirationStatus::Disabled;
        }
        assert_eq!(sample().expiration_of(&rules), 0);
        assert_eq!(sample().expiration_of(&[]), 0);
    }

    #[test]
    fn never_means_no_rule_but_the_one_for_uploads() {
        let never = Bucket {
            expiration_days: 0,
            ..sample()
        };
        assert_eq!(never.rules().unwrap().len(), 1);
        assert_eq!(never.expiration_of(&never.rules().unwrap()), 0);
    }
}
