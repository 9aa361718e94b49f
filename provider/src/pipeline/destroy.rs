//! The end of a pipeline: what stands against it, and what is left to others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value as Json;
use tfplugin::{ApplyRequest, Diagnostic, Diagnostics, Value, Work};

use super::apply::{Deadline, take_down, tell_whose};
use super::blueprint::{self, Blueprint, Node};
use super::findings::{Findings, disown, is_missing, look_again, machine, ours, recognise};
use super::foresight::glanced;
use super::order::made_since;
use super::plan::{self, Known};
use super::settings::Settings;
use super::warnings::warning_of;
use super::{
    CallbackPipeline, all_told, checkpoints, elsewhere, home, limit, memory, named, not_configured,
    or_cut_short, settings_of, state, stop_with, supposed, told, tree_of, unfinished, unmarked,
    value_of,
};
use crate::config::Session;
use crate::engine::{Failure, Found, Owner};
use crate::parts::tags::MARK;
use crate::parts::{Aws, key, queue, topic};

/// Another resource of the same name makes the pipeline, and this one is to be taken down.
fn made_elsewhere(settings: &Settings) -> Diagnostic {
    let detail = format!(
        "Another resource of this configuration makes or changes the pipeline \"{}\" at this moment, of the parts that this one would remove. Nothing was destroyed. If it is the same pipeline \
         under another address, take this one out of the state with `terraform state rm`; before the next such change, tell Terraform of it in a `moved` block.",
        blueprint::id(settings)
    );
    Diagnostic::error("Pipeline twice", detail)
}

/// What was to be destroyed has become part of what this run made. The rest stays, too: what the new pipeline works with may depend on it, the old key above all, and
/// a destroy that failed half-way would be tried again by a run that knows nothing of this.
fn held_anew(settings: &Settings, titles: &[String]) -> Diagnostic {
    let rest = if titles.is_empty() {
        String::new()
    } else {
        format!(
            " The new one does not have these; remove what is left of them when nothing needs them any more: {}.",
            titles.join(", ")
        )
    };
    let detail = format!(
        "This run has made the pipeline \"{}\" before it came to destroy this object of the same name, and of the parts that were left of it. They are the new one's now, so nothing was \
         destroyed.{rest} A pipeline cannot be replaced by create_before_destroy; another address for it wants a `moved` block.",
        blueprint::id(settings)
    );
    Diagnostic::warning("Parts left to the pipeline that was made", detail)
}

/// The same, where another run made it.
pub(super) fn held_by_another(settings: &Settings) -> Diagnostic {
    let detail = format!(
        "The pipeline \"{}\" that stands is another than the one this object of the state tells of: it was made anew, and its parts are the new one's. None is changed or destroyed for this object: an apply is refused, and a \
         destroy takes the object out of the state. What the new one does not have may be left; it carries the tag {MARK}. If the new one is in no state, `terraform import` takes it over.",
        blueprint::id(settings)
    );
    Diagnostic::warning("Pipeline made anew", detail)
}

/// The kinds of parts with which something goes for good, and what tells how much.
const HOLD: [&str; 3] = ["SQS queue", "SNS topic", "SNS subscription"];

/// What a destroy, also one for a replacement, takes away for good, as the refresh of the same run has seen it, or as a look tells where there was none.
pub(super) async fn lost(private: &[u8], known: &Known, session: Option<&Session>) -> Diagnostics {
    let tells = |node: &&Node| {
        let desired = node.part.desired();
        let is_encrypted = key::NAMED_BY.iter().any(|name| desired.contains_key(*name));
        HOLD.contains(&node.part.kind()) || is_encrypted || node.path == ["key"]
    };
    let Some((blueprint, findings)) = known_of(private, known, session, tells).await else {
        return Vec::new();
    };
    let whose = known.prior.as_ref().and_then(named).unwrap_or_default();
    goes(&whose, &blueprint, &findings)
}

/// The parts of the state, as the refresh of the same run has seen them or, where there was none, as a look at those that tell shows them.
pub(super) async fn known_of(
    private: &[u8],
    known: &Known,
    session: Option<&Session>,
    tells: impl Fn(&&Node) -> bool,
) -> Option<(Blueprint, Findings)> {
    let prior = known.prior.as_ref()?;
    let blueprint = plan::recorded(prior, known)?;
    if let Some(findings) = memory::read(private, &blueprint) {
        return Some((blueprint, findings));
    }
    let mut seen = glanced(blueprint.nodes.iter().filter(tells), session?).await;
    recognise(Some(prior), &blueprint, &mut seen);
    disown(&blueprint, &mut seen);
    Some((blueprint, seen))
}

