//! Runs a provider as a plugin.

use std::process::ExitCode;

use crate::provider::Provider;

/// Which provider this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the program, `terraform-provider-NAME`.
    pub name: &'static str,
    /// The address in the registry, `registry.terraform.io/NAMESPACE/NAME`.
    pub address: &'static str,
    /// The version.
    pub version: &'static str,
    /// One sentence on what it is for.
    pub about: &'static str,
}

/// Serves a provider to Terraform until Terraform is done with it.
pub async fn serve(provider: impl Provider, identity: Identity) -> ExitCode {
    let _ = (provider, identity);
    ExitCode::FAILURE
}
