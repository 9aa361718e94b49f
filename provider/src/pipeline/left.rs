//! What an apply leaves as it found it: what Terraform ignores, and what somebody has changed since the plan.

use serde_json::Value as Json;

use super::Tree;
use super::blueprint::{Node, Path};
use super::state::{self, Observed};
use crate::engine::Attributes;
use crate::parts::tags::{MADE_AT, MARK};

/// What an apply leaves as it was found, and what it has removed before all else.
#[derive(Debug, Default)]
pub struct Left {
    /// What was found, by part.
    pub found: Observed,
    /// What somebody has changed since the plan.
    pub since: Vec<String>,
    /// What of that is written all the same, by the call that writes what the plan does change.
    pub overwritten: Vec<String>,
    /// What was there as the plan has it, and was not there any more: its place, and what it is called.
    pub missing: Vec<(Path, String)>,
    /// What went, since the configuration does not have it.
    pub removed: Vec<String>,
}

/// A property that is not what it should be.
#[derive(Debug)]
pub struct Difference {
    pub name: String,
    pub wanted: Json,
    pub is: Json,
}

/// What of a part is not as it should be and is not for the plan to change.
#[derive(Debug, Default)]
pub struct Differs {
    /// What Terraform ignores, and what follows from something changed since the plan: it is left, and nobody is told.
    pub ignored: Vec<Difference>,
    /// What somebody has changed since the plan.
    pub since: Vec<Difference>,
    /// The same, where the call for what the plan does change writes it along, or nothing of it is left.
    pub overwritten: Vec<Difference>,
}

impl Differs {
    /// Sorts what differs in a `node` that was `old` before, and was `seen` as that.
    #[must_use]
    pub fn sorted(
        node: &Node,
        old: &Node,
        prior: &Tree,
        planned: &Tree,
        found: &Attributes,
        seen: &Attributes,
    ) -> Self {
        let mut sorted = Self::default();
        let mut written = Vec::new();
        let old = old.part.desired();
        let drift = prior.get(state::DRIFT).and_then(Json::as_object);
        for (name, wanted) in node.part.desired() {
            let is = found.get(&name).cloned().unwrap_or_default();
            if is == wanted {
                continue;
            }
            let is_anew = old.get(&name) != Some(&wanted);
            let label = state::label(&node.path, &name);
            let is_told = drift.is_some_and(|drift| drift.contains_key(&label));
            let given = state::given(prior, &node.path, &name);
            // What has no attribute was as it should be, unless the plan tells of it.
            let is_hidden = given.is_none() && !is_told;
            let before = match given {
                Some(before) if state::given(planned, &node.path, &name) == Some(before) => {
                    Some(before)
                }
                None if is_hidden && !is_anew && !is_unmarked(&name, &wanted, &is) => Some(&wanted),
                _ => None,
            };
            let is_kept = |before: &&Json| {
                // What is not there at all is nobody's wish; a null is also what names a part made anew.
                let is_there = !is.is_null() && is.as_str() != Some("");
                let was_there = !before.is_null() || wanted.is_null();
                is_there && was_there
            };
            let seen = seen.get(&name).unwrap_or(&Json::Null);
            // A plan shows of the whole what it changes, and not what somebody does to the rest of it.
            let is_in_part = given.filter(|_| is_anew && is_composite(&wanted));
            let is_since = if let Some(given) = is_in_part {
                is_otherwise(given, &wanted, seen)
            } else {
                let was = old.get(&name);
                (is_hidden || before == Some(&wanted))
                    && was.is_some_and(|was| is_otherwise(was, &wanted, seen))
            };
            let is_lost = is_since && node.forgotten(found) != Some(name.as_str());
            let before = before.filter(is_kept);
            let to = match before {
                Some(before) if *before != wanted => &mut sorted.ignored,
                Some(_) if is_since => &mut sorted.since,
                None if is_lost => &mut sorted.overwritten,
                // What the plan changes, or what is as it was and only not as what it is to be.
                _ => &mut written,
            };
            to.push(Difference { name, wanted, is });
        }
        // What tells the same in other words is told once, and goes where that goes.
        let is_led = |one: &Difference, by: &[&[Difference]]| {
            let leader = node.part.follows(&one.name);
            leader.is_some_and(|leader| by.iter().copied().flatten().any(|one| one.name == leader))
        };
        let (led, since) = parted(sorted.since, |one, all| is_led(one, &[all]));
        sorted.ignored.extend(led);
        let (led, overwritten) = parted(sorted.overwritten, |one, all| is_led(one, &[all, &since]));
        written.extend(led);
        let goes_along = |one: &Difference| {
            let mut calls = written.iter().chain(&overwritten);
            calls.any(|other| node.part.writes_too(&other.name, &one.name))
        };
        let (along, since) = parted(since, |one, _| goes_along(one));
        sorted.since = since;
        sorted.overwritten = overwritten;
        sorted.overwritten.extend(along);
        sorted
    }
}

