//! A Step Functions state machine.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html>

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::{
    CloudWatchLogsLogGroup, LogDestination, LogLevel, LoggingConfiguration, StateMachineStatus,
    StateMachineType, Tag, TracingConfiguration,
};
use serde::Serialize;

use super::execution::running;
use super::tags::{MADE_AT, Tags};
use super::{Aws, absent, attributes, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Part};

pub(super) const GONE: &[&str] = &["StateMachineDoesNotExist", "ResourceNotFound"];
const BUDGET: Duration = Duration::from_mins(5);
/// How long after its making the index of tags counts as late, and how long the making of a pipeline may take.
const INDEXED: Duration = Duration::from_mins(5);
const MAKING: Duration = Duration::from_mins(20);
const LOGGING: &[&str] = &["include_execution_data", "log_destination", "log_level"];
/// The level of logging that is switched off.
const OFF: &str = "OFF";
/// How much earlier than its call a state machine may be made by a clock that is not ours.
const SKEW: Duration = Duration::from_secs(1);
/// How far running executions are counted, and how many of them are named.
const COUNTED: usize = 1000;
const SHOWN: usize = 5;

/// How a state machine should be.
#[derive(Debug, Clone, Serialize)]
pub struct StateMachine {
    /// The state machine's name.
    pub name: String,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// The definition in Amazon States Language.
    pub definition: String,
    /// The ARN of its role.
    pub role_arn: String,
    /// `STANDARD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which events are logged: `ALL`, `ERROR`, `FATAL` or `OFF`.
    pub log_level: String,
    /// Whether log events hold input and output.
    pub include_execution_data: bool,
    /// The ARN of the log group, ending in `:*`.
    pub log_destination: String,
    /// Whether AWS X-Ray traces executions.
    pub tracing_enabled: bool,
    /// Whether running executions are stopped when the state machine is deleted.
    #[serde(skip)]
    pub force_destroy: bool,
    /// All tags.
    pub tags: Tags,
}

impl StateMachine {
    /// Switched off, logging has no destination: AWS needs one for the other levels only, and would check that the role may write
    /// to it.
    fn logging(&self) -> LoggingConfiguration {
        let logging = LoggingConfiguration::builder()
            .level(LogLevel::from(self.log_level.as_str()))
            .include_execution_data(self.include_execution_data);
        if self.log_level == OFF {
            return logging.build();
        }
        let group = CloudWatchLogsLogGroup::builder()
            .log_group_arn(&self.log_destination)
            .build();
        let destination = LogDestination::builder()
            .cloud_watch_logs_log_group(group)
            .build();
        logging.destinations(destination).build()
    }

    /// Level, execution data and destination, as a description has them. Of logging that is switched off AWS may leave out all of it, and
    /// what is left says nothing: there is no difference but the level.
    fn logging_of(&self, found: Option<&LoggingConfiguration>) -> (String, bool, String) {
        let level = found
            .and_then(|logging| logging.level.as_ref())
            .map_or(OFF, LogLevel::as_str);
        if level == OFF {
            let (data, destination) = (self.include_execution_data, self.log_destination.clone());
            return (OFF.to_owned(), data, destination);
        }
        let destination = found
            .and_then(|logging| logging.destinations().first())
            .and_then(|destination| destination.cloud_watch_logs_log_group.as_ref())
            .and_then(|group| group.log_group_arn.clone());
        let data = found.is_some_and(|logging| logging.include_execution_data);
        (level.to_owned(), data, destination.unwrap_or_default())
    }

    /// Whether one that was made at this time may be another than the one whose tags are known: it is as young as the index of tags may be late, and was not made
    /// with the pipeline.
    fn may_be_another(&self, made: DateTime) -> bool {
        let Ok(made) = SystemTime::try_from(made) else {
            return true;
        };
        let begun = self.tags.0.get(MADE_AT);
        let begun = begun.and_then(|begun| humantime::parse_rfc3339(begun).ok());
        let since = begun.and_then(|begun| made.duration_since(begun).ok());
        let with_it = since.is_some_and(|since| since < MAKING);
        !with_it && made.elapsed().map_or(true, |age| age < INDEXED)
    }

    fn tracing(&self) -> TracingConfiguration {
        TracingConfiguration::builder()
            .enabled(self.tracing_enabled)
            .build()
    }

