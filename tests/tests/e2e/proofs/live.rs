//! Roles that lose one thing at a time, on a pipeline at work: what the emulator enforces must make a step fail, what it does not enforce
//! must not, and then a row of `rows.rs` stands for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sfn::types::ExecutionStatus;
use bellflower_tests::{Error, Pipeline, Stage, eventually};
use serde_json::{Value, json};

use super::documents::{Document, Kind, texts};

const LIMIT: Duration = Duration::from_secs(30);

/// Something the integration function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes a message, and writes what is in it.
    Open,
    /// Passes on an answer; the file's name.
    Answer(&'static str),
    /// Tells that an answer belongs to no exchange.
    Late,
}

/// Who looks at what a statement allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforced {
    /// The emulator does: without it this step fails.
    By(Step),
    /// The emulator does not. The rows do, as they do for all others.
    Not(&'static str),
}

const POLLER: Enforced =
    Enforced::Not("the emulator takes messages and keeps what failed on its own, not as the role");
const LOGGER: Enforced =
    Enforced::Not("the emulator writes logs and traces on its own, not as the role");
const SSE: Enforced = Enforced::Not("the emulator's S3 asks no key");
const MISSING: Enforced =
    Enforced::Not("the emulator's S3 says 404 of what is missing, to everybody");
const QUEUE: &str = ":orders-queue-devl-eu-west-1";
const UNDELIVERABLE: &str = ":orders-undeliverable-queue-devl-eu-west-1";
const SUCCESS: Enforced = Enforced::By(Step::Answer("success.json"));
const FAILURE: Enforced = Enforced::By(Step::Answer("failure.json"));
const HEARTBEAT: Enforced = Enforced::By(Step::Answer("heartbeat.json"));
const OPEN: Enforced = Enforced::By(Step::Open);
const LATE: Enforced = Enforced::By(Step::Late);

/// Everything that the integration function's role may do: statement, action, the end of the resource where there are several.
pub const TABLE: &[(&str, &str, &str, Enforced)] = &[
    ("WriteLog", "logs:CreateLogStream", "", LOGGER),
    ("WriteLog", "logs:PutLogEvents", "", LOGGER),
    ("SendTraces", "xray:PutTelemetryRecords", "", LOGGER),
    ("SendTraces", "xray:PutTraceSegments", "", LOGGER),
    ("TakeMessages", "sqs:DeleteMessage", QUEUE, POLLER),
    ("TakeMessages", "sqs:DeleteMessage", UNDELIVERABLE, POLLER),
    ("TakeMessages", "sqs:GetQueueAttributes", QUEUE, POLLER),
    (
        "TakeMessages",
        "sqs:GetQueueAttributes",
        UNDELIVERABLE,
        POLLER,
    ),
    ("TakeMessages", "sqs:ReceiveMessage", QUEUE, POLLER),
    ("TakeMessages", "sqs:ReceiveMessage", UNDELIVERABLE, POLLER),
    ("KeepFailedInvocations", "sqs:SendMessage", "", POLLER),
    ("ReadExchange", "s3:GetObject", "/inbound/*", SUCCESS),
    ("ReadExchange", "s3:GetObject", "/outbound/*", LATE),
    ("ReadExchange", "s3:GetObject", "/private/*", SUCCESS),
    ("WriteWork", "s3:PutObject", "/outbound/*", OPEN),
    ("WriteWork", "s3:PutObject", "/private/*", OPEN),
    ("RemoveTokens", "s3:DeleteObject", "", SUCCESS),
    ("TellMissingFromForbidden", "s3:ListBucket", "", MISSING),
    ("UseKey", "kms:Decrypt", "", SSE),
    ("UseKey", "kms:GenerateDataKey", "", SSE),
    ("AnswerCallbacks", "states:SendTaskFailure", "", FAILURE),
    ("AnswerCallbacks", "states:SendTaskHeartbeat", "", HEARTBEAT),
    ("AnswerCallbacks", "states:SendTaskSuccess", "", SUCCESS),
];

/// One thing that can be taken out of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    sid: String,
    action: String,
    /// The whole ARN; empty where it is the statement's only one.
    resource: String,
}

/// Each action of each statement; on each resource, where a statement has several.
fn grants(document: &Document) -> Vec<Grant> {
    let mut found = Vec::new();
    for (sid, statement) in document.statements() {
        let resources = match texts(&statement["Resource"]) {
            several if several.len() > 1 => several,
            _ => vec![""],
        };
        for action in texts(&statement["Action"]) {
            found.extend(resources.iter().map(|resource| Grant {
                sid: sid.to_owned(),
                action: action.to_owned(),
                resource: (*resource).to_owned(),
            }));
        }
    }
    found
}

