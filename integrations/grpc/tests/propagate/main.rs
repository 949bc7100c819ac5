//! `ripcord::propagate`: the specifications' own examples, hostile headers, and what holds for all inputs.

mod baggage;
mod book;
mod hostile;
mod keys;
mod timeouts;
mod trace;

use http::{HeaderMap, HeaderName, HeaderValue};
use ripcord::propagate::{ExtractError, Propagator};
use ripcord::{CancelGuard, Context};

/// Headers of names and values, of which a name may come again.
pub(crate) fn headers<V: AsRef<[u8]>>(pairs: &[(&'static str, V)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header can hold it");
        map.append(HeaderName::from_static(name), value);
    }
    map
}

pub(crate) fn extract(headers: &HeaderMap) -> Result<(Context, CancelGuard), ExtractError> {
    Propagator::default().extract(headers, &Context::background())
}

/// What a service that passes a request on sends, of what it got.
pub(crate) fn passed_on(propagator: &Propagator, incoming: &HeaderMap) -> HeaderMap {
    let (ctx, _guard) = propagator
        .extract(incoming, &Context::background())
        .expect("it can be taken");
    let mut outgoing = HeaderMap::new();
    propagator.inject(&ctx, &mut outgoing).expect("it is live");
    outgoing
}
