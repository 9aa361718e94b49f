//! What a refresh saw, handed on to the destroy of the same run, which then need not ask AWS all of it once more.
//!
//! Terraform refreshes a resource and plans its end in one process and destroys it in another; what the plan writes down for itself is all that
//! gets from the one to the other. A plan that was saved and is applied later is too old to be believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::apply::Findings;
use super::blueprint::{Blueprint, Path};
use crate::engine::{Attributes, Found, Owner};

/// How old a memory may be. AWS itself shows no fresher picture for everything.
const FRESH: Duration = Duration::from_mins(2);

#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    /// Seconds since 1970.
    seen_at: u64,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    path: Path,
    /// What was there, as far as it was not what should be; none when nothing was.
    found: Option<Attributes>,
    /// Whether it was somebody else's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
    /// Whose, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Writes findings down.
#[must_use]
pub fn written(blueprint: &Blueprint, findings: &Findings) -> Vec<u8> {
    let part = |(path, found): (&Path, &Option<Found>)| {
        let desired = blueprint
            .node(path)
            .map(|node| node.part.desired())
            .unwrap_or_default();
        let odd = |found: &Found| {
            let mut odd = found.attributes.clone();
            odd.retain(|name, value| desired.get(name) != Some(value));
            odd
        };
        let (foreign, mark) = match found.as_ref().map(|found| &found.owner) {
            Some(Owner::SomeoneElse(mark)) => (true, mark.clone()),
            _ => (false, None),
        };
        Part {
            path: path.clone(),
            found: found.as_ref().map(odd),
            foreign,
            mark,
        }
    };
    let memory = Memory {
        seen_at: now(),
        parts: findings.iter().map(part).collect(),
    };
    serde_json::to_vec(&memory).unwrap_or_default()
}

/// Reads findings back; none when there are none, when they are too old, or when they are not of all parts of this blueprint.
#[must_use]
pub fn read(bytes: &[u8], blueprint: &Blueprint) -> Option<Findings> {
    let memory: Memory = serde_json::from_slice(bytes).ok()?;
    if now().checked_sub(memory.seen_at)? > FRESH.as_secs() {
        return None;
    }
    let mut findings = Findings::new();
    for part in memory.parts {
        let desired = blueprint.node(&part.path)?.part.desired();
        let owner = if part.foreign {
            Owner::SomeoneElse(part.mark)
        } else {
            Owner::Us
        };
        let found = part.found.map(|odd| {
            let mut attributes = desired;
            attributes.extend(odd);
            Found { attributes, owner }
        });
        findings.insert(part.path, found);
    }
    let whole = blueprint
        .nodes
        .iter()
        .all(|node| findings.contains_key(&node.path));
    whole.then_some(findings)
}
