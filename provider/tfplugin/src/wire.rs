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

/// Messages to the user, ready to send. The schema is that of the configuration which they are
/// about.
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
/// 1.11 look for the last name at the top level, and show the line of another attribute or none;
/// but they find an element of an attribute by its key, and so do newer ones. So the path ends
/// after that element, and the message names what is further inside.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tfplugin6::attribute_path::step::Selector;

    fn schema() -> Schema {
        Schema {
            version: 2,
            description: "What it is.".to_owned(),
            attributes: vec![
                Attribute::string("name").required(),
                Attribute::map_of_strings("tags")
                    .optional()
                    .computed()
                    .sensitive()
                    .deprecated(),
                Attribute::nested(
                    "queue",
                    Nesting::Map,
                    vec![Attribute::number("delay").optional()],
                )
                .optional(),
            ],
            blocks: vec![
                Block::new("line", Nesting::List).with(vec![Attribute::string("text").required()]),
            ],
        }
    }

    #[test]
    fn types_are_written_as_terraform_reads_them() {
        let kind = Type::Map(Box::new(Type::Object(
            [
                ("a".to_owned(), Type::Set(Box::new(Type::Number))),
                ("b".to_owned(), Type::List(Box::new(Type::Bool))),
            ]
            .into(),
        )));
        assert_eq!(
            type_json(&kind).to_string(),
            r#"["map",["object",{"a":["set","number"],"b":["list","bool"]}]]"#
        );
    }

    #[test]
    fn a_schema_says_everything_once() {
        let wire = tfplugin6::Schema::from(&schema());
        assert_eq!(wire.version, 2);
        let block = wire.block.unwrap();
        assert_eq!(
            (block.version, block.description.as_str()),
            (2, "What it is.")
        );

        let [name, tags, queue] = block.attributes.as_slice() else {
            panic!("{block:?}")
        };
        assert_eq!(name.r#type, br#""string""#);
        assert!(
            name.required
                && !name.optional
                && !name.computed
                && !name.sensitive
                && !name.deprecated
        );
        assert_eq!(tags.r#type, br#"["map","string"]"#);
        assert!(
            !tags.required && tags.optional && tags.computed && tags.sensitive && tags.deprecated
        );

        // Terraform refuses an attribute with both a type and a nested type.
        assert!(queue.r#type.is_empty());
        let nested = queue.nested_type.as_ref().unwrap();
        assert_eq!(nested.nesting(), ObjectNesting::Map);
        assert_eq!(nested.attributes[0].name, "delay");

        let [line] = block.block_types.as_slice() else {
            panic!("{block:?}")
        };
        assert_eq!(
            (line.type_name.as_str(), line.nesting()),
            ("line", BlockNesting::List)
        );
        assert_eq!(line.block.as_ref().unwrap().attributes[0].name, "text");
    }

    fn sent(path: Path) -> (Vec<Selector>, String) {
        let diagnostic = Diagnostic::warning("summary", "detail").at(path);
        let wire = messages(vec![diagnostic], Some(&schema())).remove(0);
        assert_eq!(wire.severity(), tfplugin6::diagnostic::Severity::Warning);
        assert_eq!(wire.summary, "summary");
        let steps = wire.attribute.unwrap().steps;
        (
            steps
                .into_iter()
                .map(|step| step.selector.unwrap())
                .collect(),
            wire.detail,
        )
    }

    fn name(text: &str) -> Selector {
        Selector::AttributeName(text.to_owned())
    }

    fn key(text: &str) -> Selector {
        Selector::ElementKeyString(text.to_owned())
    }

    #[test]
    fn diagnostics_say_where() {
        let detail = "detail".to_owned();
        assert_eq!(
            sent(Path::root().attribute("name")),
            (vec![name("name")], detail.clone())
        );
        assert_eq!(
            sent(Path::root().attribute("tags").key("a")),
            (vec![name("tags"), key("a")], detail.clone())
        );
        // Terraform 1.11 would look for a `delay` at the top level.
        assert_eq!(
            sent(Path::root().attribute("queue").attribute("delay")),
            (vec![name("queue"), key("delay")], detail.clone())
        );
        assert_eq!(
            sent(Path::root().attribute("queue").key("a").attribute("delay")),
            (
                vec![name("queue"), key("a")],
                "detail\n\nThis is about queue[\"a\"].delay.".to_owned()
            )
        );
        // Through blocks it goes all the way.
        assert_eq!(
            sent(Path::root().attribute("line").index(0).attribute("text")),
            (
                vec![name("line"), Selector::ElementKeyInt(0), name("text")],
                detail
            )
        );
    }
}
