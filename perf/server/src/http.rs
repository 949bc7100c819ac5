//! HTTP/1.1 over a kept connection.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::SocketAddr;
use std::str::FromStr;
use tokio::net::TcpStream;

pub type Connection = SendRequest<Empty<Bytes>>;

/// # Errors
///
/// Nobody listens there.
pub async fn connect(addr: SocketAddr) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection's handle, and its errors reach whoever waits for an answer.
    tokio::spawn(driver);
    Ok(connection)
}

/// Sends a GET and reads the whole answer. Dropped in the middle, it leaves a connection that cannot be used again.
///
/// # Errors
///
/// The connection is lost.
pub async fn get(
    connection: &mut Connection,
    path: &str,
    headers: impl IntoIterator<Item = (&str, &str)>,
) -> Result<(StatusCode, String), Box<dyn Error + Send + Sync>> {
    let mut request = Request::get(path).header(HOST, "localhost");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = connection.send_request(request.body(Empty::new())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The parameter of that name in a query; `None` where it is not there.
///
/// # Errors
///
/// What is wrong with it.
pub fn parameter<T: FromStr>(query: Option<&str>, name: &str) -> Result<Option<T>, String> {
    let value = query
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value
        .map(|value| {
            let what = std::any::type_name::<T>();
            value
                .parse()
                .map_err(|_| format!("{name} is {value:?}, not a {what}"))
        })
        .transpose()
}
