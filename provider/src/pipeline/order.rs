//! What an apply is to make, of what there was, and what stands against it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tfplugin::{Diagnostic, Diagnostics, Path};

use super::apply::{remove_surplus, still_forgotten};
use super::blueprint::{self, Blueprint, Facts, Node};
use super::claims::{Claims, Making};
use super::findings::{
    Findings, as_before, disown, is_missing, look_again, look_for, machine, made_at, ours,
    recognise_before, refusals, seen_later,
};
use super::left::{Difference, Differs, Left};
use super::packages::{NoPackage, Package, Packages};
use super::plan::{self, Known, all_tags, key_arn};
use super::settings::Settings;
use super::state;
use super::words::{all_told, another_stands, in_the_way, key_gone, told, twice};
use super::{Tree, elsewhere, settings_of};
use crate::documents::Place;
use crate::engine::Failure;
use crate::parts::Aws;
use crate::parts::bucket::remove_empty;
use crate::parts::function::Code;
use crate::parts::tags::MADE_AT;

/// What an apply is to make.
#[derive(Debug)]
pub struct Order {
    /// The state before, for a pipeline that is there.
    prior: Option<Tree>,
    /// The arguments.
    pub settings: Settings,
    /// What else it follows from.
    pub facts: Facts,
    /// The parts there were.
    before: Option<Blueprint>,
    /// The parts there should be.
    pub blueprint: Blueprint,
}

impl Order {
    /// What was planned, where the refresh before has not found the pipeline's own key of that ARN.
    ///
    /// # Errors
    /// That a function's code is not at hand, or not what was planned.
    pub fn of(
        planned: &Tree,
        prior: Option<Tree>,
        lost_key: Option<String>,
        place: Place,
        default_tags: &BTreeMap<String, String>,
    ) -> Result<Self, Diagnostics> {
        let mut settings = settings_of(planned).map_err(|error| vec![error])?;
        // It stays, whatever a plan shows of it.
        let made_at = prior
            .as_ref()
            .and_then(|prior| prior.get("made_at")?.as_str());
        settings.made_at = made_at.map(str::to_owned);
        let packages = agreed(&settings, planned, prior.as_ref())?;
        let known = Known {
            place: Some(place.clone()),
            prior: prior.clone(),
            lost_key,
            ..Known::default()
        };
        let facts = Facts {
            key_arn: key_arn(&settings, prior.as_ref()).unwrap_or_default(),
            key_id: prior
                .as_ref()
                .and_then(|tree| Some(tree.get("key")?.get("key_id")?.as_str()?.to_owned())),
            tags: all_tags(default_tags, settings.tags.as_ref()),
            packages,
            place,
        };
        let blueprint = Blueprint::of(&settings, &facts);
        Ok(Self {
            before: prior
                .as_ref()
                .and_then(|prior| plan::recorded_before(prior, &known, &blueprint)),
            blueprint,
            prior,
            settings,
            facts,
        })
    }

    /// The mark of the pipeline's parts.
    #[must_use]
    pub fn mark(&self) -> String {
        blueprint::mark(&self.settings, &self.facts.place)
    }

