//! What stands in for AWS around a function's real executable.

pub mod aws;
pub mod http;
pub mod lambda;
