//! Makes a pipeline what it should be, or takes it down: works through the graph of its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Map, Value as Json};
use tfplugin::Diagnostics;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use super::blueprint::{Blueprint, Facts, Node, Path};
use super::findings::{Findings, disown, is_elses, ours, recognise, sought};
use super::settings::Settings;
use super::state::{self, DRIFT, FORGOTTEN, Observed, label};
use super::words::not_ours_any_more;
use crate::engine::graph::{self, reversed};
use crate::engine::{Did, Failure, Found, Owner, ensure, remove};
use crate::parts::Aws;

/// What there is of each part while work goes on.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Observed>>);

impl Progress {
    /// Begins with what was found.
    #[must_use]
    pub fn from(findings: &Findings) -> Self {
        Self(Arc::new(Mutex::new(ours(findings))))
    }

    /// What there is at the moment.
    pub fn now(&self) -> MutexGuard<'_, Observed> {
        lock(&self.0)
    }
}

/// What came of an apply.
#[derive(Debug)]
pub struct Outcome {
    /// What there is of each part now.
    pub observed: Observed,
    /// What went wrong, part by part.
    pub failures: Vec<Failure>,
    /// Parts that were not worked on: something they need is missing, or the work was interrupted.
    pub skipped: Vec<Path>,
    /// Parts that AWS does not show as they were written.
    pub not_shown: Vec<Failure>,
    /// The parts as they should be.
    pub blueprint: Arc<Blueprint>,
}

/// Creates, repairs and changes until everything is as `settings` say. `first` is what follows from them as far as the facts are known; parts that are `left` as they
/// are in something are not waited for.
pub async fn converge(
    settings: &Settings,
    facts: &Facts,
    first: Arc<Blueprint>,
    mut findings: Findings,
    left: &Observed,
    aws: &Aws,
    progress: &Progress,
) -> Outcome {
    let key_path: Path = vec!["key".to_owned()];
    let last: OnceLock<Blueprint> = OnceLock::new();
    // What a part is made from is complete once the key is there, so the parts that wait for the key are derived anew.
    let final_blueprint = || {
        last.get_or_init(|| {
            let mut facts = facts.clone();
            let known = progress.now();
            if let Some(Some(key)) = known.get(&key_path) {
                let text = |name: &str| key.get(name).and_then(Json::as_str).map(str::to_owned);
                facts.key_arn = text("arn").unwrap_or(facts.key_arn);
                facts.key_id = text("key_id");
            }
            drop(known);
            Blueprint::of(settings, &facts)
        })
    };
    let (outcome, not_shown) = {
        let (first, final_blueprint) = (first.as_ref(), &final_blueprint);
        let mut start: BTreeMap<Path, Option<Found>> = std::mem::take(&mut findings);
        let taken = Mutex::new(&mut start);
        let taken = &taken;
        // Nothing waits for what was written to show, but the end: so nobody looks before the last part is begun.
        let (written, showing) = mpsc::unbounded_channel();
        let last_is_begun = CancellationToken::new();
        let shown = appearances(showing, &last_is_begun, final_blueprint, aws);
        let edges = first.edges();
        let to_begin = &AtomicUsize::new(edges.len());
        let (written, last_is_begun) = (&Mutex::new(Some(written)), &last_is_begun);
        let work = graph::run(
            &edges,
            || aws.stop.is_cancelled(),
            |path: Path| async move {
                if to_begin.fetch_sub(1, Ordering::Relaxed) == 1 {
                    last_is_begun.cancel();
                }
                let found = taken
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&path)
                    .flatten();
                let waits_for_key = first.node(&path).is_some_and(|node| !node.after.is_empty());
                let blueprint = if waits_for_key {
                    final_blueprint()
                } else {
                    first
                };
                let Some(node) = blueprint.node(&path) else {
                    return Ok(());
                };
                if found.is_none() {
                    // However its making ends: it may be there, half made, and then nothing shows that it is another.
                    forget(first, &path, &mut progress.now());
                }
                let found = renewed(node, found, progress);
                let (attributes, did) = ensure(node.part.as_ref(), aws, found).await?;
                progress.now().insert(path.clone(), Some(attributes));
                let late = did == Did::Created && node.part.appears_late();
                // What is left as it is in something never shows as it should be.
                if late || (did == Did::Changed && !left.contains_key(&path)) {
                    let sender = lock(written);
                    // The receiver is there as long as work is.
                    let _ = sender.as_ref().map(|sender| sender.send(path));
                }
                Ok(())
            },
        );
        let work = async {
            let outcome = work.await;
            last_is_begun.cancel();
            lock(written).take();
            outcome
        };
        tokio::join!(work, shown)
    };
    let blueprint = last.into_inner().map_or(first, Arc::new);
    let mut outcome = concluded(outcome, blueprint, progress, aws).await;
    for (path, was) in left {
        if let (Some(Some(known)), Some(was)) = (outcome.observed.get_mut(path), was) {
            known.extend(was.clone());
        }
    }
    Outcome {
        not_shown,
        ..outcome
    }
}

