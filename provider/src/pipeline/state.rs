//! From what was found in AWS to the state that Terraform keeps.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::blueprint::{Blueprint, Node, Path};
use super::schema::{Field, Origin, Shape, fields};
use crate::engine::{Attributes, Changes};

/// The attribute that tells of properties without one of their own.
pub const DRIFT: &str = "drift";

/// What it tells of a property that names a part made anew, and that is to be written again. The next run finds it again by that.
pub const FORGOTTEN: &str = "names a part that was made anew, and is to be written again";

/// What it says between how a property is and how it should be, by what the arguments were or by what was found of them.
const SHOULD: [&str; 2] = [", should be", "; with what else was found it should be"];

/// Under which name it tells of a property.
#[must_use]
pub fn label(path: &[String], property: &str) -> String {
    format!("{}.{property}", path.join("."))
}

/// What there is of each part: its attributes, or nothing.
pub type Observed = BTreeMap<Path, Option<Attributes>>;

/// A state with the arguments of `base`, and of each part what was observed. Of a part that is not there only its arguments are left; what differs among properties without an attribute is told in `drift`. `None` when no part is there at all.
#[must_use]
pub fn state(
    base: &Map<String, Json>,
    blueprint: &Blueprint,
    observed: &Observed,
) -> Option<Map<String, Json>> {
    state_since(base, blueprint, blueprint, observed)
}

/// The same, where the blueprint follows from what was found of arguments, and `before` from what they were: what differs from the one or the other is told.
#[must_use]
pub fn state_since(
    base: &Map<String, Json>,
    before: &Blueprint,
    blueprint: &Blueprint,
    observed: &Observed,
) -> Option<Map<String, Json>> {
    if observed.values().all(Option::is_none) {
        return None;
    }
    let fields = fields();
    let mut tree = Json::Object(base.clone());
    let mut drift = Map::new();
    for node in &blueprint.nodes {
        let Some(found) = observed.get(&node.path) else {
            continue;
        };
        let shown = fields_at(fields, &node.path);
        let desired = node.part.desired();
        match found {
            Some(attributes) => {
                if let Some(here) = place(&mut tree, &node.path) {
                    for field in shown
                        .unwrap_or_default()
                        .iter()
                        .filter(|field| is_leaf(field))
                    {
                        if let Some(value) = attributes.get(field.name) {
                            here.insert(field.name.to_owned(), value.clone());
                        }
                    }
                }
                let old = before.node(&node.path).map(|old| old.part.desired());
                let old = old.unwrap_or_else(|| desired.clone());
                let is_shown = |name: &str| {
                    let mut shown = shown.unwrap_or_default().iter();
                    shown.any(|field| field.name == name)
                };
                for (name, said) in differences(node, &old, &desired, attributes) {
                    if !is_shown(&name) {
                        drift.insert(label(&node.path, &name), json!(said));
                    }
                }
            }
            // Its arguments are what they were, and that it is not there shows in what AWS alone says of it; of a part with nothing but arguments, in those.
            None if shown.is_some() => {
                let shown = shown.unwrap_or_default();
                let untold = !shown.iter().any(is_told);
                if let Some(here) = place(&mut tree, &node.path) {
                    let empty = |field: &&Field| is_told(field) || (untold && is_leaf(field));
                    for field in shown.iter().filter(empty) {
                        here.insert(field.name.to_owned(), Json::Null);
                    }
                }
            }
            None => {
                drift.insert(
                    node.path.join("."),
                    json!(format!("{} is missing", node.part.title())),
                );
            }
        }
    }
    let Json::Object(mut tree) = tree else {
        return None;
    };
    if blueprint.is_settled {
        for (name, value) in &blueprint.outputs {
            // What is said already was said of the objects that were there then.
            let said = tree.entry(name.clone()).or_insert(Json::Null);
            if said.is_null() {
                said.clone_from(value);
            }
        }
    }
    tree.insert(DRIFT.to_owned(), Json::Object(drift));
    prune(fields, &mut tree);
    Some(tree)
}

/// What of a part is not as it should be, in a person's words, where it should be `old` by what the arguments were and `desired` by what was found of them.
fn differences(
    node: &Node,
    old: &Attributes,
    desired: &Attributes,
    found: &Attributes,
) -> BTreeMap<String, String> {
    let by = |should: &Attributes| Changes::between(should, found);
    let (by_old, by_desired) = (by(old), by(desired));
    // What follows from something is told by that, as far as it goes with it.
    let is_told = |name: &&str| node.part.follows(name).is_some() && !by_desired.any(&[name]);
    let said = |name: &str| {
        if node.forgotten(found) == Some(name) {
            return FORGOTTEN.to_owned();
        }
        let [by_arguments, by_what_was_found] = SHOULD;
        let (ours, so) = if by_old.any(&[name]) {
            (old.get(name), by_arguments)
        } else {
            (desired.get(name), by_what_was_found)
        };
        format!("{}{so} {}", how_it_is(name, found, ours), words(ours))
    };
    let names = by_old.names().chain(by_desired.names());
    let names = names.filter(|name| !is_told(name));
    names.map(|name| (name.to_owned(), said(name))).collect()
}

fn how_it_is(name: &str, found: &Attributes, ours: Option<&Json>) -> String {
    let is = match found.get(name) {
        Some(Json::Object(found)) if name == "variables" => words(Some(&discreet(found, ours))),
        found => words(found),
    };
    format!("is {is}")
}

