//! Reconciles a set of parts: which run when, what is retried, who owns what.
//!
//! The engine knows neither Terraform nor any AWS service. A [`Part`] tells what should be and can look at, make,
//! change and remove it; [`graph::run`] starts each node as soon as what it depends on is ready; [`retry`] repeats a
//! call by a table; [`ensure`] and [`remove`] hold the rule that nothing of somebody else is ever touched.

pub mod batch;
pub mod failure;
pub mod graph;
pub mod part;
pub mod retry;

pub use batch::Batch;
pub use failure::Failure;
pub use part::{Attributes, Changes, Did, Found, Owner, Part, belongs, ensure, refusal, remove};
