//! The figures the project holds itself to, measured on what users get: the release provider and the packed
//! Lambdas.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{self, Error};
use crate::{lambdas, layout, package, provider, tools};

/// How often each figure is taken; what is printed is the median.
const ROUNDS: usize = 11;

/// How long a process may take to say anything at all.
const PATIENCE: Duration = Duration::from_secs(20);

const MIB: f64 = 1024.0 * 1024.0;
const MB: f64 = 1_000_000.0;

/// A measured figure and what it should stay under.
struct Figure {
    name: String,
    value: f64,
    target: f64,
    unit: &'static str,
}

impl Figure {
    fn line(&self) -> String {
        let verdict = if self.value < self.target {
            "ok"
        } else {
            "OVER"
        };
        format!(
            "{:<52} {:>8.2} {:<4} target {:>6.2} {:<4} {verdict}",
            self.name, self.value, self.unit, self.target, self.unit
        )
    }
}

/// Builds the release and prints each figure with its target: all of them, or those of the groups that are named.
pub fn run(arguments: &[String]) -> Result<(), Error> {
    let mirror = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--mirror="));
    let all = !arguments.iter().any(|argument| !argument.starts_with("--"));
    let wanted = |group: &str| all || arguments.iter().any(|argument| argument == group);
    if !all
        && arguments
            .iter()
            .all(|group| group == "callbacks" || group.starts_with("--"))
    {
        // The functions decide, and they are those that users get anyway.
        return callbacks(&provider::build()?, arguments);
    }
    lambdas::build()?;
    let provider = package::release()?;
    let mut figures = Vec::new();
    if wanted("plugin") {
        figures.extend(plugin(&provider)?);
    }
    if wanted("functions") {
        figures.extend(functions()?);
    }
    if !figures.is_empty() {
        println!("\nmedians of {ROUNDS} rounds");
    }
    for figure in figures {
        println!("{}", figure.line());
    }
    if wanted("lifecycle") {
        lifecycle(&provider, mirror)?;
    }
    if wanted("callbacks") {
        command::run(command::cargo().args(["build", "--workspace"]))?;
        callbacks(&provider, arguments)?;
    }
    Ok(())
}

/// Many executions at once, answered by the business application: another program that speaks to AWS.
fn callbacks(provider: &Path, arguments: &[String]) -> Result<(), Error> {
    let executions = arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("--executions="));
    let mut bench = command::command(layout::target().join("debug").join("callbacks"));
    bench
        .args(executions)
        .env("BELLFLOWER_MINISTACK", tools::ministack()?)
        .env("BELLFLOWER_PROVIDER", provider)
        .env("TERRAFORM", tools::terraform()?);
    command::run(&mut bench)
}

/// A pipeline's apply, plan and destroy: a program of its own, since it speaks to AWS.
fn lifecycle(provider: &Path, mirror: Option<&str>) -> Result<(), Error> {
    let program = "lifecycle";
    command::run(command::cargo().args(["build", "--workspace"]))?;
    let mut bench = command::command(layout::target().join("debug").join(program));
    bench
        .args(mirror)
        .env("BELLFLOWER_MINISTACK", tools::ministack()?)
        .env("BELLFLOWER_PROVIDER", provider)
        .env("TERRAFORM", tools::terraform()?);
    command::run(&mut bench)
}

fn plugin(provider: &Path) -> Result<Vec<Figure>, Error> {
    let mut handshakes = rounds(|| handshake(provider))?;
    let (mut schemas, mut memory) = schema(provider)?;
    let figure = |name: &str, value, target, unit| Figure {
        name: name.to_owned(),
        value,
        target,
        unit,
    };
    Ok(vec![
        figure(
            "provider: start to handshake",
            median(&mut handshakes),
            50.0,
            "ms",
        ),
        figure(
            "provider: peak memory in `providers schema`",
            median(&mut memory),
            25.0,
            "MiB",
        ),
        figure(
            "terraform providers schema -json",
            median(&mut schemas),
            0.25,
            "s",
        ),
        figure(
            "provider: release executable",
            size(provider)? / MB,
            25.0,
            "MB",
        ),
    ])
}

