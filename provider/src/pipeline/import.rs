//! What an import can learn from AWS where the name alone does not tell: arguments, tags, and whose the key is.

use std::collections::{BTreeMap, BTreeSet};

use bellflower_contract::env;
use futures::future::join_all;
use serde_json::{Map, Value as Json, json};
use tfplugin::{Diagnostic, Diagnostics};

use super::apply::Outcome;
use super::blueprint::{Blueprint, Facts, MACHINE, Node, graft};
use super::elsewhere::{self, Named};
use super::findings::{Findings, disown, is_missing, look, ours, recognise, seen};
use super::packages::Packages;
use super::schema::{ALL_ALARMS, fields, with_defaults};
use super::settings::Settings;
use super::state::Observed;
use crate::documents::{self, Place, machine, roles};
use crate::engine::{Attributes, Failure, Found, Owner};
use crate::parts::tags::{MARK, Tags};
use crate::parts::topic::SUBSCRIBERS;
use crate::parts::{Aws, key};

/// A key that was taken for the user's and may be the pipeline's own.
#[derive(Debug)]
pub struct Doubtful {
    arn: String,
    /// Whether it waits for its deletion.
    is_going: bool,
}

/// The arguments of a pipeline of which name and environment are `given`, as far as AWS shows them. What only Terraform knows, and names that
/// nothing tells, stay at their defaults. Beside them the key that was taken for the user's and may be the pipeline's own.
///
/// # Errors
/// The failures of the calls that failed.
pub async fn discover(
    given: &Map<String, Json>,
    place: &Place,
    default_tags: &BTreeMap<String, String>,
    aws: &Aws,
) -> Result<(Map<String, Json>, Option<Doubtful>), Vec<Failure>> {
    let mut base = with_defaults(fields(), given);
    // Whether there is one shows only to who looks for it.
    base.insert("dashboard".to_owned(), json!({}));
    base.insert(
        "timeouts".to_owned(),
        given.get("timeouts").cloned().unwrap_or_default(),
    );
    let Ok(settings) = Settings::read(&base) else {
        return Ok((base, None));
    };
    let mut facts = Facts {
        place: place.clone(),
        key_arn: String::new(),
        key_id: None,
        tags: default_tags.clone(),
        packages: Packages::recorded(&settings),
    };
    let (settings, findings) = looked_up(&mut base, settings, &facts, aws).await?;
    recover(&mut base, &findings);
    unknown(&mut base, &findings);
    if ours(&findings).values().all(Option::is_none) {
        return Ok((base, None));
    }
    let key = told_key(&findings);
    let key = key.as_deref().unwrap_or_default();
    // Without its bucket an import is not done: the next refresh looks again.
    if let Some(bucket) = own(&findings, &["bucket"]) {
        let mut tags = Tags::of(&bucket.attributes).0;
        tags.remove(MARK);
        let differs = |(key, value): &(&String, &String)| default_tags.get(*key) != Some(*value);
        let own_tags: BTreeMap<&String, &String> = tags.iter().filter(differs).collect();
        let own_tags = (!own_tags.is_empty()).then_some(own_tags);
        base.insert("tags".to_owned(), json!(own_tags));
        base.insert("tags_all".to_owned(), json!(tags));
    }
    // The key in use tells by its mark whether it is the pipeline's own, whatever its alias is.
    facts.key_id = Some(key.to_owned());
    let blueprint = Blueprint::of(&settings, &facts);
    let node = blueprint.node(&["key".to_owned()]);
    let is_marked = |found: &Found| found.owner == Owner::Us;
    // One of another account is the user's, and shows little to those of this one.
    let account = key.split(':').nth(4);
    let is_foreign = account.is_some_and(|account| account != place.account);
    let mut found = if key.is_empty() || is_foreign {
        None
    } else {
        as_seen(key_of(&blueprint, aws).await)?
    };
    if !found.as_ref().is_some_and(is_marked) {
        // Somebody may have had most of them use another one.
        facts.key_id = node.map(|node| node.part.name().to_owned());
        let mut named = key_of(&Blueprint::of(&settings, &facts), aws).await?;
        if !named.as_ref().is_some_and(is_marked)
            && let Some(arn) = marked_key(&blueprint, &findings, aws).await
        {
            facts.key_id = Some(arn);
            named = key_of(&Blueprint::of(&settings, &facts), aws).await?;
        }
        found = named.filter(is_marked).or(found);
    }
    let was_own = match (&found, node) {
        (Some(found), Some(node)) if found.owner == Owner::SomeoneElse(None) => {
            is_made_for(found, node, place, aws).await?
        }
        _ => false,
    };
    let is_named = is_named(found.as_ref());
    let is_own = |found: &&Found| is_marked(found) || was_own && is_named;
    let mut doubtful = None;
    if let Some(found) = found.as_ref().filter(is_own) {
        // An alias of another name may be somebody's: the configuration tells.
        let alias = found.attributes.get("alias");
        let own = json!({"arn": found.text("arn"), "key_id": found.text("key_id"), "alias": alias});
        set(&mut base, &["key"], own);
    } else if key.starts_with("arn:") && !is_named {
        let named = if is_foreign {
            None
        } else {
            as_seen(key::named(key, aws).await.map_err(alone))?
        };
        let going = named.filter(|key| key.is_going);
        let mark = blueprint.mark().unwrap_or_default();
        // The pipeline's own that waits for its deletion is missing, and nobody's else.
        if !going.as_ref().is_some_and(|key| key.tags.are_of(&mark)) {
            base.insert("kms_key_arn".to_owned(), json!(key));
            base.insert("key".to_owned(), Json::Null);
            doubtful = (was_own || going.is_some()).then(|| Doubtful {
                arn: key.to_owned(),
                is_going: going.is_some(),
            });
        }
    }
    Ok((base, doubtful))
}

