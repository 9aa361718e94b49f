//! What an apply leaves as it found it: what Terraform ignores, and what somebody has changed since the plan.

use serde_json::Value as Json;

use super::Tree;
use super::blueprint::Node;
use super::state::{self, Observed};
use crate::engine::Attributes;

/// What an apply leaves as it was found, and what it has removed before all else.
#[derive(Debug, Default)]
pub struct Left {
    /// What was found, by part.
    pub found: Observed,
    /// What somebody has changed since the plan.
    pub since: Vec<String>,
    /// What of that is written all the same, by the call that writes what the plan does change.
    pub overwritten: Vec<String>,
    /// What was there as the plan has it, and was not there any more.
    pub missing: Vec<String>,
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

/// What of a part the plan leaves as it was, though it is not as it should be. What the plan changes, and what no plan says anything of, is not among it.
#[derive(Debug, Default)]
pub struct Differs {
    /// What Terraform ignores, and what follows from something changed since the plan.
    pub ignored: Vec<Difference>,
    /// What somebody has changed since the plan.
    pub since: Vec<Difference>,
    /// The same, where the call for what the plan does change writes it along.
    pub overwritten: Vec<Difference>,
}

impl Differs {
    /// Sorts what differs in a `node` that was `old` before.
    #[must_use]
    pub fn sorted(
        node: &Node,
        old: &Node,
        prior: &Tree,
        planned: &Tree,
        found: &Attributes,
    ) -> Self {
        let mut sorted = Self::default();
        let mut written = Vec::new();
        for (name, wanted) in node.part.desired() {
            let is = found.get(&name).cloned().unwrap_or_default();
            if is == wanted {
                continue;
            }
            let before = state::given(prior, &node.path, &name);
            let before = before.filter(|before| {
                let is_planned = state::given(planned, &node.path, &name) == Some(*before);
                // What is not there at all is nobody's wish; a null is also what names a part made anew.
                let is_there = !is.is_null() && is.as_str() != Some("");
                let was_there = !before.is_null() || wanted.is_null();
                is_planned && is_there && was_there
            });
            let to = match before {
                Some(before) if *before == wanted => &mut sorted.since,
                Some(_) => &mut sorted.ignored,
                None => &mut written,
            };
            to.push(Difference { name, wanted, is });
        }
        let leader = |one: &Difference| node.part.follows(&one.name);
        // What the plan itself makes anew follows from more than its leader, which is then looked at by what is not there yet.
        let is_anew = |one: &Difference| {
            let desired = |node: &Node| node.part.desired().remove(&one.name);
            desired(old) != desired(node)
        };
        let (followers, written): (Vec<_>, Vec<_>) = written.into_iter().partition(|one| {
            let is_led = |leader: &str| sorted.since.iter().any(|one| one.name == leader);
            leader(one).is_some_and(is_led) && !is_anew(one)
        });
        sorted.ignored.extend(followers);
        let since = std::mem::take(&mut sorted.since).into_iter();
        let since = since.filter(|one| {
            let mut written = written.iter();
            !written.any(|other| leader(other) == Some(&one.name))
        });
        (sorted.overwritten, sorted.since) = since.partition(|one| {
            let mut written = written.iter();
            written.any(|other| node.part.writes_too(&other.name, &one.name))
        });
        sorted
    }
}
