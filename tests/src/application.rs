//! The program of `examples/business-application`, beside an emulator.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, MiniStack, environment};

/// How long it may take to end what it is answering.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running business application. Dropping it kills it.
#[derive(Debug)]
pub struct BusinessApplication {
    child: Child,
    log: PathBuf,
}

impl BusinessApplication {
    /// Starts it for a bucket, with further options.
    ///
    /// `variables` say where AWS is: [`MiniStack::environment`], or that of a proxy. It ends with the emulator at the latest.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        emulator: &MiniStack,
        variables: &[(String, String)],
        bucket: &str,
        options: &[&str],
    ) -> Result<Self, Error> {
        let folder = emulator.log().with_file_name("");
        let log = folder.join("business-application.log");
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(Error::file("creating", &log))?;
        let errors = output.try_clone().map_err(Error::file("opening", &log))?;
        let program = environment::business_application();
        let mut command = Command::new(&program);
        environment::isolate(&mut command, &folder);
        let group = i32::try_from(emulator.id()).unwrap_or_default();
        let child = command
            .arg(format!("--bucket={bucket}"))
            .args(options)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            // The emulator's group is killed with it, however the harness ends.
            .process_group(group)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| Error::Start {
                program,
                hint: "`cargo build --workspace` builds it",
                source,
            })?;
        Ok(Self { child, log })
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it, and every other one of the same emulator, has said.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, by SIGTERM or another signal, and waits until it has.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(self, signal: Signal) -> Result<ExitStatus, Error> {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = process {
            kill_process(process, signal)
                .map_err(|error| Error::file("stopping what logs to", &self.log)(error.into()))?;
        }
        self.ended()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not.
    pub fn ended(mut self) -> Result<ExitStatus, Error> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait();
            let waiting = Error::file("waiting for what logs to", &self.log);
            if let Some(status) = ended.map_err(waiting)? {
                return Ok(status);
            }
            if began.elapsed() > STOP_LIMIT {
                return Err(Error::Timeout {
                    what: "the business application's end".to_owned(),
                    seconds: STOP_LIMIT.as_secs(),
                    seen: self.said(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for BusinessApplication {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
