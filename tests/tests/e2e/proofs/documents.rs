//! Every policy of a pipeline, as AWS has it.

use aws_sdk_iam::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::QueueAttributeName;
use bellflower_tests::{Error, Stage};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Where a policy hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// What the bearer may do: the role's or user's ARN, where it hangs on one.
    Identity(Option<String>),
    /// Who may assume the role of this ARN.
    Trust(String),
    /// Who may do what with the object of this ARN.
    Resource(String),
}

/// One policy.
#[derive(Debug, Clone)]
pub struct Document {
    /// The part's name without what all names have in common: `integration-role`, `queue`, `integration-role trust`.
    pub name: String,
    /// Where it hangs.
    pub kind: Kind,
    /// The policy itself.
    pub policy: Value,
}

impl Document {
    /// Its statements, each with its id; trust policies have none.
    pub fn statements(&self) -> impl Iterator<Item = (&str, &Value)> {
        statements(&self.policy)
            .iter()
            .map(|one| (one["Sid"].as_str().unwrap_or("-"), one))
    }
}

/// A policy's statements.
pub fn statements(policy: &Value) -> &[Value] {
    policy["Statement"].as_array().map_or(&[], Vec::as_slice)
}

/// The values of a statement's element, which may be one text or a list.
pub fn texts(element: &Value) -> Vec<&str> {
    match element {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

/// A statement's conditions: operator, key, values.
pub fn conditions(statement: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, values)| (operator.as_str(), key.as_str(), values))
    })
}

/// Looks into the whole account, not at a list of parts: a new part's policy is found without being named here.
pub async fn read(stage: &Stage) -> Result<Vec<Document>, Error> {
    let mut found = Vec::new();
    Box::pin(roles(stage, &mut found)).await?;
    Box::pin(queues_and_topics(stage, &mut found)).await?;
    Box::pin(functions_and_buckets(stage, &mut found)).await?;
    Box::pin(keys(stage, &mut found)).await?;
    // What the provider computes for others to use.
    if let Some(text) = stage.state()?["business_application_policy_json"].as_str() {
        found.push(Document {
            name: "business application".to_owned(),
            kind: Kind::Identity(None),
            policy: parsed(text),
        });
    }
    Ok(found)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// IAM answers with documents encoded as in a URL.
fn decoded(text: Option<&str>) -> Value {
    parsed(&percent_decode_str(text.unwrap_or_default()).decode_utf8_lossy())
}

/// `queue` of `orders-queue-devl-eu-west-1`; nothing of a name that is no pipeline's.
fn part<'a>(stage: &Stage, name: &'a str) -> Option<&'a str> {
    let end = format!("-devl-{}", stage.region());
    let part = name.strip_prefix("orders-")?.strip_suffix(&end)?;
    let account = format!("-{}", stage.emulator.account());
    Some(part.strip_suffix(&account).unwrap_or(part))
}

async fn roles(stage: &Stage, found: &mut Vec<Document>) -> Result<(), Error> {
    let iam = &stage.aws.iam;
    let reading = "reading the roles";
    let listed = iam.list_roles().send().await.map_err(Error::aws(reading))?;
    for role in listed.roles() {
        let name = role.role_name();
        let Some(part) = part(stage, name) else {
            continue;
        };
        let shown = iam.get_role().role_name(name).send();
        let shown = shown.await.map_err(Error::aws(reading))?;
        let trust = shown
            .role()
            .and_then(|role| role.assume_role_policy_document());
        found.push(Document {
            name: format!("{part} trust"),
            kind: Kind::Trust(role.arn().to_owned()),
            policy: decoded(trust),
        });
        let policies = iam.list_role_policies().role_name(name).send();
        let policies = policies.await.map_err(Error::aws(reading))?;
        assert_eq!(policies.policy_names().len(), 1, "{name}: {policies:?}");
        for policy in policies.policy_names() {
            let shown = iam.get_role_policy().role_name(name).policy_name(policy);
            let shown = shown.send().await.map_err(Error::aws(reading))?;
            found.push(Document {
                name: part.to_owned(),
                kind: Kind::Identity(Some(role.arn().to_owned())),
                policy: decoded(Some(shown.policy_document())),
            });
        }
        let attached = iam.list_attached_role_policies().role_name(name).send();
        let attached = attached.await.map_err(Error::aws(reading))?;
        assert_eq!(attached.attached_policies(), [], "{name}");
    }
    Ok(())
}

