//! Parts of a pipeline under names that its state does not know, as at an import, which begins with those that Bellflower makes. The parts that it does see tell of
//! them; so does AWS's index of tags, where it can be asked.

use std::collections::{BTreeMap, BTreeSet};

use bellflower_contract::{TASK_TOKEN_FILE, env};
use futures::future::join_all;
use serde_json::Value as Json;

use super::blueprint::{self, Blueprint, Node, path};
use super::findings::{Findings, is_missing, ours};
use super::state::Observed;
use crate::documents::machine::works_with;
use crate::documents::names::BUCKET;
use crate::engine::{Failure, Found, Owner};
use crate::parts::tags::{MARK, Tags};
use crate::parts::{Aws, bucket, event_source, state_machine};

/// The pipeline's state machine of another name, its ARN and its tags; where it may be `unmarked`, also one without the tag that its parts name.
///
/// # Errors
/// The failure of a call.
pub async fn machine(
    blueprint: &Blueprint,
    mark: &str,
    findings: &Findings,
    unmarked: bool,
    aws: &Aws,
) -> Result<Option<(String, Tags)>, Failure> {
    let observed = ours(findings);
    if observed.values().all(Option::is_none) {
        return Ok(None);
    }
    let named_in = |naming: &[&str]| -> BTreeSet<String> {
        let properties = observed.values().flatten().flatten();
        let texts = properties.filter(|(name, _)| naming.contains(&name.as_str()));
        let texts: Vec<String> = texts.map(|(_, value)| value.to_string()).collect();
        let words = texts.iter().flat_map(|text| text.split(['"', '\\']));
        words.map(str::to_owned).collect()
    };
    // Role, alarms and dashboard name the state machine, whatever is called otherwise. Somebody may have the dashboard show others.
    let watched = named_in(&["assume_role_policy", "dimensions", "metric_query"]);
    let mut arns = aws.tagged(MARK, mark).await.unwrap_or_default();
    arns.extend(watched.iter().cloned().chain(named_in(&["dashboard_body"])));
    let own = name(blueprint, blueprint::MACHINE);
    let is_other = |arn: &&String| {
        let name = arn.split_once(":stateMachine:").map(|(_, name)| name);
        name.is_some_and(|name| name != own && !name.contains(['*', ':']))
    };
    for arn in arns.iter().filter(is_other).collect::<BTreeSet<_>>() {
        let Some(tags) = state_machine::tags_of(arn, aws).await? else {
            continue;
        };
        let may_be = unmarked && watched.contains(arn) && !tags.0.contains_key(MARK);
        if tags.are_of(mark) || may_be {
            return Ok(Some((arn.clone(), tags)));
        }
    }
    Ok(None)
}

