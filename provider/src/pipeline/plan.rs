//! What an apply would make of a configuration, as far as it can be known before.
//!
//! The resource is a pure function of its arguments and a few facts. Where some of them are unknown the function is worked out twice,
//! with two different stand-ins for each unknown: what comes out the same both times does not depend on them and is known;
//! the rest is known after apply.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use super::blueprint::{Blueprint, Facts, MACHINE, graft};
use super::packages::{NoPackage, Package, Packages};
use super::schema::{Field, Origin, Shape, fields, with_defaults};
use super::settings::Settings;
use super::state;
use crate::documents::Place;
use crate::parts::function::Code;

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
    /// The same with all digits of its numbers.
    pub exact: Value,
    /// The state of a pipeline of the same name that this one may replace, where Terraform plans it as something new.
    pub standing: Option<Map<String, Json>>,
    /// The ARN of the pipeline's own key, with which what stands was made, where the state has it no more.
    pub lost_key: Option<String>,
    /// Whether Terraform was called to destroy, before which it asks for an ordinary plan.
    pub destroys: bool,
}

/// The planned value, and the arguments whose change forces a replacement.
#[derive(Debug)]
pub struct Planned {
    /// The whole resource as it will be.
    pub value: Value,
    /// Where a change cannot be made in place.
    pub replace: Vec<Path>,
    /// The parts there will be, as far as their names are known.
    pub after: Blueprint,
    /// What an apply would fail for and a destroy does not need.
    pub warnings: Diagnostics,
}

/// Works out the plan.
///
/// # Errors
/// What makes a plan impossible, on the argument that does.
pub fn plan(config: &Value, known: &Known) -> Result<Planned, Diagnostic> {
    let fields = fields();
    key_or_none(config)?;
    if !known.destroys {
        not_its_own_key(config, known.prior.as_ref().or(known.standing.as_ref()))?;
    }
    let (absent, mut blueprint, lost) = evaluate(config, known, StandIn::Absent)?;
    let (odd, otherwise, _) = evaluate(config, known, StandIn::Odd)?;
    let before = known
        .prior
        .as_ref()
        .and_then(|prior| recorded_before(prior, known, &blueprint));
    let view = View {
        prior: known.prior.as_ref(),
        exact: &known.exact,
        before: before.as_ref(),
        now: &blueprint,
    };
    let mut value = view.object(fields, config.as_map(), &absent, &odd, &mut Vec::new());
    if let Some(timeouts) = config.get("timeouts") {
        value.insert("timeouts".to_owned(), timeouts.clone());
    }
    let value = Value::Map(value);
    let replace = known
        .prior
        .as_ref()
        .map(|prior| replacements(fields, config, &value, prior))
        .unwrap_or_default();
    // Of a function that is ignored Terraform gives what it was: it keeps its code.
    let ignored = |none: &NoPackage| {
        let hash = Path::root()
            .attribute(none.function)
            .attribute("code_sha256");
        config.at(&hash).is_some_and(|hash| !hash.is_null())
    };
    let mut warnings: Diagnostics = lost
        .into_iter()
        .filter(|none| !ignored(none))
        .map(|none| {
            let path = none.path();
            let detail = format!(
                "{} An apply will end here; a destroy needs no code.",
                none.message
            );
            Diagnostic::warning("No code for the function", detail).at(path)
        })
        .collect();
    if let (Some(prior), Some(before)) = (&known.prior, &before) {
        warnings.extend(left_behind(config, prior, before, &blueprint));
    }
    let certain = otherwise.identities();
    let nodes = &mut blueprint.nodes;
    nodes.retain(|node| certain.contains(&node.identity()));
    Ok(Planned {
        value,
        replace,
        after: blueprint,
        warnings,
    })
}