/// Those of which it is so, and the rest.
fn parted(
    all: Vec<Difference>,
    is_so: impl Fn(&Difference, &[Difference]) -> bool,
) -> (Vec<Difference>, Vec<Difference>) {
    let so: Vec<bool> = all.iter().map(|one| is_so(one, &all)).collect();
    let mut so = so.into_iter();
    all.into_iter().partition(|_| so.next().unwrap_or_default())
}

/// Whether a value has parts of its own.
fn is_composite(value: &Json) -> bool {
    value.is_object()
        || value.is_array()
        || value
            .as_str()
            .is_some_and(|text| text.starts_with(['{', '[']))
}

/// Whether something is neither what it was, nor on its way to what is wanted.
fn is_otherwise(was: &Json, wanted: &Json, is: &Json) -> bool {
    match (was, wanted, is) {
        (Json::Array(was), Json::Array(wanted), Json::Array(is)) => {
            let is_taken = |one: &Json| !is.contains(one) && wanted.contains(one);
            let is_added = |one: &Json| !was.contains(one) && !wanted.contains(one);
            was.iter().any(is_taken) || is.iter().any(is_added)
        }
        (Json::Object(was), Json::Object(wanted), Json::Object(is)) => {
            let mut names = was.keys().chain(is.keys());
            names.any(|name| {
                let is = is.get(name);
                is != was.get(name) && is != wanted.get(name)
            })
        }
        _ => was != is,
    }
}

