//! A bucket's notifications: of answers to one Lambda function, and of work to a queue that may want to know.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html>

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput as Configuration;
use aws_sdk_s3::types::{
    Event, EventBridgeConfiguration, FilterRule, FilterRuleName, LambdaFunctionConfiguration,
    NotificationConfiguration, NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
};
use serde::Serialize;

use super::{Aws, attributes, bucket, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

/// Whether the bucket tells `EventBridge` of its events: found, kept, and not ours to decide.
const EVENT_BRIDGE: &str = "event_bridge";
/// What both are told of.
const CREATED: &str = "s3:ObjectCreated:*";
/// The id of the queue's entry within the bucket.
const OUTBOUND: &str = "bellflower-outbound";

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
    /// The queue that is told of work, if one is.
    pub outbound_queue_arn: Option<String>,
    /// How the keys of work begin, where a queue is told.
    pub outbound_filter_prefix: Option<String>,
    /// How they end.
    #[serde(skip)]
    pub outbound_suffix: String,
}

/// The rules of an entry, those for everything left out.
fn filter(prefix: &str, suffix: &str) -> NotificationConfigurationFilter {
    let rules = [
        (FilterRuleName::Prefix, prefix),
        (FilterRuleName::Suffix, suffix),
    ];
    let rules = rules
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| FilterRule::builder().name(name).value(value).build());
    let key = S3KeyFilter::builder()
        .set_filter_rules(Some(rules.collect()))
        .build();
    NotificationConfigurationFilter::builder().key(key).build()
}

/// The value of an entry's rule; nothing if it has none. AWS answers with `Prefix` what was sent as `prefix`.
fn rule(filter: Option<&NotificationConfigurationFilter>, wanted: &str) -> String {
    let rules = filter
        .and_then(|filter| filter.key.as_ref())
        .map(S3KeyFilter::filter_rules);
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
}

impl Notification {
    fn refused(&self, error: &aws_sdk_s3::error::BuildError) -> Failure {
        Failure::refusal(self.title(), error.to_string())
    }

    fn function(&self) -> Result<LambdaFunctionConfiguration, Failure> {
        LambdaFunctionConfiguration::builder()
            .id(&self.id)
            .lambda_function_arn(&self.lambda_function_arn)
            .set_events(Some(
                self.events
                    .iter()
                    .map(|event| Event::from(event.as_str()))
                    .collect(),
            ))
            .filter(filter(&self.filter_prefix, &self.filter_suffix))
            .build()
            .map_err(|error| self.refused(&error))
    }

    fn queue(&self) -> Result<Option<QueueConfiguration>, Failure> {
        let Some(arn) = &self.outbound_queue_arn else {
            return Ok(None);
        };
        QueueConfiguration::builder()
            .id(OUTBOUND)
            .queue_arn(arn)
            .events(Event::from(CREATED))
            .filter(filter(
                self.outbound_filter_prefix.as_deref().unwrap_or_default(),
                &self.outbound_suffix,
            ))
            .build()
            .map(Some)
            .map_err(|error| self.refused(&error))
    }

