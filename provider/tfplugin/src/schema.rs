//! What a provider, a resource or a data source is configured with and remembers.

use std::collections::BTreeMap;

use crate::value::Value;

/// A type of the Terraform language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// A number of any size.
    Number,
    /// `true` or `false`.
    Bool,
    /// Elements in an order.
    List(Box<Type>),
    /// Different elements in no order.
    Set(Box<Type>),
    /// Elements by name.
    Map(Box<Type>),
    /// A fixed set of attributes.
    Object(BTreeMap<String, Type>),
}

impl Type {
    /// Brings a value into the shape of this type: missing attributes of objects become null, and
    /// attributes that the type does not have are dropped.
    pub(crate) fn conform(&self, value: Value) -> Value {
        match (self, value) {
            (Type::List(element) | Type::Set(element), Value::List(elements)) => Value::List(
                elements
                    .into_iter()
                    .map(|value| element.conform(value))
                    .collect(),
            ),
            (Type::Map(element), Value::Map(elements)) => Value::Map(
                elements
                    .into_iter()
                    .map(|(key, value)| (key, element.conform(value)))
                    .collect(),
            ),
            (Type::Object(attributes), Value::Map(mut elements)) => Value::Map(
                attributes
                    .iter()
                    .map(|(name, kind)| {
                        let value = elements.remove(name).unwrap_or_default();
                        (name.clone(), kind.conform(value))
                    })
                    .collect(),
            ),
            (_, value) => value,
        }
    }
}

/// How often nested attributes or a block occur, and how the occurrences are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// Once: an object.
    Single,
    /// Any number, in an order.
    List,
    /// Any number of different ones, in no order.
    Set,
    /// Any number, by name.
    Map,
}

impl Nesting {
    fn of(self, object: Type) -> Type {
        match self {
            Nesting::Single => object,
            Nesting::List => Type::List(Box::new(object)),
            Nesting::Set => Type::Set(Box::new(object)),
            Nesting::Map => Type::Map(Box::new(object)),
        }
    }

    /// What stands for no occurrence of a block. Terraform never has null where a block may occur
    /// many times.
    fn absent_block(self) -> Value {
        match self {
            Nesting::Single => Value::Null,
            Nesting::List | Nesting::Set => Value::List(Vec::new()),
            Nesting::Map => Value::Map(BTreeMap::new()),
        }
    }

    fn conform(self, value: Value, object: &impl Fn(Value) -> Value) -> Value {
        match (self, value) {
            (Nesting::Single, value) => object(value),
            (Nesting::List | Nesting::Set, Value::List(elements)) => {
                Value::List(elements.into_iter().map(object).collect())
            }
            (Nesting::Map, Value::Map(elements)) => Value::Map(
                elements
                    .into_iter()
                    .map(|(key, value)| (key, object(value)))
                    .collect(),
            ),
            (_, value) => value,
        }
    }
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value of a type.
    Type(Type),
    /// Attributes of its own, each with its own rules.
    Nested {
        /// How they occur.
        nesting: Nesting,
        /// The attributes of one occurrence.
        attributes: Vec<Attribute>,
    },
}

/// One attribute.
///
/// ```
/// use tfplugin::{Attribute, Nesting}; Attribute::string("name").required().describe("What it is
/// called."); Attribute::nested("queue", Nesting::Single,
/// vec![Attribute::number("delay_seconds").optional().computed()]).optional();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Five facts that the protocol keeps apart.
pub struct Attribute {
    /// The name, in lower case with underscores.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// It must be set.
    pub required: bool,
    /// It may be set.
    pub optional: bool,
    /// The provider may set it where the configuration does not.
    pub computed: bool,
    /// Terraform does not show it.
    pub sensitive: bool,
    /// What it means, in Markdown.
    pub description: String,
    /// Terraform warns those who use it.
    pub deprecated: bool,
}

impl Attribute {
    /// An attribute that is neither required nor optional nor computed yet.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            description: String::new(),
            deprecated: false,
        }
    }

    /// An attribute of a plain type.
    #[must_use]
    pub fn of(name: impl Into<String>, kind: Type) -> Self {
        Self::new(name, Kind::Type(kind))
    }

    /// A text.
    #[must_use]
    pub fn string(name: impl Into<String>) -> Self {
        Self::of(name, Type::String)
    }

    /// A number.
    #[must_use]
    pub fn number(name: impl Into<String>) -> Self {
        Self::of(name, Type::Number)
    }

    /// A truth value.
    #[must_use]
    pub fn boolean(name: impl Into<String>) -> Self {
        Self::of(name, Type::Bool)
    }

    /// Texts in an order.
    #[must_use]
    pub fn list_of_strings(name: impl Into<String>) -> Self {
        Self::of(name, Type::List(Box::new(Type::String)))
    }

    /// Different texts in no order.
    #[must_use]
    pub fn set_of_strings(name: impl Into<String>) -> Self {
        Self::of(name, Type::Set(Box::new(Type::String)))
    }

    /// Texts by name.
    #[must_use]
    pub fn map_of_strings(name: impl Into<String>) -> Self {
        Self::of(name, Type::Map(Box::new(Type::String)))
    }

    /// Attributes of its own.
    #[must_use]
    pub fn nested(name: impl Into<String>, nesting: Nesting, attributes: Vec<Attribute>) -> Self {
        Self::new(
            name,
            Kind::Nested {
                nesting,
                attributes,
            },
        )
    }

    /// It must be set.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It may be set.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The provider may set it where the configuration does not.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// Terraform does not show it.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Terraform warns those who use it.
    #[must_use]
    pub fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    /// What it means, in Markdown.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// The type of its value.
    #[must_use]
    pub fn object_type(&self) -> Type {
        match &self.kind {
            Kind::Type(kind) => kind.clone(),
            Kind::Nested {
                nesting,
                attributes,
            } => nesting.of(object_type(attributes, &[])),
        }
    }

    fn conform(&self, value: Value) -> Value {
        match &self.kind {
            Kind::Type(kind) => kind.conform(value),
            Kind::Nested {
                nesting,
                attributes,
            } => nesting.conform(value, &|value| conform(attributes, &[], value)),
        }
    }
}

