//! Accepts, and has each request answered under a scope of its own.

use super::asked::Asked;
use super::failure::Failure;
use super::handlers::Routes;
use super::scope::Scope;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ripcord_server::X_REQUEST_ID;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// What connections share.
struct Shared<S: Scope> {
    server: S,
    limit: S::Limit,
    routes: Routes,
}

pub async fn accept<S: Scope>(listener: TcpListener, upstream: SocketAddr, limit: Duration) {
    let (server, _guard) = S::root();
    let shared = Arc::new(Shared {
        server,
        limit: S::limit(limit),
        routes: Routes::new(upstream),
    });
    while let Ok((stream, _)) = listener.accept().await {
        // Answers are small, and written whole.
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(Arc::clone(&shared), stream));
    }
}

/// A connection, to its end or the server's.
async fn serve<S: Scope>(shared: Arc<Shared<S>>, stream: TcpStream) {
    // Hyper drops the request under way when the client hangs up, and its guard then ends its scope.
    let (scope, _guard) = shared.server.child();
    let service = service_fn(|request| answer(&shared, &scope, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = scope.run(connection).await;
}

async fn answer<S: Scope>(
    shared: &Shared<S>,
    connection: &S,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = match Asked::read(request.headers()) {
        Ok(asked) => asked,
        Err(failure) => return Ok(response(Err(failure), "")),
    };
    let id = asked.id.clone();
    let (scope, _guard) = connection.request(asked, &shared.limit);
    // Not every handler has to look at its scope: one that waits for something else is dropped when it ends.
    let result = scope
        .run(shared.routes.answer(&scope, request.uri()))
        .await
        .flatten();
    Ok(response(result, &id))
}

fn response(result: Result<String, Failure>, id: &str) -> Response<Full<Bytes>> {
    let (status, text) = match result {
        Ok(text) => (StatusCode::OK, text),
        Err(failure) => (failure.status(), format!("{failure}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Ok(id) = HeaderValue::from_str(id)
        && !id.is_empty()
    {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}
