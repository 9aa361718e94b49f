//! Arguments as data: by their dotted path in a table, as HCL, and as the provider's own schema lists them.

use bellflower_tests::{Error, Terraform};
use serde_json::{Map, Value};

/// Puts a value at a dotted path.
pub fn put(tree: &mut Value, path: &str, value: Value) {
    let pointed = path.split('.').fold(tree, |here, step| {
        if !here.is_object() {
            *here = Value::Object(Map::new());
        }
        &mut here[step]
    });
    *pointed = value;
}

/// The lines of a block with these arguments, each on a line of its own.
#[must_use]
pub fn hcl(arguments: &Value) -> String {
    lines(arguments, 1)
}

fn lines(arguments: &Value, depth: usize) -> String {
    let margin = "  ".repeat(depth);
    let line = |(name, value): (&String, &Value)| {
        let mut letters = name.chars();
        let plain = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = if plain {
            name.clone()
        } else {
            format!("{name:?}")
        };
        let shown = match value {
            Value::Object(_) => format!("{{\n{}{margin}}}", lines(value, depth + 1)),
            other => other.to_string(),
        };
        format!("{margin}{name} = {shown}\n")
    };
    arguments
        .as_object()
        .into_iter()
        .flatten()
        .map(line)
        .collect()
}

/// The dotted paths of the resource's arguments that `wanted` wants by what `terraform providers schema` tells of them; entries
/// of a map by name are `*`.
///
/// # Errors
/// When Terraform does not tell.
pub fn arguments(
    terraform: &Terraform,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Vec<String>, Error> {
    let run = terraform.expect(&["providers", "schema", "-json"])?;
    let schema: Value = serde_json::from_str(&run.stdout)
        .map_err(|error| Error::Missing(format!("the schema is no JSON ({error})")))?;
    let providers = schema["provider_schemas"].as_object();
    let provider = providers.and_then(|all| all.values().next());
    let attributes = provider
        .and_then(|one| {
            one.pointer("/resource_schemas/bellflower_callback_pipeline/block/attributes")
        })
        .ok_or_else(|| Error::Missing(format!("no attributes in the schema: {schema}")))?;
    let mut found = Vec::new();
    walk("", attributes, &wanted, &mut found);
    Ok(found)
}

fn walk(at: &str, attributes: &Value, wanted: &impl Fn(&Value) -> bool, found: &mut Vec<String>) {
    for (name, attribute) in attributes.as_object().into_iter().flatten() {
        let path = format!("{at}{name}");
        let nested = &attribute["nested_type"];
        let settable = attribute["optional"] == true || attribute["required"] == true;
        if let Some(nesting) = nested["nesting_mode"].as_str() {
            let step = if nesting == "map" { ".*." } else { "." };
            walk(
                &format!("{path}{step}"),
                &nested["attributes"],
                wanted,
                found,
            );
        } else if settable && wanted(attribute) {
            found.push(path);
        }
    }
}
