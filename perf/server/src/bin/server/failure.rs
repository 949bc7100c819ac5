//! Why a request is not answered with 200.

use hyper::StatusCode;
use std::fmt;

#[derive(Debug)]
pub enum Failure {
    /// A header or a parameter that cannot be understood.
    BadRequest(String),
    NoSuchRoute(String),
    /// The request's scope, or one below it, has ended.
    Ended {
        timed_out: bool,
        why: String,
    },
    /// The upstream answered with something else than 200.
    Upstream(StatusCode),
    /// The upstream cannot be reached, or does not speak HTTP.
    Unreachable(String),
    Internal(String),
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchRoute(_) => StatusCode::NOT_FOUND,
            Self::Ended {
                timed_out: true, ..
            } => StatusCode::GATEWAY_TIMEOUT,
            Self::Ended { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(_) | Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(what) => f.write_str(what),
            Self::NoSuchRoute(path) => write!(f, "there is no {path}"),
            Self::Ended { timed_out, why } => {
                let how = if *timed_out { "timed out" } else { "canceled" };
                write!(f, "{how}: {why}")
            }
            Self::Upstream(status) => write!(f, "the upstream answered {status}"),
            Self::Unreachable(why) => write!(f, "the upstream cannot be reached: {why}"),
            Self::Internal(why) => f.write_str(why),
        }
    }
}
