//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The repository's root: this crate's parent.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root().join(path),
        None => root().join("target"),
    }
}

/// Pinned tools, one virtual environment each. Always here, wherever cargo builds: installing is slow.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// The Lambda packages the provider embeds.
pub fn lambdas() -> PathBuf {
    root().join("target/lambdas")
}

/// The folder `cargo xtask package` fills.
pub fn package() -> PathBuf {
    root().join("target/package")
}

/// The provider's file name, as Terraform looks for it.
pub const PROVIDER: &str = "terraform-provider-bellflower";