/// What there is under the names that Bellflower makes and, where a part has one of the user's own that others tell, under that, which `base` has then.
async fn looked_up(
    base: &mut Map<String, Json>,
    mut settings: Settings,
    facts: &Facts,
    aws: &Aws,
) -> Result<(Settings, Findings), Vec<Failure>> {
    let mut tried = BTreeSet::new();
    loop {
        let blueprint = Blueprint::of(&settings, facts);
        let findings = look(&blueprint, aws, Findings::new()).await?;
        let mark = blueprint.mark().unwrap_or_default();
        let named = elsewhere::names(&blueprint, &mark, &findings, aws).await;
        let mut named = named.map_err(alone)?;
        named.retain(|(path, ..)| tried.insert(path.clone()));
        let with = |named: &[Named]| {
            let mut others = base.clone();
            for (path, argument, name) in named {
                let name = Map::from_iter([((*argument).to_owned(), json!(name))]);
                graft(&mut others, path, name);
            }
            Some((Settings::read(&others).ok()?, others))
        };
        if let Some((others, _)) = with(&named) {
            let others = Blueprint::of(&others, facts);
            let nodes = named.iter().filter_map(|(path, ..)| others.node(path));
            let found = seen(&nodes.collect::<Vec<_>>(), aws).await?;
            named.retain(|(path, ..)| {
                let found = found.get(path).and_then(Option::as_ref);
                found.is_some_and(|found| elsewhere::is_part(path, found))
            });
        }
        match with(&named) {
            Some((others, tree)) if !named.is_empty() => (settings, *base) = (others, tree),
            _ => return Ok((settings, findings)),
        }
    }
}

/// Says of all that was found whose it is. What lacks nothing but its mark is the pipeline's to each later run, and so it is here, where anything has it.
pub fn tell_whose(blueprint: &Blueprint, findings: &mut Findings) {
    if ours(findings).values().any(Option::is_some) {
        recognise(None, blueprint, findings);
    }
    disown(blueprint, findings);
}

