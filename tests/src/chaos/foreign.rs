//! Other people's objects, with names and descriptions much like ours.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Statistic};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::{Aws, Error, Names};

/// Every foreign name is one of ours with this behind it.
const MORE: &str = "-2";

/// The tag that says whose an object is; here, another pipeline's.
const MARK: (&str, &str) = ("bellflower:pipeline", "orders-2/devl");

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

const RIGHTS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

/// Makes them.
pub(super) async fn make(aws: &Aws, names: &Names, region: &str) -> Result<(), Error> {
    let more = |name: &str| format!("{name}{MORE}");
    let queue = aws
        .sqs
        .create_queue()
        .queue_name(more(&names.queue))
        .tags(MARK.0, MARK.1);
    let queue = queue.attributes(QueueAttributeName::DelaySeconds, "7");
    queue
        .send()
        .await
        .map_err(Error::aws("making a foreign queue"))?;

    let tag = aws_sdk_iam::types::Tag::builder()
        .key(MARK.0)
        .value(MARK.1)
        .build();
    let role = aws
        .iam
        .create_role()
        .role_name(more(&names.processing_role))
        .assume_role_policy_document(TRUST);
    let role = role.tags(tag.map_err(Error::aws("making a tag"))?);
    role.send()
        .await
        .map_err(Error::aws("making a foreign role"))?;
    let policy = aws
        .iam
        .put_role_policy()
        .role_name(more(&names.processing_role))
        .policy_name("bellflower");
    policy
        .policy_document(RIGHTS)
        .send()
        .await
        .map_err(Error::aws("making a foreign role's policy"))?;

    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::from(region))
        .build();
    let bucket = aws
        .s3
        .create_bucket()
        .bucket(more(&names.bucket))
        .create_bucket_configuration(place);
    bucket
        .send()
        .await
        .map_err(Error::aws("making a foreign bucket"))?;
    let object = aws
        .s3
        .put_object()
        .bucket(more(&names.bucket))
        .key("inbound/data.json");
    let object = object.body(ByteStream::from_static(b"dear to somebody"));
    object
        .send()
        .await
        .map_err(Error::aws("making a foreign object"))?;

    // Without an alias, as the key of a run that was killed: but another pipeline's.
    let tag = aws_sdk_kms::types::Tag::builder()
        .tag_key(MARK.0)
        .tag_value(MARK.1)
        .build();
    let key = aws
        .kms
        .create_key()
        .description("foreign")
        .tags(tag.map_err(Error::aws("making a tag"))?);
    key.send()
        .await
        .map_err(Error::aws("making a foreign key"))?;

    let alarm = aws
        .cloudwatch
        .put_metric_alarm()
        .alarm_name(more(&names.processing))
        .metric_name("Errors");
    let alarm = alarm
        .namespace("AWS/Lambda")
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(1.0);
    let alarm = alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold);
    alarm
        .send()
        .await
        .map_err(Error::aws("making a foreign alarm"))?;

    let group = aws
        .logs
        .create_log_group()
        .log_group_name(more(&format!("/aws/lambda/{}", names.processing)));
    group
        .tags(MARK.0, MARK.1)
        .send()
        .await
        .map_err(Error::aws("making a foreign log group"))?;
    Ok(())
}

/// What they are like.
pub(super) async fn look(aws: &Aws, names: &Names) -> Result<Value, Error> {
    let more = |name: &str| format!("{name}{MORE}");
    let url = aws
        .sqs
        .get_queue_url()
        .queue_name(more(&names.queue))
        .send()
        .await;
    let url = url.map_err(Error::aws("looking for the foreign queue"))?;
    let url = url.queue_url().unwrap_or_default();
    let queue = aws
        .sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await;
    let queue = queue.map_err(Error::aws("looking at the foreign queue"))?;
    let attributes = queue.attributes().into_iter().flatten();
    let queue: serde_json::Map<String, Value> = attributes
        .map(|(name, value)| (name.to_string(), json!(value)))
        .collect();
    let queue_tags = aws.sqs.list_queue_tags().queue_url(url).send().await;
    let queue_tags = queue_tags.map_err(Error::aws("looking at the foreign queue"))?;

    let role = aws
        .iam
        .get_role()
        .role_name(more(&names.processing_role))
        .send()
        .await;
    let role = role.map_err(Error::aws("looking at the foreign role"))?;
    let policy = aws
        .iam
        .get_role_policy()
        .role_name(more(&names.processing_role))
        .policy_name("bellflower")
        .send()
        .await;
    let policy = policy.map_err(Error::aws("looking at the foreign role's policy"))?;

    let objects = aws
        .s3
        .list_objects_v2()
        .bucket(more(&names.bucket))
        .send()
        .await;
    let objects = objects.map_err(Error::aws("looking into the foreign bucket"))?;

    let alarms = aws
        .cloudwatch
        .describe_alarms()
        .alarm_names(more(&names.processing))
        .send()
        .await;
    let alarms = alarms.map_err(Error::aws("looking at the foreign alarm"))?;

    let groups = aws
        .logs
        .describe_log_groups()
        .log_group_name_prefix(more(&format!("/aws/lambda/{}", names.processing)));
    let groups = groups
        .send()
        .await
        .map_err(Error::aws("looking at the foreign log group"))?;

    let mut keys = Vec::new();
    let listed = aws
        .kms
        .list_keys()
        .send()
        .await
        .map_err(Error::aws("listing keys"))?;
    for id in listed.keys().iter().filter_map(|key| key.key_id()) {
        let key = aws
            .kms
            .describe_key()
            .key_id(id)
            .send()
            .await
            .map_err(Error::aws("looking at a key"))?;
        if let Some(key) = key
            .key_metadata()
            .filter(|key| key.description() == Some("foreign"))
        {
            keys.push(format!("{key:?}"));
        }
    }
    Ok(json!({
        "queue": queue,
        "queue tags": queue_tags.tags(),
        "role": format!("{:?}", role.role()),
        "policy": policy.policy_document(),
        "objects": objects.contents().iter().map(|object| (object.key(), object.e_tag())).collect::<Vec<_>>(),
        "alarms": alarms.metric_alarms().iter().map(|alarm| format!("{:?}", (alarm.alarm_arn(), alarm.threshold(), alarm.alarm_configuration_updated_timestamp()))).collect::<Vec<_>>(),
        "groups": groups.log_groups().iter().map(|group| format!("{group:?}")).collect::<Vec<_>>(),
        "keys": keys,
    }))
}