/// Takes from what is known of parts the property that names another, which is made anew, until they have been written again. AWS does not show that
/// they are to be: the state has to.
fn forget(blueprint: &Blueprint, made: &Path, observed: &mut Observed) {
    for node in &blueprint.nodes {
        if let Some((dependency, property)) = &node.renewed_with
            && dependency == made
            && let Some(Some(known)) = observed.get_mut(&node.path)
        {
            known.insert((*property).to_owned(), Json::Null);
        }
    }
}

/// Says of all that was found whose it is, by what a state tells of it.
///
/// # Errors
/// That what stands is not the pipeline of the state.
pub fn tell_whose(
    prior: &Map<String, Json>,
    blueprint: &Blueprint,
    findings: &mut Findings,
) -> Result<(), Diagnostics> {
    recognise(Some(prior), blueprint, findings);
    still_forgotten(prior, blueprint, findings);
    disown(blueprint, findings);
    if is_elses(prior, findings) {
        return Err(not_ours_any_more(blueprint, findings));
    }
    Ok(())
}

/// Takes from what was found what is to be written again: an earlier run could not, as that run's state tells, or the part it names was made anew since, by
/// somebody or by a run that was killed.
pub fn still_forgotten(prior: &Map<String, Json>, blueprint: &Blueprint, findings: &mut Findings) {
    let drift = prior.get(DRIFT).and_then(Json::as_object);
    for node in &blueprint.nodes {
        let Some((dependency, property)) = &node.renewed_with else {
            continue;
        };
        let said = drift.and_then(|all| all.get(&label(&node.path, property)));
        let is_forgotten =
            said.is_some_and(|said| said == FORGOTTEN) || is_anew(prior, dependency, findings);
        if is_forgotten && let Some(Some(found)) = findings.get_mut(&node.path) {
            found.attributes.insert((*property).to_owned(), Json::Null);
        }
    }
}

/// Whether our part at a place is another one than the state has there. Earlier versions kept no unique ids, which says nothing of a part that was there.
fn is_anew(prior: &Map<String, Json>, at: &[String], findings: &Findings) -> bool {
    let found = findings.get(at).and_then(Option::as_ref);
    let found = found.filter(|found| found.owner == Owner::Us);
    let (Some(found), Some(Json::Object(known))) = (found, state::at(prior, at)) else {
        return false;
    };
    let text = |name: &str| known.get(name).and_then(Json::as_str);
    text("unique_id").map_or_else(
        || text("arn").is_none(),
        |known| known != found.text("unique_id"),
    )
}

/// What came of the work on a graph, with another look at what failed.
async fn concluded(
    ended: graph::Outcome<Path, Failure>,
    blueprint: Arc<Blueprint>,
    progress: &Progress,
    aws: &Aws,
) -> Outcome {
    let mut observed = progress.now().clone();
    let (failed, failures): (Vec<Path>, Vec<Failure>) = ended.failed.into_iter().unzip();
    for (path, mut seen) in second_look(&blueprint, &failed, aws).await {
        let known = observed.get(&path).and_then(Option::as_ref);
        let node = blueprint.node(&path);
        let forgotten = node
            .zip(known)
            .and_then(|(node, known)| node.forgotten(known));
        if let (Some(property), Some(seen)) = (forgotten, &mut seen) {
            seen.insert(property.to_owned(), Json::Null);
        }
        observed.insert(path, seen);
    }
    Outcome {
        observed,
        failures,
        skipped: ended.skipped,
        not_shown: Vec::new(),
        blueprint,
    }
}

/// How long looking again at what failed may take: an interrupted user waits for it.
const SECOND_LOOK: Duration = Duration::from_millis(1500);

/// What there is of parts whose making or changing failed half-way: the state must hold what exists. What cannot be seen in time is left as
/// it was known.
async fn second_look(blueprint: &Blueprint, failed: &[Path], aws: &Aws) -> Observed {
    let aws = &aws.until(CancellationToken::new());
    let looks = blueprint
        .nodes
        .iter()
        .filter(|node| failed.contains(&node.path))
        .map(|node| async move {
            let look = tokio::time::timeout(SECOND_LOOK, node.part.read(aws)).await;
            let found = look.ok()?.ok()?.filter(|found| found.owner == Owner::Us);
            Some((node.path.clone(), found.map(|found| found.attributes)))
        });
    join_all(looks).await.into_iter().flatten().collect()
}

