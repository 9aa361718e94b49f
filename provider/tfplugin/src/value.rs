//! Values of the Terraform language.

use std::collections::BTreeMap;

use crate::number::Number;
use crate::path::{Path, Step};

/// A value of the Terraform language, as far as a provider sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Left out.
    #[default]
    Null,
    /// To be known after apply.
    Unknown,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// A list or a set; a set in the order in which Terraform sent it.
    List(Vec<Value>),
    /// A map or an object.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// An element of a map or an attribute of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_map()?.get(name)
    }

    /// The part of this value that the path leads to. Nothing lies inside of a null or an unknown
    /// value.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Value> {
        path.0.iter().try_fold(self, |value, step| match step {
            Step::Attribute(name) | Step::Key(name) => value.get(name),
            Step::Index(index) => value.as_list()?.get(usize::try_from(*index).ok()?),
        })
    }

    /// Whether the value was left out.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether the value itself is not known yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Value::Unknown)
    }

    /// Whether neither the value nor anything inside of it is unknown.
    #[must_use]
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Value::Unknown => false,
            Value::List(elements) => elements.iter().all(Value::is_wholly_known),
            Value::Map(elements) => elements.values().all(Value::is_wholly_known),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The number as an integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The number as a float, if it is a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::as_f64)
    }

    /// The elements of a list or a set.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements of a map or the attributes of an object.
    #[must_use]
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Map(elements) => Some(elements),
            _ => None,
        }
    }

    /// The value that a JSON document means.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(truth) => Value::Bool(*truth),
            serde_json::Value::Number(number) => number
                .to_string()
                .parse()
                .map_or(Value::Null, Value::Number),
            serde_json::Value::String(text) => Value::String(text.clone()),
            serde_json::Value::Array(elements) => {
                Value::List(elements.iter().map(Value::from_json).collect())
            }
            serde_json::Value::Object(members) => Value::Map(
                members
                    .iter()
                    .map(|(name, member)| (name.clone(), Value::from_json(member)))
                    .collect(),
            ),
        }
    }

    /// The value as a JSON document, or `None` if anything in it is unknown. Numbers beyond the
    /// integers and floats of 64 bits are rounded to the nearest float.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Value::Unknown => return None,
            Value::Null => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => integer.into(),
                (None, Some(integer)) => integer.into(),
                (None, None) => number.as_f64().into(),
            },
            Value::String(text) => text.clone().into(),
            Value::List(elements) => elements
                .iter()
                .map(Value::to_json)
                .collect::<Option<Vec<_>>>()?
                .into(),
            Value::Map(elements) => serde_json::Value::Object(
                elements
                    .iter()
                    .map(|(name, element)| Some((name.clone(), element.to_json()?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }

    /// The value with every unknown part turned to null.
    #[must_use]
    pub fn unknown_to_null(self) -> Value {
        match self {
            Value::Unknown => Value::Null,
            Value::List(elements) => {
                Value::List(elements.into_iter().map(Value::unknown_to_null).collect())
            }
            Value::Map(elements) => Value::Map(
                elements
                    .into_iter()
                    .map(|(name, element)| (name, element.unknown_to_null()))
                    .collect(),
            ),
            known => known,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Number(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Number(number.into())
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Value::Number(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// `None` is null.
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Value::List(elements.into_iter().map(Into::into).collect())
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Value {
    /// A map or an object.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(elements: I) -> Self {
        Value::Map(
            elements
                .into_iter()
                .map(|(name, element)| (name.into(), element.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_goes_in_and_out() {
        let json = json!({"a": [1, 2.5, -3, 18_446_744_073_709_551_615_u64], "b": {"c": null, "d": true}, "e": "text"});
        assert_eq!(Value::from_json(&json).to_json(), Some(json));
    }

    #[test]
    fn what_is_unknown_has_no_json() {
        let value = Value::from(vec![Value::from("known"), Value::Unknown]);
        assert_eq!(value.to_json(), None);
        assert!(!value.is_wholly_known());
        assert_eq!(
            value.unknown_to_null().to_json(),
            Some(json!(["known", null]))
        );
    }

    #[test]
    fn paths_lead_to_parts() {
        let value = Value::from_json(&json!({"queue": {"delay": 5}, "names": ["a", "b"]}));
        let delay = Path::root().attribute("queue").attribute("delay");
        assert_eq!(value.at(&delay).and_then(Value::as_i64), Some(5));
        assert_eq!(
            value
                .at(&Path::root().attribute("names").index(1))
                .and_then(Value::as_str),
            Some("b")
        );
        assert_eq!(value.at(&Path::root().attribute("names").index(2)), None);
        assert_eq!(value.at(&Path::root().attribute("names").index(-1)), None);
        assert_eq!(
            value.at(&Path::root().attribute("none").attribute("delay")),
            None
        );
        assert_eq!(value.at(&Path::root()), Some(&value));
    }
}
