//! A subscription to an SNS topic.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html>

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sns::types::Subscription as Entry;
use serde::Serialize;
use serde_json::Value;

use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

const GONE: &[&str] = &["NotFound", "NotFoundException"];
/// What SNS lists in place of an ARN until the subscriber has agreed.
const PENDING: &str = "PendingConfirmation";
/// What SNS lists in place of an ARN for days after the end.
const DELETED: &str = "Deleted";
const BY_ATTRIBUTES: &str = "MessageAttributes";
const BY_BODY: &str = "MessageBody";
/// The ARN as far as it is known, which SNS keeps to itself while the subscription is pending.
const HANDLE: &str = "subscription_arn";
const BUDGET: Duration = Duration::from_mins(2);

/// How a subscription to an SNS topic should be. It hangs on our topic, so it is ours.
#[derive(Debug, Clone, Serialize)]
pub struct Subscription {
    /// What a person calls it: `email ops@example.com`.
    #[serde(skip)]
    pub label: String,
    /// The topic.
    pub topic_arn: String,
    /// How messages are delivered: `email`, `sqs`, `lambda`, `https`, …
    pub protocol: String,
    /// Where they are delivered.
    pub endpoint: String,
    /// Whether the message comes alone, without the envelope that says where it is from.
    pub raw_message_delivery: bool,
    /// Which messages are delivered; none for all.
    pub filter_policy: Option<String>,
    /// What the filter looks at: `MessageAttributes` or `MessageBody`.
    pub filter_policy_scope: Option<String>,
    /// The dead-letter queue for what cannot be delivered.
    pub redrive_policy: Option<String>,
    /// The role that may write to a delivery stream; for `firehose` alone.
    pub subscription_role_arn: Option<String>,
}

/// `https://user:****@host` of `https://user:word@host`: SNS shows endpoints so.
#[must_use]
pub fn masked(endpoint: &str) -> Cow<'_, str> {
    let hidden = || {
        let (scheme, rest) = endpoint.split_once("://")?;
        let (login, host) = rest.split('/').next()?.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!(
            "{scheme}://{user}:****@{host}{}",
            &rest[login.len() + 1 + host.len()..]
        ))
    };
    hidden().map_or(Cow::Borrowed(endpoint), Cow::Owned)
}

/// `https://host/…` of `https://user:word@host/path?query`: each of these may be what lets somebody post there. Other endpoints hold no secrets.
#[must_use]
pub fn discreet(endpoint: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return Cow::Borrowed(endpoint);
    };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_port = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    // A login may go on behind what looks like the end of the host.
    let is_login = host.split_once(':').is_some_and(|(_, port)| !is_port(port));
    if path.contains('@') && (is_login || host.contains('@')) {
        return Cow::Owned(format!("{scheme}://…"));
    }
    let host = host.rsplit('@').next().unwrap_or_default();
    let more = if path.len() > 1 { "/…" } else { path };
    Cow::Owned(format!("{scheme}://{host}{more}"))
}