async fn queues_and_topics(stage: &Stage, found: &mut Vec<Document>) -> Result<(), Error> {
    let (sqs, sns) = (&stage.aws.sqs, &stage.aws.sns);
    let reading = "reading the queues";
    let listed = sqs.list_queues().queue_name_prefix("orders-").send();
    let listed = listed.await.map_err(Error::aws(reading))?;
    for url in listed.queue_urls() {
        let shown = sqs.get_queue_attributes().queue_url(url);
        let shown = shown.attribute_names(QueueAttributeName::All).send().await;
        let shown = shown.map_err(Error::aws(reading))?;
        let of = |name| shown.attributes().and_then(|all| all.get(&name));
        let name = url.rsplit('/').next().and_then(|name| part(stage, name));
        if let (Some(name), Some(arn), Some(policy)) = (
            name,
            of(QueueAttributeName::QueueArn),
            of(QueueAttributeName::Policy),
        ) {
            found.push(resource(name, arn, policy));
        }
    }
    let reading = "reading the topics";
    let listed = sns.list_topics().send();
    let listed = listed.await.map_err(Error::aws(reading))?;
    for arn in listed.topics().iter().filter_map(|topic| topic.topic_arn()) {
        let shown = sns.get_topic_attributes().topic_arn(arn).send();
        let shown = shown.await.map_err(Error::aws(reading))?;
        let policy = shown.attributes().and_then(|all| all.get("Policy"));
        let name = arn.rsplit(':').next().and_then(|name| part(stage, name));
        if let (Some(name), Some(policy)) = (name, policy) {
            found.push(resource(name, arn, policy));
        }
    }
    Ok(())
}

async fn functions_and_buckets(stage: &Stage, found: &mut Vec<Document>) -> Result<(), Error> {
    let (lambda, s3) = (&stage.aws.lambda, &stage.aws.s3);
    let reading = "reading the functions";
    let listed = lambda.list_functions().send();
    let listed = listed.await.map_err(Error::aws(reading))?;
    for function in listed.functions() {
        let (Some(name), Some(arn)) = (function.function_name(), function.function_arn()) else {
            continue;
        };
        let shown = match lambda.get_policy().function_name(name).send().await {
            Ok(shown) => shown,
            Err(error) if error.code() == Some("ResourceNotFoundException") => continue,
            Err(error) => return Err(Error::aws(reading)(error)),
        };
        if let (Some(name), Some(policy)) = (part(stage, name), shown.policy()) {
            found.push(resource(name, arn, policy));
        }
    }
    let reading = "reading the buckets";
    let listed = s3.list_buckets().send();
    let listed = listed.await.map_err(Error::aws(reading))?;
    for bucket in listed.buckets().iter().filter_map(|bucket| bucket.name()) {
        let Some(name) = part(stage, bucket) else {
            continue;
        };
        let shown = s3.get_bucket_policy().bucket(bucket).send();
        let shown = shown.await.map_err(Error::aws(reading))?;
        let policy = shown.policy().unwrap_or_default();
        found.push(resource(name, &stage.arn("s3", bucket), policy));
    }
    Ok(())
}

async fn keys(stage: &Stage, found: &mut Vec<Document>) -> Result<(), Error> {
    let kms = &stage.aws.kms;
    let reading = "reading the keys";
    let listed = kms.list_aliases().send();
    let listed = listed.await.map_err(Error::aws(reading))?;
    for alias in listed.aliases() {
        let name = alias
            .alias_name()
            .and_then(|name| name.strip_prefix("alias/"));
        let (Some(name), Some(id)) = (
            name.and_then(|name| part(stage, name)),
            alias.target_key_id(),
        ) else {
            continue;
        };
        let shown = kms.get_key_policy().key_id(id).send();
        let shown = shown.await.map_err(Error::aws(reading))?;
        let arn = stage.arn("kms", &format!("key/{id}"));
        found.push(resource(name, &arn, shown.policy().unwrap_or_default()));
    }
    Ok(())
}

fn resource(name: &str, arn: &str, policy: &str) -> Document {
    Document {
        name: name.to_owned(),
        kind: Kind::Resource(arn.to_owned()),
        policy: parsed(policy),
    }
}