/// A block inside of a resource, a data source or a provider. Prefer nested attributes: blocks
/// cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The name, in lower case with underscores.
    pub name: String,
    /// How often it occurs.
    pub nesting: Nesting,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// The blocks inside of it.
    pub blocks: Vec<Block>,
    /// What it means, in Markdown.
    pub description: String,
}

impl Block {
    /// A block without content.
    #[must_use]
    pub fn new(name: impl Into<String>, nesting: Nesting) -> Self {
        Self {
            name: name.into(),
            nesting,
            attributes: Vec::new(),
            blocks: Vec::new(),
            description: String::new(),
        }
    }

    /// What it means, in Markdown.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// The block with these attributes.
    #[must_use]
    pub fn with(mut self, attributes: Vec<Attribute>) -> Self {
        self.attributes = attributes;
        self
    }

    fn conform(&self, value: Value) -> Value {
        match value {
            Value::Null => self.nesting.absent_block(),
            value => self.nesting.conform(value, &|value| {
                conform(&self.attributes, &self.blocks, value)
            }),
        }
    }
}

/// What a provider, a resource or a data source is configured with and remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Grows by one with each change that needs [`Resource::upgrade`](crate::Resource::upgrade).
    pub version: i64,
    /// What it is for, in Markdown.
    pub description: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Its blocks.
    pub blocks: Vec<Block>,
}

impl Schema {
    /// The type of a value of this schema; always an object.
    #[must_use]
    pub fn object_type(&self) -> Type {
        object_type(&self.attributes, &self.blocks)
    }

    /// A value with every attribute null and no block.
    #[must_use]
    pub fn empty(&self) -> Value {
        self.conform(Value::Map(BTreeMap::new()))
    }

    /// Brings a value into the shape of this schema, through and through: missing attributes become
    /// null, and names that the schema does not have are dropped. A value that is null as a whole
    /// stays null.
    #[must_use]
    pub fn conform(&self, value: Value) -> Value {
        conform(&self.attributes, &self.blocks, value)
    }
}

fn object_type(attributes: &[Attribute], blocks: &[Block]) -> Type {
    let attributes = attributes
        .iter()
        .map(|attribute| (attribute.name.clone(), attribute.object_type()));
    let blocks = blocks.iter().map(|block| {
        (
            block.name.clone(),
            block
                .nesting
                .of(object_type(&block.attributes, &block.blocks)),
        )
    });
    Type::Object(attributes.chain(blocks).collect())
}

fn conform(attributes: &[Attribute], blocks: &[Block], value: Value) -> Value {
    let Value::Map(mut elements) = value else {
        return value;
    };
    let mut shaped = BTreeMap::new();
    for attribute in attributes {
        let value = elements.remove(&attribute.name).unwrap_or_default();
        shaped.insert(attribute.name.clone(), attribute.conform(value));
    }
    for block in blocks {
        let value = elements.remove(&block.name).unwrap_or_default();
        shaped.insert(block.name.clone(), block.conform(value));
    }
    Value::Map(shaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        let endpoint = || {
            vec![
                Attribute::string("endpoint").required(),
                Attribute::boolean("raw").optional(),
            ]
        };
        Schema {
            version: 3,
            description: String::new(),
            attributes: vec![
                Attribute::string("name").required(),
                Attribute::nested("queue", Nesting::Single, endpoint()).optional(),
                Attribute::nested("subscriptions", Nesting::Map, endpoint()).optional(),
                Attribute::of(
                    "plain",
                    Type::Object([("a".to_owned(), Type::Number)].into()),
                )
                .computed(),
            ],
            blocks: vec![
                Block::new("timeouts", Nesting::Single)
                    .with(vec![Attribute::string("create").optional()]),
                Block::new("line", Nesting::List).with(vec![Attribute::string("text").required()]),
            ],
        }
    }

    #[test]
    fn nothing_is_every_attribute_null_and_no_block() {
        let empty = schema().empty().to_json();
        let wanted = json!({
            "name": null, "queue": null, "subscriptions": null, "plain": null, "timeouts": null, "line": []
        });
        assert_eq!(empty, Some(wanted));
    }

    #[test]
    fn a_value_is_brought_into_shape_through_and_through() {
        let value = Value::from_json(&json!({
            "name": "orders",
            "gone": 1,
            "queue": {"endpoint": "e", "gone": 1},
            "subscriptions": {"ops": {}},
            "plain": {"b": 2},
            "timeouts": {},
            "line": [{"text": "t", "gone": 1}],
        }));
        let wanted = json!({
            "name": "orders",
            "queue": {"endpoint": "e", "raw": null},
            "subscriptions": {"ops": {"endpoint": null, "raw": null}},
            "plain": {"a": null},
            "timeouts": {"create": null},
            "line": [{"text": "t"}],
        });
        assert_eq!(schema().conform(value).to_json(), Some(wanted));
        assert_eq!(schema().conform(Value::Null), Value::Null);
        assert_eq!(schema().conform(Value::Unknown), Value::Unknown);
    }
}