    async fn describe(
        &self,
        aws: &Aws,
    ) -> Result<
        Option<aws_sdk_sfn::operation::describe_state_machine::DescribeStateMachineOutput>,
        Failure,
    > {
        let describe = || {
            aws.sfn
                .describe_state_machine()
                .state_machine_arn(&self.arn)
                .send()
        };
        let answer = aws.call("states:DescribeStateMachine", &self.name, describe);
        Ok(aws.is_told_by_its_own(absent(answer.await, GONE)?))
    }

    /// Which executions are running, in words; nothing if none is.
    async fn running(&self, aws: &Aws) -> Result<Option<String>, Failure> {
        let running = running(&self.arn, aws, COUNTED).await?.unwrap_or_default();
        let count = if running.len() < COUNTED {
            running.len().to_string()
        } else {
            format!("{COUNTED} or more")
        };
        let shown: Vec<&str> = running.iter().take(SHOWN).map(String::as_str).collect();
        Ok(match running.as_slice() {
            [] => None,
            [one] => Some(format!("an execution is running, {one}")),
            _ => Some(format!(
                "{count} executions are running, among them {}",
                shown.join(", ")
            )),
        })
    }

    /// An execution that waits for a callback makes no transition by itself, so the state machine would never go.
    async fn stop_executions(&self, aws: &Aws) -> Result<(), Failure> {
        loop {
            let running = running(&self.arn, aws, COUNTED).await?.unwrap_or_default();
            let last = running.len() < COUNTED;
            for arn in running {
                let stop = || {
                    let request = aws
                        .sfn
                        .stop_execution()
                        .execution_arn(&arn)
                        .error("Bellflower.Destroyed");
                    request
                        .cause(
                            "The callback pipeline was destroyed while this execution was running.",
                        )
                        .send()
                };
                absent(
                    aws.call("states:StopExecution", &arn, stop).await,
                    &["ExecutionDoesNotExist"],
                )?;
            }
            if last {
                return Ok(());
            }
        }
    }
}

/// The definition of a state machine; nothing where there is no such one.
///
/// # Errors
/// The failure of the call.
pub async fn definition(arn: &str, aws: &Aws) -> Result<Option<String>, Failure> {
    let describe = || {
        aws.sfn
            .describe_state_machine()
            .state_machine_arn(arn)
            .send()
    };
    let described = aws.call("states:DescribeStateMachine", arn, describe);
    Ok(absent(described.await, GONE)?.map(|described| described.definition))
}

/// The tags of a state machine that is there to stay; `None` where there is no such one, or where we may not look.
///
/// # Errors
/// The failure of a call that failed otherwise.
pub async fn tags_of(arn: &str, aws: &Aws) -> Result<Option<Tags>, Failure> {
    const NOT_OURS: &[&str] = &["AccessDeniedException", "InvalidArn"];
    let none = [GONE, NOT_OURS].concat();
    let describe = || {
        let request = aws.sfn.describe_state_machine();
        request.state_machine_arn(arn).send()
    };
    let list = || aws.sfn.list_tags_for_resource().resource_arn(arn).send();
    let machine = aws.call("states:DescribeStateMachine", arn, describe).await;
    let stays = absent(machine, &none)?
        .is_some_and(|machine| machine.status != Some(StateMachineStatus::Deleting));
    if !stays {
        return Ok(None);
    }
    let answer = aws.call("states:ListTagsForResource", arn, list).await;
    Ok(absent(answer, &none)?.map(|answer| listed(answer.tags)))
}

fn listed(tags: Option<Vec<Tag>>) -> Tags {
    let pair = |tag: Tag| Some((tag.key?, tag.value?));
    Tags::listed(tags.into_iter().flatten().filter_map(pair))
}

fn tag_list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

