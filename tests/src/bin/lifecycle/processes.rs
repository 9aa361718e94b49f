//! What processes use, read from `/proc` while they run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked: a provider lives for a second at least.
const EVERY: Duration = Duration::from_millis(10);

/// What all providers that ran meanwhile have used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// The largest peak memory of any of them, in MiB.
    pub memory: f64,
    /// Their processor time together, in seconds.
    pub seconds: f64,
}

/// Watches every process that is a Terraform provider.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Usage>>,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = std::thread::spawn(move || {
            let mut seen: BTreeMap<u32, Usage> = BTreeMap::new();
            while !ended.load(Ordering::Relaxed) {
                for (id, usage) in providers() {
                    let known = seen.entry(id).or_default();
                    known.memory = known.memory.max(usage.memory);
                    known.seconds = known.seconds.max(usage.seconds);
                }
                std::thread::sleep(EVERY);
            }
            Usage {
                memory: seen.values().map(|usage| usage.memory).fold(0.0, f64::max),
                seconds: seen.values().map(|usage| usage.seconds).sum(),
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    /// Ends; what was used.
    #[must_use]
    pub fn end(mut self) -> Usage {
        self.over.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

fn providers() -> Vec<(u32, Usage)> {
    let each = |id: u32| {
        let process = Path::new("/proc").join(id.to_string());
        let executable = std::fs::read_link(process.join("exe")).ok()?;
        let name = executable.file_name()?.to_str()?;
        if !name.starts_with("terraform-provider-") {
            return None;
        }
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak: f64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let usage = Usage {
            memory: peak / 1024.0,
            seconds: stat(id)?.1,
        };
        Some((id, usage))
    };
    ids().into_iter().filter_map(each).collect()
}

fn ids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The process group of a process, and its processor time in seconds, its ended children's among it.
#[allow(clippy::cast_precision_loss, reason = "ticks, some thousands")]
fn stat(id: u32) -> Option<(u32, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    let ticks: u64 = ticks.sum::<Result<u64, _>>().ok()?;
    let second = rustix::param::clock_ticks_per_second();
    Some((fields.get(2)?.parse().ok()?, ticks as f64 / second as f64))
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
