//! What every plugin offers to the program that started it: an end, a stream of output, and further
//! connections.

use std::pin::Pin;

use futures::{FutureExt, Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::wire::plugin::grpc_broker_server::GrpcBroker;
use crate::wire::plugin::grpc_controller_server::GrpcController;
use crate::wire::plugin::grpc_stdio_server::GrpcStdio;
use crate::wire::plugin::{ConnInfo, StdioData};

/// The three services. `ended` ends the process.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    pub(crate) ended: CancellationToken,
}

type Silence<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Plugin {
    /// A stream that says nothing and closes when the process ends. Terraform takes an early end
    /// for a fault.
    fn silence<T: Send + 'static>(&self) -> Silence<T> {
        let ended = self.ended.clone();
        let end = async move { ended.cancelled().await }.into_stream();
        Box::pin(end.filter_map(|()| async { None }).chain(stream::empty()))
    }
}

#[tonic::async_trait]
impl GrpcController for Plugin {
    async fn shutdown(&self, _: Request<()>) -> Result<Response<()>, Status> {
        tracing::debug!("Terraform is done with this provider");
        self.ended.cancel();
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Plugin {
    type StreamStdioStream = Silence<StdioData>;

    async fn stream_stdio(
        &self,
        _: Request<()>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(self.silence()))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Plugin {
    type StartStreamStream = Silence<ConnInfo>;

    async fn start_stream(
        &self,
        _: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(self.silence()))
    }
}
