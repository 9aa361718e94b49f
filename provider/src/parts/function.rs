//! A Lambda function.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::config::Builder;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, LastUpdateStatus, LoggingConfig, Runtime, State,
    TracingConfig, TracingMode,
};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::tags::{MARK, Tags};
use super::{ATTEMPT, Aws, absent, attributes, key, properties};
use crate::documents::names;
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &["ResourceNotFoundException"];
/// How long a function may take to become active or to finish an update.
const BUDGET: Duration = Duration::from_mins(10);
/// The answer to its creation is the first look, and these the times from the answer and from the order to the next: no function is ready sooner.
/// Functions that are ordered together are looked at together.
const AT_REST: Duration = Duration::from_millis(500);
const IN_ALL: Duration = Duration::from_millis(900);

/// The slowest line that code is sent over, in bytes of the zip a second: half a megabit.
const SLOWEST: usize = 48 * 1024;

/// Under which name a function that was found tells whether Lambda still makes or changes it.
const AT_WORK: &str = "at_work";

/// How a function that was found writes its log: kept, and not ours to decide.
const LOGGING: &str = "logging";

/// What is no part of the configuration: the code, and what has calls of its own.
const CODE: &[&str] = &["package", "code_sha256", "architectures"];
const APART: &[&str] = &[
    "package",
    "code_sha256",
    "architectures",
    "tags",
    "reserved_concurrent_executions",
];

/// What is to be said of a function that works.
const READY: &str = "ready";

/// What is wrong with a function, of the states that Lambda tells with their reasons: its own and its last update's.
fn trouble(states: [(Option<&str>, Option<&str>, Option<&str>); 2]) -> Option<String> {
    let [own, update] = states;
    [("", own), ("the last update ", update)]
        .into_iter()
        .find(|(_, (state, _, _))| *state == Some("Failed"))
        .map(|(what, (_, code, reason))| {
            let (code, reason) = (
                code.unwrap_or("no reason code"),
                reason.unwrap_or("no reason given"),
            );
            format!("{what}failed: {code}: {reason}")
        })
}

/// The same of an answer of Lambda.
macro_rules! trouble_of {
    ($told:expr) => {
        trouble([
            (
                $told.state.as_ref().map(AsRef::as_ref),
                $told.state_reason_code.as_ref().map(AsRef::as_ref),
                $told.state_reason.as_deref(),
            ),
            (
                $told.last_update_status.as_ref().map(AsRef::as_ref),
                $told
                    .last_update_status_reason_code
                    .as_ref()
                    .map(AsRef::as_ref),
                $told.last_update_status_reason.as_deref(),
            ),
        ])
    };
}

/// Where there is code to send.
#[derive(Debug, Clone)]
pub enum Source {
    /// A zip at hand: embedded in the provider or read from a file.
    Zip(Arc<[u8]>),
    /// An object in S3.
    Object {
        /// The bucket.
        s3_bucket: String,
        /// The key.
        s3_key: String,
        /// The version, where the bucket keeps versions.
        s3_object_version: Option<String>,
    },
}

impl Source {
    /// As long as any other request may take, and what a slow line needs for the code. One on which nothing moves ends sooner.
    fn patience(&self) -> Builder {
        let length = match self {
            Self::Zip(bytes) => bytes.len(),
            Self::Object { .. } => 0,
        };
        let seconds = length / SLOWEST;
        let limit = ATTEMPT + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let limits = TimeoutConfig::builder().operation_attempt_timeout(limit);
        Builder::new().timeout_config(limits.build())
    }
}

/// A function's code.
#[derive(Debug, Clone)]
pub enum Code {
    /// What it is to have.
    Given(Source),
    /// What a state tells of; nobody has it at hand.
    Recorded,
    /// Whatever it has, which nobody compares. For a function that is not there: what it had, where that is at hand.
    Left(Option<Source>),
}

impl Code {
    fn source(&self) -> Option<&Source> {
        match self {
            Self::Given(source) => Some(source),
            Self::Left(source) => source.as_ref(),
            Self::Recorded => None,
        }
    }
}

/// How the package of a function begins that has code which it was not given.
pub const OTHER_CODE: &str = "other code";

