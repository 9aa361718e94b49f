//! Pure functions: names, policies and the state machine's definition. No input, no output, no clock.

pub mod dashboard;
pub mod key;
pub mod machine;
pub mod messaging;
pub mod names;
pub mod policy;
pub mod roles;
pub mod storage;

pub use names::Place;