/// The keys that the pipeline's parts use, one for each part.
fn keys(findings: &Findings) -> impl Iterator<Item = &str> {
    let parts = findings.values().flatten();
    let own = parts.filter(|part| part.owner == Owner::Us);
    let keys = own.flat_map(|part| key::NAMED_BY.map(|name| part.text(name)));
    keys.filter(|key| !key.is_empty())
}

/// The one that is said most often, and the first of those.
fn most_common<'a>(said: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for one in said {
        match counts.iter_mut().find(|(other, _)| *other == one) {
            Some((_, count)) => *count += 1,
            None => counts.push((one, 1)),
        }
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|(one, _)| one)
}

/// The key that the pipeline's parts say they use, or what their roles may use where none of them was found.
fn told_key(findings: &Findings) -> Option<String> {
    // All have the pipeline's, as far as somebody has not given them others.
    let said = most_common(keys(findings)).map(str::to_owned);
    let parts = findings.values().flatten();
    let mut own = parts.filter(|part| part.owner == Owner::Us);
    said.or_else(|| own.find_map(|part| roles::key(part.text("policy"))))
}

/// A key that AWS's index of tags knows to carry the pipeline's mark, and that a part of the pipeline uses.
async fn marked_key(blueprint: &Blueprint, findings: &Findings, aws: &Aws) -> Option<String> {
    let mark = blueprint.mark()?;
    let others = others(&mark, &Observed::new(), aws).await?;
    let is_used = |arn: &String| {
        let is_it = |key: &str| arn == key || arn.ends_with(&format!(":key/{key}"));
        keys(findings).any(is_it)
    };
    others.into_iter().find(|arn| is_key(arn) && is_used(arn))
}

async fn key_of(blueprint: &Blueprint, aws: &Aws) -> Result<Option<Found>, Vec<Failure>> {
    match blueprint.node(&["key".to_owned()]) {
        Some(node) => node.part.read(aws).await.map_err(alone),
        None => Ok(None),
    }
}

fn alone(failure: Failure) -> Vec<Failure> {
    vec![failure]
}

/// What is seen of a key that the parts work with: nothing of one that only its users may use. The pipeline's own is not such a key.
fn as_seen<T>(look: Result<Option<T>, Vec<Failure>>) -> Result<Option<T>, Vec<Failure>> {
    match look {
        Err(failures) if failures.iter().all(|failure| failure.is(key::DENIED)) => Ok(None),
        look => look,
    }
}

/// Whether a key without a tag was made for the pipeline: it has such a policy or, where that may not be seen, its description. Without tag and alias it may
/// have become the user's.
async fn is_made_for(
    found: &Found,
    node: &Node,
    place: &Place,
    aws: &Aws,
) -> Result<bool, Vec<Failure>> {
    let policy = key::policy_of(found.text("arn"), aws).await;
    Ok(match policy.map_err(alone)? {
        Some(policy) => documents::key::is_policy(&policy, place),
        None => found.attributes.get("description") == node.part.desired().get("description"),
    })
}

fn at_place<'a>(findings: &'a Findings, path: &[&str]) -> Option<&'a Found> {
    let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
    findings.get(&path)?.as_ref()
}

fn own<'a>(findings: &'a Findings, path: &[&str]) -> Option<&'a Found> {
    at_place(findings, path).filter(|found| found.owner == Owner::Us)
}

/// One of the roles, which have path and boundary in common, as far as somebody has not made one anew elsewhere.
fn role(findings: &Findings) -> Option<&Found> {
    let owners = ["integration", "processing", "state_machine"];
    let roles = || {
        owners
            .iter()
            .filter_map(|owner| own(findings, &[owner, "role"]))
    };
    let path = most_common(roles().map(|role| role.text("path")));
    roles().find(|role| Some(role.text("path")) == path)
}

/// Puts values into an object of the tree, beside those that are there.
fn set(tree: &mut Map<String, Json>, path: &[&str], values: Json) {
    let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
    if let Json::Object(values) = values {
        graft(tree, &path, values);
    }
}