/// How long AWS is given to show a part as it was written: for a queue it may take a minute.
const APPEARANCE: Duration = Duration::from_mins(1);

/// Waits until AWS shows every part that `written` names, until there are no more to be named. Looks when told to `begin`. Answers what does not show.
async fn appearances<'a>(
    mut written: mpsc::UnboundedReceiver<Path>,
    begin: &CancellationToken,
    blueprint: &impl Fn() -> &'a Blueprint,
    aws: &Aws,
) -> Vec<Failure> {
    let mut waits = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        tokio::select! {
            path = written.recv() => match path {
                Some(path) => waits.push(async move {
                    begin.cancelled().await;
                    appearance(blueprint(), path, aws).await
                }),
                None => break,
            },
            Some(shown) = waits.next() => failures.extend(shown.err()),
        }
    }
    failures.extend(
        waits
            .filter_map(async |shown| shown.err())
            .collect::<Vec<_>>()
            .await,
    );
    failures
}

/// Waits until AWS shows a part as it was written: a plan made before would see a change that is none. What does not show in time shows in
/// that plan.
async fn appearance(blueprint: &Blueprint, path: Path, aws: &Aws) -> Result<(), Failure> {
    let Some(part) = blueprint.node(&path).map(|node| node.part.as_ref()) else {
        return Ok(());
    };
    let shown = || async { Ok(part.shows(aws).await?.then_some(())) };
    aws.settle(&part.title(), "shown as written", APPEARANCE, shown)
        .await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a property count as changed where the part it names was made anew.
fn renewed(node: &Node, found: Option<Found>, progress: &Progress) -> Option<Found> {
    let mut found = found?;
    let now = progress.now();
    let known = now.get(&node.path).and_then(Option::as_ref);
    if let Some(property) = known.and_then(|known| node.forgotten(known)) {
        found.attributes.insert(property.to_owned(), Json::Null);
    }
    Some(found)
}

/// Removes the parts of `before` that `after` has no more: an alarm switched off, a subscription taken out. What was found under the name of one of
/// them is not there any more. What has lost its mark is known again only where a state tells of it, and is known by the `prior` one.
///
/// Answers what was removed, in a person's words.
///
/// # Errors
/// The failures, part by part.
pub async fn remove_surplus(
    before: &Blueprint,
    after: &Blueprint,
    prior: Option<&Map<String, Json>>,
    findings: &mut Findings,
    aws: &Aws,
) -> Result<Vec<String>, Vec<Failure>> {
    let kept = after.identities();
    let surplus = || {
        before
            .nodes
            .iter()
            .filter(|node| !kept.contains(&node.identity()))
    };
    let removals = surplus().map(|node| async move {
        let found = node.part.read(aws).await?;
        let is_missed = found.is_none() && prior.is_some();
        let mut findings = Findings::from([(node.path.clone(), found)]);
        if is_missed {
            let seen = sought(vec![node], aws).await;
            findings.extend(seen.map_err(|mut failures| failures.remove(0))?);
        }
        if prior.is_some() {
            recognise(prior, before, &mut findings);
        }
        let found = findings.remove(&node.path).flatten();
        remove(node.part.as_ref(), aws, found.as_ref()).await?;
        let removed = found.filter(|found| found.owner == Owner::Us);
        Ok(removed.map(|found| (node.part.title(), found.text("arn").to_owned())))
    });
    // SNS shows endpoints without their passwords, so that one that is to be made may have been found in one that went.
    let (mut gone, mut titles) = (BTreeSet::new(), Vec::new());
    let mut failures = Vec::new();
    for removal in join_all(removals).await {
        match removal {
            Ok(Some((title, arn))) => {
                titles.push(title);
                gone.extend(Some(arn).filter(|arn| arn.starts_with("arn:")));
            }
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    let shown = |node: &Node| (node.part.kind(), node.part.name().to_owned());
    let names: BTreeSet<_> = surplus().map(shown).collect();
    for node in &after.nodes {
        if let Some(found) = findings.get_mut(&node.path)
            && let Some(Found { attributes, .. }) = found
            && let arn = attributes.get("arn").and_then(Json::as_str)
            && arn.is_some_and(|arn| {
                gone.contains(arn) || (!arn.starts_with("arn:") && names.contains(&shown(node)))
            })
        {
            *found = None;
        }
    }
    if failures.is_empty() {
        Ok(titles)
    } else {
        Err(failures)
    }
}

/// Takes everything down that is ours, in the reverse order, and goes on past what fails as far as nothing depends on it.
pub async fn take_down(
    blueprint: Arc<Blueprint>,
    findings: Findings,
    aws: &Aws,
    progress: &Progress,
) -> Outcome {
    let edges = reversed(&blueprint.edges());
    let outcome = {
        let (findings, blueprint, edges) = (&findings, blueprint.as_ref(), &edges);
        let looks: BTreeMap<&Path, OnceCell<Result<(), Failure>>> =
            edges.keys().map(|path| (path, OnceCell::new())).collect();
        // Each is waited for once, whoever asks.
        let gone = async |path: &Path| {
            let found = findings.get(path).and_then(Option::as_ref);
            let found = found.filter(|found| found.owner == Owner::Us);
            match (blueprint.node(path), found, looks.get(path)) {
                (Some(node), Some(found), Some(look)) => {
                    let look = look.get_or_init(|| node.part.gone(aws, found));
                    look.await.clone()
                }
                _ => Ok(()),
            }
        };
        let all_gone = async |paths: Vec<&Path>| join_all(paths.into_iter().map(&gone)).await;
        let work = async |path: Path| {
            let Some(node) = blueprint.node(&path) else {
                return Ok(());
            };
            // Those of one kind do not mind that others are still going, and are looked at together.
            let kind = |path: &Path| blueprint.node(path).map(|node| node.part.kind());
            let before = edges.get(&path).into_iter().flatten();
            let before = before.filter(|other| kind(other) != kind(&path));
            let seen = all_gone(before.collect()).await;
            seen.into_iter().collect::<Result<(), _>>()?;
            let ours = |host: &Path| progress.now().get(host).is_some_and(Option::is_some);
            if node.goes_with.as_ref().is_some_and(ours) {
                return Ok(());
            }
            let found = findings.get(&path).and_then(Option::as_ref);
            remove(node.part.as_ref(), aws, found).await?;
            let mut known = progress.now();
            for guest in &blueprint.nodes {
                if guest.goes_with.as_ref() == Some(&path) {
                    known.insert(guest.path.clone(), None);
                }
            }
            known.insert(path, None);
            Ok(())
        };
        let mut outcome = graph::run(edges, || aws.stop.is_cancelled(), work).await;
        let seen = all_gone(outcome.done.iter().collect()).await;
        let left = outcome.done.iter().cloned().zip(seen);
        let left = left.filter_map(|(path, gone)| Some((path, gone.err()?)));
        outcome.failed.extend(left);
        outcome
    };
    concluded(outcome, blueprint, progress, aws).await
}

/// Ends `stop` when `limit` is over, unless the guard is dropped before.
#[derive(Debug)]
pub struct Deadline(tokio::task::JoinHandle<()>);

impl Deadline {
    /// Starts the clock.
    #[must_use]
    pub fn start(limit: Duration, stop: CancellationToken) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            stop.cancel();
        }))
    }

    /// True when the time is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_part_is_anew_when_its_id_is_another_or_it_was_missing() {
        let at = ["integration", "role"].map(str::to_owned);
        let is_anew_to = |role: Json, owner: Owner| {
            let (Json::Object(prior), Json::Object(attributes)) = (
                json!({"integration": {"role": role}}),
                json!({"unique_id": "new"}),
            ) else {
                unreachable!("objects")
            };
            let there = Findings::from([(at.to_vec(), Some(Found { attributes, owner }))]);
            let gone = Findings::from([(at.to_vec(), None)]);
            assert!(!is_anew(&prior, &at, &gone));
            is_anew(&prior, &at, &there)
        };
        let role = |arn: Option<&str>, id: Option<&str>| json!({"arn": arn, "unique_id": id});
        let arn = Some("arn:aws:iam::123456789012:role/orders");
        assert!(is_anew_to(role(arn, Some("old")), Owner::Us));
        assert!(is_anew_to(role(None, None), Owner::Us));
        assert!(!is_anew_to(role(arn, Some("new")), Owner::Us));
        // A state of an earlier version, and one that tells nothing.
        assert!(!is_anew_to(role(arn, None), Owner::Us));
        assert!(!is_anew_to(Json::Null, Owner::Us));
        let theirs = Owner::SomeoneElse(None);
        assert!(!is_anew_to(role(arn, Some("old")), theirs));
    }
}
