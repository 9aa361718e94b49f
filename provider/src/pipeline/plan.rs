//! What an apply would make of a configuration, as far as it can be known before.
//!
//! The resource is a pure function of its arguments and a few facts. Where some of them are unknown the function is worked out twice,
//! with two different stand-ins for each unknown: what comes out the same both times does not depend on them and is known;
//! the rest is known after apply.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use tfplugin::{Diagnostic, Path, Value};

use super::blueprint::{self, Blueprint, Facts, graft};
use super::packages::{NoPackage, Package, Packages};
use super::schema::{Field, Origin, Shape, fields, with_defaults};
use super::settings::Settings;
use crate::documents::Place;

/// One of the two ways to stand in for what is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    /// As if it were left out.
    Absent,
    /// As if it were something no one would write.
    Odd,
}

const ODD: &str = "unknown-until-apply";
const ODD_NUMBER: i64 = 1_234_567;

/// What is known beside the configuration.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Where the pipeline lives; unknown while the provider's own configuration is.
    pub place: Option<Place>,
    /// The provider's default tags; unknown while the provider's own configuration is.
    pub default_tags: Option<BTreeMap<String, String>>,
    /// The state before, as JSON; none for a pipeline yet to be made.
    pub prior: Option<Map<String, Json>>,
}

/// The planned value, and the arguments whose change forces a replacement.
#[derive(Debug)]
pub struct Planned {
    /// The whole resource as it will be.
    pub value: Value,
    /// Where a change cannot be made in place.
    pub replace: Vec<Path>,
}

/// Works out the plan.
///
/// # Errors
/// What makes a plan impossible, on the argument that does.
pub fn plan(config: &Value, known: &Known) -> Result<Planned, Diagnostic> {
    let fields = fields();
    let (absent, blueprint) = evaluate(config, known, StandIn::Absent)?;
    let (odd, _) = evaluate(config, known, StandIn::Odd)?;
    let before = known
        .prior
        .as_ref()
        .and_then(|prior| recorded(prior, known));
    let view = View {
        prior: known.prior.as_ref(),
        before: before.as_ref(),
        now: &blueprint,
    };
    let mut value = view.object(&fields, config.as_map(), &absent, &odd, &mut Vec::new());
    if let Some(timeouts) = config.get("timeouts") {
        value.insert("timeouts".to_owned(), timeouts.clone());
    }
    let value = Value::Map(value);
    let replace = known
        .prior
        .as_ref()
        .map(|prior| replacements(&fields, config, &value, prior))
        .unwrap_or_default();
    Ok(Planned { value, replace })
}

/// The blueprint of what a state says there is.
#[must_use]
pub fn recorded(state: &Map<String, Json>, known: &Known) -> Option<Blueprint> {
    let settings = Settings::read(state).ok()?;
    let place = known.place.clone()?;
    let facts = Facts {
        place,
        key_arn: key_arn(&settings, Some(state)).unwrap_or_else(|| ODD.to_owned()),
        key_id: settings.key.key_id.clone(),
        tags: settings.tags_all.clone().unwrap_or_default(),
        packages: Packages::recorded(&settings),
    };
    Some(Blueprint::of(&settings, &facts))
}

/// The ARN of the key in use, as far as it is known: the user's, or our own as the state has it.
#[must_use]
pub fn key_arn(settings: &Settings, state: Option<&Map<String, Json>>) -> Option<String> {
    let own = || state?.get("key")?.get("arn")?.as_str().map(str::to_owned);
    settings.kms_key_arn.clone().or_else(own)
}

