//! The provider for development, and the chores that start something with it.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::command::{self, Error};
use crate::{lambdas, layout, tools};

/// Builds the Lambda packages, then everything else for development; the provider's path.
pub fn build() -> Result<PathBuf, Error> {
    lambdas::build()?;
    // The whole workspace at once, as the tests are: other selections have other features of shared dependencies,
    // and the AWS SDKs would be compiled again for each.
    command::run(command::cargo().args(["build", "--workspace"]))?;
    Ok(layout::target().join("debug").join(layout::PROVIDER))
}

/// Builds what is needed and runs the demo, which says the rest.
pub fn demo(arguments: &[String]) -> Result<ExitCode, Error> {
    with_tools("demo", arguments)
}

/// Builds what is needed and interrupts runs of Terraform.
pub fn chaos(arguments: &[String]) -> Result<ExitCode, Error> {
    with_tools("chaos", arguments)
}

/// Starts a program of the workspace that needs the local AWS, Terraform and the provider.
fn with_tools(program: &str, arguments: &[String]) -> Result<ExitCode, Error> {
    let ministack = tools::ministack()?;
    let terraform = tools::terraform()?;
    let executable = layout::target().join("debug").join(program);
    if executable.exists() {
        println!("building what has changed");
    } else {
        println!("building: the first time takes some 15 minutes on two cores");
    }
    let provider = build()?;
    let status = command::command(executable)
        .args(arguments)
        .env("BELLFLOWER_MINISTACK", ministack)
        .env("BELLFLOWER_PROVIDER", provider)
        .env("TERRAFORM", terraform)
        .status()
        .map_err(|error| Error::Other(format!("`{program}` could not be started: {error}")))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
