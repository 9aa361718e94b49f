//! Every check of the repository, in the order in which they fail fastest.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::command::{self, Error};
use crate::{docs, lambdas, layout, tools};

/// Whether an integration test starts Terraform and so runs on each version.
fn starts_terraform(package: &str, name: &str) -> bool {
    package == "bellflower-tests" || (package == "tfplugin" && name == "terraform")
}

/// Tests about AWS or the provider alone, in which one version of Terraform tells what every other would: they run on the first. Each is an
/// executable, or a module of [`MODULES`].
const ON_ONE_VERSION: &[&str] = &[
    "answers",
    "application",
    "bad_input",
    "callbacks",
    "chaos",
    "drift",
    "in_place",
    "keys",
    "load",
    "losses",
    "pending",
    "proofs",
    "released_states",
    "replacements",
    "secrets",
    "table",
    "update",
    "upsets",
    "weather",
];

/// The executable whose modules are chosen one by one.
const MODULES: &str = "e2e";

/// How many tests with Terraform run at once: more than there are cores, since most of the time they wait.
const AT_ONCE: &str = "4";

/// One test executable that cargo has built.
#[derive(Debug, PartialEq, Eq)]
struct Executable {
    path: PathBuf,
    package: String,
    /// The package's folder, in which cargo runs its tests.
    folder: PathBuf,
    /// `lib`, `bin` or `test`.
    kind: String,
    name: String,
}

impl Executable {
    fn needs_terraform(&self) -> bool {
        self.kind == "test" && starts_terraform(&self.package, &self.name)
    }
}

/// What was counted so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    /// What went wrong, by name, to be repeated at the end.
    failures: Vec<String>,
}

impl Tally {
    /// A check that is no test: formatting, clippy, a build.
    fn check(&mut self, name: &str, result: Result<(), Error>) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                eprintln!("{error}");
                self.fail(name.to_owned());
                false
            }
        }
    }

    fn fail(&mut self, name: String) {
        self.failed += 1;
        self.failures.push(name);
    }

    /// Adds what a test run printed and how it ended.
    fn add(&mut self, name: &str, output: &str, success: bool) {
        let mut failed = 0;
        for (passed_here, failed_here) in output.lines().filter_map(test_result) {
            self.passed += passed_here;
            failed += failed_here;
        }
        self.failed += failed;
        if failed > 0 {
            self.failures.push(name.to_owned());
        } else if !success {
            // It died without a result: an abort, a signal, a doc test that does not compile.
            self.fail(name.to_owned());
        }
    }
}

/// The counts of a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let counts = line.trim().strip_prefix("test result: ")?;
    let count = |label: &str| {
        let (before, _) = counts.split_once(label)?;
        before.split_whitespace().last()?.parse().ok()
    };
    Some((count(" passed;")?, count(" failed;")?))
}

/// Runs everything; the last line of the output is `N passed, N failed`.
pub fn run() -> ExitCode {
    let started = Instant::now();
    let mut tally = Tally::default();
    if let Err(error) = stages(&mut tally) {
        eprintln!("{error}");
        tally.fail("the run was cut short".to_owned());
    }
    println!();
    println!("finished in {} s", started.elapsed().as_secs());
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// An error is something without which the following stages make no sense.
fn stages(tally: &mut Tally) -> Result<(), Error> {
    stage("tools");
    let ministack = tools::ministack()?;
    let linters = tools::linters()?;
    let mut terraforms = Vec::new();
    for executable in tools::terraforms()? {
        let version = tools::terraform_version(&executable)?;
        println!("{version}: {}", executable.display());
        terraforms.push((executable, version));
    }

    stage("formatting");
    let formatting = command::run(command::cargo().args(["fmt", "--all", "--", "--check"]));
    tally.check("formatting (`cargo fmt --all` mends it)", formatting);

    // Before anything compiles the provider, which embeds them.
    stage("Lambda packages");
    lambdas::build()?;
    tally.check("the packages' sizes", lambdas::check_sizes());

    stage("clippy");
    let clippy = command::run(command::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]));
    tally.check("clippy", clippy);

    stage("build");
    let (executables, provider) = build()?;
    let variables = [
        ("BELLFLOWER_LINTERS", linters),
        ("BELLFLOWER_MINISTACK", ministack),
        ("BELLFLOWER_PROVIDER", provider.clone()),
    ];

    stage("unit tests");
    let first = &terraforms[0].0;
    tally.check(
        "docs/ and terraform/variables.tf",
        docs::check(&provider, first),
    );
    for executable in executables.iter().filter(|one| !one.needs_terraform()) {
        let mut command = test_command(executable, first);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        tests(
            tally,
            &format!("{} ({})", executable.package, executable.name),
            &mut command,
        )?;
    }
    let mut documentation = command::cargo();
    documentation.args(["test", "--workspace", "--doc"]);
    tests(tally, "documentation examples", &mut documentation)?;

    for (turn, (terraform, version)) in terraforms.iter().enumerate() {
        stage(&format!("end-to-end tests on {version}"));
        for executable in executables.iter().filter(|one| one.needs_terraform()) {
            if turn > 0 && ON_ONE_VERSION.contains(&executable.name.as_str()) {
                println!("--- {} ran on {}", executable.name, terraforms[0].1);
                continue;
            }
            let mut command = test_command(executable, terraform);
            if turn > 0 && executable.name == MODULES {
                println!(
                    "--- what ran on {}: {}",
                    terraforms[0].1,
                    ON_ONE_VERSION.join(", ")
                );
                for module in ON_ONE_VERSION {
                    command.args(["--skip", &format!("{module}::")]);
                }
            }
            command.env("RUST_TEST_THREADS", AT_ONCE);
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            let name = format!("{} ({}) on {version}", executable.package, executable.name);
            tests(tally, &name, &mut command)?;
        }
    }
    Ok(())
}

