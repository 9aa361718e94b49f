//! Terraform's plugin protocol, version 6, for providers written in Rust.
//!
//! A provider describes itself with [`Provider`], [`Resource`] and [`DataSource`] and hands itself
//! to [`serve`]. This crate does the rest: the handshake, mutual TLS on a private socket, the gRPC
//! service, the encoding of values, logs that `TF_LOG_PROVIDER` understands, and the duties that a
//! plugin has when things go wrong.
//!
//! # What a resource can rely on
//!
//! - Every value it gets has the shape of its schema: each attribute is there, as [`Value::Null`] if
//!   it was left out.
//! - What it hands back is brought into that shape: missing attributes become null, and unknown names
//!   are dropped.
//! - A panic becomes an error diagnostic that names the place. No panic loses state: an apply answers
//!   with what was last given to [`Work::checkpoint`].
//! - When the user interrupts Terraform, [`Work::cancelled`] resolves. An apply that has not returned
//!   four seconds later is aborted and answered with its last checkpoint.
//! - A state that comes together with an error may hold unknown values; they are turned to null. A
//!   null state that comes with an error stands for the last checkpoint, or else for what was there.
//! - Values are never logged.
//!
//! # What is left out
//!
//! Functions, ephemeral resources, resource identity, moving state between resource types, deferred
//! actions and provider-defined backends. Terraform is told so in the way the protocol has for it.
//! Plugins run on Unix only.

mod codec;
mod diagnostic;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod handshake;
mod log;
mod number;
mod path;
mod plugin;
mod provider;
mod schema;
mod serve;
mod service;
mod tls;
mod value;
mod wire;
mod work;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use number::{Number, ParseNumberError};
pub use path::{Path, Step};
pub use provider::{
    ApplyReply, ApplyRequest, DataReply, DataSource, ImportReply, PlanReply, PlanRequest, Provider,
    ReadReply, ReadRequest, Resource,
};
pub use schema::{Attribute, Block, Kind, Nesting, Schema, Type};
pub use serve::{Identity, serve};
pub use value::Value;
pub use work::Work;
