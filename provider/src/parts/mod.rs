//! The kinds of AWS parts: one file each, with read, create, update and delete. Nothing here knows Terraform.

pub mod alarm;
pub mod bucket;
mod call;
pub mod consistency;
pub mod dashboard;
pub mod event_invoke_config;
pub mod event_source;
pub mod execution;
pub mod function;
pub mod key;
pub mod log_group;
pub mod notification;
pub mod permission;
pub mod queue;
pub mod role;
pub mod state_machine;
pub mod subscription;
pub mod tag_index;
pub mod tags;
pub mod topic;

use serde::Serialize;

use crate::engine::Attributes;

pub use call::{ATTEMPT, Aws, Batches, Clients, absent, causes, failure, innermost};

/// A part of one of the kinds in this room.
pub type Part = dyn crate::engine::Part<Aws>;

/// The properties of a part, from its own fields.
fn properties<T: Serialize>(part: &T) -> Attributes {
    match serde_json::to_value(part) {
        Ok(serde_json::Value::Object(attributes)) => attributes,
        _ => Attributes::new(),
    }
}

/// A few attributes by name.
macro_rules! attributes {
    ($($name:literal : $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut attributes = $crate::engine::Attributes::new();
        $(attributes.insert($name.to_owned(), serde_json::json!($value));)*
        attributes
    }};
}
pub(crate) use attributes;
