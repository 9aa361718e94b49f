//! The generated messages, and how our types go into them.

use serde_json::json;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::path::{Path, Step};
use crate::schema::{Attribute, Block, Kind, Nesting, Schema, Type};

/// Terraform's own protocol.
#[allow(missing_docs, dead_code, clippy::pedantic)] // Generated.
pub(crate) mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// What every plugin offers to the program that started it.
#[allow(missing_docs, dead_code, clippy::pedantic)] // Generated.
pub(crate) mod plugin {
    tonic::include_proto!("plugin");
}

use tfplugin6::schema::nested_block::NestingMode as BlockNesting;
use tfplugin6::schema::object::NestingMode as ObjectNesting;

/// The type as Terraform writes it in JSON: `"string"`, `["list","string"]`, `["object",{…}]`.
pub(crate) fn type_json(kind: &Type) -> serde_json::Value {
    match kind {
        Type::String => json!("string"),
        Type::Number => json!("number"),
        Type::Bool => json!("bool"),
        Type::List(element) => json!(["list", type_json(element)]),
        Type::Set(element) => json!(["set", type_json(element)]),
        Type::Map(element) => json!(["map", type_json(element)]),
        Type::Object(attributes) => {
            let attributes: serde_json::Map<_, _> = attributes
                .iter()
                .map(|(name, kind)| (name.clone(), type_json(kind)))
                .collect();
            json!(["object", attributes])
        }
    }
}

impl From<&Schema> for tfplugin6::Schema {
    fn from(schema: &Schema) -> Self {
        Self {
            version: schema.version,
            block: Some(tfplugin6::schema::Block {
                version: schema.version,
                ..block(&schema.attributes, &schema.blocks, &schema.description)
            }),
        }
    }
}

fn block(
    attributes: &[Attribute],
    blocks: &[Block],
    description: &str,
) -> tfplugin6::schema::Block {
    tfplugin6::schema::Block {
        version: 0,
        attributes: attributes.iter().map(Into::into).collect(),
        block_types: blocks.iter().map(Into::into).collect(),
        description: description.to_owned(),
        description_kind: tfplugin6::StringKind::Markdown.into(),
        deprecated: false,
    }
}

impl From<&Block> for tfplugin6::schema::NestedBlock {
    fn from(nested: &Block) -> Self {
        let nesting = match nested.nesting {
            Nesting::Single => BlockNesting::Single,
            Nesting::List => BlockNesting::List,
            Nesting::Set => BlockNesting::Set,
            Nesting::Map => BlockNesting::Map,
        };
        Self {
            type_name: nested.name.clone(),
            block: Some(block(
                &nested.attributes,
                &nested.blocks,
                &nested.description,
            )),
            nesting: nesting.into(),
        }
    }
}

impl From<&Attribute> for tfplugin6::schema::Attribute {
    fn from(attribute: &Attribute) -> Self {
        // Terraform takes either a type or nested attributes, never both.
        let (kind, nested) = match &attribute.kind {
            Kind::Type(kind) => (type_json(kind).to_string().into_bytes(), None),
            Kind::Nested {
                nesting,
                attributes,
            } => {
                let nesting = match nesting {
                    Nesting::Single => ObjectNesting::Single,
                    Nesting::List => ObjectNesting::List,
                    Nesting::Set => ObjectNesting::Set,
                    Nesting::Map => ObjectNesting::Map,
                };
                let object = tfplugin6::schema::Object {
                    attributes: attributes.iter().map(Into::into).collect(),
                    nesting: nesting.into(),
                };
                (Vec::new(), Some(object))
            }
        };
        Self {
            name: attribute.name.clone(),
            r#type: kind,
            description: attribute.description.clone(),
            required: attribute.required,
            optional: attribute.optional,
            computed: attribute.computed,
            sensitive: attribute.sensitive,
            description_kind: tfplugin6::StringKind::Markdown.into(),
            deprecated: attribute.deprecated,
            nested_type: nested,
        }
    }
}

impl From<Path> for tfplugin6::AttributePath {
    fn from(path: Path) -> Self {
        use tfplugin6::attribute_path::step::Selector;
        let steps = path.0.into_iter().map(|step| {
            let selector = match step {
                Step::Attribute(name) => Selector::AttributeName(name),
                Step::Key(key) => Selector::ElementKeyString(key),
                Step::Index(index) => Selector::ElementKeyInt(index),
            };
            tfplugin6::attribute_path::Step {
                selector: Some(selector),
            }
        });
        Self {
            steps: steps.collect(),
        }
    }
}

impl From<Diagnostic> for tfplugin6::Diagnostic {
    fn from(diagnostic: Diagnostic) -> Self {
        let severity = match diagnostic.severity {
            Severity::Error => tfplugin6::diagnostic::Severity::Error,
            Severity::Warning => tfplugin6::diagnostic::Severity::Warning,
        };
        Self {
            severity: severity.into(),
            summary: diagnostic.summary,
            detail: diagnostic.detail,
            attribute: diagnostic.path.map(Into::into),
        }
    }
}

/// Messages to the user, ready to send. The schema is that of the configuration which they are about.
pub(crate) fn messages(
    diagnostics: Diagnostics,
    schema: Option<&Schema>,
) -> Vec<tfplugin6::Diagnostic> {
    diagnostics
        .into_iter()
        .map(|diagnostic| located(diagnostic, schema).into())
        .collect()
}

/// Makes Terraform find the line that a diagnostic is about.
///
/// Terraform follows a path through blocks to its end. Inside of a nested attribute, releases up to
/// 1.11 look for the last name at the top level, and show the line of another attribute or none; but
/// they find an element of an attribute by its key, and so do newer ones. So the path ends after that
/// element, and the message names what is further inside.
fn located(mut diagnostic: Diagnostic, schema: Option<&Schema>) -> Diagnostic {
    let Some(Path(steps)) = &mut diagnostic.path else {
        return diagnostic;
    };
    let in_attribute = |name: &str| {
        schema.is_some_and(|schema| {
            schema
                .attributes
                .iter()
                .any(|attribute| attribute.name == name)
        })
    };
    match steps.as_slice() {
        [Step::Attribute(first), _, ..] if in_attribute(first) => {}
        _ => return diagnostic,
    }
    if steps.len() > 2 {
        let whole = Path(steps.clone());
        diagnostic.detail = format!("{}\n\nThis is about {whole}.", diagnostic.detail);
        steps.truncate(2);
    }
    if let [_, Step::Attribute(name)] = steps.as_mut_slice() {
        steps[1] = Step::Key(std::mem::take(name));
    }
    diagnostic
}
