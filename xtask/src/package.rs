//! The release, laid out as registries and filesystem mirrors want it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::command::{self, Error};
use crate::{archive, lambdas, layout};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Terraform's name of the platform this machine builds for.
fn platform() -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}_{architecture}")
}

const HOSTS: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// Builds the provider as users get it; the Lambda packages must be there. Its path.
pub fn release() -> Result<PathBuf, Error> {
    command::run(command::cargo().args(["build", "--release", "--package", layout::PROVIDER]))?;
    Ok(layout::target().join("release").join(layout::PROVIDER))
}

/// Where the executable belongs in a filesystem mirror of the unpacked layout.
pub fn unpacked_places(mirror: &Path) -> [PathBuf; 2] {
    let executable = format!("{}/{}_v{VERSION}", platform(), layout::PROVIDER);
    HOSTS.map(|host| {
        mirror
            .join(host)
            .join("bellflower/bellflower")
            .join(VERSION)
            .join(&executable)
    })
}

/// Builds the release and fills `target/package`.
pub fn run() -> Result<(), Error> {
    lambdas::build()?;
    let provider = command::read(&release()?)?;

    let folder = layout::package();
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(Error::file("removing", &folder))?;
    }
    let zip_name = format!("{}_{VERSION}_{}.zip", layout::PROVIDER, platform());
    let zip = archive::executable(&format!("{}_v{VERSION}", layout::PROVIDER), &provider)
        .map_err(|error| Error::Other(format!("zipping the provider: {error}")))?;
    let manifest =
        "{\n  \"version\": 1,\n  \"metadata\": { \"protocol_versions\": [\"6.0\"] }\n}\n";
    let manifest_name = format!("{}_{VERSION}_manifest.json", layout::PROVIDER);

    let mut sums = String::new();
    for (name, bytes) in [
        (&manifest_name, manifest.as_bytes()),
        (&zip_name, zip.as_slice()),
    ] {
        command::write_if_changed(&folder.join(name), bytes)?;
        let _ = writeln!(sums, "{:x}  {name}", Sha256::digest(bytes));
    }
    command::write_if_changed(
        &folder.join(format!("{}_{VERSION}_SHA256SUMS", layout::PROVIDER)),
        sums.as_bytes(),
    )?;
    // The packed layout of a filesystem mirror is the same zip under host, namespace and type.
    let mirror = folder.join("mirror");
    for host in HOSTS {
        command::write_if_changed(
            &mirror
                .join(host)
                .join("bellflower/bellflower")
                .join(&zip_name),
            &zip,
        )?;
    }
    println!("target/package/{zip_name} {} bytes", zip.len());
    println!("for a filesystem_mirror block: {}", mirror.display());
    Ok(())
}