/// How a Lambda function should be. Memory is in MB, the time-out in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Function {
    /// The function's name.
    pub function_name: String,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// What it is for.
    pub description: String,
    /// The ARN of its role.
    #[serde(rename = "role_arn")]
    pub role: String,
    /// The runtime's name.
    pub runtime: String,
    /// The entry point.
    pub handler: String,
    /// Memory.
    pub memory_size: i64,
    /// Time-out.
    pub timeout: i64,
    /// The instruction set, one entry.
    pub architectures: Vec<String>,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// `Active` or `PassThrough`.
    pub tracing_mode: String,
    /// The key that encrypts the environment variables.
    pub kms_key_arn: String,
    /// Invocations reserved for this function; -1 for none.
    pub reserved_concurrent_executions: i64,
    /// The code in words: which package of which version.
    pub package: String,
    /// The base64 SHA-256 of the package, where it is known beforehand.
    pub code_sha256: Option<String>,
    /// The code itself.
    #[serde(skip)]
    pub code: Code,
    /// All tags.
    pub tags: Tags,
}

impl Function {
    fn environment(&self) -> Environment {
        Environment::builder()
            .set_variables(Some(self.variables.clone().into_iter().collect()))
            .build()
    }

    fn tracing(&self) -> TracingConfig {
        TracingConfig::builder()
            .mode(TracingMode::from(self.tracing_mode.as_str()))
            .build()
    }

    fn architecture_types(&self) -> Vec<Architecture> {
        self.architectures
            .iter()
            .map(|text| Architecture::from(text.as_str()))
            .collect()
    }

    /// The group its log goes to: the one that its role may write to and its metrics are read from.
    fn log_group(&self) -> String {
        names::function_log_group(&self.function_name)
    }

    /// Sends the log back where it belongs. How it is written, and which levels of it, are left as others have set them.
    fn logging(&self, found: &Found) -> LoggingConfig {
        let kept = |name: &str| found.attributes.get(LOGGING)?.get(name)?.as_str();
        LoggingConfig::builder()
            .log_group(self.log_group())
            .set_log_format(kept("log_format").map(Into::into))
            .set_application_log_level(kept("application_log_level").map(Into::into))
            .set_system_log_level(kept("system_log_level").map(Into::into))
            .build()
    }

    /// Waits until the function is active and its last update is done, and answers with the hash of its code.
    async fn ready(&self, aws: &Aws) -> Result<String, Failure> {
        let probe = || async {
            let get = || {
                aws.lambda
                    .get_function_configuration()
                    .function_name(&self.function_name)
                    .send()
            };
            let answer = absent(
                aws.call("lambda:GetFunctionConfiguration", &self.function_name, get)
                    .await,
                GONE,
            )?;
            let Some(now) = answer else { return Ok(None) };
            if let Some(trouble) = trouble_of!(now) {
                return Err(Failure::refusal(self.title(), trouble));
            }
            match (now.state, now.last_update_status) {
                // A function that lies idle for weeks is Inactive and wakes with its next invocation.
                (
                    None | Some(State::Active | State::Inactive),
                    Some(LastUpdateStatus::Successful),
                ) => Ok(Some(now.code_sha256.unwrap_or_default())),
                _ => Ok(None),
            }
        };
        aws.settle(&self.title(), "ready", BUDGET, probe).await
    }

    /// What Lambda answers without, since the caller may not see it: nothing is known of it then, and nothing may be written.
    fn hidden(&self, what: &str, (code, message): (String, String), right: &str) -> Failure {
        Failure {
            operation: "lambda:GetFunction",
            object: self.function_name.clone(),
            code: Some(code),
            message: format!("{what} may not be read: {message}"),
            attempts: 1,
            ..Failure::default()
        }
        .advise(format!("Who plans and applies needs {right}."))
    }

    fn right_to_open(&self, key: Option<&str>) -> String {
        let key = key.unwrap_or_default();
        let mark = self.tags.0.get(MARK).map_or("", String::as_str);
        format!(
            "kms:Decrypt on {key}. Where that rests on the key's tag {MARK} = {mark}, which it may have lost, give it back: {}",
            key::tagging(key, mark)
        )
    }

