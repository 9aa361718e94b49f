//! Interruption at every step: a run of Terraform in which one call goes wrong, and whether the same command mends it.
//!
//! A [`Point`] is a kind of run, the index of a call in it, and a [`Harm`] that comes at this call. Afterwards the same command is run
//! again, and everything must be as if nothing had happened: the AWS objects, read through the API, are those of an undisturbed
//! run, the plan is empty, nothing exists twice, destroy leaves nothing, and other people's objects, which look much like ours,
//! are what they were.
//!
//! Points come in [cycles](World::cycle) of a create, an update and a destroy, since each needs what the one before leaves.
//! Which operation the k-th call is differs a little from run to run, for parts are made at the same time: the index is what counts,
//! and the report names the operation it was.

mod foreign;
mod point;
mod run;
mod world;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

pub use point::{Harm, Kind, Point, sample};
pub use world::World;

use crate::Error;
use world::lock;

/// The arguments of the pipeline that is created.
pub const UNCHANGED: &str = r#"
  subscriptions = { operator = { protocol = "email", endpoint = "operator@example.com" } }
"#;

/// The arguments of the update: of every part that can be changed in place, something is.
pub const CHANGED: &str = r#"
  log_retention_in_days = 90
  tags                  = { team = "logistics" }
  subscriptions         = { operator = { protocol = "email", endpoint = "operator@example.com" } }
  key                   = { description = "of my own", rotation_period_in_days = 180 }
  bucket                = { expiration_days = 30, inbound_prefix = "answers/", block_public_acls = false, bucket_key_enabled = false }
  queue                 = { delay_seconds = 5, visibility_timeout_seconds = 600 }
  dead_letter_queue     = { max_receive_count = 2, message_retention_seconds = 172800 }
  topic                 = { display_name = "Orders" }
  processing = {
    memory_size                    = 256
    timeout                        = 10
    reserved_concurrent_executions = 2
    tracing_mode                   = "PassThrough"
    alarms                         = { errors = { threshold = 2 }, throttles = { enabled = false } }
  }
  integration = {
    memory_size  = 512
    tracing_mode = "PassThrough"
    alarms       = { errors = { period = 900 } }
  }
  event_source  = { batch_size = 3, maximum_concurrency = 4 }
  state_machine = { callback_timeout_seconds = 600, log_level = "ERROR", tracing_enabled = false }
"#;

/// What came of a point.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The point.
    pub point: Point,
    /// The operation and object of the call it struck; nothing where the run had fewer calls.
    pub struck: Option<String>,
    /// What is not as it should be; nothing where all is well.
    pub wrong: Vec<String>,
    /// From the signal to the end of Terraform, where there was a signal.
    pub answered: Option<Duration>,
    /// How long the point took, with its verification.
    pub took: Duration,
    /// Calls that took unusually long, or had no answer at all.
    pub slow: Vec<String>,
}

/// Points of one cycle: at most one of each kind.
#[derive(Debug, Clone, Default)]
pub struct Cycle {
    points: BTreeMap<Kind, Point>,
}

/// Puts points together to cycles.
#[must_use]
pub fn cycles(points: &[Point]) -> Vec<Cycle> {
    let mut queues: BTreeMap<Kind, VecDeque<Point>> = BTreeMap::new();
    for point in points {
        queues.entry(point.kind).or_default().push_back(*point);
    }
    let mut cycles = Vec::new();
    while queues.values().any(|queue| !queue.is_empty()) {
        let points = queues
            .iter_mut()
            .filter_map(|(kind, queue)| Some((*kind, queue.pop_front()?)));
        cycles.push(Cycle {
            points: points.collect(),
        });
    }
    cycles
}

/// Runs points in as many worlds as there are workers, each with an emulator of its own, and shows each outcome as it comes.
///
/// `choose` is given the number of calls of each kind of run, and says which points are wanted.
///
/// # Errors
/// When a world does not come up, or an undisturbed run fails. What goes wrong at a point is no error but an outcome.
pub fn run(
    workers: usize,
    choose: impl FnOnce(&BTreeMap<Kind, usize>) -> Vec<Point>,
    show: impl Fn(&Outcome) + Sync,
) -> Result<Vec<Outcome>, Error> {
    let mut first = World::new()?;
    let points = choose(&first.calls());
    let cycles: Mutex<VecDeque<Cycle>> = Mutex::new(cycles(&points).into());
    let outcomes = Mutex::new(Vec::new());
    let work = |world: &mut World| -> Result<(), Error> {
        while let Some(cycle) = { lock(&cycles).pop_front() } {
            for outcome in world.cycle(&cycle)? {
                show(&outcome);
                lock(&outcomes).push(outcome);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers.max(1))
            .map(|_| scope.spawn(|| World::new().and_then(|mut world| work(&mut world))))
            .collect();
        let mine = work(&mut first);
        others.into_iter().fold(mine, |result, other| {
            let other = other
                .join()
                .unwrap_or_else(|_| Err(Error::Missing("a worker has panicked".to_owned())));
            result.and(other)
        })
    })?;
    let mut outcomes = std::mem::take(&mut *lock(&outcomes));
    outcomes.sort_by_key(|outcome| outcome.point);
    Ok(outcomes)
}

/// The table: a row for each kind of run and harm.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    use std::fmt::Write as _;
    let mut rows: BTreeMap<(Kind, Harm), [usize; 3]> = BTreeMap::new();
    for outcome in outcomes {
        let row = rows
            .entry((outcome.point.kind, outcome.point.harm))
            .or_default();
        let column = match outcome {
            Outcome { wrong, .. } if !wrong.is_empty() => 1,
            Outcome { struck: None, .. } => 2,
            _ => 0,
        };
        row[column] += 1;
    }
    let mut text = format!(
        "{:<8} {:<14} {:>9} {:>6} {:>11}\n",
        "run", "harm", "converged", "failed", "not reached"
    );
    for ((kind, harm), [converged, failed, missed]) in rows {
        let (kind, harm) = (kind.to_string(), harm.to_string());
        let _ = writeln!(
            text,
            "{kind:<8} {harm:<14} {converged:>9} {failed:>6} {missed:>11}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_hold_each_kind_once() {
        let points: Vec<Point> = ["create/1/reset", "create/2/kill", "destroy/1/stop"]
            .map(|text| text.parse().unwrap())
            .into();
        let cycles = cycles(&points);
        assert_eq!(cycles.len(), 2);
        assert_eq!(cycles[0].points.len(), 2);
        assert_eq!(cycles[1].points[&Kind::Create].call, 2);
    }

    #[test]
    fn the_table_counts() {
        let outcome = |point: &str, wrong: &[&str], struck: Option<&str>| Outcome {
            point: point.parse().unwrap(),
            struck: struck.map(str::to_owned),
            wrong: wrong.iter().map(|one| (*one).to_owned()).collect(),
            answered: None,
            took: Duration::ZERO,
            slow: Vec::new(),
        };
        let text = table(&[
            outcome("create/1/reset", &[], Some("x")),
            outcome("create/2/reset", &["y"], Some("x")),
            outcome("create/900/reset", &[], None),
        ]);
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["create", "reset", "1", "1", "1"]);
    }
}
