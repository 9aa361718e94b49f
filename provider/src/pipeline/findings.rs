//! Looks at the parts there are, and whose they are.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, Value as Json};

use super::blueprint::{Blueprint, MACHINE, Node, Path};
use super::state::{self, Observed};
use crate::engine::{Changes, Failure, Found, Owner, refusal};
use crate::parts::Aws;
use crate::parts::tags::{MADE_AT, Tags, former};

/// What was found of each part.
pub type Findings = BTreeMap<Path, Option<Found>>;

/// Where all parts of a kind say the same of what the pipeline has one argument for, so does the argument: `ignore_changes` reaches that. Where nothing is set and the state
/// knows of nothing else, it may be that their making did not get so far.
pub fn agree(base: &mut Map<String, Json>, blueprint: &Blueprint, findings: &Findings) {
    let is_nothing = |value: &Json| value.is_null() || *value == 0;
    for (kind, property, argument) in state::OF_ALL {
        let of_kind = blueprint.nodes.iter();
        let of_kind = of_kind.filter(|node| node.part.kind() == kind);
        let said = of_kind.map(|node| {
            let found = findings.get(&node.path)?.as_ref();
            let found = found.filter(|found| found.owner == Owner::Us)?;
            let said = found.attributes.get(property)?;
            let was = state::given(base, &node.path, property);
            let was_set = was.is_some_and(|was| !is_nothing(was));
            (was_set || !is_nothing(said)).then_some(said)
        });
        let said: Option<Vec<&Json>> = said.collect();
        let said = said.unwrap_or_default();
        if let Some(first) = said.first()
            && said.iter().all(|other| other == first)
        {
            base.insert(argument.to_owned(), Json::clone(first));
        }
    }
}

/// AWS for looks at parts that are likely to be there: the tags of all are told in one call.
#[must_use]
pub fn for_looks(blueprint: &Blueprint, aws: &Aws) -> Aws {
    let parts = blueprint.nodes.iter();
    let tagged = parts.filter_map(|node| node.part.tagged_as().map(str::to_owned));
    aws.looking_at(tagged.collect())
}

/// Looks at all parts at once of which a state tells.
///
/// # Errors
/// As [`look`].
pub async fn look_again(
    prior: &Map<String, Json>,
    blueprint: &Blueprint,
    aws: &Aws,
) -> Result<Findings, Vec<Failure>> {
    look_well(
        prior,
        blueprint,
        &for_looks(blueprint, aws),
        Findings::new(),
    )
    .await
}

/// The same with eyes for it, where something has been `found` already.
///
/// # Errors
/// As [`look`].
pub async fn look_well(
    prior: &Map<String, Json>,
    blueprint: &Blueprint,
    eyes: &Aws,
    found: Findings,
) -> Result<Findings, Vec<Failure>> {
    let mut findings = look(blueprint, eyes, found).await?;
    look_hard(prior, blueprint, eyes, &mut findings).await?;
    Ok(findings)
}

/// The pauses before further looks for what a state tells of.
const DENIALS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
];

/// Looks further for what a state tells of and nobody has seen: AWS may deny for some seconds what is there, and what is forgotten for that is left for ever.
///
/// # Errors
/// As [`look`].
async fn look_hard(
    prior: &Map<String, Json>,
    blueprint: &Blueprint,
    aws: &Aws,
    findings: &mut Findings,
) -> Result<(), Vec<Failure>> {
    let is_missed = |node: &&Node| {
        let is_missed = findings.get(&node.path).is_some_and(Option::is_none);
        is_missed && !node.part.is_sought_long() && state::was_there(prior, &node.path)
    };
    let missed: Vec<&Node> = blueprint.nodes.iter().filter(is_missed).collect();
    findings.extend(sought(missed, aws).await?);
    Ok(())
}

/// Looks again and again for parts that were there and that AWS denies.
///
/// # Errors
/// As [`look`], and that it was interrupted while there was something to look for.
pub async fn sought(mut missed: Vec<&Node>, aws: &Aws) -> Result<Findings, Vec<Failure>> {
    let mut findings = Findings::new();
    for pause in DENIALS {
        let Some(first) = missed.first() else { break };
        aws.rest(pause).await;
        if aws.stop.is_cancelled() {
            return Err(vec![Failure {
                interrupted: true,
                ..Failure::refusal(
                    first.part.title(),
                    "interrupted before it was looked for again",
                )
            }]);
        }
        let seen = seen(&missed, &aws.looking_at(Vec::new())).await?;
        missed.retain(|node| seen.get(&node.path).is_none_or(Option::is_none));
        findings.extend(seen);
    }
    Ok(findings)
}

/// Looks at these parts after a while, each by its own service.
///
/// # Errors
/// As [`look`].
pub async fn seen_later(nodes: &[&Node], aws: &Aws) -> Result<Findings, Vec<Failure>> {
    aws.second_thought().await;
    seen(nodes, &aws.looking_at(Vec::new())).await
}

