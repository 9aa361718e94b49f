//! How values travel: as msgpack in every call, as JSON in state files. Both lean on the schema,
//! since neither says whether a text is a text or a large number, or whether a map is an object.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::path::Path;
use crate::schema::Type;
use crate::value::Value;

/// Deeper than any schema; guards the stack against nonsense.
const DEEPEST: usize = 128;

/// A value that does not fit its type, or bytes that are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", prefix(.path))]
pub(crate) struct CodecError {
    path: Path,
    problem: String,
}

fn prefix(path: &Path) -> String {
    if path.0.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

impl CodecError {
    fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self {
            path: path.clone(),
            problem: problem.into(),
        }
    }

    /// Says what was wanted and what was there. Never the value itself: it may be a secret.
    fn mismatch(path: &Path, wanted: &Type, found: &str) -> Self {
        Self::new(
            path,
            format!("{} is needed, but there is {found}", describe(wanted)),
        )
    }

    pub(crate) fn into_diagnostic(self, summary: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error(summary, format!("{self}."));
        if self.path.0.is_empty() {
            diagnostic
        } else {
            diagnostic.at(self.path)
        }
    }
}

fn describe(kind: &Type) -> &'static str {
    match kind {
        Type::String => "a string",
        Type::Number => "a number",
        Type::Bool => "a bool",
        Type::List(_) => "a list",
        Type::Set(_) => "a set",
        Type::Map(_) => "a map",
        Type::Object(_) => "an object",
    }
}

/// Reads a value from msgpack.
pub(crate) fn from_msgpack(mut bytes: &[u8], kind: &Type) -> Result<Value, CodecError> {
    let root = Path::root();
    let raw = rmpv::decode::read_value_with_max_depth(&mut bytes, DEEPEST)
        .map_err(|error| CodecError::new(&root, format!("not msgpack: {error}")))?;
    if !bytes.is_empty() {
        return Err(CodecError::new(
            &root,
            "there is something behind the end of the value",
        ));
    }
    read(raw, kind, &root)
}

fn read(raw: rmpv::Value, kind: &Type, path: &Path) -> Result<Value, CodecError> {
    let found = match &raw {
        rmpv::Value::Nil => return Ok(Value::Null),
        // Type 0 is an unknown value, type 12 one with refinements, and whatever comes later is
        // unknown, too.
        rmpv::Value::Ext(..) => return Ok(Value::Unknown),
        rmpv::Value::Boolean(_) => "a bool",
        rmpv::Value::Integer(_) | rmpv::Value::F32(_) | rmpv::Value::F64(_) => "a number",
        rmpv::Value::String(_) => "a string",
        rmpv::Value::Binary(_) => "binary data",
        rmpv::Value::Array(_) => "a list",
        rmpv::Value::Map(_) => "a map",
    };
    let mismatch = || CodecError::mismatch(path, kind, found);
    match (kind, raw) {
        (Type::String, rmpv::Value::String(text)) => {
            let text = text
                .into_str()
                .ok_or_else(|| CodecError::new(path, "the string is not UTF-8"))?;
            Ok(Value::String(text))
        }
        (Type::Bool, rmpv::Value::Boolean(truth)) => Ok(Value::Bool(truth)),
        (Type::Number, raw) => read_number(&raw).map(Value::Number).ok_or_else(mismatch),
        (Type::List(element) | Type::Set(element), rmpv::Value::Array(elements)) => elements
            .into_iter()
            .zip(0..)
            .map(|(raw, index)| read(raw, element, &path.clone().index(index)))
            .collect::<Result<_, _>>()
            .map(Value::List),
        (Type::Map(element), rmpv::Value::Map(elements)) => elements
            .into_iter()
            .map(|(key, raw)| {
                let key = read_key(key, path)?;
                let value = read(raw, element, &path.clone().key(key.as_str()))?;
                Ok((key, value))
            })
            .collect::<Result<_, _>>()
            .map(Value::Map),
        (Type::Object(attributes), rmpv::Value::Map(elements)) => {
            let mut object: BTreeMap<_, _> = attributes
                .keys()
                .map(|name| (name.clone(), Value::Null))
                .collect();
            for (key, raw) in elements {
                let name = read_key(key, path)?;
                let path = path.clone().attribute(name.as_str());
                let kind = attributes
                    .get(&name)
                    .ok_or_else(|| CodecError::new(&path, "the schema has no such attribute"))?;
                object.insert(name, read(raw, kind, &path)?);
            }
            Ok(Value::Map(object))
        }
        _ => Err(mismatch()),
    }
}

