//! What a refresh saw, handed on to the destroy of the same run, which then need not ask AWS all of it once more.
//!
//! A destroy is another process of the provider than the refresh before it. What that has seen, when, and for which run of Terraform, comes to it with the plan, or with the
//! state, and it believes that if it is of its own run and not old. What a state or a saved plan has kept of another run is not believed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tfplugin::Diagnostic;

use super::blueprint::{Blueprint, Path};
use super::findings::Findings;
use super::named;
use super::state::discreet;
use crate::engine::{Attributes, Found, Owner};

/// How old a memory may be. AWS itself shows no fresher picture for everything.
const FRESH: Duration = Duration::from_mins(2);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// When that was, in seconds since 1970.
    seen_at: u64,
    /// Which process of Terraform it was for.
    run: String,
    /// Whether the pipeline that stands is another than the state's, and there is no more to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    another: bool,
    /// The ARN of the pipeline's own key, where the state knew it and it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost_key: Option<String>,
    /// The process of Terraform whose plan has told what goes for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_in: Option<String>,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    path: Path,
    /// What was there, as far as it was not what should be; none when nothing was.
    found: Option<Attributes>,
    /// What of what should be was not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unseen: Vec<String>,
    /// Whether it was somebody else's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
    /// Whose, where it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
}

impl Memory {
    /// What is written there; where nothing is, one that is too old to be believed.
    fn of(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The process of Terraform that has started this one: its id, and when it was started, since ids come again. None where the system does not tell, and
/// then nothing is believed.
fn run() -> Option<String> {
    let parent = std::os::unix::process::parent_id();
    let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).ok()?;
    // The name, in brackets, may hold anything; from the third field on there are numbers and a letter.
    let (_, fields) = stat.rsplit_once(')')?;
    let started = fields.split_whitespace().nth(19)?;
    Some(format!("{parent} {started}"))
}

/// Writes findings down, after what was written `before`.
#[must_use]
pub fn written(blueprint: &Blueprint, findings: &Findings, before: &[u8]) -> Vec<u8> {
    let part = |(path, found): (&Path, &Option<Found>)| {
        let desired = blueprint
            .node(path)
            .map(|node| node.part.desired())
            .unwrap_or_default();
        let odd = |found: &Found| {
            let mut odd = found.attributes.clone();
            odd.retain(|name, value| desired.get(name) != Some(value));
            if let Some(Json::Object(variables)) = odd.get("variables") {
                let told = discreet(variables, desired.get("variables"));
                odd.insert("variables".to_owned(), told);
            }
            odd
        };
        let (foreign, mark) = match found.as_ref().map(|found| &found.owner) {
            Some(Owner::SomeoneElse(mark)) => (true, mark.clone()),
            _ => (false, None),
        };
        let unseen = |found: &Found| {
            let mut names: Vec<String> = desired.keys().cloned().collect();
            names.retain(|name| !found.attributes.contains_key(name));
            names
        };
        Part {
            path: path.clone(),
            found: found.as_ref().map(odd),
            unseen: found.as_ref().map(unseen).unwrap_or_default(),
            foreign,
            mark,
        }
    };
    let missing = blueprint.node(&["key".to_owned()]).filter(|key| {
        let found = findings.get(&key.path);
        found.is_some_and(Option::is_none)
    });
    let memory = Memory {
        seen_at: now(),
        run: run().unwrap_or_default(),
        another: false,
        told_in: None,
        lost_key: missing.and_then(|key| {
            let known = key.part.tagged_as().map(str::to_owned);
            known.or_else(|| lost_key(before))
        }),
        parts: findings.iter().map(part).collect(),
    };
    memory.bytes()
}

/// What the refreshes of this process have seen. A plan in the same process takes it from here, and hands it on to the destroy. The state has it only where
/// Terraform was called to destroy, which plans in another process: a state that every refresh changes is never up to date, nor is a plan saved beside it.
#[derive(Debug, Default)]
pub struct Memories {
    seen: Mutex<BTreeMap<String, Vec<u8>>>,
    standing: Mutex<BTreeMap<String, Map<String, Json>>>,
}

impl Memories {
    /// Notes what was seen of an object. Answers what the state is to have of it.
    pub fn note(&self, of: String, memory: Vec<u8>) -> Vec<u8> {
        let kept = if destroys() {
            memory.clone()
        } else {
            lasting(&memory)
        };
        lock(&self.seen).insert(of, memory);
        kept
    }