/// Whether this part goes with the pipeline; also where it was not seen whose it is.
fn goes_with(blueprint: &Blueprint, findings: &Findings, path: &[String]) -> bool {
    let found = findings.get(path).and_then(Option::as_ref);
    blueprint.node(path).is_some() && found.is_none_or(|found| found.owner == Owner::Us)
}

/// The parts that are not ours, would be left, and work with the pipeline's own key.
fn keyless(blueprint: &Blueprint, findings: &Findings) -> Vec<String> {
    if !goes_with(blueprint, findings, &["key".to_owned()]) {
        return Vec::new();
    }
    let is_left = |node: &&Node| {
        let found = findings.get(&node.path).and_then(Option::as_ref);
        let desired = node.part.desired();
        let mut keys = key::NAMED_BY.into_iter();
        found.is_some_and(|found| {
            let is_same =
                |key| desired.contains_key(key) && desired.get(key) == found.attributes.get(key);
            found.owner != Owner::Us && keys.any(is_same)
        })
    };
    let left = blueprint.nodes.iter().filter(is_left);
    left.map(|node| node.part.title()).collect()
}

/// What goes for good with what was found: the messages in the queues, what others have subscribed to the topic, and what opens what is left.
fn goes(whose: &str, blueprint: &Blueprint, findings: &Findings) -> Diagnostics {
    let found = |node: &Node| {
        let found = findings.get(&node.path)?.as_ref();
        found.filter(|found| found.owner == Owner::Us)
    };
    let messages = |node: &Node| {
        let count = found(node)?.attributes.get(queue::MESSAGES)?.as_i64()?;
        (count > 0).then(|| format!("{}: about {count}", node.part.title()))
    };
    let is_own = |node: &&Node| node.path[0] == "subscriptions";
    let own = || blueprint.nodes.iter().filter(is_own);
    // One that could not be seen is nobody else's for that.
    let is_whole = own().all(|node| findings.contains_key(&node.path));
    let own = own().filter(|node| found(node).is_some()).count();
    let own = i64::try_from(own).unwrap_or_default();
    let subscribers = |node: &Node| {
        let all = found(node)?.attributes.get(topic::SUBSCRIBERS)?.as_i64()?;
        (all > own && is_whole).then(|| format!("{}: {}", node.part.title(), all - own))
    };
    let listed = |of: &dyn Fn(&Node) -> Option<String>| -> Vec<String> {
        blueprint.nodes.iter().filter_map(of).collect()
    };
    let mut told = Vec::new();
    let messages = listed(&messages);
    if !messages.is_empty() {
        let detail = format!(
            "Messages go with their queues, and nothing brings them back: {}. What failed for good is in the dead-letter queue.",
            messages.join(", ")
        );
        told.push(warning_of(whose, "Messages in the queues", detail));
    }
    let keyless = keyless(blueprint, findings);
    if !keyless.is_empty() {
        let detail = format!(
            "These are not the pipeline's by their tag and are left, and they work with its key, which goes: {}. What they hold cannot be read once it is deleted: give them the tag before, or have the key back in time (`aws kms cancel-key-deletion`).",
            keyless.join(", ")
        );
        told.push(warning_of(whose, "Parts left without their key", detail));
    }
    let others = listed(&subscribers);
    if !others.is_empty() {
        let detail = format!(
            "Subscriptions go with their topic, also those that the state does not tell of: {}. Those that others have made have to be made again for a new topic.",
            others.join(", ")
        );
        told.push(warning_of(
            whose,
            "Other subscriptions of the topic",
            detail,
        ));
    }
    told
}

/// What there is to take down; nothing where the pipeline that stands was made anew since.
async fn seen(
    session: &Session,
    private: &[u8],
    known: &Known,
    blueprint: &Blueprint,
    mark: &str,
    aws: &Aws,
) -> Result<Option<Findings>, Diagnostics> {
    // Where there was no state machine, another resource may have made the pipeline whole since.
    let tells =
        |seen: &Findings| machine(seen).is_some() || ours(seen).values().all(Option::is_none);
    if let Some(seen) = memory::read(private, blueprint).filter(tells) {
        return Ok(Some(seen));
    }
    let at = known
        .prior
        .as_ref()
        .and_then(|prior| prior.get("made_at")?.as_str());
    home(session, known.prior.as_ref()).await?;
    let prior = known.prior.as_ref().ok_or_else(not_configured)?;
    let looked = look_again(prior, blueprint, aws).await;
    let mut findings = looked.map_err(|failures| all_told(&failures))?;
    let since = made_since(at, blueprint, mark, &findings, aws).await;
    if since.map_err(|failure| vec![told(&failure)])?.is_some() {
        return Ok(None);
    }
    // A destroy that does not get to its end leaves a state to go on from.
    tell_whose(prior, blueprint, &mut findings)?;
    Ok(Some(findings))
}

