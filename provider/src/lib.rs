//! Terraform provider for the callback pattern on AWS Step Functions.
//!
//! The way through is one direction: configuration, model ([`pipeline`]), pure [`documents`], [`parts`], AWS; and what was
//! observed of the parts becomes the state. [`engine`] runs the parts and knows neither Terraform nor AWS services.

pub mod config;
pub mod documents;
pub mod engine;
pub mod parts;
pub mod pipeline;
pub mod plugin;
