//! The function's configuration: its environment.

use aws_credential_types::Credentials;
use bellflower_contract::{
    DEFAULT_INBOUND_PREFIX, DEFAULT_OUTBOUND_PREFIX, IllegalLayout, Layout, TaskTokenPlace, env,
};

use crate::metrics::Dimensions;

/// Everything the function reads from its environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the bucket.
    pub bucket: String,
    /// Key for the objects it writes; `None` leaves that to the bucket.
    pub kms_key_arn: Option<String>,
    /// Where the objects are.
    pub layout: Layout,
    /// The queue of messages that could not be handled, if there is one.
    pub undeliverable_queue_arn: Option<String>,
    /// Whose metrics they are.
    pub dimensions: Dimensions,
    /// AWS region.
    pub region: String,
    /// The role's credentials. Lambda sets them once for the life of the process.
    pub credentials: Credentials,
    /// Endpoint of S3, where it is not AWS's own.
    pub s3_endpoint: Option<String>,
    /// Endpoint of Step Functions, where it is not AWS's own.
    pub sfn_endpoint: Option<String>,
    /// Whether the bucket is addressed by path.
    pub s3_use_path_style: bool,
}

/// The environment is not fit to start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable that is neither `true` nor `false`.
    #[error("the environment variable {0} is neither \"true\" nor \"false\"")]
    NotABoolean(&'static str),
    /// The place of task tokens is none.
    #[error("the environment variable {0} is neither \"outbound\" nor \"private\"")]
    NotAPlace(&'static str),
    /// The prefixes do not go together.
    #[error(transparent)]
    Layout(#[from] IllegalLayout),
}

impl Config {
    /// Reads the configuration from the process's environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the variable that is missing or wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the configuration through `lookup`. An empty value counts as none.
    ///
    /// Where they are set, `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL_SFN` go before `AWS_ENDPOINT_URL`, as in every AWS SDK, see
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the variable that is missing or wrong.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let required = |name: &'static str| optional(name).ok_or(ConfigError::Missing(name));

        let prefix = |name, default: &str| optional(name).unwrap_or_else(|| default.to_owned());
        let layout = Layout::new(
            prefix(env::INBOUND_PREFIX, DEFAULT_INBOUND_PREFIX),
            prefix(env::OUTBOUND_PREFIX, DEFAULT_OUTBOUND_PREFIX),
        )?
        .with_task_token(match optional(env::TASK_TOKEN) {
            None => TaskTokenPlace::default(),
            Some(name) => {
                TaskTokenPlace::parse(&name).ok_or(ConfigError::NotAPlace(env::TASK_TOKEN))?
            }
        })?;
        let endpoint = |name| optional(name).or_else(|| optional("AWS_ENDPOINT_URL"));
        let s3_endpoint = endpoint("AWS_ENDPOINT_URL_S3");
        let s3_use_path_style = match optional(env::S3_USE_PATH_STYLE).as_deref() {
            Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(ConfigError::NotABoolean(env::S3_USE_PATH_STYLE)),
            None => s3_endpoint.is_some(),
        };
        Ok(Self {
            bucket: required(env::BUCKET)?,
            kms_key_arn: optional(env::KMS_KEY_ARN),
            layout,
            undeliverable_queue_arn: optional(env::UNDELIVERABLE_QUEUE_ARN),
            dimensions: Dimensions {
                pipeline: optional(env::PIPELINE),
                environment: optional(env::ENVIRONMENT),
            },
            region: optional("AWS_REGION")
                .map_or_else(|| required("AWS_DEFAULT_REGION"), Ok)
                .map_err(|_| ConfigError::Missing("AWS_REGION"))?,
            credentials: Credentials::new(
                required("AWS_ACCESS_KEY_ID")?,
                required("AWS_SECRET_ACCESS_KEY")?,
                optional("AWS_SESSION_TOKEN"),
                None,
                "Environment",
            ),
            s3_endpoint,
            sfn_endpoint: endpoint("AWS_ENDPOINT_URL_SFN"),
            s3_use_path_style,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &[(&str, &str)] = &[
        ("BELLFLOWER_BUCKET", "b"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "wJalr"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_lookup(|name| {
            changes
                .iter()
                .chain(LEAST)
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_bucket_is_all_that_has_to_be_set() {
        let config = read(&[]).unwrap();
        assert_eq!(config.bucket, "b");
        assert_eq!(config.layout, Layout::default());
        assert_eq!(config.kms_key_arn, None);
        assert_eq!(config.s3_endpoint, None);
        assert!(!config.s3_use_path_style);
    }

    #[test]
    fn what_is_missing_is_named() {
        for name in [
            "BELLFLOWER_BUCKET",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert_eq!(read(&[(name, "")]).unwrap_err(), ConfigError::Missing(name));
        }
    }

    #[test]
    fn endpoints_bring_path_style_with_them() {
        let config = read(&[("AWS_ENDPOINT_URL", "https://127.0.0.1:4566")]).unwrap();
        assert_eq!(
            config.s3_endpoint.as_deref(),
            Some("https://127.0.0.1:4566")
        );
        assert_eq!(
            config.sfn_endpoint.as_deref(),
            Some("https://127.0.0.1:4566")
        );
        assert!(config.s3_use_path_style);

        let config = read(&[
            ("AWS_ENDPOINT_URL", "https://all"),
            ("AWS_ENDPOINT_URL_SFN", "https://sfn"),
            ("BELLFLOWER_S3_USE_PATH_STYLE", "false"),
        ])
        .unwrap();
        assert_eq!(config.s3_endpoint.as_deref(), Some("https://all"));
        assert_eq!(config.sfn_endpoint.as_deref(), Some("https://sfn"));
        assert!(!config.s3_use_path_style);

        assert!(
            read(&[("BELLFLOWER_S3_USE_PATH_STYLE", "true")])
                .unwrap()
                .s3_use_path_style
        );
        assert_eq!(
            read(&[("BELLFLOWER_S3_USE_PATH_STYLE", "yes")]).unwrap_err(),
            ConfigError::NotABoolean("BELLFLOWER_S3_USE_PATH_STYLE")
        );
    }

    #[test]
    fn prefixes_are_checked() {
        let config = read(&[
            ("BELLFLOWER_INBOUND_PREFIX", "from/app/"),
            ("BELLFLOWER_OUTBOUND_PREFIX", "to/app/"),
        ])
        .unwrap();
        assert_eq!(config.layout.inbound_prefix(), "from/app/");
        assert_eq!(config.layout.outbound_prefix(), "to/app/");
        assert!(matches!(
            read(&[("BELLFLOWER_INBOUND_PREFIX", "outbound/in/")]),
            Err(ConfigError::Layout(_))
        ));
    }

    #[test]
    fn the_token_may_be_private() {
        let config = read(&[("BELLFLOWER_TASK_TOKEN", "private")]).unwrap();
        assert_eq!(config.layout.task_token_prefix(), "private/");
        let config = read(&[("BELLFLOWER_TASK_TOKEN", "outbound")]).unwrap();
        assert_eq!(config.layout, Layout::default());
        assert_eq!(
            read(&[("BELLFLOWER_TASK_TOKEN", "inbound")]).unwrap_err(),
            ConfigError::NotAPlace("BELLFLOWER_TASK_TOKEN")
        );
        assert!(matches!(
            read(&[
                ("BELLFLOWER_TASK_TOKEN", "private"),
                ("BELLFLOWER_INBOUND_PREFIX", "private/in/")
            ]),
            Err(ConfigError::Layout(IllegalLayout::Private(_)))
        ));
    }

    #[test]
    fn the_region_may_have_its_other_name() {
        let config = read(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-3")]).unwrap();
        assert_eq!(config.region, "eu-west-3");
    }

    #[test]
    fn debug_hides_the_secret_key() {
        assert!(!format!("{:?}", read(&[]).unwrap()).contains("wJalr"));
    }
}