/// Whether a part that is not ours works with what goes: the pipeline's own key, which opens what is in it, or its role.
fn is_tied(node: &Node, found: &Found, blueprint: &Blueprint, findings: &Findings) -> bool {
    let own_key = goes_with(blueprint, findings, &["key".to_owned()]);
    let desired = node.part.desired();
    let same = |name: &str| {
        let found = found.attributes.get(name);
        // A null stands for what is to be written again, or may not be seen.
        desired.contains_key(name) && (found == desired.get(name) || found == Some(&Json::Null))
    };
    // Objects keep the key that they were written with, whatever the bucket encrypts with by now.
    // One that somebody made anew has neither the policy nor the rules nor the folders.
    let mut made = ["policy", "lifecycle_rules", "folders"].into_iter();
    let made = made.any(same);
    let holds = node.path == ["bucket"] && found.owner == Owner::SomeoneElse(None) && made;
    let by_key = own_key && (holds || same("kms_master_key_id"));
    let role = [&node.path[..], &["role".to_owned()]].concat();
    by_key || same("role_arn") && goes_with(blueprint, findings, &role)
}

/// What stands in the way of the end of what a part that is not ours works with, and would be left without.
fn left_alone(node: &Node, whose: Option<&str>, mark: &str, why: &Failure) -> Failure {
    let (tag, way_on) = match whose {
        Some(other) => (
            format!("it carries the tag {MARK} = {other}"),
            "have it, and what is in it, use a key and a role that stay",
        ),
        None => (
            format!("it does not carry the tag {MARK}"),
            "end what it holds",
        ),
    };
    let message = format!(
        "{tag}, would be left, and works with what goes; {}",
        why.message
    );
    Failure::refusal(node.part.title(), message).advise(format!(
        "If it is this pipeline's, give it {MARK} = {mark}, so that it goes too. If it is not, {way_on}."
    ))
}

/// What stands against the end of a part that was found: what it holds, also where it has lost its mark and what it works with goes.
pub(super) async fn stands_against(
    node: &Node,
    blueprint: &Blueprint,
    findings: &Findings,
    mark: &str,
    aws: &Aws,
) -> Result<Vec<Failure>, Failure> {
    let part = &node.part;
    let Some(found) = findings.get(&node.path).and_then(Option::as_ref) else {
        return Ok(Vec::new());
    };
    Ok(match &found.owner {
        Owner::Us => {
            let used = part.in_use(aws, false).await?;
            part.protected(found).into_iter().chain(used).collect()
        }
        Owner::SomeoneElse(whose) if is_tied(node, found, blueprint, findings) => {
            let used = part.in_use(aws, true).await?;
            let alone = used.map(|why| left_alone(node, whose.as_deref(), mark, &why));
            alone.into_iter().collect()
        }
        Owner::SomeoneElse(_) => Vec::new(),
    })
}

/// Whether nothing stands against the end: objects in the bucket, running executions, also where these have lost their mark.
async fn free(
    blueprint: &Blueprint,
    findings: &Findings,
    mark: &str,
    aws: &Aws,
) -> Result<(), Diagnostics> {
    let mut reasons: Vec<Failure> = Vec::new();
    for node in &blueprint.nodes {
        let stands = stands_against(node, blueprint, findings, mark, aws).await;
        reasons.extend(stands.map_err(|failure| vec![told(&failure)])?);
    }
    let mut against = all_told(&reasons);
    match under_other_names(blueprint, findings, mark, aws).await {
        Ok(others) => against.extend(others),
        Err(failure) => against.push(told(&failure)),
    }
    if against.is_empty() {
        return Ok(());
    }
    let detail = format!("The pipeline {mark} is still in use.");
    against.push(Diagnostic::error("Nothing was destroyed", detail));
    Err(against)
}

/// Refuses where the bucket or the state machine has another name than the state knows: what the one holds would be lost with the rest.
async fn under_other_names(
    blueprint: &Blueprint,
    findings: &Findings,
    mark: &str,
    aws: &Aws,
) -> Result<Option<Diagnostic>, Failure> {
    let bucket = elsewhere::bucket(blueprint, mark, findings, aws).await?;
    let machine = if is_missing(findings, blueprint::MACHINE) {
        elsewhere::machine(blueprint, mark, findings, true, aws).await?
    } else {
        None
    };
    let others: Vec<String> = bucket
        .into_iter()
        .chain(machine.map(|(arn, _)| arn))
        .collect();
    if others.is_empty() {
        return Ok(None);
    }
    let detail = format!(
        "These are the pipeline's by its tag {MARK} (or do not let it be seen) or by the parts that work with them, and have names that the state does not know: {}. They would be left behind, without what they work with. Apply a configuration that names them \
         first, and destroy then; or, where a run that was killed has made them, remove them.",
        others.join(", ")
    );
    Ok(Some(Diagnostic::error(
        "Parts under names of their own",
        detail,
    )))
}