    /// Claims the pipeline for this work.
    ///
    /// # Errors
    /// That another resource makes it, or one of its parts.
    pub fn claimed<'a>(&self, claims: &'a Claims) -> Result<Making<'a>, Diagnostics> {
        let making = claims.making(self.mark(), self.blueprint.alone());
        making.map_err(|taken| vec![twice(taken, &blueprint::id(&self.settings))])
    }

    /// What there is, when nothing stands against the work and what is no longer wanted is gone, and the parts that are left as they are in something. Nothing when the work was ended before.
    ///
    /// # Errors
    /// What stands against it, or the failures of the calls that failed.
    pub async fn cleared(
        &mut self,
        planned: &Tree,
        making: &Making<'_>,
        aws: &Aws,
    ) -> Result<Option<(Findings, Left)>, Diagnostics> {
        let Some(mut findings) = self.seen(making, aws).await? else {
            return Ok(None);
        };
        self.looks_for_its_machine_again(&mut findings, aws).await?;
        let is_known = self.settings.made_at.is_some();
        let made_at = match self.prior {
            Some(_) => self.settings.made_at.clone().or_else(|| made_at(&findings)),
            None => making.ended(),
        };
        // A state machine of an earlier version has none, and keeps none.
        let made_at = if machine(&findings).is_some() {
            made_at
        } else {
            made_at.or_else(|| Some(making_begins()))
        };
        if made_at != self.settings.made_at {
            self.settings.made_at = made_at;
            self.blueprint = Blueprint::of(&self.settings, &self.facts);
        }
        let mut was = Findings::new();
        if let (Some(prior), Some(before)) = (&self.prior, &self.before) {
            let looked = as_before(before, &self.blueprint, &findings, aws).await;
            was = looked.map_err(|failures| all_told(&failures))?;
            recognise_before(Some(prior), before, &self.blueprint, &was, &mut findings);
            still_forgotten(prior, &self.blueprint, &mut findings);
        }
        disown(&self.blueprint, &mut findings);
        let against = in_the_way(refusals(&self.blueprint, &findings), self.before.as_ref());
        if !against.is_empty() {
            return Err(against);
        }
        if self.prior.is_some() && !is_known {
            self.knows_its_machine(&findings, aws).await?;
        } else if let Some(machine) = self.stands(&findings, aws).await? {
            let id = blueprint::id(&self.settings);
            return Err(vec![if self.prior.is_some() {
                another_stands(&id)
            } else {
                stands_already(&id, &machine)
            }]);
        }
        if self.prior.is_none() {
            self.holds_nothing(&findings, aws).await?;
        } else {
            self.knows_its_bucket(&findings, aws).await?;
        }
        let missing = self.missing(planned, &findings)?;
        let remains = self.remains(&findings, aws).await;
        let mut removed = Vec::new();
        if let Some(before) = remains.as_ref().or(self.before.as_ref()) {
            let (after, prior) = (&self.blueprint, self.prior.as_ref());
            let gone = remove_surplus(before, after, prior, &mut findings, aws).await;
            removed = gone.map_err(|failures| all_told(&failures))?;
        }
        // Before anything else, since a state with the new prefixes no longer knows the old ones.
        let folders = self.remove_old_folders(&mut findings, aws).await;
        folders.map_err(|failure| vec![told(&failure)])?;
        let left = Left {
            missing,
            removed,
            ..self.leave(planned, &was, &mut findings)
        };
        Ok(Some((findings, left)))
    }

    /// What the plan takes for being there and is not: somebody has removed it since.
    ///
    /// # Errors
    /// That it is the key. Whether to go on with another one, without what the old one opens, is for a plan to ask.
    fn missing(
        &self,
        planned: &Tree,
        findings: &Findings,
    ) -> Result<Vec<(blueprint::Path, String)>, Diagnostics> {
        let (Some(prior), Some(before)) = (&self.prior, &self.before) else {
            return Ok(Vec::new());
        };
        let is_missing = |node: &&Node| {
            let old = before.node(&node.path);
            old.is_some_and(|old| old.identity() == node.identity())
                && state::was_there(prior, &node.path)
                && findings.get(&node.path).is_some_and(Option::is_none)
        };
        let missing: Vec<&Node> = self.blueprint.nodes.iter().filter(is_missing).collect();
        let id = planned
            .get("key")
            .and_then(|key| key.get("key_id")?.as_str());
        if let Some(id) = id.filter(|_| missing.iter().any(|node| node.path == ["key"])) {
            return Err(vec![key_gone(id)]);
        }
        let named = |node: &&Node| (node.path.clone(), node.part.title());
        Ok(missing.iter().map(named).collect())
    }

    /// Looks once more for the state machine of a pipeline that is to be made and of which there is something: whether it stands complete depends on that alone.
    async fn looks_for_its_machine_again(
        &self,
        findings: &mut Findings,
        aws: &Aws,
    ) -> Result<(), Diagnostics> {
        let is_there = ours(findings).values().any(Option::is_some);
        if self.prior.is_some() || !is_there || machine(findings).is_some() {
            return Ok(());
        }
        if let Some(node) = self.blueprint.node(&[blueprint::MACHINE.to_owned()]) {
            let seen = seen_later(&[node], aws).await;
            findings.extend(seen.map_err(|failures| all_told(&failures))?);
        }
        Ok(())
    }

    /// What a create that did not get to its end may have left, where this one takes up anything: parts that the configuration does not have among it.
    async fn remains(&self, findings: &Findings, aws: &Aws) -> Option<Blueprint> {
        if self.prior.is_some() || ours(findings).values().all(Option::is_none) {
            return None;
        }
        let without = self.settings.with_all_alarms();
        let mut with = without.clone();
        with.dashboard.get_or_insert_default();
        let with = Blueprint::of(&with, &self.facts);
        let dashboard = with.node(&["dashboard".to_owned()])?;
        // Who may not look for one has made none.
        if dashboard.part.read(aws).await.is_err() {
            return Some(Blueprint::of(&without, &self.facts));
        }
        Some(with)
    }

    /// Takes for what should be what is not, and what the plan leaves as it was: what Terraform ignores, and what somebody has changed since, where the calls that write
    /// the rest of the part do not write that, too. Answers what was found, by part, and what was changed since the plan.
    fn leave(&self, planned: &Tree, was: &Findings, findings: &mut Findings) -> Left {
        let mut left = Left::default();
        let (Some(prior), Some(before)) = (&self.prior, &self.before) else {
            return left;
        };
        for node in &self.blueprint.nodes {
            let old = before.node(&node.path);
            let old = old.filter(|old| old.identity() == node.identity());
            let old = old.filter(|_| state::was_there(prior, &node.path));
            let (Some(old), Some(Some(found))) = (old, findings.get_mut(&node.path)) else {
                continue;
            };
            let seen = was.get(&node.path).and_then(Option::as_ref);
            let seen = &seen.unwrap_or(found).attributes;
            let differs = Differs::sorted(node, old, prior, planned, &found.attributes, seen);
            let label = |one: &Difference| state::label(&node.path, &one.name);
            left.since.extend(differs.since.iter().map(label));
            left.overwritten
                .extend(differs.overwritten.iter().map(label));
            for one in differs.ignored.into_iter().chain(differs.since) {
                found.attributes.insert(one.name.clone(), one.wanted);
                let of_part = left.found.entry(node.path.clone()).or_default();
                of_part.get_or_insert_default().insert(one.name, one.is);
            }
        }
        left
    }

    /// Looks at what there is, when nobody takes it down.
    async fn seen(&self, making: &Making<'_>, aws: &Aws) -> Result<Option<Findings>, Diagnostics> {
        loop {
            tokio::select! {
                () = making.is_alone() => {}
                () = aws.stop.cancelled() => {}
            }
            let looked = match &self.prior {
                None => look_for(&self.blueprint, aws).await,
                Some(prior) => look_again(prior, &self.blueprint, aws).await,
            };
            if making.begin() {
                let looked = looked.map_err(|failures| all_told(&failures));
                return looked.map(Some);
            }
            if aws.stop.is_cancelled() {
                return Ok(None);
            }
        }
    }

    /// The state machine of the pipeline where it stands complete, be it one of another name, and is not the one to be changed.
    async fn stands(&self, findings: &Findings, aws: &Aws) -> Result<Option<String>, Diagnostics> {
        let mark = self.mark();
        let stands = async {
            if self.prior.is_some() {
                let at = self.settings.made_at.as_deref();
                return made_since(at, &self.blueprint, &mark, findings, aws).await;
            }
            if let Some(machine) = machine(findings) {
                return Ok(Some(machine.text("name").to_owned()));
            }
            let other = elsewhere::machine(&self.blueprint, &mark, findings, false, aws).await?;
            Ok(other.map(|(arn, _)| arn))
        };
        stands.await.map_err(|failure| vec![told(&failure)])
    }

    /// Refuses to make a second state machine beside one that an import did not see.
    async fn knows_its_machine(&self, findings: &Findings, aws: &Aws) -> Result<(), Diagnostics> {
        if machine(findings).is_some() {
            return Ok(());
        }
        let other = elsewhere::machine(&self.blueprint, &self.mark(), findings, true, aws).await;
        let other = other.map_err(|failure| vec![told(&failure)])?;
        let Some((arn, _)) = other else {
            return Ok(());
        };
        let detail = format!(
            "The pipeline's parts belong to the state machine {arn}, which the state does not know, as after an import that nothing told of it. Give its name, or remove it."
        );
        let path = Path::root().attribute(blueprint::MACHINE).attribute("name");
        Err(vec![
            Diagnostic::error("A state machine of another name", detail).at(path),
        ])
    }

    /// Refuses to make a second bucket beside one that an import did not see.
    async fn knows_its_bucket(&self, findings: &Findings, aws: &Aws) -> Result<(), Diagnostics> {
        if !is_missing(findings, "bucket") {
            return Ok(());
        }
        let other = elsewhere::bucket(&self.blueprint, &self.mark(), findings, aws).await;
        let other = other.map_err(|failure| vec![told(&failure)])?;
        let Some(name) = other else {
            return Ok(());
        };
        let detail = format!(
            "The pipeline's parts work with the bucket \"{name}\", which the state does not know, as after an import that nothing told of it. Give its name, or remove it."
        );
        let path = Path::root().attribute("bucket").attribute("bucket");
        Err(vec![
            Diagnostic::error("A bucket of another name", detail).at(path),
        ])
    }

    /// Refuses to take up a bucket that has work or answers in it: a run that did not get to its end leaves it empty.
    async fn holds_nothing(&self, findings: &Findings, aws: &Aws) -> Result<(), Diagnostics> {
        let blueprint = Blueprint::of(&self.settings, &self.facts);
        let Some(node) = blueprint.node(&["bucket".to_owned()]) else {
            return Ok(());
        };
        if findings.get(&node.path).is_none_or(Option::is_none) {
            return Ok(());
        }
        let used = node.part.in_use(aws, true).await;
        let used = used.map_err(|failure| vec![told(&failure)])?;
        let Some(reason) = used else {
            return Ok(());
        };
        let id = blueprint::id(&self.settings);
        Err(vec![in_use_already(&id, node, &reason)])
    }

    /// Removes the folder objects of prefixes that are no longer the pipeline's, as far as they are empty. A folder that was seen by the one in it alone may not be seen after that, and
    /// counts as missing.
    async fn remove_old_folders(&self, findings: &mut Findings, aws: &Aws) -> Result<(), Failure> {
        let Some(Ok(before)) = self.prior.as_ref().map(Settings::read) else {
            return Ok(());
        };
        let (Some(bucket), before, now) =
            (&before.bucket.bucket, &before.bucket, &self.settings.bucket)
        else {
            return Ok(());
        };
        let kept = [&now.inbound_prefix, &now.outbound_prefix];
        for prefix in [&before.inbound_prefix, &before.outbound_prefix] {
            if !kept.contains(&prefix) {
                remove_empty(aws, bucket, prefix).await?;
                let found = findings.get_mut(&["bucket".to_owned()][..]);
                let folders = found
                    .and_then(Option::as_mut)
                    .and_then(|found| found.attributes.get_mut("folders"));
                if let Some(folders) = folders.and_then(serde_json::Value::as_array_mut) {
                    folders.retain(|folder| {
                        !folder
                            .as_str()
                            .is_some_and(|folder| prefix.starts_with(folder))
                    });
                }
            }
        }
        Ok(())
    }
}