/// The tags of everything that takes tags.
#[must_use]
pub fn all_tags(
    defaults: &BTreeMap<String, String>,
    own: Option<&BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut tags = defaults.clone();
    tags.extend(
        own.into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    tags
}

fn evaluate(
    config: &Value,
    known: &Known,
    stand_in: StandIn,
) -> Result<(Map<String, Json>, Blueprint), Diagnostic> {
    let fields = fields();
    let given = stood_in(&fields, config, stand_in);
    let mut tree = with_defaults(&fields, &given);
    let settings = Settings::read(&given)
        .map_err(|error| Diagnostic::error("Configuration not understood", error.to_string()))?;
    let odd = |text: &str| {
        if stand_in == StandIn::Odd {
            format!("{text}-{ODD}")
        } else {
            text.to_owned()
        }
    };
    let place = known.place.clone().unwrap_or_else(|| Place {
        partition: odd("aws"),
        region: odd("region"),
        account: odd("account"),
    });
    let defaults = known
        .default_tags
        .clone()
        .unwrap_or_else(|| [(odd("tag"), ODD.to_owned())].into());
    let tags = all_tags(&defaults, settings.tags.as_ref());
    let facts = Facts {
        place,
        key_arn: key_arn(&settings, known.prior.as_ref()).unwrap_or_else(|| odd("key")),
        key_id: None,
        tags: tags.clone(),
        packages: packages(config, &settings, known.prior.as_ref(), stand_in).map_err(|none| {
            let path = Path::root()
                .attribute(none.function)
                .attribute(none.argument);
            Diagnostic::error("No code for the function", none.message).at(path)
        })?,
    };
    let blueprint = Blueprint::of(&settings, &facts);
    for node in &blueprint.nodes {
        graft(&mut tree, &node.path, node.part.desired());
    }
    if settings.kms_key_arn.is_some() {
        tree.insert("key".to_owned(), Json::Null);
    }
    tree.insert("tags_all".to_owned(), json!(tags));
    tree.insert("drift".to_owned(), json!({}));
    Ok((tree, blueprint))
}

/// The code, or a stand-in while what it depends on is unknown.
fn packages(
    config: &Value,
    settings: &Settings,
    prior: Option<&Map<String, Json>>,
    stand_in: StandIn,
) -> Result<Packages, NoPackage> {
    let unknown = |function: &str| {
        let names = [
            "filename",
            "s3_bucket",
            "s3_key",
            "s3_object_version",
            "architectures",
        ];
        let part = config.get(function);
        part.is_some_and(Value::is_unknown)
            || names.iter().any(|name| {
                part.and_then(|part| part.get(name))
                    .is_some_and(|value| !value.is_wholly_known())
            })
    };
    let (processing, integration) = (unknown("processing"), unknown("integration"));
    let mut settings = settings.clone();
    // The hash of an object in S3 is what it was, as long as it is the same object.
    let before = |name: &str| {
        prior?
            .get("processing")?
            .get(name)?
            .as_str()
            .map(str::to_owned)
    };
    settings.processing.function.package = before("package");
    settings.processing.function.code_sha256 = before("code_sha256");
    if processing {
        settings.processing.filename = None;
        settings.processing.s3_bucket = None;
        settings.processing.function.architectures = vec!["x86_64".to_owned()];
    }
    if integration {
        settings.integration.architectures = vec!["x86_64".to_owned()];
    }
    let mut packages = match Packages::of(&settings) {
        Err(_) if processing && integration => Packages::recorded(&settings),
        other => other?,
    };
    let odd = |package: &mut Package| {
        package.label = format!("{stand_in:?}");
        package.sha256 = Some(format!("{stand_in:?}"));
    };
    if processing {
        odd(&mut packages.processing);
    }
    if integration {
        odd(&mut packages.integration);
    }
    Ok(packages)
}

/// The configuration as JSON, with stand-ins for what is unknown.
fn stood_in(fields: &[Field], config: &Value, stand_in: StandIn) -> Map<String, Json> {
    let each = |field: &Field| {
        let value = config.get(field.name).unwrap_or(&Value::Null);
        (
            field.name.to_owned(),
            stood_in_value(field, value, stand_in),
        )
    };
    fields.iter().map(each).collect()
}

fn stood_in_value(field: &Field, value: &Value, stand_in: StandIn) -> Json {
    match (&field.shape, value) {
        (_, Value::Unknown) => stand_in_for(field, stand_in),
        (_, Value::Null) => Json::Null,
        (Shape::Object(inner), value) => Json::Object(stood_in(inner, value, stand_in)),
        (Shape::ObjectMap(inner), Value::Map(map)) => {
            let each = |(name, value): (&String, &Value)| match value {
                Value::Null => (name.clone(), Json::Null),
                Value::Unknown => (name.clone(), Json::Object(unknown_object(inner, stand_in))),
                value => (name.clone(), Json::Object(stood_in(inner, value, stand_in))),
            };
            Json::Object(map.iter().map(each).collect())
        }
        (_, Value::Map(map)) => {
            let odd = || {
                if stand_in == StandIn::Odd {
                    json!(ODD)
                } else {
                    json!("")
                }
            };
            Json::Object(
                map.iter()
                    .map(|(key, value)| (key.clone(), value.to_json().unwrap_or_else(odd)))
                    .collect(),
            )
        }
        (_, Value::List(list)) => {
            let odd = || {
                if stand_in == StandIn::Odd {
                    json!(ODD)
                } else {
                    json!("")
                }
            };
            Json::Array(
                list.iter()
                    .map(|value| value.to_json().unwrap_or_else(odd))
                    .collect(),
            )
        }
        (_, value) => value.to_json().unwrap_or(Json::Null),
    }
}

fn unknown_object(fields: &[Field], stand_in: StandIn) -> Map<String, Json> {
    fields
        .iter()
        .map(|field| (field.name.to_owned(), stand_in_for(field, stand_in)))
        .collect()
}

fn stand_in_for(field: &Field, stand_in: StandIn) -> Json {
    match (&field.shape, stand_in, &field.origin) {
        (_, _, Origin::Computed) => Json::Null,
        (Shape::Text, StandIn::Absent, Origin::Required) => json!("x"),
        (_, StandIn::Absent, _) => Json::Null,
        (Shape::Text, ..) => json!(ODD),
        (Shape::Number, ..) => json!(ODD_NUMBER),
        (Shape::Flag, _, origin) => json!(*origin != Origin::Default(json!(true))),
        (Shape::TextMap, ..) => json!({ODD: ODD}),
        (Shape::TextList, ..) => json!([ODD]),
        (Shape::Object(inner), ..) => Json::Object(unknown_object(inner, stand_in)),
        (Shape::ObjectMap(inner), ..) => json!({ODD: unknown_object(inner, stand_in)}),
    }
}

/// Puts the two evaluations together.
struct View<'a> {
    prior: Option<&'a Map<String, Json>>,
    before: Option<&'a Blueprint>,
    now: &'a Blueprint,
}

