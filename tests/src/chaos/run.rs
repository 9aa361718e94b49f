//! Terraform with something happening to it at one of its calls.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::point::{Harm, Point};
use super::world::lock;
use crate::processes::providers_of;
use crate::proxy::{Call, Fault, Proxy, Rule};
use crate::{Error, Run, Terraform};

/// What came of a harmed run.
#[derive(Debug)]
pub(super) struct Harmed {
    pub(super) run: Run,
    /// What was struck.
    pub(super) struck: Option<String>,
    /// From the signal to the end of Terraform.
    pub(super) answered: Option<Duration>,
}

/// Runs Terraform, and does harm at one call.
pub(super) fn harmed(
    terraform: &Terraform,
    proxy: &Proxy,
    arguments: &[&str],
    point: Point,
) -> Result<Harmed, Error> {
    let pid = Arc::new(AtomicI32::new(0));
    let struck: Arc<Mutex<Option<(String, Instant)>>> = Arc::default();
    proxy.clear();
    proxy.reset();
    if let Some(rule) = point.harm.rule() {
        proxy.inject(rule.at(point.call));
    }
    let hook = {
        let (pid, struck, harm) = (pid.clone(), struck.clone(), point.harm);
        move |call: &Call| {
            *lock(&struck) = Some((
                format!("{} {}", call.operation, call.object),
                Instant::now(),
            ));
            signal(harm, pid.load(Ordering::SeqCst));
        }
    };
    proxy.inject(Rule::after(Fault::hook(hook)).at(point.call));
    // A fault that comes before the call leaves no "after".
    let noted = {
        let struck = struck.clone();
        move |call: &Call| {
            *lock(&struck) = Some((
                format!("{} {}", call.operation, call.object),
                Instant::now(),
            ));
        }
    };
    proxy.inject(Rule::before(Fault::hook(noted)).at(point.call));

    let mut command = terraform.command(arguments);
    let command = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().map_err(|source| Error::Start {
        program: "terraform".into(),
        hint: "put `terraform` on PATH, or name it in TERRAFORM",
        source,
    })?;
    pid.store(
        i32::try_from(child.id()).unwrap_or_default(),
        Ordering::SeqCst,
    );
    let output = child
        .wait_with_output()
        .map_err(Error::file("waiting for", "terraform".as_ref()))?;
    let ended = Instant::now();
    proxy.clear();
    let struck = lock(&struck).take();
    Ok(Harmed {
        run: output.into(),
        answered: struck
            .as_ref()
            .filter(|_| point.harm.asks_to_end())
            .map(|(_, at)| ended - *at),
        struck: struck.map(|(call, _)| call),
    })
}

/// Does what a signal does; the faults of the proxy come by themselves.
fn signal(harm: Harm, terraform: i32) {
    let Some(terraform) = Pid::from_raw(terraform) else {
        return;
    };
    let _ = match harm {
        Harm::Interrupt => {
            // A terminal reaches the providers, too, wherever they are.
            for provider in providers_of(terraform) {
                let _ = kill_process(provider, Signal::INT);
            }
            kill_process_group(terraform, Signal::INT)
        }
        Harm::Stop => kill_process(terraform, Signal::TERM),
        Harm::Kill => providers_of(terraform)
            .into_iter()
            .try_for_each(|provider| kill_process(provider, Signal::KILL)),
        _ => Ok(()),
    };
}