    async fn put_concurrency(&self, aws: &Aws) -> Result<(), Failure> {
        let name = &self.function_name;
        if self.reserved_concurrent_executions < 0 {
            let delete = || {
                aws.lambda
                    .delete_function_concurrency()
                    .function_name(name)
                    .send()
            };
            return aws
                .call("lambda:DeleteFunctionConcurrency", name, delete)
                .await
                .map(drop);
        }
        let count = i32::try_from(self.reserved_concurrent_executions).unwrap_or(i32::MAX);
        let put = || {
            aws.lambda
                .put_function_concurrency()
                .function_name(name)
                .reserved_concurrent_executions(count)
                .send()
        };
        aws.call("lambda:PutFunctionConcurrency", name, put)
            .await
            .map(drop)
    }

    /// Whatever Lambda says of a change of a function that has failed itself, there is a way out.
    fn stuck(&self, found: &Found, failure: Failure) -> Failure {
        if !found.text("status").starts_with("failed")
            || !failure.is(&["ResourceConflictException"])
        {
            return failure;
        }
        failure.advise(format!(
            "Lambda changes it no more: `aws lambda delete-function --function-name {}` and apply again, which makes it anew. Answers that come meanwhile are not seen: have \
             them written again.",
            self.function_name
        ))
    }

    /// There is nothing to send where the code is what the function has.
    fn no_code(&self) -> Failure {
        let message = "it is not as it was in the plan, and its code is not at hand";
        Failure::refusal(self.title(), message).advise("Make a new plan.")
    }

    async fn update_code(&self, aws: &Aws) -> Result<(), Failure> {
        let source = self.code.source().ok_or_else(|| self.no_code())?;
        let send = || {
            let request = aws
                .lambda
                .update_function_code()
                .function_name(&self.function_name);
            let request = request.set_architectures(Some(self.architecture_types()));
            match source {
                Source::Zip(bytes) => request.zip_file(Blob::new(bytes.to_vec())),
                Source::Object {
                    s3_bucket,
                    s3_key,
                    s3_object_version,
                } => request
                    .s3_bucket(s3_bucket)
                    .s3_key(s3_key)
                    .set_s3_object_version(s3_object_version.clone()),
            }
            .customize()
            .config_override(source.patience())
            .send()
        };
        aws.call("lambda:UpdateFunctionCode", &self.function_name, send)
            .await
            .map(drop)
    }

    /// Lambda leaves the variables as they are where none are sent.
    async fn update_configuration(
        &self,
        aws: &Aws,
        environment: Option<Environment>,
        logging: Option<LoggingConfig>,
    ) -> Result<(), Failure> {
        let send = || {
            aws.lambda
                .update_function_configuration()
                .function_name(&self.function_name)
                .description(&self.description)
                .role(&self.role)
                .runtime(Runtime::from(self.runtime.as_str()))
                .handler(&self.handler)
                .memory_size(i32::try_from(self.memory_size).unwrap_or(i32::MAX))
                .timeout(i32::try_from(self.timeout).unwrap_or(i32::MAX))
                .set_environment(environment.clone())
                .tracing_config(self.tracing())
                .kms_key_arn(&self.kms_key_arn)
                .set_logging_config(logging.clone())
                .send()
        };
        let operation = "lambda:UpdateFunctionConfiguration";
        let answer = aws.call(operation, &self.function_name, send);
        answer.await.map(drop)
    }
}