/// Refuses to make a pipeline that stands complete with this state machine.
pub fn stands_already(id: &str, machine: &str) -> Diagnostic {
    let detail = format!(
        "The pipeline \"{id}\" stands complete in this account and region, with the state machine {machine}, so another configuration may hold it. To take it over, run \
             `terraform import ADDRESS {id}`; where it is the same pipeline under another address, tell Terraform of it in a `moved` block; otherwise choose \
             another name or environment. Where this is a replacement by create_before_destroy, take that out, also of resources that depend on it and hand it down: two pipelines of one name cannot stand side \
             by side."
    );
    let path = Path::root().attribute("name");
    Diagnostic::error("Pipeline exists already", detail).at(path)
}

/// Refuses to take up parts of which the bucket holds something.
pub fn in_use_already(id: &str, bucket: &Node, used: &Failure) -> Diagnostic {
    let detail = format!(
        "The parts of the pipeline \"{id}\" are not what a run has left that did not get to its end: {} holds something ({}). Another configuration may hold them, whose state machine is missing. To take them over, run \
         `terraform import ADDRESS {id}`; where this is a replacement by create_before_destroy, take that out, also of resources that depend on it; where it is the same pipeline under another address, tell Terraform of it in a `moved` block; otherwise \
         empty the bucket, or choose another name or environment.",
        bucket.part.title(),
        used.message
    );
    let path = Path::root().attribute("name");
    Diagnostic::error("Pipeline in use", detail).at(path)
}

