//! Serves the plugin.

use std::process::ExitCode;

use terraform_provider_bellflower::plugin::Bellflower;
use tfplugin::Identity;

#[tokio::main]
async fn main() -> ExitCode {
    let identity = Identity {
        name: "terraform-provider-bellflower",
        address: "registry.terraform.io/bellflower/bellflower",
        version: env!("CARGO_PKG_VERSION"),
        about: "the Terraform provider for the callback pattern on AWS Step Functions",
    };
    tfplugin::serve(Bellflower::default(), identity).await
}