fn read_key(key: rmpv::Value, path: &Path) -> Result<String, CodecError> {
    match key {
        rmpv::Value::String(text) => text.into_str(),
        _ => None,
    }
    .ok_or_else(|| CodecError::new(path, "a key is not a string"))
}

fn read_number(raw: &rmpv::Value) -> Option<Number> {
    match raw {
        rmpv::Value::Integer(integer) => integer
            .as_i64()
            .map(Number::from)
            .or_else(|| integer.as_u64().map(Number::from)),
        // Terraform sends a float only where it is the number to the last digit.
        rmpv::Value::F32(float) => Number::from_exact_f64(f64::from(*float)),
        rmpv::Value::F64(float) => Number::from_exact_f64(*float),
        rmpv::Value::String(text) => text.as_str()?.parse().ok(),
        _ => None,
    }
}

/// Writes a value as msgpack.
pub(crate) fn to_msgpack(value: &Value, kind: &Type) -> Result<Vec<u8>, CodecError> {
    let root = Path::root();
    let raw = write(value, kind, &root)?;
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &raw)
        .map_err(|error| CodecError::new(&root, format!("cannot be written: {error}")))?;
    Ok(bytes)
}

fn write(value: &Value, kind: &Type, path: &Path) -> Result<rmpv::Value, CodecError> {
    let found = match value {
        Value::Null => return Ok(rmpv::Value::Nil),
        Value::Unknown => return Ok(rmpv::Value::Ext(0, vec![0])),
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a map or an object",
    };
    match (kind, value) {
        (Type::String, Value::String(text)) => Ok(text.as_str().into()),
        (Type::Bool, Value::Bool(truth)) => Ok((*truth).into()),
        (Type::Number, Value::Number(number)) => Ok(match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(integer)) => integer.into(),
            // Not as a float: 0.1 as a float is another number than 0.1 in a configuration.
            (None, None) => number.to_string().into(),
        }),
        (Type::List(element) | Type::Set(element), Value::List(elements)) => elements
            .iter()
            .zip(0..)
            .map(|(value, index)| write(value, element, &path.clone().index(index)))
            .collect::<Result<_, _>>()
            .map(rmpv::Value::Array),
        (Type::Map(element), Value::Map(elements)) => elements
            .iter()
            .map(|(key, value)| {
                let value = write(value, element, &path.clone().key(key.as_str()))?;
                Ok((key.as_str().into(), value))
            })
            .collect::<Result<_, _>>()
            .map(rmpv::Value::Map),
        (Type::Object(attributes), Value::Map(elements)) => {
            if let Some(name) = elements.keys().find(|name| !attributes.contains_key(*name)) {
                let path = path.clone().attribute(name.as_str());
                return Err(CodecError::new(&path, "the schema has no such attribute"));
            }
            attributes
                .iter()
                .map(|(name, kind)| {
                    let value = elements.get(name).unwrap_or(&Value::Null);
                    let value = write(value, kind, &path.clone().attribute(name.as_str()))?;
                    Ok((name.as_str().into(), value))
                })
                .collect::<Result<_, _>>()
                .map(rmpv::Value::Map)
        }
        _ => Err(CodecError::mismatch(path, kind, found)),
    }
}

/// Reads a value from JSON as Terraform writes it, without rounding numbers. Attributes that the
/// type does not have are left out and named in `unused`: a state may come from a version that had
/// more of them.
pub(crate) fn from_json(
    bytes: &[u8],
    kind: &Type,
    unused: &mut Vec<Path>,
) -> Result<Value, CodecError> {
    let root = Path::root();
    let raw: &RawValue = parse(bytes, &root)?;
    read_json(raw, kind, &root, unused)
}

fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], path: &Path) -> Result<T, CodecError> {
    // The message of the JSON library may quote the value, its category never does.
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        CodecError::new(
            path,
            format!(
                "not the JSON that is needed ({:?} error, line {line}, column {column})",
                error.classify()
            ),
        )
    })
}