/// The account in an ARN.
fn account(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// A filter that lets everything pass is none.
fn passes_all(filter: &str) -> bool {
    filter.is_empty()
        || serde_json::from_str::<Value>(filter)
            .is_ok_and(|value| value == Value::Object(Attributes::new()))
}

impl Subscription {
    /// Attribute name, property, value: one row for everything that `SetSubscriptionAttributes` takes. No value removes it.
    fn table(&self) -> [(&'static str, &'static str, Option<String>); 5] {
        let scope = self
            .filter_policy_scope
            .as_deref()
            .unwrap_or(BY_ATTRIBUTES)
            .to_owned();
        let filter = self.filter_policy.as_deref().unwrap_or("{}").to_owned();
        let mut rows = [
            ("FilterPolicyScope", "filter_policy_scope", Some(scope)),
            ("FilterPolicy", "filter_policy", Some(filter)),
            (
                "RawMessageDelivery",
                "raw_message_delivery",
                Some(self.raw_message_delivery.to_string()),
            ),
            // An empty text is refused: the value has to be missing.
            (
                "RedrivePolicy",
                "redrive_policy",
                self.redrive_policy.clone(),
            ),
            (
                "SubscriptionRoleArn",
                "subscription_role_arn",
                self.subscription_role_arn.clone(),
            ),
        ];
        // SNS checks a filter by the scope it finds: a body's filter may be nested, so the wider scope comes first and the
        // narrower one last.
        if self.filter_policy_scope.as_deref() != Some(BY_BODY) {
            rows.rotate_left(1);
        }
        rows
    }

    /// What `Subscribe` takes: no defaults, since not every protocol knows every attribute.
    fn wishes(&self) -> HashMap<String, String> {
        let wishes = [
            ("FilterPolicyScope", self.filter_policy_scope.clone()),
            ("FilterPolicy", self.filter_policy.clone()),
            (
                "RawMessageDelivery",
                self.raw_message_delivery.then(|| "true".to_owned()),
            ),
            ("RedrivePolicy", self.redrive_policy.clone()),
            ("SubscriptionRoleArn", self.subscription_role_arn.clone()),
        ];
        wishes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }

    /// True when SNS confirms it without asking anybody: a function or a queue of the topic's own account.
    fn confirms_alone(&self) -> bool {
        matches!(self.protocol.as_str(), "lambda" | "sqs")
            && account(&self.endpoint) == account(&self.topic_arn)
    }

    /// The topic's entry for this subscription, the confirmed one before a pending one.
    async fn find(&self, aws: &Aws) -> Result<Option<String>, Failure> {
        let ours = |entry: &Entry| {
            let endpoint = entry.endpoint.as_deref().unwrap_or_default();
            entry.protocol.as_deref() == Some(self.protocol.as_str())
                && (endpoint == self.endpoint || endpoint == masked(&self.endpoint))
        };
        let mut pending = None;
        let mut token = None;
        loop {
            let list = || {
                let request = aws
                    .sns
                    .list_subscriptions_by_topic()
                    .topic_arn(&self.topic_arn);
                request.set_next_token(token.clone()).send()
            };
            let answer = aws
                .call("sns:ListSubscriptionsByTopic", &self.label, list)
                .await;
            let Some(page) = absent(answer, GONE)? else {
                return Ok(None);
            };
            for entry in page
                .subscriptions
                .unwrap_or_default()
                .into_iter()
                .filter(ours)
            {
                match entry.subscription_arn.as_deref() {
                    Some(DELETED) | None => {}
                    Some(PENDING) => pending = Some(PENDING.to_owned()),
                    Some(arn) => return Ok(Some(arn.to_owned())),
                }
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(pending);
            }
        }
    }

    async fn attributes(
        &self,
        aws: &Aws,
        arn: &str,
    ) -> Result<Option<HashMap<String, String>>, Failure> {
        let get = || {
            aws.sns
                .get_subscription_attributes()
                .subscription_arn(arn)
                .send()
        };
        let answer = absent(
            aws.call("sns:GetSubscriptionAttributes", &self.label, get)
                .await,
            GONE,
        )?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    /// What SNS alone knows of it.
    fn known(arn: &str, pending: bool) -> Attributes {
        let shown = if pending { PENDING } else { arn };
        let handle = if arn == PENDING { "" } else { arn };
        attributes! { "arn": shown, "pending_confirmation": pending, "subscription_arn": handle }
    }

    /// The properties of a confirmed subscription.
    fn described(&self, have: &HashMap<String, String>) -> Self {
        let text = |name: &str| have.get(name).filter(|text| !text.is_empty());
        let filter = match text("FilterPolicy") {
            Some(found) if !passes_all(found) => {
                Some(policy::settled_json(found, self.filter_policy.as_deref()))
            }
            _ => self
                .filter_policy
                .clone()
                .filter(|wanted| passes_all(wanted)),
        };
        let scope = match text("FilterPolicyScope") {
            Some(found) if found != BY_ATTRIBUTES => Some(found.clone()),
            // The default, said or not.
            _ if self.filter_policy_scope.is_none() => None,
            _ => Some(BY_ATTRIBUTES.to_owned()),
        };
        Self {
            raw_message_delivery: text("RawMessageDelivery").is_some_and(|text| text == "true"),
            filter_policy: filter,
            filter_policy_scope: scope,
            redrive_policy: text("RedrivePolicy")
                .map(|found| policy::settled(found, self.redrive_policy.as_deref())),
            subscription_role_arn: text("SubscriptionRoleArn").cloned(),
            ..self.clone()
        }
    }
}

fn is_pending(have: &HashMap<String, String>) -> bool {
    have.get("PendingConfirmation")
        .is_some_and(|text| text == "true")
}

#[async_trait]
impl Part<Aws> for Subscription {
    fn kind(&self) -> &'static str {
        "SNS subscription"
    }

    fn name(&self) -> &str {
        &self.label
    }

    /// The password, too: with another it is another subscription.
    fn identity(&self) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", self.protocol, self.endpoint))
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let Some(arn) = self.find(aws).await? else {
            return Ok(None);
        };
        let have = if arn == PENDING {
            None
        } else {
            match self.attributes(aws, &arn).await? {
                Some(have) => Some(have).filter(|have| !is_pending(have)),
                None => return Ok(None),
            }
        };
        // A pending subscription cannot be looked at or changed; what is wished for is made so once it is confirmed.
        let mut attributes = properties(
            &have
                .as_ref()
                .map_or_else(|| self.clone(), |have| self.described(have)),
        );
        attributes.extend(Self::known(&arn, have.is_none()));
        Ok(Some(Found {
            attributes,
            owner: Owner::Us,
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let wishes = self.wishes();
        let subscribe = || {
            aws.sns
                .subscribe()
                .topic_arn(&self.topic_arn)
                .protocol(&self.protocol)
                .endpoint(&self.endpoint)
                .set_attributes(Some(wishes.clone()))
                .return_subscription_arn(true)
                .send()
        };
        let answer = aws.call("sns:Subscribe", &self.label, subscribe).await?;
        let arn = answer
            .subscription_arn
            .filter(|arn| arn.starts_with("arn:"))
            .unwrap_or_else(|| PENDING.to_owned());
        if arn == PENDING {
            return Ok(Self::known(&arn, true));
        }
        let pending = || async {
            let have = self.attributes(aws, &arn).await?;
            Ok(have.is_none_or(|have| is_pending(&have)))
        };
        if !self.confirms_alone() {
            // Somebody at the endpoint may have to agree, which may take days.
            return Ok(Self::known(&arn, pending().await?));
        }
        let confirmed = || async { Ok((!pending().await?).then_some(())) };
        aws.settle(&self.title(), "confirmed", BUDGET, confirmed)
            .await?;
        Ok(Self::known(&arn, false))
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let arn = found.text(HANDLE);
        for (name, _, value) in self.table().iter().filter(|row| changes.any(&[row.1])) {
            let set = || {
                let request = aws.sns.set_subscription_attributes().subscription_arn(arn);
                request
                    .attribute_name(*name)
                    .set_attribute_value(value.clone())
                    .send()
            };
            aws.call("sns:SetSubscriptionAttributes", &self.label, set)
                .await?;
        }
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        let arn = found.text(HANDLE);
        if arn.is_empty() {
            // Pending: nobody can end it, and SNS forgets it after some days.
            return Ok(());
        }
        let unsubscribe = || aws.sns.unsubscribe().subscription_arn(arn).send();
        match aws.call("sns:Unsubscribe", &self.label, unsubscribe).await {
            Err(failure) if failure.says("that is pending confirmation") => return Ok(()),
            other => absent(other, GONE)?,
        };
        let gone = || async {
            Ok(self
                .find(aws)
                .await?
                .is_none_or(|left| left != arn)
                .then_some(()))
        };
        aws.settle(&self.title(), "gone", BUDGET, gone).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            label: "sqs q".into(),
            topic_arn: "arn:aws:sns:eu-west-1:123456789012:t".into(),
            protocol: "sqs".into(),
            endpoint: "arn:aws:sqs:eu-west-1:123456789012:q".into(),
            raw_message_delivery: false,
            filter_policy: None,
            filter_policy_scope: None,
            redrive_policy: None,
            subscription_role_arn: None,
        }
    }

    fn have(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn defaults_said_or_not_are_no_difference() {
        let want = subscription();
        for pairs in [
            &[][..],
            &[
                ("RawMessageDelivery", "false"),
                ("FilterPolicy", "{}"),
                ("FilterPolicyScope", "MessageAttributes"),
            ],
            &[("RedrivePolicy", ""), ("FilterPolicy", "")],
        ] {
            assert_eq!(properties(&want.described(&have(pairs))), properties(&want));
        }
        let said = Subscription {
            filter_policy: Some("{ }".into()),
            filter_policy_scope: Some(BY_ATTRIBUTES.into()),
            ..subscription()
        };
        assert_eq!(properties(&said.described(&have(&[]))), properties(&said));
    }

    #[test]
    fn drift_is_seen() {
        let want = Subscription {
            filter_policy: Some(r#"{"a":["b"]}"#.into()),
            ..subscription()
        };
        let found = want.described(&have(&[
            ("FilterPolicyScope", BY_BODY),
            ("RawMessageDelivery", "true"),
        ]));
        let changes = Changes::between(&properties(&want), &properties(&found));
        assert_eq!(
            changes.names().collect::<Vec<_>>(),
            [
                "filter_policy",
                "filter_policy_scope",
                "raw_message_delivery"
            ]
        );
    }

    #[test]
    fn a_scope_of_bodies_is_set_first_and_one_of_attributes_last() {
        let names = |scope: Option<&str>| {
            let want = Subscription {
                filter_policy_scope: scope.map(str::to_owned),
                ..subscription()
            };
            want.table().map(|row| row.0)
        };
        assert_eq!(names(Some(BY_BODY)).first(), Some(&"FilterPolicyScope"));
        assert_eq!(
            names(Some(BY_ATTRIBUTES)).last(),
            Some(&"FilterPolicyScope")
        );
        assert_eq!(names(None).last(), Some(&"FilterPolicyScope"));
    }

    #[test]
    fn only_the_own_account_confirms_alone() {
        assert!(subscription().confirms_alone());
        let endpoint = "arn:aws:sqs:eu-west-1:999999999999:q".to_owned();
        let theirs = Subscription {
            endpoint,
            ..subscription()
        };
        assert!(!theirs.confirms_alone());
    }

    #[test]
    fn passwords_are_hidden_as_sns_hides_them() {
        assert_eq!(masked("https://u:p@h/x?y=a@b"), "https://u:****@h/x?y=a@b");
        assert_eq!(masked("https://h/x@y:z"), "https://h/x@y:z");
        assert_eq!(masked("ops@example.com"), "ops@example.com");
    }

    #[test]
    fn nothing_that_lets_somebody_post_is_told() {
        for (endpoint, shown) in [
            ("https://u:p@h/x?y=a", "https://h/…"),
            ("https://h?key=word", "https://h/…"),
            ("https://u:p/w?d@h/x", "https://…"),
            ("https://u:p@ss/w@h", "https://…"),
            ("https://h:8443/t/a@b", "https://h:8443/…"),
            ("https://h/", "https://h/"),
            ("http://h:80", "http://h:80"),
            ("ops@example.com", "ops@example.com"),
        ] {
            assert_eq!(discreet(endpoint), shown);
        }
    }

    #[test]
    fn a_pending_one_has_no_arn_to_show() {
        assert_eq!(Subscription::known("arn:s", true)["arn"], PENDING);
        assert_eq!(Subscription::known("arn:s", true)[HANDLE], "arn:s");
        assert_eq!(Subscription::known(PENDING, true)[HANDLE], "");
    }
}