/// Whether a key has the name that the pipeline's own would have: it is that one, and has lost its mark.
fn is_named(key: Option<&Found>) -> bool {
    let alias = key.and_then(|key| key.attributes.get("alias"));
    alias.is_some_and(|alias| !alias.is_null())
}

/// Takes back what would be the default and shows in parts that were not seen, so that nothing is replaced for it or said to change.
fn unknown(base: &mut Map<String, Json>, findings: &Findings) {
    let seen = |place: &[&str]| own(findings, place).is_some();
    if role(findings).is_none() {
        base.insert("iam_path".to_owned(), Json::Null);
    }
    if !seen(&["integration"]) {
        base.insert("task_token".to_owned(), Json::Null);
    }
}

/// Arguments that show in a part of another place than their own.
fn recover(base: &mut Map<String, Json>, findings: &Findings) {
    if let Some(role) = role(findings) {
        let boundary = role.attributes.get("permissions_boundary");
        set(
            base,
            &[],
            json!({"iam_path": role.text("path"), "permissions_boundary": boundary}),
        );
    }
    if let Some(notification) = own(findings, &["notification"]) {
        let queue = notification.attributes.get("outbound_queue_arn");
        set(base, &["bucket"], json!({"outbound_queue_arn": queue}));
    }
    if let Some(group) = own(findings, &["integration", "log_group"]) {
        let days = group.attributes.get("retention_in_days");
        set(base, &[], json!({"log_retention_in_days": days}));
    }
    if let Some(queue) = own(findings, &["queue"])
        && let Ok(redrive) = serde_json::from_str::<Json>(queue.text("redrive_policy"))
        && let Some(count) = redrive.get("maxReceiveCount").and_then(whole)
    {
        set(
            base,
            &["dead_letter_queue"],
            json!({"max_receive_count": count}),
        );
    }
    if let Some(found) = own(findings, &["state_machine"])
        && let Some(arguments) = machine::arguments(found.text("definition"))
    {
        set(base, &["state_machine"], arguments);
    }
    for (at, rows) in ALL_ALARMS {
        let steps: Vec<&str> = at.split('.').collect();
        // Those of the pipeline as a whole are missed only where there is a pipeline.
        let owner = if steps.len() > 1 { steps[0] } else { "queue" };
        if own(findings, &[owner]).is_none() {
            continue;
        }
        for row in rows {
            let path = [&steps[..], &[row.name]].concat();
            let found = at_place(findings, &path);
            // One that lost its mark is there as well.
            let is_there =
                |found: &Found| matches!(found.owner, Owner::Us | Owner::SomeoneElse(None));
            set(base, &path, json!({"enabled": found.is_some_and(is_there)}));
        }
    }
    if own(findings, &["dashboard"]).is_none() {
        base.insert("dashboard".to_owned(), Json::Null);
    }
    // Where the function is not seen, its role tells as well.
    if let Some(role) = own(findings, &["integration", "role"])
        && let [inbound, outbound, ..] = &roles::prefixes(role.text("policy"))[..]
    {
        let prefixes = json!({"inbound_prefix": inbound, "outbound_prefix": outbound});
        set(base, &["bucket"], prefixes);
    }
    if let Some(function) = own(findings, &["integration"]) {
        let variables = function.attributes.get("variables");
        let variable = |name: &str| variables.and_then(|all| all.get(name));
        for (name, at, argument) in [
            (env::TASK_TOKEN, &[][..], "task_token"),
            (env::INBOUND_PREFIX, &["bucket"], "inbound_prefix"),
            (env::OUTBOUND_PREFIX, &["bucket"], "outbound_prefix"),
        ] {
            if let Some(value) = variable(name) {
                set(base, at, json!({argument: value}));
            }
        }
    }
}