fn stage(name: &str) {
    println!("\n=== {name}");
    // Children write to the same stream: ours must be there first.
    let _ = std::io::stdout().flush();
}

/// Builds everything, tests and all, in one go; the test executables, and the provider.
///
/// Always the whole workspace: another selection of packages has other features of shared dependencies, and the AWS SDKs would be
/// compiled once for each.
fn build() -> Result<(Vec<Executable>, PathBuf), Error> {
    let mut command = command::cargo();
    command
        .args([
            "build",
            "--workspace",
            "--all-targets",
            "--message-format=json-render-diagnostics",
        ])
        .stderr(Stdio::inherit());
    let output = command::output(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut executables: Vec<Executable> = text.lines().filter_map(executable).collect();
    executables
        .sort_by(|left, right| (&left.package, &left.name).cmp(&(&right.package, &right.name)));
    let provider = text
        .lines()
        .find_map(program)
        .ok_or_else(|| Error::Other(format!("cargo told of no {}", layout::PROVIDER)))?;
    Ok((executables, provider))
}

/// The provider, if a line of cargo's JSON messages tells of it.
fn program(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let provider = message["target"]["kind"][0] == "bin"
        && message["target"]["name"] == layout::PROVIDER
        && message["profile"]["test"] == false;
    Some(message["executable"].as_str().filter(|_| provider)?.into())
}

/// The test executable that a line of cargo's JSON messages tells of.
fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let package = message["package_id"].as_str()?;
    Some(Executable {
        path: message["executable"].as_str()?.into(),
        package: package_name(package).to_owned(),
        folder: manifest.parent()?.to_owned(),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        name: message["target"]["name"].as_str()?.to_owned(),
    })
}

/// The name in a package id, which is `path+file:///folder/name#version` or, where folder and name differ,
/// `path+file:///folder#name@version`.
fn package_name(id: &str) -> &str {
    let (address, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => address.rsplit('/').next().unwrap_or(address),
    }
}

fn test_command(executable: &Executable, terraform: &Path) -> Command {
    let mut command = command::command(&executable.path);
    command
        .current_dir(&executable.folder)
        .env("CARGO_MANIFEST_DIR", &executable.folder)
        .env("TERRAFORM", terraform);
    command
}

/// Runs tests, passing their output on while counting.
fn tests(tally: &mut Tally, name: &str, command: &mut Command) -> Result<(), Error> {
    println!("--- {name}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::Other(format!("{name} could not be started: {error}")))?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line
                .map_err(|error| Error::Other(format!("reading the output of {name}: {error}")))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status = child
        .wait()
        .map_err(|error| Error::Other(format!("waiting for {name}: {error}")))?;
    tally.add(name, &output, status.success());
    Ok(())
}

#[cfg(test)]
mod unit {
    use super::*;

    const PASSED: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    const FAILED: &str = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";

    #[test]
    fn sums_the_results() {
        let mut tally = Tally::default();
        tally.add(
            "one",
            &format!("running 13 tests\n{PASSED}\n{PASSED}\n"),
            true,
        );
        tally.add("two", FAILED, false);
        assert_eq!((tally.passed, tally.failed), (27, 2));
        assert_eq!(tally.failures, ["two"]);
    }

    #[test]
    fn a_run_that_dies_has_failed() {
        let mut tally = Tally::default();
        tally.add("dead", "running 13 tests\n", false);
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[test]
    fn finds_test_executables_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/tests#bellflower-tests@0.1.0",
            "manifest_path":"/w/tests/Cargo.toml","target":{"kind":["test"],"name":"pipeline"},
            "profile":{"test":true},"executable":"/w/target/debug/deps/pipeline-1"}"#;
        let found = executable(line).unwrap();
        assert_eq!(found.folder, Path::new("/w/tests"));
        assert!(found.needs_terraform());
        assert_eq!(
            executable(&line.replace("\"test\":true", "\"test\":false")),
            None
        );
        assert_eq!(executable("{}"), None);
        assert_eq!(program(line), None);
    }

    #[test]
    fn finds_the_provider_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"terraform-provider-bellflower"},
            "profile":{"test":false},"executable":"/w/target/debug/terraform-provider-bellflower"}"#;
        let found = Some(PathBuf::from(
            "/w/target/debug/terraform-provider-bellflower",
        ));
        assert_eq!(program(line), found);
        // Its unit tests are another executable of the same name.
        let tests = line.replace("\"test\":false", "\"test\":true");
        assert_eq!(program(&tests), None);
    }

    #[test]
    fn reads_both_forms_of_package_id() {
        assert_eq!(package_name("path+file:///w/xtask#0.1.0"), "xtask");
        assert_eq!(
            package_name("path+file:///w/tests#bellflower-tests@0.1.0"),
            "bellflower-tests"
        );
    }
}
