//! From the provider block to AWS clients.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as Tls, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::retry::RetryConfig;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::credentials::{Sources, variable};
use super::{Config, is_url};
use crate::documents::{Place, names};
use crate::engine::Failure;
use crate::parts::{ATTEMPT, Aws, Batches, Clients, failure};

/// How often a question about credentials is asked again by the SDK itself.
const DEFAULT_RETRIES: u32 = 4;

/// How long credentials may take: a program that a profile names may ask somebody's browser.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

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
    /// A profile that is not there.
    #[error(
        "There is no profile \"{name}\", which {given_by} names. {there_are} In ~/.aws/config (or the file of AWS_CONFIG_FILE) its section is [profile {name}], in ~/.aws/credentials (or the file of AWS_SHARED_CREDENTIALS_FILE) it is [{name}]."
    )]
    NoProfile {
        /// The name.
        name: String,
        /// Who gave it.
        given_by: &'static str,
        /// A sentence on those that there are.
        there_are: String,
    },
    /// A shared configuration file that cannot be read.
    #[error("The shared configuration files cannot be read: {0}.")]
    SharedFiles(String),
    /// One half of what belongs together.
    #[error(
        "{0} is set without {1}: set both, or neither and let a profile or the provider block say."
    )]
    Half(&'static str, &'static str),
    /// A proxy that is none.
    #[error(
        "{0} does not name a proxy that can be used: a URL that begins with http:// or https://, or a host and port."
    )]
    NotAProxy(&'static str),
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
    sources: Sources,
    batches: Arc<Batches>,
    region: String,
    place: OnceCell<Place>,
}

impl Session {
    /// Makes the clients. Asks nobody but the environment and, for credentials, what the environment names.
    ///
    /// # Errors
    /// No region, a profile that is not there, or a file that cannot be read.
    pub async fn open(config: Config) -> Result<Self, SetupError> {
        let tls = tls_context(&config)?;
        let http = http_client(tls.clone(), proxy()?);
        let directly = http_client(tls, ProxyConfig::disabled());
        let sources = Sources::read(&config).await?;
        let sdk = sdk_config(&config, &sources, http, directly).await;
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
            sources,
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
            in_brief: false,
            ignored_tags: Arc::new(self.config.ignore_tags.clone().unwrap_or_default()),
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
            let answer = self.clients.sts.get_caller_identity().send().await;
            let answer = answer.map_err(|error| {
                let object = format!("the provider's credentials in {}", self.region);
                let failed = failure("sts:GetCallerIdentity", &object, &error);
                self.sources.explain(&self.config, failed, &error)
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

/// HTTP over rustls.
fn http_client(tls: TlsContext, proxy: ProxyConfig) -> SharedHttpClient {
    let connector = move |settings: Option<&_>, components: Option<&_>| {
        let mut builder = Connector::builder()
            .proxy_config(proxy.clone())
            .tls_provider(Tls::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build()
    };
    HttpBuilder::new().build_with_connector_fn(connector)
}

/// The proxy of the environment, for all hosts but those of `NO_PROXY` and this machine.
fn proxy() -> Result<ProxyConfig, SetupError> {
    let first = |names: [&'static str; 2]| {
        names
            .into_iter()
            .find_map(|name| Some((name, variable(name)?)))
    };
    let Some((name, url)) = first(["HTTPS_PROXY", "https_proxy"]) else {
        return Ok(ProxyConfig::disabled());
    };
    let url = if url.contains("://") {
        url
    } else {
        format!("http://{url}")
    };
    let spared = first(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, hosts)| hosts);
    let proxy = ProxyConfig::https(url).map_err(|_| SetupError::NotAProxy(name))?;
    Ok(proxy.no_proxy(spared_hosts(&spared)))
}

/// What `NO_PROXY` names, without the ports and wildcards that other programs know, and what no proxy leads to.
fn spared_hosts(no_proxy: &str) -> String {
    let entries = no_proxy.split(',').map(str::trim);
    let hosts = entries.map(|entry| match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
        _ => entry,
    });
    let hosts = hosts.map(|host| host.strip_prefix("*.").unwrap_or(host));
    let here = ["localhost", "127.0.0.0/8", "::1"];
    hosts.chain(here).collect::<Vec<_>>().join(",")
}

fn tls_context(config: &Config) -> Result<TlsContext, SetupError> {
    let bundle = config.custom_ca_bundle.clone();
    let Some(path) = bundle
        .or_else(|| variable("AWS_CA_BUNDLE"))
        .map(PathBuf::from)
    else {
        return Ok(TlsContext::default());
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
    TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| complain(error.to_string()))
}

/// For what is asked before there are parts: whose credentials these are, and where they come from.
fn retries(config: &Config) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(config.max_retries.unwrap_or(DEFAULT_RETRIES) + 1)
}

async fn sdk_config(
    config: &Config,
    sources: &Sources,
    http: SharedHttpClient,
    directly: SharedHttpClient,
) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .timeout_config(timeouts.clone())
        .retry_config(retries(config))
        .identity_cache(IdentityCache::lazy().load_timeout(PATIENCE).build())
        .profile_name(sources.profile())
        .no_credentials()
        .app_name(app_name());
    if let Some(region) = sources.region(config) {
        loader = loader.region(Region::new(region));
    }
    let sdk = loader.load().await;
    let basis = ProviderConfig::without_region()
        .with_region(sdk.region().cloned())
        .with_http_client(http)
        .with_timeout_config(timeouts)
        .with_retry_config(retries(config))
        .with_use_fips(sdk.use_fips())
        .with_use_dual_stack(sdk.use_dual_stack());
    sdk.to_builder()
        .credentials_provider(sources.provider(config, &basis, directly))
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

#[cfg(test)]
mod tests {
    use super::spared_hosts;

    #[test]
    fn hosts_are_spared_as_other_programs_write_them() {
        let here = "localhost,127.0.0.0/8,::1";
        for (written, spared) in [
            ("", ","),
            ("example.com", "example.com,"),
            (
                "a.example:8443, *.b.example,.c.example",
                "a.example,b.example,.c.example,",
            ),
            ("10.0.0.0/8,fd00::1,*", "10.0.0.0/8,fd00::1,*,"),
        ] {
            assert_eq!(
                spared_hosts(written),
                format!("{spared}{here}"),
                "{written}"
            );
        }
    }
}
