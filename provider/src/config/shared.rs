//! The session that all resources share.

use std::sync::Arc;

use tfplugin::{Diagnostic, Diagnostics};
use tokio::sync::RwLock;

use super::Session;

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

    /// Takes what the provider block was read as: a session, or nothing while parts of the block are unknown.
    pub async fn configure(&self, session: Option<Session>) {
        *self.0.write().await = match session {
            Some(session) => Configured::Ready(Arc::new(session)),
            None => Configured::Unknown,
        };
    }
}