impl View<'_> {
    fn object(
        &self,
        fields: &[Field],
        config: Option<&BTreeMap<String, Value>>,
        absent: &Map<String, Json>,
        odd: &Map<String, Json>,
        path: &mut Vec<String>,
    ) -> BTreeMap<String, Value> {
        let mut result = BTreeMap::new();
        for field in fields {
            let given = config
                .and_then(|map| map.get(field.name))
                .unwrap_or(&Value::Null);
            let (a, b) = (
                absent.get(field.name).unwrap_or(&Json::Null),
                odd.get(field.name).unwrap_or(&Json::Null),
            );
            path.push(field.name.to_owned());
            let value = match (&field.shape, given) {
                (_, Value::Unknown) => Value::Unknown,
                (Shape::Object(inner), _) => self.nested(inner, given, a, b, path),
                (Shape::ObjectMap(inner), Value::Map(map)) => {
                    let each = |(name, given): (&String, &Value)| {
                        path.push(name.clone());
                        let (a, b) = (
                            a.get(name).unwrap_or(&Json::Null),
                            b.get(name).unwrap_or(&Json::Null),
                        );
                        let value = match given {
                            Value::Unknown => Value::Unknown,
                            given => self.nested(inner, given, a, b, path),
                        };
                        path.pop();
                        (name.clone(), value)
                    };
                    Value::Map(map.iter().map(each).collect())
                }
                (_, given) if !given.is_null() => given.clone(),
                _ if a != b => Value::Unknown,
                _ if a.is_null() && field.origin == Origin::Computed => self.output(path, a),
                _ => Value::from_json(a),
            };
            path.pop();
            result.insert(field.name.to_owned(), value);
        }
        result
    }

    fn nested(
        &self,
        inner: &[Field],
        given: &Value,
        a: &Json,
        b: &Json,
        path: &mut Vec<String>,
    ) -> Value {
        match (a, b) {
            (Json::Object(a), Json::Object(b)) => {
                Value::Map(self.object(inner, given.as_map(), a, b, path))
            }
            (Json::Null, Json::Null) => Value::Null,
            _ => Value::Unknown,
        }
    }

    /// What only AWS knows: what it was before, as long as it belongs to the same object.
    fn output(&self, path: &[String], nothing: &Json) -> Value {
        let Some((name, place)) = path.split_last() else {
            return Value::Null;
        };
        let Some(node) = self.now.node(place) else {
            return Value::from_json(nothing);
        };
        let same = self
            .before
            .and_then(|before| before.node(place))
            .is_some_and(|old| {
                let same_package =
                    || old.part.desired().get("package") == node.part.desired().get("package");
                old.part.name() == node.part.name() && (name != "code_sha256" || same_package())
            });
        let before = || {
            let tree = Json::Object(self.prior?.clone());
            let found = path
                .iter()
                .try_fold(&tree, |here, step| here.get(step))?
                .clone();
            Some(found).filter(|value| !value.is_null())
        };
        match same.then(before).flatten() {
            Some(value) => Value::from_json(&value),
            None => Value::Unknown,
        }
    }
}