fn functions() -> Result<Vec<Figure>, Error> {
    let (architecture, target) = lambdas::ARCHITECTURES[0];
    let mut figures = Vec::new();
    for (function, limit) in lambdas::FUNCTIONS {
        #[allow(clippy::cast_precision_loss)] // a few million, exact in f64
        figures.push(Figure {
            name: format!("{function}: package"),
            value: size(&lambdas::zip_path(function, architecture))? / MB,
            target: limit as f64 / MB,
            unit: "MB",
        });
        let executable = lambdas::executable_path(function, target);
        let mut starts = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..ROUNDS {
            let (start, resident) = start_function(&executable)?;
            starts.push(start);
            memory.push(resident);
        }
        figures.push(Figure {
            name: format!("{function}: start to first /runtime/invocation/next"),
            value: median(&mut starts),
            target: 20.0,
            unit: "ms",
        });
        figures.push(Figure {
            name: format!("{function}: memory when idle"),
            value: median(&mut memory),
            target: 10.0,
            unit: "MiB",
        });
    }
    Ok(figures)
}

fn rounds(mut measure: impl FnMut() -> Result<f64, Error>) -> Result<Vec<f64>, Error> {
    (0..ROUNDS).map(|_| measure()).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_precision_loss)] // files here are far below 2^52 bytes
fn size(path: &Path) -> Result<f64, Error> {
    Ok(path.metadata().map_err(Error::file("reading", path))?.len() as f64)
}

/// A child that does not outlive the measurement.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Result<Started, Error> {
    command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Started)
        .map_err(|error| {
            Error::Other(format!(
                "`{}` could not be started: {error}",
                command::describe(command)
            ))
        })
}

/// Milliseconds from starting the provider, as Terraform does, to its handshake line.
fn handshake(provider: &Path) -> Result<f64, Error> {
    let began = Instant::now();
    let mut plugin = start(
        Command::new(provider)
            .env(
                "TF_PLUGIN_MAGIC_COOKIE",
                "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
            )
            .env("PLUGIN_PROTOCOL_VERSIONS", "6")
            // Nobody has this certificate's key: it is there to be pinned, as Terraform's is.
            .env("PLUGIN_CLIENT_CERT", include_str!("../tools/client.pem"))
            .stdout(Stdio::piped()),
    )?;
    let mut line = String::new();
    if let Some(stdout) = plugin.0.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|error| Error::Other(format!("reading the provider's handshake: {error}")))?;
    }
    let took = began.elapsed();
    if line.starts_with("1|6|") {
        Ok(took.as_secs_f64() * 1000.0)
    } else {
        Err(Error::Other(format!(
            "the provider's first line is no handshake: {line:?}"
        )))
    }
}

/// Seconds of `terraform providers schema -json`, and the provider's peak memory in MiB meanwhile.
fn schema(provider: &Path) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let terraform = tools::terraform()?;
    let folder = tempfile::tempdir().map_err(Error::file("creating", &std::env::temp_dir()))?;
    let configuration = "terraform {\n  required_providers {\n    bellflower = { source = \"bellflower/bellflower\" }\n  }\n}\n";
    command::write_if_changed(&folder.path().join("main.tf"), configuration.as_bytes())?;
    let mirror = folder.path().join("mirror");
    for place in package::unpacked_places(&mirror) {
        command::create_folder(place.parent().unwrap_or(&mirror))?;
        std::fs::copy(provider, &place).map_err(Error::file("copying the provider to", &place))?;
    }
    let rc = folder.path().join("terraform.rc");
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\n",
        mirror.display().to_string()
    );
    command::write_if_changed(&rc, text.as_bytes())?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&terraform);
        command
            .args(arguments)
            .current_dir(folder.path())
            .env("TF_CLI_CONFIG_FILE", &rc)
            .env("CHECKPOINT_DISABLE", "1")
            .stdout(Stdio::null());
        command
    };
    command::run(&mut run(&["init", "-no-color"]))?;

    let (mut seconds, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Time and memory in separate runs: looking for the provider among all processes costs time.
        let began = Instant::now();
        command::run(&mut run(&["providers", "schema", "-json"]))?;
        seconds.push(began.elapsed().as_secs_f64());
        memory.push(peak_memory(
            &mut run(&["providers", "schema", "-json"]),
            folder.path(),
        )?);
    }
    Ok((seconds, memory))
}

