//! An account with other people's objects in it, a proxy, and a configuration: where points are run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::point::{Kind, Point};
use super::run::{self, Harmed};
use super::{CHANGED, Cycle, Outcome, UNCHANGED, foreign};
use crate::proxy::{Call, Play, Proxy};
use crate::{APPLY, DESTROY, Error, Plan, Run, Stage, differences, inventory};

/// How long the provider may take to end when it is asked to, and Terraform to write that down on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(5);

/// A call that takes longer than this is told of, and so is a time without calls.
const SLOW: Duration = Duration::from_secs(10);

/// After so many cycles the account is begun anew: keys stay for days, and every listing of keys would take longer.
const CYCLES: usize = 40;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place to run points in, and what undisturbed runs look like there.
#[derive(Debug)]
pub struct World {
    place: Place,
    calls: BTreeMap<Kind, usize>,
    /// What AWS looks like after each kind of run.
    calm: BTreeMap<Kind, Value>,
    foreign: Value,
    cycles: usize,
}

#[derive(Debug)]
struct Place {
    proxy: Proxy,
    stage: Stage,
    // Last: the others may use it.
    runtime: Runtime,
}

impl Place {
    fn new() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Error::file("starting a thread of", "chaos".as_ref()))?;
        let (stage, proxy) = runtime.block_on(Box::pin(Stage::behind_proxy(UNCHANGED)))?;
        // What the emulator would let pass and AWS does not.
        proxy.play(Play::OneMapping);
        runtime.block_on(Box::pin(foreign::make(
            &stage.aws,
            &stage.names,
            stage.region(),
        )))?;
        Ok(Self {
            proxy,
            stage,
            runtime,
        })
    }

    fn foreign(&self) -> Result<Value, Error> {
        self.runtime
            .block_on(Box::pin(foreign::look(&self.stage.aws, &self.stage.names)))
    }

    /// All parts and all there is in the account, with nothing in it that differs from one time to the next.
    fn look(&self) -> Result<Value, Error> {
        self.runtime.block_on(async {
            let parts = Box::pin(self.settled()).await;
            let mut everything = Box::pin(inventory(&self.stage.aws)).await?;
            everything.sort();
            let mut seen = serde_json::json!({"parts": parts, "everything": everything});
            normalise(&mut seen, self.stage.emulator.endpoint());
            Ok(seen)
        })
    }

    /// The parts, when Lambda is done with what a run that was killed has told it: the next one has nothing to do there, and waits for nothing.
    async fn settled(&self) -> Value {
        let begin = Instant::now();
        loop {
            let parts = self.stage.observe().await;
            let at_work = ["processing", "integration"]
                .iter()
                .any(|function| parts[function]["state"] == "Pending");
            if !at_work || begin.elapsed() > SLOW {
                return parts;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn configure(&self, kind: Kind) -> Result<(), Error> {
        self.stage.set(if kind == Kind::Create {
            UNCHANGED
        } else {
            CHANGED
        })
    }

    /// Whether Terraform's state has a resource.
    fn recorded(&self) -> Result<bool, Error> {
        let path = self.stage.terraform.directory().join("terraform.tfstate");
        if !path.exists() {
            return Ok(false);
        }
        let text = std::fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(state["resources"]
            .as_array()
            .is_some_and(|all| !all.is_empty()))
    }
}

impl World {
    /// An account, and one undisturbed run of each kind.
    ///
    /// # Errors
    /// When something does not come up, or a run fails.
    pub fn new() -> Result<Self, Error> {
        let place = Place::new()?;
        let foreign = place.foreign()?;
        let mut world = Self {
            place,
            calls: BTreeMap::new(),
            calm: BTreeMap::new(),
            foreign,
            cycles: 0,
        };
        for kind in [Kind::Create, Kind::Update, Kind::Destroy] {
            world.place.configure(kind)?;
            world.place.proxy.reset();
            world.place.stage.terraform.expect(command(kind))?;
            world.calls.insert(kind, world.place.proxy.calls().len());
            if kind != Kind::Destroy {
                // The first plan after is empty, or no later one can be asked to be.
                if let Plan::Changes(text) = world.place.stage.terraform.plan()? {
                    return Err(Error::Missing(format!(
                        "the plan after an undisturbed {kind} is not empty:\n{text}"
                    )));
                }
            }
            let calm = world.place.look()?;
            world.calm.insert(kind, calm);
        }
        Ok(world)
    }

    /// How many calls each kind of run has when nothing happens.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<Kind, usize> {
        self.calls.clone()
    }

    /// Create, update and destroy, with what the cycle's points do to them. A kind without a point is run undisturbed, or left out
    /// where it can be.
    ///
    /// # Errors
    /// When an undisturbed run fails. Where it fails after a disturbed one, a new account is begun.
    pub fn cycle(&mut self, cycle: &Cycle) -> Result<Vec<Outcome>, Error> {
        if self.cycles >= CYCLES {
            self.begin_anew()?;
        }
        self.cycles += 1;
        let mut outcomes = Vec::new();
        for kind in [Kind::Create, Kind::Update, Kind::Destroy] {
            if let Some(point) = cycle.points.get(&kind) {
                let outcome = self.point(*point)?;
                let failed = !outcome.wrong.is_empty();
                outcomes.push(outcome);
                if failed {
                    // What went wrong here must not be held against the next point.
                    self.begin_anew()?;
                    let later: Vec<Kind> = cycle
                        .points
                        .keys()
                        .copied()
                        .filter(|later| *later > kind)
                        .collect();
                    if later.is_empty() {
                        return Ok(outcomes);
                    }
                    for before in [Kind::Create, Kind::Update]
                        .into_iter()
                        .filter(|before| *before <= kind)
                    {
                        self.undisturbed(before)?;
                    }
                }
            } else if kind != Kind::Update {
                self.undisturbed(kind)?;
            }
        }
        Ok(outcomes)
    }

    fn undisturbed(&self, kind: Kind) -> Result<(), Error> {
        self.place.configure(kind)?;
        self.place.stage.terraform.expect(command(kind)).map(drop)
    }

    fn begin_anew(&mut self) -> Result<(), Error> {
        self.place = Place::new()?;
        self.foreign = self.place.foreign()?;
        self.cycles = 0;
        Ok(())
    }

    /// One harmed run, the same command again, and whether all is well.
    fn point(&self, point: Point) -> Result<Outcome, Error> {
        let begin = Instant::now();
        let Place { proxy, stage, .. } = &self.place;
        self.place.configure(point.kind)?;
        let Harmed {
            run,
            struck,
            answered,
        } = run::harmed(&stage.terraform, proxy, command(point.kind), point)?;
        let mut wrong = Vec::new();
        if run.flat().contains("panicked") {
            wrong.push(format!("a panic: {}", run.flat()));
        }
        if answered.is_some_and(|time| time > ANSWER_LIMIT + SLACK) {
            wrong.push(format!("it took {answered:?} to end"));
        }
        if point.harm.asks_to_end() && !run.success() {
            let nothing = self.place.look()? == self.calm[&Kind::Destroy];
            if !nothing && !self.place.recorded()? {
                wrong.push("parts exist and the state has none of them".to_owned());
            }
        }
        let again = stage.terraform.run(command(point.kind))?;
        if again.success() {
            // An apply that had nothing to do is a plan without changes, and plans are half of a point's time.
            let planned = again.stdout.contains("No changes.");
            self.verify(point.kind, planned, &mut wrong)?;
        } else {
            wrong.push(format!(
                "again, it failed: {}; the first time: {}",
                tail(&again),
                tail(&run)
            ));
        }
        Ok(Outcome {
            point,
            struck,
            wrong,
            answered,
            took: begin.elapsed(),
            slow: slow(&proxy.calls()),
        })
    }

    fn verify(&self, kind: Kind, planned: bool, wrong: &mut Vec<String>) -> Result<(), Error> {
        let seen = self.place.look()?;
        for (at, value) in differences(&self.calm[&kind], &seen) {
            wrong.push(format!(
                "{at} is {value}, not {}",
                self.calm[&kind].pointer(&at).unwrap_or(&Value::Null)
            ));
        }
        for (at, value) in differences(&self.foreign, &self.place.foreign()?) {
            wrong.push(format!("somebody else's {at} is {value}"));
        }
        if kind == Kind::Destroy {
            if self.place.recorded()? {
                wrong.push("the state has still a resource".to_owned());
            }
        } else if !planned && let Plan::Changes(text) = self.place.stage.terraform.plan()? {
            wrong.push(format!("the plan is not empty: {text}"));
        }
        Ok(())
    }
}

/// Calls that took long, and times in which nothing was called at all.
fn slow(calls: &[Call]) -> Vec<String> {
    let unusual = |call: &&Call| {
        call.end
            .is_none_or(|end| end.saturating_sub(call.start) > SLOW)
    };
    let mut found: Vec<String> = calls
        .iter()
        .filter(unusual)
        .map(|call| format!("{call:?}"))
        .collect();
    let mut until = Duration::ZERO;
    let mut last = "the start";
    for call in calls {
        let gap = call.start.saturating_sub(until);
        if gap > SLOW {
            let next = &call.operation;
            found.push(format!(
                "nothing for {gap:?} after {last}, then {next} {}",
                call.object
            ));
        }
        if call.end.is_some_and(|end| end > until) {
            until = call.end.unwrap_or_default();
            last = &call.operation;
        }
    }
    found
}

fn command(kind: Kind) -> &'static [&'static str] {
    if kind == Kind::Destroy {
        &DESTROY
    } else {
        &APPLY
    }
}