/// Whether tags lost what tells whose the part is, and which: that is never left so.
fn is_unmarked(name: &str, wanted: &Json, is: &Json) -> bool {
    let differs = |tag: &&str| wanted.get(*tag) != is.get(*tag);
    name == "tags" && [MARK, MADE_AT].iter().any(differs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::blueprint::tests::orders_with;

    /// How the properties of a part that are `found` otherwise are sorted, where the plan gives these arguments and has told of these differences.
    fn sorted(planned: &Json, told: &[&str], part: &str, found: &Json) -> [Vec<String>; 3] {
        sorted_as(planned, told, part, found, found)
    }

    /// The same, where the part was `seen` as it was.
    fn sorted_as(
        planned: &Json,
        told: &[&str],
        part: &str,
        found: &Json,
        seen: &Json,
    ) -> [Vec<String>; 3] {
        let state_of = |arguments: &Json| {
            let (arguments, parts) = orders_with(arguments);
            let desired = parts.nodes.iter();
            let desired = desired.map(|node| (node.path.clone(), Some(node.part.desired())));
            let state = state::state(&arguments, &parts, &desired.collect());
            (state.unwrap(), parts)
        };
        let (mut prior, before) = state_of(&json!({}));
        let (planned, after) = state_of(planned);
        let told = told
            .iter()
            .map(|label| ((*label).to_owned(), json!("is ...")));
        prior.insert(state::DRIFT.to_owned(), Json::Object(told.collect()));
        let path: Vec<String> = part.split('.').map(str::to_owned).collect();
        let [old, node] = [&before, &after].map(|all| all.node(&path).unwrap());
        let [found, seen] = [found, seen].map(|other| {
            let mut attributes = old.part.desired();
            attributes.extend(other.as_object().cloned().unwrap());
            attributes
        });
        let sorted = Differs::sorted(node, old, &prior, &planned, &found, &seen);
        [sorted.since, sorted.overwritten, sorted.ignored]
            .map(|all| all.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn what_is_seen_as_it_was_is_nobodys_change() {
        let nothing = json!({});
        let prefix = json!({"bucket": {"inbound_prefix": "in/"}});
        let tagged = json!({"tags_all": {"audit": "ours"}});
        let theirs = json!({"tags": {MARK: "orders/devl/eu-west-1", "audit": "theirs"}});
        for (planned, part, found) in [
            (&prefix, "bucket", &json!({"expiration_days": 0})),
            (&prefix, "bucket", &json!({"folders": ["outbound/"]})),
            (&tagged, "queue", &theirs),
        ] {
            let none = [const { Vec::<String>::new() }; 3];
            let told = sorted_as(planned, &[], part, found, &nothing);
            assert_eq!(told, none, "{part} {found}");
        }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn what_somebody_changed_is_left_or_told_and_what_the_plan_changes_is_written() {
        let nothing = json!({});
        let rules = json!({"lifecycle_rules": "[theirs]"});
        let longer = json!({"expiration_days": 365, "lifecycle_rules": "[longer]"});
        let days = json!({"bucket": {"expiration_days": 91}});
        let prefix = json!({"bucket": {"inbound_prefix": "in/"}});
        let heartbeat = json!({"state_machine": {"callback_heartbeat_seconds": 100}});
        let tagged = json!({"tags_all": {"audit": "ours"}});
        let muted = json!({"actions_enabled": false});
        let errors = "integration.alarms.errors";
        let threshold = json!({"integration": {"alarms": {"errors": {"threshold": 7}}}});
        let boundary = json!({"permissions_boundary": "arn:aws:iam::123456789012:policy/theirs"});
        let marked = json!({"tags": {MARK: "orders/devl/eu-west-1", "cost": "1"}});
        for (planned, told, part, found, since, overwritten, ignored) in [
            // What has an attribute, and what has none.
            (
                &nothing,
                None,
                "bucket",
                &rules,
                &["lifecycle_rules"][..],
                &[][..],
                &[][..],
            ),
            (
                &nothing,
                None,
                errors,
                &muted,
                &["actions_enabled"],
                &[],
                &[],
            ),
            (
                &nothing,
                None,
                "bucket",
                &json!({"block_public_acls": false}),
                &["block_public_acls"],
                &[],
                &[],
            ),
            (
                &nothing,
                None,
                "integration.role",
                &boundary,
                &["permissions_boundary"],
                &[],
                &[],
            ),
            (
                &nothing,
                None,
                "integration.role",
                &marked,
                &["tags"],
                &[],
                &[],
            ),
            // What the plan has told of is put right.
            (
                &nothing,
                Some("bucket.lifecycle_rules"),
                "bucket",
                &rules,
                &[],
                &[],
                &[],
            ),
            (
                &nothing,
                Some("integration.role.permissions_boundary"),
                "integration.role",
                &boundary,
                &[],
                &[],
                &[],
            ),
            // What says the same in other words is told once.
            (
                &nothing,
                None,
                "bucket",
                &longer,
                &["expiration_days"],
                &[],
                &["lifecycle_rules"],
            ),
            // What AWS writes in one with a change.
            (
                &days,
                None,
                "bucket",
                &rules,
                &[],
                &["lifecycle_rules"],
                &[],
            ),
            (
                &prefix,
                None,
                "bucket",
                &longer,
                &[],
                &["expiration_days"],
                &[],
            ),
            (
                &threshold,
                None,
                errors,
                &muted,
                &[],
                &["actions_enabled"],
                &[],
            ),
            (
                &prefix,
                None,
                "bucket",
                &json!({"object_ownership": "ObjectWriter"}),
                &["object_ownership"],
                &[],
                &[],
            ),
            // Of what there is nothing left.
            (
                &nothing,
                None,
                "notification",
                &json!({"lambda_function_arn": null}),
                &[],
                &["lambda_function_arn"],
                &[],
            ),
            (
                &nothing,
                None,
                "integration.role",
                &json!({"policy": ""}),
                &[],
                &["policy"],
                &[],
            ),
            (
                &nothing,
                None,
                "integration.role",
                &json!({"tags": {"cost": "1"}}),
                &[],
                &["tags"],
                &[],
            ),
            // What is put back within a whole that the plan changes in something else.
            (
                &heartbeat,
                None,
                "state_machine",
                &json!({"definition": r#"{"StartAt": "Theirs"}"#}),
                &[],
                &["definition"],
                &[],
            ),
            (
                &prefix,
                None,
                "integration.role",
                &json!({"policy": r#"{"Statement": [{"Effect": "Deny"}]}"#}),
                &[],
                &["policy"],
                &[],
            ),
            (
                &prefix,
                None,
                "bucket",
                &json!({"folders": ["inbound/"]}),
                &[],
                &["folders"],
                &[],
            ),
            (
                &tagged,
                None,
                "queue",
                &json!({"tags": {MARK: "orders/devl/eu-west-1", "cost": "theirs"}}),
                &[],
                &["tags"],
                &[],
            ),
            // A change of the plan alone, or a part of it.
            (&days, None, "bucket", &nothing, &[], &[], &[]),
            (&heartbeat, None, "state_machine", &nothing, &[], &[], &[]),
            (&prefix, None, "integration.role", &nothing, &[], &[], &[]),
            (
                &prefix,
                None,
                "bucket",
                &json!({"folders": ["outbound/"]}),
                &[],
                &[],
                &[],
            ),
        ] {
            let told = told.as_slice();
            let expected = [since, overwritten, ignored];
            assert_eq!(
                sorted(planned, told, part, found),
                expected,
                "{planned} {told:?} {part} {found}"
            );
        }
    }
}
