//! From the provider block to AWS clients.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as Tls, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::retry::RetryConfig;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{Config, is_url};
use crate::documents::{Place, names};
use crate::engine::Failure;
use crate::parts::{Aws, Batches, Clients, failure, innermost};

/// How often a question about credentials is asked again by the SDK itself.
const DEFAULT_RETRIES: u32 = 4;

/// Why there are no clients.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No region anywhere.
    #[error(
        "No AWS region is set: give `region` in the provider block, AWS_REGION in the environment, or a region in the profile."
    )]
    NoRegion,
    /// A region's name that is none.
    #[error(
        "\"{0}\" is not the name of an AWS region such as eu-west-1. It comes from `region` in the provider block, AWS_REGION, AWS_DEFAULT_REGION or the profile."
    )]
    NotARegion(String),
    /// An endpoint that is no URL.
    #[error(
        "\"{0}\" is not a URL: it must begin with https:// or http://. It comes from AWS_ENDPOINT_URL or endpoint_url in the profile."
    )]
    NotAUrl(String),
    /// The CA bundle cannot be used.
    #[error("The CA bundle \"{}\" cannot be used: {reason}.", path.display())]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// What the provider works with once it is configured.
#[derive(Debug)]
pub struct Session {
    /// The provider block.
    pub config: Config,
    clients: Clients,
    credentials: Option<SharedCredentialsProvider>,
    batches: Arc<Batches>,
    region: String,
    place: OnceCell<Place>,
}

impl Session {
    /// Makes the clients. Asks nobody but the environment and, for credentials, what the environment names.
    ///
    /// # Errors
    /// No region, or a CA bundle that cannot be read.
    pub async fn open(config: Config) -> Result<Self, SetupError> {
        let http = http_client(&config)?;
        let sdk = sdk_config(&config, http).await;
        let region = sdk
            .region()
            .map(ToString::to_string)
            .filter(|region| !region.is_empty());
        let region = region.ok_or(SetupError::NoRegion)?;
        if !names::is_region(&region) {
            return Err(SetupError::NotARegion(region));
        }
        let url = sdk.endpoint_url().filter(|url| !is_url(url));
        if let Some(url) = url {
            return Err(SetupError::NotAUrl(url.to_owned()));
        }
        let sdk = assume_role(&config, sdk).await;
        let clients = clients(&config, &sdk);
        Ok(Self {
            config,
            clients,
            credentials: sdk.credentials_provider(),
            batches: Arc::default(),
            region,
            place: OnceCell::new(),
        })
    }

    /// The clients, with the signal that ends their work.
    #[must_use]
    pub fn aws(&self, stop: CancellationToken) -> Aws {
        Aws {
            clients: self.clients.clone(),
            batches: self.batches.clone(),
            index: Arc::default(),
            region: self.region.clone(),
            at_home: Arc::default(),
            max_retries: self.config.max_retries,
            stop,
            stopped: Arc::default(),
        }
    }

    /// The region this session works in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether it is known where this session works.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        self.place.initialized()
    }

    /// Takes it for known that this session works here.
    pub fn is_at(&self, place: Place) {
        // Who asked STS meanwhile learnt the same.
        let _ = self.place.set(place);
    }

    /// Where this session works: asks STS whose credentials these are, once.
    ///
    /// # Errors
    /// The failure of that question, which is how missing credentials and an unreachable endpoint show.
    pub async fn place(&self) -> Result<Place, Failure> {
        let ask = || async {
            self.role_is_assumed().await?;
            let answer = self.clients.sts.get_caller_identity().send().await;
            let answer = answer.map_err(|error| {
                self.explained(failure(
                    "sts:GetCallerIdentity",
                    "the credentials in use",
                    &error,
                ))
            })?;
            let partition = answer
                .arn()
                .and_then(|arn| arn.split(':').nth(1))
                .map(str::to_owned);
            Ok(Place {
                partition: partition
                    .unwrap_or_else(|| names::partition_of(&self.region).to_owned()),
                region: self.region.clone(),
                account: answer.account.unwrap_or_default(),
            })
        };
        self.place.get_or_try_init(ask).await.cloned()
    }
}

