//! The service behind the gateway: looks items up, slowly. Its requests have contexts as the gateway's have, and the
//! deadlines they are sent with.

use super::failure::Failure;
use super::handlers::parameter;
use super::server::{Answer, Routes};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use ripcord::Context;
use std::time::Duration;

/// `/item?id=ID&ms=MS` takes so long; with `fail` it fails at once. `/echo` answers with the headers it was sent.
pub struct Items;

impl Routes for Items {
    async fn answer(&self, ctx: &Context, head: &Parts) -> Result<Answer, Failure> {
        match head.uri.path() {
            "/item" => item(ctx, &head.uri).await,
            "/echo" => Ok(echo(&head.headers)),
            other => Err(Failure::NoSuchRoute(other.to_owned())),
        }
        .map(Answer::from)
    }
}

async fn item(ctx: &Context, uri: &Uri) -> Result<String, Failure> {
    let id: u64 = parameter(uri, "id")?.unwrap_or_default();
    if parameter::<u64>(uri, "fail")?.is_some() {
        return Err(Failure::Internal(format!("item {id} is broken")));
    }
    let lookup = Duration::from_millis(parameter(uri, "ms")?.unwrap_or_default());
    ctx.sleep(lookup).await.map_err(|_| Failure::ended(ctx))?;
    Ok(format!("item {id}\n"))
}

/// A header a line.
fn echo(headers: &HeaderMap) -> String {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}
