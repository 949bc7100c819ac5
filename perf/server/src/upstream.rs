//! The service behind the gateway. It is the same for all sides, and has neither contexts nor tokens.

use crate::http::parameter;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;

/// Starts one on the current runtime.
///
/// # Errors
///
/// There is no free port.
pub async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let io = TokioIo::new(stream);
            tokio::spawn(http1::Builder::new().serve_connection(io, service_fn(answer)));
        }
    });
    Ok(addr)
}

/// `/item?id=ID&ms=MS` takes so long.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query();
    let asked = parameter::<u64>(query, "id").and_then(|id| {
        let ms = parameter(query, "ms")?;
        Ok((id.unwrap_or_default(), ms.unwrap_or_default()))
    });
    let (status, text) = match asked {
        Ok((id, ms)) => {
            if ms > 0 {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            (StatusCode::OK, format!("item {id}\n"))
        }
        Err(why) => (StatusCode::BAD_REQUEST, why),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
