//! The Lambda packages: built for Amazon Linux 2023 whatever the build machine is, zipped reproducibly.

use std::path::{Path, PathBuf};

use crate::command::{self, Error};
use crate::{archive, elf, layout, tools};

/// Amazon Linux 2023, on which `provided.al2023` runs, has this glibc.
const GLIBC: (u32, u32) = (2, 34);

/// AWS's name of an architecture, and rustc's name of the target.
pub const ARCHITECTURES: [(&str, &str); 2] = [
    ("x86_64", "x86_64-unknown-linux-gnu"),
    ("arm64", "aarch64-unknown-linux-gnu"),
];

/// The functions, with the size in bytes that their package stays under.
pub const FUNCTIONS: [(&str, u64); 2] = [("processing", 600_000), ("integration", 3_000_000)];

/// The package of a function.
pub fn zip_path(function: &str, architecture: &str) -> PathBuf {
    layout::lambdas().join(format!("{function}-{architecture}.zip"))
}

/// The stripped executable inside the package, as cargo left it.
pub fn executable_path(function: &str, target: &str) -> PathBuf {
    layout::target()
        .join(target)
        .join("lambda")
        .join(format!("bellflower-{function}"))
}

/// Builds every package for every architecture that the toolchain has.
pub fn build() -> Result<(), Error> {
    let zig = tools::zig()?;
    for (architecture, target) in ARCHITECTURES {
        if !toolchain_has(target)? {
            eprintln!(
                "no packages for {architecture}: the Rust toolchain has no standard library for {target} \
                 (rustup target add {target})"
            );
            for (function, _) in FUNCTIONS {
                // A package of an earlier toolchain must not be embedded as if it were of this source.
                let stale = zip_path(function, architecture);
                if stale.exists() {
                    std::fs::remove_file(&stale).map_err(Error::file("removing", &stale))?;
                }
            }
            continue;
        }
        for (function, _) in FUNCTIONS {
            compile(&zig, function, target)?;
            pack(function, architecture, target)?;
        }
    }
    Ok(())
}

fn toolchain_has(target: &str) -> Result<bool, Error> {
    let folder = command::rustc_prints(&["target-libdir", "--target", target])?;
    Ok(Path::new(&folder).is_dir())
}

/// Each function is built alone: together, cargo would give each the other's features and make it larger.
fn compile(zig: &Path, function: &str, target: &str) -> Result<(), Error> {
    let (major, minor) = GLIBC;
    let mut path = vec![zig.to_owned()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let path = std::env::join_paths(path)
        .map_err(|error| Error::Other(format!("PATH cannot be extended: {error}")))?;
    let caches = layout::tools().join("zig-cache");
    command::run(
        command::cargo()
            .args(["zigbuild", "--profile", "lambda", "--package"])
            .arg(format!("bellflower-{function}"))
            .args(["--target", &format!("{target}.{major}.{minor}")])
            .env("PATH", path)
            .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths())
            .env("CARGO_ZIGBUILD_CACHE_DIR", &caches)
            .env("ZIG_GLOBAL_CACHE_DIR", &caches),
    )
}

/// rustc flags that keep this machine's folders out of panic messages, so that the same source gives the same
/// bytes in every checkout.
fn remapped_paths() -> String {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        PathBuf::from,
    );
    let registries = home.join("registry/src");
    let mut flags = vec![
        remap(&layout::root(), "/bellflower"),
        remap(&home, "/cargo"),
    ];
    // The folder below is named after the registry's address, which may be a mirror.
    for folder in std::fs::read_dir(&registries)
        .into_iter()
        .flatten()
        .flatten()
    {
        flags.push(remap(&folder.path(), "/cargo/registry"));
    }
    // rustc takes the last flag that fits: the sort makes the order independent of the file system's.
    flags.sort();
    flags.join("\u{1f}")
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

/// Holds the packages that there are against the size they stay under. Another compiler may miss it, and still makes good packages.
pub fn check_sizes() -> Result<(), Error> {
    for (architecture, _) in ARCHITECTURES {
        for (function, limit) in FUNCTIONS {
            let path = zip_path(function, architecture);
            let size = std::fs::metadata(&path).map_or(0, |found| found.len());
            if size > limit {
                let path = path.display();
                let told = format!("{path} has {size} bytes, of which it may have {limit}");
                return Err(Error::Other(told));
            }
        }
    }
    Ok(())
}

fn pack(function: &str, architecture: &str, target: &str) -> Result<(), Error> {
    let executable = executable_path(function, target);
    let bytes = command::read(&executable)?;
    let newest = elf::newest_glibc(&bytes).map_err(|error| {
        Error::Other(format!(
            "{} is not a Linux executable: {error}",
            executable.display()
        ))
    })?;
    if newest > Some(GLIBC) {
        let (major, minor) = newest.unwrap_or_default();
        return Err(Error::Other(format!(
            "{} asks for glibc {major}.{minor}, but Amazon Linux 2023 has {}.{}: it would not start on AWS",
            executable.display(),
            GLIBC.0,
            GLIBC.1
        )));
    }
    let zip = archive::executable("bootstrap", &bytes)
        .map_err(|error| Error::Other(format!("zipping {}: {error}", executable.display())))?;
    let path = zip_path(function, architecture);
    let written = command::write_if_changed(&path, &zip)?;
    let size = zip.len() as u64;
    println!(
        "{} {size} bytes{}",
        path.strip_prefix(layout::root()).unwrap_or(&path).display(),
        if written { "" } else { " (unchanged)" }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_of_this_machine_is_left() {
        let flags = remapped_paths();
        assert!(
            flags.contains(&format!("={}=/bellflower", layout::root().display())),
            "{flags}"
        );
        assert!(flags.contains("=/cargo"), "{flags}");
    }
}
