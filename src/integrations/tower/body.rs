//! The body of a response that keeps its request's context alive, and ends it when it ends itself.

use super::ended::{Live, RequestEnded};
use bytes::Buf;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

pin_project_lite::pin_project! {
    /// A response's body under its request's context, which it ends: finished, failed or dropped, each with the cause that says so
    /// ([`RequestEnded`]).
    ///
    /// Frames, trailers, the size hint and the end of the stream are those of the body inside; the answer that a
    /// [`TimeoutLayer`](super::TimeoutLayer) gives has none inside, and is empty.
    #[derive(Debug)]
    pub struct ContextBody<B> {
        // Before the body: what is dropped with that finds its context ended.
        live: Option<Live>,
        // Bytes that are to come yet, where that is known.
        left: Option<u64>,
        #[pin]
        body: Option<B>,
    }
}

impl<B: Body> ContextBody<B> {
    pub(super) const EMPTY: Self = Self {
        live: None,
        left: None,
        body: None,
    };

    /// What a service answered, its body under the request's context; an error ends that. `head_only`: the request was for
    /// the head of the response.
    pub(super) fn answer<E>(
        answer: Result<Response<B>, E>,
        live: Live,
        head_only: bool,
    ) -> Result<Response<Self>, E> {
        match answer {
            Ok(response) => Ok(Self::wrap(response, live, head_only)),
            Err(error) => {
                live.end(RequestEnded::ServiceFailed);
                Err(error)
            }
        }
    }

    fn wrap(response: Response<B>, mut live: Live, head_only: bool) -> Response<Self> {
        let left = if head_only || bodiless(response.status()) {
            Some(0)
        } else {
            content_length(response.headers())
        };
        response.map(|body| {
            live.expect(if left == Some(0) || body.is_end_stream() {
                RequestEnded::BodyFinished
            } else {
                RequestEnded::BodyDropped
            });
            Self {
                live: Some(live),
                left,
                body: Some(body),
            }
        })
    }
}

/// Whether a response was to the head of something. Servers drop the body of such a one unread.
pub(super) fn is_head(method: &Method) -> bool {
    method == Method::HEAD
}

/// RFC 9110, 6.4.1: these have no content.
fn bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Servers do not ask a body for its end once they have had so many bytes.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl<B: Body> Body for ContextBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    /// As the body inside does; ends the context with the last frame, which tells all who wait on it.
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(mut body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let mut poll = || body.as_mut().poll_frame(cx);
        let frame = ready!(match this.live {
            Some(live) => live.while_polling(poll),
            None => poll(),
        });
        let end = match &frame {
            None => Some(RequestEnded::BodyFinished),
            Some(Err(_)) => Some(RequestEnded::BodyFailed),
            // Nothing follows trailers, and nobody asks.
            Some(Ok(frame)) if frame.is_trailers() || body.is_end_stream() => {
                Some(RequestEnded::BodyFinished)
            }
            Some(Ok(frame)) => {
                if let (Some(left), Some(data)) = (&mut *this.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.remaining() as u64);
                }
                None
            }
        };
        match (end, &mut *this.live) {
            (Some(end), live) => {
                if let Some(live) = live.take() {
                    live.end(end);
                }
            }
            // Trailers may follow.
            (None, Some(live)) if *this.left == Some(0) => live.expect(RequestEnded::BodyFinished),
            (None, _) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