/// Warns of what is under `ignore_changes` while this plan changes what it follows from: Terraform gives what it was as if it were configured.
fn left_behind(
    config: &Value,
    prior: &Map<String, Json>,
    before: &Blueprint,
    after: &Blueprint,
) -> Diagnostics {
    let mut left = Vec::new();
    let is_given = |path: &Path| config.at(path).is_some_and(|given| !given.is_null());
    for node in &after.nodes {
        let Some(old) = before.node(&node.path) else {
            continue;
        };
        let (was, wanted) = (old.part.desired(), node.part.desired());
        let steps = node.path.iter().map(String::as_str);
        let place = steps.fold(Path::root(), Path::attribute);
        for name in state::told(&node.path) {
            let path = place.clone().attribute(name);
            // A function keeps its code: that is what it is ignored for.
            let is_code = ["package", "code_sha256"].contains(&name);
            if is_code || !is_given(&path) || was.get(name) == wanted.get(name) {
                continue;
            }
            if state::shown(prior, &node.path, name) != wanted.get(name) {
                left.push(path);
            }
        }
    }
    let told = |path: &Path| {
        let detail = format!(
            "{path} is under ignore_changes and stays as it is, while this plan changes what it follows from. Without it the pipeline may not work, and later plans say nothing of it: take it out of ignore_changes, or leave what it follows from as it was."
        );
        Diagnostic::warning("Left behind by ignore_changes", detail).at(path.clone())
    };
    let mut told: Diagnostics = left.iter().map(told).collect();
    let drift = Path::root().attribute(state::DRIFT);
    if is_given(&drift) && prior.get(state::DRIFT) != Some(&json!({})) {
        let detail = "What drift tells of has no attribute of its own, and an apply of anything else puts it right, also under ignore_changes. While it is all there is, no apply does: take drift out of ignore_changes.";
        told.push(Diagnostic::warning("Drift is not ignored", detail).at(drift));
    }
    told
}

/// Whether there is a key of the pipeline's own must be known where there are arguments for it: what is written must be planned.
fn key_or_none(config: &Value) -> Result<(), Diagnostic> {
    let is = |name: &str, what: fn(&Value) -> bool| config.get(name).is_some_and(what);
    if !is("kms_key_arn", Value::is_unknown)
        || is("key", Value::is_null)
        || is("key", Value::is_unknown)
    {
        return Ok(());
    }
    let detail = "kms_key_arn is known only after apply, and with a key of yours there is none of the pipeline's own to be set up. Leave out \
                  key, or apply what kms_key_arn comes from first.";
    let path = Path::root().attribute("key");
    Err(Diagnostic::error("Not known whether there is a key to set up", detail).at(path))
}

/// A pipeline's own key goes with it, and cannot be the user's.
fn not_its_own_key(config: &Value, prior: Option<&Map<String, Json>>) -> Result<(), Diagnostic> {
    let own = prior.and_then(|prior| prior.get("key")?.get("arn")?.as_str());
    let given = config.get("kms_key_arn").and_then(Value::as_str);
    if own.is_none() || own != given {
        return Ok(());
    }
    let detail = "This is the key that the pipeline has made for itself, which is removed with it and where it is replaced by another one. Leave kms_key_arn out to go on with it, or give a \
                  key of your own.";
    let path = Path::root().attribute("kms_key_arn");
    Err(Diagnostic::error("The pipeline's own key", detail).at(path))
}

/// The blueprint of what a state says there is.
#[must_use]
pub fn recorded(state: &Map<String, Json>, known: &Known) -> Option<Blueprint> {
    let settings = Settings::read(state).ok()?;
    let place = known.place.clone()?;
    let facts = Facts {
        place,
        key_arn: key_arn(&settings, Some(state))
            .or_else(|| known.lost_key.clone())
            .unwrap_or_else(|| ODD.to_owned()),
        key_id: settings.key.key_id.clone(),
        tags: settings.tags_all.clone().unwrap_or_default(),
        packages: Packages::recorded(&settings),
    };
    Some(Blueprint::of(&settings, &facts))
}

