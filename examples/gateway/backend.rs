//! The service behind the gateway: looks items up, slowly. Its requests have contexts as the gateway's have, and the
//! deadlines they are sent with.

use super::failure::Failure;
use super::handlers::parameter;
use super::server::Routes;
use hyper::Uri;
use ripcord::Context;
use std::time::Duration;

/// `/item?id=ID&ms=MS` takes so long; with `fail` it fails at once.
pub struct Items;

impl Routes for Items {
    async fn answer(&self, ctx: &Context, uri: &Uri) -> Result<String, Failure> {
        if uri.path() != "/item" {
            return Err(Failure::NoSuchRoute(uri.path().to_owned()));
        }
        let id: u64 = parameter(uri, "id")?.unwrap_or_default();
        if parameter::<u64>(uri, "fail")?.is_some() {
            return Err(Failure::Internal(format!("item {id} is broken")));
        }
        let lookup = Duration::from_millis(parameter(uri, "ms")?.unwrap_or_default());
        ctx.sleep(lookup).await.map_err(|_| Failure::ended(ctx))?;
        Ok(format!("item {id}\n"))
    }
}