#[async_trait]
impl Part<Aws> for StateMachine {
    fn kind(&self) -> &'static str {
        "Step Functions state machine"
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        desired.extend(attributes! { "status": StateMachineStatus::Active.as_str() });
        desired
    }

    fn fixed(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn tagged_as(&self) -> Option<&str> {
        Some(&self.arn)
    }

    fn writes_too(&self, one: &str, other: &str) -> bool {
        let one_call = [one, other].iter().all(|name| LOGGING.contains(name));
        one_call || (one != "tags" && other == "role_arn")
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let list = || {
            aws.sfn
                .list_tags_for_resource()
                .resource_arn(&self.arn)
                .send()
        };
        let Some(machine) = self.describe(aws).await? else {
            return Ok(None);
        };
        // It goes by itself, unless an execution waits that nobody ends.
        let status = machine.status.clone();
        let status = status.unwrap_or(StateMachineStatus::Active);
        if status == StateMachineStatus::Deleting
            && running(&self.arn, aws, 1)
                .await?
                .is_none_or(|running| running.is_empty())
        {
            return Ok(None);
        }
        let ask = || async {
            let answer = aws.call("states:ListTagsForResource", &self.name, list);
            Ok(absent(answer.await, GONE)?.map(|answer| listed(answer.tags)))
        };
        let tags = if self.may_be_another(machine.creation_date) {
            ask().await?.map(|tags| aws.heeded(tags, &self.tags))
        } else {
            aws.tags(&self.arn, &self.tags, ask).await?
        };
        let tags = tags.unwrap_or_default();
        let (log_level, include_execution_data, log_destination) =
            self.logging_of(machine.logging_configuration.as_ref());
        let have = Self {
            name: machine.name,
            arn: machine.state_machine_arn,
            definition: policy::settled_json(&machine.definition, Some(&self.definition)),
            role_arn: machine.role_arn,
            kind: machine.r#type.as_str().to_owned(),
            log_level,
            include_execution_data,
            log_destination,
            // AWS always tells; an endpoint that does not cannot be asked.
            tracing_enabled: machine
                .tracing_configuration
                .map_or(self.tracing_enabled, |tracing| tracing.enabled),
            force_destroy: self.force_destroy,
            tags: tags.clone(),
        };
        let mut attributes = properties(&have);
        attributes.extend(attributes! { "status": status.as_str() });
        Ok(Some(Found {
            attributes,
            owner: self.tags.owner_of(&tags),
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let tags = tag_list(&self.tags.0);
        let create = || {
            aws.sfn
                .create_state_machine()
                .name(&self.name)
                .definition(&self.definition)
                .role_arn(&self.role_arn)
                .r#type(StateMachineType::from(self.kind.as_str()))
                .logging_configuration(self.logging())
                .tracing_configuration(self.tracing())
                .set_tags(Some(tags.clone()))
                .send()
        };
        let begun = SystemTime::now();
        let made = aws
            .call("states:CreateStateMachine", &self.name, create)
            .await?;
        // Of one that is there already and is the same, Step Functions says that it was made.
        let is_older =
            SystemTime::try_from(made.creation_date).is_ok_and(|made| made + SKEW < begun);
        let made_at = if is_older {
            let tags = tags_of(&self.arn, aws).await?;
            tags.unwrap_or_default().0.remove(MADE_AT)
        } else {
            None
        };
        if made_at.is_some() && made_at.as_ref() != self.tags.0.get(MADE_AT) {
            let message =
                "another run has made it meanwhile, and with it the pipeline of this name";
            return Err(Failure::refusal(self.title(), message).advise(
                "One configuration alone may hold it: take the object out of the state of the other (`terraform state rm`), which leaves what stands. What no state holds is taken over with `terraform import`.",
            ));
        }
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        if found.text("status") == StateMachineStatus::Deleting.as_str() {
            let reason = self.running(aws).await?.unwrap_or_default();
            return Err(Failure::refusal(
                self.title(),
                format!("it is being deleted, and waits for its executions: {reason}"),
            )
            .advise(
                "Stop them, or wait until they have ended; then the next apply makes it anew.",
            ));
        }
        if changes.names().any(|name| name != "tags") {
            // One that is left as it is stays so.
            let definition = changes
                .any(&["definition"])
                .then(|| self.definition.clone());
            let logging = changes.any(LOGGING).then(|| self.logging());
            let tracing = changes.any(&["tracing_enabled"]).then(|| self.tracing());
            let update = || {
                aws.sfn
                    .update_state_machine()
                    .state_machine_arn(&self.arn)
                    .set_definition(definition.clone())
                    // One of the two has to be there.
                    .role_arn(&self.role_arn)
                    .set_logging_configuration(logging.clone())
                    .set_tracing_configuration(tracing.clone())
                    .send()
            };
            aws.call("states:UpdateStateMachine", &self.name, update)
                .await?;
        }
        let tag = |set| async move {
            let tag = || {
                let request = aws.sfn.tag_resource().resource_arn(&self.arn);
                request.set_tags(Some(tag_list(&set))).send()
            };
            aws.call("states:TagResource", &self.name, tag)
                .await
                .map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.sfn.untag_resource().resource_arn(&self.arn);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            let answer = aws.call("states:UntagResource", &self.name, untag).await;
            answer.map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await?;
        Ok(Attributes::new())
    }

    async fn in_use(&self, aws: &Aws, strictly: bool) -> Result<Option<Failure>, Failure> {
        if self.force_destroy && !strictly {
            return Ok(None);
        }
        let refusal = |message| {
            Failure::refusal(self.title(), message).advise(
                "Wait until they have ended, stop them, or set `force_destroy = true` for the bucket, apply, and destroy again: then they are \
                 stopped. Where it is to be replaced, apply that first for itself, and `terraform untaint` before that where it is tainted. No apply reaches what \
                 Terraform calls deposed (create_before_destroy): stop its executions.",
            )
        };
        Ok(self.running(aws).await?.map(refusal))
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        if self.force_destroy {
            self.stop_executions(aws).await?;
        }
        let delete = || {
            aws.sfn
                .delete_state_machine()
                .state_machine_arn(&self.arn)
                .send()
        };
        absent(
            aws.call("states:DeleteStateMachine", &self.name, delete)
                .await,
            GONE,
        )?;
        let gone = || async {
            if self.describe(aws).await?.is_none() {
                return Ok(Some(()));
            }
            // Those that were not listed yet when the others were stopped. Now no more can begin.
            if self.force_destroy {
                self.stop_executions(aws).await?;
            }
            Ok(None)
        };
        let settled = aws.settle(&self.title(), "gone", BUDGET, gone).await;
        if let Err(failure) = &settled
            && !failure.interrupted
            && let Ok(Some(reason)) = self.in_use(aws, false).await
        {
            return Err(reason);
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(log_level: &str) -> StateMachine {
        StateMachine {
            name: "orders".into(),
            arn: "arn:aws:states:eu-west-1:123456789012:stateMachine:orders".into(),
            definition: "{}".into(),
            role_arn: "arn:aws:iam::123456789012:role/orders".into(),
            kind: "STANDARD".into(),
            log_level: log_level.into(),
            include_execution_data: true,
            log_destination: "arn:aws:logs:eu-west-1:123456789012:log-group:orders:*".into(),
            tracing_enabled: true,
            force_destroy: false,
            tags: Tags::default(),
        }
    }

    #[test]
    fn one_that_was_made_with_the_pipeline_is_no_other() {
        let before = |minutes| SystemTime::now() - Duration::from_mins(minutes);
        let made = |minutes| DateTime::from(before(minutes));
        let of = |minutes: Option<u64>| {
            let mut machine = machine("ALL");
            let begun = minutes.map(|minutes| humantime::format_rfc3339_nanos(before(minutes)));
            let tags = begun.map(|begun| (MADE_AT, begun.to_string()));
            machine.tags = Tags::listed(tags);
            machine
        };
        assert!(!of(Some(2)).may_be_another(made(1)));
        assert!(of(Some(60)).may_be_another(made(1)));
        assert!(!of(Some(60)).may_be_another(made(30)));
        assert!(of(None).may_be_another(made(1)));
        // A clock that is behind.
        let ahead = SystemTime::now() + Duration::from_mins(1);
        assert!(of(Some(60)).may_be_another(DateTime::from(ahead)));
        assert!(!of(None).may_be_another(made(30)));
    }

    #[test]
    fn logging_that_is_off_has_no_destination() {
        assert_eq!(machine("ALL").logging().destinations().len(), 1);
        let off = machine(OFF).logging();
        assert!(off.destinations().is_empty(), "{off:?}");
        assert_eq!(off.level, Some(LogLevel::Off));
    }

    #[test]
    fn what_is_left_of_logging_that_is_off_is_no_difference() {
        let off = machine(OFF);
        let wanted = (
            OFF.to_owned(),
            off.include_execution_data,
            off.log_destination.clone(),
        );
        let level_alone = LoggingConfiguration::builder().level(LogLevel::Off).build();
        let as_before = LoggingConfiguration::builder()
            .level(LogLevel::Off)
            .include_execution_data(false)
            .set_destinations(machine("ALL").logging().destinations)
            .build();
        for found in [None, Some(&level_alone), Some(&as_before)] {
            assert_eq!(off.logging_of(found), wanted, "{found:?}");
        }
    }

    #[test]
    fn logging_that_is_on_is_compared_in_full() {
        let all = machine("ALL");
        let found = LoggingConfiguration::builder()
            .level(LogLevel::Error)
            .build();
        let expected = ("ERROR".to_owned(), false, String::new());
        assert_eq!(all.logging_of(Some(&found)), expected);
        // Somebody switched it off.
        assert_eq!(all.logging_of(None).0, OFF);
    }
}