    /// What was seen of an object.
    #[must_use]
    pub fn of(&self, of: &str) -> Option<Vec<u8>> {
        lock(&self.seen).get(of).cloned()
    }

    /// Notes a state that this process was shown. Of what replaces its object for reasons of Terraform's own, a taint or `-replace`, the plan is asked for as of
    /// something new.
    pub fn stands(&self, state: &Map<String, Json>) {
        if let Some(named) = named(state) {
            lock(&self.standing).insert(named, state.clone());
        }
    }

    /// The state of the object of this name.
    #[must_use]
    pub fn standing(&self, named: &str) -> Option<Map<String, Json>> {
        lock(&self.standing).get(named).cloned()
    }

    /// Notes that the object of this name is gone, or another by now.
    pub fn ended(&self, named: &str) {
        lock(&self.standing).remove(named);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tells an object of the state from others, as far as its memory goes.
#[must_use]
pub fn of(state: &Map<String, Json>) -> Option<String> {
    let made_at = state.get("made_at").and_then(Json::as_str);
    Some(format!("{} {}", named(state)?, made_at.unwrap_or_default()))
}

/// Whether the process that has started this one was told to destroy.
#[must_use]
pub fn destroys() -> bool {
    let parent = std::os::unix::process::parent_id();
    let told = std::fs::read(format!("/proc/{parent}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = told.split(|byte| *byte == 0).skip(1).collect();
    is_to_destroy(&words)
}

/// Whether these arguments of Terraform have it destroy.
fn is_to_destroy(words: &[&[u8]]) -> bool {
    // Terraform may be started through a script, which stands before its command.
    let is_command = |word: &&&[u8]| !word.starts_with(b"-") && !word.contains(&b'/');
    let command = words.iter().find(is_command);
    let mut words = words.iter();
    command == Some(&&b"destroy"[..])
        || words.any(|word| matches!(*word, b"-destroy" | b"--destroy" | b"-destroy=true"))
}

/// Writes down that the pipeline that stands is another than the state's.
#[must_use]
pub fn of_another() -> Vec<u8> {
    let memory = Memory {
        another: true,
        ..Memory::default()
    };
    memory.bytes()
}

/// Whether the last refresh has seen another pipeline than the state's. Of whichever run that was: who acts on it looks again.
#[must_use]
pub fn is_of_another(bytes: &[u8]) -> bool {
    Memory::of(bytes).another
}

/// Writes down that the plan has told what is lost for good, where anything is.
#[must_use]
pub fn told(bytes: Vec<u8>, lost: &[Diagnostic]) -> Vec<u8> {
    if lost.is_empty() {
        return bytes;
    }
    let memory = Memory {
        told_in: run(),
        ..Memory::of(&bytes)
    };
    memory.bytes()
}

/// Whether the plan of this run of Terraform has told what is lost for good. What there is may have become more since a plan was saved.
#[must_use]
pub fn is_told(bytes: &[u8]) -> bool {
    let told_in = Memory::of(bytes).told_in;
    told_in.is_some() && told_in == run()
}

/// The ARN of the pipeline's own key, where the last refresh has not found it.
#[must_use]
pub fn lost_key(bytes: &[u8]) -> Option<String> {
    Memory::of(bytes).lost_key
}

/// What of a memory is not of its moment alone.
fn lasting(bytes: &[u8]) -> Vec<u8> {
    let lost_key = lost_key(bytes);
    let lost = lost_key.is_some().then(|| Memory {
        lost_key,
        ..Memory::default()
    });
    lost.map(|lost| lost.bytes()).unwrap_or_default()
}

/// What a state, if one is left, is to have of a memory after an apply, whose plan wrote down the rest for its run alone.
#[must_use]
pub fn kept(bytes: &[u8], state: Option<&Map<String, Json>>) -> Vec<u8> {
    let has_key = |state: &Map<String, Json>| state.get("key")?.get("arn")?.as_str().map(drop);
    match state {
        Some(state) if has_key(state).is_none() => lasting(bytes),
        _ => Vec::new(),
    }
}

/// Reads findings back; none when there are none, when they are too old, or when they are not of all parts of this blueprint.
#[must_use]
pub fn read(bytes: &[u8], blueprint: &Blueprint) -> Option<Findings> {
    let memory = Memory::of(bytes);
    if now().checked_sub(memory.seen_at)? > FRESH.as_secs() || memory.run != run()? {
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
            attributes.retain(|name, _| !part.unseen.contains(name));
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

#[cfg(test)]
mod tests {
    use super::super::blueprint::tests::orders;
    use super::*;
    use serde_json::json;

    fn findings(blueprint: &Blueprint) -> Findings {
        let each = |node: &super::super::blueprint::Node| {
            let found = match node.path.join(".").as_str() {
                "topic" => None,
                "queue" => {
                    let mut attributes = node.part.desired();
                    attributes.insert("delay_seconds".to_owned(), json!(7));
                    attributes.insert("url".to_owned(), json!("https://q"));
                    let owner = Owner::Us;
                    Some(Found { attributes, owner })
                }
                "bucket" => Some(Found {
                    attributes: Attributes::from_iter([("tags".to_owned(), json!({}))]),
                    owner: Owner::SomeoneElse(Some("parcels".to_owned())),
                }),
                _ => Some(Found {
                    attributes: node.part.desired(),
                    owner: Owner::Us,
                }),
            };
            (node.path.clone(), found)
        };
        blueprint.nodes.iter().map(each).collect()
    }

    #[test]
    fn what_was_written_is_read_back_while_it_is_fresh() {
        let blueprint = orders();
        let findings = findings(&blueprint);
        let known = read(&written(&blueprint, &findings, b""), &blueprint).unwrap();
        for (path, found) in &findings {
            let (found, known) = (found.as_ref(), known[path].as_ref());
            assert_eq!(found.map(|f| &f.attributes), known.map(|f| &f.attributes));
            assert_eq!(found.map(|f| &f.owner), known.map(|f| &f.owner));
        }
    }

    #[test]
    fn only_the_command_or_its_option_destroys() {
        let is = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            is_to_destroy(&words)
        };
        for line in [
            "destroy -auto-approve",
            "-chdir=x destroy",
            "-I /opt/terraform.py destroy",
            "apply -destroy",
            "plan -out p --destroy",
            "plan -destroy=true",
        ] {
            assert!(is(line), "{line}");
        }
        for line in [
            "plan -out destroy",
            "apply destroy",
            "plan -destroy=false",
            "",
        ] {
            assert!(!is(line), "{line}");
        }
    }

    #[test]
    fn what_is_old_or_not_whole_is_not_believed() {
        let blueprint = orders();
        let mut findings = findings(&blueprint);
        let bytes = written(&blueprint, &findings, b"");
        let mut others: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for run in ["", "1 1"] {
            others["run"] = json!(run);
            assert!(read(others.to_string().as_bytes(), &blueprint).is_none());
        }
        let mut old: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for moment in [
            json!(now() - FRESH.as_secs() - 1),
            json!(now() + 60),
            json!(null),
        ] {
            old["seen_at"] = moment;
            assert!(read(old.to_string().as_bytes(), &blueprint).is_none());
        }
        findings.remove(&vec!["queue".to_owned()]);
        let bytes = written(&blueprint, &findings, b"");
        assert!(read(&bytes, &blueprint).is_none());
        for junk in [&b""[..], b"{}", b"junk"] {
            assert!(read(junk, &blueprint).is_none());
        }
    }
}