/// What to do where nobody may delete what is left: each further run would end as this one did.
fn not_allowed(failures: &[Failure]) -> Option<Diagnostic> {
    let detail = "The state keeps what is left, and the next run goes on from there once it may. Where nobody may delete it: a pipeline that was to be replaced stands again once the arguments that replace it are taken back \
                  and applied; one that was to be destroyed can be taken out of the state (`terraform state rm`), and what is left stays with its tag. What Terraform calls deposed (create_before_destroy) cannot be taken out alone: \
                  that command would take the new pipeline out with it.";
    let summary = "What may not be deleted";
    let denied = failures.iter().any(Failure::denied);
    denied.then(|| Diagnostic::warning(summary, detail))
}

impl CallbackPipeline {
    /// Takes a pipeline down, as far as it is this object's, and only where nothing is lost with it.
    pub(super) async fn destroy(&self, request: ApplyRequest, work: &Work) -> (Value, Diagnostics) {
        let gone = |diagnostics| (Value::Null, diagnostics);
        let kept = |diagnostics| (request.prior.clone(), diagnostics);
        let prepared = async {
            let session = self.session().await?;
            let base = tree_of(&request.prior).ok_or_else(not_configured)?;
            let place = supposed(&session, &base).await?;
            let settings = settings_of(&base).map_err(|error| vec![error])?;
            let claim = self.claims.destroying(blueprint::mark(&settings, &place));
            let claim = claim.ok_or_else(|| vec![made_elsewhere(&settings)])?;
            let spared = claim.made_since(settings.made_at.as_deref());
            Ok::<_, Diagnostics>((session, base, settings, place, spared, claim))
        };
        let (session, base, settings, place, spared, claim) = match prepared.await {
            Ok(prepared) => prepared,
            Err(diagnostics) => return kept(diagnostics),
        };
        let known = Known {
            place: Some(place),
            prior: Some(base.clone()),
            lost_key: memory::lost_key(&request.private),
            ..Known::default()
        };
        let Some(blueprint) = plan::recorded(&base, &known) else {
            return kept(not_configured());
        };
        if let Some(spared) = spared {
            let nodes = blueprint.nodes.iter();
            let alone = nodes.filter(|node| !spared.contains(&node.identity()));
            let titles: Vec<String> = alone.map(|node| node.part.title()).collect();
            return gone(vec![held_anew(&settings, &titles)]);
        }
        let stop = stop_with(work);
        let limit = limit(&base, "delete");
        let deadline = Deadline::start(limit, stop.clone());
        let aws = session.aws(stop);
        let late = |failed| or_cut_short(failed, work, &deadline, "delete", limit);
        let findings = match seen(
            &session,
            &request.private,
            &known,
            &blueprint,
            claim.mark(),
            &aws,
        )
        .await
        {
            Ok(Some(findings)) => findings,
            Ok(None) => return gone(vec![held_by_another(&settings)]),
            Err(failed) => return kept(late(failed)),
        };
        let free = free(&blueprint, &findings, claim.mark(), &aws).await;
        // What was seen a moment ago may have been seen with other credentials.
        if !aws.at_home.load(Ordering::Relaxed)
            && let Err(diagnostics) = home(&session, Some(&base)).await
        {
            return kept(diagnostics);
        }
        if let Err(failed) = free {
            return kept(late(failed));
        }
        let mut left = unmarked(&blueprint, &findings);
        if !memory::is_told(&request.private) {
            left.extend(goes(&blueprint::id(&settings), &blueprint, &findings));
        }
        let (base, blueprint) = (Arc::new(base), Arc::new(blueprint));
        let progress = checkpoints(work, &request, &base, &blueprint, &findings);
        self.ends(&request.prior);
        self.is_past(&request.prior);
        let outcome = take_down(blueprint, findings, &aws, &progress).await;
        if outcome.failures.is_empty() && outcome.skipped.is_empty() {
            claim.is_gone(settings.made_at);
            return gone(left);
        }
        let mut diagnostics = all_told(&outcome.failures);
        diagnostics.extend(unfinished(&outcome, work, &deadline, "delete", limit));
        diagnostics.extend(not_allowed(&outcome.failures));
        let state = state::state(&base, &outcome.blueprint, &outcome.observed);
        (state.map_or(Value::Null, value_of), diagnostics)
    }
}