/// The arguments that AWS cannot change in place and that do change: those the user wrote, or else all of them.
fn replacements(
    fields: &[Field],
    config: &Value,
    planned: &Value,
    prior: &Map<String, Json>,
) -> Vec<Path> {
    let mut found = Vec::new();
    changed_for_good(
        fields,
        Some(planned),
        Some(&Json::Object(prior.clone())),
        &Path::root(),
        &mut found,
    );
    let key = Path::root().attribute("kms_key_arn");
    let had = prior
        .get("kms_key_arn")
        .is_some_and(|value| !value.is_null());
    let has = planned.at(&key).is_some_and(|value| !value.is_null());
    if had != has {
        // What is encrypted with the one key could not be read with the other.
        found.push(key);
    }
    let written: Vec<Path> = found
        .iter()
        .filter(|path| config.at(path).is_some_and(|value| !value.is_null()))
        .cloned()
        .collect();
    if written.is_empty() { found } else { written }
}

fn changed_for_good(
    fields: &[Field],
    planned: Option<&Value>,
    prior: Option<&Json>,
    at: &Path,
    found: &mut Vec<Path>,
) {
    for field in fields {
        let path = at.clone().attribute(field.name);
        let now = planned.and_then(|value| value.get(field.name));
        let before = prior.and_then(|value| value.get(field.name));
        if let Shape::Object(inner) = &field.shape {
            changed_for_good(inner, now, before, &path, found);
        } else if field.replace
            && let (Some(now), Some(before)) = (now, before)
            && !before.is_null()
            && *now != Value::from_json(before)
        {
            found.push(path);
        }
    }
}

/// A planned value with everything filled in that was unknown.
#[must_use]
pub fn settled(planned: Value, tree: &Json) -> Value {
    match planned {
        Value::Unknown => Value::from_json(tree),
        Value::Map(map) => Value::Map(
            map.into_iter()
                .map(|(name, value)| {
                    let part = tree.get(&name).unwrap_or(&Json::Null);
                    (name, settled(value, part))
                })
                .collect(),
        ),
        other => other,
    }
}

/// The mark's value for a configuration, for messages.
#[must_use]
pub fn mark_of(settings: &Settings) -> String {
    blueprint::mark(settings)
}