fn read_json(
    raw: &RawValue,
    kind: &Type,
    path: &Path,
    unused: &mut Vec<Path>,
) -> Result<Value, CodecError> {
    let text = raw.get();
    let bytes = text.as_bytes();
    let found = match bytes.first() {
        Some(b'n') => return Ok(Value::Null),
        Some(b't' | b'f') => "a bool",
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        _ => "a number",
    };
    let mismatch = || CodecError::mismatch(path, kind, found);
    // As in Terraform, texts stand in for numbers and truth values and the other way round.
    let scalar = |path: &Path| match found {
        "a string" => parse::<String>(bytes, path),
        "a bool" | "a number" => Ok(text.to_owned()),
        _ => Err(mismatch()),
    };
    match (kind, found) {
        (Type::String, _) => scalar(path).map(Value::String),
        (Type::Number, "a string" | "a number") => scalar(path)?
            .parse()
            .map(Value::Number)
            .map_err(|_| mismatch()),
        (Type::Bool, "a string" | "a bool") => scalar(path)?
            .parse()
            .map(Value::Bool)
            .map_err(|_| mismatch()),
        (Type::List(element) | Type::Set(element), "a list") => {
            parse::<Vec<&RawValue>>(bytes, path)?
                .into_iter()
                .zip(0..)
                .map(|(raw, index)| read_json(raw, element, &path.clone().index(index), unused))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        (Type::Map(element), "an object") => parse::<BTreeMap<String, &RawValue>>(bytes, path)?
            .into_iter()
            .map(|(key, raw)| {
                let value = read_json(raw, element, &path.clone().key(key.as_str()), unused)?;
                Ok((key, value))
            })
            .collect::<Result<_, _>>()
            .map(Value::Map),
        (Type::Object(attributes), "an object") => {
            let mut object: BTreeMap<_, _> = attributes
                .keys()
                .map(|name| (name.clone(), Value::Null))
                .collect();
            for (name, raw) in parse::<BTreeMap<String, &RawValue>>(bytes, path)? {
                let path = path.clone().attribute(name.as_str());
                match attributes.get(&name) {
                    Some(kind) => {
                        object.insert(name, read_json(raw, kind, &path, unused)?);
                    }
                    None => unused.push(path),
                }
            }
            Ok(Value::Map(object))
        }
        _ => Err(mismatch()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use proptest::sample::Index;
    use serde_json::json;

    fn object(attributes: &[(&str, Type)]) -> Type {
        Type::Object(
            attributes
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.clone()))
                .collect(),
        )
    }

    fn everything() -> Type {
        object(&[
            ("text", Type::String),
            ("number", Type::Number),
            ("truth", Type::Bool),
            ("list", Type::List(Box::new(Type::Number))),
            ("set", Type::Set(Box::new(Type::String))),
            ("map", Type::Map(Box::new(object(&[("a", Type::Bool)])))),
        ])
    }

    fn msgpack(raw: &rmpv::Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, raw).unwrap();
        bytes
    }

    #[track_caller]
    fn round_trip(value: &Value, kind: &Type) {
        let bytes = to_msgpack(value, kind).unwrap();
        assert_eq!(&from_msgpack(&bytes, kind).unwrap(), value);
    }

    #[test]
    fn every_type_goes_there_and_back() {
        let full = Value::from_json(&json!({
            "text": "größer", "number": -12, "truth": false,
            "list": [1, 2.5, 3], "set": ["a"], "map": {"k": {"a": true}},
        }));
        let kind = everything();
        round_trip(&full, &kind);
        round_trip(&Value::Null, &kind);
        round_trip(&Value::Unknown, &kind);
        for name in ["text", "number", "truth", "list", "set", "map"] {
            for part in [Value::Null, Value::Unknown] {
                let mut attributes = full.as_map().unwrap().clone();
                attributes.insert(name.to_owned(), part);
                round_trip(&Value::Map(attributes), &kind);
            }
        }
    }

    #[test]
    fn numbers_of_any_size_go_there_and_back() {
        for text in [
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "0.1",
            "-123456789012345678901234567890.000000000000000001",
            "1e400",
            "1e-400",
        ] {
            round_trip(&Value::Number(text.parse().unwrap()), &Type::Number);
        }
    }

    #[test]
    fn numbers_are_read_in_each_of_their_forms() {
        let read = |raw: rmpv::Value| from_msgpack(&msgpack(&raw), &Type::Number).unwrap();
        let number = |text: &str| Value::Number(text.parse().unwrap());
        assert_eq!(read(5.into()), number("5"));
        assert_eq!(read(u64::MAX.into()), number("18446744073709551615"));
        assert_eq!(read(rmpv::Value::F32(0.5)), number("0.5"));
        assert_eq!(read(rmpv::Value::F64(-3.0)), number("-3"));
        assert_eq!(
            read("1.000000000000000000001".into()),
            number("1.000000000000000000001")
        );
        // A float is what it is to its last digit, not what it is rounded to.
        assert_ne!(read(rmpv::Value::F64(0.1)), number("0.1"));
    }

    #[test]
    fn fractions_are_sent_as_decimals() {
        // As a float it would be another number than 0.1 in a configuration, and Terraform would
        // see a difference.
        assert_eq!(
            to_msgpack(&Value::from(0.1), &Type::Number).unwrap(),
            msgpack(&"0.1".into())
        );
        assert_eq!(
            to_msgpack(&Value::from(3.0), &Type::Number).unwrap(),
            msgpack(&3.into())
        );
    }

    #[test]
    fn every_extension_is_an_unknown_value() {
        assert_eq!(
            to_msgpack(&Value::Unknown, &Type::Bool).unwrap(),
            [0xd4, 0, 0]
        );
        let refinements = msgpack(&rmpv::Value::Map(vec![
            (1.into(), false.into()),
            (2.into(), "arn:".into()),
        ]));
        for raw in [
            rmpv::Value::Ext(0, vec![0]),
            rmpv::Value::Ext(12, refinements),
            rmpv::Value::Ext(99, vec![1, 2, 3]),
        ] {
            assert_eq!(
                from_msgpack(&msgpack(&raw), &Type::String),
                Ok(Value::Unknown)
            );
        }
    }

    #[test]
    fn errors_say_where_and_never_what() {
        let kind = object(&[("map", Type::Map(Box::new(object(&[("a", Type::Number)]))))]);
        let value = Value::from_json(&json!({"map": {"ops": {"a": "hush"}}}));
        let error = to_msgpack(&value, &kind).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"map["ops"].a: a number is needed, but there is a string"#
        );
        let diagnostic = error.into_diagnostic("summary");
        assert_eq!(
            diagnostic.path,
            Some(Path::root().attribute("map").key("ops").attribute("a"))
        );

        let error = from_msgpack(
            &msgpack(&"hush".into()),
            &Type::List(Box::new(Type::String)),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "a list is needed, but there is a string");
        let error = from_json(
            br#"{"map": {"ops": {"a": "hush"}}}"#,
            &kind,
            &mut Vec::new(),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"map["ops"].a: a number is needed, but there is a string"#
        );
        let error = from_json(br#"{"map": hush}"#, &kind, &mut Vec::new()).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn what_the_schema_does_not_have_is_refused_in_calls() {
        let kind = object(&[("a", Type::Bool)]);
        let raw = rmpv::Value::Map(vec![("b".into(), true.into())]);
        assert_eq!(
            from_msgpack(&msgpack(&raw), &kind).unwrap_err().to_string(),
            "b: the schema has no such attribute"
        );
        let value = Value::from_json(&json!({"b": true}));
        assert_eq!(
            to_msgpack(&value, &kind).unwrap_err().to_string(),
            "b: the schema has no such attribute"
        );
    }

    #[test]
    fn saved_state_is_read_without_rounding() {
        let kind = everything();
        let mut unused = Vec::new();
        let json = br#"{
            "text": "a \u00e9 \"b\"", "number": 123456789012345678901234567890.5, "truth": true,
            "list": [0.1, 1e2], "set": [], "map": {"k": {"a": null, "old": [1]}}, "older": {"x": "y"}
        }"#;
        let value = from_json(json, &kind, &mut unused).unwrap();
        assert_eq!(value.get("text").unwrap().as_str(), Some("a é \"b\""));
        assert_eq!(
            value
                .get("number")
                .unwrap()
                .as_number()
                .unwrap()
                .to_string(),
            "123456789012345678901234567890.5"
        );
        assert_eq!(
            value.at(&Path::root().attribute("list").index(0)),
            Some(&Value::from(0.1))
        );
        assert_eq!(
            value.at(&Path::root().attribute("list").index(1)),
            Some(&Value::from(100))
        );
        let unused: Vec<_> = unused.iter().map(ToString::to_string).collect();
        assert_eq!(unused, [r#"map["k"].old"#, "older"]);
        // What is missing is null.
        assert_eq!(
            from_json(b"{}", &kind, &mut Vec::new())
                .unwrap()
                .get("text"),
            Some(&Value::Null)
        );
        assert_eq!(from_json(b"null", &kind, &mut Vec::new()), Ok(Value::Null));
    }

    #[test]
    fn saved_scalars_stand_in_for_each_other() {
        let read = |json: &str, kind: Type| from_json(json.as_bytes(), &kind, &mut Vec::new());
        assert_eq!(read("5", Type::String), Ok("5".into()));
        assert_eq!(read("true", Type::String), Ok("true".into()));
        assert_eq!(read(r#""5""#, Type::Number), Ok(Value::from(5)));
        assert_eq!(read(r#""true""#, Type::Bool), Ok(Value::from(true)));
        assert!(read("1", Type::Bool).is_err());
        assert!(read("[]", Type::String).is_err());
        assert!(read("true", Type::Number).is_err());
    }

    fn some_type() -> impl Strategy<Value = Type> {
        let leaf = prop_oneof![Just(Type::String), Just(Type::Number), Just(Type::Bool)];
        leaf.prop_recursive(3, 12, 4, |inner| {
            let boxed = || inner.clone().prop_map(Box::new);
            prop_oneof![
                boxed().prop_map(Type::List),
                boxed().prop_map(Type::Set),
                boxed().prop_map(Type::Map),
                btree_map("[a-z]{1,3}", inner.clone(), 0..4).prop_map(Type::Object),
            ]
        })
    }

    fn some_number() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,10})?"
                .prop_map(|text| text.parse().map_or(Value::Unknown, Value::Number)),
        ]
    }

    fn value_of(kind: &Type) -> BoxedStrategy<Value> {
        let whole = match kind {
            Type::String => any::<String>().prop_map(Value::String).boxed(),
            Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            Type::Number => some_number().boxed(),
            Type::List(element) | Type::Set(element) => {
                vec(value_of(element), 0..4).prop_map(Value::List).boxed()
            }
            Type::Map(element) => btree_map(any::<String>(), value_of(element), 0..4)
                .prop_map(Value::Map)
                .boxed(),
            Type::Object(attributes) => {
                let names: Vec<String> = attributes.keys().cloned().collect();
                let values: Vec<_> = attributes.values().map(value_of).collect();
                values
                    .prop_map(move |values| names.iter().cloned().zip(values).collect())
                    .boxed()
            }
        };
        prop_oneof![8 => whole, 1 => Just(Value::Null), 1 => Just(Value::Unknown)].boxed()
    }

    fn some_value() -> impl Strategy<Value = (Type, Value)> {
        some_type()
            .prop_flat_map(|kind| value_of(&kind).prop_map(move |value| (kind.clone(), value)))
    }

    /// What was read can be written, and is the same when it is read again.
    fn comes_back(value: &Value, kind: &Type) -> Result<(), TestCaseError> {
        let bytes =
            to_msgpack(value, kind).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let again = from_msgpack(&bytes, kind);
        prop_assert_eq!(again.as_ref(), Ok(value));
        Ok(())
    }

    fn nonsense_or_value(bytes: &[u8], kind: &Type) -> Result<(), TestCaseError> {
        if let Ok(value) = from_msgpack(bytes, kind) {
            comes_back(&value, kind)?;
        }
        if let Ok(value) = from_json(bytes, kind, &mut Vec::new()) {
            comes_back(&value, kind)?;
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_value_comes_back((kind, value) in some_value()) {
            comes_back(&value, &kind)?;
        }

        #[test]
        fn bytes_of_no_meaning_are_an_error_or_a_value(bytes in vec(any::<u8>(), 0..60), kind in some_type()) {
            nonsense_or_value(&bytes, &kind)?;
            nonsense_or_value(&bytes, &everything())?;
        }

        #[test]
        fn a_damaged_value_is_an_error_or_a_value(
            (kind, value) in some_value(),
            damage in vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..4),
        ) {
            let mut bytes = to_msgpack(&value, &kind).map_err(|error| TestCaseError::fail(error.to_string()))?;
            for (at, byte, how) in damage {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            nonsense_or_value(&bytes, &kind)?;
        }

        #[test]
        fn a_damaged_state_is_an_error_or_a_value(
            (kind, value) in some_value(),
            damage in vec((any::<Index>(), proptest::sample::select(&b"{}[]\",:0e-.ntf\\ "[..])), 0..4),
        ) {
            let json = value.unknown_to_null().to_json().unwrap_or_default();
            let mut bytes = json.to_string().into_bytes();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            nonsense_or_value(&bytes, &kind)?;
        }
    }

    #[test]
    fn depth_and_claimed_lengths_do_no_harm() {
        let list = Type::List(Box::new(Type::String));
        assert!(from_msgpack(&vec![0x91; 1 << 20], &list).is_err());
        // An array that claims four thousand million elements.
        assert!(from_msgpack(&[0xdd, 0xff, 0xff, 0xff, 0xff], &list).is_err());
        assert!(from_msgpack(&[], &list).is_err());
        assert!(from_msgpack(&[0xc0, 0xc0], &list).is_err());
        assert!(from_json("[".repeat(1 << 20).as_bytes(), &list, &mut Vec::new()).is_err());
        assert!(from_json(b"", &list, &mut Vec::new()).is_err());
    }
}
