//! The value codec, laid open for fuzzing alone.

use crate::{Path, Type, Value, codec};

/// Reads a value from msgpack.
///
/// # Errors
/// What is wrong with the bytes, in words.
pub fn from_msgpack(bytes: &[u8], kind: &Type) -> Result<Value, String> {
    codec::from_msgpack(bytes, kind).map_err(|error| error.to_string())
}

/// Writes a value as msgpack.
///
/// # Errors
/// Where the value does not fit the type, in words.
pub fn to_msgpack(value: &Value, kind: &Type) -> Result<Vec<u8>, String> {
    codec::to_msgpack(value, kind).map_err(|error| error.to_string())
}

/// Reads a value from the JSON of a state file; answers also with the attributes the type does not have.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn from_json(bytes: &[u8], kind: &Type) -> Result<(Value, Vec<Path>), String> {
    let mut unused = Vec::new();
    let value = codec::from_json(bytes, kind, &mut unused).map_err(|error| error.to_string())?;
    Ok((value, unused))
}
