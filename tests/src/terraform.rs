//! Terraform in a working directory of its own, with the built provider in a filesystem mirror.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Error, environment};

/// The hosts under which Terraform and OpenTofu look for `bellflower/bellflower`.
const REGISTRIES: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// `terraform apply` that asks nobody.
pub const APPLY: [&str; 3] = ["apply", "-auto-approve", "-no-color"];

/// `terraform destroy` that asks nobody.
pub const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-no-color"];

/// Writes what a refresh finds to the state, and nothing else.
pub const REFRESH: [&str; 4] = ["apply", "-refresh-only", "-auto-approve", "-no-color"];

/// What a command wrote, and how it ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code, -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Whether the exit code is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Output and errors in one text, the margin lines of Terraform's error boxes taken off and line breaks
    /// made spaces, so that a sentence can be looked for wherever Terraform has wrapped it.
    #[must_use]
    pub fn flat(&self) -> String {
        let text = format!("{}\n{}", self.stdout, self.stderr);
        text.split(|c: char| c.is_whitespace() || matches!(c, '│' | '╷' | '╵'))
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What `terraform plan` found.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Nothing to do.
    NoChanges,
    /// Something to do; the text is the plan as a person sees it.
    Changes(String),
}

/// One working directory: a configuration, its state, and the environment Terraform runs in.
#[derive(Debug)]
pub struct Terraform {
    executable: PathBuf,
    /// Terraform's working directory.
    directory: PathBuf,
    /// The folder all of this is in.
    folder: PathBuf,
    variables: Vec<(String, String)>,
    /// Kept only for its end.
    _temporary: Option<TempDir>,
}

impl Terraform {
    /// A working directory with `main.tf` of this text, initialised.
    ///
    /// # Errors
    /// When it cannot be made, or `terraform init` fails.
    pub fn configuration(text: &str, variables: &[(String, String)]) -> Result<Self, Error> {
        let terraform = Self::temporary("configuration", variables)?;
        terraform.rewrite(text)?;
        terraform.init()?;
        Ok(terraform)
    }

    /// As [`Terraform::configuration`], with the providers of another filesystem mirror.
    ///
    /// # Errors
    /// When it cannot be made, or `terraform init` fails.
    pub fn from_mirror(
        mirror: &Path,
        text: &str,
        variables: &[(String, String)],
    ) -> Result<Self, Error> {
        let terraform = Self::temporary("configuration", variables)?;
        name_mirror(&terraform.folder, mirror)?;
        terraform.rewrite(text)?;
        terraform.init()?;
        Ok(terraform)
    }

    /// A copy of `examples/<name>` (and of everything it may refer to), initialised.
    ///
    /// # Errors
    /// When it cannot be made, or `terraform init` fails.
    pub fn example(name: &str, variables: &[(String, String)]) -> Result<Self, Error> {
        let terraform = Self::temporary(&format!("examples/{name}"), variables)?;
        terraform.copy_examples()?;
        terraform.init()?;
        Ok(terraform)
    }

