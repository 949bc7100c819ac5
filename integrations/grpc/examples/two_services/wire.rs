//! The service as gRPC has it, by hand: two messages, two methods, a server and a client. tonic's build makes the same of a
//! `.proto`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use tonic::body::Body;
use tonic::client::{Grpc as ClientGrpc, GrpcService};
use tonic::codegen::{BoxFuture, BoxStream, Service, StdError, http, http::uri::PathAndQuery};
use tonic::server::{Grpc as ServerGrpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Ask {
    /// How much is wanted.
    #[prost(uint64, tag = "1")]
    pub steps: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    #[prost(uint64, repeated, tag = "1")]
    pub numbers: Vec<u64>,
    #[prost(string, tag = "2")]
    pub text: String,
}

/// What a server does.
pub trait Work: Send + Sync + 'static {
    /// One answer.
    fn ask(
        &self,
        request: Request<Ask>,
    ) -> impl Future<Output = Result<Response<Answer>, Status>> + Send;

    /// An answer for each step.
    fn follow(
        &self,
        request: Request<Ask>,
    ) -> impl Future<Output = Result<Response<BoxStream<Answer>>, Status>> + Send;
}

const ASK: &str = "/ripcord.Work/Ask";
const FOLLOW: &str = "/ripcord.Work/Follow";

pub struct WorkServer<W>(pub Arc<W>);

impl<W> Clone for WorkServer<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Work> NamedService for WorkServer<W> {
    const NAME: &'static str = "ripcord.Work";
}

impl<W: Work> UnaryService<Ask> for WorkServer<W> {
    type Response = Answer;
    type Future = BoxFuture<Response<Answer>, Status>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let work = Arc::clone(&self.0);
        Box::pin(async move { work.ask(request).await })
    }
}

impl<W: Work> ServerStreamingService<Ask> for WorkServer<W> {
    type Response = Answer;
    type ResponseStream = BoxStream<Answer>;
    type Future = BoxFuture<Response<BoxStream<Answer>>, Status>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let work = Arc::clone(&self.0);
        Box::pin(async move { work.follow(request).await })
    }
}

impl<W: Work> Service<http::Request<Body>> for WorkServer<W> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let work = self.clone();
        Box::pin(async move {
            let mut grpc = ServerGrpc::new(ProstCodec::<Answer, Ask>::default());
            Ok(match request.uri().path() {
                ASK => grpc.unary(work, request).await,
                FOLLOW => grpc.server_streaming(work, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

pub struct WorkClient<S>(ClientGrpc<S>);

impl<S> WorkClient<S>
where
    S: GrpcService<Body>,
    S::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <S::ResponseBody as tonic::codegen::Body>::Error: Into<StdError> + Send,
{
    pub fn new(service: S) -> Self {
        Self(ClientGrpc::new(service))
    }

    pub async fn ask(&mut self, request: Request<Ask>) -> Result<Answer, Status> {
        self.ready().await?;
        let (path, codec) = (PathAndQuery::from_static(ASK), ProstCodec::default());
        Ok(self.0.unary(request, path, codec).await?.into_inner())
    }

    pub async fn follow(&mut self, request: Request<Ask>) -> Result<Streaming<Answer>, Status> {
        self.ready().await?;
        let (path, codec) = (PathAndQuery::from_static(FOLLOW), ProstCodec::default());
        Ok(self
            .0
            .server_streaming(request, path, codec)
            .await?
            .into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))
    }
}
