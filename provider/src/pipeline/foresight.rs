//! What a plan sees of the pipeline that is to replace another, before that one is taken down for it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use tfplugin::{Diagnostic, Diagnostics, Value};
use tokio_util::sync::CancellationToken;

use super::blueprint::{self, Blueprint, Identity, Node};
use super::destroy::{known_of, stands_against};
use super::findings::{Findings, as_before, recognise_before, refusals, seen};
use super::order::{in_use_already, stands_already};
use super::plan::{self, Known};
use super::warnings::warning_of;
use super::words::{
    ANOTHER_ALIAS, alias_elsewhere, all_told, in_the_way, key_of_no_use, not_foreseen,
};
use super::{elsewhere, named};
use crate::config::Session;
use crate::engine::{Failure, Owner, belongs};
use crate::parts::tags::MARK;
use crate::parts::{Aws, key};

/// How long a plan looks at what is to replace a pipeline.
const FORESIGHT: Duration = Duration::from_secs(20);
/// How long it looks at a key of the user's.
const GLANCE: Duration = Duration::from_secs(5);

/// What stands against the pipeline that is to replace one: it is told before that one is taken down for it.
pub async fn against(after: &Blueprint, known: &Known, session: Option<&Session>) -> Diagnostics {
    let Some(session) = session else {
        return vec![not_foreseen()];
    };
    let before = known
        .prior
        .as_ref()
        .and_then(|prior| plan::recorded_before(prior, known, after));
    let aws = session.aws(CancellationToken::new());
    let own = before.as_ref().map(Blueprint::identities);
    let own = own.unwrap_or_default();
    let is_looked_at = |node: &&Node| node.goes_with.is_none() && node.path != ["key"];
    let looks = after.nodes.iter().filter(is_looked_at).map(|node| {
        let aws = &aws;
        async move {
            let look = tokio::time::timeout(FORESIGHT, seen(&[node], aws)).await;
            look.unwrap_or_else(|_| Err(vec![not_in_time(node)]))
        }
    });
    let (mut findings, mut failures) = (Findings::new(), Vec::new());
    for look in join_all(looks).await {
        match look {
            Ok(found) => findings.extend(found),
            Err(failed) => failures.extend(failed),
        }
    }
    if let Some(before) = &before {
        match as_before(before, after, &findings, &aws).await {
            Ok(was) => recognise_before(known.prior.as_ref(), before, after, &was, &mut findings),
            Err(failed) => failures.extend(failed),
        }
        // What is the old one's goes before the new one's is made.
        let theirs = Owner::SomeoneElse(before.mark());
        for node in after
            .nodes
            .iter()
            .filter(|node| own.contains(&node.identity()))
        {
            if let Some(Some(found)) = findings.get_mut(&node.path)
                && found.owner == theirs
            {
                found.owner = Owner::Us;
            }
        }
    }
    // What keeps its name may be the pipeline's own and have lost its tag.
    let keeps = |failure: &Failure| {
        let mut own = before.iter().flat_map(|before| &before.nodes);
        own.any(|node| node.part.title() == failure.object)
    };
    let refusals = refusals(after, &findings).into_iter();
    let (kept, new): (Vec<_>, Vec<_>) = refusals.partition(keeps);
    failures.extend(new);
    // Without its alias a key would be looked for among all there are.
    let key = after.node(&["key".to_owned()]);
    if let (Some(key), Some(mark)) = (key, after.mark()) {
        let state = known.prior.as_ref().and_then(|prior| prior.get("key"));
        let id = state.and_then(|key| key.get("key_id")?.as_str());
        let is_own = |found: &key::Named| {
            let marked = before.as_ref().and_then(Blueprint::mark);
            found.id == id.unwrap_or_default()
                || marked.is_some_and(|mark| found.tags.are_of(&mark))
        };
        let look = tokio::time::timeout(FORESIGHT, key::named(key.part.name(), &aws)).await;
        match look.unwrap_or_else(|_| Err(not_in_time(key))) {
            Ok(None) => {}
            Ok(Some(found)) if found.tags.are_of(&mark) => {}
            Ok(Some(found)) if own.contains(&key.identity()) && is_own(&found) => {
                if found.is_going {
                    failures.push(alias_stays(key));
                }
            }
            Ok(Some(found)) => failures.push(match found.tags.0.get(MARK) {
                Some(mark) => belongs(key.part.as_ref(), Some(mark)),
                None => alias_taken(key, &another_key(&found)),
            }),
            Err(failure) if failure.is(key::DENIED) && failure.operation == "kms:DescribeKey" => {
                failures.push(alias_taken(key, key::HIDDEN));
            }
            Err(failure) => failures.push(failure),
        }
    }
    let mut told = in_the_way(kept, before.as_ref());
    told.extend(all_told(&failures));
    match already(after, before.as_ref(), &own, &findings, &aws).await {
        Ok(found) => told.extend(found),
        Err(failure) => told.push(super::told(&failure)),
    }
    if !told.is_empty() {
        let detail = "It would destroy the pipeline that stands, before it makes the new one. Where what is in its way is a pipeline of this configuration that only has another address now, as when one is taken out of a \
                      `count`, move each in the state to its new one (`terraform state mv`, the first to an address that nothing has). Where it is to go, let it go in a run of its own first; to destroy the pipeline \
                      as it is, run `terraform destroy`. Where what is in its way is an object of this resource that is still to be destroyed (\"deposed\" in the plan), apply the configuration that made the present one first.";
        told.push(Diagnostic::error(
            "A replacement that cannot be made",
            detail,
        ));
    }
    told
}