    /// As [`Terraform::example`], in a folder that stays, and not initialised.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn example_in(
        folder: &Path,
        name: &str,
        variables: &[(String, String)],
    ) -> Result<Self, Error> {
        let terraform = Self::new(
            folder.to_owned(),
            &format!("examples/{name}"),
            variables,
            None,
        )?;
        terraform.copy_examples()?;
        Ok(terraform)
    }

    fn temporary(directory: &str, variables: &[(String, String)]) -> Result<Self, Error> {
        let temporary = TempDir::with_prefix("bellflower-terraform-")
            .map_err(Error::file("creating", &std::env::temp_dir()))?;
        let folder = temporary.path().to_owned();
        Self::new(folder, directory, variables, Some(temporary))
    }

    fn new(
        folder: PathBuf,
        directory: &str,
        variables: &[(String, String)],
        temporary: Option<TempDir>,
    ) -> Result<Self, Error> {
        let directory = folder.join(directory);
        create(&directory)?;
        mirror(&folder, temporary.is_none())?;
        Ok(Self {
            executable: environment::terraform(),
            directory,
            folder,
            variables: variables.to_vec(),
            _temporary: temporary,
        })
    }

    /// The examples and the module in the places they have in the repository, since they name each other by
    /// relative path.
    fn copy_examples(&self) -> Result<(), Error> {
        for part in ["examples", "terraform"] {
            let from = environment::repository().join(part);
            if from.is_dir() {
                copy(&from, &self.folder.join(part))?;
            }
        }
        if self.directory.join("main.tf").is_file() {
            Ok(())
        } else {
            let what = format!("there is no {}/main.tf", self.directory.display());
            Err(Error::Missing(what))
        }
    }

    /// Replaces `main.tf`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn rewrite(&self, text: &str) -> Result<(), Error> {
        let path = self.directory.join("main.tf");
        std::fs::write(&path, text).map_err(Error::file("writing", &path))
    }

    /// Sets (or with `None` removes) a variable of the environment of the commands that follow.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.retain(|(known, _)| known != name);
        if let Some(value) = value {
            self.variables.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The folder with the configuration and the state.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The CLI configuration that makes `terraform init` find the built provider.
    #[must_use]
    pub fn cli_configuration(&self) -> PathBuf {
        self.folder.join("terraform.rc")
    }

    /// The command with these arguments, ready to be started: for tests that interrupt it or feed its input.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        environment::isolate(&mut command, &self.folder);
        command
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .env("TF_CLI_CONFIG_FILE", self.cli_configuration())
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("CHECKPOINT_DISABLE", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs any command, whatever its exit code.
    ///
    /// # Errors
    /// When Terraform cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Run, Error> {
        let output = self
            .command(arguments)
            .output()
            .map_err(|source| self.not_started(source))?;
        Ok(output.into())
    }

    /// Runs any command, whatever its exit code, showing each line of its standard output as it comes.
    ///
    /// # Errors
    /// When Terraform cannot be started.
    pub fn watch(&self, arguments: &[&str], mut show: impl FnMut(&str)) -> Result<Run, Error> {
        let place = std::env::temp_dir();
        let mut errors = tempfile::tempfile().map_err(Error::file("creating a file in", &place))?;
        let handle = errors
            .try_clone()
            .map_err(Error::file("creating a file in", &place))?;
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(handle)
            .spawn()
            .map_err(|source| self.not_started(source))?;
        let mut stdout = String::new();
        if let Some(pipe) = child.stdout.take() {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                show(&line);
                stdout.push_str(&line);
                stdout.push('\n');
            }
        }
        let status = child.wait().map_err(|source| self.not_started(source))?;
        let mut stderr = String::new();
        errors
            .seek(SeekFrom::Start(0))
            .and_then(|_| errors.read_to_string(&mut stderr))
            .map_err(Error::file("reading a file in", &place))?;
        Ok(Run {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr,
        })
    }

    fn not_started(&self, source: std::io::Error) -> Error {
        Error::Start {
            program: self.executable.clone(),
            hint: "put `terraform` on PATH, name it in TERRAFORM, or use `cargo xtask test`, which installs one",
            source,
        }
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// When it does not; the error carries its output.
    pub fn expect(&self, arguments: &[&str]) -> Result<Run, Error> {
        let run = self.run(arguments)?;
        if run.success() {
            Ok(run)
        } else {
            Err(failed(arguments, &run))
        }
    }

    /// Runs a command that must be refused, and tells its words as [`Run::flat`] does.
    ///
    /// # Errors
    /// When it is not, or by a panic; the error carries its output.
    pub fn refuse(&self, arguments: &[&str]) -> Result<String, Error> {
        let run = self.run(arguments)?;
        let said = run.flat();
        if run.code == 1 && !said.contains("panicked") {
            Ok(said)
        } else {
            Err(failed(arguments, &run))
        }
    }

    /// `terraform init`.
    ///
    /// # Errors
    /// When it fails.
    pub fn init(&self) -> Result<Run, Error> {
        self.expect(&["init", "-no-color"])
    }

    /// `terraform apply`.
    ///
    /// # Errors
    /// When it fails.
    pub fn apply(&self) -> Result<Run, Error> {
        self.expect(&APPLY)
    }

    /// `terraform plan`.
    ///
    /// # Errors
    /// When it fails. Changes are no failure.
    pub fn plan(&self) -> Result<Plan, Error> {
        let arguments = ["plan", "-detailed-exitcode", "-no-color"];
        let run = self.run(&arguments)?;
        match run.code {
            0 => Ok(Plan::NoChanges),
            2 => Ok(Plan::Changes(run.stdout)),
            _ => Err(failed(&arguments, &run)),
        }
    }

    /// `terraform destroy`.
    ///
    /// # Errors
    /// When it fails.
    pub fn destroy(&self) -> Result<Run, Error> {
        self.expect(&DESTROY)
    }

    /// `terraform import`.
    ///
    /// # Errors
    /// When it fails.
    pub fn import(&self, address: &str, id: &str) -> Result<Run, Error> {
        self.expect(&["import", "-no-color", address, id])
    }

    /// `terraform output -json`: the values by name.
    ///
    /// # Errors
    /// When it fails.
    pub fn outputs(&self) -> Result<serde_json::Map<String, Value>, Error> {
        let outputs = self.json(&["output", "-json"])?;
        Ok(outputs
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, output)| (name.clone(), output["value"].clone()))
            .collect())
    }

    /// `terraform show -json`: the state.
    ///
    /// # Errors
    /// When it fails.
    pub fn show(&self) -> Result<Value, Error> {
        self.json(&["show", "-json"])
    }

    /// The attributes of the first resource of this type in the state, in whichever module it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn resource(&self, kind: &str) -> Result<Value, Error> {
        let state = self.show()?;
        find(&state["values"]["root_module"], kind)
            .cloned()
            .ok_or_else(|| Error::Missing(format!("no {kind} in Terraform's state:\n{state:#}")))
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, Error> {
        let run = self.expect(arguments)?;
        serde_json::from_str(&run.stdout).map_err(|error| {
            Error::Missing(format!(
                "`terraform {}` did not print JSON ({error}):\n{}",
                arguments.join(" "),
                run.stdout
            ))
        })
    }
}

