//! The tests that a user's day is made of: real Terraform, a local AWS of each test's own, the real functions.
//!
//! One executable, so that the AWS SDKs are linked once and the tests of all modules keep the machine busy together. What needs the
//! machine for itself, `chaos` and `load`, stands beside it.

mod answers;
mod application;
mod arguments;
mod bad_input;
mod callbacks;
mod drift;
mod examples;
mod flow;
mod ignored;
mod imports;
mod in_place;
mod keys;
mod lifecycle;
mod losses;
mod ownership;
mod pending;
mod plans;
mod proofs;
mod provider_block;
mod released_states;
mod replacements;
mod secrets;
mod since;
mod somebody;
mod table;
mod update;
mod upsets;
mod weather;
