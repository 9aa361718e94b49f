//! Where credentials come from. What somebody names is meant: it is used or it is an error, and never passed over for what else
//! a machine has.

use std::error::Error;
use std::iter::successors;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::{Profile, ProfileFileCredentialsProvider, ProfileSet, load};
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_types::os_shim_internal::{Env, Fs};

use super::Config;
use super::clients::{PATIENCE, SetupError};
use crate::engine::Failure;
use crate::parts::{causes, failure, innermost};

/// The variables that name a profile.
const PROFILE: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];

/// The variables that name a region.
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The variables of a pair of keys.
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// The settings by which a profile has credentials, as in <https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>.
/// A profile without any may still name a region, say, for what the machine's own role may do.
const HAS_CREDENTIALS: [&str; 9] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "credential_process",
    "login_session",
    "role_arn",
    "sso_account_id",
    "sso_role_name",
    "sso_start_url",
    "web_identity_token_file",
];

/// The variables of a web identity: whom it may be, and the file that proves it.
const WEB_IDENTITY: [&str; 2] = ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"];

/// How somebody signs in whose profile has this setting.
const SIGN_IN: [(&str, &str); 3] = [
    ("sso_session", "aws sso login"),
    ("sso_start_url", "aws sso login"),
    ("login_session", "aws login"),
];

/// The text of a variable of the environment; an empty one is none, as in every AWS tool.
pub(super) fn variable(name: &str) -> Option<String> {
    let text = std::env::var(name).ok();
    text.filter(|text| !text.trim().is_empty())
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Block,
    Environment,
    Profile,
    WebIdentity,
    /// The container's, or else the instance's.
    Machine,
}

/// What the environment and the shared configuration files say.
#[derive(Debug)]
pub(super) struct Sources {
    profiles: ProfileSet,
    source: Source,
}

impl Sources {
    /// Reads what there is, and asks nobody.
    ///
    /// # Errors
    /// A profile that is named and not there, a file that cannot be read, the half of what belongs together.
    pub(super) async fn read(config: &Config) -> Result<Self, SetupError> {
        let in_block = config.profile.clone().map(|name| ("`profile`", name));
        let of_environment = || PROFILE.iter().find_map(|by| Some((*by, variable(by)?)));
        let named = in_block.or_else(of_environment);
        let selected = named.as_ref().map_or("default", |(_, name)| name);
        let selected = Some(selected.to_owned().into());
        let files = EnvConfigFiles::default();
        let profiles = load(&Fs::real(), &Env::real(), &files, selected).await;
        let profiles = profiles.map_err(|error| SetupError::SharedFiles(innermost(&error)))?;
        let source = source(config, &profiles, named)?;
        Ok(Self { profiles, source })
    }

    /// The profile in use.
    pub(super) fn profile(&self) -> &str {
        self.profiles.selected_profile()
    }

    /// The region that the provider block, the environment or the profile names.
    pub(super) fn region(&self, config: &Config) -> Option<String> {
        let in_block = config.region.clone();
        in_block
            .or_else(|| REGION.iter().find_map(|name| variable(name)))
            .or_else(|| self.profiles.get("region").map(str::to_owned))
    }