/// A failed command's last words.
fn tail(run: &Run) -> String {
    let flat = run.flat();
    let from = flat.find("Error: ").unwrap_or_default();
    format!("exit code {}: {}", run.code, &flat[from..])
}

/// Puts the same text in the place of every UUID and of the emulator's address.
fn normalise(value: &mut Value, endpoint: &str) {
    match value {
        Value::String(text) => *text = without_uuids(&text.replace(endpoint, "<aws>")),
        Value::Array(all) => {
            for one in all {
                normalise(one, endpoint);
            }
        }
        Value::Object(map) => {
            let all = std::mem::take(map);
            map.extend(all.into_iter().map(|(name, mut value)| {
                normalise(&mut value, endpoint);
                (without_uuids(&name), value)
            }));
        }
        _ => {}
    }
}

fn without_uuids(text: &str) -> String {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let is_uuid = |piece: &str| {
        let groups: Vec<&str> = piece.split('-').collect();
        groups.len() == GROUPS.len()
            && groups.iter().zip(GROUPS).all(|(group, length)| {
                group.len() == length && group.chars().all(|c| c.is_ascii_hexdigit())
            })
    };
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if rest.get(..LENGTH).is_some_and(is_uuid) {
            result.push_str("<uuid>");
            rest = &rest[LENGTH..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn uuids_are_all_the_same() {
        let id = "0a1b2c3d-0000-4000-8000-0123456789ab";
        let mut value = json!({format!("key/{id}"): [format!("ä{id}:{id}")], "n": 1, "short": "0a1b2c3d-0000", "url": "https://127.0.0.1:1/q"});
        normalise(&mut value, "https://127.0.0.1:1");
        assert_eq!(
            value,
            json!({"key/<uuid>": ["ä<uuid>:<uuid>"], "n": 1, "short": "0a1b2c3d-0000", "url": "<aws>/q"})
        );
    }
}