/// Nobody deletes the alias of a key that is as good as gone.
fn alias_stays(key: &Node) -> Failure {
    let alias = key.part.name();
    let message = "it is of the pipeline's key, which waits for its deletion, and would stay so";
    Failure::refusal(key.part.title(), message).advise(format!(
        "Remove it first, `aws kms delete-alias --alias-name {alias}`, or have the key back: `aws kms cancel-key-deletion`."
    ))
}

fn another_key(found: &key::Named) -> String {
    let going = if found.is_going {
        ", which waits for its deletion"
    } else {
        ""
    };
    format!("another key, {}{going}", found.id)
}

/// Somebody's alias is left where it is, and so is his key.
fn alias_taken(key: &Node, whose: &str) -> Failure {
    let message = format!("its alias is of {whose}, so it was left as it is");
    Failure::refusal(key.part.title(), message).advise(ANOTHER_ALIAS)
}

/// What is wrong with a key of the user's own; an error where a pipeline would be replaced by one that works with it.
pub async fn given_key(config: &Value, replaces: bool, session: &Session) -> Option<Diagnostic> {
    let arn = config.get("kms_key_arn")?.as_str()?;
    // One of another region is refused, and nobody here knows of it.
    if arn.split(':').nth(3) != Some(session.region()) {
        return None;
    }
    let why = tokio::time::timeout(GLANCE, key::trouble(arn, &once(session))).await;
    Some(key_of_no_use(arn, why.ok()??, replaces))
}

/// What there is of these parts, as far as it can be seen at once.
pub async fn glanced(nodes: impl Iterator<Item = &Node>, session: &Session) -> Findings {
    let aws = &once(session);
    let looks = nodes.map(|node| async move {
        let look = tokio::time::timeout(GLANCE, seen(&[node], aws)).await;
        look.ok()?.ok()
    });
    join_all(looks)
        .await
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

/// What the pipeline that is to be replaced holds, for which its destroy is refused as things are: with `create_before_destroy` that comes last.
pub async fn held(seen: &[u8], known: &Known, session: Option<&Session>) -> Option<Diagnostic> {
    let (blueprint, findings) = known_of(seen, known, session, |_| true).await?;
    let mark = blueprint.mark().unwrap_or_default();
    let aws = &once(session?);
    let stands = |node| stands_against(node, &blueprint, &findings, &mark, aws);
    let nodes = blueprint.nodes.iter();
    let looks = nodes.map(|node| tokio::time::timeout(GLANCE, stands(node)));
    let held: Vec<String> = join_all(looks)
        .await
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .map(|held| {
            let advice = held.advice.unwrap_or_default();
            format!("{}: {}. {advice}", held.object, held.message)
        })
        .collect();
    let detail = format!(
        "A replacement destroys the pipeline that stands, which an apply refuses as things are.\n\n{}\n\nWith create_before_destroy the whole new pipeline is made before the refusal, and what is set after that does not reach the old one.",
        held.join("\n\n")
    );
    let whose = known.prior.as_ref().and_then(named).unwrap_or_default();
    (!held.is_empty()).then(|| warning_of(&whose, "Replacement that will be refused", detail))
}

/// Whose the alias is that the pipeline's key, which is there, has lost or is to get, where it is another key's.
pub async fn wanted_alias(
    prior: Option<&Value>,
    planned: &Value,
    session: &Session,
) -> Option<Diagnostic> {
    let of = |tree: &Value, name: &str| Some(tree.get("key")?.get(name)?.as_str()?.to_owned());
    let prior = prior?;
    let (alias, id) = (of(planned, "alias")?, of(prior, "key_id")?);
    if of(prior, "alias").is_some_and(|now| now == alias) {
        return None;
    }
    let aws = once(session);
    let look = key::holder(&alias, &id, &aws);
    let other = tokio::time::timeout(GLANCE, look).await.ok()??;
    Some(alias_elsewhere(&alias, &other))
}

/// For what is told as a warning alone: nothing is asked twice.
fn once(session: &Session) -> Aws {
    Aws {
        max_retries: Some(0),
        ..session.aws(CancellationToken::new())
    }
}

fn not_in_time(node: &Node) -> Failure {
    let message = format!("it could not be looked at within {FORESIGHT:?}");
    Failure::refusal(node.part.title(), message)
}

/// What there is under a new name, complete or with something in it, though a run that did not get to its end would have left neither.
async fn already(
    after: &Blueprint,
    before: Option<&Blueprint>,
    own: &BTreeSet<Identity>,
    findings: &Findings,
    aws: &Aws,
) -> Result<Option<Diagnostic>, Failure> {
    let new = |place: &str| {
        let node = after.node(&[place.to_owned()])?;
        (!own.contains(&node.identity())).then_some(node)
    };
    let is_ours = |node: &&Node| {
        let found = findings.get(&node.path).and_then(Option::as_ref);
        found.is_some_and(|found| found.owner == Owner::Us)
    };
    let Some(mark) = after.mark() else {
        return Ok(None);
    };
    let id = mark.rsplit_once('/').map_or("", |(id, _)| id);
    if let Some(machine) = new(blueprint::MACHINE) {
        if is_ours(&machine) {
            return Ok(Some(stands_already(id, machine.part.name())));
        }
        // The one that is to be replaced is of the same mark where only a name changes.
        let others = before.and_then(Blueprint::mark) != Some(mark.clone());
        if others
            && let Some((arn, _)) = elsewhere::machine(after, &mark, findings, false, aws).await?
        {
            return Ok(Some(stands_already(id, &arn)));
        }
    }
    let Some(bucket) = new("bucket").filter(is_ours) else {
        return Ok(None);
    };
    let used = bucket.part.in_use(aws, true).await?;
    Ok(used.map(|used| in_use_already(id, bucket, &used)))
}