    /// What gives the credentials. A container and an instance are asked `directly`, by way of no proxy.
    pub(super) fn provider(
        &self,
        config: &Config,
        basis: &ProviderConfig,
        directly: SharedHttpClient,
    ) -> SharedCredentialsProvider {
        let directly = basis.clone().with_http_client(directly);
        let container = || {
            EcsCredentialsProvider::builder()
                .configure(&directly)
                .build()
        };
        let instance = || {
            ImdsCredentialsProvider::builder()
                .configure(&directly)
                .build()
        };
        match self.source {
            Source::Block => {
                let [key, secret] = [&config.access_key, &config.secret_key]
                    .map(|text| text.clone().unwrap_or_default());
                let token = config.token.clone();
                let keys = Credentials::new(key, secret, token, None, "provider block");
                SharedCredentialsProvider::new(keys)
            }
            Source::Environment => {
                SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new())
            }
            Source::Profile => SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(basis)
                    .profile_name(self.profile())
                    .with_custom_provider("EcsContainer", container())
                    .with_custom_provider("Ec2InstanceMetadata", instance())
                    .build(),
            ),
            Source::WebIdentity => {
                let provider = WebIdentityTokenCredentialsProvider::builder().configure(basis);
                SharedCredentialsProvider::new(provider.build())
            }
            Source::Machine => SharedCredentialsProvider::new(
                CredentialsProviderChain::first_try("EcsContainer", container())
                    .or_else("Ec2InstanceMetadata", instance()),
            ),
        }
    }

    /// The profile, and those that its roles come from. A row that bites its tail is the SDK's to tell.
    fn row(&self) -> impl Iterator<Item = &Profile> {
        let source = |profile: &&Profile| self.profiles.get_profile(profile.get("source_profile")?);
        successors(self.profiles.get_profile(self.profile()), source).take(10)
    }

    /// What the first question of all failed of: there are no credentials, a role may not be assumed, or no answer comes.
    pub(super) fn explain(
        &self,
        config: &Config,
        failed: Failure,
        error: &(dyn Error + 'static),
    ) -> Failure {
        tracing::debug!(%failed, "no answer to the first question");
        if let Some(refusal) = self.refusal(config, error) {
            return refusal;
        }
        let loading = causes(error).filter_map(<dyn Error>::downcast_ref::<CredentialsError>);
        let Some(last) = loading.last() else {
            return if failed.says("identity resolver timed out") {
                let message = format!("no credentials came within {} s", PATIENCE.as_secs());
                Failure { message, ..failed }.advise(self.advice(""))
            } else {
                unanswered(config, failed)
            };
        };
        // Neither a container nor an instance: that nobody answers says that there are no such credentials.
        let none = matches!(last, CredentialsError::CredentialsNotLoaded(_));
        let none = none && self.source == Source::Machine;
        let message = match last.source() {
            _ if none => "there are none, or they cannot be used".to_owned(),
            Some(cause) => innermost(cause),
            None => last.to_string(),
        };
        let advice = self.advice(&message);
        let failed = Failure { message, ..failed };
        if !none && causes(last).any(<dyn Error>::is::<ConnectorError>) {
            unanswered(config, failed)
        } else {
            failed.advise(advice)
        }
    }

    /// That a role may not be assumed is another thing than that there are no credentials.
    fn refusal(&self, config: &Config, error: &(dyn Error + 'static)) -> Option<Failure> {
        let refused = causes(error).find_map(|cause| {
            answered::<AssumeRoleError>("sts:AssumeRole", cause).or_else(|| {
                answered::<AssumeRoleWithWebIdentityError>("sts:AssumeRoleWithWebIdentity", cause)
            })
        })?;
        let refused = Failure {
            object: self.role(config, error),
            ..refused
        };
        if !refused.is(&["AccessDenied", "AccessDeniedException"]) {
            return Some(refused);
        }
        let asks_for_a_code = self
            .row()
            .any(|profile| profile.get("mfa_serial").is_some());
        Some(refused.advise(if asks_for_a_code {
            "The profile has mfa_serial, and nobody is asked for a code here: give the credentials of a session that was opened with one \
             (aws sts get-session-token), or a credential_process that opens it."
        } else if self.source == Source::WebIdentity {
            "The role's trust policy and what the token says of itself decide."
        } else {
            "The credentials that were found may not assume this role: its trust policy and its external id decide, and what these credentials \
             are allowed."
        }))
    }

    /// The role that could not be assumed.
    fn role(&self, config: &Config, error: &(dyn Error + 'static)) -> String {
        let of_block = config.assume_role.as_ref();
        let of_block = of_block.and_then(|role| role.role_arn.clone());
        // What the block's role is asked for with has an error of its own within that one's.
        let within = causes(error).filter(|cause| cause.is::<CredentialsError>());
        match of_block {
            Some(arn) if within.count() < 2 => arn,
            _ if self.source == Source::WebIdentity => {
                variable(WEB_IDENTITY[0]).unwrap_or_default()
            }
            _ => format!("the role of profile \"{}\"", self.profile()),
        }
    }

    /// What a person can do about credentials that cannot be had, for this reason.
    fn advice(&self, reason: &str) -> String {
        let profile = self.profile();
        match self.source {
            Source::Profile => {
                let sign_in = self.row().find_map(|profile| {
                    let mut ways = SIGN_IN.iter();
                    let (_, command) = ways.find(|(setting, _)| profile.get(setting).is_some())?;
                    Some(format!("{command} --profile {}", profile.name()))
                });
                let needs_it = ["token", "/login/cache/", "Unauthorized"];
                match sign_in.filter(|_| needs_it.iter().any(|word| reason.contains(word))) {
                    Some(command) => {
                        format!("Profile \"{profile}\" needs somebody who signs in: {command}")
                    }
                    None => format!("The credentials asked for are those of profile \"{profile}\"."),
                }
            }
            Source::WebIdentity => {
                let [role, file] = WEB_IDENTITY.map(|name| variable(name).unwrap_or_default());
                let [by_role, by_file] = WEB_IDENTITY;
                format!(
                    "The credentials asked for are those of {role} ({by_role}), by the token in {file} ({by_file})."
                )
            }
            Source::Block | Source::Environment | Source::Machine => {
                "No usable credentials were found. Give access_key and secret_key in the provider block, AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY in the environment, or a profile that has them."
                    .to_owned()
            }
        }
    }
}

/// Who names a source means it: first what the provider block says, then the environment, then a profile that nobody named.
fn source(
    config: &Config,
    profiles: &ProfileSet,
    named: Option<(&'static str, String)>,
) -> Result<Source, SetupError> {
    if config.access_key.is_some() {
        return Ok(Source::Block);
    }
    let is_named = named.is_some();
    if let Some((given_by, name)) = named {
        is_there(profiles, given_by, name)?;
    }
    let has_credentials = HAS_CREDENTIALS
        .iter()
        .any(|name| profiles.get(name).is_some());
    if config.profile.is_none() && is_whole(KEYS)? {
        return Ok(Source::Environment);
    }
    if is_named && has_credentials {
        return Ok(Source::Profile);
    }
    let [role, token] = WEB_IDENTITY;
    if is_whole([token, role])? {
        return Ok(Source::WebIdentity);
    }
    Ok(if has_credentials {
        Source::Profile
    } else {
        Source::Machine
    })
}

/// Whether both variables are set. The second alone may be somebody else's.
fn is_whole([one, other]: [&'static str; 2]) -> Result<bool, SetupError> {
    match (variable(one), variable(other)) {
        (Some(_), Some(_)) => Ok(true),
        (Some(_), None) => Err(SetupError::Half(one, other)),
        (None, _) => Ok(false),
    }
}

/// Where no answer comes from, as far as somebody has set that.
fn unanswered(config: &Config, failed: Failure) -> Failure {
    let endpoint = config.endpoint("sts");
    let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL"));
    match (failed.status, endpoint, failed.advice.clone()) {
        (None, Some(url), Some(advice)) => {
            failed.advise(format!("The endpoint in use is {url}. {advice}"))
        }
        _ => failed,
    }
}

/// The failure that STS answered a request for a role with.
fn answered<E>(operation: &'static str, cause: &(dyn Error + 'static)) -> Option<Failure>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let error = cause.downcast_ref::<SdkError<E, HttpResponse>>()?;
    error.as_service_error()?;
    Some(failure(operation, "", error))
}

fn is_there(profiles: &ProfileSet, given_by: &'static str, name: String) -> Result<(), SetupError> {
    if name == "default" || profiles.get_profile(&name).is_some() {
        return Ok(());
    }
    let mut known: Vec<_> = profiles.profiles().collect();
    known.sort_unstable();
    let there_are = match known.as_slice() {
        _ if name.contains(' ') => {
            "AWS's SDK for Rust reads no profile whose name has a space.".to_owned()
        }
        [] => "There are none at all.".to_owned(),
        known => format!("There are: {}.", known.join(", ")),
    };
    Err(SetupError::NoProfile {
        name,
        given_by,
        there_are,
    })
}
