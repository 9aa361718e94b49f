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
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
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

/// How somebody signs in whose profile has this setting.
const SIGN_IN: [(&str, &str); 3] = [
    ("sso_session", "aws sso login"),
    ("sso_start_url", "aws sso login"),
    ("login_session", "aws login"),
];

/// The text of a variable of the environment; an empty one is none, as in every AWS tool.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.trim().is_empty())
}

/// What the environment and the shared configuration files say.
#[derive(Debug)]
pub(super) struct Sources {
    profiles: ProfileSet,
}

impl Sources {
    /// Reads what there is, and asks nobody.
    ///
    /// # Errors
    /// A profile that is named and not there, a file that cannot be read, half a pair of keys.
    pub(super) async fn read(config: &Config) -> Result<Self, SetupError> {
        let in_block = config.profile.clone().map(|name| ("`profile`", name));
        let of_environment = || PROFILE.iter().find_map(|by| Some((*by, variable(by)?)));
        let named = in_block.or_else(of_environment);
        let selected = named.as_ref().map_or("default", |(_, name)| name);
        let selected = Some(selected.to_owned().into());
        let profiles = load(
            &Fs::real(),
            &Env::real(),
            &EnvConfigFiles::default(),
            selected,
        )
        .await;
        let profiles = profiles.map_err(|error| SetupError::SharedFiles(innermost(&error)))?;
        // Keys in the block leave nothing to ask the environment for.
        if config.access_key.is_none() {
            if let Some((given_by, name)) = named {
                is_there(&profiles, given_by, name)?;
            }
            if config.profile.is_none() {
                let [key, secret] = KEYS;
                are_a_pair([key, secret])?;
                are_a_pair([secret, key])?;
            }
        }
        Ok(Self { profiles })
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

    /// Where the credentials come from.
    pub(super) fn provider(
        &self,
        config: &Config,
        basis: &ProviderConfig,
    ) -> SharedCredentialsProvider {
        if let (Some(key), Some(secret)) = (&config.access_key, &config.secret_key) {
            let token = config.token.clone();
            let keys = Credentials::new(key, secret, token, None, "provider block");
            return SharedCredentialsProvider::new(keys);
        }
        // Who names a profile in the block means it, whatever keys the environment holds.
        if config.profile.is_none() && variable(KEYS[0]).is_some() {
            let keys = EnvironmentVariableCredentialsProvider::new();
            return SharedCredentialsProvider::new(keys);
        }
        if self.profile_has(&HAS_CREDENTIALS) {
            let profile = ProfileFileCredentialsProvider::builder().configure(basis);
            return SharedCredentialsProvider::new(profile.profile_name(self.profile()).build());
        }
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(basis);
        let container = EcsCredentialsProvider::builder().configure(basis);
        let instance = ImdsCredentialsProvider::builder().configure(basis);
        SharedCredentialsProvider::new(
            CredentialsProviderChain::first_try("WebIdentityToken", web_identity.build())
                .or_else("EcsContainer", container.build())
                .or_else("Ec2InstanceMetadata", instance.build()),
        )
    }

    fn profile_has(&self, settings: &[&str]) -> bool {
        let mut settings = settings.iter();
        settings.any(|name| self.profiles.get(name).is_some())
    }

    /// The command by which somebody signs in, if the profile or one that its roles come from needs that.
    fn sign_in(&self) -> Option<String> {
        let source = |profile: &&Profile| self.profiles.get_profile(profile.get("source_profile")?);
        let row = successors(self.profiles.get_profile(self.profile()), source);
        // A row that bites its tail is the SDK's to tell.
        row.take(10).find_map(|profile| {
            let mut ways = SIGN_IN.iter();
            let (_, command) = ways.find(|(setting, _)| profile.get(setting).is_some())?;
            Some(format!("{command} --profile {}", profile.name()))
        })
    }

    /// Why there are no credentials, where that is what a failure is about.
    ///
    /// # Errors
    /// The failure as it was: it is about something else.
    pub(super) fn explain(
        &self,
        config: &Config,
        failed: Failure,
        error: &(dyn Error + 'static),
    ) -> Result<Failure, Failure> {
        tracing::debug!(%failed, "no answer to the first question");
        let mut refused = causes(error).filter_map(|cause| {
            let refused = cause.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>()?;
            refused.as_service_error().map(|_| refused)
        });
        if let Some(refused) = refused.next() {
            let failed = failure("sts:AssumeRole", &self.role(config, error), refused);
            return Ok(failed.advise(
                "The credentials that were found may not assume this role: its trust policy and its external id decide, \
                 and what these credentials are allowed.",
            ));
        }
        let loading = causes(error).filter_map(<dyn Error>::downcast_ref::<CredentialsError>);
        let Some(last) = loading.last() else {
            return if failed.says("identity resolver timed out") {
                let message = format!("no credentials came within {} s", PATIENCE.as_secs());
                Ok(Failure { message, ..failed }.advise(self.advice()))
            } else {
                Err(failed)
            };
        };
        let message = match (last, last.source()) {
            (CredentialsError::CredentialsNotLoaded(_), _) | (_, None)
                if !self.profile_has(&HAS_CREDENTIALS) =>
            {
                "there are none, or they cannot be used".to_owned()
            }
            (_, Some(cause)) => innermost(cause),
            (last, None) => last.to_string(),
        };
        Ok(Failure { message, ..failed }.advise(self.advice()))
    }

    /// The role that could not be assumed.
    fn role(&self, config: &Config, error: &(dyn Error + 'static)) -> String {
        // Around a profile's role there is the profile's own error.
        let is_profiles = causes(error)
            .filter(|cause| cause.is::<CredentialsError>())
            .count()
            > 1;
        let of_block = config
            .assume_role
            .as_ref()
            .and_then(|role| role.role_arn.clone());
        of_block
            .filter(|_| !is_profiles)
            .unwrap_or_else(|| format!("the role of profile \"{}\"", self.profile()))
    }

    /// What a person can do who has no credentials.
    fn advice(&self) -> String {
        let profile = self.profile();
        if let Some(command) = self.sign_in() {
            return format!("Profile \"{profile}\" needs somebody who signs in: {command}");
        }
        if self.profile_has(&HAS_CREDENTIALS) {
            return format!("The credentials asked for are those of profile \"{profile}\".");
        }
        "No usable credentials were found. Give access_key and secret_key in the provider block, AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY in the environment, or a profile that has them."
            .to_owned()
    }
}

fn is_there(profiles: &ProfileSet, given_by: &'static str, name: String) -> Result<(), SetupError> {
    if name == "default" || profiles.get_profile(&name).is_some() {
        return Ok(());
    }
    let mut known: Vec<_> = profiles.profiles().collect();
    known.sort_unstable();
    let there_are = if known.is_empty() {
        "There are none at all.".to_owned()
    } else {
        format!("There are: {}.", known.join(", "))
    };
    Err(SetupError::NoProfile {
        name,
        given_by,
        there_are,
    })
}

fn are_a_pair([one, other]: [&'static str; 2]) -> Result<(), SetupError> {
    if variable(one).is_some() && variable(other).is_none() {
        return Err(SetupError::HalfAKey(one, other));
    }
    Ok(())
}
