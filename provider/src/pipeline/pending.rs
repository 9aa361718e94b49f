//! `bellflower_pending_callbacks`: which executions wait for an answer, since when, and for how long still.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bellflower_contract::states::WAIT_FOR_RESPONSE;
use bellflower_contract::{DATA_FILE, DEFAULT_OUTBOUND_PREFIX};
use futures::StreamExt as _;
use serde_json::{Map, Value as Json, json};
use tfplugin::{
    Attribute, DataReply, DataSource, Diagnostic, Diagnostics, Kind, Nesting, Path, Schema, Type,
    Value,
};
use tokio_util::sync::CancellationToken;

use super::{not_configured, told, tree_of, whereabouts};
use crate::config::Shared;
use crate::documents::{machine, names};
use crate::engine::Failure;
use crate::parts::Aws;
use crate::parts::execution::{Waiting, running, waiting};
use crate::parts::state_machine::definition;

/// Histories that are read at a time: Step Functions lets an account read some 20 a second for long.
const CONCURRENCY: usize = 10;

/// Executions looked at, unless it is said: `max_executions`.
const DEFAULT_LIMIT: i64 = 1000;

/// The data source.
#[derive(Debug)]
pub struct PendingCallbacks {
    shared: Shared,
}

impl PendingCallbacks {
    /// A data source that asks AWS through these clients.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    async fn found(&self, config: &Value) -> Result<(Map<String, Json>, Diagnostics), Diagnostics> {
        let mut tree = tree_of(config).ok_or_else(not_configured)?;
        let session = self.shared.session().await?.ok_or_else(not_configured)?;
        let text = |name: &str| tree.get(name).and_then(Json::as_str).map(str::to_owned);
        let prefix = text("outbound_prefix").unwrap_or_else(|| DEFAULT_OUTBOUND_PREFIX.to_owned());
        let limit = tree
            .get("max_executions")
            .and_then(Json::as_i64)
            .unwrap_or(DEFAULT_LIMIT);
        let (arn, at) = match (text("state_machine_arn"), text("name")) {
            // Of which environment it is, its ARN does not tell.
            (Some(arn), _) => (arn, "state_machine_arn"),
            (None, Some(name)) => {
                let environment = text("environment").unwrap_or_else(|| "devl".to_owned());
                let place = whereabouts(&session).await?;
                let machine = names::derived(&name, "state-machine", &environment, &place.region);
                let resource = format!("stateMachine:{machine}");
                tree.insert("environment".to_owned(), json!(environment));
                (place.arn("states", &resource), "name")
            }
            (None, None) => return Err(not_configured()),
        };
        let region = arn.split(':').nth(3).unwrap_or_default();
        if region != session.region() {
            let detail = format!(
                "{arn} is in {region}, the provider works in {}: give a provider block of {region}.",
                session.region()
            );
            let path = Path::root().attribute(at);
            return Err(vec![
                Diagnostic::error("State machine of another region", detail).at(path),
            ]);
        }
        let aws = session.aws(CancellationToken::new());
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let asked = async {
            // First, since a list of nothing says little of the state machine.
            let Some(definition) = definition(&arn, &aws).await? else {
                return Ok(None);
            };
            let executions = running(&arn, &aws, most).await?;
            Ok(executions.map(|executions| (definition, executions)))
        };
        let asked: Result<_, Failure> = asked.await;
        let asked = asked.map_err(|failure| vec![told(&failure)])?;
        let Some((definition, executions)) = asked else {
            let detail = format!(
                "There is no state machine {arn}. Where the pipeline is of this configuration, refer to it (`name = bellflower_callback_pipeline.NAME.name`), so that it is made before this is read; \
                 a `terraform destroy` that ends here goes on with `-refresh=false`."
            );
            let path = Path::root().attribute(at);
            return Err(vec![
                Diagnostic::error("State machine not found", detail).at(path),
            ]);
        };
        let waits = waits(&executions, &aws).await?;
        let otherwise = machine::arguments(&definition)
            .and_then(|arguments| arguments["callback_timeout_seconds"].as_i64());
        let now = SystemTime::now();
        let callbacks: Vec<Json> = waits
            .iter()
            .map(|wait| callback(wait, &prefix, otherwise, now))
            .collect();
        tree.insert("outbound_prefix".to_owned(), json!(prefix));
        tree.insert("max_executions".to_owned(), json!(limit));
        tree.insert("state_machine_arn".to_owned(), json!(arn));
        tree.insert("callbacks".to_owned(), json!(callbacks));
        let mut warnings = Vec::new();
        if !machine::has_wait(&definition) {
            let detail = format!(
                "{arn} has no state \"{WAIT_FOR_RESPONSE}\", in which the executions of a pipeline wait, so none of its executions is told: is it the state machine of a pipeline?"
            );
            let path = Path::root().attribute(at);
            warnings.push(Diagnostic::warning("No callback pipeline", detail).at(path));
        }
        if executions.len() >= most {
            let detail = format!(
                "{most} executions were looked at, and there may be more that run. The longest waits may be among those: raise `max_executions`."
            );
            let path = Path::root().attribute("max_executions");
            warnings
                .push(Diagnostic::warning("Not all executions were looked at", detail).at(path));
        }
        Ok((tree, warnings))
    }
}

