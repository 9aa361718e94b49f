//! A Step Functions state machine.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html>

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sfn::types::{
    CloudWatchLogsLogGroup, ExecutionStatus, LogDestination, LogLevel, LoggingConfiguration,
    StateMachineStatus, StateMachineType, Tag, TracingConfiguration,
};
use serde::Serialize;

use super::tags::Tags;
use super::{Aws, absent, properties};
use crate::documents::policy;
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &["StateMachineDoesNotExist", "ResourceNotFound"];
const BUDGET: Duration = Duration::from_mins(5);
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
    fn logging(&self) -> LoggingConfiguration {
        let group = CloudWatchLogsLogGroup::builder()
            .log_group_arn(&self.log_destination)
            .build();
        LoggingConfiguration::builder()
            .level(LogLevel::from(self.log_level.as_str()))
            .include_execution_data(self.include_execution_data)
            .destinations(
                LogDestination::builder()
                    .cloud_watch_logs_log_group(group)
                    .build(),
            )
            .build()
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
        absent(
            aws.call("states:DescribeStateMachine", &self.name, describe)
                .await,
            GONE,
        )
    }

    /// An execution that waits for a callback makes no transition by itself, so the state machine would never go.
    async fn stop_executions(&self, aws: &Aws) -> Result<(), Failure> {
        loop {
            let running = running(&self.arn, aws, COUNTED).await?;
            if running.is_empty() {
                return Ok(());
            }
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
        }
    }
}

/// The ARNs of the executions of a state machine that are running, at most `limit` of them; none of one that is not there.
async fn running(state_machine_arn: &str, aws: &Aws, limit: usize) -> Result<Vec<String>, Failure> {
    let mut arns = Vec::new();
    let mut token = None;
    loop {
        let list = || {
            let request = aws
                .sfn
                .list_executions()
                .state_machine_arn(state_machine_arn);
            request
                .status_filter(ExecutionStatus::Running)
                .set_next_token(token.clone())
                .send()
        };
        let Some(page) = absent(
            aws.call("states:ListExecutions", state_machine_arn, list)
                .await,
            GONE,
        )?
        else {
            break;
        };
        arns.extend(
            page.executions
                .into_iter()
                .map(|execution| execution.execution_arn),
        );
        token = page.next_token;
        if token.is_none() || arns.len() >= limit {
            break;
        }
    }
    arns.truncate(limit);
    Ok(arns)
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
        properties(self)
    }

    fn tagged_as(&self) -> Option<&str> {
        Some(&self.arn)
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
        if machine.status == Some(StateMachineStatus::Deleting) {
            return Ok(None);
        }
        let ask = || async {
            let answer = aws.call("states:ListTagsForResource", &self.name, list);
            let tags = absent(answer.await, GONE)?.map(|answer| answer.tags.unwrap_or_default());
            let pair = |tag: Tag| Some((tag.key?, tag.value?));
            Ok(tags.map(|tags| Tags::listed(tags.into_iter().filter_map(pair))))
        };
        let tags = aws.tags(&self.arn, &self.tags, ask).await?;
        let tags = tags.unwrap_or_default();
        let logging = machine.logging_configuration;
        let destination = logging
            .as_ref()
            .and_then(|logging| logging.destinations().first());
        let have = Self {
            name: machine.name,
            arn: machine.state_machine_arn,
            definition: policy::settled(&machine.definition, Some(&self.definition)),
            role_arn: machine.role_arn,
            kind: machine.r#type.as_str().to_owned(),
            // AWS leaves the level out when logging is off.
            log_level: logging
                .as_ref()
                .and_then(|logging| logging.level.as_ref())
                .map_or_else(|| "OFF".to_owned(), |level| level.as_str().to_owned()),
            include_execution_data: logging
                .as_ref()
                .is_some_and(|logging| logging.include_execution_data),
            log_destination: destination
                .and_then(|destination| destination.cloud_watch_logs_log_group.as_ref())
                .and_then(|group| group.log_group_arn.clone())
                .unwrap_or_default(),
            // AWS always tells; an endpoint that does not cannot be asked.
            tracing_enabled: machine
                .tracing_configuration
                .map_or(self.tracing_enabled, |tracing| tracing.enabled),
            force_destroy: self.force_destroy,
            tags: tags.clone(),
        };
        Ok(Some(Found {
            attributes: properties(&have),
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
        aws.call("states:CreateStateMachine", &self.name, create)
            .await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        if changes.names().any(|name| name != "tags") {
            let update = || {
                aws.sfn
                    .update_state_machine()
                    .state_machine_arn(&self.arn)
                    .definition(&self.definition)
                    .role_arn(&self.role_arn)
                    .logging_configuration(self.logging())
                    .tracing_configuration(self.tracing())
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

    async fn in_use(&self, aws: &Aws) -> Result<Option<Failure>, Failure> {
        if self.force_destroy {
            return Ok(None);
        }
        let running = running(&self.arn, aws, COUNTED).await?;
        if running.is_empty() {
            return Ok(None);
        }
        let count = if running.len() < COUNTED {
            running.len().to_string()
        } else {
            format!("{COUNTED} or more")
        };
        let shown: Vec<&str> = running.iter().take(SHOWN).map(String::as_str).collect();
        let message = format!(
            "{count} executions are running, among them {}",
            shown.join(", ")
        );
        Ok(Some(Failure::refusal(self.title(), message).advise(
            "Wait until they have ended, stop them, or set `force_destroy = true` for the bucket, apply, and destroy again: then they are \
             stopped.",
        )))
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
        let gone = || async { Ok(self.describe(aws).await?.is_none().then_some(())) };
        aws.settle(&self.title(), "gone", BUDGET, gone).await
    }
}