/// The same of a state that is to become `after`: a key that is there and of which no alias is known is the same, however it is to be called.
#[must_use]
pub fn recorded_before(
    state: &Map<String, Json>,
    known: &Known,
    after: &Blueprint,
) -> Option<Blueprint> {
    let mut state = state.clone();
    let wanted = after.node(&["key".to_owned()]);
    if let (Some(Json::Object(key)), Some(wanted)) = (state.get_mut("key"), wanted) {
        let is_null = |name: &str| key.get(name).is_none_or(Json::is_null);
        if !is_null("key_id") && is_null("alias") {
            key.insert("alias".to_owned(), json!(wanted.part.name()));
        }
    }
    recorded(&state, known)
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

/// The resource as it will be, its parts, and the code that is lost.
type Evaluated = (Map<String, Json>, Blueprint, Vec<NoPackage>);

fn evaluate(config: &Value, known: &Known, stand_in: StandIn) -> Result<Evaluated, Diagnostic> {
    let fields = fields();
    let given = stood_in(fields, config, stand_in);
    let mut tree = with_defaults(fields, &given);
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
    let (packages, lost) = packages(config, &settings, known, stand_in).map_err(NoPackage::told)?;
    let facts = Facts {
        place,
        key_arn: key_arn(&settings, known.prior.as_ref()).unwrap_or_else(|| odd("key")),
        key_id: None,
        tags: tags.clone(),
        packages,
    };
    let blueprint = Blueprint::of(&settings, &facts);
    for node in &blueprint.nodes {
        graft(&mut tree, &node.path, node.part.desired());
    }
    if settings.kms_key_arn.is_some() {
        tree.insert("key".to_owned(), Json::Null);
    }
    tree.extend(blueprint.outputs.clone());
    tree.insert("tags_all".to_owned(), json!(tags));
    tree.insert("drift".to_owned(), json!({}));
    let before = |prior: &Map<String, Json>| {
        let made_at = prior.get("made_at").cloned().unwrap_or_default();
        let machine = prior.get(MACHINE).and_then(|machine| machine.get("arn"));
        // A state machine that is made gets one.
        let is_kept = !made_at.is_null() || machine.is_some_and(|arn| !arn.is_null());
        is_kept.then_some(made_at)
    };
    let made_at = known.prior.as_ref().and_then(before);
    let made_at = made_at.unwrap_or_else(|| json!(format!("{stand_in:?}")));
    tree.insert("made_at".to_owned(), made_at);
    Ok((tree, blueprint, lost))
}

/// The code, or a stand-in while what it depends on is unknown, and the code that is lost: it was deployed from where it is no more. Its
/// stand-in lets the plan say that an apply would change something, and lets a destroy be planned: Terraform asks for the plan of a change
/// before it, and its command line alone says that it is for a destroy.
fn packages(
    config: &Value,
    settings: &Settings,
    known: &Known,
    stand_in: StandIn,
) -> Result<(Packages, Vec<NoPackage>), NoPackage> {
    let prior = known.prior.as_ref();
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
    let mut settings = settings.clone();
    // The hash of an object in S3 is what it was, as long as it is the same object: code for another architecture is not.
    let was = |name: &str| prior?.get("processing")?.get(name);
    let same = was("architectures") == Some(&json!(settings.processing.function.architectures));
    let before = |name: &str| was(name)?.as_str().filter(|_| same).map(str::to_owned);
    settings.processing.function.package = before("package");
    settings.processing.function.code_sha256 = before("code_sha256");
    let stand_in = || Package {
        label: format!("{stand_in:?}"),
        sha256: Some(format!("{stand_in:?}")),
        code: Code::Recorded,
    };
    let mut lost = Vec::new();
    let mut code = |function: &str, find: fn(&Settings) -> Result<Package, NoPackage>| {
        if unknown(function) {
            return Ok(stand_in());
        }
        match find(&settings) {
            Err(none) if known.destroys || none.is_deployed(config, prior) => {
                lost.push(none);
                Ok(stand_in())
            }
            other => other,
        }
    };
    let packages = Packages {
        processing: code("processing", Packages::processing)?,
        integration: code("integration", Packages::integration)?,
    };
    Ok((packages, lost))
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
        (Shape::Text, StandIn::Absent, Origin::Required) => json!("x"),
        (_, _, Origin::Computed) | (_, StandIn::Absent, _) => Json::Null,
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
    exact: &'a Value,
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
                (Shape::Number, Value::Number(_)) => self.number(given, path),
                // Terraform gives of it what it ignores, be it a single tag.
                (_, given) if !given.is_null() && field.name != "tags_all" => given.clone(),
                _ if a != b => Value::Unknown,
                _ if a.is_null() && field.origin == Origin::Computed => self.output(path, a),
                _ => Value::from_json(a),
            };
            path.pop();
            result.insert(field.name.to_owned(), value);
        }
        result
    }

    /// A number as it was before, where it is the same one but for digits that AWS does not keep.
    fn number(&self, given: &Value, path: &[String]) -> Value {
        let before = path
            .iter()
            .try_fold(self.exact, |here, step| here.get(step));
        let rounded = |value: &Value| value.to_json().as_ref().and_then(Json::as_f64);
        let same = |before: &&Value| rounded(before).is_some() && rounded(before) == rounded(given);
        before.filter(same).unwrap_or(given).clone()
    }

    /// What the state has at a place, if it has something.
    fn before_at(&self, path: &[String]) -> Option<Json> {
        let found = state::at(self.prior?, path)?;
        Some(found.clone()).filter(|value| !value.is_null())
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
                let (old_one, new_one) = (old.part.desired(), node.part.desired());
                let same = |property: &&str| old_one.get(*property) == new_one.get(*property);
                let same_code = || ["package", "architectures"].iter().all(same);
                old.part.identity() == node.part.identity()
                    && (name != "code_sha256" || same_code())
            });
        match same.then(|| self.before_at(path)).flatten() {
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
    let had = |arn: Option<&Json>| arn.is_some_and(|arn| !arn.is_null());
    let theirs = had(prior.get("kms_key_arn"));
    // An import may not have seen it.
    let own = had(prior.get("key").and_then(|key| key.get("arn")));
    let has = planned.at(&key).is_some_and(|value| !value.is_null());
    if (theirs && !has) || (!theirs && own && has) {
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

/// The attributes that tell one object from another of the same name.
const IDENTITIES: [&str; 4] = ["arn", "key_id", "unique_id", "uuid"];

/// The paths of identities that were known in the plan and have come out otherwise: those objects are others now.
#[must_use]
pub fn otherwise(planned: &Value, tree: &Json) -> Vec<String> {
    let mut found = Vec::new();
    differences(fields(), planned, tree, "", &mut found);
    found
}

fn differences(fields: &[Field], planned: &Value, tree: &Json, at: &str, found: &mut Vec<String>) {
    for field in fields {
        let (Some(planned), Some(now)) = (planned.get(field.name), tree.get(field.name)) else {
            continue;
        };
        let at = format!("{at}{}", field.name);
        match &field.shape {
            Shape::Object(inner) => differences(inner, planned, now, &format!("{at}."), found),
            Shape::ObjectMap(inner) => {
                let Value::Map(entries) = planned else {
                    continue;
                };
                for (label, entry) in entries {
                    let now = now.get(label).unwrap_or(&Json::Null);
                    differences(inner, entry, now, &format!("{at}.{label}."), found);
                }
            }
            _ if !IDENTITIES.contains(&field.name) => {}
            _ => {
                // Somebody may have agreed to a subscription meanwhile, which then has an ARN.
                if let Value::String(planned) = planned
                    && planned.starts_with("arn:") | !planned.contains("Pending")
                    && now.as_str() != Some(planned)
                {
                    found.push(at);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::names::place;

    fn known(prior: Option<&Value>) -> Known {
        let prior = prior.and_then(|value| match value.clone().unknown_to_null().to_json() {
            Some(Json::Object(map)) => Some(map),
            _ => None,
        });
        Known {
            place: Some(place()),
            default_tags: Some(BTreeMap::new()),
            prior,
            ..Known::default()
        }
    }

    /// A configuration: JSON in which `"?"` stands for an unknown value.
    fn config(json: &Json) -> Value {
        fn unknown(value: Value) -> Value {
            match value {
                Value::String(text) if text == "?" => Value::Unknown,
                Value::Map(map) => {
                    Value::Map(map.into_iter().map(|(k, v)| (k, unknown(v))).collect())
                }
                Value::List(list) => Value::List(list.into_iter().map(unknown).collect()),
                other => other,
            }
        }
        super::super::schema::schema().conform(unknown(Value::from_json(json)))
    }

    /// The code of its own keeps these tests apart from what this build carries.
    fn with_code(mut json: Json) -> Json {
        if !super::super::packages::carries("x86_64") {
            json["processing"]["architectures"] = json!("?");
            json["integration"]["architectures"] = json!("?");
        }
        json
    }

    fn plan_of(json: Json, prior: Option<&Value>) -> Result<Planned, Diagnostic> {
        plan(&config(&with_code(json)), &known(prior))
    }

    fn planned(json: Json, prior: Option<&Value>) -> Planned {
        plan_of(json, prior).unwrap()
    }

    fn at<'a>(value: &'a Value, dotted: &str) -> &'a Value {
        dotted
            .split('.')
            .try_fold(value, |here, step| here.get(step))
            .unwrap_or(&Value::Null)
    }

    #[test]
    fn what_follows_from_the_name_is_known_before() {
        let plan = planned(json!({"name": "orders"}), None);
        let text = |dotted| at(&plan.value, dotted).as_str();
        assert_eq!(
            text("queue.arn"),
            Some("arn:aws:sqs:eu-west-1:123456789012:orders-queue-devl-eu-west-1")
        );
        assert_eq!(
            text("bucket.bucket"),
            Some("orders-integration-bucket-123456789012-devl-eu-west-1")
        );
        assert_eq!(text("environment"), Some("devl"));
        assert!(text("state_machine.definition").is_some());
        assert!(at(&plan.value, "key.arn").is_unknown());
        assert!(at(&plan.value, "queue.url").is_unknown());
        for role in ["processing", "integration", "state_machine"] {
            let policy = at(&plan.value, &format!("{role}.role.policy"));
            assert!(policy.is_unknown(), "{role}'s names the key");
        }
        assert!(plan.replace.is_empty());
    }

    #[test]
    fn only_what_depends_on_an_unknown_is_unknown() {
        let json = json!({"name": "orders", "queue": {"name": "?"}, "state_machine": {"callback_timeout_seconds": "?"}});
        let plan = planned(json, None);
        assert!(at(&plan.value, "queue.name").is_unknown());
        assert!(at(&plan.value, "queue.arn").is_unknown());
        assert!(at(&plan.value, "state_machine.definition").is_unknown());
        assert_eq!(at(&plan.value, "queue.delay_seconds").as_i64(), Some(0));
        assert!(at(&plan.value, "topic.arn").as_str().is_some());
        assert!(at(&plan.value, "state_machine.arn").as_str().is_some());
    }

    #[test]
    fn an_unknown_name_makes_every_name_unknown_and_no_setting() {
        let plan = planned(json!({"name": "?"}), None);
        assert!(at(&plan.value, "bucket.arn").is_unknown());
        assert_eq!(
            at(&plan.value, "queue.max_message_size").as_i64(),
            Some(1_048_576)
        );
    }

    #[test]
    fn the_applications_policy_is_known_as_soon_as_the_key_is() {
        let name = "business_application_policy_json";
        let plan = planned(json!({"name": "orders"}), None);
        assert!(at(&plan.value, name).is_unknown());
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1";
        let with = |more: Json| {
            let mut json = json!({"name": "orders", "kms_key_arn": arn});
            json.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            planned(json, None)
        };
        let plan = with(json!({"bucket": {"outbound_prefix": "work/"}}));
        let policy = at(&plan.value, name).as_str().unwrap();
        assert!(
            policy.contains(arn) && policy.contains("/work/*"),
            "{policy}"
        );
        let plan = with(json!({"task_token": "?"}));
        assert!(at(&plan.value, "integration.role.policy").is_unknown());
        assert!(at(&plan.value, name).as_str().is_some());
    }

    #[test]
    fn a_state_of_before_there_were_parts_gets_them_in_place() {
        let mut before = applied(json!({"name": "orders"}));
        if let Value::Map(map) = &mut before {
            for new in [
                "alarms",
                "business_application_policy_json",
                "event_invoke_config",
                "task_token",
                "undeliverable_event_source",
                "undeliverable_queue",
            ] {
                map.insert(new.to_owned(), Value::Null);
            }
        }
        let plan = planned(json!({"name": "orders"}), Some(&before));
        assert!(plan.replace.is_empty(), "{:?}", plan.replace);
        assert!(at(&plan.value, "undeliverable_queue.url").is_unknown());
        assert!(at(&plan.value, "undeliverable_event_source.uuid").is_unknown());
        assert_eq!(at(&plan.value, "queue.url"), at(&before, "queue.url"));
    }

    #[test]
    fn a_dashboard_is_there_when_asked_for() {
        let plan = planned(json!({"name": "orders"}), None);
        assert!(at(&plan.value, "dashboard").is_null());
        let plan = planned(json!({"name": "orders", "dashboard": {}}), None);
        let text = |name: &str| at(&plan.value, name).as_str().map(str::to_owned);
        assert_eq!(
            text("dashboard.arn").as_deref(),
            Some("arn:aws:cloudwatch::123456789012:dashboard/orders-dashboard-devl-eu-west-1")
        );
        assert!(text("dashboard.dashboard_body").is_some());
    }

    #[test]
    fn a_key_of_the_users_leaves_no_key_of_ours() {
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1";
        let plan = planned(json!({"name": "orders", "kms_key_arn": arn}), None);
        assert!(at(&plan.value, "key").is_null());
        assert!(
            at(&plan.value, "integration.role.policy")
                .as_str()
                .is_some_and(|text| text.contains(arn))
        );
        let plan = planned(json!({"name": "orders", "kms_key_arn": "?"}), None);
        assert!(at(&plan.value, "key").is_unknown());
    }

    #[test]
    fn arguments_of_a_key_that_may_not_be_are_refused() {
        let refused = |json| plan(&config(&with_code(json)), &known(None)).err();
        let error = refused(json!({"name": "orders", "kms_key_arn": "?", "key": {}})).unwrap();
        assert_eq!(error.path, Some(Path::root().attribute("key")));
        assert!(refused(json!({"name": "orders", "kms_key_arn": "?", "key": "?"})).is_none());
        assert!(refused(json!({"name": "orders", "key": {}})).is_none());
    }

    /// A state as an apply leaves it.
    fn applied(json: Json) -> Value {
        fn fill(value: Value, name: &str) -> Value {
            match value {
                Value::Unknown => Value::String(format!("known-{name}")),
                Value::Map(map) => Value::Map(
                    map.into_iter()
                        .map(|(key, value)| {
                            let value = fill(value, &key);
                            (key, value)
                        })
                        .collect(),
                ),
                other => other,
            }
        }
        fill(planned(json, None).value, "")
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let state = applied(
            json!({"name": "orders", "subscriptions": {"ops": {"protocol": "email", "endpoint": "a@b.c"}}}),
        );
        let again = planned(
            json!({"name": "orders", "subscriptions": {"ops": {"protocol": "email", "endpoint": "a@b.c"}}}),
            Some(&state),
        );
        if super::super::packages::carries("x86_64") {
            for field in fields() {
                // What the stand-in for the key's ARN went into differs here, as the state is not a real one.
                if !matches!(
                    field.name,
                    "processing"
                        | "integration"
                        | "state_machine"
                        | "business_application_policy_json"
                ) {
                    assert_eq!(
                        at(&again.value, field.name),
                        at(&state, field.name),
                        "{}",
                        field.name
                    );
                }
            }
        }
        assert!(again.replace.is_empty());
    }

    #[test]
    fn code_that_is_lost_is_told_and_only_its_hash_is_unknown() {
        if !super::super::packages::carries("x86_64") {
            // Without the other function's code nothing can be planned with known code.
            return;
        }
        let json = |file: &str| json!({"name": "orders", "processing": {"filename": file}});
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"PK\x03\x04 code PK\x05\x06").unwrap();
        let name = file.path().display().to_string();
        let state = applied(json(&name));
        drop(file);
        let plan = planned(json(&name), Some(&state));
        assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
        let told = plan.warnings[0].path.as_ref().map(ToString::to_string);
        assert_eq!(told.as_deref(), Some("processing.filename"));
        for unknown in ["processing.code_sha256", "processing.package"] {
            assert!(at(&plan.value, unknown).is_unknown(), "{unknown}");
        }
        let runtime = "processing.runtime";
        assert_eq!(at(&plan.value, runtime), at(&state, runtime));
        // Lost is what was there: anything else is a mistake.
        let refused = |json: Json, state: Option<&Value>| {
            plan_of(json, state)
                .expect_err("planned")
                .path
                .map(|path| path.to_string())
        };
        let wanted = Some("processing.filename".to_owned());
        assert_eq!(refused(json("/nowhere/else.zip"), Some(&state)), wanted);
        assert_eq!(refused(json(&name), None), wanted);
    }

    #[test]
    fn a_name_forces_a_replacement_and_says_which() {
        let state = applied(json!({"name": "orders"}));
        let plan = planned(json!({"name": "parcels"}), Some(&state));
        let paths: Vec<String> = plan.replace.iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["name"]);
        let plan = planned(
            json!({"name": "orders", "queue": {"name": "q"}}),
            Some(&state),
        );
        let paths: Vec<String> = plan.replace.iter().map(ToString::to_string).collect();
        assert!(paths.contains(&"queue.name".to_owned()), "{paths:?}");
        let plan = planned(
            json!({"name": "orders", "queue": {"delay_seconds": 5}}),
            Some(&state),
        );
        assert!(plan.replace.is_empty());
    }

    #[test]
    fn a_subscription_of_another_login_is_another() {
        let json = |password: &str, raw: bool| {
            let endpoint = format!("https://user:{password}@example.com/");
            json!({"name": "orders", "subscriptions": {"a": {"protocol": "https", "endpoint": endpoint, "raw_message_delivery": raw}}})
        };
        let state = applied(json("old", false));
        let arn = |json| {
            let plan = planned(json, Some(&state));
            at(&plan.value, "subscriptions.a.arn").clone()
        };
        assert!(arn(json("old", true)).as_str().is_some());
        assert!(arn(json("new", false)).is_unknown());
    }

    #[test]
    fn an_alarm_switched_off_has_no_name() {
        let json =
            json!({"name": "orders", "processing": {"alarms": {"errors": {"enabled": false}}}});
        let plan = planned(json, None);
        assert!(at(&plan.value, "processing.alarms.errors.arn").is_null());
        assert!(
            at(&plan.value, "processing.alarms.throttles.arn")
                .as_str()
                .is_some()
        );
    }

    #[test]
    fn while_the_provider_is_not_configured_arns_are_unknown() {
        let config = config(&with_code(json!({"name": "orders"})));
        let plan = plan(&config, &Known::default()).unwrap();
        assert!(at(&plan.value, "queue.arn").is_unknown());
        assert!(at(&plan.value, "tags_all").is_unknown());
        assert_eq!(at(&plan.value, "queue.delay_seconds").as_i64(), Some(0));
    }
}