/// Those that wait, the longest wait first.
async fn waits(executions: &[String], aws: &Aws) -> Result<Vec<Waiting>, Diagnostics> {
    let found: Vec<_> = futures::stream::iter(executions.to_vec())
        .map(|arn| async move { waiting(&arn, WAIT_FOR_RESPONSE, aws).await })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut waits = Vec::new();
    for wait in found {
        waits.extend(wait.map_err(|failure| vec![told(&failure)])?);
    }
    waits.sort_by(|one, other| {
        (one.since, &one.execution_arn).cmp(&(other.since, &other.execution_arn))
    });
    Ok(waits)
}

/// One element of `callbacks`; `otherwise` is the time-out in seconds where the history tells none.
fn callback(wait: &Waiting, prefix: &str, otherwise: Option<i64>, now: SystemTime) -> Json {
    let input: Json = serde_json::from_str(&wait.input).unwrap_or_default();
    let id = input.get("execution_id").and_then(Json::as_str);
    let timeout = wait
        .timeout
        .or(otherwise)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let end = timeout.and_then(|timeout| wait.since.checked_add(timeout));
    let left = end.map(|end| end.duration_since(now).unwrap_or_default().as_secs());
    let written = |time| humantime::format_rfc3339_seconds(time).to_string();
    json!({
        "execution_arn": wait.execution_arn,
        "name": wait.execution_arn.rsplit(':').next(),
        "execution_id": id,
        "data_key": id.map(|id| format!("{prefix}{id}/{DATA_FILE}")),
        "since": written(wait.since),
        "expires": end.map(written),
        "seconds_left": left,
    })
}

fn attribute(name: &str, of: Type, description: &str) -> Attribute {
    Attribute::new(name, Kind::Type(of)).describe(description)
}

#[async_trait]
impl DataSource for PendingCallbacks {
    fn name(&self) -> &'static str {
        "bellflower_pending_callbacks"
    }

    fn schema(&self) -> Schema {
        let (text, number) = (Type::String, Type::Number);
        let callback = [
            ("execution_arn", &text, "The ARN of the execution."),
            ("name", &text, "The execution's name."),
            (
                "execution_id",
                &text,
                "The execution id, under which work and answer lie in the bucket. Null where the work has none.",
            ),
            (
                "data_key",
                &text,
                "The key of the object that holds the work. Null where the work has no execution id.",
            ),
            ("since", &text, "When the wait began, RFC 3339."),
            (
                "expires",
                &text,
                "When the callback times out unless it is answered, RFC 3339. A heartbeat that is missed ends it sooner.",
            ),
            (
                "seconds_left",
                &number,
                "Seconds until then, when this was read.",
            ),
        ];
        let callback = callback
            .map(|(name, of, description)| attribute(name, of.clone(), description).computed());
        Schema {
            version: 0,
            description: "The callbacks of a pipeline that wait for an answer, the longest wait first. A task token is never told."
                .to_owned(),
            attributes: vec![
                attribute("name", text.clone(), "The pipeline's name. Give this or `state_machine_arn`.").optional(),
                attribute("environment", text.clone(), "The pipeline's environment, with `name` only. Default: `devl`.").optional().computed(),
                attribute("state_machine_arn", text.clone(), "The ARN of the pipeline's state machine, for one with a name of its own.")
                    .optional()
                    .computed(),
                attribute("outbound_prefix", text.clone(), "The pipeline's `bucket.outbound_prefix`. Default: `outbound/`.")
                    .optional()
                    .computed(),
                attribute("max_executions", number.clone(), "How many running executions are looked at; each costs a call. Allowed: a whole number from 1 to 100000. Default: `1000`.")
                    .optional()
                    .computed(),
                Attribute::new(
                    "callbacks",
                    Kind::Nested {
                        nesting: Nesting::List,
                        attributes: callback.to_vec(),
                    },
                )
                .computed()
                .describe("The callbacks that wait."),
            ],
            blocks: Vec::new(),
        }
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        complaints(config)
    }

    async fn read(&self, config: Value) -> DataReply {
        match self.found(&config).await {
            Ok((tree, diagnostics)) => DataReply {
                state: self.schema().conform(Value::from_json(&Json::Object(tree))),
                diagnostics,
            },
            Err(diagnostics) => DataReply {
                state: Value::Null,
                diagnostics,
            },
        }
    }
}