/// Looks at all parts at once that have not been `found` yet.
///
/// # Errors
/// The failures of the calls that failed, for an incomplete picture is none.
pub async fn look(
    blueprint: &Blueprint,
    aws: &Aws,
    mut found: Findings,
) -> Result<Findings, Vec<Failure>> {
    let nodes = blueprint.nodes.iter();
    let unseen: Vec<&Node> = nodes
        .filter(|node| !found.contains_key(&node.path))
        .collect();
    found.extend(seen(&unseen, aws).await?);
    // The index of tags is late, and may tell those of one that was there before: what is not as it should be is asked for its own.
    let differs = |node: &&Node| {
        let seen = found.get(&node.path).and_then(Option::as_ref);
        let changed = |seen: &Found| {
            let changes = Changes::between(&node.part.desired(), &seen.attributes);
            !changes.is_empty() && !changes.any(&["tags"])
        };
        let arn = node.part.tagged_as();
        arn.is_some_and(|arn| aws.is_indexed(arn)) && seen.is_some_and(changed)
    };
    let doubted: Vec<&Node> = blueprint.nodes.iter().filter(differs).collect();
    if !doubted.is_empty() {
        let again = seen(&doubted, &aws.looking_at(Vec::new())).await?;
        found.extend(again);
    }
    Ok(found)
}

/// Looks at the parts of a pipeline that is yet to be made. What goes with a part that is not there is not there either, and nobody is asked for
/// it.
///
/// # Errors
/// As [`look`].
pub async fn look_for(blueprint: &Blueprint, aws: &Aws) -> Result<Findings, Vec<Failure>> {
    let (alone, guests): (Vec<&Node>, Vec<&Node>) = blueprint
        .nodes
        .iter()
        .partition(|node| node.goes_with.is_none());
    let mut findings = seen(&alone, aws).await?;
    let there = |host: &Path| findings.get(host).is_some_and(Option::is_some);
    let (to_see, absent): (Vec<&Node>, Vec<&Node>) = guests
        .into_iter()
        .partition(|node| node.goes_with.as_ref().is_some_and(there));
    let more = seen(&to_see, aws).await?;
    findings.extend(more);
    findings.extend(absent.into_iter().map(|node| (node.path.clone(), None)));
    Ok(findings)
}

/// Looks at these parts at once.
///
/// # Errors
/// As [`look`].
pub async fn seen(nodes: &[&Node], aws: &Aws) -> Result<Findings, Vec<Failure>> {
    let reads = nodes
        .iter()
        .map(|node| async move { (node.path.clone(), node.part.read(aws).await) });
    let results = join_all(reads).await;
    let mut findings = Findings::new();
    let mut failures = Vec::new();
    for (path, result) in results {
        match result {
            Ok(found) => {
                findings.insert(path, found);
            }
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        Ok(findings)
    } else {
        Err(failures)
    }
}

/// Takes from us what hangs on parts that are somebody else's: it has no mark of its own, and is theirs.
pub fn disown(blueprint: &Blueprint, findings: &mut Findings) {
    for node in &blueprint.nodes {
        let owner = foreign(node.goes_with.as_slice(), findings).cloned();
        if let (Some(owner), Some(Some(found))) = (owner, findings.get_mut(&node.path)) {
            found.owner = owner;
        }
    }
}

/// Whose the first of these parts is that is not ours.
fn foreign<'a>(parts: &[Path], findings: &'a Findings) -> Option<&'a Owner> {
    let mut owners = parts
        .iter()
        .filter_map(|part| Some(&findings.get(part)?.as_ref()?.owner));
    owners.find(|owner| **owner != Owner::Us)
}

/// The refusals for parts that exist and are somebody else's. What hangs on such a part goes without saying.
#[must_use]
pub fn refusals(blueprint: &Blueprint, findings: &Findings) -> Vec<Failure> {
    let refused = |node: &Node| {
        findings
            .get(&node.path)?
            .as_ref()
            .and_then(|found| refusal(node.part.as_ref(), found))
    };
    let nodes = blueprint.nodes.iter();
    let alone = nodes.filter(|node| foreign(node.goes_with.as_slice(), findings).is_none());
    alone.filter_map(refused).collect()
}

/// Parts that were as `before` has them, are to be as `after` has them, and were found as neither or without a mark: looked at once more as what they were, since some properties
/// are read by what they are to be.
///
/// # Errors
/// As [`look`].
pub async fn as_before(
    before: &Blueprint,
    after: &Blueprint,
    findings: &Findings,
    aws: &Aws,
) -> Result<Findings, Vec<Failure>> {
    let is_doubted = |node: &&Node| {
        let found = findings.get(&node.path).and_then(Option::as_ref);
        let becomes = after.node(&node.path);
        let becomes = becomes.filter(|other| other.identity() == node.identity());
        let (Some(found), Some(becomes)) = (found, becomes) else {
            return false;
        };
        let (was, wanted) = (node.part.desired(), becomes.part.desired());
        let is_neither = |name: &String| {
            let is = found.attributes.get(name);
            is != was.get(name) && is != wanted.get(name)
        };
        let is_strange = match &found.owner {
            Owner::Us => was.keys().any(is_neither),
            Owner::SomeoneElse(mark) => mark.is_none(),
        };
        is_strange && was != wanted
    };
    let doubted: Vec<&Node> = before.nodes.iter().filter(is_doubted).collect();
    seen(&doubted, &aws.looking_at(Vec::new())).await
}

