//! The provider service: from messages to calls of the provider and back.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::codec::{self, CodecError};
use crate::diagnostic::{Diagnostic, Diagnostics, any_error};
use crate::guard::{self, Panic};
use crate::provider::{
    ApplyReply, ApplyRequest, DataSource, PlanRequest, Provider, ReadRequest, Resource,
};
use crate::schema::{Schema, Type};
use crate::value::Value;
use crate::wire::messages;
use crate::wire::tfplugin6::{self as wire, DynamicValue, provider_server};
use crate::work::Work;

/// How long a call may go on after the user has interrupted Terraform.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(4);

/// How long to wait for an aborted apply to let go.
const ABORT_GRACE: Duration = Duration::from_millis(100);

/// A provider as Terraform sees it.
pub(crate) struct Service {
    provider: Arc<dyn Provider>,
    shape: Shape,
    resources: BTreeMap<String, (Arc<dyn Resource>, Shape)>,
    data_sources: BTreeMap<String, (Arc<dyn DataSource>, Shape)>,
    stop: CancellationToken,
    applies: TaskTracker,
}

/// A schema, and how its values travel.
struct Shape {
    schema: Schema,
    kind: Type,
}

impl Shape {
    fn new(schema: Schema) -> Self {
        let kind = schema.object_type();
        Self { schema, kind }
    }

    fn decode(&self, value: Option<&DynamicValue>) -> Result<Value, Diagnostics> {
        let Some(value) = value else {
            return Ok(Value::Null);
        };
        let decoded = if !value.msgpack.is_empty() {
            codec::from_msgpack(&value.msgpack, &self.kind)
        } else if !value.json.is_empty() {
            codec::from_json(&value.json, &self.kind, &mut Vec::new())
        } else {
            Ok(Value::Null)
        };
        decoded
            .map_err(|error| misfit("Terraform sent a value that does not fit the schema", error))
    }

    fn encode(&self, value: Value) -> Result<DynamicValue, Diagnostics> {
        let msgpack =
            codec::to_msgpack(&self.schema.conform(value), &self.kind).map_err(|error| {
                misfit(
                    "The provider made a value that does not fit its own schema",
                    error,
                )
            })?;
        Ok(DynamicValue {
            msgpack,
            json: Vec::new(),
        })
    }

    /// Reads a state as it lies in the state file.
    fn decode_state(&self, json: &[u8]) -> Result<Value, Diagnostics> {
        let mut unused = Vec::new();
        let state = codec::from_json(json, &self.kind, &mut unused)
            .map_err(|error| misfit("The saved state does not fit the schema", error))?;
        for path in unused {
            tracing::warn!(attribute = %path, "dropped from the saved state: the schema has no such attribute");
        }
        Ok(state)
    }
}

fn misfit(summary: &str, error: CodecError) -> Diagnostics {
    vec![error.into_diagnostic(summary)]
}

fn crashed(doing: &str, Panic(text): &Panic) -> Diagnostic {
    Diagnostic::error(
        "The provider crashed",
        format!(
            "While {doing}: {text}.\n\nThis is a bug in the provider; please report it with this message."
        ),
    )
}

fn interrupted(doing: &str) -> Diagnostic {
    Diagnostic::error(
        "Interrupted",
        format!(
            "The interrupt came while {doing}, which did not end within {} seconds.",
            STOP_GRACE.as_secs()
        ),
    )
}

impl Service {
    pub(crate) fn new(provider: Arc<dyn Provider>, stop: CancellationToken) -> Self {
        let resources = provider.resources().into_iter().map(|resource| {
            let shape = Shape::new(resource.schema());
            (resource.name().to_owned(), (resource, shape))
        });
        let data_sources = provider.data_sources().into_iter().map(|source| {
            let shape = Shape::new(source.schema());
            (source.name().to_owned(), (source, shape))
        });
        Self {
            shape: Shape::new(provider.schema()),
            resources: resources.collect(),
            data_sources: data_sources.collect(),
            provider,
            stop,
            applies: TaskTracker::new(),
        }
    }

    /// The applies that are running.
    pub(crate) fn applies(&self) -> TaskTracker {
        self.applies.clone()
    }

    fn resource(&self, name: &str) -> Result<&(Arc<dyn Resource>, Shape), Diagnostics> {
        self.resources
            .get(name)
            .ok_or_else(|| vec![no_such("resource type", name)])
    }

