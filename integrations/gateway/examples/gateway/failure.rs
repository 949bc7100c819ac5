//! Why contexts end in this program, and what is answered when one does.

use super::Said;
use hyper::StatusCode;
use ripcord::propagate::{CallerTimeout, ExtractError};
use ripcord::{Cause, Context, Error};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The cause given with every deadline and every cancel here, so that who meets the end of a context, however far below,
/// knows what it means. The time that a caller gives in a header has one already, `CallerTimeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server's own limit on a request.
    ServerLimit(Duration),
    /// What one of several calls may take of the rest.
    CallShare(Duration),
    /// There is nobody left to answer.
    HungUp,
    /// Another call of the same group failed, so nobody wants the result of this one.
    SiblingFailed,
    /// The grace after Ctrl-C or SIGTERM is over.
    ShuttingDown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerLimit(limit) => write!(f, "the server's limit of {}", Said(*limit)),
            Self::CallShare(share) => write!(f, "a call's share of {}", Said(*share)),
            Self::HungUp => f.write_str("the client hung up"),
            Self::SiblingFailed => f.write_str("another call failed"),
            Self::ShuttingDown => f.write_str("shutting down"),
        }
    }
}

impl std::error::Error for Reason {}

/// Why a request is not answered with 200.
#[derive(Debug)]
pub enum Failure {
    /// A header or a parameter that cannot be understood.
    BadRequest(String),
    /// A header of those that contexts come in: it cannot be understood, or is too long.
    BadContext(ExtractError),
    NoSuchRoute(String),
    OnlyGet,
    /// The request's context, or one below it, is done.
    Ended {
        error: Error,
        cause: Cause,
    },
    /// The backend answered with something else than 200.
    Backend {
        status: StatusCode,
        text: String,
    },
    /// The backend there cannot be reached, or does not speak HTTP.
    Unreachable {
        addr: SocketAddr,
        why: String,
    },
    Internal(String),
}

impl Failure {
    /// What the end of a context means to the request it belongs to.
    pub fn ended(ctx: &Context) -> Self {
        let error = ctx.err().unwrap_or(Error::Canceled);
        let cause = ctx.cause().unwrap_or_else(|| error.into());
        Self::Ended { error, cause }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::BadContext(error) => error.status(),
            Self::NoSuchRoute(_) => StatusCode::NOT_FOUND,
            Self::OnlyGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::Ended { error, .. } if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            Self::Ended { cause, .. } if cause.downcast_ref() == Some(&Reason::HungUp) => {
                client_closed_request()
            }
            Self::Ended { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Backend { status, .. } if *status == StatusCode::GATEWAY_TIMEOUT => *status,
            Self::Backend { .. } | Self::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// nginx's code for a client that is gone: for logs and counters, since nobody reads it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(what) => f.write_str(what),
            Self::BadContext(ExtractError::Malformed { header, expected }) => {
                write!(f, "{header} is not {expected}")
            }
            Self::BadContext(error) => error.fmt(f),
            Self::NoSuchRoute(path) => write!(f, "there is no {path}"),
            Self::OnlyGet => f.write_str("only GET is answered"),
            Self::Ended { error, cause } => match cause.downcast_ref::<CallerTimeout>() {
                Some(caller) => {
                    let budget = Said(caller.timeout());
                    write!(f, "{error}: the caller's budget of {budget}")
                }
                None => write!(f, "{error}: {cause}"),
            },
            Self::Backend { status, text } => {
                write!(f, "the backend answered {status}: {}", text.trim_end())
            }
            Self::Unreachable { addr, why } => {
                write!(f, "the backend {addr} cannot be reached: {why}")
            }
            Self::Internal(why) => f.write_str(why),
        }
    }
}

impl From<ExtractError> for Failure {
    fn from(error: ExtractError) -> Self {
        Self::BadContext(error)
    }
}
