//! A body that ends with a context.

use super::{BoxError, Hold, status};
use crate::context::Context;
use crate::done::Done;
use ::tonic::Status;
use ::tonic::body::Body;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

pub(super) type Data = <Body as HttpBody>::Data;

/// How a body says that its context is done.
#[derive(Clone, Copy)]
pub(super) enum Says {
    /// To the peer: by trailers.
    Trailers,
    /// To the reader on this side, or by a reset.
    Error,
}

pin_project! {
    struct Under<B> {
        // None: it is over.
        #[pin]
        inner: Option<B>,
        ctx: Context,
        done: Done,
        hold: Option<Hold>,
        says: Says,
    }
}

/// `inner` until `ctx` is done; `hold` ends with it.
pub(super) fn under<B>(inner: B, ctx: &Context, mut hold: Option<Hold>, says: Says) -> Body
where
    B: HttpBody<Data = Data> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if inner.is_end_stream() {
        // Nobody polls it.
        end(&mut hold);
        return Body::new(inner);
    }
    Body::new(Under {
        inner: Some(inner),
        ctx: ctx.clone(),
        done: ctx.done(),
        hold,
        says,
    })
}

fn end(hold: &mut Option<Hold>) {
    if let Some(mut hold) = hold.take() {
        hold.end();
    }
}

impl<B> HttpBody for Under<B>
where
    B: HttpBody<Data = Data>,
    B::Error: Into<BoxError>,
{
    type Data = Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Data>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(error) = Pin::new(&mut *this.done).poll(cx) {
            let status = status(this.ctx).unwrap_or_else(|| Status::from(error));
            this.inner.set(None);
            end(this.hold);
            return Poll::Ready(Some(match this.says {
                Says::Trailers => trailers(&status).map_err(Into::into),
                Says::Error => Err(status.into()),
            }));
        }
        let poll = || inner.poll_frame(cx);
        let frame = ready!(match this.hold {
            Some(hold) => hold.while_polling(poll),
            None => poll(),
        });
        let goes_on = matches!(&frame, Some(Ok(frame)) if !frame.is_trailers());
        if !goes_on
            || this
                .inner
                .as_ref()
                .as_pin_ref()
                .is_none_or(|inner| inner.is_end_stream())
        {
            this.inner.set(None);
            end(this.hold);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // It may end at any time.
        let mut hint = SizeHint::new();
        if let Some(upper) = self
            .inner
            .as_ref()
            .and_then(|inner| inner.size_hint().upper())
        {
            hint.set_upper(upper);
        }
        hint
    }
}

fn trailers(status: &Status) -> Result<Frame<Data>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}
