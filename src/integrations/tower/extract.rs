//! `Context` as an argument of an axum handler.

use crate::context::Context;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use std::convert::Infallible;
use std::fmt;

/// There is no context in the request's extensions: no [`ContextLayer`](super::ContextLayer) is around the handler. As a response
/// it is a 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingContext;

impl fmt::Display for MissingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request has no context; add a ripcord::tower::ContextLayer to the router")
    }
}

impl std::error::Error for MissingContext {}

impl IntoResponse for MissingContext {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

/// The request's context, from a [`ContextLayer`](crate::tower::ContextLayer) or the innermost
/// [`TimeoutLayer`](crate::tower::TimeoutLayer). Feature `axum`. Wait-free, and allocates nothing.
///
/// ```
/// use http::StatusCode;
/// use ripcord::Context;
///
/// /// An axum handler. A `ripcord::Error` is no response: which status it has is for the server to say.
/// async fn handler(ctx: Context) -> Result<String, StatusCode> {
///     let answer = ctx.run(async { 42 }).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
///     Ok(answer.to_string())
/// }
/// # fn is_extractor<T: axum_core::extract::FromRequestParts<()>>(_: impl AsyncFn(T) -> Result<String, StatusCode>) {}
/// # is_extractor(handler);
/// ```
impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = MissingContext;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingContext> {
        parts.extensions.get().cloned().ok_or(MissingContext)
    }
}

/// As above; `None` where there is no layer.
impl<S: Sync> OptionalFromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}