/// The policy with one statement for each of these and its conditions.
fn policy_of(document: &Document, grants: &[Grant]) -> Value {
    let statements = grants.iter().enumerate().map(|(number, grant)| {
        let mut statements = document.statements();
        let statement = statements.find(|(sid, _)| *sid == grant.sid);
        let mut statement = statement
            .map(|(_, found)| found.clone())
            .unwrap_or_default();
        statement["Sid"] = json!(format!("{}{number}", grant.sid));
        statement["Action"] = json!(grant.action);
        if !grant.resource.is_empty() {
            statement["Resource"] = json!(grant.resource);
        }
        statement
    });
    json!({"Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>()})
}

/// The table and the policy, held against each other: the grants in the table's order.
fn paired(document: &Document) -> Vec<(Grant, Enforced)> {
    let mut grants = grants(document);
    let mut found = Vec::new();
    for (sid, action, end, enforced) in TABLE {
        let at = grants.iter().position(|grant| {
            grant.sid == *sid && grant.action == *action && grant.resource.ends_with(end)
        });
        let Some(at) = at else {
            panic!(
                "the role has no {sid} {action} {end} any more: take it out of TABLE in live.rs"
            );
        };
        found.push((grants.remove(at), *enforced));
    }
    assert!(
        grants.is_empty(),
        "unknown to TABLE in live.rs, which must say which step fails without it: {grants:#?}"
    );
    found
}

/// A role whose policy changes.
struct Role<'a> {
    stage: &'a Stage,
    name: String,
    policy_name: String,
    document: Document,
}

impl<'a> Role<'a> {
    async fn find(stage: &'a Stage, document: &Document) -> Result<Self, Error> {
        let Kind::Identity(Some(arn)) = &document.kind else {
            panic!("{} is no role's", document.name);
        };
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        let listed = stage.aws.iam.list_role_policies().role_name(&name).send();
        let listed = listed.await.map_err(Error::aws("reading a role"))?;
        Ok(Self {
            stage,
            policy_name: listed.policy_names().concat(),
            name,
            document: document.clone(),
        })
    }

    async fn set(&self, policy: &Value) -> Result<(), Error> {
        let put = self.stage.aws.iam.put_role_policy().role_name(&self.name);
        let put = put
            .policy_name(&self.policy_name)
            .policy_document(policy.to_string());
        put.send().await.map_err(Error::aws("changing a role"))?;
        Ok(())
    }

    async fn restore(&self) -> Result<(), Error> {
        self.set(&self.document.policy).await
    }
}

/// Every row of the table; what is wrong.
pub async fn each_grant_is_needed(
    stage: &Stage,
    pipeline: &Pipeline,
    documents: &[Document],
) -> Result<Vec<String>, Error> {
    let mut wrong = Vec::new();
    let of = |name: &str| {
        let found = documents.iter().find(|document| document.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    };
    let role = Role::find(stage, of("integration-role")).await?;
    let table = paired(&role.document);
    for (number, (grant, enforced)) in table.iter().enumerate() {
        let Enforced::By(step) = enforced else {
            continue;
        };
        let at = Prepared::new(stage, pipeline, *step, number).await?;
        let others: Vec<Grant> = table
            .iter()
            .map(|(grant, _)| grant.clone())
            .filter(|other| other != grant)
            .collect();
        role.set(&policy_of(&role.document, &others)).await?;
        let without = at.run().await?;
        role.restore().await?;
        // For no other reason: a step that never works would pass, too.
        if !without
            .as_ref()
            .is_err_and(|said| said.contains("AccessDenied"))
        {
            wrong.push(format!(
                "{step:?} without {grant:?} is not denied access: {without:?}"
            ));
        }
        match at.run().await? {
            Ok(()) => wrong.extend(at.left_undone().await?),
            Err(said) => wrong.push(format!("{step:?}, with {grant:?} put back: {said}")),
        }
    }

    // All that the emulator does not enforce at once: should it begin to, or the function begin to use it, this fails.
    let enforced: Vec<Grant> = table
        .iter()
        .filter(|(_, enforced)| matches!(enforced, Enforced::By(_)))
        .map(|(grant, _)| grant.clone())
        .collect();
    role.set(&policy_of(&role.document, &enforced)).await?;
    let nothing = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "*", "Resource": "*"},
    ]});
    let mut others = Vec::new();
    for name in ["processing-role", "state-machine-role"] {
        let other = Role::find(stage, of(name)).await?;
        other.set(&nothing).await?;
        others.push(other);
    }
    for (number, step) in [
        Step::Open,
        Step::Answer("failure.json"),
        Step::Answer("heartbeat.json"),
        Step::Answer("success.json"),
        Step::Late,
    ]
    .into_iter()
    .enumerate()
    {
        let at = Prepared::new(stage, pipeline, step, 100 + number).await?;
        if let Err(said) = at.run().await? {
            wrong.push(format!(
                "{step:?} needs a grant that TABLE in live.rs has as not enforced: {said}"
            ));
        }
    }
    role.restore().await?;
    for other in others {
        other.restore().await?;
    }
    Ok(wrong)
}

