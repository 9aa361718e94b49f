//! The provider as Terraform sees it.

use std::sync::Arc;

use async_trait::async_trait;
use tfplugin::{DataSource, Diagnostic, Diagnostics, Path, Provider, Resource, Schema, Value};

use crate::config::{self, Session, SetupError, Shared};
use crate::pipeline::CallbackPipeline;
use crate::pipeline::pending::PendingCallbacks;

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

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(PendingCallbacks::new(self.shared.clone()))]
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        config::validate(config)
    }

    async fn configure(&self, config: &Value, _terraform_version: &str) -> Diagnostics {
        let session = match config::read(config) {
            Ok(Some(config)) => match Session::open(config).await {
                Ok(session) => Some(session),
                Err(error) => {
                    let attribute = match &error {
                        SetupError::NoRegion | SetupError::NotARegion(_) => "region",
                        SetupError::NotAUrl(_) | SetupError::NotAProxy(_) => "endpoints",
                        SetupError::NoProfile { .. } | SetupError::SharedFiles(_) => "profile",
                        SetupError::Half(..) => "access_key",
                        SetupError::CaBundle { .. } => "custom_ca_bundle",
                    };
                    let path = Path::root().attribute(attribute);
                    let told =
                        Diagnostic::error("Invalid provider configuration", error.to_string());
                    return vec![told.at(path)];
                }
            },
            Ok(None) => None,
            Err(diagnostics) => return diagnostics,
        };
        self.shared.configure(session).await;
        Vec::new()
    }
}
