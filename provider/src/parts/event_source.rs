//! A Lambda event source mapping from a queue to a function.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::operation::create_event_source_mapping::CreateEventSourceMappingOutput;
use aws_sdk_lambda::operation::list_event_source_mappings::builders::ListEventSourceMappingsFluentBuilder;
use aws_sdk_lambda::types::{
    EventSourceMappingConfiguration as Mapping, Filter, FilterCriteria, FunctionResponseType,
    ProvisionedPollerConfig, ScalingConfig,
};
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::function::retag;
use super::tags::Tags;
use super::{Aws, absent, attributes, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

const GONE: &[&str] = &["ResourceNotFoundException"];
const BUDGET: Duration = Duration::from_mins(5);

/// What it is called.
pub const KIND: &str = "Lambda event source mapping";

/// Under which name a mapping that was found tells who else takes messages from its queue.
pub const OTHERS: &str = "others";

/// How an event source mapping should be.
#[derive(Debug, Clone, Serialize)]
pub struct EventSource {
    /// The name of the function that is invoked.
    pub function_name: String,
    /// The ARN of the queue.
    pub event_source_arn: String,
    /// How many messages one invocation gets at most.
    pub batch_size: i64,
    /// How long Lambda collects messages before it invokes, in seconds.
    pub maximum_batching_window_in_seconds: i64,
    /// How many invocations run at once; none for no limit of its own.
    pub maximum_concurrency: Option<i64>,
    /// Whether the function can report which messages of a batch failed.
    pub function_response_types: Vec<String>,
    /// Whether messages are handed on.
    pub enabled: bool,
    /// The mapping's ARN without its last field, to find its tags.
    #[serde(skip)]
    pub arn_prefix: String,
    /// Its ARN where it is known.
    #[serde(skip)]
    pub arn: Option<String>,
    /// All tags.
    pub tags: Tags,
}

fn narrow(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The name of the function a mapping invokes, with the alias or version where it names one.
fn function_of(mapping: &Mapping) -> &str {
    let arn = mapping.function_arn.as_deref().unwrap_or_default();
    arn.split_once(":function:").map_or(arn, |(_, name)| name)
}

/// The patterns of the messages that are not discarded; nothing where none are.
fn filters_of(mapping: &Mapping) -> Value {
    // A listing does not tell patterns that are encrypted.
    if let Some(key) = mapping.kms_key_arn().filter(|key| !key.is_empty()) {
        return Value::from(format!("encrypted with {key}"));
    }
    let pattern = |filter: &Filter| {
        let text = filter.pattern().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
    };
    let criteria = mapping.filter_criteria().into_iter();
    let patterns: Vec<Value> = criteria
        .flat_map(FilterCriteria::filters)
        .map(pattern)
        .collect();
    if patterns.is_empty() {
        Value::Null
    } else {
        Value::Array(patterns)
    }
}

/// The pollers that are kept for it, and paid for, whether there is work or not; nothing where Lambda polls as it sees fit.
fn pollers_of(mapping: &Mapping) -> Value {
    let pollers = mapping.provisioned_poller_config();
    let told = pollers.map(|found| (found.minimum_pollers, found.maximum_pollers));
    match told {
        None | Some((None, None)) => Value::Null,
        Some((least, most)) => json!({"minimum_pollers": least, "maximum_pollers": most}),
    }
}

/// Who is given messages by a mapping, in a person's words; nobody where it is off or on its way out.
fn consumer(mapping: &Mapping) -> Option<String> {
    let is_off = matches!(mapping.state(), Some("Disabled" | "Disabling" | "Deleting"));
    let uuid = mapping.uuid().unwrap_or_default();
    (!is_off).then(|| format!("{} (event source mapping {uuid})", function_of(mapping)))
}

/// Who is given messages from a queue, be the mapping ours or not.
///
/// # Errors
/// The failure of a call.
pub async fn consumers(queue_arn: &str, aws: &Aws) -> Result<Vec<String>, Failure> {
    let mappings = of_queue(queue_arn, aws).await?;
    Ok(mappings.iter().filter_map(consumer).collect())
}

/// A mapping as the answer to its creation would have told it.
fn created(mapping: Mapping) -> CreateEventSourceMappingOutput {
    CreateEventSourceMappingOutput::builder()
        .set_uuid(mapping.uuid)
        .set_state(mapping.state)
        .set_event_source_mapping_arn(mapping.event_source_mapping_arn)
        .build()
}

/// The mappings that `list` tells of, page by page.
async fn listed(
    aws: &Aws,
    object: &str,
    list: ListEventSourceMappingsFluentBuilder,
) -> Result<Vec<Mapping>, Failure> {
    let (mut mappings, mut marker) = (Vec::new(), None);
    loop {
        let page = || list.clone().set_marker(marker.clone()).send();
        let answer = absent(
            aws.call("lambda:ListEventSourceMappings", object, page)
                .await,
            GONE,
        )?;
        let Some(page) = answer else { break };
        mappings.extend(page.event_source_mappings.unwrap_or_default());
        marker = page.next_marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    Ok(mappings)
}

/// All mappings of a queue.
async fn of_queue(queue_arn: &str, aws: &Aws) -> Result<Vec<Mapping>, Failure> {
    let list = aws.lambda.list_event_source_mappings();
    listed(aws, queue_arn, list.event_source_arn(queue_arn)).await
}

/// A mapping that was found, its ARN and tags, and who else takes messages from its queue.
struct Seen {
    mapping: Mapping,
    arn: String,
    tags: Tags,
    others: Vec<String>,
}

impl EventSource {
    /// All mappings to a function, in a listing that all share who ask at the same time.
    async fn of_function(&self, aws: &Aws, function: &str) -> Result<Vec<Mapping>, Failure> {
        let list = |names: Vec<String>| async move {
            let lists = BTreeSet::from_iter(names).into_iter().map(|name| async {
                let list = aws.lambda.list_event_source_mappings();
                let mappings = listed(aws, &name, list.function_name(&name)).await?;
                Ok((name, mappings))
            });
            try_join_all(lists).await.map(HashMap::from_iter)
        };
        let mappings = aws.batches.event_sources.ask(function, list).await?;
        Ok(mappings.unwrap_or_default())
    }

    /// The mapping to our function.
    async fn find(&self, aws: &Aws) -> Result<Option<Mapping>, Failure> {
        let ours = |mapping: &Mapping| function_of(mapping) == self.function_name;
        Ok(of_queue(&self.event_source_arn, aws)
            .await?
            .into_iter()
            .find(ours))
    }

    /// The mappings of the queue, or, where a brief look is enough, ours alone where it is there.
    async fn seen(&self, aws: &Aws) -> Result<Vec<Mapping>, Failure> {
        if self.arn.is_some() && aws.in_brief {
            let mut ours = self.of_function(aws, &self.function_name).await?;
            ours.retain(|mapping| {
                mapping.event_source_arn.as_ref() == Some(&self.event_source_arn)
                    && function_of(mapping) == self.function_name
            });
            if !ours.is_empty() {
                return Ok(ours);
            }
        }
        of_queue(&self.event_source_arn, aws).await
    }

    /// The mapping to our function or, where there is none, the one with our mark that somebody has pointed elsewhere: left alone it
    /// would go on taking messages beside a new one.
    async fn found(&self, aws: &Aws) -> Result<Option<Seen>, Failure> {
        let mut mappings = self.seen(aws).await?;
        mappings.sort_by_key(|mapping| function_of(mapping) != self.function_name);
        let consumers: Vec<_> = mappings.iter().map(consumer).collect();
        for (nth, mapping) in mappings.into_iter().enumerate() {
            let ours = function_of(&mapping) == self.function_name;
            if mapping.state.as_deref() == Some("Deleting") {
                if ours {
                    return Ok(None);
                }
                continue;
            }
            let uuid = mapping.uuid.clone().unwrap_or_default();
            let known = mapping.event_source_mapping_arn.clone();
            let arn = known.unwrap_or_else(|| format!("{}{uuid}", self.arn_prefix));
            let ask = || async {
                let list = || aws.lambda.list_tags().resource(&arn).send();
                let answer = absent(aws.call("lambda:ListTags", &arn, list).await, GONE)?;
                Ok(answer.map(|answer| Tags::listed(answer.tags.unwrap_or_default())))
            };
            let tags = aws.tags(&arn, &self.tags, ask).await?.unwrap_or_default();
            if ours || self.tags.owner_of(&tags) == Owner::Us {
                let others = consumers.into_iter().enumerate();
                let others = others.filter(|(other, _)| *other != nth);
                return Ok(Some(Seen {
                    mapping,
                    arn,
                    tags,
                    others: others.filter_map(|(_, consumer)| consumer).collect(),
                }));
            }
        }
        Ok(None)
    }

    fn scaling(&self) -> ScalingConfig {
        // An empty configuration, not a missing one, takes the limit away.
        ScalingConfig::builder()
            .set_maximum_concurrency(self.maximum_concurrency.map(narrow))
            .build()
    }

    fn response_types(&self) -> Vec<FunctionResponseType> {
        self.function_response_types
            .iter()
            .map(|text| FunctionResponseType::from(text.as_str()))
            .collect()
    }

    async fn settled(&self, aws: &Aws, uuid: &str, targets: &[&str]) -> Result<(), Failure> {
        let why = Mutex::new(None);
        let why_not = &why;
        let probe = || async move {
            let get = || aws.lambda.get_event_source_mapping().uuid(uuid).send();
            let answer = absent(
                aws.call("lambda:GetEventSourceMapping", uuid, get).await,
                GONE,
            )?;
            let (state, reason) = answer
                .map(|answer| (answer.state, answer.state_transition_reason))
                .unwrap_or_default();
            *why_not.lock().unwrap_or_else(PoisonError::into_inner) = reason;
            let state = state.unwrap_or_default();
            Ok(targets.contains(&state.as_str()).then_some(()))
        };
        let (title, target) = (self.title(), targets.join(" or "));
        let settled = aws.settle(&title, &target, BUDGET, probe).await;
        settled.map_err(
            |failure| match why.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(reason) => Failure {
                    message: format!("{}: {reason}", failure.message),
                    ..failure
                },
                None => failure,
            },
        )
    }

    /// Waits only where the answer did not already show the state it should be in, or, where that is as it was, one that lasts.
    async fn await_state(
        &self,
        aws: &Aws,
        uuid: &str,
        state: Option<&str>,
        enabled: Option<bool>,
    ) -> Result<(), Failure> {
        let targets: &[&str] = match enabled {
            Some(true) => &["Enabled"],
            Some(false) => &["Disabled"],
            None => &["Enabled", "Disabled"],
        };
        if state.is_some_and(|state| targets.contains(&state)) {
            Ok(())
        } else {
            self.settled(aws, uuid, targets).await
        }
    }
}

#[async_trait]
impl Part<Aws> for EventSource {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> &str {
        &self.event_source_arn
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        desired.extend(
            attributes! { "filter_criteria": Value::Null, "provisioned_poller_config": Value::Null },
        );
        desired
    }

    fn tagged_as(&self) -> Option<&str> {
        self.arn.as_deref()
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let Some(Seen {
            mapping,
            arn,
            tags,
            others,
        }) = self.found(aws).await?
        else {
            return Ok(None);
        };
        let function_name = function_of(&mapping).to_owned();
        let (filters, pollers) = (filters_of(&mapping), pollers_of(&mapping));
        let state = mapping.state.unwrap_or_default();
        let uuid = mapping.uuid.unwrap_or_default();
        let have = Self {
            function_name,
            batch_size: mapping.batch_size.map_or(0, i64::from),
            maximum_batching_window_in_seconds: mapping
                .maximum_batching_window_in_seconds
                .map_or(0, i64::from),
            maximum_concurrency: mapping
                .scaling_config
                .and_then(|scaling| scaling.maximum_concurrency)
                .map(i64::from),
            function_response_types: mapping
                .function_response_types
                .unwrap_or_default()
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
            enabled: !matches!(state.as_str(), "Disabled" | "Disabling"),
            tags,
            ..self.clone()
        };
        let owner = self.tags.owner_of(&have.tags);
        let mut attributes = properties(&have);
        attributes.extend(attributes! {
            "filter_criteria": filters, "provisioned_poller_config": pollers, "uuid": uuid, "arn": arn
        });
        attributes.insert(OTHERS.to_owned(), others.into());
        Ok(Some(Found { attributes, owner }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        // One that is still being deleted would come in the way.
        let free = || async {
            Ok(self
                .find(aws)
                .await?
                .is_none_or(|mapping| mapping.state.as_deref() != Some("Deleting"))
                .then_some(()))
        };
        let tags: HashMap<String, String> = self.tags.0.clone().into_iter().collect();
        let create = || {
            aws.lambda
                .create_event_source_mapping()
                .function_name(&self.function_name)
                .event_source_arn(&self.event_source_arn)
                .batch_size(narrow(self.batch_size))
                .maximum_batching_window_in_seconds(narrow(self.maximum_batching_window_in_seconds))
                .set_function_response_types(Some(self.response_types()))
                .set_scaling_config(self.maximum_concurrency.map(|_| self.scaling()))
                .enabled(self.enabled)
                .set_tags(Some(tags.clone()))
                .send()
        };
        let made = || async {
            let found = self.find(aws).await?;
            Ok(found
                .filter(|mapping| mapping.state.as_deref() != Some("Deleting"))
                .map(created))
        };
        let object = &self.event_source_arn;
        let operation = "lambda:CreateEventSourceMapping";
        let mut answer = aws.call_once(operation, object, create, made).await;
        if answer
            .as_ref()
            .is_err_and(|failure| failure.says("already exist"))
        {
            aws.settle(&self.title(), "free to be made again", BUDGET, free)
                .await?;
            answer = aws.call_once(operation, object, create, made).await;
        }
        let answer = answer?;
        let uuid = answer.uuid.unwrap_or_default();
        let state = answer.state.as_deref();
        self.await_state(aws, &uuid, state, Some(self.enabled))
            .await?;
        let arn = answer
            .event_source_mapping_arn
            .unwrap_or_else(|| format!("{}{uuid}", self.arn_prefix));
        Ok(attributes! { "uuid": uuid, "arn": arn })
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let uuid = found.text("uuid");
        if changes.names().any(|name| name != "tags") {
            // Empty criteria, not missing ones, take the filters away, and an empty text the key that encrypts them.
            let filters = changes
                .any(&["filter_criteria"])
                .then(|| FilterCriteria::builder().build());
            // So does an empty configuration with the pollers, without which there is no limit of its own.
            let pollers = changes
                .any(&["provisioned_poller_config"])
                .then(|| ProvisionedPollerConfig::builder().build());
            let is_encrypted = !found.text("filter_criteria").is_empty();
            let key = is_encrypted.then(String::new);
            let differs = |name: &str| changes.any(&[name]);
            // What is left out stays as it is.
            let function = differs("function_name").then(|| self.function_name.clone());
            let batch = differs("batch_size").then(|| narrow(self.batch_size));
            let window = self.maximum_batching_window_in_seconds;
            let window = differs("maximum_batching_window_in_seconds").then(|| narrow(window));
            let types = differs("function_response_types").then(|| self.response_types());
            let scaling = differs("maximum_concurrency").then(|| self.scaling());
            let enabled = differs("enabled").then_some(self.enabled);
            let update = || {
                aws.lambda
                    .update_event_source_mapping()
                    .uuid(uuid)
                    .set_function_name(function.clone())
                    .set_batch_size(batch)
                    .set_maximum_batching_window_in_seconds(window)
                    .set_function_response_types(types.clone())
                    .set_scaling_config(scaling.clone())
                    .set_filter_criteria(filters.clone())
                    .set_provisioned_poller_config(pollers.clone())
                    .set_kms_key_arn(key.clone())
                    .set_enabled(enabled)
                    .send()
            };
            let operation = "lambda:UpdateEventSourceMapping";
            let answer = aws.call(operation, &self.event_source_arn, update).await?;
            let state = answer.state.as_deref();
            self.await_state(aws, uuid, state, enabled).await?;
        }
        if changes.any(&["tags"]) {
            retag(aws, found.text("arn"), &self.tags, &found.attributes).await?;
        }
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        let uuid = found.text("uuid");
        let delete = || aws.lambda.delete_event_source_mapping().uuid(uuid).send();
        let answer = aws
            .call(
                "lambda:DeleteEventSourceMapping",
                &self.event_source_arn,
                delete,
            )
            .await;
        absent(answer, GONE).map(drop)
    }

    async fn gone(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        let (uuid, function) = (found.text("uuid"), found.text("function_name"));
        let listed = || async {
            let mappings = self.of_function(aws, function).await?;
            let mut uuids = mappings.iter().map(|mapping| mapping.uuid.as_deref());
            Ok((!uuids.any(|listed| listed == Some(uuid))).then_some(()))
        };
        aws.settle(&self.title(), "gone", BUDGET, listed).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_as_json_and_none_as_nothing() {
        let filtered = |patterns: &[&str]| {
            let filter = |pattern: &&str| Filter::builder().pattern(*pattern).build();
            let filters = patterns.iter().map(filter).collect();
            let criteria = FilterCriteria::builder().set_filters(Some(filters));
            Mapping::builder().filter_criteria(criteria.build())
        };
        let encrypted = Mapping::builder().kms_key_arn("arn:key");
        for (mapping, told) in [
            (Mapping::builder(), Value::Null),
            (filtered(&[]), Value::Null),
            (
                filtered(&[r#"{ "body": {"a": [1]} }"#, "{"]),
                json!([{"body": {"a": [1]}}, "{"]),
            ),
            (encrypted, json!("encrypted with arn:key")),
        ] {
            assert_eq!(filters_of(&mapping.build()), told);
        }
    }
}
