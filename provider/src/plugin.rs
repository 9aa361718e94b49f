//! The provider as Terraform sees it.

use std::sync::Arc;

use async_trait::async_trait;
use tfplugin::{Diagnostic, Diagnostics, Path, Provider, Resource, Schema, Value};
use tokio::sync::RwLock;

use crate::config::{self, Session, SetupError};
use crate::pipeline::CallbackPipeline;

#[derive(Debug, Default)]
enum Configured {
    /// Terraform has not handed over the provider block.
    #[default]
    NotYet,
    /// Parts of the provider block are unknown, as they may be during a plan.
    Unknown,
    /// Ready.
    Ready(Arc<Session>),
}

/// The session that all resources share once the provider is configured.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<RwLock<Configured>>);

impl Shared {
    /// The session; none while the provider block is not known in full.
    ///
    /// # Errors
    /// The provider was not configured at all.
    pub async fn session(&self) -> Result<Option<Arc<Session>>, Diagnostics> {
        match &*self.0.read().await {
            Configured::Ready(session) => Ok(Some(session.clone())),
            Configured::Unknown => Ok(None),
            Configured::NotYet => {
                let detail = "Terraform asked for a resource before it configured the provider.";
                Err(vec![Diagnostic::error("Provider not configured", detail)])
            }
        }
    }
}

/// The provider.
#[derive(Debug, Default)]
pub struct Bellflower {
    shared: Shared,
}

#[async_trait]
impl Provider for Bellflower {
    fn schema(&self) -> Schema {
        config::schema()
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![Arc::new(CallbackPipeline::new(self.shared.clone()))]
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        config::validate(config)
    }

    async fn configure(&self, config: &Value, _terraform_version: &str) -> Diagnostics {
        let configured = match config::read(config) {
            Ok(Some(config)) => match Session::open(config).await {
                Ok(session) => Configured::Ready(Arc::new(session)),
                Err(error) => {
                    let attribute = match &error {
                        SetupError::NoRegion => "region",
                        SetupError::CaBundle { .. } => "custom_ca_bundle",
                    };
                    let path = Path::root().attribute(attribute);
                    let told = Diagnostic::error("AWS clients cannot be made", error.to_string());
                    return vec![told.at(path)];
                }
            },
            Ok(None) => Configured::Unknown,
            Err(diagnostics) => return diagnostics,
        };
        *self.shared.0.write().await = configured;
        Vec::new()
    }
}