#[async_trait]
impl Part<Aws> for Function {
    fn kind(&self) -> &'static str {
        "Lambda function"
    }

    fn name(&self) -> &str {
        &self.function_name
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        let left = matches!(self.code, Code::Left(_));
        if self.code_sha256.is_none() || left {
            desired.remove("code_sha256");
        }
        if left {
            desired.remove("package");
        }
        desired.extend(attributes! { "status": READY, "logging_config": json!({"log_group": self.log_group()}) });
        desired
    }

    fn writes_too(&self, one: &str, other: &str) -> bool {
        if CODE.contains(&one) {
            return CODE.contains(&other);
        }
        let configures = !APART.contains(&one);
        // Variables are sent with their key alone, and where the log goes by itself.
        let with_it = !APART.contains(&other) && !["variables", "logging_config"].contains(&other);
        configures && (with_it || (one == "kms_key_arn" && other == "variables"))
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let get = || {
            aws.lambda
                .get_function()
                .function_name(&self.function_name)
                .send()
        };
        let Some(answer) = absent(
            aws.call("lambda:GetFunction", &self.function_name, get)
                .await,
            GONE,
        )?
        else {
            return Ok(None);
        };
        if let Some(error) = answer.tags_error {
            let told = (error.error_code, error.message);
            return Err(self.hidden("its tags", told, "lambda:ListTags on it"));
        }
        let tags = Tags::listed(answer.tags.unwrap_or_default());
        let tags = aws.heeded(tags, &self.tags);
        let Some(have) = answer.configuration else {
            return Ok(None);
        };
        let environment = have.environment;
        let variables = match environment.map(|found| (found.variables, found.error)) {
            Some((_, Some(error))) => {
                let code = error.error_code.unwrap_or_default();
                if code.contains("AccessDenied") {
                    let right = self.right_to_open(have.kms_key_arn.as_deref());
                    let told = (code, error.message.unwrap_or_default());
                    return Err(self.hidden("its environment variables", told, &right));
                }
                // What is wrong with the key is the key's to show; its variables stay until it can be used again.
                self.variables.clone()
            }
            Some((variables, None)) => variables.unwrap_or_default().into_iter().collect(),
            None => BTreeMap::new(),
        };
        let status = trouble_of!(have).unwrap_or_else(|| READY.to_owned());
        let at_work = matches!(have.state, Some(State::Pending))
            || matches!(have.last_update_status, Some(LastUpdateStatus::InProgress));
        let logging = have.logging_config;
        let logging = logging.unwrap_or_else(|| LoggingConfig::builder().build());
        let sha256 = have.code_sha256.unwrap_or_default();
        let same_code = self.code_sha256.as_ref() == Some(&sha256);
        let found = Self {
            function_name: have.function_name.unwrap_or_default(),
            arn: have.function_arn.unwrap_or_default(),
            description: have.description.unwrap_or_default(),
            role: have.role.unwrap_or_default(),
            runtime: have
                .runtime
                .map(|runtime| runtime.as_str().to_owned())
                .unwrap_or_default(),
            handler: have.handler.unwrap_or_default(),
            memory_size: have.memory_size.map_or(0, i64::from),
            timeout: have.timeout.map_or(0, i64::from),
            architectures: have
                .architectures
                .unwrap_or_default()
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
            variables,
            tracing_mode: have
                .tracing_config
                .and_then(|tracing| tracing.mode)
                .map_or_else(|| "PassThrough".to_owned(), |mode| mode.as_str().to_owned()),
            kms_key_arn: have.kms_key_arn.unwrap_or_default(),
            reserved_concurrent_executions: answer
                .concurrency
                .and_then(|concurrency| concurrency.reserved_concurrent_executions)
                .map_or(-1, i64::from),
            package: if same_code {
                self.package.clone()
            } else {
                format!("{OTHER_CODE}, SHA-256 {sha256}")
            },
            code_sha256: Some(sha256),
            code: self.code.clone(),
            tags: tags.clone(),
        };
        let mut attributes = properties(&found);
        let own = self.log_group();
        let group = logging.log_group().unwrap_or(&own);
        attributes.extend(attributes! {
            "status": status, "logging_config": json!({"log_group": group})
        });
        let written = json!({
            "log_format": logging.log_format().map(AsRef::<str>::as_ref),
            "application_log_level": logging.application_log_level().map(AsRef::<str>::as_ref),
            "system_log_level": logging.system_log_level().map(AsRef::<str>::as_ref),
        });
        attributes.insert(LOGGING.to_owned(), written);
        if at_work {
            attributes.insert(AT_WORK.to_owned(), true.into());
        }
        Ok(Some(Found {
            attributes,
            owner: self.tags.owner_of(&tags),
        }))
    }

    async fn shows(&self, aws: &Aws) -> Result<bool, Failure> {
        let now = self.read(aws).await?;
        // Whether code out of S3 is the right one only its hash tells, which Lambda alone knows.
        let same = |now: Found| {
            let changes = Changes::between(&self.desired(), &now.attributes);
            changes.names().all(|name| name == "package")
        };
        Ok(now.is_some_and(same))
    }

    async fn settled(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        if found.attributes.contains_key(AT_WORK) {
            self.ready(aws).await?;
        }
        Ok(())
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let tags: HashMap<String, String> = self.tags.0.clone().into_iter().collect();
        let source = self.code.source().ok_or_else(|| self.no_code())?;
        let code = match source {
            Source::Zip(bytes) => FunctionCode::builder().zip_file(Blob::new(bytes.to_vec())),
            Source::Object {
                s3_bucket,
                s3_key,
                s3_object_version,
            } => FunctionCode::builder()
                .s3_bucket(s3_bucket)
                .s3_key(s3_key)
                .set_s3_object_version(s3_object_version.clone()),
        }
        .build();
        let create = || {
            aws.lambda
                .create_function()
                .function_name(&self.function_name)
                .description(&self.description)
                .role(&self.role)
                .runtime(Runtime::from(self.runtime.as_str()))
                .handler(&self.handler)
                .memory_size(i32::try_from(self.memory_size).unwrap_or(i32::MAX))
                .timeout(i32::try_from(self.timeout).unwrap_or(i32::MAX))
                .set_architectures(Some(self.architecture_types()))
                .environment(self.environment())
                .tracing_config(self.tracing())
                .kms_key_arn(&self.kms_key_arn)
                .set_tags(Some(tags.clone()))
                .code(code.clone())
                .customize()
                .config_override(source.patience())
                .send()
        };
        let ordered = Instant::now();
        let answer = aws
            .call("lambda:CreateFunction", &self.function_name, create)
            .await?;
        let active = matches!(answer.state, Some(State::Active))
            && matches!(
                answer.last_update_status,
                None | Some(LastUpdateStatus::Successful)
            );
        let sha256 = match answer.code_sha256 {
            Some(sha256) if active => sha256,
            _ => {
                aws.rest(AT_REST.max(IN_ALL.saturating_sub(ordered.elapsed())))
                    .await;
                self.ready(aws).await?
            }
        };
        if self.reserved_concurrent_executions >= 0 {
            self.put_concurrency(aws).await?;
        }
        Ok(attributes! { "code_sha256": sha256 })
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let mut known = Attributes::new();
        if changes.any(CODE) {
            let sent = self.update_code(aws).await;
            sent.map_err(|failure| self.stuck(found, failure))?;
            known = attributes! { "code_sha256": self.ready(aws).await? };
        }
        if changes.names().any(|name| !APART.contains(&name)) {
            let encrypted_anew = changes.any(&["variables", "kms_key_arn"]);
            let environment = encrypted_anew.then(|| self.environment());
            let logging = changes
                .any(&["logging_config"])
                .then(|| self.logging(found));
            let written = self.update_configuration(aws, environment, logging).await;
            written.map_err(|failure| self.stuck(found, failure))?;
            self.ready(aws).await?;
        }
        if changes.any(&["reserved_concurrent_executions"]) {
            self.put_concurrency(aws).await?;
        }
        if changes.any(&["tags"]) {
            retag(aws, &self.arn, &self.tags, &found.attributes).await?;
        }
        Ok(known)
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let name = &self.function_name;
        let delete = || aws.lambda.delete_function().function_name(name).send();
        absent(aws.call("lambda:DeleteFunction", name, delete).await, GONE)?;
        let gone = || async {
            let get = || {
                aws.lambda
                    .get_function_configuration()
                    .function_name(name)
                    .send()
            };
            Ok(absent(
                aws.call("lambda:GetFunctionConfiguration", name, get).await,
                GONE,
            )?
            .is_none()
            .then_some(()))
        };
        aws.settle(&self.title(), "gone", BUDGET, gone).await
    }
}

/// Sets and removes tags of a function or an event source mapping.
pub(super) async fn retag(
    aws: &Aws,
    arn: &str,
    want: &Tags,
    have: &Attributes,
) -> Result<(), Failure> {
    let tag = |set: BTreeMap<String, String>| async move {
        let tags: HashMap<String, String> = set.into_iter().collect();
        let tag = || {
            let request = aws.lambda.tag_resource().resource(arn);
            request.set_tags(Some(tags.clone())).send()
        };
        aws.call("lambda:TagResource", arn, tag).await.map(drop)
    };
    let untag = |keys: Vec<String>| async move {
        let untag = || {
            let request = aws.lambda.untag_resource().resource(arn);
            request.set_tag_keys(Some(keys.clone())).send()
        };
        aws.call("lambda:UntagResource", arn, untag).await.map(drop)
    };
    want.write(have, tag, untag).await
}
