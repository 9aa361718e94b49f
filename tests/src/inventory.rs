//! Everything that is in the account.

use aws_sdk_kms::error::ProvideErrorMetadata as _;
use aws_sdk_kms::types::KeyState;

use crate::{Aws, Error};

/// What is in the account, of every kind a pipeline has parts of: one line for each, such as `S3 bucket orders-…`.
/// Keys that are scheduled for deletion count as gone (AWS keeps them for 7 days at least), AWS's own aliases as
/// not ours.
///
/// Only the first page of each list is read, which is enough for an account of a test's own.
///
/// # Errors
/// When something cannot be listed.
pub async fn inventory(aws: &Aws) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    compute(aws, &mut found).await?;
    storage(aws, &mut found).await?;
    watching(aws, &mut found).await?;
    keys_and_roles(aws, &mut found).await?;
    Ok(found)
}

async fn compute(aws: &Aws, found: &mut Vec<String>) -> Result<(), Error> {
    let machines = aws
        .sfn
        .list_state_machines()
        .send()
        .await
        .map_err(Error::aws("listing state machines"))?;
    add(
        found,
        "state machine",
        machines.state_machines().iter().map(|one| Some(one.name())),
    );

    let functions = aws
        .lambda
        .list_functions()
        .send()
        .await
        .map_err(Error::aws("listing functions"))?;
    add(
        found,
        "Lambda function",
        functions.functions().iter().map(|one| one.function_name()),
    );

    let sources = aws
        .lambda
        .list_event_source_mappings()
        .send()
        .await
        .map_err(Error::aws("listing event source mappings"))?;
    add(
        found,
        "event source mapping",
        sources.event_source_mappings().iter().map(|one| one.uuid()),
    );
    Ok(())
}

async fn storage(aws: &Aws, found: &mut Vec<String>) -> Result<(), Error> {
    let buckets = aws
        .s3
        .list_buckets()
        .send()
        .await
        .map_err(Error::aws("listing buckets"))?;
    add(
        found,
        "S3 bucket",
        buckets.buckets().iter().map(|one| one.name()),
    );

    let queues = aws
        .sqs
        .list_queues()
        .send()
        .await
        .map_err(Error::aws("listing queues"))?;
    add(
        found,
        "SQS queue",
        queues.queue_urls().iter().map(|one| Some(one.as_str())),
    );

    let topics = aws
        .sns
        .list_topics()
        .send()
        .await
        .map_err(Error::aws("listing topics"))?;
    add(
        found,
        "SNS topic",
        topics.topics().iter().map(|one| one.topic_arn()),
    );

    let subscriptions = aws
        .sns
        .list_subscriptions()
        .send()
        .await
        .map_err(Error::aws("listing subscriptions"))?;
    add(
        found,
        "SNS subscription",
        subscriptions
            .subscriptions()
            .iter()
            .map(|one| one.endpoint()),
    );
    Ok(())
}

async fn watching(aws: &Aws, found: &mut Vec<String>) -> Result<(), Error> {
    let alarms = aws
        .cloudwatch
        .describe_alarms()
        .send()
        .await
        .map_err(Error::aws("listing alarms"))?;
    add(
        found,
        "alarm",
        alarms.metric_alarms().iter().map(|one| one.alarm_name()),
    );

    match aws.cloudwatch.list_dashboards().send().await {
        Ok(dashboards) => add(
            found,
            "dashboard",
            dashboards
                .dashboard_entries()
                .iter()
                .map(|one| one.dashboard_name()),
        ),
        // The emulator tells of each in a form that the SDK cannot read: then there is at least one.
        Err(error) if error.code().is_none() && error.raw_response().is_some() => {
            found.push("dashboard of some name".to_owned());
        }
        Err(error) => return Err(Error::aws("listing dashboards")(error)),
    }

    let groups = aws
        .logs
        .describe_log_groups()
        .send()
        .await
        .map_err(Error::aws("listing log groups"))?;
    add(
        found,
        "log group",
        groups.log_groups().iter().map(|one| one.log_group_name()),
    );
    Ok(())
}

async fn keys_and_roles(aws: &Aws, found: &mut Vec<String>) -> Result<(), Error> {
    let roles = aws
        .iam
        .list_roles()
        .send()
        .await
        .map_err(Error::aws("listing roles"))?;
    add(
        found,
        "IAM role",
        roles
            .roles()
            .iter()
            .filter(|one| !one.path().starts_with("/aws-service-role/"))
            .map(|one| Some(one.role_name())),
    );

    let policies = aws
        .iam
        .list_policies()
        .scope(aws_sdk_iam::types::PolicyScopeType::Local)
        .send()
        .await
        .map_err(Error::aws("listing policies"))?;
    add(
        found,
        "IAM policy",
        policies.policies().iter().map(|one| one.policy_name()),
    );

    let aliases = aws
        .kms
        .list_aliases()
        .send()
        .await
        .map_err(Error::aws("listing key aliases"))?;
    add(
        found,
        "KMS alias",
        aliases
            .aliases()
            .iter()
            .map(|one| one.alias_name())
            .filter(|name| !name.is_some_and(|name| name.starts_with("alias/aws/"))),
    );

    let keys = aws
        .kms
        .list_keys()
        .send()
        .await
        .map_err(Error::aws("listing keys"))?;
    for id in keys.keys().iter().filter_map(|one| one.key_id()) {
        let described = aws
            .kms
            .describe_key()
            .key_id(id)
            .send()
            .await
            .map_err(Error::aws("describing a key"))?;
        let gone = described
            .key_metadata()
            .is_none_or(|key| key.key_state() == Some(&KeyState::PendingDeletion));
        if !gone {
            found.push(format!("KMS key {id}"));
        }
    }
    Ok(())
}

fn add<'a>(found: &mut Vec<String>, kind: &str, names: impl Iterator<Item = Option<&'a str>>) {
    found.extend(names.map(|name| format!("{kind} {}", name.unwrap_or("unnamed"))));
}