/// What was found of a part, where what the state tells of, which a refresh found so and as the pipeline's, counts as it should be.
pub fn but_for_told(state: &Map<String, Json>, node: &Node, found: &Attributes) -> Attributes {
    let desired = node.part.desired();
    let drift = state.get(DRIFT).and_then(Json::as_object);
    let is_told = |name: &str| {
        if let Some(value) = shown(state, &node.path, name) {
            return found.get(name) == Some(value);
        }
        let is = how_it_is(name, found, desired.get(name));
        let said = drift.and_then(|drift| drift.get(&label(&node.path, name))?.as_str());
        let rest = said.and_then(|said| said.strip_prefix(&is));
        rest.is_some_and(|rest| SHOULD.iter().any(|so| rest.starts_with(so)))
    };
    let mut rest = found.clone();
    let told = desired.iter().filter(|(name, _)| is_told(name));
    rest.extend(told.map(|(name, value)| (name.clone(), value.clone())));
    rest
}

/// Variables of a function, without the values of those that are not ours: they may be secrets.
pub(super) fn discreet(found: &Map<String, Json>, ours: Option<&Json>) -> Json {
    let each = |(name, value): (&String, &Json)| {
        let known = ours.is_some_and(|ours| ours.get(name).is_some());
        let value = if known {
            value.clone()
        } else {
            json!("(not shown)")
        };
        (name.clone(), value)
    };
    Json::Object(found.iter().map(each).collect())
}

fn words(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => "not set".to_owned(),
        Some(Json::String(text)) if text.is_empty() => "not set".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn is_leaf(field: &Field) -> bool {
    !matches!(field.shape, Shape::Object(_) | Shape::ObjectMap(_))
}

/// Whether it is Bellflower or AWS that says what it is.
fn is_told(field: &Field) -> bool {
    is_leaf(field) && field.origin == Origin::Computed
}

/// The attributes of a part that Bellflower or AWS says.
pub fn told(path: &[String]) -> impl Iterator<Item = &'static str> {
    let shown = fields_at(fields(), path).unwrap_or_default().iter();
    shown.filter(|field| is_told(field)).map(|field| field.name)
}

/// What a tree has of a property with an attribute of its own; none of one without.
pub fn shown<'a>(tree: &'a Map<String, Json>, path: &[String], property: &str) -> Option<&'a Json> {
    let mut shown = fields_at(fields(), path)?.iter();
    shown.find(|field| is_leaf(field) && field.name == property)?;
    let value = at(tree, path).and_then(|here| here.get(property));
    Some(value.unwrap_or(&Json::Null))
}

/// Kinds of parts, a property for which the pipeline has one argument for all of the kind, and that argument.
pub const OF_ALL: [(&str, &str, &str); 2] = [
    ("IAM role", "permissions_boundary", "permissions_boundary"),
    (
        "CloudWatch log group",
        "retention_in_days",
        "log_retention_in_days",
    ),
];

/// The same, and what the pipeline has for all parts of a kind, unless it tells of this one that it is otherwise.
pub fn given<'a>(tree: &'a Map<String, Json>, path: &[String], property: &str) -> Option<&'a Json> {
    shown(tree, path, property).or_else(|| {
        let (.., argument) = OF_ALL.iter().find(|(_, name, _)| *name == property)?;
        let drift = tree.get(DRIFT).and_then(Json::as_object);
        let is_otherwise = drift.is_some_and(|drift| drift.contains_key(&label(path, property)));
        (!is_otherwise).then(|| tree.get(*argument).unwrap_or(&Json::Null))
    })
}

/// Whether a part was there when the state was written.
pub fn was_there(state: &Map<String, Json>, path: &[String]) -> bool {
    let Some(fields) = fields_at(fields(), path) else {
        let drift = state.get(DRIFT).and_then(Json::as_object);
        return !drift.is_some_and(|drift| drift.contains_key(&path.join(".")));
    };
    let here = at(state, path);
    let told = |field: &Field| {
        let value = here.and_then(|here| here.get(field.name));
        value.is_some_and(|value| !value.is_null())
    };
    let untold = !fields.iter().any(is_told);
    fields
        .iter()
        .any(|field| (is_told(field) || untold) && told(field))
}

/// The fields of the object at a place in the resource; none if it has no attribute.
fn fields_at<'a>(fields: &'a [Field], path: &[String]) -> Option<&'a [Field]> {
    let (first, rest) = path.split_first()?;
    let field = fields.iter().find(|field| field.name == first)?;
    match (&field.shape, rest) {
        (Shape::Object(inner), []) | (Shape::ObjectMap(inner), [_]) => Some(inner),
        (Shape::Object(inner), rest) => fields_at(inner, rest),
        _ => None,
    }
}

/// What a tree has at a place.
pub(super) fn at<'a>(tree: &'a Map<String, Json>, path: &[String]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(tree.get(first)?, |here, step| here.get(step))
}

fn place<'a>(tree: &'a mut Json, path: &[String]) -> Option<&'a mut Map<String, Json>> {
    let mut here = tree;
    for step in path {
        let map = here.as_object_mut()?;
        let next = map.entry(step.clone()).or_insert_with(|| json!({}));
        if next.is_null() {
            *next = json!({});
        }
        here = next;
    }
    here.as_object_mut()
}

/// Entries of maps with nothing in them go. An object with nothing in it stays, so that an output which names one of its attributes
/// gets null and not an error.
fn prune(fields: &[Field], tree: &mut Map<String, Json>) {
    for field in fields {
        if let (Shape::ObjectMap(_), Some(Json::Object(map))) =
            (&field.shape, tree.get_mut(field.name))
        {
            let filled = |entry: &Map<String, Json>| !entry.values().all(Json::is_null);
            map.retain(|_, entry| entry.as_object().is_some_and(filled));
        }
    }
}
