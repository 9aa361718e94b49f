//! The environment of child processes: empty, but for what no program can do without.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that say something about the machine, not about a person's AWS or Terraform.
const PASSED_ON: [&str; 7] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "RUST_BACKTRACE",
    "TF_LOG_PROVIDER",
    "TMPDIR",
];

/// Gives the command an environment of [what is passed on](self) and a home folder of its own.
pub fn isolate(command: &mut Command, home: &Path) {
    command.env_clear();
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("HOME", home);
}

/// The repository's root: this crate's parent.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The emulator's executable.
#[must_use]
pub fn ministack() -> PathBuf {
    named(
        "BELLFLOWER_MINISTACK",
        "target/tools/ministack/bin/ministack",
    )
}

/// The folder that the linters are installed below.
#[must_use]
pub fn linters() -> PathBuf {
    named("BELLFLOWER_LINTERS", "target/tools/linters")
}

/// The provider's executable.
#[must_use]
pub fn provider() -> PathBuf {
    named(
        "BELLFLOWER_PROVIDER",
        "target/debug/terraform-provider-bellflower",
    )
}

/// The business application's executable.
#[must_use]
pub fn business_application() -> PathBuf {
    named(
        "BELLFLOWER_BUSINESS_APPLICATION",
        "target/debug/business-application",
    )
}

/// The Terraform (or OpenTofu) executable.
#[must_use]
pub fn terraform() -> PathBuf {
    std::env::var_os("TERRAFORM").map_or_else(|| "terraform".into(), PathBuf::from)
}

/// The package of a Lambda function, as `cargo xtask lambdas` builds it.
#[must_use]
pub fn lambda_package(function: &str, architecture: &str) -> PathBuf {
    repository().join(format!("target/lambdas/{function}-{architecture}.zip"))
}

fn named(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable)
        .map_or_else(|| repository().join(default), |path: OsString| path.into())
}