    fn data_source(&self, name: &str) -> Result<&(Arc<dyn DataSource>, Shape), Diagnostics> {
        self.data_sources
            .get(name)
            .ok_or_else(|| vec![no_such("data source", name)])
    }

    fn resource_schema(&self, name: &str) -> Option<&Schema> {
        self.resources.get(name).map(|(_, shape)| &shape.schema)
    }

    fn data_source_schema(&self, name: &str) -> Option<&Schema> {
        self.data_sources.get(name).map(|(_, shape)| &shape.schema)
    }

    /// Resolves when a call has gone on for too long after an interrupt.
    async fn overdue(&self) {
        self.stop.cancelled().await;
        sleep(STOP_GRACE).await;
    }

    /// Runs a call to its end, its panic, or its limit after an interrupt.
    async fn call<T>(
        &self,
        doing: &str,
        work: impl Future<Output = Result<T, Diagnostics>>,
    ) -> Result<T, Diagnostics> {
        let start = Instant::now();
        let result = tokio::select! {
            biased;
            result = guard::guarded(work) => {
                result.unwrap_or_else(|panic| Err(vec![crashed(doing, &panic)]))
            }
            () = self.overdue() => Err(vec![interrupted(doing)]),
        };
        tracing::debug!(
            call = doing,
            milliseconds = start.elapsed().as_secs_f64() * 1e3,
            "answered"
        );
        result
    }

    /// Runs an apply as a task of its own, so that it ends in a state, whatever becomes of the
    /// call.
    async fn apply(
        &self,
        doing: &str,
        resource: &Arc<dyn Resource>,
        order: ApplyRequest,
    ) -> (ApplyReply, Work) {
        let start = Instant::now();
        let work = Work::under(&self.stop);
        let (prior, private) = (order.prior.clone(), order.private.clone());
        let mut task = self.applies.spawn({
            let (resource, work) = (Arc::clone(resource), work.clone());
            async move { guard::guarded(resource.apply(order, work)).await }
        });
        let ended = tokio::select! {
            biased;
            ended = &mut task => Some(ended),
            () = self.overdue() => {
                task.abort();
                // It may have come to its end in the meantime, and a last checkpoint is worth
                // having.
                timeout(ABORT_GRACE, &mut task).await.ok()
            }
        };
        let failure = match ended {
            Some(Ok(Ok(reply))) if !(any_error(&reply.diagnostics) && reply.state.is_null()) => {
                tracing::debug!(
                    call = doing,
                    milliseconds = start.elapsed().as_secs_f64() * 1e3,
                    "answered"
                );
                return (settled(reply), work);
            }
            Some(Ok(Ok(reply))) => reply.diagnostics,
            Some(Ok(Err(panic))) => vec![crashed(doing, &panic)],
            Some(Err(_)) | None => vec![interrupted(doing)],
        };
        tracing::debug!(call = doing, "failed; answering with the last checkpoint");
        let (state, private) = work.last_checkpoint().unwrap_or((prior, private));
        let reply = ApplyReply {
            state,
            private,
            diagnostics: failure,
        };
        (settled(reply), work)
    }
}

/// A state that comes with an error may be anything but unknown.
fn settled(mut reply: ApplyReply) -> ApplyReply {
    if any_error(&reply.diagnostics) {
        reply.state = reply.state.unknown_to_null();
    }
    reply
}

fn no_such(what: &str, name: &str) -> Diagnostic {
    Diagnostic::error(
        format!("No such {what}"),
        format!("This provider has no {what} {name}."),
    )
}

/// The diagnostics of a call that gives nothing else.
fn only_messages(
    result: Result<Diagnostics, Diagnostics>,
    schema: Option<&Schema>,
) -> Vec<wire::Diagnostic> {
    messages(result.unwrap_or_else(|diagnostics| diagnostics), schema)
}

fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: false,
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl provider_server::Provider for Service {
    async fn get_metadata(
        &self,
        _: Request<wire::get_metadata::Request>,
    ) -> Answer<wire::get_metadata::Response> {
        use wire::get_metadata::{DataSourceMetadata, ResourceMetadata};
        let resources = self
            .resources
            .keys()
            .cloned()
            .map(|type_name| ResourceMetadata { type_name });
        let data_sources = self
            .data_sources
            .keys()
            .cloned()
            .map(|type_name| DataSourceMetadata { type_name });
        Ok(Response::new(wire::get_metadata::Response {
            server_capabilities: Some(capabilities()),
            diagnostics: Vec::new(),
            data_sources: data_sources.collect(),
            resources: resources.collect(),
        }))
    }

    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Answer<wire::get_provider_schema::Response> {
        let resources = self
            .resources
            .iter()
            .map(|(name, (_, shape))| (name.clone(), (&shape.schema).into()));
        let data_sources = self
            .data_sources
            .iter()
            .map(|(name, (_, shape))| (name.clone(), (&shape.schema).into()));
        Ok(Response::new(wire::get_provider_schema::Response {
            provider: Some((&self.shape.schema).into()),
            resource_schemas: resources.collect(),
            data_source_schemas: data_sources.collect(),
            diagnostics: Vec::new(),
            server_capabilities: Some(capabilities()),
        }))
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Answer<wire::get_resource_identity_schemas::Response> {
        Ok(Response::new(
            wire::get_resource_identity_schemas::Response::default(),
        ))
    }

    async fn get_functions(
        &self,
        _: Request<wire::get_functions::Request>,
    ) -> Answer<wire::get_functions::Response> {
        Ok(Response::new(wire::get_functions::Response::default()))
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Answer<wire::validate_provider_config::Response> {
        let request = request.into_inner();
        let work = async {
            let config = self.shape.decode(request.config.as_ref())?;
            Ok(self.provider.validate(&config).await)
        };
        let diagnostics = only_messages(
            self.call("validating the provider block", work).await,
            Some(&self.shape.schema),
        );
        Ok(Response::new(wire::validate_provider_config::Response {
            diagnostics,
        }))
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Answer<wire::configure_provider::Response> {
        let request = request.into_inner();
        let work = async {
            let config = self.shape.decode(request.config.as_ref())?;
            Ok(self
                .provider
                .configure(&config, &request.terraform_version)
                .await)
        };
        let diagnostics = only_messages(
            self.call("configuring the provider", work).await,
            Some(&self.shape.schema),
        );
        Ok(Response::new(wire::configure_provider::Response {
            diagnostics,
        }))
    }

    async fn stop_provider(
        &self,
        _: Request<wire::stop_provider::Request>,
    ) -> Answer<wire::stop_provider::Response> {
        tracing::info!("interrupted; everything that runs is asked to end");
        // For good: Terraform starts nothing new in this process after that, except what was on its
        // way already.
        self.stop.cancel();
        Ok(Response::new(wire::stop_provider::Response::default()))
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Answer<wire::validate_resource_config::Response> {
        let request = request.into_inner();
        let work = async {
            let (resource, shape) = self.resource(&request.type_name)?;
            let config = shape.decode(request.config.as_ref())?;
            Ok(resource.validate(&config).await)
        };
        let doing = format!("validating {}", request.type_name);
        let diagnostics = only_messages(
            self.call(&doing, work).await,
            self.resource_schema(&request.type_name),
        );
        Ok(Response::new(wire::validate_resource_config::Response {
            diagnostics,
        }))
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Answer<wire::upgrade_resource_state::Response> {
        let request = request.into_inner();
        let work = async {
            let (resource, shape) = self.resource(&request.type_name)?;
            let json = request
                .raw_state
                .as_ref()
                .map_or(&[][..], |state| &state.json);
            let state = upgrade(resource.as_ref(), shape, request.version, json).await?;
            shape.encode(state)
        };
        let doing = format!("reading the saved state of {}", request.type_name);
        let (state, diagnostics) = either(self.call(&doing, work).await);
        Ok(Response::new(wire::upgrade_resource_state::Response {
            upgraded_state: state,
            diagnostics: messages(diagnostics, self.resource_schema(&request.type_name)),
        }))
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Answer<wire::read_resource::Response> {
        let request = request.into_inner();
        let work = async {
            let (resource, shape) = self.resource(&request.type_name)?;
            let state = shape.decode(request.current_state.as_ref())?;
            let reply = resource
                .read(ReadRequest {
                    state,
                    private: request.private.clone(),
                })
                .await;
            if any_error(&reply.diagnostics) {
                return Err(reply.diagnostics);
            }
            Ok((shape.encode(reply.state)?, reply.private, reply.diagnostics))
        };
        let doing = format!("reading {}", request.type_name);
        let (new_state, private, diagnostics) = match self.call(&doing, work).await {
            Ok((state, private, diagnostics)) => (Some(state), private, diagnostics),
            Err(diagnostics) => (request.current_state, request.private, diagnostics),
        };
        Ok(Response::new(wire::read_resource::Response {
            new_state,
            private,
            diagnostics: messages(diagnostics, self.resource_schema(&request.type_name)),
        }))
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Answer<wire::plan_resource_change::Response> {
        let request = request.into_inner();
        let work = async {
            let (resource, shape) = self.resource(&request.type_name)?;
            let order = PlanRequest {
                config: shape.decode(request.config.as_ref())?,
                prior: shape.decode(request.prior_state.as_ref())?,
                proposed: shape.decode(request.proposed_new_state.as_ref())?,
                private: request.prior_private,
            };
            let destroying = order.proposed.is_null();
            let reply = resource.plan(order).await;
            if any_error(&reply.diagnostics) {
                return Err(reply.diagnostics);
            }
            // There is only one plan for a destroy.
            let planned = if destroying {
                Value::Null
            } else {
                reply.planned
            };
            Ok(wire::plan_resource_change::Response {
                planned_state: Some(shape.encode(planned)?),
                requires_replace: reply.requires_replace.into_iter().map(Into::into).collect(),
                planned_private: reply.private,
                diagnostics: messages(reply.diagnostics, self.resource_schema(&request.type_name)),
            })
        };
        let doing = format!("planning {}", request.type_name);
        let answer = self.call(&doing, work).await.unwrap_or_else(|diagnostics| {
            wire::plan_resource_change::Response {
                diagnostics: messages(diagnostics, self.resource_schema(&request.type_name)),
                ..Default::default()
            }
        });
        Ok(Response::new(answer))
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Answer<wire::apply_resource_change::Response> {
        let request = request.into_inner();
        // Whatever goes wrong before anything is done: what was there is still there.
        let untouched = |diagnostics| wire::apply_resource_change::Response {
            new_state: request.prior_state.clone(),
            private: request.planned_private.clone(),
            diagnostics: messages(diagnostics, self.resource_schema(&request.type_name)),
        };
        let (resource, shape) = match self.resource(&request.type_name) {
            Ok(found) => found,
            Err(diagnostics) => return Ok(Response::new(untouched(diagnostics))),
        };
        let decode = || {
            Ok(ApplyRequest {
                config: shape.decode(request.config.as_ref())?,
                prior: shape.decode(request.prior_state.as_ref())?,
                planned: shape.decode(request.planned_state.as_ref())?,
                private: request.planned_private.clone(),
            })
        };
        let order = match decode() {
            Ok(order) => order,
            Err(diagnostics) => return Ok(Response::new(untouched(diagnostics))),
        };
        let doing = format!("applying {}", request.type_name);
        let (reply, work) = self.apply(&doing, resource, order).await;
        let (state, private, mut diagnostics) = (reply.state, reply.private, reply.diagnostics);
        let encoded = shape.encode(state).or_else(|misfits| {
            diagnostics.extend(misfits);
            let (saved, _) = work.last_checkpoint().ok_or_else(Vec::new)?;
            shape.encode(saved)
        });
        Ok(Response::new(match encoded {
            Ok(state) => wire::apply_resource_change::Response {
                new_state: Some(state),
                private,
                diagnostics: messages(diagnostics, self.resource_schema(&request.type_name)),
            },
            Err(misfits) => {
                diagnostics.extend(misfits);
                untouched(diagnostics)
            }
        }))
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Answer<wire::import_resource_state::Response> {
        let request = request.into_inner();
        let work = async {
            let (resource, shape) = self.resource(&request.type_name)?;
            let reply = resource.import(&request.id).await;
            if any_error(&reply.diagnostics) {
                return Err(reply.diagnostics);
            }
            if reply.state.is_null() {
                return Err(vec![Diagnostic::error(
                    "Nothing to import",
                    format!(
                        "There is no {} with the ID {:?}.",
                        request.type_name, request.id
                    ),
                )]);
            }
            let imported = wire::import_resource_state::ImportedResource {
                type_name: request.type_name.clone(),
                state: Some(shape.encode(reply.state)?),
                private: reply.private,
            };
            Ok((imported, reply.diagnostics))
        };
        let doing = format!("importing {}", request.type_name);
        let (imported_resources, diagnostics) = match self.call(&doing, work).await {
            Ok((imported, diagnostics)) => (vec![imported], diagnostics),
            Err(diagnostics) => (Vec::new(), diagnostics),
        };
        Ok(Response::new(wire::import_resource_state::Response {
            imported_resources,
            diagnostics: messages(diagnostics, self.resource_schema(&request.type_name)),
        }))
    }

    async fn move_resource_state(
        &self,
        request: Request<wire::move_resource_state::Request>,
    ) -> Answer<wire::move_resource_state::Response> {
        let wire::move_resource_state::Request {
            source_type_name: from,
            target_type_name: to,
            ..
        } = request.into_inner();
        let diagnostic = Diagnostic::error(
            "State cannot be moved between resource types",
            format!(
                "This provider cannot turn the state of {from} into that of {to}. Take it out with a `removed` \
                 block and bring it back in with an `import` block."
            ),
        );
        Ok(Response::new(wire::move_resource_state::Response {
            diagnostics: messages(vec![diagnostic], None),
            ..Default::default()
        }))
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Answer<wire::validate_data_resource_config::Response> {
        let request = request.into_inner();
        let work = async {
            let (source, shape) = self.data_source(&request.type_name)?;
            let config = shape.decode(request.config.as_ref())?;
            Ok(source.validate(&config).await)
        };
        let doing = format!("validating data source {}", request.type_name);
        let diagnostics = only_messages(
            self.call(&doing, work).await,
            self.data_source_schema(&request.type_name),
        );
        Ok(Response::new(
            wire::validate_data_resource_config::Response { diagnostics },
        ))
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Answer<wire::read_data_source::Response> {
        let request = request.into_inner();
        let work = async {
            let (source, shape) = self.data_source(&request.type_name)?;
            let reply = source.read(shape.decode(request.config.as_ref())?).await;
            if any_error(&reply.diagnostics) {
                return Err(reply.diagnostics);
            }
            Ok((shape.encode(reply.state)?, reply.diagnostics))
        };
        let doing = format!("reading data source {}", request.type_name);
        let (state, diagnostics) = match self.call(&doing, work).await {
            Ok((state, diagnostics)) => (Some(state), diagnostics),
            Err(diagnostics) => (None, diagnostics),
        };
        Ok(Response::new(wire::read_data_source::Response {
            state,
            diagnostics: messages(diagnostics, self.data_source_schema(&request.type_name)),
        }))
    }
}

/// Brings a saved state up to the present schema.
async fn upgrade(
    resource: &dyn Resource,
    shape: &Shape,
    version: i64,
    json: &[u8],
) -> Result<Value, Diagnostics> {
    let present = shape.schema.version;
    if json.is_empty() {
        return Err(vec![Diagnostic::error(
            "The saved state cannot be read",
            "It is in the format of Terraform 0.11, in which this provider has never written.",
        )]);
    }
    if version > present {
        return Err(vec![Diagnostic::error(
            "The saved state is of a newer provider",
            format!(
                "It has schema version {version}; this version of the provider knows {present} and older. \
                 Use the provider that wrote it, or a newer one."
            ),
        )]);
    }
    if version == present {
        return shape.decode_state(json);
    }
    let old = serde_json::from_slice(json).map_err(|_| {
        vec![Diagnostic::error(
            "The saved state cannot be read",
            "It is not JSON.",
        )]
    })?;
    let new = resource.upgrade(version, old).await?;
    shape.decode_state(new.to_string().as_bytes())
}

fn either<T>(result: Result<T, Diagnostics>) -> (Option<T>, Diagnostics) {
    match result {
        Ok(value) => (Some(value), Vec::new()),
        Err(diagnostics) => (None, diagnostics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{DataReply, ImportReply, PlanReply, ReadReply};
    use crate::schema::Attribute;
    use async_trait::async_trait;
    use provider_server::Provider as _;
    use serde_json::json;

    /// Does what the attribute `name` of its configuration says.
    struct Puppet;

    #[async_trait]
    impl Resource for Puppet {
        fn name(&self) -> &'static str {
            "test_puppet"
        }

        fn schema(&self) -> Schema {
            Schema {
                version: 2,
                attributes: vec![
                    Attribute::string("name").required(),
                    Attribute::number("size").computed(),
                ],
                ..Schema::default()
            }
        }

        async fn validate(&self, config: &Value) -> Diagnostics {
            assert_ne!(
                config.get("name"),
                Some(&"panic".into()),
                "validate fell over"
            );
            Vec::new()
        }

        async fn upgrade(
            &self,
            version: i64,
            state: serde_json::Value,
        ) -> Result<serde_json::Value, Diagnostics> {
            Ok(
                json!({"name": format!("{} from {version}", state["title"].as_str().unwrap()), "size": 0.1}),
            )
        }

        async fn read(&self, request: ReadRequest) -> ReadReply {
            match request.state.get("name").and_then(Value::as_str) {
                Some("panic") => panic!("read fell over"),
                Some("slow") => std::future::pending().await,
                Some("gone") => ReadReply::default(),
                _ => ReadReply {
                    state: state("read", 7.into()),
                    private: b"read".to_vec(),
                    diagnostics: Vec::new(),
                },
            }
        }

        async fn plan(&self, request: PlanRequest) -> PlanReply {
            assert_ne!(
                request.config.get("name"),
                Some(&"panic".into()),
                "plan fell over"
            );
            // Also what is not asked for in a destroy.
            PlanReply {
                planned: state("planned", Value::Unknown),
                ..PlanReply::default()
            }
        }

        async fn apply(&self, request: ApplyRequest, work: Work) -> ApplyReply {
            let error = || vec![Diagnostic::error("No", "It cannot be done.")];
            work.checkpoint(state("checkpoint", Value::Unknown), b"checkpoint".to_vec());
            match request.config.get("name").and_then(Value::as_str) {
                Some("panic") => panic!("apply fell over"),
                Some("deaf") => std::future::pending().await,
                Some("patient") => {
                    work.cancelled().await;
                    assert!(work.is_cancelled());
                    ApplyReply {
                        state: state("patient", 1.into()),
                        private: Vec::new(),
                        diagnostics: error(),
                    }
                }
                Some("forgetful") => ApplyReply {
                    diagnostics: error(),
                    ..ApplyReply::default()
                },
                Some("vague") => ApplyReply {
                    state: state("vague", Value::Unknown),
                    private: Vec::new(),
                    diagnostics: error(),
                },
                Some("misfit") => ApplyReply {
                    state: state("misfit", "a text".into()),
                    ..ApplyReply::default()
                },
                _ => ApplyReply {
                    state: state("done", 9.into()),
                    private: b"done".to_vec(),
                    diagnostics: Vec::new(),
                },
            }
        }

        async fn import(&self, _: &str) -> ImportReply {
            ImportReply::default()
        }
    }

    #[async_trait]
    impl DataSource for Puppet {
        fn name(&self) -> &'static str {
            "test_puppet"
        }

        fn schema(&self) -> Schema {
            Resource::schema(self)
        }

        async fn read(&self, _: Value) -> DataReply {
            panic!("the data source fell over")
        }
    }

    #[async_trait]
    impl Provider for Puppet {
        fn schema(&self) -> Schema {
            Schema::default()
        }

        fn resources(&self) -> Vec<Arc<dyn Resource>> {
            vec![Arc::new(Puppet)]
        }

        fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
            vec![Arc::new(Puppet)]
        }

        async fn configure(&self, _: &Value, _: &str) -> Diagnostics {
            panic!("configure fell over")
        }
    }

    fn state(name: &str, size: Value) -> Value {
        [("name", Value::from(name)), ("size", size)]
            .into_iter()
            .collect()
    }

    fn service() -> Service {
        guard::install_hook();
        Service::new(Arc::new(Puppet), CancellationToken::new())
    }

    fn shape() -> Shape {
        Shape::new(Resource::schema(&Puppet))
    }

    fn sent(value: Value) -> DynamicValue {
        shape().encode(value).unwrap()
    }

    fn received(value: impl Into<Option<DynamicValue>>) -> Value {
        shape().decode(value.into().as_ref()).unwrap()
    }

    #[track_caller]
    fn complains(diagnostics: &[wire::Diagnostic], part: &str) {
        let [diagnostic] = diagnostics else {
            panic!("{diagnostics:?}")
        };
        let text = format!("{}: {}", diagnostic.summary, diagnostic.detail);
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }

    fn type_name() -> String {
        "test_puppet".to_owned()
    }

    async fn apply(
        service: &Service,
        name: &str,
        prior: Value,
    ) -> wire::apply_resource_change::Response {
        let request = wire::apply_resource_change::Request {
            type_name: type_name(),
            prior_state: Some(sent(prior)),
            planned_state: Some(sent(state(name, Value::Unknown))),
            config: Some(sent(state(name, Value::Null))),
            planned_private: b"planned".to_vec(),
        };
        service
            .apply_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }

    #[tokio::test]
    async fn an_apply_that_works_gives_its_state() {
        let reply = apply(&service(), "fine", Value::Null).await;
        assert_eq!(received(reply.new_state), state("done", 9.into()));
        assert_eq!(
            (reply.private.as_slice(), reply.diagnostics.len()),
            (&b"done"[..], 0)
        );
    }

    #[tokio::test]
    async fn an_apply_that_panics_gives_its_checkpoint() {
        let reply = apply(&service(), "panic", Value::Null).await;
        complains(
            &reply.diagnostics,
            "While applying test_puppet: apply fell over (",
        );
        complains(&reply.diagnostics, "service.rs:");
        assert_eq!(received(reply.new_state), state("checkpoint", Value::Null));
        assert_eq!(reply.private, b"checkpoint");
    }

    #[tokio::test]
    async fn an_error_without_a_state_gives_the_checkpoint() {
        let reply = apply(&service(), "forgetful", Value::Null).await;
        complains(&reply.diagnostics, "It cannot be done.");
        assert_eq!(received(reply.new_state), state("checkpoint", Value::Null));
    }

    #[tokio::test]
    async fn what_is_unknown_after_an_error_is_null() {
        let reply = apply(&service(), "vague", Value::Null).await;
        assert_eq!(received(reply.new_state), state("vague", Value::Null));
    }

    #[tokio::test]
    async fn a_state_that_does_not_fit_is_an_error_and_the_checkpoint_stays() {
        let reply = apply(&service(), "misfit", state("prior", 3.into())).await;
        complains(
            &reply.diagnostics,
            "size: a number is needed, but there is a string.",
        );
        assert_eq!(received(reply.new_state), state("checkpoint", Value::Null));
    }

    #[tokio::test]
    async fn an_order_that_cannot_be_read_changes_nothing() {
        let request = wire::apply_resource_change::Request {
            type_name: type_name(),
            prior_state: Some(sent(state("prior", 3.into()))),
            planned_state: Some(DynamicValue {
                msgpack: vec![0x81],
                json: Vec::new(),
            }),
            config: None,
            planned_private: b"planned".to_vec(),
        };
        let reply = service()
            .apply_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(&reply.diagnostics, "does not fit the schema");
        assert_eq!(received(reply.new_state), state("prior", 3.into()));
        assert_eq!(reply.private, b"planned");
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_reaches_an_apply_that_listens_at_once() {
        let service = service();
        let start = tokio::time::Instant::now();
        let (reply, ()) =
            tokio::join!(apply(&service, "patient", Value::Null), interrupt(&service));
        assert_eq!(start.elapsed(), Duration::from_mins(1));
        complains(&reply.diagnostics, "It cannot be done.");
        assert_eq!(received(reply.new_state), state("patient", 1.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_cuts_off_an_apply_that_does_not_listen() {
        let service = service();
        let start = tokio::time::Instant::now();
        let (reply, ()) = tokio::join!(apply(&service, "deaf", Value::Null), interrupt(&service));
        assert_eq!(start.elapsed(), Duration::from_mins(1) + STOP_GRACE);
        complains(&reply.diagnostics, "which did not end within 4 seconds");
        assert_eq!(received(reply.new_state), state("checkpoint", Value::Null));
        // What was on its way when the interrupt came does not even begin to wait.
        let reply = apply(&service, "patient", Value::Null).await;
        assert_eq!(received(reply.new_state), state("patient", 1.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_cuts_off_a_read_and_keeps_the_state() {
        let service = service();
        let (reply, ()) = tokio::join!(read(&service, "slow"), interrupt(&service));
        complains(
            &reply.diagnostics,
            "The interrupt came while reading test_puppet",
        );
        assert_eq!(received(reply.new_state), state("slow", 3.into()));
    }

    async fn interrupt(service: &Service) {
        sleep(Duration::from_mins(1)).await;
        let request = Request::new(wire::stop_provider::Request {});
        service.stop_provider(request).await.unwrap();
    }

    async fn read(service: &Service, name: &str) -> wire::read_resource::Response {
        let request = wire::read_resource::Request {
            type_name: type_name(),
            current_state: Some(sent(state(name, 3.into()))),
            private: b"before".to_vec(),
        };
        service
            .read_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }

    #[tokio::test]
    async fn a_read_gives_what_is_there() {
        let service = service();
        let reply = read(&service, "there").await;
        assert_eq!(received(reply.new_state), state("read", 7.into()));
        assert_eq!(reply.private, b"read");
        assert_eq!(
            received(read(&service, "gone").await.new_state),
            Value::Null
        );

        let reply = read(&service, "panic").await;
        complains(
            &reply.diagnostics,
            "While reading test_puppet: read fell over (",
        );
        assert_eq!(received(reply.new_state), state("panic", 3.into()));
        assert_eq!(reply.private, b"before");
    }

    #[tokio::test]
    async fn a_plan_may_hold_unknown_values_and_a_destroy_is_null() {
        let service = service();
        let plan = async |name: &str, proposed: Value| {
            let request = wire::plan_resource_change::Request {
                type_name: type_name(),
                prior_state: Some(sent(Value::Null)),
                proposed_new_state: Some(sent(proposed)),
                config: Some(sent(state(name, Value::Null))),
                prior_private: Vec::new(),
            };
            service
                .plan_resource_change(Request::new(request))
                .await
                .unwrap()
                .into_inner()
        };
        let reply = plan("fine", state("fine", Value::Unknown)).await;
        assert_eq!(
            received(reply.planned_state),
            state("planned", Value::Unknown)
        );
        let reply = plan("fine", Value::Null).await;
        assert_eq!(received(reply.planned_state), Value::Null);
        complains(
            &plan("panic", Value::Null).await.diagnostics,
            "plan fell over",
        );
    }

    #[tokio::test]
    async fn panics_elsewhere_are_diagnostics_too() {
        let service = service();
        let request = wire::validate_resource_config::Request {
            type_name: type_name(),
            config: Some(sent(state("panic", Value::Null))),
        };
        let reply = service
            .validate_resource_config(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(&reply.diagnostics, "validate fell over");

        let request = wire::configure_provider::Request::default();
        let reply = service
            .configure_provider(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(
            &reply.diagnostics,
            "While configuring the provider: configure fell over",
        );

        let request = wire::read_data_source::Request {
            type_name: type_name(),
            config: Some(sent(Value::Null)),
        };
        let reply = service
            .read_data_source(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(&reply.diagnostics, "the data source fell over");
        assert_eq!(reply.state, None);
    }

    async fn upgrade_to_present(
        version: i64,
        json: serde_json::Value,
    ) -> wire::upgrade_resource_state::Response {
        let raw_state = Some(wire::RawState {
            json: json.to_string().into_bytes(),
        });
        let request = wire::upgrade_resource_state::Request {
            type_name: type_name(),
            version,
            raw_state,
        };
        service()
            .upgrade_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    }

    #[tokio::test]
    async fn saved_state_is_brought_up_to_date() {
        let reply =
            upgrade_to_present(2, json!({"name": "same", "size": 0.1, "unheard_of": {}})).await;
        assert_eq!(received(reply.upgraded_state), state("same", 0.1.into()));
        assert_eq!(reply.diagnostics, []);

        let reply = upgrade_to_present(1, json!({"title": "old"})).await;
        assert_eq!(
            received(reply.upgraded_state),
            state("old from 1", 0.1.into())
        );

        complains(
            &upgrade_to_present(1, json!({})).await.diagnostics,
            "The provider crashed",
        );
        complains(
            &upgrade_to_present(3, json!({})).await.diagnostics,
            "It has schema version 3",
        );
        complains(
            &upgrade_to_present(2, json!({"size": []})).await.diagnostics,
            "size: a number is needed",
        );
    }

    #[tokio::test]
    async fn what_there_is_not_is_said() {
        let service = service();
        let request = wire::import_resource_state::Request {
            type_name: type_name(),
            id: "me".to_owned(),
        };
        let reply = service
            .import_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(
            &reply.diagnostics,
            r#"There is no test_puppet with the ID "me"."#,
        );

        let request = wire::move_resource_state::Request {
            source_type_name: "other_thing".to_owned(),
            target_type_name: type_name(),
            ..Default::default()
        };
        let reply = service
            .move_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(
            &reply.diagnostics,
            "the state of other_thing into that of test_puppet",
        );

        let request = wire::read_resource::Request {
            type_name: "test_none".to_owned(),
            ..Default::default()
        };
        let reply = service
            .read_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        complains(
            &reply.diagnostics,
            "This provider has no resource type test_none.",
        );
    }

    #[tokio::test]
    async fn metadata_and_schema_agree() {
        let service = service();
        let metadata = service
            .get_metadata(Request::new(wire::get_metadata::Request {}))
            .await
            .unwrap()
            .into_inner();
        let schema = service
            .get_provider_schema(Request::new(wire::get_provider_schema::Request {}))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(metadata.server_capabilities, schema.server_capabilities);
        assert_eq!(schema.server_capabilities, Some(capabilities()));
        assert_eq!(metadata.resources[0].type_name, "test_puppet");
        assert_eq!(schema.resource_schemas["test_puppet"].version, 2);
        assert_eq!(
            schema.data_source_schemas.len(),
            metadata.data_sources.len()
        );
    }
}
