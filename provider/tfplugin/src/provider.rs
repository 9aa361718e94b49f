//! What a provider has to say for itself.

use std::sync::Arc;

use async_trait::async_trait;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path::Path;
use crate::schema::Schema;
use crate::value::Value;
use crate::work::Work;

/// A provider: what its block is configured with, and what it offers.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What the provider block is configured with.
    fn schema(&self) -> Schema;

    /// The resources, each under its own name.
    fn resources(&self) -> Vec<Arc<dyn Resource>>;

    /// The data sources, each under its own name.
    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        Vec::new()
    }

    /// Looks for mistakes in the provider block. Parts of it may be unknown, and nothing outside of
    /// it may be asked.
    async fn validate(&self, config: &Value) -> Diagnostics {
        let _ = config;
        Vec::new()
    }

    /// Takes the configuration, before any resource is read, planned or applied. During a plan,
    /// parts of it may be unknown.
    async fn configure(&self, config: &Value, terraform_version: &str) -> Diagnostics;
}

/// A type of managed resource.
#[async_trait]
pub trait Resource: Send + Sync + 'static {
    /// The full name, with the provider's name in front.
    fn name(&self) -> &str;

    /// What it is configured with and remembers.
    fn schema(&self) -> Schema;

    /// Looks for mistakes in the configuration. Parts of it may be unknown, the provider may not be
    /// configured yet.
    async fn validate(&self, config: &Value) -> Diagnostics {
        let _ = config;
        Vec::new()
    }

    /// Brings a state that was written with an older schema version up to the present one. Called
    /// for older versions only.
    ///
    /// # Errors
    ///
    /// What the user should do about a state that cannot be brought up to date.
    async fn upgrade(
        &self,
        version: i64,
        state: serde_json::Value,
    ) -> Result<serde_json::Value, Diagnostics> {
        let _ = state;
        Err(vec![Diagnostic::error(
            "State cannot be upgraded",
            format!(
                "There is no way from version {version} of the state of {} to the present one.",
                self.name()
            ),
        )])
    }

    /// Finds out what is there now. A null state means that it is gone.
    async fn read(&self, request: ReadRequest) -> ReadReply;

    /// Works out what an apply would do. Values that only the apply can tell are
    /// [`Value::Unknown`].
    async fn plan(&self, request: PlanRequest) -> PlanReply;

    /// Does what was planned. Runs as a task of its own; see [`Work`] for what happens when it does
    /// not get to its end.
    async fn apply(&self, request: ApplyRequest, work: Work) -> ApplyReply;

    /// Finds something that exists by the name that the user gave. Terraform reads it afterwards.
    async fn import(&self, id: &str) -> ImportReply;
}

/// A type of data source.
#[async_trait]
pub trait DataSource: Send + Sync + 'static {
    /// The full name, with the provider's name in front.
    fn name(&self) -> &str;

    /// What it is configured with and gives.
    fn schema(&self) -> Schema;

    /// Looks for mistakes in the configuration. Parts of it may be unknown, the provider may not be
    /// configured yet.
    async fn validate(&self, config: &Value) -> Diagnostics {
        let _ = config;
        Vec::new()
    }

    /// Reads it.
    async fn read(&self, config: Value) -> DataReply;
}

/// The question what is there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadRequest {
    /// What was there last time.
    pub state: Value,
    /// What the provider wrote down for itself last time.
    pub private: Vec<u8>,
}

/// What is there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadReply {
    /// What is there; null if it is gone. With an error, Terraform keeps the state that it has.
    pub state: Value,
    /// What the provider wants to have next time.
    pub private: Vec<u8>,
    /// What the user should know.
    pub diagnostics: Diagnostics,
}

/// The question what an apply would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanRequest {
    /// What the user wrote; null if the resource is going to be destroyed.
    pub config: Value,
    /// What is there; null if the resource is going to be created.
    pub prior: Value,
    /// Terraform's own merger of the two: what the user wrote, and where nothing is written what is
    /// there. Null if the resource is going to be destroyed.
    pub proposed: Value,
    /// What the provider wrote down for itself last time.
    pub private: Vec<u8>,
}

/// What an apply would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanReply {
    /// What will be there. Where the user wrote something it must be that. Ignored if the resource
    /// is going to be destroyed.
    pub planned: Value,
    /// The attributes that cannot be changed in place, if they change.
    pub requires_replace: Vec<Path>,
    /// What the provider wants to have in the apply.
    pub private: Vec<u8>,
    /// What the user should know.
    pub diagnostics: Diagnostics,
}

/// The order to do what was planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplyRequest {
    /// What the user wrote; null to destroy. Everything in it is known now.
    pub config: Value,
    /// What is there; null to create.
    pub prior: Value,
    /// What was planned; null to destroy.
    pub planned: Value,
    /// What the provider wrote down for itself in the plan.
    pub private: Vec<u8>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplyReply {
    /// What is there now, also after an error; null if nothing is. A null state that comes with an error
    /// stands for the last checkpoint, or else for the prior state: an error means that something is left.
    pub state: Value,
    /// What the provider wants to have next time.
    pub private: Vec<u8>,
    /// What the user should know.
    pub diagnostics: Diagnostics,
}

/// What was found for an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportReply {
    /// As much of the state as a read needs to find the rest.
    pub state: Value,
    /// What the provider wants to have next time.
    pub private: Vec<u8>,
    /// What the user should know.
    pub diagnostics: Diagnostics,
}

/// What a data source gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataReply {
    /// The configuration with the computed attributes filled in.
    pub state: Value,
    /// What the user should know.
    pub diagnostics: Diagnostics,
}
