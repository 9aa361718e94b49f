//! AWS as a script: real SDK clients over a connector of our own that answers in each service's own wire form.

pub mod scenes;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, Metadata};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use terraform_provider_bellflower::parts::{Aws, Batches, Clients};
use tokio_util::sync::CancellationToken;

pub use wire::{Fault, Reply};

/// The id of every request, as the errors have to tell it.
pub const REQUEST_ID: &str = "7a62c49f-347e-4fc4-9331-6e8e7a96aa73";
/// No request is older than this, as in the provider's own clients.
pub const TIME_OUT: Duration = Duration::from_mins(1);
const OPERATION: &str = "x-scripted-operation";

/// Writes the operation's name, which only the SDK knows for sure, on the request.
#[derive(Debug)]
struct Labelled;

impl Intercept for Labelled {
    fn name(&self) -> &'static str {
        "Labelled"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let metadata = config.load::<Metadata>().ok_or("no metadata")?;
        let service = match metadata.service() {
            "CloudWatch Logs" => "logs".to_owned(),
            "SFN" => "states".to_owned(),
            other => other.to_lowercase(),
        };
        let name = format!("{service}:{}", metadata.name());
        context.request_mut().headers_mut().insert(OPERATION, name);
        Ok(())
    }
}

/// What is answered: `fault` to the first `times` requests of `operation`, and to all others what the scene says.
pub struct Script {
    pub operation: &'static str,
    pub fault: Fault,
    pub times: usize,
    pub scene: scenes::Answers,
}

/// How often each operation was asked for.
pub type Counts = HashMap<String, usize>;

pub struct Stage {
    script: Script,
    counts: Mutex<Counts>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stage")
    }
}

impl Stage {
    pub fn counts(&self) -> Counts {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn reply(&self, operation: &str) -> Reply {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(operation.to_owned()).or_default();
        *count += 1;
        if operation == self.script.operation && *count <= self.script.times {
            return Reply::Fault(self.script.fault.clone());
        }
        (self.script.scene)(operation, &counts).unwrap_or_else(|| scenes::usual(operation))
    }
}

#[derive(Debug, Clone)]
struct Connector(Arc<Stage>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get(OPERATION).unwrap_or_default();
        match self.0.reply(operation) {
            Reply::Fault(Fault::Hang) => HttpConnectorFuture::new(std::future::pending()),
            Reply::Fault(Fault::Reset) => HttpConnectorFuture::ready(Err(ConnectorError::io(
                std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
            ))),
            other => HttpConnectorFuture::ready(Ok(wire::response(operation, &other))),
        }
    }
}

/// The clients of a run, set up as the provider sets them up, and what they are told.
pub fn aws(script: Script, max_retries: Option<u32>) -> (Aws, Arc<Stage>) {
    let stage = Arc::new(Stage {
        script,
        counts: Mutex::default(),
    });
    let connector = SharedHttpConnector::new(Connector(stage.clone()));
    let http: SharedHttpClient = http_client_fn(move |_, _| connector.clone());
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(TIME_OUT)
        .build();
    macro_rules! config {
        ($sdk:ident) => {
            $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::latest())
                .region($sdk::config::Region::new("eu-west-1"))
                .credentials_provider(Credentials::new("AKIASCRIPT", "secret", None, None, "test"))
                .http_client(http.clone())
                .timeout_config(timeouts.clone())
                .retry_config(RetryConfig::disabled())
                .interceptor(Labelled)
        };
    }
    macro_rules! client {
        ($sdk:ident) => {
            $sdk::Client::from_conf(config!($sdk).build())
        };
    }
    let clients = Clients {
        cloudwatch: client!(aws_sdk_cloudwatch),
        iam: client!(aws_sdk_iam),
        kms: client!(aws_sdk_kms),
        lambda: client!(aws_sdk_lambda),
        logs: client!(aws_sdk_cloudwatchlogs),
        s3: client!(aws_sdk_s3),
        sfn: client!(aws_sdk_sfn),
        sns: client!(aws_sdk_sns),
        sqs: client!(aws_sdk_sqs),
        sts: client!(aws_sdk_sts),
        tagging: client!(aws_sdk_resourcegroupstagging),
    };
    let aws = Aws {
        clients,
        batches: Arc::new(Batches::default()),
        index: Arc::default(),
        region: "eu-west-1".to_owned(),
        at_home: Arc::default(),
        max_retries,
        in_brief: false,
        ignored_tags: Arc::default(),
        stop: CancellationToken::new(),
        stopped: Arc::new(OnceLock::new()),
    };
    (aws, stage)
}