fn find<'a>(module: &'a Value, kind: &str) -> Option<&'a Value> {
    let own = module["resources"].as_array().into_iter().flatten();
    let mut children = module["child_modules"].as_array().into_iter().flatten();
    own.into_iter()
        .find(|resource| resource["type"] == kind)
        .map(|resource| &resource["values"])
        .or_else(|| children.find_map(|child| find(child, kind)))
}

fn failed(arguments: &[&str], run: &Run) -> Error {
    Error::Terraform {
        command: arguments.join(" "),
        code: run.code,
        output: format!("{}{}", run.stdout, run.stderr),
    }
}

/// A filesystem mirror with the built provider and nothing else, and the CLI configuration that names it. With no
/// `direct` block beside it, Terraform asks no registry: nothing but the built provider can be used by mistake.
/// A folder that stays has a provider of its own: Terraform refuses one that another build has changed since `init`.
fn mirror(folder: &Path, stays: bool) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    let mirror = folder.join("mirror");
    for registry in REGISTRIES {
        let place = mirror.join(format!(
            "{registry}/bellflower/bellflower/{version}/{}",
            platform()
        ));
        create(&place)?;
        let executable = place.join(format!("terraform-provider-bellflower_v{version}"));
        let provider = environment::provider();
        if !provider.is_file() {
            return Err(Error::Missing(format!(
                "there is no provider at {}; `cargo xtask build` makes one",
                provider.display()
            )));
        }
        if stays {
            std::fs::copy(&provider, &executable).map_err(Error::file("copying", &provider))?;
        } else if !executable.exists() {
            std::os::unix::fs::symlink(&provider, &executable)
                .map_err(Error::file("linking", &executable))?;
        }
    }
    name_mirror(folder, &mirror)
}

/// Writes the CLI configuration that names a filesystem mirror; other providers come from where they always do.
fn name_mirror(folder: &Path, mirror: &Path) -> Result<(), Error> {
    let path = folder.join("terraform.rc");
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n  direct {{\n    exclude = [\"bellflower/bellflower\"]\n  }}\n}}\n",
        mirror.display().to_string()
    );
    std::fs::write(&path, text).map_err(Error::file("writing", &path))
}

/// Terraform's name of this machine's platform.
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

fn create(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(Error::file("creating", path))
}

/// Copies a folder, leaving out what an earlier `terraform` in it has left behind.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    create(to)?;
    for entry in std::fs::read_dir(from).map_err(Error::file("reading", from))? {
        let entry = entry.map_err(Error::file("reading", from))?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.starts_with(".terraform") || text.contains(".tfstate") {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to).map_err(Error::file("copying", &from))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_a_resource_in_a_nested_module() {
        let root = json!({
            "resources": [{"type": "terraform_data", "values": {"id": 1}}],
            "child_modules": [{"child_modules": [{"resources": [{"type": "wanted", "values": {"id": 2}}]}]}],
        });
        assert_eq!(find(&root, "wanted"), Some(&json!({"id": 2})));
        assert_eq!(find(&root, "absent"), None);
    }

    #[test]
    fn wrapped_errors_are_one_sentence() {
        let run = Run {
            code: 1,
            stdout: String::new(),
            stderr: "╷\n│ Error: name taken\n│\n│ the bucket\n│ exists\n╵\n".to_owned(),
        };
        assert_eq!(run.flat(), "Error: name taken the bucket exists");
    }
}