    /// Whether the queue's entry tells of work, whichever the queue and wherever the work.
    fn tells_of_work(&self, queue: &QueueConfiguration) -> bool {
        queue.events == [Event::from(CREATED)]
            && rule(queue.filter.as_ref(), "suffix") == self.outbound_suffix
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
        let told = |wanted| rule(ours.and_then(|lambda| lambda.filter.as_ref()), wanted);
        let outbound = have
            .queue_configurations()
            .iter()
            .find(|queue| queue.id.as_deref() == Some(OUTBOUND));
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
            filter_prefix: told("prefix"),
            filter_suffix: told("suffix"),
            id: ours
                .and_then(|lambda| lambda.id.clone())
                .unwrap_or_default(),
            outbound_queue_arn: outbound.map(|queue| queue.queue_arn.clone()),
            // Of an entry that is missing, or too much, the queue tells.
            outbound_filter_prefix: self.outbound_filter_prefix.clone().map(|wanted| {
                outbound.map_or(wanted, |queue| rule(queue.filter.as_ref(), "prefix"))
            }),
            ..self.clone()
        };
        let mut found = properties(&found);
        let fits = outbound.is_some_and(|queue| self.tells_of_work(queue));
        let expected = usize::from(ours.is_some()) + usize::from(fits);
        found.extend(attributes! { "others": total - expected, "event_bridge": event_bridge });
        Some(found)
    }

    async fn look(&self, aws: &Aws) -> Result<Option<Attributes>, Failure> {
        let get = || {
            aws.s3
                .get_bucket_notification_configuration()
                .bucket(&self.bucket)
                .send()
        };
        let call = aws.call("s3:GetBucketNotificationConfiguration", &self.bucket, get);
        let answer = bucket::here(&self.bucket, call.await, aws).await?;
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
        let answer = aws.call("s3:PutBucketNotificationConfiguration", &self.bucket, put);
        answer
            .await
            .map(drop)
            .map_err(|failure| match &self.outbound_queue_arn {
                Some(arn) if failure.is(&["InvalidArgument"]) => failure.advise(format!(
                    "S3 could not reach one of those it is to tell. Most often it is the queue of `bucket.outbound_queue_arn`, {arn}: it must exist, in this region, and its \
                     policy must let s3.amazonaws.com do sqs:SendMessage; if it is encrypted with a KMS key of yours, that key's policy must let s3.amazonaws.com use it."
                )),
                _ => failure,
            })
    }

    async fn write(&self, aws: &Aws, event_bridge: bool) -> Result<Attributes, Failure> {
        let bridge = event_bridge.then(|| EventBridgeConfiguration::builder().build());
        let configuration = NotificationConfiguration::builder()
            .lambda_function_configurations(self.function()?)
            .set_queue_configurations(self.queue()?.map(|queue| vec![queue]))
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

    fn writes_too(&self, _one: &str, _other: &str) -> bool {
        true
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
            Err(failure) if failure.is(bucket::NOT_HERE) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification() -> Notification {
        Notification {
            bucket: "b".into(),
            lambda_function_arn: "arn:aws:lambda:eu-west-1:123456789012:function:f".into(),
            events: vec!["s3:ObjectCreated:*".into()],
            filter_prefix: "inbound/".into(),
            filter_suffix: ".json".into(),
            id: "bellflower".into(),
            outbound_queue_arn: Some("arn:q".into()),
            outbound_filter_prefix: Some("outbound/".into()),
            outbound_suffix: "/data.json".into(),
        }
    }

    /// What was asked for, as S3 tells it: other names of the rules, in another order.
    fn told(prefix: &str, suffix: &str) -> NotificationConfigurationFilter {
        let rule = |name: &str, value: &str| {
            let name = FilterRuleName::from(name);
            FilterRule::builder().name(name).value(value).build()
        };
        let key = S3KeyFilter::builder()
            .filter_rules(rule("Suffix", suffix))
            .filter_rules(rule("Prefix", prefix));
        NotificationConfigurationFilter::builder()
            .key(key.build())
            .build()
    }

    fn ours() -> LambdaFunctionConfiguration {
        let mut ours = notification().function().unwrap();
        ours.filter = Some(told("inbound/", ".json"));
        ours
    }

    fn outbound() -> QueueConfiguration {
        let mut outbound = notification().queue().unwrap().unwrap();
        outbound.filter = Some(told("outbound/", "/data.json"));
        outbound
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
            .queue_configurations(outbound())
            .build();
        assert_eq!(changes(&have), Some(vec![]));
        assert_eq!(changes(&Configuration::builder().build()), None);
    }

    #[test]
    fn what_else_is_set_is_a_difference() {
        let mut other = ours();
        other.events = vec![Event::S3ObjectRemoved];
        let mut narrower = outbound();
        narrower.events = vec![Event::S3ObjectCreatedPut];
        let mut elsewhere = outbound();
        elsewhere.filter = Some(told("outbound/", ".json"));
        let mut moved = outbound();
        moved.filter = Some(told("in/", "/data.json"));
        let mut somebodys = outbound();
        somebodys.id = Some("somebodys".into());
        let mut redirected = outbound();
        redirected.queue_arn = "arn:other".into();
        let queue = "outbound_queue_arn";
        for (function, queues, names) in [
            (other, vec![outbound()], &["events"][..]),
            (ours(), vec![], &[queue]),
            (ours(), vec![redirected], &[queue]),
            (ours(), vec![narrower], &["others"]),
            (ours(), vec![elsewhere], &["others"]),
            (ours(), vec![moved], &["outbound_filter_prefix"]),
            (ours(), vec![outbound(), somebodys], &["others"]),
        ] {
            let have = Configuration::builder()
                .lambda_function_configurations(function)
                .set_queue_configurations(Some(queues));
            let mut found = changes(&have.build()).unwrap();
            found.sort();
            assert_eq!(found, names);
        }
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
            .queue_configurations(outbound())
            .event_bridge_configuration(bridge);
        assert_eq!(changes(&have.build()), Some(vec![]));
    }
}