/// A new execution, and its exchange's id. The token was there before the work.
pub async fn opened(pipeline: &Pipeline) -> Result<(String, String), Error> {
    let before = pipeline.keys("outbound/").await?;
    let execution = pipeline.start("{}").await?;
    let id = eventually("the work", LIMIT, async || {
        let mut keys = pipeline.keys("outbound/").await?;
        keys.retain(|key| key.ends_with("/data.json") && !before.contains(key));
        Ok(match keys.pop() {
            Some(key) => Ok(key.split('/').nth(1).unwrap_or_default().to_owned()),
            None => Err("none".to_owned()),
        })
    })
    .await?;
    Ok((execution, id))
}

/// A step that can be run, and run again.
struct Prepared<'a> {
    stage: &'a Stage,
    pipeline: &'a Pipeline,
    step: Step,
    id: String,
    execution: Option<String>,
}

impl<'a> Prepared<'a> {
    async fn new(
        stage: &'a Stage,
        pipeline: &'a Pipeline,
        step: Step,
        number: usize,
    ) -> Result<Self, Error> {
        let mut prepared = Self {
            stage,
            pipeline,
            step,
            id: format!("live-{number}"),
            execution: None,
        };
        if let Step::Answer(_) = step {
            let (execution, id) = opened(pipeline).await?;
            (prepared.execution, prepared.id) = (Some(execution), id);
        }
        Ok(prepared)
    }

    /// Hands the function an event as AWS would, since only then the answer tells how it went: `Err` has what the function said.
    async fn run(&self) -> Result<Result<(), String>, Error> {
        let stage = self.stage;
        let event = match self.step {
            Step::Open => json!({"Records": [{
                "messageId": "1", "receiptHandle": "1", "attributes": {}, "messageAttributes": {},
                "body": json!({"Input": {"execution_id": self.id}, "TaskToken": "none"}).to_string(),
                "eventSource": "aws:sqs", "eventSourceARN": stage.arn("sqs", &stage.names.queue), "awsRegion": stage.region(),
            }]}),
            Step::Answer(file) => {
                let key = format!("inbound/{}/{file}", self.id);
                // The notification of it comes, too, and finds what this finds.
                let put = stage.aws.s3.put_object().bucket(&self.pipeline.bucket);
                let put = put.key(&key).body(b"{}".to_vec().into()).send();
                put.await.map_err(Error::aws("putting an answer"))?;
                self.created(&key, SystemTime::now())
            }
            // So old that nobody waits for the exchange to appear.
            Step::Late => self.created(
                &format!("inbound/{}/success.json", self.id),
                UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            ),
        };
        let invoke = stage.aws.lambda.invoke();
        let invoke = invoke.function_name(&stage.names.integration);
        let answer = invoke.payload(Blob::new(event.to_string())).send().await;
        let answer = answer.map_err(Error::aws("invoking the function"))?;
        let said = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let body: Value = serde_json::from_str(&said).unwrap_or_default();
        let failures = body["batchItemFailures"].as_array();
        let failed = answer.function_error.is_some() || failures.is_some_and(|one| !one.is_empty());
        Ok(if failed {
            Err(format!("{said}: {}", self.why().await?))
        } else {
            Ok(())
        })
    }

    fn created(&self, key: &str, at: SystemTime) -> Value {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at =
            aws_smithy_types::DateTime::from_secs(since.as_secs().try_into().unwrap_or_default());
        let at = at.fmt(aws_smithy_types::date_time::Format::DateTime);
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": self.stage.region(),
            "eventTime": at.unwrap_or_default(), "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "A"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {"x-amz-request-id": "1"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "answers",
                "bucket": {
                    "name": self.pipeline.bucket, "ownerIdentity": {"principalId": "A"},
                    "arn": self.stage.arn("s3", &self.pipeline.bucket),
                },
                "object": {"key": key, "size": 2, "eTag": "e", "sequencer": "0A"},
            },
        }]})
    }

    /// What the step should have done, and has not.
    async fn left_undone(&self) -> Result<Option<String>, Error> {
        let Some(execution) = &self.execution else {
            return Ok(None);
        };
        let Step::Answer(file) = self.step else {
            return Ok(None);
        };
        if file == "heartbeat.json" {
            return Ok(None);
        }
        let ended = self.pipeline.ended(execution, LIMIT).await?;
        let expected = match file {
            "success.json" => ExecutionStatus::Succeeded,
            _ => ExecutionStatus::Failed,
        };
        Ok((ended.status != expected).then(|| format!("{file}: {ended:?}")))
    }

    /// The last failure in the function's log.
    async fn why(&self) -> Result<String, Error> {
        let group = format!("/aws/lambda/{}", self.stage.names.integration);
        let events = self.stage.aws.logs.filter_log_events();
        let events = events.log_group_name(group).send().await;
        let events = events.map_err(Error::aws("reading the log"))?;
        let lines = events.events().iter().rev().filter_map(|one| one.message());
        let mut failed = lines.filter(|line| line.contains("record failed"));
        Ok(failed.next().unwrap_or("nothing in the log").to_owned())
    }
}
