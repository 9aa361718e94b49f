//! A bucket's notification of one Lambda function.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html>

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput as Configuration;
use aws_sdk_s3::types::{
    Event, EventBridgeConfiguration, FilterRule, FilterRuleName, LambdaFunctionConfiguration,
    NotificationConfiguration, NotificationConfigurationFilter, S3KeyFilter,
};
use serde::Serialize;

use super::{Aws, absent, attributes, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

/// The bucket is not there, or it is somebody's in another region, of which the bucket itself tells.
const GONE: &[&str] = &[
    "NoSuchBucket",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
];
/// Whether the bucket tells `EventBridge` of its events: found, kept, and not ours to decide.
const EVENT_BRIDGE: &str = "event_bridge";

/// How the notification of a bucket should be. It hangs on our bucket, so it is ours.
///
/// S3 replaces all of a bucket's notifications at once, so what else is set there shows as a difference and goes when ours is
/// written. The switch that also tells `EventBridge` is left as it is while the bucket lives.
#[derive(Debug, Clone, Serialize)]
pub struct Notification {
    /// The bucket.
    pub bucket: String,
    /// The function that is told.
    pub lambda_function_arn: String,
    /// Of which events.
    pub events: Vec<String>,
    /// How the keys begin it is told of.
    pub filter_prefix: String,
    /// How the keys end it is told of.
    pub filter_suffix: String,
    /// The notification's id within the bucket.
    pub id: String,
}

impl Notification {
    fn configuration(&self) -> Result<LambdaFunctionConfiguration, Failure> {
        let rule = |name: FilterRuleName, value: &str| {
            FilterRule::builder().name(name).value(value).build()
        };
        let rules = [
            (FilterRuleName::Prefix, &self.filter_prefix),
            (FilterRuleName::Suffix, &self.filter_suffix),
        ];
        let rules = rules
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| rule(name, value));
        let key = S3KeyFilter::builder()
            .set_filter_rules(Some(rules.collect()))
            .build();
        LambdaFunctionConfiguration::builder()
            .id(&self.id)
            .lambda_function_arn(&self.lambda_function_arn)
            .set_events(Some(
                self.events
                    .iter()
                    .map(|event| Event::from(event.as_str()))
                    .collect(),
            ))
            .filter(NotificationConfigurationFilter::builder().key(key).build())
            .build()
            .map_err(|error| Failure::refusal(self.title(), error.to_string()))
    }

    /// What a bucket is set to tell, as properties; `None` when it tells nobody.
    fn described(&self, have: &Configuration) -> Option<Attributes> {
        let lambdas = have.lambda_function_configurations();
        let total =
            lambdas.len() + have.queue_configurations().len() + have.topic_configurations().len();
        let event_bridge = have.event_bridge_configuration().is_some();
        if total == 0 && !event_bridge {
            return None;
        }
        let id =
            |lambda: &&LambdaFunctionConfiguration| lambda.id.as_deref() == Some(self.id.as_str());
        let ours = lambdas.iter().find(id).or(lambdas.first());
        let rule = |wanted: &str| {
            let rules = ours
                .and_then(|lambda| lambda.filter.as_ref()?.key.as_ref())
                .map(S3KeyFilter::filter_rules);
            // AWS answers with `Prefix` what was sent as `prefix`.
            let named = |rule: &&FilterRule| {
                rule.name
                    .as_ref()
                    .is_some_and(|name| name.as_str().eq_ignore_ascii_case(wanted))
            };
            rules
                .into_iter()
                .flatten()
                .find(named)
                .and_then(|rule| rule.value.clone())
                .unwrap_or_default()
        };
        let events: Vec<String> = ours
            .map(|lambda| {
                lambda
                    .events
                    .iter()
                    .map(|event| event.as_str().to_owned())
                    .collect()
            })
            .unwrap_or_default();
        let same = events.iter().collect::<BTreeSet<_>>() == self.events.iter().collect();
        let found = Self {
            bucket: self.bucket.clone(),
            lambda_function_arn: ours
                .map(|lambda| lambda.lambda_function_arn.clone())
                .unwrap_or_default(),
            events: if same { self.events.clone() } else { events },
            filter_prefix: rule("prefix"),
            filter_suffix: rule("suffix"),
            id: ours
                .and_then(|lambda| lambda.id.clone())
                .unwrap_or_default(),
        };
        let mut found = properties(&found);
        found.extend(attributes! { "others": total - usize::from(ours.is_some()), "event_bridge": event_bridge });
        Some(found)
    }

    async fn look(&self, aws: &Aws) -> Result<Option<Attributes>, Failure> {
        let get = || {
            aws.s3
                .get_bucket_notification_configuration()
                .bucket(&self.bucket)
                .send()
        };
        let answer = absent(
            aws.call("s3:GetBucketNotificationConfiguration", &self.bucket, get)
                .await,
            GONE,
        )?;
        Ok(answer.and_then(|have| self.described(&have)))
    }

    async fn put(
        &self,
        aws: &Aws,
        configuration: NotificationConfiguration,
    ) -> Result<(), Failure> {
        let put = || {
            let request = aws
                .s3
                .put_bucket_notification_configuration()
                .bucket(&self.bucket);
            request
                .notification_configuration(configuration.clone())
                .send()
        };
        aws.call("s3:PutBucketNotificationConfiguration", &self.bucket, put)
            .await
            .map(drop)
    }

    async fn write(&self, aws: &Aws, event_bridge: bool) -> Result<Attributes, Failure> {
        let bridge = event_bridge.then(|| EventBridgeConfiguration::builder().build());
        let configuration = NotificationConfiguration::builder()
            .lambda_function_configurations(self.configuration()?)
            .set_event_bridge_configuration(bridge)
            .build();
        self.put(aws, configuration).await?;
        Ok(Attributes::new())
    }
}