/// The pipeline's bucket of another name; where the bucket is missing, also one of which nobody tells whose it is, or that the pipeline's parts work with and has no tag, and AWS's index of
/// tags is asked.
///
/// # Errors
/// The failure of a call.
pub async fn bucket(
    blueprint: &Blueprint,
    mark: &str,
    findings: &Findings,
    aws: &Aws,
) -> Result<Option<String>, Failure> {
    let observed = ours(findings);
    let missing = is_missing(findings, "bucket");
    if observed.values().all(Option::is_none) {
        return Ok(None);
    }
    let told = worked_with(&observed);
    let mut names = told.clone();
    if missing {
        let arns = aws.tagged(MARK, mark).await.unwrap_or_default();
        let buckets = arns.iter().filter_map(|arn| arn.split_once(":s3:::"));
        names.extend(buckets.map(|(_, name)| name.to_owned()));
    }
    names.remove(name(blueprint, "bucket"));
    // Somebody may have emptied the variable, and S3 is asked for no such name.
    names.retain(|name| BUCKET.complaint(name).is_none());
    for name in names {
        let counts = match bucket::tags_of(&name, aws).await {
            Err(failure) if failure.is(bucket::DENIED) => missing,
            tags => tags?.is_some_and(|tags| {
                let is_told = missing && told.contains(&name);
                tags.are_of(mark) || is_told && !tags.0.contains_key(MARK)
            }),
        };
        if counts {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Parts that may have a name of the user's own, and the argument that has it.
const NAMED: [(&str, &str); 11] = [
    ("state_machine", "name"),
    ("state_machine.role", "name"),
    ("processing", "function_name"),
    ("processing.role", "name"),
    ("integration", "function_name"),
    ("integration.role", "name"),
    ("bucket", "bucket"),
    ("queue", "name"),
    ("undeliverable_queue", "name"),
    ("dead_letter_queue", "name"),
    ("topic", "name"),
];

/// Where a part has its name, in which argument, and the name.
pub type Named = (blueprint::Path, &'static str, String);

/// Names that parts have which were not found under theirs, as AWS's index of tags and the parts that were found tell. Whose a part of such a name is shows to who looks at it.
///
/// # Errors
/// The failure of a call.
pub async fn names(
    blueprint: &Blueprint,
    mark: &str,
    findings: &Findings,
    aws: &Aws,
) -> Result<Vec<Named>, Failure> {
    let found = ours(findings);
    let is_found = |place: &str| found.get(&path(place)).is_some_and(Option::is_some);
    if NAMED.iter().all(|(place, _)| is_found(place)) {
        return Ok(Vec::new());
    }
    let arns = aws.tagged(MARK, mark).await.unwrap_or_default();
    let mut told = told_by(findings, &arns);
    if !is_found(blueprint::MACHINE) {
        let machine = machine(blueprint, mark, findings, true, aws).await?;
        let name = machine.and_then(|(arn, _)| name_in(&arn));
        told.extend(name.map(|name| (blueprint::MACHINE, name)));
    }
    if !is_found("bucket") {
        let bucket = bucket(blueprint, mark, findings, aws).await?;
        told.extend(bucket.map(|name| ("bucket", name)));
    }
    let other = |(place, argument): &(&str, &'static str)| {
        let (name, path) = (told.get(place)?, path(place));
        let kind = blueprint.node(&path)?.part.kind();
        // Two parts have one name only where somebody has changed what tells of it.
        let is_it = |node: &Node| node.part.kind() == kind && node.part.name() == name;
        let is_known = is_found(place) || blueprint.nodes.iter().any(is_it);
        (!is_known).then(|| (path, *argument, name.clone()))
    };
    Ok(NAMED.iter().filter_map(other).collect())
}

/// The names of parts by their places, as what was found of others, and the ARNs of what has the pipeline's tag, tell them.
fn told_by(findings: &Findings, arns: &[String]) -> BTreeMap<&'static str, String> {
    // Also those that have lost their tag.
    let text = |place: &str, property: &str| -> Option<&str> {
        let found = findings.get(&[place.to_owned()][..])?.as_ref()?;
        let is_theirs = matches!(found.owner, Owner::SomeoneElse(Some(_)));
        found
            .attributes
            .get(property)?
            .as_str()
            .filter(|_| !is_theirs)
    };
    let only = |kind: &str, but: Option<&String>| {
        let of_kind = arns.iter().filter(|arn| arn.contains(kind));
        let mut names = of_kind
            .filter_map(|arn| name_in(arn))
            .filter(|name| Some(name) != but);
        names.next().filter(|_| names.next().is_none())
    };
    let letters = |queue: &str| {
        let policy: Json = serde_json::from_str(text(queue, "redrive_policy")?).ok()?;
        name_in(policy["deadLetterTargetArn"].as_str()?)
    };
    let role = |owner: &str| name_in(text(owner, "role_arn")?);
    let definition = text(blueprint::MACHINE, "definition").unwrap_or_default();
    let [processing, queue, topic] =
        works_with(definition).map(|told| told.and_then(|told| name_in(&told)));
    let other = only(":function:", processing.as_ref()).filter(|_| processing.is_some());
    let told_answers = || name_in(text("notification", "lambda_function_arn")?);
    [
        ("state_machine", only(":stateMachine:", None)),
        ("state_machine.role", role("state_machine")),
        ("integration", other.or_else(told_answers)),
        ("integration.role", role("integration")),
        ("processing", processing),
        ("processing.role", role("processing")),
        ("queue", queue),
        ("undeliverable_queue", letters("queue")),
        ("dead_letter_queue", letters("undeliverable_queue")),
        ("topic", topic),
    ]
    .into_iter()
    .filter_map(|(place, name)| Some((place, name?)))
    .collect()
}

/// The name in an ARN or the URL of a queue; none in an expression that somebody has put there. Of a function, what stands behind its name is a version of it.
fn name_in(arn: &str) -> Option<String> {
    let name = match arn.split_once(":function:") {
        Some((_, name)) => name.split(':').next(),
        None => arn.rsplit([':', '/']).next(),
    };
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
    let name = name.filter(|name| !name.is_empty() && name.chars().all(is_of_names));
    name.map(str::to_owned)
}

/// Whether what was found under such a name is the part of this place: it has the pipeline's tag or none, and then all that works with it. A role without it may be anybody's, and the undeliverable queue is the one that
/// has another one behind it.
#[must_use]
pub fn is_part(path: &[String], found: &Found) -> bool {
    let place = path.join(".");
    let is_own = match &found.owner {
        Owner::Us => true,
        Owner::SomeoneElse(None) => !place.ends_with("role"),
        Owner::SomeoneElse(Some(_)) => false,
    };
    is_own && (place != "undeliverable_queue" || !found.text("redrive_policy").is_empty())
}

/// The buckets that the integration function is told of, and out of which the roles may remove task tokens.
fn worked_with(observed: &Observed) -> BTreeSet<String> {
    let function = observed.get(&["integration".to_owned()][..]);
    let variables = function.and_then(|function| function.as_ref()?.get("variables"));
    let told = variables.and_then(|variables| variables.get(env::BUCKET)?.as_str());
    let roles = observed
        .iter()
        .filter(|(path, _)| path.ends_with(&["role".to_owned()]));
    let policies = roles.filter_map(|(_, role)| role.as_ref()?.get("policy")?.as_str());
    let words = policies.flat_map(|text| text.split('"'));
    let tokens = words.filter(|word| word.ends_with(TASK_TOKEN_FILE));
    let buckets = tokens.filter_map(|word| word.split_once(":s3:::")?.1.split('/').next());
    told.into_iter().chain(buckets).map(str::to_owned).collect()
}

/// Who takes messages from the pipeline's queues beside the part that should take them, whosever that is, by that part; in a brief look nobody. Where it is missing, its queue is asked, as far as it answers.
pub async fn consumers<'a>(
    blueprint: &'a Blueprint,
    findings: &Findings,
    aws: &Aws,
) -> Vec<(&'a Node, Vec<String>)> {
    let sources = blueprint
        .nodes
        .iter()
        .filter(|node| node.part.kind() == event_source::KIND);
    let others = sources.map(|node| async move {
        let told = match findings.get(&node.path).and_then(Option::as_ref) {
            Some(found) => {
                let others = found.attributes.get(event_source::OTHERS)?.as_array()?;
                others
                    .iter()
                    .filter_map(Json::as_str)
                    .map(str::to_owned)
                    .collect()
            }
            None if aws.in_brief => return None,
            None => event_source::consumers(node.part.name(), aws).await.ok()?,
        };
        Some((node, told))
    });
    join_all(others).await.into_iter().flatten().collect()
}

fn name<'a>(blueprint: &'a Blueprint, place: &str) -> &'a str {
    let node = blueprint.node(&[place.to_owned()]);
    node.map_or("", |node| node.part.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_what_tells_of_parts() {
        for (told, name) in [
            (
                "arn:aws:lambda:eu-west-1:123456789012:function:f",
                Some("f"),
            ),
            (
                "arn:aws:lambda:eu-west-1:123456789012:function:f:live",
                Some("f"),
            ),
            (
                "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
                Some("q"),
            ),
            ("arn:aws:iam::123456789012:role/team/r", Some("r")),
            ("{% $states.input.queue %}", None),
            ("", None),
        ] {
            assert_eq!(name_in(told).as_deref(), name, "{told}");
        }
    }
}