/// The state machine of a pipeline of this mark that is another than the one whose making began `at`, if there is such a one, maybe of another name.
///
/// # Errors
/// The failure of a call.
pub async fn made_since(
    at: Option<&str>,
    blueprint: &Blueprint,
    mark: &str,
    findings: &Findings,
    aws: &Aws,
) -> Result<Option<String>, Failure> {
    let Some(at) = at else {
        return Ok(None);
    };
    let (arn, found) = match machine(findings) {
        Some(machine) => (machine.text("arn").to_owned(), made_at(findings)),
        None => match elsewhere::machine(blueprint, mark, findings, false, aws).await? {
            Some((arn, mut tags)) => (arn, tags.0.remove(MADE_AT)),
            None => return Ok(None),
        },
    };
    // What is no time somebody has written there. Which of two is the later one is not asked: clocks differ.
    let is_time = |text: &String| humantime::parse_rfc3339(text).is_ok();
    let other = found.filter(is_time).is_some_and(|found| found != at);
    Ok(other.then_some(arn))
}

/// What tells a pipeline whose making begins now from all others.
fn making_begins() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

/// Whether the plan leaves a function the code it has: so Terraform plans it, too, where `ignore_changes` has the function.
fn is_left(function: &str, planned: &Tree, prior: Option<&Tree>) -> bool {
    let same = |name: &str| {
        let told = |tree: &Tree| tree.get(function)?.get(name).cloned();
        told(planned)
            .is_some_and(|planned| !planned.is_null() && prior.and_then(told) == Some(planned))
    };
    same("package") && same("code_sha256")
}

