//! The harness of the end-to-end tests and the demo: a local AWS over https, real Terraform with the built
//! provider, and AWS SDK clients to look at what is really there.
//!
//! * [MiniStack]: the emulator as a child process, with a certificate authority of its own
//! * [`Terraform`]: one working directory with a configuration in it
//! * [`Pipeline`]: what an operator and a business application do with a pipeline that has been applied
//! * [`Subscriber`]: an SQS queue that hears a topic's messages
//! * [`observe`]: what AWS says each part of a pipeline looks like
//! * [`Stage`]: an emulator with one pipeline's configuration, where most tests begin
//! * [`proxy`]: what networks and AWS do and the emulator does not, and a log of every call
//! * [`chaos`]: interruption at every step
//! * [`load`]: many executions at once, and an account of each
//! * [`BusinessApplication`]: the program of `examples/business-application`
//! * [`inventory`]: everything that is in the account, to see that nothing is left
//! * [`Aws`]: clients for assertions; what the provider says about itself proves nothing
//!
//! Nothing of the caller's environment reaches Terraform, the provider, the emulator or a Lambda, except what
//! [`environment`] lets through: a developer's AWS profile must not decide whether a test passes.
//!
//! `cargo xtask test` and `cargo xtask demo` install the tools and name them in the environment:
//!
//! | Variable | What it names | Without it |
//! |---|---|---|
//! | `BELLFLOWER_LINTERS` | the folder of cfn-lint, statelint and AWS's service authorization reference | the one under `target/tools` |
//! | `BELLFLOWER_BUSINESS_APPLICATION` | the executable of the example | the one under `target/debug` |
//! | `BELLFLOWER_MINISTACK` | the emulator's executable | the one under `target/tools` |
//! | `BELLFLOWER_PROVIDER` | the provider's executable | the one under `target/debug` |
//! | `TERRAFORM` | `terraform` or `tofu` | `terraform` on PATH |
//!
//! ```no_run
//! # async fn example() -> Result<(), bellflower_tests::Error> {
//! use bellflower_tests::{MiniStack, Terraform};
//!
//! let emulator = MiniStack::start()?;
//! let terraform = Terraform::example("basic", &emulator.environment())?;
//! terraform.apply()?;
//! let queues = emulator.aws().sqs.list_queues().send().await;
//! # Ok(()) }
//! ```

mod application;
mod authority;
mod aws;
mod error;
mod inventory;
mod ministack;
mod observe;
mod pipeline;
mod stage;
mod subscriber;
mod terraform;

pub mod chaos;
pub mod environment;
pub mod load;
pub mod processes;
pub mod proxy;

pub use application::BusinessApplication;
pub use authority::ELSEWHERE;
pub use aws::Aws;
pub use error::Error;
pub use inventory::inventory;
pub use ministack::{MiniStack, Options};
pub use observe::{Names, PIPELINE_ALARMS, by_sid, differences, observe};
pub use pipeline::{Execution, Pipeline, eventually};
pub use stage::{ADDRESS, Stage};
pub use subscriber::Subscriber;
pub use terraform::{APPLY, DESTROY, Plan, REFRESH, Run, Terraform};