/// What is wrong with a configuration, as far as it is known.
fn complaints(config: &Value) -> Diagnostics {
    let Some(tree) = tree_of(config) else {
        return Vec::new();
    };
    let given = |name: &str| tree.get(name).filter(|value| !value.is_null());
    let unknown = |name: &str| matches!(config, Value::Map(map) if matches!(map.get(name), Some(Value::Unknown)));
    let at = |name: &str, summary: &str, detail: String| {
        Diagnostic::error(summary, detail).at(Path::root().attribute(name))
    };
    let mut found = Vec::new();
    let either = ["name", "state_machine_arn"];
    let both = either.iter().all(|name| given(name).is_some());
    let neither = either
        .iter()
        .all(|name| given(name).is_none() && !unknown(name));
    if both || neither {
        let detail = "Give either `name`, with `environment` where it is not \"devl\", or `state_machine_arn`.";
        found.push(at("name", "Which pipeline?", detail.to_owned()));
    }
    for name in ["name", "environment"] {
        let said = given(name)
            .and_then(Json::as_str)
            .and_then(names::not_a_part);
        if let Some(said) = said {
            found.push(at(name, "Illegal name", format!("{name} {said}")));
        }
    }
    if given("state_machine_arn").is_some() && given("environment").is_some() {
        let detail = "environment goes with `name`; a state machine's ARN needs none.";
        found.push(at("environment", "Which pipeline?", detail.to_owned()));
    }
    if let Some(arn) = given("state_machine_arn").and_then(Json::as_str)
        && !(arn.starts_with("arn:") && arn.contains(":states:") && arn.contains(":stateMachine:"))
    {
        let detail = format!("{arn:?} is no ARN of a Step Functions state machine.");
        found.push(at("state_machine_arn", "Not an ARN", detail));
    }
    let limit = given("max_executions").and_then(Json::as_f64);
    if let Some(limit) = limit
        && !((1.0..=100_000.0).contains(&limit) && limit.fract() == 0.0)
    {
        let detail = format!("{limit} is not allowed: it is a whole number from 1 to 100000.");
        found.push(at("max_executions", "Value out of range", detail));
    }
    if let Some(prefix) = given("outbound_prefix").and_then(Json::as_str)
        && !prefix.ends_with('/')
    {
        let detail = format!("{prefix:?} is no folder: it must end with `/`.");
        found.push(at("outbound_prefix", "Not a folder", detail));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(timeout: Option<i64>) -> Waiting {
        Waiting {
            execution_arn: "arn:aws:states:eu-west-1:123456789012:execution:m:e-7".to_owned(),
            input: r#"{"execution_id": "id-1", "info": "x"}"#.to_owned(),
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
            timeout,
        }
    }

    #[test]
    fn a_callback_tells_what_an_operator_asks() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1010);
        let told = callback(&wait(Some(60)), "out/", Some(5), now);
        assert_eq!(
            told,
            json!({
                "execution_arn": wait(None).execution_arn, "name": "e-7", "execution_id": "id-1",
                "data_key": "out/id-1/data.json", "since": "1970-01-01T00:16:40Z",
                "expires": "1970-01-01T00:17:40Z", "seconds_left": 50
            })
        );
        let late = callback(&wait(None), "out/", Some(5), now);
        assert_eq!(late["seconds_left"], 0);
        assert_eq!(
            callback(&wait(None), "out/", None, now)["expires"],
            Json::Null
        );
    }

    #[test]
    fn one_of_two_ways_names_the_pipeline() {
        let config = |json: Json| Value::from_json(&json);
        let arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:m";
        for good in [json!({"name": "orders"}), json!({"state_machine_arn": arn})] {
            assert_eq!(complaints(&config(good)).len(), 0);
        }
        for bad in [
            json!({}),
            json!({"name": "orders", "state_machine_arn": arn}),
            json!({"state_machine_arn": "orders"}),
            json!({"name": "orders", "max_executions": 0}),
            json!({"name": "orders", "max_executions": 1.5}),
            json!({"name": "orders", "outbound_prefix": "out"}),
        ] {
            assert_eq!(complaints(&config(bad.clone())).len(), 1, "{bad}");
        }
    }
}