#[async_trait]
impl Part<Aws> for Notification {
    fn kind(&self) -> &'static str {
        "S3 bucket notification"
    }

    fn name(&self) -> &str {
        &self.bucket
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        desired.extend(attributes! { "others": 0 });
        desired
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        Ok(self.look(aws).await?.map(|attributes| Found {
            attributes,
            owner: Owner::Us,
        }))
    }

    fn appears_late(&self) -> bool {
        true
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        self.write(aws, false).await
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        _changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let event_bridge = found
            .attributes
            .get(EVENT_BRIDGE)
            .and_then(serde_json::Value::as_bool);
        self.write(aws, event_bridge.unwrap_or_default()).await
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        // Looked up again, since writing to a bucket that is gone is tried for minutes: it could be a new one.
        if self.look(aws).await?.is_none() {
            return Ok(());
        }
        // No wait for its absence: what S3 tells a function that is gone harms nobody.
        match self
            .put(aws, NotificationConfiguration::builder().build())
            .await
        {
            Err(failure) if failure.is(GONE) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::QueueConfiguration;

    fn notification() -> Notification {
        Notification {
            bucket: "b".into(),
            lambda_function_arn: "arn:aws:lambda:eu-west-1:123456789012:function:f".into(),
            events: vec!["s3:ObjectCreated:*".into()],
            filter_prefix: "inbound/".into(),
            filter_suffix: ".json".into(),
            id: "bellflower".into(),
        }
    }

    fn rule(name: &str, value: &str) -> FilterRule {
        FilterRule::builder()
            .name(FilterRuleName::from(name))
            .value(value)
            .build()
    }

    fn ours() -> LambdaFunctionConfiguration {
        let key = S3KeyFilter::builder()
            .filter_rules(rule("Suffix", ".json"))
            .filter_rules(rule("Prefix", "inbound/"));
        let filter = NotificationConfigurationFilter::builder()
            .key(key.build())
            .build();
        let mut ours = notification().configuration().unwrap();
        ours.filter = Some(filter);
        ours
    }

    fn changes(have: &Configuration) -> Option<Vec<String>> {
        let found = notification().described(have)?;
        let changes = Changes::between(&notification().desired(), &found);
        Some(changes.names().map(str::to_owned).collect())
    }

    #[test]
    fn its_own_work_is_no_difference() {
        let have = Configuration::builder()
            .lambda_function_configurations(ours())
            .build();
        assert_eq!(changes(&have), Some(vec![]));
        assert_eq!(changes(&Configuration::builder().build()), None);
    }

    #[test]
    fn what_else_is_set_is_a_difference() {
        let queue = QueueConfiguration::builder()
            .queue_arn("arn:q")
            .events(Event::S3ObjectCreatedPut)
            .build()
            .unwrap();
        let have = Configuration::builder()
            .lambda_function_configurations(ours())
            .queue_configurations(queue)
            .build();
        assert_eq!(changes(&have), Some(vec!["others".to_owned()]));
        let mut other = ours();
        other.events = vec![Event::S3ObjectRemoved];
        let have = Configuration::builder()
            .lambda_function_configurations(other)
            .build();
        assert_eq!(changes(&have), Some(vec!["events".to_owned()]));
    }

    #[test]
    fn the_switch_for_eventbridge_is_seen_and_no_difference() {
        let bridge = EventBridgeConfiguration::builder().build();
        let have = Configuration::builder().event_bridge_configuration(bridge.clone());
        let found = notification().described(&have.build()).unwrap();
        assert_eq!(found[EVENT_BRIDGE], serde_json::json!(true));
        assert_eq!(found["others"], serde_json::json!(0));
        let have = Configuration::builder()
            .lambda_function_configurations(ours())
            .event_bridge_configuration(bridge);
        assert_eq!(changes(&have.build()), Some(vec![]));
    }
}