/// Warns of what an import did not see, as its parts and AWS's index of tags tell, and of a `doubtful` key.
///
/// # Errors
/// The failure of a call.
pub async fn unseen(
    blueprint: &Blueprint,
    mark: &str,
    findings: &Findings,
    doubtful: Option<&Doubtful>,
    aws: &Aws,
) -> Result<Diagnostics, Failure> {
    let found = ours(findings);
    let worked_with = worked_with(blueprint, mark, findings, aws).await?;
    // Where no part tells of a key, one that has the tag may be the one they all work with.
    let is_key_known = own(findings, &["key"]).is_some() || told_key(findings).is_some();
    let others = others(mark, &found, aws).await;
    let mut unseen = by_other_names(others, worked_with, is_key_known);
    unseen.extend(doubtful.map(|key| whose_key(key, mark)));
    unseen.extend(subscribed(&found));
    Ok(unseen)
}

/// The bucket and the state machine of other names that the pipeline's parts work with.
///
/// # Errors
/// The failure of a call.
async fn worked_with(
    blueprint: &Blueprint,
    mark: &str,
    findings: &Findings,
    aws: &Aws,
) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    if is_missing(findings, "bucket") {
        found.extend(elsewhere::bucket(blueprint, mark, findings, aws).await?);
    }
    if is_missing(findings, MACHINE) {
        let machine = elsewhere::machine(blueprint, mark, findings, true, aws).await?;
        found.extend(machine.map(|(arn, _)| arn));
    }
    Ok(found)
}

/// That nobody knows whose a key is.
fn whose_key(key: &Doubtful, mark: &str) -> Diagnostic {
    let arn = &key.arn;
    let (what, back) = if key.is_going {
        (
            "waits for its deletion and does not carry the pipeline's tag",
            format!(
                "have the key back (`aws kms cancel-key-deletion --key-id {arn}`, `aws kms enable-key --key-id {arn}`), "
            ),
        )
    } else {
        (
            "was made for this pipeline and has neither its tag nor its alias",
            String::new(),
        )
    };
    let detail = format!(
        "The parts work with {arn}, which {what}: it is taken for a key of yours (`kms_key_arn`), which a destroy leaves. If it is the pipeline's own, take the object out of the state \
         (`terraform state rm`), {back}give the key back its tag ({}), and import again.",
        key::tagging(arn, mark)
    );
    Diagnostic::warning("A key that may be the pipeline's", detail)
}

/// What is subscribed to the topic that was found.
fn subscribed(found: &Observed) -> Option<Diagnostic> {
    let topic = found.get(&["topic".to_owned()][..])?.as_ref()?;
    let count = topic
        .get(SUBSCRIBERS)?
        .as_i64()
        .filter(|count| *count > 0)?;
    let detail = format!(
        "The topic has subscriptions ({count}), which an import does not take into the state. Those that the configuration has are the pipeline's after the next apply. The others go on until somebody ends them \
         (`aws sns unsubscribe`) or the topic goes."
    );
    Some(Diagnostic::warning(
        "Subscriptions that are not imported",
        detail,
    ))
}

fn by_other_names(
    others: Option<Vec<String>>,
    worked_with: Vec<String>,
    is_key_known: bool,
) -> Diagnostics {
    let mut found = Vec::new();
    if others.is_none() {
        let detail = "AWS's index of tags could not be asked, for which the permission tag:GetResources is needed. Parts that have names of their own, and that no other part tells of, are not known before the configuration names them; an apply without would \
                      make others beside them, and a destroy would leave them.";
        found.push(Diagnostic::warning("Not all parts were looked for", detail));
    }
    let mut others = others.unwrap_or_default();
    let is_new = |name: &String| {
        let is_it = |arn: &String| {
            arn.split_once(":s3:::")
                .map_or(arn.as_str(), |(_, name)| name)
                == name
        };
        !others.iter().any(is_it)
    };
    let more: Vec<String> = worked_with.into_iter().filter(is_new).collect();
    others.extend(more);
    // A key beside the one that the parts work with is no part, and has no name by which it could become one.
    let (keys, others): (Vec<String>, Vec<String>) = others
        .into_iter()
        .partition(|arn| is_key_known && is_key(arn));
    found.extend(left_by_a_run(&keys));
    if !others.is_empty() {
        let detail = format!(
            "These are the pipeline's, by its tag {MARK} or by the parts that work with them, and have names that the import does not know: {}. Once the configuration names them, the next apply takes them over; a destroy before that leaves them, or is refused for what they hold.",
            others.join(", ")
        );
        found.push(Diagnostic::warning(
            "Parts under names of their own",
            detail,
        ));
    }
    found
}