/// The code that was agreed to: a file that changed since the plan would make another function. Where the plan leaves a function the code it has, it is
/// left that, whatever it and the file are now.
fn agreed(
    settings: &Settings,
    planned: &Tree,
    prior: Option<&Tree>,
) -> Result<Packages, Diagnostics> {
    let code = |function: &str, now: Result<Package, NoPackage>| {
        let told = |name: &str| planned.get(function)?.get(name)?.as_str();
        let hash = told("code_sha256");
        if is_left(function, planned, prior) {
            let label = told("package").unwrap_or_default();
            let same = |now: &Package| now.label == label && now.sha256.as_deref() == hash;
            let source = now.ok().filter(same).and_then(|now| match now.code {
                Code::Given(source) => Some(source),
                _ => None,
            });
            return Ok(Package {
                label: label.to_owned(),
                sha256: hash.map(str::to_owned),
                code: Code::Left(source),
            });
        }
        let now = now.map_err(|none| vec![none.told()])?;
        match (now.sha256.as_deref(), hash) {
            (Some(now), Some(hash)) if now != hash => {
                let detail = format!(
                    "The code was {hash} (SHA-256) in the plan and is {now} now. Make a new plan."
                );
                let path = Path::root().attribute(function);
                Err(vec![
                    Diagnostic::error("Code changed since the plan", detail).at(path),
                ])
            }
            _ => Ok(now),
        }
    };
    Ok(Packages {
        processing: code("processing", Packages::processing(settings))?,
        integration: code("integration", Packages::integration(settings))?,
    })
}