impl Session {
    /// That a role may not be assumed is another thing than that there are no credentials.
    async fn role_is_assumed(&self) -> Result<(), Failure> {
        let role = self.config.assume_role.as_ref();
        let (Some(arn), Some(credentials)) = (
            role.and_then(|role| role.role_arn.as_deref()),
            &self.credentials,
        ) else {
            return Ok(());
        };
        let Err(error) = credentials.provide_credentials().await else {
            return Ok(());
        };
        let operation = "sts:AssumeRole";
        let cause = std::error::Error::source(&error);
        let refused =
            cause.and_then(|cause| cause.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>());
        let failed = refused.map_or_else(
            || Failure {
                operation,
                attempts: 1,
                ..Failure::refusal(arn, innermost(&error))
            },
            |refused| failure(operation, arn, refused),
        );
        Err(match &failed.code {
            Some(_) => failed.advise(
                "The credentials that were found may not assume this role: its trust policy, external_id and policy of the provider block's assume_role decide.",
            ),
            None => self.explained(failed),
        })
    }

    /// The first question of all: whether it fails for want of credentials or of an answer is told apart here.
    fn explained(&self, failure: Failure) -> Failure {
        let profile = self
            .config
            .profile
            .clone()
            .or_else(|| std::env::var("AWS_PROFILE").ok());
        let profile = profile
            .map(|name| format!(" (the profile asked for is \"{name}\")"))
            .unwrap_or_default();
        let none = [
            "no credentials",
            "loading credentials",
            "credential provider was not enabled",
        ];
        if none.iter().any(|words| failure.says(words)) {
            tracing::debug!(%failure, "no credentials");
            // Of a chain of sources each says why it has none; the end of a profile's is what is wrong with it.
            let message = match failure.message.split_once("profile `") {
                Some((_, rest)) => format!("profile `{rest}"),
                None => "there are none, or they cannot be used".to_owned(),
            };
            let failure = Failure { message, ..failure };
            return failure.advise(format!(
                "No usable credentials were found{profile}. Give access_key and secret_key in the provider block, AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY in the environment, or a profile that has them."
            ));
        }
        let endpoint = self
            .config
            .endpoint("sts")
            .or_else(|| std::env::var("AWS_ENDPOINT_URL").ok());
        match (failure.status, endpoint, failure.advice.clone()) {
            (None, Some(url), Some(advice)) => {
                failure.advise(format!("The endpoint in use is {url}. {advice}"))
            }
            _ => failure,
        }
    }
}

fn http_client(config: &Config) -> Result<SharedHttpClient, SetupError> {
    let builder = HttpBuilder::new().tls_provider(Tls::Rustls(CryptoMode::Ring));
    let from_environment = || {
        std::env::var_os("AWS_CA_BUNDLE")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let Some(path) = config
        .custom_ca_bundle
        .as_ref()
        .map(PathBuf::from)
        .or_else(from_environment)
    else {
        return Ok(builder.build_https());
    };
    let complain = |reason: String| SetupError::CaBundle {
        path: path.clone(),
        reason,
    };
    let pem = fs::read(&path).map_err(|error| complain(error.to_string()))?;
    if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(complain("it holds no certificate in PEM form".to_owned()));
    }
    let trust = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| complain(error.to_string()))?;
    Ok(builder.tls_context(context).build_https())
}

/// For what is asked before there are parts: whose credentials these are, and where they come from.
fn retries(config: &Config) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(config.max_retries.unwrap_or(DEFAULT_RETRIES) + 1)
}