/// Takes a part for ours that the blueprint has, and that has lost its mark and is known by what else it is, as it was made or as the `prior` state tells of it, or has the one that 0.1.0 gave it.
pub fn recognise(
    prior: Option<&Map<String, Json>>,
    blueprint: &Blueprint,
    findings: &mut Findings,
) {
    recognise_before(prior, blueprint, blueprint, &Findings::new(), findings);
}

/// The same of parts that were as `before` has them and are to be as `after` has them, where some were found as they [were](as_before).
pub fn recognise_before(
    prior: Option<&Map<String, Json>>,
    before: &Blueprint,
    after: &Blueprint,
    was: &Findings,
    findings: &mut Findings,
) {
    let mark = before.mark().unwrap_or_default();
    let is_its_own = |node: &Node, found: &Found| match &found.owner {
        Owner::SomeoneElse(None) => {
            let was = was.get(&node.path).and_then(Option::as_ref);
            // What somebody has changed elsewhere shows in what it would have been, not in what it is to be.
            let to_be = after.node(&node.path).map(|node| &node.part);
            node.part.is_known_by(&was.unwrap_or(found).attributes)
                || to_be.is_some_and(|part| part.is_known_by(&found.attributes))
                || prior.is_some_and(|prior| {
                    let rest = state::but_for_told(prior, node, &found.attributes);
                    node.part.is_known_by(&rest)
                })
        }
        Owner::SomeoneElse(Some(its)) => former(&mark) == Some(its),
        Owner::Us => true,
    };
    for node in &before.nodes {
        let same_name = |other: &Node| other.part.name() == node.part.name();
        if foreign(&node.joins, findings).is_some() {
            continue;
        }
        if let Some(Some(found)) = findings.get_mut(&node.path)
            && after.node(&node.path).is_some_and(same_name)
            && is_its_own(node, found)
        {
            found.owner = Owner::Us;
        }
    }
}

/// Whether what stands is not the pipeline of the state: of bucket and state machine, which hold all there is to lose, none is ours and one that was there stands, and
/// most of all that stands is not ours either. What a destroy that was killed has left is ours, whoever has taken the bucket's name since.
#[must_use]
pub fn is_elses(prior: &Map<String, Json>, findings: &Findings) -> bool {
    let (own, others): (Vec<_>, Vec<_>) = findings
        .iter()
        .filter_map(|(path, found)| Some((path, &found.as_ref()?.owner)))
        .partition(|(_, owner)| **owner == Owner::Us);
    let holds = |path: &Path| *path == ["bucket"] || *path == [MACHINE];
    let was_there = |path: &Path| holds(path) && state::was_there(prior, path);
    own.len() < others.len()
        && !own.iter().any(|(path, _)| holds(path))
        && others.iter().any(|(path, _)| was_there(path))
}

/// Whether a part was looked for and is not there.
#[must_use]
pub fn is_missing(findings: &Findings, place: &str) -> bool {
    let found = findings.get(&[place.to_owned()][..]);
    found.is_some_and(Option::is_none)
}

/// What there is of ours.
#[must_use]
pub fn ours(findings: &Findings) -> Observed {
    let own = |found: &Option<Found>| {
        found
            .as_ref()
            .filter(|found| found.owner == Owner::Us)
            .map(|found| found.attributes.clone())
    };
    findings
        .iter()
        .map(|(path, found)| (path.clone(), own(found)))
        .collect()
}

/// The ARN of the pipeline's own key, where it was found.
#[must_use]
pub fn own_key(findings: &Findings) -> Option<String> {
    let key = findings.get(&["key".to_owned()][..])?.as_ref()?;
    let is_own = key.owner == Owner::Us;
    is_own.then(|| key.text("arn").to_owned())
}

/// The state machine that was found, whosever it is.
#[must_use]
pub fn machine(findings: &Findings) -> Option<&Found> {
    findings.get(&[MACHINE.to_owned()][..])?.as_ref()
}

/// When the making of the pipeline began that was found, as its state machine tells.
#[must_use]
pub fn made_at(findings: &Findings) -> Option<String> {
    let machine = machine(findings)?;
    let ours = machine.owner == Owner::Us;
    let mut tags = Tags::of(&machine.attributes).0;
    tags.remove(MADE_AT).filter(|_| ours)
}
