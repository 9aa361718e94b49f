//! What processes use, read from `/proc` while they run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Pid;

/// What all processes of a name that ran meanwhile have used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// How many there were.
    pub processes: usize,
    /// The largest peak memory of any of them, in MiB.
    pub memory: f64,
    /// Their processor time together, in seconds.
    pub seconds: f64,
}

impl Usage {
    fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.memory = self.memory.max(other.memory);
        self.seconds += other.seconds;
    }
}

/// Watches processes.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<String, Usage>>>,
}

impl Watch {
    /// Watches every Terraform provider that this process has started by way of Terraform. Each lives for a second at least.
    #[must_use]
    pub fn providers() -> Self {
        Self::start(Duration::from_millis(10), provider)
    }

    /// Watches the Lambda functions of an emulator, by their names: the processes of its group that were told one. They live for minutes.
    #[must_use]
    pub fn functions(group: u32) -> Self {
        Self::start(Duration::from_millis(500), move |id| function(id, group))
    }

    /// Looks at all processes so often; `name` is that of those to be counted.
    fn start(every: Duration, name: impl Fn(u32) -> Option<String> + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = std::thread::spawn(move || {
            let mut seen: BTreeMap<(String, u32), Usage> = BTreeMap::new();
            loop {
                // Once more after the end was told: what was used last counts, too.
                let last = ended.load(Ordering::Relaxed);
                for id in ids() {
                    if let Some((name, usage)) = name(id).zip(usage(id)) {
                        let known = seen.entry((name, id)).or_default();
                        known.processes = 1;
                        known.memory = known.memory.max(usage.memory);
                        known.seconds = known.seconds.max(usage.seconds);
                    }
                }
                if last {
                    break;
                }
                std::thread::sleep(every);
            }
            let mut all: BTreeMap<String, Usage> = BTreeMap::new();
            for ((name, _), usage) in &seen {
                all.entry(name.clone()).or_default().add(usage);
            }
            all
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    /// Ends; what was used, by name.
    #[must_use]
    pub fn end(mut self) -> BTreeMap<String, Usage> {
        self.over.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

fn provider(id: u32) -> Option<String> {
    let executable = std::fs::read_link(format!("/proc/{id}/exe")).ok()?;
    let name = executable.file_name()?.to_str()?;
    // Those of other runs on this machine do not count.
    (name.starts_with("terraform-provider-") && is_below(id, std::process::id()))
        .then(|| name.to_owned())
}

/// Whether a process comes from another one.
fn is_below(id: u32, ancestor: u32) -> bool {
    let line = std::iter::successors(parent(id), |id| parent(*id));
    line.take_while(|id| *id != 0).any(|id| id == ancestor)
}

fn function(id: u32, group: u32) -> Option<String> {
    const NAME: &str = "AWS_LAMBDA_FUNCTION_NAME=";
    if stat(id)?.0 != group {
        return None;
    }
    let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let name = environment
        .split('\0')
        .find_map(|one| one.strip_prefix(NAME));
    name.map(str::to_owned)
}

/// What a process has used so far.
#[must_use]
pub fn usage(id: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak: f64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage {
        processes: 1,
        memory: peak / 1024.0,
        seconds: stat(id)?.1,
    })
}

fn ids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The name of a process, and what `/proc/ID/stat` tells after it, from its state on.
fn told(id: u32) -> Option<(String, Vec<String>)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (start, rest) = text.rsplit_once(')')?;
    let (_, name) = start.split_once('(')?;
    let fields = rest.split_whitespace().map(str::to_owned);
    Some((name.to_owned(), fields.collect()))
}

/// The process group of a process, and its processor time in seconds, its ended children's among it.
#[allow(clippy::cast_precision_loss, reason = "ticks, some thousands")]
fn stat(id: u32) -> Option<(u32, f64)> {
    let (_, fields) = told(id)?;
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    let ticks: u64 = ticks.sum::<Result<u64, _>>().ok()?;
    let second = rustix::param::clock_ticks_per_second();
    Some((fields.get(2)?.parse().ok()?, ticks as f64 / second as f64))
}

fn parent(id: u32) -> Option<u32> {
    told(id)?.1.get(1)?.parse().ok()
}

/// The processor time of a process group, in seconds.
#[must_use]
pub fn group_seconds(group: u32) -> f64 {
    let of = |id| {
        stat(id)
            .filter(|(found, _)| *found == group)
            .map(|(_, seconds)| seconds)
    };
    ids().into_iter().filter_map(of).sum()
}

/// The plugins this Terraform has started, as Linux tells.
#[must_use]
pub fn providers_of(terraform: Pid) -> Vec<Pid> {
    let terraform = u32::try_from(terraform.as_raw_nonzero().get()).ok();
    // Linux cuts names off.
    let is_provider =
        |id: &u32| told(*id).is_some_and(|(name, _)| name.starts_with("terraform-prov"));
    let providers = ids()
        .into_iter()
        .filter(|id| parent(*id) == terraform && terraform.is_some());
    let providers = providers.filter(is_provider);
    providers
        .filter_map(|id| Pid::from_raw(id.try_into().ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_from_a_process_is_below_it() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let (own, below) = (std::process::id(), child.id());
        let found = [
            is_below(below, own),
            is_below(own, below),
            is_below(own, own),
        ];
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [true, false, false]);
    }
}