async fn sdk_config(config: &Config, http: SharedHttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_mins(1))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .timeout_config(timeouts)
        .retry_config(retries(config))
        .app_name(app_name());
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let (Some(key), Some(secret)) = (&config.access_key, &config.secret_key) {
        loader = loader.credentials_provider(Credentials::new(
            key,
            secret,
            config.token.clone(),
            None,
            "provider block",
        ));
    }
    let sdk = loader.load().await;
    let Some(profile) = config
        .profile
        .as_ref()
        .filter(|_| config.access_key.is_none())
    else {
        return sdk;
    };
    // Who names a profile means it, whatever keys the environment holds.
    let basis = ProviderConfig::without_region()
        .with_region(sdk.region().cloned())
        .with_http_client(http);
    let credentials = ProfileFileCredentialsProvider::builder()
        .configure(&basis)
        .profile_name(profile)
        .build();
    sdk.to_builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

fn app_name() -> aws_config::AppName {
    let version = concat!("terraform-provider-bellflower-", env!("CARGO_PKG_VERSION"));
    aws_config::AppName::new(version)
        .unwrap_or_else(|_| unreachable!("a literal of allowed characters"))
}

async fn assume_role(config: &Config, sdk: SdkConfig) -> SdkConfig {
    let Some(role) = &config.assume_role else {
        return sdk;
    };
    let Some(arn) = &role.role_arn else {
        return sdk;
    };
    let mut base = sdk.to_builder();
    base.set_endpoint_url(
        config
            .endpoint("sts")
            .or_else(|| sdk.endpoint_url().map(str::to_owned)),
    );
    let mut builder = AssumeRoleProvider::builder(arn)
        .configure(&base.build())
        .session_name(
            role.session_name
                .as_deref()
                .unwrap_or("terraform-provider-bellflower"),
        );
    if let Some(id) = &role.external_id {
        builder = builder.external_id(id);
    }
    if let Some(policy) = &role.policy {
        builder = builder.policy(policy);
    }
    if let Some(duration) = role
        .duration
        .as_deref()
        .and_then(|text| humantime::parse_duration(text).ok())
    {
        builder = builder.session_length(duration);
    }
    let provider = builder.build().await;
    sdk.to_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build()
}

fn clients(config: &Config, sdk: &SdkConfig) -> Clients {
    macro_rules! client {
        ($sdk:ident, $service:literal) => {{
            // The consistency table does all repeating, so that attempts and pauses are what it says.
            let mut builder =
                $sdk::config::Builder::from(sdk).retry_config(RetryConfig::disabled());
            if let Some(url) = config.endpoint($service) {
                builder = builder.endpoint_url(url);
            }
            builder
        }};
    }
    let s3 = client!(aws_sdk_s3, "s3")
        .force_path_style(config.s3_use_path_style.unwrap_or(false))
        .build();
    Clients {
        cloudwatch: aws_sdk_cloudwatch::Client::from_conf(
            client!(aws_sdk_cloudwatch, "cloudwatch").build(),
        ),
        iam: aws_sdk_iam::Client::from_conf(client!(aws_sdk_iam, "iam").build()),
        kms: aws_sdk_kms::Client::from_conf(client!(aws_sdk_kms, "kms").build()),
        lambda: aws_sdk_lambda::Client::from_conf(client!(aws_sdk_lambda, "lambda").build()),
        logs: aws_sdk_cloudwatchlogs::Client::from_conf(
            client!(aws_sdk_cloudwatchlogs, "cloudwatchlogs").build(),
        ),
        s3: aws_sdk_s3::Client::from_conf(s3),
        sfn: aws_sdk_sfn::Client::from_conf(client!(aws_sdk_sfn, "sfn").build()),
        sns: aws_sdk_sns::Client::from_conf(client!(aws_sdk_sns, "sns").build()),
        sqs: aws_sdk_sqs::Client::from_conf(client!(aws_sdk_sqs, "sqs").build()),
        tagging: aws_sdk_resourcegroupstagging::Client::from_conf(
            client!(aws_sdk_resourcegroupstagging, "resourcegroupstaggingapi").build(),
        ),
        sts: aws_sdk_sts::Client::from_conf(
            client!(aws_sdk_sts, "sts")
                .retry_config(retries(config))
                .build(),
        ),
    }
}
