//! AWS SDK clients that look at the emulator.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// One client for each service the pipeline uses.
///
/// They take nothing from the environment or from shared files.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Amazon CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// Amazon CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// AWS Identity and Access Management.
    pub iam: aws_sdk_iam::Client,
    /// AWS Key Management Service.
    pub kms: aws_sdk_kms::Client,
    /// AWS Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// Amazon S3.
    pub s3: aws_sdk_s3::Client,
    /// AWS Step Functions.
    pub sfn: aws_sdk_sfn::Client,
    /// Amazon SNS.
    pub sns: aws_sdk_sns::Client,
    /// Amazon SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// AWS Security Token Service.
    pub sts: aws_sdk_sts::Client,
    /// What all of them were made from, for a client that is not here.
    pub config: SdkConfig,
}

/// Shorter than the emulator's own: a connection that it has dropped is not used again.
const IDLE: Duration = Duration::from_secs(20);

/// Longer than any call of the emulator takes: a synchronous invocation's time among them.
const ATTEMPT: Duration = Duration::from_secs(15);

impl Aws {
    /// Clients for `endpoint`, which trust the authority (PEM) and nothing else.
    ///
    /// # Panics
    /// When the authority is not PEM.
    #[must_use]
    pub fn new(
        endpoint: &str,
        authority: &str,
        access_key: &str,
        secret_key: &str,
        region: &str,
    ) -> Self {
        let trust = TrustStore::empty().with_pem_certificate(authority);
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(
                TlsContext::builder()
                    .with_trust_store(trust)
                    .build()
                    .expect("the authority is valid PEM"),
            )
            .pool_idle_timeout(IDLE)
            .build_https();
        let credentials = Credentials::new(access_key, secret_key, None, None, "bellflower-tests");
        let config = SdkConfig::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::standard())
            .sleep_impl(TokioSleep::new())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT)
                    .build(),
            )
            // A loaded machine answers nothing for a second, which each attempt's limit bounds.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(http)
            .build();
        Self::from(config)
    }

    /// The same clients, which try nothing again.
    #[must_use]
    pub fn once(&self) -> Self {
        let config = self.config.to_builder();
        Self::from(config.retry_config(RetryConfig::disabled()).build())
    }
}

impl From<SdkConfig> for Aws {
    fn from(config: SdkConfig) -> Self {
        Self {
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            kms: aws_sdk_kms::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            config,
        }
    }
}
