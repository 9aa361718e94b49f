//! Python: finding an interpreter and keeping pinned virtual environments.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::command::{self, Error};

const OLDEST: (u32, u32) = (3, 10);

/// An interpreter that is new enough.
fn interpreter() -> Result<PathBuf, Error> {
    let mut too_old = None;
    for name in ["python3", "python"] {
        let Ok(output) = Command::new(name)
            .args(["-c", "import sys; print(*sys.version_info[:2])"])
            .output()
        else {
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match version(&text) {
            Some(found) if output.status.success() && found >= OLDEST => return Ok(name.into()),
            Some((major, minor)) => too_old = Some(format!("{major}.{minor}")),
            None => {}
        }
    }
    let (major, minor) = OLDEST;
    Err(Error::Other(match too_old {
        Some(found) => format!(
            "the local AWS, the linters and the cross-linker are Python packages and need Python {major}.{minor} or newer, \
             but `python3` is {found}; install a newer one and put it on PATH"
        ),
        None => format!(
            "the local AWS, the linters and the cross-linker are Python packages: install Python {major}.{minor} or newer with venv \
             (Debian, Ubuntu: apt install python3 python3-venv) so that `python3` is on PATH"
        ),
    }))
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Makes the virtual environment `folder` hold exactly `requirements` (every package pinned, dependencies
/// included). Does nothing when it already does.
pub fn ensure(folder: &Path, requirements: &str) -> Result<(), Error> {
    let stamp = folder.join(".installed");
    let wanted = format!("{:x}\n", Sha256::digest(requirements));
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let python = interpreter()?;
    eprintln!(
        "installing {} ...",
        requirements
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    );
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(Error::file("removing", folder))?;
    }
    command::output(Command::new(&python).args(["-m", "venv"]).arg(folder)).map_err(|error| {
        Error::Other(format!(
            "{error}\nPython's venv module is needed (Debian, Ubuntu: apt install python3-venv)"
        ))
    })?;
    let list = folder.join("requirements.txt");
    command::write_if_changed(&list, requirements.as_bytes())?;
    // `--no-deps`: the list is the whole truth; a package that is not on it must not slip in.
    command::output(
        Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ])
            .args(["--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(&list),
    )?;
    std::fs::write(&stamp, wanted).map_err(Error::file("writing", &stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("3 11\n"), Some((3, 11)));
        assert_eq!(version(""), None);
        assert!((3, 9) < OLDEST && (3, 10) >= OLDEST && (4, 0) >= OLDEST);
    }
}
