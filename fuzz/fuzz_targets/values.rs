//! The value codec: any bytes are an error, or a value that can be written and read again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tfplugin::Type;
use tfplugin::fuzzing::{from_msgpack, to_msgpack};

static KIND: LazyLock<Type> = LazyLock::new(|| {
    let object = |fields: &[(&str, Type)]| {
        Type::Object(
            fields
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.clone()))
                .collect(),
        )
    };
    object(&[
        ("text", Type::String),
        ("number", Type::Number),
        ("truth", Type::Bool),
        ("list", Type::List(Box::new(Type::Number))),
        ("set", Type::Set(Box::new(Type::String))),
        ("map", Type::Map(Box::new(object(&[("a", Type::Bool)])))),
    ])
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = from_msgpack(bytes, &KIND) {
        let written = to_msgpack(&value, &KIND).expect("what was read can be written");
        assert_eq!(from_msgpack(&written, &KIND), Ok(value));
    }
});
