//! What a request's headers ask for.

use super::failure::Failure;
use hyper::HeaderMap;
use ripcord_server::{X_REQUEST_ID, X_TIMEOUT_MS, X_USER};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[derive(Debug)]
pub struct Asked {
    pub id: String,
    pub user: Option<String>,
    pub budget: Option<Duration>,
}

/// What goes with a request where it has no context: behind an `Arc`, from layer to layer.
pub struct Carried {
    pub id: String,
    pub user: Option<String>,
}

impl From<Asked> for Carried {
    fn from(asked: Asked) -> Self {
        Self {
            id: asked.id,
            user: asked.user,
        }
    }
}

impl Asked {
    /// # Errors
    ///
    /// A header that cannot be understood. To go on without it would be to guess how long the client waits.
    pub fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let budget = text(headers, X_TIMEOUT_MS)?
            .map(|text| {
                text.parse().map(Duration::from_millis).map_err(|_| {
                    Failure::BadRequest(format!("{X_TIMEOUT_MS} is {text:?}, not milliseconds"))
                })
            })
            .transpose()?;
        Ok(Self {
            id: text(headers, X_REQUEST_ID)?.map_or_else(new_id, str::to_owned),
            user: text(headers, X_USER)?.map(str::to_owned),
            budget,
        })
    }
}

/// A header that is sent on: anything printable.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    headers
        .get(name)
        .map(|value| match value.to_str() {
            Ok(text) if (1..=128).contains(&text.len()) => Ok(text),
            _ => Err(Failure::BadRequest(format!(
                "{name} is {value:?}, not 1 to 128 printable ASCII characters"
            ))),
        })
        .transpose()
}

fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("gateway-{}", NEXT.fetch_add(1, Relaxed))
}