/// Tells what a create has found: what it has taken up, and what is no part of what it has made, nor the key that was `given`.
pub async fn found(
    titles: &[String],
    removed: &[String],
    made: &Outcome,
    given: Option<&str>,
    aws: &Aws,
) -> Diagnostics {
    let mut found = Vec::new();
    if !titles.is_empty() {
        found.push(taken_up(titles, removed));
    }
    // With a key of the user's nothing else shows that an earlier run may have made one.
    if !titles.is_empty() || given.is_some() {
        let mark = made.blueprint.mark().unwrap_or_default();
        let mut others = others(&mark, &made.observed, aws).await.unwrap_or_default();
        let is_told = |arn: &String| !titles.is_empty() || is_key(arn);
        others.retain(|arn| is_told(arn) && given != Some(arn));
        found.extend(left_by_a_run(&others));
    }
    found
}

/// Warns of parts that were there already.
fn taken_up(titles: &[String], removed: &[String]) -> Diagnostic {
    let gone = if removed.is_empty() {
        String::new()
    } else {
        format!(
            " These, which the configuration does not have, were removed: {}.",
            removed.join(", ")
        )
    };
    let detail = format!(
        "These were there, left by a run that did not get to its end, or another configuration's, whose state machine is missing. They are this pipeline's now: {}.{gone}",
        titles.join(", ")
    );
    Diagnostic::warning("Parts taken up", detail)
}

fn left_by_a_run(others: &[String]) -> Option<Diagnostic> {
    let detail = format!(
        "An earlier run has left these, which carry the pipeline's tag {MARK} and are no parts of it now: {}. Nothing removes them; AWS's index of tags may name some that have gone already.",
        others.join(", ")
    );
    (!others.is_empty()).then(|| Diagnostic::warning("Parts left by an earlier run", detail))
}

/// Whether an ARN is a key's.
fn is_key(arn: &str) -> bool {
    arn.split(':').nth(2) == Some("kms")
}

/// The ARNs that carry the pipeline's mark and are none of these parts', as AWS's index of tags tells them; none where it cannot be asked.
pub async fn others(mark: &str, known: &Observed, aws: &Aws) -> Option<Vec<String>> {
    let arn = |part: &Attributes| {
        let arn = part.get("arn")?.as_str()?;
        Some(arn.trim_end_matches(":*").to_owned())
    };
    let arns: Vec<String> = known.values().flatten().filter_map(arn).collect();
    let mut others = aws.tagged(MARK, mark).await?;
    for arn in &mut others {
        arn.truncate(arn.trim_end_matches(":*").len());
    }
    others.retain(|arn| !arns.contains(arn));
    // A key that waits for its deletion is of an earlier pipeline, and no more to be paid for.
    let standing = others.into_iter().map(|arn| async move {
        let stands = !is_key(&arn) || key::stands(&arn, aws).await;
        stands.then_some(arn)
    });
    Some(join_all(standing).await.into_iter().flatten().collect())
}

/// SQS has told whole numbers as texts, too.
fn whole(value: &Json) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_parts_say_counts() {
        let most = |said: &[&'static str]| most_common(said.iter().copied());
        assert_eq!(most(&["/x/", "/", "/"]), Some("/"));
        assert_eq!(most(&["/x/", "/"]), Some("/x/"));
        assert_eq!(most(&[]), None);
    }
}
