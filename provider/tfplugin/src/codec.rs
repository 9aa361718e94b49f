//! How values travel: as msgpack in every call, as JSON in state files. Both lean on the schema, since neither says
//! whether a text is a text or a large number, or whether a map is an object.

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
        // Type 0 is an unknown value, type 12 one with refinements, and whatever comes later is unknown, too.
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

/// Reads a value from JSON as Terraform writes it, without rounding numbers. Attributes that the type does not have are
/// left out and named in `unused`: a state may come from a version that had more of them.
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