/// The largest peak memory (MiB) of any provider under `folder` while the command runs.
fn peak_memory(command: &mut Command, folder: &Path) -> Result<f64, Error> {
    let mut terraform = start(command)?;
    let mut peak = 0.0_f64;
    let mut plugin = None;
    while terraform.0.try_wait().is_ok_and(|status| status.is_none()) {
        plugin = plugin.or_else(|| process_of(folder));
        if let Some(process) = &plugin {
            peak = peak.max(memory(process, "VmHWM:").unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if peak > 0.0 {
        Ok(peak)
    } else {
        Err(Error::Other(
            "the provider's process could not be found in /proc".to_owned(),
        ))
    }
}

/// The `/proc` folder of a process whose executable is a provider under `folder`.
fn process_of(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|process| {
            std::fs::read_link(process.join("exe")).is_ok_and(|executable| {
                executable.starts_with(folder)
                    && executable.to_string_lossy().contains(layout::PROVIDER)
            })
        })
}

/// A memory figure of a process, in MiB.
fn memory(process: &Path, field: &str) -> Option<f64> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    kibibytes(&status, field).map(|kib| kib * 1024.0 / MIB)
}

fn kibibytes(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Starts a function as AWS does; milliseconds until it asks for its first event, and its memory (MiB) then.
fn start_function(executable: &Path) -> Result<(f64, f64), Error> {
    let network = |error| Error::Other(format!("serving the Lambda runtime API: {error}"));
    let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(network)?;
    let address = api.local_addr().map_err(network)?.to_string();
    let began = Instant::now();
    let function = start(
        Command::new(executable)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("BELLFLOWER_BUCKET", "bench")
            .stdout(Stdio::null()),
    )?;
    let (mut connection, took) = first_connection(&api, began, executable)?;
    let mut request = [0; 256];
    let length = connection.read(&mut request).map_err(network)?;
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    if !request.contains("/runtime/invocation/next") {
        return Err(Error::Other(format!(
            "{} asked first for {request:?}",
            executable.display()
        )));
    }
    // Idle means that it has had time to finish whatever it does besides waiting.
    std::thread::sleep(Duration::from_millis(100));
    let process = PathBuf::from(format!("/proc/{}", function.0.id()));
    let resident = memory(&process, "VmRSS:")
        .ok_or_else(|| Error::Other(format!("{} ended while it was idle", executable.display())))?;
    Ok((took, resident))
}

fn first_connection(
    api: &TcpListener,
    began: Instant,
    executable: &Path,
) -> Result<(std::net::TcpStream, f64), Error> {
    let network = |error| Error::Other(format!("serving the Lambda runtime API: {error}"));
    api.set_nonblocking(true).map_err(network)?;
    loop {
        match api.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(false).map_err(network)?;
                // The request follows its connection within microseconds; reading it is not the function's time.
                return Ok((connection, began.elapsed().as_secs_f64() * 1000.0));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if began.elapsed() > PATIENCE {
                    return Err(Error::Other(format!(
                        "{} did not ask for an event within {} s",
                        executable.display(),
                        PATIENCE.as_secs()
                    )));
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(error) => return Err(network(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn reads_memory_from_proc() {
        assert_eq!(
            kibibytes("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"),
            Some(2048.0)
        );
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn a_figure_over_its_target_says_so() {
        let figure = |value| Figure {
            name: "x".to_owned(),
            value,
            target: 2.0,
            unit: "ms",
        };
        assert!(figure(1.0).line().ends_with("ok"));
        assert!(figure(2.0).line().ends_with("OVER"));
    }
}
